/* jpeg_decode.c - JPEG bytes to RGB8 as Pillow's convert("RGB") has them: accurate integer IDCT, fancy upsampling, no
 * orientation. Warnings are passed over as Pillow does; data that ends before the last row is an error. */
#include "decoders.h"

#include <stdio.h> /* jpeglib.h needs it */

#include <jerror.h>
#include <jpeglib.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf on_error;
    hi_status status;
    uint32_t max_scans;
    uint8_t *cmyk; /* one row of a four-component file */
    hi_image image;
    char *message;
} jpeg_decoder;

static jpeg_decoder *decoder_of(j_common_ptr jpeg) { return jpeg->client_data; }

static void on_error(j_common_ptr jpeg) {
    jpeg_decoder *decoder = decoder_of(jpeg);
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    int memory = jpeg->err->msg_code == JERR_OUT_OF_MEMORY;
    decoder->status = memory ? hi_fail(HI_NO_MEMORY, decoder->message, "no memory to read a JPEG")
                             : hi_fail(HI_FORMAT, decoder->message, "damaged JPEG: %.200s", text);
    longjmp(decoder->on_error, 1);
}

static void on_message(j_common_ptr jpeg, int level) {
    (void)jpeg;
    (void)level;
}

static void on_output(j_common_ptr jpeg) { (void)jpeg; }

/* Called once per row of blocks, also while jpeg_start_decompress reads all scans of a progressive file. */
static void on_progress(j_common_ptr jpeg) {
    jpeg_decoder *decoder = decoder_of(jpeg);
    if (decoder->jpeg.input_scan_number <= (int)decoder->max_scans) return;
    decoder->status =
        hi_fail(HI_LIMIT, decoder->message, "the JPEG has more scans than the limit of %u", (unsigned)decoder->max_scans);
    longjmp(decoder->on_error, 1);
}

/* A source that has all bytes from the start: at their end it suspends, and every caller below takes that as truncation.
 * libjpeg's own memory source invents an end marker there and returns grey pixels. */
static void ignore(j_decompress_ptr jpeg) { (void)jpeg; }

static boolean at_end(j_decompress_ptr jpeg) {
    (void)jpeg;
    return FALSE;
}

static void skip(j_decompress_ptr jpeg, long count) {
    struct jpeg_source_mgr *source = jpeg->src;
    if (count <= 0) return;
    size_t step = (size_t)count < source->bytes_in_buffer ? (size_t)count : source->bytes_in_buffer;
    source->next_input_byte += step;
    source->bytes_in_buffer -= step;
}

static void grey_to_rgb(uint8_t *row, size_t W) {
    for (size_t i = W; i-- > 0;) memset(row + 3 * i, row[i], 3);
}

/* Adobe writes CMYK inverted and Pillow takes every four-component file to be so: with x the file's sample, nk = 255 - K is
 * x_K itself, C = 255 - x_C, and the channel is nk - C nk / 255, the division rounded as in Pillow's MULDIV255. */
static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *row, size_t W) {
    for (size_t i = 0; i < W; i++) {
        unsigned nk = cmyk[4 * i + 3];
        for (size_t c = 0; c < 3; c++) {
            unsigned product = (255u - cmyk[4 * i + c]) * nk + 128;
            row[3 * i + c] = (uint8_t)(nk - (((product >> 8) + product) >> 8));
        }
    }
}

/* All coefficients of a file with several scans: libjpeg keeps them until the last scan is read. */
static size_t coefficient_bytes(j_decompress_ptr jpeg) {
    size_t bytes = 0;
    if (!jpeg_has_multiple_scans(jpeg)) return 0;
    for (int i = 0; i < jpeg->num_components; i++)
        bytes += (size_t)jpeg->comp_info[i].width_in_blocks * jpeg->comp_info[i].height_in_blocks * sizeof(JBLOCK);
    return bytes; /* 65535 x 65535 pixels of four components: below 2^36 */
}

