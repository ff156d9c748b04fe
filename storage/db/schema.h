/* The schema files as a table: generated from storage/schema by embed.sh at build time. */
#ifndef STORAGE_DB_SCHEMA_H
#define STORAGE_DB_SCHEMA_H

#include <stddef.h>

struct schema_file {
    int number;
    const char *name;
    const char *sql;
};

extern const struct schema_file schema_files[]; /* by number, ascending */
extern const size_t schema_file_count;

#endif
