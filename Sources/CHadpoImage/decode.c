/* decode.c - which decoder, and the limits both obey. */
#include "decoders.h"

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

hi_status hi_allocate(uint64_t W, uint64_t H, const hi_limits *limits, hi_image *image, char *message) {
    if (W == 0 || H == 0) return hi_fail(HI_FORMAT, message, "the image is empty: %" PRIu64 " x %" PRIu64 " pixels", W, H);
    if (H > limits->max_pixels / W)
        return hi_fail(HI_LIMIT, message, "the image has %" PRIu64 " x %" PRIu64 " pixels, more than the limit of %" PRIu64, W,
                       H, limits->max_pixels);
    if (W > SIZE_MAX / 3 / H) return hi_fail(HI_NO_MEMORY, message, "the image does not fit the address space");
    size_t size = (size_t)W * (size_t)H * 3;
    uint8_t *pixels = malloc(size);
    if (!pixels) return hi_fail(HI_NO_MEMORY, message, "no memory for %zu bytes of pixels", size);
    *image = (hi_image){.width = (size_t)W, .height = (size_t)H, .pixels = pixels};
    return HI_OK;
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

    char start[3 * 8 + 1] = "";
    for (size_t i = 0; i < count && i < 8; i++) snprintf(start + 3 * i, 4, " %02x", bytes[i]);
    return hi_fail(HI_FORMAT, message, "neither a PNG nor a JPEG file: it starts with%s", start);
}

void hi_free(void *memory) { free(memory); }
