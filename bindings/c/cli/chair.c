/* chair.c - chair: which objects do captions mention that are not there? */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void show(json *report)
{
    static const struct {
        const char *title, *key;
        double scale;
    } columns[] = {{"CHAIRs", "chair_s", 100}, {"CHAIRi", "chair_i", 100}, {"Recall", "recall", 100}, {"Length", "length", 1}};
    enum { COLUMNS = sizeof columns / sizeof columns[0] };
    char coverage[40] = "";
    coverage_text(report, coverage, sizeof coverage);
    say("%-16s %16s", "CHAIR, % [95 %]", "scored of asked");
    for (int i = 0; i < COLUMNS; i++) say("%21s", columns[i].title);
    say("\n%-16s %16s", "", coverage);
    for (int i = 0; i < COLUMNS; i++) {
        char path[64];
        snprintf(path, sizeof path, "bootstrap_95.%s", columns[i].key);
        print_interval(number_at(report, columns[i].key, NAN), path_get(report, path), columns[i].scale);
    }
    say("\n\n%.0f captions, %.0f mentions of objects, %.0f of them not in the picture\n", number_at(report, "n", 0),
           number_at(report, "mentions", 0), number_at(report, "hallucinated_mentions", 0));
    say("rules of %s; synonyms sha256 %.12s%s; images sha256 %.12s\n", text_at(report, "implementation", "?"),
           text_at(report, "synonyms_sha256", "?"),
           json_object_get_boolean(path_get(report, "synonyms_published")) ? " (published)" : "",
           text_at(report, "image_ids_sha256", "?"));
    print_origin("captions by", path_get(report, "origin"));
    print_outcomes(path_get(report, "outcomes"));
    json *objects = path_get(report, "by_object");
    if (objects == NULL) return;
    int shown = 0;
    json_object_object_foreach(objects, name, counts)
    {
        double wrong = number_at(counts, "hallucinated", 0);
        if (wrong == 0 || shown++ == 10) break;
        if (shown == 1) say("\n%-20s %12s %9s\n", "most hallucinated", "hallucinated", "mentions");
        say("%-20s %12.0f %9.0f\n", name, wrong, number_at(counts, "mentions", 0));
    }
}

static int write_page(const invocation *call)
{
    json *config = page_config(call);
    if (config == NULL) return DONE;
    static const char *const keys[][2] = {{"records", "chair.records"}, {"resamples", "resamples"}, {"seed", "seed"}};
    for (int i = 0; i < 3; i++) {
        json *value = path_get(call->request, keys[i][0]);
        if (value != NULL) path_set(config, keys[i][1], json_object_get(value));
    }
    return page_finish(call, config);
}

static int chair(invocation *call)
{
    if (call->n_files > 0) return usage_error(&chair_command, "unexpected argument %s", call->files[0]);
    if (cli_text(call, "report") != NULL && path_get(call->request, "records") == NULL)
        return usage_error(&chair_command, "--report needs --records FILE too: every figure leads back to a caption in it");
    const char *config = json_text(call->request);
    hadpo_bytes *text = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_chair_score(config, strlen(config), &text, &error);
    int outcome = finish_files(call, "scoring captions", status, text, error, show);
    return outcome == DONE ? write_page(call) : outcome;
}

static const flag chair_flags[] = {
    {'A', "captions", TEXT, "FILE", "request.captions", "image_id and caption: lines, an array, or {\"id\": \"caption\"}"},
    {'s', "synonyms", TEXT, "FILE", "request.synonyms", "the synonym table, LisaAnne/Hallucination data/synonyms.txt"},
    {0, "instances", LIST, "FILE", "request.instances", "COCO instances_*.json; once for train, once for val"},
    {0, "references", LIST, "FILE", "request.references", "COCO captions_*.json; once for train, once for val"},
    {0, "objects", TEXT, "FILE", "request.objects", "instead or beside: {\"image id\": [\"object\", ...]}"},
    PARTIAL_FLAG,
    {0, "records", TEXT, "FILE", "request.records", "one line a caption: words, objects, what is not there"},
    {0, "resamples", INTEGER, "N", "request.resamples", "of the bootstrap over images (10000; 0: none)"},
    {0, "seed", INTEGER, "N", "request.seed", "of the bootstrap"},
    PAGE_FLAG,
    PICTURES_FLAGS,
    {0, NULL, SWITCH, NULL, NULL, NULL}};

static const flag_group chair_groups[] = {
    {"The captions", chair_flags}, {"Input and output", output_flags}, {NULL, NULL}};

const command chair_command = {
    "chair", "hadpo.chair-score/1", "objects that captions invent: the CHAIR figures", "-A FILE -s FILE --instances FILE ... [flags]",
    "CHAIRs is the part of captions with an object that is not in the picture, CHAIRi the part of mentioned objects. Both grow\n"
    "with the length of captions, so name the token limit and the images beside them. The rules are those of the original\n"
    "implementation; figures of its ports are not comparable. COCO's pictures are found by their number, however each file\n"
    "spells it; captions of pictures without annotations are an error without --partial.\n"
    "\n"
    "example\n"
    "  hadpo chair -A captions.jsonl -s synonyms.txt --instances instances_val2014.json --instances instances_train2014.json \\\n"
    "      --references captions_val2014.json --references captions_train2014.json --records words.jsonl\n",
    chair_groups, chair};
