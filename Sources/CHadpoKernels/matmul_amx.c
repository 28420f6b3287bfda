/* matmul_amx.c - the FAST product on AMX: tiles of sixteen rows of 64 bytes, bf16 operands, fp32 sums.
 *
 * C' = left x right, where the left operand's tile is [16 rows][32 of K] and the right one's [16 pairs of K][16 columns]. A is packed
 * once for everybody; each chunk packs panels of B, 32 columns of C by BLOCK tiles of K, which stay in the L1 cache while A's tiles
 * stream past from the L2. B takes the side for which it need not be transposed: weights [N, K] lie as left tiles already, so their
 * sums come out transposed and are turned when they are written. Sums of a chunk stay in tiles, in the L2, until K ends.
 *
 * An element of C is one chain over the tiles of K in order, each of which adds its even and its odd products: no path, no neighbour
 * and no number of threads changes it. The instructions take subnormals for zero.
 */
#if defined(__x86_64__)
#define _GNU_SOURCE
#include <immintrin.h>
#pragma clang diagnostic ignored "-Wpsabi"
#include "internal.h"
#include <math.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel enlarges a process's register state only when asked. */
const char *hk_amx_open(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("amx-tile") || !__builtin_cpu_supports("amx-bf16") || !__builtin_cpu_supports("avx512bf16"))
        return "this processor has no AMX with bf16";
    if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) != 0) return "the system does not let this process use AMX";
    return NULL;
}

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16"))), \
                             apply_to = function)
#define HK_TARGET_AVX512 1
#define HK_UNIT 2
#include "amx_tiles.h"
#include "quantised_kernel.h"

enum {
    BLOCK = 16,           /* tiles of K in a panel: 32 KiB, so that it stays in the L1 cache */
    PANEL = 2 * SIDE,     /* columns of C */
    ROW_BLOCK = 768,      /* rows of A that share one packing of B: twice 512 are faster than 1,024 */
    SUMS = 1 << 18,       /* floats of a chunk's sums: 1 MiB, half an L2 cache */
    LITTLE = 1 << 17,     /* floats of A packed, half a mebibyte, that may be read once for every panel */
    SHARED_FLOATS = 6 << 20, /* 24 MiB of A packed at a time */
    AHEAD = 512,          /* bytes that B's rows are fetched ahead of their use where A has few rows */
    ALONE_BELOW = 1 << 20 /* multiply-adds: less than waking a worker costs */
};

typedef struct {
    hk_pool *pool;
    int a_transposed, b_transposed, accumulate;
    int left;   /* B's tiles are the left operand */
    int few;    /* A is one pair of tiles, or one: B streams past it */
    int fetched; /* the next panel's rows are fetched while this one is multiplied */
    size_t rows, N, lda, ldb, ldc; /* rows of this block */
    size_t k0, k;                  /* this stretch of K */
    size_t pairs;                  /* of tiles of A */
    size_t chunk_panels, chunk_pairs, runs;
    size_t b_rows; /* of B as it is stored */
    const float *A; /* at its first row and k0 */
    const void *B;
    hk_dtype dtype;
    float *C;      /* at its first row */
    float *shared; /* [block of K][pair][tile of K][2] */
} job;

/* Of a quantised B, from its row `row` and column `column`: sixteen rows lie in a vector, so the sides are exchanged. */
INLINE void pack_quantised_tile(float *out, const job *j, const hk_dtype dtype, const int b_transposed, size_t row, size_t column) {
    const size_t depth = hk_group_columns(dtype), bytes = hk_group_bytes(dtype), pitch = j->ldb / depth * bytes;
    const uint8_t *group = (const uint8_t *)j->B + row / 16 * pitch + column / depth * bytes;
    size_t at = column % depth;
    v16 low[16], high[16], scale = group_scales(group, dtype);
    if (b_transposed) {
        __builtin_prefetch(group + 8 * bytes, 0, 2);
        for (size_t i = 0; i < DEPTH; i += 16) {
            group_columns(low, group, dtype, at + i, scale);
            group_columns(low + 8, group, dtype, at + i + 8, scale);
            UNROLL for (size_t u = 0; u < 8; u++) store(out + (i / 2 + u) * 16, unit_of(low + 2 * u, 0));
        }
        return;
    }
    group_columns(low, group, dtype, at, scale);
    group_columns(low + 8, group, dtype, at + 8, scale);
    if (row + 16 < j->b_rows) {
        scale = group_scales(group + pitch, dtype);
        group_columns(high, group + pitch, dtype, at, scale);
        group_columns(high + 8, group + pitch, dtype, at + 8, scale);
    } else {
        UNROLL for (size_t i = 0; i < 16; i++) high[i] = splat(0);
    }
    UNROLL for (size_t i = 0; i < 16; i++) store(out + i * 16, (v16)_mm512_cvtne2ps_pbh((__m512)high[i], (__m512)low[i]));
}

