/*
 * Settings of the daemon: one table, read from a file, the environment and the command line (later
 * wins).
 *
 *   file         key = value        one a line, '#' at its start or behind a space: a comment
 *   environment  COMPRESSD_KEY      upper case, '-' becomes '_'
 *   flag         --key value        or --key=value; a bool may stand alone
 *
 * Sizes take K, M, G, T (powers of 1024). Help, the sample configuration and its test are walks
 * over the table. Owns: all texts live in the config's arena.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "compress/base/arena.h"
#include "compress/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct config {
    struct arena *arena;
    const char *data;
    const char *listen;
    const char *tokens;
    const char *allow_host; /* comma-separated */
    const char *log_level;
    bool allow_open;
    uint64_t jobs, threads, http_threads;
    uint64_t memory, max_upload, low_water, min_body_rate;
    uint64_t max_connections, max_streams;
};

/* Reads everything; argv are the words behind the verb. -1: err says which setting, from where. */
int config_load(int argc, const char *const *argv, struct config *ret, struct err *err);
void config_free(struct config *config);

/* The table as help (--key VALUE  doc [default]) and as a commented sample file. */
void config_print_help(FILE *out);
void config_print_sample(FILE *out);

/* "HOST:PORT", "[v6]:PORT" → parts; host is copied into the arena. */
int config_split_listen(const struct config *config, const char **ret_host, uint16_t *ret_port,
                        struct err *err);

#endif
