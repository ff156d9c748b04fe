/*
 * Runs the forward pass of one model as often as it is told to: our half of bench_forward.py.
 *
 *     bench_forward MODEL.onnx NAME:TYPE:DIMS:FILE ...     (TYPE f32 or i64, DIMS 1,3,224,224)
 *
 * Reads commands from standard input, one a line, and answers each with one line:
 *
 *     run THREADS COUNT    COUNT times in milliseconds
 *     loop THREADS COUNT   the same of an empty multiply-add loop, cut as a step's tiles are
 *     save FILE            writes the first output's bytes; answers its number of elements
 *     profile THREADS COUNT    best milliseconds of its nodes, by operator
 *     nodes THREADS COUNT      the same by node
 *     pin THREADS          keeps each thread on a core of its own, from now on
 *     facts                how BLAS was set up
 *
 * The profile observes every value, which keeps all of them from sharing memory: its sum is a
 * little above a run.
 */
#include "compress/base/dirfiles.h"
#include "compress/exec/session.h"
#include "compress/formats/format.h"
#include "compress/graph/op.h"
#include "compress/tensor/blas.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_INPUTS = 8, MOST_THREADS = 2, MOST_KINDS = 512 };

struct side {
    struct team *team;
    struct exec_plan *plan;
    struct exec_session *session;
};

struct kind {
    const char *name;
    double ms;
    unsigned count;
};

struct bench {
    struct resolver *files;
    struct model *model;
    struct weights *weights;
    struct binding bindings[MOST_INPUTS];
    struct exec_input inputs[MOST_INPUTS];
    size_t input_count;
    struct side sides[MOST_THREADS];
    /* profile */
    struct kind kinds[MOST_KINDS];
    size_t kind_count;
    bool by_node;
    double last, *best; /* best: by value */
};

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void die(const char *what, const struct err *err) {
    fprintf(stderr, "%s: %s\n", what, err ? err->text : "no");
    exit(1);
}

/* NAME:TYPE:DIMS:FILE; the name may hold colons. */
static void read_input(struct bench *b, char *text) {
    char *path = strrchr(text, ':'), *dims, *type;
    uint64_t size[LIMIT_RANK];
    unsigned rank = 0;
    if (!path)
        die(text, NULL);
    *path++ = 0;
    if (!(dims = strrchr(text, ':')))
        die(text, NULL);
    *dims++ = 0;
    if (!(type = strrchr(text, ':')))
        die(text, NULL);
    *type++ = 0;
    for (char *at = dims; *at && rank < LIMIT_RANK; at += *at == ',')
        size[rank++] = strtoull(at, &at, 10);
    struct array *array = array_new(strcmp(type, "i64") == 0 ? DTYPE_I64 : DTYPE_F32, rank, size);
    FILE *f = fopen(path, "rb");
    if (!array || !f || fread(array->data, 1, array_bytes(array), f) != array_bytes(array))
        die(path, NULL);
    fclose(f);
    const struct graph *graph = b->model->graph;
    for (size_t i = 0; i < graph->input_count; i++) {
        if (strcmp(graph->inputs[i]->name, text) != 0 || b->input_count == MOST_INPUTS)
            continue;
        struct binding *binding = &b->bindings[b->input_count];
        binding->input = graph->inputs[i];
        binding->fact.type = type_of_array(array);
        b->inputs[b->input_count++] = (struct exec_input){graph->inputs[i], array};
        return;
    }
    die(text, NULL);
}

static struct side *side_of(struct bench *b, unsigned threads) {
    struct err err = ERR_INIT;
    if (threads < 1 || threads > MOST_THREADS)
        die("threads", NULL);
    struct side *side = &b->sides[threads - 1];
    if (side->session)
        return side;
    struct exec_options options = {.threads = threads};
    side->team = team_new(threads, 0);
    if (exec_plan_new(b->model->graph, b->bindings, b->input_count, &options, &side->plan, &err) <
            0 ||
        exec_session_new(side->plan, b->weights, &(struct exec_session_options){.team = side->team},
                         &side->session, &err) < 0)
        die("planning", &err);
    return side;
}

static void run(struct bench *b, unsigned threads, unsigned count) {
    struct side *side = side_of(b, threads);
    struct err err = ERR_INIT;
    for (unsigned i = 0; i < count; i++) {
        double start = now_ms();
        if (exec_run(side->session, b->inputs, b->input_count, NULL, &err) < 0)
            die("running", &err);
        printf("%s%.4f", i ? " " : "", now_ms() - start);
    }
    printf("\n");
}

/* Eight independent chains of multiply-adds: nothing but the core's own speed. */
static int multiply_add(void *ctx, size_t index, unsigned worker) {
    float x[8]; /* not the fixed point: compilers know that one */
    for (int j = 0; j < 8; j++)
        x[j] = (float)(index + 2) * (float)(j + 2);
    for (int i = 0; i < 20000; i++)
        for (int j = 0; j < 8; j++)
            x[j] = x[j] * 0.999f + 0.001f;
    ((volatile float *)ctx)[index] = x[0] + x[1] + x[2] + x[3] + x[4] + x[5] + x[6] + x[7];
    return 0;
}

static void loop(struct bench *b, unsigned threads, unsigned count) {
    enum { TILES = 400 };
    float sums[TILES];
    for (unsigned i = 0; i < count; i++) {
        double start = now_ms();
        team_run(side_of(b, threads)->team, TILES, multiply_add, sums);
        printf("%s%.4f", i ? " " : "", now_ms() - start);
    }
    printf("\n");
}

/* Both workers are inside at once, so each index is another's. */
struct pinned {
    pthread_barrier_t all;
};