/* panel[steps][2][TILE]: columns n.. of C, K from `k`. */
INLINE void pack_panel_of(float *panel, const job *j, const hk_dtype dtype, const int b_transposed, size_t n, size_t k, size_t steps) {
    for (size_t s = 0; s < steps; s++, k += DEPTH)
        for (size_t t = 0; t < 2; t++, panel += TILE) {
            size_t column = n + t * SIDE;
            if (column >= j->N) memset(panel, 0, TILE * sizeof *panel);
            else if (hk_is_quantised(dtype))
                pack_quantised_tile(panel, j, dtype, b_transposed, b_transposed ? column : k, b_transposed ? k : column);
            else
                pack_tile(panel, j->B, dtype, b_transposed ? column * j->ldb + k : k * j->ldb + column, j->ldb, b_transposed,
                          j->N - column, j->k0 + j->k - k, !b_transposed);
        }
}
static void pack_panel(float *panel, const job *j, size_t n, size_t k, size_t steps) {
#define PACK(T)                                                                                                                   \
    case T:                                                                                                                       \
        if (j->b_transposed) pack_panel_of(panel, j, T, 1, n, k, steps);                                                          \
        else pack_panel_of(panel, j, T, 0, n, k, steps);                                                                          \
        break;
    switch (j->dtype) { PACK(HK_F32) PACK(HK_F16) PACK(HK_BF16) PACK(HK_Q8) PACK(HK_Q4) PACK(HK_FP4) case HK_CACHE8: break; }
#undef PACK
}

/* Chunk: one block of K of one pair of tiles of A. */
static void pack_shared_task(void *context, size_t chunk, int worker) {
    const job *j = context;
    (void)worker;
    size_t pair = chunk % j->pairs, k = chunk / j->pairs * BLOCK * DEPTH;
    size_t steps = hk_min(BLOCK, hk_blocks(j->k - k, DEPTH));
    float *out = j->shared + (k / DEPTH * j->pairs + pair * steps) * 2 * TILE;
    for (size_t s = 0; s < steps; s++, k += DEPTH)
        for (size_t t = 0; t < 2; t++, out += TILE) {
            size_t m = (2 * pair + t) * SIDE;
            if (m >= j->rows) continue; /* never read */
            size_t along = m * j->lda + k, across = k * j->lda + m;
            if (!j->a_transposed && j->left) pack_tile(out, j->A, HK_F32, along, j->lda, 1, j->rows - m, j->k - k, 1);
            else if (!j->a_transposed) pack_tile(out, j->A, HK_F32, along, j->lda, 1, j->rows - m, j->k - k, 0);
            else if (j->left) pack_tile(out, j->A, HK_F32, across, j->lda, 0, j->rows - m, j->k - k, 1);
            else pack_tile(out, j->A, HK_F32, across, j->lda, 0, j->rows - m, j->k - k, 0);
        }
}

/* B's tiles as the inner loop reads them, and what it fetches meanwhile. */
typedef struct {
    const char *p;               /* the first */
    size_t second, step;         /* bytes to the second column of tiles, to the next tile of K */
    int fresh;                   /* sums begin at zero */
    const char *next;            /* rows of the next panel, a cache line of each with every tile of K */
    size_t next_rows, next_stride;
} panel_tiles;
/* Where another tenant's thread shares the core, a tile's load and a product that stand close together wait for each other; a few empty
 * instructions between them let them overlap (half as fast again there, nothing lost where the core is ours). */
#define REST __asm__ volatile("nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop")
/* The next pair's sums, a cache line of each tile with every tile of K. */
#define SUMS_SOON(i) _mm_prefetch((const char *)(sums + 4 * TILE + (4 * s + i) * (TILE / BLOCK)), _MM_HINT_T0)
#define ADD(c, b, a) (left ? _tile_dpbf16ps(c, b, a) : _tile_dpbf16ps(c, a, b))
/* sums[B's tile][A's tile] += over `steps` tiles of K. Tiles 0 to 3 hold sums, 4 and 5 B's, 6 and 7 A's, which are read once and must not
 * drive B's out of the L1 cache: hence the streaming loads. */
