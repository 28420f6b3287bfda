/* hadpo_kernels.h - the loops on pointers under HadpoTensor.
 *
 * Conventions
 *   matrices are row-major; ld* is the distance between rows in elements; sizes are never negative.
 *   M rows of activations, N output columns, K summed dimension; R rows, C columns of an elementwise op.
 *   Activations, gradients and optimizer state are fp32. Weights are fp32, fp16 or bf16 as stored, or quantised.
 *   Every function returns 0, or HK_NO_MEMORY when its scratch could not be had; nothing is written past the outputs.
 *   The result does not depend on the number of threads (nothing is summed across the borders of chunks), and a row of a matmul
 *   or of an attention depends only on that row's inputs and the weights: not on M, not on its neighbours, not on how
 *   the keys are split into context and own range. So cached = uncached, batched = single, shared prefix = plain, in bits.
 *   Exceptions, of FAST on AMX alone: up to 32 rows by a Q8 or Q4 B^T are multiplied in int8, up to eight by FP4 in fp32, and more in bf16;
 *   dk and dv of attention are summed thirty-two queries at a time from a segment's first, so that a split into segments moves their
 *   roundings.
 *   With VNNI and without AMX, FAST multiplies any number of rows by a Q8 or Q4 B^T in int8 (A quantised as Q8 is).
 *   "+=" outputs accumulate; all others are overwritten.
 */
#ifndef HADPO_KERNELS_H
#define HADPO_KERNELS_H
#include <stddef.h>
#include <stdint.h>

enum { HK_OK = 0, HK_NO_MEMORY = 1 };

/* Q8, Q4: blocks of 32 along a row, an fp16 scale and integers -127..127 or -8..7. FP4: bitsandbytes' 4-bit floats, blocks of 64 of the
 * row-major matrix, fp32 scale. Whole matrices only, in a form of their own (hk_quantise), as B of hk_matmul.
 * CACHE8: k and v of attention alone. A row of C numbers is C int8, then an fp16 scale for every 32 of them: C/16*17 bytes. */
typedef enum { HK_F32 = 0, HK_F16 = 1, HK_BF16 = 2, HK_Q8 = 3, HK_Q4 = 4, HK_FP4 = 5, HK_CACHE8 = 6 } hk_dtype;

/* Inner kernels. AUTO takes the best one the processor has (AMX and BF16 only for HK_FAST). Forcing one that the processor lacks
 * fails in hk_pool_create; AVX512_BF16 and AMX_BF16 with HK_EXACT are AVX512. OPENBLAS: matmul by fp32 sgemm (FAST too) through a libopenblas
 * opened with dlopen on first use; the promises about bits above do not hold for it. */
typedef enum { HK_AUTO = 0, HK_PORTABLE = 1, HK_AVX2 = 2, HK_AVX512 = 3, HK_AVX512_BF16 = 4, HK_OPENBLAS = 5, HK_AMX_BF16 = 6 } hk_isa;

/* EXACT: fp32 products. FAST: matmul operands rounded to bf16 while packing, fp32 accumulation; on AMX those of attention too;
 * with VNNI, A to 8 bits by Q8 and Q4. */
typedef enum { HK_EXACT = 0, HK_FAST = 1 } hk_numerics;

/* Worker threads plus the caller. Idle workers sleep. Owns per-worker scratch, grown on demand and kept. */
typedef struct hk_pool hk_pool;
/* threads 0 = processors available to this process (sched_getaffinity). NULL when a thread, memory or the isa cannot be
 * had; *why then points at a static text. */
hk_pool *hk_pool_create(int threads, hk_isa isa, hk_numerics numerics, const char **why);
void hk_pool_free(hk_pool *pool);
int hk_pool_threads(const hk_pool *pool);
int hk_pool_uses_vnni(const hk_pool *pool); /* FAST with AVX-512 VNNI and VBMI: rows by Q8 or Q4 are multiplied in int8 */
const char *hk_pool_isa_name(const hk_pool *pool); /* static: "amx-bf16", "avx512-bf16", "avx512", "avx2", "portable", "openblas" */

/* A pool serves one caller at a time, and a task does not call hk_parallel or any operation of its own pool.
 * task(context, chunk, worker) for every chunk in 0..<chunks, worker in 0..<threads. Returns when all are done. */
typedef void (*hk_task)(void *context, size_t chunk, int worker);
void hk_parallel(hk_pool *pool, size_t chunks, hk_task task, void *context);

/* ---- matmul (matmul.c) ------------------------------------------------------------------------------------------ */
/* C[M,N] = beta*C + A' B',  beta is 0 or 1.
 *   A' = A[M,K] (lda >= K), or with a_transposed A is [K,M] (lda >= M). fp32.
 *   B' = B[K,N] (ldb >= N), or with b_transposed B is [N,K] (ldb >= K). any dtype; a quantised B has no
 *   padding between rows, and begins at a row that is a multiple of 16 of the matrix that was quantised.
 * forward  Y[M,N]  = X[M,K] W[N,K]^T   (b_transposed);  dX[M,K] = dY[M,N] W[N,K];  dW[N,K] += dY^T X  (a_transposed). */
