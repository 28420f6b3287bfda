/* evaluate.c - pope: does the model see what it says it sees? */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const flag pope_flags[] = {
    {'q', "questions", LIST, "FILE", "cli.questions", "POPE question file (JSON Lines); may be repeated, with an -o for each"},
    {'i', "images", TEXT, "DIR", "request.images", "folder its pictures are in"},
    {0, "outside", SWITCH, NULL, "request.outside", OUTSIDE_HELP},
    {'o', "answers", LIST, "FILE", "cli.answers", "answers, appended as they come; a second run asks what is missing"},
    {0, "protocol", TEXT, "NAME", "request.protocol",
     "whose published decoding: hadpo-llava, hadpo-minigpt4, hadpo-instructblip"},
    {0, "template", TEXT, "NAME", "request.template", "hadpo-train, hadpo-eval or hf"},
    {'n', "max-new-tokens", INTEGER, "N", "request.max_new_tokens", "at most this many tokens an answer"},
    {'b', "beams", INTEGER, "N", "request.num_beams", "beam search (1: greedy)"},
    {0, "batch", INTEGER, "N", "request.batch", "questions at a time"},
    {0, "scores", SWITCH, NULL, "request.scores", "also log p(yes) - log p(no), for the ROC area"},
    {0, "mix", SWITCH, NULL, "request.mix", "continue a file of another model, other settings or another tool"},
    {0, "score", TEXT, "FILE", "cli.score", "no model: score this answers file against --questions"},
    PAGE_FLAG,
    {0, NULL, SWITCH, NULL, NULL, NULL}};

/* -q and -o into the config: the first file, and those that are asked further. */
static int gather_questions(invocation *call)
{
    json *questions = path_get(call->cli, "questions"), *answers = path_get(call->cli, "answers");
    size_t count = length_of(questions);
    if (length_of(answers) > 0 && count > 0 && length_of(answers) != count)
        return usage_error(&pope_command, "%zu question files and %zu answers files", count, length_of(answers));
    if (length_of(answers) > 1 && count == 0) return usage_error(&pope_command, "an -o too many: one -q, one -o");
    json *further = json_object_new_array();
    for (size_t i = 0; i < count || i < length_of(answers); i++) {
        json *into = i == 0 ? call->request : json_object_new_object();
        if (i < count) json_object_object_add(into, "questions", json_object_get(json_object_array_get_idx(questions, i)));
        if (i < length_of(answers))
            json_object_object_add(into, "answers", json_object_get(json_object_array_get_idx(answers, i)));
        if (i > 0) json_object_array_add(further, into);
    }
    if (count > 1)
        json_object_object_add(call->request, "further", further);
    else
        json_object_put(further);
    return DONE;
}

static void show(const invocation *call, json *report)
{
    if (cli_switch(call, "json")) {
        print_json(report);
        return;
    }
    print_pope_table_head();
    json *splits = path_get(report, "splits");
    for (size_t i = 0; i < length_of(splits); i++) {
        json *split = json_object_array_get_idx(splits, i);
        const char *path = text_at(split, "questions_path", "?"), *slash = strrchr(path, '/');
        char name[14];
        snprintf(name, sizeof name, "%.13s", strncmp(slash != NULL ? slash + 1 : path, "coco_pope_", 10) == 0
                                                 ? (slash != NULL ? slash + 1 : path) + 10
                                                 : (slash != NULL ? slash + 1 : path));
        name[strcspn(name, ".")] = 0;
        print_pope_table_row(name, "", split);
    }
    if (splits != NULL) {
        say("\nasked %.0f, found in the answers files %.0f\n", number_at(report, "asked", 0), number_at(report, "resumed", 0));
        return;
    }
    print_pope_table_row("", "", report);
    say("\nquestions %.0f  TP %.0f  FP %.0f  TN %.0f  FN %.0f\n", number_at(report, "questions", 0),
           number_at(report, "tp", 0), number_at(report, "fp", 0), number_at(report, "tn", 0), number_at(report, "fn", 0));
}

/* --report: the answers that were just written, scored again with intervals. */
static int write_page(const invocation *call, const char *scored)
{
    json *config = page_config(call);
    if (config == NULL) return DONE;
    json *request = call->request, *further = path_get(request, "further");
    json *answers = scored != NULL ? json_object_new_string(scored) : json_object_get(path_get(request, "answers"));
    page_add_split(config, path_get(request, "questions"), answers);
    json_object_put(answers);
    for (size_t i = 0; i < length_of(further); i++) {
        json *split = json_object_array_get_idx(further, i);
        page_add_split(config, path_get(split, "questions"), path_get(split, "answers"));
    }
    json *images = path_get(request, "images");
    if (images != NULL) {
        json *folders = json_object_new_array();
        json_object_array_add(folders, json_object_get(images));
        json_object_object_add(config, "pictures", folders);
    }
    return page_finish(call, config);
}

