/*
 * Opening a PyTorch checkpoint: choose the files, read each one's zip directory and pickle, lay the
 * tensors over the entries that hold their storages.
 */
#include "compress/formats/pytorch.h"

#include "compress/base/jspec.h"
#include "compress/formats/torch_pickle.h"
#include "compress/formats/zipdir.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define INDEX_NAME "pytorch_model.bin.index.json"
#define SINGLE_NAME "pytorch_model.bin"
#define PICKLE_SUFFIX "/data.pkl"
#define HEAD_BYTES 160 /* a local zip header and the name of the first entry */

enum head {
    HEAD_OTHER,
    HEAD_CHECKPOINT, /* a zip that starts with a data.pkl */
    HEAD_ZIP,        /* some zip */
    HEAD_PICKLE,     /* torch.save before 1.6, or a bare pickle */
};

/* The files of a model: indices into the resolver. */
struct choice {
    size_t *files;
    size_t count;
    struct json_t *index; /* the weight map's document, or NULL */
};

static const char *const extensions[] = {".bin", ".pt", ".pth", ".ckpt"};

static enum head head_of(struct resolver *files, size_t i, struct err *err);
static int choose(struct resolver *files, struct arena *arena, struct choice *ret, struct err *err);
static int read_file(struct model *model, uint32_t file, struct torch_state *ret,
                     struct zipdir *ret_dir, const char **ret_prefix, struct err *err);
static int add_tensors(struct model *model, uint32_t file, const struct torch_state *state,
                       const struct zipdir *dir, const char *prefix, struct strmap *names,
                       size_t *capacity, struct err *err);
static int check_index(const struct model *model, const struct choice *choice, struct err *err);
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
        enum head head = head_of(files, 0, err);
        /* Names matter for what is not plainly a checkpoint: it is claimed to be refused well. */
        return head == HEAD_CHECKPOINT ||
               (head != HEAD_OTHER && has_extension(files->files[0].path));
    }
    if (resolver_find(files, INDEX_NAME) != SIZE_MAX ||
        resolver_find(files, SINGLE_NAME) != SIZE_MAX)
        return true;
    for (size_t i = 0; i < files->count; i++)
        if (is_at_top(files->files[i].path) && has_extension(files->files[i].path) &&
            head_of(files, i, err) == HEAD_CHECKPOINT)
            return true;
    return false;
}

int pytorch_open(struct resolver *files, struct model *model, struct err *err) {
    struct choice choice = {0};
    struct strmap names;
    size_t capacity = 0;
    int status = -1;
    const char *under = NULL;
    if (choose(files, model->arena, &choice, err) < 0)
        goto out;
    strmap_init(&names, model->arena);
    for (size_t i = 0; i < choice.count; i++) {
        struct torch_state state = {0};
        struct zipdir dir = {0};
        const char *prefix = NULL;
        uint32_t file;
        if (model_add_file(model, choice.files[i], &file, err) < 0 ||
            read_file(model, file, &state, &dir, &prefix, err) < 0 ||
            add_tensors(model, file, &state, &dir, prefix, &names, &capacity, err) < 0)
            goto out;
        under = state.under ? state.under : under;
    }
    if (choice.index && check_index(model, &choice, err) < 0)
        goto out;
    if (under && model_add_fact(model, "state_dict", under, err) < 0)
        goto out;
    if (count_shared(model, err) < 0)
        goto out;
    status = model_finish(model, err);
out:
    jspec_free(choice.index);
    return status;
}

static enum head head_of(struct resolver *files, size_t i, struct err *err) {
    uint8_t head[HEAD_BYTES + 1] = {0};
    struct source *source;
    size_t len = files->files[i].bytes < HEAD_BYTES ? (size_t)files->files[i].bytes : HEAD_BYTES;
    if (len < 4 || files->ops->open(files, i, &source, err) < 0)
        return HEAD_OTHER;
    int status = source_read(source, 0, head, len, err);
    source_close(source);
    if (status < 0)
        return HEAD_OTHER;
    if (memcmp(head, "PK\3\4", 4) == 0) {
        size_t name_len = len >= 30 ? load_u16(head + 26) : 0, tail = sizeof PICKLE_SUFFIX - 1;
        bool ours = name_len > tail && 30 + name_len <= len &&
                    memcmp(head + 30 + name_len - tail, PICKLE_SUFFIX, tail) == 0;
        return ours ? HEAD_CHECKPOINT : HEAD_ZIP;
    }
    return head[0] == 0x80 && head[1] >= 2 && head[1] <= 5 ? HEAD_PICKLE : HEAD_OTHER;
}

