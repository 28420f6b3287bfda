/* page.c - report: one HTML page out of what the other commands wrote; and --report of those commands. */
#define _POSIX_C_SOURCE 200809L
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

json *page_config(const invocation *call)
{
    const char *path = cli_text(call, "report");
    if (path == NULL) return NULL;
    json *config = json_object_new_object();
    json_object_object_add(config, "schema", json_object_new_string("hadpo.report/1"));
    json_object_object_add(config, "output", json_object_new_string(path));
    json *pictures = path_get(call->cli, "pictures");
    if (pictures != NULL) json_object_object_add(config, "pictures", json_object_get(pictures));
    json *outside = path_get(call->cli, "outside");
    if (outside == NULL) outside = path_get(call->request, "outside");
    if (outside != NULL) json_object_object_add(config, "outside", json_object_get(outside));
    json *partial = path_get(call->request, "partial");
    if (partial != NULL) json_object_object_add(config, "partial", json_object_get(partial));
    return config;
}

int page_check(const invocation *call)
{
    const char *path = cli_text(call, "report");
    if (path == NULL) return DONE;
    struct stat status;
    if (stat(path, &status) == 0) {
        if (S_ISDIR(status.st_mode)) errno = EISDIR;
        else if (access(path, W_OK) == 0) return DONE;
        return fail_file("cannot write the report", path);
    }
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (folder == NULL) return NO_MEMORY;
    /* A folder that is not there yet is made with the page. */
    int outcome = access(folder, W_OK | X_OK) == 0 || errno == ENOENT ? DONE : fail_file("cannot write the report into", folder);
    if (outcome == DONE && stat(folder, &status) == 0 && !S_ISDIR(status.st_mode)) {
        errno = ENOTDIR;
        outcome = fail_file("cannot write the report into", folder);
    }
    free(folder);
    return outcome;
}

void page_add_split(json *config, json *questions, json *answers)
{
    json *splits = path_get(config, "pope.splits");
    if (splits == NULL) {
        splits = json_object_new_array();
        path_set(config, "pope.splits", splits);
    }
    json *split = json_object_new_object();
    json_object_object_add(split, "questions", json_object_get(questions));
    json_object_object_add(split, "answers", json_object_get(answers));
    json_object_array_add(splits, split);
}

void page_say(json *result)
{
    say("\nreport: %s (%.0f KiB, %.0f pictures", text_at(result, "output", "?"), number_at(result, "bytes", 0) / 1024,
           number_at(result, "gallery.embedded", 0));
    if (number_at(result, "gallery.left_out", 0) > 0) say(", %.0f more left out", number_at(result, "gallery.left_out", 0));
    say(")\n");
}

int page_write(json *config, json **result)
{
    const char *text = json_text(config);
    hadpo_bytes *bytes = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_report_write(text, strlen(text), &bytes, &error);
    json_object_put(config);
    events_clear();
    if (status != HADPO_OK) return fail("writing the report", status, error);
    *result = json_of_bytes(bytes);
    hadpo_bytes_free(bytes);
    return DONE;
}

int page_finish(const invocation *call, json *config)
{
    json *result = NULL;
    int outcome = page_write(config, &result);
    if (outcome == DONE && !cli_switch(call, "json")) page_say(result);
    json_object_put(result);
    return outcome;
}

/* ---- hadpo report ------------------------------------------------------------------------------------------------ */

static const flag report_flags[] = {
    {'o', "output", TEXT, "FILE", "request.output", "the page (.html)"},
    {'q', "questions", LIST, "FILE", "cli.questions", "POPE question file; may be repeated, with an -A (and a -B) for each"},
    {'A', "answers", LIST, "FILE", "cli.answers", "POPE answers of the run"},
    {'B', "baseline", LIST, "FILE", "cli.baseline", "POPE answers before the training, or of another model"},
    {'r', "rule", LIST, "NAME", "request.pope.rules", "official, llava, lmms-eval, vlmevalkit, opera; may be repeated"},
    {0, "shr", TEXT, "DIR", "request.shr.scored", "SHR: the folder that `hadpo shr -o` wrote, or its sentences.jsonl"},
    {0, "shr-baseline", TEXT, "DIR", "request.shr.baseline", "SHR: the same of the baseline"},
    {0, "chair", TEXT, "FILE", "request.chair.records", "CHAIR: the file that `hadpo chair --records` wrote"},
    {0, "chair-baseline", TEXT, "FILE", "request.chair.baseline", "CHAIR: the same of the baseline"},
    {0, "training", LIST, "FILE", "request.training", "the file that `hadpo train --log` wrote; may be repeated"},
    {'i', "pictures", LIST, "DIR", "request.pictures", "folder with the pictures, for the gallery; may be repeated"},
    {0, "outside", SWITCH, NULL, "request.outside", OUTSIDE_HELP},
    PARTIAL_FLAG,
    {0, NULL, SWITCH, NULL, NULL, NULL}};

