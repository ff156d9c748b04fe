/* PyTorch checkpoints: those that torch.save itself wrote (tests/golden/pytorch, made by
 * export_torch.py), folders, and archives that lie about their storages. */
#include "compress/formats/pytorch.h"

#include "compress/base/bytes.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"
#include "tests/support/tinyzip.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A model over files in memory. */
struct opened {
    struct resolver_file files[8];
    const void *data[8];
    void *owned[8]; /* those that were read from golden files */
    size_t count;
    struct resolver *resolver;
    struct model *model;
};

static void add_file(struct opened *o, const char *path, const void *data, size_t len) {
    o->files[o->count] = (struct resolver_file){path, len};
    o->data[o->count++] = data;
}

static void add_golden(struct opened *o, const char *path, const char *name) {
    size_t len;
    o->owned[o->count] = golden_read(golden_name("pytorch/%s", name), &len);
    add_file(o, path, o->owned[o->count], len);
}

static int open_files(struct opened *o, bool lone, struct err *err) {
    o->resolver = resolver_over_memory(o->files, o->data, o->count, lone);
    CHECK(o->resolver != NULL);
    return format_open(o->resolver, &o->model, err);
}

static void close_files(struct opened *o) {
    model_free(o->model);
    resolver_close(o->resolver);
    for (size_t i = 0; i < o->count; i++)
        free(o->owned[i]);
    *o = (struct opened){0};
}

static const char *fact(const struct model *model, const char *key) {
    for (size_t i = 0; i < model->fact_count; i++)
        if (strcmp(model->facts[i].key, key) == 0)
            return model->facts[i].value;
    return "";
}

/* Element i of a tensor, as a number. */
static double value_at(const struct opened *o, const char *name, size_t i) {
    const struct tensor *t = model_tensor(o->model, "", name);
    CHECK(t != NULL);
    CHECK(i < t->elements);
    float all[64];
    uint8_t raw[512];
    struct err err = ERR_INIT;
    CHECK(t->elements <= 64);
    CHECK_OK(source_read(o->model->files[t->parts[PART_DATA].file].source,
                         t->parts[PART_DATA].offset, raw, t->parts[PART_DATA].bytes, &err),
             &err);
    codec_decode(&t->stored, 0, 1, t->elements, raw, NULL, NULL, all);
    return all[i];
}

static void state_dictionaries(void **state) {
    static const char *const files[] = {"state_dict.pt", "protocol4.pt", "protocol5.pt",
                                        "training.pt"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct opened o = {0};
        struct err err = ERR_INIT;
        add_golden(&o, "m.pt", files[i]);
        CHECK_OK(open_files(&o, true, &err), &err);
        CHECK_TEXT(o.model->format->name, "pytorch");
        CHECK_UINT(o.model->tensor_count, 7);
        CHECK_TEXT(o.model->tensors[0].name, "fc.weight");
        CHECK_UINT(o.model->tensors[0].dims[0], 3);
        CHECK_UINT(o.model->tensors[0].dims[1], 4);
        CHECK(o.model->tensors[0].is_linear);
        CHECK_TEXT(o.model->tensors[6].name, "bn.num_batches_tracked");
        CHECK_INT(o.model->tensors[6].stored.dtype, DTYPE_I64);
        CHECK_UINT(o.model->tensors[6].rank, 0);
        CHECK_NUM(value_at(&o, "fc.weight", 0), 1, 0);
        CHECK_NUM(value_at(&o, "fc.weight", 11), 12, 0);
        CHECK_NUM(value_at(&o, "fc.bias", 0), 13, 0);
        CHECK_NUM(value_at(&o, "bn.bias", 2), 21, 0);
        CHECK_TEXT(fact(o.model, "state_dict"), i == 3 ? "model" : "");
        CHECK_TEXT(fact(o.model, "left_out"),
                   i == 3 ? "optimizer, step, loss, shape, device, done, note" : "");
        CHECK_TEXT(fact(o.model, "shared_tensors"), "");
        close_files(&o);
    }
}

