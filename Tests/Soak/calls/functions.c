/* functions.c - every function of hadpo.h, called with what chance gives. */
#include "calls.h"

#include <stdlib.h>
#include <string.h>

#define TEXT(c) ((c)->text_is_null ? NULL : (c)->text), (c)->size
#define BYTES(c) ((c)->bytes_are_wanted ? &(c)->bytes : NULL)
#define ERROR(c) ((c)->error_is_wanted ? &(c)->error : NULL)
#define NOTHING_THERE ((void *)1) /* what stands in a place for a result before the call */

/* ---- library ---------------------------------------------------------------------------------------------------------- */

static hadpo_status make_abi(call *c)
{
    if (hadpo_abi() != HADPO_ABI) fault(c, "another ABI");
    return HADPO_OK;
}

static hadpo_status make_version(call *c)
{
    if (hadpo_version() == NULL || hadpo_version()[0] == 0) fault(c, "no version");
    return HADPO_OK;
}

static hadpo_status make_status_name(call *c)
{
    const char *name = hadpo_status_name((hadpo_status)(below(c->chance, 200) - 50));
    if (name == NULL || name[0] == 0) fault(c, "no name");
    return HADPO_OK;
}

static hadpo_status make_error_json(call *c)
{
    if (hadpo_error_json(NULL) == NULL) fault(c, "NULL");
    return HADPO_OK;
}

static hadpo_status make_error_free(call *c)
{
    (void)c;
    hadpo_error_free(NULL);
    return HADPO_OK;
}

static hadpo_status make_bytes_data(call *c)
{
    if (hadpo_bytes_data(NULL) == NULL) fault(c, "NULL");
    return HADPO_OK;
}

static hadpo_status make_bytes_size(call *c)
{
    if (hadpo_bytes_size(NULL) != 0) fault(c, "nothing has a size");
    return HADPO_OK;
}

static hadpo_status make_bytes_free(call *c)
{
    (void)c;
    hadpo_bytes_free(NULL);
    return HADPO_OK;
}

static hadpo_status make_config_default(call *c)
{
    static const char *const schemas[] = {"hadpo.engine/1", "hadpo.train/1", "hadpo.pope/1", "hadpo.report/1", "hadpo.train/2", "", "\xff", NULL};
    return hadpo_config_default(schemas[below(c->chance, sizeof schemas / sizeof schemas[0])], BYTES(c), ERROR(c));
}

static hadpo_status make_config_resolve(call *c)
{
    return hadpo_config_resolve(TEXT(c), BYTES(c), ERROR(c));
}

static hadpo_status make_config_complete(call *c)
{
    return hadpo_config_complete(TEXT(c), NULL, BYTES(c), ERROR(c));
}

/* ---- engine and images ------------------------------------------------------------------------------------------------ */

/* A handle that a call made: kept for the others, or freed when there is no room; NULL and NOTHING_THERE say how the call did. */
static hadpo_status made(call *c, hadpo_status status, void *handle, kind kind, engine_state *engine)
{
    bool holds = status == HADPO_OK ? handle != NULL && handle != NOTHING_THERE : handle == NULL;
    if (!holds) fault(c, "status %d and %s", (int)status, handle == NULL ? "no handle" : "a handle");
    if (status == HADPO_OK && holds && !keep(handle, kind, engine)) free_handle(handle, kind);
    return status;
}

static hadpo_status make_engine_open(call *c)
{
    hadpo_engine *engine = NOTHING_THERE;
    bool wanted = !happens(c->chance, 2);
    engine_state *state = new_engine_state(strstr(c->text, "memory_limit") != NULL);
    hadpo_status status = hadpo_engine_open(TEXT(c), happens(c->chance, 80) ? on_event : NULL, state, wanted ? &engine : NULL, ERROR(c));
    return wanted ? made(c, status, engine, ENGINE, state) : status;
}

