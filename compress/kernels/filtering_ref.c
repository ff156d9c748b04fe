/* The transforms of minimal filtering, one tile at a time (see filtering_lane.h), and how tiles are
 * taken out of a row and put back. */
#define FILTERING_WIDTH 1
#include "compress/kernels/filtering_lane.h"

#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

static void filtering_deal_f32_ref(const float *x, size_t row_step, size_t rows, size_t before,
                                   size_t inside, size_t n, float *ret, size_t step) {
    for (size_t row = 0; row < rows; row++, x += row_step, ret += LINE_IN * step)
        for (size_t t = 0; t < n; t++)
            for (size_t j = 0; j < LINE_IN; j++) {
                size_t at = LINE_OUT * t + j;
                ret[j * step + t] = at >= before && at - before < inside ? x[at - before] : 0;
            }
}

static void filtering_collect_f32_ref(const float *x, size_t step, size_t rows, size_t n, float add,
                                      float *ret, size_t row_step) {
    for (size_t row = 0; row < rows; row++, x += LINE_OUT * step, ret += row_step)
        for (size_t i = 0; i < n; i++)
            ret[i] = x[i % LINE_OUT * step + i / LINE_OUT] + add;
}

void filtering_fill_ref(struct kernels *k) {
    k->filtering_in_f32 = each_in;
    k->filtering_weight_f32 = each_weight;
    k->filtering_out_f32 = each_out;
    k->filtering_deal_f32 = filtering_deal_f32_ref;
    k->filtering_collect_f32 = filtering_collect_f32_ref;
}
