/* internal.h - what pool.c, the operator files and the instruction-set files share. */
#ifndef HK_INTERNAL_H
#define HK_INTERNAL_H
#include "hadpo_kernels.h"

#if defined(__x86_64__)
#define HK_X86 1
#endif

/* Weights that are packed next: `runs` of them, `pitch` bytes apart, each read in steps of `step` bytes for every 16 units. */
typedef struct {
    const char *at;
    size_t runs, pitch, step;
} hk_source;

/* The matrix product's inner loops for one instruction set and operand form. A unit is what one lane consumes per step: one fp32
 * number, or a pair of bf16 numbers neighbouring in K. A is row-major in units; a panel of B is [unit][columns rounded up to 16]. */
typedef struct {
    size_t unit;    /* elements of K in a unit: 1 or 2 */
    size_t rows;    /* of the register tile */
    size_t columns; /* of the register tile and of a panel */
    size_t depth;   /* units in a block of K, so that a panel's block stays in the L2 cache */
    size_t few;     /* rows of few_rows, at most HK_FEW_ROWS */
    /* dst[rows][pitch] = A[rows, k] from the element A points at; `transposed`: A is [k, rows]. */
    void (*pack_a)(float *dst, size_t pitch, size_t rows, size_t k, const float *A, size_t lda, int transposed, int round);
    /* dst[units][pitch] = B[k, columns] from element `first`; `transposed`: B is [columns, k]. Padding is zero. */
    void (*pack_b)(float *dst, size_t columns, size_t k, const void *B, hk_dtype dtype, size_t first, size_t ldb, int transposed, int round);
    /* C[rows, columns] = (accumulate ? C : 0) + A B, every element one chain over the units in order. B's rows are readable up to
     * a multiple of 16 columns. `next` is asked for meanwhile. */
    void (*multiply)(size_t rows, size_t columns, size_t units, const float *A, size_t lda, const float *B, size_t ldb, float *C,
                     size_t ldc, int accumulate, hk_source next);
    /* The same for at most `few` rows, k elements of K and a transposed B, read in place from element `first`. */
    void (*few_rows)(size_t rows, size_t columns, size_t k, const float *A, size_t lda, const void *B, hk_dtype dtype, size_t first,
                     size_t ldb, int round, float *C, size_t ldc, int accumulate);
    /* pack_b and few_rows for a quantised B. A panel begins at a multiple of 64 elements of K and of 16 of the other dimension;
     * at most HK_FEW_QUANTISED_ROWS rows, from row `row` of W, any number of columns. */
    void (*pack_quantised)(float *dst, size_t columns, size_t k, const void *B, hk_dtype dtype, size_t first, size_t ldb, int transposed,
                           int round);
    void (*few_quantised)(size_t rows, size_t columns, size_t k, const float *A, size_t lda, const void *B, hk_dtype dtype, size_t row,
                          int round, float *C, size_t ldc, int accumulate);
} hk_product;
enum { HK_FEW_ROWS = 8, HK_FEW_QUANTISED_ROWS = 8 };

/* A quantised matrix is stored in groups: sixteen rows (the last ones zeros where the matrix ends) by one block of columns, groups of
 * the same rows one after the other. A group is its rows' scales (fp16; for FP4 fp32), then the codes: for Q8 column by column, a byte
 * for every row; else for every eight columns a 32-bit word for every row, the first column in the lowest four bits. So a product reads
 * memory from end to end, a vector of sixteen rows at a time.
 * FP4 whose rows are not whole blocks (blocks then straddle rows; small models only) is kept as the fp16 numbers it dequantises to. */
static inline int hk_is_quantised(hk_dtype dtype) { return dtype >= HK_Q8 && dtype <= HK_FP4; }
static inline size_t hk_group_columns(hk_dtype dtype) { return dtype == HK_FP4 ? 64 : 32; }
static inline size_t hk_group_scale_bytes(hk_dtype dtype) { return dtype == HK_FP4 ? 64 : 32; }
static inline size_t hk_group_bytes(hk_dtype dtype) { return hk_group_scale_bytes(dtype) + hk_group_columns(dtype) * (dtype == HK_Q8 ? 16 : 8); }
static inline int hk_is_straddling(hk_dtype dtype, size_t columns) { return dtype == HK_FP4 && columns % 64 != 0; }
extern const float hk_q4_levels[16], hk_fp4_levels[16]; /* by code */

