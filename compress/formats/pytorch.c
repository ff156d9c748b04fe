/*
 * Opening a PyTorch checkpoint: choose the files, read each one's zip directory and pickle, lay the
 * tensors over the entries that hold their storages.
 */
#include "compress/formats/pytorch.h"

#include "compress/base/bytes.h"
#include "compress/base/strmap.h"
#include "compress/formats/hf_config.h"
#include "compress/formats/st_index.h"
#include "compress/formats/st_open.h"
#include "compress/formats/torch_pickle.h"
#include "compress/formats/zipdir.h"
#include "compress/graph/arch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define INDEX_SUFFIX ".bin"
#define SINGLE_NAME "pytorch_model.bin"
#define PICKLE_SUFFIX "/data.pkl"
#define LOCAL_BYTES 30
#define HEAD_BYTES 160 /* a local zip header and the name of the first entry */

enum head {
    HEAD_OTHER,
    HEAD_CHECKPOINT, /* a zip that starts with a data.pkl */
    HEAD_ZIP,        /* some zip */
    HEAD_PICKLE,     /* torch.save before 1.6, or a bare pickle */
};

static const char *const extensions[] = {".bin", ".pt", ".pth", ".ckpt"};

/* What is gathered while the files are read. */
struct opening {
    struct model *model;
    struct st_index index;
    struct strmap names;
    size_t tensor_capacity;
    const char *under; /* torch_state.under of the last file that had one */
    const char *left_out;
};

/* One file, opened. */
struct checkpoint {
    uint32_t file;
    struct zipdir dir;
    const char *prefix; /* "NAME/" */
    struct torch_state state;
};

static int head_of(struct source *source, enum head *ret, struct err *err);
static int head_of_file(struct resolver *files, size_t i, enum head *ret, struct err *err);
static int is_checkpoint(struct resolver *files, size_t i, struct err *err);
static int choose(struct opening *o, bool *chosen, struct err *err);
static int read_file(struct opening *o, size_t resolver_index, struct err *err);
static int read_checkpoint(const struct model *model, struct checkpoint *c, struct err *err);
static int add_tensors(struct opening *o, const struct checkpoint *c, struct err *err);
static int count_shared(struct model *model, struct err *err);

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "the model needs more memory than is allowed");
}

static bool has_extension(const char *path) {
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof extensions / sizeof extensions[0]; i++)
        if (strcasecmp(dot, extensions[i]) == 0)
            return true;
    return false;
}

static bool is_at_top(const char *path) {
    return !strchr(path, '/');
}

bool pytorch_sniff(struct resolver *files, struct err *err) {
    if (files->lone) {
        enum head head;
        if (head_of_file(files, 0, &head, err) < 0)
            return false;
        /* Names matter for what is not plainly a checkpoint: it is claimed to be refused well. */
        return head == HEAD_CHECKPOINT ||
               (head != HEAD_OTHER && has_extension(files->files[0].path));
    }
    size_t index;
    if (st_index_find(files, "", INDEX_SUFFIX, &index, err) < 0 || index != SIZE_MAX ||
        resolver_find(files, SINGLE_NAME) != SIZE_MAX)
        return true;
    for (size_t i = 0; i < files->count; i++)
        if (is_checkpoint(files, i, err) != 0)
            return true; /* or a failure, which err tells */
    return false;
}

