/* Every function with NULL in each position: an error or success, never a crash, and what is out stays NULL. */
#include "harness.h"

static hadpo_engine *engine;
static hadpo_model *model;
static hadpo_trainer *trainer;
static hadpo_image *image;
static hadpo_error *error;
static hadpo_bytes *bytes;

/* Calls twice: with an error to fill, and without. */
#define REFUSES(call_with, call_without, what)                             \
    do {                                                                   \
        error = NULL;                                                      \
        bytes = NULL;                                                      \
        check_status(call_with, HADPO_E_ARGUMENT, &error, what);           \
        check(bytes == NULL, "%s: out stays NULL", what);                  \
        check_status(call_without, HADPO_E_ARGUMENT, NULL, what " (no error wanted)"); \
    } while (0)

static void test_library(void)
{
    REFUSES(hadpo_config_default(NULL, &bytes, &error), hadpo_config_default(NULL, &bytes, NULL), "config_default: schema");
    REFUSES(hadpo_config_default("hadpo.engine/1", NULL, &error), hadpo_config_default("hadpo.engine/1", NULL, NULL),
            "config_default: out");
    REFUSES(hadpo_config_resolve(NULL, 10, &bytes, &error), hadpo_config_resolve(NULL, HADPO_NUL, &bytes, NULL),
            "config_resolve: config");
    REFUSES(hadpo_config_resolve("{}", 2, NULL, &error), hadpo_config_resolve("{}", 2, NULL, NULL), "config_resolve: out");
    REFUSES(hadpo_config_complete(NULL, 10, NULL, &bytes, &error), hadpo_config_complete(NULL, HADPO_NUL, NULL, &bytes, NULL),
            "config_complete: config");
    REFUSES(hadpo_config_complete("{}", 2, NULL, NULL, &error), hadpo_config_complete("{}", 2, NULL, NULL, NULL), "config_complete: out");
    check_status(hadpo_config_resolve("{", 1, &bytes, NULL), HADPO_E_JSON, NULL, "a failure without an error object");
    static hadpo_status (*const evaluators[])(const char *, size_t, hadpo_bytes **, hadpo_error **) = {
        hadpo_pope_evaluate, hadpo_pope_build, hadpo_chair_score, hadpo_shr_requests, hadpo_shr_score, hadpo_shr_agree,
        hadpo_report_write};
    for (size_t i = 0; i < sizeof evaluators / sizeof evaluators[0]; i++) {
        REFUSES(evaluators[i](NULL, 5, &bytes, &error), evaluators[i](NULL, HADPO_NUL, &bytes, NULL), "evaluator: config");
        REFUSES(evaluators[i]("{}", 2, NULL, &error), evaluators[i]("{}", 2, NULL, NULL), "evaluator: out");
    }
    REFUSES(hadpo_shr_describe(NULL, "{}", 2, &bytes, &error), hadpo_shr_describe(NULL, "{}", 2, &bytes, NULL),
            "shr_describe: model");
    REFUSES(hadpo_pope_score(NULL, 5, "{}", 2, &bytes, &error), hadpo_pope_score(NULL, HADPO_NUL, "{}", 2, &bytes, NULL),
            "pope_score: questions");
    REFUSES(hadpo_pope_score("{}", 2, NULL, 5, &bytes, &error), hadpo_pope_score("{}", 2, NULL, HADPO_NUL, &bytes, NULL),
            "pope_score: answers");
    REFUSES(hadpo_pope_score("{}", 2, "{}", 2, NULL, &error), hadpo_pope_score("{}", 2, "{}", 2, NULL, NULL), "pope_score: out");
}

static void test_engine_and_images(void)
{
    static const char config[] = "{\"schema\":\"hadpo.engine/1\"}";
    static const uint8_t pixels[3 * 4] = {0};
    hadpo_engine *none = NULL;
    hadpo_image *nothing = NULL;
    REFUSES(hadpo_engine_open(NULL, 5, NULL, NULL, &none, &error), hadpo_engine_open(NULL, HADPO_NUL, NULL, NULL, &none, NULL),
            "engine_open: config");
    REFUSES(hadpo_engine_open(config, HADPO_NUL, NULL, NULL, NULL, &error),
            hadpo_engine_open(config, HADPO_NUL, NULL, NULL, NULL, NULL), "engine_open: out");
    REFUSES(hadpo_image_from_rgb8(NULL, 2, 2, 6, &nothing, &error), hadpo_image_from_rgb8(NULL, 2, 2, 6, &nothing, NULL),
            "image_from_rgb8: pixels");
    REFUSES(hadpo_image_from_rgb8(pixels, 2, 2, 6, NULL, &error), hadpo_image_from_rgb8(pixels, 2, 2, 6, NULL, NULL),
            "image_from_rgb8: out");
    REFUSES(hadpo_image_decode(NULL, 7, &nothing, &error), hadpo_image_decode(NULL, 7, &nothing, NULL), "image_decode: data");
    REFUSES(hadpo_image_decode("x", 1, NULL, &error), hadpo_image_decode("x", 1, NULL, NULL), "image_decode: out");
    check(none == NULL && nothing == NULL, "handles stay NULL%s", "");
    hadpo_engine_interrupt(NULL);
}

