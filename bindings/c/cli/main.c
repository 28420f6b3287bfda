/* main.c - hadpo: the command-line tool. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static const command *const commands[] = {&demo_command,  &describe_command, &score_command,  &pope_command,
                                          &pope_score_command, &pope_build_command, &judge_command, &shr_command, &shr_describe_command,
                                          &shr_requests_command, &shr_agree_command, &chair_command, &report_command, &check_command,
                                          &train_command, &export_command, &inspect_command, &bench_command, &world_command,
                                          &config_command, &version_command};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void)
{
    say("hadpo - measure how much a vision-language model invents, and train it to invent less\n"
         "\n"
         "usage: hadpo COMMAND [flags]          hadpo COMMAND --help explains a command, with examples\n\n");
    for (int i = 0; i < COMMANDS; i++) say("  %-13s %s\n", commands[i]->name, commands[i]->summary);
    say("\n"
         "Begin with `hadpo demo`: two minutes, no model to download. With a LLaVA-1.5 folder of your own:\n"
         "\n"
         "  hadpo inspect  -m llava-1.5-7b-hf                                    is the folder understood?\n"
         "  hadpo describe -m llava-1.5-7b-hf picture.jpg                        what does it say?\n"
         "  hadpo pope     -m llava-1.5-7b-hf -q coco_pope_random.json -i val2014 -o base.jsonl\n"
         "  hadpo train    -m llava-1.5-7b-hf --pairs pairs.jsonl -i pictures -o adapter\n"
         "  hadpo pope     -m llava-1.5-7b-hf -a adapter -q coco_pope_random.json -i val2014 -o after.jsonl\n"
         "\n"
         "Every command takes --config FILE.json (keys: `hadpo config SCHEMA`), --set KEY=VALUE, and flags for the common\n"
         "keys; later ones win. --json prints the result for machines, --events the progress.\n"
         "\n"
         "exit codes\n"
         "  0  done                                  4  a file, a checkpoint or a disk is at fault\n"
         "  1  the library refused or failed         5  stopped with Ctrl-C (training was saved)\n"
         "  2  this command line is wrong            6  numerics: the loss is no longer finite\n"
         "  3  a config or JSON is wrong             7  not enough memory\n"
         "  8  the key is refused, the quota is used up (judge)\n"
         "  9  some requests have no reply (judge)\n");
}

/* Flags of the tool itself that have no effect beside the others. */
static int check_flags(const command *command, const invocation *call)
{
    if (cli_switch(call, "events") && cli_switch(call, "quiet"))
        return usage_error(command, "--events and --quiet: progress is wanted, or it is not");
    if (cli_text(call, "report") == NULL && path_get(call->cli, "pictures") != NULL)
        return usage_error(command, "--pictures is for the page that --report FILE writes");
    if (cli_text(call, "report") == NULL && cli_switch(call, "outside"))
        return usage_error(command, "--outside is for the pictures of the page that --report FILE writes");
    int outcome = effects_check(command, call);
    return outcome == DONE ? outputs_check(command, call) : outcome;
}

static int run(const command *command, int argc, char **argv)
{
    invocation call;
    bool wants_help;
    int outcome = parse_command_line(command, argc, argv, &call, &wants_help);
    if (outcome == DONE && wants_help)
        print_command_help(command);
    else if (outcome == DONE) {
        outcome = check_flags(command, &call);
        if (outcome == DONE) outcome = command->run(&call);
    }
    invocation_free(&call);
    /* A result that could not be written is no result. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        int written = fail_file("cannot write the result", "standard output");
        if (outcome == DONE) outcome = written;
    }
    return outcome;
}

/* Some names have two words: "pope score". *words says how many of the arguments made the name. */
static const command *find_command(int argc, char **argv, int *words)
{
    for (*words = 2; *words > 0; --*words) {
        char name[64];
        if (*words > argc) continue;
        snprintf(name, sizeof name, *words == 2 ? "%s %s" : "%s", argv[0], *words == 2 ? argv[1] : "");
        for (int i = 0; i < COMMANDS; i++)
            if (strcmp(name, commands[i]->name) == 0) return commands[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int words;
    setvbuf(stderr, NULL, _IOLBF, 4096); /* a line in one piece, as `complain` writes it in several */
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        const command *asked = argc > 2 ? find_command(argc - 2, argv + 2, &words) : NULL;
        if (asked != NULL)
            print_command_help(asked);
        else
            print_help();
        return argc < 2 ? USAGE : DONE;
    }
    if (strcmp(argv[1], "--version") == 0) return run(&version_command, 1, argv + 1);
    const command *command = find_command(argc - 1, argv + 1, &words);
    if (command != NULL) return run(command, argc - words, argv + words);
    complain("hadpo: no command %s\n  try       hadpo --help\n", argv[1]);
    return USAGE;
}
