/*
 * Tensor by tensor, in rounds of at most ROUND_TILES tiles. Index 0 of a round hashes the next
 * piece of the files, as many bytes as the round's share of the whole work; the other indices
 * compare.
 */
#include "compress/report/verify.h"

#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/base/strmap.h"
#include "compress/formats/format.h"
#include "compress/graph/graph.h"
#include "compress/graph/tensor_reader.h"
#include "compress/graph/tiling.h"
#include "compress/kernels/kernels.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Tiles between two progress reports: some 8 million elements, 10 ms. */
#define ROUND_TILES 128
/* Read at once for hashing. */
#define HASH_PIECE_BYTES ((size_t)512 * 1024)

struct scratch {
    uint8_t *raw_before, *raw_after;
    float *before, *after;
};

/* What a tile found out. */
struct tile {
    struct error_stats stats;
    uint64_t nonzero_before;
};

enum mode {
    MODE_COMPARE, /* encoded: decode both */
    MODE_EQUAL,   /* copied floats: equal bytes, and count */
    MODE_BYTES,   /* copied, not weights: equal bytes */
};

/* The tensor at hand. */
struct pair {
    const struct tensor *before, *after;
    struct tensor_reader *reader_before, *reader_after;
    enum mode mode;
    struct tiling tiling;
    uint64_t overflows;
    size_t first; /* tile of this round */
};

struct hashing {
    const struct verify_file *files;
    size_t count;
    size_t at; /* the file that is being hashed */
    struct source *source;
    uint64_t offset;
    struct hasher *hasher;
    uint8_t *piece;
    uint64_t done, total; /* bytes of all files */
    uint64_t until;       /* of this round */
};

struct verifier {
    const struct model *source;
    struct resolver *files; /* of the artifact */
    struct model *artifact;
    const struct verify_env *env;
    struct verify_result *result;
    const uint64_t *overflows;
    struct arena *arena;
    unsigned threads;
    struct scratch *scratch;
    struct tile *tiles; /* of one round */
    struct hashing hashing;
    struct pair pair;
    struct progress_state progress;
    uint64_t used_bytes;
};

