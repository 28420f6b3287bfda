/* vector.h - sixteen floats at a time, and the functions on them that every kernel shares.
 *
 * Included once by each isa_*.c, under that file's target attribute: the compiler makes one zmm, two ymm or four xmm / NEON
 * registers of a v16. All sums therefore have sixteen lanes on every processor. Written with clang's vector
 * extensions; intrinsics appear only where there is no portable spelling (fp16 conversion, masked tails).
 */
#ifndef HK_VECTOR_H
#define HK_VECTOR_H
#include "hadpo_kernels.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef uint32_t v16u __attribute__((vector_size(64)));
typedef uint16_t v16h __attribute__((vector_size(32)));
typedef double v8d __attribute__((vector_size(64)));
typedef int64_t v8l __attribute__((vector_size(64)));
typedef float v8 __attribute__((vector_size(32)));

INLINE v16 splat(float x) { return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE v16u splat_bits(uint32_t x) { return (v16u){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE v16 load(const float *p) {
    v16 x;
    memcpy(&x, p, sizeof x);
    return x;
}
INLINE v16 load_raw(const void *p) { /* 64 bytes of any type, at any address */
    v16 x;
    memcpy(&x, p, sizeof x);
    return x;
}
INLINE void store(float *p, v16 x) { memcpy(p, &x, sizeof x); }
INLINE v16u load_halves(const uint16_t *p) {
    v16h h;
    memcpy(&h, p, sizeof h);
    return __builtin_convertvector(h, v16u);
}
INLINE void store_halves(uint16_t *p, v16u x) {
    v16h h = __builtin_convertvector(x, v16h);
    memcpy(p, &h, sizeof h);
}
/* The first n (0..16) elements; the others read as zero and are not written. */
#ifdef HK_TARGET_AVX512
INLINE v16 load_first(const float *p, size_t n) { return (v16)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
INLINE void store_first(float *p, v16 x, size_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x); }
INLINE v16u load_first_halves(const uint16_t *p, size_t n) {
    return (v16u)_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p));
}
#else
INLINE v16 load_first(const float *p, size_t n) {
    float t[16] = {0};
    for (size_t i = 0; i < n; i++) t[i] = p[i];
    return load(t);
}
INLINE void store_first(float *p, v16 x, size_t n) {
    float t[16];
    store(t, x);
    for (size_t i = 0; i < n; i++) p[i] = t[i];
}
INLINE v16u load_first_halves(const uint16_t *p, size_t n) {
    uint16_t t[16] = {0};
    for (size_t i = 0; i < n; i++) t[i] = p[i];
    return load_halves(t);
}
#endif
/* Either form, for the bodies of elementwise loops. */
INLINE v16 load_up_to(const float *p, size_t n) { return n >= 16 ? load(p) : load_first(p, n); }
INLINE void store_up_to(float *p, v16 x, size_t n) {
    if (n >= 16) store(p, x);
    else store_first(p, x, n);
}

INLINE v16 select16(v16i mask, v16 yes, v16 no) { return (v16)((mask & (v16i)yes) | (~mask & (v16i)no)); }
INLINE v16u select_bits(v16i mask, v16u yes, v16u no) { return ((v16u)mask & yes) | (~(v16u)mask & no); }
INLINE v16 max16(v16 a, v16 b) { return select16(a > b, a, b); }
INLINE v16 abs16(v16 a) { return (v16)((v16u)a & splat_bits(0x7fffffffu)); }
/* Lanes 0..n-1 all ones. */
INLINE v16i first_lanes(size_t n) {
    const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return lane < (v16i)splat_bits((uint32_t)n);
}
/* As integers the bits of magnitudes have the numbers' order, with NaN above all: a broken weight makes a broken block. */
INLINE v16 larger_magnitude(v16 a, v16 b) {
    v16i x = (v16i)abs16(a), y = (v16i)abs16(b);
    return (v16)select_bits(x > y, (v16u)x, (v16u)y);
}
INLINE float largest_lane(v16 magnitudes) { /* in the same order */
    uint32_t most = 0;
    for (int i = 0; i < 16; i++) most = ((v16u)magnitudes)[i] > most ? ((v16u)magnitudes)[i] : most;
    float largest;
    memcpy(&largest, &most, sizeof largest);
    return largest;
}
/* Horizontal sum and maximum: halves folded, always in this order. */
INLINE v8 low8(v16 x) { return __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7); }
INLINE v8 high8(v16 x) { return __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15); }
INLINE float sum16(v16 x) {
    v8 a = low8(x) + high8(x);
    a = a + __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3);
    a = a + __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5);
    return a[0] + a[1];
}
INLINE float maximum16(v16 x) {
    x = max16(x, __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    x = max16(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    x = max16(x, __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    return x[0] > x[1] ? x[0] : x[1];
}
INLINE double sum8d(v8d x) { return ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7])); }
INLINE v16 join(v8 a, v8 b) { return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
INLINE v8 narrow(v8d x) { return __builtin_convertvector(x, v8); }
INLINE v8d widen(v8 x) { return __builtin_convertvector(x, v8d); }

/* ---- conversions of stored types ---- */
INLINE v16 bf16_to_f32(v16u h) { return (v16)(h << 16); }
INLINE v16u f32_to_bf16(v16 x) { /* nearest even; NaN stays NaN */
    v16u u = (v16u)x, r = (u + splat_bits(0x7fff) + ((u >> 16) & splat_bits(1))) >> 16;
    return select_bits(x == x, r, (u >> 16) | splat_bits(0x40));
}
INLINE v16 round_to_bf16(v16 x) { return bf16_to_f32(f32_to_bf16(x)); }
#ifdef HK_TARGET_AVX512
INLINE v16 f16_to_f32(v16u h) { return (v16)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)h)); }
INLINE v16 load_f16(const uint16_t *p) { return (v16)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
INLINE v16u f32_to_f16(v16 x) { return (v16u)_mm512_cvtepu16_epi32(_mm512_cvtps_ph((__m512)x, 0)); }
#else
INLINE v16 f16_to_f32(v16u h) {
    /* Exponent rebased by a multiplication, which is exact and makes subnormals normal; inf and NaN get the top exponent. */
    v16u sign = (h & splat_bits(0x8000)) << 16, magnitude = (h & splat_bits(0x7fff)) << 13;
    v16u value = (v16u)((v16)magnitude * splat(0x1p112f));
    return (v16)(select_bits(magnitude >= splat_bits(0x7c00u << 13), magnitude | splat_bits(0x7f800000), value) | sign);
}
#ifdef HK_TARGET_AVX2
INLINE v16 load_f16(const uint16_t *p) {
    v8 a = (v8)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)), b = (v8)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)));
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
#else
INLINE v16 load_f16(const uint16_t *p) { return f16_to_f32(load_halves(p)); }
#endif
INLINE v16u f32_to_f16(v16 x) {
    v16u u = (v16u)x, sign = (u >> 16) & splat_bits(0x8000), a = u & splat_bits(0x7fffffff);
    v16u normal = (a - splat_bits(112u << 23) + splat_bits(0xfff) + ((a >> 13) & splat_bits(1))) >> 13;
    v16u subnormal = (v16u)((v16)a + splat(0.5f)) - (v16u)splat(0.5f); /* the addition rounds to a multiple of 2^-24 */
    v16u r = select_bits(a < splat_bits(113u << 23), subnormal, normal);
    r = select_bits(a >= splat_bits(0x477ff000u), splat_bits(0x7c00), r); /* 65520 and above round to infinity */
    return select_bits(a > splat_bits(0x7f800000u), splat_bits(0x7e00), r) | sign;
}
#endif
/* Elements i.. of an array of any dtype, as fp32. */
INLINE v16 load_as_f32(const void *p, hk_dtype dtype, size_t i) {
    if (dtype == HK_F16) return load_f16((const uint16_t *)p + i);
    if (dtype == HK_BF16) return bf16_to_f32(load_halves((const uint16_t *)p + i));
    return load((const float *)p + i);
}
INLINE v16 load_first_as_f32(const void *p, hk_dtype dtype, size_t i, size_t n) {
    if (dtype == HK_F16) return f16_to_f32(load_first_halves((const uint16_t *)p + i, n));
    if (dtype == HK_BF16) return bf16_to_f32(load_first_halves((const uint16_t *)p + i, n));
    return load_first((const float *)p + i, n);
}

