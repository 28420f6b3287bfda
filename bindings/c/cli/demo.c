/* demo.c - the whole of HA-DPO on the world in the box, through the public interface alone: make the world, ask a model
 * that invents, collect what it got wrong, train, ask again. Read it as the example of how a host uses the library. */
#define _XOPEN_SOURCE 700
#include "gallery.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SPLITS = 3 };
static const char *const split_names[SPLITS] = {"random", "popular", "adversarial"};

enum { FAMILIES = 3 };
static const struct {
    const char *name, *title;
} families[FAMILIES] = {{"llava-1.5", "LLaVA-1.5"}, {"minigpt4", "MiniGPT-4"}, {"instructblip", "InstructBLIP"}};

/* HA-DPO's objective; learning rate, rank and length fit a model of 1.5 million parameters instead of 7 billion. Pictures are
 * not cropped at random, as they are for two of the large models: here sides matter. */
static const char recipe[] =
    "{\"schema\":\"hadpo.train/1\",\"method\":\"dpo\",\"beta\":0.1,\"steps\":50,\"batch\":32,"
    "\"optimizer\":{\"learning_rate\":2e-4,\"max_grad_norm\":1.0},"
    "\"schedule\":{\"kind\":\"cosine\",\"warmup_steps\":5},"
    "\"lora\":{\"rank\":16,\"alpha\":32,\"target\":[\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]},"
    "\"projector\":false,\"gamma\":0,\"accumulation\":1,"
    "\"data\":{\"format\":\"hadpo\",\"order\":\"shuffled\",\"augmentation\":\"none\",\"description_repeats\":1,\"question_repeats\":2}}";

/* MiniGPT-4 learns by smaller and more steps (chosen on seed 0). */
static void fit_recipe(json *config, const char *family)
{
    if (strcmp(family, "minigpt4") != 0) return;
    path_set(config, "steps", json_object_new_int(90));
    path_set(config, "optimizer.learning_rate", json_object_new_double(1.2e-4));
}

typedef struct {
    const invocation *call;
    session session;
    const char *family;
    char *folder; /* everything this family's demo writes */
    json *world, *pairs, *training; /* reports of the library */
    json *pope[2][SPLITS];          /* before, after */
    gallery gallery;
    double seconds_world, seconds_asking[2], seconds_pairs, seconds_training;
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
    path_set(config, "family", text_value(demo->family));
    const char *text = json_text(config);
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    say(demo, "1  drawing a small world");
    events_label("   drawing");
    double start = seconds_now();
    hadpo_status status = hadpo_world_make(demo->session.engine, text, strlen(text), &report, &error);
    json_object_put(config);
    int outcome = take_report("making the world", status, report, error, &demo->world);
    demo->seconds_world = seconds_now() - start;
    if (outcome != DONE) return outcome;
    path_set(demo->call->model, "path", text_value(in_folder(demo, "world/model", path, sizeof path)));
    outcome = open_model(&demo->session, demo->call);
    if (outcome != DONE) return outcome;
    char images[4096];
    return gallery_open(&demo->gallery,
                        in_folder(demo, "world/POPE/segmentation/coco_ground_truth_segmentation.json", path, sizeof path),
                        in_folder(demo, "world/coco2014/val2014", images, sizeof images));
}

static int ask_split(demo_state *demo, int when, int split)
{
    char path[4096], name[128], label[64];
    json *config = json_object_new_object();
    path_set(config, "schema", text_value("hadpo.pope/1"));
    snprintf(name, sizeof name, "world/POPE/output/coco/coco_pope_%s.json", split_names[split]);
    path_set(config, "questions", text_value(in_folder(demo, name, path, sizeof path)));
    path_set(config, "images", text_value(in_folder(demo, "world/coco2014/val2014", path, sizeof path)));
    snprintf(name, sizeof name, "pope_%s_%s.jsonl", split_names[split], when == BEFORE ? "before" : "after");
    path_set(config, "answers", text_value(in_folder(demo, name, path, sizeof path)));
    path_set(config, "scores", json_object_new_boolean(1));
    path_set(config, "max_new_tokens", json_object_new_int(16)); /* "no, there is no umbrella." and its end */
    /* Greedy for all three; InstructBLIP's published 5 beams and penalty are for descriptions of another length. */
    path_set(config, "num_beams", json_object_new_int(1));
    path_set(config, "repetition_penalty", json_object_new_double(1));
    const char *text = json_text(config);
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    snprintf(label, sizeof label, "   %s", split_names[split]);
    events_label(label);
    hadpo_status status = hadpo_pope_run(demo->session.model, text, strlen(text), &report, &error);
    json_object_put(config);
    return take_report("asking", status, report, error, &demo->pope[when][split]);
}

