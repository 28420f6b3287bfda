/* demo.h - what the demo's steps find, shared with the file that shows it. */
#ifndef HADPO_CLI_DEMO_H
#define HADPO_CLI_DEMO_H

#include "gallery.h"

enum { SPLITS = 3 };
extern const char *const demo_splits[SPLITS]; /* random, popular, adversarial */
extern const char *const demo_whens[2];       /* before, after */

typedef struct {
    const invocation *call;
    session session;
    const char *family, *title;
    char *folder; /* everything this family's demo writes */
    json *world, *pairs, *training; /* reports of the library */
    json *pope[2][SPLITS];          /* before, after */
    json *shr[2], *page;
    gallery gallery;
    double seconds_world, seconds_asking[2], seconds_pairs, seconds_training;
} demo_state;

/* ---- demo.c */
const char *in_folder(const demo_state *demo, const char *name, char *buffer, size_t size);
json *text_value(const char *text);

/* ---- demo_show.c */
int demo_write_page(demo_state *demo); /* everything that was written, as one HTML page */
void demo_print(const demo_state *demo);
json *demo_json(const demo_state *demo);

#endif
