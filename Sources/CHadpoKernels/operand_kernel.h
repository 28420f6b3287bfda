/* operand_kernel.h - sixteen units of a product's operand from memory of any dtype, for one operand form (HK_UNIT). */
#ifndef HK_OPERAND_KERNEL_H
#define HK_OPERAND_KERNEL_H
#include "internal.h"
#include "vector.h"

/* Sixteen units along the contiguous dimension, which is K; `n` elements exist. */
INLINE v16 load_along(const void *p, hk_dtype dtype, size_t i, size_t n, int round) {
#if HK_UNIT == 2
    (void)round;
    if (dtype == HK_BF16 && n >= 32) return load_raw((const uint16_t *)p + i);
    v16 lo = n >= 16 ? load_as_f32(p, dtype, i) : load_first_as_f32(p, dtype, i, n);
    v16 hi = n >= 32 ? load_as_f32(p, dtype, i + 16) : n > 16 ? load_first_as_f32(p, dtype, i + 16, n - 16) : splat(0);
    return (v16)_mm512_cvtne2ps_pbh((__m512)hi, (__m512)lo);
#else
    v16 x = n >= 16 ? load_as_f32(p, dtype, i) : load_first_as_f32(p, dtype, i, n);
    return round ? round_to_bf16(x) : x;
#endif
}
#if HK_UNIT == 2
INLINE v16u load_bf16_bits(const void *p, hk_dtype dtype, size_t i, size_t n) {
    if (dtype == HK_BF16) return n >= 16 ? load_halves((const uint16_t *)p + i) : load_first_halves((const uint16_t *)p + i, n);
    v16 x = n >= 16 ? load_as_f32(p, dtype, i) : load_first_as_f32(p, dtype, i, n);
    return (v16u)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x));
}
#endif
/* One unit of sixteen neighbours along the contiguous dimension, which is not K; `n` of them exist. `next` is the distance to the
 * unit's second element, 0 when K ends before it. */
INLINE v16 load_across(const void *p, hk_dtype dtype, size_t i, size_t next, size_t n, int round) {
#if HK_UNIT == 2
    (void)round;
    v16u lo = load_bf16_bits(p, dtype, i, n);
    return next ? (v16)(lo | load_bf16_bits(p, dtype, i + next, n) << 16) : (v16)lo;
#else
    (void)next;
    v16 x = n >= 16 ? load_as_f32(p, dtype, i) : load_first_as_f32(p, dtype, i, n);
    return round ? round_to_bf16(x) : x;
#endif
}
/* One unit of each lane from its HK_UNIT elements, each a vector. */
INLINE v16 unit_of(const v16 *w, int round) {
#if HK_UNIT == 2
    const __m512i interleaved =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    (void)round;
    return (v16)_mm512_permutexvar_epi16(interleaved, (__m512i)_mm512_cvtne2ps_pbh((__m512)w[1], (__m512)w[0]));
#else
    return round ? round_to_bf16(w[0]) : w[0];
#endif
}
#endif
