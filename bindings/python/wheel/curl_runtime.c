/* curl_runtime.c - the functions of libcurl that the tool calls, taken from the machine's libcurl at their first use.
 *
 * Only the wheel's tool is built with this file instead of -lcurl. A libcurl inside the wheel would bring twenty libraries,
 * OpenSSL among them, whose security updates would never come, and the place of another system's certificates. The
 * machine's own libcurl has both; without one, `hadpo judge` says what to install and everything else works. */
#include "../../c/cli/cli.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

static void unavailable(const char *why)
{
    fprintf(stderr, "hadpo: this command needs libcurl 7.66 or newer (Debian, Ubuntu: apt install libcurl4; Fedora: libcurl)\n"
                    "  %s\n", why);
    exit(FAILED);
}

static void find(const char *name, void *function, size_t size)
{
    static void *library;
    if (library == NULL) library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) library = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) unavailable(dlerror());
    void *found = dlsym(library, name);
    if (found == NULL) unavailable(dlerror());
    memcpy(function, &found, size); /* ISO C has no cast from an object's address to a function's */
}

/* Declares `function`, the one of that name, with its declared type. */
#define FIND(name)                                                                                                             \
    static __typeof__(&name) function;                                                                                         \
    if (function == NULL) find(#name, &function, sizeof function)

CURLcode curl_global_init(long flags) { FIND(curl_global_init); return function(flags); }
void curl_global_cleanup(void) { FIND(curl_global_cleanup); function(); }
CURL *curl_easy_init(void) { FIND(curl_easy_init); return function(); }
void curl_easy_cleanup(CURL *easy) { FIND(curl_easy_cleanup); function(easy); }
const char *curl_easy_strerror(CURLcode code) { FIND(curl_easy_strerror); return function(code); }
time_t curl_getdate(const char *text, const time_t *unused) { FIND(curl_getdate); return function(text, unused); }
void curl_free(void *memory) { FIND(curl_free); function(memory); }
struct curl_slist *curl_slist_append(struct curl_slist *list, const char *text)
{
    FIND(curl_slist_append);
    return function(list, text);
}
void curl_slist_free_all(struct curl_slist *list) { FIND(curl_slist_free_all); function(list); }
CURLM *curl_multi_init(void) { FIND(curl_multi_init); return function(); }
CURLMcode curl_multi_cleanup(CURLM *multi) { FIND(curl_multi_cleanup); return function(multi); }
CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy) { FIND(curl_multi_add_handle); return function(multi, easy); }
CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *easy) { FIND(curl_multi_remove_handle); return function(multi, easy); }
CURLMcode curl_multi_perform(CURLM *multi, int *running) { FIND(curl_multi_perform); return function(multi, running); }
CURLMsg *curl_multi_info_read(CURLM *multi, int *left) { FIND(curl_multi_info_read); return function(multi, left); }
CURLMcode curl_multi_poll(CURLM *multi, struct curl_waitfd *more, unsigned count, int milliseconds, int *ready)
{
    FIND(curl_multi_poll);
    return function(multi, more, count, milliseconds, ready);
}
CURLU *curl_url(void) { FIND(curl_url); return function(); }
void curl_url_cleanup(CURLU *url) { FIND(curl_url_cleanup); function(url); }
#if LIBCURL_VERSION_NUM >= 0x080000
CURLUcode curl_url_get(const CURLU *url, CURLUPart part, char **text, unsigned flags)
#else
CURLUcode curl_url_get(CURLU *url, CURLUPart part, char **text, unsigned flags)
#endif
{
    FIND(curl_url_get);
    return function(url, part, text, flags);
}
CURLUcode curl_url_set(CURLU *url, CURLUPart part, const char *text, unsigned flags)
{
    FIND(curl_url_set);
    return function(url, part, text, flags);
}

/* The one argument behind the option is a long, an address or a curl_off_t: 64 bits in the same register on x86-64, where
 * wheels are made for. */
_Static_assert(sizeof(long) == 8 && sizeof(void *) == 8 && sizeof(curl_off_t) == 8, "another calling convention");

CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    FIND(curl_easy_setopt);
    va_list rest;
    va_start(rest, option);
    void *value = va_arg(rest, void *);
    va_end(rest);
    return function(easy, option, value);
}

CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
    FIND(curl_easy_getinfo);
    va_list rest;
    va_start(rest, info);
    void *value = va_arg(rest, void *);
    va_end(rest);
    return function(easy, info, value);
}

CURLMcode curl_multi_setopt(CURLM *multi, CURLMoption option, ...)
{
    FIND(curl_multi_setopt);
    va_list rest;
    va_start(rest, option);
    void *value = va_arg(rest, void *);
    va_end(rest);
    return function(multi, option, value);
}
