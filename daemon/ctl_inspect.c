/* inspect: what a model or dataset is, from its headers. */
#include "compress/base/dirfiles.h"
#include "compress/formats/format.h"
#include "compress/recipe/inspect.h"
#include "daemon/ctl_out.h"
#include "daemon/ctl_verbs.h"
#include "daemon/term.h"

#include <inttypes.h>
#include <stdlib.h>

static void print_row(const char *key, const char *value) {
    printf("%-16s %s\n", key, value);
}

static void print_summary(const struct model *model) {
    char text[80], bytes[32];
    print_row("format", model->format->name);
    if (model->architecture[0])
        print_row("architecture", model->architecture);
    print_row("parameters", term_count(model->parameters, text, sizeof text));
    snprintf(text, sizeof text, "%s in %zu file%s", term_bytes(model->bytes, bytes, sizeof bytes),
             model->resolver->count, model->resolver->count == 1 ? "" : "s");
    print_row("size", text);
    struct inspect_format kinds[INSPECT_FORMATS_MAX];
    size_t count = inspect_formats(model, kinds);
    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%" PRIu64 " tensor%s, %s", kinds[i].tensors,
                 kinds[i].tensors == 1 ? "" : "s", term_bytes(kinds[i].bytes, bytes, sizeof bytes));
        print_row(kinds[i].name, text);
    }
    if (model->quantization)
        print_row("quantized", model->quantization);
    if (model->opaque_quantization)
        print_row("note", model->opaque_quantization);
    for (size_t i = 0; i < model->fact_count; i++)
        print_row(model->facts[i].key, model->facts[i].value);
}

static void print_tensors(const struct model *model) {
    printf("\n%-56s %-14s %-22s %10s  %s\n", "tensor", "shape", "format", "size", "role");
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        char shape[160] = "", name[80], bytes[32], role[120];
        size_t used = 0;
        for (unsigned k = 0; k < t->rank && used < sizeof shape; k++)
            used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRIu64, k ? "x" : "",
                                     t->dims[k]);
        printf("%s%s%-*s %-14s %-22s %10s  %s\n", t->component, t->component[0] ? "/" : "",
               t->component[0] ? 1 : 56, t->name, shape,
               encoding_describe(&t->stored, name, sizeof name),
               term_bytes(tensor_stored_bytes(t), bytes, sizeof bytes),
               role_text(t->role, role, sizeof role));
    }
}

static void print_arrays(const struct dataset *dataset, uint64_t files) {
    char text[80], bytes[32];
    print_row("kind", dataset_kind_name(dataset_kind(dataset)));
    snprintf(text, sizeof text, "%" PRIu64, dataset_samples(dataset));
    print_row("samples", text);
    snprintf(text, sizeof text, "%s in %" PRIu64 " file%s",
             term_bytes(dataset_bytes(dataset), bytes, sizeof bytes), files, files == 1 ? "" : "s");
    print_row("size", text);
    for (size_t i = 0; i < dataset_array_count(dataset); i++) {
        const struct dataset_array *a = dataset_array(dataset, i);
        struct array shape;
        if (array_shape(&shape, a->dtype, a->rank, a->dims, NULL) == 0)
            print_row(a->name, array_describe(&shape, text, sizeof text));
    }
}

static int inspect_set(const struct ctl_call *call) {
    struct err err = ERR_INIT;
    struct resolver *files = NULL;
    struct dataset *dataset = NULL;
    bool json = ctl_flag(call, "json");
    int code = CTL_DONE;
    if (dirfiles_open(call->args[0], true, &files, &err) < 0 ||
        dataset_open(files, &dataset, &err) < 0) {
        code = ctl_fail(&err, NULL, json, false);
    } else if (json) {
        char *text = inspect_dataset_json(dataset, NULL);
        if (text)
            puts(text);
        else
            code = CTL_FAILED;
        free(text);
    } else {
        print_arrays(dataset, files->count);
    }
    dataset_free(dataset);
    resolver_close(files);
    return code;
}

static int run(const struct ctl_call *call) {
    if (ctl_flag(call, "dataset"))
        return inspect_set(call);
    struct err err = ERR_INIT;
    struct resolver *files = NULL;
    struct model *model = NULL;
    bool json = ctl_flag(call, "json");
    int code = CTL_DONE;
    if (dirfiles_open(call->args[0], true, &files, &err) < 0 ||
        format_open(files, &model, &err) < 0) {
        code = ctl_fail(&err, NULL, json, false);
        goto out;
    }
    if (json) {
        char *text = inspect_json(model, ctl_flag(call, "tensors"), NULL);
        if (text)
            puts(text);
        else
            code = CTL_FAILED;
        free(text);
        goto out;
    }
    print_summary(model);
    if (ctl_flag(call, "tensors"))
        print_tensors(model);
out:
    model_free(model);
    resolver_close(files);
    return code;
}

static const struct ctl_option options[] = {
    {.name = "dataset", .kind = CTL_FLAG, .doc = "PATH is a dataset: say which arrays it holds."},
    {.name = "tensors",
     .letter = 't',
     .kind = CTL_FLAG,
     .doc = "List every tensor with shape, number format, size and role."},
};

const struct ctl_verb ctl_inspect = {
    .name = "inspect",
    .args = "PATH",
    .doc = "Say what a model or dataset, a file or folder, holds.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
