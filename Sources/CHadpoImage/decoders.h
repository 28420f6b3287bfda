/* decoders.h - what decode.c shares with the two decoders. */
#ifndef HADPO_IMAGE_DECODERS_H
#define HADPO_IMAGE_DECODERS_H
#include "include/hadpo_image.h"

hi_status hi_decode_png(const uint8_t *bytes, size_t count, const hi_limits *limits, hi_image *image, char *message);
hi_status hi_decode_jpeg(const uint8_t *bytes, size_t count, const hi_limits *limits, hi_image *image, char *message);

/* Asks the limits' owner, if there is one. */
int hi_may_allocate(const hi_limits *limits, size_t bytes, int is_pixels);

/* Checks W x H against the limits and allocates W*H*3 bytes into *image, which is only written on success. */
hi_status hi_allocate(uint64_t W, uint64_t H, const hi_limits *limits, hi_image *image, char *message);

hi_status hi_fail(hi_status status, char *message, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
