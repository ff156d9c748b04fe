/*
 * Reading one GGUF file. A window of 64 KB moves over the header; every field is taken from it by
 * take() or passed over by skip(), and both refuse to go past the file's end or the ceiling. Then
 * the tensor infos are laid against the data: each must start where the one before it ended,
 * rounded up to the alignment. That one comparison finds misalignment, overlaps and gaps, and it
 * is what ggml itself demands.
 */
#include "compress/formats/gguf_file.h"

#include "compress/base/bytes.h"
#include "compress/base/limits.h"
#include "compress/base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES (64 * 1024)
/* Smallest possible records: what bounds a count by the bytes that are left. */
#define KEY_BYTES_MIN (8 + 1 + 4 + 1)
#define INFO_BYTES_MIN (8 + 1 + 4 + 8 + 4 + 8)

struct window {
    struct source *source;
    uint64_t at; /* next byte, in the file */
    uint64_t buf_at;
    size_t buf_len;
    uint8_t *buf;
};

/* Width of a number; 0 for text and arrays. */
static const uint8_t value_bytes[GGUF_VALUES] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

static int read_start(struct window *w, struct gguf_file *file, uint64_t *ret_infos,
                      uint64_t *ret_keys, struct err *err);
static int read_key(struct window *w, struct arena *arena, struct gguf_file *file, struct err *err);
static int read_info(struct window *w, struct arena *arena, struct gguf_file *file,
                     uint64_t *data_end, struct strmap *names, struct err *err);
static int read_alignment(const struct window *w, struct gguf_file *file, struct err *err);
static int place_data(const struct window *w, struct gguf_file *file, uint64_t data_end,
                      struct err *err);

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "the GGUF header needs more memory than is allowed");
}

int gguf_file_read(struct source *source, struct arena *arena, struct gguf_file *ret,
                   struct err *err) {
    struct gguf_file file = {0};
    struct strmap names;
    uint64_t infos = 0, keys = 0, data_end = 0;
    int status = -1;
    struct window w = {.source = source, .buf = malloc(WINDOW_BYTES)};
    if (!w.buf) {
        no_memory(err);
        goto out;
    }
    if (read_start(&w, &file, &infos, &keys, err) < 0)
        goto out;
    strmap_init(&file.key_index, arena);
    strmap_init(&names, arena);
    file.keys = ARENA_ARRAY(arena, struct gguf_key, keys);
    file.infos = ARENA_ARRAY(arena, struct gguf_info, infos);
    if (!file.keys || !file.infos) {
        no_memory(err);
        goto out;
    }
    for (uint64_t i = 0; i < keys; i++)
        if (read_key(&w, arena, &file, err) < 0)
            goto out;
    if (read_alignment(&w, &file, err) < 0)
        goto out;
    for (uint64_t i = 0; i < infos; i++)
        if (read_info(&w, arena, &file, &data_end, &names, err) < 0)
            goto out;
    if (place_data(&w, &file, data_end, err) < 0)
        goto out;
    *ret = file;
    status = 0;
out:
    free(w.buf);
    return status;
}

const struct gguf_key *gguf_file_key(const struct gguf_file *file, const char *name) {
    uint32_t i = strmap_get(&file->key_index, name);
    return i == STRMAP_NONE ? NULL : &file->keys[i];
}

bool gguf_file_uint(const struct gguf_file *file, const char *name, uint64_t *ret) {
    const struct gguf_key *key = gguf_file_key(file, name);
    if (!key)
        return false;
    switch (key->type) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64:
        break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64:
        if (key->bits >> (8 * value_bytes[key->type] - 1))
            return false;
        break;
    case GGUF_F32:
    case GGUF_BOOL:
    case GGUF_TEXT:
    case GGUF_ARRAY:
    case GGUF_F64:
    case GGUF_VALUES:
    default:
        return false;
    }
    *ret = key->bits;
    return true;
}

const char *gguf_file_text(const struct gguf_file *file, const char *name) {
    const struct gguf_key *key = gguf_file_key(file, name);
    return key ? key->text : NULL;
}

int gguf_file_type_of(const struct encoding *e) {
    if (e->codec->family == CODEC_PLAIN)
        return dtype_row(e->dtype)->gguf;
    return e->codec->family == CODEC_BLOCK ? e->codec->gguf_type : -1;
}

