/* The source over a descriptor: what is read, from how many threads, and what is refused. */
#include "compress/base/fdsource.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static struct tempdir dir;

static struct source *open_source(const char *name) {
    struct err err = ERR_INIT;
    struct source *source = NULL;
    int fd = open(tempdir_path(&dir, name), O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_OK(source_over_fd_take(fd, name, &source, &err), &err);
    CHECK_TEXT(source->path, name);
    return source;
}

/* Hints change no byte, and several threads read one source. */
struct reader {
    struct source *source;
    uint64_t seed;
    int result;
};

static void *read_much(void *arg) {
    struct reader *reader = arg;
    unsigned char buf[4096];
    uint64_t x = reader->seed;
    for (int i = 0; i < 300; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint64_t offset = (x >> 33) % (reader->source->bytes - sizeof buf);
        source_will_need(reader->source, offset, sizeof buf);
        if (source_read(reader->source, offset, buf, sizeof buf, NULL) < 0)
            reader->result = -1;
        for (size_t j = 0; j < sizeof buf; j++)
            if (buf[j] != (unsigned char)((offset + j) * 7 >> 3))
                reader->result = -2;
        source_done(reader->source, offset, sizeof buf);
    }
    return NULL;
}

static void many_readers(void **state) {
    enum { LEN = 300000 };
    unsigned char *data = malloc(LEN);
    for (size_t i = 0; i < LEN; i++)
        data[i] = (unsigned char)(i * 7 >> 3);
    tempdir_write(&dir, "big", data, LEN);
    free(data);
    struct source *source = open_source("big");
    CHECK_UINT(source->bytes, LEN);
    struct reader readers[3];
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++) {
        readers[i] = (struct reader){source, i, 0};
        pthread_create(&threads[i], NULL, read_much, &readers[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(readers[i].result, 0);
    }
    source_close(source);
}

static void shorter_than_it_was(void **state) {
    tempdir_write(&dir, "shrinks", "1234567890", 10);
    struct source *source = open_source("shrinks");
    struct err err = ERR_INIT;
    char buf[10];
    CHECK_INT(truncate(tempdir_path(&dir, "shrinks"), 4), 0);
    CHECK_OK(source_read(source, 0, buf, 4, &err), &err);
    CHECK_INT(source_read(source, 2, buf, 8, &err), -1);
    CHECK_TEXT(err.file, "shrinks");
    CHECK_UINT(err.offset, 4);
    CHECK_HOLDS(err.text, "ends at offset 4");
    CHECK_FAILS(-1, &err, ERR_IO);
    source_close(source);
}

static void not_taken(void **state) {
    struct err err = ERR_INIT;
    struct source *source = NULL;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_FAILS(source_over_fd_take(fd, "null", &source, &err), &err, ERR_UNSUPPORTED);
    CHECK_INT(close(fd), 0);
    CHECK_FAILS(source_over_fd_take(-1, "closed", &source, &err), &err, ERR_IO);
    tempdir_write(&dir, "file", "x", 1);
    fd = open(tempdir_path(&dir, "file"), O_RDONLY | O_CLOEXEC);
    allocfail_arm(0);
    int rc = source_over_fd_take(fd, "file", &source, &err);
    CHECK(allocfail_disarm());
    CHECK_FAILS(rc, &err, ERR_NO_MEMORY);
    CHECK_INT(close(fd), 0);
    CHECK(source == NULL);
    /* A descriptor that cannot be read says so when it is read. */
    fd = open(tempdir_path(&dir, "file"), O_WRONLY | O_CLOEXEC);
    char c;
    CHECK_OK(source_over_fd_take(fd, "file", &source, &err), &err);
    CHECK_FAILS(source_read(source, 0, &c, 1, &err), &err, ERR_IO);
    source_close(source);
}

static int set_up(void **state) {
    tempdir_make(&dir);
    return 0;
}

static int tear_down(void **state) {
    tempdir_free(&dir);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(many_readers),
        TEST(shorter_than_it_was),
        TEST(not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
