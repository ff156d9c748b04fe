/*
 * Plans, made and remembered: what a recipe does to a model version never changes, so the answer is
 * kept by (version, data versions, recipe digest). Violations are not kept.
 *
 * Threads: any; one mutex, never held while a plan is made.
 */
#ifndef JOBS_PLANS_H
#define JOBS_PLANS_H

#include "jobs/engine.h"

struct plans;

int plans_new(struct store *store, uint64_t memory_bytes, unsigned threads, struct plans **ret,
              struct err *err);
void plans_free(struct plans *plans);

int plans_find(struct plans *plans, int64_t version, const struct job_data *data,
               const struct recipe *recipe, struct arena *arena, struct plan_summary *ret);
int plans_make(struct plans *plans, const struct model_row *model, const struct job_data *data,
               const struct recipe *recipe, struct arena *arena, struct violations *list,
               struct plan_summary *ret, struct err *err);

/* The files of a model version as a resolver (the caller closes). ERR_NOT_FOUND when they are gone.
 */
int plans_open_version(struct store *store, int64_t version, struct resolver **ret,
                       struct err *err);
/* The data of a job, each in its place of the limits; without a version: NULL. */
int plans_open_data(struct store *store, const struct job_data *data, struct plan_limits *limits,
                    struct err *err);
/* SHA-256 of a version's files, in the order of their resolver. */
int plans_file_digests(struct store *store, int64_t version, struct arena *arena,
                       const struct digest **ret, struct err *err);
/* After the plan. */
void plans_close_data(struct plan_limits *limits);

#endif