static hi_status decode(jpeg_decoder *decoder, const hi_limits *limits) {
    j_decompress_ptr jpeg = &decoder->jpeg;
    int found;
    do found = jpeg_read_header(jpeg, FALSE);
    while (found == JPEG_HEADER_TABLES_ONLY);
    if (found != JPEG_HEADER_OK) return hi_fail(HI_FORMAT, decoder->message, "damaged JPEG: truncated before the image");

    int components = jpeg->num_components;
    if (jpeg->data_precision != 8)
        return hi_fail(HI_FORMAT, decoder->message, "a JPEG with %d bits per sample; 8 are supported", jpeg->data_precision);
    if (components != 1 && components != 3 && components != 4)
        return hi_fail(HI_FORMAT, decoder->message, "a JPEG with %d components; 1, 3 and 4 are supported", components);
    size_t W = jpeg->image_width, H = jpeg->image_height;
    hi_status status = hi_allocate(W, H, limits, &decoder->image, decoder->message);
    if (status != HI_OK) return status;
    size_t coefficients = coefficient_bytes(jpeg);
    if (coefficients && !hi_may_allocate(limits, coefficients, 0))
        return hi_fail(HI_NO_MEMORY, decoder->message, "%zu bytes to decode a JPEG would pass the memory limit", coefficients);
    if (components == 4 && !(decoder->cmyk = malloc(W * 4)))
        return hi_fail(HI_NO_MEMORY, decoder->message, "no memory to read a JPEG");

    jpeg->out_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    if (!jpeg_start_decompress(jpeg)) return hi_fail(HI_FORMAT, decoder->message, "damaged JPEG: truncated");
    if (jpeg->output_width != W || jpeg->output_height != H || jpeg->output_components != components)
        return hi_fail(HI_FORMAT, decoder->message, "damaged JPEG: contradictory sizes");
    for (size_t y = 0; y < H; y++) {
        uint8_t *row = decoder->image.pixels + y * W * 3;
        JSAMPROW target = components == 4 ? decoder->cmyk : row;
        if (jpeg_read_scanlines(jpeg, &target, 1) != 1)
            return hi_fail(HI_FORMAT, decoder->message, "damaged JPEG: truncated at row %zu of %zu", y, H);
        if (components == 1) grey_to_rgb(row, W);
        if (components == 4) cmyk_to_rgb(decoder->cmyk, row, W);
    }
    jpeg_finish_decompress(jpeg); /* its false means a missing end marker; all rows are there */
    return HI_OK;
}

/* setjmp stands in a function that does not own the decoder: a longjmp leaves that function's own variables undefined. */
static hi_status guarded(jpeg_decoder *decoder, const hi_limits *limits) {
    if (setjmp(decoder->on_error)) return decoder->status;
    jpeg_create_decompress(&decoder->jpeg); /* keeps err and client_data */
    decoder->jpeg.src = &decoder->source;
    decoder->jpeg.progress = &decoder->progress;
    return decode(decoder, limits);
}

hi_status hi_decode_jpeg(const uint8_t *bytes, size_t count, const hi_limits *limits, hi_image *image, char *message) {
    jpeg_decoder decoder = {.message = message,
                            .max_scans = limits->max_jpeg_scans > INT32_MAX ? INT32_MAX : limits->max_jpeg_scans,
                            .source = {.next_input_byte = bytes,
                                       .bytes_in_buffer = count,
                                       .init_source = ignore,
                                       .fill_input_buffer = at_end,
                                       .skip_input_data = skip,
                                       .resync_to_restart = jpeg_resync_to_restart,
                                       .term_source = ignore},
                            .progress = {.progress_monitor = on_progress}};
    decoder.jpeg.err = jpeg_std_error(&decoder.errors);
    decoder.jpeg.client_data = &decoder;
    decoder.errors.error_exit = on_error;
    decoder.errors.emit_message = on_message;
    decoder.errors.output_message = on_output;
    hi_status status = guarded(&decoder, limits);
    jpeg_destroy_decompress(&decoder.jpeg);
    if (status == HI_OK)
        *image = decoder.image;
    else
        free(decoder.image.pixels);
    free(decoder.cmyk);
    return status;
}