int pytorch_open(struct resolver *files, struct model *model, struct err *err) {
    struct opening o = {.model = model};
    struct hf_config config;
    bool *chosen = ARENA_ARRAY(model->arena, bool, files->count);
    if (!chosen)
        return no_memory(err);
    strmap_init(&o.names, model->arena);
    if (choose(&o, chosen, err) < 0)
        return -1;
    for (size_t i = 0; i < files->count; i++)
        if (chosen[i] && read_file(&o, i, err) < 0)
            return -1;
    if (st_index_check_complete(&o.index, err) < 0)
        return -1;
    if (model->tensor_count == 0)
        return err_set(err, ERR_BAD_MODEL, "the model holds no tensors");

    if (hf_config_read(model, "", true, &config, err) < 0)
        return -1;
    model->architecture = config.architecture;
    model->arch = arch_for(config.model_type);
    model->tied_embeddings = config.tied;
    model->quantization = config.quantization.scheme;
    if (config.quantization.scheme) {
        model->opaque_quantization =
            arena_printf(model->arena, "quantized weights (%s) are read from safetensors only",
                         config.quantization.scheme);
        if (!model->opaque_quantization)
            return no_memory(err);
    }
    if (o.under && model_add_fact(model, "state_dict", o.under, err) < 0)
        return -1;
    if (o.left_out && model_add_fact(model, "left_out", o.left_out, err) < 0)
        return -1;
    if (count_shared(model, err) < 0 || model_finish(model, err) < 0)
        return -1;
    if (st_is_bare(model))
        st_call_matrices_linear(model);
    return 0;
}

static int head_of(struct source *source, enum head *ret, struct err *err) {
    uint8_t head[HEAD_BYTES] = {0};
    size_t len = source->bytes < sizeof head ? (size_t)source->bytes : sizeof head;
    *ret = HEAD_OTHER;
    if (source_read(source, 0, head, len, err) < 0)
        return -1;
    if (memcmp(head, "PK\3\4", 4) == 0) {
        size_t name_len = load_u16(head + 26), tail = sizeof PICKLE_SUFFIX - 1;
        bool ours = name_len > tail && LOCAL_BYTES + name_len <= len &&
                    memcmp(head + LOCAL_BYTES + name_len - tail, PICKLE_SUFFIX, tail) == 0;
        *ret = ours ? HEAD_CHECKPOINT : HEAD_ZIP;
    } else if (head[0] == 0x80 && head[1] >= 2 && head[1] <= 5) {
        *ret = HEAD_PICKLE;
    }
    return 0;
}

static int head_of_file(struct resolver *files, size_t i, enum head *ret, struct err *err) {
    struct source *source;
    if (files->ops->open(files, i, &source, err) < 0)
        return -1;
    int status = head_of(source, ret, err);
    source_close(source);
    return status;
}

/* Is file i of a folder a checkpoint, by place, name and first bytes? 1, 0, or -1 with err set. */
static int is_checkpoint(struct resolver *files, size_t i, struct err *err) {
    const char *path = files->files[i].path;
    enum head head;
    if (!is_at_top(path) || !has_extension(path))
        return 0;
    return head_of_file(files, i, &head, err) < 0 ? -1 : head == HEAD_CHECKPOINT;
}

static int refuse_old(const char *path, struct err *err) {
    err_set(err, ERR_UNSUPPORTED,
            "a bare pickle, as torch.save wrote before PyTorch 1.6; load it where you trust it and "
            "save it again with torch.save(torch.load(PATH), PATH)");
    return err_at_file(err, path, 0);
}

/* The one checkpoint in a folder that does not say which it is. */
static int choose_only(const struct opening *o, bool *chosen, struct err *err) {
    struct resolver *files = o->model->resolver;
    const char *found = NULL;
    for (size_t i = 0; i < files->count; i++) {
        const char *path = files->files[i].path;
        int ours = is_checkpoint(files, i, err);
        if (ours < 0)
            return -1;
        if (!ours)
            continue;
        if (found)
            return err_set(err, ERR_UNSUPPORTED,
                           "the folder holds several checkpoints, among them \"%s\" and \"%s\"; "
                           "give one of them alone",
                           found, path);
        found = path;
        chosen[i] = true;
    }
    return 0;
}

static int choose(struct opening *o, bool *chosen, struct err *err) {
    struct resolver *files = o->model->resolver;
    if (files->lone) {
        chosen[0] = true;
        return 0;
    }
    if (st_index_read(files, "", INDEX_SUFFIX, o->model->arena, &o->index, err) < 0)
        return -1;
    size_t single = resolver_find(files, SINGLE_NAME);
    if (o->index.present)
        st_index_mark(&o->index, chosen);
    else if (single != SIZE_MAX)
        chosen[single] = true;
    else
        return choose_only(o, chosen, err);
    return 0;
}

