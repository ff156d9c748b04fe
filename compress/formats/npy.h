/*
 * The NPY container: one array as numpy.save writes it.
 *
 *   offset 0   "\x93NUMPY"
 *   offset 6   u8 major version (1, 2 or 3), u8 minor version (0)
 *   offset 8   H, length of the header: u16 (version 1) or u32 (2, 3), little-endian
 *   then       H bytes of text, a Python dictionary with exactly these keys, padded with spaces and
 *              ended with a newline so that the data starts at a multiple of 64:
 *                {'descr': '<f4', 'fortran_order': False, 'shape': (100, 28, 28), }
 *   then       the elements, row-major, to the last byte of the file
 *
 * The dictionary is read as what it is, not as Python: two strings, True or False, a tuple of
 * integers. Refused, with what to do instead: column-major arrays of more than one dimension,
 * big-endian numbers, records, texts, Python objects (they are pickles), dates.
 *
 * Threads: any. Expected failures: ERR_BAD_DATASET and ERR_UNSUPPORTED with file and offset,
 * ERR_TOO_LARGE (LIMIT_NPY_HEADER_BYTES, LIMIT_RANK, LIMIT_ELEMENTS).
 *
 * Source: numpy's documentation of numpy.lib.format (NEP 1).
 */
#ifndef COMPRESS_FORMATS_NPY_H
#define COMPRESS_FORMATS_NPY_H

#include "compress/base/files.h"
#include "compress/base/limits.h"
#include "compress/tensor/dtype.h"

struct npy {
    enum dtype dtype;
    unsigned rank; /* 0: a scalar */
    uint64_t dims[LIMIT_RANK];
    uint64_t elements;
    uint64_t data_offset;
};

/* Six bytes: is this one? */
bool npy_sniff(const void *head, size_t len);
/* Reads and checks the header of a source that holds one array and nothing else. */
int npy_read_header(struct source *source, struct npy *ret, struct err *err);

#endif
