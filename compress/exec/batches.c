/* See the header. Joining makes one feed per field: where its numbers come from and what they are
 * on the way. A batch is then read feed by feed. */
#include "compress/exec/batches.h"

#include "compress/base/arena.h"
#include "compress/exec/shuffle.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_SPLIT 0
#define STREAM_EPOCH 1 /* and on */

enum feed_kind {
    FEED_ARRAY,     /* an array of the set */
    FEED_TOKENS,    /* the first `window` tokens of a window */
    FEED_NEXT,      /* the tokens after them */
    FEED_ONES,      /* attention_mask */
    FEED_ZEROS,     /* token_type_ids */
    FEED_POSITIONS, /* position_ids */
};

struct feed {
    struct batch_field field;
    enum feed_kind kind;
    size_t array;          /* ARRAY */
    enum dtype stored;     /* of the numbers that are converted */
    uint64_t row_elements; /* of the field */
    void *raw;             /* ARRAY: a batch as it is stored; NULL when that is what is wanted */
    int64_t low, high;     /* integers are in [low, high] */
    const char *why;       /* where that comes from */
};

/* A symbol of the graph and the size that the set gives it. */
struct bound {
    uint32_t symbol;
    uint64_t size;
    const char *by;
};

struct batches {
    struct arena *arena;
    const struct dataset *dataset;
    const struct symbols *symbols; /* the graph's */
    struct batches_options options;
    struct batches_state state;
    uint64_t window;    /* TOKENS */
    uint64_t batch;     /* samples of a whole one */
    uint64_t set;       /* samples or windows of the dataset */
    uint64_t first;     /* place of the split's first sample in the set's order */
    uint64_t samples;   /* of the split */
    bool permuted;      /* the set's order is not the file's */
    uint64_t split_key; /* of that order */
    struct feed *feeds;
    size_t feed_count;
    struct bound *bounds;
    size_t bound_count, bound_capacity;
    const char **unused;
    size_t unused_count;
    uint64_t bytes;   /* of all arrays */
    uint64_t *order;  /* samples of the batch being read */
    void *stored_ids; /* TOKENS: a window and the token after it, as stored */
    int64_t *ids;     /* the same as numbers */
    int64_t last_id;  /* TOKENS: none is above */
    const char *last_id_why;
};

static int choose_sizes(struct batches *b, const struct graph *graph, struct err *err);
static int choose_window(struct batches *b, const struct graph *graph, struct err *err);
static int choose_split(struct batches *b, struct err *err);
static int join_arrays(struct batches *b, const struct graph *graph, struct err *err);
static int join_tokens(struct batches *b, const struct graph *graph, struct err *err);
static int find_ids(const struct graph *graph, const struct value **ret, struct err *err);
static int add_feed(struct batches *b, const struct feed *feed, const struct array *sample,
                    enum dtype wanted, struct err *err);
static int check_shape(struct batches *b, const struct feed *feed, struct err *err);
static bool dim_agrees(struct batches *b, struct dim wanted, uint64_t given, const char *by);
static bool feeds_type(enum dtype from, enum dtype to);
static int read_feed(struct batches *b, const struct feed *feed, uint64_t count, struct err *err);
static int read_array(struct batches *b, const struct feed *feed, uint64_t count, struct err *err);
static int make_row(struct batches *b, const struct feed *feed, uint64_t i, struct err *err);
static int load_window(struct batches *b, uint64_t sample, struct err *err);
static int check_integers(const struct batches *b, const struct feed *feed, const struct array *raw,
                          struct err *err);
static int check_floats(const struct batches *b, const struct feed *feed, const struct array *raw,
                        struct err *err);
static int bad_value(const struct feed *feed, uint64_t sample, int64_t value, struct err *err);
static void limit_by_type(const struct batches *b, struct feed *f, enum dtype wanted);
static void integer_range(enum dtype dtype, int64_t *ret_low, int64_t *ret_high);
static uint64_t sample_at(const struct batches *b, uint64_t position);

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory for a batch of the dataset");
}