static int refuse_old(const char *path, struct err *err) {
    err_set(err, ERR_UNSUPPORTED,
            "a bare pickle, as torch.save wrote before PyTorch 1.6; load it where you trust it and "
            "save it again with torch.save(torch.load(PATH), PATH)");
    return err_at_file(err, path, 0);
}

static int by_index(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

struct collecting {
    const struct resolver *files;
    struct choice *choice;
    bool *seen; /* by resolver index */
    struct err *err;
};

static int collect_file(void *ctx, const char *tensor, struct json_t *value) {
    struct collecting *c = ctx;
    const char *path = json_text(value);
    size_t i = path ? resolver_find(c->files, path) : SIZE_MAX;
    if (i == SIZE_MAX) {
        if (path)
            err_set(c->err, ERR_BAD_MODEL, "the weight map names \"%s\", which is not there", path);
        else
            err_set(c->err, ERR_BAD_MODEL, "the weight map gives no file name");
        err_at_file(c->err, INDEX_NAME, ERR_NO_OFFSET);
        return err_at_tensor(c->err, tensor);
    }
    if (!c->seen[i]) {
        c->seen[i] = true;
        c->choice->files[c->choice->count++] = i;
    }
    return 0;
}

/* The files that pytorch_model.bin.index.json names. */
static int choose_by_index(struct resolver *files, struct arena *arena, struct choice *ret,
                           struct err *err) {
    struct source *source;
    char *text;
    if (resolver_open(files, INDEX_NAME, &source, err) < 0)
        return -1;
    size_t len = (size_t)source->bytes;
    int status = source_slurp(source, LIMIT_JSON_FILE_BYTES, &text, err);
    source_close(source);
    if (status < 0)
        return -1;
    status = jspec_parse(text, len, &ret->index, err);
    free(text);
    struct collecting c = {
        .files = files, .choice = ret, .seen = ARENA_ARRAY(arena, bool, files->count), .err = err};
    if (status < 0)
        return err_at_file(err, INDEX_NAME, ERR_NO_OFFSET);
    if (!c.seen)
        return no_memory(err);
    struct json_t *map = json_get(ret->index, "weight_map");
    if (!map || !json_is(map, JSPEC_OBJECT)) {
        err_set(err, ERR_BAD_MODEL, "the index has no object \"weight_map\"");
        return err_at_file(err, INDEX_NAME, ERR_NO_OFFSET);
    }
    if (json_each(map, collect_file, &c) != 0)
        return -1;
    if (ret->count == 0) {
        err_set(err, ERR_BAD_MODEL, "the weight map is empty");
        return err_at_file(err, INDEX_NAME, ERR_NO_OFFSET);
    }
    qsort(ret->files, ret->count, sizeof *ret->files, by_index);
    return 0;
}

/* The one checkpoint in a folder that does not say which it is. */
static int choose_only(struct resolver *files, struct choice *ret, struct err *err) {
    for (size_t i = 0; i < files->count; i++) {
        const char *path = files->files[i].path;
        if (!is_at_top(path) || !has_extension(path) || head_of(files, i, err) != HEAD_CHECKPOINT)
            continue;
        if (ret->count > 0)
            return err_set(err, ERR_UNSUPPORTED,
                           "the folder holds several checkpoints, among them \"%s\" and \"%s\"; "
                           "give one of them alone",
                           files->files[ret->files[0]].path, path);
        ret->files[ret->count++] = i;
    }
    return 0;
}

static int choose(struct resolver *files, struct arena *arena, struct choice *ret,
                  struct err *err) {
    ret->files = ARENA_ARRAY(arena, size_t, files->count);
    if (!ret->files)
        return no_memory(err);
    size_t single = resolver_find(files, SINGLE_NAME);
    if (files->lone)
        ret->files[ret->count++] = 0;
    else if (resolver_find(files, INDEX_NAME) != SIZE_MAX)
        return choose_by_index(files, arena, ret, err);
    else if (single != SIZE_MAX)
        ret->files[ret->count++] = single;
    else
        return choose_only(files, ret, err);
    return 0;
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

static int read_file(struct model *model, uint32_t file_index, struct torch_state *ret,
                     struct zipdir *ret_dir, const char **ret_prefix, struct err *err) {
    const struct model_file *file = &model->files[file_index];
    const struct zipdir_entry *entry = NULL;
    if (head_of(model->resolver, file->resolver_index, err) == HEAD_PICKLE)
        return refuse_old(file->path, err);
    if (zipdir_read(file->source, model->arena, ret_dir, err) < 0 ||
        find_pickle(file, ret_dir, model->arena, &entry, ret_prefix, err) < 0 ||
        check_byteorder(file, ret_dir, *ret_prefix, err) < 0)
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
                                   file->path, model->arena, ret, err);
    free(pickle);
    return status;
}

static int add_tensor(struct model *model, uint32_t file, const struct torch_tensor *from,
                      const struct zipdir *dir, const char *prefix, struct err *err) {
    char name[80];
    snprintf(name, sizeof name, "data/%s", from->storage_key);
    const struct zipdir_entry *entry = entry_of(dir, prefix, name);
    if (!entry || entry->bytes != from->storage_bytes) {
        if (entry)
            err_set(err, ERR_BAD_MODEL,
                    "the storage %s should have %" PRIu64 " bytes, but its entry has %" PRIu64,
                    from->storage_key, from->storage_bytes, entry->bytes);
        else
            err_set(err, ERR_BAD_MODEL, "the archive has no entry for the storage %s",
                    from->storage_key);
        err_at_file(err, model->files[file].path, entry ? entry->offset : 0);
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
                             .file = file,
                             .offset = entry->offset + from->offset,
                             .bytes = from->bytes},
    };
    memcpy(tensor.dims, from->dims, from->rank * sizeof from->dims[0]);
    model->tensors[model->tensor_count++] = tensor;
    return 0;
}

