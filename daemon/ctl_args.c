/* One pass over argv; what is missing is checked at its end. */
#include "daemon/ctl_args.h"

#include "compress/base/nearest.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct ctl_option ctl_common_options[] = {
    {.name = "json", .kind = CTL_FLAG, .doc = "Print JSON (one document, or one object per line)."},
    {.name = "quiet", .letter = 'q', .kind = CTL_FLAG, .doc = "No progress, no summary."},
    {.name = "help", .letter = 'h', .kind = CTL_FLAG, .doc = "Print this."},
};
const size_t ctl_common_option_count = sizeof ctl_common_options / sizeof ctl_common_options[0];

static void collect_options(struct ctl_call *call) {
    for (size_t i = 0; i < call->verb->option_count; i++)
        call->options[call->option_count++] = &call->verb->options[i];
    for (size_t i = 0; i < ctl_common_option_count; i++)
        call->options[call->option_count++] = &ctl_common_options[i];
    assert(call->option_count <= CTL_OPTIONS_MAX);
}

static size_t find(const struct ctl_call *call, const char *name, size_t len) {
    for (size_t i = 0; i < call->option_count; i++)
        if (strlen(call->options[i]->name) == len &&
            strncmp(call->options[i]->name, name, len) == 0)
            return i;
    return SIZE_MAX;
}

static size_t find_letter(const struct ctl_call *call, char letter) {
    for (size_t i = 0; i < call->option_count; i++)
        if (letter && call->options[i]->letter == letter)
            return i;
    return SIZE_MAX;
}

static int unknown(const struct ctl_call *call, const char *arg, struct err *err) {
    const char *best = NULL;
    for (size_t i = 0; i < call->option_count; i++)
        best = nearest_of(arg + strspn(arg, "-"), best, call->options[i]->name);
    err_set(err, ERR_BAD_REQUEST, "%s has no option %s", call->verb->name, arg);
    return best ? err_nearest(err, "--%s", best) : -1;
}

static int check_number(const struct ctl_option *option, const char *text, struct err *err) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || (double)value < option->min || (double)value > option->max)
        return err_set(err, ERR_BAD_REQUEST, "--%s takes a whole number from %.0f to %.0f, not %s",
                       option->name, option->min, option->max, text);
    return 0;
}

static bool parse_size(const char *text, uint64_t *ret) {
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || text[0] < '0' || text[0] > '9')
        return false;
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    end += unit != NULL;
    if (*end || value > UINT64_MAX >> shift)
        return false;
    *ret = (uint64_t)value << shift;
    return true;
}

static int check_size(const struct ctl_option *option, const char *text, struct err *err) {
    uint64_t bytes;
    if (!parse_size(text, &bytes) || (double)bytes < option->min)
        return err_set(err, ERR_BAD_REQUEST,
                       "--%s takes a size of at least %.0f MB, as 512M or 4G, not %s", option->name,
                       option->min / (1 << 20), text);
    return 0;
}

static int set(struct ctl_call *call, size_t i, const char *value, struct err *err) {
    const struct ctl_option *option = call->options[i];
    if (call->values[i])
        return err_set(err, ERR_BAD_REQUEST, "--%s was given twice", option->name);
    if (option->kind == CTL_NUMBER && check_number(option, value, err) < 0)
        return -1;
    if (option->kind == CTL_SIZE && check_size(option, value, err) < 0)
        return -1;
    if (option->kind == CTL_TEXT && !*value)
        return err_set(err, ERR_BAD_REQUEST, "--%s is empty", option->name);
    call->values[i] = value;
    return 0;
}

