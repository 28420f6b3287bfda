/* options.c - flags into configs.
 *
 * Every flag names a key of a config. --config FILE, --set KEY=VALUE and the flags are merged in the order given, later
 * ones win. A config file may hold the members "engine" and "model" beside the keys of the command's own schema. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int usage_error(const command *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain("hadpo %s: ", command->name);
    complain_with(format, arguments);
    complain("\n  usage     hadpo %s %s\n  try       hadpo %s --help\n", command->name, command->usage, command->name);
    va_end(arguments);
    return USAGE;
}

/* Splits "engine.threads" into the config it belongs to and the path within. */
static json *config_of(invocation *call, const char *key, const char **path)
{
    static const char *const names[] = {"engine.", "model.", "request.", "cli."};
    json *const objects[] = {call->engine, call->model, call->request, call->cli};
    for (int i = 0; i < 4; i++) {
        size_t length = strlen(names[i]);
        if (strncmp(key, names[i], length) == 0) {
            *path = key + length;
            return objects[i];
        }
    }
    *path = key;
    return call->request;
}

static int parse_size(const char *text, int64_t *bytes)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || errno != 0 || !(value >= 0)) return -1;
    double unit = 1;
    switch (*end) {
    case 'k': case 'K': unit = 1024.0; end++; break;
    case 'm': case 'M': unit = 1048576.0; end++; break;
    case 'g': case 'G': unit = 1073741824.0; end++; break;
    default: break;
    }
    if (strcmp(end, "") != 0 && strcmp(end, "B") != 0 && strcmp(end, "iB") != 0) return -1;
    if (!(value * unit < 9e18)) return -1;
    *bytes = (int64_t)(value * unit);
    return 0;
}

/* NULL: the text is not such a value. */
static json *value_of(value_kind kind, const char *text)
{
    char *end;
    int64_t bytes;
    errno = 0;
    switch (kind) {
    case SWITCH: return json_object_new_boolean(1);
    case TEXT:
    case LIST: return json_object_new_string(text);
    case INTEGER: {
        long long number = strtoll(text, &end, 10);
        return end == text || *end != 0 || errno != 0 ? NULL : json_object_new_int64(number);
    }
    case NUMBER: {
        double number = strtod(text, &end);
        if (end == text || *end != 0 || !isfinite(number)) return NULL;
        json *exact = json_tokener_parse(text); /* keeps the digits as they were typed */
        if (json_object_is_type(exact, json_type_double) || json_object_is_type(exact, json_type_int)) return exact;
        json_object_put(exact);
        return json_object_new_double(number);
    }
    case SIZE: return parse_size(text, &bytes) != 0 ? NULL : json_object_new_int64(bytes);
    }
    return NULL;
}

static const char *kind_name(value_kind kind)
{
    return kind == INTEGER ? "a whole number" : kind == SIZE ? "a size such as 8G" : "a number";
}

static int set_flag(const command *command, invocation *call, const flag *flag, const char *text)
{
    json *value = value_of(flag->kind, text);
    if (value == NULL) return usage_error(command, "--%s %s: expected %s", flag->name, text, kind_name(flag->kind));
    const char *path;
    json *config = config_of(call, flag->key, &path);
    if (flag->kind == LIST) {
        json *list = path_get(config, path);
        if (json_object_is_type(list, json_type_array)) {
            json_object_array_add(list, value);
            return DONE;
        }
        json *first = value;
        value = json_object_new_array();
        json_object_array_add(value, first);
    }
    if (path_set(config, path, value) != 0)
        return usage_error(command, "--%s: the config holds something else at %s", flag->name, path);
    return DONE;
}

/* VALUE is JSON when it reads as JSON (numbers, true, null, [..], {..}, ".."), otherwise a string. */
static int set_assignment(const command *command, invocation *call, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    if (equals == NULL || equals == assignment) return usage_error(command, "--set %s: expected KEY=VALUE", assignment);
    char *key = malloc((size_t)(equals - assignment) + 1);
    json_tokener *tokener = json_tokener_new();
    if (key == NULL || tokener == NULL) return FAILED;
    memcpy(key, assignment, (size_t)(equals - assignment));
    key[equals - assignment] = 0;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    size_t length = strlen(equals + 1);
    /* One byte more, the NUL, so that a number is known to end. */
    json *value = json_tokener_parse_ex(tokener, equals + 1, (int)length + 1);
    bool whole = json_tokener_get_error(tokener) == json_tokener_success;
    json_tokener_free(tokener);
    if (!whole) value = json_object_new_string(equals + 1);
    const char *path;
    json *config = config_of(call, key, &path);
    int outcome = DONE;
    if (path_set(config, path, value) != 0)
        outcome = usage_error(command, "--set %s: a part of the key is not an object", assignment);
    free(key);
    return outcome;
}

static void merge(json *into, json *from)
{
    json_object_object_foreach(from, key, value)
    {
        json *present = json_object_object_get(into, key);
        if (json_object_is_type(present, json_type_object) && json_object_is_type(value, json_type_object))
            merge(present, value);
        else
            json_object_object_add(into, key, json_object_get(value));
    }
}

