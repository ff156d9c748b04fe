/*
 * Every codec that can encode, over data of several kinds: each value comes back within the bound
 * of its own group, Gaussian weights with at least the signal-to-noise ratio that the format is
 * known for, the scale search never below min-max; and the same bytes whatever the instruction set
 * and however the rows are cut into chunks.
 *
 *     check_codec          prints the table of SQNR in dB, then what failed
 */
#include "compress/codecs/codec.h"
#include "compress/kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 24, COLS = 1536 };

enum kind { GAUSS, OUTLIERS, UNIFORM, SHIFTED, ZERO_ROWS, SMALL, KINDS };
static const char *const kind_names[KINDS] = {"gauss",   "outliers",  "uniform",
                                              "shifted", "zero rows", "small"};

/* What is tried, and the least SQNR in dB on Gaussian data: measured, less 0.3 dB. */
static const struct row {
    const char *codec;
    enum granularity granularity;
    uint32_t group_len;
    bool symmetric;
    enum packing packing;
    enum dtype scale_dtype;
    double least_db;
} table[] = {
    {"f32", 0, 0, 0, 0, 0, INFINITY},
    {"f16", 0, 0, 0, 0, 0, 73},
    {"bf16", 0, 0, 0, 0, 0, 55},
    {"fp8_e4m3", GRANULARITY_TENSOR, 0, true, 0, DTYPE_F32, 31.2},
    {"fp8_e4m3", GRANULARITY_CHANNEL, 0, true, 0, DTYPE_BF16, 31.2},
    {"int8", GRANULARITY_TENSOR, 0, true, PACKING_BYTES, DTYPE_F32, 40},
    {"int8", GRANULARITY_CHANNEL, 0, true, PACKING_BYTES, DTYPE_BF16, 41},
    {"int8", GRANULARITY_CHANNEL, 0, false, PACKING_WORDS, DTYPE_BF16, 41},
    {"int8", GRANULARITY_GROUP, 128, true, PACKING_WORDS, DTYPE_F16, 43},
    {"int8", GRANULARITY_GROUP, 3, false, PACKING_BYTES, DTYPE_F32, 50},
    {"int4", GRANULARITY_TENSOR, 0, false, PACKING_WORDS, DTYPE_F32, 15},
    {"int4", GRANULARITY_CHANNEL, 0, true, PACKING_WORDS, DTYPE_BF16, 16},
    {"int4", GRANULARITY_GROUP, 128, true, PACKING_WORDS, DTYPE_BF16, 18.8},
    {"int4", GRANULARITY_GROUP, 128, false, PACKING_WORDS, DTYPE_BF16, 19.6},
    {"int4", GRANULARITY_GROUP, 32, true, PACKING_WORDS, DTYPE_F16, 20.5},
    {"int4", GRANULARITY_GROUP, 48, false, PACKING_BYTES, DTYPE_F32, 21},
    {"q8_0", 0, 0, 0, 0, 0, 44},
    {"q5_1", 0, 0, 0, 0, 0, 28},
    {"q5_0", 0, 0, 0, 0, 0, 26.5},
    {"q4_1", 0, 0, 0, 0, 0, 21.5},
    {"q4_0", 0, 0, 0, 0, 0, 20},
};
enum { TABLE = sizeof table / sizeof table[0] };

static unsigned failures;
static float x[ROWS * COLS];

/* SplitMix64. */
static uint64_t state;
static double uniform(void) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static double gauss(void) {
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += uniform();
    return sum;
}

static void fill(enum kind kind) {
    state = (uint64_t)kind;
    for (int i = 0; i < ROWS * COLS; i++) {
        double v = gauss() * 0.02;
        if (kind == OUTLIERS && uniform() < 0.01)
            v *= 60;
        else if (kind == UNIFORM)
            v = uniform() - 0.5;
        else if (kind == SHIFTED)
            v += 0.07;
        else if (kind == ZERO_ROWS && i / COLS % 3 == 0)
            v = 0;
        else if (kind == SMALL)
            v *= 1e-5; /* scales of f16 become subnormal */
        x[i] = (float)v;
    }
}

