/* config.json is parsed whole: it is small, and capped. */
#include "compress/formats/hf_config.h"

#include "compress/base/arena.h"
#include "compress/base/jspec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One fact under the names it has had over the years. */
static const struct fact_row {
    const char *fact;
    const char *keys[6];
} fact_rows[] = {
    {"layers", {"num_hidden_layers", "n_layer", "num_layers", "n_layers"}},
    {"hidden_size", {"hidden_size", "n_embd", "d_model", "dim", "word_embed_proj_dim"}},
    {"intermediate_size", {"intermediate_size", "n_inner", "d_ff", "ffn_dim", "hidden_dim"}},
    {"heads", {"num_attention_heads", "n_head", "num_heads", "n_heads"}},
    {"kv_heads", {"num_key_value_heads", "num_kv_heads"}},
    {"head_dim", {"head_dim", "d_kv"}},
    {"vocab_size", {"vocab_size"}},
    {"context", {"max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"}},
};

static int add_facts(struct model *model, const struct json_t *doc, struct err *err);
static const char *text_of(struct model *model, const struct json_t *value);

int hf_config_read(struct model *model, const char *folder, bool with_facts, struct hf_config *ret,
                   struct err *err) {
    struct hf_config out = {.model_type = "", .architecture = ""};
    char path[LIMIT_PATH_BYTES + 16];
    snprintf(path, sizeof path, "%sconfig.json", folder);
    if (resolver_find(model->resolver, path) == SIZE_MAX) {
        *ret = out;
        return 0;
    }
    struct source *source = NULL;
    char *text = NULL;
    struct json_t *doc = NULL;
    int rc = resolver_open(model->resolver, path, &source, err);
    if (rc == 0)
        rc = source_slurp(source, LIMIT_JSON_FILE_BYTES, &text, err);
    if (rc == 0 && jspec_parse(text, (size_t)source->bytes, &doc, err) < 0) {
        err_context(err, "%s", path);
        rc = err_at_file(err, path, ERR_NO_OFFSET);
    }
    if (rc == 0 && !json_is(doc, JSPEC_OBJECT)) {
        err_set(err, ERR_BAD_MODEL, "%s is not a JSON object", path);
        rc = err_at_file(err, path, 0);
    }
    if (rc < 0)
        goto out;

    out.present = true;
    const struct json_t *names = json_get(doc, "architectures");
    out.model_type = text_of(model, json_get(doc, "model_type"));
    out.architecture = text_of(model, json_is(names, JSPEC_ARRAY) && json_array_len(names)
                                          ? json_array_at(names, 0)
                                          : json_get(doc, "_class_name"));
    json_bool(json_get(doc, "tie_word_embeddings"), &out.tied);
    if (out.model_type && out.architecture && !out.architecture[0])
        out.architecture = out.model_type;
    if (!out.model_type || !out.architecture) {
        rc = err_set(err, ERR_NO_MEMORY, "%s needs too much memory", path);
        goto out;
    }
    const struct json_t *quantization = json_get(doc, "quantization_config");
    if (!json_is(quantization, JSPEC_OBJECT)) /* its name before 2024 */
        quantization = json_get(doc, "compression_config");
    if (json_is(quantization, JSPEC_OBJECT))
        rc = ct_read_config(quantization, model->arena, &out.quantization, err);
    if (rc == 0 && with_facts)
        rc = add_facts(model, doc, err);
out:
    jspec_free(doc);
    free(text);
    source_close(source);
    if (rc == 0)
        *ret = out;
    return rc;
}

static int add_facts(struct model *model, const struct json_t *doc, struct err *err) {
    const struct json_t *text = json_get(doc, "text_config"); /* models of several modalities */
    for (size_t i = 0; i < sizeof fact_rows / sizeof *fact_rows; i++) {
        const struct fact_row *row = &fact_rows[i];
        for (size_t k = 0; k < 6 && row->keys[k]; k++) {
            int64_t value;
            if (!json_int(json_get(doc, row->keys[k]), &value) &&
                !(json_is(text, JSPEC_OBJECT) && json_int(json_get(text, row->keys[k]), &value)))
                continue;
            char number[32];
            snprintf(number, sizeof number, "%" PRId64, value);
            if (model_add_fact(model, row->fact, number, err) < 0)
                return -1;
            break;
        }
    }
    return 0;
}

/* A copy of a string; "" when it is none; NULL when memory ran out. */
static const char *text_of(struct model *model, const struct json_t *value) {
    const char *text = value ? json_text(value) : NULL;
    return text ? arena_strdup(model->arena, text) : "";
}
