/* Finding and checking the files of one GGUF model. See gguf_split.h. */
#include "compress/formats/gguf_split.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SUFFIX ".gguf"
#define SUFFIX_LEN (sizeof SUFFIX - 1)
/* "-00001-of-00003" */
#define PART_LEN (1 + 5 + 4 + 5)

bool gguf_split_is_gguf(const char *path) {
    size_t len = strlen(path);
    return len > SUFFIX_LEN && strcasecmp(path + len - SUFFIX_LEN, SUFFIX) == 0;
}

static bool five_digits(const char *text, unsigned *ret) {
    unsigned value = 0;
    for (int i = 0; i < 5; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *ret = value;
    return true;
}

bool gguf_split_name(const char *path, size_t *ret_prefix_len, unsigned *ret_part,
                     unsigned *ret_parts) {
    size_t len = strlen(path);
    if (!gguf_split_is_gguf(path) || len <= PART_LEN + SUFFIX_LEN)
        return false;
    const char *at = path + len - SUFFIX_LEN - PART_LEN;
    unsigned part, parts;
    if (at[0] != '-' || !five_digits(at + 1, &part) || strncmp(at + 6, "-of-", 4) != 0 ||
        !five_digits(at + 10, &parts) || part < 1 || part > parts)
        return false;
    *ret_prefix_len = (size_t)(at - path);
    *ret_part = part;
    *ret_parts = parts;
    return true;
}

static int several(const char *a, const char *b, struct err *err) {
    return err_set(
        err, ERR_UNSUPPORTED,
        "the folder holds several GGUF models, among them \"%s\" and \"%s\"; give one of "
        "them alone",
        a, b);
}

/* Are these two parts of the same split? */
static bool same_split(const char *a, const char *b) {
    size_t a_prefix, b_prefix;
    unsigned part, a_parts, b_parts;
    return gguf_split_name(a, &a_prefix, &part, &a_parts) &&
           gguf_split_name(b, &b_prefix, &part, &b_parts) && a_parts == b_parts &&
           a_prefix == b_prefix && strncmp(a, b, a_prefix) == 0;
}

int gguf_split_find(const struct resolver *files, struct arena *arena, size_t **ret_indices,
                    size_t *ret_count, struct err *err) {
    size_t *found = ARENA_ARRAY(arena, size_t, files->count);
    size_t count = 0, prefix_len;
    unsigned part, parts;
    if (!found)
        return err_set(err, ERR_NO_MEMORY, "the list of files needs too much memory");
    /* The resolver is sorted by path, so the parts of a split come in their order. */
    for (size_t i = 0; i < files->count; i++) {
        const char *path = files->files[i].path;
        if (!files->lone && !gguf_split_is_gguf(path))
            continue;
        if (count > 0 && !same_split(files->files[found[0]].path, path))
            return several(files->files[found[0]].path, path, err);
        found[count++] = i;
    }
    if (count == 0)
        return err_set(err, ERR_NOT_FOUND, "the folder holds no GGUF file");
    const char *first = files->files[found[0]].path;
    if (!files->lone && gguf_split_name(first, &prefix_len, &part, &parts)) {
        for (size_t i = 0; i < parts; i++) {
            if (i < count)
                gguf_split_name(files->files[found[i]].path, &prefix_len, &part, &parts);
            if (i >= count || part != i + 1)
                return err_set(err, ERR_BAD_MODEL, "part %zu of the %u of \"%.*s\" is missing",
                               i + 1, parts, (int)prefix_len, first);
        }
    }
    *ret_indices = found;
    *ret_count = count;
    return 0;
}

static int bad_key(const struct gguf_file *file, const char *path, const char *name,
                   uint64_t expected, struct err *err) {
    const struct gguf_key *key = gguf_file_key(file, name);
    uint64_t value;
    if (!key)
        err_set(err, ERR_BAD_MODEL, "a part of a split model has no key %s", name);
    else if (!gguf_file_uint(file, name, &value))
        err_set(err, ERR_BAD_MODEL, "%s is not a number of files or tensors", name);
    else
        err_set(err, ERR_BAD_MODEL, "%s is %" PRIu64 ", but should be %" PRIu64, name, value,
                expected);
    return err_at_file(err, path, key ? key->offset : 0);
}

int gguf_split_check(const struct gguf_split *split, const char *const *paths, struct err *err) {
    uint64_t value, tensors = 0;
    for (size_t i = 0; i < split->count; i++)
        tensors += split->files[i].info_count;
    if (split->count == 1) {
        const struct gguf_key *key = gguf_file_key(&split->files[0], "split.count");
        if (!key || (gguf_file_uint(&split->files[0], "split.count", &value) && value <= 1))
            return 0;
        err_set(err, ERR_BAD_MODEL,
                "this is one part of a split model; give the folder with all its parts");
        return err_at_file(err, paths[0], key->offset);
    }
    for (size_t i = 0; i < split->count; i++) {
        const struct {
            const char *name;
            uint64_t expected;
        } rows[] = {
            {"split.no", i}, {"split.count", split->count}, {"split.tensors.count", tensors}};
        for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
            if (!gguf_file_uint(&split->files[i], rows[r].name, &value) ||
                value != rows[r].expected)
                return bad_key(&split->files[i], paths[i], rows[r].name, rows[r].expected, err);
    }
    return 0;
}
