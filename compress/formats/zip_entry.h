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
 * The CRC-32 of an entry is checked by the read that comes to its end after everything before it
 * has been read once, in order; small gaps, like a header that was read elsewhere, are read for it.
 * So whoever reads an entry from front to back learns of damage, and whoever reads parts of it does
 * not: a sum of all of it cannot be checked then. From there on every read fails.
 *
 * Owns: the decoder and its points, what is kept. Borrows: archive and entry. Threads: several may
 * read one source; they take turns while it inflates. Expected failures: ERR_BAD_MODEL (the
 * deflated data is damaged or shorter than stated, the sum is another), ERR_NO_MEMORY, what the
 * archive reports.
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
