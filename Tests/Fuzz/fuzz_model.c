/* A checkpoint folder of which one file is damaged: weights, config, tokenizer. What opens must also answer. */
#define _DEFAULT_SOURCE
#include "mutate.h"

#include <hadpo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const fuzz_seeds[] = {"llava/old-f32/model.safetensors",         "llava/old-f32/config.json",
                                  "llava/old-f32/tokenizer.model",           "llava/old-f32/tokenizer_config.json",
                                  "llava/old-f32/preprocessor_config.json",  "llava/old-f32/added_tokens.json",
                                  "llava/old-f32/generation_config.json",    "llava/old-f32/special_tokens_map.json",
                                  "llava/old-f32/processor_config.json",     NULL};

static char folder[256];
static hadpo_engine *engine;
static hadpo_image *image;

static void copy(const char *from, const char *to)
{
    static char data[1 << 20];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (in == NULL || out == NULL) exit(2);
    size_t size = fread(data, 1, sizeof data, in);
    if (fwrite(data, 1, size, out) != size) exit(2);
    fclose(in);
    fclose(out);
}

static const char *target(size_t seed)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, strrchr(fuzz_seeds[seed], '/') + 1);
    return path;
}

void fuzz_begin(const char *fixtures)
{
    char from[512];
    snprintf(folder, sizeof folder, "build/fuzz/model");
    mkdir(folder, 0777);
    for (size_t i = 0; fuzz_seeds[i] != NULL; i++) {
        snprintf(from, sizeof from, "%s/%s", fixtures, fuzz_seeds[i]);
        copy(from, target(i));
    }
    static const uint8_t pixels[30 * 20 * 3];
    hadpo_image_from_rgb8(pixels, 30, 20, 90, &image, NULL);
    hadpo_engine_open("{\"schema\":\"hadpo.engine/1\",\"threads\":1,\"memory_limit\":1000000000}", HADPO_NUL, NULL, NULL, &engine, NULL);
}

void fuzz_one(const uint8_t *data, size_t size, size_t seed)
{
    char from[512], config[512];
    FILE *file = fopen(target(seed), "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size) exit(2);
    fclose(file);
    hadpo_model *model = NULL;
    snprintf(config, sizeof config, "{\"schema\":\"hadpo.model/1\",\"path\":\"%s\"}", folder);
    if (hadpo_model_open(engine, config, HADPO_NUL, &model, NULL) == HADPO_OK) {
        hadpo_bytes *json = NULL;
        hadpo_model_describe(model, &json, NULL);
        hadpo_bytes_free(json);
        json = NULL;
        hadpo_model_generate(model, "{\"schema\":\"hadpo.generate/1\",\"question\":\"What is there?\",\"max_new_tokens\":2}", HADPO_NUL,
                             image, &json, NULL);
        hadpo_bytes_free(json);
    }
    hadpo_model_free(model);
    snprintf(from, sizeof from, "Tests/Fixtures/%s", fuzz_seeds[seed]);
    copy(from, target(seed));
}
