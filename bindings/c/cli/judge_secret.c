/* judge_secret.c - the key, in whatever spelling a server says it back, is blotted out of a text.
 *
 * Servers echo what they were sent: as it was, escaped for JSON, for an address or for HTML, in base64 (Basic
 * authentication) or hexadecimal, cut into pieces, with blanks between. So a text is decoded in every way that is known,
 * what comes out is decoded again, and letters and digits alone are compared, whatever their case. Each decoded byte
 * remembers which bytes of the text it came from; those are overwritten. */
#include "judge.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE = 8,          /* letters and digits; a shorter piece of a key is no secret */
    SHORTEST = 16,      /* of a key that is one whatever it looks like; "EMPTY" and "none" are not */
    LONGEST = 1 << 14,  /* of a key */
    TABLE = 1 << 13,    /* bits, looked up by the hash of PIECE characters */
    DEPTH = 4,          /* spellings within spellings: an escaped text in base64 in an escaped text, and one more */
    DEEP = 1 << 16,     /* bytes; a longer text is decoded twice, for each way of decoding takes its time, */
    SHALLOW = 1 << 20   /* and an even longer one once: two seconds for the 16 MiB that an answer may have */
};

struct secret {
    char *letters; /* the key's letters and digits in lower case */
    size_t length;
    uint8_t table[TABLE / 8];
};

/* A decoded text, and for each of its bytes where in the original it begins and ends. */
typedef struct {
    char *bytes;
    uint32_t *from, *to;
    size_t size;
} view;

/* ---- the key ----------------------------------------------------------------------------------------------------- */

static uint32_t hash_of(const char *piece)
{
    uint32_t hash = 2166136261u;
    for (int i = 0; i < PIECE; i++) hash = (hash ^ (unsigned char)piece[i]) * 16777619u;
    return (hash ^ hash >> 16) % TABLE;
}

/* Words are no secrets: a piece of a key has letters and digits, or capitals within. */
static bool looks_random(const char *text, size_t size)
{
    bool letter = false, digit = false, small = false, capital = false;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        digit = digit || isdigit(byte);
        letter = letter || isalpha(byte);
        capital = capital || (small && isupper(byte));
        small = small || islower(byte);
    }
    return (letter && digit) || capital;
}

secret *secret_open(const char *key)
{
    size_t size = key == NULL ? 0 : strlen(key);
    secret *secret = calloc(1, sizeof *secret);
    if (secret == NULL) return NULL;
    secret->letters = malloc(size + 1);
    if (secret->letters == NULL) {
        free(secret);
        return NULL;
    }
    for (size_t i = 0; i < size; i++)
        if (isalnum((unsigned char)key[i])) secret->letters[secret->length++] = (char)tolower((unsigned char)key[i]);
    if (secret->length < PIECE || size > LONGEST || (size < SHORTEST && !looks_random(key, size))) secret->length = 0;
    for (size_t i = 0; i + PIECE <= secret->length; i++) {
        uint32_t hash = hash_of(secret->letters + i);
        secret->table[hash / 8] |= (uint8_t)(1u << hash % 8);
    }
    return secret;
}

void secret_free(secret *secret)
{
    if (secret == NULL) return;
    if (secret->letters != NULL) memset(secret->letters, 0, secret->length);
    free(secret->letters);
    free(secret);
}

/* How many characters of `text` follow one another somewhere in the key. */
static size_t match(const secret *secret, const char *text, size_t size)
{
    if (size < PIECE) return 0;
    uint32_t hash = hash_of(text);
    if ((secret->table[hash / 8] >> hash % 8 & 1) == 0) return 0;
    size_t best = 0;
    for (size_t i = 0; i + PIECE <= secret->length; i++) {
        size_t length = 0;
        while (i + length < secret->length && length < size && secret->letters[i + length] == text[length]) length++;
        if (length > best) best = length;
    }
    return best >= PIECE ? best : 0;
}

/* ---- views ------------------------------------------------------------------------------------------------------- */

