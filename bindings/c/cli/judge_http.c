/* judge_http.c - many HTTP requests at once through libcurl's multi interface: time-outs, bounds, waits, retries.
 *
 * A slot carries one request through all its attempts, waits included, so a server that answers 429 is asked less. What an
 * answer means is the handler's to say. Redirects are not followed: the key would go along. */
#define _DEFAULT_SOURCE
#include "judge.h"

#include <curl/curl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { BODY_LIMIT = 16 << 20, KEPT_ROOM = 1 << 20, CONNECT_SECONDS = 30 };
static const double longest_backoff = 30, longest_wait = 1e9; /* seconds; the second keeps what servers ask for printable */

typedef struct {
    enum { FREE, WAITING, ON_THE_WIRE } state;
    CURL *easy;
    size_t job;
    char *address, *body;
    int attempts;
    double due; /* of WAITING */
    char *data; /* of the response */
    size_t size, room;
    bool too_large;
    double retry_after;
    int should_retry;
    char why[CURL_ERROR_SIZE];
} slot;

struct transport {
    CURLM *multi;
    struct curl_slist *headers;
    http_options options;
    http_handler handler;
    void *user;
    slot *slots;
    double hold_until; /* a Retry-After holds everybody back */
    bool draining;
    size_t attempts;
    unsigned short random[3];
};

/* ---- what comes in ----------------------------------------------------------------------------------------------- */

static void clear_response(slot *slot)
{
    slot->size = 0;
    slot->too_large = false;
    slot->retry_after = -1;
    slot->should_retry = -1;
    slot->why[0] = 0;
}

static size_t on_data(char *data, size_t unit, size_t count, void *user)
{
    slot *slot = user;
    size_t more = unit * count;
    if (more > BODY_LIMIT - slot->size) {
        slot->too_large = true;
        return 0;
    }
    if (slot->size + more + 1 > slot->room) {
        size_t room = 2 * (slot->size + more + 1);
        char *grown = realloc(slot->data, room);
        if (grown == NULL) return 0;
        slot->data = grown;
        slot->room = room;
    }
    memcpy(slot->data + slot->size, data, more);
    slot->size += more;
    return more;
}

/* Digits, with a fraction too, as OpenAI's own client takes it; -1: something else. */
static double seconds_of(const char *value, double unit)
{
    size_t whole = strspn(value, "0123456789"), length = whole;
    if (value[whole] == '.') length += 1 + strspn(value + whole + 1, "0123456789");
    if (whole == 0 || value[length] != 0 || value[length - 1] == '.') return -1;
    return fmin(strtod(value, NULL) * unit, longest_wait);
}

/* RFC 9110: all three forms of a date begin with the day's name and have a time; curl_getdate alone takes far more. */
static double wait_until(const char *value)
{
    static const char days[] = "Mon Tue Wed Thu Fri Sat Sun ";
    char day[5] = "";
    snprintf(day, sizeof day, "%.3s ", value);
    const char *found = strlen(day) == 4 ? strstr(days, day) : NULL, *time_of_day = strchr(value, ':');
    bool ends_well = strlen(value) > 8 && (strcmp(value + strlen(value) - 4, " GMT") == 0 || value[3] == ' ');
    if (found == NULL || time_of_day == NULL || strchr(time_of_day + 1, ':') == NULL || !ends_well) return -1;
    time_t date = curl_getdate(value, NULL);
    return date < 0 ? -1 : fmax(0, fmin(difftime(date, time(NULL)), longest_wait));
}

/* retry-after-ms in milliseconds; retry-after in seconds or as a date. */
static double wait_asked_for(const char *value, double unit)
{
    double seconds = seconds_of(value, unit);
    return seconds < 0 && unit == 1 ? wait_until(value) : seconds;
}

static size_t on_header(char *line, size_t unit, size_t count, void *user)
{
    slot *slot = user;
    size_t size = unit * count;
    char text[128];
    size_t length = size < sizeof text ? size : 0; /* what is longer is none of the headers that count here */
    memcpy(text, line, length);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]) != NULL) length--;
    text[length] = 0;
    if (strncmp(text, "HTTP/", 5) == 0) clear_response(slot); /* an interim answer, or a proxy's, went before */
    char *value = strchr(text, ':');
    if (value == NULL) return size;
    *value++ = 0;
    value += strspn(value, " \t");
    if (strcasecmp(text, "retry-after-ms") == 0) {
        slot->retry_after = wait_asked_for(value, 0.001);
    } else if (strcasecmp(text, "retry-after") == 0) {
        if (slot->retry_after < 0) slot->retry_after = wait_asked_for(value, 1);
    } else if (strcasecmp(text, "x-should-retry") == 0) {
        slot->should_retry = strcasecmp(value, "true") == 0 ? 1 : strcasecmp(value, "false") == 0 ? 0 : -1;
    }
    return size;
}

