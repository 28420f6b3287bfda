/* session.c - opening engine, model and images from configs; Ctrl-C. */
#define _DEFAULT_SOURCE
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The engine that Ctrl-C stops. The handler may only read it: interrupting is one atomic store in the library. */
static hadpo_engine *volatile interruptible;

static void on_interrupt(int number)
{
    hadpo_engine *engine = interruptible;
    /* The second Ctrl-C, or one with nothing to stop, ends the process as if there were no handler. */
    signal(number, SIG_DFL);
    if (engine == NULL) {
        raise(number);
        return;
    }
    static const char text[] = "\nhadpo: stopping (Ctrl-C again to end at once)\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) return;
    hadpo_engine_interrupt(engine);
}

static void handle_interrupts(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    /* A terminal that is closed; who asked to outlive it (nohup) does. */
    struct sigaction hangup;
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, NULL);
}

int open_engine(session *session, const invocation *call)
{
    if (session->engine != NULL) return DONE;
    int page = page_check(call);
    if (page != DONE) return page;
    events_begin(call);
    const char *config = json_text(call->engine);
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_engine_open(config, strlen(config), on_event, NULL, &session->engine, &error);
    if (status != HADPO_OK) return fail("opening the engine", status, error);
    interruptible = session->engine;
    handle_interrupts();
    return DONE;
}

int open_model(session *session, const invocation *call)
{
    int outcome = open_engine(session, call);
    if (outcome != DONE) return outcome;
    const char *config = json_text(call->model);
    hadpo_error *error = NULL;
    events_label("loading");
    hadpo_status status = hadpo_model_open(session->engine, config, strlen(config), &session->model, &error);
    events_label(NULL);
    return status == HADPO_OK ? DONE : fail("opening the model", status, error);
}

int decode_image(const char *path, hadpo_image **image)
{
    size_t size;
    char *data = read_file(path, &size);
    if (data == NULL) return fail_file("cannot read the picture", path);
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_image_decode(data, size, image, &error);
    free(data);
    if (status == HADPO_OK) return DONE;
    char doing[512];
    snprintf(doing, sizeof doing, "decoding %s", path);
    return fail(doing, status, error);
}

void close_session(session *session)
{
    events_clear();
    interruptible = NULL;
    hadpo_model_free(session->model);
    hadpo_engine_free(session->engine);
    session->model = NULL;
    session->engine = NULL;
}
