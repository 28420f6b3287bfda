/* matmul.c - C[M,N] = beta C + A' B': blocking, packing and the partition over workers.
 *
 * For a block of up to ROW_BLOCK rows and a stretch of K: A' is packed once for everybody (or read in place where it is small
 * fp32), then every chunk, a few panels of B' by a run of rows, packs its panels block by block of K and multiplies. Packing converts
 * any dtype and transposes in registers, so one path serves all products, a single row included: there the packing of W is the pass
 * over memory. No split changes an element's chain of additions (matmul_kernel.h), so none changes the bits.
 */
#include "internal.h"

enum {
    ROW_BLOCK = 1024,           /* rows of A' that share one packing of B' */
    PACKED_A_FLOATS = 2 << 20,  /* 8 MiB of packed A' at a time */
    CHUNKS = 32,                /* aimed at, for balance; from the shapes alone */
    MIN_CHUNK_ROWS = 96,        /* below this, packing a panel again for every run of rows would show */
    ALONE_BELOW = 1 << 20       /* multiply-adds: less than waking a worker costs */
};

typedef struct {
    hk_pool *pool;
    const hk_product *p;
    int a_transposed, b_transposed, round, accumulate, a_packed, b_in_place;
    size_t rows, N, k0, k, lda, ldb, ldc; /* this block of rows and stretch of K */
    size_t chunk_rows, chunk_panels, row_chunks;
    const float *A; /* at its first row and k0 */
    const void *B;
    hk_dtype dtype;
    float *C;      /* at its first row */
    float *packed; /* [block of K][row][units of the block] */
} job;

/* Chunk: ROWS_PER_PACK rows of A', all blocks of K. */
enum { ROWS_PER_PACK = 48 };
static void pack_task(void *context, size_t chunk, int worker) {
    job *j = context;
    const hk_product *p = j->p;
    size_t row = chunk * ROWS_PER_PACK, rows = hk_min(ROWS_PER_PACK, j->rows - row);
    (void)worker;
    for (size_t k = 0; k < j->k; k += p->depth * p->unit) {
        size_t n = hk_min(p->depth * p->unit, j->k - k), units = hk_blocks(n, p->unit);
        const float *A = j->A + (j->a_transposed ? k * j->lda + row : row * j->lda + k);
        p->pack_a(j->packed + j->rows * (k / p->unit) + row * units, units, rows, n, A, j->lda, j->a_transposed, j->round);
    }
}

static void multiply_task(void *context, size_t chunk, int worker) {
    job *j = context;
    const hk_product *p = j->p;
    size_t row = chunk % j->row_chunks * j->chunk_rows, rows = hk_min(j->chunk_rows, j->rows - row);
    size_t first = chunk / j->row_chunks * j->chunk_panels * p->columns;
    size_t last = hk_min(first + j->chunk_panels * p->columns, j->N);
    float *panel = hk_scratch(j->pool, worker);
    for (size_t k = 0; k < j->k; k += p->depth * p->unit) {
        size_t n = hk_min(p->depth * p->unit, j->k - k), units = hk_blocks(n, p->unit);
        const float *A = j->a_packed ? j->packed + j->rows * (k / p->unit) + row * units : j->A + row * j->lda + k;
        size_t lda = j->a_packed ? units : j->lda;
        for (size_t c = first; c < last; c += p->columns) {
            size_t columns = hk_min(p->columns, last - c);
            float *C = j->C + row * j->ldc + c;
            if (j->b_in_place) {
                p->multiply(rows, columns, units, A, lda, (const float *)j->B + (j->k0 + k) * j->ldb + c, j->ldb, C, j->ldc,
                            j->accumulate || k > 0);
                continue;
            }
            size_t at = j->b_transposed ? c * j->ldb + j->k0 + k : (j->k0 + k) * j->ldb + c;
            p->pack_b(panel, columns, n, j->B, j->dtype, at, j->ldb, j->b_transposed, j->round);
            p->multiply(rows, columns, units, A, lda, panel, hk_blocks(columns, 16) * 16, C, j->ldc, j->accumulate || k > 0);
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
    if (hk_pool_uses_openblas(pool))
        return hk_openblas_matmul(pool, a_transposed, b_transposed, M, N, K, A, lda, B, b_dtype, ldb, beta, C, ldc);

    job j = {.pool = pool, .p = p, .a_transposed = a_transposed, .b_transposed = b_transposed, .round = hk_pool_rounds(pool),
             .N = N, .lda = lda, .B = B, .dtype = b_dtype, .ldb = ldb, .ldc = ldc};
    int plain = p->unit == 1 && !j.round;
    j.a_packed = a_transposed || !plain || (N > 4 * p->columns && M > 4 * p->rows && K > p->depth);
    j.b_in_place = plain && b_dtype == HK_F32 && !b_transposed && N % 16 == 0 && M <= 2 * p->rows;
    double work = (double)M * (double)N * (double)K;
    int alone = work < ALONE_BELOW;
    size_t block = hk_blocks(hk_blocks(M, hk_blocks(M, ROW_BLOCK)), p->rows) * p->rows; /* rows, even blocks */
    size_t depth = p->depth * p->unit, stretch = K;
    if (j.a_packed) stretch = hk_max(1, PACKED_A_FLOATS / (hk_min(M, block) * p->depth)) * depth;
    if (!hk_reserve(pool, p->depth * p->columns)) return HK_NO_MEMORY;
    if (j.a_packed) {
        j.packed = hk_shared(pool, hk_min(M, block) * hk_blocks(hk_min(stretch, K), p->unit) * sizeof(float));
        if (!j.packed) return HK_NO_MEMORY;
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
            if (j.a_packed) hk_run(pool, alone || j.rows * j.k < 1 << 16, hk_blocks(j.rows, ROWS_PER_PACK), pack_task, &j);
            hk_run(pool, alone, chunks, multiply_task, &j);
        }
    }
    return HK_OK;
}
