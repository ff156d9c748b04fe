/*
 * One walk over the layout. What makes bytes (encoding a tensor's rows, copying a range of an input
 * file) is a *stream*: so many tiles, each of which knows where in the output it lands. A stream is
 * run chunk by chunk; the chunk before it is written by the same team_run() as its index 0, so
 * writing overlaps with encoding without a thread of its own and with nothing to wait for.
 */
#include "compress/recipe/emit.h"

#include "compress/base/arena.h"
#include "compress/base/counters.h"
#include "compress/base/loop.h"
#include "compress/graph/tensor_reader.h"
#include "compress/graph/tiling.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Output bytes gathered before they are written. Two buffers of this size; large enough that
 * waking the team (some 20 us) is lost in the 2 ms a chunk takes, small enough for cache. */
#define CHUNK_BYTES (UINT64_C(4) << 20)
/* Room behind a chunk for the small segments that follow it, so that they need no write of their
 * own. */
#define TAIL_BYTES (UINT64_C(256) << 10)
/* Verbatim segments are read in pieces of this size. */
#define COPY_TILE_BYTES (UINT64_C(256) << 10)
/* What a sink and its hashing thread hold (see base/fdsink.h): four buffers of 512 KiB and the part
 * of a stack that is touched. */
#define SINK_BYTES (UINT64_C(2304) << 10)

/* The small parts of a tensor between their making and the last segment that needs them. */
struct small {
    uint8_t *scale, *zero_point;
    uint64_t scale_bytes, zero_point_bytes;
    unsigned segments; /* of this tensor, still to come */
    bool made;
};

struct scratch {
    uint8_t *raw;
    float *values;
};

struct buffer {
    uint8_t *data;
    uint64_t used;
};

struct emitter {
    const struct model *model;
    const struct layout *layout;
    const struct emit_env *env;
    struct arena *arena;
    struct emit_result *result;
    unsigned threads;

    struct scratch *scratch; /* one per thread */
    struct small *small;     /* one per tensor */
    struct buffer buffers[2];
    unsigned filling;     /* the other one is written meanwhile */
    uint64_t chunk_bytes; /* of each, without the tail */
    struct sink *sink;
    struct source *source; /* the copied file that is open */
    size_t source_index;   /* its resolver index */

    struct progress_state progress;
    uint64_t used_bytes; /* now; the peak is in the result */
};

/* ---- what the layout asks for ---- */

static bool is_encoded(const struct segment *s) {
    return s->kind == SEGMENT_PART && !encoding_equal(&s->tensor->wanted, &s->tensor->stored);
}

static struct encoded_size wanted_size(const struct tensor *tensor) {
    uint64_t rows, cols;
    tensor_matrix(tensor, &tensor->wanted, &rows, &cols);
    return encoding_size(&tensor->wanted, rows, cols);
}

uint64_t emit_tensor_bytes(const struct tensor *tensor) {
    if (encoding_equal(&tensor->wanted, &tensor->stored))
        return tensor_stored_bytes(tensor);
    struct encoded_size size = wanted_size(tensor);
    bool has_shape =
        tensor->wanted.codec->family == CODEC_AFFINE && tensor->wanted.packing == PACKING_WORDS;
    return size.data_bytes + size.scale_bytes + size.zero_point_bytes +
           (has_shape ? 2 * sizeof(int64_t) : 0);
}