static bool view_open(view *view, size_t size)
{
    view->size = 0;
    view->bytes = malloc(size + 1);
    view->from = malloc((size + 1) * sizeof *view->from);
    view->to = malloc((size + 1) * sizeof *view->to);
    return view->bytes != NULL && view->from != NULL && view->to != NULL;
}

static void view_free(view *view)
{
    free(view->bytes);
    free(view->from);
    free(view->to);
}

/* `byte` stands for the source's bytes from `first` to `last`. */
static void emit(view *into, char byte, const view *source, size_t first, size_t last)
{
    into->bytes[into->size] = byte;
    into->from[into->size] = source->from[first];
    into->to[into->size++] = source->to[last];
}

static int hex_value(char digit)
{
    const char *digits = "0123456789abcdef", *at = digit == 0 ? NULL : strchr(digits, tolower((unsigned char)digit));
    return at == NULL ? -1 : (int)(at - digits);
}

/* `count` digits of a number to `base`; -1: they are not there. */
static long digits_at(const view *source, size_t at, size_t count, int base)
{
    long value = 0;
    for (size_t i = at; i < at + count; i++) {
        int digit = i < source->size ? hex_value(source->bytes[i]) : -1;
        if (digit < 0 || digit >= base) return -1;
        value = value * base + digit;
    }
    return value;
}

/* "&#115;", "&#x73;", "&amp;": how long, and what it stands for; 0: it is none. */
static size_t html_entity(const view *source, size_t at, long *value)
{
    size_t end = at + 1;
    while (end < source->size && end < at + 12 && (isalnum((unsigned char)source->bytes[end]) || source->bytes[end] == '#')) end++;
    if (end >= source->size || source->bytes[end] != ';' || end == at + 1) return 0;
    *value = ' ';
    if (source->bytes[at + 1] == '#') {
        bool hexadecimal = tolower((unsigned char)source->bytes[at + 2]) == 'x';
        size_t first = at + (hexadecimal ? 3 : 2);
        *value = digits_at(source, first, end - first, hexadecimal ? 16 : 10);
    }
    return *value < 0 ? 0 : end + 1 - at;
}

/* One escape of JSON, C, addresses, mail or HTML at `at`: its length, and what it stands for; 0: none is there. */
static size_t escape_at(const view *source, size_t at, long *value)
{
    const char *bytes = source->bytes;
    char mark = bytes[at], next = at + 1 < source->size ? bytes[at + 1] : 0;
    if (mark == '&') return html_entity(source, at, value);
    if (mark == '%' || mark == '=') return (*value = digits_at(source, at + 1, 2, 16)) < 0 ? 0 : 3;
    if (mark != '\\' || next == 0) return 0;
    if (next == 'u' && (*value = digits_at(source, at + 2, 4, 16)) >= 0) return 6;
    if (next == 'x' && (*value = digits_at(source, at + 2, 2, 16)) >= 0) return 4;
    if ((*value = digits_at(source, at + 1, 3, 8)) >= 0) return 4;
    *value = strchr("nrtbf", next) != NULL ? ' ' : next;
    return 2;
}

static bool unescape(const view *source, view *into)
{
    bool changed = false;
    for (size_t i = 0; i < source->size;) {
        long value = 0;
        size_t length = escape_at(source, i, &value);
        changed = changed || length > 0;
        if (length == 0)
            emit(into, source->bytes[i], source, i, i), i++;
        else
            emit(into, value > 0 && value < 0x80 ? (char)value : ' ', source, i, i + length - 1), i += length;
    }
    return changed;
}

static int base64_value(char digit)
{
    unsigned char byte = (unsigned char)digit;
    return isupper(byte) ? byte - 'A' : islower(byte) ? byte - 'a' + 26 : isdigit(byte) ? byte - '0' + 52
           : byte == '+' || byte == '-' ? 62 : byte == '/' || byte == '_' ? 63 : -1;
}