static void test_model(void)
{
    static const char generate[] = "{\"schema\":\"hadpo.generate/1\",\"max_new_tokens\":2}";
    static const char score[] = "{\"schema\":\"hadpo.score/1\",\"question\":\"q\",\"completion\":\"a\"}";
    static const char inspect[] = "{\"schema\":\"hadpo.inspect/1\",\"question\":\"q\"}";
    hadpo_model *none = NULL;
    size_t count = 7;
    REFUSES(hadpo_model_open(NULL, "{}", 2, &none, &error), hadpo_model_open(NULL, "{}", 2, &none, NULL), "model_open: engine");
    REFUSES(hadpo_model_open(engine, NULL, 2, &none, &error), hadpo_model_open(engine, NULL, 2, &none, NULL), "model_open: config");
    REFUSES(hadpo_model_open(engine, "{}", 2, NULL, &error), hadpo_model_open(engine, "{}", 2, NULL, NULL), "model_open: out");
    REFUSES(hadpo_model_describe(NULL, &bytes, &error), hadpo_model_describe(NULL, &bytes, NULL), "model_describe: model");
    REFUSES(hadpo_model_describe(model, NULL, &error), hadpo_model_describe(model, NULL, NULL), "model_describe: out");
    REFUSES(hadpo_model_generate(NULL, generate, HADPO_NUL, image, &bytes, &error),
            hadpo_model_generate(NULL, generate, HADPO_NUL, image, &bytes, NULL), "model_generate: model");
    REFUSES(hadpo_model_generate(model, NULL, 4, image, &bytes, &error),
            hadpo_model_generate(model, NULL, HADPO_NUL, image, &bytes, NULL), "model_generate: request");
    REFUSES(hadpo_model_generate(model, generate, HADPO_NUL, image, NULL, &error),
            hadpo_model_generate(model, generate, HADPO_NUL, image, NULL, NULL), "model_generate: out");
    check_status(hadpo_model_generate(model, generate, HADPO_NUL, NULL, &bytes, &error), -1, &error,
                 "a question about a picture, without one");
    REFUSES(hadpo_model_score(NULL, score, HADPO_NUL, image, NULL, 0, &count, &error),
            hadpo_model_score(NULL, score, HADPO_NUL, image, NULL, 0, &count, NULL), "model_score: model");
    check(count == 0, "model_score: count is 0 after a failure%s", "");
    REFUSES(hadpo_model_score(model, NULL, 3, image, NULL, 0, &count, &error),
            hadpo_model_score(model, NULL, 3, image, NULL, 0, &count, NULL), "model_score: request");
    REFUSES(hadpo_model_score(model, score, HADPO_NUL, image, NULL, 5, &count, &error),
            hadpo_model_score(model, score, HADPO_NUL, image, NULL, 5, &count, NULL), "model_score: a capacity without an array");
    REFUSES(hadpo_model_score(model, score, HADPO_NUL, image, NULL, 0, NULL, &error),
            hadpo_model_score(model, score, HADPO_NUL, image, NULL, 0, NULL, NULL), "model_score: count");
    REFUSES(hadpo_model_inspect(NULL, inspect, HADPO_NUL, image, "x", &error),
            hadpo_model_inspect(NULL, inspect, HADPO_NUL, image, "x", NULL), "model_inspect: model");
    REFUSES(hadpo_model_inspect(model, NULL, 3, image, "x", &error), hadpo_model_inspect(model, NULL, 3, image, "x", NULL),
            "model_inspect: request");
    REFUSES(hadpo_model_inspect(model, inspect, HADPO_NUL, image, NULL, &error),
            hadpo_model_inspect(model, inspect, HADPO_NUL, image, NULL, NULL), "model_inspect: path");
    REFUSES(hadpo_adapter_load(NULL, "x", &error), hadpo_adapter_load(NULL, "x", NULL), "adapter_load: model");
    REFUSES(hadpo_adapter_load(model, NULL, &error), hadpo_adapter_load(model, NULL, NULL), "adapter_load: directory");
    REFUSES(hadpo_adapter_unload(NULL, &error), hadpo_adapter_unload(NULL, NULL), "adapter_unload: model");
    REFUSES(hadpo_export(NULL, "{}", 2, &error), hadpo_export(NULL, "{}", 2, NULL), "export: model");
    REFUSES(hadpo_export(model, NULL, 2, &error), hadpo_export(model, NULL, 2, NULL), "export: config");
    check(none == NULL, "handles stay NULL%s", "");
}

