/* resize.c - Pillow's Image.resize for RGB8, bit for bit (src/libImaging/Resample.c and Geometry.c).
 *
 * A separable convolution whose kernel is widened by the scale when shrinking (so it antialiases), weights in double and
 * then rounded to 22 fractional bits, and one rounding to 8 bits between the two passes: all three are part of
 * the result. */
#include "decoders.h"

#include <hadpo_memory.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF /* a fused multiply-add would change weights */

static const double pi = 3.14159265358979323846;

enum { PRECISION_BITS = 32 - 8 - 2 }; /* 8 bits of pixel, 2 for sums outside 0...255 */

static double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

static double bilinear(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming(double x) {
    x = fabs(x);
    if (x == 0.0) return 1.0;
    if (x >= 1.0) return 0.0;
    x = x * pi;
    return sin(x) / x * (0.54f + 0.46f * cos(x)); /* the float constants are Pillow's */
}

static double bicubic(double x) { /* Keys, a = -0.5 (torch has -0.75) */
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x) {
    if (x == 0.0) return 1.0;
    x = x * pi;
    return sin(x) / x;
}

static double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

typedef struct {
    double (*weight)(double);
    double support;
} kernel;

/* One axis: output i is the sum over k < count[i] of input[first[i] + k] * weights[i * taps + k]. */
typedef struct {
    int32_t *weights;
    int *first, *count;
    size_t taps;
} axis;

static void axis_free(axis *a) {
    free(a->weights);
    free(a->first);
    free(a->count);
}

/* precompute_coeffs and normalize_coeffs_8bpc. Returns 0 when there is no memory. */
static int axis_init(axis *a, size_t in, size_t out, kernel kernel) {
    double scale = (double)(float)in / (double)out; /* Pillow's box is float */
    double filter_scale = scale < 1.0 ? 1.0 : scale;
    double support = kernel.support * filter_scale;
    size_t taps = (size_t)ceil(support) * 2 + 1;
    *a = (axis){.taps = taps};
    if (out > SIZE_MAX / sizeof(int32_t) / taps) return 0;
    a->weights = malloc(out * taps * sizeof(int32_t));
    a->first = malloc(out * sizeof(int));
    a->count = malloc(out * sizeof(int));
    double *exact = malloc(taps * sizeof(double));
    if (!a->weights || !a->first || !a->count || !exact) {
        free(exact);
        return 0;
    }
    double inverse = 1.0 / filter_scale;
    for (size_t i = 0; i < out; i++) {
        double center = ((double)i + 0.5) * scale;
        int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
        if (first < 0) first = 0;
        if (end > (int)in) end = (int)in;
        int count = end - first;
        double sum = 0.0;
        for (int k = 0; k < count; k++) {
            exact[k] = kernel.weight((k + first - center + 0.5) * inverse);
            sum += exact[k];
        }
        int32_t *weights = a->weights + i * taps;
        for (int k = 0; k < count; k++) {
            double w = sum != 0.0 ? exact[k] / sum : exact[k];
            weights[k] = (int32_t)((w < 0 ? -0.5 : 0.5) + w * (1 << PRECISION_BITS));
        }
        a->first[i] = first;
        a->count[i] = count;
    }
    free(exact);
    return 1;
}

static uint8_t clip8(int32_t sum) {
    int32_t value = sum >> PRECISION_BITS;
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

static void horizontal(const uint8_t *in, size_t W, size_t H, uint8_t *out, size_t OW, const axis *a) {
    for (size_t y = 0; y < H; y++, in += W * 3, out += OW * 3)
        for (size_t x = 0; x < OW; x++) {
            const int32_t *weights = a->weights + x * a->taps;
            const uint8_t *pixel = in + (size_t)a->first[x] * 3;
            int32_t r = 1 << (PRECISION_BITS - 1), g = r, b = r;
            for (int k = 0; k < a->count[x]; k++, pixel += 3) {
                r += pixel[0] * weights[k];
                g += pixel[1] * weights[k];
                b += pixel[2] * weights[k];
            }
            out[3 * x] = clip8(r);
            out[3 * x + 1] = clip8(g);
            out[3 * x + 2] = clip8(b);
        }
}

/* `sums`: one row of accumulators, so that the inner loop runs along memory. */
static void vertical(const uint8_t *in, size_t W, uint8_t *out, size_t OH, const axis *a, int32_t *sums) {
    size_t row = W * 3;
    for (size_t y = 0; y < OH; y++, out += row) {
        const int32_t *weights = a->weights + y * a->taps;
        for (size_t x = 0; x < row; x++) sums[x] = 1 << (PRECISION_BITS - 1);
        for (int k = 0; k < a->count[y]; k++) {
            const uint8_t *line = in + ((size_t)a->first[y] + (size_t)k) * row;
            int32_t weight = weights[k];
            for (size_t x = 0; x < row; x++) sums[x] += line[x] * weight;
        }
        for (size_t x = 0; x < row; x++) out[x] = clip8(sums[x]);
    }
}

/* ImagingScaleAffine: the position is accumulated, not multiplied out, and that shows in the last bit. */
static hi_status nearest(const uint8_t *in, size_t W, size_t H, uint8_t *out, size_t OW, size_t OH, char *message) {
    size_t *columns = malloc(OW * sizeof *columns);
    if (!columns) return hi_fail(HI_NO_MEMORY, message, "no memory to resize an image");
    double step_x = (double)(float)W / (double)OW, step_y = (double)(float)H / (double)OH;
    double x_in = step_x * 0.5, y_in = step_y * 0.5;
    for (size_t x = 0; x < OW; x++, x_in += step_x) columns[x] = (size_t)x_in;
    for (size_t y = 0; y < OH; y++, y_in += step_y, out += OW * 3) {
        size_t row = (size_t)y_in;
        for (size_t x = 0; x < OW; x++) {
            /* accumulated rounding can run past the edge; Pillow leaves black there */
            if (row < H && columns[x] < W)
                memcpy(out + 3 * x, in + (row * W + columns[x]) * 3, 3);
            else
                memset(out + 3 * x, 0, 3);
        }
    }
    free(columns);
    return HI_OK;
}

static int down_first(size_t W, size_t H, size_t OW, size_t OH, hi_pass_order order) {
    int64_t rows_lost = (int64_t)H - (int64_t)OH, columns_lost = (int64_t)W - (int64_t)OW;
    return order == HI_PILLOW_13 && rows_lost > 0 && rows_lost > 2 * columns_lost;
}

hi_status hi_resize(const uint8_t *input, size_t W, size_t H, uint8_t *output, size_t OW, size_t OH, hi_filter filter,
                    hi_pass_order order, char *message) {
    static const kernel kernels[] = {[HI_LANCZOS] = {lanczos, 3.0},
                                     [HI_BILINEAR] = {bilinear, 1.0},
                                     [HI_BICUBIC] = {bicubic, 2.0},
                                     [HI_BOX] = {box, 0.5},
                                     [HI_HAMMING] = {hamming, 1.0}};
    message[0] = 0;
    if (W == 0 || H == 0 || OW == 0 || OH == 0 || W > INT_MAX / 8 || H > INT_MAX / 8 || OW > INT_MAX / 8 || OH > INT_MAX / 8 ||
        W > SIZE_MAX / 3 / H || OW > SIZE_MAX / 3 / OH || OW > SIZE_MAX / 3 / H || W > SIZE_MAX / 3 / OH)
        return hi_fail(HI_ARGUMENT, message, "cannot resize %zu x %zu pixels to %zu x %zu", W, H, OW, OH);
    if ((unsigned)filter > HI_HAMMING) return hi_fail(HI_ARGUMENT, message, "unknown resampling filter %d", (int)filter);
    if (W == OW && H == OH) {
        memcpy(output, input, W * H * 3);
        return HI_OK;
    }
    if (filter == HI_NEAREST) return nearest(input, W, H, output, OW, OH, message);

    axis across = {0}, down = {0};
    uint8_t *between = NULL; /* OW x H, or W x OH when going down first */
    int32_t *sums = NULL;
    int need_across = OW != W, need_down = OH != H, down_then_across = down_first(W, H, OW, OH, order);
    int ready = 1;
    if (need_across) ready = axis_init(&across, W, OW, kernels[filter]);
    if (ready && need_down) ready = axis_init(&down, H, OH, kernels[filter]);
    if (ready && need_across && need_down) ready = (between = hm_malloc(down_then_across ? W * OH * 3 : OW * H * 3)) != NULL;
    if (ready && need_down) ready = (sums = malloc((down_then_across ? W : OW) * 3 * sizeof *sums)) != NULL;
    if (ready && !need_down) {
        horizontal(input, W, H, output, OW, &across);
    } else if (ready && !need_across) {
        vertical(input, W, output, OH, &down, sums);
    } else if (ready && down_then_across) {
        vertical(input, W, between, OH, &down, sums);
        horizontal(between, W, OH, output, OW, &across);
    } else if (ready) {
        horizontal(input, W, H, between, OW, &across);
        vertical(between, OW, output, OH, &down, sums);
    }
    free(sums);
    free(between);
    axis_free(&across);
    axis_free(&down);
    return ready ? HI_OK : hi_fail(HI_NO_MEMORY, message, "no memory to resize %zu x %zu pixels to %zu x %zu", W, H, OW, OH);
}
