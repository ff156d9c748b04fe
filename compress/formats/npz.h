/*
 * The NPZ container: named arrays, as numpy.savez and numpy.savez_compressed write them. A zip
 * archive whose entries are NPY files: "images.npy" is the array "images".
 *
 * Lives in the arena given. Threads: any, once read. Expected failures: those of zipdir.h and
 * npy.h, naming the array as tensor; ERR_BAD_DATASET for an entry that is no array.
 *
 * Source: numpy's documentation of numpy.savez.
 */
#ifndef COMPRESS_FORMATS_NPZ_H
#define COMPRESS_FORMATS_NPZ_H

#include "compress/formats/npy.h"
#include "compress/formats/zip_entry.h"

struct npz_array {
    const char *name;
    const struct zipdir_entry *entry; /* zip_entry_open() gives the bytes */
    struct npy npy;                   /* offsets count within the entry */
};

struct npz {
    struct zipdir dir;
    struct npz_array *arrays; /* in the archive's order */
    size_t count;
};

int npz_read(struct source *archive, struct arena *arena, struct npz *ret, struct err *err);

#endif
