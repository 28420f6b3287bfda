/* The grammar. */
#include "hadpo_scan.h"
#include "bytes.h"
#include "keys.h"

#include <stdlib.h>

void hs_init(hs_scan *scan)
{
    memset(scan, 0, sizeof *scan);
}

void hs_free(hs_scan *scan)
{
    free(scan->levels);
    free(scan->keys);
    free(scan->table);
    free(scan->scratch);
    free(scan->spans);
    free(scan->large_integers);
    hs_init(scan);
}

hs_result hs_begin(hs_scan *scan, const uint8_t *bytes, size_t count, size_t depth_limit, size_t base_depth)
{
    scan->bytes = bytes;
    scan->count = count;
    scan->position = scan->token = 0;
    scan->is_behind_value = false;
    scan->depth_limit = depth_limit;
    scan->depth = scan->base_depth = 0;
    scan->key_count = scan->span_count = scan->large_integer_count = scan->value_count = scan->text_bytes = 0;
    if (scan->table_used > 0) memset(scan->table, 0, scan->table_size * sizeof *scan->table);
    scan->table_used = 0;
    if (count > UINT32_MAX) return HS_NO_MEMORY;
    if (!hs_grow((void **)&scan->levels, &scan->level_capacity, base_depth + 1, sizeof *scan->levels)) return HS_NO_MEMORY;
    for (size_t i = 0; i < base_depth; i++) scan->levels[i] = (hs_level){0};
    scan->depth = scan->base_depth = base_depth;
    return HS_DONE;
}

bool hs_note_large_integer(hs_scan *scan)
{
    if (!hs_grow((void **)&scan->large_integers, &scan->large_integer_capacity, scan->large_integer_count + 1, sizeof(size_t)))
        return false;
    scan->large_integers[scan->large_integer_count++] = scan->position;
    return true;
}

size_t hs_skip_space(const uint8_t *bytes, size_t position, size_t count)
{
    return hs_space(bytes, position, count);
}

static bool is_word(uint8_t byte)
{
    const uint8_t letter = byte | 0x20;
    return (letter >= 'a' && letter <= 'z') || hs_is_digit(byte) || byte == '_';
}