typedef int8_t v16b __attribute__((vector_size(16)));
/* `n` numbers from column `c` of a row of HK_CACHE8, both multiples of 16; `bytes` of the row. */
INLINE void load_cache8(float *out, const int8_t *row, size_t bytes, size_t c, size_t n) {
    for (size_t i = c; i < c + n; i += 16) {
        v16b codes;
        uint16_t scale;
        memcpy(&codes, row + i, sizeof codes);
        memcpy(&scale, row + bytes / 17 * 16 + i / 32 * 2, sizeof scale);
        store(out + i - c, __builtin_convertvector(__builtin_convertvector(codes, v16i), v16) * f16_to_f32(splat_bits(scale)));
    }
}

/* ---- functions ---- */
/* e^x, at most about 1 ulp off (tested): x = n ln2 + r with ln2 in two parts, a degree-7 polynomial (Cephes expf), and 2^n applied in
 * two factors so that subnormal results and overflow come out right. */
INLINE v16 exp16(v16 x) {
    x = select16(x > splat(89.0f), splat(89.0f), x);
    x = select16(x < splat(-104.5f), splat(-104.5f), x);
    const v16 magic = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    v16 z = x * splat(1.44269504088896341f) + magic;
    v16i n = (v16i)z - (v16i)magic;
    v16 f = z - magic;
    v16 r = x - f * splat(0.693359375f);
    r = r - f * splat(-2.12194440e-4f);
    v16 p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    p = p * (r * r) + r;
    p = p + splat(1.0f);
    v16i half = n >> 1;
    v16 s1 = (v16)((half + 127) << 23), s2 = (v16)((n - half + 127) << 23);
    return p * s1 * s2;
}
/* erf(x), about 1 ulp (N. Juffa's two minimax polynomials, split at 475/512). */
INLINE v16 erf16(v16 x) {
    v16 t = abs16(x), s = x * x;
    t = select16(t > splat(10.0f), splat(10.0f), t);
    v16 s_far = t * t;
    v16 r = splat(-1.72853470e-5f) * t + splat(3.83197126e-4f);
    v16 u = splat(-3.88396438e-3f) * t + splat(2.42546219e-2f);
    r = r * s_far + u;
    r = r * t + splat(-1.06777877e-1f);
    r = r * t + splat(-6.34846687e-1f);
    r = r * t + splat(-1.28717512e-1f);
    r = r * t - t;
    v16 far = splat(1.0f) - exp16(r);
    far = (v16)((v16u)far | ((v16u)x & splat_bits(0x80000000u)));
    v16 q = splat(-5.96761703e-4f);
    q = q * s + splat(4.99119423e-3f);
    q = q * s + splat(-2.67681349e-2f);
    q = q * s + splat(1.12819925e-1f);
    q = q * s + splat(-3.76125336e-1f);
    q = q * s + splat(1.28379166e-1f);
    v16 near = q * x + x;
    return select16(t > splat(0.927734375f), far, near);
}
INLINE v16 sigmoid16(v16 x) { return splat(1.0f) / (splat(1.0f) + exp16(-x)); }

