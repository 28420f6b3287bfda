/* train.c - train, check, export: an adapter from preference pairs, and a folder with it merged in. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static const flag run_flags[] = {
    {0, "resume", TEXT, "DIR", "cli.resume", "continue what was saved there, to the same bits as without the stop"},
    {0, "stop-after", INTEGER, "N", "cli.stop_after", "do N optimizer steps now, save, and stop"},
    {0, "inspect-step", TEXT, "FILE", "cli.inspect_step",
     "write one step's losses, log-probabilities and gradients; no training"},
    {0, "report", TEXT, "FILE", "cli.report", "also one HTML page with the curves of --log"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag_group train_groups[] = {{"The model", model_flags},
                                          {"Data and method", training_flags},
                                          {"The guard: a look at the model while it trains", guard_flags},
                                          {"This run", run_flags},
                                          {"The engine", engine_flags},
                                          {"Input and output", output_flags},
                                          {NULL, NULL}};

/* "pope.accuracy below 0.8" as {"figure": ..., "below": 0.8}; `--guard-best` says that the best step is to be kept. */
static int set_guard(invocation *call)
{
    json *rules = path_get(call->cli, "guard_stop");
    for (size_t i = 0; i < length_of(rules); i++) {
        const char *text = json_object_get_string(json_object_array_get_idx(rules, i));
        char figure[64], kind[16], rest[2];
        double limit;
        if (sscanf(text, " %63s %15s %lf %1s", figure, kind, &limit, rest) != 3)
            return usage_error(&train_command, "--guard-stop \"%s\": expected FIGURE below|above|falls|rises NUMBER", text);
        json *stop = path_get(call->request, "guard.stop");
        if (stop == NULL) {
            stop = json_object_new_array();
            if (path_set(call->request, "guard.stop", stop) != 0)
                return usage_error(&train_command, "--guard-stop: the config holds something else at guard.stop");
        }
        json *rule = json_object_new_object();
        json_object_object_add(rule, "figure", json_object_new_string(figure));
        json_object_object_add(rule, kind, json_object_new_double(limit));
        json_object_array_add(stop, rule);
    }
    if (path_get(call->request, "guard.best") != NULL && path_get(call->request, "guard.keep") == NULL)
        path_set(call->request, "guard.keep", json_object_new_string("best"));
    return DONE;
}

static int open_trainer(session *session, const invocation *call, hadpo_trainer **trainer)
{
    const char *config = json_text(call->request), *resume = cli_text(call, "resume");
    hadpo_error *error = NULL;
    events_label("reading data");
    hadpo_status status = hadpo_trainer_open(session->model, config, strlen(config), trainer, &error);
    if (status != HADPO_OK) return fail("preparing the training", status, error);
    if (resume == NULL) return DONE;
    status = hadpo_trainer_resume(*trainer, resume, &error);
    return status == HADPO_OK ? DONE : fail("resuming", status, error);
}

/* What was saved, and what opens it. */
static void say_where(const invocation *call, const char *output)
{
    bool all = json_object_get_boolean(path_get(call->request, "all_weights"));
    if (all || json_object_get_boolean(path_get(call->request, "vision_tower")))
        say("\n%s in %s, as the state of the training: continue with --resume %s. No -a opens it; a host of the library\n"
            "resumes it and writes the trained model with hadpo_export (Python: model.export)\n",
            all ? "all weights" : "vision tower", output, output);
    else if (path_get(call->request, "lora.rank") != NULL && number_at(call->request, "lora.rank", 1) == 0)
        say("\nprojector in %s, which -a takes as it takes an adapter\n", output);
    else
        say("\nadapter in %s\n", output);
}

