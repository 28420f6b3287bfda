/* guard_pages.c - for LD_PRELOAD: a page without access stands behind every block of memory, and in place of every freed one.
 *
 * A read or write behind the end of a block, and any use after its free, ends the program where it happens, in code that no sanitizer
 * has touched as well. A block ends where its alignment (16 bytes) lets it: up to 15 bytes behind it are not seen. Addresses are never
 * used twice. Blocks below GUARD_FROM bytes (2048) come from the C library, for a page each would be too much for the system's number
 * of mappings; so do all blocks where addresses are limited (RLIMIT_AS). */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

enum { PAGE = 4096 };
static const size_t room = (size_t)1 << 44; /* bytes of addresses, which cost nothing until they are used */
static const size_t most_blocks = (size_t)1 << 22;

typedef struct {
    char *start; /* what the program has; NULL: a free place of the table */
    char *pages;
    size_t page_bytes, size;
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char *base;
static block *blocks;     /* a hash table, open addressing */
static _Atomic size_t used;
static size_t guard_from = 2048;
static char removed[1];   /* a place of the table that a search must pass */

static void reserve(void)
{
    const char *from = getenv("GUARD_FROM");
    if (from != NULL) guard_from = (size_t)atol(from);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *addresses = mmap(NULL, room, PROT_NONE, flags, -1, 0);
    void *table = mmap(NULL, most_blocks * sizeof *blocks, PROT_READ | PROT_WRITE, flags, -1, 0);
    /* A program whose addresses are limited (RLIMIT_AS) goes without. */
    if (addresses == MAP_FAILED || table == MAP_FAILED) return;
    blocks = table;
    base = addresses;
}

static bool is_guarded(const void *pointer)
{
    return base != NULL && (const char *)pointer >= base && (const char *)pointer < base + room;
}

static size_t place_of(const void *pointer)
{
    return (size_t)(((uintptr_t)pointer * 0x9e3779b97f4a7c15u) >> 42) % most_blocks;
}

static void remember(block new)
{
    pthread_mutex_lock(&lock);
    size_t i = place_of(new.start);
    while (blocks[i].start != NULL && blocks[i].start != removed) i = (i + 1) % most_blocks;
    blocks[i] = new;
    pthread_mutex_unlock(&lock);
}

/* Ends the program when there is no such block: a free of something else, or for the second time. */
static block find(const void *pointer, bool removes)
{
    pthread_mutex_lock(&lock);
    size_t i = place_of(pointer);
    while (blocks[i].start != pointer) {
        if (blocks[i].start == NULL) abort();
        i = (i + 1) % most_blocks;
    }
    block found = blocks[i];
    if (removes) blocks[i].start = removed;
    pthread_mutex_unlock(&lock);
    return found;
}

/* NULL: the system gives no more pages or mappings. */
static void *guarded(size_t size, size_t alignment)
{
    pthread_once(&once, reserve);
    if (alignment < 16) alignment = 16;
    if (base == NULL || alignment > PAGE || size > room / 2) return NULL;
    size_t body = (size + alignment - 1) / alignment * alignment, page_bytes = (body + PAGE - 1) / PAGE * PAGE;
    size_t at = atomic_fetch_add(&used, page_bytes + PAGE);
    if (at + page_bytes + PAGE > room) return NULL;
    char *pages = base + at;
    if (mprotect(pages, page_bytes, PROT_READ | PROT_WRITE) != 0) return NULL;
    char *start = pages + page_bytes - body;
    remember((block){start, pages, page_bytes, size});
    return start;
}

void *malloc(size_t size)
{
    void *block = size < guard_from ? NULL : guarded(size, 16);
    return block != NULL ? block : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *block = bytes < guard_from ? NULL : guarded(bytes, 16); /* fresh pages are zero */
    return block != NULL ? block : __libc_calloc(count, size);
}

void free(void *pointer)
{
    if (!is_guarded(pointer)) {
        __libc_free(pointer);
        return;
    }
    block old = find(pointer, true);
    int before = errno;
    madvise(old.pages, old.page_bytes, MADV_DONTNEED);
    mprotect(old.pages, old.page_bytes, PROT_NONE);
    errno = before;
}

/* What the C library's allocator holds in a block of its own, from the word before it. */
static size_t plain_size(const void *pointer)
{
    size_t head = ((const size_t *)pointer)[-1];
    return (head & ~(size_t)7) - (head & 2 ? 16 : 8);
}

void *realloc(void *pointer, size_t size)
{
    if (pointer == NULL) return malloc(size);
    if (!is_guarded(pointer) && size < guard_from) return __libc_realloc(pointer, size);
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    size_t old = is_guarded(pointer) ? find(pointer, false).size : plain_size(pointer);
    void *new = malloc(size);
    if (new == NULL) return NULL;
    memcpy(new, pointer, old < size ? old : size);
    free(pointer);
    return new;
}

int posix_memalign(void **result, size_t alignment, size_t size)
{
    void *block = size < guard_from ? NULL : guarded(size, alignment);
    if (block == NULL) block = __libc_memalign(alignment, size);
    if (block == NULL) return ENOMEM;
    *result = block;
    return 0;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    void *block = NULL;
    return posix_memalign(&block, alignment, size) == 0 ? block : NULL;
}

void *memalign(size_t alignment, size_t size)
{
    return aligned_alloc(alignment, size);
}

size_t malloc_usable_size(void *pointer)
{
    return pointer == NULL ? 0 : is_guarded(pointer) ? find(pointer, false).size : plain_size(pointer);
}