int batches_new(const struct dataset *dataset, const struct graph *graph,
                const struct batches_options *options, struct batches **ret, struct err *err) {
    struct batches *b = calloc(1, sizeof *b);
    if (!b)
        return no_memory(err);
    b->dataset = dataset;
    b->symbols = graph->symbols;
    b->options = *options;
    b->state.seed = options->seed;
    bool limited = options->classes && options->classes <= INT64_MAX;
    b->last_id = limited ? (int64_t)options->classes - 1 : INT64_MAX;
    b->last_id_why = "the classes that were stated";
    b->arena = arena_new(LIMIT_REQUEST_ARENA_BYTES);
    size_t feeds = graph->input_count + graph->output_count + 1;
    b->feeds = b->arena ? ARENA_ARRAY(b->arena, struct feed, feeds) : NULL;
    b->unused =
        b->arena ? ARENA_ARRAY(b->arena, const char *, dataset_array_count(dataset) + 1) : NULL;
    int status = -1;
    if (!b->feeds || !b->unused) {
        no_memory(err);
        goto out;
    }
    if (choose_sizes(b, graph, err) < 0 || choose_split(b, err) < 0 ||
        (dataset_kind(dataset) == DATASET_TOKENS ? join_tokens(b, graph, err)
                                                 : join_arrays(b, graph, err)) < 0)
        goto out;
    b->order = calloc(b->batch, sizeof *b->order);
    b->stored_ids = calloc(b->window + 1, sizeof(int64_t));
    b->ids = calloc(b->window + 1, sizeof *b->ids);
    if (!b->order || !b->stored_ids || !b->ids) {
        no_memory(err);
        goto out;
    }
    status = 0;
out:
    if (status < 0)
        batches_free(b);
    else
        *ret = b;
    return status;
}

void batches_free(struct batches *batches) {
    if (!batches)
        return;
    for (size_t i = 0; i < batches->feed_count; i++) {
        free(batches->feeds[i].raw);
        free(batches->feeds[i].field.array.data);
    }
    free(batches->order);
    free(batches->stored_ids);
    free(batches->ids);
    arena_free(batches->arena);
    free(batches);
}

size_t batches_field_count(const struct batches *batches) {
    return batches->feed_count;
}

const struct batch_field *batches_field(const struct batches *batches, size_t i) {
    return &batches->feeds[i].field;
}

const struct batch_field *batches_label(const struct batches *batches) {
    for (size_t i = 0; i < batches->feed_count; i++)
        if (batches->feeds[i].field.role == BATCH_LABEL)
            return &batches->feeds[i].field;
    return NULL;
}

const char *batches_unused(const struct batches *batches, size_t i) {
    return i < batches->unused_count ? batches->unused[i] : NULL;
}

void batches_limit(struct batches *batches, size_t i, int64_t low, int64_t high, const char *why) {
    struct feed *feed = &batches->feeds[i];
    bool tokens = feed->kind == FEED_TOKENS || feed->kind == FEED_NEXT;
    if (tokens && high < batches->last_id) {
        batches->last_id = high;
        batches->last_id_why = why;
    }
    if (low <= feed->low && high >= feed->high)
        return;
    feed->low = low > feed->low ? low : feed->low;
    feed->high = high < feed->high ? high : feed->high;
    feed->why = why;
}

uint64_t batches_samples(const struct batches *batches) {
    return batches->samples;
}

uint64_t batches_per_epoch(const struct batches *batches) {
    return batches->samples / batches->batch +
           (batches->options.keep_partial && batches->samples % batches->batch);
}

uint64_t batches_size(const struct batches *batches) {
    return batches->batch;
}

int batches_next(struct batches *batches, uint64_t *ret_samples, struct err *err) {
    struct batches *b = batches;
    uint64_t left = b->samples - b->state.position;
    if (left == 0 || (left < b->batch && !b->options.keep_partial)) {
        b->state.epoch++;
        b->state.position = 0;
        *ret_samples = 0;
        return 0;
    }
    uint64_t count = left < b->batch ? left : b->batch;
    for (uint64_t i = 0; i < count; i++)
        b->order[i] = sample_at(b, b->state.position + i);
    for (size_t i = 0; i < b->feed_count; i++) {
        struct array *array = &b->feeds[i].field.array;
        array->dims[0] = count;
        array->elements = count * b->feeds[i].row_elements;
        if (read_feed(b, &b->feeds[i], count, err) < 0)
            return -1;
    }
    b->state.position += count;
    *ret_samples = count;
    return 0;
}

