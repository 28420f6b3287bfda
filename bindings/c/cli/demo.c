/* demo.c - the whole of HA-DPO on the world in the box, through the public interface alone: make the world, ask a model
 * that invents, collect what it got wrong, train, ask again, and make one page of it. Read it as the example of how a host
 * uses the library. */
#define _XOPEN_SOURCE 700
#include "demo.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const demo_splits[SPLITS] = {"random", "popular", "adversarial"};
const char *const demo_whens[2] = {"before", "after"};

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
    "\"projector\":false,\"gamma\":0,\"accumulation\":1,\"last_batch\":\"filled\",\"overwrite\":true,"
    "\"data\":{\"format\":\"hadpo\",\"order\":\"shuffled\",\"augmentation\":\"none\",\"description_repeats\":1,\"question_repeats\":2}}";

/* The two others learn by other steps, chosen on seeds 0 to 3. */
static void fit_recipe(json *config, const char *family)
{
    int minigpt4 = strcmp(family, "minigpt4") == 0;
    if (!minigpt4 && strcmp(family, "instructblip") != 0) return;
    path_set(config, "steps", json_object_new_int(minigpt4 ? 100 : 60));
    path_set(config, "optimizer.learning_rate", json_object_new_double(minigpt4 ? 1.3e-4 : 2.5e-4));
}

const char *in_folder(const demo_state *demo, const char *name, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s/%s", demo->folder, name);
    return buffer;
}

json *text_value(const char *text)
{
    return json_object_new_string(text);
}

