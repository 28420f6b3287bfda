/* Every set of kernels that the processor has, with exact and with fast numerics: two threads with an engine each describe a picture
 * and take a training step at the same time, on a model whose products are large enough to be shared among an engine's threads.
 * Both get the same bits. Also run under the thread sanitizer (make check-tsan), which reaches AMX only in this way: `auto` takes it
 * under fast numerics alone. */
#include "harness.h"

#include <math.h>
#include <pthread.h>

static const char *const kernels[] = {"portable", "avx2", "avx512", "avx512-bf16", "amx-bf16"};
static const char *const numerics[] = {"exact", "fast"};

typedef struct {
    hadpo_engine *engine;
    hadpo_image *image;
    char name[64];       /* of the kernels that the engine says it uses */
    char *description;   /* what generate answered */
    double loss;         /* of the second step, which the first one's update has changed */
    int failed;          /* calls that did not end well; check() belongs to the main thread */
} host;

static double number_after(const char *text, const char *key)
{
    const char *at = text == NULL ? NULL : strstr(text, key);
    return at == NULL ? NAN : strtod(at + strlen(key), NULL);
}

static void *work(void *argument)
{
    host *all = argument;
    hadpo_model *model = NULL;
    hadpo_trainer *trainer = NULL;
    hadpo_bytes *result = NULL;
    char train[2048];
    static const char model_config[] = "{\"schema\":\"hadpo.model/1\",\"path\":\"kernels-world/model\"}";
    static const char request[] = "{\"schema\":\"hadpo.generate/1\",\"question\":\"Describe this image in detail.\",\"max_new_tokens\":6}";
    train_config(train, sizeof train);
    all->failed += hadpo_model_open(all->engine, model_config, HADPO_NUL, &model, NULL) != HADPO_OK;
    all->failed += hadpo_model_describe(model, &result, NULL) != HADPO_OK;
    const char *name = result == NULL ? NULL : strstr(hadpo_bytes_data(result), "\"kernels\":");
    if (name != NULL) sscanf(name, "\"kernels\": \"%63[^\"]", all->name);
    hadpo_bytes_free(result);
    result = NULL;
    all->failed += hadpo_model_generate(model, request, HADPO_NUL, all->image, &result, NULL) != HADPO_OK;
    if (result != NULL) all->description = strdup(hadpo_bytes_data(result));
    hadpo_bytes_free(result);
    result = NULL;
    all->failed += hadpo_trainer_open(model, train, HADPO_NUL, &trainer, NULL) != HADPO_OK;
    all->failed += hadpo_trainer_run(trainer, 2, &result, NULL) != HADPO_OK;
    all->loss = number_after(result == NULL ? NULL : hadpo_bytes_data(result), "\"loss\":");
    hadpo_bytes_free(result);
    hadpo_trainer_free(trainer);
    hadpo_model_free(model);
    return NULL;
}

/* The answer without what was measured: times differ. */
static bool same_text(const char *a, const char *b)
{
    const char *one = a == NULL ? NULL : strstr(a, "\"text\":"), *other = b == NULL ? NULL : strstr(b, "\"text\":");
    if (one == NULL || other == NULL) return false;
    const char *begins = strchr(one + 7, '"');
    return begins != NULL && strncmp(one, other, (size_t)(begins - one) + 1 + strcspn(begins + 1, "\"")) == 0;
}

static void try_kernels(const char *name, const char *numbers)
{
    char config[256], what[128];
    host hosts[2];
    hadpo_error *error = NULL;
    memset(hosts, 0, sizeof hosts);
    snprintf(config, sizeof config, "{\"schema\":\"hadpo.engine/1\",\"threads\":3,\"kernels\":\"%s\",\"numerics\":\"%s\"}", name, numbers);
    snprintf(what, sizeof what, "kernels %s, %s", name, numbers);
    hadpo_status status = hadpo_engine_open(config, HADPO_NUL, NULL, NULL, &hosts[0].engine, &error);
    if (status == HADPO_E_DEVICE || status == HADPO_E_UNSUPPORTED) {
        skipped("%s: this processor has them not", what);
        hadpo_error_free(error);
        return;
    }
    check_status(status, HADPO_OK, &error, what);
    check_status(hadpo_engine_open(config, HADPO_NUL, NULL, NULL, &hosts[1].engine, &error), HADPO_OK, &error, what);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) hosts[i].image = make_image();
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, work, &hosts[i]);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    check(hosts[0].failed + hosts[1].failed == 0, "%s: two threads describe and train", what);
    check(isfinite(hosts[0].loss) && hosts[0].loss == hosts[1].loss, "%s: the same finite loss in both", what);
    check(same_text(hosts[0].description, hosts[1].description), "%s: the same text in both", what);
    if (strcmp(numbers, "fast") == 0) check(strcmp(hosts[0].name, name) == 0, "%s: these are the kernels in use", what);
    for (int i = 0; i < 2; i++) {
        free(hosts[i].description);
        hadpo_image_free(hosts[i].image);
        hadpo_engine_free(hosts[i].engine);
    }
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    hadpo_engine *engine = open_engine();
    hadpo_error *error = NULL;
    hadpo_bytes *report = NULL;
    check_status(hadpo_world_make(engine, "{\"schema\":\"hadpo.world/1\",\"output\":\"kernels-world\",\"evaluation_images\":8,"
                                          "\"training_images\":0}", HADPO_NUL, &report, &error), HADPO_OK, &error, "a world is made");
    hadpo_bytes_free(report);
    hadpo_engine_free(engine);
    for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++)
        for (size_t n = 0; n < sizeof numerics / sizeof numerics[0]; n++) try_kernels(kernels[k], numerics[n]);
    return finish();
}
