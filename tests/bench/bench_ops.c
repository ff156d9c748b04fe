/*
 * How fast single operators are: forward and backward of a table of cases, by one thread and by
 * two, beside what a plain square product reaches in the same run.
 *
 *     bench_ops [PART]     only the cases whose line holds PART
 *
 * Times are the best of several rounds. Products say Gflop/s (two a multiply-accumulate), the rest
 * GB/s of what is read and written once. Leave OPENBLAS_CORETYPE unset.
 */
#include "compress/base/arena.h"
#include "compress/tensor/blas.h"
#include "compress/tensor/gemm.h"
#include "tests/support/opcase.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const cases[] = {
    "MatMul a:f32[128,768] b:f32[768,768]",
    "MatMul a:f32[128,768] b:f32[768,3072]",
    "MatMul a:f32[1,768] b:f32[768,3072]",
    "MatMul a:f32[12,128,64] b:f32[12,64,128]",
    "MatMul a:f32[8,128,384] b:f32[384,384]",
    "Conv(pads=[3,3,3,3], strides=[2,2]) x:f32[1,3,224,224] w:f32[64,3,7,7] b:f32[64]",
    "Conv(pads=[1,1,1,1]) x:f32[1,64,56,56] w:f32[64,64,3,3] b:f32[64]",
    "Conv(pads=[1,1,1,1]) x:f32[1,128,28,28] w:f32[128,128,3,3] b:f32[128]",
    "Conv(pads=[1,1,1,1]) x:f32[1,256,14,14] w:f32[256,256,3,3] b:f32[256]",
    "Conv(pads=[1,1,1,1]) x:f32[1,512,7,7] w:f32[512,512,3,3] b:f32[512]",
    "Conv(strides=[2,2]) x:f32[1,64,56,56] w:f32[128,64,1,1] b:f32[128]",
    "Conv x:f32[1,96,56,56] w:f32[24,96,1,1] b:f32[24]",
    "Conv(group=96, pads=[1,1,1,1]) x:f32[1,96,56,56] w:f32[96,1,3,3] b:f32[96]",
    "Conv(group=96, pads=[1,1,1,1], strides=[2,2]) x:f32[1,96,112,112] w:f32[96,1,3,3] b:f32[96]",
    "Conv(group=32, pads=[1,1,1,1]) x:f32[1,256,28,28] w:f32[256,8,3,3]",
    "Conv(pads=[1,1,1,1]) x:f32[16,64,16,16] w:f32[64,64,3,3] b:f32[64]",
    "Conv(pads=[1,1,1,1]) x:f32[16,256,4,4] w:f32[256,256,3,3] b:f32[256]",
    "Conv(pads=[1,1]) x:f32[1,256,1000] w:f32[256,256,3] b:f32[256]",
    "ConvTranspose(strides=[2,2]) x:f32[1,128,28,28] w:f32[128,64,2,2] b:f32[64]",
    "BatchNormalization x:f32[1,64,56,56] g:f32[64] b:f32[64] m:f32[64] v:f32[64]~(0.5,2)",
    "LayerNormalization x:f32[512,768] g:f32[768] b:f32[768]",
    "GroupNormalization(num_groups=32) x:f32[1,128,64,64] g:f32[128] b:f32[128]",
    "Softmax x:f32[12,128,128]",
    "Softmax(axis=1) x:f32[4,64,4096]",
    "MaxPool(kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]) x:f32[1,64,112,112]",
    "AveragePool(kernel_shape=[2,2], strides=[2,2]) x:f32[1,64,112,112]",
    "GlobalAveragePool x:f32[1,512,7,7]",
};

enum { ROUNDS = 12, THREADS = 2 };

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *room(uint64_t bytes) {
    void *p = aligned_alloc(64, (size_t)(bytes + 64) / 64 * 64);
    if (!p)
        exit(1);
    memset(p, 0, (size_t)bytes);
    return p;
}

struct bench {
    struct opcase c;
    struct op_backward back;
    struct array *grads[16];
};

