/* kernels.c - every kind of kernel on fixed numbers: written on one processor, compared on another (make check-arm).
 *
 *   kernels write FILE             the outputs, float by float
 *   kernels compare FILE LIMIT     the same outputs here against those; LIMIT: of the largest number of an output, 0 = the same bits
 *
 * The portable kernels are forced. Shapes leave remainders in every tile; two threads. */
#include "hadpo_kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *file;
static int writes, bad;
static double limit;
static hk_pool *pool;

static float *numbers(size_t n, uint32_t seed, float scale)
{
    uint64_t state = seed * 2654435761u + 1;
    float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);
    if (p == NULL) exit(1);
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        p[i] = scale * (float)((int32_t)(state >> 32)) * 0x1p-31f;
    }
    return p;
}

/* Not freed: the program ends soon. */
static float *zeros(size_t n)
{
    float *p = numbers(n, 0, 0);
    memset(p, 0, n * sizeof *p);
    return p;
}

static void show(const char *name, const float *y, size_t n)
{
    if (writes) {
        if (fwrite(y, sizeof *y, n, file) != n) exit(1);
        return;
    }
    float *other = zeros(n);
    if (fread(other, sizeof *other, n, file) != n) exit(1);
    double largest = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)y[i] - (double)other[i]);
        largest = fmax(largest, fabs((double)other[i]));
        worst = difference > worst || difference != difference ? difference : worst;
    }
    int same = memcmp(y, other, n * sizeof *y) == 0, holds = same || (limit > 0 && worst <= limit * largest);
    bad += !holds;
    printf("%-34s %7zu numbers  %s", name, n, holds ? "ok" : "DIFFERS");
    printf(same ? "  same bits\n" : "  %.2g of the largest\n", worst / largest);
}

static void products(hk_numerics numerics)
{
    enum { M = 37, N = 83, K = 320 };
    static const char *const names[] = {"f32", "f16", "bf16", "q8", "q4", "fp4"};
    const float *a = numbers(M * K, 1, 1), *w = numbers(96 * K, 2, 0.5f);
    for (int dtype = HK_F32; dtype <= HK_FP4; dtype++) {
        size_t bytes = 96 * K * sizeof(float);
        int quantised = dtype >= HK_Q8;
        if (quantised && !hk_quantised_bytes(96, K, (hk_dtype)dtype, &bytes)) exit(1);
        void *b = zeros(bytes / 4 + 1);
        if ((quantised ? hk_quantise(pool, 96, K, w, HK_F32, b, (hk_dtype)dtype)
                       : hk_convert_from_f32(pool, 96 * K, w, b, (hk_dtype)dtype)) != 0) exit(1);
        for (int form = 0; form < (quantised ? 2 : 3); form++) { /* A B^T, A B, A^T B */
            size_t k = form == 1 ? N : K, n = form == 1 ? K : N;
            for (size_t m = 1; m <= M; m += m < 9 ? 4 : 28) {
                float *c = numbers(M * K, 3, 1);
                char name[64];
                size_t lda = form == 2 ? m : k, ldb = form == 2 ? n : (size_t)K;
                if (hk_matmul(pool, form == 2, form == 0, m, n, k, a, lda, b, (hk_dtype)dtype, ldb, (float)(m % 2), c, n) != 0) exit(1);
                snprintf(name, sizeof name, "matmul %s %s form %d, %zu rows", numerics == HK_FAST ? "fast" : "exact", names[dtype], form, m);
                show(name, c, m * n);
            }
        }
    }
}

