/* world.c - the world in the box: make it, draw pairs from it, train its base again. And config, version. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static const flag world_flags[] = {
    {'o', "output", TEXT, "DIR", "request.output", "where to write"},
    {0, "seed", INTEGER, "N", "request.seed", "another seed, other pictures"},
    {0, "evaluation-images", INTEGER, "N", "request.evaluation_images", "make: pictures to be asked about"},
    {0, "training-images", INTEGER, "N", "request.training_images", "make: pictures for preference pairs"},
    {'w', "world", TEXT, "DIR", "request.world", "pairs: a world that `make` wrote"},
    {0, "images", INTEGER, "N", "request.images", "pairs: at most so many of the training pictures"},
    {0, "stages", LIST, "NAME", "request.stages", "train: only this stage; may be repeated"},
    {0, "start", TEXT, "DIR", "request.start", "train: go on from this checkpoint"},
    {0, "scale", NUMBER, "X", "request.scale", "train: factor on the steps of every stage"},
    {0, NULL, SWITCH, NULL, NULL, NULL}};

static int finish(const invocation *call, const char *doing, hadpo_status status, hadpo_bytes *text, hadpo_error *error)
{
    events_clear();
    if (status != HADPO_OK) return fail(doing, status, error);
    json *report = json_of_bytes(text);
    if (cli_switch(call, "json"))
        print_json(report);
    else
        print_report(report);
    json_object_put(report);
    hadpo_bytes_free(text);
    return DONE;
}

/* Which schema it is shows only now, and it must be the first key. */
static void set_schema(invocation *call, const char *schema)
{
    json *request = json_object_new_object();
    json_object_object_add(request, "schema", json_object_new_string(schema));
    json_object_object_foreach(call->request, key, value)
    {
        json_object_object_add(request, key, json_object_get(value));
    }
    json_object_put(call->request);
    call->request = request;
}

static int world(invocation *call)
{
    const char *what = call->n_files == 1 ? call->files[0] : "";
    const char *schema = strcmp(what, "make") == 0    ? "hadpo.world/1"
                         : strcmp(what, "pairs") == 0 ? "hadpo.world-pairs/1"
                         : strcmp(what, "train") == 0 ? "hadpo.world-base/1"
                                                      : NULL;
    if (schema == NULL) return usage_error(&world_command, "say make, pairs or train");
    set_schema(call, schema);
    bool pairs = strcmp(what, "pairs") == 0;
    if (!pairs && json_object_object_length(call->model) > 1)
        return usage_error(&world_command, "%s takes no model: a --model and its flags belong to pairs", what);
    session session = {NULL, NULL};
    int outcome = pairs ? open_model(&session, call) : open_engine(&session, call);
    if (outcome == DONE) {
        const char *config = json_text(call->request);
        size_t size = strlen(config);
        hadpo_bytes *text = NULL;
        hadpo_error *error = NULL;
        if (pairs) {
            events_label("making pairs");
            hadpo_status status = hadpo_world_pairs(session.model, config, size, &text, &error);
            outcome = finish(call, "making pairs", status, text, error);
        } else if (strcmp(what, "make") == 0) {
            events_label("drawing");
            hadpo_status status = hadpo_world_make(session.engine, config, size, &text, &error);
            outcome = finish(call, "making the world", status, text, error);
        } else {
            events_label("training");
            hadpo_status status = hadpo_world_train(session.engine, config, size, &text, &error);
            outcome = finish(call, "training the base", status, text, error);
        }
    }
    close_session(&session);
    return outcome;
}

static const flag_group world_groups[] = {{"What to make", world_flags},
                                          {"The model (for pairs)", model_flags},
                                          {"The engine", engine_flags},
                                          {"Input and output", output_flags},
                                          {NULL, NULL}};

const command world_command = {
    "world", NULL, "the small world in the box, in real file formats", "make|pairs|train -o DIR [flags]",
    "make    writes a world: a tiny LLaVA checkpoint, pictures, Visual Genome and POPE files\n"
    "pairs   lets a model describe the training pictures; what it got wrong becomes HA-DPO's two files\n"
    "train   trains the tiny checkpoint again from nothing, with the library's own trainer (minutes)\n"
    "\n"
    "example: what `hadpo demo` does, by hand\n"
    "  hadpo world make -o world\n"
    "  hadpo world pairs -w world -m world/model -o world/pairs\n"
    "  hadpo train -m world/model --desc world/pairs/desc_data.json --pope world/pairs/pope_data.json \\\n"
    "      --image-data world/VG/image_data.json -i world/VG -o adapter\n",
    world_groups, world};

