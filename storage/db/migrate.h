/*
 * Schema versions: numbered files of storage/schema, embedded at build time, applied in order, each
 * in a transaction that also sets user_version. A database of a newer version is refused,
 * untouched.
 */
#ifndef STORAGE_DB_MIGRATE_H
#define STORAGE_DB_MIGRATE_H

#include "storage/db/db.h"

/* ERR_NEWER_SCHEMA when the file is ahead of this program. */
int migrate_up(struct db_conn *conn, struct err *err);
/* The version that this program writes. */
int migrate_latest(void);

#endif