/* sin and cos of eight doubles, |x| < 2^20 pi/2: reduction by pi/2 in three parts (fdlibm), fdlibm's kernel polynomials. */
INLINE v8d splatd(double x) { return (v8d){x, x, x, x, x, x, x, x}; }
INLINE void sincos8(v8d x, v8d *sine, v8d *cosine) {
    const v8d magic = splatd(6755399441055744.0); /* 1.5 * 2^52 */
    v8d z = x * splatd(6.36619772367581382433e-01) + magic;
    v8l n = (v8l)z;
    v8d f = z - magic;
    v8d r = x - f * splatd(1.57079632673412561417e+00);
    r = r - f * splatd(6.07710050630396597660e-11);
    r = r - f * splatd(2.02226624879595063154e-21);
    v8d s = r * r;
    v8d p = splatd(1.58969099521155010221e-10);
    p = p * s + splatd(-2.50507602534068634195e-08);
    p = p * s + splatd(2.75573137070700676789e-06);
    p = p * s + splatd(-1.98412698298579493134e-04);
    p = p * s + splatd(8.33333333332248946124e-03);
    p = p * s + splatd(-1.66666666666666324348e-01);
    v8d sn = r + r * s * p;
    v8d q = splatd(-1.13596475577881948265e-11);
    q = q * s + splatd(2.08757232129817482790e-09);
    q = q * s + splatd(-2.75573143513906633035e-07);
    q = q * s + splatd(2.48015872894767294178e-05);
    q = q * s + splatd(-1.38888888888741095749e-03);
    q = q * s + splatd(4.16666666666666019037e-02);
    v8d cs = splatd(1.0) - splatd(0.5) * s + s * s * q;
    const v8l one = {1, 1, 1, 1, 1, 1, 1, 1};
    v8l swap = (n & one) == one; /* odd quadrants exchange the two */
    v8l sin_sign = (n & (one + one)) << 62, cos_sign = ((n + one) & (one + one)) << 62;
    v8l a = (swap & (v8l)cs) | (~swap & (v8l)sn), b = (swap & (v8l)sn) | (~swap & (v8l)cs);
    *sine = (v8d)(a ^ sin_sign);
    *cosine = (v8d)(b ^ cos_sign);
}

/* r[i][j] <-> r[j][i]. */
INLINE void transpose16(v16 *r) {
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    v16 t[16], u[16];
    UNROLL for (int i = 0; i < 16; i += 2) {
        t[i] = PICK(r[i], r[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
        t[i + 1] = PICK(r[i], r[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    }
    UNROLL for (int i = 0; i < 16; i += 4) {
        u[i] = PICK(t[i], t[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
        u[i + 1] = PICK(t[i], t[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
        u[i + 2] = PICK(t[i + 1], t[i + 3], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
        u[i + 3] = PICK(t[i + 1], t[i + 3], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
    /* u[4i+j] holds in its 128-bit lane L column 4L+j of rows 4i..4i+3. */
    UNROLL for (int j = 0; j < 4; j++) {
        v16 a = PICK(u[j], u[4 + j], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        v16 b = PICK(u[j], u[4 + j], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        v16 c = PICK(u[8 + j], u[12 + j], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        v16 d = PICK(u[8 + j], u[12 + j], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        r[j] = PICK(a, c, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        r[8 + j] = PICK(a, c, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        r[4 + j] = PICK(b, d, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        r[12 + j] = PICK(b, d, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    }
#undef PICK
}
#endif