uint64_t batches_sample(const struct batches *batches, uint64_t i) {
    return batches->order[i];
}

int batches_check(struct batches *batches, const struct progress *progress,
                  const struct progress_state *at, struct err *err) {
    const struct batches_state before = batches->state;
    struct progress_state state = *at;
    uint64_t samples = 1;
    int result = 0;
    state.unit = "samples";
    state.done = 0;
    state.total =
        batches->samples - (batches->options.keep_partial ? 0 : batches->samples % batches->batch);
    batches->state.position = 0;
    while (result == 0 && samples > 0) {
        progress_report(progress, &state);
        result = progress_check(progress, err);
        if (result == 0)
            result = batches_next(batches, &samples, err);
        state.done += samples;
    }
    batches->state = before;
    return result;
}

int batches_glance(struct batches *batches, struct err *err) {
    struct batches *b = batches;
    for (size_t i = 0; i < b->feed_count; i++) {
        const struct feed *f = &b->feeds[i];
        bool tokens = f->kind == FEED_TOKENS;
        if ((f->kind != FEED_ARRAY && !tokens) || dtype_row(f->stored)->is_float ||
            dtype_row(f->field.array.dtype)->is_float)
            continue;
        uint64_t row_bytes = f->row_elements * array_item_bytes(f->stored);
        if (b->permuted && b->set > BATCHES_GLANCE_BYTES / row_bytes)
            continue;
        for (uint64_t at = 0, count; at < b->samples && at < BATCHES_GLANCE_BYTES / row_bytes;
             at += count) {
            count = b->samples - at < b->batch ? b->samples - at : b->batch;
            for (uint64_t k = 0; k < count; k++)
                b->order[k] = sample_at(b, at + k);
            if (read_feed(b, f, count, err) < 0)
                return -1;
        }
    }
    return 0;
}

struct batches_state batches_state(const struct batches *batches) {
    return batches->state;
}

int batches_resume(struct batches *batches, const struct batches_state *state, struct err *err) {
    if (state->seed != batches->options.seed)
        return err_set(err, ERR_BAD_FIELD,
                       "the data order was that of seed %" PRIu64 ", not of %" PRIu64, state->seed,
                       batches->options.seed);
    if (state->position > batches->samples)
        return err_set(err, ERR_BAD_FIELD,
                       "the data order stands at sample %" PRIu64 " of %" PRIu64, state->position,
                       batches->samples);
    batches->state = *state;
    return 0;
}

/* ---- sizes and order ---- */

/* An input that something reads. */
static bool is_wanted(const struct value *value) {
    return value->use_count > 0 || value->is_output;
}

static int choose_sizes(struct batches *b, const struct graph *graph, struct err *err) {
    b->batch = b->options.batch;
    for (size_t i = 0; i < graph->input_count && b->batch == 0; i++) {
        const struct type *type = &graph->inputs[i]->type;
        if (is_wanted(graph->inputs[i]) && type->ranked && type->rank > 0 &&
            dim_known(type->dims[0]) && type->dims[0].size > 0)
            b->batch = (uint64_t)type->dims[0].size;
    }
    if (b->batch == 0)
        b->batch = 1;
    b->set = dataset_samples(b->dataset);
    if (dataset_kind(b->dataset) == DATASET_TOKENS)
        return choose_window(b, graph, err);
    return 0;
}

static int choose_window(struct batches *b, const struct graph *graph, struct err *err) {
    const struct dataset_array *ids = dataset_array(b->dataset, 0);
    const struct value *input;
    if (find_ids(graph, &input, err) < 0)
        return -1;
    const struct type *type = &input->type;
    b->window = b->options.window;
    if (b->window == 0 && type->ranked && type->rank == 2 && dim_known(type->dims[1]) &&
        type->dims[1].size > 0)
        b->window = (uint64_t)type->dims[1].size;
    if (ids->rank == 2) {
        uint64_t row = ids->dims[1];
        if (b->window == 0)
            b->window = row;
        if (b->window != row && b->window + 1 != row) {
            err_set(err, ERR_MISFIT,
                    "the rows of the dataset are %" PRIu64 " tokens long, the window is %" PRIu64,
                    row, b->window);
            return err_at_tensor(err, ids->name);
        }
        return 0;
    }
    if (b->window == 0)
        return err_set(err, ERR_BAD_FIELD,
                       "a text is cut into windows: say how many tokens one holds");
    b->set = (ids->dims[0] - 1) / b->window;
    if (b->set == 0) {
        err_set(err, ERR_MISFIT,
                "the text of %" PRIu64 " tokens holds no window of %" PRIu64
                " and the token after it",
                ids->dims[0], b->window);
        return err_at_tensor(err, ids->name);
    }
    return 0;
}

