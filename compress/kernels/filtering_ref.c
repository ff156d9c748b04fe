/* The transforms of minimal filtering, one tile at a time. See filtering_lane.h. */
#define FILTERING_WIDTH 1
#include "compress/kernels/filtering_lane.h"

#include "compress/kernels/kernels.h"
#include "compress/kernels/kernels_fill.h"

void filtering_fill_ref(struct kernels *k) {
    k->filtering_in_f32 = each_in;
    k->filtering_weight_f32 = each_weight;
    k->filtering_out_f32 = each_out;
}
