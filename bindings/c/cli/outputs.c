/* outputs.c - what a command line gives and its command would not use, and files that it would write over those it reads. */
#define _POSIX_C_SOURCE 200809L
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* ---- places ------------------------------------------------------------------------------------------------------- */

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* The status of the folder that a file is in, or would be in. */
static bool folder_of(const char *path, struct stat *status)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    bool found = folder != NULL && stat(folder, status) == 0;
    free(folder);
    return found;
}

static bool is_same(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* One file, however it is called; of files that are not there yet, one name in one folder. */
static bool same_place(const char *one, const char *other)
{
    struct stat first, second;
    bool is_there = stat(one, &first) == 0;
    if (is_there != (stat(other, &second) == 0)) return false;
    if (is_there) return is_same(&first, &second);
    if (strcmp(one, other) == 0) return true;
    return strcmp(name_of(one), name_of(other)) == 0 && folder_of(one, &first) && folder_of(other, &second) && is_same(&first, &second);
}

/* The key of a text in `value` that names the same file; the walk is as deep as a config. */
static const char *key_of_place(const char *path, json *value, const char *key, const char *own)
{
    const char *found = NULL;
    if (json_object_is_type(value, json_type_string))
        return json_object_get_string_len(value) > 0 && same_place(path, json_object_get_string(value)) ? key : NULL;
    if (json_object_is_type(value, json_type_array))
        for (size_t i = 0; found == NULL && i < json_object_array_length(value); i++)
            found = key_of_place(path, json_object_array_get_idx(value, i), key, NULL);
    if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach(value, name, member)
        {
            if (found == NULL && (own == NULL || strcmp(name, own) != 0)) found = key_of_place(path, member, name, NULL);
        }
    }
    return found;
}

/* An earlier page, or nothing. */
static bool is_page(const char *path)
{
    char start[256];
    FILE *file = fopen(path, "rb");
    if (file == NULL) return true; /* page_check says why */
    size_t count = fread(start, 1, sizeof start - 1, file);
    fclose(file);
    start[count] = 0;
    const char *text = start + strspn(start, " \t\r\n");
    return count == 0 || strncasecmp(text, "<!doctype html", 14) == 0;
}

int outputs_check(const command *command, const invocation *call)
{
    static const char *const outputs[][2] = {{"report", "--report"}, {"inspect_step", "--inspect-step"}, {"output", "-o"}};
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        const char *path = cli_text(call, outputs[i][0]), *key = NULL;
        if (path == NULL) continue;
        json *const configs[] = {call->model, call->request, call->cli};
        for (int c = 0; key == NULL && c < 3; c++)
            key = key_of_place(path, configs[c], "", configs[c] == call->cli ? outputs[i][0] : NULL);
        for (int f = 0; key == NULL && f < call->n_files; f++)
            if (same_place(path, call->files[f])) key = "the file that is read";
        if (key != NULL)
            return usage_error(command, "%s %s would be written over another file of this command: %s", outputs[i][1], path, key);
        struct stat status;
        if (i == 0 && stat(path, &status) == 0 && S_ISREG(status.st_mode) && !is_page(path))
            return usage_error(command, "--report %s: a file that is no page is there", path);
    }
    return DONE;
}

/* ---- flags without effect ----------------------------------------------------------------------------------------- */

int effects_check(const command *command, const invocation *call)
{
    bool exports = command == &export_command;
    if ((exports || command == &score_command || command == &inspect_command) && path_get(call->model, "kv_cache") != NULL)
        return usage_error(command, "--kv-cache has no effect here: nothing is generated");
    if (!exports) return DONE;
    if (path_get(call->model, "processor") != NULL)
        return usage_error(command, "--processor has no effect on an export: it writes the folder's own processor");
    const char *opened = text_at(call->model, "weights", "stored"), *written = text_at(call->request, "weights", "stored");
    if (strcmp(opened, "stored") != 0 && strcmp(opened, written) != 0)
        return usage_error(command, "--weights %s has no effect on an export, which starts from the weights as stored; --save-as says "
                                    "how they are written", opened);
    return DONE;
}