static int describe_picture(demo_state *demo, const char *path, char **answer)
{
    static const char request[] = 
        "{\"schema\":\"hadpo.generate/1\",\"question\":\"Describe this image in detail.\",\"max_new_tokens\":128}";
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

static int ask(demo_state *demo, int when)
{
    double start = seconds_now();
    int outcome = DONE;
    for (int i = 0; outcome == DONE && i < SPLITS; i++) outcome = ask_split(demo, when, i);
    events_label("   describing");
    for (int i = 0; outcome == DONE && i < demo->gallery.count; i++)
        outcome = describe_picture(demo, demo->gallery.pictures[i].path, &demo->gallery.pictures[i].answers[when]);
    events_clear();
    demo->seconds_asking[when] = seconds_now() - start;
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
    events_label("   pairs");
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
    fit_recipe(config, demo->family);
    path_set(config, "data.desc", text_value(in_folder(demo, "pairs/desc_data.json", path, sizeof path)));
    path_set(config, "data.pope", text_value(in_folder(demo, "pairs/pope_data.json", path, sizeof path)));
    path_set(config, "data.image_data", text_value(in_folder(demo, "world/VG/image_data.json", path, sizeof path)));
    path_set(config, "data.images", text_value(in_folder(demo, "world/VG", path, sizeof path)));
    path_set(config, "output", text_value(in_folder(demo, "adapter", adapter, sizeof adapter)));
    path_set(config, "log", text_value(in_folder(demo, "training.jsonl", path, sizeof path)));
    json *seed = path_get(demo->call->request, "seed");
    if (seed != NULL) path_set(config, "seed", json_object_get(seed));
    const char *text = json_text(config);
    hadpo_trainer *trainer = NULL;
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    const char *doing = "preparing the training";
    events_label("   training");
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

static double share(int part, int whole)
{
    return whole > 0 ? 100.0 * part / whole : 0;
}

static void print_results(const demo_state *demo)
{
    putchar('\n');
    print_pope_table_head();
    for (int i = 0; i < SPLITS; i++) {
        print_pope_table_row(split_names[i], "before", demo->pope[BEFORE][i]);
        print_pope_table_row("", "after", demo->pope[AFTER][i]);
        print_pope_table_change(demo->pope[BEFORE][i], demo->pope[AFTER][i]);
    }
    sentence_count before = gallery_count(&demo->gallery, BEFORE), after = gallery_count(&demo->gallery, AFTER);
    printf("\nDescriptions of %d pictures           before      after\n", before.descriptions);
    printf("sentences naming what is not there  %5.1f %%    %5.1f %%\n", share(before.invented, before.sentences),
           share(after.invented, after.sentences));
    printf("words in a description              %5.1f      %5.1f\n", share(before.words, 100 * before.descriptions),
           share(after.words, 100 * after.descriptions));
    gallery_print(&demo->gallery, 2);
    puts("  x: names something that is not in the picture");
    printf("\nseconds: world %.1f, asking %.1f, pairs %.1f, training %.1f, asking again %.1f\n", demo->seconds_world,
           demo->seconds_asking[BEFORE], demo->seconds_pairs, demo->seconds_training, demo->seconds_asking[AFTER]);
}

static json *count_json(sentence_count count)
{
    json *object = json_object_new_object();
    path_set(object, "descriptions", json_object_new_int(count.descriptions));
    path_set(object, "sentences", json_object_new_int(count.sentences));
    path_set(object, "naming_absent", json_object_new_int(count.invented));
    path_set(object, "words", json_object_new_int(count.words));
    return object;
}

static json *results_json(const demo_state *demo)
{
    json *all = json_object_new_object();
    for (int when = BEFORE; when <= AFTER; when++) {
        const char *name = when == BEFORE ? "before" : "after";
        char key[64];
        for (int i = 0; i < SPLITS; i++) {
            snprintf(key, sizeof key, "%s.pope.%s", name, split_names[i]);
            path_set(all, key, json_object_get(demo->pope[when][i]));
        }
        snprintf(key, sizeof key, "%s.descriptions", name);
        path_set(all, key, count_json(gallery_count(&demo->gallery, when)));
        snprintf(key, sizeof key, "%s.seconds", name);
        path_set(all, key, json_object_new_double(demo->seconds_asking[when]));
    }
    path_set(all, "pictures", gallery_json(&demo->gallery));
    path_set(all, "world", json_object_get(demo->world));
    path_set(all, "pairs", json_object_get(demo->pairs));
    path_set(all, "training", json_object_get(demo->training));
    path_set(all, "seconds.world", json_object_new_double(demo->seconds_world));
    path_set(all, "seconds.pairs", json_object_new_double(demo->seconds_pairs));
    path_set(all, "seconds.training", json_object_new_double(demo->seconds_training));
    return all;
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

static int run_steps(demo_state *demo)
{
    int outcome = make_world(demo);
    if (outcome == DONE) {
        say(demo, "2  asking the model what it sees: POPE, three splits, and descriptions");
        outcome = ask(demo, BEFORE);
    }
    if (outcome == DONE) {
        say(demo, "3  collecting what it got wrong on other pictures: preference pairs");
        outcome = make_pairs(demo);
    }
    if (outcome == DONE) {
        say(demo, "4  HA-DPO: training an adapter on the pairs");
        outcome = train_adapter(demo);
    }
    if (outcome == DONE) {
        say(demo, "5  asking again");
        outcome = ask(demo, AFTER);
    }
    return outcome;
}

static void free_results(demo_state *demo)
{
    close_session(&demo->session);
    for (int i = 0; i < SPLITS; i++) {
        json_object_put(demo->pope[BEFORE][i]);
        json_object_put(demo->pope[AFTER][i]);
    }
    gallery_free(&demo->gallery);
    json_object_put(demo->world);
    json_object_put(demo->pairs);
    json_object_put(demo->training);
}

/* One family in a folder of its own below `base`, or in `base` itself. */
static int run_family(invocation *call, const char *base, int family, bool apart, json *all)
{
    demo_state demo = {.call = call, .family = families[family].name};
    demo.folder = joined(base, apart ? demo.family : ".");
    if (demo.folder == NULL) return NO_MEMORY;
    if (apart && mkdir(demo.folder, 0777) != 0 && errno != EEXIST) {
        int outcome = fail_file("cannot make the folder", demo.folder);
        free(demo.folder);
        return outcome;
    }
    if (apart) say(&demo, families[family].title);
    int outcome = open_engine(&demo.session, call);
    if (outcome == DONE) outcome = run_steps(&demo);
    if (outcome == DONE && all != NULL) {
        json *results = results_json(&demo);
        if (apart)
            path_set(all, demo.family[0] == 'l' ? "llava" : demo.family, results);
        else {
            print_json(results);
            json_object_put(results);
        }
    } else if (outcome == DONE) {
        if (apart) printf("\n==== %s ====\n", families[family].title);
        print_results(&demo);
    }
    free_results(&demo);
    free(demo.folder);
    return outcome;
}

static int demo(invocation *call)
{
    if (call->n_files > 0) return usage_error(&demo_command, "unexpected argument %s", call->files[0]);
    demo_state place = {.call = call};
    double start = seconds_now();
    bool everything = cli_switch(call, "all"), as_json = cli_switch(call, "json");
    const char *wanted = text_at(call->request, "family", families[0].name);
    int outcome = choose_folder(&place), ran = 0;
    json *all = as_json ? json_object_new_object() : NULL;
    for (int i = 0; outcome == DONE && i < FAMILIES; i++) {
        if (!everything && strcmp(wanted, families[i].name) != 0) continue;
        ran++;
        outcome = run_family(call, place.folder, i, everything, all);
    }
    if (outcome == DONE && ran == 0) outcome = usage_error(&demo_command, "no such family: %s", wanted);
    bool keep = cli_switch(call, "keep") || cli_text(call, "output") != NULL;
    if (outcome == DONE && as_json && everything) print_json(all);
    json_object_put(all);
    if (outcome == DONE && !as_json) {
        printf("%.0f s in all", seconds_now() - start);
        if (keep)
            printf("; world, answers, pairs and adapter are in %s\n", place.folder);
        else
            puts("; --output DIR keeps world, answers, pairs and adapter");
    }
    if (place.folder != NULL && !keep) nftw(place.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(place.folder);
    return outcome;
}

static const flag demo_flags[] = {
    {0, "seed", INTEGER, "N", "request.seed", "other pictures, other LoRA start, other order of pairs"},
    {0, "images", INTEGER, "N", "request.evaluation_images", "pictures to be asked about (default 200)"},
    {0, "training-images", INTEGER, "N", "request.training_images", "pictures to find mistakes on (default 300)"},
    {0, "all", SWITCH, NULL, "cli.all", "LLaVA-1.5, MiniGPT-4 and InstructBLIP, one after the other"},
    {0, "family", TEXT, "NAME", "request.family", "llava-1.5 (default), minigpt4 or instructblip"},
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
    "  hadpo demo --all                       the three models of the paper, each in its published layout\n"
    "  hadpo demo --seed 7 -o demo-7          look at the pictures, the pairs, the adapter\n",
    demo_groups, demo};
