#define _DEFAULT_SOURCE
#include "pictures.h"

#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after stdio.h, which it needs */
#include <jpeglib.h>

static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

static unsigned char pixels[MOST_SIDE * MOST_SIDE * 3];

static void fill(unsigned width, unsigned height, uint32_t *state)
{
    for (int i = 0; i < 9; i++) {
        unsigned x0 = i == 0 ? 0 : draw(state, width), x1 = i == 0 ? width : x0 + draw(state, width - x0) + 1;
        unsigned y0 = i == 0 ? 0 : draw(state, height), y1 = i == 0 ? height : y0 + draw(state, height - y0) + 1;
        unsigned char colour[3] = {(unsigned char)draw(state, 256), (unsigned char)draw(state, 256), (unsigned char)draw(state, 256)};
        for (unsigned y = y0; y < y1; y++)
            for (unsigned x = x0; x < x1; x++) memcpy(pixels + (y * width + x) * 3, colour, 3);
    }
}

static picture_file png(unsigned width, unsigned height)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = PNG_FORMAT_RGB};
    png_alloc_size_t size = 0;
    if (!png_image_write_to_memory(&image, NULL, &size, 0, pixels, 0, NULL)) abort();
    picture_file file = {malloc(size), size};
    if (file.bytes == NULL || !png_image_write_to_memory(&image, file.bytes, &size, 0, pixels, 0, NULL)) abort();
    return file;
}

static picture_file jpeg(unsigned width, unsigned height, int quality)
{
    struct jpeg_compress_struct encoder;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    encoder.err = jpeg_std_error(&errors);
    jpeg_create_compress(&encoder);
    jpeg_mem_dest(&encoder, &bytes, &size);
    encoder.image_width = width;
    encoder.image_height = height;
    encoder.input_components = 3;
    encoder.in_color_space = JCS_RGB;
    jpeg_set_defaults(&encoder);
    jpeg_set_quality(&encoder, quality, TRUE);
    if (quality % 3 == 0) jpeg_simple_progression(&encoder);
    jpeg_start_compress(&encoder, TRUE);
    while (encoder.next_scanline < height) {
        JSAMPROW row = pixels + (size_t)encoder.next_scanline * width * 3;
        jpeg_write_scanlines(&encoder, &row, 1);
    }
    jpeg_finish_compress(&encoder);
    jpeg_destroy_compress(&encoder);
    return (picture_file){bytes, size};
}

picture_file draw_picture(unsigned n)
{
    uint32_t state = n * 2654435761u + 1;
    unsigned width = 48 + draw(&state, MOST_SIDE - 47), height = 48 + draw(&state, MOST_SIDE - 47);
    fill(width, height, &state);
    return n % 2 == 0 ? png(width, height) : jpeg(width, height, 60 + (int)draw(&state, 40));
}

void spoil(picture_file *file, unsigned n)
{
    uint32_t state = n * 2246822519u + 1;
    switch (n / 10 % 4) {
    case 0: file->size = 8 + draw(&state, (uint32_t)file->size - 8); break;
    case 1:
        for (int i = 0; i < 16; i++) file->bytes[8 + draw(&state, (uint32_t)file->size - 8)] = (unsigned char)draw(&state, 256);
        break;
    case 2: memset(file->bytes, 'x', 8); break;
    default: file->size = 0;
    }
}
