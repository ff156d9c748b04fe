/* Counters add up over threads, and the table is fit for Prometheus. */
#include "compress/base/counters.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static void *add_much(void *arg) {
    for (int i = 0; i < 10000; i++)
        counter_add(COUNTER_HTTP_REQUESTS, 3);
    return NULL;
}

static void adds_from_threads(void **state) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, add_much, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(counter_get(COUNTER_HTTP_REQUESTS), 90000);
    CHECK_INT(counter_get(COUNTER_HTTP_ERRORS_4XX), 0);
    counter_set(COUNTER_JOBS_RUNNING, 5);
    counter_add(COUNTER_JOBS_RUNNING, -2);
    CHECK_INT(counter_get(COUNTER_JOBS_RUNNING), 3);
}

static void table(void **state) {
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        const char *name = counter_name((enum counter)i);
        const char *kind = counter_kind((enum counter)i);
        CHECK_HOLDS(name, "compressd_");
        CHECK(strspn(name, "abcdefghijklmnopqrstuvwxyz_") == strlen(name));
        bool counts = strcmp(kind, "counter") == 0;
        CHECK(counts || strcmp(kind, "gauge") == 0);
        size_t len = strlen(name);
        CHECK_INT(strcmp(name + len - 6, "_total") == 0, counts);
        CHECK(strlen(counter_help((enum counter)i)) > 3);
        for (unsigned j = 0; j < i; j++)
            CHECK(strcmp(name, counter_name((enum counter)j)) != 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_from_threads),
        cmocka_unit_test(table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
