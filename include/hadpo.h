/* hadpo.h - the whole public interface of libhadpo. What is not declared here does not exist.
 *
 * status   0 is success; other values are the constants below. A released number never changes.
 * error    last parameter, may be NULL. On failure it receives an object that the caller frees.
 * handles  opaque, counted inside: free them in any order; every free accepts NULL.
 * JSON in  UTF-8, borrowed for the call, with its size in bytes, or HADPO_NUL when it ends in NUL.
 * out      set to NULL (or 0) on failure.
 * threads  [any] concurrent calls are fine; [one] one such call at a time per engine, another gets HADPO_E_BUSY, also
 *          from inside an event callback. Functions without a mark open or make something and count as [one].
 * manners  never prints, exits, changes locale or signals, reads the environment, opens a socket.
 * fork     handles do not survive a fork: in the child every call on them answers HADPO_E_STATE; new ones work. */
#ifndef HADPO_H
#define HADPO_H
#include <stddef.h>
#include <stdint.h>
#define HADPO_VERSION_MAJOR 0
#define HADPO_VERSION_MINOR 1
#define HADPO_VERSION_PATCH 0
#define HADPO_ABI 0 /* = SONAME suffix; grows by one with every incompatible change */
#define HADPO_NUL SIZE_MAX /* a size: "up to the NUL" */
#if defined(__GNUC__)
#define HADPO_API __attribute__((visibility("default")))
#else
#define HADPO_API
#endif
#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t hadpo_status;
enum {
    HADPO_OK = 0,
    HADPO_E_INTERNAL = 1,  HADPO_E_NO_MEMORY = 2,                      /* our fault, the machine's */
    HADPO_E_ARGUMENT = 10, HADPO_E_STATE = 11, HADPO_E_BUSY = 12,      /* the caller's code */
    HADPO_E_JSON = 20,     HADPO_E_CONFIG = 21,                        /* the caller's text */
    HADPO_E_IO = 30,       HADPO_E_FORMAT = 31, HADPO_E_WEIGHTS = 32,  /* files */
    HADPO_E_DEVICE = 40,   HADPO_E_UNSUPPORTED = 41,
    HADPO_E_NUMERICS = 50,                                             /* non-finite loss */
    HADPO_E_CANCELLED = 60, HADPO_E_CALLBACK = 61
};

typedef struct hadpo_error   hadpo_error;   /* why a call failed, as JSON: status, name, message, where, found, expected */
typedef struct hadpo_bytes   hadpo_bytes;   /* a result: text or JSON, NUL-terminated beyond its size */
typedef struct hadpo_engine  hadpo_engine;  /* threads, kernels, memory limit, event sink, interrupt flag */
typedef struct hadpo_image   hadpo_image;   /* immutable RGB pixels */
typedef struct hadpo_model   hadpo_model;   /* weights (mapped), tokenizer, image pipeline, at most one adapter */
typedef struct hadpo_trainer hadpo_trainer; /* a model's adapter in training: optimizer, data, position */

/* One JSON record, on the thread that made the call, at least every 500 ms during long work.
 * Non-zero stops the call with HADPO_E_CALLBACK. `record` is valid during the callback only. */
typedef int32_t (*hadpo_event_fn)(const char *record, size_t size, void *user);

/* -- library, since 0.1 [any] ------------------------------------------------------------------------------------ */
HADPO_API uint32_t    hadpo_abi(void);                            /* HADPO_ABI of the library that was loaded */
HADPO_API const char *hadpo_version(void);                        /* static */
HADPO_API const char *hadpo_status_name(hadpo_status status);     /* static, never NULL */
HADPO_API const char *hadpo_error_json(const hadpo_error *error); /* lives as long as error */
HADPO_API void        hadpo_error_free(hadpo_error *error);
HADPO_API const char *hadpo_bytes_data(const hadpo_bytes *bytes); /* lives as long as bytes */
HADPO_API size_t      hadpo_bytes_size(const hadpo_bytes *bytes); /* without the NUL */
HADPO_API void        hadpo_bytes_free(hadpo_bytes *bytes);
/* All keys of a schema, such as "hadpo.train/1", with their defaults; required keys are null. */
HADPO_API hadpo_status hadpo_config_default(const char *schema, hadpo_bytes **json, hadpo_error **error);
/* A config of any schema, checked, with every default filled in. */
HADPO_API hadpo_status hadpo_config_resolve(const char *config, size_t size, hadpo_bytes **json, hadpo_error **error);
/* A config that need not be whole, filled up with the defaults of the model's family; model may be NULL. What is given is
 * checked, what is required and left out is null. */
HADPO_API hadpo_status hadpo_config_complete(const char *config, size_t size, hadpo_model *model, hadpo_bytes **json,
                                             hadpo_error **error);

