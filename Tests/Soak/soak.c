/* soak.c - does memory stay where it is? Pictures, then models, then trainings, over and over in one process.
 *
 * usage: soak FOLDER FIXTURES     (make soak)      FOLDER: where the world is written; FIXTURES: Tests/Fixtures
 *
 * Two figures at points where everything but engine and model is freed: resident memory (/proc/self/statm), and what the allocator
 * has handed out and not got back (mallinfo2), which shows a leak that resident memory still hides in its slack. The trend is
 * that of the least-squares line over the samples after the warm-up, from its first sample to its last. */
#define _DEFAULT_SOURCE
#include "pictures.h"

#include <hadpo.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PICTURES = 1000, OPENINGS = 50, TRAININGS = 20, STEPS = 3, MOST_SAMPLES = 64 };

/* KiB over a whole part. Resident: the allocator's arenas of the caller and the workers move by some hundred KiB with the sizes of
 * the pictures; 2 MiB is 2.3 KiB a picture, a hundredth of one's pixels. In use: the allocator's own caches count as used, tens of
 * KiB at most (7 blocks of each size for every thread); 128 KiB is 146 bytes a picture, less than any answer's JSON. */
static const double MOST_RESIDENT = 2048, MOST_IN_USE = 128;

typedef struct {
    const char *name;
    int count;
    double at[MOST_SAMPLES], resident[MOST_SAMPLES], in_use[MOST_SAMPLES];
} series;

static const char *folder, *fixtures;
static long refused, accepted_broken, answers;

static void fail(const char *what, hadpo_error *error)
{
    fprintf(stderr, "%s: %s\n", what, error != NULL ? hadpo_error_json(error) : "no error object");
    exit(1);
}