static int add_tensors(struct model *model, uint32_t file, const struct torch_state *state,
                       const struct zipdir *dir, const char *prefix, struct strmap *names,
                       size_t *capacity, struct err *err) {
    if (model->tensor_count + state->count > LIMIT_TENSORS)
        return err_set(err, ERR_TOO_LARGE, "the model holds more than %d tensors", LIMIT_TENSORS);
    struct tensor *grown = arena_grow(model->arena, model->tensors, capacity,
                                      model->tensor_count + state->count, sizeof *grown);
    if (!grown)
        return no_memory(err);
    model->tensors = grown;
    for (size_t i = 0; i < state->count; i++) {
        const struct torch_tensor *from = &state->tensors[i];
        int fresh = strmap_put(names, from->name, (uint32_t)model->tensor_count);
        if (fresh < 0)
            return no_memory(err);
        if (fresh == 0) {
            err_set(err, ERR_BAD_MODEL, "two files of the model hold a tensor of this name");
            err_at_file(err, model->files[file].path, ERR_NO_OFFSET);
            return err_at_tensor(err, from->name);
        }
        if (add_tensor(model, file, from, dir, prefix, err) < 0)
            return -1;
    }
    return 0;
}

struct checking {
    const struct model *model;
    const struct strmap *names;
    struct err *err;
};

static int check_mapped(void *ctx, const char *tensor, struct json_t *value) {
    struct checking *c = ctx;
    uint32_t i = strmap_get(c->names, tensor);
    const char *path = json_text(value);
    if (i != STRMAP_NONE &&
        strcmp(c->model->files[c->model->tensors[i].parts[PART_DATA].file].path, path) == 0)
        return 0;
    err_set(c->err, ERR_BAD_MODEL, "the weight map says that \"%s\" holds the tensor; it does not",
            path);
    err_at_file(c->err, INDEX_NAME, ERR_NO_OFFSET);
    return err_at_tensor(c->err, tensor);
}

/* Every tensor that the index promises is where it says. (What it does not mention comes along.) */
static int check_index(const struct model *model, const struct choice *choice, struct err *err) {
    struct strmap names;
    strmap_init(&names, model->arena);
    for (size_t i = 0; i < model->tensor_count; i++)
        if (strmap_put(&names, model->tensors[i].name, (uint32_t)i) < 0)
            return no_memory(err);
    struct checking c = {model, &names, err};
    return json_each(json_get(choice->index, "weight_map"), check_mapped, &c) == 0 ? 0 : -1;
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
