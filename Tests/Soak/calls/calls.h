/* calls.h - random calls of the whole interface from several threads; what each must keep to, whatever it was given. */
#ifndef HADPO_RANDOM_CALLS_H
#define HADPO_RANDOM_CALLS_H
#define _DEFAULT_SOURCE
#include <hadpo.h>
#include <stdbool.h>
#include <stdint.h>

enum { MOST_TEXT = 4096, MOST_BORROWED = 4, MOST_PICTURE = 1 << 14 };

/* ---- chance: one sequence for each seed ------------------------------------------------------------------------------- */

typedef struct {
    uint64_t state;
} chance;

uint64_t next_number(chance *chance);
unsigned below(chance *chance, unsigned limit);
bool happens(chance *chance, unsigned per_cent);

/* ---- handles, shared by all threads ----------------------------------------------------------------------------------- */

typedef enum { ENGINE, MODEL, TRAINER, IMAGE, KINDS } kind;

/* What is known of an engine, also after its handle was freed: models and trainers keep it alive. */
typedef struct {
    int running;             /* calls that may be running on it */
    unsigned long started;   /* calls that were begun on it */
    unsigned long interrupts, cancelled;
    bool is_small;           /* has a memory limit that calls run into */
} engine_state;

typedef struct {
    void *handle;
    kind kind;
    engine_state *engine;
    int users; /* calls that have it as an argument: such a handle must not be freed */
} place;

/* ---- one call ---------------------------------------------------------------------------------------------------------- */

typedef enum { QUIET, STOPS, SLEEPS, CALLS_ANY, CALLS_ONE, INTERRUPTS, BEHAVIOURS } behaviour;

typedef struct call {
    chance *chance;
    const char *function;
    char text[MOST_TEXT + 1]; /* its JSON */
    size_t size;
    bool text_is_null;
    place *borrowed[MOST_BORROWED];
    int borrowed_count;
    engine_state *engine;
    unsigned long started;
    bool overlapped; /* another call ran on the same engine at some time of this one */
    behaviour behaviour;
    unsigned events, act_at;
    bool stopped, is_inside; /* the callback said stop; made from inside a callback */
    hadpo_error *error;
    hadpo_bytes *bytes;
    bool error_is_wanted, bytes_are_wanted;
} call;

/* A handle of the kind, or NULL; the call has it until `give_back`. */
void *borrow(call *call, kind kind);
void give_back(call *call);
/* A handle that is nobody's argument now, or NULL; the caller frees it. */
void *take_out(chance *chance, kind kind);
/* Keeps a new handle, of the engine of `call`; false: there is no room, the caller frees it. */
bool keep(void *handle, kind kind, engine_state *engine);
engine_state *new_engine_state(bool is_small);
void count_interrupt(engine_state *engine);
/* Counts a call that was cancelled; false: there were fewer interrupts. */
bool was_interrupted(engine_state *engine);
void free_everything(void);
void free_handle(void *handle, kind kind);

/* ---- texts ------------------------------------------------------------------------------------------------------------- */

typedef enum {
    NO_TEXT, ENGINE_TEXT, MODEL_TEXT, GENERATE_TEXT, SCORE_TEXT, INSPECT_TEXT, EXPORT_TEXT, TRAIN_TEXT, POPE_TEXT, POPE_SCORE_TEXT,
    POPE_BUILD_TEXT, CHAIR_TEXT, DESCRIBE_TEXT, REQUESTS_TEXT, SHR_TEXT, AGREE_TEXT, REPORT_TEXT, WORLD_TEXT, PAIRS_TEXT, BASE_TEXT,
    ANY_TEXT, TEXTS
} text_kind;

/* Files that the texts name, in the present folder. */
bool prepare_files(const char *fixtures);
/* A text of the kind, in most cases as it should be. */
void choose_text(call *call, text_kind kind);
/* A path that a call may write to or read from; now and then NULL, empty, of a folder, without an end. */
const char *choose_path(chance *chance);
const char *fixtures_folder(void);
/* A PNG or a JPEG file; its size. */
size_t copy_picture(unsigned char *bytes, bool is_png);

/* NULL: it is JSON in UTF-8. Otherwise what is wrong with it. */
const char *json_fault(const char *text, size_t size);

/* ---- the interface ----------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    hadpo_status (*make)(call *call);
    text_kind text;
    unsigned weight;      /* how often it is called, beside the others */
    bool has_text, answers_nothing; /* its result is a text; it has no status */
} function;

extern const function functions[];
extern const int function_count;

/* Makes a random call and looks at everything that it did. */
void random_call(chance *chance, struct call *outer);
void fault(const call *call, const char *format, ...);
int32_t on_event(const char *record, size_t size, void *user);
#endif
