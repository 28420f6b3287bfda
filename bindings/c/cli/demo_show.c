/* demo_show.c - what the demo came to: for people, for machines, and as a page. */
#include "demo.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int demo_write_page(demo_state *demo)
{
    char path[4096], name[128];
    const char *wanted = cli_text(demo->call, "report");
    json *config = json_object_new_object();
    path_set(config, "schema", text_value("hadpo.report/1"));
    path_set(config, "output", text_value(in_folder(demo, "report.html", path, sizeof path)));
    if (wanted != NULL && !cli_switch(demo->call, "all")) path_set(config, "output", text_value(wanted));
    if (wanted != NULL && cli_switch(demo->call, "all")) {
        /* One for each: all.html becomes all-minigpt4.html. */
        const char *dot = strrchr(wanted, '.'), *slash = strrchr(wanted, '/');
        if (dot == NULL || (slash != NULL && dot < slash)) dot = wanted + strlen(wanted);
        snprintf(path, sizeof path, "%.*s-%s%s", (int)(dot - wanted), wanted, demo->family, dot);
        path_set(config, "output", text_value(path));
    }
    snprintf(name, sizeof name, "HA-DPO on a small world: %s", demo->title);
    path_set(config, "title", text_value(name));
    for (int i = 0; i < SPLITS; i++) {
        json *questions, *answers;
        snprintf(name, sizeof name, "world/POPE/output/coco/coco_pope_%s.json", demo_splits[i]);
        questions = text_value(in_folder(demo, name, path, sizeof path));
        snprintf(name, sizeof name, "pope_%s_after.jsonl", demo_splits[i]);
        answers = text_value(in_folder(demo, name, path, sizeof path));
        page_add_split(config, questions, answers);
        json_object_put(questions);
        json_object_put(answers);
        json *split = json_object_array_get_idx(path_get(config, "pope.splits"), (size_t)i);
        path_set(split, "name", text_value(demo_splits[i]));
        snprintf(name, sizeof name, "pope_%s_before.jsonl", demo_splits[i]);
        path_set(split, "baseline", text_value(in_folder(demo, name, path, sizeof path)));
    }
    path_set(config, "shr.scored", text_value(in_folder(demo, "shr_after", path, sizeof path)));
    path_set(config, "shr.baseline", text_value(in_folder(demo, "shr_before", path, sizeof path)));
    json *training = json_object_new_array(), *pictures = json_object_new_array();
    json_object_array_add(training, text_value(in_folder(demo, "training.jsonl", path, sizeof path)));
    path_set(config, "training", training);
    json_object_array_add(pictures, text_value(in_folder(demo, "world/VG", path, sizeof path)));
    json_object_array_add(pictures, text_value(in_folder(demo, "world/coco2014/val2014", path, sizeof path)));
    path_set(config, "pictures", pictures);
    return page_write(config, &demo->page);
}

enum { SHR_COLUMNS = 6 };
static const struct {
    const char *title, *key;
    double scale;
} shr_columns[SHR_COLUMNS] = {{"SPI", "sents_per_image", 1},        {"WPI", "words_per_image", 1},
                              {"HSPI", "hal_sents_per_image", 1},   {"HWPI", "hal_words_per_image", 1},
                              {"HSR, %", "hal_sents_ratio", 100}, {"HWR, %", "hal_words_ratio", 100}};

