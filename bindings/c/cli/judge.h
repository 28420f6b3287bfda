/* judge.h - what the files of `hadpo judge` share. Keys, files, transport and the reading of replies know nothing of what
 * is judged: requests and replies are OpenAI batch lines, whatever they ask. */
#ifndef HADPO_JUDGE_H
#define HADPO_JUDGE_H

#include "cli.h"

/* ---- judge_key.c: what a request asks, as 64 hexadecimal digits -------------------------------------------------- */
enum { KEY_SIZE = 65 };
void text_key(const char *text, size_t size, char key[KEY_SIZE]);
/* Where the value of "body", an object, stands in a line that is JSON; false: nowhere, or the name is escaped. */
bool find_body(const char *text, size_t size, size_t *start, size_t *length);

/* ---- judge_store.c: requests, replies, resuming ------------------------------------------------------------------ */
#define NO_REQUEST SIZE_MAX

typedef enum { UNASKED, ANSWERED, FAILING } request_state;

typedef struct {
    int64_t offset; /* of its line */
    size_t size;
    char *custom_id;
    const char *path;           /* "/v1/chat/completions", static */
    char key[KEY_SIZE];         /* of the body that is sent */
    char request_key[KEY_SIZE]; /* of the body in the line; another one when --model replaces the model */
    size_t twin;  /* the next request with this key, answered together; NO_REQUEST: none */
    bool follows; /* it is such a next one */
    int choices; /* body.n */
    int shrinks; /* how often max_tokens was lowered because the server found the request too long */
    request_state state;
    const char *code; /* FAILING: the name of the failure, static */
    char *message;
} request;

typedef struct {
    const char *path, *model; /* model: instead of the one in the bodies; NULL: keep theirs */
    int descriptor;
    request *items;
    size_t count;
    size_t repeated; /* lines that are another line's copy, custom_id and all */
} request_list;

/* Reads at most `limit` requests (0: all). On failure says which line is wrong and why. */
int requests_read(request_list *list, const char *path, const char *model, size_t limit);
/* The body to send: the very bytes of the line, unless the model is replaced; malloced; NULL: the file has changed. */
char *request_body(const request_list *list, size_t index);
void requests_free(request_list *list);

typedef enum {
    REPLIES_OUTPUT,  /* appended to, by one process at a time; verdicts are remembered */
    REPLIES_RECORD,  /* appended to; whatever was answered is remembered */
    REPLIES_PREVIEW, /* REPLIES_OUTPUT without touching it; may be absent */
    REPLIES_CACHE,   /* verdicts, read */
    REPLIES_REPLAY   /* whatever was answered, read */
} reply_use;

typedef struct {
    const char *path;
    int descriptor; /* -1: not open */
    reply_use use;
    int64_t size;
    json *keys; /* key: [offset, size] of its line */
    json *ids;  /* custom_id: key, of verdicts */
    bool torn;  /* a last line without its end was dropped */
    bool unsynced;
    double synced;
} reply_file;

int replies_open(reply_file *file, const char *path, reply_use use);
json *replies_find(const reply_file *file, const char *key); /* the line; NULL: none */
/* One write(2) for the line: it is with the system when this returns, and a kill -9 leaves it whole. `response` and
 * `error` may be NULL and are taken. */
int replies_append(reply_file *file, const request *request, json *response, json *error);
/* To the disk, at most once a second unless `now`: what a power cut may cost. */
int replies_sync(reply_file *file, bool now);
void replies_close(reply_file *file);
/* JSON as RFC 8259 has it, by the library's own scanner: json-c alone takes NaN, 'a' and duplicate keys. NULL: it is not;
 * `why`, if not NULL, then says what is wrong. */
json *strict_json(const char *text, size_t size, char *why, size_t why_size);

/* ---- judge_secret.c: the key in what comes back ------------------------------------------------------------------- */
typedef struct secret secret;
secret *secret_open(const char *key); /* NULL: no memory; `key` may be NULL or too plain a word: nothing is blotted then */
void secret_free(secret *secret);
/* Overwrites the key with asterisks, however it is spelled. false: no memory, and the text must not be used. */
bool secret_blot(const secret *secret, char *text, size_t size);
bool secret_blot_json(const secret *secret, json *value);

/* ---- judge_address.c: the server's address ----------------------------------------------------------------------- */
const char *address_fault(const char *address); /* NULL: fit to be a base URL */
/* What is sent there can be read on the way: http:// to another machine, or through a proxy. */
bool address_is_open(const char *address, bool through_proxy);
bool address_wants_key(const char *address); /* a server that is known to answer nobody without one */
/* A base without a path takes the whole path of a batch line; "https://host/any/v1" takes what stands behind its /v1; one that
 * ends in the line's own "/chat/completions" is the whole address. */
char *address_join(const char *base, const char *path);

