/* judge_reply.c - what came back: a verdict, a failure with a name, or a reason to ask again.
 *
 * Fail closed: only a whole answer counts. Truncated, filtered, empty, missing or surplus choices are failures, each with
 * its name, for a verdict that was guessed from half an answer would be a wrong figure. Statuses are sorted as OpenAI's
 * own client sorts them; servers disagree on the shape of errors, so every shape in use is read. */
#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A text from the wire, for people: without the key, without what a terminal obeys. */
static void set_message(reply *reply, const char *text, size_t size, const secret *secret)
{
    char beginning[4096];
    if (size > sizeof beginning) size = sizeof beginning;
    memcpy(beginning, text, size);
    if (!secret_blot(secret, beginning, size)) size = 0;
    plain_text(reply->message, sizeof reply->message, beginning, size, false);
}

static void set(reply *reply, reply_class class, const char *code, const char *message)
{
    reply->class = class;
    reply->code = code;
    if (message != NULL) plain_text(reply->message, sizeof reply->message, message, strlen(message), false);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* {"error": {"message", "code", "type"}}, {"error": "text"}, {"message"}, {"detail"}. */
static const char *error_message(json *body)
{
    const char *text = text_at(body, "error.message", NULL);
    if (text == NULL) text = text_at(body, "error", NULL);
    if (text == NULL) text = text_at(body, "message", NULL);
    return text == NULL ? text_at(body, "detail", NULL) : text;
}

/* Money that waiting does not bring back. */
static bool is_quota(json *body, int status)
{
    static const char *const names[] = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active",
                                        "quota_exceeded", "insufficient_balance"};
    if (status == 402) return true;
    const char *code = text_at(body, "error.code", ""), *type = text_at(body, "error.type", "");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(code, names[i]) == 0 || strcasecmp(type, names[i]) == 0) return true;
    return false;
}

static void sort_status(reply *reply, int status)
{
    static const struct {
        int status;
        const char *code;
        reply_class class;
    } table[] = {{400, "bad_request", REPLY_FAILED},    {401, "key_refused", REPLY_STOP},
                 {403, "key_refused", REPLY_STOP},      {404, "not_found", REPLY_FAILED},
                 {408, "timed_out", REPLY_RETRY},       {409, "conflict", REPLY_RETRY},
                 {413, "too_long", REPLY_FAILED},       {422, "unprocessable", REPLY_FAILED},
                 {429, "rate_limited", REPLY_RETRY}};
    reply->class = status >= 500 ? REPLY_RETRY : REPLY_FAILED;
    reply->code = status >= 500 ? "server_error" : status >= 300 && status < 400 ? "redirected" : "unexpected_status";
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == status) {
            reply->class = table[i].class;
            reply->code = table[i].code;
        }
    if (is_quota(reply->body, status)) {
        reply->class = REPLY_STOP;
        reply->code = "quota";
    }
    const char *message = error_message(reply->body);
    reply->too_long = status < 500 && reply->class == REPLY_FAILED && message != NULL &&
                      strstr(message, "Please reduce your prompt") != NULL;
    if (reply->too_long) reply->code = "too_long";
    if (message != NULL) plain_text(reply->message, sizeof reply->message, message, strlen(message), false);
}

/* ---- completions ------------------------------------------------------------------------------------------------- */

/* Why an answer ended, as OpenAI and the servers that imitate it say it; SHRReplies.swift has the same lists. A reason that
 * is on none of them may stand for half an answer. */
typedef enum { ENDED, CUT_OFF, FILTERED, OTHERWISE } ending;