static hadpo_status make_engine_interrupt(call *c)
{
    hadpo_engine *engine = borrow(c, ENGINE);
    if (engine != NULL) count_interrupt(c->engine);
    hadpo_engine_interrupt(engine);
    return HADPO_OK;
}

static hadpo_status make_engine_free(call *c)
{
    hadpo_engine_free(take_out(c->chance, ENGINE));
    return HADPO_OK;
}

static hadpo_status make_image_from_rgb8(call *c)
{
    static const uint8_t pixels[64 * 64 * 3] = {1, 2, 3};
    static const size_t sides[] = {0, 1, 2, 3, 7, 24, 64, SIZE_MAX, SIZE_MAX / 3, (size_t)1 << 31};
    size_t width = sides[below(c->chance, 7)], height = sides[below(c->chance, 7)], row_bytes = 3 * width;
    const uint8_t *from = happens(c->chance, 3) ? NULL : pixels;
    /* Sizes that no memory has must be refused before a pixel is read. */
    if (happens(c->chance, 10)) width = sides[below(c->chance, sizeof sides / sizeof sides[0])], row_bytes = 3 * width;
    if (happens(c->chance, 5)) row_bytes = below(c->chance, (unsigned)(row_bytes < 192 ? row_bytes + 1 : 192));
    if (height > 64 || (width <= 64 && row_bytes > 192)) height = 1;
    if (width > 64 && row_bytes >= 3 * width && height != 0) height = SIZE_MAX;
    hadpo_image *image = NOTHING_THERE;
    hadpo_status status = hadpo_image_from_rgb8(from, width, height, row_bytes, &image, ERROR(c));
    return made(c, status, image, IMAGE, NULL);
}

static hadpo_status make_image_decode(call *c)
{
    unsigned char bytes[MOST_PICTURE];
    size_t whole = copy_picture(bytes, happens(c->chance, 50)), size = happens(c->chance, 20) ? below(c->chance, (unsigned)whole) : whole;
    if (happens(c->chance, 50)) bytes[below(c->chance, (unsigned)whole)] ^= (unsigned char)(1u << below(c->chance, 8));
    hadpo_image *image = NOTHING_THERE;
    hadpo_status status = hadpo_image_decode(happens(c->chance, 3) ? NULL : bytes, size, &image, ERROR(c));
    return made(c, status, image, IMAGE, NULL);
}

static hadpo_status make_image_free(call *c)
{
    hadpo_image_free(take_out(c->chance, IMAGE));
    return HADPO_OK;
}

/* ---- model ------------------------------------------------------------------------------------------------------------ */

static hadpo_status make_model_open(call *c)
{
    hadpo_model *model = NOTHING_THERE;
    hadpo_engine *engine = borrow(c, ENGINE);
    hadpo_status status = hadpo_model_open(engine, TEXT(c), &model, ERROR(c));
    return made(c, status, model, MODEL, c->engine);
}

static hadpo_status make_model_describe(call *c)
{
    return hadpo_model_describe(borrow(c, MODEL), BYTES(c), ERROR(c));
}

static hadpo_status make_model_generate(call *c)
{
    hadpo_model *model = borrow(c, MODEL);
    return hadpo_model_generate(model, TEXT(c), borrow(c, IMAGE), BYTES(c), ERROR(c));
}

static hadpo_status make_model_score(call *c)
{
    enum { ROOM = 32 };
    float logps[ROOM + 1] = {0};
    size_t capacity = happens(c->chance, 30) ? 0 : below(c->chance, ROOM + 1), count = SIZE_MAX;
    bool count_is_wanted = !happens(c->chance, 3), room_is_there = capacity == 0 ? happens(c->chance, 50) : !happens(c->chance, 3);
    logps[capacity] = 1234.5f;
    hadpo_model *model = borrow(c, MODEL);
    hadpo_image *image = borrow(c, IMAGE);
    hadpo_status status = hadpo_model_score(model, TEXT(c), image, room_is_there ? logps : NULL, capacity,
                                            count_is_wanted ? &count : NULL, ERROR(c));
    if (logps[capacity] != 1234.5f) fault(c, "wrote beyond the %zu numbers there was room for", capacity);
    if (count_is_wanted && (status == HADPO_OK ? count == 0 || count == SIZE_MAX : count != 0)) fault(c, "status %d, count %zu", (int)status, count);
    return status;
}

