/*
 * The architecture table. Long because it is a table: one list of patterns per family of names, one
 * row per architecture. Inside a list the first pattern that fits wins.
 *
 * Sources: module names of Hugging Face transformers and diffusers as they stand in checkpoints,
 * tensor names of llama.cpp (GGUF).
 */
#include "compress/graph/arch.h"

#include "compress/base/arena.h"
#include "compress/base/glob.h"
#include "compress/base/strmap.h"

#include <string.h>

#define LINEAR(glob, role) \
    { glob, role, true, false }
#define EMBEDDING(glob, role) \
    { glob, role, false, true }
#define PLAIN(glob, role) \
    { glob, role, false, false }

/* Before everything else: a bias or a norm is one whatever it belongs to. */
#define SMALL_TENSORS                                                       \
    PLAIN("*norm*.weight", ROLE_NORM), PLAIN("*norm*.bias", ROLE_NORM),     \
        PLAIN("*layer_norm*", ROLE_NORM), PLAIN("*LayerNorm*", ROLE_NORM),  \
        PLAIN("*.ln_*.weight", ROLE_NORM), PLAIN("*.ln_*.bias", ROLE_NORM), \
        PLAIN("ln_f.*", ROLE_NORM), PLAIN("*.bias", ROLE_BIAS), PLAIN("*_bias", ROLE_BIAS)

/* llama.cpp gives every language model the same names. */
#define GGUF_NAMES                                                                             \
    EMBEDDING("token_embd.weight", ROLE_EMBED), EMBEDDING("position_embd.weight", ROLE_EMBED), \
        EMBEDDING("token_types.weight", ROLE_EMBED), LINEAR("output.weight", ROLE_HEAD),       \
        LINEAR("blk.#.attn_[qkv].weight", ROLE_ATTN_QKV),                                      \
        LINEAR("blk.#.attn_qkv.weight", ROLE_ATTN_QKV),                                        \
        LINEAR("blk.#.attn_output.weight", ROLE_ATTN_OUT),                                     \
        PLAIN("blk.#.ffn_gate_inp.weight", ROLE_OTHER), LINEAR("blk.#.ffn_*.weight", ROLE_MLP)

static const struct arch_pattern decoder[] = {
    SMALL_TENSORS,
    EMBEDDING("*embed_tokens.weight", ROLE_EMBED),
    EMBEDDING("*tok_embeddings.weight", ROLE_EMBED),
    EMBEDDING("*embed_positions.weight", ROLE_EMBED),
    LINEAR("*lm_head.weight", ROLE_HEAD),
    LINEAR("score.weight", ROLE_HEAD),
    LINEAR("*layers.#.self_attn.[qkv]_proj.weight", ROLE_ATTN_QKV),
    LINEAR("*layers.#.self_attn.qkv_proj.weight", ROLE_ATTN_QKV),
    LINEAR("*layers.#.attention.wqkv.weight", ROLE_ATTN_QKV),
    LINEAR("*layers.#.attention.w[qkv].weight", ROLE_ATTN_QKV),
    LINEAR("*layers.#.attention.wo.weight", ROLE_ATTN_OUT),
    LINEAR("*layers.#.self_attn.o_proj.weight", ROLE_ATTN_OUT),
    LINEAR("*layers.#.self_attn.out_proj.weight", ROLE_ATTN_OUT),
    LINEAR("*layers.#.self_attn.dense.weight", ROLE_ATTN_OUT),
    LINEAR("*layers.#.encoder_attn.[qkv]_proj.weight", ROLE_ATTN_QKV),
    LINEAR("*layers.#.encoder_attn.out_proj.weight", ROLE_ATTN_OUT),
    LINEAR("*layers.#.mlp.gate_proj.weight", ROLE_MLP),
    LINEAR("*layers.#.mlp.up_proj.weight", ROLE_MLP),
    LINEAR("*layers.#.mlp.down_proj.weight", ROLE_MLP),
    LINEAR("*layers.#.mlp.gate_up_proj.weight", ROLE_MLP),
    LINEAR("*layers.#.mlp.c_fc.weight", ROLE_MLP),
    LINEAR("*layers.#.mlp.c_proj.weight", ROLE_MLP),
    LINEAR("*layers.#.mlp.fc[12].weight", ROLE_MLP),
    LINEAR("*layers.#.fc[12].weight", ROLE_MLP),
    LINEAR("*layers.#.feed_forward.w[123].weight", ROLE_MLP),
    GGUF_NAMES,
};