static uint64_t max_u64(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static void account(struct verifier *v, uint64_t more) {
    v->used_bytes += more;
    v->result->peak_bytes = max_u64(v->result->peak_bytes, v->used_bytes);
}

/* What the artifact's reader says about a file we wrote is our own doing, unless the machine failed
 * or the work was cancelled. */
static int our_fault(const struct err *why, const char *what, struct err *err) {
    enum err_kind kind = err_kind(why->code);
    if (kind == ERR_KIND_ENV || kind == ERR_KIND_CANCELLED || why->code == ERR_VERIFY) {
        if (err && err->code == ERR_OK)
            *err = *why;
        return -1;
    }
    err_set(err, ERR_VERIFY, "%s: %s", what, why->text);
    if (why->tensor[0])
        err_at_tensor(err, why->tensor);
    return err_at_file(err, why->file[0] ? why->file : NULL, why->offset);
}

/* ---- hashing ---- */

static const char *file_name(const struct verifier *v, size_t i) {
    /* A lone file has the name that the caller of the outputs gave it. */
    return v->files->lone ? v->files->files[0].path : v->hashing.files[i].path;
}

static int open_file(struct verifier *v, struct err *err) {
    struct hashing *h = &v->hashing;
    h->offset = 0;
    return resolver_open(v->files, file_name(v, h->at), &h->source, err);
}

static int end_file(struct verifier *v, struct err *err) {
    struct hashing *h = &v->hashing;
    struct digest digest = hasher_final(h->hasher);
    source_close(h->source);
    h->source = NULL;
    const struct verify_file *file = &h->files[h->at];
    if (digest_equal(&digest, &file->sha256)) {
        h->at++;
        return 0;
    }
    char was[DIGEST_HEX_LEN + 1], is[DIGEST_HEX_LEN + 1];
    digest_hex(&file->sha256, was);
    digest_hex(&digest, is);
    err_set(err, ERR_VERIFY, "%s was written with SHA-256 %.16s... and reads back with %.16s...",
            file->path, was, is);
    return err_at_file(err, file->path, ERR_NO_OFFSET);
}

/* Hashes until `until` bytes of all files are done. */
static int hash_on(struct verifier *v, struct err *err) {
    struct hashing *h = &v->hashing;
    while (h->at < h->count) {
        if (!h->source && open_file(v, err) < 0)
            return -1;
        uint64_t left = h->source->bytes - h->offset;
        if (!left) {
            if (end_file(v, err) < 0)
                return -1;
            continue;
        }
        if (h->done >= h->until)
            return 0;
        size_t n = left < HASH_PIECE_BYTES ? (size_t)left : HASH_PIECE_BYTES;
        if (source_read(h->source, h->offset, h->piece, n, err) < 0 ||
            progress_check(v->env->progress, err) < 0)
            return -1;
        hasher_update(h->hasher, h->piece, n);
        h->offset += n;
        h->done += n;
    }
    return 0;
}

/* ---- comparing a tile ---- */

static int differs(const struct pair *pair, uint64_t index, struct err *err, const char *what) {
    err_set(err, ERR_VERIFY, "%s: %s at flat index %" PRIu64, pair->before->name, what, index);
    return err_at_tensor(err, pair->before->name);
}

static void add_stats(struct error_stats *sum, const struct error_stats *more, uint64_t start) {
    sum->sum_x2 += more->sum_x2;
    sum->sum_e2 += more->sum_e2;
    sum->max_x = more->max_x > sum->max_x ? more->max_x : sum->max_x;
    sum->max_e = more->max_e > sum->max_e ? more->max_e : sum->max_e;
    sum->nonzero += more->nonzero;
    if (more->non_finite && !sum->non_finite)
        sum->first_non_finite = start + more->first_non_finite;
    sum->non_finite += more->non_finite;
}

/* Values whose largest magnitude bounds their error: for plain numbers any few, so the tile. Where
 * it is the whole tensor's, the bound is checked at the end, and a row stands here only to be
 * summed up. */
static uint64_t span_of(const struct encoding *e, uint64_t elements, uint64_t cols) {
    if (e->codec->family == CODEC_PLAIN)
        return elements;
    if (e->codec->family == CODEC_BLOCK)
        return e->codec->block_len;
    return e->granularity == GRANULARITY_GROUP && e->group_len < cols ? e->group_len : cols;
}

static uint64_t count_nonzero(const float *x, uint64_t n) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < n; i++)
        count += x[i] != 0;
    return count;
}

static bool bound_is_per_span(const struct pair *pair) {
    const struct encoding *e = &pair->before->wanted;
    /* Clamped values may be anywhere; infinities are left out. */
    bool clamped =
        pair->overflows && (e->codec->family != CODEC_PLAIN || pair->before->options.clamp);
    return !clamped && e->granularity != GRANULARITY_TENSOR && e->granularity != GRANULARITY_COLUMN;
}

static int compare_values(const struct verifier *v, const struct scratch *s, uint64_t start,
                          uint64_t elements, uint64_t cols, struct tile *tile, struct err *err) {
    const struct pair *pair = &v->pair;
    const struct tensor *before = pair->before;
    uint64_t span = span_of(&before->wanted, elements, cols);
    bool check = bound_is_per_span(pair);
    kernel_error *measure = kernels_get()->error_stats_f32;
    for (uint64_t at = 0, n = 0; at < elements; at += n) {
        n = elements - at < span ? elements - at : span;
        if (span < cols && cols - at % cols < n) /* the last group of a row may be shorter */
            n = cols - at % cols;
        struct error_stats stats;
        measure(s->before + at, s->after + at, n, &stats);
        add_stats(&tile->stats, &stats, at);
        if (check &&
            stats.max_e > encoding_error_bound(&before->wanted, &before->options, stats.max_x))
            return differs(pair, start + at, err, "an error above what the format allows");
    }
    tile->nonzero_before = count_nonzero(s->before, elements);
    return 0;
}

