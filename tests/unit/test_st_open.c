/* Opening safetensors models: which files are the model's, and what does not hang together. */
#include "compress/formats/format.h"
#include "compress/formats/st_open.h"
#include "compress/graph/arch.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"

#include <stdbool.h>
#include <string.h>

struct opened {
    struct memfiles m;
    struct resolver *files;
    struct model *model;
    struct err err;
};

static int open_it(struct opened *o) {
    o->err = ERR_INIT;
    o->files = memfiles_resolver(&o->m);
    return format_open(o->files, &o->model, &o->err);
}

static void drop(struct opened *o) {
    model_free(o->model);
    resolver_close(o->files);
    memfiles_free(&o->m);
    *o = (struct opened){0};
}

/* Opens, expects failure with these words about this tensor and file, and drops. */
static void refused(struct opened *o, enum err_code code, const char *part, const char *tensor,
                    const char *file) {
    CHECK(open_it(o) < 0);
    if (o->err.code != code || !strstr(o->err.text, part)) {
        print_error("%s: %s\n", err_name(o->err.code), o->err.text);
        CHECK(false);
    }
    CHECK_TEXT(o->err.tensor, tensor);
    CHECK_TEXT(o->err.file, file);
    CHECK(!o->model);
    drop(o);
}

static void a_lone_file(void **state) {
    struct opened o = {.m.lone = true};
    memfiles_model(&o.m, "any name", "a BF16 4x8\nb.bias F32 8\nemb_embed BF16 3x8\nn I64 -\n",
                   NULL);
    CHECK_OK(open_it(&o), &o.err);
    CHECK_TEXT(o.model->format->name, "safetensors");
    CHECK(o.model->arch == arch_generic());
    CHECK_TEXT(o.model->architecture, "");
    CHECK_UINT(o.model->tensor_count, 4);
    CHECK(st_is_bare(o.model));
    CHECK(o.model->tensors[0].is_linear); /* a matrix, as far as bare files go */
    CHECK(!o.model->tensors[2].is_linear);
    CHECK(!o.model->tensors[3].is_linear);
    CHECK_UINT(o.model->parameters, 32 + 8 + 24);
    CHECK(!o.model->quantization && !o.model->opaque_quantization);
    const struct part *p = &o.model->tensors[1].parts[PART_DATA];
    CHECK_TEXT(p->name, "b.bias");
    CHECK_UINT(p->bytes, 32);
    CHECK_UINT(p->offset % 8, 0);
    drop(&o);
}

static void a_folder(void **state) {
    struct opened o = {0};
    memfiles_model(&o.m, "model.safetensors",
                   "model.embed_tokens.weight F16 10x8\nmodel.layers.0.mlp.up_proj.weight F16 4x8\n"
                   "x.weight F16 4x4\n",
                   "{\"format\":\"pt\"}");
    memfiles_text(&o.m, "config.json",
                  "{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"],"
                  "\"num_hidden_layers\":1,\"vocab_size\":10}");
    memfiles_model(&o.m, "2_Dense/model.safetensors", "linear.weight F32 2x2\n", NULL);
    CHECK_OK(open_it(&o), &o.err);
    CHECK_TEXT(o.model->architecture, "LlamaForCausalLM");
    CHECK_TEXT(o.model->arch->name, "llama");
    CHECK_UINT(o.model->tensor_count, 3);
    CHECK(o.model->tied_embeddings);
    CHECK(!st_is_bare(o.model));
    CHECK(!model_tensor(o.model, "", "x.weight")->is_linear);
    CHECK_UINT(o.model->fact_count, 2);
    CHECK_TEXT(o.model->facts[0].key, "layers");
    CHECK_UINT(((struct st_notes *)o.model->private)[0].count, 1);
    drop(&o);
}