static void announce(const demo_state *demo, const char *line)
{
    if (!cli_switch(demo->call, "json") && !cli_switch(demo->call, "quiet")) {
        events_clear();
        complain("%s\n", line);
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
    announce(demo, "1  drawing a small world");
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
    return gallery_open(&demo->gallery, in_folder(demo, "world/annotations.json", path, sizeof path));
}

static int ask_split(demo_state *demo, int when, int split)
{
    char path[4096], name[128], label[64];
    json *config = json_object_new_object();
    path_set(config, "schema", text_value("hadpo.pope/1"));
    snprintf(name, sizeof name, "world/POPE/output/coco/coco_pope_%s.json", demo_splits[split]);
    path_set(config, "questions", text_value(in_folder(demo, name, path, sizeof path)));
    path_set(config, "images", text_value(in_folder(demo, "world/coco2014/val2014", path, sizeof path)));
    snprintf(name, sizeof name, "pope_%s_%s.jsonl", demo_splits[split], demo_whens[when]);
    path_set(config, "answers", text_value(in_folder(demo, name, path, sizeof path)));
    path_set(config, "scores", json_object_new_boolean(1));
    path_set(config, "max_new_tokens", json_object_new_int(16)); /* "no, there is no umbrella." and its end */
    /* Greedy for all three; InstructBLIP's published 5 beams and penalty are for descriptions of another length. */
    path_set(config, "num_beams", json_object_new_int(1));
    path_set(config, "repetition_penalty", json_object_new_double(1));
    const char *text = json_text(config);
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    snprintf(label, sizeof label, "   %s", demo_splits[split]);
    events_label(label);
    hadpo_status status = hadpo_pope_run(demo->session.model, text, strlen(text), &report, &error);
    json_object_put(config);
    return take_report("asking", status, report, error, &demo->pope[when][split]);
}

/* SHR's pictures described as `hadpo shr describe` does it. */
static int describe(demo_state *demo, int when)
{
    char path[4096], name[64];
    json *config = json_object_new_object();
    path_set(config, "schema", text_value("hadpo.shr-describe/1"));
    path_set(config, "shr", text_value(in_folder(demo, "world/shr", path, sizeof path)));
    path_set(config, "image_data", text_value(in_folder(demo, "world/VG/image_data.json", path, sizeof path)));
    path_set(config, "images", text_value(in_folder(demo, "world/VG", path, sizeof path)));
    snprintf(name, sizeof name, "descriptions_%s.jsonl", demo_whens[when]);
    path_set(config, "output", text_value(in_folder(demo, name, path, sizeof path)));
    path_set(config, "max_new_tokens", json_object_new_int(128));
    path_set(config, "num_beams", json_object_new_int(1)); /* greedy, as the questions */
    path_set(config, "repetition_penalty", json_object_new_double(1));
    const char *text = json_text(config);
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    events_label("   describing");
    hadpo_status status = hadpo_shr_describe(demo->session.model, text, strlen(text), &report, &error);
    json_object_put(config);
    json *described = NULL;
    int outcome = take_report("describing", status, report, error, &described);
    json_object_put(described);
    return outcome;
}

/* Scores them as `hadpo shr --judge annotations` does: a sentence that names an object which no annotation of its picture names
 * is a hallucination. Wrong colours, sides and sizes do not count. */
static int judge(demo_state *demo, int when)
{
    char path[4096], name[64];
    json *config = json_object_new_object();
    path_set(config, "schema", text_value("hadpo.shr-score/1"));
    snprintf(name, sizeof name, "descriptions_%s.jsonl", demo_whens[when]);
    path_set(config, "answers", text_value(in_folder(demo, name, path, sizeof path)));
    path_set(config, "judge", text_value("annotations"));
    path_set(config, "vg", text_value(in_folder(demo, "world/VG", path, sizeof path)));
    path_set(config, "shr", text_value(in_folder(demo, "world/shr", path, sizeof path)));
    path_set(config, "synonyms", text_value(in_folder(demo, "world/synonyms.txt", path, sizeof path)));
    snprintf(name, sizeof name, "shr_%s", demo_whens[when]);
    path_set(config, "output", text_value(in_folder(demo, name, path, sizeof path)));
    if (when == AFTER) path_set(config, "baseline", text_value(in_folder(demo, "shr_before/sentences.jsonl", path, sizeof path)));
    const char *text = json_text(config);
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    hadpo_status status = hadpo_shr_score(text, strlen(text), &report, &error);
    json_object_put(config);
    int outcome = take_report("scoring descriptions", status, report, error, &demo->shr[when]);
    snprintf(name, sizeof name, "shr_%s/sentences.jsonl", demo_whens[when]);
    return outcome == DONE ? gallery_read(&demo->gallery, when, in_folder(demo, name, path, sizeof path)) : outcome;
}

static int ask(demo_state *demo, int when)
{
    double start = seconds_now();
    int outcome = DONE;
    for (int i = 0; outcome == DONE && i < SPLITS; i++) outcome = ask_split(demo, when, i);
    if (outcome == DONE) outcome = describe(demo, when);
    if (outcome == DONE) outcome = judge(demo, when);
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

/* ---- around it --------------------------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind;
    if (strcmp(path + where->base, "report.html") == 0) return 0;
    remove(path); /* folders above the page stay with it */
    return 0;
}

/* --output names a folder to keep; otherwise one in TMPDIR of which the page alone is left at the end, unless --keep. */
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

/* What an earlier demo left in the folder would be continued: answers, descriptions, the log. */
static void forget(const demo_state *demo)
{
    char path[4096], name[64];
    for (int when = BEFORE; when <= AFTER; when++) {
        for (int i = 0; i < SPLITS; i++) {
            snprintf(name, sizeof name, "pope_%s_%s.jsonl", demo_splits[i], demo_whens[when]);
            remove(in_folder(demo, name, path, sizeof path));
        }
        snprintf(name, sizeof name, "descriptions_%s.jsonl", demo_whens[when]);
        remove(in_folder(demo, name, path, sizeof path));
    }
    remove(in_folder(demo, "training.jsonl", path, sizeof path));
}

static int run_steps(demo_state *demo)
{
    forget(demo);
    int outcome = make_world(demo);
    if (outcome == DONE) {
        announce(demo, "2  asking the model what it sees: POPE, three splits, and descriptions");
        outcome = ask(demo, BEFORE);
    }
    if (outcome == DONE) {
        announce(demo, "3  collecting what it got wrong on other pictures: preference pairs");
        outcome = make_pairs(demo);
    }
    if (outcome == DONE) {
        announce(demo, "4  HA-DPO: training an adapter on the pairs");
        outcome = train_adapter(demo);
    }
    if (outcome == DONE) {
        announce(demo, "5  asking again");
        outcome = ask(demo, AFTER);
    }
    if (outcome == DONE) outcome = demo_write_page(demo);
    return outcome;
}

static void free_results(demo_state *demo)
{
    close_session(&demo->session);
    for (int i = 0; i < SPLITS; i++) {
        json_object_put(demo->pope[BEFORE][i]);
        json_object_put(demo->pope[AFTER][i]);
    }
    json_object_put(demo->shr[BEFORE]);
    json_object_put(demo->shr[AFTER]);
    json_object_put(demo->page);
    gallery_free(&demo->gallery);
    json_object_put(demo->world);
    json_object_put(demo->pairs);
    json_object_put(demo->training);
}

/* One family in a folder of its own below `base`, or in `base` itself. */
static int run_family(invocation *call, const char *base, int family, bool apart, json *all)
{
    demo_state demo = {.call = call, .family = families[family].name, .title = families[family].title};
    demo.folder = apart ? joined(base, demo.family) : strdup(base);
    if (demo.folder == NULL) return NO_MEMORY;
    if (apart && mkdir(demo.folder, 0777) != 0 && errno != EEXIST) {
        int outcome = fail_file("cannot make the folder", demo.folder);
        free(demo.folder);
        return outcome;
    }
    if (apart) announce(&demo, families[family].title);
    int outcome = open_engine(&demo.session, call);
    if (outcome == DONE) outcome = run_steps(&demo);
    if (outcome == DONE && all != NULL) {
        json *results = demo_json(&demo);
        if (apart)
            path_set(all, demo.family[0] == 'l' ? "llava" : demo.family, results);
        else {
            print_json(results);
            json_object_put(results);
        }
    } else if (outcome == DONE) {
        if (apart) say("\n==== %s ====\n", families[family].title);
        demo_print(&demo);
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
        say("%.0f s in all", seconds_now() - start);
        if (keep)
            say("; world, answers, scores, pairs, adapter and page are in %s\n", place.folder);
        else
            say("; --output DIR keeps world, answers, scores, pairs and adapter too\n");
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
    {0, "report", TEXT, "FILE", "cli.report", "the HTML page with all of it (default: report.html in the folder)"},
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
    "SHR is the share of a description's sentences that are hallucinations (HSR; HWR of its words). The judge here is the\n"
    "list of what each picture shows. All of it, with curves and pictures, stands on one HTML page, report.html.\n"
    "\n"
    "examples\n"
    "  hadpo demo\n"
    "  hadpo demo --all                       the three models of the paper, each in its published layout\n"
    "  hadpo demo --seed 7 -o demo-7          look at the pictures, the pairs, the adapter\n",
    demo_groups, demo};