static const struct arch_pattern experts[] = {
    SMALL_TENSORS,
    EMBEDDING("*embed_tokens.weight", ROLE_EMBED),
    LINEAR("*lm_head.weight", ROLE_HEAD),
    LINEAR("*layers.#.self_attn.[qkv]_proj.weight", ROLE_ATTN_QKV),
    LINEAR("*layers.#.self_attn.[qkv]_[ab]_proj.weight", ROLE_ATTN_QKV),
    LINEAR("*layers.#.self_attn.kv_a_proj_with_mqa.weight", ROLE_ATTN_QKV),
    LINEAR("*layers.#.self_attn.kv_b_proj.weight", ROLE_ATTN_QKV),
    LINEAR("*layers.#.self_attn.o_proj.weight", ROLE_ATTN_OUT),
    LINEAR("*layers.#.*experts.#.*.weight", ROLE_MLP),
    LINEAR("*layers.#.mlp.shared_expert*_proj.weight", ROLE_MLP),
    LINEAR("*layers.#.mlp.*_proj.weight", ROLE_MLP),
    PLAIN("*layers.#.*experts*", ROLE_MLP), /* fused [experts, in, out] */
    PLAIN("*layers.#.*gate.weight", ROLE_OTHER),
    PLAIN("*layers.#.*router*", ROLE_OTHER),
    GGUF_NAMES,
};

/* GPT-2's Conv1D keeps its weight as [in, out]: not a Linear. */
static const struct arch_pattern gpt2[] = {
    SMALL_TENSORS,
    EMBEDDING("*wte.weight", ROLE_EMBED),
    EMBEDDING("*wpe.weight", ROLE_EMBED),
    LINEAR("*lm_head.weight", ROLE_HEAD),
    PLAIN("*h.#.*attn*.c_attn.weight", ROLE_ATTN_QKV),
    PLAIN("*h.#.*attn*.q_attn.weight", ROLE_ATTN_QKV),
    PLAIN("*h.#.*attn*.c_proj.weight", ROLE_ATTN_OUT),
    PLAIN("*h.#.mlp.c_fc.weight", ROLE_MLP),
    PLAIN("*h.#.mlp.c_proj.weight", ROLE_MLP),
    GGUF_NAMES,
};

/* The same family of names over real Linear modules. */
static const struct arch_pattern gpt_linear[] = {
    SMALL_TENSORS,
    EMBEDDING("*wte.weight", ROLE_EMBED),
    EMBEDDING("*wpe.weight", ROLE_EMBED),
    LINEAR("*lm_head.weight", ROLE_HEAD),
    LINEAR("*h.#.attn.c_attn.weight", ROLE_ATTN_QKV),
    LINEAR("*h.#.attn.c_proj.weight", ROLE_ATTN_OUT),
    LINEAR("*h.#.attn.*[qkv]_proj.weight", ROLE_ATTN_QKV),
    LINEAR("*h.#.attn.*out_proj.weight", ROLE_ATTN_OUT),
    LINEAR("*h.#.mlp.c_fc.weight", ROLE_MLP),
    LINEAR("*h.#.mlp.c_proj.weight", ROLE_MLP),
    LINEAR("*h.#.mlp.fc_in.weight", ROLE_MLP),
    LINEAR("*h.#.mlp.fc_out.weight", ROLE_MLP),
    LINEAR("*blocks.#.attn.Wqkv.weight", ROLE_ATTN_QKV),
    LINEAR("*blocks.#.attn.out_proj.weight", ROLE_ATTN_OUT),
    LINEAR("*blocks.#.ffn.*_proj.weight", ROLE_MLP),
    GGUF_NAMES,
};

