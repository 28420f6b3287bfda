/* hadpo_image.h - pixels in and out of files, and the resampling that every checkpoint was trained with.
 *
 * libpng and libjpeg report errors by longjmp and print by default; both end in here. Nothing is printed, and every
 * failure is a status plus one sentence in `message`. Input bytes are hostile: sizes are checked before allocation.
 *
 * Pixels are packed RGB8: width*height*3 bytes, rows top to bottom. The values are those of Pillow's
 * Image.open(file).convert("RGB"): alpha is dropped, EXIF and colour profiles are ignored.
 * W, H are input width and height; OW, OH output width and height.
 */
#ifndef HADPO_IMAGE_H
#define HADPO_IMAGE_H
#include <stddef.h>
#include <stdint.h>

typedef enum {
    HI_OK = 0,
    HI_FORMAT = 1,    /* not a PNG or JPEG, or a damaged one */
    HI_LIMIT = 2,     /* larger than the limits allow */
    HI_NO_MEMORY = 3,
    HI_ARGUMENT = 4
} hi_status;

enum { HI_MESSAGE_SIZE = 256 };

typedef struct {
    uint64_t max_pixels;     /* Pillow stops at 178956970 */
    uint32_t max_jpeg_scans; /* a progressive file of a few kilobytes can hold thousands, each as dear as a whole image */
    /* May this much be allocated? Asked before it is: for the pixels, then for what a progressive JPEG keeps beside them until it is
     * decoded. 0 refuses. NULL: nobody is asked. */
    int (*reserve)(void *context, size_t bytes, int is_pixels);
    void *context;
} hi_limits;

typedef struct {
    size_t width, height;
    uint8_t *pixels; /* free with hi_free */
} hi_image;

/* message: HI_MESSAGE_SIZE bytes, always terminated. */
hi_status hi_decode(const uint8_t *bytes, size_t count, const hi_limits *limits, hi_image *image, char *message);

/* The file's bytes in *bytes, free with hi_free. */
hi_status hi_encode_png(const uint8_t *pixels, size_t W, size_t H, uint8_t **bytes, size_t *count, char *message);

void hi_free(void *memory);

/* Filters carry Pillow's numbers, which are also those of "resample" in preprocessor_config.json. */
typedef enum { HI_NEAREST = 0, HI_LANCZOS = 1, HI_BILINEAR = 2, HI_BICUBIC = 3, HI_BOX = 4, HI_HAMMING = 5 } hi_filter;

/* Which pass goes first shows in the result, by a level or two, because pixels are rounded to 8 bits in between.
 * PILLOW_12: across, then down, as every Pillow up to 12 (and HA-DPO's published numbers) had it.
 * PILLOW_13: down first where the height loses more than twice as many rows as the width loses columns. */
typedef enum { HI_PILLOW_12 = 12, HI_PILLOW_13 = 13 } hi_pass_order;

/* Image.resize((OW, OH), filter), bit for bit. output: OW*OH*3 bytes, not overlapping input. */
hi_status hi_resize(const uint8_t *input, size_t W, size_t H, uint8_t *output, size_t OW, size_t OH, hi_filter filter,
                    hi_pass_order order, char *message);

#endif
