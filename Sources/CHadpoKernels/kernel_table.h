/* kernel_table.h - all kernels of one instruction set, gathered in HK_KERNELS. The including file has set the target attribute. */
#include "attention_kernel.h"
#include "elementwise_kernel.h"
#include "quantise_kernel.h"

const hk_kernels HK_KERNELS = {
    .product = &HK_PRODUCT,
    .attention_scratch = attention_scratch,
    .attention_forward = attention_forward,
    .attention_backward = attention_backward,
    .rmsnorm_forward = rmsnorm_forward,
    .rmsnorm_backward = rmsnorm_backward,
    .layernorm_forward = layernorm_forward,
    .layernorm_backward = layernorm_backward,
    .norm_weights = norm_weights,
    .rope = rope,
    .activation_forward = activation_forward,
    .activation_backward = activation_backward,
    .swiglu_forward = swiglu_forward,
    .swiglu_backward = swiglu_backward,
    .add = add,
    .axpy = axpy,
    .scale = scale,
    .column_sum = column_sum,
    .to_f32 = to_f32,
    .from_f32 = from_f32,
    .quantise = quantise_group_row,
    .dequantise = dequantise_group_row,
    .cache_row = cache_row,
    .round_trip_fp4 = round_trip_fp4,
    .sum_of_squares = sum_of_squares,
    .all_finite = all_finite,
    .logprob_forward = logprob_forward,
    .logprob_backward = logprob_backward,
    .adamw = adamw,
    .elementary = elementary,
};
