/* The JSON scanner under libFuzzer, with no Swift in the way:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -ISources/CHadpoScan/include Sources/CHadpoScan/[a-z]*.c Tests/Fuzz/libfuzzer_json.c
 *
 * A text that passes is taken apart as the library does; a text that does not is passed over in pieces. */
#include "hadpo_scan.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition) \
    do {                 \
        if (!(condition)) abort(); \
    } while (0)

/* Every value of a container is found, in the order of the text, and ends where the next begins. */
static void take_apart(const uint8_t *bytes, size_t start, size_t end, size_t size)
{
    size_t at = hs_skip_space(bytes, start + 1, end);
    while (at < end - 1) {
        size_t run = hs_run_of_elements(bytes, at, end, size);
        CHECK(run >= at && run < end);
        if (run == at) {
            run = hs_value_end(bytes, at, end);
            const size_t colon = hs_skip_space(bytes, run, end);
            if (bytes[start] == '{') {
                CHECK(colon < end && bytes[colon] == ':');
                run = hs_value_end(bytes, hs_skip_space(bytes, colon + 1, end), end);
            }
            run = hs_skip_space(bytes, run, end);
        }
        CHECK(run < end && (bytes[run] == ',' || run == end - 1));
        if (run == end - 1) return;
        at = hs_skip_space(bytes, run + 1, end);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    static hs_scan scan; /* used again and again, as a stream of lines does */
    /* A block of its own, so that a byte read behind the text is seen. */
    uint8_t *bytes = malloc(count ? count : 1);
    if (!bytes) return 0;
    memcpy(bytes, data, count);

    CHECK(hs_begin(&scan, bytes, count, 64, 0) == HS_DONE);
    scan.position = hs_skip_space(bytes, 0, count);
    const size_t start = scan.position;
    hs_result result;
    while ((result = hs_scan_value(&scan)) == HS_LARGE_INTEGER || result == HS_LARGE_NUMBER) {
        CHECK(scan.token < scan.position && scan.position <= count);
        if (result == HS_LARGE_INTEGER) CHECK(hs_note_large_integer(&scan));
    }
    CHECK(scan.position <= count && scan.token <= count && scan.depth <= 64);
    if (result == HS_DONE) {
        const size_t end = scan.position;
        CHECK(scan.depth == 0 && scan.key_count == 0 && scan.table_used == 0 && scan.value_count > 0 && end > start);
        for (size_t i = 0; i < scan.table_size; i++) CHECK(scan.table[i] == 0);
        if (bytes[start] == '{' || bytes[start] == '[') {
            CHECK(hs_value_end(bytes, start, count) == end);
            for (size_t size = 1; size < 100; size *= 3) take_apart(bytes, start, end, size);
        } else if (bytes[start] == '"') {
            uint8_t *text = malloc(end - start);
            CHECK(text);
            CHECK(hs_decode(bytes, start + 1, end - 1, text) <= end - start - 2);
            free(text);
        }
    }

    /* In two pieces at every place, a value ends where it ends in one. */
    hs_skip whole = {0};
    size_t end = 0;
    const hs_skip_result expected = hs_skip_value(bytes, &end, count, &whole);
    CHECK(hs_count_lines(bytes, end) == whole.lines && end <= count);
    for (size_t cut = 0; cut <= count && cut < 64; cut++) {
        hs_skip skip = {0};
        size_t at = 0;
        hs_skip_result found = hs_skip_value(bytes, &at, cut, &skip);
        if (found == HS_SKIP_MORE) {
            CHECK(at == cut);
            found = hs_skip_value(bytes, &at, count, &skip);
        }
        CHECK(found == expected && at == end && skip.lines == whole.lines && skip.depth == whole.depth);
    }
    free(bytes);
    return 0;
}
