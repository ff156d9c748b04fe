/*
 * Where a job writes: outputs over staged files, hashed and synced by their sinks, to be published
 * together in the transaction that finishes the job.
 *
 * Owns: the staged files until they are published. Threads: one at a time; publish on the writer's.
 */
#ifndef STORAGE_BLOB_BLOB_OUTPUTS_H
#define STORAGE_BLOB_BLOB_OUTPUTS_H

#include "storage/blob/blobs.h"

struct blob_outputs;
int blob_outputs_new(struct blobs *blobs, bool lone, struct blob_outputs **ret, struct err *err);
struct outputs *blob_outputs_base(struct blob_outputs *outputs);
size_t blob_outputs_count(const struct blob_outputs *outputs);
/* Path, digest and bytes of the finished files, sorted by path: an array of blob_outputs_count()
 * entries in the arena, whose paths are borrowed from the outputs. */
int blob_outputs_entries(struct blob_outputs *outputs, struct arena *arena, struct blob_entry **ret,
                         struct err *err);
/* In a writer closure: publishes every file. */
int blob_outputs_publish(struct blob_outputs *outputs, struct db_conn *conn, const char *team,
                         struct err *err);
void blob_outputs_discard(struct blob_outputs *outputs);
#ifdef COMPRESSD_TEST_HOOKS
/* Flips one bit in the middle of the largest finished file: the job must notice. */
void blob_outputs_test_flip(struct blob_outputs *outputs);
#endif

#endif
