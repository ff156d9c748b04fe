/* See budget.h. */
#include "jobs/budget.h"

#include "compress/base/counters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS_DEFAULT_MAX 4

/* The number behind `key` in a file of "key value" lines; UINT64_MAX when there is none. */
static uint64_t value_in(const char *path, const char *key) {
    FILE *file = fopen(path, "re");
    if (!file)
        return UINT64_MAX;
    char line[256];
    uint64_t value = UINT64_MAX;
    size_t len = strlen(key);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, len) == 0) {
            char *end;
            uint64_t parsed = strtoull(line + len, &end, 10);
            if (end != line + len)
                value = parsed;
            break;
        }
    fclose(file);
    return value;
}

/* The cgroup (v2) this process lives in, e.g. /sys/fs/cgroup/system.slice/compressd.service/NAME.
 */
static bool cgroup_file(const char *name, char *ret, size_t cap) {
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return false;
    char line[1024];
    bool found = false;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, "0::", 3) == 0) {
            line[strcspn(line, "\n")] = 0;
            found = snprintf(ret, cap, "/sys/fs/cgroup%s/%s", strcmp(line + 3, "/") ? line + 3 : "",
                             name) < (int)cap;
        }
    fclose(file);
    return found;
}

uint64_t budget_available_bytes(void) {
    uint64_t kib = value_in("/proc/meminfo", "MemAvailable:");
    uint64_t bytes = kib == UINT64_MAX
                         ? (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2
                         : kib * 1024;
    char path[1200];
    if (cgroup_file("memory.max", path, sizeof path)) {
        uint64_t limit = value_in(path, "");
        if (limit < bytes)
            bytes = limit;
    }
    return bytes;
}

uint64_t budget_oom_kills(void) {
    char path[1200];
    if (!cgroup_file("memory.events", path, sizeof path))
        return 0;
    uint64_t kills = value_in(path, "oom_kill ");
    return kills == UINT64_MAX ? 0 : kills;
}

void budget_init(struct budget *budget, uint64_t bytes, unsigned slots) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *budget = (struct budget){
        .bytes = bytes ? bytes : budget_available_bytes() / 10 * 8,
        .slots = slots                       ? slots
                 : cores < 1                 ? 1
                 : cores > SLOTS_DEFAULT_MAX ? SLOTS_DEFAULT_MAX
                                             : (unsigned)cores,
    };
    pthread_mutex_init(&budget->lock, NULL);
}

void budget_destroy(struct budget *budget) {
    pthread_mutex_destroy(&budget->lock);
}

static void show(const struct budget *budget) {
    counter_set(COUNTER_JOBS_RUNNING, budget->running);
    counter_set(COUNTER_JOB_MEMORY_RESERVED, (int64_t)budget->reserved);
}

bool budget_take(struct budget *budget, uint64_t bytes) {
    pthread_mutex_lock(&budget->lock);
    bool fits = budget->running < budget->slots &&
                (budget->running == 0 ||
                 (budget->reserved <= budget->bytes && bytes <= budget->bytes - budget->reserved));
    if (fits) {
        budget->running++;
        budget->reserved += bytes;
        show(budget);
    }
    pthread_mutex_unlock(&budget->lock);
    return fits;
}

void budget_give(struct budget *budget, uint64_t bytes) {
    pthread_mutex_lock(&budget->lock);
    budget->running--;
    budget->reserved -= bytes;
    show(budget);
    pthread_mutex_unlock(&budget->lock);
}

void budget_usage(struct budget *budget, uint64_t *ret_reserved, unsigned *ret_running) {
    pthread_mutex_lock(&budget->lock);
    *ret_reserved = budget->reserved;
    *ret_running = budget->running;
    pthread_mutex_unlock(&budget->lock);
}
