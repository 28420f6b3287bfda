/* Files of the world in the box, embedded in the library. */
#ifndef HADPO_WORLD_ASSETS_H
#define HADPO_WORLD_ASSETS_H
#include <stddef.h>
/* model.safetensors of the committed base checkpoint */
extern const unsigned char hadpo_world_model[];
extern const size_t hadpo_world_model_size;
#endif
