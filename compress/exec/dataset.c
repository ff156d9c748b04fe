/* See the header. Each container adds its arrays to one list; then what they must have in common is
 * checked over the list. */
#include "compress/exec/dataset.h"

#include "compress/base/arena.h"
#include "compress/base/strmap.h"
#include "compress/formats/npz.h"
#include "compress/formats/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct loaded {
    struct dataset_array array;
    struct source *source; /* where its bytes stand */
    uint64_t offset;
};

struct dataset {
    struct arena *arena;
    enum dataset_kind kind;
    uint64_t samples;
    uint64_t bytes;
    uint64_t memory_bytes;
    uint64_t kept_bytes; /* of compressed arrays that will be kept */
    struct strmap names;
    struct loaded *arrays;
    size_t count, capacity;
    struct source **sources; /* all that are open */
    size_t source_count, source_capacity;
};

enum container { CONTAINER_NONE, CONTAINER_NPY, CONTAINER_NPZ, CONTAINER_SAFETENSORS };

static int open_files(struct dataset *d, struct resolver *files, struct err *err);
static enum container container_of(const char *path);
static int sniff_lone(struct source *source, enum container *ret, struct err *err);
static int add_file(struct dataset *d, struct source *file, enum container container,
                    struct err *err);
static int add_npy(struct dataset *d, struct source *file, struct err *err);
static int add_npz(struct dataset *d, struct source *file, struct err *err);
static int add_safetensors(struct dataset *d, struct source *file, struct err *err);
static int add_array(struct dataset *d, const char *name, const struct source *file,
                     enum dtype dtype, unsigned rank, const uint64_t *dims, struct source *source,
                     uint64_t offset, struct err *err);
static int keep_source(struct dataset *d, struct source *source, struct err *err);
static int settle(struct dataset *d, enum container only, struct err *err);
static bool usable(enum dtype dtype);
static bool is_id(enum dtype dtype);

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "the description of the dataset needs too much memory");
}

static int at_array(const struct dataset_array *array, struct err *err) {
    err_at_file(err, array->file, ERR_NO_OFFSET);
    return err_at_tensor(err, array->name);
}

/* Readers that models have, too, speak of models. */
static void for_a_dataset(struct err *err) {
    if (err && err->code == ERR_BAD_MODEL)
        err->code = ERR_BAD_DATASET;
}

int dataset_open(struct resolver *files, struct dataset **ret, struct err *err) {
    struct dataset *d = calloc(1, sizeof *d);
    if (!d)
        return no_memory(err);
    d->arena = arena_new(LIMIT_MODEL_ARENA_BYTES);
    if (!d->arena) {
        dataset_free(d);
        return no_memory(err);
    }
    strmap_init(&d->names, d->arena);
    if (open_files(d, files, err) < 0) {
        dataset_free(d);
        for_a_dataset(err);
        return -1;
    }
    *ret = d;
    return 0;
}

void dataset_free(struct dataset *dataset) {
    if (!dataset)
        return;
    for (size_t i = dataset->source_count; i-- > 0;) /* entries before the archives they are in */
        source_close(dataset->sources[i]);
    arena_free(dataset->arena);
    free(dataset);
}

enum dataset_kind dataset_kind(const struct dataset *dataset) {
    return dataset->kind;
}

const char *dataset_kind_name(enum dataset_kind kind) {
    return kind == DATASET_TOKENS ? "tokens" : "arrays";
}

uint64_t dataset_samples(const struct dataset *dataset) {
    return dataset->samples;
}

uint64_t dataset_bytes(const struct dataset *dataset) {
    return dataset->bytes;
}

uint64_t dataset_memory_bytes(const struct dataset *dataset) {
    return dataset->memory_bytes;
}

size_t dataset_array_count(const struct dataset *dataset) {
    return dataset->count;
}

const struct dataset_array *dataset_array(const struct dataset *dataset, size_t i) {
    return &dataset->arrays[i].array;
}

size_t dataset_find(const struct dataset *dataset, const char *name) {
    uint32_t i = strmap_get(&dataset->names, name);
    return i == STRMAP_NONE ? SIZE_MAX : i;
}

int dataset_read(const struct dataset *dataset, size_t i, uint64_t first, uint64_t count,
                 void *data, struct err *err) {
    const struct loaded *a = &dataset->arrays[i];
    if (first > dataset->samples || count > dataset->samples - first) {
        err_set(err, ERR_BUG, "samples %" PRIu64 " to %" PRIu64 " of %" PRIu64, first,
                first + count, dataset->samples);
        return err_at_tensor(err, a->array.name);
    }
    uint64_t stored = dtype_row(a->array.dtype)->bytes;
    uint64_t elements = count * a->array.sample_elements;
    uint64_t from = a->offset + first * a->array.sample_elements * stored;
    if (source_read(a->source, from, data, (size_t)(elements * stored), err) < 0) {
        for_a_dataset(err);
        return err_at_tensor(err, a->array.name);
    }
    uint8_t *bytes = data;
    if (a->array.dtype == DTYPE_BOOL)
        for (uint64_t k = 0; k < elements; k++)
            bytes[k] = bytes[k] != 0;
    if (a->array.dtype == DTYPE_F32 && sizeof(real) != stored) /* widened from the back, in place */
        for (uint64_t k = elements; k-- > 0;) {
            float value;
            memcpy(&value, bytes + k * stored, sizeof value);
            ((real *)data)[k] = value;
        }
    return 0;
}

