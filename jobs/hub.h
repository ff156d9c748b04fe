/*
 * The hub: stored events → waiting readers.
 *
 * After each committed group the writer thread calls hub_pump(): it reads what is new in the event
 * table (so that what is fanned out is exactly what was committed), keeps the texts in a window of
 * the last few thousand, and wakes the subscribers of the jobs concerned. A reader asks
 * hub_events() for what follows its last id; it is served from the window when that reaches far
 * enough back, so a thousand streams on one job cost no database reads.
 *
 * Threads: pump from the writer thread, everything else from any.
 */
#ifndef JOBS_HUB_H
#define JOBS_HUB_H

#include "jobs/engine.h"

struct hub;

int hub_new(struct store *store, struct hub **ret, struct err *err);
void hub_free(struct hub *hub);
/* Something was appended in this group: without it hub_pump() returns at once. */
void hub_mark(struct hub *hub);
void hub_pump(struct hub *hub);

struct event_sub *hub_subscribe(struct hub *hub, int64_t job_n, void (*wake)(void *self),
                                void *self);
void hub_unsubscribe(struct hub *hub, struct event_sub *sub);
int hub_events(struct hub *hub, int64_t job_n, int64_t after, unsigned limit, struct arena *arena,
               struct event_text **ret, size_t *ret_count, struct err *err);

#endif