static void nested_dictionaries(void **state) {
    struct opened o = {0};
    struct err err = ERR_INIT;
    add_golden(&o, "m.pt", "nested.pt");
    CHECK_OK(open_files(&o, true, &err), &err);
    CHECK_UINT(o.model->tensor_count, 4);
    CHECK_NUM(value_at(&o, "encoder.layers.0.w", 3), 4, 0);
    CHECK_NUM(value_at(&o, "encoder.layers.1.w", 0), 5, 0);
    CHECK_NUM(value_at(&o, "decoder.w", 1), 10, 0);
    CHECK_NUM(value_at(&o, "7.w", 0), 11, 0);
    close_files(&o);
}

static void every_type(void **state) {
    static const struct {
        const char *name;
        enum dtype dtype;
        double first;
    } rows[] = {
        {"f64", DTYPE_F64, 1},   {"f32", DTYPE_F32, 3},         {"f16", DTYPE_F16, 5},
        {"bf16", DTYPE_BF16, 7}, {"f8_e4m3", DTYPE_F8_E4M3, 9}, {"f8_e5m2", DTYPE_F8_E5M2, 12},
        {"i64", DTYPE_I64, 13},  {"i32", DTYPE_I32, 15},        {"i16", DTYPE_I16, 17},
        {"i8", DTYPE_I8, 19},    {"u64", DTYPE_U64, 21},        {"u32", DTYPE_U32, 23},
        {"u16", DTYPE_U16, 25},  {"u8", DTYPE_U8, 27},          {"bool", DTYPE_BOOL, 1},
        {"c64", DTYPE_C64, NAN}, {"scalar", DTYPE_F32, 3},      {"empty", DTYPE_F32, NAN},
    };
    struct opened o = {0};
    struct err err = ERR_INIT;
    add_golden(&o, "m.pt", "types.pt");
    CHECK_OK(open_files(&o, true, &err), &err);
    CHECK_UINT(o.model->tensor_count, sizeof rows / sizeof rows[0]);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_TEXT(o.model->tensors[i].name, rows[i].name);
        CHECK_INT(o.model->tensors[i].stored.dtype, rows[i].dtype);
        if (!isnan(rows[i].first))
            CHECK_NUM(value_at(&o, rows[i].name, 0), rows[i].first, 0);
    }
    CHECK_UINT(o.model->tensors[17].elements, 0);
    close_files(&o);
}

static void shared_storages(void **state) {
    struct opened o = {0};
    struct err err = ERR_INIT;
    add_golden(&o, "m.pt", "shared.pt");
    CHECK_OK(open_files(&o, true, &err), &err);
    CHECK_UINT(o.model->tensor_count, 5);
    CHECK_UINT(o.model->tensors[0].parts[PART_DATA].offset,
               o.model->tensors[1].parts[PART_DATA].offset);
    CHECK_NUM(value_at(&o, "view", 0), 5, 0);
    CHECK_NUM(value_at(&o, "parameter", 0), 13, 0);
    CHECK_NUM(value_at(&o, "with_state", 1), 18, 0);
    CHECK_TEXT(fact(o.model, "shared_tensors"), "1");
    close_files(&o);
}

static const struct {
    const char *file;
    enum err_code code;
    const char *says;
    const char *tensor;
} refused[] = {
    {"legacy.bin", ERR_UNSUPPORTED, "before PyTorch 1.6", ""},
    {"module.pt", ERR_FORBIDDEN_PICKLE, "torch.nn.modules.container.Sequential", ""},
    {"exploit.pt", ERR_FORBIDDEN_PICKLE, "system", ""},
    {"transposed.pt", ERR_UNSUPPORTED, "not contiguous", "w"},
    {"strided.pt", ERR_UNSUPPORTED, "not contiguous", "w"},
    {"conjugate.pt", ERR_UNSUPPORTED, "conjugate", "w"},
    {"list.pt", ERR_UNSUPPORTED, "does not hold a dictionary", ""},
    {"no_tensors.pt", ERR_UNSUPPORTED, "no tensors", ""},
    {"nine_dims.pt", ERR_TOO_LARGE, "8 dimensions", "w"},
};

static void refused_with_advice(void **state) {
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct opened o = {0};
        struct err err = ERR_INIT;
        add_golden(&o, refused[i].file, refused[i].file);
        CHECK_INT(open_files(&o, true, &err), -1);
        if (err.code != refused[i].code || !strstr(err.text, refused[i].says) ||
            strcmp(err.tensor, refused[i].tensor) != 0 || strcmp(err.file, refused[i].file) != 0)
            fail_msg("%s: %s at %s, tensor %s: %s", refused[i].file, err_name(err.code), err.file,
                     err.tensor, err.text);
        close_files(&o);
    }
}

