/*
 * The format table: one row per container. Sniff, open (headers only), and lay out again.
 *
 * `sniff` looks at names and first bytes only. `open` reads headers whole, checks every length,
 * offset, shape and name, and fills a model; weights are not touched. `check` says whether a
 * container can hold what the passes want, collecting violations; `lay_out` describes the output.
 * Formats never run a graph and never write a file.
 */
#ifndef COMPRESS_FORMATS_FORMAT_H
#define COMPRESS_FORMATS_FORMAT_H

#include "compress/base/violations.h"
#include "compress/formats/layout.h"
#include "compress/graph/model.h"

/* What a format may need to know to describe its output in words (model card, metadata). */
struct output_facts {
    const char *recipe_name; /* "int8" or "custom" */
    const char *recipe_json; /* canonical */
    const char *source_name; /* name of the model when known, else NULL */
};

struct format {
    const char *name; /* "safetensors", "gguf", "pytorch" */
    const char *doc;
    const char *extensions; /* for people: ".safetensors, folder" */
    /* Is this ours? `head` holds the first bytes of the lone file or of the first candidate file.
     */
    bool (*sniff)(struct resolver *files, struct err *err);
    int (*open)(struct resolver *files, struct model *model, struct err *err);
    /* Container and name under which this format's models come out; "pytorch" comes out as
     * safetensors. */
    const char *writes_as;
    /* Sets packing, scale dtype and whatever the container prescribes for a wanted encoding.
     * Violations (with tensor and nearest) when it cannot hold it. `pointer` is the rule's JSON
     * pointer. */
    int (*adapt)(const struct model *model, const struct tensor *tensor, struct encoding *wanted,
                 const char *pointer, struct violations *list);
    /* After all stages, once, before lay_out: rewrites the model's graph so that it computes with
     * what tensors are wanted as. NULL: the container has no graph. */
    int (*prepare)(struct model *model, struct violations *warnings, struct err *err);
    int (*lay_out)(const struct model *model, const struct output_facts *facts,
                   struct layout *layout, struct violations *warnings, struct err *err);
};

const struct format *format_at(size_t i); /* NULL past the end */
const struct format *format_by_name(const char *name);

/* Sniffs and opens. ERR_UNKNOWN_FORMAT lists what was looked at. The model is yours (model_free).
 */
int format_open(struct resolver *files, struct model **ret, struct err *err);

#endif
