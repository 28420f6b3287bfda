/* Files of the world in the box, embedded in the library. */
#ifndef HADPO_WORLD_ASSETS_H
#define HADPO_WORLD_ASSETS_H
#include <stddef.h>

/* model.safetensors of the committed base checkpoint; *size is its length in bytes. */
const unsigned char *hadpo_world_model(size_t *size);

#endif