/* Runs of digits that hold a piece of a key, decoded from their digit `skip` on; a NUL stands between runs. */
static bool decode(const view *source, view *into, int bits, size_t skip)
{
    int (*value_of)(char) = bits == 6 ? base64_value : hex_value;
    const char *between = bits == 6 ? "\r\n" : " :,-\r\n\t"; /* lines of mail; "73:6b" */
    const size_t least = (PIECE * 8 + (size_t)bits - 1) / (size_t)bits;
    for (size_t i = 0; i < source->size;) {
        size_t end = i, digits = 0;
        while (end < source->size) {
            char byte = source->bytes[end];
            bool prefix = bits == 4 && byte == '0' && end + 1 < source->size && source->bytes[end + 1] == 'x'; /* "0x73" */
            if (prefix)
                end += 2;
            else if (value_of(byte) >= 0)
                digits++, end++;
            else if (digits > 0 && byte != 0 && strchr(between, byte) != NULL)
                end++;
            else
                break;
        }
        uint32_t held = 0;
        int width = 0;
        size_t passed = 0, first = i;
        for (size_t at = i; digits >= least && at < end; at++) {
            if (bits == 4 && source->bytes[at] == '0' && at + 1 < end && source->bytes[at + 1] == 'x') {
                at++;
                continue;
            }
            int value = value_of(source->bytes[at]);
            if (value < 0 || passed++ < skip) continue;
            if (width == 0) first = at;
            held = held << bits | (uint32_t)value;
            width += bits;
            if (width < 8) continue;
            width -= 8;
            emit(into, (char)(held >> width & 0xff), source, first, at);
            first = at; /* its other bits belong to the next byte */
        }
        if (digits >= least && into->size < source->size) emit(into, 0, source, i, i);
        i = end > i ? end : i + 1;
    }
    return into->size > 0;
}

/* ---- blotting out ------------------------------------------------------------------------------------------------ */

/* Letters and digits of a view, compared with the key's. false: no memory. */
static bool blot_view(const secret *secret, const view *view, char *text)
{
    char *letters = malloc(view->size + 1), *as_written = malloc(view->size + 1);
    uint32_t *places = malloc((view->size + 1) * sizeof *places);
    bool ready = letters != NULL && as_written != NULL && places != NULL;
    size_t count = 0;
    for (size_t i = 0; ready && i < view->size; i++) {
        unsigned char byte = (unsigned char)view->bytes[i];
        if (byte != 0 && !isalnum(byte)) continue;
        places[count] = (uint32_t)i;
        as_written[count] = (char)byte;
        letters[count++] = (char)tolower(byte);
    }
    for (size_t i = 0; ready && i < count;) {
        size_t length = match(secret, letters + i, count - i);
        if (length > 0 && (length == secret->length || looks_random(as_written + i, length))) {
            uint32_t from = view->from[places[i]], to = view->to[places[i + length - 1]];
            memset(text + from, '*', to - from);
            i += length;
        } else {
            i++;
        }
    }
    free(letters);
    free(as_written);
    free(places);
    return ready;
}

static bool blot(const secret *secret, const view *source, char *text, int depth)
{
    if (!blot_view(secret, source, text)) return false;
    if (depth == 0) return true;
    static const struct {
        int bits; /* 0: escapes */
        size_t skip;
    } ways[] = {{0, 0}, {4, 0}, {4, 1}, {6, 0}, {6, 1}, {6, 2}, {6, 3}};
    bool ready = true;
    for (size_t i = 0; ready && i < sizeof ways / sizeof ways[0]; i++) {
        view decoded;
        ready = view_open(&decoded, source->size);
        bool changed = ready && (ways[i].bits == 0 ? unescape(source, &decoded)
                                                   : decode(source, &decoded, ways[i].bits, ways[i].skip));
        if (changed) ready = blot(secret, &decoded, text, depth - 1);
        view_free(&decoded);
    }
    return ready;
}

