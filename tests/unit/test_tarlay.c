/* The virtual tar beyond what a small one shows (test_untar.c reads one back): large members, long
 * paths, and hashing that can be stopped. */
#include "storage/blob/tarlay.h"

#include "compress/base/limits.h"
#include "tests/support/check.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

/* What libarchive reads from the headers of the first member alone. */
static void check_headers(const struct tarlay *tar, size_t headers, const char *path,
                          uint64_t bytes) {
    static char buf[8192];
    struct err err = ERR_INIT;
    struct tarlay_reader *reader;
    memset(buf, 0, sizeof buf);
    CHECK_OK(tarlay_reader_new(tar, NULL, &reader, &err), &err);
    CHECK_OK(tarlay_read(reader, 0, buf, headers, &err), &err); /* no blob is opened for them */
    tarlay_reader_free(reader);
    struct archive *archive = archive_read_new();
    struct archive_entry *entry;
    archive_read_support_format_tar(archive);
    CHECK_INT(archive_read_open_memory(archive, buf, headers), ARCHIVE_OK);
    CHECK_INT(archive_read_next_header(archive, &entry), ARCHIVE_OK);
    CHECK_TEXT(archive_entry_pathname(entry), path);
    CHECK_UINT((uint64_t)archive_entry_size(entry), bytes);
    CHECK_INT(archive_entry_filetype(entry), AE_IFREG);
    archive_read_free(archive);
}

static void sizes_beyond_eight_gigabytes_are_told(void **state) {
    const struct {
        uint64_t bytes;
        size_t headers;
    } rows[] = {{8 * GIB - 1, 512}, {8 * GIB, 1536}, {UINT64_C(1) << 50, 1536}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        struct tarlay *tar;
        const struct blob_entry entry = {.path = "model.safetensors", .bytes = rows[i].bytes};
        CHECK_OK(tarlay_new(&entry, 1, &tar, &err), &err);
        uint64_t padded = (rows[i].bytes + 511) / 512 * 512;
        CHECK_UINT(tarlay_bytes(tar), rows[i].headers + padded + 1024);
        check_headers(tar, rows[i].headers, entry.path, rows[i].bytes);
        tarlay_free(tar);
    }
}

static void the_longest_path_is_told(void **state) {
    static char path[LIMIT_PATH_BYTES + 1];
    const size_t lengths[] = {99, 100, 101, 255, 256, LIMIT_PATH_BYTES};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct err err = ERR_INIT;
        struct tarlay *tar;
        memset(path, 'p', sizeof path);
        path[lengths[i]] = 0;
        const struct blob_entry entry = {.path = path, .bytes = 9 * GIB};
        CHECK_OK(tarlay_new(&entry, 1, &tar, &err), &err);
        check_headers(tar, (size_t)(tarlay_bytes(tar) - 9 * GIB - 1024), path, 9 * GIB);
        tarlay_free(tar);
    }
}

static bool is_cancelled(void *self) {
    return ++*(unsigned *)self > 2;
}

static void hashing_stops_when_asked(void **state) {
    static const char zeros[3 * MIB];
    struct err err = ERR_INIT;
    const struct resolver_file file = {"model.safetensors", sizeof zeros};
    const struct blob_entry entry = {.path = file.path, .bytes = file.bytes};
    struct resolver *files = resolver_over_memory(&file, (const void *[]){zeros}, 1, false);
    struct tarlay *tar;
    struct digest digest;
    unsigned asked = 0;
    const struct progress progress = {.self = &asked, .is_cancelled = is_cancelled};
    CHECK(files);
    CHECK_OK(tarlay_new(&entry, 1, &tar, &err), &err);
    CHECK_OK(tarlay_digest(tar, files, NULL, &digest, &err), &err);
    CHECK_FAILS(tarlay_digest(tar, files, &progress, &digest, &err), &err, ERR_CANCELLED);
    CHECK_UINT(asked, 3);
    tarlay_free(tar);
    resolver_close(files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_beyond_eight_gigabytes_are_told),
        cmocka_unit_test(the_longest_path_is_told),
        cmocka_unit_test(hashing_stops_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
