/* See golden.h. */
#include "tests/support/golden.h"

#include "tests/support/check.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *golden_read(const char *path, size_t *ret_bytes) {
    const char *dir = getenv("GOLDEN_DIR");
    char full[1024];
    snprintf(full, sizeof full, "%s/%s", dir ? dir : "tests/golden", path);
    FILE *file = fopen(full, "rb");
    if (!file)
        fail_msg("cannot open %s", full);
    fseek(file, 0, SEEK_END);
    long end = ftell(file);
    if (end < 0)
        fail_msg("cannot tell the size of %s", full);
    size_t bytes = (size_t)end;
    rewind(file);
    void *data = malloc(bytes + 1);
    if (!data || fread(data, 1, bytes, file) != bytes)
        fail_msg("cannot read %s", full);
    fclose(file);
    *ret_bytes = bytes;
    return data;
}

const char *golden_name(const char *format, ...) {
    static char names[4][256];
    static unsigned turn;
    char *name = names[turn++ % 4];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof names[0], format, args);
    va_end(args);
    return name;
}

void golden_check_decode(const struct encoding *e, const char *blocks_path,
                         const char *values_path) {
    size_t block_bytes, value_bytes;
    void *blocks = golden_read(blocks_path, &block_bytes);
    uint32_t *want = golden_read(values_path, &value_bytes);
    uint64_t count = value_bytes / sizeof(float);
    CHECK(count > 0);
    assert_int_equal(encoding_size(e, 1, count).data_bytes, block_bytes);
    uint32_t *got = malloc(value_bytes);
    codec_decode(e, 0, 1, count, blocks, NULL, NULL, (float *)got);
    for (uint64_t i = 0; i < count; i++)
        if (got[i] != want[i])
            fail_msg("%s: value %llu has bits %08x, ggml has %08x", blocks_path,
                     (unsigned long long)i, got[i], want[i]);
    free(got);
    free(want);
    free(blocks);
}
