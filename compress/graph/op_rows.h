/*
 * The rows of the operator table, one line each: X(row) for `const struct op op_<row>`, defined in
 * the op_<family>.c that the section names.
 */
#ifndef COMPRESS_GRAPH_OP_ROWS_H
#define COMPRESS_GRAPH_OP_ROWS_H

/* A section per file, a line per row. */
/* clang-format off */
#define OP_ROWS(X)                                                \
    /* op_act.c: activations */                                   \
    X(relu)                                                       \
    X(leaky_relu)                                                 \
    X(thresholded_relu)                                           \
    X(elu)                                                        \
    X(selu)                                                       \
    X(celu)                                                       \
    X(sigmoid)                                                    \
    X(tanh)                                                       \
    X(hard_sigmoid)                                               \
    X(hard_swish)                                                 \
    X(softplus)                                                   \
    X(softsign)                                                   \
    X(gelu)                                                       \
    X(gelu_erf)                                                   \
    X(silu)                                                       \
    X(quick_gelu)                                                 \
    X(mish)                                                       \
    X(shrink)                                                     \
    X(erf)                                                        \
    X(prelu)                                                      \
    X(bias_gelu)                                                  \
    X(fast_gelu)                                                  \
    X(clip)                                                       \
    /* op_unary.c: functions of one value */                      \
    X(abs)                                                        \
    X(neg)                                                        \
    X(sign)                                                       \
    X(sqrt)                                                       \
    X(reciprocal)                                                 \
    X(exp)                                                        \
    X(log)                                                        \
    X(floor)                                                      \
    X(ceil)                                                       \
    X(round)                                                      \
    X(sin)                                                        \
    X(cos)                                                        \
    X(tan)                                                        \
    X(asin)                                                       \
    X(acos)                                                       \
    X(atan)                                                       \
    X(sinh)                                                       \
    X(cosh)                                                       \
    X(asinh)                                                      \
    X(acosh)                                                      \
    X(atanh)                                                      \
    X(not)                                                        \
    X(bitwise_not)                                                \
    X(is_nan)                                                     \
    X(is_inf)                                                     \
    /* op_binary.c: arithmetic, comparison, logic, Where */       \
    X(add)                                                        \
    X(sub)                                                        \
    X(mul)                                                        \
    X(div)                                                        \
    X(pow)                                                        \
    X(mod)                                                        \
    X(max)                                                        \
    X(min)                                                        \
    X(sum)                                                        \
    X(mean)                                                       \
    X(equal)                                                      \
    X(less)                                                       \
    X(less_or_equal)                                              \
    X(greater)                                                    \
    X(greater_or_equal)                                           \
    X(and)                                                        \
    X(or)                                                         \
    X(xor)                                                        \
    X(bitwise_and)                                                \
    X(bitwise_or)                                                 \
    X(bitwise_xor)                                                \
    X(bit_shift)                                                  \
    X(where)                                                      \
    /* op_reduce.c: reductions over axes */                       \
    X(reduce_sum)                                                 \
    X(reduce_mean)                                                \
    X(reduce_max)                                                 \
    X(reduce_min)                                                 \
    X(reduce_prod)                                                \
    X(reduce_l1)                                                  \
    X(reduce_l2)                                                  \
    X(reduce_sum_square)                                          \
    X(reduce_log_sum)                                             \
    X(reduce_log_sum_exp)                                         \
    /* op_along.c: along one axis */                              \
    X(arg_max)                                                    \
    X(arg_min)                                                    \
    X(cum_sum)                                                    \
    X(top_k)                                                      \
    /* op_cast.c: conversion between types */                     \
    X(cast)                                                       \
    X(cast_like)                                                  \
    /* op_shape.c: the same elements in another shape or order */ \
    X(reshape)                                                    \
    X(flatten)                                                    \
    X(squeeze)                                                    \
    X(unsqueeze)                                                  \
    X(identity)                                                   \
    X(dropout)                                                    \
    X(shape)                                                      \
    X(size)                                                       \
    /* op_layout.c: other orders, repetition */                   \
    X(transpose)                                                  \
    X(expand)                                                     \
    X(tile)                                                       \
    X(depth_to_space)                                             \
    X(space_to_depth)                                             \
    /* op_fill.c: constants and patterns */                       \
    X(constant)                                                   \
    X(constant_of_shape)                                          \
    X(range)                                                      \
    X(eye_like)                                                   \
    X(one_hot)                                                    \
    X(trilu)                                                      \
    /* op_slice.c: cutting and joining */                         \
    X(slice)                                                      \
    X(split)                                                      \
    X(concat)                                                     \
    /* op_index.c: gathering and scattering */                    \
    X(gather)                                                     \
    X(gather_elements)                                            \
    X(scatter)                                                    \
    X(scatter_elements)                                           \
    /* op_index_nd.c: gathering and scattering of slices */       \
    X(gather_nd)                                                  \
    X(scatter_nd)                                                 \
    /* op_select.c: what data says is taken */                    \
    X(compress)                                                   \
    X(non_zero)                                                   \
    X(reverse_sequence)                                           \
    /* op_pad.c: padding */                                       \
    X(pad)                                                        \
    /* op_resize.c: resampling */                                 \
    X(resize)                                                     \
    X(upsample)                                                   \
    /* op_grid.c: sampling at places of a grid */                 \
    X(grid_sample)                                                \
    /* op_matmul.c, op_einsum.c: products */                      \
    X(matmul)                                                     \
    X(fused_matmul)                                               \
    X(gemm)                                                       \
    X(einsum)                                                     \
    /* op_conv.c: convolution */                                  \
    X(conv)                                                       \
    X(conv_transpose)                                             \
    /* op_pool.c: pooling */                                      \
    X(max_pool)                                                   \
    X(average_pool)                                               \
    X(lp_pool)                                                    \
    X(global_max_pool)                                            \
    X(global_average_pool)                                        \
    X(global_lp_pool)                                             \
    /* op_norm.c: normalisation */                                \
    X(batch_normalization)                                        \
    X(layer_normalization)                                        \
    X(rms_normalization)                                          \
    X(simplified_layer_normalization)                             \
    X(group_normalization)                                        \
    X(instance_normalization)                                     \
    X(lp_normalization)                                           \
    X(lrn)                                                        \
    X(mean_variance_normalization)                                \
    /* op_softmax.c: softmax */                                   \
    X(softmax)                                                    \
    X(log_softmax)                                                \
    X(hardmax)                                                    \
    /* op_attn.c: attention */                                    \
    X(attention)                                                  \
    X(multi_head_attention)                                       \
    /* op_rope.c: rotary position */                              \
    X(rotary_embedding)                                           \
    X(rotary_embedding_ms)                                        \
    /* op_rnn.c: recurrent networks */                            \
    X(lstm)                                                       \
    X(gru)                                                        \
    X(rnn)                                                        \
    /* op_quant.c: quantized values */                            \
    X(quantize_linear)                                            \
    X(dequantize_linear)                                          \
    X(dynamic_quantize_linear)                                    \
    /* op_qlinear.c: quantized products */                        \
    X(matmul_integer)                                             \
    X(qlinear_matmul)                                             \
    X(conv_integer)                                               \
    X(qlinear_conv)                                               \
    /* op_nbits.c: products with weights of few bits */           \
    X(matmul_nbits)                                               \
    /* op_loss.c: losses */                                       \
    X(softmax_ce)                                                 \
    X(nll)                                                        \
    X(cross_entropy)                                              \
    X(kl_divergence)                                              \
    X(mean_squared_error)                                         \
    X(cosine_loss)                                                \
    /* op_control.c: control flow */                              \
    X(if)
/* clang-format on */

#endif