static const struct arch_pattern fused_qkv[] = {
    SMALL_TENSORS,
    EMBEDDING("*embed_in.weight", ROLE_EMBED),
    EMBEDDING("*word_embeddings.weight", ROLE_EMBED),
    LINEAR("*embed_out.weight", ROLE_HEAD),
    LINEAR("*lm_head.weight", ROLE_HEAD),
    LINEAR("*.#.*attention.query_key_value.weight", ROLE_ATTN_QKV),
    LINEAR("*.#.*attention.dense.weight", ROLE_ATTN_OUT),
    LINEAR("*.#.mlp.dense_h_to_4h.weight", ROLE_MLP),
    LINEAR("*.#.mlp.dense_4h_to_h.weight", ROLE_MLP),
    GGUF_NAMES,
};

static const struct arch_pattern bert[] = {
    SMALL_TENSORS,
    EMBEDDING("*word_embeddings.weight", ROLE_EMBED),
    EMBEDDING("*position_embeddings.weight", ROLE_EMBED),
    EMBEDDING("*token_type_embeddings.weight", ROLE_EMBED),
    LINEAR("*layer.#.attention.self.query.weight", ROLE_ATTN_QKV),
    LINEAR("*layer.#.attention.self.key.weight", ROLE_ATTN_QKV),
    LINEAR("*layer.#.attention.self.value.weight", ROLE_ATTN_QKV),
    LINEAR("*layer.#.attention.output.dense.weight", ROLE_ATTN_OUT),
    LINEAR("*layer.#.attention.[qkv]_lin.weight", ROLE_ATTN_QKV),
    LINEAR("*layer.#.attention.out_lin.weight", ROLE_ATTN_OUT),
    LINEAR("*layer.#.attention.attn.[qkv].weight", ROLE_ATTN_QKV),
    LINEAR("*layer.#.attention.attn.o.weight", ROLE_ATTN_OUT),
    LINEAR("*layer.#.intermediate.dense.weight", ROLE_MLP),
    LINEAR("*layer.#.output.dense.weight", ROLE_MLP),
    LINEAR("*layer.#.ffn.lin[12].weight", ROLE_MLP),
    LINEAR("*predictions.decoder.weight", ROLE_HEAD),
    LINEAR("*lm_head.decoder.weight", ROLE_HEAD),
    LINEAR("vocab_projector.weight", ROLE_HEAD),
    LINEAR("*classifier*.weight", ROLE_HEAD),
    LINEAR("qa_outputs.weight", ROLE_HEAD),
    LINEAR("*pooler.dense.weight", ROLE_OTHER),
    LINEAR("*predictions.transform.dense.weight", ROLE_OTHER),
    GGUF_NAMES,
};

static const struct arch_pattern t5[] = {
    SMALL_TENSORS,
    EMBEDDING("shared.weight", ROLE_EMBED),
    EMBEDDING("*embed_tokens.weight", ROLE_EMBED),
    EMBEDDING("*relative_attention_bias.weight", ROLE_EMBED),
    LINEAR("lm_head.weight", ROLE_HEAD),
    LINEAR("*block.#.layer.#.SelfAttention.[qkv].weight", ROLE_ATTN_QKV),
    LINEAR("*block.#.layer.#.SelfAttention.o.weight", ROLE_ATTN_OUT),
    LINEAR("*block.#.layer.#.EncDecAttention.[qkv].weight", ROLE_ATTN_QKV),
    LINEAR("*block.#.layer.#.EncDecAttention.o.weight", ROLE_ATTN_OUT),
    LINEAR("*block.#.layer.#.DenseReluDense.w*.weight", ROLE_MLP),
    GGUF_NAMES,
};

#define CLIP_NAMES                                                      \
    EMBEDDING("*token_embedding.weight", ROLE_EMBED),                   \
        EMBEDDING("*position_embedding.weight", ROLE_EMBED),            \
        LINEAR("*layers.#.self_attn.[qkv]_proj.weight", ROLE_ATTN_QKV), \
        LINEAR("*layers.#.self_attn.out_proj.weight", ROLE_ATTN_OUT),   \
        LINEAR("*layers.#.mlp.fc[12].weight", ROLE_MLP),                \
        LINEAR("*visual_projection.weight", ROLE_HEAD),                 \
        LINEAR("*text_projection.weight", ROLE_HEAD)