static http_event event_of(const slot *slot, CURLcode code)
{
    if (slot->too_large) return HTTP_TOO_LARGE;
    switch (code) {
    case CURLE_OK: return HTTP_ANSWERED;
    case CURLE_FILESIZE_EXCEEDED: return HTTP_TOO_LARGE;
    case CURLE_OPERATION_TIMEDOUT: return HTTP_TIMEOUT;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return HTTP_UNREACHABLE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM: return HTTP_UNTRUSTED;
    case CURLE_URL_MALFORMAT:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT: return HTTP_BROKEN;
    default: return HTTP_CUT_OFF;
    }
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static bool add_header(transport *http, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 1;
    char *line = malloc(size);
    if (line == NULL) return false;
    snprintf(line, size, "%s%s", name, value);
    struct curl_slist *longer = curl_slist_append(http->headers, line);
    free(line);
    if (longer != NULL) http->headers = longer;
    return longer != NULL;
}

/* https:// goes through the environment's proxy as a tunnel, in which the proxy sees nothing. What is sent to http:// a proxy
 * would read, key and all, so there only one that was asked for by name is used. */
static void set_proxy(CURL *easy, const http_options *options)
{
    curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* the key is none of a tunnel's headers */
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);         /* nor are its headers the server's */
    if (options->proxy != NULL)
        curl_easy_setopt(easy, CURLOPT_PROXY, options->proxy);
    else if (strncmp(options->base_url, "https://", 8) != 0)
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

static bool prepare_slot(const transport *http, slot *slot)
{
    CURL *easy = slot->easy = curl_easy_init();
    if (easy == NULL) return false;
    const http_options *options = &http->options;
    double connect = fmin(options->timeout, CONNECT_SECONDS);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (options->ca_file != NULL) curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
    set_proxy(easy, options);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)ceil(options->timeout * 1000));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)ceil(connect * 1000));
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)BODY_LIMIT);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->why);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
    return true;
}

transport *transport_open(const http_options *options, http_handler handler, void *user)
{
    transport *http = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? calloc(1, sizeof *http) : NULL;
    if (http == NULL) return NULL;
    http->options = *options;
    http->handler = handler;
    http->user = user;
    /* Only the jitter of the waits comes from here. */
    uint64_t seed = (uint64_t)(seconds_now() * 1e9) ^ (uint64_t)getpid() << 20;
    for (int i = 0; i < 3; i++) http->random[i] = (unsigned short)(seed >> 16 * i);
    http->multi = curl_multi_init();
    http->slots = calloc((size_t)options->concurrency, sizeof *http->slots);
    bool ready = http->multi != NULL && http->slots != NULL &&
                 add_header(http, "Content-Type: ", "application/json") && add_header(http, "Accept: ", "application/json") &&
                 add_header(http, "User-Agent: hadpo/", hadpo_version()) &&
                 add_header(http, "Expect:", "") && /* or libcurl asks before sending 1 MB, and waits a second */
                 (options->key == NULL || add_header(http, "Authorization: Bearer ", options->key));
    for (int i = 0; ready && i < options->concurrency; i++) ready = prepare_slot(http, &http->slots[i]);
    if (ready) {
        curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)options->concurrency);
        return http;
    }
    transport_free(http);
    return NULL;
}

/* ---- attempts ---------------------------------------------------------------------------------------------------- */

static void release(slot *slot)
{
    free(slot->address);
    free(slot->body);
    slot->address = slot->body = NULL;
    if (slot->room > KEPT_ROOM) {
        free(slot->data);
        slot->data = NULL;
        slot->room = slot->size = 0;
    }
    slot->state = FREE;
}

static void put_on_the_wire(transport *http, slot *slot)
{
    clear_response(slot);
    curl_easy_setopt(slot->easy, CURLOPT_URL, slot->address);
    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(slot->body));
    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, slot->body);
    slot->state = ON_THE_WIRE;
    http->attempts++;
    curl_multi_add_handle(http->multi, slot->easy);
}

