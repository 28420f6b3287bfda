/* bench_kernels.c - the kernels against what this processor can do at best. One JSON line per measurement.
 *
 *   clang -O2 -I Sources/CHadpoKernels/include Sources/CHadpoKernels/[a-z]*.c Tests/Bench/bench_kernels.c -lm -lpthread -o bench
 *   ./bench [threads] [part of a kernel's name]
 *
 * The best of the runs that fit in a third of a second counts. Peaks are measured beside each kernel with the same threads,
 * because a shared machine does not keep its speed. share = rate / peak.
 */
#include "hadpo_kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int threads;
static const char *filter = "";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static hk_pool *pool_for(hk_numerics numerics) {
    const char *why;
    hk_pool *pool = hk_pool_create(threads, HK_AUTO, numerics, &why);
    if (!pool) {
        fprintf(stderr, "no pool: %s\n", why);
        exit(1);
    }
    return pool;
}
static float *numbers(size_t n) {
    uint32_t state = 1;
    float *p = malloc(n * sizeof *p);
    if (!p) exit(1);
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = (float)(int32_t)state * 0x1p-31f;
    }
    return p;
}

/* ---- peaks ---- */
enum { PEAK_ROUNDS = 400000 };
#if defined(__x86_64__)
#define ONE(op, r) op " %%zmm30,%%zmm31,%%zmm" #r "\n\t"
#define ALL(op)                                                                                                                   \
    ONE(op, 0) ONE(op, 1) ONE(op, 2) ONE(op, 3) ONE(op, 4) ONE(op, 5) ONE(op, 6) ONE(op, 7) ONE(op, 8) ONE(op, 9) ONE(op, 10)     \
    ONE(op, 11) ONE(op, 12) ONE(op, 13) ONE(op, 14) ONE(op, 15)
#define USED                                                                                                                      \
    "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", "zmm12", "zmm13", "zmm14", \
        "zmm15", "zmm30", "zmm31"
static void peak_task(void *context, size_t chunk, int worker) {
    (void)chunk, (void)worker;
    __asm__ volatile("vpxorq %%zmm30,%%zmm30,%%zmm30\n vpxorq %%zmm31,%%zmm31,%%zmm31" ::: "zmm30", "zmm31");
    if (*(int *)context)
        for (int i = 0; i < PEAK_ROUNDS; i++) __asm__ volatile(ALL("vdpbf16ps")::: USED);
    else
        for (int i = 0; i < PEAK_ROUNDS; i++) __asm__ volatile(ALL("vfmadd231ps")::: USED);
}
/* GFLOP/s of multiply-adds, 0 where the processor lacks the instruction. */
static double peak_flops(int bf16) {
    if (!(bf16 ? __builtin_cpu_supports("avx512bf16") : __builtin_cpu_supports("avx512f"))) return 0;
    hk_pool *pool = pool_for(HK_EXACT);
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        double start = now();
        hk_parallel(pool, (size_t)hk_pool_threads(pool), peak_task, &bf16);
        double t = now() - start;
        best = t < best ? t : best;
    }
    double flops = 16.0 * (bf16 ? 64 : 32) * PEAK_ROUNDS * hk_pool_threads(pool) / best / 1e9;
    hk_pool_free(pool);
    return flops;
}
#else
static double peak_flops(int bf16) { return (void)bf16, 0; }
#endif
/* Read bandwidth in GB/s, by a reduction over 256 MiB. */
static double peak_bandwidth(void) {
    enum { FLOATS = 64 << 20 };
    static float *memory;
    if (!memory) memory = numbers(FLOATS);
    hk_pool *pool = pool_for(HK_EXACT);
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        double start = now();
        if (!hk_all_finite(pool, FLOATS, memory)) exit(1);
        double t = now() - start;
        best = t < best ? t : best;
    }
    hk_pool_free(pool);
    return FLOATS * 4.0 / best / 1e9;
}