static void sample(series *s, int at)
{
    unsigned long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu %lu", &total, &resident) != 2 || s->count == MOST_SAMPLES) fail("statm", NULL);
    fclose(file);
    struct mallinfo2 info = mallinfo2();
    s->at[s->count] = at;
    s->resident[s->count] = (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
    s->in_use[s->count++] = (double)(info.uordblks + info.hblkhd) / 1024;
    printf("%-10s %5d %12.0f %12.1f\n", s->name, at, s->resident[s->count - 1], s->in_use[s->count - 1]);
    fflush(stdout);
}

static double trend(const double *x, const double *y, int n)
{
    double mx = 0, my = 0, xy = 0, xx = 0;
    for (int i = 0; i < n; i++) mx += x[i] / n, my += y[i] / n;
    for (int i = 0; i < n; i++) xy += (x[i] - mx) * (y[i] - my), xx += (x[i] - mx) * (x[i] - mx);
    return xy / xx * (x[n - 1] - x[0]);
}

static int judge(const series *s)
{
    double resident = trend(s->at, s->resident, s->count), in_use = trend(s->at, s->in_use, s->count);
    int flat = resident <= MOST_RESIDENT && in_use <= MOST_IN_USE;
    printf("%-10s trend %11.0f %12.1f   at most %.0f and %.0f: %s\n\n", s->name, resident, in_use, MOST_RESIDENT, MOST_IN_USE,
           flat ? "flat" : "GROWS");
    return !flat;
}

static hadpo_engine *open_engine(void)
{
    hadpo_engine *engine = NULL;
    hadpo_error *error = NULL;
    if (hadpo_engine_open("{\"schema\":\"hadpo.engine/1\",\"threads\":2}", HADPO_NUL, NULL, NULL, &engine, &error) != HADPO_OK)
        fail("engine", error);
    return engine;
}

static hadpo_model *open_model(hadpo_engine *engine)
{
    char config[1024];
    hadpo_model *model = NULL;
    hadpo_error *error = NULL;
    snprintf(config, sizeof config, "{\"schema\":\"hadpo.model/1\",\"path\":\"%s/model\"}", folder);
    if (hadpo_model_open(engine, config, HADPO_NUL, &model, &error) != HADPO_OK) fail("model", error);
    return model;
}

static void ask(hadpo_model *model, const char *request, const hadpo_image *image)
{
    hadpo_bytes *json = NULL;
    hadpo_error *error = NULL;
    if (hadpo_model_generate(model, request, HADPO_NUL, image, &json, &error) != HADPO_OK) fail("generate", error);
    answers += hadpo_bytes_size(json) > 0;
    hadpo_bytes_free(json);
}

/* A description, a POPE question, the log-probabilities of an answer; of every tenth picture a broken file first. */
static void use_picture(hadpo_model *model, unsigned n)
{
    static const char describe[] = "{\"schema\":\"hadpo.generate/1\",\"question\":\"Describe this image in detail.\",\"max_new_tokens\":64}";
    static const char pope[] = "{\"schema\":\"hadpo.generate/1\",\"question\":\"Is there a dog in the image?\",\"max_new_tokens\":8}";
    static const char score[] = "{\"schema\":\"hadpo.score/1\",\"question\":\"Is there a dog in the image?\",\"completion\":\"No.\"}";
    hadpo_error *error = NULL;
    hadpo_image *image = NULL;
    float logps[64];
    size_t count = 0;
    if (n % 10 == 0) {
        picture_file broken = draw_picture(n / 10); /* of both kinds */
        spoil(&broken, n);
        if (hadpo_image_decode(broken.bytes, broken.size, &image, &error) == HADPO_OK)
            accepted_broken++; /* bytes were hit that no decoder checks */
        else
            refused++;
        hadpo_image_free(image);
        hadpo_error_free(error);
        free(broken.bytes);
        error = NULL;
    }
    picture_file file = draw_picture(n);
    if (hadpo_image_decode(file.bytes, file.size, &image, &error) != HADPO_OK) fail("decode", error);
    free(file.bytes);
    ask(model, describe, image);
    ask(model, pope, image);
    if (hadpo_model_score(model, score, HADPO_NUL, image, logps, 64, &count, &error) != HADPO_OK) fail("score", error);
    hadpo_image_free(image);
}

static void train(hadpo_model *model)
{
    char config[2048];
    hadpo_trainer *trainer = NULL;
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    snprintf(config, sizeof config,
             "{\"schema\":\"hadpo.train/1\",\"data\":{\"format\":\"pairs\",\"pairs\":\"%s/llava/dpo/pairs.jsonl\",\"images\":\"%s/llava/"
             "pictures\"},\"steps\":%d,\"batch\":2,\"lora\":{\"rank\":4,\"alpha\":8}}", fixtures, fixtures, STEPS);
    if (hadpo_trainer_open(model, config, HADPO_NUL, &trainer, &error) != HADPO_OK) fail("trainer", error);
    if (hadpo_trainer_run(trainer, 0, &report, &error) != HADPO_OK) fail("training", error);
    hadpo_bytes_free(report);
    hadpo_trainer_free(trainer);
}

int main(int argc, char **argv)
{
    if (argc != 3) return fprintf(stderr, "usage: soak FOLDER FIXTURES\n"), 2;
    folder = argv[1];
    fixtures = argv[2];
    time_t start = time(NULL);
    char config[1024];
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    hadpo_engine *engine = open_engine();
    snprintf(config, sizeof config,
             "{\"schema\":\"hadpo.world/1\",\"output\":\"%s\",\"evaluation_images\":4,\"training_images\":0}", folder);
    if (hadpo_world_make(engine, config, HADPO_NUL, &report, &error) != HADPO_OK) fail("world", error);
    hadpo_bytes_free(report);
    hadpo_model *model = open_model(engine);

    printf("%-10s %5s %12s %12s\n", "part", "at", "resident KiB", "in use KiB");
    static series pictures = {.name = "pictures"}, openings = {.name = "openings"}, trainings = {.name = "trainings"};
    for (int n = 1; n <= PICTURES; n++) {
        use_picture(model, (unsigned)n);
        if (n >= 100 && n % 50 == 0) sample(&pictures, n);
    }
    int grows = judge(&pictures);
    hadpo_model_free(model);
    hadpo_engine_free(engine);

    for (int n = 1; n <= OPENINGS; n++) {
        engine = open_engine();
        model = open_model(engine);
        use_picture(model, 1);
        hadpo_model_free(model);
        hadpo_engine_free(engine);
        if (n % 5 == 0) sample(&openings, n);
    }
    grows += judge(&openings);

    engine = open_engine();
    model = open_model(engine);
    for (int n = 1; n <= TRAININGS; n++) {
        train(model);
        if (n >= 4 && n % 2 == 0) sample(&trainings, n);
    }
    grows += judge(&trainings);
    hadpo_model_free(model);
    hadpo_engine_free(engine);
    printf("%d pictures, %ld broken files refused, %ld of them still pictures, %ld answers, %.0f s\n", PICTURES, refused, accepted_broken,
           answers, difftime(time(NULL), start));
    return grows == 0 ? 0 : 1;
}
