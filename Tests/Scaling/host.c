/* Calls one function of the library on files, for instruction counts and for what a file can cost.
 * usage: host FUNCTION CONFIG [MODEL]   FUNCTION: below; CONFIG: a file; MODEL: a folder
 * Prints the status and, after a failure, the error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hadpo.h"

typedef hadpo_status (*config_fn)(const char *config, size_t size, hadpo_bytes **json, hadpo_error **error);

static const struct {
    const char *name;
    config_fn call;
} functions[] = {
    {"config_resolve", hadpo_config_resolve}, {"pope_evaluate", hadpo_pope_evaluate}, {"pope_build", hadpo_pope_build},
    {"chair_score", hadpo_chair_score},       {"shr_requests", hadpo_shr_requests},   {"shr_score", hadpo_shr_score},
    {"shr_agree", hadpo_shr_agree},           {"report_write", hadpo_report_write},
};

static char *contents(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) exit(2);
    long length = ftell(file);
    rewind(file);
    char *bytes = malloc((size_t)length + 1);
    if (length < 0 || !bytes || fread(bytes, 1, (size_t)length, file) != (size_t)length) exit(2);
    bytes[length] = 0;
    fclose(file);
    *size = (size_t)length;
    return bytes;
}

static hadpo_status with_model(const char *function, const char *config, size_t size, const char *folder, hadpo_error **error)
{
    static const char engine_config[] = "{\"schema\": \"hadpo.engine/1\", \"threads\": 1, \"kernels\": \"portable\"}";
    char model_config[8192];
    hadpo_engine *engine = NULL;
    hadpo_model *model = NULL;
    hadpo_bytes *report = NULL;
    int length = snprintf(model_config, sizeof model_config, "{\"schema\": \"hadpo.model/1\", \"path\": \"%s\"}", folder);
    if (length < 0 || (size_t)length >= sizeof model_config) exit(2);
    hadpo_status status = hadpo_engine_open(engine_config, strlen(engine_config), NULL, NULL, &engine, error);
    if (status == HADPO_OK) status = hadpo_model_open(engine, model_config, (size_t)length, &model, error);
    if (status == HADPO_OK && !strcmp(function, "adapter_load")) status = hadpo_adapter_load(model, config, error);
    if (status == HADPO_OK && !strcmp(function, "data_check")) status = hadpo_data_check(model, config, size, &report, error);
    hadpo_bytes_free(report);
    hadpo_model_free(model);
    hadpo_engine_free(engine);
    return status;
}

int main(int count, char **arguments)
{
    if (count < 3) return 2;
    hadpo_error *error = NULL;
    hadpo_status status = HADPO_E_ARGUMENT;
    hadpo_bytes *json = NULL;
    hadpo_image *image = NULL;
    size_t size = 0;
    char *config = contents(arguments[2], &size);
    if (count > 3) {
        if (size && config[size - 1] == '\n') config[size - 1] = 0;
        status = with_model(arguments[1], config, size, arguments[3], &error);
    } else if (!strcmp(arguments[1], "image_decode")) {
        status = hadpo_image_decode(config, size, &image, &error);
    } else {
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
            if (!strcmp(arguments[1], functions[i].name)) status = functions[i].call(config, size, &json, &error);
    }
    printf("%s %.4000s\n", hadpo_status_name(status), error ? hadpo_error_json(error) : "");
    hadpo_image_free(image);
    hadpo_bytes_free(json);
    hadpo_error_free(error);
    free(config);
    return 0;
}
