/* layers.c - norms, rotary positions and activations: the partition over workers. Chunk borders come from the shapes alone. */
#include "internal.h"

enum {
    CHUNK = 8192,        /* elements */
    ALONE_BELOW = 32768, /* elements: a few microseconds of work */
    STRIP = 64           /* columns of a reduction over rows */
};

typedef struct {
    hk_pool *pool;
    const hk_kernels *k;
    size_t R, C, n, rows, heads, head_dim, ldx;
    const float *x, *w, *b, *dy, *mean, *rstd, *up, *inv_freq;
    const int32_t *positions;
    float eps;
    int direction;
    hk_activation kind;
    float *y, *dx, *dw, *db, *save_mean, *save_rstd, *dup;
} job;

static float *at_mutable(float *p, size_t i) { return p ? p + i : NULL; }

static void run_rows(job *j, hk_task task) {
    j->k = hk_pool_kernels(j->pool);
    j->rows = hk_max(1, CHUNK / hk_max(1, j->C));
    hk_run(j->pool, j->R * j->C < ALONE_BELOW, hk_blocks(j->R, j->rows), task, j);
}
static void run_elements(job *j, hk_task task) {
    j->k = hk_pool_kernels(j->pool);
    hk_run(j->pool, j->n < ALONE_BELOW, hk_blocks(j->n, CHUNK), task, j);
}
/* Rows of this chunk, the first in *r. */
static size_t rows_of(const job *j, size_t chunk, size_t *r) {
    *r = chunk * j->rows;
    return hk_min(j->rows, j->R - *r);
}
static size_t elements_of(const job *j, size_t chunk, size_t *i) {
    *i = chunk * CHUNK;
    return hk_min(CHUNK, j->n - *i);
}

static void rmsnorm_forward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t r, n = rows_of(j, chunk, &r);
    (void)worker;
    j->k->rmsnorm_forward(n, j->C, j->x + r * j->C, j->w, j->eps, j->y + r * j->C, at_mutable(j->save_rstd, r));
}
int hk_rmsnorm_forward(hk_pool *pool, size_t R, size_t C, const float *x, const float *w, float eps, float *y, float *rstd) {
    job j = {.pool = pool, .R = R, .C = C, .x = x, .w = w, .eps = eps, .y = y, .save_rstd = rstd};
    run_rows(&j, rmsnorm_forward_task);
    return HK_OK;
}

static void rmsnorm_backward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t r, n = rows_of(j, chunk, &r);
    (void)worker;
    j->k->rmsnorm_backward(n, j->C, j->x + r * j->C, j->w, j->rstd + r, j->dy + r * j->C, j->dx + r * j->C);
}
static void norm_weights_task(void *context, size_t chunk, int worker) {
    job *j = context;
    (void)worker;
    j->k->norm_weights(j->R, j->C, chunk * STRIP, hk_min(STRIP, j->C - chunk * STRIP), j->x, j->mean, j->rstd, j->dy, j->dw, j->db);
}
int hk_rmsnorm_backward(hk_pool *pool, size_t R, size_t C, const float *x, const float *w, const float *rstd, const float *dy,
                        float *dx, float *dw) {
    job j = {.pool = pool, .R = R, .C = C, .x = x, .w = w, .rstd = rstd, .dy = dy, .dx = dx, .dw = dw};
    /* The weights first: dx may be dy. */
    j.k = hk_pool_kernels(pool);
    if (dw) hk_run(pool, R * C < ALONE_BELOW, hk_blocks(C, STRIP), norm_weights_task, &j);
    run_rows(&j, rmsnorm_backward_task);
    return HK_OK;
}