static void variants_are_not_read(void **state) {
    struct opened o = {0};
    memfiles_model(&o.m, "model.safetensors", "a F32 2x2\nb F32 2x2\n", NULL);
    memfiles_model(&o.m, "model.fp16.safetensors", "a F16 2x2\nb F16 2x2\n", NULL);
    memfiles_model(&o.m, "extra.safetensors", "c F32 2x2\n", NULL);
    CHECK_OK(open_it(&o), &o.err);
    CHECK_UINT(o.model->file_count, 2);
    CHECK_TEXT(o.model->files[0].path, "extra.safetensors");
    CHECK_UINT(o.model->tensor_count, 3);
    drop(&o);

    /* Beside a configuration the main file alone is read. */
    memfiles_model(&o.m, "model.safetensors", "a F32 2x2\nb F32 2x2\n", NULL);
    memfiles_model(&o.m, "consolidated.safetensors", "c F32 2x2\n", NULL);
    memfiles_text(&o.m, "config.json", "{}");
    CHECK_OK(open_it(&o), &o.err);
    CHECK_UINT(o.model->tensor_count, 2);
    drop(&o);

    memfiles_model(&o.m, "x.safetensors", "a F32 2x2\n", NULL);
    memfiles_model(&o.m, "y.safetensors", "b F16 2x2\na F16 2x2\n", NULL);
    refused(&o, ERR_BAD_MODEL, "stands in x.safetensors and in y.safetensors", "a",
            "y.safetensors");
}

static void a_diffusers_folder(void **state) {
    struct opened o = {0};
    memfiles_text(&o.m, "model_index.json", "{\"_class_name\":\"StableDiffusionPipeline\"}");
    memfiles_model(&o.m, "unet/diffusion_pytorch_model.safetensors",
                   "conv_in.weight F32 4x4x3x3\n"
                   "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight F32 8x8\n",
                   NULL);
    memfiles_model(&o.m, "unet/diffusion_pytorch_model.fp16.safetensors",
                   "conv_in.weight F16 4x4x3x3\n", NULL);
    memfiles_text(&o.m, "unet/config.json", "{\"_class_name\":\"UNet2DConditionModel\"}");
    memfiles_model(&o.m, "vae/diffusion_pytorch_model.safetensors", "conv_in.weight F32 2x2x1x1\n",
                   NULL);
    memfiles_model(&o.m, "vae/deep/x.safetensors", "not_ours F32 2\n", NULL);
    memfiles_model(&o.m, "v1-pruned.safetensors", "all F32 2\n", NULL);
    CHECK_OK(open_it(&o), &o.err);
    CHECK_TEXT(o.model->architecture, "diffusers");
    CHECK_UINT(o.model->tensor_count, 3);
    CHECK_TEXT(o.model->tensors[0].component, "unet");
    CHECK_TEXT(o.model->tensors[2].component, "vae");
    CHECK(model_tensor(o.model, "vae", "conv_in.weight") == &o.model->tensors[2]);
    CHECK_UINT(o.model->tensors[2].role & ROLE_CONV, ROLE_CONV);
    CHECK(!st_is_bare(o.model));
    drop(&o);
}

#define INDEX "model.safetensors.index.json"
#define S1 "model-00001-of-00002.safetensors"
#define S2 "model-00002-of-00002.safetensors"

static void shards(struct opened *o, const char *index) {
    memfiles_model(&o->m, S2, "c F32 2x2\n", NULL);
    memfiles_model(&o->m, S1, "a F32 2x2\nb F32 2x2\n", NULL);
    memfiles_text(&o->m, INDEX, index);
}

