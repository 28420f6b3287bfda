/* demo.c - the whole of HA-DPO on the world in the box, through the public interface alone: make the world, ask a model
 * that invents, collect what it got wrong, train, ask again. Read it as the example of how a host uses the library. */
#define _XOPEN_SOURCE 700
#include "cli.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SPLITS = 3, EXAMPLES = 12, EXAMPLES_SHOWN = 2 };
static const char *const split_names[SPLITS] = {"random", "popular", "adversarial"};

/* HA-DPO's objective; learning rate, rank and length fit a model of 1.5 million parameters instead of 7 billion. */
static const char recipe[] =
    "{\"schema\":\"hadpo.train/1\",\"method\":\"dpo\",\"beta\":0.1,\"steps\":45,\"batch\":32,"
    "\"optimizer\":{\"learning_rate\":2e-4,\"max_grad_norm\":1.0},"
    "\"schedule\":{\"kind\":\"cosine\",\"warmup_steps\":5},"
    "\"lora\":{\"rank\":16,\"alpha\":32},\"projector\":false,"
    "\"data\":{\"format\":\"hadpo\",\"order\":\"shuffled\"}}";

typedef struct {
    json *pope[SPLITS];         /* reports */
    char *answers[EXAMPLES];    /* descriptions of the first pictures */
} measurement;

typedef struct {
    const invocation *call;
    session session;
    char *folder;    /* everything the demo writes */
    json *world;     /* the report of hadpo_world_make: where things are */
    char *pictures[EXAMPLES];
    measurement before, after;
    json *pairs, *training;
    double seconds_world, seconds_before, seconds_pairs, seconds_training, seconds_after;
} demo_state;

static const char *in_folder(const demo_state *demo, const char *name, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s/%s", demo->folder, name);
    return buffer;
}

static json *text_value(const char *text)
{
    return json_object_new_string(text);
}

static void say(const demo_state *demo, const char *line)
{
    if (!cli_switch(demo->call, "json") && !cli_switch(demo->call, "quiet")) {
        events_clear();
        fprintf(stderr, "%s\n", line);
    }
}

/* Takes the text; on success *report is its JSON. */
static int take_report(const char *doing, hadpo_status status, hadpo_bytes *text, hadpo_error *error, json **report)
{
    events_clear();
    if (status != HADPO_OK) return fail(doing, status, error);
    *report = json_of_bytes(text);
    hadpo_bytes_free(text);
    return DONE;
}

/* ---- the steps --------------------------------------------------------------------------------------------------- */

static int make_world(demo_state *demo)
{
    char path[4096];
    json *config = json_object_get(demo->call->request);
    path_set(config, "output", text_value(in_folder(demo, "world", path, sizeof path)));
    const char *text = json_text(config);
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    say(demo, "1  drawing a small world");
    events_label("  drawing");
    double start = seconds_now();
    hadpo_status status = hadpo_world_make(demo->session.engine, text, strlen(text), &report, &error);
    json_object_put(config);
    int outcome = take_report("making the world", status, report, error, &demo->world);
    demo->seconds_world = seconds_now() - start;
    if (outcome != DONE) return outcome;
    path_set(demo->call->model, "path", text_value(text_at(demo->world, "model", "")));
    return open_model(&demo->session, demo->call);
}

/* The first pictures that the adversarial questions ask about. */
static int choose_pictures(demo_state *demo)
{
    const char *path = text_at(demo->world, "questions.adversarial", "");
    size_t size;
    char *text = read_file(path, &size);
    if (text == NULL) return fail_file("cannot read the questions", path);
    int count = 0;
    for (char *line = strtok(text, "\n"); line != NULL && count < EXAMPLES; line = strtok(NULL, "\n")) {
        json *question = json_tokener_parse(line);
        const char *image = text_at(question, "image", NULL);
        char *file = image == NULL ? NULL : joined(text_at(demo->world, "images", ""), image);
        if (file != NULL && (count == 0 || strcmp(file, demo->pictures[count - 1]) != 0))
            demo->pictures[count++] = file;
        else
            free(file);
        json_object_put(question);
    }
    free(text);
    return DONE;
}

