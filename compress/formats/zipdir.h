/*
 * The directory of a zip archive: what torch.save writes (entries stored as they are, which can be
 * read in place) and what numpy.savez writes (stored, or deflated: zip_entry.h reads both).
 *
 *   entry, entry, ...
 *      "PK\3\4"  local header: 30 bytes, name, extra field (torch pads here to 64 bytes)
 *                data
 *                optionally a data descriptor
 *   central directory: per entry
 *      "PK\1\2"  46 bytes, name, extra field (zip64: id 1), comment
 *   zip64 end record "PK\6\6" and locator "PK\6\7", when a count or size needs them
 *   end record "PK\5\6": 22 bytes, comment
 *
 * The archive must be exactly this: entries in any order, but without overlap with each other or
 * with the directory; local and central headers agreeing on name and method; no encryption, no
 * second volume, no two entries of one name. (PKWARE APPNOTE 6.3.10.)
 *
 * Owns: nothing, all lives in the arena. Threads: any, once read. Expected failures: ERR_BAD_MODEL
 * with the file's offset, ERR_UNSUPPORTED for encrypted entries and other kinds of compression,
 * ERR_TOO_LARGE.
 */
#ifndef COMPRESS_FORMATS_ZIPDIR_H
#define COMPRESS_FORMATS_ZIPDIR_H

#include "compress/base/arena.h"
#include "compress/base/files.h"
#include "compress/base/strmap.h"

struct zipdir_entry {
    const char *name;
    uint64_t offset; /* of the data, in the file */
    uint64_t bytes;
    uint64_t packed_bytes; /* that it takes in the file: `bytes` when it is stored */
    bool deflated;
    uint32_t crc; /* CRC-32 of the entry's bytes, as the directory states it */
};

struct zipdir {
    struct zipdir_entry *entries; /* in directory order */
    size_t count;
    struct strmap names;
};

int zipdir_read(struct source *source, struct arena *arena, struct zipdir *ret, struct err *err);

/* ERR_UNSUPPORTED naming the first entry that is not stored, and `advice`. */
int zipdir_check_stored(const struct source *source, const struct zipdir *dir, const char *advice,
                        struct err *err);

/* NULL when there is none. */
const struct zipdir_entry *zipdir_find(const struct zipdir *dir, const char *name);

#endif
