/*
 * One entry of a zip archive as a source: in place when it is stored, inflated on the way when it
 * is deflated (numpy.savez_compressed).
 *
 * A deflated entry can be read at any offset, too: while it is inflated for the first time, the
 * 32 KB that the decoder looks back at are kept at block boundaries, at least a MiB and a 256th of
 * the entry apart; a read starts from the nearest of them (the method of zlib's example zran). So
 * memory stays below 9 MB an entry whatever its size, and reading front to back decodes once. But
 * each jump decodes half a MiB or more for nothing: shuffled samples of 784 bytes take 5 ms apiece.
 * So an entry may be *kept*: the first read that goes back decodes all of it into memory.
 *
 * The CRC-32 of an entry is not looked at: who reads parts of a file cannot check a sum of all of
 * it, and uploads have a SHA-256.
 *
 * Owns: the decoder and its points, what is kept. Borrows: archive and entry. Threads: several may
 * read one source; they take turns while it inflates. Expected failures: ERR_BAD_MODEL (the
 * deflated data is damaged or shorter than stated), ERR_NO_MEMORY, what the archive reports.
 *
 * Source: RFC 1951; PKWARE APPNOTE 6.3.10.
 */
#ifndef COMPRESS_FORMATS_ZIP_ENTRY_H
#define COMPRESS_FORMATS_ZIP_ENTRY_H

#include "compress/base/files.h"
#include "compress/formats/zipdir.h"

/* Its path is the archive's, so that messages name a file the caller knows. */
int zip_entry_open(struct source *archive, const struct zipdir_entry *entry, bool keep,
                   struct source **ret, struct err *err);
/* The most that such a source will ever hold in memory. */
uint64_t zip_entry_memory_bytes(const struct zipdir_entry *entry, bool keep);

#endif
