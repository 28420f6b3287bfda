/* Parts of a text: where values end, what strings stand for. */
#include "hadpo_scan.h"
#include "bytes.h"

size_t hs_count_lines(const uint8_t *bytes, size_t count)
{
    size_t lines = 0, position = 0;
#if defined(__SSE2__)
    const __m128i newline = _mm_set1_epi8(0x0A);
    for (; count - position >= 16; position += 16) {
        const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(bytes + position));
        lines += (size_t)__builtin_popcount((unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(block, newline)));
    }
#endif
    for (; position < count; position++) lines += bytes[position] == 0x0A;
    return lines;
}

/* ---- text that has passed hs_scan_value --------------------------------------------------------------------------- */

/* Behind the string whose opening quote is at `position`. */
static size_t string_end(const uint8_t *bytes, size_t position, size_t count)
{
    for (position++; (position = hs_quote(bytes, position, count)) < count;) {
        if (bytes[position] == '"') return position + 1;
        position = count - position < 2 ? count : position + 2;
    }
    return count;
}

size_t hs_run_of_elements(const uint8_t *bytes, size_t position, size_t count, size_t size)
{
    const size_t start = position;
    size_t behind = start, depth = 0;
    while (position < count && position - start <= size) {
        switch (bytes[position]) {
        case '"': position = string_end(bytes, position, count); continue;
        case '{': case '[': depth++; break;
        case '}': case ']':
            if (depth == 0) return position;
            depth--;
            break;
        case ',':
            if (depth == 0) behind = position;
            break;
        default: break;
        }
        position++;
    }
    return behind;
}

size_t hs_value_end(const uint8_t *bytes, size_t position, size_t count)
{
    hs_skip skip = {0};
    hs_skip_value(bytes, &position, count, &skip);
    return position;
}

/* Writes a scalar as UTF-8. */
static size_t put_scalar(uint32_t scalar, uint8_t *out)
{
    if (scalar < 0x80) return out[0] = (uint8_t)scalar, 1;
    if (scalar < 0x800) {
        out[0] = (uint8_t)(0xC0 | scalar >> 6);
        out[1] = (uint8_t)(0x80 | (scalar & 0x3F));
        return 2;
    }
    if (scalar < 0x10000) {
        out[0] = (uint8_t)(0xE0 | scalar >> 12);
        out[1] = (uint8_t)(0x80 | (scalar >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (scalar & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | scalar >> 18);
    out[1] = (uint8_t)(0x80 | (scalar >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (scalar >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (scalar & 0x3F));
    return 4;
}

size_t hs_decode(const uint8_t *bytes, size_t start, size_t end, uint8_t *out)
{
    size_t done = 0;
    while (start < end) {
        /* Within a checked string the next backslash is an escape; quotes do not occur. */
        const uint8_t *found = memchr(bytes + start, '\\', end - start);
        const size_t plain = found ? (size_t)(found - bytes) - start : end - start;
        memcpy(out + done, bytes + start, plain);
        done += plain;
        start += plain;
        if (end - start < 2) break;
        const uint8_t letter = bytes[start + 1];
        if (letter != 'u') {
            out[done++] = letter == 'b' ? 8 : letter == 'f' ? 12 : letter == 'n' ? 10 : letter == 'r' ? 13 : letter == 't' ? 9 : letter;
            start += 2;
            continue;
        }
        if (end - start < 6) break;
        uint32_t scalar = (uint32_t)hs_hexadecimal(bytes + start + 2);
        start += 6;
        if (scalar >= 0xD800 && scalar <= 0xDBFF && end - start >= 6) {
            scalar = 0x10000 + ((scalar - 0xD800) << 10) + ((uint32_t)hs_hexadecimal(bytes + start + 2) - 0xDC00);
            start += 6;
        }
        done += put_scalar(scalar, out + done);
    }
    return done;
}

/* ---- any text, piece by piece ------------------------------------------------------------------------------------- */

hs_skip_result hs_skip_value(const uint8_t *bytes, size_t *position, size_t count, hs_skip *skip)
{
    size_t p = *position, depth = skip->depth;
    const size_t start = p;
    hs_skip_result result = HS_SKIP_MORE;
    bool in_string = skip->in_string;
    if (skip->is_escaped && p < count) {
        p++;
        skip->is_escaped = false;
    }
    while (p < count) {
        if (in_string) {
            p = hs_quote(bytes, p, count);
            if (p == count) break;
            if (bytes[p] == '"') {
                p++;
                in_string = false;
                if (depth == 0) {
                    result = HS_SKIP_CLOSED;
                    break;
                }
                continue;
            }
            if (count - p < 2) {
                p = count;
                skip->is_escaped = true;
                break;
            }
            p += 2;
            continue;
        }
        switch (bytes[p]) {
        case '"': in_string = true; break;
        case '{': case '[': depth++; break;
        case '}': case ']':
            if (depth == 0) {
                result = HS_SKIP_DELIMITER;
                goto stop;
            }
            if (--depth == 0) {
                p++;
                result = HS_SKIP_CLOSED;
                goto stop;
            }
            break;
        case ',': case 0x20: case 0x09: case 0x0A: case 0x0D:
            if (depth == 0) {
                result = HS_SKIP_DELIMITER;
                goto stop;
            }
            break;
        default: break;
        }
        p++;
    }
stop:
    skip->lines += hs_count_lines(bytes + start, p - start);
    skip->depth = depth;
    skip->in_string = in_string;
    *position = p;
    return result;
}