/* ---- one measurement ---- */
typedef void (*operation)(void *);
static double seconds(operation run, void *context) {
    double best = 1e9, start = now();
    int runs = 0;
    do {
        double t = now();
        run(context);
        t = now() - t;
        best = t < best ? t : best;
    } while (++runs < 2 || now() - start < 0.35);
    return best;
}
static void report(const char *kernel, const char *shape, const char *types, double time, double flop, double bytes, double peak) {
    printf("{\"kernel\": \"%s\", \"shape\": \"%s\", \"dtype\": \"%s\", \"threads\": %d, \"us\": %.1f, ", kernel, shape, types, threads, time * 1e6);
    if (flop > 0) printf("\"gflops\": %.1f, ", flop / time / 1e9);
    if (bytes > 0) printf("\"gbytes_per_s\": %.1f, ", bytes / time / 1e9);
    printf("\"peak\": %.1f, \"share\": %.2f}\n", peak, peak > 0 ? (flop > 0 ? flop : bytes) / time / 1e9 / peak : 0);
    fflush(stdout);
}

/* ---- matmul ---- */
typedef struct {
    hk_pool *pool;
    int a_transposed, b_transposed;
    size_t M, N, K, copies, turn, bytes; /* of one copy of B */
    hk_dtype dtype;
    const float *A;
    char *B;
    float *C;
} product;
static void run_product(void *context) {
    product *p = context;
    /* Weights are read from memory when M is small, so every run takes another copy. */
    hk_matmul(p->pool, p->a_transposed, p->b_transposed, p->M, p->N, p->K, p->A, p->a_transposed ? p->M : p->K,
              p->B + p->turn++ % p->copies * p->bytes, p->dtype, p->b_transposed ? p->K : p->N, 0, p->C, p->N);
}
static void bench_matmul(size_t M, size_t N, size_t K, int a_transposed, int b_transposed, hk_dtype dtype, hk_numerics numerics) {
    static const char *const types[] = {"f32", "f16", "bf16", "q8", "q4", "fp4"};
    const char *name = numerics == HK_FAST ? "matmul fast" : "matmul exact";
    char shape[64];
    if (!strstr(name, filter)) return;
    product p = {.pool = pool_for(numerics), .a_transposed = a_transposed, .b_transposed = b_transposed, .M = M, .N = N, .K = K,
                 .copies = M <= 16 ? 6 : 1, .dtype = dtype, .A = numbers(M * K), .C = numbers(M * N)};
    p.bytes = N * K * (dtype == HK_F32 ? 4 : 2);
    if (dtype >= HK_Q8 && !hk_quantised_bytes(b_transposed ? N : K, b_transposed ? K : N, dtype, &p.bytes)) exit(1);
    p.B = malloc(p.copies * p.bytes);
    if (!p.B) exit(1);
    memset(p.B, 0x3c, p.copies * p.bytes); /* about 1 in every type; zeros would be one shared page */
    snprintf(shape, sizeof shape, "%zux%zux%zu%s%s", M, N, K, a_transposed ? " A^T" : "", b_transposed ? " B^T" : "");
    double bytes = M <= 16 ? (double)p.bytes : 0;
    double peak = bytes > 0 ? peak_bandwidth() : peak_flops(numerics == HK_FAST), time = seconds(run_product, &p);
    report(name, shape, types[dtype], time, bytes > 0 ? 0 : 2.0 * (double)M * (double)N * (double)K, bytes, peak);
    hk_pool_free(p.pool);
    free((void *)p.A);
    free(p.B);
    free(p.C);
}