static int read_data(const struct model *model, const struct tensor *tensor, uint64_t offset,
                     void *buf, uint64_t bytes, struct err *err) {
    const struct part *part = &tensor->parts[PART_DATA];
    return source_read(model->files[part->file].source, part->offset + offset, buf, (size_t)bytes,
                       err);
}

/* Copied floats are decoded once, to be counted and searched for what is not a number. */
static int count_values(const struct pair *pair, const float *x, uint64_t start, uint64_t elements,
                        struct tile *tile, struct err *err) {
    kernels_get()->error_stats_f32(x, x, elements, &tile->stats);
    tile->nonzero_before = tile->stats.nonzero;
    if (tile->stats.non_finite)
        for (uint64_t i = 0; i < elements; i++)
            if (isnan(x[i])) {
                err_set(err, ERR_NON_FINITE, "%s holds NaN at flat index %" PRIu64,
                        pair->before->name, start + i);
                return err_at_tensor(err, pair->before->name);
            }
    return 0;
}

static int compare_tile(struct verifier *v, size_t index, unsigned worker, struct err *err) {
    struct pair *pair = &v->pair;
    const struct scratch *s = &v->scratch[worker];
    struct tile *tile = &v->tiles[index];
    size_t i = pair->first + index;
    const struct encoding *stored = &pair->before->stored;
    struct tile_rows rows = tiling_rows(&pair->tiling, i, pair->before, stored);
    uint64_t start = tiling_start(&pair->tiling, i);
    uint64_t elements = tiling_elements(&pair->tiling, i);
    *tile = (struct tile){0};
    if (pair->mode != MODE_BYTES && tensor_reader_elements(pair->reader_before, start, elements,
                                                           s->raw_before, s->before, err) < 0)
        return -1;
    if (pair->mode == MODE_COMPARE) {
        if (tensor_reader_elements(pair->reader_after, start, elements, s->raw_after, s->after,
                                   err) < 0)
            return -1;
        uint64_t cols = tiling_rows(&pair->tiling, i, pair->before, &pair->before->wanted).cols;
        return compare_values(v, s, start, elements, cols, tile, err);
    }
    uint64_t row_bytes = encoding_size(stored, rows.row0 + rows.rows, rows.cols).row_bytes;
    uint64_t bytes = rows.rows * row_bytes;
    if (pair->mode == MODE_BYTES &&
        read_data(v->source, pair->before, rows.row0 * row_bytes, s->raw_before, bytes, err) < 0)
        return -1;
    if (read_data(v->artifact, pair->after, rows.row0 * row_bytes, s->raw_after, bytes, err) < 0)
        return -1;
    if (memcmp(s->raw_before, s->raw_after, bytes) != 0)
        return differs(pair, start, err, "a copied tensor differs near");
    return pair->mode == MODE_BYTES ? 0 : count_values(pair, s->before, start, elements, tile, err);
}

static int run_index(void *ctx, size_t index, unsigned worker, struct err *err) {
    struct verifier *v = ctx;
    return index == 0 ? hash_on(v, err) : compare_tile(v, index - 1, worker, err);
}

/* ---- a tensor ---- */

static int judge(struct verifier *v, const struct verify_tensor *sum,
                 const struct error_stats *stats, struct err *err) {
    const struct pair *pair = &v->pair;
    const struct tensor *before = pair->before;
    if (stats->non_finite > pair->overflows)
        return differs(pair, stats->first_non_finite, err, "NaN or infinity");
    if (sum->nonzero_before && !sum->nonzero && !stats->non_finite) {
        err_set(err, ERR_VERIFY, "%s came back all zero, and was not before", before->name);
        return err_at_tensor(err, before->name);
    }
    /* A tensor's largest magnitude bounds its error however it is encoded. */
    double bound = encoding_error_bound(&before->wanted, &before->options, sum->max_x);
    bool clamped =
        pair->overflows && (before->wanted.codec->family != CODEC_PLAIN || before->options.clamp);
    if (sum->max_e > bound && !clamped) {
        err_set(err, ERR_VERIFY, "%s has an error of %g, and its format allows %g", before->name,
                sum->max_e, bound);
        return err_at_tensor(err, before->name);
    }
    return 0;
}