static int read_file(struct opening *o, size_t resolver_index, struct err *err) {
    struct checkpoint c = {0};
    if (model_add_file(o->model, resolver_index, &c.file, err) < 0 ||
        read_checkpoint(o->model, &c, err) < 0)
        return -1;
    if (c.state.under) {
        o->under = c.state.under;
        o->left_out = c.state.left_out;
    }
    return add_tensors(o, &c, err);
}

/* The entry NAME/data.pkl, and NAME/. */
static int find_pickle(const struct model_file *file, const struct zipdir *dir, struct arena *arena,
                       const struct zipdir_entry **ret, const char **ret_prefix, struct err *err) {
    const struct zipdir_entry *found = NULL;
    size_t prefix_len = 0;
    for (size_t i = 0; i < dir->count; i++) {
        const char *name = dir->entries[i].name;
        size_t len = strlen(name), tail = sizeof PICKLE_SUFFIX - 1;
        if (len <= tail || strcmp(name + len - tail, PICKLE_SUFFIX) != 0)
            continue;
        if (found) {
            err_set(err, ERR_BAD_MODEL, "the archive holds two data.pkl");
            return err_at_file(err, file->path, dir->entries[i].offset);
        }
        found = &dir->entries[i];
        prefix_len = len - tail + 1;
    }
    if (!found) {
        err_set(err, ERR_UNSUPPORTED,
                "a zip archive that holds no data.pkl: no PyTorch checkpoint");
        return err_at_file(err, file->path, 0);
    }
    *ret = found;
    *ret_prefix = arena_strndup(arena, found->name, prefix_len);
    return *ret_prefix ? 0 : no_memory(err);
}

static const struct zipdir_entry *entry_of(const struct zipdir *dir, const char *prefix,
                                           const char *name) {
    char path[1024];
    int len = snprintf(path, sizeof path, "%s%s", prefix, name);
    return len < (int)sizeof path ? zipdir_find(dir, path) : NULL;
}

static int check_byteorder(const struct model_file *file, const struct zipdir *dir,
                           const char *prefix, struct err *err) {
    const struct zipdir_entry *entry = entry_of(dir, prefix, "byteorder");
    char text[8] = "";
    if (!entry) /* before 2.1 */
        return 0;
    if (entry->bytes < sizeof text &&
        source_read(file->source, entry->offset, text, (size_t)entry->bytes, err) < 0)
        return -1;
    if (strcmp(text, "little") == 0)
        return 0;
    err_set(err, ERR_UNSUPPORTED, "the checkpoint was written on a big-endian machine");
    return err_at_file(err, file->path, entry->offset);
}

static int read_checkpoint(const struct model *model, struct checkpoint *c, struct err *err) {
    const struct model_file *file = &model->files[c->file];
    const struct zipdir_entry *entry = NULL;
    enum head head;
    if (head_of(file->source, &head, err) < 0)
        return -1;
    if (head == HEAD_PICKLE)
        return refuse_old(file->path, err);
    if (zipdir_read(file->source, model->arena, &c->dir, err) < 0 ||
        zipdir_check_stored(file->source, &c->dir,
                            "torch.save stores entries as they are: save the model again",
                            err) < 0 ||
        find_pickle(file, &c->dir, model->arena, &entry, &c->prefix, err) < 0 ||
        check_byteorder(file, &c->dir, c->prefix, err) < 0)
        return -1;
    if (entry->bytes > LIMIT_PICKLE_BYTES) {
        err_set(err, ERR_TOO_LARGE,
                "data.pkl is %" PRIu64 " bytes long; at most %" PRIu64 " are allowed", entry->bytes,
                (uint64_t)LIMIT_PICKLE_BYTES);
        return err_at_file(err, file->path, entry->offset);
    }
    uint8_t *pickle = malloc(entry->bytes ? (size_t)entry->bytes : 1);
    if (!pickle)
        return no_memory(err);
    int status = source_read(file->source, entry->offset, pickle, (size_t)entry->bytes, err);
    if (status == 0)
        status = torch_pickle_read((struct bytes){pickle, (size_t)entry->bytes}, entry->offset,
                                   file->path, model->arena, &c->state, err);
    free(pickle);
    return status;
}

