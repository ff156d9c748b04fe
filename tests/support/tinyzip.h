/*
 * Zip archives, for tests; every field can be spoilt afterwards through the
 * places that are remembered. The layout is drawn in compress/formats/zipdir.h.
 */
#ifndef TESTS_SUPPORT_TINYZIP_H
#define TESTS_SUPPORT_TINYZIP_H

#include "tests/support/bytebuf.h"

#define TINYZIP_ENTRIES 16

struct tinyzip {
    struct bytebuf b;
    struct {
        char name[64];
        size_t local; /* offset of the local header */
        size_t data;
        size_t bytes;
        size_t packed; /* bytes that it takes in the file */
        unsigned method;
        uint32_t crc;
        size_t central; /* offset of the entry in the directory, once ended */
    } entries[TINYZIP_ENTRIES];
    size_t count;
    size_t directory;
    size_t end; /* offset of the end record */
};

void tinyzip_add(struct tinyzip *z, const char *name, const void *data, size_t len);
/* The same, deflated at zlib's level (1 to 9). */
void tinyzip_deflate(struct tinyzip *z, const char *name, const void *data, size_t len, int level);
/* Directory and end record; zip64 writes every size and offset in 64 bits. */
void tinyzip_end(struct tinyzip *z, int zip64);
void tinyzip_free(struct tinyzip *z);

#endif