static uint64_t max_u64(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* Sizes of everything emit allocates: the same numbers for the prediction and for the work. */
struct footprint {
    uint64_t raw_bytes;    /* per thread */
    uint64_t value_bytes;  /* per thread */
    uint64_t chunk_bytes;  /* of each of two, without the tail */
    uint64_t small_bytes;  /* the most that is held at once */
    uint64_t reader_bytes; /* small parts of the source tensor that is being read, and ranges */
    uint64_t work_bytes;
};

static void count_tile(struct footprint *f, uint64_t tile_bytes, unsigned threads) {
    /* At least one tile for everybody. */
    f->chunk_bytes = max_u64(f->chunk_bytes, max_u64(CHUNK_BYTES, tile_bytes * threads));
}

/* Of the pass that finds value ranges: a set for everybody, and the result. */
static uint64_t range_bytes_of(const struct tensor *tensor, unsigned threads) {
    uint64_t rows, cols;
    tensor_matrix(tensor, &tensor->wanted, &rows, &cols);
    return codec_range_count(&tensor->wanted, cols) * (threads + 1) * sizeof(struct value_range);
}

static void count_tensor(struct footprint *f, const struct tensor *tensor, unsigned threads) {
    struct tiling tiling = tiling_of(tensor, &tensor->stored, &tensor->wanted);
    f->raw_bytes = max_u64(f->raw_bytes, tiling_data_bytes(&tiling, tensor, &tensor->stored));
    f->value_bytes = max_u64(f->value_bytes, tiling.tile_elements * sizeof(float));
    f->reader_bytes =
        max_u64(f->reader_bytes, tensor_reader_memory_bytes(tensor, tensor->wanted.transposed) +
                                     range_bytes_of(tensor, threads));
    count_tile(f, tiling_data_bytes(&tiling, tensor, &tensor->wanted), threads);
}

static struct small *small_of(const struct model *model, struct small *all,
                              const struct tensor *tensor) {
    return &all[tensor - model->tensors];
}

static void count_segment(struct footprint *f, const struct model *model, const struct segment *s,
                          struct small *all, unsigned threads) {
    if (is_encoded(s)) {
        if (!small_of(model, all, s->tensor)->segments++)
            count_tensor(f, s->tensor, threads);
        if (s->part == PART_DATA)
            f->work_bytes += s->tensor->parts[PART_DATA].bytes;
    } else if (s->kind == SEGMENT_COPY || s->kind == SEGMENT_PART) {
        count_tile(f, COPY_TILE_BYTES, threads);
        f->work_bytes += s->bytes;
    }
}

/* Small parts live from their tensor's first segment to its last. Leaves `segments` as counted. */
static void count_small(struct footprint *f, const struct model *model, const struct layout *layout,
                        struct small *all) {
    uint64_t held = 0;
    for (size_t i = 0; i < layout->count; i++) {
        for (size_t k = 0; k < layout->files[i].count; k++) {
            const struct segment *s = &layout->files[i].segments[k];
            if (!is_encoded(s))
                continue;
            struct small *small = small_of(model, all, s->tensor);
            struct encoded_size size = wanted_size(s->tensor);
            if (!small->made) {
                held += size.scale_bytes + size.zero_point_bytes;
                small->made = true;
                small->scale_bytes = small->segments; /* kept while counting down */
            }
            f->small_bytes = max_u64(f->small_bytes, held);
            if (--small->segments == 0) {
                held -= size.scale_bytes + size.zero_point_bytes;
                *small = (struct small){.segments = (unsigned)small->scale_bytes};
            }
        }
    }
}

static struct footprint footprint_of(const struct model *model, const struct layout *layout,
                                     struct small *all, unsigned threads) {
    struct footprint f = {.chunk_bytes = CHUNK_BYTES};
    for (size_t i = 0; i < layout->count; i++)
        for (size_t k = 0; k < layout->files[i].count; k++)
            count_segment(&f, model, &layout->files[i].segments[k], all, threads);
    count_small(&f, model, layout, all);
    return f;
}

static uint64_t scratch_bytes(const struct footprint *f, unsigned threads) {
    return threads * (f->raw_bytes + f->value_bytes) + 2 * (f->chunk_bytes + TAIL_BYTES);
}

int emit_predict(const struct model *model, const struct layout *layout, unsigned threads,
                 struct emit_prediction *ret, struct err *err) {
    struct arena_mark mark = arena_mark(layout->arena);
    struct small *all = ARENA_ARRAY(layout->arena, struct small, model->tensor_count);
    if (!all)
        return err_set(err, ERR_NO_MEMORY, "no memory to plan the output");
    struct footprint f = footprint_of(model, layout, all, threads);
    arena_rewind(layout->arena, mark);
    *ret = (struct emit_prediction){
        .memory_bytes = scratch_bytes(&f, threads) + f.small_bytes + f.reader_bytes + SINK_BYTES,
        .work_bytes = f.work_bytes,
    };
    return 0;
}

static void account(struct emitter *e, uint64_t more) {
    e->used_bytes += more;
    e->result->peak_bytes = max_u64(e->result->peak_bytes, e->used_bytes);
}

/* ---- streams ---- */

struct stream {
    struct emitter *e;
    /* Makes tile i at dest; -1 with err set. */
    int (*make)(struct stream *stream, size_t tile, unsigned worker, uint8_t *dest,
                struct err *err);
    uint64_t bytes;      /* of output */
    uint64_t tile_bytes; /* of output, every tile but the last */
    size_t tiles;
    uint64_t work_bytes; /* of input, for the progress */
    bool discard;        /* only the side effects are wanted */

    /* ENCODE */
    const struct tensor *tensor;
    struct tiling tiling;
    struct tensor_reader *reader;
    struct small *small;
    struct value_range *range;  /* codec_range_count() of them */
    struct encode_stats *stats; /* of the tiles of this chunk */
    struct value_range *ranges; /* the same for every worker, in the pass over the range */
    uint64_t range_count;
    /* COPY */
    struct source *source;
    uint64_t offset;

    /* the chunk that is being made */
    size_t first;
    uint8_t *dest;
    bool writes; /* index 0 writes the other buffer */
};

static int write_buffer(struct emitter *e, struct buffer *buffer, struct err *err) {
    if (!buffer->used)
        return 0;
    int result = sink_write(e->sink, buffer->data, buffer->used, err);
    counter_add(COUNTER_MODEL_BYTES_WRITTEN, (int64_t)buffer->used);
    buffer->used = 0;
    return result;
}

static int run_index(void *ctx, size_t index, unsigned worker, struct err *err) {
    struct stream *s = ctx;
    if (s->writes && index == 0)
        return write_buffer(s->e, &s->e->buffers[!s->e->filling], err);
    size_t i = index - s->writes;
    uint8_t *dest = s->dest + (s->discard ? worker : i) * s->tile_bytes;
    return s->make(s, s->first + i, worker, dest, err);
}

static void note_overflow(struct stream *s, size_t tiles) {
    struct emit_overflow *all = &s->e->result->overflows[s->tensor - s->e->model->tensors];
    for (size_t i = 0; i < tiles; i++) {
        const struct encode_stats *stats = &s->stats[i];
        if (stats->overflow && !all->count)
            all->first = tiling_start(&s->tiling, s->first + i) + stats->first_overflow;
        all->count += stats->overflow;
    }
}

static void report_progress(struct emitter *e, uint64_t done) {
    e->progress.done += done;
    progress_report(e->env->progress, &e->progress);
}

/* Runs all tiles. What stands in the buffer that is being filled is written on the way; the last
 * chunk stays in it. */
static int run_stream(struct stream *s, struct err *err) {
    struct emitter *e = s->e;
    size_t per_chunk = (size_t)(e->chunk_bytes / max_u64(s->tile_bytes, 1));
    if (per_chunk > s->tiles)
        per_chunk = s->tiles;
    struct arena_mark mark = arena_mark(e->arena);
    s->stats = ARENA_ARRAY(e->arena, struct encode_stats, per_chunk);
    int result = s->stats ? 0 : err_set(err, ERR_NO_MEMORY, "no memory to run a tensor's tiles");
    uint64_t worked = 0;
    for (s->first = 0; result == 0 && s->first < s->tiles; s->first += per_chunk) {
        size_t left = s->tiles - s->first;
        size_t tiles = left < per_chunk ? left : per_chunk;
        s->writes = !s->discard && e->buffers[e->filling].used;
        if (s->writes)
            e->filling = !e->filling;
        /* What is discarded must not land on what waits to be written. */
        struct buffer *buffer = &e->buffers[s->discard ? !e->filling : e->filling];
        assert(buffer->used == 0);
        s->dest = buffer->data;
        memset(s->stats, 0, tiles * sizeof *s->stats);
        result = loop_run(e->env->team, e->env->progress, tiles + s->writes, run_index, s, err);
        if (result < 0)
            break;
        if (s->tensor && !s->discard)
            note_overflow(s, tiles);
        if (!s->discard)
            buffer->used =
                left <= per_chunk ? s->bytes - s->first * s->tile_bytes : tiles * s->tile_bytes;
        uint64_t now = s->work_bytes / s->tiles * (s->first + tiles);
        if (left <= per_chunk)
            now = s->work_bytes;
        report_progress(e, now - worked);
        worked = now;
    }
    arena_rewind(e->arena, mark);
    return result;
}

/* ---- verbatim ranges ---- */

static int copy_tile(struct stream *s, size_t tile, unsigned worker, uint8_t *dest,
                     struct err *err) {
    (void)worker;
    uint64_t start = tile * s->tile_bytes;
    uint64_t left = s->bytes - start;
    uint64_t len = left < s->tile_bytes ? left : s->tile_bytes;
    counter_add(COUNTER_MODEL_BYTES_READ, (int64_t)len);
    return source_read(s->source, s->offset + start, dest, (size_t)len, err);
}

static int emit_copy(struct emitter *e, struct source *source, uint64_t offset, uint64_t bytes,
                     struct err *err) {
    struct stream s = {
        .e = e,
        .make = copy_tile,
        .bytes = bytes,
        .tile_bytes = COPY_TILE_BYTES,
        .tiles = (size_t)((bytes + COPY_TILE_BYTES - 1) / COPY_TILE_BYTES),
        .work_bytes = bytes,
        .source = source,
        .offset = offset,
    };
    return run_stream(&s, err);
}

/* Files that are copied whole come one after the other: one open source is enough. */
static int emit_copied_file(struct emitter *e, const struct segment *segment, struct err *err) {
    struct resolver *files = e->model->resolver;
    if (!e->source || e->source_index != segment->resolver_index) {
        source_close(e->source);
        e->source = NULL;
        if (files->ops->open(files, segment->resolver_index, &e->source, err) < 0)
            return -1;
        e->source_index = segment->resolver_index;
    }
    return emit_copy(e, e->source, segment->offset, segment->bytes, err);
}

static int emit_copied_part(struct emitter *e, const struct segment *segment, struct err *err) {
    const struct part *part = &segment->tensor->parts[segment->part];
    if (part->bytes != segment->bytes)
        return err_set(err, ERR_BUG, "%s: the layout has %" PRIu64 " bytes for a part of %" PRIu64,
                       segment->tensor->name, segment->bytes, part->bytes);
    return emit_copy(e, e->model->files[part->file].source, part->offset, part->bytes, err);
}

/* ---- encoded tensors ---- */

static int read_tile(struct stream *s, size_t tile, unsigned worker, struct err *err) {
    const struct scratch *scratch = &s->e->scratch[worker];
    return tensor_reader_elements(s->reader, tiling_start(&s->tiling, tile),
                                  tiling_elements(&s->tiling, tile), scratch->raw, scratch->values,
                                  err);
}

static int range_tile(struct stream *s, size_t tile, unsigned worker, uint8_t *dest,
                      struct err *err) {
    (void)dest;
    if (read_tile(s, tile, worker, err) < 0)
        return -1;
    const struct encoding *wanted = &s->tensor->wanted;
    struct tile_rows rows = tiling_rows(&s->tiling, tile, s->tensor, wanted);
    codec_find_ranges(wanted, rows.rows, rows.cols, s->e->scratch[worker].values,
                      s->ranges + worker * s->range_count);
    return 0;
}

static int encode_tile(struct stream *s, size_t tile, unsigned worker, uint8_t *dest,
                       struct err *err) {
    if (read_tile(s, tile, worker, err) < 0)
        return -1;
    const struct tensor *tensor = s->tensor;
    struct tile_rows out = tiling_rows(&s->tiling, tile, tensor, &tensor->wanted);
    struct encode_stats *stats = &s->stats[tile - s->first];
    codec_encode(&tensor->wanted, &tensor->options, out.row0, out.rows, out.cols,
                 s->e->scratch[worker].values, s->range, dest, s->small->scale,
                 s->small->zero_point, stats);
    if (!stats->non_finite)
        return 0;
    err_set(err, ERR_NON_FINITE, "%s holds NaN or infinity at flat index %" PRIu64, tensor->name,
            tiling_start(&s->tiling, tile) + stats->first_non_finite);
    return err_at_tensor(err, tensor->name);
}

/* The value ranges of the whole tensor, before the first code. The smallest of some numbers does
 * not depend on their order, so every worker keeps its own. s->range: from the arena, zeroed. */
static int find_range(struct stream *s, struct err *err) {
    unsigned threads = team_threads(s->e->env->team);
    struct stream pass = *s;
    pass.make = range_tile;
    pass.discard = true;
    pass.work_bytes = 0;
    pass.ranges = calloc(threads * s->range_count, sizeof *pass.ranges);
    s->range = calloc(s->range_count, sizeof *s->range);
    if (!pass.ranges || !s->range) {
        free(pass.ranges);
        err_set(err, ERR_NO_MEMORY, "no memory for value ranges");
        return err_at_tensor(err, s->tensor->name);
    }
    int result = run_stream(&pass, err);
    for (uint64_t i = 0; result == 0 && i < threads * s->range_count; i++) {
        struct value_range *to = &s->range[i % s->range_count];
        to->min = pass.ranges[i].min < to->min ? pass.ranges[i].min : to->min;
        to->max = pass.ranges[i].max > to->max ? pass.ranges[i].max : to->max;
    }
    free(pass.ranges);
    return result;
}

static int make_room(struct emitter *e, struct small *small, const struct tensor *tensor,
                     struct err *err) {
    if (small->made || small->scale)
        return 0;
    struct encoded_size size = wanted_size(tensor);
    small->scale_bytes = size.scale_bytes;
    small->zero_point_bytes = size.zero_point_bytes;
    if (size.scale_bytes)
        small->scale = calloc(1, size.scale_bytes);
    if (size.zero_point_bytes)
        small->zero_point = calloc(1, size.zero_point_bytes);
    if ((size.scale_bytes && !small->scale) || (size.zero_point_bytes && !small->zero_point)) {
        err_set(err, ERR_NO_MEMORY, "no memory for the scales");
        return err_at_tensor(err, tensor->name);
    }
    account(e, size.scale_bytes + size.zero_point_bytes);
    return 0;
}

/* Encodes all rows; discard: for the sake of the small parts alone. */
static int encode_tensor(struct emitter *e, const struct tensor *tensor, bool discard,
                         struct err *err) {
    struct stream s = {
        .e = e,
        .make = encode_tile,
        .bytes = wanted_size(tensor).data_bytes,
        .work_bytes = discard ? 0 : tensor->parts[PART_DATA].bytes,
        .discard = discard,
        .tensor = tensor,
        .tiling = tiling_of(tensor, &tensor->stored, &tensor->wanted),
        .small = small_of(e->model, e->small, tensor),
    };
    s.tiles = s.tiling.count;
    s.tile_bytes = tiling_data_bytes(&s.tiling, tensor, &tensor->wanted);
    if (!s.tiles) /* no elements: nothing to read, no scale */
        return 0;
    if (make_room(e, s.small, tensor, err) < 0 ||
        tensor_reader_open(e->model, tensor, tensor->wanted.transposed, &s.reader, err) < 0)
        return -1;
    uint64_t reader_bytes = tensor_reader_memory_bytes(tensor, tensor->wanted.transposed);
    account(e, reader_bytes);
    uint64_t rows, cols;
    tensor_matrix(tensor, &tensor->wanted, &rows, &cols);
    s.range_count = codec_range_count(&tensor->wanted, cols);
    uint64_t range_bytes = range_bytes_of(tensor, team_threads(e->env->team));
    account(e, range_bytes);
    int result = s.range_count ? find_range(&s, err) : 0;
    if (result == 0)
        result = run_stream(&s, err);
    free(s.range);
    e->used_bytes -= range_bytes;
    tensor_reader_close(s.reader);
    e->used_bytes -= reader_bytes;
    s.small->made = result == 0;
    return result;
}

static void drop_small(struct emitter *e, struct small *small) {
    if (small->scale || small->zero_point)
        e->used_bytes -= small->scale_bytes + small->zero_point_bytes;
    free(small->scale);
    free(small->zero_point);
    small->scale = small->zero_point = NULL;
}

/* ---- segments ---- */

/* Bytes we hold already: behind the chunk when they fit, else straight to the sink. */
static int emit_bytes(struct emitter *e, const void *data, uint64_t bytes, struct err *err) {
    struct buffer *buffer = &e->buffers[e->filling];
    if (buffer->used + bytes <= e->chunk_bytes + TAIL_BYTES) {
        memcpy(buffer->data + buffer->used, data, bytes);
        buffer->used += bytes;
        return 0;
    }
    if (write_buffer(e, buffer, err) < 0)
        return -1;
    return sink_write(e->sink, data, bytes, err);
}

static int emit_zeros(struct emitter *e, uint64_t bytes, struct err *err) {
    static const uint8_t zeros[4096];
    while (bytes) {
        uint64_t n = bytes < sizeof zeros ? bytes : sizeof zeros;
        if (emit_bytes(e, zeros, n, err) < 0)
            return -1;
        bytes -= n;
    }
    return 0;
}

static int emit_shape(struct emitter *e, const struct tensor *tensor, struct err *err) {
    uint64_t shape[2];
    tensor_matrix(tensor, &tensor->wanted, &shape[0], &shape[1]);
    return emit_bytes(e, shape, sizeof shape, err);
}

static int emit_encoded(struct emitter *e, const struct segment *segment, struct err *err) {
    const struct tensor *tensor = segment->tensor;
    struct small *small = small_of(e->model, e->small, tensor);
    bool is_small = segment->part == PART_SCALE || segment->part == PART_ZERO_POINT;
    if (segment->part == PART_DATA && encode_tensor(e, tensor, false, err) < 0)
        return -1;
    if (is_small && !small->made && encode_tensor(e, tensor, true, err) < 0)
        return -1;
    int result = 0;
    if (segment->part == PART_SCALE)
        result = emit_bytes(e, small->scale, small->scale_bytes, err);
    else if (segment->part == PART_ZERO_POINT)
        result = emit_bytes(e, small->zero_point, small->zero_point_bytes, err);
    else if (segment->part == PART_SHAPE)
        result = emit_shape(e, tensor, err);
    if (--small->segments == 0)
        drop_small(e, small);
    return result;
}

static int emit_segment(struct emitter *e, const struct segment *segment, struct err *err) {
    switch (segment->kind) {
    case SEGMENT_LITERAL:
        return emit_bytes(e, segment->literal, segment->bytes, err);
    case SEGMENT_ZEROS:
        return emit_zeros(e, segment->bytes, err);
    case SEGMENT_COPY:
        return emit_copied_file(e, segment, err);
    case SEGMENT_PART:
        break;
    }
    return is_encoded(segment) ? emit_encoded(e, segment, err) : emit_copied_part(e, segment, err);
}

static int emit_file(struct emitter *e, size_t index, struct outputs *outputs, struct err *err) {
    const struct layout_file *file = &e->layout->files[index];
    if (outputs->ops->create(outputs, file->path, file->bytes, &e->sink, err) < 0)
        return -1;
    account(e, SINK_BYTES);
    int result = 0;
    uint64_t end = 0;
    for (size_t k = 0; result == 0 && k < file->count; k++) {
        result = emit_segment(e, &file->segments[k], err);
        end += file->segments[k].bytes;
        /* A segment that does not fill its place would shift all that follow. */
        if (result == 0 && e->sink->written + e->buffers[0].used + e->buffers[1].used != end)
            result = err_set(err, ERR_BUG, "segment %zu of %s does not end at %" PRIu64, k,
                             file->path, end);
    }
    if (result == 0)
        result = write_buffer(e, &e->buffers[e->filling], err);
    struct sink *sink = e->sink;
    e->sink = NULL;
    e->buffers[0].used = e->buffers[1].used = 0;
    if (result == 0)
        result = sink_finish(sink, &e->result->digests[index], err);
    else
        sink_abort(sink);
    e->used_bytes -= SINK_BYTES;
    return result;
}

static int prepare(struct emitter *e, struct err *err) {
    const struct model *model = e->model;
    struct emit_result *r = e->result;
    r->digests = ARENA_ARRAY(e->arena, struct digest, e->layout->count);
    r->overflows = ARENA_ARRAY(e->arena, struct emit_overflow, model->tensor_count);
    e->small = ARENA_ARRAY(e->arena, struct small, model->tensor_count);
    e->scratch = ARENA_ARRAY(e->arena, struct scratch, e->threads);
    if (!r->digests || !r->overflows || !e->small || !e->scratch)
        return err_set(err, ERR_NO_MEMORY, "no memory to start writing");
    struct footprint f = footprint_of(model, e->layout, e->small, e->threads);
    e->chunk_bytes = f.chunk_bytes;
    e->progress = e->env->at;
    e->progress.unit = "bytes";
    e->progress.done = 0;
    e->progress.total = f.work_bytes;
    bool ok = true;
    for (unsigned i = 0; i < e->threads; i++) {
        e->scratch[i].raw = malloc(f.raw_bytes + 1);
        e->scratch[i].values = malloc(f.value_bytes + 1);
        ok = ok && e->scratch[i].raw && e->scratch[i].values;
    }
    for (unsigned i = 0; i < 2; i++) {
        e->buffers[i].data = malloc(f.chunk_bytes + TAIL_BYTES);
        ok = ok && e->buffers[i].data;
    }
    account(e, scratch_bytes(&f, e->threads));
    return ok ? 0 : err_set(err, ERR_NO_MEMORY, "no memory for the buffers to write through");
}

static void release(struct emitter *e) {
    source_close(e->source);
    for (unsigned i = 0; e->scratch && i < e->threads; i++) {
        free(e->scratch[i].raw);
        free(e->scratch[i].values);
    }
    for (size_t i = 0; e->small && i < e->model->tensor_count; i++)
        drop_small(e, &e->small[i]);
    free(e->buffers[0].data);
    free(e->buffers[1].data);
}

int emit_run(const struct model *model, const struct layout *layout, struct outputs *outputs,
             const struct emit_env *env, struct arena *arena, struct emit_result *ret,
             struct err *err) {
    *ret = (struct emit_result){0};
    struct emitter e = {
        .model = model,
        .layout = layout,
        .env = env,
        .arena = arena,
        .result = ret,
        .threads = team_threads(env->team),
    };
    int result = prepare(&e, err);
    if (result == 0)
        report_progress(&e, 0);
    for (size_t i = 0; result == 0 && i < layout->count; i++) {
        result = progress_check(env->progress, err);
        if (result == 0)
            result = emit_file(&e, i, outputs, err);
    }
    release(&e);
    return result;
}