static void set_up(struct bench *b, const char *text) {
    struct err err = ERR_INIT;
    if (opcase_new(text, 1, &b->c, &err) < 0 || opcase_infer(&b->c, &err) < 0) {
        fprintf(stderr, "%s: %s\n", text, err.text);
        exit(1);
    }
    struct opcase *c = &b->c;
    size_t used = 0;
    struct array **dout = calloc(c->out_count, sizeof *dout),
                 **din = calloc(c->in_count, sizeof *din);
    for (size_t i = 0; i < c->in_count; i++)
        din[i] = b->grads[used++] = array_new(DTYPE_F32, c->in[i]->rank, c->in[i]->dims);
    dout[0] = b->grads[used++] = array_new(DTYPE_F32, c->out[0]->rank, c->out[0]->dims);
    for (uint64_t i = 0; i < dout[0]->elements; i++)
        array_real(dout[0])[i] = (real)(i % 7) - 3;
    b->back.run =
        (struct op_run){.node = c->node, .in = (const struct array *const *)c->in, .out = c->out};
    b->back.dout = (const struct array *const *)dout;
    b->back.din = din;
    const struct op *op = c->node->op;
    uint64_t bytes = op->scratch ? op->scratch(&b->back.run, false, THREADS) : 0;
    uint64_t more = op->scratch && op->backward ? op->scratch(&b->back.run, true, THREADS) : 0;
    b->back.run.scratch = room(bytes > more ? bytes : more);
}

static void tear_down(struct bench *b) {
    for (size_t i = 0; i < b->c.in_count + 1; i++)
        array_free(b->grads[i]);
    free((void *)(uintptr_t)b->back.dout);
    free((void *)(uintptr_t)b->back.din);
    free(b->back.run.scratch);
    opcase_free(&b->c);
}

/* Best time of one call. */
static double time_of(struct bench *b, bool backward, struct team *team) {
    const struct op *op = b->c.node->op;
    struct err err = ERR_INIT;
    double best = 1e9;
    b->back.run.team = team;
    int calls = 1;
    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds();
        for (int i = 0; i < calls; i++)
            if ((backward ? op->backward(&b->back, &err) : op->forward(&b->back.run, &err)) < 0) {
                fprintf(stderr, "%s\n", err.text);
                exit(1);
            }
        double one = (seconds() - start) / calls;
        best = one < best ? one : best;
        calls = one < 2e-3 ? (int)(2e-3 / (one > 1e-6 ? one : 1e-6)) + 1 : 1;
    }
    return best;
}

static double bytes_of(const struct bench *b) {
    double bytes = 0;
    for (size_t i = 0; i < b->c.in_count; i++)
        bytes += (double)array_bytes(b->c.in[i]);
    return bytes + (double)array_bytes(b->c.out[0]);
}

static void line(const char *text, struct team *const teams[2]) {
    struct bench b = {0};
    set_up(&b, text);
    const struct op *op = b.c.node->op;
    double work = op->macs ? 2 * (double)op->macs(&b.back.run) : bytes_of(&b);
    double one = time_of(&b, false, teams[0]), two = time_of(&b, false, teams[1]);
    printf("%8.3f %8.3f %6.2f %7.1f ", one * 1e3, two * 1e3, one / two, work / one * 1e-9);
    if (op->backward) {
        one = time_of(&b, true, teams[0]);
        two = time_of(&b, true, teams[1]);
        printf("| %8.3f %8.3f %6.2f ", one * 1e3, two * 1e3, one / two);
    }
    printf(" %s\n", text);
    tear_down(&b);
}

int main(int argc, char **argv) {
    struct team *const teams[2] = {team_new(1, 0), team_new(THREADS, 0)};
    printf("%s\n", blas_facts()->text);
    printf("      forward, ms              G/s |   backward, ms\n"
           "       1        2   gain        1  |       1        2   gain\n");
    if (argc < 2)
        line("MatMul a:f32[1024,1024] b:f32[1024,1024]", teams);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (argc < 2 || strstr(cases[i], argv[1]))
            line(cases[i], teams);
    team_free(teams[0]);
    team_free(teams[1]);
    return 0;
}
