/* judge_store.c - the requests, and the files of replies that make a verdict be asked for once.
 *
 * Lines stay on the disk; memory holds where they are. A reply is appended with one write(2) before it counts, so that
 * kill -9 costs what was on the wire and nothing else, and is brought to the disk once a second and at the end, so that a
 * power cut costs a second. A last line without its newline is kept if it is whole JSON and dropped if it is torn. */
#define _DEFAULT_SOURCE
#include "judge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JSON_DEPTH = 64 }; /* the library's limit; json-c's own is 32 */

json *strict_json(const char *text, size_t size, char *why, size_t why_size)
{
    hadpo_bytes *resolved = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_config_resolve(text, size, &resolved, &error);
    hadpo_bytes_free(resolved);
    if (why != NULL && status == HADPO_E_JSON) {
        json *record = json_tokener_parse(hadpo_error_json(error));
        snprintf(why, why_size, "%s", text_at(record, "message", "not JSON"));
        json_object_put(record);
    }
    hadpo_error_free(error);
    json_tokener *tokener = status == HADPO_E_JSON || size > INT32_MAX ? NULL : json_tokener_new_ex(JSON_DEPTH);
    if (tokener == NULL) return NULL;
    json *value = json_tokener_parse_ex(tokener, text, (int)size);
    bool whole = json_tokener_get_error(tokener) == json_tokener_success;
    json_tokener_free(tokener);
    if (!whole) json_object_put(value);
    return whole ? value : NULL;
}

static char *read_at(int descriptor, int64_t offset, size_t size)
{
    char *text = malloc(size + 1);
    size_t got = 0;
    while (text != NULL && got < size) {
        ssize_t more = pread(descriptor, text + got, size - got, (off_t)offset + (off_t)got);
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) {
            free(text);
            return NULL;
        }
        got += (size_t)more;
    }
    if (text != NULL) text[size] = 0;
    return text;
}

static json *line_at(int descriptor, int64_t offset, size_t size)
{
    char *text = read_at(descriptor, offset, size);
    json *line = text == NULL ? NULL : strict_json(text, size, NULL, 0);
    free(text);
    return line;
}