static hadpo_status make_model_inspect(call *c)
{
    hadpo_model *model = borrow(c, MODEL);
    hadpo_image *image = borrow(c, IMAGE);
    return hadpo_model_inspect(model, TEXT(c), image, choose_path(c->chance), ERROR(c));
}

static hadpo_status make_adapter_load(call *c)
{
    return hadpo_adapter_load(borrow(c, MODEL), choose_path(c->chance), ERROR(c));
}

static hadpo_status make_adapter_unload(call *c)
{
    return hadpo_adapter_unload(borrow(c, MODEL), ERROR(c));
}

static hadpo_status make_export(call *c)
{
    return hadpo_export(borrow(c, MODEL), TEXT(c), ERROR(c));
}

static hadpo_status make_model_free(call *c)
{
    hadpo_model_free(take_out(c->chance, MODEL));
    return HADPO_OK;
}

/* ---- training --------------------------------------------------------------------------------------------------------- */

static hadpo_status make_trainer_open(call *c)
{
    hadpo_trainer *trainer = NOTHING_THERE;
    hadpo_model *model = borrow(c, MODEL);
    hadpo_status status = hadpo_trainer_open(model, TEXT(c), &trainer, ERROR(c));
    return made(c, status, trainer, TRAINER, c->engine);
}

static hadpo_status make_trainer_run(call *c)
{
    static const uint64_t steps[] = {0, 1, 1, 2, UINT64_MAX, (uint64_t)INT64_MAX, (uint64_t)INT64_MAX + 1};
    return hadpo_trainer_run(borrow(c, TRAINER), steps[below(c->chance, sizeof steps / sizeof steps[0])], BYTES(c), ERROR(c));
}

static hadpo_status make_trainer_save(call *c)
{
    return hadpo_trainer_save(borrow(c, TRAINER), choose_path(c->chance), ERROR(c));
}

static hadpo_status make_trainer_resume(call *c)
{
    return hadpo_trainer_resume(borrow(c, TRAINER), choose_path(c->chance), ERROR(c));
}

static hadpo_status make_trainer_inspect(call *c)
{
    return hadpo_trainer_inspect(borrow(c, TRAINER), choose_path(c->chance), ERROR(c));
}

static hadpo_status make_trainer_free(call *c)
{
    hadpo_trainer_free(take_out(c->chance, TRAINER));
    return HADPO_OK;
}

static hadpo_status make_data_check(call *c)
{
    return hadpo_data_check(borrow(c, MODEL), TEXT(c), BYTES(c), ERROR(c));
}

/* ---- evaluation and the world ----------------------------------------------------------------------------------------- */

static hadpo_status make_pope_score(call *c)
{
    static const char questions[] = "{\"question_id\":1,\"image\":\"a\",\"text\":\"Is there a cat in the image?\",\"label\":\"no\"}\n";
    static const char answers[] = "{\"question_id\":1,\"question\":\"Is there a cat in the image?\",\"answer\":\"No.\"}\n";
    /* The text of this call stands for one of the two now and then. */
    bool strange = happens(c->chance, 30);
    return hadpo_pope_score(happens(c->chance, 3) ? NULL : questions, happens(c->chance, 10) ? below(c->chance, sizeof questions) : HADPO_NUL,
                            strange ? c->text : answers, strange ? c->size : HADPO_NUL, BYTES(c), ERROR(c));
}

