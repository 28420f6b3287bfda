/* LD_PRELOAD: fails the n-th allocation of at least a given size, once. Tests/Faults/malloc_faults.py drives it.
 *
 * Whatever allocates in the process is seen: the Swift runtime, libpng, libjpeg, json-c, and mmap called by name (mapped files too; what
 * the C library maps inside its own malloc belongs to that malloc). FAULT_TRACE=1 prints the call stack of the allocation that fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library's own entries, so that nothing is looked up while a lookup allocates. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

enum { NOTED = 1 << 16 };

static atomic_size_t least = SIZE_MAX; /* allocations below are neither counted nor failed */
static atomic_long counted, failing;
static size_t sizes[NOTED];
static int tracing;

static void prepare(void) __attribute__((constructor));
static void prepare(void) {
    void *frame[1];
    tracing = getenv("FAULT_TRACE") != NULL;
    backtrace(frame, 1); /* its first call allocates */
}

void fault_begin(size_t least_size, long fail_at) {
    counted = 0;
    failing = fail_at;
    least = least_size;
}

long fault_end(void) {
    least = SIZE_MAX;
    return counted;
}

size_t fault_size(long n) { return n >= 1 && n <= NOTED ? sizes[n - 1] : 0; }

static int fails(size_t size) {
    if (size < least) return 0;
    long n = ++counted;
    if (n <= NOTED) sizes[n - 1] = size;
    if (n != failing) return 0;
    if (tracing) {
        void *frames[40];
        backtrace_symbols_fd(frames, backtrace(frames, 40), 2);
    }
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return fails(size) ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) {
    size_t bytes;
    return !__builtin_mul_overflow(count, size, &bytes) && fails(bytes) ? NULL : __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) { return fails(size) ? NULL : __libc_realloc(old, size); }
void *reallocarray(void *old, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, bytes);
}
void *memalign(size_t alignment, size_t size) { return fails(size) ? NULL : __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **place, size_t alignment, size_t size) {
    void *block = memalign(alignment, size);
    if (block == NULL) return ENOMEM;
    *place = block;
    return 0;
}
void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    return fails(size) ? MAP_FAILED : (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}
void *mmap64(void *address, size_t size, int protection, int flags, int file, off64_t offset) {
    return mmap(address, size, protection, flags, file, offset);
}