/* --score asks no model: what says how to ask has no part in it. */
static int check_score(const invocation *call)
{
    json_object_object_foreach(call->request, key, value)
    {
        (void)value;
        bool is_of_page = strcmp(key, "images") == 0 || strcmp(key, "outside") == 0;
        if (is_of_page && cli_text(call, "report") != NULL) continue;
        if (strcmp(key, "schema") != 0 && strcmp(key, "questions") != 0)
            return usage_error(&pope_command, "--score asks no model: %s has no part in it",
                               strcmp(key, "further") == 0 ? "a second -q" : key);
    }
    if (json_object_object_length(call->model) > 1)
        return usage_error(&pope_command, "--score asks no model: --model and its flags have no part in it");
    return DONE;
}

static int score_answers(const invocation *call, const char *answers_path)
{
    int allowed = check_score(call);
    if (allowed != DONE) return allowed;
    const char *questions_path = text_at(call->request, "questions", NULL);
    if (questions_path == NULL) return usage_error(&pope_command, "--score needs --questions FILE too");
    size_t questions_size, answers_size;
    char *questions = read_file(questions_path, &questions_size);
    if (questions == NULL) return fail_file("cannot read the questions", questions_path);
    char *answers = read_file(answers_path, &answers_size);
    int outcome = answers == NULL ? fail_file("cannot read the answers", answers_path) : DONE;
    if (outcome == DONE) {
        hadpo_bytes *text = NULL;
        hadpo_error *error = NULL;
        hadpo_status status = hadpo_pope_score(questions, questions_size, answers, answers_size, &text, &error);
        outcome = status == HADPO_OK ? DONE : fail("scoring", status, error);
        json *report = json_of_bytes(text);
        if (outcome == DONE) show(call, report);
        if (outcome == DONE) outcome = write_page(call, answers_path);
        json_object_put(report);
        hadpo_bytes_free(text);
    }
    free(questions);
    free(answers);
    return outcome;
}

/* MiniGPT-4's published numbers were made with 4-bit weights: who names the protocol gets them, unless --weights says otherwise. */
static void choose_weights(invocation *call)
{
    if (strcmp(text_at(call->request, "protocol", ""), "hadpo-minigpt4") != 0 || path_get(call->model, "weights") != NULL) return;
    path_set(call->model, "weights", json_object_new_string("bnb-fp4"));
    if (!cli_switch(call, "quiet"))
        complain("hadpo: hadpo-minigpt4 takes the weights as bnb-fp4 (--weights stored: as they are)\n");
}

static int pope(invocation *call)
{
    if (call->n_files > 0) return usage_error(&pope_command, "unexpected argument %s", call->files[0]);
    int gathered = gather_questions(call);
    if (gathered != DONE) return gathered;
    const char *answers = cli_text(call, "score");
    if (answers != NULL) return score_answers(call, answers);
    if (cli_text(call, "report") != NULL && path_get(call->request, "answers") == NULL)
        return usage_error(&pope_command, "--report needs -o FILE too: every figure leads back to an answer in a file");
    choose_weights(call);
    session session = {NULL, NULL};
    int outcome = open_model(&session, call);
    if (outcome == DONE) {
        const char *config = json_text(call->request);
        hadpo_bytes *text = NULL;
        hadpo_error *error = NULL;
        events_label("asking");
        hadpo_status status = hadpo_pope_run(session.model, config, strlen(config), &text, &error);
        events_clear();
        outcome = status == HADPO_OK ? DONE : fail("asking", status, error);
        json *report = json_of_bytes(text);
        if (outcome == DONE) show(call, report);
        if (outcome == DONE) outcome = write_page(call, NULL);
        json_object_put(report);
        hadpo_bytes_free(text);
    }
    close_session(&session);
    return outcome;
}

static const flag_group pope_groups[] = {{"The model", model_flags},   {"The questions", pope_flags},
                                         {"The engine", engine_flags}, {"Input and output", output_flags},
                                         {NULL, NULL}};

const command pope_command = {
    "pope", "hadpo.pope/1", "how much a model invents: the POPE test", "-m DIR -q FILE -i DIR [-o FILE] [flags]",
    "POPE asks of every picture about objects that are there and objects that are not. A model that says yes too often\n"
    "has a high yes ratio and a low precision. Each picture is encoded once for all its questions.\n"
    "\n"
    "examples\n"
    "  hadpo pope -m llava-1.5-7b-hf -q coco_pope_adversarial.json -i val2014 -o answers.jsonl --scores\n"
    "  hadpo pope -m llava-1.5-7b-hf -i val2014 -q random.json -o r.jsonl -q popular.json -o p.jsonl\n"
    "  hadpo pope -m llava-1.5-7b-hf -i val2014 -q random.json -o r.jsonl --report report.html\n"
    "  hadpo pope -m Llama-2-7b-chat-hf --vision-tower eva_vit_g.pth --checkpoint pretrained_minigpt4_llama2_7b.pth \\\n"
    "      -q coco_pope_adversarial.json -i val2014 --protocol hadpo-minigpt4\n"
    "  hadpo pope -q coco_pope_adversarial.json --score answers-of-any-model.jsonl\n",
    pope_groups, pope};
