/* Handles are counted inside: any order of frees, and what is still held goes on working. */
#include "harness.h"

static const char request[] = "{\"schema\":\"hadpo.generate/1\",\"question\":\"What is there?\",\"max_new_tokens\":3}";

static void test_engine_first(void)
{
    hadpo_engine *engine = open_engine();
    hadpo_model *model = open_model(engine);
    hadpo_image *image = make_image();
    hadpo_engine_free(engine);
    hadpo_bytes *answer = NULL;
    hadpo_error *error = NULL;
    check_status(hadpo_model_generate(model, request, HADPO_NUL, image, &answer, &error), HADPO_OK, &error,
                 "a model answers after its engine was freed");
    hadpo_image_free(image);
    hadpo_model_free(model);
    const char *text = hadpo_bytes_data(answer);
    check(text != NULL && strstr(text, "\"text\"") != NULL, "an answer outlives model and engine%s", "");
    hadpo_bytes_free(answer);
}

/* All orders of freeing engine, model, image and trainer. */
static void test_orders(void)
{
    for (int order = 0; order < 24; order++) {
        hadpo_engine *engine = open_engine();
        hadpo_model *model = open_model(engine);
        hadpo_trainer *trainer = open_trainer(model);
        hadpo_image *image = make_image();
        int left[4] = {0, 1, 2, 3}, code = order;
        for (int n = 4; n > 0; n--) {
            int pick = code % n;
            code /= n;
            int which = left[pick];
            left[pick] = left[n - 1];
            if (which == 0) hadpo_engine_free(engine);
            if (which == 1) hadpo_model_free(model);
            if (which == 2) hadpo_trainer_free(trainer);
            if (which == 3) hadpo_image_free(image);
        }
    }
    check(true, "24 orders of freeing four handles%s", "");
}

static void test_model_first(void)
{
    hadpo_engine *engine = open_engine();
    hadpo_model *model = open_model(engine);
    hadpo_trainer *trainer = open_trainer(model);
    hadpo_model_free(model);
    hadpo_engine_free(engine);
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    check_status(hadpo_trainer_run(trainer, 1, &report, &error), HADPO_OK, &error, "a trainer runs after its model was freed");
    hadpo_bytes_free(report);
    hadpo_trainer_free(trainer);
}

/* While a trainer lives, the model's adapter is its own. */
static void test_adapter_belongs_to_trainer(void)
{
    hadpo_engine *engine = open_engine();
    hadpo_model *model = open_model(engine);
    hadpo_trainer *trainer = open_trainer(model);
    hadpo_error *error = NULL;
    check_status(hadpo_adapter_unload(model, &error), HADPO_E_STATE, &error, "no unloading while a trainer lives");
    char folder[1024];
    snprintf(folder, sizeof folder, "%s/llava/dpo/adapter", fixtures);
    check_status(hadpo_adapter_load(model, folder, &error), HADPO_E_STATE, &error, "no loading while a trainer lives");
    hadpo_trainer *second = NULL;
    char config[2048];
    train_config(config, sizeof config);
    check_status(hadpo_trainer_open(model, config, HADPO_NUL, &second, &error), HADPO_E_STATE, &error, "no second trainer");
    hadpo_trainer_free(trainer);
    check_status(hadpo_adapter_load(model, folder, &error), HADPO_OK, &error, "loading after the trainer was freed");
    check_status(hadpo_adapter_unload(model, &error), HADPO_OK, &error, "unloading");
    hadpo_model_free(model);
    hadpo_engine_free(engine);
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    test_engine_first();
    test_model_first();
    test_orders();
    test_adapter_belongs_to_trainer();
    return finish();
}
