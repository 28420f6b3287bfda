/* A SIGINT whose handler calls hadpo_engine_interrupt, in the thread that is deep in the call: describing, POPE, training. The
 * call ends with CANCELLED within two seconds, the same handles work on, and what was begun ends in the same bits. */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

static const double LIMIT = 2.0; /* seconds, the promise; a step or a token of these models takes milliseconds */
enum { ROUNDS = 4 };

static hadpo_engine *engine; /* for the handler */
static struct timespec handled;
static atomic_int count_handled;

static void on_signal(int number)
{
    (void)number;
    hadpo_engine_interrupt(engine);
    clock_gettime(CLOCK_MONOTONIC, &handled);
    atomic_fetch_add(&count_handled, 1);
}

/* The sender blocks the signal, the pool's workers do too: it is the main thread that is stopped in the call. */
static void *send_signal(void *milliseconds)
{
    struct timespec pause = {.tv_nsec = *(const long *)milliseconds * 1000000L};
    nanosleep(&pause, NULL);
    kill(getpid(), SIGINT);
    return NULL;
}

static pthread_t sender;
static long after;

static void send_later(long milliseconds)
{
    sigset_t interrupt, before;
    after = milliseconds;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, &before);
    atomic_store(&count_handled, 0);
    pthread_create(&sender, NULL, send_signal, &after);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* After the call that was to be stopped. */
static void check_stopped(hadpo_status status, hadpo_error **error, const char *what)
{
    struct timespec now;
    char name[64];
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_join(sender, NULL);
    snprintf(name, sizeof name, "%s, SIGINT after %ld ms", what, after);
    check_status(status, HADPO_E_CANCELLED, error, name);
    double seconds = (double)(now.tv_sec - handled.tv_sec) + 1e-9 * (double)(now.tv_nsec - handled.tv_nsec);
    check(atomic_load(&count_handled) == 1 && seconds < LIMIT, "%s: back within two seconds of the handler", name);
}

static hadpo_model *make_world(void)
{
    hadpo_bytes *report = NULL;
    hadpo_model *model = NULL;
    hadpo_error *error = NULL;
    check_status(hadpo_world_make(engine, "{\"schema\":\"hadpo.world/1\",\"output\":\"world\",\"evaluation_images\":40,\"training_images\":0}",
                                  HADPO_NUL, &report, &error), HADPO_OK, &error, "the world is made");
    hadpo_bytes_free(report);
    check_status(hadpo_model_open(engine, "{\"schema\":\"hadpo.model/1\",\"path\":\"world/model\"}", HADPO_NUL, &model, &error),
                 HADPO_OK, &error, "the world's model opens");
    return model;
}

static void test_describing(hadpo_model *model)
{
    static const char request[] = "{\"schema\":\"hadpo.generate/1\",\"question\":\"Describe this image in detail.\",\"num_beams\":5,"
                                  "\"max_new_tokens\":120}";
    hadpo_image *image = make_image();
    for (int round = 0; round < ROUNDS; round++) {
        hadpo_status status;
        hadpo_bytes *json = NULL;
        hadpo_error *error = NULL;
        send_later(20 + 37 * round);
        do { /* described over and over, so that the signal finds a call to stop */
            hadpo_bytes_free(json);
            status = hadpo_model_generate(model, request, HADPO_NUL, image, &json, &error);
        } while (status == HADPO_OK);
        check(json == NULL, "a stopped description leaves no result%s", "");
        check_stopped(status, &error, "describing");
    }
    hadpo_bytes *json = NULL;
    hadpo_error *error = NULL;
    check_status(hadpo_model_generate(model, request, HADPO_NUL, image, &json, &error), HADPO_OK, &error, "describing after the signals");
    hadpo_bytes_free(json);
    hadpo_image_free(image);
}

static bool same_files(const char *a, const char *b)
{
    FILE *one = fopen(a, "rb"), *other = fopen(b, "rb");
    bool same = one != NULL && other != NULL;
    for (int c = 0; same && c != EOF;) same = (c = fgetc(one)) == fgetc(other);
    if (one != NULL) fclose(one);
    if (other != NULL) fclose(other);
    return same;
}

static hadpo_status ask_pope(hadpo_model *model, const char *answers, hadpo_error **error)
{
    char config[512];
    hadpo_bytes *report = NULL;
    snprintf(config, sizeof config,
             "{\"schema\":\"hadpo.pope/1\",\"questions\":\"world/POPE/output/coco/coco_pope_random.json\",\"images\":\"world/coco2014/"
             "val2014\",\"answers\":\"%s\",\"max_new_tokens\":16}", answers);
    hadpo_status status = hadpo_pope_run(model, config, HADPO_NUL, &report, error);
    hadpo_bytes_free(report);
    return status;
}

