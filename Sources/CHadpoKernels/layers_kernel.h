/* layers_kernel.h - norms, rotary positions and activations on one chunk of rows or elements, for one instruction set. */
#include "internal.h"
#include "vector.h"

/* The body sees i and count: sixteen elements at a time, then the rest. */
#define EACH16(n, ...)                                                                                                            \
    do {                                                                                                                          \
        size_t i = 0;                                                                                                             \
        for (; i + 16 <= (n); i += 16) {                                                                                          \
            const size_t count = 16;                                                                                              \
            __VA_ARGS__                                                                                                           \
        }                                                                                                                         \
        if (i < (n)) {                                                                                                            \
            const size_t count = (n) - i;                                                                                         \
            __VA_ARGS__                                                                                                           \
        }                                                                                                                         \
    } while (0)
#define GET(p) load_up_to((p) + i, count)
#define PUT(p, x) store_up_to((p) + i, x, count)

static void rmsnorm_forward(size_t R, size_t C, const float *x, const float *w, float eps, float *y, float *rstd) {
    for (size_t r = 0; r < R; r++, x += C, y += C) {
        v16 s = splat(0);
        EACH16(C, v16 a = GET(x); s = a * a + s;);
        float inverse = (float)(1.0 / sqrt((double)sum16(s) / (double)C + (double)eps));
        EACH16(C, PUT(y, GET(x) * splat(inverse) * GET(w)););
        if (rstd) rstd[r] = inverse;
    }
}
/* dx = rstd (w dy) - x rstd^3 mean(w dy x) */
static void rmsnorm_backward(size_t R, size_t C, const float *x, const float *w, const float *rstd, const float *dy, float *dx) {
    for (size_t r = 0; r < R; r++, x += C, dy += C, dx += C) {
        v16 s = splat(0), inverse = splat(rstd[r]);
        EACH16(C, s = GET(w) * GET(dy) * GET(x) + s;);
        v16 along = splat((float)((double)sum16(s) / (double)C * (double)rstd[r] * (double)rstd[r] * (double)rstd[r]));
        EACH16(C, PUT(dx, GET(w) * GET(dy) * inverse - GET(x) * along););
    }
}
static void layernorm_forward(size_t R, size_t C, const float *x, const float *w, const float *b, float eps, float *y, float *mean,
                              float *rstd) {
    for (size_t r = 0; r < R; r++, x += C, y += C) {
        v16 s = splat(0);
        EACH16(C, s = s + GET(x););
        float center = (float)((double)sum16(s) / (double)C);
        v16 m = splat(center);
        s = splat(0);
        EACH16(C, v16 a = GET(x) - m; a = count == 16 ? a : select16(first_lanes(count), a, splat(0)); s = a * a + s;);
        float inverse = (float)(1.0 / sqrt((double)sum16(s) / (double)C + (double)eps));
        EACH16(C, PUT(y, (GET(x) - m) * splat(inverse) * GET(w) + GET(b)););
        if (mean) mean[r] = center;
        if (rstd) rstd[r] = inverse;
    }
}
/* With g = w dy and n = (x - mean) rstd:  dx = rstd (g - mean(g) - n mean(g n)) */
static void layernorm_backward(size_t R, size_t C, const float *x, const float *w, const float *mean, const float *rstd,
                               const float *dy, float *dx) {
    for (size_t r = 0; r < R; r++, x += C, dy += C, dx += C) {
        v16 m = splat(mean[r]), inverse = splat(rstd[r]), plain = splat(0), along = splat(0);
        EACH16(C, v16 g = GET(w) * GET(dy); plain = plain + g; along = g * ((GET(x) - m) * inverse) + along;);
        v16 a = splat((float)((double)sum16(plain) / (double)C)), b = splat((float)((double)sum16(along) / (double)C));
        EACH16(C, v16 n = (GET(x) - m) * inverse; PUT(dx, inverse * (GET(w) * GET(dy) - a - n * b)););
    }
}
/* Rows are added in runs of 64, then the runs: the error of a long column stays that of a short one. */
static void norm_weights(size_t R, size_t C, size_t c, size_t n, const float *x, const float *mean, const float *rstd, const float *dy,
                         float *dw, float *db) {
    EACH16(n, {
        v16 w = splat(0), b = splat(0);
        for (size_t first = 0; first < R; first += 64) {
            v16 w_run = splat(0), b_run = splat(0);
            for (size_t r = first; r < hk_min(R, first + 64); r++) {
                v16 g = GET(dy + r * C + c), a = GET(x + r * C + c) - splat(mean ? mean[r] : 0);
                w_run = g * (a * splat(rstd[r])) + w_run;
                b_run = b_run + g;
            }
            w = w + w_run;
            b = b + b_run;
        }
        if (dw) PUT(dw + c, GET(dw + c) + w);
        if (db) PUT(db + c, GET(db + c) + b);
    });
}