INLINE void multiply(panel_tiles b, const float *a, size_t steps, float *sums, const int left, const int two) {
    if (b.fresh) {
        _tile_zero(0);
        if (two) _tile_zero(1);
        _tile_zero(2);
        if (two) _tile_zero(3);
    } else {
        _tile_loadd(0, sums, 64);
        if (two) _tile_loadd(1, sums + TILE, 64);
        _tile_loadd(2, sums + 2 * TILE, 64);
        if (two) _tile_loadd(3, sums + 3 * TILE, 64);
    }
    for (size_t s = 0; s < steps; s++, b.p += b.step, a += 2 * TILE) {
        _tile_stream_loadd(6, a, 64);
        REST;
        _tile_loadd(4, b.p, 64);
        REST;
        ADD(0, 4, 6);
        SUMS_SOON(0);
        REST;
        if (two) {
            _tile_stream_loadd(7, a + TILE, 64);
            REST;
            ADD(1, 4, 7);
            SUMS_SOON(1);
            REST;
        }
        _tile_loadd(5, b.p + b.second, 64);
        for (size_t i = 0; i < b.next_rows; i++) _mm_prefetch(b.next + i * b.next_stride + s * 64, _MM_HINT_T1);
        REST;
        ADD(2, 5, 6);
        SUMS_SOON(2);
        REST;
        if (two) ADD(3, 5, 7);
        SUMS_SOON(3);
    }
    _tile_stored(0, sums, 64);
    if (two) _tile_stored(1, sums + TILE, 64);
    _tile_stored(2, sums + 2 * TILE, 64);
    if (two) _tile_stored(3, sums + 3 * TILE, 64);
}

/* The sums of a chunk from C, or to it: row after row of C, so that few pages are open at a time. */
INLINE void exchange(const job *j, float *sums, size_t first, size_t last, size_t first_pair, size_t pairs, const int writing) {
    for (size_t pair = 0; pair < pairs; pair++)
        for (size_t a = 0; a < 2; a++) {
            size_t m = (2 * (first_pair + pair) + a) * SIDE;
            if (m >= j->rows) break;
            size_t rows = hk_min(SIDE, j->rows - m);
            for (size_t n = first; n < last; n += SIDE) {
                float *tile = sums + (((n - first) / PANEL * pairs + pair) * 4 + (n - first) / SIDE % 2 * 2 + a) * TILE;
                float *C = j->C + m * j->ldc + n;
                size_t columns = hk_min(SIDE, last - n);
                v16 r[16]; /* indexed by constants alone, so that it stays in registers */
                float part[TILE];
                if (writing) {
                    UNROLL for (size_t i = 0; i < SIDE; i++) r[i] = load(tile + i * 16);
                } else {
                    for (size_t i = 0; i < SIDE; i++) store(part + i * 16, i < rows ? load_up_to(C + i * j->ldc, columns) : splat(0));
                    UNROLL for (size_t i = 0; i < SIDE; i++) r[i] = load(part + i * 16);
                }
                if (j->left) transpose16(r);
                if (!writing) {
                    UNROLL for (size_t i = 0; i < SIDE; i++) store(tile + i * 16, r[i]);
                } else if (rows == SIDE && columns == SIDE) {
                    UNROLL for (size_t i = 0; i < SIDE; i++) store(C + i * j->ldc, r[i]);
                } else {
                    UNROLL for (size_t i = 0; i < SIDE; i++) store(part + i * 16, r[i]);
                    for (size_t i = 0; i < rows; i++) store_up_to(C + i * j->ldc, load(part + i * 16), columns);
                }
            }
        }
}

/* Where the rows of the panel after that at column n and `k` begin: the next columns, or the first ones further in K. NULL if none. */
static const char *next_panel(const job *j, size_t first, size_t last, size_t n, size_t k, size_t *rows) {
    n += PANEL;
    if (n >= last) {
        n = first;
        k += BLOCK * DEPTH;
    }
    if (k >= j->k0 + j->k) return NULL;
    *rows = hk_min(PANEL, j->N - n);
    return (const char *)j->B + (n * j->ldb + k) * 2;
}

