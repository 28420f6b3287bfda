#include "keys.h"
#include "bytes.h"

#include <stdlib.h>
#include <sys/random.h>

/* Small objects compare each key with those before; larger ones have a table. */
enum { FEW_KEYS = 16 };

/* The lowest bits of hs_key.hash. */
enum { IS_ESCAPED = 1, IS_HASHED = 2, FLAGS = 3 };

bool hs_grow(void **array, size_t *capacity, size_t count, size_t size)
{
    if (count <= *capacity) return true;
    const size_t wanted = count < 8 ? 16 : count * 2; /* counts are below 2^32 */
    void *larger = realloc(*array, wanted * size);
    if (!larger) return false;
    *array = larger;
    *capacity = wanted;
    return true;
}

static uint64_t rotated(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

/* SipHash-1-3 (Aumasson and Bernstein): who does not know the seed cannot choose keys that collide. */
static uint64_t siphash(const uint64_t seed[2], const uint8_t *bytes, size_t count)
{
    uint64_t v0 = seed[0] ^ 0x736f6d6570736575u, v1 = seed[1] ^ 0x646f72616e646f6du;
    uint64_t v2 = seed[0] ^ 0x6c7967656e657261u, v3 = seed[1] ^ 0x7465646279746573u;
#define ROUND()                                                                                                              \
    do {                                                                                                                     \
        v0 += v1; v1 = rotated(v1, 13) ^ v0; v0 = rotated(v0, 32);                                                           \
        v2 += v3; v3 = rotated(v3, 16) ^ v2;                                                                                 \
        v0 += v3; v3 = rotated(v3, 21) ^ v0;                                                                                 \
        v2 += v1; v1 = rotated(v1, 17) ^ v2; v2 = rotated(v2, 32);                                                           \
    } while (0)
    size_t at = 0;
    uint64_t word;
    for (; count - at >= 8; at += 8) {
        memcpy(&word, bytes + at, 8);
        v3 ^= word;
        ROUND();
        v0 ^= word;
    }
    word = (uint64_t)count << 56;
    for (size_t i = 0; at + i < count; i++) word |= (uint64_t)bytes[at + i] << (8 * i);
    v3 ^= word;
    ROUND();
    v0 ^= word;
    v2 ^= 0xff;
    ROUND();
    ROUND();
    ROUND();
#undef ROUND
    return v0 ^ v1 ^ v2 ^ v3;
}

static void take_seed(hs_scan *scan)
{
    if (scan->has_seed) return;
    if (getrandom(scan->seed, sizeof scan->seed, GRND_NONBLOCK) != (ssize_t)sizeof scan->seed) {
        /* A system that has no randomness yet: addresses are at least not the same everywhere. */
        scan->seed[0] = (uint64_t)(uintptr_t)scan * 0x9E3779B97F4A7C15u;
        scan->seed[1] = (uint64_t)(uintptr_t)scan->keys ^ (uint64_t)(uintptr_t)scan->bytes;
    }
    scan->has_seed = true;
}

/* The text that key `key` stands for, in *text: where it lies, or decoded in the scratch memory. False without memory. */
static bool decoded(hs_scan *scan, const hs_key *key, const uint8_t **text, size_t *count)
{
    *text = scan->bytes + key->start;
    *count = key->length;
    if (!(key->hash & IS_ESCAPED)) return true;
    if (!hs_grow((void **)&scan->scratch, &scan->scratch_capacity, key->length, 1)) return false;
    *count = hs_decode(scan->bytes, key->start, (size_t)key->start + key->length, scan->scratch);
    *text = scan->scratch;
    return true;
}

/* Whether two keys stand for the same text, one of which has been decoded to `text`. */
static bool is_same(const hs_scan *scan, const hs_key *key, const uint8_t *text, size_t count)
{
    const uint8_t *raw = scan->bytes + key->start;
    if (!(key->hash & IS_ESCAPED)) return key->length == count && memcmp(raw, text, count) == 0;
    size_t at = 0, done = 0;
    while (at < key->length) {
        /* An escape stands for at most four bytes. */
        uint8_t piece[4];
        size_t length = 1, next = at + 1;
        piece[0] = raw[at];
        if (raw[at] == '\\') {
            next = at + (raw[at + 1] != 'u' ? 2 : 6);
            const int32_t unit = raw[at + 1] == 'u' ? hs_hexadecimal(raw + at + 2) : 0;
            if (unit >= 0xD800 && unit <= 0xDBFF) next += 6;
            length = hs_decode(raw, at, next, piece);
        }
        if (count - done < length || memcmp(text + done, piece, length) != 0) return false;
        done += length;
        at = next;
    }
    return done == count;
}

static uint64_t entry(uint64_t hash, size_t number)
{
    return (hash & ~(uint64_t)UINT32_MAX) | (uint32_t)(number + 1);
}

static hs_result put(hs_scan *scan, size_t number, const uint8_t *text, size_t count)
{
    hs_key *key = &scan->keys[number];
    const uint64_t hash = siphash(scan->seed, text, count) & ~(uint64_t)FLAGS;
    key->hash = hash | (key->hash & IS_ESCAPED) | IS_HASHED;
    size_t slot = (hash >> 2) & (scan->table_size - 1);
    for (; scan->table[slot]; slot = (slot + 1) & (scan->table_size - 1)) {
        if ((scan->table[slot] ^ hash) >> 32) continue; /* most of all neighbours, without a look at their keys */
        const hs_key *other = &scan->keys[(uint32_t)scan->table[slot] - 1];
        /* The table holds the keys of all objects that are open; those of this one have the highest numbers. */
        if ((other->hash & ~(uint64_t)FLAGS) == hash && (size_t)(other - scan->keys) >= scan->levels[scan->depth - 1].first_key
            && is_same(scan, other, text, count))
            return HS_DUPLICATE_KEY;
    }
    scan->table[slot] = entry(hash, number);
    scan->table_used++;
    return HS_DONE;
}

/* At most half full. Keys are put in in the order of their numbers, which `hs_forget_keys` relies on. */
static bool grow_table(hs_scan *scan)
{
    if (scan->table_used + 1 <= scan->table_size / 2) return true;
    const size_t size = scan->table_size ? scan->table_size * 4 : 64;
    uint64_t *larger = calloc(size, sizeof *larger);
    if (!larger) return false;
    for (size_t i = 0; i < scan->key_count; i++) {
        if (!(scan->keys[i].hash & IS_HASHED)) continue;
        size_t slot = (scan->keys[i].hash >> 2) & (size - 1);
        while (larger[slot]) slot = (slot + 1) & (size - 1);
        larger[slot] = entry(scan->keys[i].hash, i);
    }
    free(scan->table);
    scan->table = larger;
    scan->table_size = size;
    return true;
}

hs_result hs_add_key(hs_scan *scan, hs_level *level, bool is_escaped)
{
    if (!hs_grow((void **)&scan->keys, &scan->key_capacity, scan->key_count + 1, sizeof *scan->keys)) return HS_NO_MEMORY;
    const size_t number = scan->key_count++;
    scan->keys[number] =
        (hs_key){(uint32_t)level->key_start, (uint32_t)(level->key_end - level->key_start), is_escaped ? IS_ESCAPED : 0};
    const uint8_t *text;
    size_t count;
    if (!level->is_hashed && number - level->first_key < FEW_KEYS) {
        if (!decoded(scan, &scan->keys[number], &text, &count)) return HS_NO_MEMORY;
        for (size_t i = level->first_key; i < number; i++)
            if (is_same(scan, &scan->keys[i], text, count)) return HS_DUPLICATE_KEY;
        return HS_DONE;
    }
    take_seed(scan);
    const size_t first = level->is_hashed ? number : level->first_key;
    level->is_hashed = true;
    for (size_t i = first; i <= number; i++) {
        if (!grow_table(scan) || !decoded(scan, &scan->keys[i], &text, &count)) return HS_NO_MEMORY;
        const hs_result result = put(scan, i, text, count);
        if (result) return result;
    }
    return HS_DONE;
}

void hs_forget_keys(hs_scan *scan, hs_level *level)
{
    /* The table of the only large object that is open is emptied at once, unless that is more than its keys are. */
    const size_t count = scan->key_count - level->first_key;
    if (level->is_hashed && scan->table_used == count && scan->table_size <= 32 * count) {
        memset(scan->table, 0, scan->table_size * sizeof *scan->table);
        scan->table_used = 0;
        scan->key_count = level->first_key;
        return;
    }
    while (scan->key_count > level->first_key) {
        const size_t number = --scan->key_count;
        if (!(scan->keys[number].hash & IS_HASHED)) continue;
        /* The last that came is the first to go: nothing was put in past its slot, so that no other search is cut short. */
        size_t slot = (scan->keys[number].hash >> 2) & (scan->table_size - 1);
        while ((uint32_t)scan->table[slot] != number + 1) slot = (slot + 1) & (scan->table_size - 1);
        scan->table[slot] = 0;
        scan->table_used--;
    }
}
