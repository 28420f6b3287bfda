/* judge.c - judge: batch requests to an OpenAI-compatible server, replies into a file, no verdict asked for twice. */
#define _DEFAULT_SOURCE
#include "judge.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const flag judge_flags[] = {
    {'o', "output", TEXT, "FILE", "request.output", "replies, appended as they come; a second run asks what is missing"},
    {'u', "base-url", TEXT, "URL", "request.base_url", "any OpenAI-compatible server (default https://api.openai.com/v1);\n.../chat/completions at its end is fine too"},
    {'m', "model", TEXT, "NAME", "request.model", "instead of the model the requests name"},
    {0, "require", TEXT, "TEXT", "request.require", "ask again, within --retries, while the answer lacks this: Judgement"},
    {0, "key-env", TEXT, "NAME", "request.key_env", "environment variable with the key (default OPENAI_API_KEY)"},
    {0, "key-file", TEXT, "FILE", "request.key_file", "instead: a file with nothing but the key, mode 600"},
    {0, "ca-file", TEXT, "FILE", "request.ca_file", "certificates to trust, PEM (default: the system's)"},
    {0, "proxy", TEXT, "URL", "request.proxy", "go through this proxy; http:// goes through none otherwise, https:// through\nthe one in https_proxy or all_proxy, as a tunnel that it cannot read"},
    {0, "plain-http", SWITCH, NULL, "request.plain_http", "send the key unencrypted: http:// to another machine or a proxy"},
    {0, "dry-run", SWITCH, NULL, "cli.dry_run", "ask nothing: how many requests, about how many tokens"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag pace_flags[] = {
    {'j', "concurrency", INTEGER, "N", "request.concurrency", "requests at once (default 8)"},
    {0, "limit", INTEGER, "N", "request.limit", "only the first N requests of the file"},
    {0, "timeout", NUMBER, "SECONDS", "request.timeout", "for one attempt (default 600)"},
    {0, "retries", INTEGER, "N", "request.retries", "of one request, beside its first attempt (default 7)"},
    {0, "backoff", NUMBER, "SECONDS", "request.backoff", "before the first retry; doubles up to 30 s (default 0.5)"},
    {0, "max-wait", NUMBER, "SECONDS", "request.max_wait", "not to be waited for: a longer Retry-After (default 120)"},
    {0, "give-up", INTEGER, "N", "request.give_up", "stop after N failures in a row (default 20; 0: never)"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag reuse_flags[] = {
    {0, "cache", LIST, "FILE", "request.cache", "replies of other runs, used where the request is the same; repeatable"},
    {0, "record", TEXT, "FILE", "request.record", "also keep every answer, failures too, for --replay"},
    {0, "replay", TEXT, "FILE", "request.replay", "no network: the answers of a --record FILE"},
    {0, "price-in", NUMBER, "X", "request.price_in", "of a million prompt tokens, for the cost"},
    {0, "price-out", NUMBER, "X", "request.price_out", "of a million completion tokens"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag_group judge_groups[] = {{"Whom to ask", judge_flags},
                                          {"How hard", pace_flags},
                                          {"Reuse and cost", reuse_flags},
                                          {"Input and output", output_flags},
                                          {NULL, NULL}};

/* ---- options ----------------------------------------------------------------------------------------------------- */

static bool fits(const flag *flag, json *value)
{
    if (flag->kind == SWITCH) return json_object_is_type(value, json_type_boolean);
    bool whole = json_object_is_type(value, json_type_int);
    return flag->kind == TEXT      ? json_object_is_type(value, json_type_string)
           : flag->kind == INTEGER ? whole
           : flag->kind == NUMBER  ? whole || json_object_is_type(value, json_type_double)
                                   : json_object_is_type(value, json_type_array);
}

/* A config's keys are the flags' names with underscores. The library knows nothing of them, so they are checked here. */
static int check_config(const invocation *call)
{
    json_object_object_foreach(call->request, key, value)
    {
        const flag *found = NULL;
        for (const flag_group *group = judge_groups; group->title != NULL; group++)
            for (const flag *each = group->flags; each->name != NULL; each++)
                if (strncmp(each->key, "request.", 8) == 0 && strcmp(each->key + 8, key) == 0) found = each;
        if (found != NULL && fits(found, value)) continue;
        complain("hadpo: reading the config: %s %s\n  %-9s hadpo judge --help: keys are the flags, with underscores\n",
                found == NULL ? "no key" : "wrong kind of value for", key, "try");
        return BAD_INPUT;
    }
    return DONE;
}

enum { LONGEST_KEY = 16384 };

/* The first line's beginning of a file, which may be a pipe; NULL: errno says why. */
static char *read_key_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *key = file == NULL ? NULL : calloc(1, LONGEST_KEY + 2);
    if (key != NULL && fread(key, 1, LONGEST_KEY + 1, file) == 0 && ferror(file)) {
        free(key);
        key = NULL;
    }
    struct stat status;
    int reason = errno;
    bool seen = key != NULL && fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode);
    if (seen && (status.st_mode & (S_IRGRP | S_IROTH)) != 0)
        complain("hadpo: warning: others can read the key in %s (mode %03o)\n  %-9s chmod 600 %s\n", path,
                 (unsigned)status.st_mode & 0777, "try", path);
    if (file != NULL) fclose(file);
    errno = reason;
    return key;
}

/* The key is kept out of every config, message and file: this array and the transport's header are where it is. Names that
 * do not exist are not repeated, for they may be the key itself, put in the wrong place. */
static int read_key(const invocation *call, char **key)
{
    const char *path = text_at(call->request, "key_file", NULL), *variable = text_at(call->request, "key_env", NULL);
    if (path != NULL && variable != NULL) return usage_error(&judge_command, "--key-env or --key-file, not both");
    if (path != NULL) {
        *key = read_key_file(path);
        if (*key == NULL) return fail_file("cannot read the key", "the file that --key-file names");
    } else {
        const char *value = getenv(variable != NULL ? variable : "OPENAI_API_KEY");
        if (value == NULL && variable != NULL) return usage_error(&judge_command, "--key-env: no variable of that name is set");
        if (value == NULL || (variable == NULL && value[0] == 0)) return DONE; /* servers of one's own want none */
        *key = malloc(strlen(value) + 1);
        if (*key == NULL) return NO_MEMORY;
        strcpy(*key, value);
    }
    size_t length = strlen(*key);
    while (length > 0 && isspace((unsigned char)(*key)[length - 1])) (*key)[--length] = 0;
    if (length > LONGEST_KEY) length = 0;
    for (size_t i = 0; i < length; i++)
        if ((*key)[i] <= 0x20 || (*key)[i] >= 0x7f) length = 0; /* it would break the header */
    if (length > 0) return DONE;
    return usage_error(&judge_command, "%s holds no key: expected one line of ASCII without blanks",
                       path != NULL ? path : variable != NULL ? variable : "OPENAI_API_KEY");
}

/* What would fail with every request, or give the key away, is said before the first one. */
static int check_server(const invocation *call, const http_options *http)
{
    if (http->key == NULL && address_wants_key(http->base_url))
        return usage_error(&judge_command, "no key for %s: set OPENAI_API_KEY, or give --key-file FILE, --key-env NAME, or the"
                           " --base-url of a server that wants none", http->base_url);
    if (http->key == NULL || !address_is_open(http->base_url, http->proxy != NULL)) return DONE;
    if (!json_object_get_boolean(path_get(call->request, "plain_http")))
        return usage_error(&judge_command, "%s is not encrypted, so the key could be read on its way: use https://, or send none"
                           " (OPENAI_API_KEY= hadpo judge ...), or send it all the same with --plain-http", http->base_url);
    complain("hadpo: warning: the key goes to %s unencrypted, as --plain-http says\n", http->base_url);
    return DONE;
}

static int read_options(const invocation *call, judge_options *options)
{
    static const struct {
        const char *name;
        double least, most, otherwise;
    } numbers[] = {{"concurrency", 1, 256, 8},  {"limit", 0, 1e9, 0},        {"timeout", 0.001, 86400, 600},
                   {"retries", 0, 100, 7},      {"backoff", 0.001, 60, 0.5}, {"max_wait", 0, 86400, 120},
                   {"give_up", 0, 1e9, 20},     {"price_in", 0, 1e9, NAN},   {"price_out", 0, 1e9, NAN}};
    enum { NUMBERS = sizeof numbers / sizeof numbers[0] };
    double values[NUMBERS];
    json *config = call->request;
    for (int i = 0; i < NUMBERS; i++) {
        double value = values[i] = number_at(config, numbers[i].name, numbers[i].otherwise);
        if (value < numbers[i].least || value > numbers[i].most)
            return usage_error(&judge_command, "%s %g: expected %g to %g", numbers[i].name, value, numbers[i].least,
                               numbers[i].most);
    }
    *options = (judge_options){.requests = call->files[0],
                               .model = text_at(config, "model", NULL),
                               .output = text_at(config, "output", NULL),
                               .record = text_at(config, "record", NULL),
                               .require = text_at(config, "require", NULL),
                               .replay = text_at(config, "replay", NULL),
                               .caches = path_get(config, "cache"),
                               .limit = (size_t)values[1],
                               .give_up = (size_t)values[6],
                               .price_in = values[7],
                               .price_out = values[8],
                               .http = {.base_url = text_at(config, "base_url", "https://api.openai.com/v1"),
                                        .ca_file = text_at(config, "ca_file", NULL),
                                        .proxy = text_at(config, "proxy", NULL),
                                        .concurrency = (int)values[0],
                                        .timeout = values[2],
                                        .retries = (int)values[3],
                                        .backoff = values[4],
                                        .max_wait = values[5]}};
    return DONE;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int judge(invocation *call)
{
    int outcome = check_config(call);
    if (outcome != DONE) return outcome;
    if (call->n_files != 1) return usage_error(&judge_command, "say which file of requests");
    judge_options options;
    outcome = read_options(call, &options);
    if (outcome != DONE) return outcome;
    bool plan = cli_switch(call, "dry_run"), as_json = cli_switch(call, "json");
    if (options.output == NULL && !plan) return usage_error(&judge_command, "no -o FILE: where are the replies to go?");
    const char *fault = address_fault(options.http.base_url);
    if (fault != NULL) return usage_error(&judge_command, "--base-url is %s", fault);
    char *key = NULL;
    if (!plan && options.replay == NULL) outcome = read_key(call, &key);
    options.http.key = key;
    events_begin(call);
    judge_run run = {.outcome = DONE};
    if (outcome == DONE) {
        outcome = judge_prepare(&run, &options, plan);
        if (outcome == DONE && plan) outcome = judge_print_plan(&run, as_json);
        if (outcome == DONE && !plan && run.to_ask > 0) outcome = check_server(call, &options.http);
        if (outcome == DONE && !plan) {
            outcome = judge_ask(&run);
            events_clear();
            judge_print(&run, as_json);
        }
        judge_close(&run);
    }
    free(key);
    return outcome;
}

const command judge_command = {
    "judge", NULL, "put requests to a judge model, keep its replies", "REQUESTS.jsonl -o REPLIES.jsonl [flags]",
    "Requests are lines of OpenAI's batch input, {\"custom_id\", \"method\", \"url\", \"body\"}, as `hadpo shr` writes them. Each\n"
    "answer is one line of batch output, {\"custom_id\", \"response\": {\"status_code\", \"body\"}, \"error\"}, and \"key\", the\n"
    "SHA-256 of the body: model, messages, every parameter. What has a good answer with its key in REPLIES.jsonl or a\n"
    "--cache is not asked again, so a run that was stopped, even killed, goes on where it was, and a request that stands\n"
    "in the file twice is paid for once. Bodies are sent byte for byte as they stand in the file.\n"
    "\n"
    "Time-outs, broken connections, statuses 408, 409, 429 and 5xx are tried again after a growing wait, or after what\n"
    "Retry-After says. A refused key (401, 403), a used-up quota and an untrusted certificate stop at once; 400, 404 and\n"
    "422 fail that request. Only whole answers count: truncated, filtered, empty ones are kept as failures\n"
    "with a name, and asked again by the next run. What ends in another way than \"stop\" (eos, end_turn, none at all)\n"
    "counts as whole, but not length or content_filter; <think> drafts are no answer.\n"
    "\n"
    "The key goes to the server and nowhere else: redirects are not followed, http:// to another machine is refused unless\n"
    "--plain-http says so, and where a server says the key back, in any spelling, files and messages have asterisks.\n"
    "\n"
    "examples\n"
    "  hadpo judge requests.jsonl --dry-run --price-in 2.5 --price-out 10\n"
    "  hadpo judge requests.jsonl -o replies.jsonl --record record.jsonl\n"
    "  hadpo judge requests.jsonl -o again.jsonl --replay record.jsonl      the same without a network\n"
    "  hadpo judge requests.jsonl -o local.jsonl -u http://localhost:8000/v1 -m my-judge -j 32\n",
    judge_groups, judge};
