/* report.c - results for people: aligned keys and values, the POPE table, durations. */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *duration_text(double seconds, char *buffer, size_t size)
{
    long whole = (long)(seconds + 0.5);
    if (seconds < 0 || seconds > 1e8)
        snprintf(buffer, size, "?");
    else if (whole >= 3600)
        snprintf(buffer, size, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(buffer, size, "%02ld:%02ld", whole / 60, whole % 60);
    return buffer;
}

void print_json(json *value)
{
    const char *text = json_text(value);
    put_json(stdout, text, strlen(text));
}

static void print_scalar(json *value)
{
    if (json_object_is_type(value, json_type_string))
        say("%s\n", json_object_get_string(value));
    else if (json_object_is_type(value, json_type_double))
        say("%.6g\n", json_object_get_double(value));
    else
        say("%s\n", json_text(value));
}

static bool is_compound(json *value)
{
    return json_object_is_type(value, json_type_object) || json_object_is_type(value, json_type_array);
}

/* Arrays of plain values stay on one line; of others the first few are shown. */
static void print_value(json *value, int indent)
{
    enum { SHOWN = 8 };
    if (json_object_is_type(value, json_type_object)) {
        int width = 0;
        json_object_object_foreach(value, name, member)
        {
            if (!is_compound(member) && (int)strlen(name) > width) width = (int)strlen(name);
        }
        json_object_object_foreach(value, key, inner)
        {
            if (is_compound(inner)) {
                say("%*s%s\n", indent, "", key);
                print_value(inner, indent + 2);
            } else {
                say("%*s%-*s  ", indent, "", width, key);
                print_scalar(inner);
            }
        }
        return;
    }
    size_t count = json_object_array_length(value);
    for (size_t i = 0; i < count && i < SHOWN; i++) {
        json *element = json_object_array_get_idx(value, i);
        if (is_compound(element)) {
            say("%*s[%zu]\n", indent, "", i);
            print_value(element, indent + 2);
        } else {
            say("%*s", indent, "");
            print_scalar(element);
        }
    }
    if (count > SHOWN) say("%*s... %zu more (--json prints all)\n", indent, "", count - SHOWN);
}

void print_report(json *value)
{
    if (is_compound(value))
        print_value(value, 0);
    else
        print_scalar(value);
}

void print_wrapped(const char *text, int indent, int width)
{
    int column = 0;
    while (*text != 0) {
        text += strspn(text, " \n");
        int word = (int)strcspn(text, " \n");
        if (word == 0) break;
        if (column == 0)
            column = say("%*s%.*s", indent, "", word, text);
        else if (column + 1 + word <= width)
            column += say(" %.*s", word, text);
        else {
            say("\n");
            column = say("%*s%.*s", indent, "", word, text);
        }
        text += word;
    }
    if (column > 0) say("\n");
}

/* The columns of the POPE and HA-DPO papers, and the area under the ROC curve of log p(yes) - log p(no). */
static const struct {
    const char *title, *key;
    double scale;
} columns[] = {{"Accuracy", "accuracy", 100},   {"Precision", "precision", 100}, {"Recall", "recall", 100},
               {"F1", "f1", 100},               {"Yes ratio", "yes_ratio", 100}, {"ROC area", "roc_area", 100}};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

void print_pope_table_head(void)
{
    say("%-13s %-7s", "POPE, %", "");
    for (int i = 0; i < COLUMNS; i++) say("%11s", columns[i].title);
    say("\n");
}

void print_pope_table_row(const char *split, const char *when, json *report)
{
    say("%-13s %-7s", split, when);
    for (int i = 0; i < COLUMNS; i++) {
        double value = number_at(report, columns[i].key, NAN);
        if (isnan(value))
            say("%11s", "-");
        else
            say("%11.2f", value * columns[i].scale);
    }
    say("\n");
}

void print_pope_table_change(json *before, json *after)
{
    say("%-13s %-7s", "", "change");
    for (int i = 0; i < COLUMNS; i++) {
        double change = number_at(after, columns[i].key, NAN) - number_at(before, columns[i].key, NAN);
        if (isnan(change))
            say("%11s", "-");
        else
            say("%+11.2f", change * columns[i].scale);
    }
    say("\n");
}