/* Well-formed UTF-8 after Unicode table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF. 0: it is not. */
static size_t utf8_length(const uint8_t *bytes, size_t room)
{
    const uint8_t lead = bytes[0];
    uint8_t low = 0x80, high = 0xBF;
    size_t length;
    if (lead >= 0xC2 && lead <= 0xDF) length = 2;
    else if (lead >= 0xE0 && lead <= 0xEF) length = 3;
    else if (lead >= 0xF0 && lead <= 0xF4) length = 4;
    else return 0;
    if (room < length) return 0;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    if (bytes[1] < low || bytes[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if ((bytes[i] & 0xC0) != 0x80) return 0;
    return length;
}

/* From the backslash at `p`: 0 and the code in *fault, or the length of the escape. */
static size_t escape_length(hs_scan *scan, size_t p, hs_result *fault)
{
    const uint8_t *b = scan->bytes;
    const size_t n = scan->count;
    if (n - p < 2) return *fault = HS_END_OF_ESCAPE, 0;
    switch (b[p + 1]) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't': return 2;
    case 'u': break;
    default: return scan->token = p + 1, *fault = HS_UNKNOWN_ESCAPE, 0;
    }
    scan->token = p;
    if (n - p < 6) return *fault = HS_END_OF_UNICODE_ESCAPE, 0;
    const int32_t unit = hs_hexadecimal(b + p + 2);
    if (unit < 0) return *fault = HS_BROKEN_UNICODE_ESCAPE, 0;
    if (unit < 0xD800 || unit > 0xDFFF) return 6;
    if (unit > 0xDBFF || n - p < 8 || b[p + 6] != '\\' || b[p + 7] != 'u') return *fault = HS_HALF_SURROGATE_PAIR, 0;
    if (n - p < 12) return *fault = HS_END_OF_UNICODE_ESCAPE, 0;
    const int32_t second = hs_hexadecimal(b + p + 8);
    if (second < 0) return scan->token = p + 6, *fault = HS_BROKEN_UNICODE_ESCAPE, 0;
    if (second < 0xDC00 || second > 0xDFFF) return *fault = HS_HALF_SURROGATE_PAIR, 0;
    return 12;
}

/* From the opening quote at *position to behind the closing one. */
static hs_result scan_string(hs_scan *scan, size_t *position, bool *is_escaped, bool *has_nul)
{
    const uint8_t *b = scan->bytes;
    const size_t n = scan->count;
    size_t p = *position + 1;
    hs_result fault = HS_DONE;
    *is_escaped = *has_nul = false;
    for (;;) {
        p = hs_plain(b, p, n);
        if (p == n) {
            fault = HS_END_OF_STRING;
            break;
        }
        const uint8_t byte = b[p];
        if (byte == '"') {
            p++;
            break;
        }
        if (byte == '\\') {
            const size_t length = escape_length(scan, p, &fault);
            if (length == 0) break;
            if (length == 6 && memcmp(b + p + 2, "0000", 4) == 0) *has_nul = true;
            *is_escaped = true;
            p += length;
            continue;
        }
        scan->token = p;
        if (byte < 0x20) {
            fault = HS_CONTROL_CHARACTER;
            break;
        }
        do {
            const size_t length = utf8_length(b + p, n - p);
            if (length == 0) {
                scan->token = p;
                fault = HS_NO_UTF8;
                break;
            }
            p += length;
        } while (p < n && b[p] > 0x7F);
        if (fault) break;
    }
    *position = p;
    return fault;
}

/* True if the digits, without leading zeros, are an integer of 64 bits. */
static bool fits(const uint8_t *digits, size_t count, bool is_negative)
{
    if (count < 19) return true;
    if (count > 19) return false;
    uint64_t value = 0; /* nineteen digits are less than 2^64 */
    for (size_t i = 0; i < count; i++) value = value * 10 + (uint64_t)(digits[i] - '0');
    return value <= (uint64_t)INT64_MAX + (is_negative ? 1 : 0);
}

/* A fault leaves *position where the number begins. */
static hs_result scan_number(hs_scan *scan, size_t *position)
{
    const uint8_t *b = scan->bytes;
    const size_t n = scan->count, start = *position;
    size_t p = start;
    scan->token = start;
    const bool is_negative = b[p] == '-';
    if (is_negative) p++;
    const size_t digits = p;
    while (p < n && hs_is_digit(b[p])) p++;
    const size_t integer_digits = p - digits;
    if (integer_digits == 0 || (integer_digits > 1 && b[digits] == '0')) return HS_NO_NUMBER;
    bool is_integer = true;
    if (p < n && b[p] == '.') {
        const size_t fraction = ++p;
        while (p < n && hs_is_digit(b[p])) p++;
        if (p == fraction) return HS_NO_NUMBER;
        is_integer = false;
    }
    size_t exponent = 0; /* of ten, without its sign; large is large enough */
    bool is_small = false;
    if (p < n && (b[p] | 0x20) == 'e') {
        p++;
        if (p < n && (b[p] == '+' || b[p] == '-')) is_small = b[p++] == '-';
        const size_t first = p;
        for (; p < n && hs_is_digit(b[p]); p++)
            if (exponent < 100000) exponent = exponent * 10 + (size_t)(b[p] - '0');
        if (p == first) return HS_NO_NUMBER;
        is_integer = false;
    }
    if (p < n && (is_word(b[p]) || b[p] == '.')) return HS_NO_NUMBER;
    *position = p;
    if (is_integer) return fits(b + digits, integer_digits, is_negative) ? HS_DONE : HS_LARGE_INTEGER;
    /* The number is below ten to the power of its digits and exponent, a double reaches 1.8e308. */
    return integer_digits + (is_small ? 0 : exponent) > 308 ? HS_LARGE_NUMBER : HS_DONE;
}

static bool scan_word(const hs_scan *scan, size_t *position, const char *word, size_t length)
{
    const size_t p = *position;
    if (scan->count - p < length || memcmp(scan->bytes + p, word, length) != 0) return false;
    if (p + length < scan->count && is_word(scan->bytes[p + length])) return false;
    *position = p + length;
    return true;
}

static bool note_span(hs_scan *scan, size_t start, size_t end, size_t count)
{
    if (end - start <= HS_LARGE) return true;
    if (!hs_grow((void **)&scan->spans, &scan->span_capacity, scan->span_count + 1, sizeof *scan->spans)) return false;
    scan->spans[scan->span_count++] = (hs_span){start, end, count};
    return true;
}

static bool open_level(hs_scan *scan, size_t start, bool is_object)
{
    if (!hs_grow((void **)&scan->levels, &scan->level_capacity, scan->depth + 1, sizeof *scan->levels)) return false;
    scan->levels[scan->depth++] = (hs_level){.start = start, .first_key = scan->key_count, .is_object = is_object};
    return true;
}

hs_result hs_scan_value(hs_scan *scan)
{
    const uint8_t *b = scan->bytes;
    const size_t n = scan->count;
    size_t p = scan->position;
    hs_level *level;
    hs_result result = HS_DONE;
    bool is_escaped, has_nul;
    size_t start;

    if (scan->is_behind_value) {
        scan->is_behind_value = false;
        goto behind_value;
    }

value:
    scan->token = p;
    if (p >= n) {
        result = HS_END_OF_VALUE;
        goto stop;
    }
    scan->value_count++;
    switch (b[p]) {
    case '{':
    case '[':
        if (scan->depth >= scan->depth_limit) {
            result = HS_TOO_DEEP;
            goto stop;
        }
        start = p;
        const bool is_object = b[p] == '{';
        p = hs_space(b, p + 1, n);
        if (p < n && b[p] == (is_object ? '}' : ']')) {
            p++;
            if (!note_span(scan, start, p, 0)) goto no_memory;
            goto behind_value;
        }
        if (!open_level(scan, start, is_object)) goto no_memory;
        scan->text_bytes += 64; /* the block of its elements and what the allocator adds */
        if (is_object) goto key;
        goto value;
    case '"':
        start = p;
        result = scan_string(scan, &p, &is_escaped, &has_nul);
        if (result) goto stop;
        if (p - start > 17) scan->text_bytes += p - start + 64;
        if (!note_span(scan, start, p, 0)) goto no_memory;
        goto behind_value;
    case '-':
    case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        result = scan_number(scan, &p);
        if (result) {
            scan->is_behind_value = result != HS_NO_NUMBER;
            goto stop;
        }
        goto behind_value;
    case 't':
        if (scan_word(scan, &p, "true", 4)) goto behind_value;
        result = HS_NO_TRUE;
        goto stop;
    case 'f':
        if (scan_word(scan, &p, "false", 5)) goto behind_value;
        result = HS_NO_FALSE;
        goto stop;
    case 'n':
        if (scan_word(scan, &p, "null", 4)) goto behind_value;
        result = HS_NO_NULL;
        goto stop;
    default:
        result = HS_NO_VALUE;
        goto stop;
    }

key:
    level = &scan->levels[scan->depth - 1];
    level->has_key = false;
    scan->token = start = p;
    if (p >= n || b[p] != '"') {
        result = HS_NO_KEY;
        goto stop;
    }
    result = scan_string(scan, &p, &is_escaped, &has_nul);
    if (result) goto stop;
    level->has_key = true;
    level->key_start = start + 1;
    level->key_end = p - 1;
    if (p - start > 17) scan->text_bytes += p - start + 64;
    result = has_nul ? HS_KEY_WITH_NUL : hs_add_key(scan, level, is_escaped);
    if (result) {
        scan->token = p = start;
        goto stop;
    }
    p = hs_space(b, p, n);
    scan->token = p;
    if (p >= n || b[p] != ':') {
        result = HS_NO_COLON;
        goto stop;
    }
    p = hs_space(b, p + 1, n);
    goto value;

behind_value:
    if (scan->depth == scan->base_depth) goto stop;
    level = &scan->levels[scan->depth - 1];
    p = hs_space(b, p, n);
    scan->token = p;
    if (p >= n) {
        result = level->is_object ? HS_END_OF_OBJECT : HS_END_OF_ARRAY;
        goto stop;
    }
    if (b[p] == ',') {
        level->index++;
        p = hs_space(b, p + 1, n);
        if (level->is_object) goto key;
        goto value;
    }
    if (b[p] != (level->is_object ? '}' : ']')) {
        result = level->is_object ? HS_BROKEN_OBJECT : HS_BROKEN_ARRAY;
        goto stop;
    }
    p++;
    if (!note_span(scan, level->start, p, level->index + 1)) goto no_memory;
    if (level->is_object) hs_forget_keys(scan, level);
    scan->depth--;
    goto behind_value;

no_memory:
    result = HS_NO_MEMORY;
stop:
    scan->position = p;
    return result;
}
