/* The architecture table: every row's own names, blocks, and what is no Linear. */
#include "compress/base/arena.h"
#include "compress/graph/arch.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

struct want {
    const char *type, *name;
    unsigned rank;
    unsigned role; /* first and last aside */
    bool linear, embedding;
};

static const struct want names[] = {
    {"llama", "model.embed_tokens.weight", 2, ROLE_EMBED, false, true},
    {"llama", "model.layers.3.self_attn.q_proj.weight", 2, ROLE_ATTN_QKV, true, false},
    {"llama", "model.layers.3.self_attn.q_proj.bias", 1, ROLE_BIAS, false, false},
    {"llama", "model.layers.3.self_attn.o_proj.weight", 2, ROLE_ATTN_OUT, true, false},
    {"llama", "model.layers.3.mlp.down_proj.weight", 2, ROLE_MLP, true, false},
    {"llama", "model.layers.3.input_layernorm.weight", 1, ROLE_NORM, false, false},
    {"llama", "model.norm.weight", 1, ROLE_NORM, false, false},
    {"llama", "lm_head.weight", 2, ROLE_HEAD, true, false},
    {"llama", "blk.3.attn_v.weight", 2, ROLE_ATTN_QKV, true, false},
    {"llama", "blk.3.attn_norm.weight", 1, ROLE_NORM, false, false},
    {"llama", "blk.3.ffn_gate.weight", 2, ROLE_MLP, true, false},
    {"llama", "token_embd.weight", 2, ROLE_EMBED, false, true},
    {"llama", "output.weight", 2, ROLE_HEAD, true, false},
    {"llama", "output_norm.weight", 1, ROLE_NORM, false, false},
    /* A projector beside a language model: its role is guessed, that it is a Linear is not. */
    {"llama", "vision.fc1.weight", 2, ROLE_MLP, false, false},
    {"phi3", "model.layers.0.self_attn.qkv_proj.weight", 2, ROLE_ATTN_QKV, true, false},
    {"phi3", "model.layers.0.mlp.gate_up_proj.weight", 2, ROLE_MLP, true, false},
    {"qwen3", "model.layers.0.self_attn.q_norm.weight", 1, ROLE_NORM, false, false},
    {"gemma3_text", "model.layers.0.pre_feedforward_layernorm.weight", 1, ROLE_NORM, false, false},
    {"mixtral", "model.layers.0.block_sparse_moe.experts.7.w1.weight", 2, ROLE_MLP, true, false},
    {"mixtral", "model.layers.0.block_sparse_moe.gate.weight", 2, ROLE_OTHER, false, false},
    {"qwen3_moe", "model.layers.0.mlp.experts.7.up_proj.weight", 2, ROLE_MLP, true, false},
    {"gpt2", "h.0.attn.c_attn.weight", 2, ROLE_ATTN_QKV, false, false},
    {"gpt2", "transformer.h.0.attn.c_proj.weight", 2, ROLE_ATTN_OUT, false, false},
    {"gpt2", "transformer.h.0.mlp.c_fc.weight", 2, ROLE_MLP, false, false},
    {"gpt2", "transformer.wte.weight", 2, ROLE_EMBED, false, true},
    {"gpt2", "transformer.ln_f.weight", 1, ROLE_NORM, false, false},
    {"gpt2", "ln_f.bias", 1, ROLE_NORM, false, false},
    {"gpt_bigcode", "transformer.h.0.attn.c_attn.weight", 2, ROLE_ATTN_QKV, true, false},
    {"gptj", "transformer.h.0.attn.q_proj.weight", 2, ROLE_ATTN_QKV, true, false},
    {"mpt", "transformer.blocks.0.attn.Wqkv.weight", 2, ROLE_ATTN_QKV, true, false},
    {"gpt_neox", "gpt_neox.layers.0.attention.query_key_value.weight", 2, ROLE_ATTN_QKV, true,
     false},
    {"gpt_neox", "embed_out.weight", 2, ROLE_HEAD, true, false},
    {"falcon", "transformer.h.0.mlp.dense_4h_to_h.weight", 2, ROLE_MLP, true, false},
    {"bloom", "h.0.self_attention.dense.weight", 2, ROLE_ATTN_OUT, true, false},
    {"opt", "model.decoder.layers.0.fc1.weight", 2, ROLE_MLP, true, false},
    {"opt", "model.decoder.layers.0.self_attn.out_proj.weight", 2, ROLE_ATTN_OUT, true, false},
    {"bert", "bert.encoder.layer.0.attention.self.key.weight", 2, ROLE_ATTN_QKV, true, false},
    {"bert", "encoder.layer.0.attention.output.dense.weight", 2, ROLE_ATTN_OUT, true, false},
    {"bert", "encoder.layer.0.attention.output.LayerNorm.gamma", 1, ROLE_NORM, false, false},
    {"bert", "bert.embeddings.token_type_embeddings.weight", 2, ROLE_EMBED, false, true},
    {"roberta", "lm_head.decoder.weight", 2, ROLE_HEAD, true, false},
    {"distilbert", "distilbert.transformer.layer.0.ffn.lin2.weight", 2, ROLE_MLP, true, false},
    {"t5", "encoder.block.0.layer.0.SelfAttention.q.weight", 2, ROLE_ATTN_QKV, true, false},
    {"t5", "decoder.block.0.layer.2.DenseReluDense.wi_0.weight", 2, ROLE_MLP, true, false},
    {"t5", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 2, ROLE_EMBED,
     false, true},
    {"vit", "vit.encoder.layer.0.attention.attention.value.weight", 2, ROLE_ATTN_QKV, true, false},
    {"clip", "text_model.encoder.layers.0.mlp.fc2.weight", 2, ROLE_MLP, true, false},
    {"diffusers", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight", 2,
     ROLE_ATTN_QKV, true, false},
    {"diffusers", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_out.0.weight", 2,
     ROLE_ATTN_OUT, true, false},
    {"diffusers", "down_blocks.0.resnets.0.conv1.weight", 4, ROLE_CONV, false, false},
    {"diffusers", "transformer_blocks.0.ff.net.0.proj.weight", 2, ROLE_MLP, true, false},
    {"", "x.q_proj.weight", 2, ROLE_ATTN_QKV, true, false},
    {"", "features.0.weight", 4, ROLE_CONV, false, false},
    {"", "something", 2, ROLE_OTHER, false, false},
    {"", "h.0.attn.c_attn.weight", 2, ROLE_ATTN_QKV, false, false},
    {"never heard of", "x.mlp.up_proj.weight", 2, ROLE_MLP, true, false},
};

