/*
 * ONNX: untouched; quantized; in a folder, beside a file of weights; with every node written anew,
 * so that calls of functions are opened; and with the weights moved to a file of their own.
 */
#include "compress/base/arena.h"
#include "compress/formats/onnx.h"
#include "compress/graph/graph.h"
#include "tests/fuzz/fuzz_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTSIDE_BYTES 2048 /* a ceiling that small weights exceed */
#define WEIGHTS_BYTES 4096 /* of the file beside it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void change_all(struct graph *graph) {
    GRAPH_NODES(graph, node) {
        node->origin.bytes = 0;
        for (size_t a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH)
                change_all(node->attrs[a].body);
    }
}

static void write_changed(struct model *model, uint64_t limit_bytes) {
    static const struct output_facts facts = {"fuzz", "{}", NULL};
    struct arena *arena = arena_new(64 * MIB);
    struct violations warnings;
    struct layout layout;
    struct err err = ERR_INIT;
    if (!arena)
        abort();
    violations_init(&warnings, arena);
    layout_init(&layout, arena);
    if (onnx_lay_out_within(model, &facts, limit_bytes, &layout, &warnings, &err) == 0)
        fuzz_reopen(model, &layout);
    else
        fuzz_check_reason(&err);
    arena_free(arena);
}

/* External data are to be found; which of several models is meant, too. */
static void beside_weights(const char *const *schemes, const uint8_t *data, size_t len) {
    static const uint8_t weights[WEIGHTS_BYTES] = {1, 2, 3};
    const struct resolver_file listed[] = {{len % 3 ? "m.onnx" : "model.onnx", len},
                                           {"weights.bin", sizeof weights},
                                           {"other.onnx", len}};
    const void *const bytes[] = {data, weights, data};
    fuzz_model_folder("onnx", schemes, len / 2, listed, bytes, len % 4 ? 2 : 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static const char *const schemes[] = {"f32",          "f16",         "int8", "int4",
                                          "int8/dynamic", "int8/static", NULL};
    struct resolver_file listed = {"m.onnx", len};
    const void *bytes = data;
    struct err err = ERR_INIT;
    struct model *model;
    fuzz_model("onnx", len % 2 ? "m.onnx" : "model", schemes, data, len); /* known by its bytes */
    beside_weights(schemes, data, len);
    struct resolver *files = resolver_over_memory(&listed, &bytes, 1, true);
    if (!files)
        abort();
    if (format_open(files, &model, &err) == 0) {
        if (strcmp(model->format->name, "onnx") == 0) { /* others go by their first bytes */
            write_changed(model, OUTSIDE_BYTES);
            change_all(model->graph);
            write_changed(model, ONNX_FILE_BYTES_MAX);
        }
        model_free(model);
    }
    resolver_close(files);
    return 0;
}
