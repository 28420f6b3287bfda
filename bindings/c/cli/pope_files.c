/* pope_files.c - pope score, pope build: files in, figures and files out, no model. */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int finish_files(const invocation *call, const char *doing, hadpo_status status, hadpo_bytes *text, hadpo_error *error,
                 void (*show)(json *report))
{
    events_clear();
    if (status != HADPO_OK) return fail(doing, status, error);
    json *report = json_of_bytes(text);
    if (cli_switch(call, "json"))
        print_json(report);
    else
        show(report);
    json_object_put(report);
    hadpo_bytes_free(text);
    return DONE;
}

bool print_outcomes(json *outcomes)
{
    bool worrying = false;
    if (outcomes == NULL) return worrying;
    json_object_object_foreach(outcomes, name, value)
    {
        double count = json_object_is_type(value, json_type_object) ? number_at(value, "count", 0) : json_object_get_double(value);
        if (count == 0) continue;
        say("  %-26s %8.0f", name, count);
        json *first = path_get(value, "first");
        size_t shown = length_of(first);
        if (shown > 4) shown = 4;
        for (size_t i = 0; i < shown; i++)
            say("%s%s", i == 0 ? "   " : ", ", json_object_get_string(json_object_array_get_idx(first, i)));
        say(shown > 0 && count > (double)shown ? ", ...\n" : "\n");
        if (json_object_is_type(value, json_type_object)) worrying = true;
    }
    return worrying;
}

void coverage_text(json *result, char *buffer, size_t size)
{
    if (path_get(result, "asked") != NULL)
        snprintf(buffer, size, "%.0f of %.0f", number_at(result, "scored", 0), number_at(result, "asked", 0));
}

void print_origin(const char *what, json *origin)
{
    const char *note = text_at(origin, "note", NULL);
    if (note != NULL) say("note: %s\n", note);
    json *identity = path_get(origin, "identity");
    if (!json_object_is_type(identity, json_type_object)) return;
    const char *adapter = text_at(identity, "adapter", NULL);
    say("%s: %s, checkpoint %.12s, %s%.12s, weights %s, numerics %s, kv_cache %s\n", what, text_at(identity, "family", "?"),
        text_at(identity, "checkpoint", "?"), adapter != NULL ? "adapter " : "no adapter", adapter != NULL ? adapter : "",
        text_at(identity, "weights", "?"), text_at(identity, "numerics", "?"), text_at(identity, "kv_cache", "?"));
}

void print_interval(double value, json *interval, double scale)
{
    char text[40];
    if (isnan(value))
        snprintf(text, sizeof text, "-");
    else if (length_of(interval) == 2)
        snprintf(text, sizeof text, "%.2f [%.1f %.1f]", value * scale,
                 json_object_get_double(json_object_array_get_idx(interval, 0)) * scale,
                 json_object_get_double(json_object_array_get_idx(interval, 1)) * scale);
    else
        snprintf(text, sizeof text, "%.2f", value * scale);
    say("%21s", text);
}

/* ---- pope score -------------------------------------------------------------------------------------------------- */

static const char *const figures[] = {"accuracy", "precision", "recall", "f1", "yes_ratio"};
static const char *const titles[] = {"Accuracy", "Precision", "Recall", "F1", "Yes ratio"};
enum { FIGURES = sizeof figures / sizeof figures[0] };

static void head(void)
{
    say("%-22s %-11s %16s", "POPE, % [95 %]", "rule", "scored of asked");
    for (int i = 0; i < FIGURES; i++) say("%21s", titles[i]);
    say("\n");
}

/* `run` is what the coverage stands in; NULL: in no single one. */
static void rows(const char *name, json *rules, json *run, const char *values, const char *intervals)
{
    if (rules == NULL) return;
    json_object_object_foreach(rules, rule, figures_of_rule)
    {
        char coverage[40] = "";
        coverage_text(run, coverage, sizeof coverage);
        say("%-22s %-11s %16s", name, rule, coverage);
        json *from = *values == 0 ? figures_of_rule : path_get(figures_of_rule, values);
        for (int i = 0; i < FIGURES; i++) {
            json *figure = path_get(from, figures[i]);
            char path[64];
            snprintf(path, sizeof path, intervals, figures[i]);
            double value = json_object_is_type(figure, json_type_object) ? number_at(figure, "difference", NAN)
                                                                         : number_at(from, figures[i], NAN);
            print_interval(value, path_get(figures_of_rule, path), 100);
        }
        say("\n");
        name = "";
    }
}