static void angles(size_t half, float position, const float *inv_freq, float direction, float *cosine, float *sine) {
    for (size_t c = 0; c < half; c += 16) {
        size_t n = hk_min(16, half - c);
        v16 angle = splat(position) * load_up_to(inv_freq + c, n);
        v8d s_low, c_low, s_high, c_high;
        sincos8(widen(low8(angle)), &s_low, &c_low);
        sincos8(widen(high8(angle)), &s_high, &c_high);
        store_up_to(cosine + c, join(narrow(c_low), narrow(c_high)), n);
        store_up_to(sine + c, join(narrow(s_low), narrow(s_high)) * splat(direction), n);
        if (maximum16(abs16(angle)) < 1e6f) continue;
        for (size_t i = c; i < c + n; i++) { /* beyond sincos8's reduction */
            double a = (double)(position * inv_freq[i]);
            cosine[i] = (float)cos(a);
            sine[i] = direction * (float)sin(a);
        }
    }
}
/* scratch: head_dim. The angle is the fp32 product, as in the checkpoints' own code. */
static void rope(size_t R, size_t heads, size_t head_dim, const int32_t *positions, const float *inv_freq, int direction, float *x,
                 size_t ldx, float *scratch) {
    size_t half = head_dim / 2;
    float *cosine = scratch, *sine = scratch + half;
    for (size_t r = 0; r < R; r++) {
        if (r == 0 || positions[r] != positions[r - 1])
            angles(half, (float)positions[r], inv_freq, (float)direction, cosine, sine);
        for (size_t h = 0; h < heads; h++) {
            float *low = x + r * ldx + h * head_dim, *high = low + half;
            EACH16(half, {
                v16 a = GET(low), b = GET(high), c = GET(cosine), s = GET(sine);
                PUT(low, a * c - b * s);
                PUT(high, b * c + a * s);
            });
        }
    }
}

/* sqrt(1/2), 1/sqrt(2 pi), 2 sqrt(2/pi), its cubic factor. */
#define SQRT_HALF 0.70710678118654752f
#define INV_SQRT_2PI 0.39894228040143268f
#define TWO_SQRT_2_PI 1.5957691216057308f
#define TANH_CUBIC 0.044715f
INLINE v16 activate(hk_activation kind, v16 x) {
    if (kind == HK_GELU_ERF) return splat(0.5f) * x * (splat(1) + erf16(x * splat(SQRT_HALF)));
    if (kind == HK_GELU_QUICK) return x * sigmoid16(x * splat(1.702f));
    if (kind == HK_SILU) return x * sigmoid16(x);
    if (kind == HK_RELU) return select16(x < splat(0), splat(0), x);
    return x * sigmoid16(splat(TWO_SQRT_2_PI) * (x + splat(TANH_CUBIC) * x * x * x));
}
INLINE v16 slope(hk_activation kind, v16 x) {
    const v16 one = splat(1);
    if (kind == HK_GELU_ERF)
        return splat(0.5f) * (one + erf16(x * splat(SQRT_HALF))) + x * splat(INV_SQRT_2PI) * exp16(splat(-0.5f) * x * x);
    if (kind == HK_RELU) return select16(x > splat(0), one, splat(0));
    v16 inner = one, s;
    if (kind == HK_GELU_QUICK) {
        s = sigmoid16(x * splat(1.702f));
        inner = splat(1.702f);
    } else if (kind == HK_SILU) {
        s = sigmoid16(x);
    } else {
        s = sigmoid16(splat(TWO_SQRT_2_PI) * (x + splat(TANH_CUBIC) * x * x * x));
        inner = splat(TWO_SQRT_2_PI) * (one + splat(3 * TANH_CUBIC) * x * x);
    }
    return s + x * inner * s * (one - s);
}
#define FOR_KIND(KIND, CALL)                                                                                                      \
    switch (KIND) {                                                                                                               \
    case HK_GELU_ERF: CALL(HK_GELU_ERF); break;                                                                                   \
    case HK_GELU_QUICK: CALL(HK_GELU_QUICK); break;                                                                               \
    case HK_SILU: CALL(HK_SILU); break;                                                                                           \
    case HK_RELU: CALL(HK_RELU); break;                                                                                           \
    case HK_GELU_TANH: CALL(HK_GELU_TANH); break;                                                                                 \
    }
static void activation_forward(hk_activation kind, size_t n, const float *x, float *y) {
#define FORWARD(K) EACH16(n, PUT(y, activate(K, GET(x)));)
    FOR_KIND(kind, FORWARD)
}
static void activation_backward(hk_activation kind, size_t n, const float *x, const float *dy, float *dx) {
#define BACKWARD(K) EACH16(n, PUT(dx, GET(dy) * slope(K, GET(x)));)
    FOR_KIND(kind, BACKWARD)
}
static void swiglu_forward(size_t n, const float *gate, const float *up, float *y) {
    EACH16(n, v16 g = GET(gate); PUT(y, g * sigmoid16(g) * GET(up)););
}
static void swiglu_backward(size_t n, const float *gate, const float *up, const float *dy, float *dgate, float *dup) {
    EACH16(n, {
        v16 g = GET(gate), u = GET(up), d = GET(dy), s = sigmoid16(g);
        PUT(dup, d * (g * s));
        PUT(dgate, d * u * (s + g * s * (splat(1) - s)));
    });
}
static void elementary(int which, size_t n, const float *x, float *y) {
    EACH16(n, PUT(y, which ? erf16(GET(x)) : exp16(GET(x))););
}