static const struct arch_pattern vision[] = {
    SMALL_TENSORS,
    CLIP_NAMES,
    LINEAR("*layer.#.attention.attention.query.weight", ROLE_ATTN_QKV),
    LINEAR("*layer.#.attention.attention.key.weight", ROLE_ATTN_QKV),
    LINEAR("*layer.#.attention.attention.value.weight", ROLE_ATTN_QKV),
    LINEAR("*layer.#.attention.output.dense.weight", ROLE_ATTN_OUT),
    LINEAR("*layer.#.intermediate.dense.weight", ROLE_MLP),
    LINEAR("*layer.#.output.dense.weight", ROLE_MLP),
    LINEAR("*layer.#.mlp.fc[12].weight", ROLE_MLP),
    LINEAR("classifier.weight", ROLE_HEAD),
};

/* U-Net and transformer denoisers, VAEs and the text encoders beside them. */
static const struct arch_pattern diffusion[] = {
    SMALL_TENSORS,
    CLIP_NAMES,
    EMBEDDING("shared.weight", ROLE_EMBED),
    LINEAR("*SelfAttention.[qkv].weight", ROLE_ATTN_QKV),
    LINEAR("*SelfAttention.o.weight", ROLE_ATTN_OUT),
    LINEAR("*DenseReluDense.w*.weight", ROLE_MLP),
    LINEAR("*blocks.#.*attn*.to_[qkv].weight", ROLE_ATTN_QKV),
    LINEAR("*blocks.#.*attn*.add_[qkv]_proj.weight", ROLE_ATTN_QKV),
    LINEAR("*blocks.#.*attn*.to_out.#.weight", ROLE_ATTN_OUT),
    LINEAR("*blocks.#.*attn*.to_add_out.weight", ROLE_ATTN_OUT),
    LINEAR("*mid_block.attentions.#.to_[qkv].weight", ROLE_ATTN_QKV),
    LINEAR("*mid_block.attentions.#.to_out.#.weight", ROLE_ATTN_OUT),
    LINEAR("*blocks.#.*ff*.net.#.proj.weight", ROLE_MLP),
    LINEAR("*blocks.#.*ff*.net.#.weight", ROLE_MLP),
    LINEAR("*embed*.linear_[12].weight", ROLE_OTHER),
    LINEAR("*time_emb_proj.weight", ROLE_OTHER),
    PLAIN("*conv*.weight", ROLE_CONV),
};

/* Guesses from names alone. `c_*` is left out on purpose: GPT-2's convention for Conv1D. */
static const struct arch_pattern generic[] = {
    SMALL_TENSORS,
    GGUF_NAMES,
    EMBEDDING("*embed_tokens.weight", ROLE_EMBED),
    EMBEDDING("*wte.weight", ROLE_EMBED),
    EMBEDDING("*wpe.weight", ROLE_EMBED),
    PLAIN("*embed_out.weight", ROLE_HEAD),
    PLAIN("*embed*", ROLE_EMBED),
    LINEAR("*lm_head.weight", ROLE_HEAD),
    PLAIN("*classifier*.weight", ROLE_HEAD),
    PLAIN("*[._]head.weight", ROLE_HEAD),
    PLAIN("head.weight", ROLE_HEAD),
    LINEAR("*[qkv]_proj.weight", ROLE_ATTN_QKV),
    LINEAR("*to_[qkv].weight", ROLE_ATTN_QKV),
    LINEAR("*query_key_value.weight", ROLE_ATTN_QKV),
    LINEAR("*.query.weight", ROLE_ATTN_QKV),
    LINEAR("*.key.weight", ROLE_ATTN_QKV),
    LINEAR("*.value.weight", ROLE_ATTN_QKV),
    PLAIN("*qkv*", ROLE_ATTN_QKV),
    PLAIN("*in_proj_weight", ROLE_ATTN_QKV),
    PLAIN("*c_attn.weight", ROLE_ATTN_QKV),
    LINEAR("*attn*.o_proj.weight", ROLE_ATTN_OUT),
    LINEAR("*attn*.out_proj.weight", ROLE_ATTN_OUT),
    LINEAR("*attention*.dense.weight", ROLE_ATTN_OUT),
    PLAIN("*attn*.c_proj.weight", ROLE_ATTN_OUT),
    PLAIN("*to_out*", ROLE_ATTN_OUT),
    PLAIN("*attn*weight", ROLE_ATTN_OUT),
    LINEAR("*mlp*_proj.weight", ROLE_MLP),
    LINEAR("*gate_proj.weight", ROLE_MLP),
    LINEAR("*up_proj.weight", ROLE_MLP),
    LINEAR("*down_proj.weight", ROLE_MLP),
    LINEAR("*.fc[12].weight", ROLE_MLP),
    LINEAR("*intermediate.dense.weight", ROLE_MLP),
    LINEAR("*output.dense.weight", ROLE_MLP),
    PLAIN("*mlp*", ROLE_MLP),
    PLAIN("*ffn*", ROLE_MLP),
    PLAIN("*feed_forward*", ROLE_MLP),
    PLAIN("*conv*", ROLE_CONV),
};

