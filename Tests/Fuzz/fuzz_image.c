/* PNG and JPEG files. */
#include "mutate.h"

#include <hadpo.h>

const char *const fuzz_seeds[] = {"llava/pictures/tall.png", "llava/pictures/wide.jpg", NULL};

void fuzz_begin(const char *fixtures)
{
    (void)fixtures;
}

void fuzz_one(const uint8_t *data, size_t size, size_t seed)
{
    (void)seed;
    hadpo_image *image = NULL;
    hadpo_image_decode(data, size, &image, NULL);
    hadpo_image_free(image);
}
