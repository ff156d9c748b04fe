/*
 * A hash table from value to decoded array. Floats are decoded by the codecs in tiles over the
 * team; integers are read as they are (4-bit ones spread to a byte each).
 */
#include "compress/exec/weights.h"

#include "compress/base/loop.h"
#include "compress/graph/tensor_reader.h"
#include "compress/graph/tiling.h"
#include "compress/tensor/array.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    const struct value *value; /* NULL: free */
    struct array *array;       /* NULL: not decoded now */
    uint64_t bytes;
    uint64_t used_at; /* ticks of weights->clock */
    unsigned users;
    bool held;
};

struct weights {
    const struct model *model;
    uint64_t budget_bytes;
    uint64_t bytes; /* of all arrays */
    uint64_t clock;
    struct entry *table; /* open addressing, at most half full */
    size_t capacity, count;
};

static struct entry *find(struct weights *w, const struct value *value);
static int add(struct weights *w, const struct value *value, struct entry **ret, struct err *err);
static int fill(struct weights *w, struct entry *e, const struct array *array, struct err *err);
static int load(struct weights *w, struct entry *e, bool beyond_budget, struct team *team,
                struct err *err);
static struct array *decode(const struct model *model, const struct tensor *tensor,
                            struct team *team, struct err *err);

struct weights *weights_new(const struct model *model, const struct graph *graph,
                            uint64_t budget_bytes) {
    struct weights *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->capacity = 64;
    for (size_t i = 0; i < graph->value_count; i++)
        while (graph->values[i]->kind == VALUE_WEIGHT && w->capacity < 4 * i)
            w->capacity *= 2;
    w->table = calloc(w->capacity, sizeof *w->table);
    if (!w->table) {
        free(w);
        return NULL;
    }
    w->model = model;
    w->budget_bytes = budget_bytes;
    return w;
}

void weights_free(struct weights *w) {
    if (!w)
        return;
    for (size_t i = 0; i < w->capacity; i++)
        array_free(w->table[i].array);
    free(w->table);
    free(w);
}

int weights_get(struct weights *w, const struct value *value, struct team *team,
                const struct array **ret, struct err *err) {
    struct entry *e;
    if (add(w, value, &e, err) < 0 || (!e->array && load(w, e, false, team, err) < 0))
        return -1;
    e->users++;
    e->used_at = ++w->clock;
    *ret = e->array;
    return 0;
}

void weights_release(struct weights *w, const struct value *value) {
    struct entry *e = find(w, value);
    if (e->value && e->users > 0)
        e->users--;
}

int weights_hold(struct weights *w, const struct value *value, struct team *team,
                 struct array **ret, struct err *err) {
    struct entry *e;
    if (add(w, value, &e, err) < 0 || (!e->array && load(w, e, true, team, err) < 0))
        return -1;
    e->held = true;
    *ret = e->array;
    return 0;
}

int weights_put(struct weights *w, const struct value *value, const struct array *array,
                struct err *err) {
    struct entry *e;
    if (add(w, value, &e, err) < 0 || fill(w, e, array, err) < 0)
        return -1;
    e->held = true;
    return 0;
}

uint64_t weights_bytes(const struct weights *w) {
    return w->bytes;
}

bool weights_fit(const struct weights *w, uint64_t bytes) {
    return w->budget_bytes == 0 || bytes <= w->budget_bytes;
}

/* ---- the table ---- */

/* The value's entry, or the free one where it would stand. */
static struct entry *find(struct weights *w, const struct value *value) {
    uint64_t hash = (uint64_t)(uintptr_t)value * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (size_t)(hash >> 32) & (w->capacity - 1);
    while (w->table[i].value && w->table[i].value != value)
        i = (i + 1) & (w->capacity - 1);
    return &w->table[i];
}

static int grow(struct weights *w, struct err *err) {
    struct weights bigger = *w;
    bigger.capacity *= 2;
    bigger.table = calloc(bigger.capacity, sizeof *bigger.table);
    if (!bigger.table)
        return err_set(err, ERR_NO_MEMORY, "no memory for the list of weights");
    for (size_t i = 0; i < w->capacity; i++)
        if (w->table[i].value)
            *find(&bigger, w->table[i].value) = w->table[i];
    free(w->table);
    w->table = bigger.table;
    w->capacity = bigger.capacity;
    return 0;
}

static int add(struct weights *w, const struct value *value, struct entry **ret, struct err *err) {
    struct entry *e = find(w, value);
    if (!e->value) {
        if (2 * (w->count + 1) > w->capacity) {
            if (grow(w, err) < 0)
                return -1;
            e = find(w, value);
        }
        e->value = value;
        w->count++;
    }
    *ret = e;
    return 0;
}

