/* judge_address.c - the base URL: what it may be, and how a batch line's path is put to it. */
#include "judge.h"

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

bool address_is_open(const char *address)
{
    if (strncmp(address, "http://", 7) != 0) return false;
    const char *host = address + 7;
    size_t length = strcspn(host, ":/");
    bool here = strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
                (length == 9 && strncmp(host, "localhost", 9) == 0);
    return !here;
}

char *address_join(const char *base, const char *path)
{
    const char *host = strstr(base, "://");
    host = host == NULL ? base : host + 3;
    size_t length = strlen(base);
    while (length > 0 && base[length - 1] == '/') length--;
    bool has_path = strcspn(host, "/") < length - (size_t)(host - base);
    if (has_path && strncmp(path, "/v1/", 4) == 0) path += 3;
    char *address = malloc(length + strlen(path) + 1);
    if (address != NULL) sprintf(address, "%.*s%s", (int)length, base, path);
    return address;
}