/* round(n * fraction), at most n. */
static uint64_t share(uint64_t n, double fraction) {
    double x = nearbyint((double)n * fraction);
    return x >= (double)n ? n : (uint64_t)x;
}

static int choose_split(struct batches *b, struct err *err) {
    const struct batches_options *o = &b->options;
    b->samples = b->set;
    b->permuted = o->split != BATCHES_ALL || (o->samples > 0 && o->samples < b->set);
    b->split_key = shuffle_key(o->seed, STREAM_SPLIT);
    if (o->split != BATCHES_ALL) {
        if (!(o->train >= 0 && o->validation >= 0 && o->train + o->validation <= 1 + 1e-9))
            return err_set(err, ERR_BAD_FIELD,
                           "the shares for training (%g) and validation (%g) are more than the set",
                           o->train, o->validation);
        uint64_t validation = share(b->set, o->validation);
        uint64_t train = share(b->set, o->train);
        if (train > b->set - validation)
            train = b->set - validation;
        b->samples = o->split == BATCHES_TRAIN ? train : validation;
        b->first = o->split == BATCHES_TRAIN ? 0 : b->set - validation;
    }
    if (o->samples > 0 && o->samples < b->samples)
        b->samples = o->samples;
    if (b->samples == 0)
        return err_set(err, ERR_BAD_FIELD, "no sample of %" PRIu64 " falls to this part", b->set);
    if (b->samples < b->batch && !o->keep_partial)
        return err_set(err, ERR_BAD_FIELD, "%" PRIu64 " samples make no batch of %" PRIu64,
                       b->samples, b->batch);
    if (b->batch > b->samples)
        b->batch = b->samples;
    return 0;
}

static uint64_t sample_at(const struct batches *b, uint64_t position) {
    uint64_t place = position;
    if (b->options.shuffle)
        place = shuffle_at(shuffle_key(b->state.seed, STREAM_EPOCH + b->state.epoch), b->samples,
                           position);
    place += b->first;
    return b->permuted ? shuffle_at(b->split_key, b->set, place) : place;
}

/* ---- joining ---- */

static int missing_input(const struct batches *b, const struct value *input, struct err *err) {
    char names[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < dataset_array_count(b->dataset) && used + 80 < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.60s", i ? ", " : "",
                                 dataset_array(b->dataset, i)->name);
    err_set(err, ERR_MISFIT, "no array of the dataset feeds the input \"%.100s\"; it holds %s",
            input->name, names);
    return err_at_tensor(err, input->name);
}

static int add_array(struct batches *b, enum batch_role role, const struct value *value, size_t i,
                     enum dtype wanted, struct err *err) {
    const struct dataset_array *a = dataset_array(b->dataset, i);
    struct feed feed = {.field = {.role = role, .value = value, .name = a->name},
                        .kind = FEED_ARRAY,
                        .array = i,
                        .stored = a->dtype};
    struct array sample;
    unsigned rank = a->rank - 1;
    if (role == BATCH_LABEL && rank == 1 && a->dims[1] == 1) /* a column is a list, too */
        rank = 0;
    if (array_shape(&sample, a->dtype, rank, a->dims + 1, err) < 0)
        return -1;
    return add_feed(b, &feed, &sample, wanted, err);
}

/* Losses and metrics are computed in f32. */
static enum dtype target_type(const struct value *output, enum dtype given) {
    enum dtype wanted = output->type.dtype;
    if (wanted == DTYPE_NONE)
        wanted = given;
    return dtype_row(wanted)->is_float ? DTYPE_F32 : wanted;
}

