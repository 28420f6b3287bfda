/* fuzz_driver.h - the two functions of libFuzzer that the fuzzing program calls. */
#ifndef HADPO_FUZZ_DRIVER_H
#define HADPO_FUZZ_DRIVER_H
#include <stddef.h>
#include <stdint.h>

/* Runs libFuzzer with its command line; `callback` gets every input and answers 0. */
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));

/* One of libFuzzer's own mutations in place; the new size. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#endif
