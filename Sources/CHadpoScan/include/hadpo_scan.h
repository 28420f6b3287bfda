/* Checks JSON text (RFC 8259) and finds its parts, at the speed of memory. Nothing here builds a value, prints or recurses;
 * what a text makes it allocate can fail with HS_NO_MEMORY. Swift turns what is answered into errors with line and column. */
#ifndef HADPO_SCAN_H
#define HADPO_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum hs_result {
    HS_DONE = 0,
    /* Questions: hs_scan_value, called again, goes on. `token` is where the number begins, `position` is behind it. */
    HS_LARGE_INTEGER, /* beyond 64 bits */
    HS_LARGE_NUMBER,  /* perhaps beyond the range of a double */
    HS_NO_MEMORY,
    /* Faults: `position` is where the fault lies, `token` where the text that an error shows begins. */
    HS_END_OF_VALUE,
    HS_END_OF_ARRAY,
    HS_END_OF_OBJECT,
    HS_END_OF_STRING,
    HS_END_OF_ESCAPE,
    HS_END_OF_UNICODE_ESCAPE,
    HS_NO_VALUE,
    HS_NO_TRUE,
    HS_NO_FALSE,
    HS_NO_NULL,
    HS_NO_NUMBER,
    HS_NO_KEY,
    HS_NO_COLON,
    HS_BROKEN_ARRAY,
    HS_BROKEN_OBJECT,
    HS_TOO_DEEP,
    HS_DUPLICATE_KEY,
    HS_KEY_WITH_NUL,
    HS_CONTROL_CHARACTER,
    HS_UNKNOWN_ESCAPE,
    HS_BROKEN_UNICODE_ESCAPE,
    HS_HALF_SURROGATE_PAIR,
    HS_NO_UTF8
} hs_result;

/* An array or object that is open. */
typedef struct hs_level {
    size_t start;              /* its bracket */
    size_t index;              /* of the element or member that is being read */
    size_t key_start, key_end; /* of an object's member, between the quotes */
    size_t first_key;
    bool is_object;
    bool has_key; /* false before the first key has been read, and while the next one is */
    bool is_hashed;
} hs_level;

/* A key of an object that is open. */
typedef struct hs_key {
    uint32_t start, length; /* of the text between the quotes */
    uint64_t hash;          /* of the text that it stands for; its lowest bits are HS_KEY_... */
} hs_key;

/* An array, object or string of more than HS_LARGE bytes. */
typedef struct hs_span {
    size_t start, end;
    size_t count; /* elements or members */
} hs_span;

enum { HS_LARGE = 1 << 16 };

typedef struct hs_scan {
    const uint8_t *bytes;
    size_t count; /* below 4 GiB: larger texts are refused before */
    size_t position;
    size_t token;
    bool is_behind_value; /* a question was asked: go on behind the number */

    size_t depth, base_depth, depth_limit;
    hs_level *levels;
    size_t level_capacity;

    hs_key *keys; /* innermost object last */
    size_t key_count, key_capacity;
    /* Of objects with more than a few keys, in open addressing: the hash's upper half and the number of the key + 1; 0 where there
     * is none. */
    uint64_t *table;
    size_t table_size, table_used;
    uint64_t seed[2];
    bool has_seed;
    uint8_t *scratch;
    size_t scratch_capacity;

    hs_span *spans; /* in the order of their ends */
    size_t span_count, span_capacity;

    size_t *large_integers; /* behind those that were answered to the question with hs_note_large_integer */
    size_t large_integer_count, large_integer_capacity;

    size_t value_count; /* for an estimate of what the values take when they are built */
    size_t text_bytes;  /* of strings and keys that are too long to lie within their value */
} hs_scan;

void hs_init(hs_scan *scan);
void hs_free(hs_scan *scan);

/* Another text; the memory of the one before is used again. The first `base_depth` levels (0 or 1) are open from the start:
 * an element of an array is read with 1. */
hs_result hs_begin(hs_scan *scan, const uint8_t *bytes, size_t count, size_t depth_limit, size_t base_depth);

/* Checks the value that begins at `position`, which is behind it at HS_DONE. */
hs_result hs_scan_value(hs_scan *scan);

/* After HS_LARGE_INTEGER: notes where it ends. False without memory. */
bool hs_note_large_integer(hs_scan *scan);

/* The first byte from `position` on that is no white space. */
size_t hs_skip_space(const uint8_t *bytes, size_t position, size_t count);

/* ---- text that has passed hs_scan_value --------------------------------------------------------------------------- */

/* From `position`, an element of an array or a key of an object, over whole elements or members of together at most `size`
 * bytes: answers the comma or bracket behind the last of them, `position` if the first is larger than that. */
size_t hs_run_of_elements(const uint8_t *bytes, size_t position, size_t count, size_t size);

/* Behind the value at `position`. */
size_t hs_value_end(const uint8_t *bytes, size_t position, size_t count);

/* What a string's text between its quotes stands for, written to `out`, which has room for as many bytes; answers how many. */
size_t hs_decode(const uint8_t *bytes, size_t start, size_t end, uint8_t *out);

/* ---- any text, piece by piece ------------------------------------------------------------------------------------- */

/* Follows brackets and strings only. Begins as zeroes. */
typedef struct hs_skip {
    size_t depth;
    size_t lines; /* newlines passed so far */
    bool in_string, is_escaped;
} hs_skip;

typedef enum hs_skip_result {
    HS_SKIP_MORE = 0,  /* the bytes end within the value */
    HS_SKIP_CLOSED,    /* the position is behind a string's quote or a bracket */
    HS_SKIP_DELIMITER, /* a comma, a bracket of a container around, or white space behind a number or word */
} hs_skip_result;

hs_skip_result hs_skip_value(const uint8_t *bytes, size_t *position, size_t count, hs_skip *skip);

/* Newlines among the bytes. */
size_t hs_count_lines(const uint8_t *bytes, size_t count);

#endif
