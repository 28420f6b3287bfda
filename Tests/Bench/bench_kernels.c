/* bench_kernels.c - the kernels against what this processor can do at best. One JSON line per measurement.
 *
 *   make bench                                            builds and runs everything
 *   build/bench/kernels [--threads N] [--isa NAME] [part of a kernel's name]
 *   build/bench/kernels --linear bf16|f16                 the six products that peers/torch_linear.py times, no others
 *
 * The best of the runs that fit in a third of a second counts. Peaks are measured beside each kernel with the same threads,
 * because a shared machine does not keep its speed. share = rate / peak. allocations: calls of the allocator in the runs after
 * the first, which grows the scratch; peak_bytes: the most it held. */
#include "allocations.h"
#include "hadpo_kernels.h"
#include "peaks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int threads;
static hk_isa isa = HK_AUTO;
static const char *filter = "", *linear = NULL;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static hk_pool *pool_for(hk_numerics numerics) {
    const char *why;
    hk_pool *pool = hk_pool_create(threads, isa, numerics, &why);
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
/* What the products of a pool can reach: exact ones multiply in fp32, fast ones with the best that the processor has for bf16, or for
 * 8-bit integers where they multiply those. */
static double peak_flops(hk_numerics numerics, int integers) {
    if (integers) return peak_of(PEAK_INT8, threads, 2);
    double fp32 = peak_of(PEAK_FP32, threads, 2);
    if (numerics != HK_FAST || isa == HK_PORTABLE || isa == HK_AVX2 || isa == HK_AVX512 || isa == HK_OPENBLAS) return fp32;
    double bf16 = peak_of(PEAK_BF16, threads, 2), amx = isa == HK_AVX512_BF16 ? 0 : peak_of(PEAK_AMX_BF16, threads, 2);
    double best = bf16 > fp32 ? bf16 : fp32;
    return amx > best ? amx : best;
}
static double peak_bandwidth(void) { return peak_of(PEAK_READ, threads, 2); }

/* ---- one measurement ---- */
typedef void (*operation)(void *);
typedef struct {
    double seconds;
    long allocations;
    size_t peak_bytes;
} measurement;
static measurement measure(operation run, void *context) {
    measurement m = {1e9, 0, 0};
    allocations_begin();
    run(context);
    long first = allocations_count();
    double start = now();
    do {
        double t = now();
        run(context);
        t = now() - t;
        m.seconds = t < m.seconds ? t : m.seconds;
    } while (now() - start < 0.35);
    m.allocations = allocations_count() - first;
    m.peak_bytes = allocations_peak();
    return m;
}
static void report(const char *kernel, const char *shape, const char *types, measurement m, double flop, double bytes, double peak) {
    printf("{\"kernel\": \"%s\", \"shape\": \"%s\", \"dtype\": \"%s\", \"threads\": %d, \"us\": %.1f, ", kernel, shape, types, threads,
           m.seconds * 1e6);
    if (flop > 0) printf("\"gflops\": %.1f, ", flop / m.seconds / 1e9);
    if (bytes > 0) printf("\"gbytes_per_s\": %.1f, ", bytes / m.seconds / 1e9);
    printf("\"peak\": %.1f, \"share\": %.2f, \"allocations\": %ld, \"peak_bytes\": %zu}\n", peak,
           peak > 0 ? (bytes > 0 ? bytes : flop) / m.seconds / 1e9 / peak : 0, m.allocations, m.peak_bytes);
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
    int integers = (dtype == HK_Q8 || dtype == HK_Q4) && b_transposed && hk_pool_uses_vnni(p.pool) &&
                   strcmp(hk_pool_isa_name(p.pool), "amx-bf16") != 0;
    double peak = bytes > 0 ? peak_bandwidth() : peak_flops(numerics, integers);
    report(name, shape, types[dtype], measure(run_product, &p), 2.0 * (double)M * (double)N * (double)K, bytes, peak);
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
    hk_dtype kv; /* of k and v */
} attention;
static void run_forward(void *context) {
    attention *a = context;
    hk_attention_forward(a->pool, a->segments, a->n, a->heads, a->kv_heads, a->head_dim, 0.1f, a->q, a->ld, a->k, a->ld, a->v, a->ld,
                         a->kv, a->out, a->ld, a->lse);
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
    double peak = peak_flops(HK_EXACT, 0);
    report("attention forward", shape, "f32", measure(run_forward, &a), 2 * flop, 0, peak);
    report("attention backward", shape, "f32", measure(run_backward, &a), 5 * flop, 0, peak);
    hk_pool_free(a.pool);
    float *all[] = {a.q, a.k, a.v, a.out, a.lse, a.dq, a.dk, a.dv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(a.segments);
}

/* One new row for each of `sequences`, which read `length` cached rows of their own: bound by reading keys and values. */
static void bench_decode_attention(size_t sequences, size_t length, size_t heads, size_t head_dim, hk_dtype kv) {
    if (!strstr("attention decode", filter)) return;
    size_t ld = heads * head_dim, rows = sequences * length;
    attention a = {.pool = pool_for(HK_EXACT), .segments = malloc(sequences * sizeof(hk_segment)), .n = sequences, .heads = heads,
                   .kv_heads = heads, .head_dim = head_dim, .ld = ld, .q = numbers(sequences * ld), .k = numbers(rows * ld),
                   .v = numbers(rows * ld), .out = numbers(sequences * ld), .kv = kv};
    if (!a.segments) exit(1);
    if (kv == HK_F16) { /* in place: a half lies before every float that is still to be read */
        hk_pool *alone = hk_pool_create(1, HK_PORTABLE, HK_EXACT, NULL);
        float *both[] = {a.k, a.v}, chunk[1024];
        for (size_t b = 0; alone && b < 2; b++)
            for (size_t i = 0; i < rows * ld; i += 1024) {
                size_t count = rows * ld - i < 1024 ? rows * ld - i : 1024;
                memcpy(chunk, both[b] + i, count * sizeof *chunk);
                hk_convert_from_f32(alone, count, chunk, (char *)both[b] + 2 * i, HK_F16);
            }
        hk_pool_free(alone);
    }
    for (size_t i = 0; i < sequences; i++) a.segments[i] = (hk_segment){i, 1, i * length, length - 1, i * length + length - 1, 1};
    char shape[64];
    snprintf(shape, sizeof shape, "%zux%zu heads %zu dim %zu", sequences, length, heads, head_dim);
    double bytes = (kv == HK_F16 ? 4.0 : 8.0) * (double)(rows * ld);
    report("attention decode", shape, kv == HK_F16 ? "f16" : "f32", measure(run_forward, &a), 4.0 * (double)(rows * ld), bytes, peak_bandwidth());
    hk_pool_free(a.pool);
    free(a.segments), free(a.q), free(a.k), free(a.v), free(a.out);
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
        if (strstr(all[i].name, filter)) report(all[i].name, shape, "f32", measure(all[i].run, &r), 0, all[i].bytes * (double)(R * C), peak_bandwidth());
    hk_pool_free(r.pool);
    free(r.x), free(r.y), free(r.w), free(r.s), free(r.z), free(r.dw), free(r.ids);
}

static const struct {
    const char *name;
    hk_isa isa;
} isas[] = {{"auto", HK_AUTO},     {"portable", HK_PORTABLE},       {"avx2", HK_AVX2},
            {"avx512", HK_AVX512}, {"avx512-bf16", HK_AVX512_BF16}, {"amx-bf16", HK_AMX_BF16},
            {"openblas", HK_OPENBLAS}};

static void read_arguments(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
            threads = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--isa") == 0 && i + 1 < argc) {
            size_t k = 0, count = sizeof isas / sizeof *isas;
            for (i++; k < count && strcmp(argv[i], isas[k].name) != 0; k++) {}
            if (k == count) {
                fprintf(stderr, "--isa %s: one of auto portable avx2 avx512 avx512-bf16 amx-bf16 openblas\n", argv[i]);
                exit(2);
            }
            isa = isas[k].isa;
        } else if (strcmp(argv[i], "--linear") == 0 && i + 1 < argc) {
            linear = argv[++i];
        } else {
            filter = argv[i];
        }
    }
}