/* ---- config ------------------------------------------------------------------------------------------------------ */

/* The named schema, or that of the file, with what --set and the file say in it. */
static int config(invocation *call)
{
    if (call->n_files > 1) return usage_error(&config_command, "one schema at a time");
    const char *named = text_at(call->request, "schema", NULL), *asked = call->n_files == 1 ? call->files[0] : NULL;
    if (asked == NULL && json_object_object_length(call->request) == 0)
        return usage_error(&config_command, "name a schema, or give --config FILE");
    if (asked != NULL && named != NULL && strcmp(asked, named) != 0)
        return usage_error(&config_command, "%s is named, and the config says %s", asked, named);
    if (json_object_object_length(call->engine) > 1)
        return usage_error(&config_command, "nothing is computed here: keys of the engine belong to `hadpo config hadpo.engine/1`");
    if (asked != NULL) json_object_object_add(call->request, "schema", json_object_new_string(asked));
    session session = {NULL, NULL};
    bool has_model = json_object_object_length(call->model) > 1;
    int outcome = has_model ? open_model(&session, call) : DONE;
    hadpo_bytes *text = NULL;
    hadpo_error *error = NULL;
    const char *given = json_text(call->request);
    if (outcome == DONE) {
        /* A file alone is to be whole. */
        hadpo_status status = asked == NULL && !has_model
                                  ? hadpo_config_resolve(given, strlen(given), &text, &error)
                                  : hadpo_config_complete(given, strlen(given), session.model, &text, &error);
        if (status != HADPO_OK) outcome = fail("resolving the config", status, error);
    }
    close_session(&session);
    if (outcome != DONE) return outcome;
    json *value = json_of_bytes(text);
    const char *pretty = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE);
    put_json(stdout, pretty, strlen(pretty));
    json_object_put(value);
    hadpo_bytes_free(text);
    return DONE;
}

static const flag_group config_groups[] = {{"The model, whose family's defaults are wanted", model_flags},
                                           {"Input and output", output_flags}, {NULL, NULL}};

const command config_command = {
    "config", NULL, "all keys of a config with their defaults", "SCHEMA | -c FILE [-m DIR] [--set KEY=VALUE]",
    "schemas: hadpo.engine/1 hadpo.model/1 hadpo.generate/1 hadpo.score/1 hadpo.inspect/1 hadpo.train/1 hadpo.export/1\n"
    "         hadpo.pope/1 hadpo.pope-score/1 hadpo.pope-build/1 hadpo.chair-score/1 hadpo.shr-describe/1\n"
    "         hadpo.shr-requests/1 hadpo.shr-score/1 hadpo.shr-agree/1 hadpo.world/1 hadpo.world-pairs/1 hadpo.world-base/1\n"
    "         hadpo.report/1\n"
    "\n"
    "Defaults of hadpo.train/1, hadpo.pope/1 and hadpo.shr-describe/1 are those published for the model's family: with -m\n"
    "for that model, without for LLaVA-1.5. What is printed can be given back with -c and means the same.\n"
    "\n"
    "examples\n"
    "  hadpo config hadpo.train/1 -m MODEL > train.json     start from the defaults for a model\n"
    "  hadpo config hadpo.train/1 --set optimizer.beta2=0.99\n"
    "  hadpo config -c train.json                           what a file comes to, defaults filled in\n",
    config_groups, config};

/* ---- version ----------------------------------------------------------------------------------------------------- */

static int version(invocation *call)
{
    if (call->n_files > 0) return usage_error(&version_command, "unexpected argument %s", call->files[0]);
    if (cli_switch(call, "json"))
        say("{\"version\":\"%s\",\"abi\":%u}\n", hadpo_version(), (unsigned)hadpo_abi());
    else
        say("hadpo %s (ABI %u)\n", hadpo_version(), (unsigned)hadpo_abi());
    return DONE;
}

static const flag version_flags[] = {{0, "json", SWITCH, NULL, "cli.json", "as JSON"},
                                     {'h', "help", SWITCH, NULL, "cli.help", "this text"},
                                     {0, NULL, SWITCH, NULL, NULL, NULL}};
static const flag_group version_groups[] = {{"Output", version_flags}, {NULL, NULL}};

const command version_command = {"version", NULL, "version and ABI of the library", "[--json]", NULL, version_groups, version};
