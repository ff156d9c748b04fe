/*
 * Optimisers: how gradients change weights.
 *
 *   sgd     g += decay w;  m = momentum m + g;  w -= rate (nesterov: g + momentum m, else m)
 *   adamw   w -= rate decay w;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *           w -= rate m' / (sqrt(v') + epsilon),  m' = m / (1 - b1^t),  v' = v / (1 - b2^t)
 *
 * (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization"; PyTorch's SGD and AdamW.)
 *
 * Before that the gradients are multiplied by a scale (1 / number of batches that were added up),
 * their norm over all parameters is taken, and when it is above clip_norm they are shortened to it.
 * A mask keeps weights at zero, from optim_new() on: where it is 0 the weight, its gradient and its
 * moments are.
 *
 * Updates are cut into fixed tiles over the team, sums are added per tile in order: the result does
 * not depend on the number of threads. Nothing is allocated after optim_new().
 *
 * Owns: moments. Borrows: weights, gradients, masks. Threads: one at a time.
 * Expected failures: ERR_NO_MEMORY, ERR_DIVERGED (a gradient that is not finite; nothing was
 * changed), ERR_CANCELLED (parameters are half updated: go back to a checkpoint).
 */
#ifndef COMPRESS_EXEC_OPTIM_H
#define COMPRESS_EXEC_OPTIM_H

#include "compress/base/progress.h"
#include "compress/base/team.h"
#include "compress/tensor/array.h"

struct optim;

enum optim_kind { OPTIM_SGD, OPTIM_ADAMW, OPTIM_KINDS };

struct optim_options {
    enum optim_kind kind;
    double momentum; /* sgd */
    bool nesterov;
    double beta1, beta2, epsilon; /* adamw; 0, 0, 0: 0.9, 0.999, 1e-8 */
    double decay;
    double clip_norm; /* 0: never */
};

/* All arrays f32 and of one size; mask: booleans or NULL. */
struct optim_param {
    struct array *weight;
    const struct array *gradient;
    const struct array *mask;
    bool undecayed; /* no weight decay: biases, norms */
};

int optim_new(const struct optim_param *params, size_t count, const struct optim_options *options,
              struct optim **ret, struct err *err);
void optim_free(struct optim *optim);

/* ret_norm: of the scaled gradients before clipping; may be NULL. */
int optim_step(struct optim *optim, double rate, double scale, struct team *team,
               const struct progress *progress, double *ret_norm, struct err *err);

/* State, for checkpoints: steps done, and per parameter optim_moments() arrays. */
uint64_t optim_steps(const struct optim *optim);
void optim_set_steps(struct optim *optim, uint64_t steps);
unsigned optim_moments(const struct optim *optim);
struct array *optim_moment(const struct optim *optim, size_t param, unsigned moment);

/* "sgd", "adamw"; NULL past the end. */
const char *optim_name(unsigned kind);

#endif
