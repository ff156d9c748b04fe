/* Vector mathematics, 16 floats at a time. See vmath_vec.h. */
#define VMATH_WIDTH 16
#include "compress/kernels/vmath_vec.h"

#include "compress/kernels/kernels_fill.h"

void vmath_fill_avx512(struct kernels *k) {
    vmath_vec_fill(k);
}