bool gguf_file_encoding_of(uint32_t type, struct encoding *ret) {
    enum dtype dtype = dtype_by_gguf(type);
    if (dtype != DTYPE_NONE) {
        *ret = encoding_plain(dtype);
        return true;
    }
    const struct codec *codec = codec_by_gguf_type(type);
    if (!codec || codec->family != CODEC_BLOCK)
        return false;
    *ret = (struct encoding){.codec = codec};
    return true;
}

static int bad_at(const struct window *w, uint64_t offset, struct err *err) {
    return err_at_file(err, w->source->path, offset);
}

/* Can the next len bytes be part of the header? */
static int check_left(const struct window *w, uint64_t len, struct err *err) {
    if (len > w->source->bytes - w->at) {
        err_set(err, ERR_BAD_MODEL,
                "the file ends inside its header: %" PRIu64 " bytes wanted, %" PRIu64 " left", len,
                w->source->bytes - w->at);
        return bad_at(w, w->at, err);
    }
    if (len > LIMIT_GGUF_HEADER_BYTES || w->at > LIMIT_GGUF_HEADER_BYTES - len) {
        err_set(err, ERR_TOO_LARGE, "the GGUF header is larger than %" PRIu64 " bytes",
                (uint64_t)LIMIT_GGUF_HEADER_BYTES);
        return bad_at(w, w->at, err);
    }
    return 0;
}

static int skip(struct window *w, uint64_t len, struct err *err) {
    if (check_left(w, len, err) < 0)
        return -1;
    w->at += len;
    return 0;
}

/* Copies the next len bytes out of the window, moving it when they are not all inside. */
static int take(struct window *w, void *ret, size_t len, struct err *err) {
    if (check_left(w, len, err) < 0)
        return -1;
    uint64_t in = w->at - w->buf_at; /* wraps when the window is behind: then larger than buf_len */
    if (in > w->buf_len || w->buf_len - in < len) {
        if (len > WINDOW_BYTES) { /* a long key: not worth a window */
            if (source_read(w->source, w->at, ret, len, err) < 0)
                return -1;
            w->at += len;
            return 0;
        }
        uint64_t left = w->source->bytes - w->at;
        w->buf_at = w->at;
        w->buf_len = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        if (source_read(w->source, w->buf_at, w->buf, w->buf_len, err) < 0)
            return -1;
        in = 0;
    }
    memcpy(ret, w->buf + in, len);
    w->at += len;
    return 0;
}

static int take_u32(struct window *w, uint32_t *ret, struct err *err) {
    uint8_t raw[4];
    if (take(w, raw, sizeof raw, err) < 0)
        return -1;
    *ret = load_u32(raw);
    return 0;
}

static int take_u64(struct window *w, uint64_t *ret, struct err *err) {
    uint8_t raw[8];
    if (take(w, raw, sizeof raw, err) < 0)
        return -1;
    *ret = load_u64(raw);
    return 0;
}

/* A name of a key or tensor: 1..limit bytes of UTF-8 without control bytes. */
static int take_name(struct window *w, const char *what, uint64_t limit, struct arena *arena,
                     const char **ret, struct err *err) {
    uint64_t len, at = w->at;
    if (take_u64(w, &len, err) < 0)
        return -1;
    if (len == 0 || len > limit) {
        err_set(err, ERR_BAD_MODEL,
                "the name of a %s is %" PRIu64 " bytes long; 1 to %" PRIu64 " are allowed", what,
                len, limit);
        return bad_at(w, at, err);
    }
    if (check_left(w, len, err) < 0)
        return -1;
    char *name = arena_alloc(arena, (size_t)len + 1);
    if (!name)
        return no_memory(err);
    if (take(w, name, (size_t)len, err) < 0)
        return -1;
    bool good = utf8_valid(name, (size_t)len);
    for (uint64_t i = 0; i < len; i++)
        good = good && (unsigned char)name[i] >= 0x20 && name[i] != 0x7f;
    if (!good) {
        err_set(err, ERR_BAD_MODEL, "the name of a %s holds a NUL, a control byte or invalid UTF-8",
                what);
        return bad_at(w, at + 8, err);
    }
    *ret = name;
    return 0;
}

