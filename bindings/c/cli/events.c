/* events.c - the library's records, for people (a line that moves) and for machines (JSON Lines).
 *
 * People: on a terminal one line on standard error, rewritten at most ten times a second; otherwise a line every few
 * seconds, so that a log stays readable. Machines: --events passes every record through, one a line. */
#define _DEFAULT_SOURCE
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct {
    bool machine, quiet, terminal, stream;
    bool streamed, drawn;
    const char *label;
    double started, last;
    char detail[96]; /* of the last step: loss, margin */
    json *losses;
} reporter;

void events_begin(const invocation *call)
{
    memset(&reporter, 0, sizeof reporter);
    reporter.machine = cli_switch(call, "events");
    reporter.quiet = cli_switch(call, "quiet");
    reporter.terminal = isatty(STDERR_FILENO) == 1;
    reporter.started = reporter.last = seconds_now();
}

void events_label(const char *what)
{
    events_clear();
    reporter.label = what;
    reporter.started = reporter.last = seconds_now();
    reporter.detail[0] = 0;
}

void events_stream_text(bool on)
{
    reporter.stream = on;
    reporter.streamed = false;
}

bool events_streamed(void)
{
    bool streamed = reporter.streamed;
    reporter.streamed = false;
    return streamed;
}

void events_collect_loss(json *list)
{
    reporter.losses = list;
}

void events_clear(void)
{
    if (reporter.drawn) complain("\r\033[K");
    reporter.drawn = false;
    fflush(stderr);
}

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) return size.ws_col;
    return 80;
}

/* A line for people, not more often than the kind of output bears. */
static void draw(const char *text, bool last)
{
    double now = seconds_now();
    if (reporter.terminal) {
        if (!last && now - reporter.last < 0.1) return;
        complain("\r%.*s\033[K", terminal_width() - 1, text);
        reporter.drawn = true;
    } else {
        if (now - reporter.last < 5) return;
        complain("%s\n", text);
    }
    fflush(stderr);
    reporter.last = now;
}

static void show_progress(json *record)
{
    double done = number_at(record, "done", 0), total = number_at(record, "total", 0);
    double rate = number_at(record, "rate", 0), left = number_at(record, "eta_seconds", -1);
    const char *unit = text_at(record, "unit", "");
    const char *label = reporter.label != NULL ? reporter.label : text_at(record, "task", "working");
    const char *detail = text_at(record, "detail", reporter.detail);
    char line[320], bar[21], eta[32] = "", speed[48] = "";
    if (left >= 0) {
        char duration[24];
        snprintf(eta, sizeof eta, "  %s left", duration_text(left, duration, sizeof duration));
    }
    if (rate > 0) snprintf(speed, sizeof speed, "  %.*f %s/s", rate < 10 ? 2 : rate < 100 ? 1 : 0, rate, unit);
    if (total > 0) {
        double part = fmin(fmax(done / total, 0), 1);
        int full = (int)(part * 20);
        memset(bar, '.', 20);
        memset(bar, '#', (size_t)full);
        bar[20] = 0;
        snprintf(line, sizeof line, "%-14s [%s] %3.0f%%  %.0f/%.0f %s%s%s%s", label, bar, part * 100, done, total, unit, speed,
                 eta, detail);
    } else {
        snprintf(line, sizeof line, "%-14s %.0f %s%s%s", label, done, unit, speed, detail);
    }
    draw(line, total > 0 && done >= total);
}

static void show_heartbeat(void)
{
    char line[96], duration[24];
    snprintf(line, sizeof line, "%-14s %s", reporter.label != NULL ? reporter.label : "working",
             duration_text(seconds_now() - reporter.started, duration, sizeof duration));
    if (!reporter.drawn || reporter.terminal) draw(line, false);
}

static void note_step(json *record)
{
    double loss = number_at(record, "loss", NAN), margin = number_at(record, "rewards/margins", NAN);
    int length = isnan(loss) ? 0 : snprintf(reporter.detail, sizeof reporter.detail, "  loss %.4f", loss);
    if (!isnan(margin))
        snprintf(reporter.detail + length, sizeof reporter.detail - (size_t)length, "  margin %+.3f", margin);
    if (reporter.losses != NULL) json_object_array_add(reporter.losses, json_object_get(record));
}

/* What the policy begins as and what it is compared with, of a training that continues an adapter. */
static void show_start(json *record)
{
    json *start = path_get(record, "start");
    if (start == NULL) return;
    events_clear();
    double frozen = number_at(start, "frozen", 0);
    complain("starts from %s: %.0f pairs of matrices are trained", text_at(start, "path", ""), number_at(start, "trained", 0));
    if (frozen > 0) complain(", %.0f before the language model stay as they are", frozen);
    const char *reference = text_at(record, "reference", NULL);
    if (reference != NULL)
        complain("\nreference: %s, %s", reference,
                 strcmp(reference, "base") == 0 ? "the model without an adapter" : "the adapter as it is now");
    complain("\n");
}

/* "step 50   chosen_logprob -31.2   pope.accuracy 0.84": on lines of their own, they are to be compared. */
static void show_guard(json *record)
{
    events_clear();
    complain("guard: step %.0f", number_at(record, "step", 0));
    json *figures = path_get(record, "figures");
    if (figures != NULL) {
        json_object_object_foreach(figures, name, value)
        {
            if (value != NULL) complain("  %s %.4g", name, json_object_get_double(value));
        }
    }
    complain("\n");
}

/* What a training fitted to its data: it is not what was published. */
static void show_plan(json *record)
{
    const char *note = text_at(record, "plan.note", NULL);
    if (note == NULL) return;
    events_clear();
    complain("hadpo: %s\n", note);
}

static void show_token(json *record)
{
    if (!reporter.stream) return;
    const char *text = text_at(record, "text", "");
    if (!reporter.streamed) events_clear();
    say_lines(text);
    fflush(stdout);
    if (text[0] != 0) reporter.streamed = true;
}

int32_t on_event(const char *text, size_t size, void *user)
{
    (void)user;
    if (reporter.machine) {
        put_json(stderr, text, size);
        fflush(stderr);
    }
    json *record = json_of(text, size);
    const char *event = text_at(record, "event", "");
    bool for_people = !reporter.machine && !reporter.quiet;
    if (strcmp(event, "token") == 0) {
        show_token(record);
    } else if (strcmp(event, "step") == 0) {
        note_step(record);
    } else if (strcmp(event, "training") == 0 && for_people) {
        show_plan(record);
        show_start(record);
    } else if (strcmp(event, "guard") == 0 && for_people) {
        show_guard(record);
    } else if (strcmp(event, "guard_stop") == 0 && for_people) {
        events_clear();
        complain("hadpo: the guard stops the training: %s\n", text_at(record, "message", ""));
    } else if (strcmp(event, "warning") == 0 && for_people) {
        events_clear();
        complain("hadpo: warning: %s\n", text_at(record, "message", ""));
    } else if (strcmp(event, "progress") == 0 && for_people) {
        if (!reporter.streamed) show_progress(record);
    } else if (strcmp(event, "heartbeat") == 0 && for_people && reporter.terminal && !reporter.streamed) {
        if (seconds_now() - reporter.last > 1) show_heartbeat();
    }
    json_object_put(record);
    return 0;
}
