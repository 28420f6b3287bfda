/* values.c - JSON values by path, and whole files. */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The next part of a dotted path, copied to `part`; where the rest begins, or NULL at the end. */
static const char *next_part(const char *path, char part[128])
{
    size_t length = strcspn(path, ".");
    if (length >= 128) length = 127;
    memcpy(part, path, length);
    part[length] = 0;
    path += strcspn(path, ".");
    return *path == '.' ? path + 1 : NULL;
}

json *path_get(json *object, const char *path)
{
    char part[128];
    while (path != NULL && object != NULL) {
        path = next_part(path, part);
        if (!json_object_is_type(object, json_type_object)) return NULL;
        object = json_object_object_get(object, part);
    }
    return object;
}

int path_set(json *object, const char *path, json *value)
{
    char part[128];
    for (;;) {
        path = next_part(path, part);
        if (path == NULL) break;
        json *inner = json_object_object_get(object, part);
        if (inner == NULL) {
            inner = json_object_new_object();
            json_object_object_add(object, part, inner);
        } else if (!json_object_is_type(inner, json_type_object)) {
            json_object_put(value);
            return -1;
        }
        object = inner;
    }
    json_object_object_add(object, part, value);
    return 0;
}

double number_at(json *object, const char *path, double otherwise)
{
    json *value = path_get(object, path);
    if (json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int))
        return json_object_get_double(value);
    return otherwise;
}

const char *text_at(json *object, const char *path, const char *otherwise)
{
    json *value = path_get(object, path);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : otherwise;
}

size_t length_of(json *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

const char *json_text(json *value)
{
    return json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

json *json_of(const char *text, size_t size)
{
    json_tokener *tokener = size > INT32_MAX ? NULL : json_tokener_new();
    if (tokener == NULL) return NULL;
    json *value = json_tokener_parse_ex(tokener, text, (int)size);
    if (json_tokener_get_error(tokener) != json_tokener_success) {
        json_object_put(value);
        value = NULL;
    }
    json_tokener_free(tokener);
    return value;
}

json *json_of_bytes(const hadpo_bytes *bytes)
{
    return bytes == NULL ? NULL : json_of(hadpo_bytes_data(bytes), hadpo_bytes_size(bytes));
}

char *read_file(const char *path, size_t *size)
{
    FILE *file;
    do file = fopen(path, "rb"); /* a signal may break it off */
    while (file == NULL && errno == EINTR);
    if (file == NULL) return NULL;
    char *data = NULL;
    size_t room = 0, used = 0;
    for (;;) {
        if (room - used < 2) {
            size_t larger = room == 0 ? 65536 : room * 2;
            char *grown = realloc(data, larger);
            if (grown == NULL) {
                errno = ENOMEM;
                break;
            }
            data = grown;
            room = larger;
        }
        size_t got = fread(data + used, 1, room - used - 1, file);
        used += got;
        if (got == 0) {
            if (ferror(file) && errno == EINTR) {
                clearerr(file);
                continue;
            }
            if (ferror(file)) break;
            data[used] = 0;
            *size = used;
            fclose(file);
            return data;
        }
    }
    int reason = errno;
    fclose(file);
    free(data);
    errno = reason;
    return NULL;
}

char *joined(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path != NULL) snprintf(path, size, "%s/%s", folder, name);
    return path;
}