/* SHR in the paper's columns: sentences and words per image, hallucinated ones of them, and their share. */
static void print_shr(const demo_state *demo)
{
    json *figures[2] = {path_get(demo->shr[BEFORE], "corrected"), path_get(demo->shr[AFTER], "corrected")};
    say("\n%-21s", "SHR, by annotations");
    for (int i = 0; i < SHR_COLUMNS; i++) say("%11s", shr_columns[i].title);
    for (int row = BEFORE; row <= AFTER + 1; row++) {
        say("\n%-14s%-7s", row == BEFORE ? "descriptions" : "", row > AFTER ? "change" : demo_whens[row]);
        for (int i = 0; i < SHR_COLUMNS; i++) {
            double before = number_at(figures[BEFORE], shr_columns[i].key, NAN) * shr_columns[i].scale;
            double after = number_at(figures[AFTER], shr_columns[i].key, NAN) * shr_columns[i].scale;
            if (row > AFTER)
                say("%+11.2f", after - before);
            else
                say("%11.2f", row == BEFORE ? before : after);
        }
    }
    json *level = path_get(demo->shr[AFTER], "comparison.same_number_of_words"), *range = path_get(level, "bootstrap_95");
    say("\nsame number of words: HSR %.2f -> %.2f", 100 * number_at(level, "baseline", NAN), 100 * number_at(level, "run", NAN));
    if (length_of(range) == 2)
        say(", change %+.2f [%+.1f %+.1f]", 100 * number_at(level, "difference", NAN),
               100 * json_object_get_double(json_object_array_get_idx(range, 0)),
               100 * json_object_get_double(json_object_array_get_idx(range, 1)));
    say("\n%.0f pictures; the judge is a list of what each shows, no model: a sentence that names something else is hallucinated\n",
           number_at(demo->shr[AFTER], "images", 0));
}

void demo_print(const demo_state *demo)
{
    say("\n");
    print_pope_table_head();
    for (int i = 0; i < SPLITS; i++) {
        print_pope_table_row(demo_splits[i], "before", demo->pope[BEFORE][i]);
        print_pope_table_row("", "after", demo->pope[AFTER][i]);
        print_pope_table_change(demo->pope[BEFORE][i], demo->pope[AFTER][i]);
    }
    print_shr(demo);
    gallery_print(&demo->gallery, 2);
    say("  x: names something that is not in the picture\n");
    page_say(demo->page);
    say("\nseconds: world %.1f, asking %.1f, pairs %.1f, training %.1f, asking again %.1f\n", demo->seconds_world,
           demo->seconds_asking[BEFORE], demo->seconds_pairs, demo->seconds_training, demo->seconds_asking[AFTER]);
}

static json *count_json(json *shr)
{
    json *object = json_object_new_object(), *figures = path_get(shr, "corrected");
    double descriptions = number_at(figures, "descriptions", 0);
    path_set(object, "descriptions", json_object_new_int((int)descriptions));
    path_set(object, "sentences", json_object_get(path_get(figures, "sentences.total")));
    path_set(object, "naming_absent", json_object_get(path_get(figures, "sentences.hallucination")));
    path_set(object, "words", json_object_new_int((int)(number_at(figures, "words_per_image", 0) * descriptions + 0.5)));
    return object;
}

json *demo_json(const demo_state *demo)
{
    json *all = json_object_new_object();
    for (int when = BEFORE; when <= AFTER; when++) {
        const char *name = demo_whens[when];
        char key[64];
        for (int i = 0; i < SPLITS; i++) {
            snprintf(key, sizeof key, "%s.pope.%s", name, demo_splits[i]);
            path_set(all, key, json_object_get(demo->pope[when][i]));
        }
        snprintf(key, sizeof key, "%s.descriptions", name);
        path_set(all, key, count_json(demo->shr[when]));
        snprintf(key, sizeof key, "%s.shr", name);
        path_set(all, key, json_object_get(demo->shr[when]));
        snprintf(key, sizeof key, "%s.seconds", name);
        path_set(all, key, json_object_new_double(demo->seconds_asking[when]));
    }
    path_set(all, "pictures", gallery_json(&demo->gallery, 40));
    path_set(all, "report", json_object_get(demo->page));
    path_set(all, "world", json_object_get(demo->world));
    path_set(all, "pairs", json_object_get(demo->pairs));
    path_set(all, "training", json_object_get(demo->training));
    path_set(all, "seconds.world", json_object_new_double(demo->seconds_world));
    path_set(all, "seconds.pairs", json_object_new_double(demo->seconds_pairs));
    path_set(all, "seconds.training", json_object_new_double(demo->seconds_training));
    return all;
}
