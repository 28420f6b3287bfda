/* judge_run.c - asking: what is known already, what goes over the wire, what each answer leads to, when to stop. */
#define _DEFAULT_SOURCE
#include "judge.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHRINKS = 8 }; /* 0.8^8 = 0.17: fewer tokens hold no verdict that more would have held */

static void stop(judge_run *run, int outcome, const char *why)
{
    if (run->outcome == DONE) run->outcome = outcome;
    if (run->stopped == NULL) run->stopped = why;
}

/* ---- one reply --------------------------------------------------------------------------------------------------- */

static void check_written(judge_run *run, int outcome)
{
    if (outcome != DONE) stop(run, outcome, "a file cannot be written");
}

/* The record gets every answer once, failures too: a replay of the same requests then finds all of them. A good answer
 * comes after a failure, and the last line counts. */
static int keep_record(judge_run *run, const request *request, const reply *answer)
{
    if (run->record.path == NULL || answer->status == 0) return DONE;
    json *line = replies_find(&run->record, request->key);
    reply known;
    reply_of_line(&known, line, 0, NULL);
    bool superfluous = line != NULL && (known.code == NULL || answer->code != NULL);
    reply_free(&known);
    json_object_put(line);
    if (superfluous) return DONE;
    return replies_append(&run->record, request, reply_response(answer), reply_line_error(answer));
}

static void keep_failure(judge_run *run, request *request, const reply *reply)
{
    request->state = FAILING;
    request->code = reply->code;
    request->message = malloc(strlen(reply->message) + 1);
    if (request->message != NULL) strcpy(request->message, reply->message);
    run->failing++;
    check_written(run, replies_append(&run->output, request, reply_response(reply), reply_line_error(reply)));
}

/* Gives the reply to the request and to all that ask the same. */
static void settle(judge_run *run, size_t index, const reply *reply)
{
    int recorded = keep_record(run, &run->requests.items[index], reply);
    check_written(run, recorded);
    if (recorded != DONE) return; /* kept here it would not be asked again, and the record would never have it */
    for (size_t i = index; i != NO_REQUEST; i = run->requests.items[i].twin) {
        request *request = &run->requests.items[i];
        if (reply->code != NULL) {
            keep_failure(run, request, reply);
            continue;
        }
        int outcome = replies_append(&run->output, request, reply_response(reply), NULL);
        check_written(run, outcome);
        if (outcome != DONE) continue;
        request->state = ANSWERED;
        run->answered++;
        if (i != index) run->reused++;
    }
}

/* ---- what is known without asking -------------------------------------------------------------------------------- */

static int other_request(const judge_run *run, const request *request)
{
    complain("hadpo: the replies are to other requests: custom_id %s was asked something else\n  %-9s %s\n"
            "  %-9s another -o; --cache %s reuses what stayed the same\n",
            request->custom_id, "where", run->output.path, "try", run->output.path);
    return BAD_FILE;
}

/* Which requests the output answers, and which ask what an earlier one asks. */
static int sort_requests(judge_run *run)
{
    json *heads = json_object_new_object(); /* key: the first request that asks it */
    int outcome = DONE;
    for (size_t i = 0; outcome == DONE && i < run->requests.count; i++) {
        request *request = &run->requests.items[i];
        json *written = json_object_object_get(run->output.ids, request->custom_id);
        json *head = json_object_object_get(heads, request->key);
        if (written != NULL && strcmp(json_object_get_string(written), request->key) != 0) {
            outcome = other_request(run, request);
        } else if (written != NULL) {
            request->state = ANSWERED;
            run->answered++;
            run->reused++;
        } else if (head != NULL) {
            size_t first = (size_t)json_object_get_int64(head);
            request->follows = true;
            request->twin = run->requests.items[first].twin;
            run->requests.items[first].twin = i;
        } else {
            json_object_object_add(heads, request->key, json_object_new_int64((int64_t)i));
        }
    }
    json_object_put(heads);
    return outcome;
}

static json *known_line(const judge_run *run, const char *key)
{
    json *line = replies_find(&run->output, key);
    if (line == NULL) line = replies_find(&run->replay, key);
    for (size_t i = 0; line == NULL && i < run->n_caches; i++) line = replies_find(&run->caches[i], key);
    return line;
}

static bool is_open_head(const request *request)
{
    return request->state == UNASKED && !request->follows;
}

