/* elementwise.c - sums, conversions, reductions and row gathers: the partition over workers. Chunk borders come from the sizes alone. */
#include "internal.h"

#include <string.h>

enum {
    CHUNK = 16384,        /* elements */
    ALONE_BELOW = 131072, /* elements: these loops run at memory speed */
    STRIP = 64            /* columns of a reduction over rows */
};

typedef struct {
    const hk_kernels *k;
    size_t n, R, C, ldx, ldy, rows;
    float alpha;
    const void *x;
    const float *a, *b;
    float *y;
    void *converted;
    hk_dtype dtype;
    const int32_t *ids;
    double *sums;
    int *flags;
} job;

static size_t part(const job *j, size_t chunk, size_t *i) {
    *i = chunk * CHUNK;
    return hk_min(CHUNK, j->n - *i);
}
static void run_elements(hk_pool *pool, job *j, hk_task task) {
    j->k = hk_pool_kernels(pool);
    hk_run(pool, j->n < ALONE_BELOW, hk_blocks(j->n, CHUNK), task, j);
}

static void add_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = part(j, chunk, &i);
    (void)worker;
    j->k->add(n, j->a + i, j->b + i, j->y + i);
}
int hk_add(hk_pool *pool, size_t n, const float *a, const float *b, float *y) {
    job j = {.n = n, .a = a, .b = b, .y = y};
    run_elements(pool, &j, add_task);
    return HK_OK;
}
static void axpy_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = part(j, chunk, &i);
    (void)worker;
    j->k->axpy(n, j->alpha, j->a + i, j->y + i);
}
int hk_axpy(hk_pool *pool, size_t n, float alpha, const float *x, float *y) {
    job j = {.n = n, .alpha = alpha, .a = x, .y = y};
    run_elements(pool, &j, axpy_task);
    return HK_OK;
}
static void scale_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = part(j, chunk, &i);
    (void)worker;
    j->k->scale(n, j->alpha, j->y + i);
}
int hk_scale(hk_pool *pool, size_t n, float alpha, float *x) {
    job j = {.n = n, .alpha = alpha, .y = x};
    run_elements(pool, &j, scale_task);
    return HK_OK;
}

static void run_rows(hk_pool *pool, job *j, hk_task task) {
    j->k = hk_pool_kernels(pool);
    j->rows = hk_max(1, CHUNK / hk_max(1, j->C));
    hk_run(pool, j->R * j->C < ALONE_BELOW, hk_blocks(j->R, j->rows), task, j);
}
static void add_bias_task(void *context, size_t chunk, int worker) {
    job *j = context;
    (void)worker;
    for (size_t r = chunk * j->rows; r < hk_min(j->R, (chunk + 1) * j->rows); r++)
        j->k->add(j->C, j->a, j->y + r * j->ldy, j->y + r * j->ldy);
}
int hk_add_bias(hk_pool *pool, size_t R, size_t C, const float *bias, float *y, size_t ldy) {
    job j = {.R = R, .C = C, .a = bias, .y = y, .ldy = ldy};
    run_rows(pool, &j, add_bias_task);
    return HK_OK;
}
static void column_sum_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t c = chunk * STRIP;
    (void)worker;
    j->k->column_sum(j->R, hk_min(STRIP, j->C - c), j->a + c, j->ldx, j->y + c);
}
int hk_column_sum(hk_pool *pool, size_t R, size_t C, const float *x, size_t ldx, float *sum) {
    job j = {.k = hk_pool_kernels(pool), .R = R, .C = C, .a = x, .ldx = ldx, .y = sum};
    hk_run(pool, R * C < ALONE_BELOW, hk_blocks(C, STRIP), column_sum_task, &j);
    return HK_OK;
}