static uint64_t share(uint64_t whole, uint64_t part, uint64_t of) {
    return of ? (uint64_t)((double)whole * ((double)part / (double)of)) : whole;
}

static int run_rounds(struct verifier *v, struct verify_tensor *sum, struct err *err) {
    struct pair *pair = &v->pair;
    struct error_stats all = {0};
    uint64_t work = pair->before->parts[PART_DATA].bytes, worked = 0;
    for (pair->first = 0; pair->first < pair->tiling.count; pair->first += ROUND_TILES) {
        size_t left = pair->tiling.count - pair->first;
        size_t tiles = left < ROUND_TILES ? left : ROUND_TILES;
        uint64_t now = share(work, pair->first + tiles, pair->tiling.count);
        v->progress.done += now - worked;
        worked = now;
        v->hashing.until = share(v->hashing.total, v->progress.done, v->progress.total);
        if (loop_run(v->env->team, v->env->progress, tiles + 1, run_index, v, err) < 0)
            return -1;
        for (size_t i = 0; i < tiles; i++) {
            add_stats(&all, &v->tiles[i].stats, tiling_start(&pair->tiling, pair->first + i));
            sum->nonzero_before += v->tiles[i].nonzero_before;
        }
        progress_report(v->env->progress, &v->progress);
    }
    sum->sum_x2 = all.sum_x2;
    sum->sum_e2 = all.sum_e2;
    sum->max_x = all.max_x;
    sum->max_e = all.max_e;
    sum->nonzero = all.nonzero;
    if (pair->mode != MODE_COMPARE) {
        sum->source_infinite = all.non_finite > 0;
        return 0;
    }
    sum->infinite = all.non_finite;
    return judge(v, sum, &all, err);
}

static bool same_shape(const struct tensor *a, const struct tensor *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]) == 0;
}

/* A container that keeps the matrix the other way round does not say which way the tensor lay. */
static bool turned_round(const struct tensor *a, const struct tensor *b, struct encoding *is,
                         const struct encoding *should_be) {
    if (a->rank != 2 || b->rank != 2 || a->dims[0] != b->dims[1] || a->dims[1] != b->dims[0] ||
        is->transposed == should_be->transposed)
        return false;
    is->transposed = should_be->transposed;
    return true;
}

/* Scales, zero points and the like of a tensor that was copied. */
static int compare_small_parts(struct verifier *v, struct err *err) {
    const struct pair *pair = &v->pair;
    uint8_t *a = v->hashing.piece, *b = a + HASH_PIECE_BYTES / 2;
    for (unsigned kind = PART_SCALE; kind < PART_KINDS; kind++) {
        const struct part *before = &pair->before->parts[kind];
        const struct part *after = &pair->after->parts[kind];
        if (!before->name != !after->name || before->bytes != after->bytes) {
            err_set(err, ERR_VERIFY, "%s: a part was lost", pair->before->name);
            return err_at_tensor(err, pair->before->name);
        }
        for (uint64_t at = 0; before->name && at < before->bytes; at += HASH_PIECE_BYTES / 2) {
            uint64_t left = before->bytes - at;
            size_t n = left < HASH_PIECE_BYTES / 2 ? (size_t)left : HASH_PIECE_BYTES / 2;
            if (source_read(v->source->files[before->file].source, before->offset + at, a, n, err) <
                    0 ||
                source_read(v->artifact->files[after->file].source, after->offset + at, b, n, err) <
                    0)
                return -1;
            if (memcmp(a, b, n) != 0)
                return differs(pair, 0, err, "a copied part differs");
        }
    }
    return 0;
}

static enum mode mode_of(const struct tensor *tensor) {
    if (!encoding_equal(&tensor->wanted, &tensor->stored))
        return MODE_COMPARE;
    bool floats =
        tensor->stored.codec->is_quantized ||
        (tensor->stored.codec->family == CODEC_PLAIN && dtype_row(tensor->stored.dtype)->is_float);
    return floats ? MODE_EQUAL : MODE_BYTES;
}

