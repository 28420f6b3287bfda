/* png_encode.c - RGB8 to PNG bytes. */
#include "decoders.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    jmp_buf on_error;
    png_structp png;
    png_infop info;
    uint8_t *bytes;
    size_t count, capacity;
    char *message;
} png_encoder;

static void on_error(png_structp png, png_const_charp text) {
    png_encoder *encoder = png_get_error_ptr(png);
    hi_fail(HI_NO_MEMORY, encoder->message, "cannot write a PNG: %s", text);
    longjmp(encoder->on_error, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void write_bytes(png_structp png, png_bytep data, size_t count) {
    png_encoder *encoder = png_get_io_ptr(png);
    if (count > SIZE_MAX / 2 - encoder->count) png_error(png, "the file does not fit the address space");
    size_t needed = encoder->count + count;
    if (needed > encoder->capacity) {
        size_t capacity = needed + needed / 2;
        uint8_t *grown = realloc(encoder->bytes, capacity);
        if (!grown) png_error(png, "no memory");
        encoder->bytes = grown;
        encoder->capacity = capacity;
    }
    memcpy(encoder->bytes + encoder->count, data, count);
    encoder->count = needed;
}

static void flush_bytes(png_structp png) { (void)png; }

/* setjmp stands in a function that does not own the encoder: a longjmp leaves that function's own variables undefined. */
static hi_status guarded(png_encoder *encoder, const uint8_t *pixels, size_t W, size_t H) {
    if (setjmp(encoder->on_error)) return HI_NO_MEMORY;
    encoder->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, encoder, on_error, on_warning);
    encoder->info = encoder->png ? png_create_info_struct(encoder->png) : NULL;
    if (!encoder->info) return hi_fail(HI_NO_MEMORY, encoder->message, "no memory to write a PNG");
    png_set_user_limits(encoder->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_write_fn(encoder->png, encoder, write_bytes, flush_bytes);
    png_set_IHDR(encoder->png, encoder->info, (png_uint_32)W, (png_uint_32)H, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(encoder->png, encoder->info);
    for (size_t y = 0; y < H; y++) png_write_row(encoder->png, pixels + y * W * 3);
    png_write_end(encoder->png, NULL);
    return HI_OK;
}

hi_status hi_encode_png(const uint8_t *pixels, size_t W, size_t H, uint8_t **bytes, size_t *count, char *message) {
    message[0] = 0;
    *bytes = NULL;
    *count = 0;
    if (W == 0 || H == 0 || W > PNG_UINT_31_MAX || H > PNG_UINT_31_MAX || W > SIZE_MAX / 3 / H)
        return hi_fail(HI_ARGUMENT, message, "a PNG cannot be %zu x %zu pixels", W, H);
    png_encoder encoder = {.message = message};
    hi_status status = guarded(&encoder, pixels, W, H);
    png_destroy_write_struct(&encoder.png, &encoder.info);
    if (status == HI_OK) {
        *bytes = encoder.bytes;
        *count = encoder.count;
    } else {
        free(encoder.bytes);
    }
    return status;
}
