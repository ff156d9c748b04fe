/*
 * Progress on a terminal, in a log, or as JSON lines.
 *
 *   terminal     one line that is redrawn:
 *                  verify     [##############------]  71 %   1.3 GB/s   2 s left
 *   elsewhere    one plain line at every quarter of a stage that takes seconds, and at its end
 *   JSON         {"type":"progress","data":{stage, stage_index, stages, done, total, unit, rate,
 *                "eta_seconds"}}, at most two a second and the last of each stage
 *
 * On a narrow terminal the bar shrinks, then goes; a line never wraps.
 *
 * Rates are of the last few seconds, so that a stall shows. Threads: one at a time.
 */
#ifndef DAEMON_TERM_H
#define DAEMON_TERM_H

#include "compress/base/progress.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct term;

enum term_style {
    TERM_AUTO, /* a bar when `out` is a terminal, else plain lines */
    TERM_BAR,
    TERM_LINES,
    TERM_JSON,
    TERM_SILENT,
};

/* Writes to out (borrowed). NULL when out of memory. */
struct term *term_new(FILE *out, enum term_style style);
void term_free(struct term *term); /* ends the line; NULL is fine */

void term_progress(struct term *term, const struct progress_state *state);
/* The same at a given time in seconds: of events that tell their own time, and for the tests. */
void term_progress_at(struct term *term, const struct progress_state *state, double now);
/* As if the terminal had so many columns; 0: ask it, each time. */
void term_set_columns(struct term *term, unsigned columns);
/* A line of its own above the bar. */
void term_line(struct term *term, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Removes the bar: the work is over. */
void term_clear(struct term *term);

/* "1.9 GB", "812 kB", "7 B" (powers of 1000). Returns text. */
const char *term_bytes(uint64_t bytes, char *text, size_t cap);
/* "1 h 02 min", "3 min 20 s", "12 s", "0.14 s". Returns text. */
const char *term_seconds(double seconds, char *text, size_t cap);
/* "8.0 B", "4.9 M" (counts). Returns text. */
const char *term_count(uint64_t count, char *text, size_t cap);

#endif
