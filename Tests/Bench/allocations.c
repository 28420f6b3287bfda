#include "allocations.h"

#include <malloc.h>
#include <stdlib.h>

/* Workers allocate too. */
static long count, held, peak;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **place, size_t alignment, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **place, size_t alignment, size_t size);
void __wrap_free(void *p);

static void moved(long bytes)
{
    long now = __atomic_add_fetch(&held, bytes, __ATOMIC_RELAXED), seen = __atomic_load_n(&peak, __ATOMIC_RELAXED);
    while (now > seen && !__atomic_compare_exchange_n(&peak, &seen, now, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}
static void *counted(void *p)
{
    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    if (p != NULL) moved((long)malloc_usable_size(p));
    return p;
}

void *__wrap_malloc(size_t size) { return counted(__real_malloc(size)); }
void *__wrap_calloc(size_t n, size_t size) { return counted(__real_calloc(n, size)); }
void *__wrap_realloc(void *old, size_t size)
{
    long before = old == NULL ? 0 : (long)malloc_usable_size(old);
    void *p = __real_realloc(old, size);
    if (p != NULL) moved(-before);
    return counted(p);
}
void *__wrap_aligned_alloc(size_t alignment, size_t size) { return counted(__real_aligned_alloc(alignment, size)); }
int __wrap_posix_memalign(void **place, size_t alignment, size_t size)
{
    int status = __real_posix_memalign(place, alignment, size);
    counted(status == 0 ? *place : NULL);
    return status;
}
void __wrap_free(void *p)
{
    if (p != NULL) moved(-(long)malloc_usable_size(p));
    __real_free(p);
}

void allocations_begin(void)
{
    count = held = peak = 0;
}
long allocations_count(void) { return __atomic_load_n(&count, __ATOMIC_RELAXED); }
size_t allocations_peak(void) { return (size_t)__atomic_load_n(&peak, __ATOMIC_RELAXED); }
