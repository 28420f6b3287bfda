/* judge_key.c - the name of what is asked: SHA-256 over the body's bytes, so that nothing is asked twice.
 *
 * Everything in the body counts, model, messages and sampling parameters, and nothing else does. */
#include "judge.h"

#include <stdio.h>
#include <string.h>

/* FIPS 180-4. */
typedef struct {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} sha256;

static const uint32_t sha256_start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
static const uint32_t sha256_round[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turned(uint32_t word, int by)
{
    return word >> by | word << (32 - by);
}

static void sha256_block(sha256 *hash)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++) {
        const uint8_t *at = hash->block + 4 * i;
        w[i] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t low = turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t high = turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + low + w[i - 7] + high;
    }
    memcpy(v, hash->state, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t high = turned(v[4], 6) ^ turned(v[4], 11) ^ turned(v[4], 25);
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t first = v[7] + high + choice + sha256_round[i] + w[i];
        uint32_t low = turned(v[0], 2) ^ turned(v[0], 13) ^ turned(v[0], 22);
        uint32_t second = low + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += first;
        v[0] = first + second;
    }
    for (int i = 0; i < 8; i++) hash->state[i] += v[i];
}

static void sha256_add(sha256 *hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        hash->block[hash->bytes++ % 64] = bytes[i];
        if (hash->bytes % 64 == 0) sha256_block(hash);
    }
}

static void sha256_end(sha256 *hash, char key[KEY_SIZE])
{
    uint64_t bits = hash->bytes * 8;
    sha256_add(hash, "\x80", 1);
    while (hash->bytes % 64 != 56) sha256_add(hash, "", 1);
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(bits >> (56 - 8 * i));
    sha256_add(hash, length, 8);
    for (int i = 0; i < 8; i++) snprintf(key + 8 * i, 9, "%08x", (unsigned)hash->state[i]);
}

void text_key(const char *text, size_t size, char key[KEY_SIZE])
{
    sha256 hash = {.bytes = 0};
    memcpy(hash.state, sha256_start, sizeof hash.state);
    sha256_add(&hash, text, size);
    sha256_end(&hash, key);
}

bool find_body(const char *text, size_t size, size_t *start, size_t *length)
{
    int depth = 0;
    size_t name = 0, end = 0; /* of the last string */
    bool is_body = false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"') {
            name = i + 1;
            for (i++; i < size && text[i] != '"'; i++) i += text[i] == '\\';
            end = i;
        } else if (text[i] == '{' || text[i] == '[') {
            if (depth++ == 1 && is_body) *start = i;
        } else if (text[i] == '}' || text[i] == ']') {
            *length = i + 1 - *start;
            if (--depth == 1 && is_body) return true;
        } else if (depth == 1 && (text[i] == ':' || text[i] == ',')) {
            is_body = text[i] == ':' && end - name == 4 && memcmp(text + name, "body", 4) == 0;
        }
    }
    return false;
}
