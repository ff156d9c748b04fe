/*
 * Hugging Face and diffusers folders: config.json, indexes, shards, model cards, quantized weights.
 *
 * The input is text that a mutator can work on. A file begins with a line
 *
 *     === PATH BYTES
 *
 * and ends where the next such line begins. A path that ends in ".safetensors" holds the header's
 * JSON; its length is put in front and BYTES of data behind: the number 8 over and over, as 64-bit
 * integers, so that a weight_shape in it is one.
 */
#include "tests/fuzz/fuzz_model.h"

#include "compress/base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "=== "
#define FILES_MAX 12
#define DATA_BYTES_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct folder {
    struct resolver_file files[FILES_MAX];
    const void *data[FILES_MAX];
    char paths[FILES_MAX][128];
    size_t count;
};

/* Paths that a resolver never gives are left out; so are repeated ones. */
static void add(struct folder *folder, const char *path, const char *content, size_t len,
                size_t data_bytes) {
    for (size_t i = 0; i < folder->count; i++)
        if (strcmp(folder->paths[i], path) == 0)
            return;
    if (!path_ok(path) || folder->count == FILES_MAX)
        return;
    size_t tail = strlen(path);
    bool tensors = tail > 12 && strcmp(path + tail - 12, ".safetensors") == 0;
    size_t bytes = tensors ? 8 + len + data_bytes : len;
    uint8_t *file = malloc(bytes ? bytes : 1);
    if (!file)
        abort();
    if (tensors) {
        store_u64(file, len);
        memcpy(file + 8, content, len);
        for (size_t i = 0; i < data_bytes; i++)
            file[8 + len + i] = i % 8 == 0 ? 8 : 0;
    } else
        memcpy(file, content, len);
    snprintf(folder->paths[folder->count], sizeof folder->paths[0], "%s", path);
    folder->files[folder->count] = (struct resolver_file){folder->paths[folder->count], bytes};
    folder->data[folder->count++] = file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static const char *const schemes[] = {"int8", "f16", "int4", "bf16", "fp8_e4m3", NULL};
    struct folder folder = {0};
    const char *text = (const char *)data, *end = text + len;
    while (text < end) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        if (!line_end)
            break;
        char line[160], path[128];
        unsigned data_bytes = 0;
        snprintf(line, sizeof line, "%.*s", (int)(line_end - text), text);
        const char *content = line_end + 1;
        const char *next = memmem(content, (size_t)(end - content), "\n" MARK, 5);
        const char *content_end = next ? next : end;
        // NOLINTNEXTLINE(cert-err34-c): any number will do, it is reduced below
        if (sscanf(line, MARK "%127s %u", path, &data_bytes) >= 1)
            add(&folder, path, content, (size_t)(content_end - content),
                data_bytes % (DATA_BYTES_MAX + 1));
        text = next ? next + 1 : end;
    }
    fuzz_model_folder("safetensors", schemes, len, folder.files, folder.data, folder.count);
    for (size_t i = 0; i < folder.count; i++)
        free((void *)(uintptr_t)folder.data[i]);
    return 0;
}