static int bad_version(const struct window *w, uint32_t version, struct err *err) {
    if ((version & 0xffff) == 0)
        err_set(err, ERR_UNSUPPORTED,
                "a big-endian GGUF file; convert it with gguf-convert-endian first");
    else if (version == 1)
        err_set(err, ERR_UNSUPPORTED,
                "GGUF version 1, which nothing writes since 2023; convert the model again");
    else
        err_set(err, ERR_UNSUPPORTED, "GGUF version %" PRIu32 "; 2 and 3 are supported", version);
    return bad_at(w, 4, err);
}

static int bad_magic(const struct window *w, const uint8_t magic[4], struct err *err) {
    static const char *const older[] = {"lmgg", "fmgg", "tjgg", "algg"};
    for (size_t i = 0; i < sizeof older / sizeof older[0]; i++)
        if (memcmp(magic, older[i], 4) == 0) {
            err_set(err, ERR_UNSUPPORTED,
                    "a ggml file older than GGUF; convert it with llama.cpp first");
            return bad_at(w, 0, err);
        }
    err_set(err, ERR_BAD_MODEL, "the file does not start with \"GGUF\"");
    return bad_at(w, 0, err);
}

static int check_count(const struct window *w, const char *what, uint64_t count, uint64_t bytes_min,
                       uint64_t limit, uint64_t offset, struct err *err) {
    uint64_t left = w->source->bytes - w->at;
    if (count > left / bytes_min)
        err_set(err, ERR_BAD_MODEL,
                "the header claims %" PRIu64 " %s, but only %" PRIu64 " bytes follow", count, what,
                left);
    else if (count > limit)
        err_set(err, ERR_TOO_LARGE,
                "the file holds %" PRIu64 " %s; at most %" PRIu64 " are allowed", count, what,
                limit);
    else
        return 0;
    return bad_at(w, offset, err);
}

static int read_start(struct window *w, struct gguf_file *file, uint64_t *ret_infos,
                      uint64_t *ret_keys, struct err *err) {
    uint8_t magic[4];
    if (take(w, magic, sizeof magic, err) < 0)
        return -1;
    if (memcmp(magic, GGUF_MAGIC, sizeof magic) != 0)
        return bad_magic(w, magic, err);
    if (take_u32(w, &file->version, err) < 0)
        return -1;
    if (file->version != 2 && file->version != 3)
        return bad_version(w, file->version, err);
    if (take_u64(w, ret_infos, err) < 0 || take_u64(w, ret_keys, err) < 0)
        return -1;
    if (check_count(w, "tensors", *ret_infos, INFO_BYTES_MIN, LIMIT_TENSORS, 8, err) < 0)
        return -1;
    return check_count(w, "keys", *ret_keys, KEY_BYTES_MIN, LIMIT_GGUF_KEYS, 16, err);
}

static int take_type(struct window *w, enum gguf_value *ret, struct err *err) {
    uint32_t type;
    uint64_t at = w->at;
    if (take_u32(w, &type, err) < 0)
        return -1;
    if (type >= GGUF_VALUES) {
        err_set(err, ERR_BAD_MODEL, "unknown value type %" PRIu32, type);
        return bad_at(w, at, err);
    }
    *ret = (enum gguf_value)type;
    return 0;
}

static int read_text(struct window *w, struct arena *arena, struct gguf_key *key, struct err *err) {
    if (take_u64(w, &key->count, err) < 0)
        return -1;
    if (key->count > GGUF_SHORT_TEXT)
        return skip(w, key->count, err);
    if (check_left(w, key->count, err) < 0)
        return -1;
    char *text = arena_alloc(arena, (size_t)key->count + 1);
    if (!text)
        return no_memory(err);
    key->text = text;
    return take(w, text, (size_t)key->count, err);
}

static int read_array(struct window *w, struct gguf_key *key, struct err *err) {
    uint64_t at = w->at;
    if (take_type(w, &key->element_type, err) < 0)
        return -1;
    if (key->element_type == GGUF_ARRAY) {
        err_set(err, ERR_UNSUPPORTED, "an array of arrays, which no runtime reads");
        return bad_at(w, at, err);
    }
    at = w->at;
    if (take_u64(w, &key->count, err) < 0)
        return -1;
    uint64_t width = value_bytes[key->element_type];
    if (check_count(w, "array elements", key->count, width ? width : 8, LIMIT_GGUF_ARRAY_LEN, at,
                    err) < 0)
        return -1;
    if (width)
        return skip(w, key->count * width, err);
    for (uint64_t i = 0; i < key->count; i++) {
        uint64_t len;
        if (take_u64(w, &len, err) < 0 || skip(w, len, err) < 0)
            return err_context(err, "element %" PRIu64, i);
    }
    return 0;
}