/* Lays a tensor over the entry of its storage. */
static int add_tensor(struct model *model, const struct checkpoint *c,
                      const struct torch_tensor *from, struct err *err) {
    char name[80];
    snprintf(name, sizeof name, "data/%s", from->storage_key);
    const struct zipdir_entry *entry = entry_of(&c->dir, c->prefix, name);
    if (!entry || entry->bytes != from->storage_bytes) {
        if (entry)
            err_set(err, ERR_BAD_MODEL,
                    "the storage %s should have %" PRIu64 " bytes, but its entry has %" PRIu64,
                    from->storage_key, from->storage_bytes, entry->bytes);
        else
            err_set(err, ERR_BAD_MODEL, "the archive has no entry for the storage %s",
                    from->storage_key);
        err_at_file(err, model->files[c->file].path, entry ? entry->offset : 0);
        return err_at_tensor(err, from->name);
    }
    struct tensor tensor = {
        .name = from->name,
        .component = "",
        .rank = from->rank,
        .elements = from->elements,
        .stored = encoding_plain(from->dtype),
        .parts[PART_DATA] = {.name = from->name,
                             .dtype = from->dtype,
                             .file = c->file,
                             .offset = entry->offset + from->offset,
                             .bytes = from->bytes},
    };
    memcpy(tensor.dims, from->dims, from->rank * sizeof from->dims[0]);
    model->tensors[model->tensor_count++] = tensor;
    return 0;
}

static int add_tensors(struct opening *o, const struct checkpoint *c, struct err *err) {
    struct model *model = o->model;
    const struct model_file *file = &model->files[c->file];
    if (model->tensor_count + c->state.count > LIMIT_TENSORS) {
        err_set(err, ERR_TOO_LARGE, "the model holds more than %d tensors", LIMIT_TENSORS);
        return err_at_file(err, file->path, ERR_NO_OFFSET);
    }
    struct tensor *grown = arena_grow(model->arena, model->tensors, &o->tensor_capacity,
                                      model->tensor_count + c->state.count, sizeof *grown);
    if (!grown)
        return no_memory(err);
    model->tensors = grown;
    for (size_t i = 0; i < c->state.count; i++) {
        const struct torch_tensor *from = &c->state.tensors[i];
        int fresh = strmap_put(&o->names, from->name, (uint32_t)model->tensor_count);
        if (fresh < 0)
            return no_memory(err);
        if (fresh == 0) {
            err_set(err, ERR_BAD_MODEL, "two files of the model hold a tensor of this name");
            err_at_file(err, file->path, ERR_NO_OFFSET);
            return err_at_tensor(err, from->name);
        }
        if (st_index_take(&o->index, from->name, file->resolver_index, err) < 0 ||
            add_tensor(model, c, from, err) < 0)
            return -1;
    }
    return 0;
}

static int by_place(const void *a, const void *b) {
    const struct part *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* How many tensors start where another one starts: tied weights, stored once here and written out
 * each for itself. */
static int count_shared(struct model *model, struct err *err) {
    struct part *parts = calloc(model->tensor_count, sizeof *parts);
    size_t shared = 0, count = 0;
    if (!parts)
        return no_memory(err);
    for (size_t i = 0; i < model->tensor_count; i++)
        if (model->tensors[i].elements > 0)
            parts[count++] = model->tensors[i].parts[PART_DATA];
    qsort(parts, count, sizeof *parts, by_place);
    for (size_t i = 1; i < count; i++)
        shared += by_place(&parts[i - 1], &parts[i]) == 0;
    free(parts);
    if (shared == 0)
        return 0;
    char text[24];
    snprintf(text, sizeof text, "%zu", shared);
    return model_add_fact(model, "shared_tensors", text, err);
}
