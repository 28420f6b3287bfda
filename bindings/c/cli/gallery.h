/* gallery.h - the demo's described pictures: what is in them, and how the judge took each sentence about them. */
#ifndef HADPO_CLI_GALLERY_H
#define HADPO_CLI_GALLERY_H

#include "cli.h"

enum { BEFORE = 0, AFTER = 1 };

typedef struct {
    json *pictures; /* image id -> {image, objects, before: [record], after: [record]}, in the order of the evaluation */
} gallery;

/* Reads the world's annotations.json: what the evaluation pictures show. */
int gallery_open(gallery *gallery, const char *annotations);
/* Adds a score's sentences.jsonl. */
int gallery_read(gallery *gallery, int when, const char *sentences);
/* Some pictures whose description changed, side by side. */
void gallery_print(const gallery *gallery, int most);
/* The first of them as {image, objects, before, after}, descriptions as text. */
json *gallery_json(const gallery *gallery, int most);
void gallery_free(gallery *gallery);

#endif
