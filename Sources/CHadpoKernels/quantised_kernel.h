/* quantised_kernel.h - quantised matrices as a product reads them, for one operand form (HK_UNIT). The stored form is in internal.h.
 *
 * A vector holds one column of sixteen rows, so that the rows' products are sixteen chains over K as in the tile and nothing is
 * transposed when W's rows are the product's columns. Values are those that dequantising gives: fp32(code) * scale, exact; for FP4
 * the product rounded to fp16.
 */
#ifndef HK_QUANTISED_KERNEL_H
#define HK_QUANTISED_KERNEL_H
#include "internal.h"
#include "vector.h"

INLINE v16 group_scales(const uint8_t *group, hk_dtype dtype) {
    return dtype == HK_FP4 ? load_raw(group) : load_f16((const uint16_t *)(const void *)group);
}
/* The entry of a table of sixteen that the low four bits of each lane name. */
INLINE v16 look_up(v16u codes, const float *table) {
#ifdef HK_TARGET_AVX512
    return (v16)_mm512_permutexvar_ps((__m512i)codes, (__m512)load(table));
#else
    v16 x;
    UNROLL for (int i = 0; i < 16; i++) x[i] = table[codes[i] & 15];
    return x;
#endif
}
INLINE v16 round_to_f16(v16 x) {
#ifdef HK_TARGET_AVX512
    return (v16)_mm512_cvtph_ps(_mm512_cvtps_ph((__m512)x, 0)); /* without the detour through 32-bit lanes: 1.5 x faster decoding */
#else
    return f16_to_f32(f32_to_f16(x));
#endif
}

/* w[i] = column `at` + i of the group's sixteen rows, i < 8; `at` is a multiple of 8. */
INLINE void group_columns(v16 *w, const uint8_t *group, hk_dtype dtype, size_t at, v16 scale) {
    if (dtype == HK_Q8) {
        UNROLL for (size_t i = 0; i < 8; i++) {
            v16b codes;
            memcpy(&codes, group + 32 + 16 * (at + i), sizeof codes);
            w[i] = __builtin_convertvector(__builtin_convertvector(codes, v16i), v16) * scale;
        }
        return;
    }
    v16u codes = (v16u)load_raw(group + hk_group_scale_bytes(dtype) + 8 * at);
    UNROLL for (size_t i = 0; i < 8; i++) {
        v16u code = codes >> (uint32_t)(4 * i);
        if (dtype == HK_FP4) w[i] = round_to_f16(look_up(code, hk_fp4_levels) * scale);
#ifdef HK_TARGET_AVX512
        else w[i] = look_up(code, hk_q4_levels) * scale;
#else
        else w[i] = (__builtin_convertvector((v16i)(code & splat_bits(15)), v16) - splat(8)) * scale;
#endif
    }
}
#endif