static int ask_split(demo_state *demo, const char *when, int split, measurement *result)
{
    char path[4096], name[64], label[64];
    snprintf(name, sizeof name, "pope_%s_%s.jsonl", split_names[split], when);
    snprintf(label, sizeof label, "  %s", split_names[split]);
    char key[64];
    snprintf(key, sizeof key, "questions.%s", split_names[split]);
    json *config = json_object_new_object();
    path_set(config, "schema", text_value("hadpo.pope/1"));
    path_set(config, "questions", text_value(text_at(demo->world, key, "")));
    path_set(config, "images", text_value(text_at(demo->world, "images", "")));
    path_set(config, "answers", text_value(in_folder(demo, name, path, sizeof path)));
    path_set(config, "scores", json_object_new_boolean(1));
    const char *text = json_text(config);
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    events_label(label);
    hadpo_status status = hadpo_pope_run(demo->session.model, text, strlen(text), &report, &error);
    json_object_put(config);
    return take_report("asking", status, report, error, &result->pope[split]);
}

static int describe_picture(demo_state *demo, const char *path, char **answer)
{
    static const char request[] = "{\"schema\":\"hadpo.generate/1\",\"question\":\"Describe this image in detail.\"}";
    hadpo_image *image = NULL;
    int outcome = decode_image(path, &image);
    if (outcome != DONE) return outcome;
    hadpo_bytes *text = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_model_generate(demo->session.model, request, HADPO_NUL, image, &text, &error);
    hadpo_image_free(image);
    json *record = NULL;
    outcome = take_report("describing", status, text, error, &record);
    if (outcome == DONE) {
        const char *words = text_at(record, "text", "");
        *answer = malloc(strlen(words) + 1);
        if (*answer != NULL) strcpy(*answer, words);
    }
    json_object_put(record);
    return outcome;
}

static int measure(demo_state *demo, const char *when, measurement *result, double *seconds)
{
    double start = seconds_now();
    int outcome = DONE;
    for (int i = 0; outcome == DONE && i < SPLITS; i++) outcome = ask_split(demo, when, i, result);
    events_label("  describing");
    for (int i = 0; outcome == DONE && i < EXAMPLES && demo->pictures[i] != NULL; i++)
        outcome = describe_picture(demo, demo->pictures[i], &result->answers[i]);
    events_clear();
    *seconds = seconds_now() - start;
    return outcome;
}

static int make_pairs(demo_state *demo)
{
    char path[4096], world[4096];
    json *config = json_object_new_object();
    path_set(config, "schema", text_value("hadpo.world-pairs/1"));
    path_set(config, "world", text_value(in_folder(demo, "world", world, sizeof world)));
    path_set(config, "output", text_value(in_folder(demo, "pairs", path, sizeof path)));
    json *seed = path_get(demo->call->request, "seed");
    if (seed != NULL) path_set(config, "seed", json_object_get(seed));
    const char *text = json_text(config);
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    events_label("  pairs");
    double start = seconds_now();
    hadpo_status status = hadpo_world_pairs(demo->session.model, text, strlen(text), &report, &error);
    json_object_put(config);
    demo->seconds_pairs = seconds_now() - start;
    return take_report("making pairs", status, report, error, &demo->pairs);
}

static int train_adapter(demo_state *demo)
{
    char path[4096], adapter[4096];
    json *config = json_tokener_parse(recipe);
    path_set(config, "data.desc", text_value(in_folder(demo, "pairs/desc_data.json", path, sizeof path)));
    path_set(config, "data.pope", text_value(in_folder(demo, "pairs/pope_data.json", path, sizeof path)));
    path_set(config, "data.image_data", text_value(text_at(demo->world, "image_data", "")));
    path_set(config, "data.images", text_value(text_at(demo->world, "training_images", "")));
    path_set(config, "output", text_value(in_folder(demo, "adapter", adapter, sizeof adapter)));
    path_set(config, "log", text_value(in_folder(demo, "training.jsonl", path, sizeof path)));
    json *seed = path_get(demo->call->request, "seed");
    if (seed != NULL) path_set(config, "seed", json_object_get(seed));
    const char *text = json_text(config);
    hadpo_trainer *trainer = NULL;
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    const char *doing = "preparing the training";
    events_label("  training");
    double start = seconds_now();
    hadpo_status status = hadpo_trainer_open(demo->session.model, text, strlen(text), &trainer, &error);
    json_object_put(config);
    if (status == HADPO_OK) {
        doing = "training";
        status = hadpo_trainer_run(trainer, 0, &report, &error);
    }
    if (status == HADPO_OK) {
        doing = "saving the adapter";
        status = hadpo_trainer_save(trainer, adapter, &error);
    }
    hadpo_trainer_free(trainer);
    if (status == HADPO_OK) {
        doing = "loading the adapter";
        status = hadpo_adapter_load(demo->session.model, adapter, &error);
    }
    demo->seconds_training = seconds_now() - start;
    return take_report(doing, status, report, error, &demo->training);
}