/* ---- folders ---- */

#define CONFIG "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"]}"

static void folder_with_one_file(void **state) {
    struct opened o = {0};
    struct err err = ERR_INIT;
    add_file(&o, "config.json", CONFIG, sizeof CONFIG - 1);
    add_golden(&o, "pytorch_model.bin", "state_dict.pt");
    add_golden(&o, "training_args.bin", "exploit.pt"); /* not looked into */
    CHECK_OK(open_files(&o, false, &err), &err);
    CHECK_TEXT(o.model->architecture, "LlamaForCausalLM");
    CHECK_UINT(o.model->tensor_count, 7);
    CHECK_UINT(o.model->file_count, 1);
    close_files(&o);
    add_golden(&o, "weights.pth", "state_dict.pt");
    add_file(&o, "notes.bin", "hello", 5);
    CHECK_OK(open_files(&o, false, &err), &err);
    CHECK_UINT(o.model->tensor_count, 7);
    close_files(&o);
    add_golden(&o, "a.pt", "state_dict.pt");
    add_golden(&o, "b.pt", "nested.pt");
    CHECK_FAILS(open_files(&o, false, &err), &err, ERR_UNSUPPORTED);
    close_files(&o);
}

static void sharded_folder(void **state) {
    static const char index[] =
        "{\"weight_map\": {\"fc.weight\": \"1.bin\", \"fc.bias\": \"1.bin\", \"bn.weight\": "
        "\"1.bin\", \"bn.bias\": \"1.bin\", \"bn.running_mean\": \"1.bin\", \"bn.running_var\": "
        "\"1.bin\", \"bn.num_batches_tracked\": \"1.bin\", \"encoder.layers.0.w\": \"2.bin\", "
        "\"encoder.layers.1.w\": \"2.bin\", \"decoder.w\": \"2.bin\", \"7.w\": \"2.bin\"}}";
    struct opened o = {0};
    struct err err = ERR_INIT;
    add_golden(&o, "1.bin", "state_dict.pt");
    add_golden(&o, "2.bin", "nested.pt");
    add_file(&o, "pytorch_model.bin.index.json", index, sizeof index - 1);
    CHECK_OK(open_files(&o, false, &err), &err);
    CHECK_UINT(o.model->tensor_count, 11);
    CHECK_UINT(o.model->file_count, 2);
    CHECK_NUM(value_at(&o, "decoder.w", 1), 10, 0);
    close_files(&o);
    /* A shard is not there. */
    add_golden(&o, "1.bin", "state_dict.pt");
    add_file(&o, "pytorch_model.bin.index.json", index, sizeof index - 1);
    CHECK_FAILS(open_files(&o, false, &err), &err, ERR_BAD_MODEL);
    close_files(&o);
    /* The shards are exchanged. */
    add_golden(&o, "1.bin", "nested.pt");
    add_golden(&o, "2.bin", "state_dict.pt");
    add_file(&o, "pytorch_model.bin.index.json", index, sizeof index - 1);
    CHECK_FAILS(open_files(&o, false, &err), &err, ERR_BAD_MODEL);
    close_files(&o);
}

/* ---- archives by hand ---- */

/* {"w": float tensor of 6 in storage 0} */
static const char pickle[] =
    "\x80\2}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
    "X\1\0\0\0"
    "0X\3\0\0\0cpuK\6tQK\0K\6\x85K\1\x85\x89NtRs.";

struct archive {
    const char *name;
    const char *pickle_name; /* default m/data.pkl */
    const char *second;      /* another entry's name */
    const char *storage;     /* default m/data/0 */
    size_t storage_len;      /* default 24 */
    const char *byteorder;
    enum err_code code; /* ERR_OK: opens */
    const char *says;
};