/* ---- attention ---- */
typedef struct {
    hk_pool *pool;
    hk_segment *segments;
    size_t n, heads, kv_heads, head_dim, ld;
    float *q, *k, *v, *out, *lse, *dq, *dk, *dv;
} attention;
static void run_forward(void *context) {
    attention *a = context;
    hk_attention_forward(a->pool, a->segments, a->n, a->heads, a->kv_heads, a->head_dim, 0.1f, a->q, a->ld, a->k, a->ld, a->v, a->ld,
                         HK_F32, a->out, a->ld, a->lse);
}
static void run_backward(void *context) {
    attention *a = context;
    hk_attention_backward(a->pool, a->segments, a->n, a->heads, a->kv_heads, a->head_dim, 0.1f, a->q, a->ld, a->k, a->ld, a->v, a->ld,
                          a->out, a->ld, a->lse, a->q, a->ld, a->dq, a->ld, a->dk, a->ld, a->dv, a->ld);
}
/* `sequences` times a prefix and two branches; flop counts only the visible pairs. */
static void bench_attention(size_t sequences, size_t prefix, size_t branch, size_t heads, size_t head_dim) {
    if (!strstr("attention", filter)) return;
    size_t length = prefix + 2 * branch, rows = sequences * length, ld = heads * head_dim, n = rows * ld;
    attention a = {.pool = pool_for(HK_EXACT), .segments = malloc(3 * sequences * sizeof(hk_segment)), .n = 3 * sequences, .heads = heads,
                   .kv_heads = heads, .head_dim = head_dim, .ld = ld, .q = numbers(n), .k = numbers(n), .v = numbers(n),
                   .out = numbers(n), .lse = numbers(rows * heads), .dq = numbers(n), .dk = numbers(n), .dv = numbers(n)};
    if (!a.segments) exit(1);
    for (size_t i = 0; i < sequences; i++) {
        size_t r = i * length;
        a.segments[3 * i] = (hk_segment){r, prefix, 0, 0, r, prefix};
        a.segments[3 * i + 1] = (hk_segment){r + prefix, branch, r, prefix, r + prefix, branch};
        a.segments[3 * i + 2] = (hk_segment){r + prefix + branch, branch, r, prefix, r + prefix + branch, branch};
    }
    double pairs = (double)sequences * ((double)prefix * (double)(prefix + 1) / 2 + 2 * ((double)branch * (double)prefix + (double)branch * (double)(branch + 1) / 2));
    double flop = 2.0 * pairs * (double)(heads * head_dim);
    char shape[64];
    snprintf(shape, sizeof shape, "%zux(%zu+2*%zu) heads %zu dim %zu", sequences, prefix, branch, heads, head_dim);
    double peak = peak_flops(0);
    report("attention forward", shape, "f32", seconds(run_forward, &a), 2 * flop, 0, peak);
    report("attention backward", shape, "f32", seconds(run_backward, &a), 5 * flop, 0, peak);
    hk_pool_free(a.pool);
    float *all[] = {a.q, a.k, a.v, a.out, a.lse, a.dq, a.dk, a.dv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(a.segments);
}

/* ---- rows and elements ---- */
typedef struct {
    hk_pool *pool;
    size_t R, C;
    float *x, *y, *w, *s, *z, *dw;
    int32_t *ids;
} rows;
static void run_rmsnorm(void *context) {
    rows *r = context;
    hk_rmsnorm_forward(r->pool, r->R, r->C, r->x, r->w, 1e-5f, r->y, r->s);
}
static void run_rmsnorm_backward(void *context) {
    rows *r = context;
    hk_rmsnorm_backward(r->pool, r->R, r->C, r->x, r->w, r->s, r->y, r->z, r->dw);
}
static void run_swiglu(void *context) {
    rows *r = context;
    hk_swiglu_forward(r->pool, r->R * r->C, r->x, r->y, r->z);
}
static void run_gelu(void *context) {
    rows *r = context;
    hk_activation_forward(r->pool, HK_GELU_ERF, r->R * r->C, r->x, r->z);
}
static void run_logprob(void *context) {
    rows *r = context;
    hk_logprob_forward(r->pool, r->R, r->C, r->x, r->C, r->ids, r->s, NULL);
}
static void run_rope(void *context) {
    rows *r = context;
    hk_rope(r->pool, r->R, r->C / 32, 32, r->ids, r->w, 1, r->z, r->C);
}
static void run_adamw(void *context) {
    rows *r = context;
    hk_adamw(r->pool, r->R * r->C / 2, r->z, r->x, r->y, r->y + r->R * r->C / 2, 1, 1e-4, 0.9, 0.999, 1e-8, 0, 10);
}
static void bench_rows(size_t R, size_t C) {
    static const struct {
        const char *name;
        operation run;
        double bytes; /* per element, read and written */
    } all[] = {{"rmsnorm forward", run_rmsnorm, 8}, {"rmsnorm backward", run_rmsnorm_backward, 20}, {"swiglu forward", run_swiglu, 12},
               {"gelu forward", run_gelu, 8},       {"logprob forward", run_logprob, 4},            {"rope forward", run_rope, 8},
               {"adamw", run_adamw, 14}};
    char shape[64];
    snprintf(shape, sizeof shape, "%zux%zu", R, C);
    rows r = {pool_for(HK_EXACT), R, C, numbers(R * C), numbers(R * C), numbers(C), numbers(R), numbers(R * C), numbers(C), malloc(R * sizeof(int32_t))};
    if (!r.ids) exit(1);
    for (size_t i = 0; i < R; i++) r.ids[i] = (int32_t)(i % C);
    for (size_t i = 0; i < R * C; i++) r.y[i] = r.y[i] * r.y[i];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strstr(all[i].name, filter)) report(all[i].name, shape, "f32", seconds(all[i].run, &r), 0, all[i].bytes * (double)(R * C), peak_bandwidth());
    hk_pool_free(r.pool);
    free(r.x), free(r.y), free(r.w), free(r.s), free(r.z), free(r.dw), free(r.ids);
}