static void show_score(json *report)
{
    head();
    json *splits = path_get(report, "splits");
    size_t count = length_of(splits);
    for (size_t i = 0; i < count; i++) {
        json *split = json_object_array_get_idx(splits, i);
        rows(text_at(split, "name", "?"), path_get(split, "run.rules"), path_get(split, "run"), "", "bootstrap_95.%s");
        if (path_get(split, "baseline") != NULL) {
            rows("  baseline", path_get(split, "baseline.rules"), path_get(split, "baseline"), "", "bootstrap_95.%s");
            rows("  difference", path_get(split, "comparison.rules"), NULL, "differences", "differences.%s.bootstrap_95");
        }
    }
    if (count > 1) rows("all together", path_get(report, "pooled"), NULL, "", "none.%s");
    for (size_t i = 0; i < count; i++) {
        json *split = json_object_array_get_idx(splits, i);
        say("\n%s: %s, sha256 %.12s", text_at(split, "name", "?"), text_at(split, "path", "?"), text_at(split, "sha256", "?"));
        const char *revision = text_at(split, "published.revision", NULL);
        say(revision != NULL ? ", published %s\n" : "\n", revision);
        static const char *const runs[] = {"run", "baseline"};
        for (int r = 0; r < 2; r++) {
            json *run = path_get(split, runs[r]);
            if (run == NULL) continue;
            say("%s: %s, matched by %s; unparsed %.0f, ambiguous %.0f\n", runs[r], text_at(run, "answers", "?"),
                   text_at(run, "match", "?"), number_at(run, "unparsed", 0), number_at(run, "ambiguous", 0));
            print_origin("made by", path_get(run, "origin"));
            print_outcomes(path_get(run, "outcomes"));
        }
        json *compared = path_get(split, "comparison.rules");
        if (compared == NULL) continue;
        json_object_object_foreach(compared, rule, values)
        {
            say("%s: only run right %.0f, only baseline right %.0f, McNemar exact p = %.4g\n", rule,
                   number_at(values, "only_run_right", 0), number_at(values, "only_baseline_right", 0),
                   number_at(values, "mcnemar_p", NAN));
        }
    }
}

static const flag score_flags[] = {
    {'q', "questions", LIST, "FILE", "cli.questions", "POPE question file; may be repeated, with an --answers for each"},
    {'A', "answers", LIST, "FILE", "cli.answers", "answers of a model: question_id, answer (or text), one a line"},
    {'B', "baseline", LIST, "FILE", "cli.baseline", "another model's answers, to compare with"},
    {'r', "rule", LIST, "NAME", "request.rules", "official, llava, lmms-eval, vlmevalkit, opera; may be repeated"},
    {0, "match", TEXT, "HOW", "request.match", "automatic (default), id, position"},
    PARTIAL_FLAG,
    {0, "records", TEXT, "FILE", "request.records", "one line a question: answer and verdict under every rule"},
    {0, "resamples", INTEGER, "N", "request.resamples", "of the bootstrap over pictures (10000; 0: none)"},
    {0, "seed", INTEGER, "N", "request.seed", "of the bootstrap"},
    PAGE_FLAG,
    PICTURES_FLAGS,
    {0, NULL, SWITCH, NULL, NULL, NULL}};

/* Lists that belong together become the splits of the config. */
static int gather_splits(invocation *call)
{
    json *questions = path_get(call->cli, "questions"), *answers = path_get(call->cli, "answers"),
         *baseline = path_get(call->cli, "baseline");
    size_t count = length_of(questions);
    if (questions == NULL) return path_get(call->request, "splits") != NULL ? DONE : usage_error(&pope_score_command, "needs --questions");
    if (length_of(answers) != count)
        return usage_error(&pope_score_command, "%zu question files and %zu answers files", count, length_of(answers));
    if (baseline != NULL && length_of(baseline) != count)
        return usage_error(&pope_score_command, "%zu question files and %zu baselines", count, length_of(baseline));
    json *splits = json_object_new_array();
    for (size_t i = 0; i < count; i++) {
        json *split = json_object_new_object();
        json_object_object_add(split, "questions", json_object_get(json_object_array_get_idx(questions, i)));
        json_object_object_add(split, "answers", json_object_get(json_object_array_get_idx(answers, i)));
        if (baseline != NULL) json_object_object_add(split, "baseline", json_object_get(json_object_array_get_idx(baseline, i)));
        json_object_array_add(splits, split);
    }
    json_object_object_add(call->request, "splits", splits);
    return DONE;
}

/* The page's figures are the score: nothing is computed twice. */
static int score_with_page(invocation *call, json *page)
{
    json_object_object_del(call->request, "schema");
    json_object_object_add(page, "pope", json_object_get(call->request));
    json *result = NULL;
    int outcome = page_write(page, &result);
    json *report = path_get(result, "pope");
    if (outcome == DONE && cli_switch(call, "json")) print_json(report);
    if (outcome == DONE && !cli_switch(call, "json")) {
        show_score(report);
        page_say(result);
    }
    json_object_put(result);
    return outcome;
}

