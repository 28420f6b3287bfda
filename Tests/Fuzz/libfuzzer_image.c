/* libfuzzer_image.c - libFuzzer target of the image decoders and the resampler, below the C interface that fuzz_image.c uses.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -I Sources/CHadpoImage/include \
 *       Tests/Fuzz/libfuzzer_image.c Sources/CHadpoImage/[a-z]*.c -lpng -ljpeg -lm -o build/libfuzzer_image
 *   build/libfuzzer_image -max_len=4096 build/image_corpus Tests/Fixtures/images
 *
 * What decodes must also encode, and decode to the same pixels. */
#include "hadpo_image.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    const hi_limits limits = {.max_pixels = 1 << 20, .max_jpeg_scans = 20};
    char message[HI_MESSAGE_SIZE];
    hi_image image, again;
    if (hi_decode(bytes, count, &limits, &image, message) != HI_OK) {
        if (image.pixels || !message[0]) abort();
        return 0;
    }
    size_t size = image.width * image.height * 3;

    uint8_t *png;
    size_t png_count;
    if (hi_encode_png(image.pixels, image.width, image.height, &png, &png_count, message) != HI_OK) abort();
    if (hi_decode(png, png_count, &limits, &again, message) != HI_OK) abort();
    if (again.width != image.width || again.height != image.height || memcmp(again.pixels, image.pixels, size)) abort();
    hi_free(again.pixels);
    hi_free(png);

    size_t OW = 1 + count % 37, OH = 1 + bytes[count / 2] % 41;
    uint8_t *resized = malloc(OW * OH * 3);
    if (!resized) abort();
    hi_filter filter = (hi_filter)(bytes[count - 1] % 6);
    hi_pass_order order = count % 2 ? HI_PILLOW_12 : HI_PILLOW_13;
    if (hi_resize(image.pixels, image.width, image.height, resized, OW, OH, filter, order, message) != HI_OK) abort();
    free(resized);
    hi_free(image.pixels);
    return 0;
}
