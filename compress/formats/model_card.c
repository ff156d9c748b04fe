/* Text goes into a growing buffer in the arena; the numbers come from one walk over the tensors. */
#include "compress/formats/model_card.h"

#include "compress/base/arena.h"
#include "compress/formats/config_edit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BEGIN "<!-- compressd:begin -->"
#define END "<!-- compressd:end -->"
#define KINDS_MAX 64 /* distinct encodings printed; the rest is summed up in one line */

struct card {
    struct arena *arena;
    char *text;
    size_t len, capacity;
    bool failed;
};

struct kind {
    char words[96];
    uint64_t tensors, parameters;
};

static void put(struct card *card, const char *text, size_t len);
static void putf(struct card *card, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put_recipe(struct card *card, const char *json);
static void put_kinds(struct card *card, const struct model *model);
static uint64_t bytes_of(const struct tensor *tensor, const struct encoding *e);

int model_card_write(const struct model *model, const struct output_facts *facts, const char *old,
                     size_t old_len, struct arena *arena, const char **ret, size_t *ret_len,
                     struct err *err) {
    struct card card = {.arena = arena};
    const char *begin = old ? (const char *)memmem(old, old_len, BEGIN, strlen(BEGIN)) : NULL;
    const char *rest = NULL;
    size_t rest_len = 0;
    if (!old)
        putf(&card, "# %s\n\n", facts->source_name ? facts->source_name : "Compressed model");
    else if (!begin) {
        put(&card, old, old_len);
        putf(&card, "%s\n", old_len && old[old_len - 1] != '\n' ? "\n" : "");
    } else {
        put(&card, old, (size_t)(begin - old));
        const char *end =
            (const char *)memmem(begin, old_len - (size_t)(begin - old), END, strlen(END));
        if (end) {
            rest = end + strlen(END);
            rest_len = old_len - (size_t)(rest - old);
        }
    }
    uint64_t before = 0, after = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        before += bytes_of(t, &t->stored);
        after += t->removed ? 0 : bytes_of(t, &t->wanted);
    }
    putf(&card,
         BEGIN "\n## Compression\n\nThe weights were compressed by compressd with the recipe "
               "`%s`.\n\n",
         facts->recipe_name ? facts->recipe_name : "custom");
    putf(&card,
         "| weights | bytes |\n|---|---:|\n| before | %" PRIu64 " |\n| after | %" PRIu64 " |\n",
         before, after);
    if (after)
        putf(&card, "\nCompression ratio: %.3f\n", (double)before / (double)after);
    put_kinds(&card, model);
    if (facts->recipe_json)
        put_recipe(&card, facts->recipe_json);
    putf(&card, END);
    if (rest)
        put(&card, rest, rest_len);
    else
        putf(&card, "\n");
    if (card.failed)
        return err_set(err, ERR_NO_MEMORY, "no memory for the model card");
    *ret = card.text;
    *ret_len = card.len;
    return 0;
}

static void put(struct card *card, const char *text, size_t len) {
    if (card->failed || len == 0)
        return;
    char *grown = (char *)arena_grow(card->arena, card->text, &card->capacity, card->len + len, 1);
    if (!grown) {
        card->failed = true;
        return;
    }
    card->text = grown;
    memcpy(card->text + card->len, text, len);
    card->len += len;
}

static void putf(struct card *card, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len > 0)
        put(card, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

/* Indented by four: a code block that no content can leave. */
static void put_recipe(struct card *card, const char *json) {
    const char *pretty = config_edit_indent(json, "  ", 0, card->arena);
    if (!pretty) {
        card->failed = true;
        return;
    }
    putf(card, "\nThe recipe:\n\n");
    while (*pretty) {
        size_t line = strcspn(pretty, "\n");
        putf(card, "    ");
        put(card, pretty, line);
        putf(card, "\n");
        pretty += line + (pretty[line] == '\n');
    }
    putf(card, "\n");
}

static void put_kinds(struct card *card, const struct model *model) {
    struct kind kinds[KINDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = &model->tensors[i];
        if (t->removed)
            continue;
        char words[96];
        encoding_describe(&t->wanted, words, sizeof words);
        size_t k = 0;
        while (k < count && strcmp(kinds[k].words, words) != 0)
            k++;
        if (k == count && count < KINDS_MAX)
            count++, snprintf(kinds[k].words, sizeof kinds[k].words, "%s", words),
                kinds[k].tensors = kinds[k].parameters = 0;
        else if (k == KINDS_MAX) {
            k = KINDS_MAX - 1;
            snprintf(kinds[k].words, sizeof kinds[k].words, "others");
        }
        kinds[k].tensors++;
        kinds[k].parameters += t->elements;
    }
    putf(card, "\n| stored as | tensors | parameters |\n|---|---:|---:|\n");
    for (size_t k = 0; k < count; k++)
        putf(card, "| %s | %" PRIu64 " | %" PRIu64 " |\n", kinds[k].words, kinds[k].tensors,
             kinds[k].parameters);
}

static uint64_t bytes_of(const struct tensor *tensor, const struct encoding *e) {
    uint64_t rows, cols;
    tensor_matrix(tensor, e, &rows, &cols);
    struct encoded_size size = encoding_size(e, rows, cols);
    return size.data_bytes + size.scale_bytes + size.zero_point_bytes;
}
