/* quantised.c - quantising and dequantising a matrix: the partition over workers. The stored form is in internal.h. */
#include "internal.h"

enum { BLOCKS_A_CHUNK = 256 };

const float hk_q4_levels[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
const float hk_fp4_levels[16] = {0,  0.005208333333f,  0.66666667f,  1,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
                                 -0.0f, -0.005208333333f, -0.66666667f, -1, -0.33333333f, -0.5f, -0.16666667f, -0.25f};

int hk_quantised_bytes(size_t R, size_t C, hk_dtype dtype, size_t *bytes) {
    size_t depth = hk_group_columns(dtype), count;
    *bytes = 0;
    if (dtype == HK_FP4 && C % depth != 0) return !__builtin_mul_overflow(R, C, &count) && !__builtin_mul_overflow(count, 2, bytes);
    return C % depth == 0 && !__builtin_mul_overflow(hk_blocks(R, 16), C / depth, &count) &&
           !__builtin_mul_overflow(count, hk_group_bytes(dtype), bytes);
}

typedef struct {
    const hk_kernels *kernels;
    size_t R, C;
    const void *x;
    hk_dtype x_dtype, dtype;
    uint8_t *quantised;
    float *y;
} job;

/* Chunk: sixteen rows. */
static size_t group_row(const job *j, size_t chunk, size_t *bytes) {
    *bytes = j->C / hk_group_columns(j->dtype) * hk_group_bytes(j->dtype);
    return hk_min(16, j->R - 16 * chunk);
}
static void quantise_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t bytes, rows = group_row(j, chunk, &bytes);
    (void)worker;
    j->kernels->quantise(j->dtype, rows, j->C, j->x, j->x_dtype, 16 * chunk * j->C, j->quantised + chunk * bytes);
}
static void dequantise_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t bytes, rows = group_row(j, chunk, &bytes);
    (void)worker;
    j->kernels->dequantise(j->dtype, rows, j->C, (const uint8_t *)j->x + chunk * bytes, j->y + 16 * chunk * j->C);
}
static void straddling_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t count = j->R * j->C, first = chunk * BLOCKS_A_CHUNK * 64, last = hk_min(count, first + BLOCKS_A_CHUNK * 64);
    (void)worker;
    for (size_t i = first; i < last; i += 64)
        j->kernels->round_trip_fp4(hk_min(64, last - i), j->x, j->x_dtype, i, (uint16_t *)(void *)j->quantised + i);
}
int hk_quantise(hk_pool *pool, size_t R, size_t C, const void *x, hk_dtype x_dtype, void *y, hk_dtype dtype) {
    job j = {.kernels = hk_pool_kernels(pool), .R = R, .C = C, .x = x, .x_dtype = x_dtype, .quantised = y, .dtype = dtype};
    int alone = R * C < 1 << 15;
    if (hk_is_straddling(dtype, C)) hk_run(pool, alone, hk_blocks(R * C, BLOCKS_A_CHUNK * 64), straddling_task, &j);
    else hk_run(pool, alone, hk_blocks(R, 16), quantise_task, &j);
    return HK_OK;
}
static void cache_task(void *context, size_t row, int worker) {
    job *j = context;
    (void)worker;
    j->kernels->cache_row(j->C, (const float *)j->x + row * j->C, (int8_t *)j->quantised + row * (j->C / 16 * 17));
}
int hk_cache_rows(hk_pool *pool, size_t R, size_t C, const float *x, void *y) {
    job j = {.kernels = hk_pool_kernels(pool), .R = R, .C = C, .x = x, .quantised = y};
    hk_run(pool, R * C < 1 << 15, R, cache_task, &j);
    return HK_OK;
}
int hk_dequantise(hk_pool *pool, size_t R, size_t C, const void *x, hk_dtype dtype, float *y) {
    if (hk_is_straddling(dtype, C)) return hk_convert_to_f32(pool, R * C, x, HK_F16, y);
    job j = {.kernels = hk_pool_kernels(pool), .R = R, .C = C, .x = x, .dtype = dtype, .y = y};
    hk_run(pool, R * C < 1 << 15, hk_blocks(R, 16), dequantise_task, &j);
    return HK_OK;
}