int hk_matmul(hk_pool *pool, int a_transposed, int b_transposed, size_t M, size_t N, size_t K, const float *A, size_t lda,
              const void *B, hk_dtype b_dtype, size_t ldb, float beta, float *C, size_t ldc);

/* ---- quantised weights (quantised.c) ---------------------------------------------------------------------------- */
/* Bytes of a quantised matrix [R,C]; 0 (false) when they overflow or when C is not a multiple of 32 (Q8, Q4). */
int hk_quantised_bytes(size_t R, size_t C, hk_dtype dtype, size_t *bytes);
/* x[R,C] is fp32, fp16 or bf16. FP4 rounds it to fp16 first, which is what bitsandbytes is given. A block with a number that is not
 * finite becomes one that is not. The bits do not depend on threads or isa. */
int hk_quantise(hk_pool *pool, size_t R, size_t C, const void *x, hk_dtype x_dtype, void *y, hk_dtype dtype);
int hk_dequantise(hk_pool *pool, size_t R, size_t C, const void *x, hk_dtype dtype, float *y);

/* y[R,C/16*17 bytes] = x[R,C] in HK_CACHE8's form; C is a multiple of 32. */
int hk_cache_rows(hk_pool *pool, size_t R, size_t C, const float *x, void *y);

/* ---- attention (attention.c) ------------------------------------------------------------------------------------ */
/* One run of query rows. Query i (0..<q_count, row q_start+i) sees every key of the context range
 * ctx_start..<ctx_start+ctx_count, then its own range up to and including itself: own_start..<own_start+own_count-q_count+i+1.
 *   causal sequence: ctx_count 0, own = the rows themselves.   bidirectional (ViT): ctx = all rows of
 *   the picture, own_count 0 (the own range is then empty for every query).   decode: ctx = shared prefix in the cache, own = the branch's rows so far.
 *   shared-prefix training: ctx = prefix rows, own = the branch's rows. Ranges index rows of k and v; q_start rows of q. */
typedef struct {
    size_t q_start, q_count, ctx_start, ctx_count, own_start, own_count;
} hk_segment;

/* q[rows, heads*head_dim] k,v[rows, kv_heads*head_dim]; query head h reads kv head h / (heads/kv_heads).
 * out[row, heads*head_dim] = softmax(scale q k^T) v. lse[row*heads + h] = log of the softmax denominator incl. maximum
 * (scaled scores); may be NULL. Scores of a block of rows live in scratch; no T x T matrix. k and v are fp32, or of a cache fp16, bf16
 * or CACHE8, whose ldk and ldv are bytes and whose head_dim is a multiple of 16. */
int hk_attention_forward(hk_pool *pool, const hk_segment *segments, size_t n_segments, size_t heads, size_t kv_heads,
                         size_t head_dim, float scale, const float *q, size_t ldq, const void *k, size_t ldk, const void *v,
                         size_t ldv, hk_dtype kv_dtype, float *out, size_t ldo, float *lse);
/* What a cache of keys and values should be kept in. FAST on AMX: BF16, to which attention rounds q, k and v in any case, so that it gives
 * the bits of one in fp32. FAST on AVX-512: F16, which rounds eight times as finely as products round their operands and ends at 65,504.
 * Else F32: EXACT rounds nothing, and elsewhere fp16 takes time to widen. */
hk_dtype hk_cache_dtype(const hk_pool *pool);
/* dq overwritten for the query rows; dk, dv += (a context row collects from every segment that sees it; the caller zeroes). */
int hk_attention_backward(hk_pool *pool, const hk_segment *segments, size_t n_segments, size_t heads, size_t kv_heads,
                          size_t head_dim, float scale, const float *q, size_t ldq, const float *k, size_t ldk,
                          const float *v, size_t ldv, const float *out, size_t ldo, const float *lse, const float *dout,
                          size_t lddo, float *dq, size_t lddq, float *dk, size_t lddk, float *dv, size_t lddv);

/* ---- norms, positions, activations (layers.c) ------------------------------------------------------------------- */
/* y = x * rsqrt(mean(x^2) + eps) * w.  rstd[R] saved for backward (may be NULL). */
int hk_rmsnorm_forward(hk_pool *pool, size_t R, size_t C, const float *x, const float *w, float eps, float *y, float *rstd);
/* dx overwritten; dw[C] += when not NULL. */
int hk_rmsnorm_backward(hk_pool *pool, size_t R, size_t C, const float *x, const float *w, const float *rstd, const float *dy,
                        float *dx, float *dw);
