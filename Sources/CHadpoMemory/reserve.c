/* reserve.c - the memory that the Swift runtime gets when malloc refuses. */
#define _GNU_SOURCE
#include "include/hadpo_memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The linker makes these the C library's functions. Without its options they are missing, and nothing below is called. */
extern void *__real_malloc(size_t size) __attribute__((weak));
extern void __real_free(void *block) __attribute__((weak));
extern void *__real_realloc(void *block, size_t size) __attribute__((weak));
extern int __real_posix_memalign(void **place, size_t alignment, size_t size) __attribute__((weak));
extern size_t __real_malloc_usable_size(void *block) __attribute__((weak));

void *__wrap_malloc(size_t size);
void __wrap_free(void *block);
void *__wrap_realloc(void *block, size_t size);
int __wrap_posix_memalign(void **place, size_t alignment, size_t size);
size_t __wrap_malloc_usable_size(void *block);

enum { RESERVE = 64 << 20, BLOCKS = 512, PAGE = 4096 };

/* Blocks in use, in the order of their addresses. Pages get memory when they are handed out and lose it when they come back. */
static struct { size_t start, size; } blocks[BLOCKS];
static int count;
static unsigned char *reserve;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int is_short;

__attribute__((constructor)) static void set_aside(void) {
    if (!__real_malloc) return;
    void *space = mmap(NULL, RESERVE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space != MAP_FAILED) reserve = space;
}

static int is_ours(const void *block) { return reserve && (uintptr_t)block - (uintptr_t)reserve < RESERVE; }

static void *take(size_t size) {
    if (!reserve || size > RESERVE) return NULL;
    size = (size + PAGE - 1) / PAGE * PAGE;
    if (size == 0) size = PAGE;
    unsigned char *block = NULL;
    pthread_mutex_lock(&lock);
    size_t start = 0;
    int place = 0;
    while (place < count && blocks[place].start - start < size) {
        start = blocks[place].start + blocks[place].size;
        place++;
    }
    if (count < BLOCKS && RESERVE - start >= size && mprotect(reserve + start, size, PROT_READ | PROT_WRITE) == 0) {
        memmove(blocks + place + 1, blocks + place, (size_t)(count - place) * sizeof blocks[0]);
        blocks[place].start = start;
        blocks[place].size = size;
        count++;
        block = reserve + start;
    }
    pthread_mutex_unlock(&lock);
    if (block) is_short = 1;
    return block;
}

static int find(const void *block) { /* with the lock held */
    size_t start = (size_t)((const unsigned char *)block - reserve);
    for (int i = 0; i < count; i++)
        if (blocks[i].start == start) return i;
    return -1;
}

static size_t size_of(const void *block) {
    pthread_mutex_lock(&lock);
    int i = find(block);
    size_t size = i < 0 ? 0 : blocks[i].size;
    pthread_mutex_unlock(&lock);
    return size;
}

static void give_back(void *block) {
    pthread_mutex_lock(&lock);
    int i = find(block);
    if (i >= 0) {
        /* Mapped anew, so that the pages go back to the system. */
        mmap(block, blocks[i].size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        count--;
        memmove(blocks + i, blocks + i + 1, (size_t)(count - i) * sizeof blocks[0]);
    }
    pthread_mutex_unlock(&lock);
}

void *__wrap_malloc(size_t size) {
    void *block = __real_malloc(size);
    return block ? block : take(size);
}

void __wrap_free(void *block) {
    if (is_ours(block))
        give_back(block);
    else
        __real_free(block);
}

void *__wrap_realloc(void *block, size_t size) {
    if (!is_ours(block)) {
        void *grown = __real_realloc(block, size);
        if (grown || size == 0) return grown;
        grown = take(size);
        if (grown && block) {
            size_t old = __real_malloc_usable_size(block);
            memcpy(grown, block, old < size ? old : size);
            __real_free(block);
        }
        return grown;
    }
    size_t old = size_of(block);
    if (size != 0 && size <= old) return block;
    void *moved = size ? __wrap_malloc(size) : NULL;
    if (moved) memcpy(moved, block, old);
    if (moved || size == 0) give_back(block);
    return moved;
}

/* Swift asks this way for memory of no particular alignment, which is 16; who asks for more (the arena: 64) may be refused. */
int __wrap_posix_memalign(void **place, size_t alignment, size_t size) {
    int status = __real_posix_memalign(place, alignment, size);
    if (status == 0 || alignment > 16) return status;
    void *block = take(size);
    if (!block) return status;
    *place = block;
    return 0;
}

size_t __wrap_malloc_usable_size(void *block) { return is_ours(block) ? size_of(block) : __real_malloc_usable_size(block); }

int hm_begin(void) {
    int before = is_short;
    is_short = 0;
    return before;
}
void hm_end(int before) { is_short = before; }
int hm_is_short(void) { return is_short; }

void *hm_malloc(size_t size) { return __real_malloc ? __real_malloc(size) : malloc(size); }