/* ---- what it came to --------------------------------------------------------------------------------------------- */

static void print_examples(const demo_state *demo)
{
    int shown = 0;
    for (int i = 0; i < EXAMPLES && shown < EXAMPLES_SHOWN; i++) {
        const char *before = demo->before.answers[i], *after = demo->after.answers[i];
        if (before == NULL || after == NULL || strcmp(before, after) == 0) continue;
        printf("\n%s\n  before\n", demo->pictures[i]);
        print_wrapped(before, 4, 100);
        puts("  after");
        print_wrapped(after, 4, 100);
        shown++;
    }
}

static void print_results(const demo_state *demo)
{
    putchar('\n');
    print_pope_table_head();
    for (int i = 0; i < SPLITS; i++) {
        print_pope_table_row(split_names[i], "before", demo->before.pope[i]);
        print_pope_table_row("", "after", demo->after.pope[i]);
        print_pope_table_change(demo->before.pope[i], demo->after.pope[i]);
    }
    print_examples(demo);
    printf("\nseconds: world %.1f, questions before %.1f, pairs %.1f, training %.1f, questions after %.1f\n", demo->seconds_world,
           demo->seconds_before, demo->seconds_pairs, demo->seconds_training, demo->seconds_after);
}

static void print_results_json(const demo_state *demo)
{
    json *all = json_object_new_object();
    for (int i = 0; i < SPLITS; i++) {
        char key[64];
        snprintf(key, sizeof key, "before.%s", split_names[i]);
        path_set(all, key, json_object_get(demo->before.pope[i]));
        snprintf(key, sizeof key, "after.%s", split_names[i]);
        path_set(all, key, json_object_get(demo->after.pope[i]));
    }
    json *examples = json_object_new_array();
    for (int i = 0; i < EXAMPLES && demo->after.answers[i] != NULL; i++) {
        json *example = json_object_new_object();
        path_set(example, "image", text_value(demo->pictures[i]));
        path_set(example, "before", text_value(demo->before.answers[i]));
        path_set(example, "after", text_value(demo->after.answers[i]));
        json_object_array_add(examples, example);
    }
    path_set(all, "descriptions", examples);
    path_set(all, "pairs", json_object_get(demo->pairs));
    path_set(all, "training", json_object_get(demo->training));
    path_set(all, "seconds.world", json_object_new_double(demo->seconds_world));
    path_set(all, "seconds.before", json_object_new_double(demo->seconds_before));
    path_set(all, "seconds.pairs", json_object_new_double(demo->seconds_pairs));
    path_set(all, "seconds.training", json_object_new_double(demo->seconds_training));
    path_set(all, "seconds.after", json_object_new_double(demo->seconds_after));
    print_json(all);
    json_object_put(all);
}

/* ---- around it --------------------------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    return remove(path);
}

/* --output names a folder to keep; otherwise one in TMPDIR that is removed at the end, unless --keep. */
static int choose_folder(demo_state *demo)
{
    const char *output = cli_text(demo->call, "output");
    if (output != NULL) {
        if (mkdir(output, 0777) != 0 && errno != EEXIST) return fail_file("cannot make the folder", output);
        demo->folder = joined(output, ".");
        if (demo->folder != NULL) demo->folder[strlen(output)] = 0;
        return demo->folder == NULL ? NO_MEMORY : DONE;
    }
    const char *base = getenv("TMPDIR");
    demo->folder = joined(base != NULL && base[0] != 0 ? base : "/tmp", "hadpo-demo-XXXXXX");
    if (demo->folder == NULL) return NO_MEMORY;
    return mkdtemp(demo->folder) == NULL ? fail_file("cannot make a folder", demo->folder) : DONE;
}