static void known_names(void **state) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct want *w = &names[i];
        struct err err = ERR_INIT;
        struct tensor t = {.name = w->name, .component = "", .rank = w->rank};
        struct model model = {.arena = arena_new(1 << 20), .arch = arch_for(w->type)};
        model.tensors = &t;
        model.tensor_count = 1;
        CHECK_OK(arch_assign_roles(&model, &err), &err);
        unsigned role = t.role & ~(unsigned)(ROLE_FIRST | ROLE_LAST);
        if (role != w->role || t.is_linear != w->linear || t.is_embedding != w->embedding) {
            char text[64];
            print_error("%s %s: role %s, linear %d, embedding %d\n", w->type, w->name,
                        role_text(role, text, sizeof text), t.is_linear, t.is_embedding);
            CHECK(false);
        }
        arena_free(model.arena);
    }
}

static void blocks(void **state) {
    static const struct {
        const char *component, *name;
        unsigned role;
    } rows[] = {
        {"", "model.embed_tokens.weight", ROLE_EMBED},
        {"", "model.layers.0.self_attn.q_proj.weight", ROLE_ATTN_QKV | ROLE_FIRST},
        {"", "model.layers.0.input_layernorm.weight", ROLE_NORM | ROLE_FIRST},
        {"", "model.layers.1.self_attn.q_proj.weight", ROLE_ATTN_QKV},
        {"", "model.layers.10.self_attn.q_proj.weight", ROLE_ATTN_QKV | ROLE_LAST},
        {"", "vision.layers.0.mlp.fc1.weight", ROLE_MLP | ROLE_FIRST},
        {"", "vision.layers.2.mlp.fc1.weight", ROLE_MLP | ROLE_LAST},
        {"other", "model.layers.0.mlp.fc1.weight", ROLE_MLP | ROLE_FIRST | ROLE_LAST},
    };
    enum { N = sizeof rows / sizeof *rows };
    struct tensor tensors[N] = {0};
    for (size_t i = 0; i < N; i++) {
        tensors[i].name = rows[i].name;
        tensors[i].component = rows[i].component;
        tensors[i].rank = 2;
    }
    struct err err = ERR_INIT;
    struct model model = {.arena = arena_new(1 << 20), .arch = arch_for("llama")};
    model.tensors = tensors;
    model.tensor_count = N;
    CHECK_OK(arch_assign_roles(&model, &err), &err);
    for (size_t i = 0; i < N; i++)
        CHECK_UINT(tensors[i].role, rows[i].role);
    arena_free(model.arena);
}

static void table_is_sound(void **state) {
    size_t rows = 0;
    for (const struct arch *a; (a = arch_at(rows)) != NULL; rows++) {
        CHECK(a->name && a->doc && a->patterns && a->pattern_count > 0 && a->model_types[0]);
        for (const char *const *type = a->model_types; *type; type++)
            CHECK(arch_for(*type) == a); /* no type stands in two rows */
        for (size_t i = 0; i < rows; i++)
            CHECK(strcmp(arch_at(i)->name, a->name) != 0);
        for (size_t p = 0; p < a->pattern_count; p++)
            CHECK(!(a->patterns[p].is_linear && a->patterns[p].is_embedding));
    }
    CHECK(rows > 5);
    CHECK(arch_generic() == arch_at(rows - 1));
    CHECK(arch_for(NULL) == arch_generic());
    CHECK(arch_for("mixtral")->moe && !arch_for("llama")->moe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_names),
        cmocka_unit_test(blocks),
        cmocka_unit_test(table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
