/* The job that a path names, for the caller's team; and its position in the queue. */
#ifndef API_ROUTES_JOB_FIND_H
#define API_ROUTES_JOB_FIND_H

#include "api/http/request.h"
#include "storage/tables/jobs_tbl.h"

/* ERR_NOT_FOUND. ret_position (may be NULL): jobs before it when queued, else -1. */
int job_find(struct request *r, struct db_conn *conn, struct job_row *ret, int64_t *ret_position,
             struct err *err);
/* The same with a connection of its own. */
int job_find_now(struct request *r, struct job_row *ret, int64_t *ret_position, struct err *err);
/* 200/201/202 with the job; terminal jobs carry their entity tag. */
int job_reply(struct request *r, unsigned status, const struct job_row *row, int64_t position,
              struct err *err);
bool job_row_terminal(const struct job_row *row);

#endif