/* Answers from the files what they hold; counts what is left to ask. In a replay nothing is. */
static void take_known(judge_run *run, bool preview)
{
    bool replaying = run->options.replay != NULL;
    for (size_t i = 0; run->outcome == DONE && i < run->requests.count; i++) {
        request *request = &run->requests.items[i];
        if (!is_open_head(request)) continue;
        json *line = known_line(run, request->key);
        reply reply = {.class = REPLY_FAILED, .code = "not_recorded", .message = "the replay has no answer to it"};
        if (line != NULL) reply_of_line(&reply, line, request->choices, run->options.require);
        if (!secret_blot_json(run->secret, reply.body)) run->outcome = NO_MEMORY; /* an older version may have kept it */
        bool known = run->outcome == DONE && (replaying || (line != NULL && reply.code == NULL));
        if (known && !preview) {
            if (reply.code == NULL) run->reused++;
            settle(run, i, &reply);
        }
        if (known && preview) request->state = ANSWERED;
        if (!known) run->to_ask++;
        reply_free(&reply);
        json_object_put(line);
    }
}

static int open_files(judge_run *run, bool preview)
{
    const judge_options *options = &run->options;
    int outcome = DONE;
    reply_use use = preview ? REPLIES_PREVIEW : REPLIES_OUTPUT;
    if (options->output != NULL) outcome = replies_open(&run->output, options->output, use);
    if (outcome == DONE && run->output.torn)
        complain("hadpo: warning: the last line of %s was torn; its request is asked again\n", options->output);
    if (outcome == DONE && options->replay != NULL) outcome = replies_open(&run->replay, options->replay, REPLIES_REPLAY);
    if (outcome == DONE && options->record != NULL && !preview)
        outcome = replies_open(&run->record, options->record, REPLIES_RECORD);
    size_t count = options->caches == NULL ? 0 : json_object_array_length(options->caches);
    run->caches = calloc(count + 1, sizeof *run->caches);
    if (outcome == DONE && run->caches == NULL) outcome = NO_MEMORY;
    while (outcome == DONE && run->n_caches < count) {
        const char *path = json_object_get_string(json_object_array_get_idx(options->caches, run->n_caches));
        outcome = replies_open(&run->caches[run->n_caches++], path, REPLIES_CACHE);
    }
    return outcome;
}

int judge_prepare(judge_run *run, const judge_options *options, bool preview)
{
    memset(run, 0, sizeof *run);
    run->options = *options;
    run->secret = secret_open(options->http.key);
    if (run->secret == NULL) return NO_MEMORY;
    int outcome = requests_read(&run->requests, options->requests, options->model, options->limit);
    if (outcome == DONE) outcome = open_files(run, preview);
    if (outcome == DONE) outcome = sort_requests(run);
    if (outcome == DONE) take_known(run, preview);
    return outcome == DONE ? run->outcome : outcome;
}

/* ---- over the wire ----------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    signal(number, SIG_DFL); /* the second one ends the process */
    interrupted = 1;
    static const char text[] = "\nhadpo: stopping; what is on the wire may still come (Ctrl-C again to end at once)\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) return;
}

static void handle_interrupts(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_interrupt; /* without SA_RESTART: the wait for answers shall end */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a server that hangs up */
}

static void count_usage(judge_run *run, const reply *reply)
{
    double in = number_at(reply->body, "usage.prompt_tokens", -1);
    double out = number_at(reply->body, "usage.completion_tokens", -1);
    bool sane = in >= 0 && out >= 0 && in < 1e9 && out < 1e9;
    if (reply->status == 200 && !sane) run->without_usage++;
    if (!sane) return;
    run->prompt_tokens += in;
    run->completion_tokens += out;
}

/* What HA-DPO does when the server finds the request too long, but not for ever: four fifths of the tokens, at once. */
static bool shrink(request *request, char **body)
{
    json *object = request->shrinks < SHRINKS ? json_of(*body, strlen(*body)) : NULL;
    static const char *const names[] = {"max_tokens", "max_completion_tokens"};
    bool shrunk = false;
    for (int i = 0; i < 2; i++) {
        double tokens = number_at(object, names[i], 0);
        if (!(tokens >= 2 && tokens < 1e9)) continue;
        json_object_object_add(object, names[i], json_object_new_int64((int64_t)(tokens * 0.8)));
        shrunk = true;
    }
    const char *text = shrunk ? json_text(object) : NULL;
    char *copy = text == NULL ? NULL : malloc(strlen(text) + 1);
    if (copy != NULL) {
        free(*body);
        *body = strcpy(copy, text);
        request->shrinks++;
    }
    json_object_put(object);
    return copy != NULL;
}

