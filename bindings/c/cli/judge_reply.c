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

/* message.content of chats, text of plain completions. */
static void read_choice(reply *reply, json *choice, const char *require)
{
    const char *reason = text_at(choice, "finish_reason", "stop"); /* some servers say none */
    const char *content = text_at(choice, "message.content", text_at(choice, "text", NULL));
    const char *refusal = text_at(choice, "message.refusal", NULL);
    if (strcmp(reason, "length") == 0)
        set(reply, REPLY_FAILED, "truncated", "the answer was cut off at max_tokens");
    else if (strcmp(reason, "content_filter") == 0)
        set(reply, REPLY_FAILED, "filtered", "the server's content filter stopped the answer");
    else if (content == NULL || content[0] == 0)
        set(reply, REPLY_FAILED, refusal != NULL ? "refused" : "empty", refusal != NULL ? refusal : "no text in the answer");
    else if (strcmp(reason, "stop") != 0) {
        char shown[60], text[120];
        plain_text(shown, sizeof shown, reason, strlen(reason), false);
        snprintf(text, sizeof text, "finish_reason is %s", shown);
        set(reply, REPLY_FAILED, "unfinished", text);
    } else if (require != NULL && strstr(content, require) == NULL) {
        set(reply, REPLY_RETRY, "lacks_text", "the answer lacks what --require asks for");
    }
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

void reply_of_response(reply *reply, const http_response *response, int choices, const char *require)
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
        plain_text(reply->message, sizeof reply->message, why, strlen(why), false);
        return;
    }
    reply->status = response->status;
    reply->body = strict_json(response->body, response->size, NULL, 0);
    if (!json_object_is_type(reply->body, json_type_object)) {
        json_object_put(reply->body);
        reply->body = NULL;
        plain_text(reply->message, sizeof reply->message, response->body, response->size, false);
    }
    sort(reply, choices, require);
    if (reply->code != NULL && strcmp(reply->code, "redirected") == 0) {
        char address[120];
        plain_text(address, sizeof address, response->why, strlen(response->why), false);
        snprintf(reply->message, sizeof reply->message, "to %s; not followed, the key would go along", address);
    }
    /* A refused key and an empty account stay what they are, whatever the header says. */
    if (reply->status != 200 && reply->class != REPLY_STOP && response->should_retry >= 0)
        reply->class = response->should_retry == 1 ? REPLY_RETRY : REPLY_FAILED;
}

/* An error in a line is the client's word; without one the response is read as it was when it came. */
void reply_of_line(reply *reply, json *line, int choices, const char *require)
{
    static const char *const names[] = {"wrong_count", "unfinished", "not_json", "no_completion", "lacks_text"};
    memset(reply, 0, sizeof *reply);
    reply->status = (int)number_at(line, "response.status_code", 0);
    json *body = path_get(line, "response.body");
    if (json_object_is_type(body, json_type_object)) reply->body = json_object_get(body);
    sort(reply, choices, require);
    const char *code = text_at(line, "error.code", NULL);
    if (code == NULL && path_get(line, "error") == NULL) return;
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
