/*
 * Statements on `job_data`: which dataset versions a job reads, by purpose.
 *
 * They are pinned when the job is submitted and stay while it is unfinished, whatever becomes of
 * their names. A new purpose is a line of the enum and a name. Functions return 0 or -1.
 */
#ifndef STORAGE_TABLES_JOB_DATA_TBL_H
#define STORAGE_TABLES_JOB_DATA_TBL_H

#include "compress/base/arena.h"
#include "storage/db/db.h"

enum data_purpose { DATA_EVALUATION, DATA_CALIBRATION, DATA_PURPOSES };

/* "evaluation", "calibration": as in recipes. */
const char *data_purpose_name(enum data_purpose purpose);

struct job_data {
    int64_t versions[DATA_PURPOSES];  /* 0: none, or its files are gone */
    const char *names[DATA_PURPOSES]; /* NULL: none */
};

/* For a new job: what has a version. */
int job_data_tbl_pin(struct db_conn *conn, int64_t job_n, const struct job_data *data,
                     struct err *err);
/* Names live in the arena. */
int job_data_tbl_read(struct db_conn *conn, int64_t job_n, struct arena *arena,
                      struct job_data *ret, struct err *err);

#endif
