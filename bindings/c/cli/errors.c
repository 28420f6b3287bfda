/* errors.c - a failure in two to four lines: what, where, what was found instead of what, what to do next. */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int exit_code_of(hadpo_status status)
{
    switch (status) {
    case HADPO_OK: return DONE;
    case HADPO_E_NO_MEMORY: return NO_MEMORY;
    case HADPO_E_JSON:
    case HADPO_E_CONFIG: return BAD_INPUT;
    case HADPO_E_IO:
    case HADPO_E_FORMAT:
    case HADPO_E_WEIGHTS: return BAD_FILE;
    case HADPO_E_NUMERICS: return NUMERICS;
    case HADPO_E_CANCELLED:
    case HADPO_E_CALLBACK: return CANCELLED;
    default: return FAILED;
    }
}

static const char *advice(hadpo_status status)
{
    switch (status) {
    case HADPO_E_NO_MEMORY: return "close other programs, lower --batch, or raise --memory-limit";
    case HADPO_E_JSON: return "correct the text at that place; it must be plain JSON";
    case HADPO_E_CONFIG: return "`hadpo config SCHEMA` prints every key of a config with its default";
    case HADPO_E_WEIGHTS: return "`hadpo inspect -m DIR` shows what was understood of a checkpoint folder";
    case HADPO_E_NUMERICS: return "lower --learning-rate, or set optimizer.max_grad_norm; a saved run can be resumed";
    case HADPO_E_UNSUPPORTED: return "the README lists what is supported";
    default: return NULL;
    }
}

int fail(const char *doing, hadpo_status status, hadpo_error *error)
{
    events_clear();
    if (status == HADPO_E_CANCELLED || status == HADPO_E_CALLBACK) {
        complain("hadpo: stopped while %s\n", doing);
        hadpo_error_free(error);
        return exit_code_of(status);
    }
    json *record = error == NULL ? NULL : json_tokener_parse(hadpo_error_json(error));
    complain("hadpo: %s: %s\n", doing, text_at(record, "message", hadpo_status_name(status)));
    static const char *const keys[] = {"where", "found", "expected"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *text = text_at(record, keys[i], NULL);
        if (text != NULL) complain("  %-9s %s\n", keys[i], text);
    }
    const char *next = advice(status);
    if (next != NULL) complain("  %-9s %s\n", "try", next);
    json_object_put(record);
    hadpo_error_free(error);
    return exit_code_of(status);
}

int fail_file(const char *doing, const char *path)
{
    int reason = errno;
    events_clear();
    complain("hadpo: %s: %s\n  %-9s %s\n", doing, strerror(reason), "where", path);
    return BAD_FILE;
}
