/* Files of torch.save as a model's weights, and adapters in both formats, damaged. Opening reads their tables of contents. */
#define _DEFAULT_SOURCE
#include "mutate.h"

#include <hadpo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const fuzz_seeds[] = {"weights/adapter-bin/adapter_model.bin",
                                  "weights/adapter-bin/adapter_config.json",
                                  "weights/adapter-bin/non_lora_trainables.bin",
                                  "weights/adapter-original/adapter_model.safetensors",
                                  "weights/zip.bin",
                                  "weights/legacy.bin",
                                  "weights/nested-model.pth",
                                  "weights/sharded/pytorch_model.bin.index.json",
                                  NULL};
enum { ADAPTER_SEEDS = 4 };

/* What stands whole beside the damaged file: source below Tests/Fixtures, place below build/fuzz. */
static const char *const whole[][2] = {
    {"weights/adapter-bin/adapter_model.bin", "adapter-bin/adapter_model.bin"},
    {"weights/adapter-bin/adapter_config.json", "adapter-bin/adapter_config.json"},
    {"weights/adapter-bin/non_lora_trainables.bin", "adapter-bin/non_lora_trainables.bin"},
    {"weights/adapter-original/adapter_model.safetensors", "adapter-original/adapter_model.safetensors"},
    {"weights/adapter-original/adapter_config.json", "adapter-original/adapter_config.json"},
    {"llava/old-f32/config.json", "torch/config.json"},
    {"llava/old-f32/tokenizer.model", "torch/tokenizer.model"},
    {"llava/old-f32/tokenizer_config.json", "torch/tokenizer_config.json"},
    {"llava/old-f32/preprocessor_config.json", "torch/preprocessor_config.json"},
    {"weights/sharded/pytorch_model-00001-of-00002.bin", "torch/pytorch_model-00001-of-00002.bin"},
    {"weights/sharded/pytorch_model-00002-of-00002.bin", "torch/pytorch_model-00002-of-00002.bin"},
};

static hadpo_engine *engine;
static hadpo_model *base;

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size) exit(2);
    fclose(file);
}

static void copy(const char *from, const char *to)
{
    static char data[1 << 20], source[512], place[512];
    snprintf(source, sizeof source, "Tests/Fixtures/%s", from);
    snprintf(place, sizeof place, "build/fuzz/%s", to);
    FILE *in = fopen(source, "rb");
    if (in == NULL) exit(2);
    size_t size = fread(data, 1, sizeof data, in);
    fclose(in);
    write_file(place, data, size);
}

void fuzz_begin(const char *fixtures)
{
    char config[512];
    mkdir("build/fuzz/adapter-bin", 0777);
    mkdir("build/fuzz/adapter-original", 0777);
    mkdir("build/fuzz/torch", 0777);
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) copy(whole[i][0], whole[i][1]);
    hadpo_engine_open("{\"schema\":\"hadpo.engine/1\",\"threads\":1,\"memory_limit\":1000000000}", HADPO_NUL, NULL, NULL, &engine, NULL);
    snprintf(config, sizeof config, "{\"schema\":\"hadpo.model/1\",\"path\":\"%s/llava/old-f32\"}", fixtures);
    if (hadpo_model_open(engine, config, HADPO_NUL, &base, NULL) != HADPO_OK) exit(2);
}

static void adapter(const uint8_t *data, size_t size, size_t seed)
{
    const char *place = fuzz_seeds[seed] + strlen("weights/");
    char path[512], folder[512];
    snprintf(path, sizeof path, "build/fuzz/%s", place);
    snprintf(folder, sizeof folder, "build/fuzz/%.*s", (int)(strchr(place, '/') - place), place);
    write_file(path, data, size);
    if (hadpo_adapter_load(base, folder, NULL) == HADPO_OK) hadpo_adapter_unload(base, NULL);
    copy(fuzz_seeds[seed], place);
}

void fuzz_one(const uint8_t *data, size_t size, size_t seed)
{
    if (seed < ADAPTER_SEEDS) {
        adapter(data, size, seed);
        return;
    }
    int is_index = strstr(fuzz_seeds[seed], ".json") != NULL;
    remove(is_index ? "build/fuzz/torch/pytorch_model.bin" : "build/fuzz/torch/pytorch_model.bin.index.json");
    write_file(is_index ? "build/fuzz/torch/pytorch_model.bin.index.json" : "build/fuzz/torch/pytorch_model.bin", data, size);
    hadpo_model *model = NULL;
    hadpo_model_open(engine, "{\"schema\":\"hadpo.model/1\",\"path\":\"build/fuzz/torch\"}", HADPO_NUL, &model, NULL);
    hadpo_model_free(model);
}