/* -- engine and images, since 0.1 -------------------------------------------------------------------------------- */
/* config: "hadpo.engine/1". on_event may be NULL. */
HADPO_API hadpo_status hadpo_engine_open(const char *config, size_t size, hadpo_event_fn on_event, void *user,
                                         hadpo_engine **engine, hadpo_error **error);
HADPO_API void         hadpo_engine_interrupt(hadpo_engine *engine); /* [any], from a signal handler too */
HADPO_API void         hadpo_engine_free(hadpo_engine *engine);
/* Rows of `row_bytes` bytes, top row first, R G B of 8 bits each; copied. [any] */
HADPO_API hadpo_status hadpo_image_from_rgb8(const uint8_t *pixels, size_t width, size_t height, size_t row_bytes,
                                             hadpo_image **image, hadpo_error **error);
/* PNG or JPEG file contents, converted to RGB as PIL does (EXIF orientation is not applied). [any] */
HADPO_API hadpo_status hadpo_image_decode(const void *data, size_t size, hadpo_image **image, hadpo_error **error);
HADPO_API void         hadpo_image_free(hadpo_image *image);

/* -- model, since 0.1 -------------------------------------------------------------------------------------------- */
/* config: "hadpo.model/1". Weights stay in their file (mapped); nothing is executed. */
HADPO_API hadpo_status hadpo_model_open(hadpo_engine *engine, const char *config, size_t size, hadpo_model **model,
                                        hadpo_error **error);
/* Family, sizes, layout, dtypes, tokenizer, image pipeline, memory: everything that was understood from the folder. */
HADPO_API hadpo_status hadpo_model_describe(hadpo_model *model, hadpo_bytes **json, hadpo_error **error);
/* request: "hadpo.generate/1". Text, token ids, finish reason. image is NULL for a prompt without <image>. [one] */
HADPO_API hadpo_status hadpo_model_generate(hadpo_model *model, const char *request, size_t size,
                                            const hadpo_image *image, hadpo_bytes **json, hadpo_error **error);
/* request: "hadpo.score/1". Log-probability (nats) of each completion token, end token included. capacity counts
 * floats; 0 (logps may be NULL then) asks only for *count. [one] */
HADPO_API hadpo_status hadpo_model_score(hadpo_model *model, const char *request, size_t size,
                                         const hadpo_image *image, float *logps, size_t capacity, size_t *count,
                                         hadpo_error **error);
/* request: "hadpo.inspect/1". Writes one safetensors file: pixel_values, prompt_ids, every vision and decoder block,
 * projected features, logits, log-probs. [one] */
HADPO_API hadpo_status hadpo_model_inspect(hadpo_model *model, const char *request, size_t size,
                                           const hadpo_image *image, const char *path, hadpo_error **error);
/* A PEFT adapter folder (adapter_config.json + .safetensors or .bin, projector weights in it or beside it). Replaces any. A
 * training that is opened on the model continues it. [one] */
HADPO_API hadpo_status hadpo_adapter_load(hadpo_model *model, const char *directory, hadpo_error **error);
HADPO_API hadpo_status hadpo_adapter_unload(hadpo_model *model, hadpo_error **error); /* the base again. [one] */
/* config: "hadpo.export/1". Merges the adapter in fp32, rounds once, writes a Hugging Face folder. [one] */
HADPO_API hadpo_status hadpo_export(hadpo_model *model, const char *config, size_t size, hadpo_error **error);
HADPO_API void         hadpo_model_free(hadpo_model *model);

/* -- training, since 0.1 ----------------------------------------------------------------------------------------- */
/* config: "hadpo.train/1". Reads and checks the data; the model's adapter belongs to the trainer until it is freed. */
HADPO_API hadpo_status hadpo_trainer_open(hadpo_model *model, const char *config, size_t size, hadpo_trainer **trainer,
                                          hadpo_error **error);
/* Runs `steps` optimizer steps, or to the end with 0. A stopped run can be saved, resumed and run on. With "guard" in the
 * config it looks at the model between steps (events "guard") and may end before: event "guard_stop", in the report too.
 * [one] */
HADPO_API hadpo_status hadpo_trainer_run(hadpo_trainer *trainer, uint64_t steps, hadpo_bytes **report,
                                         hadpo_error **error);
/* Adapter (PEFT format), projector, optimizer state, position. Written beside and renamed. [one] */
HADPO_API hadpo_status hadpo_trainer_save(hadpo_trainer *trainer, const char *directory, hadpo_error **error);
/* Continues where `directory` was saved, to the same bits as without the stop. [one] */
HADPO_API hadpo_status hadpo_trainer_resume(hadpo_trainer *trainer, const char *directory, hadpo_error **error);
/* Losses, log-probs, parameters and every gradient of the step that would come next, as one safetensors file. The
 * trainer does not move. [one] */
