/* score.c - which of two answers does the model believe? The sum of the log-probabilities of their tokens.
 *
 *   cc -std=c99 score.c $(pkg-config --cflags --libs hadpo json-c) -o score
 *   ./score llava-1.5-7b-hf sofa.rgb 640 480 "What is on the sofa?" "A dog." "A cat."
 *
 * The picture is raw RGB of 8 bits, as a camera or a decoder of one's own gives it. */
#include <hadpo.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>

static hadpo_status score(hadpo_model *model, const hadpo_image *image, const char *question, const char *answer, double *sum,
                          size_t *count, hadpo_error **error)
{
    struct json_object *request = json_tokener_parse("{\"schema\":\"hadpo.score/1\"}");
    json_object_object_add(request, "question", json_object_new_string(question));
    json_object_object_add(request, "completion", json_object_new_string(answer));
    const char *text = json_object_to_json_string(request);

    /* Bulk results go to an array of the caller's: the first call only counts. */
    hadpo_status status = hadpo_model_score(model, text, HADPO_NUL, image, NULL, 0, count, error);
    float *logps = status == HADPO_OK ? malloc(*count * sizeof *logps) : NULL;
    if (logps != NULL) status = hadpo_model_score(model, text, HADPO_NUL, image, logps, *count, count, error);
    else if (status == HADPO_OK) status = HADPO_E_NO_MEMORY;
    *sum = 0;
    for (size_t i = 0; status == HADPO_OK && i < *count; i++) *sum += logps[i];
    free(logps);
    json_object_put(request);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 8) return fprintf(stderr, "usage: score MODEL-FOLDER RGB-FILE WIDTH HEIGHT QUESTION ANSWER ANSWER\n"), 2;
    hadpo_engine *engine = NULL;
    hadpo_model *model = NULL;
    hadpo_image *image = NULL;
    hadpo_error *error = NULL;
    size_t width = (size_t)strtoul(argv[3], NULL, 10), height = (size_t)strtoul(argv[4], NULL, 10);
    if (width == 0 || height == 0 || width > 65535 || height > 65535) return fprintf(stderr, "sizes are 1 to 65535\n"), 2;
    uint8_t *pixels = malloc(width * height * 3);
    FILE *file = fopen(argv[2], "rb");
    if (pixels == NULL || file == NULL || fread(pixels, width * 3, height, file) != height)
        return fprintf(stderr, "%s does not hold %zu x %zu pixels\n", argv[2], width, height), 1;
    fclose(file);

    struct json_object *which = json_tokener_parse("{\"schema\":\"hadpo.model/1\"}");
    json_object_object_add(which, "path", json_object_new_string(argv[1]));
    hadpo_status status = hadpo_engine_open("{\"schema\":\"hadpo.engine/1\"}", HADPO_NUL, NULL, NULL, &engine, &error);
    if (status == HADPO_OK)
        status = hadpo_model_open(engine, json_object_to_json_string(which), HADPO_NUL, &model, &error);
    if (status == HADPO_OK) status = hadpo_image_from_rgb8(pixels, width, height, width * 3, &image, &error);
    free(pixels); /* an image is a copy */
    for (int i = 6; i < 8 && status == HADPO_OK; i++) {
        double sum = 0;
        size_t count = 0;
        status = score(model, image, argv[5], argv[i], &sum, &count, &error);
        if (status == HADPO_OK) printf("%10.4f nats, %zu tokens: %s\n", sum, count, argv[i]);
    }
    if (status != HADPO_OK) fprintf(stderr, "%s %s\n", hadpo_status_name(status), hadpo_error_json(error));
    hadpo_error_free(error);
    hadpo_image_free(image);
    hadpo_model_free(model);
    hadpo_engine_free(engine);
    json_object_put(which);
    return status == HADPO_OK ? 0 : 1;
}