#define TYPES(...)          \
    (const char *const[]) { \
        __VA_ARGS__, NULL   \
    }
#define PATTERNS(list) list, sizeof(list) / sizeof *(list)

static const struct arch table[] = {
    {"llama",
     TYPES("llama", "mistral", "ministral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3",
           "gemma3_text", "phi", "phi2", "phi3", "smollm3", "granite", "cohere", "cohere2",
           "command-r", "olmo", "olmo2", "stablelm", "starcoder2", "internlm2", "nemotron", "deci",
           "glm", "glm4", "persimmon", "exaone4"),
     PATTERNS(decoder), "decoder-only transformers with Llama's names", "lm_head", false},
    {"moe",
     TYPES("mixtral", "qwen2_moe", "qwen2moe", "qwen3_moe", "qwen3moe", "deepseek_v2",
           "deepseek_v3", "deepseek2", "olmoe", "phimoe", "dbrx", "granitemoe", "gpt_oss",
           "gpt-oss", "jamba", "llama4", "llama4_text", "glm4_moe", "glm4moe", "ernie4_5_moe"),
     PATTERNS(experts), "mixture-of-experts transformers", "lm_head", true},
    {"gpt2", TYPES("gpt2", "openai-gpt", "imagegpt", "decision_transformer"), PATTERNS(gpt2),
     "GPT-2, whose weights are Conv1D and not Linear", "lm_head", false},
    {"gpt", TYPES("gpt_bigcode", "starcoder", "gpt_neo", "gptj", "codegen", "mpt"),
     PATTERNS(gpt_linear), "GPT-2's relatives over Linear modules", "lm_head", false},
    {"gpt_neox", TYPES("gpt_neox", "gptneox", "gpt_neox_japanese"), PATTERNS(fused_qkv),
     "GPT-NeoX and Pythia", "embed_out", false},
    {"bloom", TYPES("bloom", "falcon"), PATTERNS(fused_qkv), "BLOOM and Falcon", "lm_head", false},
    {"opt", TYPES("opt", "bart", "mbart", "marian", "pegasus", "whisper", "m2m_100", "blenderbot"),
     PATTERNS(decoder), "OPT and the encoder-decoders of its naming", "lm_head", false},
    {"bert", TYPES("bert", "electra", "nomic-bert", "mobilebert"), PATTERNS(bert),
     "BERT and its relatives", "cls.predictions.decoder", false},
    {"roberta",
     TYPES("roberta", "xlm-roberta", "camembert", "mpnet", "deberta", "deberta-v2",
           "data2vec-text"),
     PATTERNS(bert), "RoBERTa and its relatives", "lm_head.decoder", false},
    {"distilbert", TYPES("distilbert"), PATTERNS(bert), "DistilBERT", "vocab_projector", false},
    {"t5", TYPES("t5", "mt5", "umt5", "longt5"), PATTERNS(t5), "T5 and its relatives", "lm_head",
     false},
    {"vision",
     TYPES("vit", "deit", "beit", "dinov2", "clip", "clip_text_model", "clip_vision_model",
           "siglip", "siglip2"),
     PATTERNS(vision), "vision transformers and CLIP", NULL, false},
    {"diffusers", TYPES("diffusers"), PATTERNS(diffusion), "diffusion pipelines of several parts",
     NULL, false},
    {"generic", TYPES(""), PATTERNS(generic), "any model, by names alone", "lm_head", false},
};

