/* gallery.c - sentences of the demo's descriptions beside what the pictures show. Who judged them is the library's affair. */
#include "gallery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"before", "after"};

int gallery_open(gallery *gallery, const char *annotations)
{
    size_t size;
    char *text = read_file(annotations, &size);
    if (text == NULL) return fail_file("cannot read what the pictures show", annotations);
    json *world = json_of(text, size), *images = path_get(world, "images");
    free(text);
    gallery->pictures = json_object_new_object();
    for (size_t i = 0; i < length_of(images); i++) {
        json *image = json_object_array_get_idx(images, i), *things = path_get(image, "objects");
        const char *file = text_at(image, "coco_file", NULL);
        if (file == NULL) continue; /* for training */
        json *picture = json_object_new_object(), *objects = json_object_new_array();
        for (size_t k = 0; k < length_of(things); k++)
            json_object_array_add(objects, json_object_get(path_get(json_object_array_get_idx(things, k), "category")));
        json_object_object_add(picture, "image", json_object_new_string(file));
        json_object_object_add(picture, "objects", objects);
        for (int when = BEFORE; when <= AFTER; when++)
            json_object_object_add(picture, names[when], json_object_new_array());
        json_object_object_add(gallery->pictures, json_object_get_string(path_get(image, "image_id")), picture);
    }
    json_object_put(world);
    return DONE;
}

int gallery_read(gallery *gallery, int when, const char *sentences)
{
    size_t size;
    char *text = read_file(sentences, &size);
    if (text == NULL) return fail_file("cannot read the verdicts", sentences);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json *record = json_of(line, strlen(line));
        json *picture = json_object_object_get(gallery->pictures, text_at(record, "image_id", ""));
        json *list = path_get(picture, names[when]);
        if (list != NULL)
            json_object_array_add(list, record);
        else
            json_object_put(record);
    }
    free(text);
    return DONE;
}

static void print_sentence(json *record, int width)
{
    const char *text = text_at(record, "text", "");
    char tidy[512];
    size_t length = 0;
    for (const char *at = text; *at != 0 && length + 1 < sizeof tidy; at++)
        if (!(at[0] == ' ' && (at[1] == '.' || at[1] == ','))) tidy[length++] = *at; /* "cup ." is "cup." for people */
    tidy[length] = 0;
    say("%c %-*s", strcmp(text_at(record, "class", ""), "hallucination") == 0 ? 'x' : ' ', width, tidy);
}

static void print_picture(json *picture)
{
    enum { WIDTH = 48, SENTENCES = 12 };
    json *objects = path_get(picture, "objects"), *left = path_get(picture, "before"), *right = path_get(picture, "after");
    say("\n%s shows", text_at(picture, "image", "?"));
    for (size_t i = 0; i < length_of(objects); i++)
        say("%s %s", i > 0 ? "," : "", json_object_get_string(json_object_array_get_idx(objects, i)));
    say("\n  %-*s  %s\n", WIDTH, "before", "after");
    for (size_t i = 0; i < SENTENCES && (i < length_of(left) || i < length_of(right)); i++) {
        print_sentence(i < length_of(left) ? json_object_array_get_idx(left, i) : NULL, WIDTH);
        print_sentence(i < length_of(right) ? json_object_array_get_idx(right, i) : NULL, 0);
        say("\n");
    }
}

/* The sentences of a description, one after another, as one text. */
static json *whole(json *list)
{
    char text[4096] = "";
    size_t used = 0;
    for (size_t i = 0; i < length_of(list); i++) {
        int more = snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? " " : "",
                            text_at(json_object_array_get_idx(list, i), "text", ""));
        if (more < 0 || used + (size_t)more >= sizeof text) break;
        used += (size_t)more;
    }
    return json_object_new_string(text);
}

void gallery_print(const gallery *gallery, int most)
{
    json_object_object_foreach(gallery->pictures, id, picture)
    {
        (void)id;
        if (most == 0) break;
        json *before = whole(path_get(picture, "before")), *after = whole(path_get(picture, "after"));
        bool changed = !json_object_equal(before, after);
        json_object_put(before);
        json_object_put(after);
        if (!changed) continue;
        print_picture(picture);
        most--;
    }
}

json *gallery_json(const gallery *gallery, int most)
{
    json *list = json_object_new_array();
    json_object_object_foreach(gallery->pictures, id, picture)
    {
        if ((int)length_of(list) == most) break;
        json *entry = json_object_new_object();
        json_object_object_add(entry, "image_id", json_object_new_string(id));
        json_object_object_add(entry, "image", json_object_get(path_get(picture, "image")));
        json_object_object_add(entry, "objects", json_object_get(path_get(picture, "objects")));
        for (int when = BEFORE; when <= AFTER; when++)
            json_object_object_add(entry, names[when], whole(path_get(picture, names[when])));
        json_object_array_add(list, entry);
    }
    return list;
}

void gallery_free(gallery *gallery)
{
    json_object_put(gallery->pictures);
    gallery->pictures = NULL;
}
