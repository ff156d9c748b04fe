/* Statements on `meta`: small facts about the data directory itself. */
#ifndef STORAGE_TABLES_META_TBL_H
#define STORAGE_TABLES_META_TBL_H

#include "compress/base/arena.h"
#include "storage/db/db.h"

/* "running" from start to a clean stop: its presence at start means an unclean exit. */
#define META_RUNNING "running"
/* The cgroup's oom_kill counter at the last start. */
#define META_OOM_KILLS "oom_kills"

/* Time of the last readiness check, which is a write. */
#define META_READY_PROBE "ready_probe"

/* 1 found, 0 not, -1 err. */
int meta_tbl_get(struct db_conn *conn, const char *key, struct arena *arena, const char **ret,
                 struct err *err);
/* NULL deletes. */
int meta_tbl_set(struct db_conn *conn, const char *key, const char *value, struct err *err);

#endif