static int join_arrays(struct batches *b, const struct graph *graph, struct err *err) {
    const struct dataset *d = b->dataset;
    bool *used = ARENA_ARRAY(b->arena, bool, dataset_array_count(d));
    if (!used)
        return no_memory(err);
    for (size_t i = 0; i < graph->input_count; i++) {
        const struct value *input = graph->inputs[i];
        size_t k = dataset_find(d, input->name);
        if (k != SIZE_MAX)
            used[k] = true;
        if (!is_wanted(input))
            continue;
        if (k == SIZE_MAX)
            return missing_input(b, input, err);
        enum dtype wanted = input->type.dtype;
        if (add_array(b, BATCH_INPUT, input, k,
                      wanted == DTYPE_NONE ? dataset_array(d, k)->dtype : wanted, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < graph->output_count; i++) {
        const struct value *output = graph->outputs[i];
        size_t k = dataset_find(d, output->name);
        if (k == SIZE_MAX || used[k])
            continue;
        used[k] = true;
        if (add_array(b, BATCH_TARGET, output, k, target_type(output, dataset_array(d, k)->dtype),
                      err) < 0)
            return -1;
    }
    size_t label = dataset_find(d, "label");
    if (label != SIZE_MAX && !used[label]) {
        used[label] = true;
        if (dtype_row(dataset_array(d, label)->dtype)->is_float) {
            err_set(err, ERR_MISFIT, "labels are class ids, integers; the dataset gives %s",
                    dtype_row(dataset_array(d, label)->dtype)->name);
            return err_at_tensor(err, "label");
        }
        if (add_array(b, BATCH_LABEL, NULL, label, DTYPE_I64, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < dataset_array_count(d); i++)
        if (!used[i])
            b->unused[b->unused_count++] = dataset_array(d, i)->name;
    return 0;
}

static const struct {
    const char *name;
    enum feed_kind kind;
} companions[] = {{"attention_mask", FEED_ONES},
                  {"token_type_ids", FEED_ZEROS},
                  {"position_ids", FEED_POSITIONS}};

static bool is_integer(enum dtype dtype) {
    return dtype == DTYPE_I64 || dtype == DTYPE_I32;
}

static int companion_of(const struct value *input) {
    for (size_t c = 0; c < sizeof companions / sizeof *companions; c++)
        if (strcmp(input->name, companions[c].name) == 0)
            return (int)c;
    return -1;
}

/* Which input takes the tokens. */
static int find_ids(const struct graph *graph, const struct value **ret, struct err *err) {
    const struct value *only = NULL;
    size_t count = 0;
    for (size_t i = 0; i < graph->input_count; i++) {
        const struct value *input = graph->inputs[i];
        if (strcmp(input->name, "input_ids") == 0) {
            *ret = input;
            return 0;
        }
        if (is_wanted(input) && is_integer(input->type.dtype) && companion_of(input) < 0) {
            only = input;
            count++;
        }
    }
    if (count != 1)
        return err_set(err, ERR_MISFIT,
                       "the dataset holds token ids, but the model has no input \"input_ids\" and "
                       "%zu inputs of integers",
                       count);
    *ret = only;
    return 0;
}

static int join_tokens(struct batches *b, const struct graph *graph, struct err *err) {
    const struct value *ids;
    const struct dataset_array *tokens = dataset_array(b->dataset, 0);
    if (find_ids(graph, &ids, err) < 0)
        return -1;
    struct array window;
    if (array_shape(&window, DTYPE_I64, 1, &b->window, err) < 0)
        return -1;
    for (size_t i = 0; i < graph->input_count; i++) {
        const struct value *input = graph->inputs[i];
        int companion = companion_of(input);
        if (!is_wanted(input))
            continue;
        if (input != ids && companion < 0)
            return missing_input(b, input, err);
        struct feed feed = {.field = {.role = BATCH_INPUT, .value = input, .name = input->name},
                            .kind = input == ids ? FEED_TOKENS : companions[companion].kind,
                            .stored = input == ids ? tokens->dtype : DTYPE_I64};
        enum dtype wanted = input->type.dtype == DTYPE_NONE ? DTYPE_I64 : input->type.dtype;
        if (add_feed(b, &feed, &window, wanted, err) < 0)
            return -1;
    }
    struct feed next = {.field = {.role = BATCH_LABEL, .name = tokens->name},
                        .kind = FEED_NEXT,
                        .stored = tokens->dtype};
    return add_feed(b, &next, &window, DTYPE_I64, err);
}

/* What the field's type can hold; of unsigned numbers, what 64 bits with a sign can. */
static void limit_by_type(const struct batches *b, struct feed *f, enum dtype wanted) {
    integer_range(wanted, &f->low, &f->high);
    f->why = dtype_row(wanted)->name;
    if (f->stored == DTYPE_U64) /* above 2^63 it reads as a negative number */
        f->low = 0;
    if (f->field.role != BATCH_LABEL)
        return;
    f->low = 0;
    if (b->last_id < f->high) {
        f->high = b->last_id;
        f->why = b->last_id_why;
    }
}

/* Settles the field's array: a batch of `sample`s of type `wanted`. */
static int add_feed(struct batches *b, const struct feed *feed, const struct array *sample,
                    enum dtype wanted, struct err *err) {
    struct feed *f = &b->feeds[b->feed_count];
    *f = *feed;
    limit_by_type(b, f, wanted);
    uint64_t dims[LIMIT_RANK] = {b->batch};
    memcpy(dims + 1, sample->dims, sample->rank * sizeof *dims);
    f->row_elements = sample->elements;
    if (array_shape(&f->field.array, wanted, sample->rank + 1, dims, err) < 0)
        return err_at_tensor(err, f->field.name);
    if (!feeds_type(f->stored, wanted)) {
        err_set(err, ERR_MISFIT, "\"%.100s\" wants %s, which the dataset's %s does not become",
                f->field.value ? f->field.value->name : f->field.name, dtype_row(wanted)->name,
                dtype_row(f->stored)->name);
        return err_at_tensor(err, f->field.name);
    }
    if (f->field.value && check_shape(b, f, err) < 0)
        return -1;
    bool convert = f->kind == FEED_ARRAY && wanted != f->stored;
    uint64_t bytes = array_bytes(&f->field.array);
    uint64_t raw_bytes = convert ? f->field.array.elements * array_item_bytes(f->stored) : 0;
    b->bytes += bytes + raw_bytes;
    if (b->options.memory_bytes && b->bytes > b->options.memory_bytes) {
        err_set(err, ERR_OVER_BUDGET,
                "a batch of %" PRIu64 " samples takes %" PRIu64 " bytes; %" PRIu64 " are allowed",
                b->batch, b->bytes, b->options.memory_bytes);
        return err_at_tensor(err, f->field.name);
    }
    f->field.array.data = calloc(1, (size_t)bytes);
    f->raw = convert ? calloc(1, (size_t)raw_bytes) : NULL;
    b->feed_count++; /* from here on, batches_free() sees it */
    return f->field.array.data && (f->raw || !convert) ? 0 : no_memory(err);
}

/* The value's type against the field's, symbols against each other. */
static int check_shape(struct batches *b, const struct feed *feed, struct err *err) {
    const struct type *type = &feed->field.value->type;
    const struct array *given = &feed->field.array;
    if (!type->ranked)
        return 0;
    bool agrees = type->rank == given->rank;
    for (unsigned d = 0; d < given->rank && agrees; d++)
        agrees = dim_agrees(b, type->dims[d], given->dims[d], feed->field.name);
    if (agrees)
        return 0;
    char wanted[128], have[128];
    type_describe(type, b->symbols, wanted, sizeof wanted);
    array_describe(given, have, sizeof have);
    err_set(err, ERR_MISFIT, "the %s \"%.100s\" is %s, a batch of the dataset is %s",
            feed->field.role == BATCH_INPUT ? "input" : "output", feed->field.value->name, wanted,
            have);
    return err_at_tensor(err, feed->field.name);
}

static bool dim_agrees(struct batches *b, struct dim wanted, uint64_t given, const char *by) {
    if (dim_known(wanted))
        return wanted.size >= 0 && (uint64_t)wanted.size == given;
    for (size_t i = 0; i < b->bound_count; i++)
        if (b->bounds[i].symbol == wanted.symbol)
            return b->bounds[i].size == given;
    struct bound *grown = (struct bound *)arena_grow(b->arena, b->bounds, &b->bound_capacity,
                                                     b->bound_count + 1, sizeof *grown);
    if (!grown)
        return true; /* the plan will find out */
    b->bounds = grown;
    b->bounds[b->bound_count++] = (struct bound){wanted.symbol, given, by};
    return true;
}

/* Does every number of `from` stand for itself in `to`, or is it checked on the way? */
static bool feeds_type(enum dtype from, enum dtype to) {
    bool from_float = dtype_row(from)->is_float, to_float = dtype_row(to)->is_float;
    if (from == to)
        return true;
    if (from_float || to == DTYPE_BOOL)
        return from_float && to_float;
    if (!to_float)
        return from != DTYPE_BOOL && to != DTYPE_STRING && dtype_row(to)->bytes > 0 &&
               to != DTYPE_C64 && to != DTYPE_C128;
    return from == DTYPE_BOOL || dtype_row(from)->bytes <= 2;
}

/* ---- reading ---- */

static int read_feed(struct batches *b, const struct feed *feed, uint64_t count, struct err *err) {
    if (feed->kind == FEED_ARRAY)
        return read_array(b, feed, count, err);
    for (uint64_t i = 0; i < count; i++)
        if (make_row(b, feed, i, err) < 0)
            return -1;
    return 0;
}

/* Samples that lie one after the other are read at once. */
static int read_array(struct batches *b, const struct feed *feed, uint64_t count, struct err *err) {
    struct array to = feed->field.array;
    to.dims[0] = count;
    to.elements = count * feed->row_elements;
    struct array raw = to;
    raw.dtype = feed->stored;
    raw.data = feed->raw ? feed->raw : to.data;
    size_t row_bytes = (size_t)(feed->row_elements * array_item_bytes(feed->stored));
    uint8_t *at = raw.data;
    for (uint64_t i = 0, run; i < count; i += run, at += run * row_bytes) {
        for (run = 1; i + run < count && b->order[i + run] == b->order[i] + run;)
            run++;
        if (dataset_read(b->dataset, feed->array, b->order[i], run, at, err) < 0)
            return -1;
    }
    if (dtype_row(feed->stored)->is_float) {
        if (check_floats(b, feed, &raw, err) < 0)
            return -1;
    } else if (!dtype_row(to.dtype)->is_float && feed->stored != DTYPE_BOOL &&
               check_integers(b, feed, &raw, err) < 0) {
        return -1;
    }
    return feed->raw ? array_convert(&raw, &to, false, err) : 0;
}

/* Row i of an input or label of tokens: made as 64-bit integers, then converted. */
static int make_row(struct batches *b, const struct feed *feed, uint64_t i, struct err *err) {
    struct array row = {.dtype = DTYPE_I64, .rank = 1, .dims = {b->window}, .elements = b->window};
    struct array to = row;
    int64_t *ids = b->ids;
    switch (feed->kind) {
    case FEED_TOKENS:
    case FEED_NEXT:
        if (load_window(b, b->order[i], err) < 0)
            return -1;
        ids += feed->kind == FEED_NEXT;
        break;
    case FEED_ONES:
    case FEED_ZEROS:
    case FEED_POSITIONS:
    case FEED_ARRAY:
        for (uint64_t k = 0; k < b->window; k++)
            ids[k] = feed->kind == FEED_POSITIONS ? (int64_t)k : feed->kind == FEED_ONES;
        break;
    }
    row.data = ids;
    to.dtype = feed->field.array.dtype;
    to.data = (uint8_t *)feed->field.array.data + i * b->window * array_item_bytes(to.dtype);
    for (uint64_t k = 0; k < b->window; k++)
        if ((ids[k] < feed->low || ids[k] > feed->high) &&
            !(feed->kind == FEED_NEXT && ids[k] == BATCHES_NO_LABEL))
            return bad_value(feed, b->order[i], ids[k], err);
    return array_convert(&row, &to, false, err);
}

/* The tokens of a window and the one after them, which may be missing. */
static int load_window(struct batches *b, uint64_t sample, struct err *err) {
    const struct dataset_array *tokens = dataset_array(b->dataset, 0);
    bool text = tokens->rank == 1;
    uint64_t first = text ? sample * b->window : sample, rows = text ? b->window + 1 : 1;
    struct array stored = {.dtype = tokens->dtype, .elements = rows * tokens->sample_elements};
    stored.data = b->stored_ids;
    b->ids[b->window] = BATCHES_NO_LABEL;
    if (dataset_read(b->dataset, 0, first, rows, stored.data, err) < 0)
        return -1;
    for (uint64_t k = 0; k < stored.elements; k++) {
        b->ids[k] = array_int(&stored, k);
        if (b->ids[k] < 0 || b->ids[k] > b->last_id) {
            uint64_t at = first * tokens->sample_elements + k;
            if (b->last_id == INT64_MAX)
                err_set(err, ERR_BAD_DATASET,
                        "token %" PRIu64 " of \"%.100s\" is %" PRId64 ": ids are not negative", at,
                        tokens->name, b->ids[k]);
            else
                err_set(err, ERR_BAD_DATASET,
                        "token %" PRIu64 " of \"%.100s\" is %" PRId64 ", outside of 0 to %" PRId64
                        ": %s",
                        at, tokens->name, b->ids[k], b->last_id, b->last_id_why);
            return err_at_tensor(err, tokens->name);
        }
    }
    return 0;
}

/* Integers of a batch: each must be in the field's range. */
static int check_integers(const struct batches *b, const struct feed *feed, const struct array *raw,
                          struct err *err) {
    bool label = feed->field.role == BATCH_LABEL;
    for (uint64_t k = 0; k < raw->elements; k++) {
        int64_t value = array_int(raw, k);
        if ((value < feed->low || value > feed->high) && !(label && value == BATCHES_NO_LABEL))
            return bad_value(feed, b->order[k / feed->row_elements], value, err);
    }
    return 0;
}

/* In one pass, whether to look closer. */
static bool all_finite(const struct array *floats) {
    if (floats->dtype != DTYPE_F32)
        return false;
    const real *x = floats->data;
    unsigned bad = 0;
    for (uint64_t k = 0; k < floats->elements; k++)
        bad |= !(x[k] * 0 == 0);
    return !bad;
}

static int check_floats(const struct batches *b, const struct feed *feed, const struct array *raw,
                        struct err *err) {
    bool target = feed->field.role == BATCH_TARGET;
    uint64_t count = all_finite(raw) ? 0 : raw->elements;
    for (uint64_t k = 0; k < count; k++) {
        double value = array_number(raw, k);
        if (!isnan(value) && !(target && isinf(value)))
            continue;
        err_set(err, ERR_BAD_DATASET, "sample %" PRIu64 " of \"%.100s\" holds %s",
                b->order[k / feed->row_elements], feed->field.name,
                isnan(value) ? "a NaN" : "an infinity");
        return err_at_tensor(err, feed->field.name);
    }
    return 0;
}

static int bad_value(const struct feed *feed, uint64_t sample, int64_t value, struct err *err) {
    err_set(err, ERR_BAD_DATASET,
            "sample %" PRIu64 " of \"%.100s\" holds %" PRId64 ", outside of %" PRId64 " to %" PRId64
            ": %s",
            sample, feed->field.name, value, feed->low, feed->high, feed->why);
    return err_at_tensor(err, feed->field.name);
}

static void integer_range(enum dtype dtype, int64_t *ret_low, int64_t *ret_high) {
    *ret_low = INT64_MIN;
    *ret_high = INT64_MAX;
    switch (dtype) {
    case DTYPE_I32:
        *ret_low = INT32_MIN;
        *ret_high = INT32_MAX;
        break;
    case DTYPE_I16:
        *ret_low = INT16_MIN;
        *ret_high = INT16_MAX;
        break;
    case DTYPE_I8:
        *ret_low = INT8_MIN;
        *ret_high = INT8_MAX;
        break;
    case DTYPE_U64:
        *ret_low = 0;
        break;
    case DTYPE_U32:
        *ret_low = 0;
        *ret_high = UINT32_MAX;
        break;
    case DTYPE_U16:
        *ret_low = 0;
        *ret_high = UINT16_MAX;
        break;
    case DTYPE_U8:
        *ret_low = 0;
        *ret_high = UINT8_MAX;
        break;
    case DTYPE_I4:
        *ret_low = -8;
        *ret_high = 7;
        break;
    case DTYPE_U4:
        *ret_low = 0;
        *ret_high = 15;
        break;
    default:
        break;
    }
}
