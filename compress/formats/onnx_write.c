/* Writing an ONNX model. */
#include "compress/formats/onnx.h"

int onnx_adapt(const struct model *model, const struct tensor *tensor, struct encoding *wanted,
               const char *pointer, struct violations *list) {
    if (encoding_equal(wanted, &tensor->stored))
        return 0;
    struct violation *v = violations_add(
        list, ERR_UNSUPPORTED, pointer,
        "weights of ONNX models can be kept as they are, and not yet be stored as %s",
        wanted->codec->name);
    v->tensor = tensor->name;
    return -1;
}

int onnx_lay_out_within(const struct model *model, const struct output_facts *facts,
                        uint64_t limit_bytes, struct layout *layout, struct violations *warnings,
                        struct err *err) {
    layout->lone = model->resolver->lone;
    for (size_t i = 0; i < model->resolver->count; i++) {
        const struct resolver_file *from = &model->resolver->files[i];
        struct layout_file *file = layout_add_file(layout, from->path);
        struct segment copy = {.kind = SEGMENT_COPY, .bytes = from->bytes, .resolver_index = i};
        if (!file)
            return err_set(err, ERR_NO_MEMORY, "the layout needs more memory than is allowed");
        if (layout_add(layout, file, copy, err) < 0)
            return -1;
    }
    layout_sort(layout);
    return 0;
}

int onnx_lay_out(const struct model *model, const struct output_facts *facts, struct layout *layout,
                 struct violations *warnings, struct err *err) {
    return onnx_lay_out_within(model, facts, ONNX_FILE_BYTES_MAX, layout, warnings, err);
}
