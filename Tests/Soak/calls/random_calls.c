/* random_calls.c - does every function keep its promises, whatever is called, in whatever order, from several threads?
 *
 * usage: random_calls FOLDER FIXTURES SYMBOLS CALLS [SEED]      (make soak; a short form in make test-long)
 *   FOLDER   is made, for the files of the run      FIXTURES  Tests/Fixtures      SYMBOLS  Tests/ABI/symbols.txt
 *
 * Four threads share engines, models, trainers and images, give them good and broken texts, free them in any order, stop, delay and
 * interrupt calls from callbacks and call again from inside. After each call: results are NULL on failure; an error says its status
 * and something, in JSON; there is no INTERNAL; BUSY only where another call ran, CANCELLED only where somebody interrupted, CALLBACK
 * only where a callback said so; nothing is printed. Each thread's calls are the same for the same seed; how they meet is not. */
#include "calls.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, MOST_FUNCTIONS = 100, MOST_FAULTS = 50, LONGEST_MESSAGE = 2048 + 512 };

static const struct {
    hadpo_status status;
    const char *name;
} statuses[] = {{HADPO_OK, "ok"}, {HADPO_E_ARGUMENT, "argument"}, {HADPO_E_STATE, "state"}, {HADPO_E_BUSY, "busy"}, {HADPO_E_JSON, "json"},
                {HADPO_E_CONFIG, "config"}, {HADPO_E_IO, "io"}, {HADPO_E_FORMAT, "format"}, {HADPO_E_WEIGHTS, "weights"},
                {HADPO_E_UNSUPPORTED, "unsupported"}, {HADPO_E_NUMERICS, "numerics"}, {HADPO_E_CANCELLED, "cancelled"},
                {HADPO_E_CALLBACK, "callback"}, {HADPO_E_NO_MEMORY, "no memory"}, {HADPO_E_DEVICE, "device"}};
enum { STATUSES = sizeof statuses / sizeof statuses[0] };

static struct {
    long calls, by_status[STATUSES];
    double slowest; /* seconds */
} counts[MOST_FUNCTIONS];
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static long faults, nested;
static int out = 1; /* what was standard output */
static _Thread_local call *current;

void fault(const call *call, const char *format, ...)
{
    char why[512];
    va_list more;
    va_start(more, format);
    vsnprintf(why, sizeof why, format, more);
    va_end(more);
    pthread_mutex_lock(&counting);
    bool says = ++faults <= MOST_FAULTS;
    pthread_mutex_unlock(&counting);
    if (says) dprintf(out, "not ok %s: %s\n  with %.600s\n", call->function, why, call->text_is_null ? "NULL" : call->text);
}

/* A call that ends the host: which one, and then as it would have ended. */
static void on_crash(int number)
{
    const call *call = current;
    dprintf(out, "not ok %s: ended the host with signal %d\n  with %.600s\n", call != NULL ? call->function : "a thread of the library's", number,
            call != NULL ? call->text : "");
    signal(number, SIG_DFL);
    raise(number);
}

/* ---- from inside a call ------------------------------------------------------------------------------------------------ */

int32_t on_event(const char *record, size_t size, void *user)
{
    call *call = current;
    if (call == NULL) return 0;
    const char *why = record == NULL ? "NULL" : json_fault(record, size);
    if (why != NULL) fault(call, "a record is no JSON: %s: %.300s", why, record == NULL ? "" : record);
    if (call->stopped) fault(call, "an event after the callback said stop");
    if (call->events++ < call->act_at) return 0;
    struct timespec moment = {0, 20000};
    switch (call->behaviour) {
    case STOPS: call->stopped = true; return 1;
    case SLEEPS: nanosleep(&moment, NULL); return 0;
    case INTERRUPTS:
        for (int i = 0; i < call->borrowed_count; i++)
            if (call->borrowed[i]->kind == ENGINE && call->events == call->act_at + 1) {
                count_interrupt(user);
                hadpo_engine_interrupt(call->borrowed[i]->handle);
            }
        return 0;
    case CALLS_ANY: if (!call->is_inside && call->events < call->act_at + 3) random_call(call->chance, call); return 0;
    case CALLS_ONE:
        for (int i = 0; i < call->borrowed_count; i++)
            if (call->borrowed[i]->kind == MODEL) {
                hadpo_bytes *json = NULL;
                hadpo_status status = hadpo_model_describe(call->borrowed[i]->handle, &json, NULL);
                if (status != HADPO_E_BUSY) fault(call, "a call on the same engine from inside answers %d and not BUSY", (int)status);
                hadpo_bytes_free(json);
            }
        return 0;
    default: return 0;
    }
}

/* ---- what holds after a call ------------------------------------------------------------------------------------------- */

static int place_of(hadpo_status status)
{
    for (int i = 0; i < STATUSES; i++)
        if (statuses[i].status == status) return i;
    return -1;
}