/* sums[pair] of the panel at column n += over a block of K from tile `step`. */
static void multiply_panel(const job *j, float *panel, size_t first, size_t last, size_t n, size_t step, size_t first_pair, size_t pairs,
                           float *sums) {
    size_t steps = hk_min(BLOCK, hk_blocks(j->k, DEPTH) - step), k = j->k0 + step * DEPTH, next_rows = 0;
    const float *a = j->shared + (step * j->pairs + first_pair * steps) * 2 * TILE;
    panel_tiles b = {.p = (const char *)panel, .second = TILE * sizeof *panel, .step = 2 * TILE * sizeof *panel,
                     .fresh = step == 0 && !j->accumulate, .next_stride = j->ldb * 2};
    pack_panel(panel, j, n, k, steps);
    const char *next = j->fetched ? next_panel(j, first, last, n, k, &next_rows) : NULL;
    for (size_t i = 0; i < pairs; i++, sums += 4 * TILE, a += steps * 2 * TILE) {
        if (next) {
            size_t row = i * next_rows / pairs;
            b.next = next + row * b.next_stride;
            b.next_rows = (i + 1) * next_rows / pairs - row;
        }
        int two = (2 * (first_pair + i) + 1) * SIDE < j->rows;
        if (j->left && two) multiply(b, a, steps, sums, 1, 1);
        else if (j->left) multiply(b, a, steps, sums, 1, 0);
        else if (two) multiply(b, a, steps, sums, 0, 1);
        else multiply(b, a, steps, sums, 0, 0);
    }
}

/* ---- few rows ----
 * B's passage is the whole cost then. Its rows are read once and become tiles between one product and the next, so that neither the
 * memory nor the tiles wait for the other, and every row is asked for a little ahead, where it ends for its successor sixteen rows on. */

