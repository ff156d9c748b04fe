/* Progress: a short history gives the rate, the style decides what is printed when. */
#include "daemon/term.h"

#include "compress/base/jbuf.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define HISTORY 32         /* samples of the rate */
#define SAMPLE_SECONDS 0.1 /* apart: together the last three seconds */
#define BAR_SECONDS 0.1    /* between redraws */
#define JSON_SECONDS 0.5   /* between JSON lines */
#define LINE_SECONDS 1.0   /* between plain lines, the last of a stage aside */
#define BAR_CELLS 24
#define BAR_CELLS_MIN 6
#define COLUMNS_DEFAULT 80

struct sample {
    double at;
    uint64_t done;
};

struct term {
    FILE *out;
    enum term_style style;
    unsigned stage_index; /* of what was seen last */
    bool begun;
    bool bar_shown;
    unsigned columns; /* 0: ask the terminal */
    uint64_t done;    /* seen last */
    double printed_at;
    unsigned quarter; /* LINES: the last one printed */
    struct sample history[HISTORY];
    unsigned samples; /* ever taken in this stage */
};

struct term *term_new(FILE *out, enum term_style style) {
    struct term *term = calloc(1, sizeof *term);
    if (!term)
        return NULL;
    if (style == TERM_AUTO) {
        const char *name = getenv("TERM");
        bool dumb = name && strcmp(name, "dumb") == 0;
        style = isatty(fileno(out)) && !dumb ? TERM_BAR : TERM_LINES;
    }
    term->out = out;
    term->style = style;
    return term;
}

void term_free(struct term *term) {
    if (!term)
        return;
    term_clear(term);
    free(term);
}

void term_clear(struct term *term) {
    if (term->bar_shown)
        fputs("\r\033[K", term->out);
    term->bar_shown = false;
    fflush(term->out);
}

void term_line(struct term *term, const char *format, ...) {
    if (term->style == TERM_SILENT || term->style == TERM_JSON)
        return;
    term_clear(term);
    va_list args;
    va_start(args, format);
    vfprintf(term->out, format, args);
    va_end(args);
    fputc('\n', term->out);
}

static void sample(struct term *term, uint64_t done, double now) {
    const struct sample *last = &term->history[(term->samples + HISTORY - 1) % HISTORY];
    if (term->samples && now - last->at < SAMPLE_SECONDS)
        return;
    term->history[term->samples++ % HISTORY] = (struct sample){now, done};
}

/* Per second, over what the history holds; 0 while that is too short to say. */
static double rate_of(const struct term *term, uint64_t done, double now) {
    if (!term->samples)
        return 0;
    unsigned first = term->samples > HISTORY ? term->samples % HISTORY : 0;
    const struct sample *oldest = &term->history[first];
    double seconds = now - oldest->at;
    return seconds > 0.05 ? (double)(done - oldest->done) / seconds : 0;
}

static double eta_of(const struct progress_state *state, double rate) {
    return rate > 0 ? (double)(state->total - state->done) / rate : NAN;
}

static const char *rate_text(const struct progress_state *state, double rate, char *text,
                             size_t cap) {
    char amount[32];
    if (rate <= 0)
        snprintf(text, cap, "%s", "");
    else if (strcmp(state->unit, "bytes") == 0)
        snprintf(text, cap, "%s/s", term_bytes((uint64_t)rate, amount, sizeof amount));
    else
        snprintf(text, cap, "%.1f %s/s", rate, state->unit);
    return text;
}

void term_set_columns(struct term *term, unsigned columns) {
    term->columns = columns;
}

static int columns_of(const struct term *term) {
    struct winsize size;
    if (term->columns)
        return (int)term->columns;
    int fd = fileno(term->out);
    if (fd >= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col)
        return size.ws_col;
    return COLUMNS_DEFAULT;
}

static unsigned percent_of(const struct progress_state *state) {
    return state->total ? (unsigned)((double)state->done * 100 / (double)state->total) : 100;
}

static const char *left_text(double eta, char *text, size_t cap) {
    char time[32];
    text[0] = 0;
    if (!(eta >= 1)) /* hundredths would promise more than an estimate keeps */
        return text;
    if (eta < 10)
        snprintf(time, sizeof time, "%.0f s", ceil(eta));
    snprintf(text, cap, "%s left", eta < 10 ? time : term_seconds(eta, time, sizeof time));
    return text;
}