static int read_config(const command *command, invocation *call, const char *path)
{
    size_t size;
    char *text = read_file(path, &size);
    if (text == NULL) return fail_file("cannot read the config", path);
    /* The library's reader goes first: it names line and column, and refuses duplicate keys. What it says about keys is
     * left for the merged config. */
    hadpo_bytes *resolved = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_config_resolve(text, size, &resolved, &error);
    hadpo_bytes_free(resolved);
    if (status == HADPO_E_JSON) {
        free(text);
        char doing[512];
        snprintf(doing, sizeof doing, "reading %s", path);
        return fail(doing, status, error);
    }
    hadpo_error_free(error);
    json *config = json_tokener_parse(text);
    free(text);
    if (!json_object_is_type(config, json_type_object)) {
        json_object_put(config);
        return usage_error(command, "--config %s: expected a JSON object", path);
    }
    static const char *const own[] = {"engine", "model"};
    json *const parts[] = {call->engine, call->model};
    for (int i = 0; i < 2; i++) {
        json *part = json_object_object_get(config, own[i]);
        if (json_object_is_type(part, json_type_object)) {
            merge(parts[i], part);
            json_object_object_del(config, own[i]);
        }
    }
    merge(call->request, config);
    json_object_put(config);
    return DONE;
}

static const flag *find_flag(const command *command, const char *name, size_t length, char letter)
{
    for (const flag_group *group = command->groups; group->title != NULL; group++)
        for (const flag *each = group->flags; each->name != NULL; each++) {
            if (letter != 0 && each->letter == letter) return each;
            if (letter == 0 && strlen(each->name) == length && strncmp(each->name, name, length) == 0) return each;
        }
    return NULL;
}

/* -x VALUE, -xVALUE, --name VALUE, --name=VALUE. */
static int parse_flag(const command *command, invocation *call, int argc, char **argv, int *at)
{
    const char *argument = argv[*at], *value = NULL;
    const flag *flag;
    if (argument[1] == '-') {
        size_t length = strcspn(argument + 2, "=");
        flag = find_flag(command, argument + 2, length, 0);
        if (argument[2 + length] == '=') value = argument + 3 + length;
    } else {
        flag = find_flag(command, NULL, 0, argument[1]);
        if (argument[2] != 0) value = argument + 2;
    }
    if (flag == NULL) return usage_error(command, "no flag %s", argument);
    if (flag->kind == SWITCH) {
        if (value != NULL) return usage_error(command, "--%s takes no value", flag->name);
        return set_flag(command, call, flag, "");
    }
    if (value == NULL) {
        if (*at + 1 >= argc) return usage_error(command, "--%s needs a value: %s", flag->name, flag->metavar);
        value = argv[++*at];
    }
    if (strcmp(flag->key, "cli.config") == 0) return read_config(command, call, value);
    if (strcmp(flag->key, "cli.set") == 0) return set_assignment(command, call, value);
    return set_flag(command, call, flag, value);
}

int parse_command_line(const command *command, int argc, char **argv, invocation *call, bool *wants_help)
{
    memset(call, 0, sizeof *call);
    *wants_help = false;
    call->engine = json_object_new_object();
    call->model = json_object_new_object();
    call->request = json_object_new_object();
    call->cli = json_object_new_object();
    call->files = calloc((size_t)argc + 1, sizeof *call->files);
    if (call->files == NULL) return FAILED;
    json_object_object_add(call->engine, "schema", json_object_new_string("hadpo.engine/1"));
    json_object_object_add(call->model, "schema", json_object_new_string("hadpo.model/1"));
    if (command->schema != NULL)
        json_object_object_add(call->request, "schema", json_object_new_string(command->schema));
    bool flags_end = false;
    for (int i = 1; i < argc; i++) {
        if (!flags_end && strcmp(argv[i], "--") == 0) {
            flags_end = true;
        } else if (flags_end || argv[i][0] != '-' || argv[i][1] == 0) {
            call->files[call->n_files++] = argv[i];
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            *wants_help = true;
            return DONE;
        } else {
            int outcome = parse_flag(command, call, argc, argv, &i);
            if (outcome != DONE) return outcome;
        }
    }
    return DONE;
}

void invocation_free(invocation *call)
{
    json_object_put(call->engine);
    json_object_put(call->model);
    json_object_put(call->request);
    json_object_put(call->cli);
    free(call->files);
    memset(call, 0, sizeof *call);
}

bool cli_switch(const invocation *call, const char *name)
{
    return json_object_get_boolean(json_object_object_get(call->cli, name));
}

const char *cli_text(const invocation *call, const char *name)
{
    return text_at(call->cli, name, NULL);
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

void print_command_help(const command *command)
{
    say("hadpo %s - %s\n\nusage: hadpo %s %s\n", command->name, command->summary, command->name, command->usage);
    for (const flag_group *group = command->groups; group->title != NULL; group++) {
        say("\n%s\n", group->title);
        for (const flag *each = group->flags; each->name != NULL; each++) {
            char left[64];
            snprintf(left, sizeof left, "%c%c --%s %s", each->letter != 0 ? '-' : ' ', each->letter != 0 ? each->letter : ' ',
                     each->name, each->metavar != NULL ? each->metavar : "");
            if (strlen(left) > 29)
                say("  %s\n  %-30s", left, "");
            else
                say("  %-30s", left);
            const char *line = each->help;
            for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
                say("%.*s\n  %-30s", (int)(end - line), line, "");
            say("%s\n", line);
        }
    }
    if (command->teaching != NULL) {
        say("\n");
        say_lines(command->teaching);
    }
}