/* Sixteen rows of B as left tile 4: in place, or rounded into `to`. */
INLINE void load_few(float *to, const void *B, const hk_dtype dtype, size_t at, size_t ld, size_t ahead) {
    const size_t size = dtype == HK_F32 ? 4 : 2;
    const char *p = (const char *)B + at * size;
    UNROLL for (size_t i = 0; i < SIDE; i++) {
        _mm_prefetch(p + i * ld * size + ahead, _MM_HINT_T0);
        if (dtype == HK_F32) _mm_prefetch(p + i * ld * size + ahead + 64, _MM_HINT_T0);
        if (dtype != HK_BF16) store(to + i * 16, load_along(B, dtype, at + i * ld, DEPTH, 0));
    }
    if (dtype == HK_BF16) _tile_loadd(4, p, ld * 2);
    else _tile_loadd(4, to, 64);
}
/* sums[A's tile] += sixteen rows of B from row n over all of this stretch of K: no more rows at a time, as each is a stream of memory. */
INLINE void few_of(const job *j, const hk_dtype dtype, size_t n, float *scratch, float *sums) {
    const size_t width = DEPTH * (dtype == HK_F32 ? 4 : 2), ld = j->ldb;
    size_t steps = j->k / DEPTH, at = n * ld + j->k0;
    int two = j->rows > SIDE;
    const float *a = j->shared;
    _tile_loadd(0, sums, 64);
    _tile_loadd(1, sums + TILE, 64);
    for (size_t s = 0; s < steps; s++, at += DEPTH, a += 2 * TILE) {
        size_t ahead = AHEAD + ((s + 1) * width + AHEAD > steps * width ? SIDE * ld * width / DEPTH - steps * width : 0);
        load_few(scratch + s % 2 * TILE, j->B, dtype, at, ld, ahead);
        _tile_loadd(6, a, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (two) {
            _tile_loadd(7, a + TILE, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
    }
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + TILE, 64);
}
static void few(const job *j, size_t n, float *scratch, float *sums) {
    if (j->dtype == HK_F32) few_of(j, HK_F32, n, scratch, sums);
    else if (j->dtype == HK_F16) few_of(j, HK_F16, n, scratch, sums);
    else few_of(j, HK_BF16, n, scratch, sums);
}

static void multiply_task(void *context, size_t chunk, int worker) {
    const job *j = context;
    size_t first_pair = chunk % j->runs * j->chunk_pairs, pairs = hk_min(j->chunk_pairs, j->pairs - first_pair);
    size_t first = chunk / j->runs * j->chunk_panels * PANEL, last = hk_min(first + j->chunk_panels * PANEL, j->N);
    float *panel = hk_scratch(j->pool, worker), *sums = panel + 2 * BLOCK * TILE;
    size_t steps = hk_blocks(j->k, DEPTH), panel_sums = pairs * 4 * TILE;
    configure();
    if (j->accumulate) exchange(j, sums, first, last, first_pair, pairs, 0);
    else if (j->few) memset(sums, 0, hk_blocks(last - first, PANEL) * panel_sums * sizeof *sums);
    size_t begin = first;
    if (j->few)
        for (; begin + PANEL <= last; begin += PANEL)
            for (size_t t = 0; t < 2; t++) few(j, begin + t * SIDE, panel, sums + (begin - first) / PANEL * panel_sums + t * 2 * TILE);
    if (pairs * steps * 2 * TILE <= LITTLE) { /* A stays in the L2 cache: B is read from end to end */
        for (size_t n = begin; n < last; n += PANEL)
            for (size_t step = 0; step < steps; step += BLOCK)
                multiply_panel(j, panel, first, last, n, step, first_pair, pairs, sums + (n - first) / PANEL * panel_sums);
    } else {
        for (size_t step = 0; step < steps; step += BLOCK)
            for (size_t n = begin; n < last; n += PANEL)
                multiply_panel(j, panel, first, last, n, step, first_pair, pairs, sums + (n - first) / PANEL * panel_sums);
    }
    _tile_release();
    exchange(j, sums, first, last, first_pair, pairs, 1);
}

/* Chunks whose sums fit, several for every worker; of the rows too where there are not enough columns. */
static void partition(job *j) {
    size_t panels = hk_blocks(j->N, PANEL), threads = (size_t)hk_pool_threads(j->pool);
    size_t most = hk_max(1, SUMS / (j->pairs * 4 * TILE)), chunks = hk_blocks(panels, hk_min(most, hk_blocks(panels, 4 * threads)));
    chunks = hk_min(panels, hk_blocks(chunks, threads) * threads);
    j->chunk_panels = hk_blocks(panels, chunks);
    chunks = hk_blocks(panels, j->chunk_panels);
    j->runs = hk_min(j->pairs, chunks < 2 * threads ? hk_blocks(2 * threads, chunks) : 1);
    j->chunk_pairs = hk_blocks(j->pairs, j->runs);
    j->runs = hk_blocks(j->pairs, j->chunk_pairs);
}

int hk_amx_matmul(hk_pool *pool, int a_transposed, int b_transposed, size_t M, size_t N, size_t K, const float *A, size_t lda,
                  const void *B, hk_dtype b_dtype, size_t ldb, float beta, float *C, size_t ldc) {
    job j = {.pool = pool, .a_transposed = a_transposed, .b_transposed = b_transposed, .left = !b_transposed == !!hk_is_quantised(b_dtype),
             .N = N, .lda = lda, .ldb = ldb, .ldc = ldc, .b_rows = b_transposed ? N : K, .B = B, .dtype = b_dtype};
    int alone = (double)M * (double)N * (double)K < ALONE_BELOW;
    size_t rows = hk_blocks(hk_blocks(M, hk_blocks(M, ROW_BLOCK)), PANEL) * PANEL; /* even blocks */
    j.few = b_transposed && !hk_is_quantised(b_dtype) && M <= PANEL && K % DEPTH == 0;
    j.fetched = b_transposed && (b_dtype == HK_BF16 || b_dtype == HK_F16);
    j.pairs = hk_blocks(hk_min(rows, M), PANEL);
    size_t most = hk_max(BLOCK, SHARED_FLOATS / (j.pairs * 2 * TILE) / BLOCK * BLOCK); /* tiles of K at a time */
    size_t stretch = hk_min(most * DEPTH, K);
    partition(&j);
    if (!hk_reserve(pool, 2 * BLOCK * TILE + j.chunk_panels * j.chunk_pairs * 4 * TILE)) return HK_NO_MEMORY;
    j.shared = hk_shared(pool, j.pairs * hk_blocks(stretch, DEPTH) * 2 * TILE * sizeof *j.shared);
    if (!j.shared) return HK_NO_MEMORY;
    for (size_t m = 0; m < M; m += rows) {
        j.rows = hk_min(rows, M - m);
        j.pairs = hk_blocks(j.rows, PANEL);
        j.C = C + m * ldc;
        j.runs = hk_blocks(j.pairs, j.chunk_pairs);
        for (j.k0 = 0; j.k0 < K; j.k0 += stretch) {
            j.k = hk_min(stretch, K - j.k0);
            j.A = A + (a_transposed ? j.k0 * lda + m : m * lda + j.k0);
            j.accumulate = beta != 0 || j.k0 > 0;
            hk_run(pool, alone || j.rows * j.k < 1 << 16, j.pairs * hk_blocks(hk_blocks(j.k, DEPTH), BLOCK), pack_shared_task, &j);
            hk_run(pool, alone, hk_blocks(hk_blocks(N, PANEL), j.chunk_panels) * j.runs, multiply_task, &j);
        }
    }
    return HK_OK;
}
#pragma clang attribute pop
#endif
