/* Loaded before the C library (LD_PRELOAD): kills the process, or makes a file operation fail, at the n-th operation that changes files.
 * file_fault(n, code): the n-th from now, counted from 1; code 0 kills before it, any other is its errno. It returns the number of
 * operations since the call before. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long count, at;
static atomic_int with;

long file_fault(long n, int code)
{
    at = n;
    with = code;
    return atomic_exchange(&count, 0);
}

static int fails(void)
{
    if (atomic_fetch_add(&count, 1) + 1 != at) return 0;
    if (with == 0) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    errno = with;
    return 1;
}

#define WRAP(type, name, parameters, arguments) \
    type name parameters \
    { \
        static type (*next) parameters; \
        if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, #name); \
        return fails() ? -1 : next arguments; \
    }

WRAP(ssize_t, write, (int file, const void *bytes, size_t size), (file, bytes, size))
WRAP(ssize_t, pwrite, (int file, const void *bytes, size_t size, off_t offset), (file, bytes, size, offset))
WRAP(ssize_t, pwrite64, (int file, const void *bytes, size_t size, off64_t offset), (file, bytes, size, offset))
WRAP(int, fsync, (int file), (file))
WRAP(int, fdatasync, (int file), (file))
WRAP(int, ftruncate, (int file, off_t size), (file, size))
WRAP(int, ftruncate64, (int file, off64_t size), (file, size))
WRAP(int, rename, (const char *old, const char *new), (old, new))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, rmdir, (const char *path), (path))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))

#define WRAP_ALLOCATE(name, offset_type) \
    int name(int file, offset_type offset, offset_type size) \
    { \
        static int (*next)(int, offset_type, offset_type); \
        if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, #name); \
        return fails() ? errno : next(file, offset, size); \
    }
WRAP_ALLOCATE(posix_fallocate, off_t)
WRAP_ALLOCATE(posix_fallocate64, off64_t)

#define WRAP_OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        static int (*next)(const char *, int, ...); \
        mode_t mode = 0; \
        if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, #name); \
        if (flags & O_CREAT) { \
            va_list more; \
            va_start(more, flags); \
            mode = va_arg(more, mode_t); \
            va_end(more); \
            if (fails()) return -1; \
        } \
        return next(path, flags, mode); \
    }
WRAP_OPEN(open)
WRAP_OPEN(open64)