/* y = (x - mean) * rsqrt(var + eps) * w + b; mean[R], rstd[R] saved (may be NULL). */
int hk_layernorm_forward(hk_pool *pool, size_t R, size_t C, const float *x, const float *w, const float *b, float eps, float *y,
                         float *mean, float *rstd);
int hk_layernorm_backward(hk_pool *pool, size_t R, size_t C, const float *x, const float *w, const float *mean, const float *rstd,
                          const float *dy, float *dx, float *dw, float *db);
/* Rotates pairs (i, i + head_dim/2) of each head in place: angle = positions[row] * inv_freq[i], the
 * product in fp32 as the checkpoints' own code has it. direction +1 forward, -1 its inverse (= the gradient). cos and sin in
 * double, rounded once. */
int hk_rope(hk_pool *pool, size_t R, size_t heads, size_t head_dim, const int32_t *positions, const float *inv_freq, int direction,
            float *x, size_t ldx);
typedef enum { HK_GELU_ERF = 0, HK_GELU_QUICK = 1, HK_SILU = 2, HK_RELU = 3, HK_GELU_TANH = 4 } hk_activation;
int hk_activation_forward(hk_pool *pool, hk_activation kind, size_t n, const float *x, float *y);
int hk_activation_backward(hk_pool *pool, hk_activation kind, size_t n, const float *x, const float *dy, float *dx);
int hk_exp(hk_pool *pool, size_t n, const float *x, float *y); /* within 1.2 ulp; subnormal results and overflow included */
int hk_erf(hk_pool *pool, size_t n, const float *x, float *y); /* within 1.2 ulp */
/* SwiGLU: y = silu(gate) * up. */
int hk_swiglu_forward(hk_pool *pool, size_t n, const float *gate, const float *up, float *y);
int hk_swiglu_backward(hk_pool *pool, size_t n, const float *gate, const float *up, const float *dy, float *dgate, float *dup);

/* ---- elementwise and reductions (elementwise.c) ----------------------------------------------------------------- */
int hk_add(hk_pool *pool, size_t n, const float *a, const float *b, float *y);      /* y = a + b (y may be a or b) */
int hk_axpy(hk_pool *pool, size_t n, float alpha, const float *x, float *y);        /* y += alpha x */
int hk_scale(hk_pool *pool, size_t n, float alpha, float *x);                       /* x *= alpha */
int hk_add_bias(hk_pool *pool, size_t R, size_t C, const float *bias, float *y, size_t ldy); /* y[r,:] += bias */
int hk_column_sum(hk_pool *pool, size_t R, size_t C, const float *x, size_t ldx, float *sum); /* sum[C] += */
int hk_convert_to_f32(hk_pool *pool, size_t n, const void *x, hk_dtype dtype, float *y);
int hk_convert_from_f32(hk_pool *pool, size_t n, const float *x, void *y, hk_dtype dtype); /* round to nearest even */
double hk_sum_of_squares(hk_pool *pool, size_t n, const float *x);                  /* in double, fixed order */
int hk_all_finite(hk_pool *pool, size_t n, const float *x);                         /* 1 or 0 */
int hk_zero(void *x, size_t bytes);
int hk_copy(const void *x, void *y, size_t bytes); /* no overlap */
/* y[r,:] = table[ids[r],:]; ids are in range (the caller checked). */
int hk_gather_rows(hk_pool *pool, size_t R, size_t C, const void *table, hk_dtype dtype, const int32_t *ids, float *y, size_t ldy);
/* table[ids[r],:] += x[r,:], in the order of r for every row of the table. */
int hk_scatter_add_rows(hk_pool *pool, size_t R, size_t C, const float *x, size_t ldx, const int32_t *ids, float *table, size_t ldt);

/* ---- losses and optimizer (loss.c) ------------------------------------------------------------------------------ */
/* logp[r] = logits[r, ids[r]] - logsumexp(logits[r,:]); lse[r] saved (may be NULL). sums in double per row. */
int hk_logprob_forward(hk_pool *pool, size_t R, size_t V, const float *logits, size_t ld, const int32_t *ids, float *logp, float *lse);
/* In place: logits become d loss / d logits = dlogp[r] * (onehot(ids[r]) - softmax(row)). */
int hk_logprob_backward(hk_pool *pool, size_t R, size_t V, float *logits, size_t ld, const int32_t *ids, const float *lse, const float *dlogp);
/* Decoupled weight decay as torch.optim.AdamW: p *= 1 - lr*decay; m, v updated; p -= lr/(1-beta1^t) * m / (sqrt(v)/sqrt(1-beta2^t) + eps).
 * g is multiplied by grad_scale (clipping) while it is read. t >= 1. */
int hk_adamw(hk_pool *pool, size_t n, float *p, const float *g, float *m, float *v, float grad_scale, double lr, double beta1,
             double beta2, double eps, double decay, uint64_t t);
#endif
