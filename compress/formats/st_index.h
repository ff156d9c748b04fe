/*
 * The index of a sharded model: `model.safetensors.index.json`, `pytorch_model.bin.index.json`.
 *
 *   {"metadata": {"total_size": 123}, "weight_map": {"lm_head.weight": "model-00002-of-00002...."}}
 *
 * What it says is checked against the shards' own headers: every tensor exactly where the index
 * puts it, every shard there. Lives in the arena; keys and names too.
 */
#ifndef COMPRESS_FORMATS_ST_INDEX_H
#define COMPRESS_FORMATS_ST_INDEX_H

#include "compress/base/arena.h"
#include "compress/base/files.h"
#include "compress/base/strmap.h"

struct st_index {
    bool present;
    const char *path;
    struct strmap names; /* tensor → index into entries */
    struct st_index_entry {
        const char *name;
        uint32_t shard; /* resolver index */
        bool seen;
    } * entries;
    size_t count, capacity;
    const struct resolver *files;
};

/* The index of `folder` ("" or "unet/") over files that end in `suffix` (".safetensors", ".bin").
 * Absent is no failure. ERR_BAD_MODEL: malformed, a tensor twice, a shard that is not there, two
 * indexes. */
int st_index_read(struct resolver *files, const char *folder, const char *suffix,
                  struct arena *arena, struct st_index *ret, struct err *err);
/* Which file that is: *ret_file a resolver index, or SIZE_MAX. */
int st_index_find(struct resolver *files, const char *folder, const char *suffix, size_t *ret_file,
                  struct err *err);
/* Sets chosen[i] for every shard i (resolver index) that the index names. */
void st_index_mark(const struct st_index *index, bool *chosen);
/* A tensor was met in a shard: is it where the index says? Always fine without an index. */
int st_index_take(struct st_index *index, const char *name, size_t resolver_index, struct err *err);
/* All shards were read: has every tensor of the index been met? */
int st_index_check_complete(const struct st_index *index, struct err *err);

#endif