static void an_index(void **state) {
    struct opened o = {0};
    shards(&o, "{\"metadata\":{\"total_size\":48},\"weight_map\":{\"a\":\"" S1 "\",\"b\":\"" S1
               "\",\"c\":\"" S2 "\"}}");
    memfiles_model(&o.m, "consolidated.safetensors", "a F32 2x2\n", NULL);
    CHECK_OK(open_it(&o), &o.err);
    CHECK_UINT(o.model->file_count, 2);
    CHECK_UINT(o.model->tensor_count, 3);
    CHECK_TEXT(o.model->tensors[0].name, "a");
    drop(&o);

    static const struct {
        const char *index, *part, *tensor;
    } bad[] = {
        {"{\"weight_map\":{\"a\":\"" S1 "\",\"b\":\"" S1 "\"}}", "missing", NULL},
        {"{\"weight_map\":{\"a\":\"" S1 "\",\"b\":\"" S1 "\",\"c\":\"" S2 "\",\"d\":\"" S2 "\"}}",
         "names a tensor that is not in " S2, "d"},
        {"{\"weight_map\":{\"a\":\"" S1 "\",\"b\":\"" S2 "\",\"c\":\"" S2 "\"}}",
         "puts elsewhere a tensor of " S1, "b"},
        {"{\"weight_map\":{\"a\":\"" S1 "\",\"c\":\"" S2 "\"}}", "does not know a tensor of " S1,
         "b"},
        {"{\"weight_map\":{\"a\":\"" S1 "\",\"b\":\"" S1 "\",\"c\":\"model-3.safetensors\"}}",
         "a shard that is missing: model-3.safetensors", "c"},
        {"{\"weight_map\":{\"a\":\"../" S1 "\"}}", "no file name", "a"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "no file name", "a"},
        {"{\"weight_map\":{\"a\":\"\"}}", "no file name", "a"},
        {"{\"weight_map\":{\"a\":\"" S1 "\",\"a\":\"" S1 "\"}}", "names a tensor twice", "a"},
        {"{\"weight_map\":{\"a\":7}}", "a string was expected", "a"},
        {"{\"weight_map\":[]}", "'{' was expected", ""},
        {"{\"weight_map\":{},\"weight_map\":{}}", "weight_map stands twice", ""},
        {"{\"metadata\":{}}", "no weight_map", ""},
        {"[]", "'{' was expected", ""},
        {"{\"weight_map\":{}} x", "follow", ""},
        {"", "'{' was expected", ""},
    };
    for (size_t i = 1; i < sizeof bad / sizeof *bad; i++) {
        shards(&o, bad[i].index);
        refused(&o, ERR_BAD_MODEL, bad[i].part, bad[i].tensor, INDEX);
    }
    /* A shard that the index does not name is not the model's. */
    shards(&o, bad[0].index);
    CHECK_OK(open_it(&o), &o.err);
    CHECK_UINT(o.model->tensor_count, 2);
    drop(&o);
    /* Shards without a single one there. */
    memfiles_text(&o.m, INDEX, "{\"weight_map\":{\"a\":\"" S1 "\"}}");
    refused(&o, ERR_BAD_MODEL, "missing", "a", INDEX);
    /* Two indexes of equal right. */
    memfiles_text(&o.m, "a.safetensors.index.json", "{}");
    memfiles_text(&o.m, "b.safetensors.index.json", "{}");
    refused(&o, ERR_BAD_MODEL, "which of the two", "", "b.safetensors.index.json");
}

static void bad_folders(void **state) {
    struct opened o = {0};
    memfiles_model(&o.m, "model.safetensors", "a F32 2x2\n", NULL);
    memfiles_text(&o.m, "config.json", "{");
    refused(&o, ERR_BAD_JSON, "config.json", "", "config.json");
    memfiles_model(&o.m, "model.safetensors", "a F32 2x2\n", NULL);
    memfiles_text(&o.m, "config.json", "[1]");
    refused(&o, ERR_BAD_MODEL, "not a JSON object", "", "config.json");
    memfiles_model(&o.m, "model.safetensors", "", NULL);
    refused(&o, ERR_BAD_MODEL, "no tensors", "", "model.safetensors");
    memfiles_text(&o.m, "model.safetensors", "short");
    refused(&o, ERR_BAD_MODEL, "truncated", "", "model.safetensors");
    memfiles_text(&o.m, "readme.txt", "nothing here");
    refused(&o, ERR_UNKNOWN_FORMAT, "readme.txt", "", "");
    refused(&o, ERR_UNKNOWN_FORMAT, "no files at all", "", "");
    o.m.lone = true;
    memfiles_text(&o.m, "noise", "\x01\x02\x03\x04\x05\x06\x07\x08{nothing");
    refused(&o, ERR_UNKNOWN_FORMAT, "noise", "", "");
    o.m.lone = true; /* a header that claims 100 MB, without a name that helps */
    memfiles_add(&o.m, "noise", "\0\0\x40\x06\0\0\0\0{\"a\":", 13);
    refused(&o, ERR_TOO_LARGE, "claims 104857600 bytes", "", "noise");
}