static int open_files(struct dataset *d, struct resolver *files, struct err *err) {
    size_t opened = 0;
    enum container only = CONTAINER_NONE;
    for (size_t i = 0; i < files->count; i++) {
        enum container container = container_of(files->files[i].path);
        struct source *source;
        if (container == CONTAINER_NONE && !files->lone)
            continue;
        if (files->ops->open(files, i, &source, err) < 0 || keep_source(d, source, err) < 0)
            return -1;
        if (container == CONTAINER_NONE && sniff_lone(source, &container, err) < 0)
            return -1;
        if (add_file(d, source, container, err) < 0)
            return -1;
        d->bytes += source->bytes;
        only = container;
        opened++;
    }
    if (opened == 0)
        return err_set(err, ERR_UNKNOWN_FORMAT,
                       "there is no .npz, .safetensors or .npy file in the dataset");
    return settle(d, opened == 1 ? only : CONTAINER_NONE, err);
}

static enum container container_of(const char *path) {
    static const struct {
        const char *ending;
        enum container container;
    } rows[] = {
        {".npy", CONTAINER_NPY}, {".npz", CONTAINER_NPZ}, {".safetensors", CONTAINER_SAFETENSORS}};
    size_t len = strlen(path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t tail = strlen(rows[i].ending);
        if (len > tail && strcmp(path + len - tail, rows[i].ending) == 0)
            return rows[i].container;
    }
    return CONTAINER_NONE;
}

/* A lone file may be called anything. */
static int sniff_lone(struct source *source, enum container *ret, struct err *err) {
    uint8_t head[9] = {0};
    size_t len = source->bytes < sizeof head ? (size_t)source->bytes : sizeof head;
    if (source_read(source, 0, head, len, err) < 0)
        return -1;
    if (npy_sniff(head, len))
        *ret = CONTAINER_NPY;
    else if (memcmp(head, "PK", 2) == 0)
        *ret = CONTAINER_NPZ;
    else if (head[8] == '{')
        *ret = CONTAINER_SAFETENSORS;
    else {
        err_set(err, ERR_UNKNOWN_FORMAT,
                "the dataset is neither an .npz nor a .safetensors nor an .npy file");
        return err_at_file(err, source->path, 0);
    }
    return 0;
}

static int add_file(struct dataset *d, struct source *file, enum container container,
                    struct err *err) {
    switch (container) {
    case CONTAINER_NPY:
        return add_npy(d, file, err);
    case CONTAINER_NPZ:
        return add_npz(d, file, err);
    case CONTAINER_SAFETENSORS:
        return add_safetensors(d, file, err);
    case CONTAINER_NONE:
        break;
    }
    return err_set(err, ERR_BUG, "%s is a file without a container", file->path);
}

/* Called by its file's name, without folders and ending. */
static int add_npy(struct dataset *d, struct source *file, struct err *err) {
    struct npy npy;
    if (npy_read_header(file, &npy, err) < 0)
        return -1;
    const char *slash = strrchr(file->path, '/');
    const char *base = slash ? slash + 1 : file->path;
    size_t len = strlen(base), tail = strlen(".npy");
    if (container_of(base) == CONTAINER_NPY)
        len -= tail;
    const char *name = arena_strndup(d->arena, base, len);
    if (!name)
        return no_memory(err);
    return add_array(d, name, file, npy.dtype, npy.rank, npy.dims, file, npy.data_offset, err);
}

static int add_npz(struct dataset *d, struct source *file, struct err *err) {
    struct npz npz;
    if (npz_read(file, d->arena, &npz, err) < 0)
        return -1;
    for (size_t i = 0; i < npz.count; i++) {
        const struct npz_array *a = &npz.arrays[i];
        struct source *entry;
        bool keep =
            a->entry->deflated && a->entry->bytes <= LIMIT_DATASET_KEEP_BYTES - d->kept_bytes;
        if (keep)
            d->kept_bytes += a->entry->bytes;
        d->memory_bytes += zip_entry_memory_bytes(a->entry, keep);
        if (zip_entry_open(file, a->entry, keep, &entry, err) < 0 ||
            keep_source(d, entry, err) < 0 ||
            add_array(d, a->name, file, a->npy.dtype, a->npy.rank, a->npy.dims, entry,
                      a->npy.data_offset, err) < 0)
            return -1;
    }
    return 0;
}