int main(int argc, char **argv) {
    threads = argc > 1 ? atoi(argv[1]) : 0;
    if (argc > 2) filter = argv[2];
    hk_pool *pool = pool_for(HK_FAST);
    threads = hk_pool_threads(pool);
    printf("{\"isa\": \"%s\", \"threads\": %d, \"fp32_gflops\": %.0f, \"bf16_gflops\": %.0f, \"read_gbytes_per_s\": %.1f}\n", hk_pool_isa_name(pool),
           threads, peak_flops(0), peak_flops(1), peak_bandwidth());
    hk_pool_free(pool);
    /* Projections of a 7B decoder over a prompt with an image. */
    bench_matmul(616, 4096, 4096, 0, 1, HK_F32, HK_EXACT);
    bench_matmul(616, 4096, 4096, 0, 1, HK_F16, HK_EXACT);
    bench_matmul(616, 4096, 4096, 0, 1, HK_F16, HK_FAST);
    bench_matmul(616, 4096, 4096, 0, 1, HK_BF16, HK_FAST);
    bench_matmul(616, 11008, 4096, 0, 1, HK_F16, HK_FAST);
    bench_matmul(616, 11008, 4096, 0, 1, HK_BF16, HK_FAST);
    bench_matmul(616, 4096, 4096, 0, 0, HK_BF16, HK_FAST);
    bench_matmul(616, 128, 4096, 0, 1, HK_F32, HK_EXACT); /* LoRA, r 128 */
    bench_matmul(128, 4096, 616, 1, 0, HK_F32, HK_EXACT);
    /* One token. */
    bench_matmul(1, 4096, 4096, 0, 1, HK_F16, HK_EXACT);
    bench_matmul(1, 4096, 4096, 0, 1, HK_BF16, HK_EXACT);
    bench_matmul(1, 4096, 4096, 0, 1, HK_F16, HK_FAST);
    bench_matmul(1, 4096, 4096, 0, 1, HK_BF16, HK_FAST);
    bench_matmul(1, 4096, 4096, 0, 1, HK_F32, HK_EXACT);
    /* Quantised weights beside those as stored: one token, a batch of four, the prompt, the gradient to the input. */
    static const hk_dtype weights[] = {HK_F16, HK_BF16, HK_Q8, HK_Q4, HK_FP4};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        for (int fast = 0; fast < 2; fast++) {
            bench_matmul(1, 11008, 4096, 0, 1, weights[i], fast ? HK_FAST : HK_EXACT);
            bench_matmul(4, 11008, 4096, 0, 1, weights[i], fast ? HK_FAST : HK_EXACT);
            bench_matmul(616, 11008, 4096, 0, 1, weights[i], fast ? HK_FAST : HK_EXACT);
            bench_matmul(616, 11008, 4096, 0, 0, weights[i], fast ? HK_FAST : HK_EXACT);
        }
    /* The small models of the demo. */
    bench_matmul(200, 128, 128, 0, 1, HK_F32, HK_EXACT);
    bench_matmul(1000, 352, 128, 0, 1, HK_F32, HK_EXACT);
    bench_matmul(1000, 128, 352, 0, 1, HK_F32, HK_EXACT);
    bench_matmul(1000, 128, 352, 0, 0, HK_F32, HK_EXACT);
    bench_matmul(352, 128, 1000, 1, 0, HK_F32, HK_EXACT);
    bench_matmul(2000, 400, 128, 0, 1, HK_F32, HK_EXACT);
    bench_matmul(2000, 32, 128, 0, 1, HK_F32, HK_EXACT);
    bench_attention(100, 60, 20, 4, 32);
    bench_attention(1, 616, 96, 16, 64);
    bench_attention(1, 616, 96, 8, 128);
    bench_rows(600, 4096);
    bench_rows(2000, 128);
    return 0;
}