static int line_error(int outcome, const char *doing, const char *path, size_t number, const char *fault)
{
    complain("hadpo: %s: %s\n  %-9s %s:%zu\n", doing, fault, "where", path, number);
    return outcome;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static const char chat_path[] = "/v1/chat/completions", completion_path[] = "/v1/completions";

/* NULL: nothing is wrong with it. */
static const char *request_fault(json *line)
{
    json *body = path_get(line, "body");
    const char *url = text_at(line, "url", "");
    if (!json_object_is_type(line, json_type_object)) return "not an object";
    if (text_at(line, "custom_id", "")[0] == 0) return "no custom_id";
    if (strcmp(text_at(line, "method", "POST"), "POST") != 0) return "method is not POST";
    bool chat = strcmp(url, chat_path) == 0;
    if (!chat && strcmp(url, completion_path) != 0) return "url is neither /v1/chat/completions nor /v1/completions";
    if (!json_object_is_type(body, json_type_object)) return "body is not an object";
    if (text_at(body, "model", "")[0] == 0) return "no body.model, and no --model";
    json *messages = path_get(body, "messages");
    if (chat && (!json_object_is_type(messages, json_type_array) || json_object_array_length(messages) == 0))
        return "no body.messages";
    if (!chat && path_get(body, "prompt") == NULL) return "no body.prompt";
    if (json_object_get_boolean(path_get(body, "stream"))) return "body.stream is true; replies are read whole";
    double choices = number_at(body, "n", 1);
    return choices >= 1 && choices <= 128 ? NULL : "body.n is not between 1 and 128";
}

/* `line` is the text, parsed, with the model replaced if it is to be. */
static char *body_of(const request_list *list, const char *text, size_t size, json *line)
{
    size_t start = 0, length = 0;
    if (list->model != NULL) {
        text = json_text(path_get(line, "body"));
        length = strlen(text);
    } else if (!find_body(text, size, &start, &length)) {
        return NULL;
    }
    char *body = malloc(length + 1);
    if (body == NULL) return NULL;
    memcpy(body, text + start, length);
    body[length] = 0;
    return body;
}

static void override_model(json *line, const char *model)
{
    json *body = path_get(line, "body");
    if (model != NULL && json_object_is_type(body, json_type_object))
        json_object_object_add(body, "model", json_object_new_string(model));
}

static int add_request(request_list *list, json *ids, json *line, const char *text, size_t size, int64_t offset,
                       size_t number)
{
    static const char doing[] = "reading the requests";
    override_model(line, list->model);
    const char *fault = request_fault(line);
    if (fault != NULL) return line_error(BAD_INPUT, doing, list->path, number, fault);
    request request = {.offset = offset, .size = size, .twin = NO_REQUEST};
    request.choices = (int)number_at(path_get(line, "body"), "n", 1);
    request.path = strcmp(text_at(line, "url", ""), chat_path) == 0 ? chat_path : completion_path;
    char *body = body_of(list, text, size, line);
    size_t start = 0, length = 0;
    if (body == NULL || !find_body(text, size, &start, &length)) {
        free(body);
        return line_error(BAD_INPUT, doing, list->path, number, "no member that is written \"body\"");
    }
    text_key(body, strlen(body), request.key);
    text_key(text + start, length, request.request_key);
    free(body);
    const char *id = text_at(line, "custom_id", "");
    json *earlier = json_object_object_get(ids, id);
    if (earlier != NULL) {
        list->repeated++;
        if (strcmp(json_object_get_string(earlier), request.key) == 0) return DONE;
        return line_error(BAD_INPUT, doing, list->path, number, "this custom_id stands for another request already");
    }
    json_object_object_add(ids, id, json_object_new_string(request.key));
    /* Room doubles whenever the count reaches a power of two. */
    if ((list->count & (list->count - 1)) == 0) {
        void *grown = realloc(list->items, (list->count == 0 ? 1 : 2 * list->count) * sizeof *list->items);
        if (grown == NULL) return NO_MEMORY;
        list->items = grown;
    }
    request.custom_id = malloc(strlen(id) + 1);
    if (request.custom_id == NULL) return NO_MEMORY;
    strcpy(request.custom_id, id);
    list->items[list->count++] = request;
    return DONE;
}

/* A call that a signal broke off before it had done anything is made again. */
#define UNTIL_DONE(result, call) do (result) = (call); while ((result) < 0 && errno == EINTR)

static int open_file(const char *path, int flags)
{
    int descriptor;
    UNTIL_DONE(descriptor, open(path, flags | O_CLOEXEC, 0666));
    return descriptor;
}

static bool is_blank(const char *text, size_t size)
{
    while (size > 0 && strchr(" \t\r\n", *text) != NULL && *text != 0) text++, size--;
    return size == 0;
}

/* Calls back for every line that is not blank; a line without its newline has `whole` false. */
typedef int (*line_handler)(void *user, char *text, size_t size, int64_t offset, size_t number, bool whole);

/* A window on a file: `held` bytes from `offset` on. */
typedef struct {
    char *text;
    size_t room, held;
    int64_t offset;
    bool ended;
} line_window;

/* More of the file behind what is held; false: no memory, or the file cannot be read. */
static bool read_more(line_window *window, int descriptor)
{
    enum { PIECE = 65536 };
    if (window->room - window->held < PIECE) {
        size_t larger = 2 * window->room + PIECE;
        char *grown = realloc(window->text, larger);
        if (grown == NULL) return false;
        window->text = grown;
        window->room = larger;
    }
    ssize_t got;
    off_t at = (off_t)(window->offset + (int64_t)window->held);
    UNTIL_DONE(got, pread(descriptor, window->text + window->held, window->room - window->held, at));
    if (got < 0) return false;
    window->held += (size_t)got;
    window->ended = got == 0;
    return true;
}

static int for_each_line(int descriptor, const char *doing, const char *path, line_handler handle, void *user)
{
    line_window window = {NULL, 0, 0, 0, false};
    size_t start = 0, searched = 0, number = 0; /* of the line, within the window; no newline before */
    int outcome = DONE;
    while (outcome == DONE) {
        char *newline = searched < window.held ? memchr(window.text + searched, '\n', window.held - searched) : NULL;
        if (newline == NULL && !window.ended) {
            if (start > 0) memmove(window.text, window.text + start, window.held - start);
            window.held -= start;
            window.offset += (int64_t)start;
            start = 0;
            searched = window.held;
            if (!read_more(&window, descriptor)) outcome = fail_file(doing, path);
            continue;
        }
        size_t end = newline != NULL ? (size_t)(newline - window.text) : window.held;
        if (newline == NULL && start == end) break;
        char *line = window.text + start;
        number++;
        if (!is_blank(line, end - start))
            outcome = handle(user, line, end - start, window.offset + (int64_t)start, number, newline != NULL);
        if (newline == NULL) break;
        start = searched = end + 1;
    }
    free(window.text);
    return outcome;
}

typedef struct {
    request_list *list;
    json *ids; /* custom_id: key */
    size_t limit;
} request_reading;

static int read_request(void *user, char *text, size_t size, int64_t offset, size_t number, bool whole)
{
    (void)whole;
    request_reading *reading = user;
    if (reading->limit > 0 && reading->list->count == reading->limit) return DONE;
    char why[200];
    snprintf(why, sizeof why, "not JSON");
    json *line = strict_json(text, size, why, sizeof why);
    if (line == NULL) return line_error(BAD_INPUT, "reading the requests", reading->list->path, number, why);
    int outcome = add_request(reading->list, reading->ids, line, text, size, offset, number);
    json_object_put(line);
    return outcome;
}

int requests_read(request_list *list, const char *path, const char *model, size_t limit)
{
    static const char doing[] = "cannot read the requests";
    memset(list, 0, sizeof *list);
    list->path = path;
    list->model = model;
    list->descriptor = open_file(path, O_RDONLY);
    if (list->descriptor < 0) return fail_file(doing, path);
    request_reading reading = {list, json_object_new_object(), limit};
    int outcome = for_each_line(list->descriptor, doing, path, read_request, &reading);
    json_object_put(reading.ids);
    return outcome;
}

char *request_body(const request_list *list, size_t index)
{
    const request *request = &list->items[index];
    char *text = read_at(list->descriptor, request->offset, request->size);
    json *line = text == NULL ? NULL : strict_json(text, request->size, NULL, 0);
    override_model(line, list->model);
    char *body = line == NULL ? NULL : body_of(list, text, request->size, line);
    json_object_put(line);
    free(text);
    return body;
}

void requests_free(request_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].custom_id);
        free(list->items[i].message);
    }
    free(list->items);
    if (list->path != NULL && list->descriptor >= 0) close(list->descriptor);
}