static uint64_t small_bytes(const struct tensor *tensor) {
    return tensor->parts[PART_SCALE].bytes + tensor->parts[PART_ZERO_POINT].bytes;
}

/* A group as long as a row is a channel: a reader that goes by shapes cannot tell them apart. */
static struct encoding plainest(const struct tensor *tensor, struct encoding e) {
    uint64_t rows, cols;
    tensor_matrix(tensor, &e, &rows, &cols);
    if (e.granularity == GRANULARITY_GROUP && e.group_len == cols)
        e.granularity = GRANULARITY_CHANNEL;
    return e;
}

static int open_pair(struct verifier *v, struct err *err) {
    struct pair *pair = &v->pair;
    struct err why = ERR_INIT;
    struct encoding is = plainest(pair->after, pair->after->stored);
    struct encoding should_be = plainest(pair->before, pair->before->wanted);
    bool same = same_shape(pair->before, pair->after);
    if (pair->mode == MODE_COMPARE && !(same && is.transposed == should_be.transposed))
        same = turned_round(pair->before, pair->after, &is, &should_be);
    if (!same || !encoding_equal(&is, &should_be)) {
        char got[80], wanted[80];
        err_set(err, ERR_VERIFY, "%s came back as %s of another shape or format than %s",
                pair->before->name, encoding_describe(&pair->after->stored, got, sizeof got),
                encoding_describe(&pair->before->wanted, wanted, sizeof wanted));
        return err_at_tensor(err, pair->before->name);
    }
    if (pair->mode != MODE_BYTES &&
        tensor_reader_open(v->source, pair->before, pair->before->wanted.transposed,
                           &pair->reader_before, err) < 0)
        return -1;
    if (pair->mode == MODE_COMPARE &&
        tensor_reader_open(v->artifact, pair->after, pair->after->stored.transposed,
                           &pair->reader_after, &why) < 0)
        return our_fault(&why, "the artifact cannot be read back", err);
    return 0;
}

static int verify_tensor(struct verifier *v, size_t index, const struct tensor *after,
                         struct err *err) {
    const struct tensor *before = &v->source->tensors[index];
    struct verify_tensor *sum = &v->result->tensors[index];
    v->pair = (struct pair){
        .before = before,
        .after = after,
        .mode = mode_of(before),
        .tiling = tiling_of(before, &before->stored, &before->wanted),
        .overflows = v->overflows[index],
    };
    sum->copied = v->pair.mode != MODE_COMPARE;
    sum->elements = v->pair.mode == MODE_BYTES ? 0 : before->elements;
    uint64_t readers =
        tensor_reader_memory_bytes(before, before->wanted.transposed) + small_bytes(after);
    account(v, readers);
    int result = open_pair(v, err);
    if (result == 0 && sum->copied)
        result = compare_small_parts(v, err);
    if (result == 0)
        result = run_rounds(v, sum, err);
    tensor_reader_close(v->pair.reader_before);
    tensor_reader_close(v->pair.reader_after);
    v->used_bytes -= readers;
    return result;
}

/* ---- the artifact ---- */

static const char *key_of(struct arena *arena, const struct tensor *tensor) {
    return tensor->component[0] ? arena_printf(arena, "%s/%s", tensor->component, tensor->name)
                                : tensor->name;
}

static int map_artifact(struct verifier *v, struct strmap *map, struct err *err) {
    strmap_init(map, v->arena);
    for (size_t i = 0; i < v->artifact->tensor_count; i++) {
        const char *key = key_of(v->arena, &v->artifact->tensors[i]);
        if (!key || strmap_put(map, key, (uint32_t)i) < 0)
            return err_set(err, ERR_NO_MEMORY, "no memory to look the artifact's tensors up");
    }
    return 0;
}

