/* hadpo_memory.h - what is left when malloc has nothing more.
 *
 * Swift's containers cannot be told that there is no memory: the process ends. libhadpo.so therefore keeps a reserve of address space and
 * takes an allocation that malloc refuses from there; the call that is running learns of it (hm_is_short) and ends with a status as soon
 * as it asks. Large blocks that C can refuse (pixels, tensors, file contents) are not meant to come from here, see Block and Arena.
 *
 * It works where the linker was given --wrap=NAME for malloc, free, realloc, posix_memalign and malloc_usable_size, as the Makefile does.
 * In a program that links the Swift package, malloc's refusal stays what it is. */
#ifndef HADPO_MEMORY_H
#define HADPO_MEMORY_H
#include <stddef.h>

/* A call begins on this thread: it has not been short of memory yet. Returns what hm_end takes, so that calls may be nested. */
int hm_begin(void);
void hm_end(int before);

/* Has an allocation of this thread come from the reserve since hm_begin? */
int hm_is_short(void);

/* Refusable memory, never from the reserve; free releases it. */
void *hm_malloc(size_t size);

#endif
