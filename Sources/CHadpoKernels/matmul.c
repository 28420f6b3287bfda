/* matmul.c - C[M,N] = beta C + A' B': blocking, packing and the partition over workers.
 *
 * For a block of up to ROW_BLOCK rows and a stretch of K: A' is packed once for everybody (or read in place where it is small
 * fp32), then every chunk, a few panels of B' by a run of rows, multiplies block by block of K. A panel is packed by the chunk that
 * uses it, or beforehand when several runs of rows share it. Packing converts any dtype and transposes in registers. For a row
 * or a few the pass over W is all the cost: they are multiplied as W streams in. No path and no split changes an element's chain of
 * additions (matmul_kernel.h), so none changes the bits.
 */
#include "internal.h"

enum {
    ROW_BLOCK = 1024,           /* rows of A' that share one packing of B' */
    PACKED_FLOATS = 2 << 20,    /* 8 MiB packed for everybody at a time */
    CHUNKS = 32,                /* aimed at, for balance; from the shapes alone */
    MIN_CHUNK_ROWS = 48,
    ALONE_BELOW = 1 << 20       /* multiply-adds: less than waking a worker costs */
};

typedef struct {
    hk_pool *pool;
    const hk_product *p;
    int a_transposed, b_transposed, round, accumulate, a_packed, b_packed, b_in_place, few;
    size_t depth;                         /* elements of K in a block */
    size_t rows, N, k0, k, lda, ldb, ldc; /* this block of rows and stretch of K */
    size_t chunk_rows, chunk_panels, row_chunks;
    const float *A; /* at its first row and k0 */
    const void *B;
    hk_dtype dtype;
    float *C;      /* at its first row */
    float *A_packed; /* [block of K][row][units of the block] */
    float *B_packed; /* [block of K][panel][depth][columns] */
} job;

/* Chunk: ROWS_PER_PACK rows of A', all blocks of K. */
enum { ROWS_PER_PACK = 48 };
static void pack_a_task(void *context, size_t chunk, int worker) {
    job *j = context;
    const hk_product *p = j->p;
    size_t row = chunk * ROWS_PER_PACK, rows = hk_min(ROWS_PER_PACK, j->rows - row);
    (void)worker;
    for (size_t k = 0; k < j->k; k += j->depth) {
        size_t n = hk_min(j->depth, j->k - k), units = hk_blocks(n, p->unit);
        const float *A = j->A + (j->a_transposed ? k * j->lda + row : row * j->lda + k);
        p->pack_a(j->A_packed + j->rows * (k / p->unit) + row * units, units, rows, n, A, j->lda, j->a_transposed, j->round);
    }
}

static void pack_panel(const job *j, float *panel, size_t column, size_t columns, size_t k, size_t n) {
    size_t at = j->b_transposed ? column * j->ldb + j->k0 + k : (j->k0 + k) * j->ldb + column;
    if (hk_is_quantised(j->dtype)) {
        j->p->pack_quantised(panel, columns, n, j->B, j->dtype, at, j->ldb, j->b_transposed, j->round);
        return;
    }
    j->p->pack_b(panel, columns, n, j->B, j->dtype, at, j->ldb, j->b_transposed, j->round);
}
/* What a chunk packs after the panel at `column` and `k` of its columns from `first` to `last`; rows of weights alone. */
static hk_source packed_next(const job *j, size_t column, size_t first, size_t last, size_t k) {
    size_t size = j->dtype == HK_F32 ? 4 : 2;
    column += j->p->columns;
    if (column >= last) column = first, k += j->depth;
    if (!j->b_transposed || hk_is_quantised(j->dtype) || k >= j->k) return (hk_source){0};
    return (hk_source){(const char *)j->B + (column * j->ldb + j->k0 + k) * size, hk_min(j->p->columns, last - column), j->ldb * size,
                       16 * j->p->unit * size};
}
static size_t panel_floats(const job *j) { return hk_blocks(j->depth, j->p->unit) * j->p->columns; }