/* Saves also what Ctrl-C stopped. */
static int run_and_save(hadpo_trainer *trainer, const invocation *call)
{
    const char *output = text_at(call->request, "output", NULL);
    uint64_t steps = (uint64_t)number_at(call->cli, "stop_after", 0);
    hadpo_bytes *text = NULL;
    hadpo_error *error = NULL;
    events_label("training");
    hadpo_status status = hadpo_trainer_run(trainer, steps, &text, &error);
    events_label(NULL);
    int outcome = status == HADPO_OK ? DONE : fail("training", status, error);
    if (output != NULL && (outcome == DONE || outcome == CANCELLED)) {
        error = NULL;
        status = hadpo_trainer_save(trainer, output, &error);
        if (status != HADPO_OK) return fail("saving the adapter", status, error);
        if (outcome == CANCELLED) complain("  saved     %s (continue with --resume %s)\n", output, output);
    }
    if (outcome == DONE) {
        json *report = json_of_bytes(text);
        if (cli_switch(call, "json"))
            print_json(report);
        else {
            json *guard = path_get(report, "guard");
            if (guard != NULL) json_object_object_del(guard, "records"); /* they were shown as they came */
            print_report(report);
        }
        if (output != NULL && !cli_switch(call, "json")) say_where(call, output);
        json_object_put(report);
    }
    hadpo_bytes_free(text);
    return outcome;
}

static int inspect_step(hadpo_trainer *trainer, const char *path)
{
    hadpo_error *error = NULL;
    events_label("inspecting");
    hadpo_status status = hadpo_trainer_inspect(trainer, path, &error);
    events_clear();
    return status == HADPO_OK ? DONE : fail("inspecting a step", status, error);
}

static int write_page(const invocation *call)
{
    json *config = page_config(call);
    if (config == NULL) return DONE;
    json *logs = json_object_new_array();
    json_object_array_add(logs, json_object_get(path_get(call->request, "log")));
    json_object_object_add(config, "training", logs);
    return page_finish(call, config);
}

static int train(invocation *call)
{
    if (call->n_files > 0) return usage_error(&train_command, "unexpected argument %s", call->files[0]);
    const char *inspect = cli_text(call, "inspect_step");
    if (inspect == NULL && text_at(call->request, "output", NULL) == NULL)
        return usage_error(&train_command, "no -o DIR: where is the adapter to go?");
    if (inspect != NULL && (path_get(call->cli, "stop_after") != NULL || cli_text(call, "report") != NULL))
        return usage_error(&train_command, "--inspect-step trains nothing: --stop-after and --report have no part in it");
    static const char *const unused[][2] = {{"log", "--log"}, {"guard", "--guard-..."}, {"overwrite", "--overwrite"}, {"save_every", "--save-every"}};
    for (size_t i = 0; inspect != NULL && i < sizeof unused / sizeof unused[0]; i++) {
        json *value = path_get(call->request, unused[i][0]);
        if (json_object_is_type(value, json_type_null) || (!json_object_is_type(value, json_type_object) && !json_object_get_boolean(value)))
            continue;
        return usage_error(&train_command, "--inspect-step trains nothing: %s (%s) has no part in it", unused[i][1], unused[i][0]);
    }
    if (path_get(call->cli, "stop_after") != NULL && number_at(call->cli, "stop_after", 0) < 1)
        return usage_error(&train_command, "--stop-after N: at least one step");
    if (cli_text(call, "report") != NULL && path_get(call->request, "log") == NULL)
        return usage_error(&train_command, "--report needs --log FILE too: the curves are drawn from it");
    int outcome = set_guard(call);
    if (outcome != DONE) return outcome;
    session session = {NULL, NULL};
    hadpo_trainer *trainer = NULL;
    outcome = open_model(&session, call);
    if (outcome == DONE) outcome = open_trainer(&session, call, &trainer);
    if (outcome == DONE) outcome = inspect != NULL ? inspect_step(trainer, inspect) : run_and_save(trainer, call);
    hadpo_trainer_free(trainer);
    close_session(&session);
    return outcome == DONE && inspect == NULL ? write_page(call) : outcome;
}