/* ---- replies ----------------------------------------------------------------------------------------------------- */

static bool is_written(reply_use use)
{
    return use == REPLIES_OUTPUT || use == REPLIES_RECORD;
}

static bool is_good(json *line)
{
    reply reply;
    reply_of_line(&reply, line, 0, NULL);
    reply_free(&reply);
    return reply.code == NULL;
}

static void remember(reply_file *file, const char *custom_id, const char *key, int64_t offset, size_t size)
{
    json *place = json_object_new_array_ext(2);
    json_object_array_add(place, json_object_new_int64(offset));
    json_object_array_add(place, json_object_new_int64((int64_t)size));
    json_object_object_add(file->keys, key, place);
    json_object_object_add(file->ids, custom_id, json_object_new_string(key));
}

/* How every line begins that replies_append writes, so that no other file's last line is taken for a torn one. */
static const char line_beginning[] = "{\"id\":\"hadpo_req_";

static bool may_be_torn(const char *text, size_t size)
{
    size_t known = sizeof line_beginning - 1;
    return memcmp(text, line_beginning, size < known ? size : known) == 0;
}

static int read_reply(void *user, char *text, size_t size, int64_t offset, size_t number, bool whole)
{
    static const char doing[] = "reading replies";
    reply_file *file = user;
    char why[200] = "not JSON";
    json *line = strict_json(text, size, why, sizeof why);
    if (line == NULL && !whole && may_be_torn(text, size)) { /* kill -9 in the middle of it */
        file->torn = true;
        file->size = offset;
        int cut = 0;
        if (is_written(file->use)) UNTIL_DONE(cut, ftruncate(file->descriptor, (off_t)offset));
        if (cut != 0) return fail_file("cannot drop the torn last line", file->path);
        return DONE;
    }
    const char *id = text_at(line, "custom_id", NULL), *key = text_at(line, "key", NULL), *fault = NULL;
    if (line == NULL) fault = why;
    else if (id == NULL || key == NULL) fault = "no custom_id or no key: not a file that `hadpo judge` wrote";
    if (fault == NULL && (file->use == REPLIES_RECORD || file->use == REPLIES_REPLAY || is_good(line)))
        remember(file, id, key, offset, size);
    json_object_put(line);
    if (fault != NULL) return line_error(BAD_FILE, doing, file->path, number, fault);
    if (!whole && is_written(file->use)) { /* an editor's, or a kill between text and newline */
        ssize_t done;
        UNTIL_DONE(done, write(file->descriptor, "\n", 1));
        if (done != 1) return fail_file("cannot end the last line", file->path);
        file->size++;
    }
    return DONE;
}

