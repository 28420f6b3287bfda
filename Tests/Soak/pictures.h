/* pictures.h - pictures of the soak's own, as files in memory. */
#ifndef HADPO_SOAK_PICTURES_H
#define HADPO_SOAK_PICTURES_H
#include <stddef.h>

typedef struct {
    unsigned char *bytes; /* freed by the caller */
    size_t size;
} picture_file;

enum { MOST_SIDE = 320 };

/* Number `n` of an endless series, all different: rectangles, sides 48 to MOST_SIDE; PNG for even numbers, JPEG for odd ones. */
picture_file draw_picture(unsigned n);

/* Makes the file a broken one, in one of four ways: cut, bytes overwritten, no signature, nothing left. */
void spoil(picture_file *file, unsigned n);
#endif