static int score(invocation *call)
{
    if (call->n_files > 0) return usage_error(&pope_score_command, "unexpected argument %s", call->files[0]);
    int outcome = gather_splits(call);
    if (outcome != DONE) return outcome;
    json *page = page_config(call);
    if (page != NULL) return score_with_page(call, page);
    const char *config = json_text(call->request);
    hadpo_bytes *text = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_pope_evaluate(config, strlen(config), &text, &error);
    return finish_files(call, "scoring", status, text, error, show_score);
}

static const flag_group score_groups[] = {
    {"The answers", score_flags}, {"Input and output", output_flags}, {NULL, NULL}};

const command pope_score_command = {
    "pope score", "hadpo.pope-score/1", "answers of any model under the rules of five harnesses", "-q FILE -A FILE [-B FILE] [flags]",
    "Which words of an answer make it a yes is decided differently by the official script and by others; figures compare only\n"
    "under one rule. Intervals come from resampled pictures, because questions about one picture fail together. What a record\n"
    "says of its question is compared with the question; one that contradicts it is an error, and so are missing answers\n"
    "without --partial. LLaVA's file of all three sets (ids from 1, 10000001, 20000001) may be given to each question file.\n"
    "\n"
    "examples\n"
    "  hadpo pope score -q coco_pope_random.json -A answers.jsonl\n"
    "  hadpo pope score -q coco_pope_random.json -A after.jsonl -B before.jsonl -r official -r lmms-eval\n"
    "  hadpo pope score -q coco_pope_random.json -A after.jsonl -B before.jsonl --report report.html --pictures val2014\n"
    "  hadpo pope score -q random.json -A r.jsonl -q popular.json -A p.jsonl -q adversarial.json -A a.jsonl --json\n",
    score_groups, score};

/* ---- pope build -------------------------------------------------------------------------------------------------- */

static void show_build(json *report)
{
    say("%.0f annotated pictures, %.0f with enough objects, %.0f drawn with seed %.0f\n", number_at(report, "annotated_images", 0),
           number_at(report, "images_with_enough_objects", 0), number_at(report, "images", 0), number_at(report, "seed", 0));
    json *files = path_get(report, "files");
    size_t count = length_of(files);
    for (size_t i = 0; i < count; i++) {
        json *file = json_object_array_get_idx(files, i);
        double questions = number_at(file, "questions", NAN);
        if (isnan(questions))
            say("%9s            %s\n", "", text_at(file, "path", "?"));
        else
            say("%9.0f questions  %s\n", questions, text_at(file, "path", "?"));
    }
}

static const flag build_flags[] = {
    {'f', "annotations", TEXT, "FILE", "request.annotations", "COCO instances_*.json, POPE's segmentation lines, or {picture: [objects]}"},
    {0, "format", TEXT, "NAME", "request.format", "auto (default), coco, pope, map"},
    {'o', "output", TEXT, "DIR", "request.output", "folder for the question files"},
    {0, "dataset", TEXT, "NAME", "request.dataset", "begins the files' names (coco)"},
    {0, "strategy", LIST, "NAME", "request.strategies", "random, popular or adversarial; default: all three"},
    {0, "images", INTEGER, "N", "request.images", "pictures to draw (500)"},
    {0, "per-image", INTEGER, "N", "request.per_image", "present objects asked about, and as many absent ones (3)"},
    {0, "seed", INTEGER, "N", "request.seed", "another seed, other pictures"},
    {0, "template", TEXT, "TEXT", "request.template", "{} is the object (Is there a {} in the image?)"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};

static int build(invocation *call)
{
    if (call->n_files > 0) return usage_error(&pope_build_command, "unexpected argument %s", call->files[0]);
    const char *config = json_text(call->request);
    hadpo_bytes *text = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_pope_build(config, strlen(config), &text, &error);
    return finish_files(call, "making questions", status, text, error, show_build);
}

static const flag_group build_groups[] = {
    {"The questions", build_flags}, {"Input and output", output_flags}, {NULL, NULL}};

const command pope_build_command = {
    "pope build", "hadpo.pope-build/1", "POPE questions from annotated pictures", "-f FILE -o DIR [flags]",
    "For each drawn picture: its first objects, each followed by an object that is not there: any (random), the most frequent\n"
    "(popular), or the one that most often accompanies it (adversarial).\n"
    "\n"
    "examples\n"
    "  hadpo pope build -f instances_val2014.json -o pope --seed 1\n"
    "  hadpo pope build -f my-objects.json -o pope --dataset mine --images 100\n",
    build_groups, build};