bool secret_blot(const secret *secret, char *text, size_t size)
{
    if (secret == NULL || secret->length == 0 || size == 0) return true;
    view whole;
    bool ready = size < UINT32_MAX && view_open(&whole, size);
    if (!ready) return false;
    memcpy(whole.bytes, text, size);
    whole.size = size;
    for (size_t i = 0; i < size; i++) {
        whole.from[i] = (uint32_t)i;
        whole.to[i] = (uint32_t)i + 1;
    }
    ready = blot(secret, &whole, text, size <= DEEP ? DEPTH : size <= SHALLOW ? 2 : 1);
    view_free(&whole);
    return ready;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* All strings of a value behind one another, so that a key whose parts lie in several is seen; or all names. */
typedef struct {
    char *text;
    size_t at;
    bool names, measuring;
} strings;

static void pass_string(strings *strings, const char *text, size_t size)
{
    if (!strings->measuring) memcpy(strings->text + strings->at, text, size);
    strings->at += size;
}

static void collect(strings *strings, json *value)
{
    if (json_object_is_type(value, json_type_string) && !strings->names)
        pass_string(strings, json_object_get_string(value), (size_t)json_object_get_string_len(value));
    for (size_t i = 0; i < length_of(value); i++) collect(strings, json_object_array_get_idx(value, i));
    if (!json_object_is_type(value, json_type_object)) return;
    json_object_object_foreach(value, name, member)
    {
        if (strings->names) pass_string(strings, name, strlen(name));
        collect(strings, member);
    }
}

static void put_back(strings *strings, json *value);

/* Names cannot be changed where they stand: all members are taken out and put back in their order. */
static void put_back_object(strings *strings, json *object)
{
    json *members = json_object_new_array();
    json_object_object_foreach(object, name, member)
    {
        json *pair = json_object_new_array();
        json_object_array_add(pair, json_object_new_string(name));
        json_object_array_add(pair, json_object_get(member));
        json_object_array_add(members, pair);
    }
    for (size_t i = 0; i < length_of(members); i++)
        json_object_object_del(object, json_object_get_string(json_object_array_get_idx(json_object_array_get_idx(members, i), 0)));
    for (size_t i = 0; i < length_of(members); i++) {
        json *pair = json_object_array_get_idx(members, i), *inner = json_object_array_get_idx(pair, 1);
        size_t size = (size_t)json_object_get_string_len(json_object_array_get_idx(pair, 0));
        json *blotted = json_object_new_string_len(strings->text + strings->at, (int)size);
        strings->at += size;
        put_back(strings, inner);
        json_object_object_add(object, json_object_get_string(blotted), json_object_get(inner));
        json_object_put(blotted);
    }
    json_object_put(members);
}

static void put_back(strings *strings, json *value)
{
    if (json_object_is_type(value, json_type_string) && !strings->names) {
        int size = json_object_get_string_len(value);
        json_object_set_string_len(value, strings->text + strings->at, size);
        strings->at += (size_t)size;
    }
    for (size_t i = 0; i < length_of(value); i++) put_back(strings, json_object_array_get_idx(value, i));
    if (!json_object_is_type(value, json_type_object)) return;
    if (strings->names) {
        put_back_object(strings, value);
        return;
    }
    json_object_object_foreach(value, name, member)
    {
        (void)name;
        put_back(strings, member);
    }
}

bool secret_blot_json(const secret *secret, json *value)
{
    if (secret == NULL || secret->length == 0) return true;
    for (int names = 0; names < 2; names++) {
        strings strings = {.names = names == 1, .measuring = true};
        collect(&strings, value);
        size_t size = strings.at;
        if (size == 0) continue;
        strings.text = malloc(2 * size);
        if (strings.text == NULL) return false;
        strings.measuring = false;
        strings.at = 0;
        collect(&strings, value);
        memcpy(strings.text + size, strings.text, size);
        bool ready = secret_blot(secret, strings.text, size);
        bool found = ready && memcmp(strings.text, strings.text + size, size) != 0;
        strings.at = 0;
        if (found) put_back(&strings, value);
        free(strings.text);
        if (!ready) return false;
    }
    return true;
}