int main(int argc, char **argv) {
    read_arguments(argc, argv);
    hk_pool *pool = pool_for(HK_FAST);
    threads = hk_pool_threads(pool);
    printf("{\"isa\": \"%s\", \"threads\": %d", hk_pool_isa_name(pool), threads);
    for (int i = 0; i < PEAKS; i++) printf(", \"%s\": %.1f", peak_names[i], peak_of((peak)i, threads, 3));
    puts("}");
    hk_pool_free(pool);
    if (linear) {
        static const size_t shapes[][2] = {{4096, 4096}, {11008, 4096}, {4096, 11008}};
        for (size_t m = 512; m <= 1024; m *= 2)
            for (size_t i = 0; i < 3; i++) bench_matmul(m, shapes[i][0], shapes[i][1], 0, 1, strcmp(linear, "f16") == 0 ? HK_F16 : HK_BF16, HK_FAST);
        return 0;
    }
    /* A projection of a 7B decoder: a token, a batch of them, prompts. Every type a weight may have. */
    static const hk_dtype types[] = {HK_F32, HK_F16, HK_BF16, HK_Q8, HK_Q4, HK_FP4};
    static const size_t rows[] = {1, 4, 16, 128, 512, 1024};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (int fast = 0; fast < 2; fast++) bench_matmul(rows[r], 11008, 4096, 0, 1, types[t], fast ? HK_FAST : HK_EXACT);
    /* The other shapes of the decoder. */
    for (int fast = 0; fast < 2; fast++) {
        hk_numerics numerics = fast ? HK_FAST : HK_EXACT;
        bench_matmul(616, 4096, 4096, 0, 1, HK_BF16, numerics);
        bench_matmul(616, 4096, 11008, 0, 1, HK_BF16, numerics);
        /* Training: forward, gradient to the input, gradient to the weight (LoRA's, r 128, and a whole matrix'). */
        bench_matmul(808, 4096, 4096, 0, 1, HK_F16, numerics);
        bench_matmul(808, 4096, 4096, 0, 0, HK_F16, numerics);
        bench_matmul(4096, 4096, 808, 1, 0, HK_F32, numerics);
        bench_matmul(808, 128, 4096, 0, 1, HK_F32, numerics);
        bench_matmul(808, 4096, 128, 0, 1, HK_F32, numerics);
        bench_matmul(128, 4096, 808, 1, 0, HK_F32, numerics);
        bench_matmul(808, 4096, 4096, 0, 0, HK_Q8, numerics);
        bench_matmul(808, 4096, 4096, 0, 0, HK_Q4, numerics);
    }
    /* The small models of the demo. */
    bench_matmul(200, 128, 128, 0, 1, HK_F32, HK_EXACT);
    bench_matmul(1000, 352, 128, 0, 1, HK_F32, HK_EXACT);
    bench_matmul(1000, 128, 352, 0, 0, HK_F32, HK_EXACT);
    bench_matmul(352, 128, 1000, 1, 0, HK_F32, HK_EXACT);
    bench_matmul(2000, 400, 128, 0, 1, HK_F32, HK_EXACT);
    bench_attention(100, 60, 20, 4, 32);
    bench_attention(1, 616, 96, 16, 64);
    bench_attention(1, 616, 96, 32, 128);
    for (int half = 0; half < 2; half++) {
        bench_decode_attention(1, 640, 32, 128, half ? HK_F16 : HK_F32);
        bench_decode_attention(20, 640, 32, 128, half ? HK_F16 : HK_F32);
    }
    bench_rows(600, 4096);
    bench_rows(192, 32064); /* log-softmax-gather of two answers */
    bench_rows(2000, 128);
    return 0;
}