static struct encoding encoding_of(const struct row *row) {
    const struct codec *codec = codec_by_name(row->codec);
    if (codec->family == CODEC_PLAIN)
        return encoding_plain(dtype_by_name(row->codec));
    return (struct encoding){.codec = codec,
                             .granularity = row->granularity,
                             .group_len = row->group_len,
                             .symmetric = row->symmetric,
                             .packing = row->packing,
                             .scale_dtype = row->scale_dtype};
}

/* The parts of one encoded matrix. */
struct parts {
    struct encoded_size size;
    uint8_t *data, *scale, *zero;
};

static struct parts encode(const struct encoding *e, enum scale_search search, uint64_t chunk) {
    struct parts p = {.size = encoding_size(e, ROWS, COLS)};
    p.data = calloc(1, p.size.data_bytes);
    p.scale = calloc(1, p.size.scale_bytes + 1);
    p.zero = calloc(1, p.size.zero_point_bytes + 1);
    struct value_range range = codec_value_range(x, ROWS * COLS);
    struct encode_options options = {search};
    struct encode_stats stats = {0};
    for (uint64_t r = 0; r < ROWS; r += chunk) {
        uint64_t rows = ROWS - r < chunk ? ROWS - r : chunk;
        codec_encode(e, &options, r, rows, COLS, x + r * COLS, &range,
                     p.data + r * p.size.row_bytes, p.scale, p.zero, &stats);
    }
    if (stats.overflow || stats.non_finite) {
        printf("FAIL %s: overflow or non-finite values where there are none\n", e->codec->name);
        failures++;
    }
    return p;
}

static void parts_free(struct parts *p) {
    free(p->zero);
    free(p->scale);
    free(p->data);
}

/* Columns that share a scale, and whether all rows do. */
static uint64_t span_of(const struct encoding *e) {
    if (e->codec->family == CODEC_BLOCK)
        return e->codec->block_len;
    if (e->codec->family == CODEC_PLAIN)
        return 1;
    return e->granularity == GRANULARITY_GROUP ? e->group_len : COLS;
}

static void check_bounds(const struct encoding *e, enum scale_search search, const float *y,
                         const char *kind) {
    struct encode_options options = {search};
    uint64_t span = span_of(e);
    struct value_range all = codec_value_range(x, ROWS * COLS);
    for (uint64_t at = 0; at < (uint64_t)ROWS * COLS; at += span) {
        struct value_range range = codec_range_count(e, 1) ? all : codec_value_range(x + at, span);
        double amax = fmax(-(double)range.min, range.max);
        double bound = encoding_error_bound(e, &options, amax);
        for (uint64_t i = at; i < at + span; i++)
            if (!(fabs((double)x[i] - y[i]) <= bound)) {
                char text[64];
                printf("FAIL %s on %s: value %llu is %g, came back as %g, bound %g\n",
                       encoding_describe(e, text, sizeof text), kind, (unsigned long long)i, x[i],
                       y[i], bound);
                failures++;
                return;
            }
    }
}

/* SQNR in dB of one encoding on the data at hand. */
static double try_one(const struct encoding *e, enum scale_search search, const char *kind) {
    struct parts p = encode(e, search, ROWS);
    float *y = malloc(sizeof x);
    codec_decode(e, 0, ROWS, COLS, p.data, p.scale, p.zero, y);
    check_bounds(e, search, y, kind);
    struct error_stats s;
    kernels_get()->error_stats_f32(x, y, ROWS * COLS, &s);
    free(y);
    parts_free(&p);
    return s.sum_e2 > 0 ? 10 * log10(s.sum_x2 / s.sum_e2) : INFINITY;
}