static const flag page_flags[] = {
    {0, "title", TEXT, "TEXT", "request.title", "of the page"},
    {0, "name", TEXT, "TEXT", "request.name", "what the run is called (after)"},
    {0, "baseline-name", TEXT, "TEXT", "request.baseline_name", "what the baseline is called (before)"},
    {0, "cards", INTEGER, "N", "request.cards", "pictures in the gallery, those with most wrong first (24)"},
    {0, "picture-width", INTEGER, "N", "request.picture_width", "pixels; wider pictures are scaled down (320)"},
    {0, "picture-bytes", SIZE, "BYTES", "request.picture_bytes", "of all pictures together (6M); those beyond are named, not shown"},
    {0, "resamples", INTEGER, "N", "request.resamples", "of the bootstrap (10000; 0: none)"},
    {0, "seed", INTEGER, "N", "request.seed", "of the bootstrap"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};

static int gather(invocation *call)
{
    json *questions = path_get(call->cli, "questions"), *answers = path_get(call->cli, "answers"),
         *baseline = path_get(call->cli, "baseline");
    size_t count = length_of(questions);
    if (length_of(answers) != count)
        return usage_error(&report_command, "%zu question files and %zu answers files", count, length_of(answers));
    if (baseline != NULL && length_of(baseline) != count)
        return usage_error(&report_command, "%zu question files and %zu baselines", count, length_of(baseline));
    for (size_t i = 0; i < count; i++) {
        page_add_split(call->request, json_object_array_get_idx(questions, i), json_object_array_get_idx(answers, i));
        if (baseline == NULL) continue;
        json *splits = path_get(call->request, "pope.splits");
        json_object_object_add(json_object_array_get_idx(splits, length_of(splits) - 1), "baseline",
                               json_object_get(json_object_array_get_idx(baseline, i)));
    }
    static const char *const keys[] = {"resamples", "seed"};
    for (int i = 0; i < 2 && path_get(call->request, "pope.splits") != NULL; i++) {
        char path[32];
        snprintf(path, sizeof path, "pope.%s", keys[i]);
        json *value = path_get(call->request, keys[i]);
        if (value != NULL && path_get(call->request, path) == NULL) path_set(call->request, path, json_object_get(value));
        /* POPE's alone: the library refuses a key that nothing on the page uses. */
        if (path_get(call->request, "shr") == NULL && path_get(call->request, "chair") == NULL)
            json_object_object_del(call->request, keys[i]);
    }
    return DONE;
}

static int write_report(invocation *call)
{
    if (call->n_files > 0) return usage_error(&report_command, "unexpected argument %s", call->files[0]);
    if (text_at(call->request, "output", NULL) == NULL) return usage_error(&report_command, "no -o FILE: where is the page to go?");
    int outcome = gather(call);
    if (outcome != DONE) return outcome;
    json *result = NULL;
    outcome = page_write(json_object_get(call->request), &result);
    if (outcome == DONE && cli_switch(call, "json")) print_json(result);
    if (outcome == DONE && !cli_switch(call, "json")) page_say(result);
    json_object_put(result);
    return outcome;
}

static const flag_group report_groups[] = {{"What to report", report_flags},
                                           {"The page", page_flags},
                                           {"Input and output", output_flags},
                                           {NULL, NULL}};

const command report_command = {
    "report", "hadpo.report/1", "one HTML page out of answers, scores and training logs", "-o FILE [flags]",
    "Takes what the other commands wrote, in any combination, and makes one page of it: tables with intervals, curves, and the\n"
    "pictures on which most went wrong, with hallucinated sentences and wrong answers marked. With a baseline it is a page of\n"
    "before and after. The page loads nothing and runs nothing: it can be mailed, archived and printed as it is. Every answer,\n"
    "image and sentence that is in no figure is counted by name.\n"
    "\n"
    "`hadpo pope`, `pope score`, `shr`, `chair`, `train` and `demo` write such a page of their own with --report FILE.\n"
    "\n"
    "examples\n"
    "  hadpo report -o report.html -q coco_pope_random.json -A after.jsonl -B base.jsonl -i val2014\n"
    "  hadpo report -o report.html --shr after --shr-baseline before -i VG --training training.jsonl\n"
    "  hadpo report -o report.html -q random.json -A ra.jsonl -B rb.jsonl -q popular.json -A pa.jsonl -B pb.jsonl \\\n"
    "      --chair after-words.jsonl --chair-baseline before-words.jsonl --name HA-DPO --baseline-name LLaVA-1.5\n",
    report_groups, write_report};
