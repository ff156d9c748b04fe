/* Vector mathematics, 4 floats at a time. See vmath_vec.h. */
#define VMATH_WIDTH 4
#include "compress/kernels/vmath_vec.h"

#include "compress/kernels/kernels_fill.h"

void vmath_fill_neon(struct kernels *k) {
    vmath_vec_fill(k);
}