static void other_quantizers(void **state) {
    static const struct {
        const char *config, *names, *scheme;
    } rows[] = {
        {"{\"model_type\":\"llama\",\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4}"
         "}",
         "w.qweight I32 2x2\n", "gptq"},
        {"{\"quantization_config\":{\"quant_method\":\"awq\"}}", "w.qweight I32 2x2\n", "awq"},
        {"{\"quantization_config\":{\"quant_method\":\"bitsandbytes\"}}", "w U8 2x2\n",
         "bitsandbytes"},
        {"{\"quantization_config\":{\"quant_method\":\"fp8\"}}", "w F8_E4M3 2x2\n", "fp8"},
        {"{\"quantization_config\":{\"bits\":4}}", "w I32 2x2\n", "gptq"},
        {"{\"quantization_config\":{}}", "w I32 2x2\n", "unknown"},
        {"{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":"
         "\"nvfp4-pack-quantized\"}}",
         "w_packed U8 2x2\n", "compressed-tensors nvfp4-pack-quantized"},
        {"{}", "m.w.qweight I32 2x2\nm.w.qzeros I32 2x2\n", "gptq or awq"},
        {"{}", "w U8 2x2\nw.quant_state.bitsandbytes__nf4 U8 7\n", "bitsandbytes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct opened o = {0};
        memfiles_model(&o.m, "model.safetensors", rows[i].names, NULL);
        memfiles_text(&o.m, "config.json", rows[i].config);
        CHECK_OK(open_it(&o), &o.err); /* inspection works */
        CHECK_TEXT(o.model->quantization, rows[i].scheme);
        CHECK(o.model->opaque_quantization);
        drop(&o);
    }
    struct opened o = {0};
    memfiles_model(&o.m, "model.safetensors", "w I32 2x2\n", NULL);
    memfiles_text(&o.m, "quantize_config.json", "{\"bits\":4}");
    CHECK_OK(open_it(&o), &o.err);
    CHECK_TEXT(o.model->quantization, "gptq");
    drop(&o);
    memfiles_model(&o.m, "model.safetensors", "w F16 2x2\n", NULL);
    memfiles_text(&o.m, "config.json",
                  "{\"quantization_config\":{\"quant_method\":"
                  "\"compressed-tensors\",\"format\":\"dense\"}}");
    CHECK_OK(open_it(&o), &o.err);
    CHECK(!o.model->quantization && !o.model->opaque_quantization);
    drop(&o);
}

static void paths(void **state) {
    CHECK_UINT(st_folder_len("a/b/c"), 4);
    CHECK_UINT(st_folder_len("c"), 0);
    CHECK(st_has_suffix("x.bin", ".bin"));
    CHECK(!st_has_suffix(".bin", ".bin"));
    CHECK(!st_has_suffix("bin", ".bin"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lone_file),
        cmocka_unit_test(a_folder),
        cmocka_unit_test(variants_are_not_read),
        cmocka_unit_test(a_diffusers_folder),
        cmocka_unit_test(an_index),
        cmocka_unit_test(bad_folders),
        cmocka_unit_test(other_quantizers),
        cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