static void check_row(const struct row *row) {
    struct encoding e = encoding_of(row);
    char text[64];
    double db[KINDS][2];
    int searches = e.codec->family == CODEC_AFFINE ? 2 : 1;
    for (int search = 0; search < searches; search++) {
        printf("%-28s%-8s", encoding_describe(&e, text, sizeof text), search ? "mse" : "");
        for (int kind = 0; kind < KINDS; kind++) {
            fill(kind);
            db[kind][search] = try_one(&e, search, kind_names[kind]);
            printf("%11.2f", db[kind][search]);
            if (search && db[kind][1] < db[kind][0] - 1e-9) {
                printf("\nFAIL %s: the search made %s worse\n", text, kind_names[kind]);
                failures++;
            }
        }
        printf("\n");
    }
    if (!(db[GAUSS][0] >= row->least_db)) {
        printf("FAIL %s: %.2f dB on Gaussian data, at least %.2f wanted\n", text, db[GAUSS][0],
               row->least_db);
        failures++;
    }
}

static void check_every_encoder_is_tried(void) {
    for (size_t i = 0; codec_at(i); i++) {
        int seen = !codec_at(i)->can_encode;
        for (int j = 0; j < TABLE; j++)
            seen |= strcmp(table[j].codec, codec_at(i)->name) == 0;
        if (!seen) {
            printf("FAIL %s is not tried\n", codec_at(i)->name);
            failures++;
        }
    }
}

static uint64_t mix(uint64_t hash, const void *bytes, uint64_t len) {
    const uint8_t *at = bytes;
    for (uint64_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * 0x100000001b3;
    return hash;
}

/* FNV-1a over everything that all encodings make of all data, cut into chunks of `chunk` rows, and
 * over what comes back. */
static uint64_t digest(uint64_t chunk) {
    uint64_t hash = 0xcbf29ce484222325;
    float *y = malloc(sizeof x);
    for (int j = 0; j < TABLE; j++)
        for (int kind = 0; kind < KINDS; kind++) {
            struct encoding e = encoding_of(&table[j]);
            fill(kind);
            struct parts p = encode(&e, kind % 2 ? SEARCH_MSE : SEARCH_MINMAX, chunk);
            codec_decode(&e, 0, ROWS, COLS, p.data, p.scale, p.zero, y);
            hash = mix(hash, p.data, p.size.data_bytes);
            hash = mix(hash, p.scale, p.size.scale_bytes);
            hash = mix(hash, p.zero, p.size.zero_point_bytes);
            hash = mix(hash, y, sizeof x);
            parts_free(&p);
        }
    free(y);
    return hash;
}

/* In a process of its own, since a process chooses its kernels once. 0 when that failed. */
static uint64_t digest_under(const char *isa, uint64_t chunk) {
    int ends[2];
    uint64_t result = 0;
    if (pipe(ends) != 0)
        return 0;
    pid_t child = fork();
    if (child == 0) {
        setenv("COMPRESSD_CPU", isa, 1);
        result = strcmp(kernels_isa(), isa) == 0 ? digest(chunk) : 0;
        _exit(write(ends[1], &result, sizeof result) != sizeof result);
    }
    close(ends[1]);
    if (read(ends[0], &result, sizeof result) != sizeof result)
        result = 0;
    close(ends[0]);
    waitpid(child, NULL, 0);
    return result;
}

static void check_same_bytes(void) {
    static const uint64_t chunks[] = {ROWS, 8, 16};
    uint64_t want = digest_under("reference", ROWS);
    printf("reference: %016llx\n", (unsigned long long)want);
    for (size_t i = 0; kernels_isa_at(i); i++) {
        struct kernels k;
        if (kernels_fill(kernels_isa_at(i), &k) != 0)
            continue;
        uint64_t got = digest_under(kernels_isa_at(i), chunks[i % 3]);
        if (got != want || want == 0) {
            printf("FAIL %s in chunks of %llu rows: %016llx\n", kernels_isa_at(i),
                   (unsigned long long)chunks[i % 3], (unsigned long long)got);
            failures++;
        }
    }
}

int main(void) {
    check_same_bytes(); /* first: this process must not have chosen yet */
    printf("%-36s", "SQNR in dB");
    for (int kind = 0; kind < KINDS; kind++)
        printf("%11s", kind_names[kind]);
    printf("\n");
    for (int j = 0; j < TABLE; j++)
        check_row(&table[j]);
    check_every_encoder_is_tried();
    printf("%u failed\n", failures);
    return failures != 0;
}
