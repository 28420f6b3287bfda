/* gallery.h - the demo's described pictures: which sentences name something that is not there. */
#ifndef HADPO_CLI_GALLERY_H
#define HADPO_CLI_GALLERY_H

#include "cli.h"

enum { BEFORE = 0, AFTER = 1, PICTURES = 40 };

typedef struct {
    char *name, *path;
    json *objects;    /* array of what is there */
    char *answers[2]; /* descriptions, before and after the training */
} picture;

typedef struct {
    picture pictures[PICTURES];
    int count;
    json *names; /* every object that some picture shows, as keys */
} gallery;

/* Sentences in all descriptions, those that name something absent, and words. */
typedef struct {
    int descriptions, sentences, invented, words;
} sentence_count;

/* Reads the first pictures of the input of POPE's question builder: {"image": name, "objects": [..]} a line. */
int gallery_open(gallery *gallery, const char *objects_path, const char *images);
sentence_count gallery_count(const gallery *gallery, int when);
/* Some pictures whose description changed, side by side. */
void gallery_print(const gallery *gallery, int most);
json *gallery_json(const gallery *gallery);
void gallery_free(gallery *gallery);

#endif
