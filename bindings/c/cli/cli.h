/* cli.h - what the files of the command-line tool share. The tool knows the library through hadpo.h alone; the library
 * knows the keys of every config, the tool only carries flags to them. */
#ifndef HADPO_CLI_H
#define HADPO_CLI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <json.h>

#include "hadpo.h"

typedef struct json_object json;

/* ---- exit codes; `hadpo --help` lists them ---------------------------------------------------------------------- */
enum {
    DONE = 0,
    FAILED = 1,     /* the library refused or broke */
    USAGE = 2,      /* this command line */
    BAD_INPUT = 3,  /* a config, or JSON that was given */
    BAD_FILE = 4,   /* a file, a checkpoint, a disk */
    CANCELLED = 5,  /* Ctrl-C */
    NUMERICS = 6,   /* the loss is no longer a number */
    NO_MEMORY = 7,
    DENIED = 8,    /* a server refuses the key, or the account is empty */
    INCOMPLETE = 9 /* some requests have no reply */
};

/* ---- options.c: the command line -------------------------------------------------------------------------------- */

/* What a flag's value is, and so how it is written into the config. */
typedef enum { SWITCH, TEXT, INTEGER, NUMBER, SIZE, LIST } value_kind;

/* One flag. `key` says where its value goes: "request.data.pope", "model.path", "engine.threads" are configs of the
 * library; "cli.keep" stays in the tool. */
typedef struct {
    char letter; /* 0: none */
    const char *name;
    value_kind kind;
    const char *metavar;
    const char *key;
    const char *help;
} flag;

typedef struct {
    const char *title;
    const flag *flags; /* ends with a NULL name */
} flag_group;

typedef struct {
    json *engine, *model, *request; /* configs, merged from --config, --set and flags in the order given */
    json *cli;
    char **files; /* what is not a flag */
    int n_files;
} invocation;

typedef struct command {
    const char *name;
    const char *schema; /* of the request; NULL: none */
    const char *summary;
    const char *usage;    /* after "hadpo NAME" */
    const char *teaching; /* paragraphs and examples at the end of --help */
    const flag_group *groups; /* ends with a NULL title */
    int (*run)(invocation *call);
} command;

extern const flag engine_flags[], model_flags[], output_flags[];
extern const flag generate_flags[], training_flags[], guard_flags[];

