/* The tool's command line: spellings, checks, help. */
#include "daemon/ctl_args.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static const struct ctl_option options[] = {
    {.name = "recipe",
     .letter = 'r',
     .kind = CTL_TEXT,
     .value = "NAME",
     .required = true,
     .doc = "The recipe."},
    {.name = "threads",
     .letter = 't',
     .kind = CTL_NUMBER,
     .value = "N",
     .min = 1,
     .max = 64,
     .doc = "Threads."},
    {.name = "memory", .kind = CTL_SIZE, .value = "SIZE", .min = 1 << 20, .doc = "Memory."},
    {.name = "force", .letter = 'f', .kind = CTL_FLAG, .doc = "Replace."},
};

static const struct ctl_verb verb = {.name = "bake",
                                     .args = "MODEL [OUT]",
                                     .doc = "Bake a model.",
                                     .options = options,
                                     .option_count = 4,
                                     .min_args = 1,
                                     .max_args = 2};

#define ARGS_MAX 12

static int parse(const char *line, struct ctl_call *call, struct err *err) {
    static char text[300];
    static char *argv[ARGS_MAX];
    int argc = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word && argc < ARGS_MAX; word = strtok(NULL, " "))
        argv[argc++] = word;
    *err = ERR_INIT;
    return ctl_args_parse(&verb, argc, argv, call, err);
}

static void spellings(void **state) {
    static const char *const lines[] = {
        "model --recipe int8 --threads 4 -f", "-f --recipe=int8 --threads=4 model",
        "-rint8 -t4 model --force", "-r int8 -t 4 --force -- model"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct ctl_call call;
        struct err err;
        CHECK_OK(parse(lines[i], &call, &err), &err);
        CHECK_UINT(call.arg_count, 1);
        CHECK_TEXT(call.args[0], "model");
        CHECK_TEXT(ctl_text(&call, "recipe"), "int8");
        CHECK_INT(ctl_number(&call, "threads", 1), 4);
        CHECK(ctl_flag(&call, "force"));
        CHECK(!ctl_flag(&call, "json"));
    }
}

static void what_begins_with_a_dash(void **state) {
    struct ctl_call call;
    struct err err;
    CHECK_OK(parse("-r x -- -model -out", &call, &err), &err);
    CHECK_TEXT(call.args[1], "-out");
    CHECK_OK(parse("-r x -", &call, &err), &err); /* a lone dash is a name */
    CHECK_TEXT(call.args[0], "-");
    CHECK_INT(ctl_number(&call, "threads", 7), 7);
}

static void refusals(void **state) {
    static const struct {
        const char *line, *says, *nearest;
    } cases[] = {
        {"--recipe x", "bake needs: MODEL [OUT]", ""},
        {"model", "--recipe NAME", ""},
        {"a b c -r x", "no further argument: c", ""},
        {"model --recipe", "needs a value", ""},
        {"model --recipe=", "is empty", ""},
        {"model -r x -t 0", "from 1 to 64", ""},
        {"model -r x -t 4x", "from 1 to 64", ""},
        {"model -r x --force=1", "takes no value", ""},
        {"model -r x -r y", "twice", ""},
        {"model -r x --thread 4", "no option --thread", "--threads"},
        {"model -r x -z", "no option -z", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ctl_call call;
        struct err err;
        CHECK_INT(parse(cases[i].line, &call, &err), -1);
        CHECK_INT(err.code, ERR_BAD_REQUEST);
        CHECK_HOLDS(err.text, cases[i].says);
        CHECK_TEXT(err.nearest, cases[i].nearest);
    }
}

static void help_needs_nothing_else(void **state) {
    struct ctl_call call;
    struct err err;
    CHECK_OK(parse("--help", &call, &err), &err);
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ctl_args_help(&verb, out);
    fclose(out);
    CHECK_HOLDS(text, "usage: compressctl bake MODEL [OUT] --recipe NAME [OPTIONS]");
    for (size_t i = 0; i < 3; i++)
        CHECK_HOLDS(text, options[i].doc);
    for (size_t i = 0; i < ctl_common_option_count; i++)
        CHECK_HOLDS(text, ctl_common_options[i].doc);
    free(text);
}

static void sizes(void **state) {
    static const struct {
        const char *line;
        uint64_t bytes;
    } rows[] = {{"m -r x --memory 4G", UINT64_C(4) << 30},
                {"m -r x --memory=512m", UINT64_C(512) << 20},
                {"m -r x --memory 1048576", 1 << 20},
                {"m -r x", 0}};
    static const char *const wrong[] = {"4Q", "-1", "G", "4GG", "1000", "99999999999T", "1.5G"};
    struct ctl_call call;
    struct err err;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_OK(parse(rows[i].line, &call, &err), &err);
        CHECK_UINT(ctl_size(&call, "memory"), rows[i].bytes);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char line[60];
        snprintf(line, sizeof line, "m -r x --memory %s", wrong[i]);
        CHECK_FAILS(parse(line, &call, &err), &err, ERR_BAD_REQUEST);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(spellings),
        cmocka_unit_test(what_begins_with_a_dash),
        cmocka_unit_test(refusals),
        cmocka_unit_test(help_needs_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
