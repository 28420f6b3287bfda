/* train.c - HA-DPO on preference pairs, with a progress line. Ctrl-C saves; the same command goes on to the same bits.
 *
 *   cc -std=c99 train.c $(pkg-config --cflags --libs hadpo json-c) -o train
 *   ./train llava-1.5-7b-hf train.json adapter          train.json: `hadpo config hadpo.train/1` prints every key */
#define _POSIX_C_SOURCE 200809L
#include <hadpo.h>
#include <json.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static hadpo_engine *engine; /* for the signal handler */

static void on_signal(int number)
{
    (void)number;
    hadpo_engine_interrupt(engine); /* one atomic store: allowed here */
}

static int32_t on_event(const char *record, size_t size, void *user)
{
    (void)size;
    (void)user;
    struct json_object *event = json_tokener_parse(record), *kind = NULL, *step = NULL, *loss = NULL;
    if (json_object_object_get_ex(event, "event", &kind) && strcmp(json_object_get_string(kind), "step") == 0 &&
        json_object_object_get_ex(event, "step", &step) && json_object_object_get_ex(event, "loss", &loss))
        fprintf(stderr, "step %d  loss %.4f\n", json_object_get_int(step), json_object_get_double(loss));
    json_object_put(event);
    return 0;
}

static int failed(const char *what, hadpo_error *error)
{
    fprintf(stderr, "%s: %s\n", what, hadpo_error_json(error));
    hadpo_error_free(error);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 4) return fprintf(stderr, "usage: train MODEL-FOLDER CONFIG.json ADAPTER-FOLDER\n"), 2;
    hadpo_model *model = NULL;
    hadpo_trainer *trainer = NULL;
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    int outcome = 0;
    struct json_object *config = json_object_from_file(argv[2]);
    if (config == NULL) return fprintf(stderr, "%s: %s\n", argv[2], json_util_get_last_err()), 1;
    struct json_object *which = json_tokener_parse("{\"schema\":\"hadpo.model/1\"}");
    json_object_object_add(which, "path", json_object_new_string(argv[1]));

    if (hadpo_engine_open("{\"schema\":\"hadpo.engine/1\"}", HADPO_NUL, on_event, NULL, &engine, &error) != HADPO_OK ||
        hadpo_model_open(engine, json_object_to_json_string(which), HADPO_NUL, &model, &error) != HADPO_OK ||
        hadpo_trainer_open(model, json_object_to_json_string(config), HADPO_NUL, &trainer, &error) != HADPO_OK ||
        (access(argv[3], F_OK) == 0 && hadpo_trainer_resume(trainer, argv[3], &error) != HADPO_OK)) {
        outcome = failed("opening", error);
    } else {
        signal(SIGINT, on_signal); /* the library itself installs no handler */
        hadpo_status status = hadpo_trainer_run(trainer, 0, &report, &error);
        signal(SIGINT, SIG_DFL);
        hadpo_error *unsaved = NULL;
        if (status == HADPO_E_CANCELLED) fprintf(stderr, "stopped; the same command goes on\n");
        if (status != HADPO_OK && status != HADPO_E_CANCELLED)
            outcome = failed("training", error);
        else if (hadpo_trainer_save(trainer, argv[3], &unsaved) != HADPO_OK)
            outcome = failed("saving", unsaved);
        if (status == HADPO_E_CANCELLED) hadpo_error_free(error);
        if (status == HADPO_OK) printf("%s\n", hadpo_bytes_data(report));
    }
    hadpo_bytes_free(report);
    hadpo_trainer_free(trainer);
    hadpo_model_free(model);
    hadpo_engine_free(engine);
    json_object_put(which);
    json_object_put(config);
    return outcome;
}