static ending ending_of(const char *reason)
{
    static const struct {
        ending ending;
        const char *name;
    } names[] = {{ENDED, ""},              {ENDED, "stop"},          {ENDED, "eos"},
                 {ENDED, "eos_token"},     {ENDED, "end"},           {ENDED, "end_turn"},
                 {ENDED, "stop_sequence"}, {ENDED, "complete"},      {ENDED, "completed"},
                 {CUT_OFF, "length"},      {CUT_OFF, "max_tokens"},  {CUT_OFF, "model_length"},
                 {CUT_OFF, "max_output_tokens"},                     {FILTERED, "content_filter"},
                 {FILTERED, "content_filtered"},                     {FILTERED, "safety"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(reason, names[i].name) == 0) return names[i].ending;
    return OTHERWISE;
}

/* The text of a content: a string, or a list of chunks, of which those of type "text" are the answer and others the draft.
 * Malloced; NULL: no memory. */
static char *content_text(json *content)
{
    size_t count = json_object_is_type(content, json_type_array) ? json_object_array_length(content) : 1, size = 0;
    char *text = calloc(1, 1);
    for (size_t i = 0; text != NULL && i < count; i++) {
        json *chunk = json_object_is_type(content, json_type_array) ? json_object_array_get_idx(content, i) : content;
        const char *type = text_at(chunk, "type", "text"), *piece = text_at(chunk, "text", NULL);
        if (json_object_is_type(chunk, json_type_string)) piece = json_object_get_string(chunk);
        if (piece == NULL || (strcmp(type, "text") != 0 && strcmp(type, "output_text") != 0)) continue;
        size_t more = strlen(piece);
        char *longer = realloc(text, size + more + 1);
        if (longer == NULL) free(text);
        text = longer;
        if (text != NULL) memcpy(text + size, piece, more + 1);
        size += more;
    }
    return text;
}

/* How long a tag such as <think>, </think> or [THINK] is that stands at `text`; 0: none does. SHRText.swift has the same. */
static size_t draft_tag(const char *text, bool *closes)
{
    static const char *const names[] = {"think", "thinking", "thought", "reasoning"};
    if (*text != '<' && *text != '[') return 0;
    *closes = text[1] == '/';
    const char *name = text + (*closes ? 2 : 1);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t length = strlen(names[i]);
        if (strncasecmp(name, names[i], length) == 0 && name[length] == (*text == '<' ? '>' : ']'))
            return (size_t)(name - text) + length + 1;
    }
    return 0;
}

/* Takes the drafts of reasoning models out of a text, where it stands. A draft that nothing ends goes to the end of the text,
 * and one that nothing begins (the prompt did) comes from its beginning. */
static void drop_drafts(char *text)
{
    char *to = text;
    int depth = 0;
    for (const char *from = text; *from != 0;) {
        bool closes = false;
        size_t length = draft_tag(from, &closes);
        if (length == 0) {
            if (depth == 0) *to++ = *from;
            from++;
        } else {
            if (closes && depth == 0) to = text;
            depth += closes ? (depth > 0 ? -1 : 0) : 1;
            from += length;
        }
    }
    *to = 0;
}

/* message.content of chats, text of plain completions. */
static void read_choice(reply *reply, json *choice, const char *require)
{
    const char *reason = text_at(choice, "finish_reason", ""); /* some servers say none */
    json *content = path_get(choice, "message.content");
    char *text = content_text(content != NULL ? content : path_get(choice, "text"));
    const char *refusal = text_at(choice, "message.refusal", NULL);
    bool said_something = text != NULL && text[0] != 0;
    if (text != NULL) drop_drafts(text);
    ending ending = ending_of(reason);
    if (ending == CUT_OFF)
        set(reply, REPLY_FAILED, "truncated", "the answer was cut off at max_tokens");
    else if (ending == FILTERED)
        set(reply, REPLY_FAILED, "filtered", "the server's content filter stopped the answer");
    else if (text == NULL || text[strspn(text, " \t\r\n")] == 0)
        set(reply, REPLY_FAILED, refusal != NULL ? "refused" : "empty",
            refusal != NULL ? refusal : said_something ? "nothing but a draft in the answer" : "no text in the answer");
    else if (ending == OTHERWISE) {
        char shown[60], message[120];
        plain_text(shown, sizeof shown, reason, strlen(reason), false);
        snprintf(message, sizeof message, "finish_reason is %s", shown);
        set(reply, REPLY_FAILED, "unfinished", message);
    } else if (require != NULL && strstr(text, require) == NULL) {
        set(reply, REPLY_RETRY, "lacks_text", "the answer lacks what --require asks for");
    }
    free(text);
}

