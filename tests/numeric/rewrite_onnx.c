/*
 * Writes an ONNX model in ways that no recipe asks for, so that another runtime can judge what the
 * writer makes of every part (tests/interop/test_onnx.py).
 *
 * usage: rewrite_onnx MODEL FOLDER copy|nodes|outside
 *
 *   copy     untouched
 *   nodes    every node made anew from its fields; calls of functions opened
 *   outside  the larger weights in a file of their own, as if protobuf took half the model's bytes
 */
#include "compress/base/arena.h"
#include "compress/base/dirfiles.h"
#include "compress/formats/onnx.h"
#include "compress/graph/graph.h"
#include "tests/support/memfiles.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void change_all(struct graph *graph) {
    GRAPH_NODES(graph, node) {
        node->origin.bytes = 0;
        for (size_t a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH)
                change_all(node->attrs[a].body);
    }
}

static int save(const struct memfiles *files, const char *folder) {
    char path[1024];
    mkdir(folder, 0777);
    for (size_t i = 0; i < files->count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files->files[i].path);
        FILE *to = fopen(path, "wb");
        if (!to || fwrite(files->data[i], 1, files->files[i].bytes, to) != files->files[i].bytes ||
            fclose(to) != 0) {
            perror(path);
            return -1;
        }
    }
    return 0;
}

static int rewrite(struct model *model, const char *folder, const char *mode, struct arena *arena,
                   struct err *err) {
    static const struct output_facts facts = {"rewritten", "{}", NULL};
    struct violations warnings;
    struct layout layout;
    struct memfiles written;
    bool outside = strcmp(mode, "outside") == 0;
    violations_init(&warnings, arena);
    layout_init(&layout, arena);
    if (strcmp(mode, "nodes") == 0)
        change_all(model->graph);
    const struct onnx *onnx = model->private;
    uint64_t limit = outside ? model->files[onnx->file].bytes / 2 : ONNX_FILE_BYTES_MAX;
    if (onnx_lay_out_within(model, &facts, limit, &layout, &warnings, err) < 0)
        return -1;
    memfiles_emit(model, &layout, &written);
    int result = save(&written, folder);
    memfiles_free(&written);
    return result;
}

int main(int argc, char **argv) {
    struct err err = ERR_INIT;
    struct resolver *files;
    struct model *model;
    struct arena *arena = arena_new(64 * MIB);
    int result = -1;
    if (argc != 4 || !arena) {
        fprintf(stderr, "usage: rewrite_onnx MODEL FOLDER copy|nodes|outside\n");
        return 2;
    }
    if (dirfiles_open(argv[1], true, &files, &err) == 0) {
        if (format_open(files, &model, &err) == 0) {
            result = rewrite(model, argv[2], argv[3], arena, &err);
            model_free(model);
        }
        resolver_close(files);
    }
    if (err.code != ERR_OK)
        fprintf(stderr, "rewrite_onnx: %s\n", err.text);
    arena_free(arena);
    return result < 0;
}