static const struct archive archives[] = {
    {.name = "good", .code = ERR_OK},
    {.name = "says little", .byteorder = "little", .code = ERR_OK},
    {.name = "says big", .byteorder = "big", .code = ERR_UNSUPPORTED, .says = "big-endian"},
    {.name = "says more",
     .byteorder = "little or big",
     .code = ERR_UNSUPPORTED,
     .says = "big-endian"},
    {.name = "storage too short",
     .storage_len = 23,
     .code = ERR_BAD_MODEL,
     .says = "should have 24 bytes, but its entry has 23"},
    {.name = "storage too long", .storage_len = 25, .code = ERR_BAD_MODEL, .says = "has 25"},
    {.name = "no storage",
     .storage = "m/data/1",
     .code = ERR_BAD_MODEL,
     .says = "no entry for the storage 0"},
    {.name = "storage of another folder",
     .storage = "n/data/0",
     .code = ERR_BAD_MODEL,
     .says = "no entry for the storage 0"},
    {.name = "two pickles", .second = "n/data.pkl", .code = ERR_BAD_MODEL, .says = "two data.pkl"},
    {.name = "no pickle",
     .pickle_name = "m/data.pkx",
     .code = ERR_UNSUPPORTED,
     .says = "holds no data.pkl"},
    {.name = "pickle at the top",
     .pickle_name = "data.pkl",
     .code = ERR_UNSUPPORTED,
     .says = "holds no data.pkl"},
};

static void archives_that_lie(void **state) {
    static const char zeros[32];
    for (size_t i = 0; i < sizeof archives / sizeof archives[0]; i++) {
        const struct archive *a = &archives[i];
        struct tinyzip z = {0};
        struct opened o = {0};
        struct err err = ERR_INIT;
        tinyzip_add(&z, a->pickle_name ? a->pickle_name : "m/data.pkl", pickle, sizeof pickle - 1);
        if (a->second)
            tinyzip_add(&z, a->second, pickle, sizeof pickle - 1);
        if (a->byteorder)
            tinyzip_add(&z, "m/byteorder", a->byteorder, strlen(a->byteorder));
        tinyzip_add(&z, a->storage ? a->storage : "m/data/0", zeros,
                    a->storage_len ? a->storage_len : 24);
        tinyzip_end(&z, 0);
        add_file(&o, "m.pt", z.b.at, z.b.len);
        int status = open_files(&o, true, &err);
        if ((status < 0) != (a->code != ERR_OK) || err.code != a->code ||
            (a->says && !strstr(err.text, a->says)))
            fail_msg("%s: %s: %s", a->name, err_name(err.code), err.text);
        if (status == 0)
            CHECK_UINT(o.model->tensors[0].parts[PART_DATA].bytes, 24);
        close_files(&o);
        tinyzip_free(&z);
    }
}

static void sniffs(void **state) {
    static const struct {
        const char *path;
        const char *data;
        bool ours;
    } rows[] = {
        {"m.pt", "PK\3\4 some zip or other", true},
        {"m.zip", "PK\3\4 some zip or other", false},
        {"m.bin", "\x80\2}.", true},
        {"m.pkl", "\x80\2}.", false},
        {"m.bin", "hello", false},
        {"m.bin", "\x80", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct opened o = {0};
        struct err err = ERR_INIT;
        add_file(&o, rows[i].path, rows[i].data, strlen(rows[i].data));
        o.resolver = resolver_over_memory(o.files, o.data, 1, true);
        CHECK_INT(pytorch_sniff(o.resolver, &err), rows[i].ours);
        CHECK_INT(err.code, ERR_OK);
        close_files(&o);
    }
}

/* Whichever allocation fails, opening comes home with ERR_NO_MEMORY and leaks nothing. */
static void without_memory(void **state) {
    struct opened o = {0};
    add_golden(&o, "pytorch_model.bin", "state_dict.pt");
    o.resolver = resolver_over_memory(o.files, o.data, o.count, false);
    CHECK(o.resolver != NULL);
    bool failed = true;
    unsigned n = 0;
    for (; failed; n++) {
        struct err err = ERR_INIT;
        o.model = NULL;
        allocfail_arm(n);
        int status = format_open(o.resolver, &o.model, &err);
        failed = allocfail_disarm();
        if (failed)
            CHECK_FAILS(status, &err, ERR_NO_MEMORY);
        else
            CHECK_OK(status, &err);
        if (failed)
            model_free(o.model);
    }
    CHECK(n > 10);
    close_files(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_dictionaries),
        cmocka_unit_test(nested_dictionaries),
        cmocka_unit_test(every_type),
        cmocka_unit_test(shared_storages),
        cmocka_unit_test(refused_with_advice),
        cmocka_unit_test(folder_with_one_file),
        cmocka_unit_test(sharded_folder),
        cmocka_unit_test(archives_that_lie),
        cmocka_unit_test(sniffs),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
