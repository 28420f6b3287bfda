/* pope.c - how often a model says yes to what is not there: POPE over a folder of pictures.
 *
 *   cc -std=c99 pope.c $(pkg-config --cflags --libs hadpo json-c) -o pope
 *   ./pope llava-1.5-7b-hf coco_pope_random.json val2014 answers.jsonl
 *
 * Answers are appended to the file as they come: a run that was stopped goes on where it was. */
#include <hadpo.h>
#include <json.h>
#include <stdio.h>
#include <string.h>

static int32_t on_event(const char *record, size_t size, void *user)
{
    (void)size;
    (void)user;
    struct json_object *event = json_tokener_parse(record), *kind = NULL, *done = NULL, *total = NULL;
    if (json_object_object_get_ex(event, "event", &kind) && strcmp(json_object_get_string(kind), "progress") == 0 &&
        json_object_object_get_ex(event, "done", &done) && json_object_object_get_ex(event, "total", &total))
        fprintf(stderr, "\r%d of %d", json_object_get_int(done), json_object_get_int(total));
    json_object_put(event);
    return 0;
}

static void print_figure(struct json_object *report, const char *name)
{
    struct json_object *value = NULL;
    if (json_object_object_get_ex(report, name, &value)) printf("%-10s %s\n", name, json_object_to_json_string(value));
}

int main(int argc, char **argv)
{
    if (argc != 5) return fprintf(stderr, "usage: pope MODEL-FOLDER QUESTIONS PICTURES ANSWERS\n"), 2;
    hadpo_engine *engine = NULL;
    hadpo_model *model = NULL;
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;

    struct json_object *which = json_tokener_parse("{\"schema\":\"hadpo.model/1\"}");
    json_object_object_add(which, "path", json_object_new_string(argv[1]));
    struct json_object *config = json_tokener_parse("{\"schema\":\"hadpo.pope/1\"}");
    json_object_object_add(config, "questions", json_object_new_string(argv[2]));
    json_object_object_add(config, "images", json_object_new_string(argv[3]));
    json_object_object_add(config, "answers", json_object_new_string(argv[4]));

    hadpo_status status = hadpo_engine_open("{\"schema\":\"hadpo.engine/1\"}", HADPO_NUL, on_event, NULL, &engine, &error);
    if (status == HADPO_OK)
        status = hadpo_model_open(engine, json_object_to_json_string(which), HADPO_NUL, &model, &error);
    if (status == HADPO_OK)
        status = hadpo_pope_run(model, json_object_to_json_string(config), HADPO_NUL, &report, &error);
    fputc('\n', stderr);
    if (status == HADPO_OK) {
        static const char *const figures[] = {"questions", "accuracy", "precision", "recall", "f1", "yes_ratio"};
        struct json_object *read = json_tokener_parse(hadpo_bytes_data(report));
        for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) print_figure(read, figures[i]);
        json_object_put(read);
    } else {
        fprintf(stderr, "%s\n", hadpo_error_json(error));
    }
    hadpo_error_free(error);
    hadpo_bytes_free(report);
    hadpo_model_free(model);
    hadpo_engine_free(engine);
    json_object_put(config);
    json_object_put(which);
    return status == HADPO_OK ? 0 : 1;
}