/* Fills `call`; on failure says why and returns an exit code. *wants_help is set by -h and --help. */
int parse_command_line(const command *command, int argc, char **argv, invocation *call, bool *wants_help);
void invocation_free(invocation *call);
bool cli_switch(const invocation *call, const char *name);
const char *cli_text(const invocation *call, const char *name); /* NULL: not given */
int usage_error(const command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
void print_command_help(const command *command);

/* ---- plain.c: text for people ------------------------------------------------------------------------------------ */
/* printf to standard output and to standard error. What strangers wrote - names, answers, messages - is put in with %s, and
 * what a terminal would obey is a blank in it, line ends too;
 * how many bytes. Nothing else in the tool writes to the terminal. */
int say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
void complain_with(const char *format, va_list values);
void say_lines(const char *text); /* a text of several lines, which stay */
/* One line of JSON: what a terminal would obey is escaped, so that a reader of the JSON gets it unchanged. */
void put_json(FILE *to, const char *text, size_t size);
/* Copies at most `room` - 1 bytes and a NUL, cleaned, cut between characters; how many bytes. */
size_t plain_text(char *to, size_t room, const char *from, size_t size, bool keep_lines);

/* ---- values.c: JSON and files ----------------------------------------------------------------------------------- */
json *path_get(json *object, const char *path); /* "data.pope"; NULL: absent */
int path_set(json *object, const char *path, json *value); /* takes `value`; -1: a part of the path is no object */
double number_at(json *object, const char *path, double otherwise);
const char *text_at(json *object, const char *path, const char *otherwise);
size_t length_of(json *array); /* 0: no array */
const char *json_text(json *value); /* compact; lives as long as value */
json *json_of(const char *text, size_t size);  /* an object or array; NULL: not JSON */
json *json_of_bytes(const hadpo_bytes *bytes);
char *read_file(const char *path, size_t *size); /* malloced, NUL-terminated; NULL: errno says why */
char *joined(const char *folder, const char *name);

/* ---- errors.c --------------------------------------------------------------------------------------------------- */
int exit_code_of(hadpo_status status);
/* Prints what, where, found and expected, what to do; frees the error; returns the exit code. */
int fail(const char *doing, hadpo_status status, hadpo_error *error);
int fail_file(const char *doing, const char *path); /* errno */

/* ---- events.c: what the library says while it works --------------------------------------------------------------- */
/* Prepares the reporter; `call` says whether records go out as JSON Lines. */
void events_begin(const invocation *call);
int32_t on_event(const char *record, size_t size, void *user);
void events_stream_text(bool on);  /* tokens to standard output as they come */
bool events_streamed(void);        /* whether any were, since the last call */
void events_label(const char *what); /* how people call the work under way */
void events_clear(void);           /* wipes the progress line */
void events_collect_loss(json *list); /* step records are added to this array; NULL: no more */

/* ---- session.c: engine, model, image ------------------------------------------------------------------------------ */
typedef struct {
    hadpo_engine *engine;
    hadpo_model *model;
} session;

int open_engine(session *session, const invocation *call);
int open_model(session *session, const invocation *call); /* opens the engine first when it is not */
int decode_image(const char *path, hadpo_image **image);
void close_session(session *session);
double seconds_now(void);

/* ---- report.c: for people ----------------------------------------------------------------------------------------- */
void print_report(json *value); /* keys and values, aligned */
void print_json(json *value);   /* one line */
void print_wrapped(const char *text, int indent, int width);
void print_pope_table_head(void);
void print_pope_table_row(const char *split, const char *when, json *report);
void print_pope_table_change(json *before, json *after);
const char *duration_text(double seconds, char *buffer, size_t size);

/* ---- pope_files.c: reports of evaluated files ---------------------------------------------------------------------- */
/* Prints the report with --json or `show`, or the error; frees both; returns the exit code. */
int finish_files(const invocation *call, const char *doing, hadpo_status status, hadpo_bytes *text, hadpo_error *error,
                 void (*show)(json *report));
/* Counts by name with the first of each kind, zeros left out; whether something other than plain counts was there. */
bool print_outcomes(json *outcomes);
/* "2997 of 3000", scored of asked, where a result has them. */
void coverage_text(json *result, char *buffer, size_t size);
/* Whose answers were scored, or that nothing says so. `what` begins the line. */
void print_origin(const char *what, json *origin);
/* "12.34 [11.0 13.9]" to the right of 20 columns; interval may be NULL, NAN is "-". */
void print_interval(double value, json *interval, double scale);

/* ---- outputs.c ------------------------------------------------------------------------------------------------------ */
/* DONE, or an exit code when it was said which two paths of the command line are one file. */
int outputs_check(const command *command, const invocation *call);
/* The same of keys of the model that the command would not use. */
int effects_check(const command *command, const invocation *call);

/* ---- page.c: the HTML report ---------------------------------------------------------------------------------------- */
/* A config of "hadpo.report/1" for --report FILE with the pictures of --pictures and --outside, or the request's outside; NULL: not asked for. */
json *page_config(const invocation *call);
/* Whether the page of --report could be written, asked before long work; 0, or an exit code when it was said that it cannot. */
int page_check(const invocation *call);
void page_add_split(json *config, json *questions, json *answers);
int page_write(json *config, json **result); /* takes config */
void page_say(json *result);                 /* where it is */
int page_finish(const invocation *call, json *config); /* both of these */
#define PARTIAL_FLAG \
    {0, "partial", SWITCH, NULL, "request.partial", "also score a part of what was asked; else what is missing is an error"}
#define PAGE_FLAG {0, "report", TEXT, "FILE", "cli.report", "also one HTML page with everything; `hadpo report` makes it of two runs"}
#define OUTSIDE_HELP "also pictures whose names in the files are absolute or have .. in them"
#define PICTURES_FLAGS \
    {0, "pictures", LIST, "DIR", "cli.pictures", "folder with the pictures, for --report; may be repeated"}, \
    {0, "outside", SWITCH, NULL, "cli.outside", OUTSIDE_HELP}

/* ---- commands ------------------------------------------------------------------------------------------------------ */
extern const command describe_command, score_command, inspect_command, train_command, check_command, export_command,
    pope_command, pope_score_command, pope_build_command, judge_command, shr_command, shr_describe_command,
    shr_requests_command,
    shr_agree_command, chair_command, report_command, demo_command, bench_command, world_command, config_command, version_command;

#endif
