/* texts.c - the JSON and the paths that calls are made with: mostly as they should be, on files of a few lines, and now and then not.
 *
 * Everything that is written has a relative name, and no mutation makes a '/' or a digit more: nothing lands outside of the
 * present folder, and no count grows beyond nine. */
#include "calls.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static char fixtures[1024];

#define MODEL_PATH "\"path\":\"%F/llava/old-f32\""
#define DATA "\"data\":{\"format\":\"pairs\",\"pairs\":\"pairs.jsonl\",\"images\":\"%F/llava/pictures\"}"
#define SMALL "\"batch\":1,\"accumulation\":1,\"lora\":{\"rank\":2,\"alpha\":4}"
#define TRAIN(more) "{\"schema\":\"hadpo.train/1\"," DATA "," SMALL "," more "}"
#define MODEL_OF(more) "{\"schema\":\"hadpo.model/1\"," more "}"
#define GENERATE(more) "{\"schema\":\"hadpo.generate/1\"," more "}"
#define SPLITS "\"splits\":[{\"questions\":\"questions.json\",\"answers\":\"answers.jsonl\"}],\"resamples\":9"
#define POPE(more) "{\"schema\":\"hadpo.pope/1\",\"questions\":\"questions.json\",\"images\":\"%F/llava/pictures\",\"max_new_tokens\":1" more "}"
#define DESCRIBED "\"answers\":\"descriptions.json\",\"vg\":\"world/VG\",\"shr\":\"world/shr\""

