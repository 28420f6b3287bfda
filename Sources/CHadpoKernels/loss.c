/* loss.c - log-probabilities of tokens and the optimizer step: the partition over workers. */
#include "internal.h"

#include <math.h>

enum {
    CHUNK = 8192,       /* elements */
    ALONE_BELOW = 32768 /* elements */
};

typedef struct {
    const hk_kernels *k;
    size_t R, V, ld, rows, n;
    const float *logits, *lse, *dlogp, *g;
    float *gradient, *logp, *save_lse, *p, *m, *v;
    const int32_t *ids;
    float grad_scale, decayed, step, root, rest1, beta2, rest2, eps;
} job;

static void run_rows(hk_pool *pool, job *j, hk_task task) {
    j->k = hk_pool_kernels(pool);
    j->rows = hk_max(1, CHUNK / hk_max(1, j->V));
    hk_run(pool, j->R * j->V < ALONE_BELOW, hk_blocks(j->R, j->rows), task, j);
}
static void forward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t r = chunk * j->rows;
    (void)worker;
    j->k->logprob_forward(hk_min(j->rows, j->R - r), j->V, j->logits + r * j->ld, j->ld, j->ids + r, j->logp + r,
                          j->save_lse ? j->save_lse + r : NULL);
}
int hk_logprob_forward(hk_pool *pool, size_t R, size_t V, const float *logits, size_t ld, const int32_t *ids, float *logp, float *lse) {
    job j = {.R = R, .V = V, .logits = logits, .ld = ld, .ids = ids, .logp = logp, .save_lse = lse};
    run_rows(pool, &j, forward_task);
    return HK_OK;
}
static void backward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t r = chunk * j->rows;
    (void)worker;
    j->k->logprob_backward(hk_min(j->rows, j->R - r), j->V, j->gradient + r * j->ld, j->ld, j->ids + r, j->lse + r, j->dlogp + r);
}
int hk_logprob_backward(hk_pool *pool, size_t R, size_t V, float *logits, size_t ld, const int32_t *ids, const float *lse,
                        const float *dlogp) {
    job j = {.R = R, .V = V, .gradient = logits, .ld = ld, .ids = ids, .lse = lse, .dlogp = dlogp};
    run_rows(pool, &j, backward_task);
    return HK_OK;
}

static void adamw_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t i = chunk * CHUNK;
    (void)worker;
    j->k->adamw(hk_min(CHUNK, j->n - i), j->p + i, j->g + i, j->m + i, j->v + i, j->grad_scale, j->decayed, j->step, j->root, j->rest1,
                j->beta2, j->rest2, j->eps);
}
int hk_adamw(hk_pool *pool, size_t n, float *p, const float *g, float *m, float *v, float grad_scale, double lr, double beta1,
             double beta2, double eps, double decay, uint64_t t) {
    job j = {.k = hk_pool_kernels(pool), .n = n, .p = p, .g = g, .m = m, .v = v, .grad_scale = grad_scale,
             .decayed = (float)(1 - lr * decay), .step = (float)(lr / (1 - pow(beta1, (double)t))),
             .root = (float)(1 / sqrt(1 - pow(beta2, (double)t))), .rest1 = (float)(1 - beta1),
             .beta2 = (float)beta2, .rest2 = (float)(1 - beta2), .eps = (float)eps};
    hk_run(pool, n < ALONE_BELOW, hk_blocks(n, CHUNK), adamw_task, &j);
    return HK_OK;
}
