/* The event callback, interruption, BUSY from a second thread, and the child of a fork. */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

static int records, malformed, answer;
static hadpo_model *of_callback;
static hadpo_status status_in_callback;

static int32_t count_record(const char *record, size_t size, void *user)
{
    records++;
    if (user != (void *)&records || size < 11 || memcmp(record, "{\"event\":", 9) != 0 || record[size - 1] != '}') malformed++;
    if (of_callback != NULL) {
        /* [one]: a call from within a call is a concurrent call. */
        hadpo_bytes *json = NULL;
        status_in_callback = hadpo_model_generate(of_callback, "{\"schema\":\"hadpo.generate/1\",\"prompt\":\"a\"}", HADPO_NUL, NULL,
                                                  &json, NULL);
        hadpo_bytes_free(json);
    }
    return answer;
}

static hadpo_trainer *prepare(hadpo_engine **engine, hadpo_model **model)
{
    hadpo_error *error = NULL;
    *engine = NULL;
    check_status(hadpo_engine_open("{\"schema\":\"hadpo.engine/1\"}", HADPO_NUL, count_record, &records, engine, &error), HADPO_OK,
                 &error, "an engine with a callback opens");
    *model = open_model(*engine);
    return *model == NULL ? NULL : open_trainer(*model);
}

static void release(hadpo_engine *engine, hadpo_model *model, hadpo_trainer *trainer)
{
    hadpo_trainer_free(trainer);
    hadpo_model_free(model);
    hadpo_engine_free(engine);
}

static void test_callback(void)
{
    hadpo_engine *engine;
    hadpo_model *model;
    hadpo_trainer *trainer = prepare(&engine, &model);
    if (trainer == NULL) return;
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    records = malformed = 0;
    of_callback = model;
    check_status(hadpo_trainer_run(trainer, 1, &report, &error), HADPO_OK, &error, "a step with a callback");
    of_callback = NULL;
    hadpo_bytes_free(report);
    report = NULL;
    check(records > 0, "a step says something%s", "");
    check(malformed == 0, "every record is an object whose first key is event%s", "");
    check(status_in_callback == HADPO_E_BUSY, "a call from the callback is answered BUSY%s", "");
    answer = 1;
    check_status(hadpo_trainer_run(trainer, 1, &report, &error), HADPO_E_CALLBACK, &error, "a callback that says stop");
    answer = 0;
    check_status(hadpo_trainer_run(trainer, 1, &report, &error), HADPO_OK, &error, "a stopped training runs on");
    hadpo_bytes_free(report);
    release(engine, model, trainer);
}

static void test_interrupt(void)
{
    hadpo_engine *engine;
    hadpo_model *model;
    hadpo_trainer *trainer = prepare(&engine, &model);
    if (trainer == NULL) return;
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    hadpo_engine_interrupt(engine);
    check_status(hadpo_trainer_run(trainer, 1, &report, &error), HADPO_E_CANCELLED, &error, "an interrupted training");
    check_status(hadpo_trainer_run(trainer, 1, &report, &error), HADPO_OK, &error, "an interrupt stops one call only");
    hadpo_bytes_free(report);
    release(engine, model, trainer);
}

static atomic_int running, seen_busy, trained;
static hadpo_model *shared_model;

static void *generate_in_a_loop(void *image)
{
    static const char request[] = "{\"schema\":\"hadpo.generate/1\",\"question\":\"What is there?\",\"max_new_tokens\":24}";
    while (atomic_load(&running)) {
        hadpo_bytes *json = NULL;
        hadpo_status status = hadpo_model_generate(shared_model, request, HADPO_NUL, image, &json, NULL);
        hadpo_bytes_free(json);
        if (status == HADPO_E_BUSY)
            atomic_fetch_add(&seen_busy, 1);
        else if (status != HADPO_OK)
            atomic_store(&running, 0);
    }
    return NULL;
}

/* The three steps there are, then OK at once. */
static void *train_in_a_loop(void *trainer)
{
    while (atomic_load(&running)) {
        hadpo_bytes *report = NULL;
        hadpo_status status = hadpo_trainer_run(trainer, 1, &report, NULL);
        hadpo_bytes_free(report);
        if (status == HADPO_OK) atomic_fetch_add(&trained, 1);
        if (status != HADPO_OK && status != HADPO_E_BUSY) atomic_store(&running, 0);
    }
    return NULL;
}

static void test_busy(void)
{
    hadpo_engine *engine = open_engine();
    shared_model = open_model(engine);
    hadpo_image *image = make_image();
    if (shared_model == NULL) return;
    hadpo_trainer *trainer = open_trainer(shared_model);
    atomic_store(&running, 1);
    pthread_t threads[3];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, generate_in_a_loop, image);
    pthread_create(&threads[2], NULL, train_in_a_loop, trainer);
    for (int i = 0; i < 500 && (atomic_load(&seen_busy) < 10 || atomic_load(&trained) < 3); i++) usleep(10000);
    check(atomic_load(&running) == 1, "three threads on one model, one of them training: OK or BUSY, nothing else%s", "");
    atomic_store(&running, 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    check(atomic_load(&seen_busy) > 0, "three threads on one model: BUSY was seen%s", "");
    check(atomic_load(&trained) >= 3, "three threads on one model: the training came to its end%s", "");
    hadpo_trainer_free(trainer);
    hadpo_image_free(image);
    hadpo_model_free(shared_model);
    hadpo_engine_free(engine);
}

/* In the child: 0 when every call answered STATE, the handles could be freed, and an engine of the child's own works. */
static int in_the_child(hadpo_engine *engine, hadpo_model *model)
{
    static const char score[] = "{\"schema\":\"hadpo.score/1\",\"prompt\":\"a\",\"completion\":\"b\"}";
    hadpo_bytes *json = NULL;
    size_t count = 0;
    if (hadpo_model_describe(model, &json, NULL) != HADPO_E_STATE) return 1;
    if (hadpo_model_score(model, score, HADPO_NUL, NULL, NULL, 0, &count, NULL) != HADPO_E_STATE) return 2;
    hadpo_model_free(model);
    hadpo_engine_free(engine);
    engine = open_engine();
    model = open_model(engine);
    hadpo_status status =
        hadpo_model_generate(model, "{\"schema\":\"hadpo.generate/1\",\"prompt\":\"a\"}", HADPO_NUL, NULL, &json, NULL);
    hadpo_bytes_free(json);
    hadpo_model_free(model);
    hadpo_engine_free(engine);
    return status == HADPO_OK ? 0 : 3;
}

static void test_fork(void)
{
    hadpo_engine *engine = open_engine();
    hadpo_model *model = open_model(engine);
    pid_t child = fork();
    if (child == 0) _exit(in_the_child(engine, model));
    int ended = -1;
    for (int i = 0; i < 1000 && waitpid(child, &ended, WNOHANG) == 0; i++) usleep(10000);
    if (ended == -1) kill(child, SIGKILL);
    check(ended != -1, "the child of a fork does not hang%s", "");
    check(ended != -1 && WIFEXITED(ended) && WEXITSTATUS(ended) == 0,
          "in the child of a fork handles answer STATE and can be freed, and new ones work%s", "");
    hadpo_model_free(model);
    hadpo_engine_free(engine);
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    test_callback();
    test_interrupt();
    test_busy();
    test_fork();
    return finish();
}