const command train_command = {
    "train", "hadpo.train/1", "HA-DPO: teach a model to prefer the answer without inventions",
    "-m DIR -o DIR --pairs FILE -i DIR [flags]",
    "Preference pairs of your own are JSON Lines, pictures relative to --images:\n"
    "  {\"image\": \"a.jpg\", \"question\": \"Describe this image in detail.\", \"chosen\": \"...\", \"rejected\": \"...\"}\n"
    "or an array of these, or what TRL, LLaMA-Factory, ms-swift, RLHF-V, RLAIF-V and POVID take; --format names a form.\n"
    "HA-DPO's own files are read too (--desc, --pope, with Visual Genome's --image-data).\n"
    "Defaults are HA-DPO's published values; `hadpo config hadpo.train/1 -m MODEL` prints them all. The published batch and\n"
    "warm-up are made smaller for small data: a step takes at most a sixteenth of the pairs, and at most a tenth of the\n"
    "steps warm up, unless you set them. `hadpo check` with the same flags walks the data first. The adapter written is in\n"
    "PEFT's format. Ctrl-C, and a failure on the way, save what there is. An adapter that is already in DIR, and a log of\n"
    "another training, are left alone without --resume or --overwrite.\n"
    "\n"
    "With -a the training continues that adapter: its rank, alpha and layers, with its projector. --reference says what it\n"
    "is compared with: base, the model without an adapter (the default), or start, the adapter as it was.\n"
    "\n"
    "Preference training goes past its best point while the loss still falls: answers all turn to \"no\", descriptions\n"
    "grow short or repeat themselves. A guard looks every so many steps, before the first and after the last, and changes\n"
    "nothing else. Its figures stand in the log and the report: chosen_logprob and rejected_logprob (nats an answer);\n"
    "pope.accuracy, .precision, .recall, .f1, .yes_ratio, .roc_area (0 to 1); describe.words and describe.repetition (part\n"
    "of four-word sequences that were there before). A rule ends the training: `below` and `above` compare with a number,\n"
    "`falls` and `rises` with the best value so far, minus or plus a number. A good first rule needs no pictures:\n"
    "\"chosen_logprob falls 0.5\". The adapter of that step is saved, and the report says which rule it was.\n"
    "\n"
    "examples\n"
    "  hadpo train -m llava-1.5-7b-hf --pairs pairs.jsonl -i pictures -o adapter --epochs 1\n"
    "  hadpo train -m llava-1.5-7b-hf --desc desc_data.json --pope pope_data.json --image-data image_data.json \\\n"
    "      -i VG -o adapter\n"
    "  hadpo train -m llava-1.5-7b-hf --pairs pairs.jsonl -i pictures -o adapter --guard-every 50 \\\n"
    "      --guard-pope coco_pope_adversarial.json --guard-images val2014 --guard-best pope.accuracy \\\n"
    "      --guard-stop \"pope.recall falls 0.05\" --guard-stop \"chosen_logprob falls 0.5\"\n"
    "  hadpo train -m llava-1.5-7b-hf -a adapter --pairs more.jsonl -i pictures -o second --reference start\n"
    "  hadpo train -c train.json --resume adapter\n",
    train_groups, train};

/* ---- check ------------------------------------------------------------------------------------------------------- */

/* What `train` would refuse, in words; the exit code of the first. */
static int show_refusals(json *report)
{
    json *refused = path_get(report, "refused");
    int outcome = DONE;
    for (size_t i = 0; i < length_of(refused); i++) {
        json *each = json_object_array_get_idx(refused, i);
        complain("hadpo: a training would be refused: %s\n", text_at(each, "message", ""));
        static const char *const keys[] = {"where", "found", "expected"};
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            const char *text = text_at(each, keys[k], NULL);
            if (text != NULL) complain("  %-9s %s\n", keys[k], text);
        }
        if (outcome == DONE) outcome = exit_code_of((hadpo_status)number_at(each, "status", HADPO_E_INTERNAL));
    }
    return outcome;
}