/* %F: the folder of the fixtures; %N: a digit. */
static const char *const texts[TEXTS][9] = {
    [ENGINE_TEXT] = {"{\"schema\":\"hadpo.engine/1\",\"threads\":1}", "{\"schema\":\"hadpo.engine/1\",\"threads\":2}",
                     "{\"schema\":\"hadpo.engine/1\",\"threads\":1,\"numerics\":\"fast\"}",
                     "{\"schema\":\"hadpo.engine/1\",\"threads\":1,\"kernels\":\"portable\"}",
                     "{\"schema\":\"hadpo.engine/1\",\"threads\":1,\"memory_limit\":400000}",
                     "{\"schema\":\"hadpo.engine/1\",\"threads\":1,\"memory_limit\":9}"},
    [MODEL_TEXT] = {MODEL_OF(MODEL_PATH), MODEL_OF("\"path\":\"%F/llava/new-bf16\""), MODEL_OF("\"path\":\"%F/llava/tf5-f16\""),
                    MODEL_OF(MODEL_PATH ",\"adapter\":\"saved\""), MODEL_OF(MODEL_PATH ",\"load\":\"read\",\"weights\":\"int8\""),
                    MODEL_OF("\"path\":\"%F/minigpt4/model\""), MODEL_OF("\"path\":\"%F/instructblip/hf\""),
                    MODEL_OF("\"path\":\"no-such-folder\""), MODEL_OF("\"path\":\"exported-1%N\"")},
    [GENERATE_TEXT] = {GENERATE("\"question\":\"What?\",\"max_new_tokens\":2"), GENERATE("\"prompt\":\"a\",\"max_new_tokens\":3"),
                       GENERATE("\"question\":\"What?\",\"max_new_tokens\":4,\"stream\":true"),
                       GENERATE("\"question\":\"What?\",\"max_new_tokens\":2,\"num_beams\":2"),
                       GENERATE("\"prompt\":\"a b\",\"max_new_tokens\":3,\"do_sample\":true,\"seed\":7"),
                       GENERATE("\"prompt\":\"<image> <image>\",\"max_new_tokens\":1"), GENERATE("\"max_new_tokens\":1"),
                       GENERATE("\"prompt\":\"\\u00e9\\ud83d\\ude00\",\"max_new_tokens\":1,\"stop\":[\"a\",\"\"]"),
                       GENERATE("\"prompt\":\"a\",\"question\":\"b\"")},
    [SCORE_TEXT] = {"{\"schema\":\"hadpo.score/1\",\"question\":\"What?\",\"completion\":\"A dog.\"}",
                    "{\"schema\":\"hadpo.score/1\",\"prompt\":\"a\",\"completion\":\"b\"}",
                    "{\"schema\":\"hadpo.score/1\",\"prompt\":\"\",\"completion\":\"\"}", "{\"schema\":\"hadpo.score/1\"}"},
    [INSPECT_TEXT] = {"{\"schema\":\"hadpo.inspect/1\",\"question\":\"What?\"}",
                      "{\"schema\":\"hadpo.inspect/1\",\"prompt\":\"a\",\"completion\":\"b\"}"},
    [EXPORT_TEXT] = {"{\"schema\":\"hadpo.export/1\",\"output\":\"exported-%N%N\"}",
                     "{\"schema\":\"hadpo.export/1\",\"output\":\"exported-int8-%N\",\"weights\":\"int8\"}",
                     "{\"schema\":\"hadpo.export/1\",\"output\":\"a-file\"}"},
    [TRAIN_TEXT] = {TRAIN("\"steps\":3"), TRAIN("\"steps\":2,\"overwrite\":true,\"log\":\"training.jsonl\""),
                    TRAIN("\"steps\":2,\"reference\":{\"cache\":\"reference.jsonl\"}"),
                    TRAIN("\"steps\":2,\"output\":\"kept\",\"save_every\":1,\"overwrite\":true"),
                    TRAIN("\"steps\":2,\"guard\":{\"every\":1,\"pairs\":2},\"vision_tower\":true"),
                    TRAIN("\"steps\":4,\"optimizer\":{\"learning_rate\":9}"),
                    "{\"schema\":\"hadpo.train/1\",\"method\":\"sft\",\"data\":{\"format\":\"samples\",\"samples\":\"samples.jsonl\","
                    "\"images\":\"%F/llava/pictures\"},\"steps\":2,\"batch\":1,\"lora\":{\"rank\":0},\"all_weights\":true}",
                    "{\"schema\":\"hadpo.train/1\"}"},
    [POPE_TEXT] = {POPE(""), POPE(",\"answers\":\"asked.jsonl\""), POPE(",\"num_beams\":2,\"limit\":1"),
                   POPE(",\"further\":[{\"questions\":\"questions.json\"}],\"batch\":1")},
    [POPE_SCORE_TEXT] = {"{\"schema\":\"hadpo.pope-score/1\"," SPLITS "}", "{\"schema\":\"hadpo.pope-score/1\"," SPLITS ",\"records\":\"records.jsonl\"}",
                         "{\"schema\":\"hadpo.pope-score/1\"}"},
    [POPE_BUILD_TEXT] = {"{\"schema\":\"hadpo.pope-build/1\",\"annotations\":\"objects.json\",\"output\":\"built\",\"images\":2,\"per_image\":1}",
                         "{\"schema\":\"hadpo.pope-build/1\",\"annotations\":\"samples.jsonl\",\"output\":\"built\"}"},
    [CHAIR_TEXT] = {"{\"schema\":\"hadpo.chair-score/1\",\"captions\":\"captions.json\",\"synonyms\":\"world/synonyms.txt\",\"objects\":\"objects.json\","
                    "\"resamples\":9,\"records\":\"words.jsonl\"}",
                    "{\"schema\":\"hadpo.chair-score/1\",\"captions\":\"objects.json\",\"synonyms\":\"captions.json\"}"},
    [DESCRIBE_TEXT] = {"{\"schema\":\"hadpo.shr-describe/1\",\"vg\":\"world/VG\",\"shr\":\"world/shr\",\"images\":\"world/VG\","
                       "\"output\":\"described-%N%N.jsonl\",\"max_new_tokens\":2,\"num_beams\":1}"},
    [REQUESTS_TEXT] = {"{\"schema\":\"hadpo.shr-requests/1\"," DESCRIBED ",\"output\":\"requests.jsonl\"}"},
    [SHR_TEXT] = {"{\"schema\":\"hadpo.shr-score/1\"," DESCRIBED ",\"judge\":\"annotations\",\"resamples\":9,\"output\":\"scored\"}",
                  "{\"schema\":\"hadpo.shr-score/1\"," DESCRIBED ",\"replies\":\"answers.jsonl\"}"},
    [AGREE_TEXT] = {"{\"schema\":\"hadpo.shr-agree/1\",\"a\":\"scored/sentences.jsonl\",\"b\":\"scored/sentences.jsonl\"}",
                    "{\"schema\":\"hadpo.shr-agree/1\",\"a\":\"samples.jsonl\",\"b\":\"captions.json\"}"},
    [REPORT_TEXT] = {"{\"schema\":\"hadpo.report/1\",\"output\":\"page.html\",\"pope\":{" SPLITS "},\"pictures\":[\"%F/llava/pictures\"],\"resamples\":9}",
                     "{\"schema\":\"hadpo.report/1\",\"output\":\"page.html\",\"training\":[\"training.jsonl\"]}",
                     "{\"schema\":\"hadpo.report/1\",\"output\":\"world\",\"shr\":{\"scored\":\"scored\"},\"resamples\":9}"},
    [WORLD_TEXT] = {"{\"schema\":\"hadpo.world/1\",\"output\":\"another-world\",\"evaluation_images\":2,\"training_images\":1}"},
    [PAIRS_TEXT] = {"{\"schema\":\"hadpo.world-pairs/1\",\"world\":\"world\",\"output\":\"world-pairs\",\"images\":1}"},
    /* Steps by the thousand: it is only called with a callback that stops it, or with a stage that there is not. */
    [BASE_TEXT] = {"{\"schema\":\"hadpo.world-base/1\",\"output\":\"base\",\"scale\":0,\"stages\":[\"none\"]}",
                   "{\"schema\":\"hadpo.world-base/1\",\"output\":\"base\",\"start\":\"no-such-folder\"}"},
};