static int add_safetensors(struct dataset *d, struct source *file, struct err *err) {
    struct safetensors_header header;
    if (safetensors_read_header(file, d->arena, &header, err) < 0)
        return -1;
    for (size_t i = 0; i < header.count; i++) {
        const struct safetensors_entry *e = &header.entries[i];
        if (add_array(d, e->name, file, e->dtype, e->rank, e->dims, file,
                      header.data_offset + e->begin, err) < 0)
            return -1;
    }
    return 0;
}

static int add_array(struct dataset *d, const char *name, const struct source *file,
                     enum dtype dtype, unsigned rank, const uint64_t *dims, struct source *source,
                     uint64_t offset, struct err *err) {
    if (d->count == LIMIT_DATASET_ARRAYS) {
        err_set(err, ERR_TOO_LARGE, "the dataset holds more than %d arrays", LIMIT_DATASET_ARRAYS);
        return err_at_file(err, file->path, ERR_NO_OFFSET);
    }
    struct loaded *grown =
        (struct loaded *)arena_grow(d->arena, d->arrays, &d->capacity, d->count + 1, sizeof *grown);
    const char *path = arena_strdup(d->arena, file->path);
    int put = grown && path ? strmap_put(&d->names, name, (uint32_t)d->count) : -1;
    if (put < 0)
        return no_memory(err);
    d->arrays = grown;
    struct loaded *l = &d->arrays[d->count];
    *l = (struct loaded){.array = {.name = name, .file = path, .dtype = dtype, .rank = rank},
                         .source = source,
                         .offset = offset};
    if (put == 0) {
        err_set(err, ERR_BAD_DATASET, "two arrays of the dataset are called \"%.100s\"", name);
        return at_array(&l->array, err);
    }
    if (rank == 0) {
        err_set(err, ERR_BAD_DATASET, "a scalar has no samples");
        return at_array(&l->array, err);
    }
    if (!usable(dtype)) {
        err_set(err, ERR_UNSUPPORTED, "no input of a model takes %s", dtype_row(dtype)->name);
        return at_array(&l->array, err);
    }
    struct array shape;
    if (array_shape(&shape, dtype, rank - 1, dims + 1, err) < 0)
        return at_array(&l->array, err);
    memcpy(l->array.dims, dims, rank * sizeof *dims);
    l->array.sample_elements = shape.elements;
    d->count++;
    return 0;
}

/* Consumes the source whatever happens. */
static int keep_source(struct dataset *d, struct source *source, struct err *err) {
    struct source **grown = (struct source **)arena_grow(d->arena, d->sources, &d->source_capacity,
                                                         d->source_count + 1, sizeof *grown);
    if (!grown) {
        source_close(source);
        return no_memory(err);
    }
    d->sources = grown;
    d->sources[d->source_count++] = source;
    return 0;
}

static int settle(struct dataset *d, enum container only, struct err *err) {
    if (d->count == 0)
        return err_set(err, ERR_BAD_DATASET, "the dataset holds no arrays");
    const struct dataset_array *first = &d->arrays[0].array;
    d->samples = first->dims[0];
    for (size_t i = 0; i < d->count; i++) {
        const struct dataset_array *a = &d->arrays[i].array;
        if (a->dims[0] != d->samples) {
            err_set(err, ERR_BAD_DATASET,
                    "the arrays disagree in length: \"%.60s\" holds %" PRIu64
                    " samples, \"%.60s\" %" PRIu64,
                    first->name, d->samples, a->name, a->dims[0]);
            return at_array(a, err);
        }
        if (a->dims[0] == 0 || a->sample_elements == 0) {
            err_set(err, ERR_BAD_DATASET, "the dataset is empty: \"%.60s\" holds no %s", a->name,
                    a->dims[0] ? "elements" : "samples");
            return at_array(a, err);
        }
    }
    if (only == CONTAINER_NPY && is_id(first->dtype) && first->rank <= 2)
        d->kind = DATASET_TOKENS;
    return 0;
}

static bool usable(enum dtype dtype) {
    switch (dtype) {
    case DTYPE_F64:
    case DTYPE_F32:
    case DTYPE_F16:
    case DTYPE_BF16:
    case DTYPE_BOOL:
    case DTYPE_I8:
    case DTYPE_U8:
        return true;
    default:
        return is_id(dtype);
    }
}

/* Bytes are pictures; ids have room for a vocabulary. */
static bool is_id(enum dtype dtype) {
    switch (dtype) {
    case DTYPE_I64:
    case DTYPE_I32:
    case DTYPE_I16:
    case DTYPE_U64:
    case DTYPE_U32:
    case DTYPE_U16:
        return true;
    default:
        return false;
    }
}