/* Chunk: one block of K of one panel. */
static void pack_b_task(void *context, size_t chunk, int worker) {
    job *j = context;
    const hk_product *p = j->p;
    size_t panels = hk_blocks(j->N, p->columns), k = chunk / panels * j->depth, column = chunk % panels * p->columns;
    (void)worker;
    pack_panel(j, j->B_packed + chunk * panel_floats(j), column, hk_min(p->columns, j->N - column), k,
               hk_min(j->depth, j->k - k));
}

static void multiply_task(void *context, size_t chunk, int worker) {
    job *j = context;
    const hk_product *p = j->p;
    size_t row = chunk % j->row_chunks * j->chunk_rows, rows = hk_min(j->chunk_rows, j->rows - row);
    size_t first = chunk / j->row_chunks * j->chunk_panels * p->columns;
    size_t last = hk_min(first + j->chunk_panels * p->columns, j->N);
    float *scratch = hk_scratch(j->pool, worker);
    if (j->few && hk_is_quantised(j->dtype)) {
        const float *A = j->a_packed ? j->A_packed + row * hk_blocks(j->k, p->unit) : j->A + row * j->lda;
        p->few_quantised(rows, last - first, j->k, A, j->a_packed ? hk_blocks(j->k, p->unit) : j->lda, j->B, j->dtype, first, j->round,
                         j->C + row * j->ldc + first, j->ldc, j->accumulate);
        return;
    }
    for (size_t k = 0; k < j->k; k += j->depth) {
        size_t n = hk_min(j->depth, j->k - k), units = hk_blocks(n, p->unit);
        const float *A = j->a_packed ? j->A_packed + j->rows * (k / p->unit) + row * units : j->A + row * j->lda + k;
        size_t lda = j->a_packed ? units : j->lda;
        for (size_t c = first; c < last; c += p->columns) {
            size_t columns = hk_min(p->columns, last - c);
            float *C = j->C + row * j->ldc + c;
            if (j->few) {
                p->few_rows(rows, columns, n, A, lda, j->B, j->dtype, c * j->ldb, j->ldb, j->round, C, j->ldc, j->accumulate);
                continue;
            }
            const float *B = scratch;
            size_t ldb = hk_blocks(columns, 16) * 16;
            hk_source next = {0};
            if (j->b_in_place) {
                B = (const float *)j->B + (j->k0 + k) * j->ldb + c;
                ldb = j->ldb;
            } else if (j->b_packed) {
                B = j->B_packed + (k / (j->depth) * hk_blocks(j->N, p->columns) + c / p->columns) * panel_floats(j);
            } else {
                pack_panel(j, scratch, c, columns, k, n);
                next = packed_next(j, c, first, last, k);
            }
            p->multiply(rows, columns, units, A, lda, B, ldb, C, j->ldc, j->accumulate || k > 0, next);
        }
    }
}

/* Chunks of whole panels while there are enough of them, else the rows are split too. */
static void partition(job *j) {
    size_t panels = hk_blocks(j->N, j->p->columns);
    j->chunk_panels = hk_max(1, hk_min(4, panels / CHUNKS));
    size_t groups = hk_blocks(panels, j->chunk_panels), runs = hk_max(1, CHUNKS / groups);
    size_t rows = hk_max(hk_blocks(j->rows, runs), MIN_CHUNK_ROWS);
    j->chunk_rows = hk_blocks(rows, j->p->rows) * j->p->rows;
    j->row_chunks = hk_blocks(j->rows, j->chunk_rows);
}