static void layernorm_forward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t r, n = rows_of(j, chunk, &r);
    (void)worker;
    j->k->layernorm_forward(n, j->C, j->x + r * j->C, j->w, j->b, j->eps, j->y + r * j->C, at_mutable(j->save_mean, r),
                            at_mutable(j->save_rstd, r));
}
int hk_layernorm_forward(hk_pool *pool, size_t R, size_t C, const float *x, const float *w, const float *b, float eps, float *y,
                         float *mean, float *rstd) {
    job j = {.pool = pool, .R = R, .C = C, .x = x, .w = w, .b = b, .eps = eps, .y = y, .save_mean = mean, .save_rstd = rstd};
    run_rows(&j, layernorm_forward_task);
    return HK_OK;
}
static void layernorm_backward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t r, n = rows_of(j, chunk, &r);
    (void)worker;
    j->k->layernorm_backward(n, j->C, j->x + r * j->C, j->w, j->mean + r, j->rstd + r, j->dy + r * j->C, j->dx + r * j->C);
}
int hk_layernorm_backward(hk_pool *pool, size_t R, size_t C, const float *x, const float *w, const float *mean, const float *rstd,
                          const float *dy, float *dx, float *dw, float *db) {
    job j = {.pool = pool, .R = R, .C = C, .x = x, .w = w, .mean = mean, .rstd = rstd, .dy = dy, .dx = dx, .dw = dw, .db = db};
    j.k = hk_pool_kernels(pool);
    if (dw || db) hk_run(pool, R * C < ALONE_BELOW, hk_blocks(C, STRIP), norm_weights_task, &j);
    run_rows(&j, layernorm_backward_task);
    return HK_OK;
}

static void rope_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t r, n = rows_of(j, chunk, &r);
    j->k->rope(n, j->heads, j->head_dim, j->positions + r, j->inv_freq, j->direction, j->y + r * j->ldx, j->ldx,
               hk_scratch(j->pool, worker));
}
int hk_rope(hk_pool *pool, size_t R, size_t heads, size_t head_dim, const int32_t *positions, const float *inv_freq, int direction,
            float *x, size_t ldx) {
    job j = {.pool = pool, .R = R, .C = heads * head_dim, .heads = heads, .head_dim = head_dim, .positions = positions,
             .inv_freq = inv_freq, .direction = direction, .y = x, .ldx = ldx};
    if (!hk_reserve(pool, head_dim)) return HK_NO_MEMORY;
    run_rows(&j, rope_task);
    return HK_OK;
}

static void activation_forward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = elements_of(j, chunk, &i);
    (void)worker;
    j->k->activation_forward(j->kind, n, j->x + i, j->y + i);
}
int hk_activation_forward(hk_pool *pool, hk_activation kind, size_t n, const float *x, float *y) {
    job j = {.pool = pool, .n = n, .kind = kind, .x = x, .y = y};
    run_elements(&j, activation_forward_task);
    return HK_OK;
}
static void activation_backward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = elements_of(j, chunk, &i);
    (void)worker;
    j->k->activation_backward(j->kind, n, j->x + i, j->dy + i, j->dx + i);
}
int hk_activation_backward(hk_pool *pool, hk_activation kind, size_t n, const float *x, const float *dy, float *dx) {
    job j = {.pool = pool, .n = n, .kind = kind, .x = x, .dy = dy, .dx = dx};
    run_elements(&j, activation_backward_task);
    return HK_OK;
}
static void swiglu_forward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = elements_of(j, chunk, &i);
    (void)worker;
    j->k->swiglu_forward(n, j->x + i, j->up + i, j->y + i);
}
int hk_swiglu_forward(hk_pool *pool, size_t n, const float *gate, const float *up, float *y) {
    job j = {.pool = pool, .n = n, .x = gate, .up = up, .y = y};
    run_elements(&j, swiglu_forward_task);
    return HK_OK;
}
static void swiglu_backward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = elements_of(j, chunk, &i);
    (void)worker;
    j->k->swiglu_backward(n, j->x + i, j->up + i, j->dy + i, j->dx + i, j->dup + i);
}
int hk_swiglu_backward(hk_pool *pool, size_t n, const float *gate, const float *up, const float *dy, float *dgate, float *dup) {
    job j = {.pool = pool, .n = n, .x = gate, .up = up, .dy = dy, .dx = dgate, .dup = dup};
    run_elements(&j, swiglu_backward_task);
    return HK_OK;
}

static void exp_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = elements_of(j, chunk, &i);
    (void)worker;
    j->k->elementary(0, n, j->x + i, j->y + i);
}
int hk_exp(hk_pool *pool, size_t n, const float *x, float *y) {
    job j = {.pool = pool, .n = n, .x = x, .y = y};
    run_elements(&j, exp_task);
    return HK_OK;
}
static void erf_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i, n = elements_of(j, chunk, &i);
    (void)worker;
    j->k->elementary(1, n, j->x + i, j->y + i);
}
int hk_erf(hk_pool *pool, size_t n, const float *x, float *y) {
    job j = {.pool = pool, .n = n, .x = x, .y = y};
    run_elements(&j, erf_task);
    return HK_OK;
}