static void free_measurement(measurement *result)
{
    for (int i = 0; i < SPLITS; i++) json_object_put(result->pope[i]);
    for (int i = 0; i < EXAMPLES; i++) free(result->answers[i]);
}

static int demo(invocation *call)
{
    if (call->n_files > 0) return usage_error(&demo_command, "unexpected argument %s", call->files[0]);
    demo_state demo = {.call = call};
    double start = seconds_now();
    int outcome = open_engine(&demo.session, call);
    if (outcome == DONE) outcome = choose_folder(&demo);
    if (outcome == DONE) outcome = make_world(&demo);
    if (outcome == DONE) outcome = choose_pictures(&demo);
    if (outcome == DONE) {
        say(&demo, "2  asking the model what it sees: POPE, three splits, and descriptions");
        outcome = measure(&demo, "before", &demo.before, &demo.seconds_before);
    }
    if (outcome == DONE) {
        say(&demo, "3  collecting what it got wrong on other pictures: preference pairs");
        outcome = make_pairs(&demo);
    }
    if (outcome == DONE) {
        say(&demo, "4  HA-DPO: training an adapter on the pairs");
        outcome = train_adapter(&demo);
    }
    if (outcome == DONE) {
        say(&demo, "5  asking again");
        outcome = measure(&demo, "after", &demo.after, &demo.seconds_after);
    }
    bool keep = cli_switch(call, "keep") || cli_text(call, "output") != NULL;
    if (outcome == DONE && cli_switch(call, "json")) print_results_json(&demo);
    if (outcome == DONE && !cli_switch(call, "json")) {
        print_results(&demo);
        printf("%.0f s in all", seconds_now() - start);
        if (keep)
            printf("; world, answers, pairs and adapter are in %s\n", demo.folder);
        else
            puts("; --output DIR keeps world, answers, pairs and adapter");
    }
    close_session(&demo.session);
    if (demo.folder != NULL && !keep) nftw(demo.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free_measurement(&demo.before);
    free_measurement(&demo.after);
    for (int i = 0; i < EXAMPLES; i++) free(demo.pictures[i]);
    json_object_put(demo.world);
    json_object_put(demo.pairs);
    json_object_put(demo.training);
    free(demo.folder);
    return outcome;
}

static const flag demo_flags[] = {
    {0, "seed", INTEGER, "N", "request.seed", "other pictures, other LoRA start, other order of pairs"},
    {0, "images", INTEGER, "N", "request.evaluation_images", "pictures to be asked about (default 200)"},
    {0, "training-images", INTEGER, "N", "request.training_images", "pictures to find mistakes on (default 300)"},
    {'o', "output", TEXT, "DIR", "cli.output", "keep everything in this folder"},
    {0, "keep", SWITCH, NULL, "cli.keep", "keep the temporary folder"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag_group demo_groups[] = {{"The demo", demo_flags},
                                         {"The engine", engine_flags},
                                         {"Input and output", output_flags},
                                         {NULL, NULL}};

const command demo_command = {
    "demo", "hadpo.world/1", "the whole of HA-DPO on a small world, in two minutes", "[flags]",
    "A tiny LLaVA that invents objects the way large ones do (it says what usually stands beside what it sees) is asked\n"
    "about pictures it never saw, trained with HA-DPO on its own mistakes, and asked again. Nothing is downloaded. The\n"
    "code is the code that serves 7B models.\n"
    "\n"
    "POPE asks about objects that are there and objects that are not. The absent ones are drawn at random, from the\n"
    "frequent ones (popular), or from those that usually appear beside what is there (adversarial). An inventing model\n"
    "says yes too often: high yes ratio, low precision. ROC area says how well log p(yes) - log p(no) separates present\n"
    "from absent, whatever the threshold: a mere shift towards \"no\" does not raise it.\n"
    "\n"
    "examples\n"
    "  hadpo demo\n"
    "  hadpo demo --seed 7 -o demo-7          look at the pictures, the pairs, the adapter\n",
    demo_groups, demo};