/* The last column stays empty: a character there makes some terminals wrap. */
static void draw_bar(struct term *term, const struct progress_state *state, double rate) {
    char bar[BAR_CELLS + 4] = "", speed[48], left[48], tail[160], line[256];
    int room = columns_of(term) - 1, name_width = 10;
    unsigned percent = percent_of(state);
    rate_text(state, rate, speed, sizeof speed);
    left_text(eta_of(state, rate), left, sizeof left);
    snprintf(tail, sizeof tail, "%3u %%  %11s  %s", percent, speed, left);
    int around = name_width + (int)strlen(" [] ");
    int cells = room - around - (int)(sizeof " 100 %" + 11 + sizeof "59 min 59 s left");
    if (cells < BAR_CELLS_MIN) { /* narrow: without the columns */
        name_width = 0;
        int tail_len = snprintf(tail, sizeof tail, "%u %%  %s  %s", percent, speed, left);
        cells = room - (int)strlen(state->stage) - (int)strlen(" [] ") - tail_len;
    }
    if (cells > BAR_CELLS)
        cells = BAR_CELLS;
    if (cells >= BAR_CELLS_MIN) {
        int full = (int)percent * cells / 100;
        bar[0] = '[';
        for (int i = 0; i < cells; i++)
            bar[1 + i] = i < full ? '#' : '-';
        memcpy(bar + 1 + cells, "] ", 3);
    }
    snprintf(line, sizeof line, "%-*s %s%s", name_width, state->stage, bar, tail);
    fprintf(term->out, "\r%.*s\033[K", room > 0 ? room : 0, line);
    fflush(term->out);
    term->bar_shown = true;
}

static void print_line(struct term *term, const struct progress_state *state, double rate) {
    char speed[48];
    rate_text(state, rate, speed, sizeof speed);
    fprintf(term->out, "%s: %u %%%s%s\n", state->stage, percent_of(state), speed[0] ? ", " : "",
            speed);
    fflush(term->out);
}

static void print_json(struct term *term, const struct progress_state *state, double rate) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "type", "progress");
    jbuf_key(&b, "data");
    jbuf_object(&b);
    jbuf_kv_string(&b, "stage", state->stage);
    jbuf_kv_uint(&b, "stage_index", state->stage_index);
    jbuf_kv_uint(&b, "stages", state->stages);
    jbuf_kv_uint(&b, "done", state->done);
    jbuf_kv_uint(&b, "total", state->total);
    jbuf_kv_string(&b, "unit", state->unit);
    jbuf_kv_number(&b, "rate", rate > 0 ? rate : NAN);
    jbuf_kv_number(&b, "eta_seconds", eta_of(state, rate));
    if (state->metrics_json)
        jbuf_kv_raw(&b, "metrics", state->metrics_json);
    jbuf_object_end(&b);
    jbuf_object_end(&b);
    char *text = jbuf_take(&b, NULL);
    if (text) {
        fputs(text, term->out);
        fputc('\n', term->out);
        fflush(term->out);
    }
    free(text);
}

void term_progress_at(struct term *term, const struct progress_state *state, double now) {
    if (!term || term->style == TERM_SILENT)
        return;
    /* Backwards: another attempt at the same stage. */
    bool stage_begins =
        !term->begun || state->stage_index != term->stage_index || state->done < term->done;
    term->done = state->done;
    if (stage_begins) {
        term->begun = true;
        term->stage_index = state->stage_index;
        term->samples = 0;
        term->quarter = 0;
    }
    bool stage_ends = state->done == state->total;
    double rate = rate_of(term, state->done, now);
    sample(term, state->done, now);
    double since = now - term->printed_at;
    unsigned quarter = percent_of(state) / 25;
    if (term->style == TERM_BAR && (stage_begins || stage_ends || since >= BAR_SECONDS)) {
        draw_bar(term, state, rate);
        term->printed_at = now;
    } else if (term->style == TERM_JSON && (stage_begins || stage_ends || since >= JSON_SECONDS)) {
        print_json(term, state, rate);
        term->printed_at = now;
    } else if (term->style == TERM_LINES &&
               (stage_ends || (quarter != term->quarter && since >= LINE_SECONDS))) {
        print_line(term, state, rate);
        term->quarter = quarter;
        term->printed_at = now;
    } else if (term->style == TERM_LINES && stage_begins) {
        term->printed_at = now;
    }
}

void term_progress(struct term *term, const struct progress_state *state) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    term_progress_at(term, state, (double)t.tv_sec + (double)t.tv_nsec * 1e-9);
}

static const char *scaled(double value, const char *const *units, const char *unit, char *text,
                          size_t cap) {
    unsigned i = 0;
    while (value >= 999.5 && units[i + 1]) {
        value /= 1000;
        i++;
    }
    snprintf(text, cap, i && value < 9.95 ? "%.1f %s%s" : "%.0f %s%s", value, units[i], unit);
    return text;
}

const char *term_bytes(uint64_t bytes, char *text, size_t cap) {
    static const char *const units[] = {"", "k", "M", "G", "T", "P", NULL};
    return scaled((double)bytes, units, "B", text, cap);
}

const char *term_count(uint64_t count, char *text, size_t cap) {
    static const char *const units[] = {"", "k", "M", "B", "T", NULL};
    scaled((double)count, units, "", text, cap);
    size_t len = strlen(text);
    while (len && text[len - 1] == ' ')
        text[--len] = 0;
    return text;
}

const char *term_seconds(double seconds, char *text, size_t cap) {
    unsigned long whole = (unsigned long)(seconds + 0.5);
    if (seconds < 10)
        snprintf(text, cap, "%.2f s", seconds);
    else if (whole < 60)
        snprintf(text, cap, "%lu s", whole);
    else if (whole < 3600)
        snprintf(text, cap, "%lu min %02lu s", whole / 60, whole % 60);
    else
        snprintf(text, cap, "%lu h %02lu min", whole / 3600, whole / 60 % 60);
    return text;
}
