/* The sink over a descriptor: bytes and digest for every way of cutting the data, and what a full
 * or broken disk does to it. */
#include "compress/base/fdsink.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct tempdir dir;

static unsigned char *make_data(size_t len) {
    unsigned char *data = malloc(len + 1);
    uint32_t x = 12345;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (unsigned char)(x >> 24);
    }
    return data;
}

static int create(const char *name) {
    int fd = open(tempdir_path(&dir, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    CHECK(fd >= 0);
    return fd;
}

static void round_trip(size_t len, size_t piece) {
    unsigned char *data = make_data(len);
    struct err err = ERR_INIT;
    struct sink *sink;
    CHECK_OK(sink_over_fd_take(create("out"), "out", &sink, &err), &err);
    for (size_t at = 0; at < len;) {
        size_t n = len - at < piece ? len - at : piece;
        unsigned char *copy = malloc(n); /* gone when write returns: nothing may be borrowed */
        memcpy(copy, data + at, n);
        CHECK_OK(sink_write(sink, copy, n, &err), &err);
        memset(copy, 0, n);
        free(copy);
        at += n;
        CHECK_UINT(sink->written, at);
    }
    struct digest got, want = digest_of(data, len);
    CHECK_OK(sink_finish(sink, &got, &err), &err);
    size_t back_len;
    char *back = tempdir_read(&dir, "out", &back_len);
    CHECK_UINT(back_len, len);
    CHECK_BYTES(back, data, len);
    CHECK_BYTES(got.bytes, want.bytes, DIGEST_BYTES);
    free(back);
    free(data);
}

static void bytes_and_digest(void **state) {
    const size_t b = FDSINK_BUFFER_BYTES;
    const size_t lens[] = {0, 1, 1000, b - 1, b, b + 1, 2 * b, 4 * b, 4 * b + 1, 9 * b + 12345};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        round_trip(lens[i], lens[i] + 1);
        round_trip(lens[i], b);
        round_trip(lens[i], 100003);
    }
    round_trip(3 * b + 7, 4099);
    round_trip(40 * b, 3 * b + 1); /* past the first early write-back */
}

static void abort_at_any_moment(void **state) {
    unsigned char *data = make_data(FDSINK_BUFFER_BYTES);
    for (unsigned writes = 0; writes < 10; writes++) {
        struct err err = ERR_INIT;
        struct sink *sink;
        int fd = create("aborted");
        CHECK_OK(sink_over_fd_take(fd, "aborted", &sink, &err), &err);
        for (unsigned i = 0; i < writes; i++)
            CHECK_OK(sink_write(sink, data, FDSINK_BUFFER_BYTES, &err), &err);
        sink_abort(sink);
        CHECK_INT(fcntl(fd, F_GETFD), -1); /* closed */
    }
    free(data);
}

/* /dev/full takes nothing. Small data meets it in finish, large data in write. */
static void full_disk(void **state) {
    unsigned char *data = make_data(4 * FDSINK_BUFFER_BYTES);
    for (unsigned large = 0; large < 2; large++) {
        struct err err = ERR_INIT;
        struct sink *sink;
        struct digest digest;
        int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        CHECK_OK(sink_over_fd_take(fd, "shard.safetensors", &sink, &err), &err);
        if (large) {
            CHECK_INT(sink_write(sink, data, 4 * FDSINK_BUFFER_BYTES, &err), -1);
            sink_abort(sink);
        } else {
            CHECK_OK(sink_write(sink, data, 1000, &err), &err);
            CHECK_INT(sink_finish(sink, &digest, &err), -1);
        }
        CHECK_TEXT(err.file, "shard.safetensors");
        CHECK_UINT(err.offset, 0);
        CHECK_FAILS(-1, &err, ERR_NO_SPACE);
        CHECK_INT(fcntl(fd, F_GETFD), -1);
    }
    free(data);
}

/* The file may only grow to three buffers and a half: the offset says how far it came. */
static void short_write(void **state) {
    struct rlimit old, cut = {.rlim_cur = 7 * FDSINK_BUFFER_BYTES / 2, .rlim_max = RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &old);
    cut.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    unsigned char *data = make_data(6 * FDSINK_BUFFER_BYTES);
    struct err err = ERR_INIT;
    struct sink *sink;
    CHECK_OK(sink_over_fd_take(create("short"), "short", &sink, &err), &err);
    setrlimit(RLIMIT_FSIZE, &cut);
    int rc = sink_write(sink, data, 6 * FDSINK_BUFFER_BYTES, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK_INT(rc, -1);
    sink_abort(sink);
    CHECK_UINT(err.offset, cut.rlim_cur);
    CHECK_FAILS(-1, &err, ERR_IO);
    free(data);
}

static void no_memory(void **state) {
    unsigned char *data = make_data(6 * FDSINK_BUFFER_BYTES);
    for (unsigned n = 0;; n++) {
        struct err err = ERR_INIT;
        struct sink *sink = NULL;
        struct digest digest;
        int fd = create("nomem");
        allocfail_arm(n);
        int rc = sink_over_fd_take(fd, "nomem", &sink, &err);
        if (rc < 0)
            CHECK_INT(close(fd), 0); /* not taken */
        else if ((rc = sink_write(sink, data, 6 * FDSINK_BUFFER_BYTES, &err)) < 0)
            sink_abort(sink);
        else
            rc = sink_finish(sink, &digest, &err);
        bool failed = allocfail_disarm();
        if (!failed) {
            CHECK_OK(rc, &err);
            CHECK(n >= 6); /* object, path, hasher, four buffers: each has failed once */
            break;
        }
        CHECK_FAILS(rc, &err, ERR_NO_MEMORY);
    }
    free(data);
}

static void syncs_a_folder(void **state) {
    struct err err = ERR_INIT;
    int fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_OK(fsync_dir(fd, "data", &err), &err);
    close(fd);
    CHECK_INT(fsync_dir(fd, "data", &err), -1);
    CHECK_HOLDS(err.text, "data");
    CHECK_FAILS(-1, &err, ERR_IO);
}

static int set_up(void **state) {
    tempdir_make(&dir);
    return 0;
}

static int tear_down(void **state) {
    tempdir_free(&dir);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_and_digest), cmocka_unit_test(abort_at_any_moment),
        cmocka_unit_test(full_disk),        cmocka_unit_test(short_write),
        cmocka_unit_test(no_memory),        cmocka_unit_test(syncs_a_folder),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
