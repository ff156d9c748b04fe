/* config.json: facts under all their names, and what is missing. */
#include "compress/formats/hf_config.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"

#include <string.h>

static int read_it(const char *text, const char *folder, struct model **ret_model,
                   struct resolver **ret_files, struct hf_config *ret, struct err *err) {
    static struct memfiles m;
    memfiles_free(&m);
    if (text)
        memfiles_text(&m, "config.json", text);
    *ret_files = memfiles_resolver(&m);
    *ret_model = model_new(*ret_files);
    return hf_config_read(*ret_model, folder, true, ret, err);
}

static void facts(void **state) {
    static const struct {
        const char *text, *type, *architecture;
        const char *facts[4][2];
    } rows[] = {
        {"{\"model_type\":\"gpt2\",\"architectures\":[\"GPT2LMHeadModel\",\"x\"],\"n_layer\":12,"
         "\"n_embd\":768}",
         "gpt2",
         "GPT2LMHeadModel",
         {{"layers", "12"}, {"hidden_size", "768"}}},
        {"{\"model_type\":\"llava\",\"text_config\":{\"vocab_size\":9,\"num_hidden_layers\":2},"
         "\"num_hidden_layers\":3}",
         "llava",
         "llava",
         {{"layers", "3"}, {"vocab_size", "9"}}},
        {"{\"architectures\":[],\"vocab_size\":\"many\",\"n_ctx\":-1}",
         "",
         "",
         {{"context", "-1"}}},
        {"{\"_class_name\":\"AutoencoderKL\",\"architectures\":3,\"text_config\":1}",
         "",
         "AutoencoderKL",
         {{0}}},
        {"{}", "", "", {{0}}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = ERR_INIT;
        struct model *model;
        struct resolver *files;
        struct hf_config config;
        CHECK_OK(read_it(rows[i].text, "", &model, &files, &config, &err), &err);
        CHECK(config.present && !config.tied);
        CHECK_TEXT(config.model_type, rows[i].type);
        CHECK_TEXT(config.architecture, rows[i].architecture);
        size_t n = 0;
        while (n < 4 && rows[i].facts[n][0])
            n++;
        CHECK_UINT(model->fact_count, n);
        for (size_t k = 0; k < n; k++) {
            CHECK_TEXT(model->facts[k].key, rows[i].facts[k][0]);
            CHECK_TEXT(model->facts[k].value, rows[i].facts[k][1]);
        }
        model_free(model);
        resolver_close(files);
    }
}

static void ties_and_quantization(void **state) {
    struct err err = ERR_INIT;
    struct model *model;
    struct resolver *files;
    struct hf_config config;
    CHECK_OK(read_it("{\"tie_word_embeddings\":true,\"compression_config\":{\"quant_method\":"
                     "\"compressed-tensors\",\"format\":\"pack-quantized\"}}",
                     "", &model, &files, &config, &err),
             &err);
    CHECK(config.tied);
    CHECK_TEXT(config.quantization.scheme, "compressed-tensors pack-quantized");
    model_free(model);
    resolver_close(files);
}

static void missing_and_broken(void **state) {
    struct err err = ERR_INIT;
    struct model *model;
    struct resolver *files;
    struct hf_config config;
    CHECK_OK(read_it(NULL, "", &model, &files, &config, &err), &err);
    CHECK(!config.present);
    CHECK_TEXT(config.model_type, "");
    model_free(model);
    resolver_close(files);
    CHECK_OK(read_it("{", "unet/", &model, &files, &config, &err), &err); /* another folder's */
    CHECK(!config.present);
    model_free(model);
    resolver_close(files);
    static const struct {
        const char *text;
        enum err_code code;
    } bad[] = {{"{", ERR_BAD_JSON},
               {"", ERR_BAD_JSON},
               {"{\"a\":1,\"a\":2}", ERR_BAD_JSON},
               {"[]", ERR_BAD_MODEL},
               {"\"x\"", ERR_BAD_MODEL}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(read_it(bad[i].text, "", &model, &files, &config, &err) < 0);
        CHECK_TEXT(err.file, "config.json");
        CHECK_FAILS(-1, &err, bad[i].code);
        model_free(model);
        resolver_close(files);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts),
        cmocka_unit_test(ties_and_quantization),
        cmocka_unit_test(missing_and_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
