/* decode.c - which decoder, and the limits both obey. */
#include "decoders.h"

#include <hadpo_memory.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hi_status hi_fail(hi_status status, char *message, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, HI_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    return status;
}

int hi_may_allocate(const hi_limits *limits, size_t bytes, int is_pixels) {
    return !limits->reserve || limits->reserve(limits->context, bytes, is_pixels);
}

hi_status hi_allocate(uint64_t W, uint64_t H, const hi_limits *limits, hi_image *image, char *message) {
    if (W == 0 || H == 0) return hi_fail(HI_FORMAT, message, "the image is empty: %" PRIu64 " x %" PRIu64 " pixels", W, H);
    if (H > limits->max_pixels / W)
        return hi_fail(HI_LIMIT, message, "the image has %" PRIu64 " x %" PRIu64 " pixels, more than the limit of %" PRIu64, W,
                       H, limits->max_pixels);
    if (W > SIZE_MAX / 3 / H) return hi_fail(HI_NO_MEMORY, message, "the image does not fit the address space");
    size_t size = (size_t)W * (size_t)H * 3;
    if (!hi_may_allocate(limits, size, 1))
        return hi_fail(HI_NO_MEMORY, message, "%zu bytes of pixels would pass the memory limit", size);
    uint8_t *pixels = hm_malloc(size);
    if (!pixels) return hi_fail(HI_NO_MEMORY, message, "no memory for %zu bytes of pixels", size);
    *image = (hi_image){.width = (size_t)W, .height = (size_t)H, .pixels = pixels};
    return HI_OK;
}

/* What people have instead of a PNG or JPEG; NULL for the rest. No byte of the file is said: whoever wrote the name of the file
 * may have named one that is none of their business. */
static const char *other_kind(const uint8_t *bytes, size_t count) {
    static const struct {
        const char *name, *start;
        size_t at, size;
    } kinds[] = {{"a GIF", "GIF8", 0, 4},
                 {"a WebP picture", "WEBP", 8, 4},
                 {"a TIFF", "II*\0", 0, 4},
                 {"a TIFF", "MM\0*", 0, 4},
                 {"an AVIF picture", "ftypavif", 4, 8},
                 {"a HEIC picture", "ftyphei", 4, 7},
                 {"a web page", "<!DOCTYPE", 0, 9},
                 {"a web page", "<!doctype", 0, 9},
                 {"a web page", "<html", 0, 5}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (count >= kinds[i].at + kinds[i].size && memcmp(bytes + kinds[i].at, kinds[i].start, kinds[i].size) == 0)
            return kinds[i].name;
    return NULL;
}

hi_status hi_decode(const uint8_t *bytes, size_t count, const hi_limits *limits, hi_image *image, char *message) {
    static const uint8_t png_signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    static const uint8_t jpeg_signature[3] = {0xFF, 0xD8, 0xFF};
    static const char lfs_pointer[] = "version https://git-lfs";

    message[0] = 0;
    *image = (hi_image){0};
    if (count >= sizeof png_signature && memcmp(bytes, png_signature, sizeof png_signature) == 0)
        return hi_decode_png(bytes, count, limits, image, message);
    if (count >= sizeof jpeg_signature && memcmp(bytes, jpeg_signature, sizeof jpeg_signature) == 0)
        return hi_decode_jpeg(bytes, count, limits, image, message);
    if (count >= sizeof lfs_pointer - 1 && memcmp(bytes, lfs_pointer, sizeof lfs_pointer - 1) == 0)
        return hi_fail(HI_FORMAT, message, "a git-lfs pointer stands where the image should be; fetch the file with git lfs pull");
    if (count == 0) return hi_fail(HI_FORMAT, message, "no bytes");

    const char *kind = other_kind(bytes, count);
    return hi_fail(HI_FORMAT, message, "neither a PNG nor a JPEG file%s%s", kind ? " but " : "", kind ? kind : "");
}

void hi_free(void *memory) { free(memory); }
