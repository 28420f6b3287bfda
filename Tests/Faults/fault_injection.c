/* fault_injection.c - for LD_PRELOAD: one file operation of a program fails, or the program ends there.
 *
 * Every operation on a file below FAULT_UNDER, and on a relative name, has a number, from 1. The environment:
 *   FAULT_LOG   a file: one line an operation, "NUMBER NAME PATH"
 *   FAULT_AT    the number of the operation that does not go well
 *   FAULT_HOW   kill       SIGKILL before the operation
 *               kill-half  half of a write, then SIGKILL
 *               short      half of a read or write, which is no error: the program has to ask for the rest
 *               full       half of a write; then, and for every later operation that needs space, ENOSPC
 *               NUMBER     this errno; EMFILE also for every later open
 * A close that fails has closed, as on Linux. Streams of stdio are read and written through the functions here, so that their
 * operations count too. What the program maps is not seen. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GO_ON = 0, HALF = -1, HALF_THEN_END = -2, HALF_THEN_FULL = -3 }; /* above 0: an errno */
enum { OPENS = 1, TAKES_SPACE = 2, HAS_BYTES = 4 };

static atomic_long operations;
static atomic_bool full, no_descriptors;
static long fault_at;
static int fault_how, log_descriptor = -1;
static const char *under;

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void read_environment(void)
{
    const char *at = getenv("FAULT_AT"), *how = getenv("FAULT_HOW"), *log = getenv("FAULT_LOG");
    under = getenv("FAULT_UNDER");
    fault_at = at != NULL ? atol(at) : 0;
    if (how != NULL)
        fault_how = strcmp(how, "kill") == 0        ? -SIGKILL
                    : strcmp(how, "kill-half") == 0 ? HALF_THEN_END
                    : strcmp(how, "short") == 0     ? HALF
                    : strcmp(how, "full") == 0      ? HALF_THEN_FULL
                                                    : atoi(how);
    NEXT(open);
    if (log != NULL) log_descriptor = next(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

static _Noreturn void end(void)
{
    for (;;) kill(getpid(), SIGKILL);
}

static bool counts(const char *path)
{
    if (under == NULL || path == NULL) return false;
    size_t length = strlen(under);
    return path[0] != '/' || (strncmp(path, under, length) == 0 && (path[length] == '/' || path[length] == 0));
}

static bool path_of(int descriptor, char *path, size_t room)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = descriptor > 2 ? readlink(link, path, room - 1) : -1;
    if (length < 0) return false;
    path[length] = 0;
    return path[0] == '/' && counts(path);
}

/* What is to become of this operation. */
static int decide(const char *name, int kind, const char *path)
{
    int before = errno;
    long number = atomic_fetch_add(&operations, 1) + 1;
    if (log_descriptor >= 0) {
        char line[PATH_MAX + 64];
        int size = snprintf(line, sizeof line, "%ld %s %s\n", number, name, path);
        NEXT(write);
        if (size > 0 && next(log_descriptor, line, (size_t)size) < 0) end();
    }
    errno = before;
    if (full && (kind & TAKES_SPACE)) return ENOSPC;
    if (no_descriptors && (kind & OPENS)) return EMFILE;
    if (number != fault_at) return GO_ON;
    if (fault_how == -SIGKILL) end();
    if (fault_how == EMFILE) no_descriptors = true;
    if (fault_how == HALF_THEN_FULL) full = true;
    if (fault_how < 0 && !(kind & HAS_BYTES)) return fault_how == HALF_THEN_FULL ? ENOSPC : GO_ON;
    return fault_how;
}

static int decide_by_descriptor(const char *name, int kind, int descriptor)
{
    char path[PATH_MAX];
    return path_of(descriptor, path, sizeof path) ? decide(name, kind, path) : GO_ON;
}

static int decide_by_path(const char *name, int kind, const char *path)
{
    return counts(path) ? decide(name, kind, path) : GO_ON;
}

static int failed(int code)
{
    errno = code;
    return -1;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------ */

static ssize_t after_half(int fate, ssize_t done)
{
    if (fate == HALF_THEN_END) end();
    return done > 0 ? done : fate == HALF ? done : failed(ENOSPC);
}

static size_t half(size_t count)
{
    return count > 1 ? count / 2 : count;
}

ssize_t write(int descriptor, const void *bytes, size_t count)
{
    NEXT(write);
    int fate = decide_by_descriptor("write", TAKES_SPACE | HAS_BYTES, descriptor);
    if (fate > 0) return failed(fate);
    return fate == GO_ON ? next(descriptor, bytes, count) : after_half(fate, next(descriptor, bytes, half(count)));
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t at)
{
    NEXT(pwrite);
    int fate = decide_by_descriptor("pwrite", TAKES_SPACE | HAS_BYTES, descriptor);
    if (fate > 0) return failed(fate);
    return fate == GO_ON ? next(descriptor, bytes, count, at) : after_half(fate, next(descriptor, bytes, half(count), at));
}

ssize_t read(int descriptor, void *bytes, size_t count)
{
    NEXT(read);
    int fate = decide_by_descriptor("read", HAS_BYTES, descriptor);
    return fate > 0 ? failed(fate) : next(descriptor, bytes, fate == HALF ? half(count) : count);
}

ssize_t pread(int descriptor, void *bytes, size_t count, off_t at)
{
    NEXT(pread);
    int fate = decide_by_descriptor("pread", HAS_BYTES, descriptor);
    return fate > 0 ? failed(fate) : next(descriptor, bytes, fate == HALF ? half(count) : count, at);
}

/* ---- opening and closing ---------------------------------------------------------------------------------------------- */

static int decide_opening(const char *path, int flags)
{
    return flags & O_CREAT ? decide_by_path("create", OPENS | TAKES_SPACE, path) : decide_by_path("open", OPENS, path);
}

#define MODE_OF_OPEN(last)                      \
    mode_t mode = 0;                            \
    if (flags & (O_CREAT | __O_TMPFILE)) {      \
        va_list more;                           \
        va_start(more, last);                   \
        mode = va_arg(more, mode_t);            \
        va_end(more);                           \
    }

int open(const char *path, int flags, ...)
{
    MODE_OF_OPEN(flags)
    NEXT(open);
    int fate = decide_opening(path, flags);
    return fate > 0 ? failed(fate) : next(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE_OF_OPEN(flags)
    NEXT(openat);
    int fate = decide_opening(path, flags);
    return fate > 0 ? failed(fate) : next(folder, path, flags, mode);
}

DIR *opendir(const char *path)
{
    NEXT(opendir);
    int fate = decide_by_path("opendir", OPENS, path);
    if (fate > 0) errno = fate;
    return fate > 0 ? NULL : next(path);
}

struct dirent *readdir(DIR *folder)
{
    NEXT(readdir);
    int fate = decide_by_descriptor("readdir", 0, dirfd(folder));
    if (fate > 0) errno = fate;
    return fate > 0 ? NULL : next(folder);
}

/* What was only read has nothing to lose in a close. */
int close(int descriptor)
{
    NEXT(close);
    int flags = fcntl(descriptor, F_GETFL);
    int fate = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY ? decide_by_descriptor("close", 0, descriptor) : GO_ON;
    int result = next(descriptor);
    return fate > 0 ? failed(fate) : result;
}

static ssize_t stream_read(void *stream, char *bytes, size_t count)
{
    return read(*(int *)stream, bytes, count);
}

static ssize_t stream_write(void *stream, const char *bytes, size_t count)
{
    ssize_t done = write(*(int *)stream, bytes, count);
    return done < 0 ? 0 : done;
}

static int stream_seek(void *stream, off64_t *offset, int whence)
{
    off_t at = lseek(*(int *)stream, (off_t)*offset, whence);
    if (at >= 0) *offset = at;
    return at >= 0 ? 0 : -1;
}

static int stream_close(void *stream)
{
    int result = close(*(int *)stream);
    free(stream);
    return result;
}

FILE *fdopen(int descriptor, const char *mode)
{
    NEXT(fdopen);
    char path[PATH_MAX];
    if (!path_of(descriptor, path, sizeof path)) return next(descriptor, mode);
    int *stream = malloc(sizeof *stream);
    if (stream == NULL) return NULL;
    *stream = descriptor;
    FILE *file = fopencookie(stream, mode, (cookie_io_functions_t){stream_read, stream_write, stream_seek, stream_close});
    if (file == NULL) free(stream);
    return file;
}

FILE *fopen(const char *path, const char *mode)
{
    NEXT(fopen);
    if (!counts(path)) return next(path, mode);
    int access = strchr(mode, '+') != NULL ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
    int made = mode[0] == 'w' ? O_CREAT | O_TRUNC : mode[0] == 'a' ? O_CREAT | O_APPEND : 0;
    int descriptor = open(path, access | made | O_CLOEXEC, 0666);
    return descriptor < 0 ? NULL : fdopen(descriptor, mode);
}

/* ---- everything else -------------------------------------------------------------------------------------------------- */

#define BY_DESCRIPTOR(name, kind, parameters, arguments)                   \
    int name parameters                                                    \
    {                                                                      \
        NEXT(name);                                                        \
        int fate = decide_by_descriptor(#name, kind, descriptor);          \
        return fate > 0 ? failed(fate) : next arguments;                   \
    }
#define BY_PATH(name, kind, parameters, arguments)                         \
    int name parameters                                                    \
    {                                                                      \
        NEXT(name);                                                        \
        int fate = decide_by_path(#name, kind, path);                      \
        return fate > 0 ? failed(fate) : next arguments;                   \
    }

BY_DESCRIPTOR(fsync, TAKES_SPACE, (int descriptor), (descriptor))
BY_DESCRIPTOR(fdatasync, TAKES_SPACE, (int descriptor), (descriptor))
BY_DESCRIPTOR(ftruncate, TAKES_SPACE, (int descriptor, off_t size), (descriptor, size))
BY_DESCRIPTOR(flock, 0, (int descriptor, int operation), (descriptor, operation))
BY_DESCRIPTOR(fstat, 0, (int descriptor, struct stat *found), (descriptor, found))
BY_PATH(stat, 0, (const char *path, struct stat *found), (path, found))
BY_PATH(lstat, 0, (const char *path, struct stat *found), (path, found))
BY_PATH(mkdir, TAKES_SPACE, (const char *path, mode_t mode), (path, mode))
BY_PATH(mkdirat, TAKES_SPACE, (int folder, const char *path, mode_t mode), (folder, path, mode))
BY_PATH(unlink, 0, (const char *path), (path))
BY_PATH(unlinkat, 0, (int folder, const char *path, int flags), (folder, path, flags))
BY_PATH(rmdir, 0, (const char *path), (path))
BY_PATH(remove, 0, (const char *path), (path))
BY_PATH(rename, 0, (const char *path, const char *to), (path, to))
BY_PATH(renameat, 0, (int from, const char *path, int folder, const char *to), (from, path, folder, to))
BY_PATH(renameat2, 0, (int from, const char *path, int folder, const char *to, unsigned flags), (from, path, folder, to, flags))
BY_PATH(link, TAKES_SPACE, (const char *path, const char *to), (path, to))
BY_PATH(linkat, TAKES_SPACE, (int from, const char *path, int folder, const char *to, int flags), (from, path, folder, to, flags))
BY_PATH(symlink, TAKES_SPACE, (const char *path, const char *to), (path, to))

/* It answers the error instead of setting errno. */
int posix_fallocate(int descriptor, off_t at, off_t size)
{
    NEXT(posix_fallocate);
    int fate = decide_by_descriptor("posix_fallocate", TAKES_SPACE, descriptor);
    return fate > 0 ? fate : next(descriptor, at, size);
}

/* An exchange may be asked for without the C library's wrapper. */
long syscall(long number, ...)
{
    NEXT(syscall);
    long a[6];
    va_list more;
    va_start(more, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(more, long);
    va_end(more);
    if (number == SYS_renameat2) {
        int fate = decide_by_path("renameat2", 0, (const char *)a[1]);
        if (fate > 0) return failed(fate);
    }
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