typedef struct {
    size_t heads, kv_heads, head_dim;
    float scale;
    hk_dtype kv_dtype; /* of k and v; fp32 on the way back */
    const void *k, *v;
    const float *q, *out, *dout;
    float *result, *lse, *dq, *dk, *dv;
    size_t ldq, ldk, ldv, ldo, lddo, lddq, lddk, lddv;
} hk_attention;

/* Everything else, compiled once per instruction set from the *_kernel.h files. Functions work on one chunk. */
typedef struct {
    const hk_product *product; /* fp32 */
    size_t (*attention_scratch)(size_t head_dim, size_t keys, int backward); /* floats */
    /* heads x rows <= HK_QUERY_ROWS; one head when there are more than HK_FEW_ROWS rows. */
    void (*attention_forward)(const hk_attention *t, const hk_segment *s, size_t segments, size_t row, size_t rows, size_t head, size_t heads,
                              float *scratch);
    void (*attention_backward)(const hk_attention *t, const hk_segment *s, size_t row, size_t rows, size_t head, float *scratch);
    void (*rmsnorm_forward)(size_t R, size_t C, const float *x, const float *w, float eps, float *y, float *rstd);
    void (*rmsnorm_backward)(size_t R, size_t C, const float *x, const float *w, const float *rstd, const float *dy, float *dx);
    void (*layernorm_forward)(size_t R, size_t C, const float *x, const float *w, const float *b, float eps, float *y, float *mean,
                              float *rstd);
    void (*layernorm_backward)(size_t R, size_t C, const float *x, const float *w, const float *mean, const float *rstd,
                               const float *dy, float *dx);
    /* columns c..<c+n of dw += dy * (x - mean) * rstd and db += dy over all rows; mean and db may be NULL. */
    void (*norm_weights)(size_t R, size_t C, size_t c, size_t n, const float *x, const float *mean, const float *rstd,
                         const float *dy, float *dw, float *db);
    void (*rope)(size_t R, size_t heads, size_t head_dim, const int32_t *positions, const float *inv_freq, int direction, float *x,
                 size_t ldx, float *scratch);
    void (*activation_forward)(hk_activation kind, size_t n, const float *x, float *y);
    void (*activation_backward)(hk_activation kind, size_t n, const float *x, const float *dy, float *dx);
    void (*swiglu_forward)(size_t n, const float *gate, const float *up, float *y);
    void (*swiglu_backward)(size_t n, const float *gate, const float *up, const float *dy, float *dgate, float *dup);
    void (*add)(size_t n, const float *a, const float *b, float *y);
    void (*axpy)(size_t n, float alpha, const float *x, float *y);
    void (*scale)(size_t n, float alpha, float *x);
    void (*column_sum)(size_t R, size_t n, const float *x, size_t ldx, float *sum);
    void (*to_f32)(size_t n, const void *x, hk_dtype dtype, size_t first, float *y);
    void (*from_f32)(size_t n, const float *x, void *y, hk_dtype dtype, size_t first);
    void (*quantise)(hk_dtype dtype, size_t rows, size_t columns, const void *x, hk_dtype x_dtype, size_t first, uint8_t *groups);
    void (*dequantise)(hk_dtype dtype, size_t rows, size_t columns, const uint8_t *groups, float *y);
    void (*cache_row)(size_t n, const float *x, int8_t *y);
    void (*round_trip_fp4)(size_t n, const void *x, hk_dtype x_dtype, size_t first, uint16_t *y);
    double (*sum_of_squares)(size_t n, const float *x);
    int (*all_finite)(size_t n, const float *x);
    void (*logprob_forward)(size_t R, size_t V, const float *logits, size_t ld, const int32_t *ids, float *logp, float *lse);
    void (*logprob_backward)(size_t R, size_t V, float *logits, size_t ld, const int32_t *ids, const float *lse, const float *dlogp);
    /* decayed = 1 - lr decay, step = lr / (1 - beta1^t), root = 1 / sqrt(1 - beta2^t), rest = 1 - beta. */
    void (*adamw)(size_t n, float *p, const float *g, float *m, float *v, float grad_scale, float decayed, float step, float root,
                  float rest1, float beta2, float rest2, float eps);
    /* 0 exp, 1 erf */
    void (*elementary)(int which, size_t n, const float *x, float *y);
} hk_kernels;