static void test_pope(hadpo_model *model)
{
    hadpo_error *error = NULL;
    hadpo_status status;
    check_status(ask_pope(model, "whole.jsonl", &error), HADPO_OK, &error, "POPE without a signal");
    for (int round = 0; round < ROUNDS; round++) {
        send_later(10 + 23 * round);
        do remove("stopped.jsonl");
        while ((status = ask_pope(model, "stopped.jsonl", &error)) == HADPO_OK);
        check_stopped(status, &error, "POPE");
        check_status(ask_pope(model, "stopped.jsonl", &error), HADPO_OK, &error, "POPE asks the rest");
        check(same_files("whole.jsonl", "stopped.jsonl"), "the answers of a stopped POPE run are those of a whole one%s", "");
    }
}

static hadpo_trainer *open_long_training(hadpo_model *model)
{
    char config[2048];
    hadpo_trainer *trainer = NULL;
    hadpo_error *error = NULL;
    snprintf(config, sizeof config,
             "{\"schema\":\"hadpo.train/1\",\"data\":{\"format\":\"pairs\",\"pairs\":\"%s/llava/dpo/pairs.jsonl\",\"images\":\"%s/llava/"
             "pictures\"},\"steps\":100000,\"batch\":2,\"lora\":{\"rank\":2,\"alpha\":4},\"optimizer\":{\"learning_rate\":1e-3},"
             "\"schedule\":{\"kind\":\"constant\",\"warmup_steps\":0},\"overwrite\":true}", fixtures, fixtures);
    check_status(hadpo_trainer_open(model, config, HADPO_NUL, &trainer, &error), HADPO_OK, &error, "a long training opens");
    return trainer;
}

/* Runs, saves into `folder`, frees; the step that was reached. */
static long run_and_save(hadpo_trainer *trainer, long steps, const char *folder)
{
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    check_status(hadpo_trainer_run(trainer, (uint64_t)steps, &report, &error), HADPO_OK, &error, "the training runs on");
    check_status(hadpo_trainer_save(trainer, folder, &error), HADPO_OK, &error, "the training is saved");
    const char *step = report == NULL ? NULL : strstr(hadpo_bytes_data(report), "\"step\":");
    long reached = step == NULL ? 0 : strtol(step + strlen("\"step\":"), NULL, 10);
    hadpo_bytes_free(report);
    hadpo_trainer_free(trainer);
    return reached;
}

static void test_training(void)
{
    hadpo_model *model = open_model(engine);
    static const char *const files[] = {"adapter_model.safetensors", "trainer_state.safetensors"};
    for (int round = 0; round < ROUNDS && model != NULL; round++) {
        hadpo_bytes *report = NULL;
        hadpo_error *error = NULL;
        hadpo_trainer *trainer = open_long_training(model);
        /* In all rounds but the first a step has been taken, however slow the machine is. */
        if (round > 0) check_status(hadpo_trainer_run(trainer, 1, &report, &error), HADPO_OK, &error, "the first step is taken");
        hadpo_bytes_free(report);
        report = NULL;
        send_later(15 + 61 * round);
        hadpo_status status = hadpo_trainer_run(trainer, 0, &report, &error);
        check(report == NULL, "a stopped training leaves no report%s", "");
        check_stopped(status, &error, "training");
        check_status(hadpo_trainer_save(trainer, "stopped", &error), HADPO_OK, &error, "a stopped training is saved");
        long reached = run_and_save(trainer, 2, "run-on");

        trainer = open_long_training(model);
        check_status(hadpo_trainer_resume(trainer, "stopped", &error), HADPO_OK, &error, "a stopped training is resumed");
        check(run_and_save(trainer, 2, "resumed") == reached, "the resumed training reaches the same step%s", "");
        check(run_and_save(open_long_training(model), reached, "whole") == reached, "so does one without a signal%s", "");
        check(reached >= (round == 0 ? 2 : 3), "a stopped training keeps the steps that it has taken%s", "");
        for (int i = 0; i < 2; i++) {
            char whole[64], run_on[64], resumed[64];
            snprintf(whole, sizeof whole, "whole/%s", files[i]);
            snprintf(run_on, sizeof run_on, "run-on/%s", files[i]);
            snprintf(resumed, sizeof resumed, "resumed/%s", files[i]);
            check(same_files(whole, run_on), "run on after a signal: the same bits of %s", files[i]);
            check(same_files(whole, resumed), "resumed after a signal: the same bits of %s", files[i]);
        }
    }
    hadpo_model_free(model);
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal; /* without SA_RESTART: system calls end with EINTR, the harder case */
    sigaction(SIGINT, &action, NULL);
    engine = open_engine();
    hadpo_model *model = make_world();
    if (model != NULL) {
        test_describing(model);
        test_pope(model);
        test_training();
    }
    hadpo_model_free(model);
    signal(SIGINT, SIG_DFL);
    hadpo_engine_free(engine);
    return finish();
}