/* Names of the constants of a graph and its bodies. */
static int map_constants(struct strmap *map, const struct array ***list, size_t *capacity,
                         const struct graph *graph, struct arena *arena) {
    for (size_t i = 0; i < graph->value_count; i++) {
        const struct value *value = graph->values[i];
        if (value->dead || value->kind != VALUE_CONSTANT)
            continue;
        const struct array **grown =
            arena_grow(arena, *list, capacity, map->count + 1, sizeof *grown);
        if (!grown)
            return -1;
        *list = grown;
        grown[map->count] = value->data;
        if (strmap_put(map, value->name, (uint32_t)map->count) < 0)
            return -1;
    }
    GRAPH_NODES(graph, node) {
        for (size_t a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == ATTR_GRAPH &&
                map_constants(map, list, capacity, node->attrs[a].body, arena) < 0)
                return -1;
    }
    return 0;
}

/* Constants of a graph are no tensors of the model, and some containers hold them as such; those of
 * a body with the body's name and a dot in front. */
static int count_constants(const struct verifier *v, size_t *ret_count, struct err *err) {
    struct strmap constants;
    const struct array **list = NULL;
    size_t capacity = 0;
    strmap_init(&constants, v->arena);
    *ret_count = 0;
    if (!v->source->graph)
        return 0;
    if (map_constants(&constants, &list, &capacity, v->source->graph, v->arena) < 0)
        return err_set(err, ERR_NO_MEMORY, "no memory to look constants up");
    for (size_t i = 0; i < v->artifact->tensor_count; i++) {
        const struct tensor *t = &v->artifact->tensors[i];
        for (const char *name = t->name; name; name = strchr(name, '.')) {
            name += *name == '.';
            uint32_t at = strmap_get(&constants, name);
            if (!list || at == STRMAP_NONE)
                continue;
            *ret_count += list[at]->rank == t->rank &&
                          memcmp(list[at]->dims, t->dims, t->rank * sizeof t->dims[0]) == 0;
            break;
        }
    }
    return 0;
}

static int verify_tensors(struct verifier *v, struct err *err) {
    struct strmap map;
    if (map_artifact(v, &map, err) < 0)
        return -1;
    size_t expected = 0;
    for (size_t i = 0; i < v->source->tensor_count; i++) {
        const struct tensor *before = &v->source->tensors[i];
        if (before->removed)
            continue;
        const char *key = key_of(v->arena, before);
        uint32_t at = key ? strmap_get(&map, key) : STRMAP_NONE;
        if (at == STRMAP_NONE) {
            err_set(err, key ? ERR_VERIFY : ERR_NO_MEMORY, "%s is missing from the artifact",
                    before->name);
            return err_at_tensor(err, before->name);
        }
        if (verify_tensor(v, i, &v->artifact->tensors[at], err) < 0)
            return -1;
        expected++;
    }
    size_t constants;
    if (count_constants(v, &constants, err) < 0)
        return -1;
    expected += constants;
    if (expected != v->artifact->tensor_count)
        return err_set(err, ERR_VERIFY, "the artifact holds %zu tensors instead of %zu",
                       v->artifact->tensor_count, expected);
    return 0;
}

static int reopen(struct verifier *v, struct outputs *outputs, struct err *err) {
    struct err why = ERR_INIT;
    if (outputs->ops->reopen(outputs, &v->files, &why) < 0 ||
        format_open(v->files, &v->artifact, &why) < 0)
        return our_fault(&why, "the artifact cannot be opened again", err);
    account(v, arena_used_bytes(v->artifact->arena));
    if (v->files->count != v->hashing.count)
        return err_set(err, ERR_VERIFY, "the artifact has %zu files, %zu were written",
                       v->files->count, v->hashing.count);
    for (size_t i = 0; i < v->files->count; i++)
        v->hashing.total += v->files->files[i].bytes;
    return 0;
}

struct footprint {
    uint64_t raw_before, raw_after, values; /* per thread */
    uint64_t readers;
};

