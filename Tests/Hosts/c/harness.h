/* harness.h - what the host programs share: checks, captured descriptors, small fixtures.
 *
 * Descriptors 1 and 2 are redirected while the library works; at the end they must be empty, since the library never
 * prints. Results are kept aside and written when the descriptors are back. */
#ifndef HADPO_TEST_HARNESS_H
#define HADPO_TEST_HARNESS_H
#define _DEFAULT_SOURCE
#include <hadpo.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char results[1 << 18];
static size_t results_size;
static int failures, saved_descriptors[2], captured[2];
static const char *fixtures = "."; /* argv[1]: Tests/Fixtures */

__attribute__((unused)) static bool check(bool holds, const char *format, const char *detail)
{
    char name[512];
    snprintf(name, sizeof name, format, detail);
    failures += !holds;
    results_size += (size_t)snprintf(results + results_size, sizeof results - results_size, "%sok %s\n", holds ? "" : "not ", name);
    if (results_size > sizeof results - 1024) results_size = sizeof results - 1024;
    return holds;
}

/* What this machine cannot show: a line of its own, neither passed nor failed. */
__attribute__((unused)) static void skipped(const char *format, const char *detail)
{
    char name[512];
    snprintf(name, sizeof name, format, detail);
    results_size += (size_t)snprintf(results + results_size, sizeof results - results_size, "skipped %s\n", name);
    if (results_size > sizeof results - 1024) results_size = sizeof results - 1024;
}

/* A status as expected; a failure shows what the error said and frees it. `expected` -1: any failure. */
__attribute__((unused)) static bool check_status(hadpo_status status, int expected, hadpo_error **error, const char *what)
{
    char detail[400];
    const char *text = error != NULL && *error != NULL ? hadpo_error_json(*error) : NULL;
    bool holds = expected == -1 ? status != HADPO_OK : status == expected;
    if (holds)
        snprintf(detail, sizeof detail, "%s", what);
    else
        snprintf(detail, sizeof detail, "%s: status %d, expected %d %.200s", what, status, expected, text != NULL ? text : "");
    check(holds, "%s", detail);
    if (error != NULL) {
        check((status == HADPO_OK) == (*error == NULL), "%s: an error object exactly when it fails", what);
        hadpo_error_free(*error);
        *error = NULL;
    }
    return holds;
}

__attribute__((unused)) static void begin(int argc, char **argv)
{
    if (argc > 1) fixtures = argv[1];
    static const char *const names[2] = {"captured-1", "captured-2"};
    for (int i = 0; i < 2; i++) {
        saved_descriptors[i] = dup(i + 1);
        FILE *file = fopen(names[i], "w");
        if (file == NULL) exit(90);
        captured[i] = fileno(file);
        dup2(captured[i], i + 1);
    }
}

/* Writes the results; returns the exit status. */
__attribute__((unused)) static int finish(void)
{
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
        struct stat status;
        bool empty = fstat(captured[i], &status) == 0 && status.st_size == 0;
        check(empty, "descriptor %s stays empty", i == 0 ? "1" : "2");
        dup2(saved_descriptors[i], i + 1);
    }
    size_t at = 0;
    while (at < results_size) {
        ssize_t wrote = write(1, results + at, results_size - at);
        if (wrote <= 0) exit(91);
        at += (size_t)wrote;
    }
    return 0; /* failed checks are counted from the lines; another status means a crash */
}

__attribute__((unused)) static hadpo_engine *open_engine(void)
{
    hadpo_engine *engine = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_engine_open("{\"schema\":\"hadpo.engine/1\",\"threads\":2}", HADPO_NUL, NULL, NULL, &engine, &error);
    check_status(status, HADPO_OK, &error, "an engine opens");
    return engine;
}

/* The smallest checkpoint there is: random weights, a few hundred KB. */
__attribute__((unused)) static hadpo_model *open_model(hadpo_engine *engine)
{
    char config[1024];
    snprintf(config, sizeof config, "{\"schema\":\"hadpo.model/1\",\"path\":\"%s/llava/old-f32\"}", fixtures);
    hadpo_model *model = NULL;
    hadpo_error *error = NULL;
    check_status(hadpo_model_open(engine, config, HADPO_NUL, &model, &error), HADPO_OK, &error, "the fixture model opens");
    return model;
}

__attribute__((unused)) static hadpo_image *make_image(void)
{
    static uint8_t pixels[24 * 20 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 7);
    hadpo_image *image = NULL;
    hadpo_error *error = NULL;
    check_status(hadpo_image_from_rgb8(pixels, 24, 20, 72, &image, &error), HADPO_OK, &error, "an image from pixels");
    return image;
}

__attribute__((unused)) static void train_config(char *config, size_t size)
{
    snprintf(config, size,
             "{\"schema\":\"hadpo.train/1\",\"data\":{\"format\":\"pairs\",\"pairs\":\"%s/llava/dpo/pairs.jsonl\","
             "\"images\":\"%s/llava/pictures\"},\"steps\":3,\"batch\":1,\"lora\":{\"rank\":2,\"alpha\":4}}",
             fixtures, fixtures);
}

__attribute__((unused)) static hadpo_trainer *open_trainer(hadpo_model *model)
{
    char config[2048];
    train_config(config, sizeof config);
    hadpo_trainer *trainer = NULL;
    hadpo_error *error = NULL;
    check_status(hadpo_trainer_open(model, config, HADPO_NUL, &trainer, &error), HADPO_OK, &error, "a trainer opens");
    return trainer;
}
#endif
