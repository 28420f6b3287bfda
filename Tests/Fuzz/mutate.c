/* mutate.c - deterministic mutations of small files: flips, absurd numbers, cuts, repeats, swaps.
 *
 * usage: fuzz_NAME SECONDS [SEED]     in the repository root
 * An input that crashes is written to build/fuzz/crash.bin before the program dies. */
#define _DEFAULT_SOURCE
#include "mutate.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1 << 20, MOST_SEEDS = 32 };

static uint8_t *current;
static size_t current_size;
static uint64_t state;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return below == 0 ? 0 : (uint32_t)(state >> 33) % below;
}

static void on_crash(int number)
{
    int file = open("build/fuzz/crash.bin", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (file >= 0 && write(file, current, current_size) == (ssize_t)current_size) close(file);
    signal(number, SIG_DFL);
    raise(number);
}

static void insert(size_t at, const void *bytes, size_t count)
{
    if (current_size + count > MOST) return;
    memmove(current + at + count, current + at, current_size - at);
    memmove(current + at, bytes, count);
    current_size += count;
}

static void mutate(void)
{
    static const char *const tokens[] = {"-1", "0", "1e999", "9223372036854775807", "18446744073709551616", "NaN", "null", "[]", "{}",
                                         "\"\"", "\\u0000", "\\ud800", ",", ":", "[", "{", "\"", "\xff\xff\xff\xff", "0.5"};
    size_t at = draw((uint32_t)current_size);
    switch (draw(8)) {
    case 0: if (current_size > 0) current[at] ^= (uint8_t)(1u << draw(8)); break;
    case 1: if (current_size > 0) current[at] = (uint8_t)draw(256); break;
    case 2: if (current_size > 8) memset(current + draw((uint32_t)current_size - 8), draw(2) ? 0xff : 0, 1 + draw(8)); break;
    case 3: current_size = at; break;
    case 4: { /* repeat a piece */
        uint8_t piece[256];
        size_t count = draw(256);
        if (at + count > current_size) count = current_size - at;
        memcpy(piece, current + at, count);
        insert(draw((uint32_t)current_size + 1), piece, count);
        break;
    }
    case 5: { /* drop a piece */
        size_t count = draw(64);
        if (at + count > current_size) count = current_size - at;
        memmove(current + at, current + at + count, current_size - at - count);
        current_size -= count;
        break;
    }
    case 6: { /* a number becomes another */
        const char *token = tokens[draw(sizeof tokens / sizeof tokens[0])];
        size_t end = at;
        while (at > 0 && current[at - 1] >= '0' && current[at - 1] <= '9') at--;
        while (end < current_size && current[end] >= '0' && current[end] <= '9') end++;
        memmove(current + at, current + end, current_size - end);
        current_size -= end - at;
        insert(at, token, strlen(token));
        break;
    }
    default: {
        const char *token = tokens[draw(sizeof tokens / sizeof tokens[0])];
        insert(at, token, strlen(token));
    }
    }
}

static size_t load(const char *name, uint8_t *into)
{
    if (name[0] == '=') {
        memcpy(into, name + 1, strlen(name + 1));
        return strlen(name + 1);
    }
    char path[512];
    snprintf(path, sizeof path, "Tests/Fixtures/%s", name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "cannot read %s: run in the repository root\n", path);
        exit(2);
    }
    size_t size = fread(into, 1, MOST / 2, file);
    fclose(file);
    return size;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 10;
    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    static uint8_t *seeds[MOST_SEEDS];
    size_t sizes[MOST_SEEDS], count = 0;
    current = malloc(MOST);
    for (; fuzz_seeds[count] != NULL && count < MOST_SEEDS; count++) {
        seeds[count] = malloc(MOST / 2);
        if (seeds[count] == NULL || current == NULL) return 2;
        sizes[count] = load(fuzz_seeds[count], seeds[count]);
    }
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE};
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) signal(deadly[i], on_crash);
    fuzz_begin("Tests/Fixtures");
    time_t start = time(NULL);
    unsigned long runs = 0;
    for (; difftime(time(NULL), start) < seconds; runs++) {
        size_t seed = draw((uint32_t)count);
        memcpy(current, seeds[seed], sizes[seed]);
        current_size = sizes[seed];
        for (uint32_t n = draw(6); n > 0; n--) mutate();
        fuzz_one(current, current_size, seed);
    }
    printf("%lu inputs, no crash\n", runs);
    return 0;
}