static void wait_for_retry(transport *http, slot *slot)
{
    double wait = slot->retry_after;
    if (!(wait > 0)) {
        wait = fmin(http->options.backoff * pow(2, slot->attempts - 1), longest_backoff);
        wait *= 0.75 + 0.25 * erand48(http->random);
    } else if (seconds_now() + wait > http->hold_until) {
        http->hold_until = seconds_now() + wait;
    }
    slot->due = seconds_now() + wait;
    slot->state = WAITING;
}

static void finish_attempt(transport *http, slot *slot, CURLcode code)
{
    curl_multi_remove_handle(http->multi, slot->easy);
    if (slot->data != NULL) slot->data[slot->size] = 0;
    http_response response = {.event = event_of(slot, code), .body = slot->size > 0 ? slot->data : "", .size = slot->size,
                              .why = slot->why[0] != 0 ? slot->why : curl_easy_strerror(code),
                              .retry_after = slot->retry_after, .should_retry = slot->should_retry};
    long status = 0;
    char *elsewhere = NULL;
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(slot->easy, CURLINFO_REDIRECT_URL, &elsewhere);
    if (response.event == HTTP_ANSWERED) {
        response.status = (int)status;
        response.why = elsewhere != NULL ? elsewhere : "";
    }
    slot->attempts++;
    response.may_retry =
        !http->draining && slot->attempts <= http->options.retries && !(slot->retry_after > http->options.max_wait);
    switch (http->handler(http->user, slot->job, &response, &slot->body)) {
    case HTTP_DONE: release(slot); break;
    case HTTP_RETRY:
        if (response.may_retry && !http->draining)
            wait_for_retry(http, slot);
        else
            release(slot);
        break;
    case HTTP_RESEND:
        slot->attempts--;
        if (http->draining)
            release(slot);
        else
            put_on_the_wire(http, slot);
        break;
    }
}

bool transport_has_room(const transport *http)
{
    if (http->draining || seconds_now() < http->hold_until) return false;
    for (int i = 0; i < http->options.concurrency; i++)
        if (http->slots[i].state == FREE) return true;
    return false;
}

bool transport_send(transport *http, size_t job, const char *path, char *body)
{
    slot *slot = http->slots;
    while (slot->state != FREE) slot++; /* the caller looked whether there is room */
    slot->address = address_join(http->options.base_url, path);
    slot->body = body;
    if (slot->address == NULL || body == NULL) {
        release(slot);
        return false;
    }
    slot->job = job;
    slot->attempts = 0;
    put_on_the_wire(http, slot);
    return true;
}

int transport_step(transport *http, double seconds)
{
    double now = seconds_now(), until = now + seconds;
    for (int i = 0; i < http->options.concurrency; i++) {
        slot *slot = &http->slots[i];
        double due = fmax(slot->due, http->hold_until);
        if (slot->state == WAITING && due <= now) put_on_the_wire(http, slot);
        if (slot->state == WAITING) until = fmin(until, due);
    }
    int running, left, busy = 0;
    curl_multi_perform(http->multi, &running);
    bool finished = false;
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left)) != NULL;) {
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode code = message->data.result; /* the message is gone once its handle is removed */
        char *slot;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
        finish_attempt(http, (void *)slot, code);
        finished = true;
    }
    for (int i = 0; i < http->options.concurrency; i++) busy += http->slots[i].state != FREE;
    double left_over = until - seconds_now();
    if (!finished && left_over > 0) curl_multi_poll(http->multi, NULL, 0, (int)ceil(left_over * 1000), NULL);
    return busy;
}

void transport_drain(transport *http)
{
    http->draining = true;
    for (int i = 0; i < http->options.concurrency; i++)
        if (http->slots[i].state == WAITING) release(&http->slots[i]);
}

void transport_cancel(transport *http)
{
    transport_drain(http);
    for (int i = 0; i < http->options.concurrency; i++) {
        slot *slot = &http->slots[i];
        if (slot->state != ON_THE_WIRE) continue;
        curl_multi_remove_handle(http->multi, slot->easy);
        release(slot);
    }
}

size_t transport_attempts(const transport *http)
{
    return http->attempts;
}

void transport_free(transport *http)
{
    if (http == NULL) return;
    for (int i = 0; http->slots != NULL && i < http->options.concurrency; i++) {
        slot *slot = &http->slots[i];
        if (slot->easy != NULL && slot->state == ON_THE_WIRE) curl_multi_remove_handle(http->multi, slot->easy);
        curl_easy_cleanup(slot->easy);
        release(slot);
        free(slot->data);
    }
    free(http->slots);
    curl_multi_cleanup(http->multi);
    curl_slist_free_all(http->headers);
    free(http);
    curl_global_cleanup();
}