static void test_training_and_evaluation(void)
{
    hadpo_trainer *none = NULL;
    REFUSES(hadpo_trainer_open(NULL, "{}", 2, &none, &error), hadpo_trainer_open(NULL, "{}", 2, &none, NULL), "trainer_open: model");
    REFUSES(hadpo_trainer_open(model, NULL, 2, &none, &error), hadpo_trainer_open(model, NULL, 2, &none, NULL),
            "trainer_open: config");
    REFUSES(hadpo_trainer_open(model, "{}", 2, NULL, &error), hadpo_trainer_open(model, "{}", 2, NULL, NULL), "trainer_open: out");
    REFUSES(hadpo_trainer_run(NULL, 1, &bytes, &error), hadpo_trainer_run(NULL, 1, &bytes, NULL), "trainer_run: trainer");
    REFUSES(hadpo_trainer_save(NULL, "x", &error), hadpo_trainer_save(NULL, "x", NULL), "trainer_save: trainer");
    REFUSES(hadpo_trainer_save(trainer, NULL, &error), hadpo_trainer_save(trainer, NULL, NULL), "trainer_save: directory");
    REFUSES(hadpo_trainer_resume(NULL, "x", &error), hadpo_trainer_resume(NULL, "x", NULL), "trainer_resume: trainer");
    REFUSES(hadpo_trainer_resume(trainer, NULL, &error), hadpo_trainer_resume(trainer, NULL, NULL), "trainer_resume: directory");
    REFUSES(hadpo_trainer_inspect(NULL, "x", &error), hadpo_trainer_inspect(NULL, "x", NULL), "trainer_inspect: trainer");
    REFUSES(hadpo_trainer_inspect(trainer, NULL, &error), hadpo_trainer_inspect(trainer, NULL, NULL), "trainer_inspect: path");
    REFUSES(hadpo_data_check(NULL, "{}", 2, &bytes, &error), hadpo_data_check(NULL, "{}", 2, &bytes, NULL), "data_check: model");
    REFUSES(hadpo_data_check(model, NULL, 2, &bytes, &error), hadpo_data_check(model, NULL, 2, &bytes, NULL), "data_check: config");
    REFUSES(hadpo_data_check(model, "{}", 2, NULL, &error), hadpo_data_check(model, "{}", 2, NULL, NULL), "data_check: out");
    REFUSES(hadpo_pope_run(NULL, "{}", 2, &bytes, &error), hadpo_pope_run(NULL, "{}", 2, &bytes, NULL), "pope_run: model");
    REFUSES(hadpo_pope_run(model, NULL, 2, &bytes, &error), hadpo_pope_run(model, NULL, 2, &bytes, NULL), "pope_run: config");
    REFUSES(hadpo_pope_run(model, "{}", 2, NULL, &error), hadpo_pope_run(model, "{}", 2, NULL, NULL), "pope_run: out");
    REFUSES(hadpo_world_make(NULL, "{}", 2, &bytes, &error), hadpo_world_make(NULL, "{}", 2, &bytes, NULL), "world_make: engine");
    REFUSES(hadpo_world_make(engine, NULL, 2, &bytes, &error), hadpo_world_make(engine, NULL, 2, &bytes, NULL), "world_make: config");
    REFUSES(hadpo_world_make(engine, "{}", 2, NULL, &error), hadpo_world_make(engine, "{}", 2, NULL, NULL), "world_make: out");
    REFUSES(hadpo_world_pairs(NULL, "{}", 2, &bytes, &error), hadpo_world_pairs(NULL, "{}", 2, &bytes, NULL), "world_pairs: model");
    REFUSES(hadpo_world_pairs(model, NULL, 2, &bytes, &error), hadpo_world_pairs(model, NULL, 2, &bytes, NULL),
            "world_pairs: config");
    REFUSES(hadpo_world_pairs(model, "{}", 2, NULL, &error), hadpo_world_pairs(model, "{}", 2, NULL, NULL), "world_pairs: out");
    REFUSES(hadpo_world_train(NULL, "{}", 2, &bytes, &error), hadpo_world_train(NULL, "{}", 2, &bytes, NULL), "world_train: engine");
    REFUSES(hadpo_world_train(engine, NULL, 2, &bytes, &error), hadpo_world_train(engine, NULL, 2, &bytes, NULL),
            "world_train: config");
    REFUSES(hadpo_world_train(engine, "{}", 2, NULL, &error), hadpo_world_train(engine, "{}", 2, NULL, NULL), "world_train: out");
    check(none == NULL, "handles stay NULL%s", "");
    /* The report of a run is optional for nobody: out is checked before the work begins. */
    REFUSES(hadpo_trainer_run(trainer, 1, NULL, &error), hadpo_trainer_run(trainer, 1, NULL, NULL), "trainer_run: out");
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    test_library();
    test_engine_and_images();
    engine = open_engine();
    model = open_model(engine);
    image = make_image();
    if (model != NULL) {
        test_model();
        trainer = open_trainer(model);
        if (trainer != NULL) test_training_and_evaluation();
    }
    hadpo_trainer_free(trainer);
    hadpo_image_free(image);
    hadpo_model_free(model);
    hadpo_engine_free(engine);
    return finish();
}
