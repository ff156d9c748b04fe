/* Inspection: what the headers say, summed up. */
#include "compress/recipe/inspect.h"

#include "compress/base/jbuf.h"
#include "compress/formats/format.h"
#include "compress/graph/arch.h"

#include <string.h>

size_t inspect_formats(const struct model *model, struct inspect_format ret[INSPECT_FORMATS_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        char name[sizeof ret->name];
        encoding_describe(&model->tensors[i].stored, name, sizeof name);
        size_t at = 0;
        while (at < count && at < INSPECT_FORMATS_MAX - 1 && strcmp(ret[at].name, name) != 0)
            at++;
        if (at == count) {
            ret[count] = (struct inspect_format){0};
            memcpy(ret[count++].name, name, sizeof name);
        }
        ret[at].tensors++;
        ret[at].bytes += tensor_stored_bytes(&model->tensors[i]);
    }
    return count;
}

static void print_dtypes(const struct model *model, struct jbuf *b) {
    struct inspect_format formats[INSPECT_FORMATS_MAX];
    size_t count = inspect_formats(model, formats);
    jbuf_key(b, "dtypes");
    jbuf_object(b);
    for (size_t i = 0; i < count; i++)
        jbuf_kv_uint(b, formats[i].name, formats[i].bytes);
    jbuf_object_end(b);
}

static void print_facts(const struct model *model, struct jbuf *b) {
    jbuf_key(b, "facts");
    jbuf_object(b);
    for (size_t i = 0; i < model->fact_count; i++)
        jbuf_kv_string(b, model->facts[i].key, model->facts[i].value);
    jbuf_object_end(b);
}

static void print_files(const struct model *model, struct jbuf *b) {
    jbuf_key(b, "files");
    jbuf_array(b);
    for (size_t i = 0; i < model->resolver->count; i++) {
        jbuf_object(b);
        jbuf_kv_string(b, "path", model->resolver->files[i].path);
        jbuf_kv_uint(b, "bytes", model->resolver->files[i].bytes);
        jbuf_object_end(b);
    }
    jbuf_array_end(b);
}

static void print_tensor(const struct tensor *t, struct jbuf *b) {
    char text[120];
    jbuf_object(b);
    if (t->component[0])
        jbuf_kv_string(b, "component", t->component);
    jbuf_kv_string(b, "name", t->name);
    jbuf_kv_string(b, "dtype", encoding_describe(&t->stored, text, sizeof text));
    jbuf_key(b, "shape");
    jbuf_array(b);
    for (unsigned i = 0; i < t->rank; i++)
        jbuf_uint(b, t->dims[i]);
    jbuf_array_end(b);
    jbuf_kv_uint(b, "bytes", tensor_stored_bytes(t));
    jbuf_kv_string(b, "role", role_text(t->role, text, sizeof text));
    if (t->reader_count) {
        jbuf_key(b, "nodes");
        jbuf_array(b);
        for (size_t i = 0; i < t->reader_count && i < INSPECT_NODES_MAX; i++)
            jbuf_string(b, t->readers[i]);
        jbuf_array_end(b);
    }
    jbuf_object_end(b);
}

char *inspect_json(const struct model *model, bool with_tensors, size_t *ret_len) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "format", model->format->name);
    jbuf_kv_string(&b, "architecture", model->architecture[0] ? model->architecture : NULL);
    jbuf_kv_string(&b, "family", model->arch->name);
    jbuf_kv_uint(&b, "parameters", model->parameters);
    jbuf_kv_uint(&b, "bytes", model->bytes);
    jbuf_kv_uint(&b, "tensor_count", model->tensor_count);
    print_dtypes(model, &b);
    jbuf_kv_string(&b, "quantization", model->quantization);
    jbuf_kv_bool(&b, "tied_embeddings", model->tied_embeddings);
    print_facts(model, &b);
    print_files(model, &b);
    if (with_tensors) {
        jbuf_key(&b, "tensors");
        jbuf_array(&b);
        for (size_t i = 0; i < model->tensor_count; i++)
            print_tensor(&model->tensors[i], &b);
        jbuf_array_end(&b);
    }
    jbuf_object_end(&b);
    return jbuf_take(&b, ret_len);
}

char *inspect_dataset_json(const struct dataset *dataset, size_t *ret_len) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "kind", dataset_kind_name(dataset_kind(dataset)));
    jbuf_kv_uint(&b, "samples", dataset_samples(dataset));
    jbuf_kv_uint(&b, "bytes", dataset_bytes(dataset));
    jbuf_key(&b, "arrays");
    jbuf_array(&b);
    for (size_t i = 0; i < dataset_array_count(dataset); i++) {
        const struct dataset_array *a = dataset_array(dataset, i);
        jbuf_object(&b);
        jbuf_kv_string(&b, "name", a->name);
        jbuf_kv_string(&b, "file", a->file);
        jbuf_kv_string(&b, "dtype", dtype_row(a->dtype)->name);
        jbuf_key(&b, "shape");
        jbuf_array(&b);
        for (unsigned d = 0; d < a->rank; d++)
            jbuf_uint(&b, a->dims[d]);
        jbuf_array_end(&b);
        jbuf_object_end(&b);
    }
    jbuf_array_end(&b);
    jbuf_object_end(&b);
    return jbuf_take(&b, ret_len);
}
