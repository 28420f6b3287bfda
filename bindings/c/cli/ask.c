/* ask.c - describe, score, inspect: one model, pictures, a question. */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- describe ---------------------------------------------------------------------------------------------------- */

static int describe_one(session *session, const invocation *call, const char *path)
{
    bool as_json = cli_switch(call, "json");
    hadpo_image *image = NULL;
    if (path != NULL) {
        int outcome = decode_image(path, &image);
        if (outcome != DONE) return outcome;
    }
    const char *request = json_text(call->request);
    hadpo_bytes *answer = NULL;
    hadpo_error *error = NULL;
    if (call->n_files > 1 && !as_json) say("%s\n", path);
    events_label("describing");
    events_stream_text(!as_json);
    hadpo_status status =
        hadpo_model_generate(session->model, request, strlen(request), image, &answer, &error);
    hadpo_image_free(image);
    bool streamed = events_streamed();
    events_clear();
    if (status != HADPO_OK) {
        if (streamed) say("\n");
        return fail(path != NULL ? path : "answering", status, error);
    }
    json *record = json_of_bytes(answer);
    hadpo_bytes_free(answer);
    if (as_json) {
        if (path != NULL) json_object_object_add(record, "image", json_object_new_string(path));
        print_json(record);
    } else {
        {
            if (!streamed) say_lines(text_at(record, "text", ""));
            say("\n");
        }
        if (call->n_files > 1) say("\n");
    }
    json_object_put(record);
    return DONE;
}

static int describe(invocation *call)
{
    if (path_get(call->request, "question") == NULL && path_get(call->request, "prompt") == NULL)
        path_set(call->request, "question", json_object_new_string("Describe this image in detail."));
    session session = {NULL, NULL};
    int outcome = open_model(&session, call);
    if (outcome == DONE && !cli_switch(call, "json") && path_get(call->request, "stream") == NULL)
        path_set(call->request, "stream", json_object_new_boolean(1));
    if (outcome == DONE && call->n_files == 0) outcome = describe_one(&session, call, NULL);
    for (int i = 0; outcome == DONE && i < call->n_files; i++) outcome = describe_one(&session, call, call->files[i]);
    close_session(&session);
    return outcome;
}

static const flag_group describe_groups[] = {{"The model", model_flags},   {"The question", generate_flags},
                                             {"The engine", engine_flags}, {"Input and output", output_flags},
                                             {NULL, NULL}};

const command describe_command = {
    "describe", "hadpo.generate/1", "ask about pictures and print the answers", "-m DIR PICTURE... [flags]",
    "Pictures are PNG or JPEG. The answer appears as it is made; with --json each picture gives one line with text,\n"
    "token ids and why it ended.\n"
    "\n"
    "examples\n"
    "  hadpo describe -m llava-1.5-7b-hf kitchen.jpg\n"
    "  hadpo describe -m llava-1.5-7b-hf -a my-adapter kitchen.jpg -Q 'Is there a dog in the image?'\n"
    "  hadpo describe -m llava-1.5-7b-hf *.jpg --beams 5 --json > answers.jsonl\n",
    describe_groups, describe};

/* ---- score ------------------------------------------------------------------------------------------------------- */

/* JSON has no word for what is beyond a number. */
static json *finite_number(double value) { return isfinite(value) ? json_object_new_double(value) : NULL; }

static int score_image(session *session, const invocation *call, const hadpo_image *image, json **result)
{
    const char *request = json_text(call->request);
    hadpo_error *error = NULL;
    size_t count = 0;
    hadpo_status status =
        hadpo_model_score(session->model, request, strlen(request), image, NULL, 0, &count, &error);
    float *logps = status == HADPO_OK ? calloc(count + 1, sizeof *logps) : NULL;
    if (status == HADPO_OK && logps == NULL) status = HADPO_E_NO_MEMORY;
    if (status == HADPO_OK)
        status = hadpo_model_score(session->model, request, strlen(request), image, logps, count, &count, &error);
    if (status != HADPO_OK) {
        free(logps);
        return fail("scoring", status, error);
    }
    json *list = json_object_new_array();
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        json_object_array_add(list, json_object_new_double(logps[i]));
        sum += logps[i];
    }
    free(logps);
    *result = json_object_new_object();
    json_object_object_add(*result, "tokens", json_object_new_int64((int64_t)count));
    json_object_object_add(*result, "logprob", json_object_new_double(sum));
    json_object_object_add(*result, "mean", json_object_new_double(count > 0 ? sum / (double)count : 0));
    json_object_object_add(*result, "perplexity", finite_number(count > 0 ? exp(-sum / (double)count) : 1));
    json_object_object_add(*result, "logps", list);
    return DONE;
}

/* Whose number it is, into the result. */
static int add_identity(session *session, json *result)
{
    hadpo_bytes *text = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_model_describe(session->model, &text, &error);
    if (status != HADPO_OK) return fail("describing the model", status, error);
    json *description = json_of_bytes(text);
    json_object_object_add(result, "identity", json_object_get(path_get(description, "identity")));
    json_object_put(description);
    hadpo_bytes_free(text);
    return DONE;
}

