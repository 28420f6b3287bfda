/* gallery.c - a judge that reads the annotation: a sentence invents when it names an object that some picture of the world
 * shows and this one does not. Wrong colours, sides and sizes do not count. */
#include "gallery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int gallery_open(gallery *gallery, const char *objects_path, const char *images)
{
    size_t size;
    char *text = read_file(objects_path, &size);
    if (text == NULL) return fail_file("cannot read what the pictures show", objects_path);
    gallery->names = json_object_new_object();
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json *record = json_of(line, strlen(line));
        json *objects = path_get(record, "objects");
        const char *name = text_at(record, "image", "");
        size_t count = json_object_is_type(objects, json_type_array) ? json_object_array_length(objects) : 0;
        for (size_t i = 0; i < count; i++)
            json_object_object_add(gallery->names, json_object_get_string(json_object_array_get_idx(objects, i)), NULL);
        if (gallery->count < PICTURES) {
            picture *next = &gallery->pictures[gallery->count++];
            next->path = joined(images, name);
            next->name = next->path == NULL ? NULL : strrchr(next->path, '/') + 1;
            next->objects = json_object_get(objects);
        }
        json_object_put(record);
    }
    free(text);
    return DONE;
}

static bool shows(const picture *picture, const char *name)
{
    for (size_t i = 0; i < json_object_array_length(picture->objects); i++)
        if (strcmp(json_object_get_string(json_object_array_get_idx(picture->objects, i)), name) == 0) return true;
    return false;
}

/* The sentence that begins at `text`, copied without leading spaces; where the next begins, or NULL at the end. */
static const char *next_sentence(const char *text, char *sentence, size_t size)
{
    text += strspn(text, " \n");
    if (*text == 0) return NULL;
    size_t length = strcspn(text, ".");
    if (text[length] == '.') length++;
    snprintf(sentence, size, "%.*s", (int)length, text);
    return text + length;
}

static bool invents(const gallery *gallery, const picture *picture, const char *sentence)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", sentence);
    for (char *word = strtok(copy, " .,\n"); word != NULL; word = strtok(NULL, " .,\n"))
        if (json_object_object_get_ex(gallery->names, word, NULL) && !shows(picture, word)) return true;
    return false;
}

sentence_count gallery_count(const gallery *gallery, int when)
{
    sentence_count count = {0, 0, 0, 0};
    char sentence[512];
    for (int i = 0; i < gallery->count; i++) {
        const char *text = gallery->pictures[i].answers[when];
        if (text == NULL) continue;
        count.descriptions++;
        for (const char *at = text; (at = next_sentence(at, sentence, sizeof sentence)) != NULL;) {
            count.sentences++;
            count.invented += invents(gallery, &gallery->pictures[i], sentence);
        }
        for (const char *at = text + strspn(text, " \n"); *at != 0; at += strspn(at, " \n")) {
            at += strcspn(at, " \n");
            count.words++;
        }
    }
    return count;
}

static void print_sentence(const gallery *gallery, const picture *picture, const char *sentence, int width)
{
    char tidy[512];
    size_t length = 0;
    for (const char *at = sentence; *at != 0 && length + 1 < sizeof tidy; at++)
        if (!(at[0] == ' ' && (at[1] == '.' || at[1] == ','))) tidy[length++] = *at; /* "cup ." is "cup." for people */
    tidy[length] = 0;
    printf("%c %-*s", invents(gallery, picture, sentence) ? 'x' : ' ', width, tidy);
}

static void print_picture(const gallery *gallery, const picture *picture)
{
    enum { WIDTH = 48, SENTENCES = 12 };
    printf("\n%s shows", picture->name);
    for (size_t i = 0; i < json_object_array_length(picture->objects); i++)
        printf("%s %s", i > 0 ? "," : "", json_object_get_string(json_object_array_get_idx(picture->objects, i)));
    printf("\n  %-*s  %s\n", WIDTH, "before", "after");
    const char *left = picture->answers[BEFORE], *right = picture->answers[AFTER];
    for (int i = 0; i < SENTENCES; i++) {
        char one[512] = "", other[512] = "";
        if (left != NULL) left = next_sentence(left, one, sizeof one);
        if (right != NULL) right = next_sentence(right, other, sizeof other);
        if (left == NULL && right == NULL) break;
        print_sentence(gallery, picture, one, WIDTH);
        print_sentence(gallery, picture, other, 0);
        putchar('\n');
    }
}

void gallery_print(const gallery *gallery, int most)
{
    for (int i = 0; i < gallery->count && most > 0; i++) {
        const picture *each = &gallery->pictures[i];
        if (each->answers[BEFORE] == NULL || each->answers[AFTER] == NULL) continue;
        if (strcmp(each->answers[BEFORE], each->answers[AFTER]) == 0) continue;
        print_picture(gallery, each);
        most--;
    }
}

json *gallery_json(const gallery *gallery)
{
    json *list = json_object_new_array();
    for (int i = 0; i < gallery->count; i++) {
        const picture *each = &gallery->pictures[i];
        if (each->answers[BEFORE] == NULL || each->answers[AFTER] == NULL) continue;
        json *entry = json_object_new_object();
        json_object_object_add(entry, "image", json_object_new_string(each->name));
        json_object_object_add(entry, "objects", json_object_get(each->objects));
        json_object_object_add(entry, "before", json_object_new_string(each->answers[BEFORE]));
        json_object_object_add(entry, "after", json_object_new_string(each->answers[AFTER]));
        json_object_array_add(list, entry);
    }
    return list;
}

void gallery_free(gallery *gallery)
{
    for (int i = 0; i < gallery->count; i++) {
        free(gallery->pictures[i].path);
        json_object_put(gallery->pictures[i].objects);
        free(gallery->pictures[i].answers[BEFORE]);
        free(gallery->pictures[i].answers[AFTER]);
    }
    json_object_put(gallery->names);
}
