/*
 * The tool's command line: verbs and their options are tables; parsing, `--help` and the messages
 * about what is wrong are walks over them.
 *
 * Options may stand anywhere; "--" ends them; "--name=value", "--name value", "-nvalue" and
 * "-n value" are the same. Values are looked up by the option's name. Owns: nothing beyond the
 * call, which borrows argv and the tables. Threads: one.
 */
#ifndef DAEMON_CTL_ARGS_H
#define DAEMON_CTL_ARGS_H

#include "compress/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum ctl_option_kind { CTL_FLAG, CTL_TEXT, CTL_NUMBER, CTL_SIZE };

struct ctl_option {
    const char *name; /* "recipe" */
    char letter;      /* 'r', or 0 */
    enum ctl_option_kind kind;
    const char *value; /* what the value is called: "NAME|FILE"; NULL for a flag */
    double min, max;   /* NUMBER: whole numbers within; SIZE: bytes */
    bool required;
    const char *doc;
};

struct ctl_call;

struct ctl_verb {
    const char *name;
    const char *args; /* "MODEL", "PATH [NAME]" */
    const char *doc;  /* one line */
    const struct ctl_option *options;
    size_t option_count;
    unsigned min_args, max_args;
    /* Returns an exit code (see ctl_out.h). */
    int (*run)(const struct ctl_call *call);
    const char *more; /* further lines of help, or NULL */
};

#define CTL_ARGS_MAX 8
#define CTL_OPTIONS_MAX 24

struct ctl_call {
    const struct ctl_verb *verb;
    const char *args[CTL_ARGS_MAX];
    unsigned arg_count;
    const struct ctl_option
        *options[CTL_OPTIONS_MAX];       /* the verb's and those that all verbs have */
    const char *values[CTL_OPTIONS_MAX]; /* NULL: not given; "" for a flag */
    size_t option_count;
};

/* Options that every verb has: --json, --quiet, --help. */
extern const struct ctl_option ctl_common_options[];
extern const size_t ctl_common_option_count;

/* Parses what follows the verb. ERR_BAD_REQUEST says what is wrong. `--help` stops the checks. */
int ctl_args_parse(const struct ctl_verb *verb, int argc, char *const *argv, struct ctl_call *ret,
                   struct err *err);

bool ctl_flag(const struct ctl_call *call, const char *name);
const char *ctl_text(const struct ctl_call *call, const char *name); /* NULL: not given */
long ctl_number(const struct ctl_call *call, const char *name, long otherwise);
/* Bytes, from "4G", "512M" (powers of 1024) or a plain number of bytes; 0: not given. */
uint64_t ctl_size(const struct ctl_call *call, const char *name);

void ctl_args_help(const struct ctl_verb *verb, FILE *out);

#endif
