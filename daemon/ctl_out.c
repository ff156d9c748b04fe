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
    char offset[24];
    snprintf(offset, sizeof offset, "%" PRIu64, v->offset);
    if (v->offset != ERR_NO_OFFSET && !strstr(v->detail, offset))
        fprintf(out, " (offset %s)", offset);
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

/* What else the tool's user can do about it. */
static const struct {
    enum err_code error;
    const char *text;
} hints[] = {
    {ERR_NO_TOKEN, "use --token or COMPRESSD_TOKEN"},
    {ERR_ALREADY_QUANTIZED, "--requantize starts from its decoded weights"},
};

static void print_hint(const struct err *err, const struct violations *list) {
    enum err_code code = list && list->count ? list->items[0].code : err->code;
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (hints[i].error == code || hints[i].error == err->code) {
            fprintf(stderr, "  %s\n", hints[i].text);
            return;
        }
}

#define ALIKE_SHOWN 5

/* Equal for findings that differ in the tensor and in numbers alone (FNV-1a of the rest). */
static uint64_t shape_of(const struct violation *v) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    size_t name_len = v->tensor ? strlen(v->tensor) : 0;
    for (const char *c = v->pointer; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    for (const char *c = v->detail; *c;) {
        if (name_len && strncmp(c, v->tensor, name_len) == 0) {
            c += name_len;
            continue;
        }
        if (*c < '0' || *c > '9')
            hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
        c++;
    }
    return hash;
}

static size_t alike(const uint64_t *shapes, size_t from, size_t to, uint64_t shape) {
    size_t count = 0;
    for (size_t i = from; i < to; i++)
        count += shapes[i] == shape;
    return count;
}

void ctl_print_findings(const struct violations *list, FILE *out) {
    uint64_t *shapes = calloc(list->count + 1, sizeof *shapes);
    for (size_t i = 0; shapes && i < list->count; i++)
        shapes[i] = shape_of(&list->items[i]);
    for (size_t i = 0; i < list->count; i++) {
        size_t before = shapes ? alike(shapes, 0, i, shapes[i]) : 0;
        if (before < ALIKE_SHOWN) {
            ctl_print_violation("  error", &list->items[i], out);
        } else if (before == ALIKE_SHOWN) {
            fprintf(out, "  and %zu more like it\n", alike(shapes, i, list->count, shapes[i]));
        }
    }
    free(shapes);
    if (list->total > list->count)
        fprintf(out, "  and %zu more\n", list->total - list->count);
}

int ctl_fail(const struct err *err, const struct violations *list, bool json, bool working) {
    if (json) {
        print_json(err, list);
        return (int)ctl_exit_of(err->code, working);
    }
    if (list && list->count) {
        fprintf(stderr, "compressctl: %s\n", err_title(err->code));
        ctl_print_findings(list, stderr);
    } else {
        struct violation alone = as_violation(err);
        ctl_print_violation("compressctl", &alone, stderr);
    }
    print_hint(err, list);
    return (int)ctl_exit_of(err->code, working);
}
