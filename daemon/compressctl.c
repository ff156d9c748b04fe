/*
 * compressctl: compress neural models here or through a compressd.
 *
 * main() picks a verb from the table, parses its options by the verb's own table and runs it.
 */
#include "compress/kernels/kernels.h"
#include "compressd_version.h"
#include "daemon/ctl_args.h"
#include "daemon/ctl_out.h"
#include "daemon/ctl_verbs.h"

#include <stdio.h>
#include <string.h>

#include "compress/base/nearest.h"

static const struct ctl_verb *const verbs[] = {
    &ctl_compress, &ctl_evaluate, &ctl_inspect, &ctl_recipes, /* here */
    &ctl_run,      &ctl_push,     &ctl_models,  &ctl_datasets, &ctl_rm,
    &ctl_plan,     &ctl_submit,   &ctl_watch,   &ctl_jobs,     &ctl_cancel,
    &ctl_retry,    &ctl_pull,     &ctl_report,  &ctl_log,      &ctl_doctor,
};

#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

static void print_help(FILE *out) {
    fputs("usage: compressctl VERB ...\n\n", out);
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->doc);
    fputs("\ncompressctl VERB --help prints a verb's options.\n\nExit codes:\n", out);
    enum ctl_exit code;
    for (unsigned i = 0; ctl_exit_at(i, &code); i++)
        fprintf(out, "  %d  %s\n", (int)code, ctl_exit_at(i, &code));
}

static const struct ctl_verb *find_verb(const char *name) {
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static int unknown_verb(const char *name) {
    struct err err = ERR_INIT;
    const char *best = NULL;
    for (size_t i = 0; i < VERB_COUNT; i++)
        best = nearest_of(name, best, verbs[i]->name);
    err_set(&err, ERR_BAD_REQUEST, "there is no verb %s; compressctl --help lists them", name);
    if (best)
        err_nearest(&err, "%s", best);
    return ctl_fail(&err, NULL, false, false);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return CTL_USAGE;
    }
    const char *first = argv[1];
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 || strcmp(first, "help") == 0) {
        const struct ctl_verb *about = argc > 2 && argv[2][0] != '-' ? find_verb(argv[2]) : NULL;
        if (argc > 2 && argv[2][0] != '-' && !about)
            return unknown_verb(argv[2]);
        if (about)
            ctl_args_help(about, stdout);
        else
            print_help(stdout);
        return CTL_DONE;
    }
    if (strcmp(first, "--version") == 0 || strcmp(first, "version") == 0) {
        puts("compressctl " COMPRESSD_VERSION);
        return CTL_DONE;
    }
    const struct ctl_verb *verb = find_verb(first);
    if (!verb)
        return unknown_verb(first);
    struct ctl_call call;
    struct err err = ERR_INIT;
    if (ctl_args_parse(verb, argc - 2, argv + 2, &call, &err) < 0) {
        int code = ctl_fail(&err, NULL, ctl_flag(&call, "json"), false);
        if (!ctl_flag(&call, "json"))
            fprintf(stderr, "try: compressctl %s --help\n", verb->name);
        return code;
    }
    if (ctl_flag(&call, "help")) {
        ctl_args_help(verb, stdout);
        return CTL_DONE;
    }
    kernels_init();
    return verb->run(&call);
}