static void stop_for(judge_run *run, const reply *reply)
{
    bool quota = strcmp(reply->code, "quota") == 0, key = strcmp(reply->code, "key_refused") == 0;
    snprintf(run->stopped_text, sizeof run->stopped_text, "%s: %s",
             quota ? "the account's quota is used up"
             : key ? "the server refuses the key"
                   : "no safe connection to the server",
             reply->message);
    stop(run, quota || key ? DENIED : INCOMPLETE, run->stopped_text);
    if (quota)
        transport_drain(run->http); /* what was accepted may still come */
    else
        transport_cancel(run->http);
}

static http_decision on_response(void *user, size_t job, const http_response *response, char **body)
{
    judge_run *run = user;
    request *request = &run->requests.items[job];
    reply reply;
    reply_of_response(&reply, response, request->choices, run->options.require, run->secret);
    count_usage(run, &reply);
    http_decision decision = HTTP_DONE;
    if (reply.too_long && shrink(request, body))
        decision = HTTP_RESEND;
    else if (reply.class == REPLY_RETRY && response->may_retry)
        decision = HTTP_RETRY;
    if (decision == HTTP_DONE) {
        if (reply.class == REPLY_RETRY && response->retry_after > run->options.http.max_wait)
            snprintf(reply.message, sizeof reply.message, "the server asks to wait %.0f s, more than --max-wait",
                     response->retry_after);
        run->asked++;
        run->in_a_row = reply.code == NULL ? 0 : run->in_a_row + 1;
        settle(run, job, &reply);
        if (reply.class == REPLY_STOP) stop_for(run, &reply);
        if (run->options.give_up > 0 && run->in_a_row >= run->options.give_up && run->stopped == NULL) {
            snprintf(run->stopped_text, sizeof run->stopped_text, "%zu failures in a row (--give-up); the last: %s: %s",
                     run->in_a_row, reply.code, reply.message);
            stop(run, INCOMPLETE, run->stopped_text);
        }
    }
    if (run->stopped != NULL) transport_drain(run->http);
    reply_free(&reply);
    return decision;
}

static void send_next(judge_run *run)
{
    size_t index = run->next++;
    char *body = request_body(&run->requests, index);
    if (body == NULL)
        stop(run, BAD_FILE, "the requests changed on the disk");
    else if (!transport_send(run->http, index, run->requests.items[index].path, body))
        stop(run, NO_MEMORY, "out of memory");
}

static bool has_next(judge_run *run)
{
    while (run->next < run->requests.count && !is_open_head(&run->requests.items[run->next])) run->next++;
    return run->next < run->requests.count;
}

static void ask_all(judge_run *run)
{
    for (;;) {
        if (interrupted) stop(run, CANCELLED, "Ctrl-C");
        if (run->stopped != NULL) transport_drain(run->http);
        while (run->stopped == NULL && has_next(run) && transport_has_room(run->http)) send_next(run);
        int busy = transport_step(run->http, 0.2);
        check_written(run, replies_sync(&run->output, false));
        check_written(run, replies_sync(&run->record, false));
        run->attempts = transport_attempts(run->http);
        judge_progress(run, false);
        if (busy == 0 && (run->stopped != NULL || !has_next(run))) return;
    }
}

int judge_ask(judge_run *run)
{
    run->started = seconds_now();
    if (run->outcome == DONE && run->to_ask > 0) {
        handle_interrupts();
        run->http = transport_open(&run->options.http, on_response, run);
        if (run->http == NULL) return NO_MEMORY;
        ask_all(run);
    }
    judge_progress(run, true);
    check_written(run, replies_sync(&run->output, true));
    check_written(run, replies_sync(&run->record, true));
    bool complete = run->answered == run->requests.count;
    if (run->outcome == CANCELLED && complete) return DONE; /* Ctrl-C came when the last were on the wire */
    return run->outcome == DONE && !complete ? INCOMPLETE : run->outcome;
}

void judge_close(judge_run *run)
{
    transport_free(run->http);
    secret_free(run->secret);
    requests_free(&run->requests);
    replies_close(&run->output);
    replies_close(&run->record);
    replies_close(&run->replay);
    for (size_t i = 0; i < run->n_caches; i++) replies_close(&run->caches[i]);
    free(run->caches);
}
