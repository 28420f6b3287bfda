/* plain.c - everything that the tool shows to people goes through here.
 *
 * File names, answers, errors and replies come from strangers. A terminal obeys control characters, and characters that
 * turn the direction of writing make a line read as something else. So a format is ours and printed as it stands, and of
 * every text that is put into it control and direction characters become blanks and bytes that are no UTF-8 become "?". */
#include "cli.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* The length of the UTF-8 sequence that `text` begins with, and its code point; 0: it is none. */
static size_t sequence(const char *text, size_t size, uint32_t *point)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xc2 ? 0 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : bytes[0] < 0xf5 ? 4 : 0;
    if (length == 0 || length > size) return 0;
    *point = length == 1 ? bytes[0] : bytes[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) return 0;
        *point = *point << 6 | (bytes[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool is_surrogate = *point >= 0xd800 && *point < 0xe000;
    return *point < least[length] || is_surrogate || *point > 0x10ffff ? 0 : length;
}

/* The beginning of a character whose end is not there: a limit in bytes has cut it. */
static bool is_cut_off(const char *text, size_t size)
{
    unsigned char first = (unsigned char)text[0];
    return first >= 0xc2 && first < 0xf5 && size < (first < 0xe0 ? 2u : first < 0xf0 ? 3u : 4u);
}

/* What a terminal acts on instead of showing it. */
static bool is_command(uint32_t point)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0, 0x1f},           {0x7f, 0x9f},         /* control characters */
                  {0x61c, 0x61c},      {0x200e, 0x200f},     /* marks of direction */
                  {0x2028, 0x202e},    {0x2060, 0x206f},     /* line breaks, embeddings, overrides, isolates */
                  {0xfeff, 0xfeff},    {0xfff9, 0xfffb},     /* byte order mark, annotations */
                  {0xe0000, 0xe007f}};                       /* tags: text that nobody sees */
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (point >= ranges[i].first && point <= ranges[i].last) return true;
    return false;
}

size_t plain_text(char *to, size_t room, const char *from, size_t size, bool keep_lines)
{
    size_t at = 0;
    for (size_t i = 0; i < size && from[i] != 0;) {
        uint32_t point = 0;
        size_t length = sequence(from + i, size - i, &point);
        if (length == 0 && is_cut_off(from + i, size - i)) break;
        bool shown = length > 0 && (!is_command(point) || (keep_lines && (point == '\n' || point == '\t')));
        size_t wanted = shown ? length : 1;
        if (at + wanted >= room) break;
        if (shown)
            memcpy(to + at, from + i, length);
        else
            to[at] = length > 0 ? ' ' : '?';
        at += wanted;
        i += length > 0 ? length : 1;
    }
    if (room > 0) to[at] = 0;
    return at;
}

/* One text through `specification`, such as "%-24.160s". */
static int put_text(FILE *to, const char *specification, const char *text)
{
    int size = snprintf(NULL, 0, specification, text);
    char *laid_out = size < 0 ? NULL : malloc(2 * ((size_t)size + 1));
    if (laid_out == NULL) return 0;
    char *plain = laid_out + size + 1; /* cleaning never lengthens */
    snprintf(laid_out, (size_t)size + 1, specification, text);
    int length = (int)plain_text(plain, (size_t)size + 1, laid_out, (size_t)size, false);
    fputs(plain, to);
    free(laid_out);
    return length;
}

/* What is not a number is a dash, as wide as the number would be. */
static int put_number(FILE *to, const char *specification, double value)
{
    if (!isnan(value)) return fprintf(to, specification, value);
    const char *width = specification + 1 + strspn(specification + 1, "+ #0");
    return fprintf(to, *width == '-' ? "%-*s" : "%*s", abs(atoi(width)), "-");
}

/* printf with its texts cleaned. Widths and precisions that are given as * are written into the specification first. */
static int put(FILE *to, const char *format, va_list values)
{
    int length = 0;
    while (*format != 0) {
        size_t constant = strcspn(format, "%");
        length += (int)fwrite(format, 1, constant, to);
        format += constant;
        if (*format == 0) break;
        char specification[48] = "%";
        size_t used = 1;
        for (format++; strchr("-+ #0123456789.*lz", *format) != NULL && *format != 0 && used < 24; format++) {
            if (*format == '*')
                used += (size_t)snprintf(specification + used, 16, "%d", va_arg(values, int));
            else
                specification[used++] = *format;
        }
        char before = specification[used - 1], kind = *format++;
        specification[used] = kind;
        if (kind == '%')
            length += fputc('%', to) == '%';
        else if (kind == 's')
            length += put_text(to, specification, va_arg(values, const char *));
        else if (strchr("feg", kind) != NULL)
            length += put_number(to, specification, va_arg(values, double));
        else if (before == 'z' || before == 'l') /* size_t and long are equally wide wherever the tool is built */
            length += fprintf(to, specification, va_arg(values, size_t));
        else
            length += fprintf(to, specification, va_arg(values, int));
    }
    return length;
}

int say(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int length = put(stdout, format, values);
    va_end(values);
    return length;
}

void complain(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    complain_with(format, values);
    va_end(values);
}

void complain_with(const char *format, va_list values)
{
    put(stderr, format, values);
}

void say_lines(const char *text)
{
    size_t size = strlen(text) + 1;
    char *plain = malloc(size);
    if (plain == NULL) return;
    plain_text(plain, size, text, size - 1, true);
    fputs(plain, stdout);
    free(plain);
}

void put_json(FILE *to, const char *text, size_t size)
{
    size_t from = 0;
    for (size_t i = 0; i < size;) {
        uint32_t point = 0;
        size_t length = sequence(text + i, size - i, &point);
        if (length > 0 && point >= 0x7f && is_command(point)) {
            fwrite(text + from, 1, i - from, to);
            if (point < 0x10000)
                fprintf(to, "\\u%04x", (unsigned)point);
            else
                fprintf(to, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (point >> 10)), (unsigned)(0xdc00 + (point & 0x3ff)));
            from = i + length;
        }
        i += length > 0 ? length : 1;
    }
    fwrite(text + from, 1, size - from, to);
    fputc('\n', to);
}
