/* How fast the library reads JSON, and what it costs in memory: `make bench-json`, or bench_json [MEGABYTES [GREATEST]].
 *
 * Each row is a child process of its own, so that its greatest resident memory is its own. A text that is checked and then refused
 * for what follows it shows checking alone; a configuration with an unknown schema shows checking and building. Time is the
 * processor's, by getrusage. The last rows read a file of GREATEST megabytes (700) element by element. */
#include <hadpo.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char *bytes;
    size_t count, room;
} text;

static void add(text *t, const char *piece, size_t count)
{
    if (t->count + count > t->room) {
        t->room = 2 * (t->count + count) + 4096;
        t->bytes = realloc(t->bytes, t->room);
        if (!t->bytes) exit(2);
    }
    memcpy(t->bytes + t->count, piece, count);
    t->count += count;
}

static void put(text *t, const char *piece)
{
    add(t, piece, strlen(piece));
}

enum kind { RECORDS, INTEGERS, DOUBLES, VOCABULARY, STRINGS, ESCAPES, CHINESE, ONE_STRING, KINDS };

static const char *const names[] = {"records", "integers", "doubles", "vocabulary", "strings", "escapes", "Chinese", "one string"};

static void element(text *t, enum kind kind, unsigned long i)
{
    char piece[512];
    const char *comma = i ? "," : "";
    switch (kind) {
    case RECORDS:
        snprintf(piece, sizeof piece, "%s\n{\"image_id\": %lu, \"region_id\": %lu, \"x\": %lu, \"y\": 7, \"width\": 100, \"height\": 20, "
                 "\"phrase\": \"a red car is parked near tree %lu\"}", comma, i, i * 7, i % 640, i);
        break;
    case INTEGERS: snprintf(piece, sizeof piece, "%s%lu", i ? ", " : "", i % 1000); break;
    case DOUBLES: snprintf(piece, sizeof piece, "%s%lu.%06lu", i ? ", " : "", i % 640, i * 7919 % 1000000); break;
    case VOCABULARY: snprintf(piece, sizeof piece, "%s\"token\xC3\xA9%lu\": %lu", i ? ", " : "", i, i); break;
    case STRINGS: snprintf(piece, sizeof piece, "%s\"There is a red car near the tree with the number %lu.\"", comma, i); break;
    case ESCAPES: snprintf(piece, sizeof piece, "%s\"a\\u00e9\\n\\\"%lu\\\"\\ud83d\\ude00\"", comma, i); break;
    case CHINESE: snprintf(piece, sizeof piece, "%s\"\xE7\x85\xA7\xE7\x89\x87\xE4\xB8\xAD\xE6\x9C\x89%lu\xE8\xBE\x86\xE6\xB1\xBD\xE8\xBD\xA6\"", comma, i); break;
    default: snprintf(piece, sizeof piece, "a string that is one string "); break;
    }
    put(t, piece);
}

static text make(enum kind kind, size_t size)
{
    text t = {0};
    put(&t, "{\"schema\": \"none/1\", \"data\": ");
    put(&t, kind == VOCABULARY ? "{" : kind == ONE_STRING ? "\"" : "[");
    for (unsigned long i = 0; t.count < size; i++) element(&t, kind, i);
    put(&t, kind == VOCABULARY ? "}}" : kind == ONE_STRING ? "\"}" : "]}");
    return t;
}

static double seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + 1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void row(const char *what, const char *name, size_t bytes, double start, hadpo_status status)
{
    struct rusage usage;
    const double spent = seconds() - start;
    getrusage(RUSAGE_SELF, &usage);
    printf("%-8s %-11s %6.0f MB %8.2f s %8.0f MB/s   peak %6.0f MiB   status %d\n", what, name, 1e-6 * (double)bytes, spent,
           1e-6 * (double)bytes / spent, (double)usage.ru_maxrss / 1024, (int)status);
    fflush(stdout);
}

static void resolve(enum kind kind, size_t size, int only_check)
{
    text t = make(kind, size);
    if (only_check) put(&t, " x");
    hadpo_bytes *answer = NULL;
    const double start = seconds();
    const hadpo_status status = hadpo_config_resolve(t.bytes, t.count, &answer, NULL);
    row(only_check ? "check" : "build", names[kind], t.count, start, status);
    exit(0);
}

/* COCO's annotations: walked, or passed over because they stand under another key. */
static void stream(const char *path, size_t size, const char *key)
{
    FILE *file = fopen(path, "w");
    if (!file) exit(2);
    size_t count = (size_t)fprintf(file, "{\"categories\": [{\"id\": 1, \"name\": \"car\"}], \"images\": [{\"id\": 1, \"file_name\": \"a.jpg\"}], \"%s\": [", key);
    for (unsigned long i = 0; count < size; i++)
        count += (size_t)fprintf(file, "%s{\"segmentation\": [[%lu.5, 120.25, 300.75, 44.0, 17.5, 99.125, 210.0, 8.5]], \"area\": 702.1, \"iscrowd\": 0, "
                                 "\"image_id\": 1, \"bbox\": [473.07, 395.93, 38.65, 28.67], \"category_id\": 1, \"id\": %lu}", i ? ", " : "", i % 640, i);
    count += (size_t)fprintf(file, "]}\n");
    fclose(file);
    char config[1024];
    snprintf(config, sizeof config, "{\"schema\": \"hadpo.pope-build/1\", \"annotations\": \"%s\", \"format\": \"coco\", \"output\": \"%s.out\"}", path, path);
    hadpo_bytes *answer = NULL;
    const double start = seconds();
    const hadpo_status status = hadpo_pope_build(config, HADPO_NUL, &answer, NULL);
    row(strcmp(key, "annotations") ? "skip" : "walk", "file", count, start, status);
    remove(path);
    exit(0);
}

static void child(void)
{
    int status = 0;
    if (wait(&status) < 0 || status != 0) {
        fprintf(stderr, "bench_json: a row failed\n");
        exit(1);
    }
}

int main(int count, char **arguments)
{
    const size_t size = (count > 1 ? strtoul(arguments[1], NULL, 10) : 100) * 1000000;
    const size_t greatest = (count > 2 ? strtoul(arguments[2], NULL, 10) : 700) * 1000000;
    for (int kind = 0; kind < KINDS; kind++)
        for (int only_check = 1; only_check >= 0; only_check--) {
            if (fork() == 0) resolve((enum kind)kind, size, only_check);
            child();
        }
    char path[64];
    snprintf(path, sizeof path, "bench_json-%d", (int)getpid());
    for (int walk = 0; walk < 2; walk++) {
        if (fork() == 0) stream(path, greatest, walk ? "annotations" : "licenses");
        child();
    }
    return 0;
}
