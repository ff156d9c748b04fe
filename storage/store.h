/*
 * A data directory, open: lock, database, writer, blobs.
 *
 * One process owns it (flock on DATA/lock; a second one is told the owner's process id). Opening
 * applies migrations, refuses a newer schema, and reconciles files with rows.
 */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include "storage/blob/blobs.h"
#include "storage/db/writer.h"

struct store {
    const char *data_dir;
    struct db *db;
    struct writer *writer;
    struct blobs *blobs;
    int lock_fd;
    int data_fd; /* the directory itself */
};

int store_open(const char *data_dir, struct store **ret, struct err *err);
void store_close(struct store *store); /* NULL is fine */

#endif