/* An option at argv[*at]; moves *at over its value. */
static int take_option(struct ctl_call *call, int argc, char *const *argv, int *at,
                       struct err *err) {
    const char *arg = argv[*at];
    bool is_long = arg[1] == '-';
    const char *name = arg + 2, *equals = is_long ? strchr(name, '=') : NULL;
    size_t i = is_long ? find(call, name, equals ? (size_t)(equals - name) : strlen(name))
                       : find_letter(call, arg[1]);
    if (i == SIZE_MAX)
        return unknown(call, arg, err);
    const struct ctl_option *option = call->options[i];
    const char *attached = is_long ? (equals ? equals + 1 : NULL) : (arg[2] ? arg + 2 : NULL);
    if (option->kind == CTL_FLAG) {
        if (attached)
            return err_set(err, ERR_BAD_REQUEST, "--%s takes no value", option->name);
        return set(call, i, "", err);
    }
    if (!attached) {
        if (*at + 1 >= argc)
            return err_set(err, ERR_BAD_REQUEST, "--%s needs a value: %s", option->name,
                           option->value);
        attached = argv[++*at];
    }
    return set(call, i, attached, err);
}

static int check_complete(const struct ctl_call *call, struct err *err) {
    const struct ctl_verb *verb = call->verb;
    if (call->arg_count < verb->min_args)
        return err_set(err, ERR_BAD_REQUEST, "%s needs: %s", verb->name, verb->args);
    for (size_t i = 0; i < call->option_count; i++)
        if (call->options[i]->required && !call->values[i])
            return err_set(err, ERR_BAD_REQUEST, "%s needs --%s %s", verb->name,
                           call->options[i]->name, call->options[i]->value);
    return 0;
}

int ctl_args_parse(const struct ctl_verb *verb, int argc, char *const *argv, struct ctl_call *ret,
                   struct err *err) {
    *ret = (struct ctl_call){.verb = verb};
    collect_options(ret);
    bool options_end = false;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (!options_end && strcmp(arg, "--") == 0) {
            options_end = true;
        } else if (!options_end && arg[0] == '-' && arg[1]) {
            if (take_option(ret, argc, argv, &i, err) < 0)
                return -1;
        } else if (ret->arg_count == verb->max_args || ret->arg_count == CTL_ARGS_MAX) {
            return err_set(err, ERR_BAD_REQUEST, "%s takes no further argument: %s", verb->name,
                           arg);
        } else {
            ret->args[ret->arg_count++] = arg;
        }
    }
    return ctl_flag(ret, "help") ? 0 : check_complete(ret, err);
}

const char *ctl_text(const struct ctl_call *call, const char *name) {
    size_t i = find(call, name, strlen(name));
    return i == SIZE_MAX ? NULL : call->values[i];
}

bool ctl_flag(const struct ctl_call *call, const char *name) {
    return ctl_text(call, name) != NULL;
}

long ctl_number(const struct ctl_call *call, const char *name, long otherwise) {
    const char *text = ctl_text(call, name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

uint64_t ctl_size(const struct ctl_call *call, const char *name) {
    const char *text = ctl_text(call, name);
    uint64_t bytes = 0;
    return text && parse_size(text, &bytes) ? bytes : 0;
}

static void print_option(const struct ctl_option *option, FILE *out) {
    char left[64];
    snprintf(left, sizeof left, "%c%c%s --%s%s%s", option->letter ? '-' : ' ',
             option->letter ? option->letter : ' ', option->letter ? "," : " ", option->name,
             option->value ? " " : "", option->value ? option->value : "");
    fprintf(out, "  %-26s %s\n", left, option->doc);
}

void ctl_args_help(const struct ctl_verb *verb, FILE *out) {
    fprintf(out, "usage: compressctl %s %s", verb->name, verb->args);
    for (size_t i = 0; i < verb->option_count; i++)
        if (verb->options[i].required)
            fprintf(out, " --%s %s", verb->options[i].name, verb->options[i].value);
    fprintf(out, " [OPTIONS]\n\n%s\n\n", verb->doc);
    for (size_t i = 0; i < verb->option_count; i++)
        print_option(&verb->options[i], out);
    for (size_t i = 0; i < ctl_common_option_count; i++)
        print_option(&ctl_common_options[i], out);
    if (verb->more)
        fprintf(out, "\n%s", verb->more);
}