static int pin_one(void *ctx, size_t index, unsigned worker) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(worker, &set);
    pthread_barrier_wait(&((struct pinned *)ctx)->all);
    return sched_setaffinity(0, sizeof set, &set);
}

static void pin(struct bench *b, unsigned threads) {
    struct pinned pinned;
    struct side *side = side_of(b, threads);
    pthread_barrier_init(&pinned.all, NULL, threads);
    if (team_run(side->team, threads, pin_one, &pinned) != 0)
        die("pinning", NULL);
    pthread_barrier_destroy(&pinned.all);
    printf("%u\n", threads);
}

static void save(struct bench *b, const char *path) {
    const struct array *y = exec_output(b->sides[0].session, b->model->graph->outputs[0]);
    FILE *f = fopen(path, "wb");
    if (!y || !f || fwrite(y->data, 1, array_bytes(y), f) != array_bytes(y) || fclose(f) != 0)
        die(path, NULL);
    printf("%" PRIu64 "\n", y->elements);
}

static int seen(void *self, const struct value *value, const struct array *array, struct err *err) {
    struct bench *b = self;
    double *best = &b->best[value->id], took = now_ms() - b->last;
    *best = *best == 0 || took < *best ? took : *best;
    b->last = now_ms();
    return 0;
}

/* Sums of the best times of nodes. */
static void add_up(struct bench *b, const struct value *value) {
    const char *name = b->by_node ? value->name : value->producer->op_type;
    size_t i = 0;
    while (i < b->kind_count && strcmp(b->kinds[i].name, name) != 0)
        i++;
    if (i == MOST_KINDS)
        return;
    if (i == b->kind_count)
        b->kinds[b->kind_count++] = (struct kind){.name = name};
    b->kinds[i].ms += b->best[value->id];
    b->kinds[i].count++;
}

static int by_time(const void *a, const void *b) {
    double x = ((const struct kind *)a)->ms, y = ((const struct kind *)b)->ms;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void profile(struct bench *b, unsigned threads, unsigned count) {
    const struct graph *graph = b->model->graph;
    struct err err = ERR_INIT;
    const struct value **all = calloc(graph->value_count + 1, sizeof *all);
    struct exec_options options = {.threads = threads, .observed = all};
    for (size_t i = 0; i < graph->value_count; i++)
        if (graph->values[i]->producer)
            all[options.observed_count++] = graph->values[i];
    struct exec_plan *plan;
    struct exec_session *session;
    struct exec_session_options watch = {
        .team = side_of(b, threads)->team, .observe = seen, .observe_self = b};
    if (exec_plan_new(graph, b->bindings, b->input_count, &options, &plan, &err) < 0 ||
        exec_session_new(plan, b->weights, &watch, &session, &err) < 0)
        die("planning", &err);
    b->best = calloc(graph->value_count + 1, sizeof *b->best);
    b->kind_count = 0;
    for (unsigned i = 0; i < count; i++) {
        b->last = now_ms();
        if (exec_run(session, b->inputs, b->input_count, NULL, &err) < 0)
            die("running", &err);
    }
    for (size_t i = 0; i < options.observed_count; i++)
        add_up(b, all[i]);
    qsort(b->kinds, b->kind_count, sizeof *b->kinds, by_time);
    for (size_t i = 0; i < b->kind_count; i++)
        printf("%s%s*%u %.3f", i ? ", " : "", b->kinds[i].name, b->kinds[i].count, b->kinds[i].ms);
    printf("\n");
    free(b->best);
    exec_session_free(session);
    exec_plan_free(plan);
    free(all);
}

/* "WORD NUMBER NUMBER"; numbers that are not there are 0. */
static void command(struct bench *b, char *line) {
    line[strcspn(line, "\n")] = 0;
    size_t len = strcspn(line, " ");
    char *rest = line + len + (line[len] == ' ');
    line[len] = 0;
    if (strcmp(line, "save") == 0) {
        save(b, rest);
    } else if (strcmp(line, "facts") == 0) {
        printf("%s\n", blas_facts()->text);
    } else {
        unsigned threads = (unsigned)strtoul(rest, &rest, 10);
        unsigned count = (unsigned)strtoul(rest, NULL, 10);
        b->by_node = strcmp(line, "nodes") == 0;
        if (strcmp(line, "run") == 0)
            run(b, threads, count);
        else if (strcmp(line, "loop") == 0)
            loop(b, threads, count);
        else if (strcmp(line, "pin") == 0)
            pin(b, threads);
        else if (b->by_node || strcmp(line, "profile") == 0)
            profile(b, threads, count ? count : 1);
        else
            die(line, NULL);
    }
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct bench b = {0};
    struct err err = ERR_INIT;
    if (argc < 2)
        die("usage: bench_forward MODEL NAME:TYPE:DIMS:FILE ...", NULL);
    if (dirfiles_open(argv[1], true, &b.files, &err) < 0 ||
        format_open(b.files, &b.model, &err) < 0)
        die(argv[1], &err);
    if (!b.model->graph || !(b.weights = weights_new(b.model, b.model->graph, 0)))
        die(argv[1], NULL);
    for (int i = 2; i < argc; i++)
        read_input(&b, argv[i]);
    char line[1024];
    while (fgets(line, sizeof line, stdin))
        command(&b, line);
    for (int i = 0; i < MOST_THREADS; i++) {
        exec_session_free(b.sides[i].session);
        exec_plan_free(b.sides[i].plan);
        team_free(b.sides[i].team);
    }
    for (size_t i = 0; i < b.input_count; i++)
        array_free((struct array *)(uintptr_t)b.inputs[i].array);
    weights_free(b.weights);
    model_free(b.model);
    resolver_close(b.files);
    return 0;
}