static void check_error(call *c, hadpo_status status)
{
    if (!c->error_is_wanted) return;
    if (status == HADPO_OK || c->error == NULL) {
        if (status != HADPO_OK || c->error != NULL) fault(c, "status %d and %s error object", (int)status, c->error == NULL ? "no" : "an");
        return;
    }
    const char *json = hadpo_error_json(c->error);
    const char *why = json == NULL ? "NULL" : json_fault(json, strlen(json));
    char says[64];
    snprintf(says, sizeof says, "\"status\": %d,", (int)status);
    if (why != NULL)
        fault(c, "the error is no JSON: %s: %.200s", why, json == NULL ? "" : json);
    else if (strstr(json, says) == NULL || strstr(json, "\"message\": \"") == NULL || strstr(json, "\"message\": \"\"") != NULL)
        fault(c, "the error does not say its status %d or has no message: %.200s", (int)status, json);
    else if (strlen(json) > LONGEST_MESSAGE)
        fault(c, "an error of %zu bytes: %.200s", strlen(json), json);
    if (status == HADPO_E_INTERNAL) fault(c, "INTERNAL: %.300s", json);
    /* Of an engine, or of a file or folder that a call of any engine, or of none, is writing to. */
    if (status == HADPO_E_BUSY && !c->overlapped && strstr(json, "another run is") == NULL) fault(c, "BUSY, and no other call ran: %.300s", json);
    hadpo_error_free(c->error);
}

static void check_result(call *c, hadpo_status status)
{
    if (!c->bytes_are_wanted) return;
    if ((status == HADPO_OK) != (c->bytes != NULL)) fault(c, "status %d and %s result", (int)status, c->bytes == NULL ? "no" : "a");
    if (c->bytes == NULL) return;
    const char *data = hadpo_bytes_data(c->bytes);
    size_t size = hadpo_bytes_size(c->bytes);
    const char *why = json_fault(data, size);
    if (why != NULL || data[size] != 0) fault(c, "the result is no JSON with a NUL: %s", why == NULL ? "no NUL" : why);
    hadpo_bytes_free(c->bytes);
}

static void check_status(call *c, hadpo_status status)
{
    if (place_of(status) < 0) fault(c, "status %d is none of the interface", (int)status);
    if (status == HADPO_E_CANCELLED && !was_interrupted(c->engine)) fault(c, "CANCELLED, and nobody interrupted");
    if (status == HADPO_E_CALLBACK && !c->stopped) fault(c, "CALLBACK, and no callback said stop");
    if (c->stopped && status == HADPO_OK) fault(c, "status 0 after the callback said stop");
    if (status == HADPO_E_NO_MEMORY && (c->engine == NULL || !c->engine->is_small)) fault(c, "NO_MEMORY without a limit");
    if (status == HADPO_E_DEVICE) fault(c, "DEVICE");
}

static const function *choose_function(chance *chance)
{
    unsigned total = 0;
    for (int i = 0; i < function_count; i++) total += functions[i].weight;
    unsigned at = below(chance, total);
    const function *chosen = functions;
    for (; at >= chosen->weight; chosen++) at -= chosen->weight;
    return chosen;
}

void random_call(chance *chance, call *outer)
{
    const function *chosen = choose_function(chance);
    call c = {.chance = chance, .function = chosen->name, .is_inside = outer != NULL};
    c.error_is_wanted = !happens(chance, 10);
    c.bytes_are_wanted = !happens(chance, 3);
    c.bytes = (void *)1;
    c.error = (void *)1;
    c.behaviour = happens(chance, 30) ? QUIET : (behaviour)below(chance, BEHAVIOURS);
    c.act_at = below(chance, 3);
    choose_text(&c, chosen->text);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    current = &c;
    hadpo_status status = chosen->make(&c);
    current = outer;
    give_back(&c);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (!chosen->answers_nothing) {
        check_status(&c, status);
        check_error(&c, status);
        if (chosen->has_text) check_result(&c, status);
    }
    double seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    pthread_mutex_lock(&counting);
    long which = chosen - functions;
    counts[which].calls++;
    if (place_of(status) >= 0) counts[which].by_status[place_of(status)]++;
    if (seconds > counts[which].slowest) counts[which].slowest = seconds;
    nested += outer != NULL;
    pthread_mutex_unlock(&counting);
}

/* ---- the run ------------------------------------------------------------------------------------------------------------ */

typedef struct {
    pthread_t thread;
    chance chance;
    long calls;
} worker;

static void *work(void *argument)
{
    worker *worker = argument;
    for (long i = 0; i < worker->calls; i++) random_call(&worker->chance, NULL);
    return NULL;
}