int replies_open(reply_file *file, const char *path, reply_use use)
{
    static const char doing[] = "cannot open the replies";
    memset(file, 0, sizeof *file);
    file->path = path;
    file->use = use;
    file->keys = json_object_new_object();
    file->ids = json_object_new_object();
    file->synced = seconds_now();
    file->descriptor = open_file(path, is_written(use) ? O_RDWR | O_CREAT | O_APPEND : O_RDONLY);
    if (file->descriptor < 0 && errno == ENOENT && use == REPLIES_PREVIEW) return DONE;
    struct stat status;
    if (file->descriptor < 0 || fstat(file->descriptor, &status) != 0) return fail_file(doing, path);
    if (!S_ISREG(status.st_mode)) return line_error(BAD_FILE, doing, path, 1, "not a file to append to and read again");
    int locked = 0;
    if (is_written(use)) UNTIL_DONE(locked, flock(file->descriptor, LOCK_EX | LOCK_NB));
    if (locked != 0) {
        errno = errno == EWOULDBLOCK ? EBUSY : errno; /* another hadpo judge */
        return fail_file(doing, path);
    }
    file->size = status.st_size;
    return for_each_line(file->descriptor, doing, path, read_reply, file);
}

json *replies_find(const reply_file *file, const char *key)
{
    json *place = file->keys == NULL ? NULL : json_object_object_get(file->keys, key);
    if (place == NULL) return NULL;
    return line_at(file->descriptor, json_object_get_int64(json_object_array_get_idx(place, 0)),
                   (size_t)json_object_get_int64(json_object_array_get_idx(place, 1)));
}

int replies_append(reply_file *file, const request *request, json *response, json *error)
{
    json *line = json_object_new_object();
    char id[40];
    snprintf(id, sizeof id, "hadpo_req_%.24s", request->key);
    json_object_object_add(line, "id", json_object_new_string(id));
    json_object_object_add(line, "custom_id", json_object_new_string(request->custom_id));
    json_object_object_add(line, "key", json_object_new_string(request->key));
    json_object_object_add(line, "request_key", json_object_new_string(request->request_key));
    json_object_object_add(line, "response", response);
    json_object_object_add(line, "error", error);
    bool good = is_good(line) || file->use == REPLIES_RECORD;
    const char *text = json_text(line);
    size_t size = text == NULL ? 0 : strlen(text), done = 0;
    char *bytes = text == NULL ? NULL : malloc(size + 1);
    if (bytes == NULL) {
        json_object_put(line);
        return NO_MEMORY;
    }
    memcpy(bytes, text, size);
    bytes[size] = '\n';
    json_object_put(line);
    while (done < size + 1) {
        ssize_t more = write(file->descriptor, bytes + done, size + 1 - done);
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) break;
        done += (size_t)more;
    }
    free(bytes);
    if (done < size + 1) {
        int outcome = fail_file("cannot write the replies", file->path);
        if (ftruncate(file->descriptor, (off_t)file->size) != 0) fail_file("cannot drop the torn line", file->path);
        return outcome;
    }
    if (good) remember(file, request->custom_id, request->key, file->size, size);
    file->size += (int64_t)size + 1;
    file->unsynced = true;
    return DONE;
}

int replies_sync(reply_file *file, bool now)
{
    if (!file->unsynced || (!now && seconds_now() - file->synced < 1)) return DONE;
    int synced;
    UNTIL_DONE(synced, fdatasync(file->descriptor));
    if (synced != 0) return fail_file("cannot bring the replies to the disk", file->path);
    file->unsynced = false;
    file->synced = seconds_now();
    return DONE;
}

void replies_close(reply_file *file)
{
    if (file->path != NULL && file->descriptor >= 0) close(file->descriptor);
    json_object_put(file->keys);
    json_object_put(file->ids);
    memset(file, 0, sizeof *file);
}
