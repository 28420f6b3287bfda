/* judge_report.c - judging for people and machines: the line that moves, the summary, the plan of a dry run. */
#include "judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTED = 20 };

static double cost_of(const judge_options *options, double prompt_tokens, double completion_tokens)
{
    if (isnan(options->price_in) && isnan(options->price_out)) return NAN;
    double in = isnan(options->price_in) ? 0 : options->price_in, out = isnan(options->price_out) ? 0 : options->price_out;
    return (prompt_tokens * in + completion_tokens * out) / 1e6;
}

static void add(json *object, const char *name, double value)
{
    if (isnan(value)) return;
    bool whole = value == floor(value) && fabs(value) < 9e15;
    json_object_object_add(object, name, whole ? json_object_new_int64((int64_t)value) : json_object_new_double(value));
}

static const char *tokens_text(double tokens, char *buffer, size_t size)
{
    if (tokens < 1e4)
        snprintf(buffer, size, "%.0f", tokens);
    else if (tokens < 1e7)
        snprintf(buffer, size, "%.1fk", tokens / 1e3);
    else
        snprintf(buffer, size, "%.1fM", tokens / 1e6);
    return buffer;
}

void judge_progress(const judge_run *run, bool last)
{
    static double shown;
    double now = seconds_now();
    if (!last && now - shown < 0.2) return;
    shown = now;
    double done = (double)(run->answered + run->failing), total = (double)run->requests.count;
    double rate = now > run->started ? (double)run->asked / (now - run->started) : 0;
    double cost = cost_of(&run->options, run->prompt_tokens, run->completion_tokens);
    char in[16], out[16], detail[120];
    int length = snprintf(detail, sizeof detail, "  %s+%s tokens", tokens_text(run->prompt_tokens, in, sizeof in),
                          tokens_text(run->completion_tokens, out, sizeof out));
    if (!isnan(cost)) length += snprintf(detail + length, sizeof detail - (size_t)length, "  cost %.4f", cost);
    if (run->failing > 0) snprintf(detail + length, sizeof detail - (size_t)length, "  %zu failed", run->failing);
    json *record = json_object_new_object();
    json_object_object_add(record, "event", json_object_new_string("progress"));
    json_object_object_add(record, "task", json_object_new_string("judging"));
    json_object_object_add(record, "unit", json_object_new_string("requests"));
    add(record, "done", done);
    add(record, "total", total);
    add(record, "rate", rate);
    if (rate > 0) add(record, "eta_seconds", (total - done) / rate);
    add(record, "failed", (double)run->failing);
    add(record, "prompt_tokens", run->prompt_tokens);
    add(record, "completion_tokens", run->completion_tokens);
    add(record, "cost", cost);
    json_object_object_add(record, "detail", json_object_new_string(detail));
    const char *text = json_text(record);
    on_event(text, strlen(text), NULL);
    json_object_put(record);
}

/* ---- summary ----------------------------------------------------------------------------------------------------- */

static const char *code_of(const request *request)
{
    return request->state == FAILING ? request->code : "not_asked";
}

static json *outcomes(const judge_run *run)
{
    json *counts = json_object_new_object();
    for (size_t i = 0; i < run->requests.count; i++) {
        const request *request = &run->requests.items[i];
        if (request->state != ANSWERED) add(counts, code_of(request), number_at(counts, code_of(request), 0) + 1);
    }
    return counts;
}

static json *unanswered(const judge_run *run)
{
    json *list = json_object_new_array();
    for (size_t i = 0; i < run->requests.count; i++) {
        const request *request = &run->requests.items[i];
        if (request->state == ANSWERED) continue;
        json *entry = reply_error(code_of(request), request->message != NULL ? request->message : "");
        json_object_object_add(entry, "custom_id", json_object_new_string(request->custom_id));
        json_object_array_add(list, entry);
    }
    return list;
}

