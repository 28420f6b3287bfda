/* openblas.c - the product through somebody else's sgemm, for comparison and for processors without a kernel of ours.
 *
 * Opened on first use, because loading it starts a thread. Its thread count is the host's business and is left alone; its bits depend
 * on that count and on M, so the promises at the head of hadpo_kernels.h do not hold here. Products are fp32 under FAST too.
 */
#include "internal.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>

typedef void (*sgemm_function)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                               int ldb, float beta, float *c, int ldc);
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112, CONVERTED_FLOATS = 1 << 20 };

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static sgemm_function sgemm; /* written once, under the mutex, before any pool that uses it exists */

const char *hk_openblas_open(void) {
    const char *why = NULL;
    pthread_mutex_lock(&opening);
    if (!sgemm) {
        void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
        if (!library) why = "libopenblas.so.0 could not be opened";
        else if (!(sgemm = (sgemm_function)dlsym(library, "cblas_sgemm"))) why = "libopenblas.so.0 has no cblas_sgemm";
    }
    pthread_mutex_unlock(&opening);
    return why;
}

typedef struct {
    const hk_kernels *kernels;
    const void *B;
    hk_dtype dtype;
    size_t first, ldb, columns;
    float *out;
} conversion;

static void convert_row(void *context, size_t row, int worker) {
    conversion *c = context;
    (void)worker;
    c->kernels->to_f32(c->columns, c->B, c->dtype, c->first + row * c->ldb, c->out + row * c->columns);
}

int hk_openblas_matmul(hk_pool *pool, int a_transposed, int b_transposed, size_t M, size_t N, size_t K, const float *A, size_t lda,
                       const void *B, hk_dtype b_dtype, size_t ldb, float beta, float *C, size_t ldc) {
    if (M > INT_MAX || N > INT_MAX || K > INT_MAX || lda > INT_MAX || ldb > INT_MAX || ldc > INT_MAX) return HK_NO_MEMORY;
    int ta = a_transposed ? TRANS : NO_TRANS, tb = b_transposed ? TRANS : NO_TRANS;
    if (b_dtype == HK_F32) {
        sgemm(ROW_MAJOR, ta, tb, (int)M, (int)N, (int)K, 1, A, (int)lda, B, (int)ldb, beta, C, (int)ldc);
        return HK_OK;
    }
    size_t block = hk_max(1, hk_min(N, CONVERTED_FLOATS / K)); /* columns of B' converted at a time */
    float *converted = hk_shared(pool, block * K * sizeof(float));
    if (!converted) return HK_NO_MEMORY;
    for (size_t n = 0; n < N; n += block) {
        size_t columns = hk_min(block, N - n), rows = b_transposed ? columns : K, width = b_transposed ? K : columns;
        conversion c = {hk_pool_kernels(pool), B, b_dtype, b_transposed ? n * ldb : n, ldb, width, converted};
        hk_parallel(pool, rows, convert_row, &c);
        sgemm(ROW_MAJOR, ta, tb, (int)M, (int)columns, (int)K, 1, A, (int)lda, converted, (int)width, beta, C + n, (int)ldc);
    }
    return HK_OK;
}
