/*
 * The learning rate of every step: a formula of the step's number, so that a resumed training needs
 * to remember nothing else.
 *
 *   steps [0, warmup)       rate * (step + 1) / warmup
 *   steps [warmup, steps)   p = (step - warmup) / (steps - warmup), from 0 towards 1
 *     constant              rate
 *     linear                rate + (final - rate) p
 *     cosine                final + (rate - final) (1 + cos(pi p)) / 2   (Loshchilov & Hutter 2017)
 *   later ones              final (constant: rate)
 *
 * Threads: any.
 */
#ifndef COMPRESS_EXEC_SCHEDULE_H
#define COMPRESS_EXEC_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE, SCHEDULE_KINDS };

struct schedule {
    enum schedule_kind kind;
    double rate;
    double final_rate;
    uint64_t steps;
    uint64_t warmup_steps;
};

double schedule_rate(const struct schedule *schedule, uint64_t step);
/* "constant", "linear", "cosine"; NULL past the end. */
const char *schedule_name(unsigned kind);
/* False when no kind has that name. */
bool schedule_by_name(const char *name, enum schedule_kind *ret);

#endif