static int read_value(struct window *w, struct arena *arena, struct gguf_key *key,
                      struct err *err) {
    if (take_type(w, &key->type, err) < 0)
        return -1;
    if (key->type == GGUF_TEXT)
        return read_text(w, arena, key, err);
    if (key->type == GGUF_ARRAY)
        return read_array(w, key, err);
    uint8_t raw[8] = {0};
    if (take(w, raw, value_bytes[key->type], err) < 0)
        return -1;
    key->bits = load_u64(raw);
    return 0;
}

static int read_key(struct window *w, struct arena *arena, struct gguf_file *file,
                    struct err *err) {
    struct gguf_key *key = &file->keys[file->key_count];
    key->offset = w->at;
    if (take_name(w, "key", LIMIT_GGUF_KEY_BYTES, arena, &key->name, err) < 0)
        return err_context(err, "key %zu", file->key_count);
    int fresh = strmap_put(&file->key_index, key->name, (uint32_t)file->key_count);
    if (fresh < 0)
        return no_memory(err);
    if (fresh == 0) {
        err_set(err, ERR_BAD_MODEL, "the key \"%s\" appears twice", key->name);
        return bad_at(w, key->offset, err);
    }
    if (read_value(w, arena, key, err) < 0)
        return err_context(err, "key \"%s\"", key->name);
    key->bytes = w->at - key->offset;
    file->key_count++;
    return 0;
}

static int read_alignment(const struct window *w, struct gguf_file *file, struct err *err) {
    file->alignment = GGUF_DEFAULT_ALIGNMENT;
    const struct gguf_key *key = gguf_file_key(file, "general.alignment");
    if (!key)
        return 0;
    uint64_t value = key->bits;
    if (key->type != GGUF_U32)
        err_set(err, ERR_BAD_MODEL, "general.alignment is not a u32");
    else if (value < 8 || (value & (value - 1)) != 0 || value > LIMIT_GGUF_ALIGNMENT)
        err_set(err, ERR_BAD_MODEL,
                "general.alignment is %" PRIu64 "; it must be a power of two from 8 to %" PRIu64,
                value, (uint64_t)LIMIT_GGUF_ALIGNMENT);
    else {
        file->alignment = (uint32_t)value;
        return 0;
    }
    return bad_at(w, key->offset, err);
}

static uint64_t align_up(uint64_t n, uint64_t alignment) {
    return (n + alignment - 1) / alignment * alignment;
}

static int read_dims(struct window *w, struct gguf_info *info, struct err *err) {
    uint32_t rank;
    uint64_t at = w->at;
    if (take_u32(w, &rank, err) < 0)
        return -1;
    if (rank < 1 || rank > GGUF_MAX_RANK) {
        err_set(err, ERR_BAD_MODEL, "the tensor has %" PRIu32 " dimensions; GGUF knows 1 to %d",
                rank, GGUF_MAX_RANK);
        return bad_at(w, at, err);
    }
    info->rank = rank;
    info->elements = 1;
    for (uint32_t i = rank; i-- > 0;) {
        uint64_t dim;
        at = w->at;
        if (take_u64(w, &dim, err) < 0)
            return -1;
        if (dim == 0 || !mul_u64(info->elements, dim, &info->elements) ||
            info->elements > LIMIT_ELEMENTS) {
            err_set(err, ERR_BAD_MODEL,
                    dim == 0 ? "a dimension of the tensor is 0"
                             : "the tensor's dimensions multiply to more than 2^48 elements");
            return bad_at(w, at, err);
        }
        info->dims[i] = dim;
    }
    return 0;
}

