/* Problems, for people and for programs. */
#include "daemon/ctl_out.h"

#include "compress/base/problemdoc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct exit_row {
    enum ctl_exit code;
    const char *meaning;
};

static const struct exit_row exits[] = {
    {CTL_DONE, "done"},
    {CTL_USAGE, "usage"},
    {CTL_REFUSED, "refused before work (by the server or locally)"},
    {CTL_FAILED, "job failed"},
    {CTL_CANCELLED, "cancelled"},
    {CTL_NETWORK, "network"},
    {CTL_MISMATCH, "verification mismatch"},
};

const char *ctl_exit_at(unsigned i, enum ctl_exit *ret_code) {
    if (i >= sizeof exits / sizeof exits[0])
        return NULL;
    *ret_code = exits[i].code;
    return exits[i].meaning;
}

/* Errors that have a code of their own, whenever they appear. */
static const struct {
    enum err_code error;
    enum ctl_exit code;
} special[] = {
    {ERR_OK, CTL_DONE},         {ERR_BAD_REQUEST, CTL_USAGE}, {ERR_CANCELLED, CTL_CANCELLED},
    {ERR_NETWORK, CTL_NETWORK}, {ERR_VERIFY, CTL_MISMATCH},   {ERR_BAD_DIGEST, CTL_MISMATCH},
};

enum ctl_exit ctl_exit_of(enum err_code code, bool working) {
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (special[i].error == code)
            return special[i].code;
    return working ? CTL_FAILED : CTL_REFUSED;
}

void ctl_print_violation(const char *kind, const struct violation *v, FILE *out) {
    fprintf(out, "%s: ", kind);
    if (v->pointer[0])
        fprintf(out, "%s: ", v->pointer);
    if (v->tensor && !strstr(v->detail, v->tensor))
        fprintf(out, "tensor %s: ", v->tensor);
    if (v->file && !strstr(v->detail, v->file))
        fprintf(out, "%s: ", v->file);
    fputs(v->detail, out);
    if (v->offset != ERR_NO_OFFSET)
        fprintf(out, " (offset %" PRIu64 ")", v->offset);
    if (v->nearest)
        fprintf(out, " (nearest: %s)", v->nearest);
    fputc('\n', out);
}

/* An error as if it were the only finding. */
static struct violation as_violation(const struct err *err) {
    return (struct violation){
        .code = err->code,
        .pointer = err->pointer,
        .detail = err->text,
        .tensor = err->tensor[0] ? err->tensor : NULL,
        .file = err->file[0] ? err->file : NULL,
        .nearest = err->nearest[0] ? err->nearest : NULL,
        .offset = err->offset,
    };
}

static void print_json(const struct err *err, const struct violations *list) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "type", "error");
    jbuf_key(&b, "problem");
    jbuf_object(&b);
    problemdoc_members(&b, err, list);
    jbuf_object_end(&b);
    jbuf_object_end(&b);
    char *text = jbuf_take(&b, NULL);
    if (text)
        puts(text);
    free(text);
}

int ctl_fail(const struct err *err, const struct violations *list, bool json, bool working) {
    if (json) {
        print_json(err, list);
    } else if (list && list->count) {
        fprintf(stderr, "compressctl: %s\n", err_title(err->code));
        for (size_t i = 0; i < list->count; i++)
            ctl_print_violation("  error", &list->items[i], stderr);
        if (list->total > list->count)
            fprintf(stderr, "  and %zu more\n", list->total - list->count);
    } else {
        struct violation alone = as_violation(err);
        ctl_print_violation("compressctl", &alone, stderr);
    }
    return (int)ctl_exit_of(err->code, working);
}
