/* quantise_kernel.h - quantising and dequantising sixteen rows, for one instruction set. The stored form is in internal.h. */
#include "quantised_kernel.h"

/* Integers, as fp32, nearest (ties to even) to |x| < 2^22. */
INLINE v16 nearest_integers(v16 x) { return (x + splat(12582912.0f)) - splat(12582912.0f); }
/* 1 / scale, 0 where there is none to speak of (a block of zeros, infinity, NaN): the codes are 0 then, not undefined conversions. */
INLINE v16 inverse_of(v16 scale) {
    v16 inverse = splat(1) / scale;
    return select16(abs16(inverse) < splat(0x1p40f), inverse, splat(0));
}
INLINE v16 clamped(v16 x, float low, float high) {
    x = select16(x > splat(low), x, splat(low)); /* NaN too */
    return select16(x < splat(high), x, splat(high));
}

/* scale = largest magnitude / 127. */
static void quantise_q8(const v16 *w, uint8_t *group) {
    v16 largest = splat(0);
    for (size_t k = 0; k < 32; k++) largest = larger_magnitude(w[k], largest);
    v16u stored = f32_to_f16(largest * splat(1.0f / 127));
    v16 inverse = inverse_of(f16_to_f32(stored));
    store_halves((uint16_t *)(void *)group, stored);
    for (size_t k = 0; k < 32; k++) {
        v16b codes = __builtin_convertvector(__builtin_convertvector(clamped(nearest_integers(w[k] * inverse), -127, 127), v16i), v16b);
        memcpy(group + 32 + 16 * k, &codes, sizeof codes);
    }
}
/* A row of HK_CACHE8. */
static void cache_row(size_t n, const float *x, int8_t *y) {
    for (size_t k = 0; k < n; k += 32) {
        v16 low = load(x + k), high = load(x + k + 16);
        v16u stored = f32_to_f16(splat(largest_lane(larger_magnitude(low, high))) * splat(1.0f / 127));
        v16 inverse = inverse_of(f16_to_f32(stored));
        v16b codes = __builtin_convertvector(__builtin_convertvector(clamped(nearest_integers(low * inverse), -127, 127), v16i), v16b);
        memcpy(y + k, &codes, sizeof codes);
        codes = __builtin_convertvector(__builtin_convertvector(clamped(nearest_integers(high * inverse), -127, 127), v16i), v16b);
        memcpy(y + k + 16, &codes, sizeof codes);
        uint16_t scale = (uint16_t)stored[0];
        memcpy(y + n + k / 16, &scale, sizeof scale);
    }
}
/* Codes 0..15 stand for -8..7. The number of largest magnitude takes the end with eight steps; of a few scales near that, the one with the
 * least squared error is kept. */
