/* judge_address.c - the base URL: what it may be, and how a batch line's path is put to it. */
#include "judge.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool found = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return found;
}

const char *address_fault(const char *address)
{
    CURLU *url = curl_url();
    const char *fault = NULL;
    if (url == NULL || curl_url_set(url, CURLUPART_URL, address, 0) != CURLUE_OK || !has_part(url, CURLUPART_HOST))
        fault = "not an address: expected https://HOST or https://HOST/v1";
    else if (strncmp(address, "http://", 7) != 0 && strncmp(address, "https://", 8) != 0)
        fault = "neither http:// nor https://";
    else if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))
        fault = "an address with a user's name; the key belongs into --key-env or --key-file";
    else if (has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT))
        fault = "an address with a query; expected a host and a path";
    curl_url_cleanup(url);
    return fault;
}

/* The host's name or number, in lower case and without brackets; malloced, NULL: none. */
static char *host_of(const char *address)
{
    CURLU *url = curl_url();
    char *text = NULL, *host = NULL;
    if (url != NULL && curl_url_set(url, CURLUPART_URL, address, 0) == CURLUE_OK) curl_url_get(url, CURLUPART_HOST, &text, 0);
    if (text != NULL) host = malloc(strlen(text) + 1);
    if (host != NULL) {
        size_t length = 0;
        for (const char *from = text; *from != 0; from++)
            if (*from != '[' && *from != ']') host[length++] = (char)tolower((unsigned char)*from);
        host[length] = 0;
    }
    curl_free(text);
    curl_url_cleanup(url);
    return host;
}

bool address_is_open(const char *address, bool through_proxy)
{
    if (strncmp(address, "https://", 8) == 0) return false;
    char *host = host_of(address);
    /* 127.evil.example is a name; a number has digits and dots alone. */
    bool here = host != NULL && (strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
                                 (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host)));
    free(host);
    return through_proxy || !here;
}

bool address_wants_key(const char *address)
{
    char *host = host_of(address);
    bool known = host != NULL && strcmp(host, "api.openai.com") == 0;
    free(host);
    return known;
}

char *address_join(const char *base, const char *path)
{
    static const char *const ends[] = {"/chat/completions", "/completions"};
    const char *host = strstr(base, "://");
    host = host == NULL ? base : host + 3;
    size_t length = strlen(base);
    while (length > 0 && base[length - 1] == '/') length--;
    bool has_path = strcspn(host, "/") < length - (size_t)(host - base);
    for (size_t i = 0; has_path && i < sizeof ends / sizeof ends[0]; i++) {
        size_t end = strlen(ends[i]);
        if (length < end || strncmp(base + length - end, ends[i], end) != 0) continue;
        length -= end;
        break;
    }
    if (has_path && strncmp(path, "/v1/", 4) == 0) path += 3;
    char *address = malloc(length + strlen(path) + 1);
    if (address != NULL) sprintf(address, "%.*s%s", (int)length, base, path);
    return address;
}