#define OF_MODEL(name) \
    static hadpo_status make_##name(call *c) { return hadpo_##name(borrow(c, MODEL), TEXT(c), BYTES(c), ERROR(c)); }
#define OF_ENGINE(name) \
    static hadpo_status make_##name(call *c) { return hadpo_##name(borrow(c, ENGINE), TEXT(c), BYTES(c), ERROR(c)); }
#define OF_TEXT(name) \
    static hadpo_status make_##name(call *c) { return hadpo_##name(TEXT(c), BYTES(c), ERROR(c)); }

OF_MODEL(pope_run)
OF_TEXT(pope_evaluate)
OF_TEXT(pope_build)
OF_TEXT(chair_score)
OF_MODEL(shr_describe)
OF_TEXT(shr_requests)
OF_TEXT(shr_score)
OF_TEXT(shr_agree)
OF_TEXT(report_write)
OF_ENGINE(world_make)
OF_MODEL(world_pairs)
OF_ENGINE(world_train)

/* ---- all of them ------------------------------------------------------------------------------------------------------ */

/* SAYS: its result is a text. */
#define SAYS(name, text, weight) {"hadpo_" #name, make_##name, text, weight, true, false}
#define NAMED(name, text, weight) {"hadpo_" #name, make_##name, text, weight, false, false}
#define SILENT(name, weight) {"hadpo_" #name, make_##name, NO_TEXT, weight, false, true}

/* Weights: what costs milliseconds comes less often. */
const function functions[] = {
    SILENT(abi, 5), SILENT(version, 5), SILENT(status_name, 10), SILENT(error_json, 5), SILENT(error_free, 5), SILENT(bytes_data, 5),
    SILENT(bytes_size, 5), SILENT(bytes_free, 5), SAYS(config_default, NO_TEXT, 30), SAYS(config_resolve, ANY_TEXT, 150),
    SAYS(config_complete, ANY_TEXT, 100),
    NAMED(engine_open, ENGINE_TEXT, 30), SILENT(engine_interrupt, 15), SILENT(engine_free, 12), NAMED(image_from_rgb8, NO_TEXT, 80),
    NAMED(image_decode, NO_TEXT, 80), SILENT(image_free, 60), NAMED(model_open, MODEL_TEXT, 50), SAYS(model_describe, NO_TEXT, 50),
    SAYS(model_generate, GENERATE_TEXT, 60), NAMED(model_score, SCORE_TEXT, 60), NAMED(model_inspect, INSPECT_TEXT, 10),
    NAMED(adapter_load, NO_TEXT, 30), NAMED(adapter_unload, NO_TEXT, 30), NAMED(export, EXPORT_TEXT, 10), SILENT(model_free, 20),
    NAMED(trainer_open, TRAIN_TEXT, 40), SAYS(trainer_run, NO_TEXT, 25), NAMED(trainer_save, NO_TEXT, 10), NAMED(trainer_resume, NO_TEXT, 15),
    NAMED(trainer_inspect, NO_TEXT, 8), SILENT(trainer_free, 15), SAYS(data_check, TRAIN_TEXT, 20), SAYS(pope_run, POPE_TEXT, 15),
    SAYS(pope_score, ANY_TEXT, 60), SAYS(pope_evaluate, POPE_SCORE_TEXT, 40), SAYS(pope_build, POPE_BUILD_TEXT, 12),
    SAYS(chair_score, CHAIR_TEXT, 30), SAYS(shr_describe, DESCRIBE_TEXT, 8), SAYS(shr_requests, REQUESTS_TEXT, 20),
    SAYS(shr_score, SHR_TEXT, 15), SAYS(shr_agree, AGREE_TEXT, 20), SAYS(report_write, REPORT_TEXT, 8), SAYS(world_make, WORLD_TEXT, 2),
    SAYS(world_pairs, PAIRS_TEXT, 4), SAYS(world_train, BASE_TEXT, 10),
};
const int function_count = sizeof functions / sizeof functions[0];