static void attention(void)
{
    enum { ROWS = 70, HEADS = 4, KV = 2, D = 40, W = HEADS * D, KW = KV * D };
    const hk_segment segments[2] = {{10, 30, 0, 10, 10, 30}, {40, 30, 0, 10, 40, 30}};
    const float *q = numbers(ROWS * W, 4, 1), *k = numbers(ROWS * KW, 5, 1), *v = numbers(ROWS * KW, 6, 1), *dout = numbers(ROWS * W, 7, 1);
    float *out = zeros(ROWS * W), *lse = zeros(ROWS * HEADS), *dq = zeros(ROWS * W), *dk = zeros(ROWS * KW), *dv = zeros(ROWS * KW);
    void *k16 = zeros(ROWS * KW), *v16 = zeros(ROWS * KW);
    hk_attention_forward(pool, segments, 2, HEADS, KV, D, 0.158f, q, W, k, KW, v, KW, HK_F32, out, W, lse);
    show("attention forward", out, ROWS * W);
    show("attention log of denominators", lse, ROWS * HEADS);
    hk_attention_backward(pool, segments, 2, HEADS, KV, D, 0.158f, q, W, k, KW, v, KW, out, W, lse, dout, W, dq, W, dk, KW, dv, KW);
    show("attention backward q", dq, ROWS * W);
    show("attention backward k", dk, ROWS * KW);
    show("attention backward v", dv, ROWS * KW);
    hk_convert_from_f32(pool, ROWS * KW, k, k16, HK_F16);
    hk_convert_from_f32(pool, ROWS * KW, v, v16, HK_F16);
    hk_attention_forward(pool, segments, 2, HEADS, KV, D, 0.158f, q, W, k16, KW, v16, KW, HK_F16, out, W, NULL);
    show("attention forward, fp16 cache", out, ROWS * W);
}

static void layers(void)
{
    enum { R = 19, C = 131, N = R * C };
    const float *x = numbers(N, 8, 3), *w = numbers(C, 9, 1), *b = numbers(C, 10, 1), *dy = numbers(N, 11, 1);
    float *y = zeros(N), *mean = zeros(R), *rstd = zeros(R), *dx = zeros(N), *dw = zeros(C), *db = zeros(C), *up = zeros(N);
    int32_t at[R];
    for (int i = 0; i < R; i++) at[i] = i * 41 % C;
    hk_rmsnorm_forward(pool, R, C, x, w, 1e-5f, y, rstd);
    show("rmsnorm", y, N);
    hk_rmsnorm_backward(pool, R, C, x, w, rstd, dy, dx, dw);
    show("rmsnorm backward", dx, N);
    hk_layernorm_forward(pool, R, C, x, w, b, 1e-5f, y, mean, rstd);
    show("layernorm", y, N);
    hk_layernorm_backward(pool, R, C, x, w, mean, rstd, dy, dx, dw, db);
    show("layernorm backward", dx, N);
    show("layernorm backward w", dw, C);
    for (int kind = HK_GELU_ERF; kind <= HK_GELU_TANH; kind++) {
        hk_activation_forward(pool, (hk_activation)kind, N, x, y);
        show("activation", y, N);
        hk_activation_backward(pool, (hk_activation)kind, N, x, dy, dx);
        show("activation backward", dx, N);
    }
    hk_swiglu_backward(pool, N, x, dy, dy, dx, up);
    show("swiglu backward", dx, N);
    float *turned = numbers(N, 8, 3);
    hk_rope(pool, R, 2, 64, at, numbers(32, 12, 1), 1, turned, C);
    show("rope", turned, N);
    float *logp = zeros(R), *lse = zeros(R);
    hk_logprob_forward(pool, R, C, x, C, at, logp, lse);
    show("log-probabilities", logp, R);
    float *p = numbers(N, 13, 1), *m = numbers(N, 14, 0.1f), *v = zeros(N);
    hk_adamw(pool, N, p, dy, m, v, 0.5f, 1e-3, 0.9, 0.999, 1e-8, 0.01, 3);
    show("adamw", p, N);
}

int main(int argc, char **argv)
{
    writes = argc == 3 && strcmp(argv[1], "write") == 0;
    if (!writes && (argc != 4 || strcmp(argv[1], "compare") != 0))
        return fprintf(stderr, "usage: kernels write FILE | compare FILE LIMIT\n"), 2;
    limit = writes ? 0 : strtod(argv[3], NULL);
    file = fopen(argv[2], writes ? "wb" : "rb");
    if (file == NULL) return perror(argv[2]), 1;
    for (int numerics = HK_EXACT; numerics <= HK_FAST; numerics++) {
        const char *why;
        pool = hk_pool_create(2, HK_PORTABLE, (hk_numerics)numerics, &why);
        if (pool == NULL) return fprintf(stderr, "%s\n", why), 1;
        products((hk_numerics)numerics);
        if (numerics == HK_EXACT) attention(), layers();
        hk_pool_free(pool);
    }
    if (fclose(file) != 0 || bad > 0) return printf("%d outputs differ\n", bad), 1;
    return 0;
}
