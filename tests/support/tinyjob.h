/*
 * One job from path to path, as a test wants it: open, plan, run, and everything freed again.
 */
#ifndef TESTS_SUPPORT_TINYJOB_H
#define TESTS_SUPPORT_TINYJOB_H

#include "compress/recipe/pipeline.h"

struct tinyjob {
    const char *in;     /* file or folder */
    const char *recipe; /* preset name or JSON */
    const char *set;    /* folder or file to calibrate and to measure with; NULL: none */
    const char *out;    /* file or, made empty when it does not exist, folder */
    unsigned threads;   /* 0: no team */
    uint64_t memory_bytes;
    const struct progress *progress;
    void (*before_verify)(void *self);
    void *before_verify_self;
};

/* 0 and the report, when asked for (ret may be NULL); or -1 with err, every finding in `list`
 * (NULL: not wanted), and nothing left at `out`. */
int tinyjob_run(const struct tinyjob *job, struct violations *list, struct report **ret,
                struct err *err);

#endif