static int read_type(struct window *w, struct gguf_info *info, struct err *err) {
    uint32_t type;
    uint64_t at = w->at;
    if (take_u32(w, &type, err) < 0)
        return -1;
    if (!gguf_file_encoding_of(type, &info->stored)) {
        err_set(err, ERR_UNSUPPORTED, "unknown ggml type %" PRIu32, type);
        return bad_at(w, at, err);
    }
    const struct codec *codec = info->stored.codec;
    if (codec->family == CODEC_PLAIN) {
        info->bytes = info->elements * dtype_row(info->stored.dtype)->bytes;
        return 0;
    }
    uint64_t row_len = info->dims[info->rank - 1];
    if (row_len % codec->block_len != 0) {
        err_set(err, ERR_BAD_MODEL,
                "rows of %" PRIu64 " elements cannot be cut into %s blocks of %u", row_len,
                codec->name, codec->block_len);
        return bad_at(w, at, err);
    }
    info->bytes = info->elements / codec->block_len * codec->block_bytes;
    return 0;
}

/* The offset is still relative to the data; *data_end is where the tensors so far end. */
static int read_place(struct window *w, uint32_t alignment, struct gguf_info *info,
                      uint64_t *data_end, struct err *err) {
    uint64_t at = w->at;
    if (take_u64(w, &info->offset, err) < 0)
        return -1;
    uint64_t expected = align_up(*data_end, alignment);
    if (info->offset % alignment != 0)
        err_set(err, ERR_BAD_MODEL,
                "the data offset %" PRIu64 " is not a multiple of the alignment, %" PRIu32,
                info->offset, alignment);
    else if (info->offset < expected)
        err_set(err, ERR_BAD_MODEL,
                "the data at offset %" PRIu64 " overlaps the tensor before, which ends at %" PRIu64,
                info->offset, *data_end);
    else if (info->offset > expected)
        err_set(err, ERR_BAD_MODEL,
                "the data at offset %" PRIu64 " leaves a gap behind the tensor before, which ends "
                "at %" PRIu64,
                info->offset, *data_end);
    else if (info->bytes > w->source->bytes || *data_end > w->source->bytes)
        err_set(err, ERR_BAD_MODEL, "%" PRIu64 " bytes of data do not fit a file of %" PRIu64,
                info->bytes, w->source->bytes);
    else {
        *data_end = expected + info->bytes;
        return 0;
    }
    return bad_at(w, at, err);
}

static int read_info(struct window *w, struct arena *arena, struct gguf_file *file,
                     uint64_t *data_end, struct strmap *names, struct err *err) {
    struct gguf_info *info = &file->infos[file->info_count];
    uint64_t at = w->at;
    if (take_name(w, "tensor", LIMIT_TENSOR_NAME_BYTES, arena, &info->name, err) < 0)
        return err_context(err, "tensor %zu", file->info_count);
    int fresh = strmap_put(names, info->name, (uint32_t)file->info_count);
    if (fresh < 0)
        return no_memory(err);
    if (fresh == 0) {
        err_set(err, ERR_BAD_MODEL, "the tensor name \"%s\" appears twice", info->name);
        bad_at(w, at, err);
        return err_at_tensor(err, info->name);
    }
    if (read_dims(w, info, err) < 0 || read_type(w, info, err) < 0 ||
        read_place(w, file->alignment, info, data_end, err) < 0)
        return err_at_tensor(err, info->name);
    file->info_count++;
    return 0;
}

/* The header is whole: now it is known where the data starts. */
static int place_data(const struct window *w, struct gguf_file *file, uint64_t data_end,
                      struct err *err) {
    uint64_t size = w->source->bytes;
    file->data_offset = align_up(w->at, file->alignment);
    if (file->info_count == 0)
        data_end = 0;
    for (size_t i = 0; i < file->info_count; i++) {
        struct gguf_info *info = &file->infos[i];
        info->offset += file->data_offset;
        if (info->offset > size || info->bytes > size - info->offset) {
            err_set(err, ERR_BAD_MODEL,
                    "the tensor's data ends at byte %" PRIu64 ", but the file at %" PRIu64,
                    info->offset + info->bytes, size);
            bad_at(w, info->offset, err);
            return err_at_tensor(err, info->name);
        }
    }
    /* Nothing may hide behind the last tensor: what we do not know of we could not carry over. */
    uint64_t end = align_up(file->data_offset + data_end, file->alignment);
    if (size > end) {
        err_set(err, ERR_BAD_MODEL, "%" PRIu64 " bytes follow the last tensor", size - end);
        return bad_at(w, end, err);
    }
    return 0;
}