static const char *const whole_files[][2] = {
    {"a-file", "a file where a folder is expected\n"},
    {"pairs.jsonl", "{\"image\":\"wide.jpg\",\"question\":\"What?\",\"chosen\":\"A red cup.\",\"rejected\":\"A cat.\"}\n"
                    "{\"image\":\"tall.png\",\"question\":\"What?\",\"chosen\":\"A book.\",\"rejected\":\"A horse.\"}\n"},
    {"samples.jsonl", "{\"image\":\"wide.jpg\",\"question\":\"What?\",\"answer\":\"A red cup.\"}\n"},
    {"questions.json", "{\"question_id\":1,\"image\":\"wide.jpg\",\"text\":\"Is there a cat in the image?\",\"label\":\"no\"}\n"
                       "{\"question_id\":2,\"image\":\"tall.png\",\"text\":\"Is there a cup in the image?\",\"label\":\"yes\"}\n"},
    {"answers.jsonl", "{\"question_id\":1,\"question\":\"Is there a cat in the image?\",\"answer\":\"No.\"}\n"
                      "{\"question_id\":2,\"question\":\"Is there a cup in the image?\",\"answer\":\"No.\"}\n"},
    {"captions.json", "{\"1\":\"A bench and a car.\",\"2\":\"A bench.\"}"},
    {"objects.json", "{\"1\":[\"bench\",\"lantern\"],\"2\":[\"bench\",\"house\"]}"},
    {"descriptions.json", "{\"2000001\":\"There is a house. There is a bus.\",\"2000002\":\"There is a fish.\"}"},
};

static struct {
    unsigned char bytes[MOST_PICTURE];
    size_t size;
} pictures[2];

static bool read_picture(int which, const char *name)
{
    char path[2048];
    snprintf(path, sizeof path, "%s/llava/pictures/%s", fixtures, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) return false;
    pictures[which].size = fread(pictures[which].bytes, 1, MOST_PICTURE, file);
    fclose(file);
    return pictures[which].size > 0 && pictures[which].size < MOST_PICTURE;
}

size_t copy_picture(unsigned char *bytes, bool is_png)
{
    memcpy(bytes, pictures[is_png].bytes, pictures[is_png].size);
    return pictures[is_png].size;
}