static int check(invocation *call)
{
    if (call->n_files > 0) return usage_error(&check_command, "unexpected argument %s", call->files[0]);
    int guarded = set_guard(call);
    if (guarded != DONE) return guarded;
    session session = {NULL, NULL};
    int outcome = open_model(&session, call);
    if (outcome == DONE) {
        const char *config = json_text(call->request);
        hadpo_bytes *text = NULL;
        hadpo_error *error = NULL;
        events_label("checking");
        hadpo_status status = hadpo_data_check(session.model, config, strlen(config), &text, &error);
        events_clear();
        outcome = status == HADPO_OK ? DONE : fail("checking the data", status, error);
        json *report = json_of_bytes(text);
        hadpo_bytes_free(text);
        if (outcome == DONE && cli_switch(call, "json")) print_json(report);
        if (outcome == DONE && !cli_switch(call, "json")) print_report(report);
        if (outcome == DONE) outcome = show_refusals(report);
        json_object_put(report);
    }
    close_session(&session);
    return outcome;
}

static const flag_group check_groups[] = {{"The model", model_flags},   {"Data and method", training_flags},
                                          {"The guard: a look at the model while it trains", guard_flags},
                                          {"The engine", engine_flags}, {"Input and output", output_flags},
                                          {NULL, NULL}};

const command check_command = {
    "check", "hadpo.train/1", "walk data and config without training", "-m DIR --pairs FILE -i DIR [flags]",
    "Takes the flags of `hadpo train` and says what is missing, what would be rejected and why, how long the sequences\n"
    "are, how many steps there will be and how much memory they take. The first and last bytes of every picture are looked\n"
    "at; --decode decodes each whole. The exit code is not 0 when the training would be refused.\n"
    "\n"
    "example\n"
    "  hadpo check -m llava-1.5-7b-hf --pairs pairs.jsonl -i pictures\n",
    check_groups, check};

/* ---- export ------------------------------------------------------------------------------------------------------ */

static int export_model(invocation *call)
{
    if (call->n_files > 0) return usage_error(&export_command, "unexpected argument %s", call->files[0]);
    if (text_at(call->request, "output", NULL) == NULL) return usage_error(&export_command, "no -o DIR");
    session session = {NULL, NULL};
    int outcome = open_model(&session, call);
    if (outcome == DONE) {
        const char *config = json_text(call->request);
        hadpo_error *error = NULL;
        events_label("exporting");
        hadpo_status status = hadpo_export(session.model, config, strlen(config), &error);
        events_clear();
        outcome = status == HADPO_OK ? DONE : fail("exporting", status, error);
    }
    close_session(&session);
    return outcome;
}

static const flag export_flags[] = {
    {'o', "output", TEXT, "DIR", "request.output", "the folder to write"},
    {0, "save-as", TEXT, "TYPE", "request.weights", "the decoder as stored (default), int8 or int4, which open at once, here alone"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag_group export_groups[] = {{"The model", model_flags},   {"The result", export_flags},
                                           {"The engine", engine_flags}, {"Input and output", output_flags},
                                           {NULL, NULL}};

const command export_command = {
    "export", "hadpo.export/1", "write a folder with an adapter merged in, or quantised", "-m DIR [-a DIR] -o DIR [flags]",
    "The adapter is added in fp32 and rounded once; transformers loads the result. Saved as int8 or int4, the decoder is\n"
    "quantised once and mapped from then on, and only this program and library read it.\n"
    "\n"
    "examples\n"
    "  hadpo export -m llava-1.5-7b-hf -a adapter -o llava-1.5-7b-hadpo\n"
    "  hadpo export -m llava-1.5-7b-hf --save-as int8 -o llava-1.5-7b-int8\n",
    export_groups, export_model};
