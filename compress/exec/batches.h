/*
 * A dataset joined with a graph: which array feeds which input, and in which order samples come.
 *
 * ARRAYS  An array named like an input of the graph feeds it; one named like an output is its
 *         target; "label" (when the graph has nothing of that name) holds class ids. Other arrays
 *         are not used. Shapes must agree axis by axis, the first being the batch.
 * TOKENS  The input "input_ids", or else the only input of integers, is fed windows of `window`
 *         tokens, [batch, window]; labels are the tokens that follow. A text is cut into windows
 *         one after the other (what is left at the end is too short and is left out); a row of a
 *         two-dimensional set is one window, and its last token has no label (BATCHES_NO_LABEL)
 *         unless the window is one shorter. "attention_mask" is ones, "token_type_ids" zeros,
 *         "position_ids" 0, 1, 2 ...
 *
 * Types: floats of any width feed floats; bytes, 16-bit integers and booleans feed floats (they are
 * exact there), wider integers are ids and do not; integers feed integers of any width, each value
 * checked; booleans feed booleans. A NaN is refused wherever it is read, an infinity in targets
 * alone: masks are made of them.
 *
 * Order, for n samples (windows): with splits or `samples`, a permutation of the seed (shuffle.h,
 * stream 0) is laid over the set: its first round(n * train) places are for training, its last
 * round(n * validation) for validation. Then, when shuffling, place p of epoch e (from 0) is taken
 * by the permutation of stream 1 + e over the split. So the same seed gives the same batches
 * everywhere, and where one is, is two numbers.
 *
 * Owns: the arrays of one batch. Borrows: dataset and graph. Threads: one at a time.
 *
 * Expected failures: ERR_MISFIT (an input that nothing feeds; shapes or types that do not meet:
 * name, wanted, given), ERR_BAD_FIELD (options), ERR_BAD_DATASET (a value out of range or a NaN:
 * array, sample, value, range), ERR_OVER_BUDGET, ERR_NO_MEMORY.
 */
#ifndef COMPRESS_EXEC_BATCHES_H
#define COMPRESS_EXEC_BATCHES_H

#include "compress/base/progress.h"
#include "compress/exec/dataset.h"
#include "compress/graph/graph.h"

struct batches;

/* What a position without a label holds; losses and metrics leave it out. */
#define BATCHES_NO_LABEL (-100)

enum batches_split { BATCHES_ALL, BATCHES_TRAIN, BATCHES_VALIDATION };

struct batches_options {
    enum batches_split split;
    double train, validation; /* fractions, together at most 1; unused for ALL */
    uint64_t seed;
    bool shuffle;
    uint64_t batch;        /* samples; 0: the graph's own when it is a number, else 1 */
    bool keep_partial;     /* the last, shorter batch of an epoch is given too */
    uint64_t samples;      /* at most so many of the split; 0: all */
    uint64_t window;       /* TOKENS; 0: the graph's own when it is a number, else a row's length */
    uint64_t classes;      /* labels and tokens are below it; 0: not checked */
    uint64_t memory_bytes; /* ceiling for the arrays of a batch; 0: none */
};

enum batch_role { BATCH_INPUT, BATCH_TARGET, BATCH_LABEL };

struct batch_field {
    enum batch_role role;
    const struct value *value; /* the input or output; NULL for LABEL */
    const char *name;
    struct array array; /* dims[0]: samples of the batch read last, before that of a whole one */
};

int batches_new(const struct dataset *dataset, const struct graph *graph,
                const struct batches_options *options, struct batches **ret, struct err *err);
void batches_free(struct batches *batches);

size_t batches_field_count(const struct batches *batches);
/* Inputs first. Borrowed; content until the next batch. */
const struct batch_field *batches_field(const struct batches *batches, size_t i);
const struct batch_field *batches_label(const struct batches *batches); /* NULL: none */
/* Arrays of the dataset that nothing takes; NULL past the end. */
const char *batches_unused(const struct batches *batches, size_t i);
/* Narrows what field i may hold to [low, high], inclusive; for a set of TOKENS, what any token may
 * be. BATCHES_NO_LABEL stays a label. `why` says where the bounds come from, after a message's
 * colon ("the rows of 'wte'"); it lives as long as the batches. */
void batches_limit(struct batches *batches, size_t i, int64_t low, int64_t high, const char *why);
uint64_t batches_samples(const struct batches *batches);   /* of one epoch */
uint64_t batches_per_epoch(const struct batches *batches); /* the partial one included if kept */
uint64_t batches_size(const struct batches *batches);      /* samples of a whole batch */

/* Reads the next batch; *ret_samples is 0 at the end of an epoch, and the call after that begins
 * the next one. */
int batches_next(struct batches *batches, uint64_t *ret_samples, struct err *err);

/* The sample (window) of the set that stands at place i of the batch read last. */
uint64_t batches_sample(const struct batches *batches, uint64_t i);

/* Reads an epoch as it will be read, and gives nothing: whatever would fail on the way fails here.
 * The content of the fields is that of the last batch afterwards. */
int batches_check(struct batches *batches, const struct progress *progress,
                  const struct progress_state *at, struct err *err);
/* The same for integers alone (labels, ids), of each array only as much as takes no time:
 * BATCHES_GLANCE_BYTES from its start, or nothing of a larger one that is read in another order. */
#define BATCHES_GLANCE_BYTES (16 * MIB)
int batches_glance(struct batches *batches, struct err *err);

/* Where the next batch starts. */
struct batches_state {
    uint64_t seed;
    uint64_t epoch;
    uint64_t position; /* samples of the epoch that were given */
};
struct batches_state batches_state(const struct batches *batches);
/* ERR_BAD_FIELD when that is no place in this set. */
int batches_resume(struct batches *batches, const struct batches_state *state, struct err *err);

#endif