static void read_completion(reply *reply, int wanted, const char *require)
{
    json *choices = path_get(reply->body, "choices");
    if (!json_object_is_type(choices, json_type_array)) {
        /* Some gateways answer 200 with an error inside. */
        const char *message = error_message(reply->body);
        set(reply, REPLY_RETRY, "no_completion", message != NULL ? message : "JSON, but no completion");
        if (is_quota(reply->body, 200)) set(reply, REPLY_STOP, "quota", NULL);
        return;
    }
    size_t count = json_object_array_length(choices);
    if (count == 0 || (wanted > 0 && count != (size_t)wanted)) {
        char text[80];
        snprintf(text, sizeof text, "%zu choices instead of %d", count, wanted);
        set(reply, REPLY_FAILED, "wrong_count", text);
        return;
    }
    for (size_t i = 0; reply->class == REPLY_GOOD && i < count; i++)
        read_choice(reply, json_object_array_get_idx(choices, i), require);
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

static void sort(reply *reply, int choices, const char *require)
{
    if (reply->status == 200 && reply->body != NULL)
        read_completion(reply, choices, require);
    else if (reply->status == 200)
        reply->class = REPLY_RETRY, reply->code = "not_json";
    else
        sort_status(reply, reply->status);
}

/* What is kept of a body: of a completion what OpenAI documents, of anything else its message. A server may write the
 * request and its headers into the rest. */
static void keep_essentials(json *body)
{
    static const char *const of_completion[] = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint",
                                                "service_tier", NULL};
    static const char *const of_error[] = {"error", "message", "detail", "object", "type", "code", NULL};
    static const char *const within_error[] = {"message", "type", "param", "code", NULL};
    bool completion = json_object_is_type(path_get(body, "choices"), json_type_array);
    json *objects[] = {body, completion ? NULL : path_get(body, "error")};
    const char *const *names[] = {completion ? of_completion : of_error, within_error};
    for (int i = 0; i < 2; i++) {
        if (!json_object_is_type(objects[i], json_type_object)) continue;
        json *left_out = json_object_new_array();
        json_object_object_foreach(objects[i], name, value)
        {
            bool kept = completion || !json_object_is_type(value, json_type_array);
            const char *const *known = names[i];
            while (*known != NULL && strcmp(*known, name) != 0) known++;
            bool is_error = i == 0 && strcmp(name, "error") == 0;
            kept = kept && *known != NULL && (completion || is_error || !json_object_is_type(value, json_type_object));
            if (!kept) json_object_array_add(left_out, json_object_new_string(name));
        }
        for (size_t n = 0; n < length_of(left_out); n++)
            json_object_object_del(objects[i], json_object_get_string(json_object_array_get_idx(left_out, n)));
        json_object_put(left_out);
    }
}

/* "https://host:port" of an address: the rest may hold what was sent. */
static void set_redirect(reply *reply, const char *address, const secret *secret)
{
    const char *host = strstr(address, "://");
    size_t size = host == NULL ? 0 : (size_t)(host + 3 - address) + strcspn(host + 3, "/?#\\");
    const char *user = host == NULL ? NULL : memchr(host, '@', size - (size_t)(host - address));
    set_message(reply, user != NULL ? user + 1 : address, user != NULL ? size - (size_t)(user + 1 - address) : size, secret);
    char where[120];
    snprintf(where, sizeof where, "%s", reply->message[0] != 0 ? reply->message : "another address");
    snprintf(reply->message, sizeof reply->message, "to %s; not followed, the key would go along", where);
}

