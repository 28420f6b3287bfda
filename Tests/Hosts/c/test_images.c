/* Broken pictures and absurd sizes: an error, never a crash, never a large allocation. */
#include "harness.h"

static void refuse(const void *data, size_t size, const char *what)
{
    hadpo_image *image = (hadpo_image *)&image;
    hadpo_error *error = NULL;
    check_status(hadpo_image_decode(data, size, &image, &error), -1, &error, what);
    check(image == NULL, "%s: out is NULL", what);
}

static unsigned char *load(const char *name, size_t *size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/llava/pictures/%s", fixtures, name);
    FILE *file = fopen(path, "rb");
    unsigned char *data = malloc(1 << 20);
    *size = file != NULL && data != NULL ? fread(data, 1, 1 << 20, file) : 0;
    if (file != NULL) fclose(file);
    check(*size > 0, "the fixture %s is there", name);
    return data;
}

/* Every truncation and a few thousand single-byte changes: any status, no crash. A changed picture that still decodes is
 * fine. */
static void mistreat(const char *name)
{
    size_t size;
    unsigned char *data = load(name, &size);
    for (size_t cut = 0; cut < size; cut += cut < 64 ? 1 : 97) {
        hadpo_image *image = NULL;
        hadpo_image_decode(data, cut, &image, NULL);
        hadpo_image_free(image);
    }
    uint32_t random = 12345;
    for (int i = 0; i < 2000; i++) {
        random = random * 1664525u + 1013904223u;
        size_t at = (random >> 8) % size;
        unsigned char old = data[at];
        data[at] = (unsigned char)(random >> 3);
        hadpo_image *image = NULL;
        hadpo_image_decode(data, size, &image, NULL);
        hadpo_image_free(image);
        data[at] = old;
    }
    hadpo_image *image = NULL;
    hadpo_error *error = NULL;
    check_status(hadpo_image_decode(data, size, &image, &error), HADPO_OK, &error, name);
    hadpo_image_free(image);
    free(data);
}

static void test_rgb8(void)
{
    static const uint8_t pixels[12] = {0};
    static const struct {
        size_t width, height, row_bytes;
        const char *what;
    } cases[] = {{0, 1, 3, "no width"},
                 {1, 0, 3, "no height"},
                 {2, 2, 5, "rows shorter than their pixels"},
                 {SIZE_MAX, 1, SIZE_MAX, "the largest width"},
                 {1, SIZE_MAX, 3, "the largest height"},
                 {SIZE_MAX / 3 + 2, 1, 3, "a width that overflows times three"},
                 {60000, 60000, 180000, "60,000 x 60,000 pixels"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hadpo_image *image = NULL;
        hadpo_error *error = NULL;
        check_status(hadpo_image_from_rgb8(pixels, cases[i].width, cases[i].height, cases[i].row_bytes, &image, &error), -1, &error,
                     cases[i].what);
        hadpo_image_free(image);
    }
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    refuse("", 0, "no bytes");
    refuse("x", 1, "one byte");
    refuse("GIF89a..................", 24, "a GIF");
    refuse("\x89PNG\r\n\x1a\n", 8, "a PNG signature alone");
    /* A PNG header with its right checksum: the size alone is at fault. */
    refuse("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\x02\0\0\0" "\x0f\xb0\xe2\x15", 33, "60,000 x 60,000 declared");
    refuse("\xff\xd8\xff\xc0\0\x11\x08\xea\x60\xea\x60\x03\x01\x11\0\x02\x11\0\x03\x11\0\xff\xd9", 23, "a JPEG of 60,000 x 60,000");
    test_rgb8();
    mistreat("tall.png");
    mistreat("wide.jpg");
    return finish();
}