bool prepare_files(const char *folder)
{
    snprintf(fixtures, sizeof fixtures, "%s", folder);
    if (!read_picture(0, "wide.jpg") || !read_picture(1, "tall.png")) return false;
    for (size_t i = 0; i < sizeof whole_files / sizeof whole_files[0]; i++) {
        FILE *file = fopen(whole_files[i][0], "w");
        if (file == NULL) return false;
        fputs(whole_files[i][1], file);
        if (fclose(file) != 0) return false;
    }
    return true;
}

const char *fixtures_folder(void)
{
    return fixtures;
}

const char *choose_path(chance *chance)
{
    static const char *const paths[] = {"inspected.safetensors", "saved", "saved", "kept", "another", "world", "a-file",
                                        "no-such-folder/x", "", "with\nnewline", "\xff\xfe"};
    unsigned count = sizeof paths / sizeof paths[0], which = below(chance, count + 1);
    return which == count ? NULL : paths[which];
}

static void fill(call *call, const char *form)
{
    char *text = call->text;
    size_t used = 0, length = strlen(fixtures);
    for (; *form != 0 && used + length + 1 < MOST_TEXT; form++) {
        if (form[0] == '%' && form[1] == 'F') {
            memcpy(text + used, fixtures, length);
            used += length;
            form++;
        } else if (form[0] == '%' && form[1] == 'N') {
            text[used++] = (char)('0' + below(call->chance, 10));
            form++;
        } else {
            text[used++] = *form;
        }
    }
    text[used] = 0;
}

/* A number in it becomes one that nothing expects; not of a training or a world, which would take it for its steps or pictures. */
static void put_number(call *call)
{
    static const char *const numbers[] = {"-1", "0", "1.5", "1e999", "9223372036854775807", "18446744073709551616", "-0.0", "null",
                                          "true", "\"1\"", "[]"};
    char *at = call->text, rest[MOST_TEXT + 1];
    for (unsigned skip = below(call->chance, 3); (at = strpbrk(at, ":")) != NULL; at++)
        if (isdigit((unsigned char)at[1]) && skip-- == 0) break;
    const char *number = numbers[below(call->chance, sizeof numbers / sizeof numbers[0])];
    if (at == NULL) return;
    char *end = at + 1;
    while (isdigit((unsigned char)*end)) end++;
    snprintf(rest, sizeof rest, "%s", end);
    size_t room = (size_t)(call->text + MOST_TEXT - at);
    snprintf(at + 1, room, "%s%s", number, rest);
}

static void damage(call *call, text_kind kind)
{
    static const char letters[] = "{}[]\",:\\ \t\n\x01\x7f\x80\xc3\xff" "aeu-+";
    size_t length = strlen(call->text);
    size_t at = length == 0 ? 0 : below(call->chance, (unsigned)length);
    switch (below(call->chance, 5)) {
    case 0: call->size = at; return; /* cut off */
    case 1:
    case 2: call->text[at] = letters[below(call->chance, sizeof letters - 1)]; break;
    case 3: if (length + 2 < MOST_TEXT) memmove(call->text + at + 1, call->text + at, length - at + 1); break; /* a letter twice */
    default: if (kind != TRAIN_TEXT && kind != WORLD_TEXT && kind != PAIRS_TEXT && kind != BASE_TEXT) put_number(call); break;
    }
    call->size = happens(call->chance, 50) ? HADPO_NUL : strlen(call->text);
}

void choose_text(call *call, text_kind kind)
{
    if (kind == NO_TEXT) return;
    if (kind == ANY_TEXT) kind = (text_kind)(ENGINE_TEXT + below(call->chance, ANY_TEXT - ENGINE_TEXT));
    unsigned count = 0;
    while (count < sizeof texts[kind] / sizeof texts[kind][0] && texts[kind][count] != NULL) count++;
    fill(call, texts[kind][happens(call->chance, 30) ? 0 : below(call->chance, count)]);
    call->size = happens(call->chance, 50) ? HADPO_NUL : strlen(call->text);
    if (happens(call->chance, 15)) damage(call, kind);
    call->text_is_null = happens(call->chance, 2);
}
