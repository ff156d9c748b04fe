/* Checkpoints: what was saved comes back; what is damaged or of another training does not. */
#include "compress/exec/checkpoint.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rig {
    struct tempdir dir;
    int fd;
    struct array *a, *b;
    struct checkpoint_array arrays[2];
    struct checkpoint c;
};

static void rig_start(struct rig *r) {
    tempdir_make(&r->dir);
    r->fd = open(r->dir.path, O_RDONLY | O_DIRECTORY);
    CHECK(r->fd >= 0);
    r->a = array_new(DTYPE_F32, 2, (uint64_t[]){3, 5});
    r->b = array_new(DTYPE_I64, 0, NULL);
    CHECK(r->a && r->b);
    for (size_t i = 0; i < 15; i++)
        array_real(r->a)[i] = (real)i / 4;
    *(int64_t *)r->b->data = 77;
    r->arrays[0] = (struct checkpoint_array){"layer.weight", r->a};
    r->arrays[1] = (struct checkpoint_array){"counter", r->b};
    r->c = (struct checkpoint){.identity = "model a, data b",
                               .arrays = r->arrays,
                               .array_count = 2,
                               .step = 12,
                               .order = {.seed = 1, .epoch = 2, .position = 3}};
}

static void rig_stop(struct rig *r) {
    array_free(r->a);
    array_free(r->b);
    close(r->fd);
    tempdir_free(&r->dir);
}

static void forget(struct rig *r) {
    memset(r->a->data, 0, (size_t)array_bytes(r->a));
    *(int64_t *)r->b->data = 0;
    r->c.step = 0;
    r->c.order = (struct batches_state){0};
}

static void check_back(const struct rig *r) {
    CHECK_UINT(r->c.step, 12);
    CHECK_UINT(r->c.order.seed, 1);
    CHECK_UINT(r->c.order.epoch, 2);
    CHECK_UINT(r->c.order.position, 3);
    CHECK_NUM((double)array_real(r->a)[14], 3.5, 0);
    CHECK_INT(*(int64_t *)r->b->data, 77);
}

static void comes_back(void **state) {
    struct rig r;
    struct err err = ERR_INIT;
    rig_start(&r);
    CHECK_FAILS(checkpoint_load(&r.c, r.fd, "state", &err), &err, ERR_NOT_FOUND);
    CHECK_OK(checkpoint_save(&r.c, r.fd, "state", &err), &err);
    CHECK_OK(checkpoint_save(&r.c, r.fd, "state", &err), &err); /* over the last one */
    CHECK_UINT(tempdir_count(&r.dir, "."), 1);
    size_t len;
    free(tempdir_read(&r.dir, "state", &len));
    CHECK_UINT(len, checkpoint_bytes(&r.c));
    forget(&r);
    CHECK_OK(checkpoint_load(&r.c, r.fd, "state", &err), &err);
    check_back(&r);
    rig_stop(&r);
}

static void another_training(void **state) {
    struct rig r;
    struct err err = ERR_INIT;
    rig_start(&r);
    CHECK_OK(checkpoint_save(&r.c, r.fd, "state", &err), &err);
    forget(&r);
    r.c.identity = "model a, data c";
    CHECK_FAILS(checkpoint_load(&r.c, r.fd, "state", &err), &err, ERR_STATE);
    r.c.identity = "model a, data b";
    r.arrays[1].name = "Counter";
    CHECK_FAILS(checkpoint_load(&r.c, r.fd, "state", &err), &err, ERR_STATE);
    r.arrays[1].name = "counter";
    r.c.array_count = 1;
    CHECK_FAILS(checkpoint_load(&r.c, r.fd, "state", &err), &err, ERR_STATE);
    r.c.array_count = 2;
    r.a->dims[0] = 5; /* the same bytes, another shape */
    r.a->dims[1] = 3;
    CHECK_FAILS(checkpoint_load(&r.c, r.fd, "state", &err), &err, ERR_STATE);
    CHECK_NUM((double)array_real(r.a)[14], 0, 0); /* nothing was filled */
    CHECK_UINT(r.c.step, 0);
    rig_stop(&r);
}

static void damaged_anywhere(void **state) {
    struct rig r;
    struct err err = ERR_INIT;
    size_t len;
    rig_start(&r);
    CHECK_OK(checkpoint_save(&r.c, r.fd, "state", &err), &err);
    char *bytes = tempdir_read(&r.dir, "state", &len);
    forget(&r);
    for (size_t i = 0; i < len; i++) {
        bytes[i] ^= 1;
        struct source *source = source_over_memory(bytes, len, "state");
        CHECK(source);
        CHECK_FAILS(checkpoint_read(&r.c, source, &err), &err, ERR_BAD_DIGEST);
        source_close(source);
        bytes[i] ^= 1;
    }
    for (size_t shorter = 0; shorter < len; shorter++) {
        struct source *source = source_over_memory(bytes, shorter, "state");
        CHECK(source);
        CHECK_FAILS(checkpoint_read(&r.c, source, &err), &err, ERR_BAD_DIGEST);
        source_close(source);
    }
    CHECK_NUM((double)array_real(r.a)[14], 0, 0);
    free(bytes);
    rig_stop(&r);
}

/* A failure on the way leaves the last checkpoint as it was, and nothing beside it. */
static void failures_keep_the_last(void **state) {
    struct rig r;
    rig_start(&r);
    struct err err = ERR_INIT;
    CHECK_OK(checkpoint_save(&r.c, r.fd, "state", &err), &err);
    r.c.step = 13;
    unsigned n = 0;
    for (bool failed = true; failed; n++) {
        err = ERR_INIT;
        allocfail_arm(n);
        int rc = checkpoint_save(&r.c, r.fd, "state", &err);
        failed = allocfail_disarm();
        CHECK(rc == 0 || failed);
        CHECK_UINT(tempdir_count(&r.dir, "."), 1);
        struct checkpoint found = r.c;
        err = ERR_INIT;
        CHECK_OK(checkpoint_load(&found, r.fd, "state", &err), &err);
        CHECK_UINT(found.step, rc == 0 ? 13 : 12);
    }
    CHECK(n > 2);
    rig_stop(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),
        cmocka_unit_test(another_training),
        cmocka_unit_test(damaged_anywhere),
        cmocka_unit_test(failures_keep_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