/* ---- loading ---- */

/* The entry's array becomes a copy, in place where the shape is the same. */
static int fill(struct weights *w, struct entry *e, const struct array *array, struct err *err) {
    enum dtype dtype = dtype_row(array->dtype)->is_float ? DTYPE_F32 : array->dtype;
    struct array *copy = e->array;
    if (!copy || copy->dtype != dtype || !array_same_shape(copy, array)) {
        if (e->users > 0)
            return err_set(err, ERR_BUG, "weight '%s' changes its shape while it is used",
                           e->value->name);
        copy = array_new(dtype, array->rank, array->dims);
        if (!copy)
            return err_set(err, ERR_NO_MEMORY, "no memory for weight '%s'", e->value->name);
    }
    if (array_convert(array, copy, false, err) < 0) {
        if (copy != e->array)
            array_free(copy);
        return -1;
    }
    if (copy != e->array) {
        array_free(e->array);
        w->bytes -= e->bytes;
        e->array = copy;
        e->bytes = array_bytes(copy);
        w->bytes += e->bytes;
    }
    return 0;
}

/* Drops what nobody uses, the longest unused first, until `bytes` more fit. */
static bool make_room(struct weights *w, uint64_t bytes) {
    while (w->budget_bytes && (w->bytes > w->budget_bytes || bytes > w->budget_bytes - w->bytes)) {
        struct entry *oldest = NULL;
        for (size_t i = 0; i < w->capacity; i++) {
            struct entry *e = &w->table[i];
            if (e->array && !e->held && e->users == 0 && (!oldest || e->used_at < oldest->used_at))
                oldest = e;
        }
        if (!oldest)
            return false;
        array_free(oldest->array);
        oldest->array = NULL;
        w->bytes -= oldest->bytes;
        oldest->bytes = 0;
    }
    return true;
}

/* A value that is a part of an encoded tensor: what the container holds there, as plain numbers. */
static int see(const struct tensor *tensor, const struct value *value, struct tensor *ret,
               struct err *err) {
    struct array shape;
    *ret = *tensor;
    if (tensor->stored.codec->family == CODEC_PLAIN)
        return 0;
    if (value->part >= PART_KINDS || !type_to_array(&value->type, &shape)) {
        err_set(err, ERR_BUG, "the part '%s' of a tensor has no type", value->name);
        return err_at_tensor(err, tensor->name);
    }
    ret->stored = encoding_plain(shape.dtype);
    ret->rank = shape.rank;
    memcpy(ret->dims, shape.dims, sizeof shape.dims);
    ret->elements = shape.elements;
    ret->parts[PART_DATA] = tensor->parts[value->part];
    return 0;
}

static int load(struct weights *w, struct entry *e, bool beyond_budget, struct team *team,
                struct err *err) {
    const struct value *value = e->value;
    if (!w->model && value->data) { /* a graph by hand whose content stands in it */
        make_room(w, value->data->elements * sizeof(real));
        return fill(w, e, value->data, err);
    }
    if (value->kind != VALUE_WEIGHT || !w->model || value->tensor >= w->model->tensor_count) {
        err_set(err, ERR_BUG, "nobody gave the weight '%s'", value->name);
        return err_at_tensor(err, value->name);
    }
    struct tensor seen;
    if (see(&w->model->tensors[value->tensor], value, &seen, err) < 0)
        return -1;
    const struct tensor *tensor = &seen;
    uint64_t bytes;
    bool plain_integers =
        tensor->stored.codec->family == CODEC_PLAIN && !dtype_row(tensor->stored.dtype)->is_float;
    enum dtype dtype = plain_integers ? tensor->stored.dtype : DTYPE_F32;
    bytes = tensor->elements * array_item_bytes(dtype);
    if (!make_room(w, bytes) && !beyond_budget) {
        err_set(err, ERR_OVER_BUDGET,
                "a weight of %" PRIu64 " bytes does not fit beside %" PRIu64
                " bytes in use, the budget is %" PRIu64,
                bytes, w->bytes, w->budget_bytes);
        return err_at_tensor(err, tensor->name);
    }
    e->array = decode(w->model, tensor, team, err);
    if (!e->array)
        return -1;
    e->bytes = bytes;
    w->bytes += bytes;
    return 0;
}

struct decoding {
    struct tensor_reader *reader;
    const struct tensor *tensor;
    struct tiling tiling;
    struct array *to;
    size_t raw_bytes;
    char *scratch; /* per worker: stored bytes, then a tile of floats where `real` is wider */
    size_t scratch_bytes;
};