static void to_f32_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = part(j, chunk, &i);
    (void)worker;
    j->k->to_f32(n, j->x, j->dtype, i, j->y + i);
}
int hk_convert_to_f32(hk_pool *pool, size_t n, const void *x, hk_dtype dtype, float *y) {
    job j = {.n = n, .x = x, .dtype = dtype, .y = y};
    run_elements(pool, &j, to_f32_task);
    return HK_OK;
}
static void from_f32_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = part(j, chunk, &i);
    (void)worker;
    j->k->from_f32(n, j->a + i, j->converted, j->dtype, i);
}
int hk_convert_from_f32(hk_pool *pool, size_t n, const float *x, void *y, hk_dtype dtype) {
    job j = {.n = n, .a = x, .converted = y, .dtype = dtype};
    run_elements(pool, &j, from_f32_task);
    return HK_OK;
}

/* A function that returns a number cannot report a lack of memory: partial results go to a fixed array, 256 chunks at a time. */
enum { PARTS = 256 };
static void squares_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = part(j, chunk, &i);
    (void)worker;
    j->sums[chunk] = j->k->sum_of_squares(n, j->a + i);
}
double hk_sum_of_squares(hk_pool *pool, size_t n, const float *x) {
    double sums[PARTS], total = 0;
    for (size_t i = 0; i < n; i += PARTS * CHUNK) {
        job j = {.n = hk_min(PARTS * CHUNK, n - i), .a = x + i, .sums = sums};
        run_elements(pool, &j, squares_task);
        for (size_t c = 0; c < hk_blocks(j.n, CHUNK); c++) total += sums[c];
    }
    return total;
}
static void finite_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = part(j, chunk, &i);
    (void)worker;
    j->flags[chunk] = j->k->all_finite(n, j->a + i);
}
int hk_all_finite(hk_pool *pool, size_t n, const float *x) {
    int flags[PARTS];
    for (size_t i = 0; i < n; i += PARTS * CHUNK) {
        job j = {.n = hk_min(PARTS * CHUNK, n - i), .a = x + i, .flags = flags};
        run_elements(pool, &j, finite_task);
        for (size_t c = 0; c < hk_blocks(j.n, CHUNK); c++)
            if (!flags[c]) return 0;
    }
    return 1;
}

static void gather_task(void *context, size_t chunk, int worker) {
    job *j = context;
    (void)worker;
    for (size_t r = chunk * j->rows; r < hk_min(j->R, (chunk + 1) * j->rows); r++)
        j->k->to_f32(j->C, j->x, j->dtype, (size_t)j->ids[r] * j->C, j->y + r * j->ldy);
}
int hk_gather_rows(hk_pool *pool, size_t R, size_t C, const void *table, hk_dtype dtype, const int32_t *ids, float *y, size_t ldy) {
    job j = {.R = R, .C = C, .x = table, .dtype = dtype, .ids = ids, .y = y, .ldy = ldy};
    run_rows(pool, &j, gather_task);
    return HK_OK;
}
/* Strips of columns: every row of the table then belongs to one worker at a time, in the order of r. */
static void scatter_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t c = chunk * 4 * STRIP, n = hk_min(4 * STRIP, j->C - c);
    (void)worker;
    for (size_t r = 0; r < j->R; r++) {
        float *row = j->y + (size_t)j->ids[r] * j->ldy + c;
        j->k->add(n, row, j->a + r * j->ldx + c, row);
    }
}
int hk_scatter_add_rows(hk_pool *pool, size_t R, size_t C, const float *x, size_t ldx, const int32_t *ids, float *table, size_t ldt) {
    job j = {.k = hk_pool_kernels(pool), .R = R, .C = C, .a = x, .ldx = ldx, .ids = ids, .y = table, .ldy = ldt};
    hk_run(pool, R * C < ALONE_BELOW, hk_blocks(C, 4 * STRIP), scatter_task, &j);
    return HK_OK;
}

int hk_zero(void *x, size_t bytes) {
    memset(x, 0, bytes);
    return HK_OK;
}

int hk_copy(const void *x, void *y, size_t bytes) {
    memcpy(y, x, bytes);
    return HK_OK;
}
