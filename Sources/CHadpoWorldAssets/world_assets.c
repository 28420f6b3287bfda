#include "hadpo_world_assets.h"

/* #embed is C23; clang has it in every dialect. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wc23-extensions"
static const unsigned char llava[] = {
#embed "world_model.safetensors"
};
static const unsigned char minigpt4_llama[] = {
#embed "minigpt4_llama.safetensors"
};
static const unsigned char minigpt4_eva[] = {
#embed "minigpt4_eva.pth"
};
static const unsigned char minigpt4_projection[] = {
#embed "minigpt4_projection.pth"
};
static const unsigned char instructblip[] = {
#embed "instructblip.safetensors"
};
#pragma clang diagnostic pop

static const struct {
    const unsigned char *bytes;
    size_t size;
} files[] = {
    [HADPO_WORLD_LLAVA] = {llava, sizeof llava},
    [HADPO_WORLD_MINIGPT4_LLAMA] = {minigpt4_llama, sizeof minigpt4_llama},
    [HADPO_WORLD_MINIGPT4_EVA] = {minigpt4_eva, sizeof minigpt4_eva},
    [HADPO_WORLD_MINIGPT4_PROJECTION] = {minigpt4_projection, sizeof minigpt4_projection},
    [HADPO_WORLD_INSTRUCTBLIP] = {instructblip, sizeof instructblip},
};

const unsigned char *_Nonnull hadpo_world_weights(hadpo_world_file file, size_t *_Nonnull size)
{
    *size = files[file].size;
    return files[file].bytes;
}
