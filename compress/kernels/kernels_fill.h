/*
 * What each kernel file offers to dispatch.c: one function that overwrites the rows it has. A file
 * of instruction set S may only be called on a CPU that has S.
 */
#ifndef COMPRESS_KERNELS_KERNELS_FILL_H
#define COMPRESS_KERNELS_KERNELS_FILL_H

struct kernels;

void convert_fill_ref(struct kernels *k);
void stats_fill_ref(struct kernels *k);
void affine_fill_ref(struct kernels *k);
void filtering_fill_ref(struct kernels *k);
void fp8_fill_ref(struct kernels *k);
void legacy_fill_ref(struct kernels *k);
void taps_fill_ref(struct kernels *k);
void vmath_fill_ref(struct kernels *k);

void convert_fill_avx2(struct kernels *k);
void stats_fill_avx2(struct kernels *k);
void affine_fill_avx2(struct kernels *k);
void filtering_fill_avx2(struct kernels *k);
void fp8_fill_avx2(struct kernels *k);
void legacy_fill_avx2(struct kernels *k);
void taps_fill_avx2(struct kernels *k);
void vmath_fill_avx2(struct kernels *k);

void convert_fill_avx512(struct kernels *k);
void stats_fill_avx512(struct kernels *k);
void affine_fill_avx512(struct kernels *k);
void filtering_fill_avx512(struct kernels *k);
void fp8_fill_avx512(struct kernels *k);
void taps_fill_avx512(struct kernels *k);
void vmath_fill_avx512(struct kernels *k);

void convert_fill_neon(struct kernels *k);
void stats_fill_neon(struct kernels *k);
void affine_fill_neon(struct kernels *k);
void filtering_fill_neon(struct kernels *k);
void vmath_fill_neon(struct kernels *k);

#endif