void reply_of_response(reply *reply, const http_response *response, int choices, const char *require, const secret *secret)
{
    static const struct {
        const char *code;
        reply_class class;
    } events[] = {[HTTP_TIMEOUT] = {"timed_out", REPLY_RETRY},   [HTTP_UNREACHABLE] = {"unreachable", REPLY_RETRY},
                  [HTTP_CUT_OFF] = {"cut_off", REPLY_RETRY},     [HTTP_UNTRUSTED] = {"untrusted", REPLY_STOP},
                  [HTTP_TOO_LARGE] = {"too_large", REPLY_FAILED}, [HTTP_BROKEN] = {"broken", REPLY_STOP}};
    memset(reply, 0, sizeof *reply);
    if (response->event != HTTP_ANSWERED) {
        const char *why = response->event == HTTP_TOO_LARGE ? "the answer is larger than 16 MiB" : response->why;
        set(reply, events[response->event].class, events[response->event].code, NULL);
        set_message(reply, why, strlen(why), secret);
        return;
    }
    reply->status = response->status;
    reply->body = strict_json(response->body, response->size, NULL, 0);
    if (json_object_is_type(reply->body, json_type_object)) keep_essentials(reply->body);
    if (!json_object_is_type(reply->body, json_type_object) || !secret_blot_json(secret, reply->body)) {
        json_object_put(reply->body);
        reply->body = NULL;
        set_message(reply, response->body, response->size, secret);
    }
    sort(reply, choices, require);
    if (reply->code != NULL && strcmp(reply->code, "redirected") == 0) set_redirect(reply, response->why, secret);
    /* A refused key and an empty account stay what they are, whatever the header says. */
    if (reply->status != 200 && reply->class != REPLY_STOP && response->should_retry >= 0)
        reply->class = response->should_retry == 1 ? REPLY_RETRY : REPLY_FAILED;
}

/* An error in a line is the client's word; without one the response is read as it was when it came. "unfinished" is no word
 * to keep: an earlier version knew fewer names for a whole answer's end, and the answer was paid for. */
void reply_of_line(reply *reply, json *line, int choices, const char *require)
{
    static const char *const names[] = {"wrong_count", "not_json", "no_completion", "lacks_text"};
    memset(reply, 0, sizeof *reply);
    reply->status = (int)number_at(line, "response.status_code", 0);
    json *body = path_get(line, "response.body");
    if (json_object_is_type(body, json_type_object)) reply->body = json_object_get(body);
    sort(reply, choices, require);
    const char *code = text_at(line, "error.code", NULL);
    if (path_get(line, "error") == NULL) return;
    if (code != NULL && strcmp(code, "unfinished") == 0 && reply->status == 200) return;
    if (reply->code == NULL) set(reply, REPLY_FAILED, "failed", NULL);
    for (size_t i = 0; code != NULL && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(code, names[i]) == 0) reply->code = names[i];
    set(reply, reply->class, reply->code, text_at(line, "error.message", reply->message[0] != 0 ? NULL : ""));
}

json *reply_line_error(const reply *reply)
{
    if (reply->code == NULL || (reply->status != 200 && reply->body != NULL)) return NULL;
    static const char *const shown[] = {"truncated", "filtered", "empty", "refused"};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        if (strcmp(reply->code, shown[i]) == 0) return NULL;
    return reply_error(reply->code, reply->message);
}

json *reply_response(const reply *reply)
{
    if (reply->status == 0) return NULL;
    json *response = json_object_new_object();
    json_object_object_add(response, "status_code", json_object_new_int(reply->status));
    json_object_object_add(response, "body", json_object_get(reply->body));
    return response;
}

json *reply_error(const char *code, const char *message)
{
    json *error = json_object_new_object();
    json_object_object_add(error, "code", json_object_new_string(code));
    json_object_object_add(error, "message", json_object_new_string(message));
    return error;
}

void reply_free(reply *reply)
{
    json_object_put(reply->body);
    reply->body = NULL;
}
