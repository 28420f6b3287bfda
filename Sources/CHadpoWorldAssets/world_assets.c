#include "hadpo_world_assets.h"

/* #embed is C23; clang has it in every dialect. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wc23-extensions"
static const unsigned char model[] = {
#embed "world_model.safetensors"
};
#pragma clang diagnostic pop

const unsigned char *hadpo_world_model(size_t *size)
{
    *size = sizeof model;
    return model;
}