static void list_unanswered(const judge_run *run)
{
    size_t missing = run->requests.count - run->answered, listed = 0;
    if (run->stopped != NULL) complain("hadpo: stopped: %s\n", run->stopped);
    if (missing == 0) return;
    complain("hadpo: %zu of %zu requests have no reply; the same command asks for them again\n", missing,
            run->requests.count);
    for (size_t i = 0; i < run->requests.count && listed < LISTED; i++) {
        const request *request = &run->requests.items[i];
        if (request->state == ANSWERED) continue;
        listed++;
        complain("  %-24s %-14s %.160s\n", request->custom_id, code_of(request),
                request->message != NULL ? request->message : "");
    }
    if (missing > listed) complain("  ... %zu more (--json lists all)\n", missing - listed);
}

void judge_print(const judge_run *run, bool as_json)
{
    json *report = json_object_new_object();
    add(report, "requests", (double)run->requests.count);
    add(report, "answered", (double)run->answered);
    add(report, "without_reply", (double)(run->requests.count - run->answered));
    add(report, "reused", (double)run->reused);
    add(report, "asked", (double)run->asked);
    add(report, "attempts", (double)run->attempts);
    add(report, "prompt_tokens", run->prompt_tokens);
    add(report, "completion_tokens", run->completion_tokens);
    if (run->without_usage > 0) add(report, "replies_without_usage", (double)run->without_usage);
    add(report, "cost", cost_of(&run->options, run->prompt_tokens, run->completion_tokens));
    json_object_object_add(report, "seconds", json_object_new_double(seconds_now() - run->started));
    json_object_object_add(report, "replies", json_object_new_string(run->options.output));
    if (run->answered < run->requests.count) json_object_object_add(report, "outcomes", outcomes(run));
    if (as_json) {
        if (run->stopped != NULL) json_object_object_add(report, "stopped", json_object_new_string(run->stopped));
        json_object_object_add(report, "unanswered", unanswered(run));
        print_json(report);
    } else {
        print_report(report);
        fflush(stdout);
        list_unanswered(run);
    }
    json_object_put(report);
}

/* ---- plan -------------------------------------------------------------------------------------------------------- */

/* Bytes of text that the model reads: strings of messages and their parts, or the prompt. Pictures are not counted. */
static double text_bytes(json *value)
{
    double bytes = 0;
    if (json_object_is_type(value, json_type_string)) return json_object_get_string_len(value);
    if (json_object_is_type(value, json_type_array))
        for (size_t i = 0; i < json_object_array_length(value); i++) bytes += text_bytes(json_object_array_get_idx(value, i));
    if (json_object_is_type(value, json_type_object))
        bytes = text_bytes(path_get(value, "content")) + text_bytes(path_get(value, "text"));
    return bytes;
}

int judge_print_plan(judge_run *run, bool as_json)
{
    double prompt_tokens = 0, completion_tokens = 0;
    size_t copies = 0, unbounded = 0;
    for (size_t i = 0; i < run->requests.count; i++) {
        const request *request = &run->requests.items[i];
        copies += request->follows;
        if (request->state == ANSWERED || request->follows) continue;
        char *text = request_body(&run->requests, i);
        json *body = text == NULL ? NULL : json_of(text, strlen(text));
        /* Four bytes a token is the usual rule for English; the format around a message takes about four tokens. */
        prompt_tokens += ceil((text_bytes(path_get(body, "messages")) + text_bytes(path_get(body, "prompt"))) / 4) + 4;
        double most = number_at(body, "max_completion_tokens", number_at(body, "max_tokens", NAN));
        if (isnan(most)) unbounded++;
        completion_tokens += isnan(most) ? 0 : most * request->choices;
        json_object_put(body);
        free(text);
    }
    json *plan = json_object_new_object();
    add(plan, "requests", (double)run->requests.count);
    add(plan, "known", (double)(run->requests.count - run->to_ask - copies));
    add(plan, "copies", (double)copies);
    add(plan, "to_ask", (double)run->to_ask);
    add(plan, "prompt_tokens_about", prompt_tokens);
    add(plan, "completion_tokens_at_most", completion_tokens);
    if (unbounded > 0) add(plan, "without_max_tokens", (double)unbounded);
    add(plan, "cost_at_most_about", cost_of(&run->options, prompt_tokens, completion_tokens));
    if (as_json)
        print_json(plan);
    else
        print_report(plan);
    json_object_put(plan);
    return DONE;
}
