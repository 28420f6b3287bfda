/* elementwise_kernel.h - sums, scalings and conversions of one chunk, and the losses and the optimizer, for one instruction set. */
#include "layers_kernel.h"

static void add(size_t n, const float *a, const float *b, float *y) { EACH16(n, PUT(y, GET(a) + GET(b));); }
static void axpy(size_t n, float alpha, const float *x, float *y) { EACH16(n, PUT(y, splat(alpha) * GET(x) + GET(y));); }
static void scale(size_t n, float alpha, float *x) { EACH16(n, PUT(x, splat(alpha) * GET(x));); }

/* In runs of 64 rows, as norm_weights. */
static void column_sum(size_t R, size_t n, const float *x, size_t ldx, float *sum) {
    EACH16(n, {
        v16 total = splat(0);
        for (size_t first = 0; first < R; first += 64) {
            v16 run = splat(0);
            for (size_t r = first; r < hk_min(R, first + 64); r++) run = run + GET(x + r * ldx);
            total = total + run;
        }
        PUT(sum, GET(sum) + total);
    });
}
static void to_f32(size_t n, const void *x, hk_dtype dtype, size_t first, float *y) {
#define CONVERT(T) EACH16(n, PUT(y, count == 16 ? load_as_f32(x, T, first + i) : load_first_as_f32(x, T, first + i, count));)
    if (dtype == HK_F16) CONVERT(HK_F16);
    else if (dtype == HK_BF16) CONVERT(HK_BF16);
    else CONVERT(HK_F32);
}
INLINE void put_halves(uint16_t *p, v16u x, size_t count) {
    uint16_t t[16];
    if (count == 16) {
        store_halves(p, x);
        return;
    }
    store_halves(t, x);
    memcpy(p, t, count * sizeof *t);
}
static void from_f32(size_t n, const float *x, void *y, hk_dtype dtype, size_t first) {
    uint16_t *halves = (uint16_t *)y + first;
    if (dtype == HK_F32) memcpy((float *)y + first, x, n * sizeof(float));
    else if (dtype == HK_F16) EACH16(n, put_halves(halves + i, f32_to_f16(GET(x)), count););
    else EACH16(n, put_halves(halves + i, f32_to_bf16(GET(x)), count););
}
static double sum_of_squares(size_t n, const float *x) {
    v8d low = splatd(0), high = splatd(0);
    EACH16(n, {
        v16 a = GET(x);
        v8d l = widen(low8(a));
        v8d h = widen(high8(a));
        low = l * l + low;
        high = h * h + high;
    });
    return sum8d(low) + sum8d(high);
}
static int all_finite(size_t n, const float *x) {
    v16i bad = (v16i)splat(0);
    EACH16(n, v16u a = (v16u)GET(x) & splat_bits(0x7f800000u); bad = bad | (v16i)(a == splat_bits(0x7f800000u)););
    int any = 0;
    for (int l = 0; l < 16; l++) any |= bad[l];
    return any == 0;
}

/* ---- losses ---- */
static void logprob_forward(size_t R, size_t V, const float *logits, size_t ld, const int32_t *ids, float *logp, float *lse) {
    for (size_t r = 0; r < R; r++) {
        const float *x = logits + r * ld;
        v16 peak = splat(-INFINITY);
        v8d low = splatd(0), high = splatd(0);
        EACH16(V, v16 a = GET(x); peak = max16(peak, count == 16 ? a : select16(first_lanes(count), a, splat(-INFINITY))););
        float m = maximum16(peak);
        EACH16(V, {
            v16 e = exp16(GET(x) - splat(m));
            if (count < 16) e = select16(first_lanes(count), e, splat(0));
            low = low + widen(low8(e));
            high = high + widen(high8(e));
        });
        double logarithm = log(sum8d(low) + sum8d(high));
        logp[r] = (float)((double)x[ids[r]] - (double)m - logarithm);
        if (lse) lse[r] = (float)((double)m + logarithm);
    }
}
static void logprob_backward(size_t R, size_t V, float *logits, size_t ld, const int32_t *ids, const float *lse, const float *dlogp) {
    for (size_t r = 0; r < R; r++) {
        float *x = logits + r * ld;
        v16 g = splat(-dlogp[r]), l = splat(lse[r]);
        EACH16(V, PUT(x, g * exp16(GET(x) - l)););
        x[ids[r]] += dlogp[r];
    }
}
INLINE v16 sqrt16(v16 x) { return __builtin_elementwise_sqrt(x); }
static void adamw(size_t n, float *p, const float *g, float *m, float *v, float grad_scale, float decayed, float step, float root,
                  float rest1, float beta2, float rest2, float eps) {
    EACH16(n, {
        v16 grad = GET(g) * splat(grad_scale);
        v16 first = GET(m) + (grad - GET(m)) * splat(rest1);
        v16 second = GET(v) * splat(beta2) + grad * grad * splat(rest2);
        PUT(m, first);
        PUT(v, second);
        PUT(p, GET(p) * splat(decayed) - splat(step) * (first / (sqrt16(second) * splat(root) + splat(eps))));
    });
}
