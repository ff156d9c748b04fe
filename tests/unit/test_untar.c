/* Tars taken apart while they arrive: good ones of several kinds, and every refusal. */
#include "storage/blob/untar.h"

#include "compress/base/limits.h"
#include "storage/blob/tarlay.h"
#include "storage/store.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <archive.h>
#include <archive_entry.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct store *store;
static struct tempdir dir;

static int open_store(void **state) {
    struct err err = ERR_INIT;
    tempdir_make(&dir);
    return store_open(dir.path, &store, &err);
}

static int close_store(void **state) {
    store_close(store);
    tempdir_free(&dir);
    return 0;
}

struct member {
    const char *path;
    const char *text;
    int type; /* AE_IFREG, AE_IFDIR, AE_IFLNK, or 0 for a hard link */
};

static size_t make_tar(const struct member *members, size_t count, char *buf, size_t cap) {
    size_t used = 0;
    struct archive *a = archive_write_new();
    archive_write_set_format_pax_restricted(a);
    archive_write_open_memory(a, buf, cap, &used);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *e = archive_entry_new();
        const char *text = members[i].text ? members[i].text : "";
        archive_entry_set_pathname(e, members[i].path);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_filetype(e, members[i].type ? (unsigned)members[i].type : AE_IFREG);
        if (members[i].type == AE_IFLNK)
            archive_entry_set_symlink(e, text);
        if (members[i].type == 0)
            archive_entry_set_hardlink(e, text);
        bool file = members[i].type == AE_IFREG;
        archive_entry_set_size(e, file ? (la_int64_t)strlen(text) : 0);
        archive_write_header(a, e);
        if (file)
            archive_write_data(a, text, strlen(text));
        archive_entry_free(e);
    }
    archive_write_close(a);
    archive_write_free(a);
    return used;
}

struct feeding {
    struct untar *tar;
    const char *data;
    size_t len, step;
    bool abort_at_end;
    _Atomic int room;
};

static void on_room(void *self) {
    atomic_store(&((struct feeding *)self)->room, 1);
}

static void *feed(void *arg) {
    struct feeding *f = arg;
    for (size_t at = 0; at < f->len;) {
        size_t want = f->len - at < f->step ? f->len - at : f->step;
        size_t took = untar_feed(f->tar, f->data + at, want);
        at += took;
        while (took < want && !atomic_exchange(&f->room, 0))
            usleep(100);
    }
    if (f->abort_at_end)
        untar_abort(f->tar);
    else
        untar_end(f->tar);
    return NULL;
}

static int unpack(struct untar **ret, const char *data, size_t len, size_t step, bool abort_at_end,
                  uint64_t limit, struct err *err) {
    static struct feeding f;
    pthread_t thread;
    *err = ERR_INIT;
    f = (struct feeding){.data = data, .len = len, .step = step, .abort_at_end = abort_at_end};
    CHECK_OK(untar_new(store->blobs, limit, on_room, &f, ret, err), err);
    f.tar = *ret;
    pthread_create(&thread, NULL, feed, &f);
    int result = untar_run(*ret, err);
    pthread_join(thread, NULL);
    return result;
}

static void a_folder_arrives_in_pieces(void **state) {
    static char buf[1 << 16];
    const struct member members[] = {
        {"my/", NULL, AE_IFDIR},
        {"my/z.json", "{}", AE_IFREG},
        {"my/sub/weights.bin", "0123456789", AE_IFREG},
        {"my/empty", "", AE_IFREG},
    };
    size_t len = make_tar(members, 4, buf, sizeof buf);
    static const size_t steps[] = {1, 100, 4096, sizeof buf};
    for (size_t i = 0; i < 4; i++) {
        struct untar *tar;
        struct err err;
        CHECK_OK(unpack(&tar, buf, len, steps[i], false, 1 << 20, &err), &err);
        CHECK_UINT(untar_count(tar), 3);
        CHECK_TEXT(untar_path(tar, 0), "empty");
        CHECK_TEXT(untar_path(tar, 1), "sub/weights.bin");
        CHECK_TEXT(untar_path(tar, 2), "z.json");
        struct digest want = digest_of("0123456789", 10);
        CHECK(digest_equal(untar_digest(tar, 1), &want));
        struct resolver *files;
        CHECK_OK(untar_resolver(tar, &files, &err), &err);
        struct source *source;
        char text[16] = "";
        CHECK_OK(resolver_open(files, "sub/weights.bin", &source, &err), &err);
        CHECK_OK(source_read(source, 0, text, 10, &err), &err);
        CHECK_TEXT(text, "0123456789");
        source_close(source);
        resolver_close(files);
        untar_free(tar);
        CHECK_UINT(tempdir_count(&dir, "staging"), 0);
    }
}

