/* bench.c - how fast a folder runs here: loading, the prompt, decoding, scoring, training steps, and the memory of each. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 64, PICTURE_WIDTH = 640, PICTURE_HEIGHT = 480 };

typedef struct {
    session session;
    const invocation *call;
    hadpo_image *image; /* NULL: text alone */
    char *question;
    int positions; /* of the prompt, the picture's rows included */
    int repeat, tokens, beams;
} bench;

/* Highest resident memory of this process so far; 0 where the kernel does not say. */
static int64_t peak_bytes(void)
{
    size_t size;
    char *status = read_file("/proc/self/status", &size);
    const char *line = status == NULL ? NULL : strstr(status, "VmHWM:");
    int64_t bytes = line == NULL ? 0 : (int64_t)strtoll(line + 6, NULL, 10) * 1024;
    free(status);
    return bytes;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, int count)
{
    double sorted[MOST_RUNS];
    memcpy(sorted, values, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, ascending);
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

/* One row: `amount` units took the median of `seconds`. */
static void row(const bench *b, const char *what, const char *size, double amount, const char *unit, const double *seconds, int count)
{
    double middle = median(seconds, count);
    int64_t memory = peak_bytes();
    events_clear();
    if (!cli_switch(b->call, "json")) {
        char rate[40] = "";
        if (amount > 0 && middle > 0) snprintf(rate, sizeof rate, "%.2f %s/s", amount / middle, unit);
        say("%-26s %-28s %11.3f s %22s %9.2f GiB\n", what, size, middle, rate, (double)memory / 1073741824.0);
        fflush(stdout);
        return;
    }
    json *record = json_object_new_object(), *runs = json_object_new_array();
    json_object_object_add(record, "bench", json_object_new_string(what));
    json_object_object_add(record, "size", json_object_new_string(size));
    json_object_object_add(record, "seconds", json_object_new_double(middle));
    if (amount > 0 && middle > 0) {
        json_object_object_add(record, "amount", json_object_new_double(amount));
        json_object_object_add(record, "unit", json_object_new_string(unit));
        json_object_object_add(record, "per_second", json_object_new_double(amount / middle));
    }
    for (int i = 0; i < count; i++) json_object_array_add(runs, json_object_new_double(seconds[i]));
    json_object_object_add(record, "runs", runs);
    json_object_object_add(record, "peak_bytes", json_object_new_int64(memory));
    print_json(record);
    fflush(stdout);
    json_object_put(record);
}

/* A picture with edges and gradients where none is given: 640 x 480, as many photographs are. */
static int drawn_picture(hadpo_image **image)
{
    uint8_t *pixels = malloc((size_t)PICTURE_WIDTH * PICTURE_HEIGHT * 3);
    if (pixels == NULL) return fail("drawing a picture", HADPO_E_NO_MEMORY, NULL);
    for (int y = 0; y < PICTURE_HEIGHT; y++)
        for (int x = 0; x < PICTURE_WIDTH; x++) {
            uint8_t *p = pixels + 3 * ((size_t)y * PICTURE_WIDTH + (size_t)x);
            int disc = (x - 400) * (x - 400) + (y - 240) * (y - 240) < 120 * 120;
            p[0] = (uint8_t)(disc ? 220 : x * 255 / PICTURE_WIDTH);
            p[1] = (uint8_t)(disc ? 60 : y * 255 / PICTURE_HEIGHT);
            p[2] = (uint8_t)((x / 16 + y / 16) % 2 * 90 + 60);
        }
    hadpo_error *error = NULL;
    hadpo_status status =
        hadpo_image_from_rgb8(pixels, PICTURE_WIDTH, PICTURE_HEIGHT, (size_t)PICTURE_WIDTH * 3, image, &error);
    free(pixels);
    return status == HADPO_OK ? DONE : fail("drawing a picture", status, error);
}

/* ---- generating --------------------------------------------------------------------------------------------------- */

/* A template asks about a picture; the whole prompt needs none. */
static const char *asked_as(const bench *b) { return b->image == NULL ? "prompt" : "question"; }

/* An answer of exactly `tokens` tokens; its record in *answer. */
static int generate(const bench *b, int tokens, int beams, json **answer)
{
    json *request = json_object_new_object();
    json_object_object_add(request, "schema", json_object_new_string("hadpo.generate/1"));
    json_object_object_add(request, asked_as(b), json_object_new_string(b->question));
    json_object_object_add(request, "max_new_tokens", json_object_new_int(tokens));
    json_object_object_add(request, "min_new_tokens", json_object_new_int(tokens));
    json_object_object_add(request, "num_beams", json_object_new_int(beams));
    const char *text = json_text(request);
    hadpo_bytes *bytes = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_model_generate(b->session.model, text, strlen(text), b->image, &bytes, &error);
    json_object_put(request);
    if (status != HADPO_OK) return fail("generating", status, error);
    *answer = json_of_bytes(bytes);
    hadpo_bytes_free(bytes);
    return DONE;
}

/* A pass that is not counted; how many positions it had. */
static int uncounted(bench *b)
{
    json *answer = NULL;
    int outcome = generate(b, 1, 1, &answer);
    if (outcome != DONE) return outcome;
    b->positions = (int)number_at(answer, "prompt_tokens", 0);
    json_object_put(answer);
    return DONE;
}

/* Then the question is lengthened to the positions that were asked for, a word a token, and passes once more: the memory of a length is
 * touched when it is first met. */
static int warm_up(bench *b)
{
    int wanted = (int)number_at(b->call->cli, "prompt_tokens", 0);
    int outcome = uncounted(b);
    if (outcome != DONE) return outcome;
    if (wanted == 0 || wanted == b->positions) return DONE;
    if (wanted < b->positions)
        return usage_error(&bench_command, "--prompt-tokens %d: the prompt is %d already", wanted, b->positions);
    static const char word[] = " and";
    size_t length = strlen(b->question), more = (size_t)(wanted - b->positions) * (sizeof word - 1);
    char *longer = realloc(b->question, length + more + 1);
    if (longer == NULL) return fail("lengthening the question", HADPO_E_NO_MEMORY, NULL);
    for (size_t at = 0; at < more; at += sizeof word - 1) memcpy(longer + length + at, word, sizeof word);
    b->question = longer;
    return uncounted(b);
}

static int bench_generation(bench *b)
{
    double prefill[MOST_RUNS], decode[MOST_RUNS];
    char size[64];
    for (int i = 0; i < b->repeat; i++) {
        json *answer = NULL;
        events_label("decoding");
        int outcome = generate(b, b->tokens, 1, &answer);
        if (outcome != DONE) return outcome;
        b->positions = (int)number_at(answer, "prompt_tokens", 0);
        prefill[i] = number_at(answer, "prefill_seconds", 0);
        decode[i] = number_at(answer, "seconds", 0) - prefill[i];
        json_object_put(answer);
    }
    snprintf(size, sizeof size, "%d positions %s picture", b->positions, b->image == NULL ? "without" : "with");
    row(b, "prompt", size, b->positions, "tok", prefill, b->repeat);
    if (b->tokens > 1) {
        /* The first token comes from the prompt's own pass. */
        snprintf(size, sizeof size, "%d tokens", b->tokens - 1);
        row(b, "decode", size, b->tokens - 1, "tok", decode, b->repeat);
    }
    if (b->tokens < 2 || b->beams < 2) return DONE;
    for (int i = 0; i < b->repeat; i++) {
        json *answer = NULL;
        events_label("searching");
        int outcome = generate(b, b->tokens, b->beams, &answer);
        if (outcome != DONE) return outcome;
        decode[i] = number_at(answer, "seconds", 0) - number_at(answer, "prefill_seconds", 0);
        json_object_put(answer);
    }
    snprintf(size, sizeof size, "%d beams x %d tokens", b->beams, b->tokens - 1);
    row(b, "decode beams", size, (double)b->beams * (b->tokens - 1), "tok", decode, b->repeat);
    return DONE;
}

static int bench_score(bench *b)
{
    char *completion = malloc((size_t)b->tokens * 4 + 8);
    json *request = json_object_new_object();
    if (completion == NULL || request == NULL) return fail("scoring", HADPO_E_NO_MEMORY, NULL);
    strcpy(completion, "The");
    for (int i = 1; i < b->tokens; i++) strcat(completion, " and");
    json_object_object_add(request, "schema", json_object_new_string("hadpo.score/1"));
    json_object_object_add(request, asked_as(b), json_object_new_string(b->question));
    json_object_object_add(request, "completion", json_object_new_string(completion));
    free(completion);
    const char *text = json_text(request);
    hadpo_error *error = NULL;
    size_t count = 0;
    double seconds[MOST_RUNS];
    hadpo_status status = hadpo_model_score(b->session.model, text, strlen(text), b->image, NULL, 0, &count, &error);
    float *logps = status == HADPO_OK ? calloc(count + 1, sizeof *logps) : NULL;
    events_label("scoring");
    for (int i = 0; status == HADPO_OK && i < b->repeat; i++) {
        double start = seconds_now();
        status = hadpo_model_score(b->session.model, text, strlen(text), b->image, logps, count, &count, &error);
        seconds[i] = seconds_now() - start;
    }
    free(logps);
    json_object_put(request);
    if (status != HADPO_OK) return fail("scoring", status, error);
    char size[64];
    snprintf(size, sizeof size, "%d positions + %zu tokens", b->positions, count);
    row(b, "score an answer", size, 1, "answers", seconds, b->repeat);
    return DONE;
}

/* ---- training ----------------------------------------------------------------------------------------------------- */

static void unless_given(json *config, const char *key, json *value)
{
    if (path_get(config, key) == NULL)
        path_set(config, key, value);
    else
        json_object_put(value);
}

/* `count` steps, each timed. */
static int time_steps(hadpo_trainer *trainer, int count, double *seconds)
{
    for (int i = 0; i < count; i++) {
        hadpo_bytes *report = NULL;
        hadpo_error *error = NULL;
        double start = seconds_now();
        hadpo_status status = hadpo_trainer_run(trainer, 1, &report, &error);
        seconds[i] = seconds_now() - start;
        hadpo_bytes_free(report);
        if (status != HADPO_OK) return fail("training", status, error);
    }
    return DONE;
}

/* Two passes over the pairs: in the first the reference is computed, in the second it is known. */
static int bench_training(bench *b)
{
    json *config = b->call->request;
    unless_given(config, "batch", json_object_new_int(1));
    unless_given(config, "accumulation", json_object_new_int(1));
    unless_given(config, "epochs", json_object_new_int(2));
    const char *text = json_text(config);
    hadpo_trainer *trainer = NULL;
    hadpo_bytes *bytes = NULL;
    hadpo_error *error = NULL;
    events_label("reading data");
    hadpo_status status = hadpo_data_check(b->session.model, text, strlen(text), &bytes, &error);
    if (status != HADPO_OK) return fail("reading the pairs", status, error);
    json *check = json_of_bytes(bytes);
    hadpo_bytes_free(bytes);
    int longest = (int)number_at(check, "longest", 0), steps = (int)number_at(check, "steps", 0) / 2;
    json_object_put(check);
    if (steps < 2 || steps > MOST_RUNS)
        return usage_error(&bench_command, "--pairs: %d steps a pass, expected 2 to %d", steps, (int)MOST_RUNS);
    status = hadpo_trainer_open(b->session.model, text, strlen(text), &trainer, &error);
    if (status != HADPO_OK) return fail("preparing the training", status, error);
    double seconds[MOST_RUNS];
    char size[64];
    snprintf(size, sizeof size, "batch %d, longest %d", (int)number_at(config, "batch", 1), longest);
    events_label("training");
    int outcome = time_steps(trainer, steps, seconds);
    /* The first step allocates, and its adapter adds nothing yet. */
    if (outcome == DONE) row(b, "DPO step", size, 1, "steps", seconds + 1, steps - 1);
    if (outcome == DONE) outcome = time_steps(trainer, steps, seconds);
    if (outcome == DONE) row(b, "DPO step, reference known", size, 1, "steps", seconds, steps);
    hadpo_trainer_free(trainer);
    return outcome;
}

/* ---- the command ---------------------------------------------------------------------------------------------------- */

static void print_head(const bench *b)
{
    hadpo_bytes *bytes = NULL;
    if (hadpo_model_describe(b->session.model, &bytes, NULL) != HADPO_OK) return;
    json *model = json_of_bytes(bytes);
    hadpo_bytes_free(bytes);
    if (cli_switch(b->call, "json")) {
        json *head = json_object_new_object();
        static const char *const keys[] = {"family", "weights", "dtype", "weight_bytes", "text", "engine"};
        json_object_object_add(head, "bench", json_object_new_string("model"));
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            json_object_object_add(head, keys[i], json_object_get(path_get(model, keys[i])));
        print_json(head);
        json_object_put(head);
    } else {
        say("%s, %.2f GB of weights, %s as %s; %s, %s, %d threads\n\n%-26s %-28s %13s %22s %13s\n", text_at(model, "family", "?"),
               number_at(model, "weight_bytes", 0) / 1e9, text_at(model, "dtype", "?"), text_at(model, "weights", "?"),
               text_at(model, "engine.kernels", "?"), text_at(model, "engine.numerics", "?"),
               (int)number_at(model, "engine.threads", 0), "what", "size", "median", "rate", "peak memory");
    }
    json_object_put(model);
}

static int run_bench(invocation *call)
{
    if (call->n_files > 1) return usage_error(&bench_command, "one picture at a time");
    bool sees = !cli_switch(call, "no_picture");
    if (call->n_files == 1 && !sees) return usage_error(&bench_command, "--no-picture, and a picture: %s", call->files[0]);
    const char *question = cli_text(call, "question"), *only = cli_text(call, "only");
    bench b = {{NULL, NULL}, call, NULL, NULL, 0, (int)number_at(call->cli, "repeat", 3), (int)number_at(call->cli, "tokens", 32),
               (int)number_at(call->cli, "beams", 5)};
    if (b.repeat < 1 || b.repeat > MOST_RUNS) return usage_error(&bench_command, "--repeat: expected 1 to %d", (int)MOST_RUNS);
    if (b.tokens < 1 || b.tokens > 4096) return usage_error(&bench_command, "--new-tokens: expected 1 to 4096");
    if (b.beams < 0 || b.beams > 1024) return usage_error(&bench_command, "--beams: expected 0 to 1024");
    bool trains = path_get(call->request, "data.pairs") != NULL;
    bool generates = only == NULL || strcmp(only, "generate") == 0, scores = only == NULL || strcmp(only, "score") == 0;
    if (only != NULL && !generates && !scores && strcmp(only, "train") != 0)
        return usage_error(&bench_command, "--only %s: expected generate, score or train", only);
    if (only != NULL && strcmp(only, "train") == 0 && !trains)
        return usage_error(&bench_command, "--only train needs --pairs");
    if (question == NULL) question = "Describe this image in detail.";
    b.question = malloc(strlen(question) + 1);
    if (b.question == NULL) return fail("starting", HADPO_E_NO_MEMORY, NULL);
    strcpy(b.question, question);
    double start = seconds_now();
    int outcome = open_model(&b.session, call);
    double seconds = seconds_now() - start;
    if (outcome == DONE && sees) outcome = call->n_files == 1 ? decode_image(call->files[0], &b.image) : drawn_picture(&b.image);
    if (outcome == DONE) print_head(&b);
    if (outcome == DONE) row(&b, "load", "", 0, "", &seconds, 1);
    events_label("warming up");
    if (outcome == DONE && (generates || scores)) outcome = warm_up(&b);
    if (outcome == DONE && generates) outcome = bench_generation(&b);
    if (outcome == DONE && scores) outcome = bench_score(&b);
    if (outcome == DONE && trains && (only == NULL || strcmp(only, "train") == 0)) outcome = bench_training(&b);
    hadpo_image_free(b.image);
    free(b.question);
    close_session(&b.session);
    return outcome;
}

static const flag bench_flags[] = {
    {'Q', "question", TEXT, "TEXT", "cli.question", "what to ask (default: Describe this image in detail.)"},
    {0, "prompt-tokens", INTEGER, "N", "cli.prompt_tokens", "lengthen the question until prompt and picture are N positions"},
    {0, "no-picture", SWITCH, NULL, "cli.no_picture", "text alone, as a language model is timed"},
    {'n', "new-tokens", INTEGER, "N", "cli.tokens", "tokens of every answer, end tokens forbidden (32)"},
    {'b', "beams", INTEGER, "N", "cli.beams", "decode so many sequences together too; 0: do not (5)"},
    {0, "repeat", INTEGER, "N", "cli.repeat", "runs of which the median counts (3)"},
    {0, "only", TEXT, "PART", "cli.only", "generate, score or train"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag bench_training_flags[] = {
    {0, "pairs", TEXT, "FILE", "request.data.pairs", "time DPO steps on these: JSON Lines of image, question, chosen, rejected"},
    {'i', "images", TEXT, "DIR", "request.data.images", "folder the pictures are in"},
    {0, "outside", SWITCH, NULL, "request.data.outside", OUTSIDE_HELP},
    {0, "rank", INTEGER, "N", "request.lora.rank", "LoRA rank"},
    {0, "batch", INTEGER, "N", "request.batch", "pairs in one step (1)"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag_group bench_groups[] = {{"The model", model_flags},         {"What to time", bench_flags},
                                          {"Training", bench_training_flags}, {"The engine", engine_flags},
                                          {"Input and output", output_flags}, {NULL, NULL}};

const command bench_command = {
    "bench", "hadpo.train/1", "how fast a folder runs here, and the memory it takes", "-m DIR [PICTURE] [flags]",
    "Times are medians after a first pass that is not counted. Without a picture one is drawn.\n"
    "\n"
    "  load          opening the folder; mapped weights are read from disk when they are first used, in the first pass\n"
    "  prompt        picture (unless --no-picture) and question, to the first token\n"
    "  decode        the tokens after it: one sequence, then the beams of a search, which share every read of the weights\n"
    "  score         the log-probability of an answer, the prompt included\n"
    "  DPO step      policy forward and back, optimizer; the reference once computed, once known from an earlier pass\n"
    "\n"
    "Peak memory is the process's highest resident memory up to that row (VmHWM); mapped weights count as they are touched.\n"
    "On an idle machine only: a second program that computes can halve every rate.\n"
    "\n"
    "examples\n"
    "  hadpo bench -m llava-1.5-7b-hf --numerics fast\n"
    "  hadpo bench -m llava-1.5-7b-hf --numerics fast --weights int4 --prompt-tokens 640 -n 64 --json > int4.jsonl\n"
    "  hadpo bench -m llava-1.5-7b-hf --pairs pairs.jsonl -i pictures --only train --set checkpointing=false\n",
    bench_groups, run_bench};