static int score(invocation *call)
{
    if (call->n_files > 1) return usage_error(&score_command, "one picture at a time");
    session session = {NULL, NULL};
    hadpo_image *image = NULL;
    json *result = NULL;
    int outcome = open_model(&session, call);
    events_label("scoring");
    if (outcome == DONE && call->n_files == 1) outcome = decode_image(call->files[0], &image);
    if (outcome == DONE) outcome = score_image(&session, call, image, &result);
    if (outcome == DONE && cli_switch(call, "json")) outcome = add_identity(&session, result);
    events_clear();
    if (outcome == DONE && cli_switch(call, "json")) print_json(result);
    if (outcome == DONE && !cli_switch(call, "json")) print_report(result);
    json_object_put(result);
    hadpo_image_free(image);
    close_session(&session);
    return outcome;
}

static const flag score_flags[] = {
    {'Q', "question", TEXT, "TEXT", "request.question", "the question, put into the template"},
    {0, "prompt", TEXT, "TEXT", "request.prompt", "instead: the whole prompt, with <image> where the picture goes"},
    {0, "template", TEXT, "NAME", "request.template", "hadpo-train, hadpo-eval or hf"},
    {'C', "completion", TEXT, "TEXT", "request.completion", "the answer whose probability is wanted"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag_group score_groups[] = {{"The model", model_flags},   {"The question and its answer", score_flags},
                                          {"The engine", engine_flags}, {"Input and output", output_flags},
                                          {NULL, NULL}};

const command score_command = {
    "score", "hadpo.score/1", "the log-probability of an answer", "-m DIR PICTURE -Q TEXT -C TEXT [flags]",
    "Natural logarithms, one for each token of the completion and one for the end token.\n"
    "\n"
    "example: does the model believe more in the dog or in the cat?\n"
    "  hadpo score -m llava-1.5-7b-hf a.jpg -Q 'What is on the sofa?' -C 'A dog.'\n"
    "  hadpo score -m llava-1.5-7b-hf a.jpg -Q 'What is on the sofa?' -C 'A cat.'\n",
    score_groups, score};

/* ---- inspect ----------------------------------------------------------------------------------------------------- */

static int print_model(session *session, const invocation *call)
{
    hadpo_bytes *text = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_model_describe(session->model, &text, &error);
    if (status != HADPO_OK) return fail("inspecting the model", status, error);
    json *record = json_of_bytes(text);
    hadpo_bytes_free(text);
    if (cli_switch(call, "json"))
        print_json(record);
    else
        print_report(record);
    json_object_put(record);
    return DONE;
}

static int inspect(invocation *call)
{
    const char *output = cli_text(call, "output");
    if (output == NULL && call->n_files > 0) return usage_error(&inspect_command, "a picture is given, but no -o FILE");
    if (call->n_files > 1) return usage_error(&inspect_command, "one picture at a time");
    if (output == NULL && json_object_object_length(call->request) > 1)
        return usage_error(&inspect_command, "a question or another key of the computation is given, but no -o FILE");
    session session = {NULL, NULL};
    hadpo_image *image = NULL;
    int outcome = open_model(&session, call);
    if (outcome == DONE && output == NULL) outcome = print_model(&session, call);
    if (outcome == DONE && output != NULL) {
        if (call->n_files == 1) outcome = decode_image(call->files[0], &image);
        if (outcome == DONE) {
            const char *request = json_text(call->request);
            hadpo_error *error = NULL;
            events_label("inspecting");
            hadpo_status status =
                hadpo_model_inspect(session.model, request, strlen(request), image, output, &error);
            events_clear();
            outcome = status == HADPO_OK ? DONE : fail("inspecting", status, error);
        }
    }
    hadpo_image_free(image);
    close_session(&session);
    return outcome;
}

static const flag inspect_flags[] = {
    {'Q', "question", TEXT, "TEXT", "request.question", "the question, put into the template"},
    {0, "prompt", TEXT, "TEXT", "request.prompt", "instead: the whole prompt, with <image> where the picture goes"},
    {0, "template", TEXT, "NAME", "request.template", "hadpo-train, hadpo-eval or hf"},
    {'C', "completion", TEXT, "TEXT", "request.completion", "an answer, to see its log-probabilities too"},
    {'o', "output", TEXT, "FILE", "cli.output", "the safetensors file to write"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag_group inspect_groups[] = {{"The model", model_flags},   {"What to compute", inspect_flags},
                                            {"The engine", engine_flags}, {"Input and output", output_flags},
                                            {NULL, NULL}};

const command inspect_command = {
    "inspect", "hadpo.inspect/1", "what was understood of a folder; every number a model computes",
    "-m DIR [PICTURE -o FILE] [flags]",
    "Without a picture: family, sizes, layout, dtypes, tokenizer and image pipeline of the folder.\n"
    "With a picture and -o: one safetensors file holding pixel_values, prompt_ids, every vision and decoder block, the\n"
    "projected features, logits and log-probabilities, to be compared with any other implementation.\n"
    "\n"
    "examples\n"
    "  hadpo inspect -m llava-1.5-7b-hf\n"
    "  hadpo inspect -m llava-1.5-7b-hf a.png -Q 'Is there a dog in the image?' -o blocks.safetensors --numerics exact\n",
    inspect_groups, inspect};
