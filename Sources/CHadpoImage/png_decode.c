/* png_decode.c - PNG bytes to RGB8 as Pillow's convert("RGB") has them. */
#include "decoders.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    jmp_buf on_error;
    png_structp png;
    png_infop info;
    const uint8_t *next;
    size_t left;
    hi_image image;
    char *message;
} png_decoder;

static void on_error(png_structp png, png_const_charp text) {
    png_decoder *decoder = png_get_error_ptr(png);
    hi_fail(HI_FORMAT, decoder->message, "damaged PNG: %s", text);
    longjmp(decoder->on_error, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep out, size_t count) {
    png_decoder *decoder = png_get_io_ptr(png);
    if (count > decoder->left) png_error(png, "the file is truncated");
    memcpy(out, decoder->next, count);
    decoder->next += count;
    decoder->left -= count;
}

/* Pillow opens 16-bit grey as mode I;16, and I;16 to RGB saturates: a sample above 255 becomes 255. `row` holds W big-endian
 * samples and becomes W RGB pixels, from the right so that no sample is overwritten before it is read. */
static void saturate_grey16(uint8_t *row, size_t W) {
    for (size_t i = W; i-- > 0;) {
        uint8_t value = row[2 * i] ? 255 : row[2 * i + 1];
        memset(row + 3 * i, value, 3);
    }
}

static hi_status decode(png_decoder *decoder, const hi_limits *limits) {
    png_structp png = decoder->png;
    png_infop info = decoder->info;
    png_set_read_fn(png, decoder, read_bytes);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* the pixel limit decides, not libpng's side limit */
    /* No text, profile or other side data is parsed or inflated: nothing in it changes the pixels. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    /* Checksums as Pillow has them: required up to the first IDAT, not looked at in the image data (zlib has its own). */
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(png, info);
    png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);

    size_t W = png_get_image_width(png, info), H = png_get_image_height(png, info);
    int depth = png_get_bit_depth(png, info), color = png_get_color_type(png, info);
    hi_status status = hi_allocate(W, H, limits, &decoder->image, decoder->message);
    if (status != HI_OK) return status;

    int grey16 = color == PNG_COLOR_TYPE_GRAY && depth == 16;
    if (grey16) {
        /* read as it is, see saturate_grey16 */
    } else {
        if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
        if (!(color & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
        if (depth == 16) png_set_strip_16(png); /* the high byte, not rounded */
        png_set_strip_alpha(png);               /* also what a palette's tRNS expands to */
    }
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != W * (grey16 ? 2 : 3)) png_error(png, "unexpected row size");

    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < H; y++) png_read_row(png, decoder->image.pixels + y * W * 3, NULL);
    if (grey16)
        for (size_t y = 0; y < H; y++) saturate_grey16(decoder->image.pixels + y * W * 3, W);
    return HI_OK;
}

/* setjmp stands in a function that does not own the decoder: a longjmp leaves that function's own variables undefined. */
static hi_status guarded(png_decoder *decoder, const hi_limits *limits) {
    if (setjmp(decoder->on_error)) return HI_FORMAT;
    decoder->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, decoder, on_error, on_warning);
    decoder->info = decoder->png ? png_create_info_struct(decoder->png) : NULL;
    if (!decoder->info) return hi_fail(HI_NO_MEMORY, decoder->message, "no memory to read a PNG");
    return decode(decoder, limits);
}

hi_status hi_decode_png(const uint8_t *bytes, size_t count, const hi_limits *limits, hi_image *image, char *message) {
    png_decoder decoder = {.next = bytes, .left = count, .message = message};
    hi_status status = guarded(&decoder, limits);
    png_destroy_read_struct(&decoder.png, &decoder.info, NULL);
    if (status == HI_OK)
        *image = decoder.image;
    else
        free(decoder.image.pixels);
    return status;
}