int hk_matmul(hk_pool *pool, int a_transposed, int b_transposed, size_t M, size_t N, size_t K, const float *A, size_t lda,
              const void *B, hk_dtype b_dtype, size_t ldb, float beta, float *C, size_t ldc) {
    const hk_product *p = hk_pool_product(pool);
    if (M == 0 || N == 0) return HK_OK;
    if (K == 0) {
        if (beta == 0)
            for (size_t i = 0; i < M; i++)
                for (size_t c = 0; c < N; c++) C[i * ldc + c] = 0;
        return HK_OK;
    }
    if (hk_is_straddling(b_dtype, ldb)) b_dtype = HK_F16;
    int openblas = hk_pool_uses_openblas(pool), quantised = hk_is_quantised(b_dtype), amx = hk_pool_uses_amx(pool);
    if (openblas && !quantised)
        return hk_openblas_matmul(pool, a_transposed, b_transposed, M, N, K, A, lda, B, b_dtype, ldb, beta, C, ldc);
#ifdef HK_X86
    if (hk_pool_uses_vnni(pool) && (b_dtype == HK_Q8 || b_dtype == HK_Q4) && b_transposed && !a_transposed &&
        (M <= HK_VNNI_ROWS || !amx))
        return hk_vnni_matmul(pool, M, N, K, A, lda, B, b_dtype, beta, C, ldc);
#endif
    /* OpenBLAS cannot read these: our fp32 product can. Rounding them to tiles would cost a few rows three times their passage. */
    int plain_quantised = quantised && (openblas || (amx && b_transposed && M <= HK_FEW_QUANTISED_ROWS));
#ifdef HK_X86
    if (amx && !plain_quantised)
        return hk_amx_matmul(pool, a_transposed, b_transposed, M, N, K, A, lda, B, b_dtype, ldb, beta, C, ldc);
#endif
    if (plain_quantised) p = hk_pool_kernels(pool)->product;

    job j = {.pool = pool, .p = p, .a_transposed = a_transposed, .b_transposed = b_transposed, .round = hk_pool_rounds(pool) && !plain_quantised,
             .N = N, .lda = lda, .B = B, .dtype = b_dtype, .ldb = ldb, .ldc = ldc};
    int plain = p->unit == 1 && !j.round;
    j.few = b_transposed && M <= (quantised ? (size_t)HK_FEW_QUANTISED_ROWS : p->few);
    j.depth = j.few ? K : p->depth * p->unit;
    j.a_packed = a_transposed || !plain || (N > 4 * p->columns && M > 4 * p->rows && K > j.depth);
    j.b_in_place = plain && b_dtype == HK_F32 && !b_transposed && N % 16 == 0 && M <= 2 * p->rows;
    double work = (double)M * (double)N * (double)K;
    int alone = work < ALONE_BELOW;
    size_t block = hk_blocks(hk_blocks(M, hk_blocks(M, ROW_BLOCK)), p->rows) * p->rows; /* rows, even blocks */
    j.rows = hk_min(block, M);
    partition(&j);
    j.b_packed = j.row_chunks > 1 && !j.b_in_place;
    size_t blocks = hk_blocks(K, j.depth); /* of K */
    size_t a_floats = j.a_packed ? hk_min(M, block) * hk_blocks(j.depth, p->unit) : 0; /* per block of K */
    size_t b_floats = j.b_packed ? hk_blocks(N, p->columns) * panel_floats(&j) : 0;
    if (a_floats + b_floats) blocks = hk_min(blocks, hk_max(1, PACKED_FLOATS / (a_floats + b_floats)));
    size_t stretch = blocks * j.depth;
    if (!j.few && !hk_reserve(pool, panel_floats(&j))) return HK_NO_MEMORY;
    if (a_floats + b_floats) {
        j.A_packed = hk_shared(pool, blocks * (a_floats + b_floats) * sizeof(float));
        if (!j.A_packed) return HK_NO_MEMORY;
        j.B_packed = j.A_packed + blocks * a_floats;
    }
    for (size_t m = 0; m < M; m += block) {
        j.rows = hk_min(block, M - m);
        j.C = C + m * ldc;
        partition(&j);
        size_t chunks = hk_blocks(N, j.chunk_panels * p->columns) * j.row_chunks;
        for (j.k0 = 0; j.k0 < K; j.k0 += stretch) {
            j.k = hk_min(stretch, K - j.k0);
            j.A = A + (a_transposed ? j.k0 * lda + m : m * lda + j.k0);
            j.accumulate = beta != 0 || j.k0 > 0;
            if (j.a_packed) hk_run(pool, alone || j.rows * j.k < 1 << 16, hk_blocks(j.rows, ROWS_PER_PACK), pack_a_task, &j);
            if (j.b_packed)
                hk_run(pool, alone || N * j.k < 1 << 16, hk_blocks(N, p->columns) * hk_blocks(j.k, j.depth), pack_b_task, &j);
            hk_run(pool, alone, chunks, multiply_task, &j);
        }
    }
    return HK_OK;
}