static void what_is_not_a_plain_file_is_refused(void **state) {
    static const struct {
        struct member bad;
        enum err_code code;
        const char *says;
    } cases[] = {
        {{"/etc/passwd", "x", AE_IFREG}, ERR_BAD_ARCHIVE, "absolute"},
        {{"../up", "x", AE_IFREG}, ERR_BAD_ARCHIVE, "../up"},
        {{"a/../../up", "x", AE_IFREG}, ERR_BAD_ARCHIVE, "not allowed"},
        {{"link", "/etc/passwd", AE_IFLNK}, ERR_BAD_ARCHIVE, "link"},
        {{"hard", "fine", 0}, ERR_BAD_ARCHIVE, "link"},
        {{"fifo", "", AE_IFIFO}, ERR_BAD_ARCHIVE, "not a regular file"},
        {{"FINE", "other", AE_IFREG}, ERR_BAD_ARCHIVE, "twice"},
        {{"fine/inside", "x", AE_IFREG}, ERR_BAD_ARCHIVE, "folder as well"},
        {{"back\\slash", "x", AE_IFREG}, ERR_BAD_ARCHIVE, "not allowed"},
        {{"big", "0123456789012345678901234567890123456789", AE_IFREG}, ERR_TOO_LARGE, "limit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static char buf[1 << 16];
        const struct member members[] = {{"fine", "ok", AE_IFREG}, cases[i].bad};
        size_t len = make_tar(members, 2, buf, sizeof buf);
        struct untar *tar;
        struct err err;
        CHECK_INT(unpack(&tar, buf, len, 777, false, 32, &err), -1);
        CHECK_INT(err.code, cases[i].code);
        CHECK_HOLDS(err.text, cases[i].says);
        untar_free(tar);
        CHECK_UINT(tempdir_count(&dir, "staging"), 0);
    }
}

static void broken_streams_are_refused(void **state) {
    static char buf[1 << 16];
    const struct member members[] = {{"a", "0123456789", AE_IFREG}, {"b", "01234567", AE_IFREG}};
    size_t len = make_tar(members, 2, buf, sizeof buf);
    struct untar *tar;
    struct err err;
    CHECK_INT(unpack(&tar, buf, len, 100, true, 1 << 20, &err), -1); /* the client went away */
    untar_free(tar);
    CHECK_INT(unpack(&tar, buf, 512 + 5, 100, false, 1 << 20, &err), -1); /* cut in contents */
    CHECK_INT(err.code, ERR_BAD_ARCHIVE);
    untar_free(tar);
    CHECK_INT(unpack(&tar, "no tar at all, just text", 24, 5, false, 1 << 20, &err), -1);
    CHECK_INT(err.code, ERR_BAD_ARCHIVE);
    untar_free(tar);
    CHECK_INT(unpack(&tar, "", 0, 5, false, 1 << 20, &err), -1);
    CHECK_INT(err.code, ERR_BAD_ARCHIVE);
    untar_free(tar);
    CHECK_UINT(tempdir_count(&dir, "staging"), 0);
}

/* More files than allowed are refused without unpacking the rest, and the producer is never stuck.
 */
static void a_million_entries_end_early(void **state) {
    enum { N = LIMIT_MODEL_FILES + 50 };
    struct member *members = calloc(N, sizeof *members);
    size_t cap = (size_t)N * 1024 + (1 << 16);
    char *buf = malloc(cap);
    for (size_t i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "f%zu", i);
        members[i] = (struct member){strdup(name), "", AE_IFREG};
    }
    size_t len = make_tar(members, N, buf, cap);
    struct untar *tar;
    struct err err;
    CHECK_INT(unpack(&tar, buf, len, 65536, false, 1 << 20, &err), -1);
    CHECK_INT(err.code, ERR_TOO_LARGE);
    untar_free(tar);
    CHECK_UINT(tempdir_count(&dir, "staging"), 0);
    for (size_t i = 0; i < N; i++)
        free((char *)(uintptr_t)members[i].path);
    free(members);
    free(buf);
}