/* The world that some texts name, and an adapter to load. */
static bool prepare_world(void)
{
    hadpo_engine *engine = NULL;
    hadpo_model *model = NULL;
    hadpo_trainer *trainer = NULL;
    char config[2048];
    bool done = hadpo_engine_open("{\"schema\":\"hadpo.engine/1\",\"threads\":1}", HADPO_NUL, NULL, NULL, &engine, NULL) == HADPO_OK;
    hadpo_bytes *report = NULL;
    done = done && hadpo_world_make(engine, "{\"schema\":\"hadpo.world/1\",\"output\":\"world\",\"evaluation_images\":2,\"training_images\":1}",
                                    HADPO_NUL, &report, NULL) == HADPO_OK;
    hadpo_bytes_free(report);
    snprintf(config, sizeof config, "{\"schema\":\"hadpo.model/1\",\"path\":\"%s/llava/old-f32\"}", fixtures_folder());
    done = done && hadpo_model_open(engine, config, HADPO_NUL, &model, NULL) == HADPO_OK;
    snprintf(config, sizeof config, "{\"schema\":\"hadpo.train/1\",\"data\":{\"format\":\"pairs\",\"pairs\":\"pairs.jsonl\",\"images\":\"%s/llava/pictures\"},"
             "\"steps\":3,\"batch\":1,\"accumulation\":1,\"lora\":{\"rank\":2,\"alpha\":4}}", fixtures_folder());
    done = done && hadpo_trainer_open(model, config, HADPO_NUL, &trainer, NULL) == HADPO_OK &&
           hadpo_trainer_save(trainer, "saved", NULL) == HADPO_OK;
    hadpo_trainer_free(trainer);
    hadpo_model_free(model);
    hadpo_engine_free(engine);
    return done;
}

/* Every function of the interface is in the table: 0 or the number of those that are not. */
static int missing_functions(const char *symbols)
{
    char line[256];
    int missing = 0;
    FILE *file = fopen(symbols, "r");
    if (file == NULL) return 1;
    while (fgets(line, sizeof line, file) != NULL) {
        char name[256];
        if (line[0] == '#' || sscanf(line, "%255s", name) != 1) continue;
        int i = 0;
        while (i < function_count && strcmp(functions[i].name, name) != 0) i++;
        if (i == function_count) fprintf(stderr, "random_calls: %s is never called\n", name), missing++;
    }
    fclose(file);
    return missing;
}

static void print_counts(void)
{
    dprintf(out, "%-24s %8s %8s %8s  %s\n", "function", "calls", "ok", "slowest", "refused with");
    for (int i = 0; i < function_count; i++) {
        char refusals[512] = "";
        for (int s = 1; s < STATUSES; s++)
            if (counts[i].by_status[s] > 0) {
                size_t used = strlen(refusals);
                snprintf(refusals + used, sizeof refusals - used, "%s %ld  ", statuses[s].name, counts[i].by_status[s]);
            }
        dprintf(out, "%-24s %8ld %8ld %6.0fms  %s\n", functions[i].name, counts[i].calls, counts[i].by_status[0], counts[i].slowest * 1000, refusals);
    }
}

int main(int argc, char **argv)
{
    char fixtures[4096];
    if (argc < 5 || realpath(argv[2], fixtures) == NULL || missing_functions(argv[3]) != 0)
        return fprintf(stderr, "usage: random_calls FOLDER FIXTURES SYMBOLS CALLS [SEED]\n"), 2;
    long calls = atol(argv[4]), seed = argc > 5 ? atol(argv[5]) : 1;
    mkdir(argv[1], 0777);
    if (chdir(argv[1]) != 0 || !prepare_files(fixtures) || !prepare_world()) return fprintf(stderr, "random_calls: no world in %s\n", argv[1]), 2;
    /* What the library prints, which it never does, lands in a file. */
    out = dup(1);
    FILE *printed = fopen("printed", "w");
    if (printed == NULL) return 2;
    fflush(stdout);
    dup2(fileno(printed), 1);
    dup2(fileno(printed), 2);
    signal(SIGILL, on_crash), signal(SIGTRAP, on_crash), signal(SIGSEGV, on_crash), signal(SIGBUS, on_crash), signal(SIGABRT, on_crash);
    static worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i].chance.state = (uint64_t)seed * 1000 + (uint64_t)i;
        workers[i].calls = calls / THREADS;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) return 2;
    }
    for (int i = 0; i < THREADS; i++) pthread_join(workers[i].thread, NULL);
    free_everything();
    fflush(stdout);
    struct stat status;
    if (fstat(fileno(printed), &status) != 0 || status.st_size != 0) faults++, dprintf(out, "not ok: the library printed %ld bytes\n", (long)status.st_size);
    print_counts();
    long uncalled = 0;
    for (int i = 0; i < function_count; i++) uncalled += counts[i].calls == 0;
    dprintf(out, "%ld calls and %ld from inside callbacks, seed %ld: %ld faults\n", calls / THREADS * THREADS, nested, seed, faults);
    return faults == 0 && uncalled == 0 ? 0 : 1;
}
