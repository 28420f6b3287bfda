/* Files of the world in the box, embedded in the library. */
#ifndef HADPO_WORLD_ASSETS_H
#define HADPO_WORLD_ASSETS_H
#include <stddef.h>

/* Weight files of the committed base checkpoints, one family after the other. */
typedef enum {
    HADPO_WORLD_LLAVA,
    HADPO_WORLD_MINIGPT4_LLAMA,
    HADPO_WORLD_MINIGPT4_EVA,
    HADPO_WORLD_MINIGPT4_PROJECTION,
    HADPO_WORLD_INSTRUCTBLIP
} hadpo_world_file;

/* A file's bytes; *size is their number. */
const unsigned char *_Nonnull hadpo_world_weights(hadpo_world_file file, size_t *_Nonnull size);

#endif