enum { ROWS = sizeof table / sizeof *table };

/* Where a tensor stands among the blocks: the name in front of the number, and the number. */
struct place {
    const char *stack; /* "model.layers." of one component */
    long block;        /* -1: outside */
};

static const struct arch_pattern *find(const struct arch *arch, const char *name);
static int place_of(struct model *model, const struct tensor *tensor, struct place *ret,
                    struct err *err);

const struct arch *arch_at(size_t i) {
    return i < ROWS ? &table[i] : NULL;
}

const struct arch *arch_generic(void) {
    return &table[ROWS - 1];
}

const struct arch *arch_for(const char *model_type) {
    for (size_t i = 0; model_type && i < ROWS; i++)
        for (const char *const *type = table[i].model_types; *type; type++)
            if (strcmp(*type, model_type) == 0)
                return &table[i];
    return arch_generic();
}

int arch_assign_roles(struct model *model, struct err *err) {
    struct arena *arena = model->arena;
    struct place *places = ARENA_ARRAY(arena, struct place, model->tensor_count);
    long *last = ARENA_ARRAY(arena, long, model->tensor_count); /* per stack */
    struct strmap stacks;
    strmap_init(&stacks, arena);
    if (model->tensor_count && (!places || !last))
        return err_set(err, ERR_NO_MEMORY, "the model's tensors need too much memory");
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor *t = &model->tensors[i];
        const struct arch_pattern *own = find(model->arch, t->name);
        const struct arch_pattern *fits = own ? own : find(arch_generic(), t->name);
        t->role = fits ? fits->role : t->rank >= 3 ? ROLE_CONV : ROLE_OTHER;
        t->is_linear = own && own->is_linear && t->rank == 2;
        t->is_embedding = fits && fits->is_embedding && t->rank == 2;
        if (place_of(model, t, &places[i], err) < 0)
            return -1;
        if (places[i].block < 0)
            continue;
        uint32_t stack = strmap_get(&stacks, places[i].stack);
        if (stack == STRMAP_NONE) {
            stack = (uint32_t)stacks.count;
            last[stack] = -1;
            if (strmap_put(&stacks, places[i].stack, stack) < 0)
                return err_set(err, ERR_NO_MEMORY, "the model's blocks need too much memory");
        }
        if (places[i].block > last[stack])
            last[stack] = places[i].block;
    }
    for (size_t i = 0; i < model->tensor_count; i++) {
        if (places[i].block < 0)
            continue;
        if (places[i].block == 0)
            model->tensors[i].role |= ROLE_FIRST;
        if (places[i].block == last[strmap_get(&stacks, places[i].stack)])
            model->tensors[i].role |= ROLE_LAST;
    }
    return 0;
}

static const struct arch_pattern *find(const struct arch *arch, const char *name) {
    for (size_t i = 0; i < arch->pattern_count; i++)
        if (glob_match(arch->patterns[i].glob, name))
            return &arch->patterns[i];
    return NULL;
}

/* A tensor's block is the first number between dots of its name: where the first '#' of the table's
 * patterns stands, and the same for norms and biases, whose patterns have none. */
static int place_of(struct model *model, const struct tensor *tensor, struct place *ret,
                    struct err *err) {
    const char *name = tensor->name;
    ret->block = -1;
    for (const char *p = name; (p = strchr(p, '.')) != NULL;) {
        size_t digits = strspn(++p, "0123456789");
        if (digits == 0 || digits > 6 || p[digits] != '.')
            continue;
        long block = 0;
        for (size_t i = 0; i < digits; i++)
            block = block * 10 + (p[i] - '0');
        ret->stack =
            arena_printf(model->arena, "%s/%.*s", tensor->component, (int)(p - name), name);
        if (!ret->stack)
            return err_set(err, ERR_NO_MEMORY, "the model's blocks need too much memory");
        ret->block = block;
        return 0;
    }
    return 0;
}