static void quantise_q4(const v16 *w, uint8_t *group) {
#pragma clang fp contract(off) /* else the choice would depend on the processor */
    static const float steps[] = {-8, -7.5f, -7, -8.5f, -9, -9.5f};
    v16 largest = splat(0), least = splat(INFINITY);
    v16u stored = splat_bits(0);
    for (size_t k = 0; k < 32; k++) largest = select16((v16i)abs16(w[k]) > (v16i)abs16(largest), w[k], largest);
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        v16u half = f32_to_f16(largest / splat(steps[s]));
        v16 scale = f16_to_f32(half), inverse = inverse_of(scale), error = splat(0);
        for (size_t k = 0; k < 32; k++) {
            v16 d = clamped(nearest_integers(w[k] * inverse), -8, 7) * scale - w[k];
            error = d * d + error;
        }
        v16i better = error < least;
        if (s == 0) better = (v16i)splat_bits(0xffffffffu);
        stored = select_bits(better, half, stored);
        least = select16(better, error, least);
    }
    v16 inverse = inverse_of(f16_to_f32(stored));
    store_halves((uint16_t *)(void *)group, stored);
    for (size_t k = 0; k < 32; k += 8) {
        v16u codes = splat_bits(0);
        for (size_t i = 0; i < 8; i++)
            codes |= (v16u)__builtin_convertvector(clamped(nearest_integers(w[k + i] * inverse), -8, 7) + splat(8), v16i) << (uint32_t)(4 * i);
        store((float *)(void *)(group + 32 + 8 * k), (v16)codes);
    }
}
/* bitsandbytes' thresholds on t = w * (1 / absmax), strict; the number exceeded, 0..7, is the level's rank. */
INLINE v16u fp4_codes(v16 w, v16 inverse) {
    static const float thresholds[] = {0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f, 0.4166667f, 0.583333f, 0.8333333f};
    v16 t = w * inverse, magnitude = abs16(t);
    v16i rank = (v16i)splat_bits(0);
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++) rank = rank - (magnitude > splat(thresholds[i]));
    v16u r = (v16u)rank; /* ranks 0 1 2 3 4 5 6 7 have the codes 0 1 6 7 4 5 2 3 */
    return (r ^ (r & splat_bits(2)) << 1) | ((v16u)(t < splat(0)) & splat_bits(8));
}
static void quantise_fp4(const v16 *w, uint8_t *group) {
    v16 largest = splat(0);
    for (size_t k = 0; k < 64; k++) largest = larger_magnitude(w[k], largest);
    v16 inverse = splat(1) / largest;
    store((float *)(void *)group, largest);
    for (size_t k = 0; k < 64; k += 8) {
        v16u codes = splat_bits(0);
        for (size_t i = 0; i < 8; i++) codes |= fp4_codes(w[k + i], inverse) << (uint32_t)(4 * i);
        store((float *)(void *)(group + 64 + 8 * k), (v16)codes);
    }
}
/* `rows` (1..16) rows of `columns` numbers from element `first` into one row of groups; rows that do not exist become zeros. */
static void quantise_group_row(hk_dtype dtype, size_t rows, size_t columns, const void *x, hk_dtype x_dtype, size_t first, uint8_t *groups) {
    const size_t depth = hk_group_columns(dtype);
    for (size_t c = 0; c < columns; c += depth, groups += hk_group_bytes(dtype)) {
        v16 w[64];
        for (size_t h = 0; h < depth; h += 16) {
            for (size_t r = 0; r < 16; r++) w[h + r] = r < rows ? load_as_f32(x, x_dtype, first + r * columns + c + h) : splat(0);
            transpose16(w + h);
        }
        if (dtype == HK_Q8) quantise_q8(w, groups);
        else if (dtype == HK_Q4) quantise_q4(w, groups);
        else {
            if (x_dtype != HK_F16)
                for (size_t k = 0; k < 64; k++) w[k] = round_to_f16(w[k]);
            quantise_fp4(w, groups);
        }
    }
}
static void dequantise_group_row(hk_dtype dtype, size_t rows, size_t columns, const uint8_t *groups, float *y) {
    const size_t depth = hk_group_columns(dtype);
    for (size_t c = 0; c < columns; c += depth, groups += hk_group_bytes(dtype)) {
        v16 scale = group_scales(groups, dtype);
        for (size_t h = 0; h < depth; h += 16) {
            v16 w[16];
            group_columns(w, groups, dtype, h, scale);
            group_columns(w + 8, groups, dtype, h + 8, scale);
            transpose16(w);
            for (size_t r = 0; r < rows; r++) store(y + r * columns + c + h, w[r]);
        }
    }
}
/* n (1..64) numbers that are a block of bitsandbytes, as the fp16 numbers they dequantise to. */
static void round_trip_fp4(size_t n, const void *x, hk_dtype x_dtype, size_t first, uint16_t *y) {
    v16 w[4], largest = splat(0);
    for (size_t i = 0; i < 4; i++) {
        size_t count = n > 16 * i ? hk_min(16, n - 16 * i) : 0;
        w[i] = count == 0 ? splat(0) : round_to_f16(load_first_as_f32(x, x_dtype, first + 16 * i, count));
        largest = larger_magnitude(w[i], largest);
    }
    float most = 0;
    for (size_t l = 0; l < 16; l++) most = larger_magnitude(largest, splat(most))[l];
    for (size_t i = 0; 16 * i < n; i++) {
        v16u half = f32_to_f16(look_up(fp4_codes(w[i], splat(1) / splat(most)), hk_fp4_levels) * splat(most));
        for (size_t l = 0; l < hk_min(16, n - 16 * i); l++) y[16 * i + l] = (uint16_t)half[l];
    }
}