HADPO_API hadpo_status hadpo_trainer_inspect(hadpo_trainer *trainer, const char *path, hadpo_error **error);
HADPO_API void         hadpo_trainer_free(hadpo_trainer *trainer);
/* config: "hadpo.train/1". Walks data and config without training: what is missing or would be rejected, sequence
 * lengths, memory plan. [one] */
HADPO_API hadpo_status hadpo_data_check(hadpo_model *model, const char *config, size_t size, hadpo_bytes **report,
                                        hadpo_error **error);

/* -- evaluation, since 0.1 --------------------------------------------------------------------------------------- */
/* config: "hadpo.pope/1". Asks every question of a POPE file; answers are appended as they come and a second run asks
 * only what is missing. The report holds the score. [one] */
HADPO_API hadpo_status hadpo_pope_run(hadpo_model *model, const char *config, size_t size, hadpo_bytes **report,
                                      hadpo_error **error);
/* POPE question file and an answers file of any model, both JSON Lines: the official rule. [any] */
HADPO_API hadpo_status hadpo_pope_score(const char *questions_jsonl, size_t questions_size, const char *answers_jsonl,
                                        size_t answers_size, hadpo_bytes **report, hadpo_error **error);
/* config: "hadpo.pope-score/1". Answers files of any model against one or more question files, under the official rule and
 * those of other harnesses, with intervals, named outcomes and a comparison of two runs. [any] */
HADPO_API hadpo_status hadpo_pope_evaluate(const char *config, size_t size, hadpo_bytes **report, hadpo_error **error);
/* config: "hadpo.pope-build/1". POPE questions from COCO instances or other annotated pictures. [any] */
HADPO_API hadpo_status hadpo_pope_build(const char *config, size_t size, hadpo_bytes **report, hadpo_error **error);
/* config: "hadpo.chair-score/1". CHAIRs, CHAIRi, recall, length of captions of any model. [any] */
HADPO_API hadpo_status hadpo_chair_score(const char *config, size_t size, hadpo_bytes **report, hadpo_error **error);
/* config: "hadpo.shr-describe/1". Describes the pictures of SHR with upstream's decoding for the family; descriptions are
 * appended as they come and a second run makes only what is missing. [one] */
HADPO_API hadpo_status hadpo_shr_describe(hadpo_model *model, const char *config, size_t size, hadpo_bytes **report,
                                          hadpo_error **error);
/* config: "hadpo.shr-requests/1". What a judge is asked about descriptions of any model, as OpenAI batch lines. [any] */
HADPO_API hadpo_status hadpo_shr_requests(const char *config, size_t size, hadpo_bytes **report, hadpo_error **error);
/* config: "hadpo.shr-score/1". The judge's replies, or annotations as the judge: SHR, a record for every sentence. [any] */
HADPO_API hadpo_status hadpo_shr_score(const char *config, size_t size, hadpo_bytes **report, hadpo_error **error);
/* config: "hadpo.shr-agree/1". How far two judges agree on the same sentences. [any] */
HADPO_API hadpo_status hadpo_shr_agree(const char *config, size_t size, hadpo_bytes **report, hadpo_error **error);
/* config: "hadpo.report/1". One HTML page out of answers, scores and training logs, of one run or of before and after; it
 * loads nothing. The report holds every figure on it. [any] */
HADPO_API hadpo_status hadpo_report_write(const char *config, size_t size, hadpo_bytes **report, hadpo_error **error);

/* -- the world in the box, since 0.1 ----------------------------------------------------------------------------- */
/* config: "hadpo.world/1". Writes the world: checkpoint, pictures, Visual Genome, POPE and annotation files. */
HADPO_API hadpo_status hadpo_world_make(hadpo_engine *engine, const char *config, size_t size, hadpo_bytes **report,
                                        hadpo_error **error);
/* config: "hadpo.world-pairs/1". The model describes the world's training pictures and answers questions on them; what
 * it got wrong becomes preference pairs in upstream's files (desc_data.json, pope_data.json). [one] */
HADPO_API hadpo_status hadpo_world_pairs(hadpo_model *model, const char *config, size_t size, hadpo_bytes **report,
                                         hadpo_error **error);
/* config: "hadpo.world-base/1". Trains the world's base checkpoint from nothing. */
HADPO_API hadpo_status hadpo_world_train(hadpo_engine *engine, const char *config, size_t size, hadpo_bytes **report,
                                         hadpo_error **error);

#ifdef __cplusplus
}
#endif
#endif
