/* Learning rates. See schedule.h. */
#include "compress/exec/schedule.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const char *const names[SCHEDULE_KINDS] = {
    [SCHEDULE_CONSTANT] = "constant", [SCHEDULE_LINEAR] = "linear", [SCHEDULE_COSINE] = "cosine"};

double schedule_rate(const struct schedule *s, uint64_t step) {
    if (step < s->warmup_steps)
        return s->rate * (double)(step + 1) / (double)s->warmup_steps;
    if (s->kind == SCHEDULE_CONSTANT)
        return s->rate;
    if (step >= s->steps)
        return s->final_rate;
    double p = (double)(step - s->warmup_steps) / (double)(s->steps - s->warmup_steps);
    if (s->kind == SCHEDULE_LINEAR)
        return s->rate + (s->final_rate - s->rate) * p;
    return s->final_rate + (s->rate - s->final_rate) * (1 + cos(M_PI * p)) / 2;
}

const char *schedule_name(unsigned kind) {
    return kind < SCHEDULE_KINDS ? names[kind] : NULL;
}

bool schedule_by_name(const char *name, enum schedule_kind *ret) {
    for (unsigned kind = 0; kind < SCHEDULE_KINDS; kind++)
        if (strcmp(names[kind], name) == 0) {
            *ret = (enum schedule_kind)kind;
            return true;
        }
    return false;
}
