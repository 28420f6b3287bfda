/* shr.c - shr: how many sentences of a description are hallucinations? Requests for a judge, scores of its replies. */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const flag file_flags[] = {
    {'A', "answers", TEXT, "FILE", "request.answers", "descriptions of any model: {\"image id\": \"text\"}, or lines"},
    {0, "vg", TEXT, "DIR", "request.vg", "Visual Genome: image_data.json, region_descriptions.json"},
    {0, "shr", TEXT, "DIR", "request.shr", "SHR: val_images_final.json, shr_factual_part1.jsonl, ...part2.jsonl"},
    {0, "image-data", TEXT, "FILE", "request.image_data", "instead of the folder's"},
    {0, "regions", TEXT, "FILE", "request.regions", "instead of the folder's"},
    {0, "factual", LIST, "FILE", "request.factual", "instead of the folder's; may be repeated"},
    {0, "val-images", TEXT, "FILE", "request.val_images", "instead of the folder's; without any: the described images"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};

/* ---- shr describe ------------------------------------------------------------------------------------------------ */

static void show_described(json *report)
{
    say("%.0f descriptions in %s, %.0f of them made now; %.1f tokens each\n", number_at(report, "images", 0),
           text_at(report, "output", "?"), number_at(report, "described", 0), number_at(report, "tokens_per_image", NAN));
}

static const flag describe_flags[] = {
    {'i', "images", TEXT, "DIR", "request.images", "Visual Genome's pictures: the folder with VG_100K and VG_100K_2"},
    {0, "outside", SWITCH, NULL, "request.outside", OUTSIDE_HELP},
    {0, "image-data", TEXT, "FILE", "request.image_data", "Visual Genome's image_data.json: where each picture is"},
    {0, "shr", TEXT, "DIR", "request.shr", "SHR's folder: val_images_final.json"},
    {0, "val-images", TEXT, "FILE", "request.val_images", "instead of the folder's; may name each 'image' itself"},
    {'o', "output", TEXT, "FILE", "request.output", "descriptions, appended as they come; a second run makes what is missing"},
    {'Q', "question", TEXT, "TEXT", "request.question", "what to ask (Describe this image in detail.)"},
    {'n', "max-new-tokens", INTEGER, "N", "request.max_new_tokens", "default: as HA-DPO's script for the family"},
    {'b', "beams", INTEGER, "N", "request.num_beams", "default: as HA-DPO's script for the family (5)"},
    {0, "batch", INTEGER, "N", "request.batch", "pictures at a time"},
    {0, "mix", SWITCH, NULL, "request.mix", "continue a file of another model, other settings or another tool"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};

static int describe(invocation *call)
{
    if (call->n_files > 0) return usage_error(&shr_describe_command, "unexpected argument %s", call->files[0]);
    session session = {NULL, NULL};
    int outcome = open_model(&session, call);
    if (outcome == DONE) {
        const char *config = json_text(call->request);
        hadpo_bytes *text = NULL;
        hadpo_error *error = NULL;
        events_label("describing");
        hadpo_status status = hadpo_shr_describe(session.model, config, strlen(config), &text, &error);
        outcome = finish_files(call, "describing", status, text, error, show_described);
    }
    close_session(&session);
    return outcome;
}

static const flag_group describe_groups[] = {{"The model", model_flags},
                                             {"The pictures", describe_flags},
                                             {"The engine", engine_flags},
                                             {"Input and output", output_flags},
                                             {NULL, NULL}};

const command shr_describe_command = {
    "shr describe", "hadpo.shr-describe/1", "a model's descriptions of SHR's pictures", "-m DIR -i VG --image-data FILE --shr DIR -o FILE [flags]",
    "One description a picture, decoded as HA-DPO's scripts decode for the model's family. A killed run goes on where it was.\n"
    "\n"
    "example\n"
    "  hadpo shr describe -m llava-1.5-7b-hf -i VG --image-data VG/image_data.json --shr shr -o descriptions.jsonl\n",
    describe_groups, describe};

/* ---- shr requests ------------------------------------------------------------------------------------------------ */

static void show_requests(json *report)
{
    say("%.0f requests to %s in %s (sha256 %.12s)\n", number_at(report, "requests", 0), text_at(report, "judge", "?"),
           text_at(report, "output", "?"), text_at(report, "sha256", "?"));
    say("%.0f images:\n", number_at(report, "images", 0));
    print_outcomes(path_get(report, "outcomes"));
}

static const flag request_flags[] = {
    {'o', "output", TEXT, "FILE", "request.output", "the requests: OpenAI batch input, one a line"},
    {0, "judge-model", TEXT, "NAME", "request.judge.model", "gpt-4, as upstream"},
    {0, "temperature", NUMBER, "X", "request.judge.temperature", "0.7, as upstream"},
    {0, "max-tokens", INTEGER, "N", "request.judge.max_tokens", "of the reply (800)"},
    {0, "runs", INTEGER, "N", "request.runs", "how often each description is judged (1)"},
    {0, "longest-prompt", INTEGER, "N", "request.longest_prompt", "leave out longer prompts (upstream's LLaVA script: 15000)"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};

static int requests(invocation *call)
{
    if (call->n_files > 0) return usage_error(&shr_requests_command, "unexpected argument %s", call->files[0]);
    const char *config = json_text(call->request);
    hadpo_bytes *text = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_shr_requests(config, strlen(config), &text, &error);
    return finish_files(call, "writing requests", status, text, error, show_requests);
}

static const flag_group request_groups[] = {{"The descriptions", file_flags},
                                            {"The requests", request_flags},
                                            {"Input and output", output_flags},
                                            {NULL, NULL}};

const command shr_requests_command = {
    "shr requests", "hadpo.shr-requests/1", "what a judge is asked about descriptions", "-A FILE --vg DIR --shr DIR -o FILE [flags]",
    "Writes HA-DPO's prompt, byte for byte, for every described image. Send the file to any OpenAI-compatible server with\n"
    "`hadpo judge`, or as a batch. Images that cannot be asked about are listed by name.\n"
    "\n"
    "example\n"
    "  hadpo shr requests -A descriptions.json --vg VG --shr shr -o requests.jsonl\n"
    "  hadpo judge requests.jsonl -o replies.jsonl\n"
    "  hadpo shr -A descriptions.json --shr shr --requests requests.jsonl --replies replies.jsonl -o scored\n",
    request_groups, requests};

/* ---- shr: the score ---------------------------------------------------------------------------------------------- */

static void ratio_row(const char *name, json *from, const char *key, json *interval)
{
    say("%-34s", name);
    print_interval(number_at(from, key, NAN), interval, 100);
    say("\n");
}

static void length_table(const char *title, json *rows, const char *key)
{
    size_t count = length_of(rows);
    if (count == 0) return;
    say("\n%-34s%21s%14s%14s\n", title, "hallucinated, %", "sentences", "descriptions");
    for (size_t i = 0; i < count; i++) {
        json *row = json_object_array_get_idx(rows, i);
        double value = number_at(row, "hal_sents_ratio", NAN);
        say("%-34.0f", number_at(row, key, 0));
        if (isnan(value))
            say("%21s", "-");
        else
            say("%21.2f", value * 100);
        say("%14.0f%14.0f\n", number_at(row, "judged", 0), number_at(row, "descriptions", 0));
    }
}

static void comparison_row(const char *name, json *row)
{
    say("%-34s", name);
    print_interval(number_at(row, "run", NAN), NULL, 100);
    print_interval(number_at(row, "baseline", NAN), NULL, 100);
    print_interval(number_at(row, "difference", NAN), path_get(row, "bootstrap_95"), 100);
    say("\n");
}

static void print_notes(json *notes)
{
    for (size_t i = 0; i < length_of(notes); i++) say("note: %s\n", json_object_get_string(json_object_array_get_idx(notes, i)));
}

static void show_score(json *report)
{
    bool annotations = strcmp(text_at(report, "judge.kind", ""), "annotations") == 0;
    if (annotations)
        say("judge: annotations, no model: %s\n", text_at(report, "judge.rule", ""));
    else
        say("judge: %s\n", json_text(path_get(report, "judge.models")));
    print_notes(path_get(report, "judge.notes"));
    say("\n");
    print_origin("described by", path_get(report, "origin"));
    json *corrected = path_get(report, "corrected");
    char coverage[40] = "";
    coverage_text(report, coverage, sizeof coverage);
    say("%-34s%21s\n", "SHR, % [95 %]", "");
    say("%-34s%21s\n", "scored of asked", coverage);
    json *sentences = path_get(corrected, "sentences");
    double total = number_at(sentences, "total", 0);
    char read[40] = "";
    snprintf(read, sizeof read, "%.0f of %.0f", total - number_at(sentences, "unrecognised", 0) - number_at(sentences, "unjudged", 0), total);
    say("%-34s%21s\n", "sentences with a verdict", read);
    ratio_row("hallucinated sentences", corrected, "hal_sents_ratio", path_get(corrected, "bootstrap_95.hal_sents_ratio"));
    ratio_row("hallucinated words", corrected, "hal_words_ratio", path_get(corrected, "bootstrap_95.hal_words_ratio"));
    ratio_row("as upstream computes it", report, "upstream.mean_hal_ratio", NULL);
    json *bounds = path_get(corrected, "hal_sents_ratio_bounds");
    if (length_of(bounds) == 2)
        say("%-34s%21.2f to %.2f\n", "over all sentences, between", json_object_get_double(json_object_array_get_idx(bounds, 0)) * 100,
               json_object_get_double(json_object_array_get_idx(bounds, 1)) * 100);
    say("%-34s%21.2f\n", "sentences a description", number_at(corrected, "sents_per_image", NAN));
    say("%-34s%21.2f\n", "words a description", number_at(corrected, "words_per_image", NAN));
    say("\nsentences\n");
    print_outcomes(path_get(corrected, "sentences"));
    say("\n%.0f images\n", number_at(report, "images", 0));
    print_outcomes(path_get(report, "outcomes"));
    length_table("first sentences of each", path_get(report, "length_matched.first_sentences"), "sentences_each");
    length_table("within the first words", path_get(report, "length_matched.first_words"), "words");
    json *comparison = path_get(report, "comparison");
    if (comparison != NULL) {
        say("\n%-34s%21s%21s%21s\n", "against the baseline, %", "run", "baseline", "difference [95 %]");
        comparison_row("as they are", path_get(comparison, "plain"));
        comparison_row("same number of sentences", path_get(comparison, "same_number_of_sentences"));
        comparison_row("same number of words", path_get(comparison, "same_number_of_words"));
        print_notes(path_get(comparison, "notes"));
    }
    const char *output = text_at(report, "output", NULL);
    if (output != NULL) say("\n%s: judgement.json, metrics.json, sentences.jsonl, report.json\n", output);
}

static const flag score_flags[] = {
    {'R', "replies", TEXT, "FILE", "request.replies", "the judge's replies: OpenAI batch output, one a line"},
    {0, "requests", TEXT, "FILE", "request.requests", "the requests, to tell what was never asked and what is stale"},
    {'J', "judge", TEXT, "NAME", "request.judge", "replies (default), or annotations: no model, words against annotations"},
    {'s', "synonyms", TEXT, "FILE", "request.synonyms", "annotations: CHAIR's table; without it, the annotations' words"},
    {0, "objects", TEXT, "FILE", "request.objects", "annotations: {\"image id\": [\"object\", ...]} beside the regions"},
    {'B', "baseline", TEXT, "FILE", "request.baseline", "sentences.jsonl of another model's score, to compare with"},
    PARTIAL_FLAG,
    {'o', "output", TEXT, "DIR", "request.output", "judgement.json, metrics.json, sentences.jsonl, report.json"},
    {0, "resamples", INTEGER, "N", "request.resamples", "of the bootstrap over images (10000; 0: none)"},
    {0, "seed", INTEGER, "N", "request.seed", "of the bootstrap"},
    PAGE_FLAG,
    PICTURES_FLAGS,
    {0, NULL, SWITCH, NULL, NULL, NULL}};

/* --report: the scored folder, with the baseline when one was given. */
static int write_page(const invocation *call)
{
    json *config = page_config(call);
    if (config == NULL) return DONE;
    static const char *const keys[][2] = {
        {"output", "shr.scored"}, {"baseline", "shr.baseline"}, {"resamples", "resamples"}, {"seed", "seed"}};
    for (int i = 0; i < 4; i++) {
        json *value = path_get(call->request, keys[i][0]);
        if (value != NULL) path_set(config, keys[i][1], json_object_get(value));
    }
    return page_finish(call, config);
}

static int score(invocation *call)
{
    if (call->n_files > 0) return usage_error(&shr_command, "unexpected argument %s", call->files[0]);
    if (cli_text(call, "report") != NULL && path_get(call->request, "output") == NULL)
        return usage_error(&shr_command, "--report needs -o DIR too: every figure leads back to a sentence in its files");
    const char *config = json_text(call->request);
    hadpo_bytes *text = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_shr_score(config, strlen(config), &text, &error);
    int outcome = finish_files(call, "scoring descriptions", status, text, error, show_score);
    return outcome == DONE ? write_page(call) : outcome;
}

static const flag_group score_groups[] = {
    {"The descriptions", file_flags}, {"The verdicts", score_flags}, {"Input and output", output_flags}, {NULL, NULL}};

const command shr_command = {
    "shr", "hadpo.shr-score/1", "hallucinated sentences of descriptions, as a judge sees them",
    "-A FILE (--replies FILE | --judge annotations --vg DIR) [-o DIR] [flags]",
    "SHR is the part of a description's sentences that a judge calls hallucinations. Short descriptions have fewer, so the\n"
    "ratio also stands at equal length. No model is loaded: the descriptions may be of any model.\n"
    "`hadpo shr describe` has one of your models describe, `hadpo shr requests` writes what a judge is asked, `hadpo shr agree`\n"
    "compares two judges.\n"
    "\n"
    "examples\n"
    "  hadpo shr -A descriptions.json --replies replies.jsonl --requests requests.jsonl --shr shr -o scored\n"
    "  hadpo shr -A descriptions.json --judge annotations --vg VG -s synonyms.txt\n"
    "  hadpo shr -A after.json --replies after.jsonl -B before/sentences.jsonl -o after --report report.html\n",
    score_groups, score};

/* ---- shr agree --------------------------------------------------------------------------------------------------- */

static void show_agreement(json *report)
{
    json *confusion = path_get(report, "confusion");
    if (confusion == NULL) return;
    say("%-16s", "A \\ B");
    json_object_object_foreach(confusion, column, unused)
    {
        (void)unused;
        say("%15s", column);
    }
    say("\n");
    json_object_object_foreach(confusion, row, cells)
    {
        say("%-16s", row);
        json_object_object_foreach(cells, name, cell)
        {
            (void)name;
            say("%15d", json_object_get_int(cell));
        }
        say("\n");
    }
    char coverage[40] = "";
    coverage_text(report, coverage, sizeof coverage);
    say("\n%-21s %s sentences\n", "scored of asked", coverage);
    static const char *const keys[] = {"three_classes", "hallucination_or_not"};
    static const char *const names[] = {"three classes", "hallucination or not"};
    for (int i = 0; i < 2; i++) {
        json *values = path_get(report, keys[i]);
        say("%-21s agree on %.0f of %.0f sentences", names[i], number_at(values, "agree", 0),
               number_at(values, "n", 0));
        double kappa = number_at(values, "kappa", NAN);
        say(isnan(kappa) ? ", no kappa\n" : ", kappa %.3f\n", kappa);
    }
    print_outcomes(path_get(report, "outcomes"));
}

static int agree(invocation *call)
{
    if (call->n_files != 2) return usage_error(&shr_agree_command, "expected two verdict files");
    json_object_object_add(call->request, "a", json_object_new_string(call->files[0]));
    json_object_object_add(call->request, "b", json_object_new_string(call->files[1]));
    const char *config = json_text(call->request);
    hadpo_bytes *text = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_shr_agree(config, strlen(config), &text, &error);
    return finish_files(call, "comparing verdicts", status, text, error, show_agreement);
}

static const flag agree_flags[] = {PARTIAL_FLAG, {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag_group agree_groups[] = {{"The verdicts", agree_flags}, {"Input and output", output_flags}, {NULL, NULL}};

const command shr_agree_command = {
    "shr agree", "hadpo.shr-agree/1", "how far two judges agree", "A B [flags]",
    "A and B are sentences.jsonl of two scores, or upstream's judgement.json, on the same descriptions.\n"
    "\n"
    "example\n"
    "  hadpo shr agree annotations/sentences.jsonl gpt-4/sentences.jsonl\n",
    agree_groups, agree};