static int decode_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    struct decoding *d = ctx;
    char *raw = d->scratch + worker * d->scratch_bytes;
    uint64_t first = tiling_start(&d->tiling, tile), count = tiling_elements(&d->tiling, tile);
#ifdef REAL_IS_DOUBLE
    float *floats = (float *)(raw + d->raw_bytes);
    if (tensor_reader_elements(d->reader, first, count, raw, floats, err) < 0)
        return -1;
    for (uint64_t i = 0; i < count; i++)
        array_real(d->to)[first + i] = (real)floats[i];
    return 0;
#else
    return tensor_reader_elements(d->reader, first, count, raw, array_real(d->to) + first, err);
#endif
}

static int decode_floats(const struct model *model, const struct tensor *tensor, struct array *to,
                         struct team *team, struct err *err) {
    struct decoding d = {.tensor = tensor, .to = to};
    if (tensor_reader_open(model, tensor, false, &d.reader, err) < 0)
        return -1;
    d.tiling = tiling_of(tensor, &tensor->stored, &tensor->stored);
    d.raw_bytes = ((size_t)tiling_data_bytes(&d.tiling, tensor, &tensor->stored) + 63) / 64 * 64;
    d.scratch_bytes = d.raw_bytes;
#ifdef REAL_IS_DOUBLE
    d.scratch_bytes += ((size_t)d.tiling.tile_elements * sizeof(float) + 63) / 64 * 64;
#endif
    d.scratch = malloc(d.scratch_bytes * team_threads(team) + 1);
    int result = d.scratch ? loop_run(team, NULL, d.tiling.count, decode_tile, &d, err)
                           : err_set(err, ERR_NO_MEMORY, "no memory to decode a weight");
    free(d.scratch);
    tensor_reader_close(d.reader);
    return result;
}

/* Two to a byte in the file, the first in the low half; one to a byte in memory. From the end, so
 * that the packed bytes may lie at the array's start. */
static void spread_nibbles(uint8_t *bytes, uint64_t count, bool is_signed) {
    for (uint64_t i = count; i-- > 0;) {
        unsigned half = i % 2 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15u;
        bytes[i] = is_signed ? (uint8_t)((half ^ 8) - 8) : (uint8_t)half;
    }
}

static int read_integers(const struct model *model, const struct tensor *tensor, struct array *to,
                         struct err *err) {
    const struct part *part = &tensor->parts[PART_DATA];
    bool is_nibbles = to->dtype == DTYPE_I4 || to->dtype == DTYPE_U4;
    uint64_t bytes = is_nibbles ? tensor->elements / 2 + tensor->elements % 2 : array_bytes(to);
    if (!part->name || part->file >= model->file_count || !model->files[part->file].source)
        return err_set(err, ERR_BUG, "the tensor's data was not found at open");
    if (part->bytes != bytes) {
        err_set(err, ERR_BAD_MODEL, "%s has %" PRIu64 " bytes, its shape needs %" PRIu64,
                part->name, part->bytes, bytes);
        return err_at_file(err, model->files[part->file].path, part->offset);
    }
    if (bytes && source_read(model->files[part->file].source, part->offset, to->data, (size_t)bytes,
                             err) < 0)
        return -1;
    if (is_nibbles)
        spread_nibbles(to->data, to->elements, to->dtype == DTYPE_I4);
    return 0;
}

static struct array *decode(const struct model *model, const struct tensor *tensor,
                            struct team *team, struct err *err) {
    enum dtype stored = tensor->stored.dtype;
    bool integers = tensor->stored.codec->family == CODEC_PLAIN && !dtype_row(stored)->is_float;
    if (integers && array_item_bytes(stored) == 0) {
        err_set(err, ERR_UNSUPPORTED, "numbers of type %s are carried, not decoded",
                dtype_row(stored)->name);
        err_at_tensor(err, tensor->name);
        return NULL;
    }
    struct array *array = array_new(integers ? stored : DTYPE_F32, tensor->rank, tensor->dims);
    if (!array) {
        err_set(err, ERR_NO_MEMORY, "no memory for a weight of %" PRIu64 " elements",
                tensor->elements);
        err_at_tensor(err, tensor->name);
        return NULL;
    }
    if ((integers ? read_integers(model, tensor, array, err)
                  : decode_floats(model, tensor, array, team, err)) < 0) {
        err_at_tensor(err, tensor->name);
        array_free(array);
        return NULL;
    }
    return array;
}