static struct footprint footprint_of(const struct model *source) {
    struct footprint f = {0};
    for (size_t i = 0; i < source->tensor_count; i++) {
        const struct tensor *t = &source->tensors[i];
        struct tiling tiling = tiling_of(t, &t->stored, &t->wanted);
        uint64_t rows, cols;
        tensor_matrix(t, &t->wanted, &rows, &cols);
        struct encoded_size size = encoding_size(&t->wanted, rows, cols);
        f.raw_before = max_u64(f.raw_before, tiling_data_bytes(&tiling, t, &t->stored));
        f.raw_after = max_u64(f.raw_after, tiling_data_bytes(&tiling, t, &t->wanted));
        f.values = max_u64(f.values, tiling.tile_elements * sizeof(float));
        f.readers = max_u64(f.readers, tensor_reader_memory_bytes(t, t->wanted.transposed) +
                                           size.scale_bytes + size.zero_point_bytes);
    }
    return f;
}

static uint64_t scratch_bytes(const struct footprint *f, unsigned threads) {
    return threads * (f->raw_before + f->raw_after + 2 * f->values) + HASH_PIECE_BYTES;
}

uint64_t verify_memory_bytes(const struct model *source, unsigned threads) {
    struct footprint f = footprint_of(source);
    return scratch_bytes(&f, threads) + f.readers;
}

static int prepare(struct verifier *v, struct err *err) {
    struct footprint f = footprint_of(v->source);
    v->result->tensors = ARENA_ARRAY(v->arena, struct verify_tensor, v->source->tensor_count);
    v->scratch = ARENA_ARRAY(v->arena, struct scratch, v->threads);
    v->tiles = ARENA_ARRAY(v->arena, struct tile, ROUND_TILES);
    v->hashing.hasher = hasher_new();
    v->hashing.piece = malloc(HASH_PIECE_BYTES);
    bool ok = v->result->tensors && v->scratch && v->tiles && v->hashing.hasher && v->hashing.piece;
    for (unsigned i = 0; v->scratch && i < v->threads; i++) {
        struct scratch *s = &v->scratch[i];
        s->raw_before = malloc(f.raw_before + 1);
        s->raw_after = malloc(f.raw_after + 1);
        s->before = malloc(f.values + 1);
        s->after = malloc(f.values + 1);
        ok = ok && s->raw_before && s->raw_after && s->before && s->after;
    }
    account(v, scratch_bytes(&f, v->threads));
    v->progress = v->env->at;
    v->progress.unit = "bytes";
    v->progress.done = v->progress.total = 0;
    for (size_t i = 0; i < v->source->tensor_count; i++)
        if (!v->source->tensors[i].removed)
            v->progress.total += v->source->tensors[i].parts[PART_DATA].bytes;
    return ok ? 0 : err_set(err, ERR_NO_MEMORY, "no memory to verify the artifact");
}

static void release(struct verifier *v) {
    for (unsigned i = 0; v->scratch && i < v->threads; i++) {
        free(v->scratch[i].raw_before);
        free(v->scratch[i].raw_after);
        free(v->scratch[i].before);
        free(v->scratch[i].after);
    }
    source_close(v->hashing.source);
    hasher_free(v->hashing.hasher);
    free(v->hashing.piece);
    model_free(v->artifact);
    resolver_close(v->files);
}

int verify_run(const struct model *source, struct outputs *outputs, const struct verify_file *files,
               size_t file_count, const uint64_t *overflows, const struct verify_env *env,
               struct arena *arena, struct verify_result *ret, struct err *err) {
    *ret = (struct verify_result){0};
    struct verifier v = {
        .source = source,
        .env = env,
        .result = ret,
        .overflows = overflows,
        .arena = arena,
        .threads = team_threads(env->team),
        .hashing = {.files = files, .count = file_count},
    };
    int result = prepare(&v, err);
    if (result == 0)
        result = reopen(&v, outputs, err);
    if (result == 0) {
        progress_report(env->progress, &v.progress);
        result = verify_tensors(&v, err);
    }
    if (result == 0) { /* what rounding left over, and models without tensors */
        v.hashing.until = UINT64_MAX;
        result = hash_on(&v, err);
    }
    release(&v);
    return result;
}