static int publish_all(struct db_conn *conn, void *ctx, struct err *err) {
    struct untar *tar = ctx;
    for (size_t i = 0; i < untar_count(tar); i++)
        if (staged_publish(untar_file(tar, i), conn, "t", err) < 0)
            return -1;
    return 0;
}

/* Our virtual tar, read by libarchive, gives the files back; any range of it is the same bytes. */
static void a_virtual_tar_comes_back(void **state) {
    static char buf[1 << 16], path[200];
    memset(path, 'p', 150);
    strcpy(path + 150, "/name");
    const struct member members[] = {{"config.json", "{\"a\": 1}", AE_IFREG},
                                     {"empty", "", AE_IFREG},
                                     {path, "long names need a pax header", AE_IFREG}};
    size_t len = make_tar(members, 3, buf, sizeof buf);
    struct untar *in, *back;
    struct err err;
    CHECK_OK(unpack(&in, buf, len, 512, false, 1 << 20, &err), &err);
    CHECK_OK(writer_run(store->writer, publish_all, in, &err), &err);
    struct blob_entry entries[3];
    for (size_t i = 0; i < 3; i++)
        entries[i] = (struct blob_entry){untar_path(in, i), *untar_digest(in, i),
                                         staged_bytes(untar_file(in, i))};
    struct tarlay *tar;
    struct tarlay_reader *reader;
    struct resolver *files;
    CHECK_OK(tarlay_new(entries, 3, &tar, &err), &err);
    CHECK_OK(tarlay_reader_new(tar, store->blobs, &reader, &err), &err);
    CHECK_OK(blob_resolver(store->blobs, entries, 3, false, &files, &err), &err);
    size_t bytes = (size_t)tarlay_bytes(tar);
    char *whole = malloc(bytes);
    char *part = malloc(bytes);
    CHECK_OK(tarlay_read(reader, 0, whole, bytes, &err), &err);
    for (size_t at = 0; at < bytes; at += 97) {
        size_t n = bytes - at < 1000 ? bytes - at : 1000;
        CHECK_OK(tarlay_read(reader, at, part, n, &err), &err);
        CHECK_BYTES(part, whole + at, n);
    }
    struct digest digest, want = digest_of(whole, bytes);
    CHECK_OK(tarlay_digest(tar, files, NULL, &digest, &err), &err);
    CHECK(digest_equal(&digest, &want));
    CHECK_OK(unpack(&back, whole, bytes, 4096, false, 1 << 20, &err), &err);
    CHECK_UINT(untar_count(back), 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK_TEXT(untar_path(back, i), entries[i].path);
        CHECK(digest_equal(untar_digest(back, i), &entries[i].digest));
    }
    untar_free(back);
    untar_free(in);
    resolver_close(files);
    tarlay_reader_free(reader);
    tarlay_free(tar);
    free(whole);
    free(part);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_arrives_in_pieces),
        cmocka_unit_test(what_is_not_a_plain_file_is_refused),
        cmocka_unit_test(broken_streams_are_refused),
        cmocka_unit_test(a_million_entries_end_early),
        cmocka_unit_test(a_virtual_tar_comes_back),
    };
    return cmocka_run_group_tests(tests, open_store, close_store);
}
