/* See the header. */
#include "compress/exec/shuffle.h"

static uint64_t mix(uint64_t z) {
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t shuffle_key(uint64_t seed, uint64_t stream) {
    return mix(mix(seed) ^ stream);
}

uint64_t shuffle_at(uint64_t key, uint64_t n, uint64_t x) {
    for (uint64_t r = 0; r < SHUFFLE_ROUNDS; r++) {
        uint64_t k = mix(key ^ mix(r)), pivot = k % n;
        uint64_t partner = pivot >= x ? pivot - x : n - (x - pivot);
        uint64_t larger = x > partner ? x : partner;
        if (mix(k ^ mix(larger)) & 1)
            x = partner;
    }
    return x;
}
