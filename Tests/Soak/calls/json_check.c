/* json_check.c - whether a text is JSON (RFC 8259) in UTF-8; written here, so that it is not the library's own reader that judges. */
#include "calls.h"

#include <string.h>

typedef struct {
    const unsigned char *at, *end;
    const char *fault;
} reader;

static bool wrong(reader *r, const char *fault)
{
    if (r->fault == NULL) r->fault = fault;
    return false;
}

static void skip_blanks(reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) != NULL && *r->at != 0) r->at++;
}

static bool take(reader *r, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0) return false;
    r->at += length;
    return true;
}

static bool read_digits(reader *r)
{
    const unsigned char *start = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
    return r->at > start;
}

static bool read_number(reader *r)
{
    take(r, "-");
    if (!take(r, "0") && !read_digits(r)) return wrong(r, "neither a value nor a number");
    if (take(r, ".") && !read_digits(r)) return wrong(r, "no digit behind the point");
    if ((take(r, "e") || take(r, "E")) && (take(r, "+") || take(r, "-") || true) && !read_digits(r)) return wrong(r, "no exponent");
    return true;
}

/* One character of UTF-8: not longer than needed, no surrogate, not above U+10FFFF. */
static bool read_character(reader *r)
{
    unsigned char first = *r->at;
    int more = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : -1;
    if (more < 0 || r->end - r->at <= more) return wrong(r, "not UTF-8");
    for (int i = 1; i <= more; i++)
        if ((r->at[i] & 0xc0) != 0x80) return wrong(r, "not UTF-8");
    unsigned char second = more > 0 ? r->at[1] : 0;
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
        (first == 0xf4 && second > 0x8f))
        return wrong(r, "not UTF-8");
    r->at += more + 1;
    return true;
}

static bool read_string(reader *r)
{
    if (!take(r, "\"")) return wrong(r, "no string where one must stand");
    while (r->at < r->end && *r->at != '"') {
        if (*r->at < 0x20) return wrong(r, "a control character in a string");
        if (*r->at != '\\') {
            if (!read_character(r)) return false;
            continue;
        }
        r->at++;
        if (r->at < r->end && *r->at == 'u') {
            if (r->end - r->at < 5) return wrong(r, "a short \\u");
            for (int i = 1; i <= 4; i++)
                if (r->at[i] == 0 || strchr("0123456789abcdefABCDEF", r->at[i]) == NULL) return wrong(r, "a bad \\u");
            r->at += 5;
        } else if (r->at < r->end && *r->at != 0 && strchr("\"\\/bfnrt", *r->at) != NULL) {
            r->at++;
        } else {
            return wrong(r, "a bad escape");
        }
    }
    return take(r, "\"") || wrong(r, "a string without an end");
}

static bool read_value(reader *r, int depth)
{
    skip_blanks(r);
    if (depth == 0) return wrong(r, "too deep");
    if (r->at >= r->end) return wrong(r, "no value");
    if (*r->at == '"') return read_string(r);
    if (take(r, "true") || take(r, "false") || take(r, "null")) return true;
    if (*r->at != '{' && *r->at != '[') return read_number(r);
    bool is_object = *r->at++ == '{';
    const char *end = is_object ? "}" : "]";
    skip_blanks(r);
    if (take(r, end)) return true;
    do {
        skip_blanks(r);
        if (is_object) {
            if (!read_string(r)) return false;
            skip_blanks(r);
            if (!take(r, ":")) return wrong(r, "no colon");
        }
        if (!read_value(r, depth - 1)) return false;
        skip_blanks(r);
    } while (take(r, ","));
    return take(r, end) || wrong(r, "an object or array without an end");
}

const char *json_fault(const char *text, size_t size)
{
    reader r = {(const unsigned char *)text, (const unsigned char *)text + size, NULL};
    if (!read_value(&r, 200)) return r.fault;
    skip_blanks(&r);
    return r.at == r.end ? NULL : "more than one value";
}