extern const hk_kernels hk_kernels_portable;
#ifdef HK_X86
extern const hk_kernels hk_kernels_avx2, hk_kernels_avx512;
extern const hk_product hk_product_avx512_bf16;
#endif

/* Keys of its own range that a segment's query sees. */
static inline size_t hk_own_visible(const hk_segment *s, size_t query) {
    size_t n = s->own_count + query + 1;
    return s->own_count && n > s->q_count ? n - s->q_count : 0;
}
/* Keys its last query sees, and the row of k and v that the logical key j of them has. */
static inline size_t hk_keys_of(const hk_segment *s) { return s->ctx_count + s->own_count; }
static inline size_t hk_key_row(const hk_segment *s, size_t j) { return j < s->ctx_count ? s->ctx_start + j : s->own_start + j - s->ctx_count; }
/* Query rows in a block of attention. */
enum { HK_QUERY_ROWS = 48 };

/* ---- pool.c ---- */
const hk_kernels *hk_pool_kernels(const hk_pool *pool);
const hk_product *hk_pool_product(const hk_pool *pool); /* for matmul: fp32, or bf16 pairs */
int hk_pool_rounds(const hk_pool *pool);                /* FAST without bf16 instructions: round while packing */
int hk_pool_uses_openblas(const hk_pool *pool);
/* 64-byte aligned, at least `floats` for every worker; the contents do not outlive the operation. 0 when out of memory. */
int hk_reserve(hk_pool *pool, size_t floats);
float *hk_scratch(hk_pool *pool, int worker);
/* One block shared by all workers; NULL when out of memory. */
void *hk_shared(hk_pool *pool, size_t bytes);
/* hk_parallel, or all chunks on the calling thread when the work does not pay for waking others. */
void hk_run(hk_pool *pool, int alone, size_t chunks, hk_task task, void *context);

int hk_pool_uses_amx(const hk_pool *pool);

/* ---- matmul_amx.c ---- */
const char *hk_amx_open(void); /* NULL, or why not */
int hk_amx_matmul(hk_pool *pool, int a_transposed, int b_transposed, size_t M, size_t N, size_t K, const float *A, size_t lda,
                  const void *B, hk_dtype b_dtype, size_t ldb, float beta, float *C, size_t ldc);

/* ---- attention_amx.c ---- */
int hk_amx_attention_forward(hk_pool *pool, int alone, const hk_segment *segments, size_t n, const hk_attention *t);
/* first[component], next[segment]: the segments of a component, UINT32_MAX after the last. */
int hk_amx_attention_backward(hk_pool *pool, int alone, const hk_segment *segments, size_t n, const hk_attention *t,
                              const uint32_t *first, const uint32_t *next, size_t components);

/* ---- quantised_vnni.c ---- */
int hk_vnni_open(void); /* true when the processor has what it needs */
/* C[M,N] = beta C + A B^T; B is Q8 or Q4. Up to HK_VNNI_ROWS rows multiply B as it streams in, and where there is AMX more are left to it. */
enum { HK_VNNI_ROWS = 32 };
int hk_vnni_matmul(hk_pool *pool, size_t M, size_t N, size_t K, const float *A, size_t lda, const void *B, hk_dtype dtype, float beta, float *C,
                   size_t ldc);

/* ---- openblas.c ---- */
const char *hk_openblas_open(void); /* NULL, or why not */
int hk_openblas_matmul(hk_pool *pool, int a_transposed, int b_transposed, size_t M, size_t N, size_t K, const float *A, size_t lda,
                       const void *B, hk_dtype b_dtype, size_t ldb, float beta, float *C, size_t ldc);

static inline size_t hk_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t hk_max(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t hk_blocks(size_t n, size_t size) { return n / size + (n % size != 0); }
#endif
