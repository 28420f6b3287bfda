/* describe.c - describe a picture that is in memory; the words appear as the model finds them.
 *
 *   cc -std=c99 describe.c $(pkg-config --cflags --libs hadpo json-c) -o describe
 *   ./describe llava-1.5-7b-hf kitchen.jpg ["Is there a dog in the image?"] */
#include <hadpo.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Runs on this thread, inside hadpo_model_generate. Anything but 0 stops the call. */
static int32_t on_event(const char *record, size_t size, void *user)
{
    (void)size; /* a record ends in NUL, too */
    struct json_object *event = json_tokener_parse(record), *kind = NULL, *text = NULL;
    if (json_object_object_get_ex(event, "event", &kind) && strcmp(json_object_get_string(kind), "token") == 0 &&
        json_object_object_get_ex(event, "text", &text)) {
        fputs(json_object_get_string(text), user);
        fflush(user);
    }
    json_object_put(event);
    return 0;
}

static unsigned char *read_whole(const char *path, size_t *size)
{
    unsigned char *data = NULL;
    FILE *file = fopen(path, "rb");
    if (file == NULL) return NULL;
    if (fseek(file, 0, SEEK_END) == 0) {
        long length = ftell(file);
        rewind(file);
        data = length > 0 ? malloc((size_t)length) : NULL;
        *size = data == NULL ? 0 : fread(data, 1, (size_t)length, file);
    }
    fclose(file);
    return data;
}

int main(int argc, char **argv)
{
    if (argc < 3) return fprintf(stderr, "usage: describe MODEL-FOLDER PICTURE [QUESTION]\n"), 2;
    hadpo_engine *engine = NULL;
    hadpo_model *model = NULL;
    hadpo_image *image = NULL;
    hadpo_bytes *answer = NULL;
    hadpo_error *error = NULL;
    size_t size = 0;
    unsigned char *picture = read_whole(argv[2], &size);
    if (picture == NULL) return perror(argv[2]), 1;

    /* Texts that come from outside go into JSON through a JSON library. */
    struct json_object *config = json_tokener_parse("{\"schema\":\"hadpo.model/1\"}");
    json_object_object_add(config, "path", json_object_new_string(argv[1]));
    struct json_object *request = json_tokener_parse("{\"schema\":\"hadpo.generate/1\",\"stream\":true}");
    json_object_object_add(request, "question", json_object_new_string(argc > 3 ? argv[3] : "Describe this image in detail."));

    /* Each call needs what the one before it made; the first failure ends the chain and says why. */
    hadpo_status status = hadpo_engine_open("{\"schema\":\"hadpo.engine/1\"}", HADPO_NUL, on_event, stdout, &engine, &error);
    if (status == HADPO_OK)
        status = hadpo_model_open(engine, json_object_to_json_string(config), HADPO_NUL, &model, &error);
    if (status == HADPO_OK) status = hadpo_image_decode(picture, size, &image, &error);
    if (status == HADPO_OK)
        status = hadpo_model_generate(model, json_object_to_json_string(request), HADPO_NUL, image, &answer, &error);
    if (status == HADPO_OK)
        printf("\n%s\n", hadpo_bytes_data(answer)); /* text, ids, finish_reason, ... */
    else
        fprintf(stderr, "%s\n", hadpo_error_json(error));

    hadpo_error_free(error); /* every free takes NULL, in any order */
    hadpo_bytes_free(answer);
    hadpo_image_free(image);
    hadpo_model_free(model);
    hadpo_engine_free(engine);
    json_object_put(request);
    json_object_put(config);
    free(picture);
    return status == HADPO_OK ? 0 : 1;
}
