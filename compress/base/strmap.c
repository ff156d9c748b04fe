/* Open addressing with linear probing at a load of at most one half; SipHash-1-3 keyed per process.
 */
#include "compress/base/strmap.h"

#include "compress/base/arena.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

struct strmap_slot {
    const char *key; /* NULL = free */
    uint64_t hash;
    uint32_t index;
};

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void make_seed(void) {
    if (getrandom(seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        seed[0] = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u;
        seed[1] = (uint64_t)(uintptr_t)&now ^ (uint64_t)now.tv_sec;
    }
}

static uint64_t rotl(uint64_t x, int b) {
    return (x << b) | (x >> (64 - b));
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1], v[1] = rotl(v[1], 13) ^ v[0], v[0] = rotl(v[0], 32);
    v[2] += v[3], v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotl(v[1], 17) ^ v[2], v[2] = rotl(v[2], 32);
}

/* SipHash (Aumasson & Bernstein 2012) with one compression and three finalisation rounds. */
static uint64_t hash_of(const char *key) {
    size_t len = strlen(key);
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    size_t at = 0;
    for (; at + 8 <= len; at += 8) {
        uint64_t m;
        memcpy(&m, key + at, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)len << 56;
    memcpy(&last, key + at, len - at);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void strmap_init(struct strmap *map, struct arena *arena) {
    pthread_once(&seed_once, make_seed);
    *map = (struct strmap){.arena = arena};
}

static struct strmap_slot *find(const struct strmap *map, const char *key, uint64_t hash) {
    size_t mask = map->capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct strmap_slot *slot = &map->slots[i];
        if (!slot->key || (slot->hash == hash && strcmp(slot->key, key) == 0))
            return slot;
    }
}

uint32_t strmap_get(const struct strmap *map, const char *key) {
    if (!map->capacity)
        return STRMAP_NONE;
    const struct strmap_slot *slot = find(map, key, hash_of(key));
    return slot->key ? slot->index : STRMAP_NONE;
}

static int grow(struct strmap *map) {
    struct strmap bigger = *map;
    bigger.capacity = map->capacity ? map->capacity * 2 : 16;
    bigger.slots = arena_calloc(map->arena, bigger.capacity, sizeof *bigger.slots);
    if (!bigger.slots)
        return -1;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].key)
            *find(&bigger, map->slots[i].key, map->slots[i].hash) = map->slots[i];
    *map = bigger;
    return 0;
}

int strmap_put(struct strmap *map, const char *key, uint32_t index) {
    if ((map->count + 1) * 2 > map->capacity && grow(map) < 0)
        return -1;
    uint64_t hash = hash_of(key);
    struct strmap_slot *slot = find(map, key, hash);
    if (slot->key)
        return 0;
    *slot = (struct strmap_slot){key, hash, index};
    map->count++;
    return 1;
}