/* ---- judge_http.c: many requests at once, each with its retries -------------------------------------------------- */
typedef struct {
    const char *base_url, *key, *ca_file; /* key, ca_file: NULL: none */
    const char *proxy;                    /* NULL: the environment's, for https:// alone */
    double timeout;                       /* seconds for one attempt */
    double backoff;                       /* seconds before the first retry; doubles */
    double max_wait;                      /* a Retry-After above this is not waited for */
    int retries, concurrency;
} http_options;

typedef enum {
    HTTP_ANSWERED,
    HTTP_TIMEOUT,
    HTTP_UNREACHABLE,
    HTTP_CUT_OFF,
    HTTP_UNTRUSTED, /* the server's certificate */
    HTTP_TOO_LARGE,
    HTTP_BROKEN /* on this side */
} http_event;

typedef struct {
    http_event event;
    int status;       /* of HTTP_ANSWERED */
    const char *body; /* NUL behind it; the server may have written the key into it */
    size_t size;
    const char *why;     /* of the other events; of a redirect: where to */
    double retry_after;  /* seconds; negative: not said */
    int should_retry;    /* x-should-retry: 1, 0; -1: not said */
    bool may_retry;      /* attempts are left and the wait is short enough */
} http_response;

typedef enum {
    HTTP_DONE,   /* this request is finished, for better or worse */
    HTTP_RETRY,  /* again after the wait; only if may_retry */
    HTTP_RESEND  /* again at once, with the body that was put in its place; no attempt is counted */
} http_decision;

/* `body` is what was sent; to change it, free it and put another malloced text there. */
typedef http_decision (*http_handler)(void *user, size_t job, const http_response *response, char **body);

typedef struct transport transport;
/* NULL: no memory. The options' texts must outlive it. */
transport *transport_open(const http_options *options, http_handler handler, void *user);
bool transport_has_room(const transport *http);
/* `path` as in batch lines, "/v1/chat/completions"; `body` is malloced and taken. false: no memory. */
bool transport_send(transport *http, size_t job, const char *path, char *body);
/* Works for at most `seconds`; how many requests are still under way. */
int transport_step(transport *http, double seconds);
void transport_drain(transport *http);  /* no retries any more; what is on the wire may finish */
void transport_cancel(transport *http); /* nothing may */
size_t transport_attempts(const transport *http);
void transport_free(transport *http);

/* ---- judge_reply.c: what came back ------------------------------------------------------------------------------- */
typedef enum { REPLY_GOOD, REPLY_FAILED, REPLY_RETRY, REPLY_STOP } reply_class;

typedef struct {
    reply_class class;
    const char *code;  /* the name of the failure, static; NULL: good */
    char message[240]; /* plain text, fit for a terminal */
    bool too_long;     /* the server asks for a shorter prompt or answer */
    int status;        /* 0: no answer */
    json *body;        /* NULL: none, or not JSON */
} reply;

/* `require`: a text without which an answer is none; NULL: none. `choices` 0: one or more. */
void reply_of_response(reply *reply, const http_response *response, int choices, const char *require, const secret *secret);
void reply_of_line(reply *reply, json *line, int choices, const char *require);
json *reply_response(const reply *reply); /* {"status_code", "body"}; NULL: no answer */
/* For the line: NULL where the response itself shows the failure, as in OpenAI's own batch output. */
json *reply_line_error(const reply *reply);
json *reply_error(const char *code, const char *message); /* {"code", "message"} */
void reply_free(reply *reply);

/* ---- judge_run.c: asking ----------------------------------------------------------------------------------------- */
typedef struct {
    const char *requests, *model, *output, *record, *replay, *require;
    json *caches; /* an array of paths; NULL: none */
    http_options http;
    size_t limit, give_up; /* 0: none */
    double price_in, price_out; /* a million tokens; NAN: not given */
} judge_options;

typedef struct {
    judge_options options;
    request_list requests;
    reply_file output, record, replay;
    secret *secret; /* the key, to be kept out of the files */
    reply_file *caches;
    size_t n_caches;
    transport *http;
    size_t next;                    /* requests before it were sent or needed no sending */
    size_t answered, failing;       /* requests */
    size_t reused, asked, to_ask;   /* of them: known before or by a twin; came over the wire; still have to */
    size_t attempts, without_usage; /* on the wire */
    size_t in_a_row;                /* failures since the last verdict */
    double prompt_tokens, completion_tokens;
    int outcome;            /* why it stopped, or could not write; DONE: neither */
    const char *stopped;    /* in words; NULL: it did not */
    char stopped_text[400]; /* what `stopped` may point to */
    double started;         /* asking */
} judge_run;

/* Opens the files and sorts out what is known; a preview touches none of them. */
int judge_prepare(judge_run *run, const judge_options *options, bool preview);
int judge_ask(judge_run *run); /* the exit code */
void judge_close(judge_run *run);

/* ---- judge_report.c: what it came to ----------------------------------------------------------------------------- */
void judge_progress(const judge_run *run, bool last);
void judge_print(const judge_run *run, bool as_json);
int judge_print_plan(judge_run *run, bool as_json); /* --dry-run */

#endif
