/* Shared by the files of storage/blob alone: where things lie below the data directory. */
#ifndef STORAGE_BLOB_BLOBS_PRIVATE_H
#define STORAGE_BLOB_BLOBS_PRIVATE_H

#include "compress/base/digest.h"
#include "compress/base/files.h"
#include "storage/blob/blobs.h"

#define BLOBS_PATH_LEN 96

struct blobs {
    int dir_fd; /* the data directory */
    uint64_t low_water_bytes;
};

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
