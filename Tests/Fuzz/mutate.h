/* mutate.h - what a fuzz target provides. mutate.c holds main: it damages the seeds and hands them over until the time is up. */
#ifndef HADPO_FUZZ_MUTATE_H
#define HADPO_FUZZ_MUTATE_H
#include <stddef.h>
#include <stdint.h>

extern const char *const fuzz_seeds[]; /* files relative to Tests/Fixtures, or "=text"; ends with NULL */
extern void fuzz_begin(const char *fixtures);
extern void fuzz_one(const uint8_t *data, size_t size, size_t seed); /* any outcome but a crash is fine */

#endif
