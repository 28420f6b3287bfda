/* Where a run of ordinary bytes ends, sixteen or eight at a time. */
#ifndef HADPO_SCAN_BYTES_H
#define HADPO_SCAN_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static inline bool hs_is_space(uint8_t byte)
{
    return byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09;
}

static inline bool hs_is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') < 10;
}

static inline size_t hs_space(const uint8_t *bytes, size_t position, size_t count)
{
    while (position < count && hs_is_space(bytes[position])) position++;
    return position;
}

#if !defined(__SSE2__)
/* The high bit of each byte of `word` that is zero; bytes above the lowest such may be marked wrongly. */
static inline uint64_t hs_zero_bytes(uint64_t word)
{
    return (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
}

static inline uint64_t hs_load(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

#define HS_EVERY(byte) ((uint64_t)(byte) * 0x0101010101010101u)
#endif

/* The first byte of a string that is not ASCII text: a quote, a backslash, below 0x20 or above 0x7F. */
static inline size_t hs_plain(const uint8_t *bytes, size_t position, size_t count)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(0x20);
    for (; count - position >= 16; position += 16) {
        const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(bytes + position));
        /* Bytes are signed here: those above 0x7F are less than a space as well. */
        const __m128i found = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash)),
                                           _mm_cmplt_epi8(block, space));
        const unsigned mask = (unsigned)_mm_movemask_epi8(found);
        if (mask) return position + (size_t)__builtin_ctz(mask);
    }
#else
    for (; count - position >= 8; position += 8) {
        const uint64_t word = hs_load(bytes + position);
        const uint64_t low = (word - HS_EVERY(0x20)) & ~word;
        if (((low | word) & HS_EVERY(0x80)) | hs_zero_bytes(word ^ HS_EVERY('"')) | hs_zero_bytes(word ^ HS_EVERY('\\'))) break;
    }
#endif
    while (position < count) {
        const uint8_t byte = bytes[position];
        if (byte == '"' || byte == '\\' || byte < 0x20 || byte > 0x7F) break;
        position++;
    }
    return position;
}

/* The first quote or backslash. */
static inline size_t hs_quote(const uint8_t *bytes, size_t position, size_t count)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    for (; count - position >= 16; position += 16) {
        const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(bytes + position));
        const __m128i found = _mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash));
        const unsigned mask = (unsigned)_mm_movemask_epi8(found);
        if (mask) return position + (size_t)__builtin_ctz(mask);
    }
#else
    for (; count - position >= 8; position += 8) {
        const uint64_t word = hs_load(bytes + position);
        if (hs_zero_bytes(word ^ HS_EVERY('"')) | hs_zero_bytes(word ^ HS_EVERY('\\'))) break;
    }
#endif
    while (position < count && bytes[position] != '"' && bytes[position] != '\\') position++;
    return position;
}

/* Four hexadecimal digits, or -1. */
static inline int32_t hs_hexadecimal(const uint8_t *digits)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        const uint8_t byte = digits[i], letter = byte | 0x20;
        int32_t digit;
        if (hs_is_digit(byte)) digit = byte - '0';
        else if (letter >= 'a' && letter <= 'f') digit = letter - 'a' + 10;
        else return -1;
        value = value << 4 | digit;
    }
    return value;
}

#endif
