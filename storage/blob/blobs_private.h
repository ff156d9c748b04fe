/* Shared by the files of storage/blob alone: where things lie below the data directory. */
#ifndef STORAGE_BLOB_BLOBS_PRIVATE_H
#define STORAGE_BLOB_BLOBS_PRIVATE_H

#include "compress/base/digest.h"
#include "compress/base/files.h"
#include "storage/blob/blobs.h"

#include <stdbool.h>

#define BLOBS_PATH_LEN 96

struct blobs {
    int dir_fd; /* the data directory */
    uint64_t low_water_bytes;
};

/* A move staging/ → blobs/ that can be taken back. Lives in the object that is published, which
 * outlives its transaction. */
struct publication {
    struct blobs *blobs;
    char from[64];
    char to[BLOBS_PATH_LEN];
    bool moved;
};

/* In a closure: makes the staging file `from` the blob of its digest, unless it is in its place,
 * and lets the team hold it. `move` lives in the object that is published, which outlives its
 * transaction. */
int blobs_publish(struct blobs *blobs, struct publication *move, const char *from,
                  const struct digest *digest, uint64_t bytes, const char *team,
                  struct db_conn *conn, struct err *err);
/* A new file in staging/: its path below the data directory, and its descriptor, or -1. */
int blobs_create_staging(struct blobs *blobs, char *path, size_t cap, struct err *err);
/* Room for so many bytes, or ERR_NO_SPACE now. */
int blobs_reserve(struct blobs *blobs, int fd, uint64_t bytes, struct err *err);

void blobs_path(const struct digest *digest, char ret[BLOBS_PATH_LEN]);
void blobs_random_name(const char *folder, char *ret, size_t cap);
const char *staged_path(const struct staged *staged);

/* A resolver over files below the data directory: make it with room for `count`, add in path order.
 */
int blobs_files_resolver(struct blobs *blobs, size_t count, bool lone, struct resolver **ret,
                         struct err *err);
int blobs_files_add(struct resolver *base, const char *path, uint64_t bytes, const char *where,
                    struct err *err);

#endif
