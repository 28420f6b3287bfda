/* quantised_vnni.c - the FAST product by a Q8 or Q4 matrix: both operands in 8-bit integers, sums exact within a block.
 *
 * Decoding reads every weight once, and expanding four-bit codes to fp32 takes longer than reading them; and the processor multiplies
 * twice as many 8-bit integers as bf16 numbers. So a row of A is quantised in the blocks of 32 that B has (scale = largest magnitude / 127),
 * and a block's 32 products are added as integers:
 *   C[m, n] += (sum of code x  -  offset * sum of x) * scale of A's block * scale of B's block,   x the integers of A,
 * where the instruction wants B's codes without a sign: Q4's have an offset of 8 as they are stored, Q8's one of 128 after a flip of a bit.
 * An element is one chain over the blocks in order, whatever the path: up to 32 rows multiply B as it streams in; for more, a panel of B
 * is brought into the order of the lanes first, 512 of K at a time, so that the panel stays in the L1 and A's part in the L2.
 * The stored form is in internal.h.
 */
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang diagnostic ignored "-Wpsabi"
#include "internal.h"
#include <math.h>
#include <string.h>

int hk_vnni_open(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi"))), \
                             apply_to = function)
#define HK_TARGET_AVX512 1
#include "vector.h"

enum {
    AHEAD = 16 /* blocks */,
    BLOCK = 32,
    TOGETHER = 8 /* rows */,
    CHUNKS = 64,
    ALONE_BELOW = 1 << 20 /* multiply-adds */,
    ROWS = 6, GROUPS = 2, /* of a tile: twelve sums of either kind in 32 registers */
    DEPTH = 16,           /* blocks of a panel */
    ROW_BLOCK = 768       /* rows of A that are quantised at a time */
};

typedef struct {
    float scale;
    int32_t start; /* - offset * sum of the codes */
    int8_t codes[BLOCK]; /* in the order in which B's lie in a lane */
} block_of_a;
/* A block of a panel's columns: codes without a sign, four of a lane's column at a time. */
typedef struct {
    float scales[GROUPS][16];
    uint8_t codes[BLOCK / 4][GROUPS][64];
} block_of_panel;
typedef struct {
    hk_pool *pool;
    size_t M, N, blocks, chunk_columns;
    const float *from; /* A as it came */
    size_t lda;
    block_of_a *A; /* [M][blocks]; for tiles [run of DEPTH blocks][M][DEPTH] */
    int tiled;
    const uint8_t *B;
    hk_dtype dtype;
    float *C;
    size_t ldc;
    int accumulate;
} job;

/* Of every eight columns Q4 has the even ones in the low halves of a lane's bytes, and the odd ones in the high halves. */
static block_of_a quantise_block(const float *x, hk_dtype dtype) {
    v16 low = load(x), high = load(x + 16);
    float largest = largest_lane(larger_magnitude(low, high));
    block_of_a r = {.scale = largest / 127};
    if (largest < 0x1p-120f) r.scale = 0; /* 127 / largest would overflow */
    if (!(largest >= 0x1p-120f && largest < INFINITY)) low = high = splat(0); /* what is not finite breaks the block by its scale: 0 times it */
    v16 inverse = splat(r.scale > 0 && r.scale < INFINITY ? 127 / largest : 0);
    v16i first = (v16i)_mm512_cvtps_epi32((__m512)(low * inverse)), second = (v16i)_mm512_cvtps_epi32((__m512)(high * inverse));
    int32_t sum = _mm512_reduce_add_epi32((__m512i)(first + second));
    r.start = -(dtype == HK_Q4 ? 8 : 128) * sum;
    static const int8_t even_then_odd[BLOCK] = {0,  2,  4,  6,  1,  3,  5,  7,  8,  10, 12, 14, 9,  11, 13, 15,
                                                16, 18, 20, 22, 17, 19, 21, 23, 24, 26, 28, 30, 25, 27, 29, 31};
    __m256i codes = _mm256_set_m128i(_mm512_cvtepi32_epi8((__m512i)second), _mm512_cvtepi32_epi8((__m512i)first));
    if (dtype == HK_Q4) codes = _mm256_permutexvar_epi8(_mm256_loadu_si256((const __m256i *)even_then_odd), codes);
    _mm256_storeu_si256((__m256i *)r.codes, codes);
    return r;
}
/* Chunk: ROWS rows. */
static void quantise_task(void *context, size_t chunk, int worker) {
    const job *j = context;
    (void)worker;
    for (size_t m = chunk * ROWS; m < hk_min((chunk + 1) * ROWS, j->M); m++)
        for (size_t b = 0; b < j->blocks; b++) {
            size_t at = j->tiled ? (b / DEPTH * j->M + m) * DEPTH + b % DEPTH : m * j->blocks + b;
            j->A[at] = quantise_block(j->from + m * j->lda + b * BLOCK, j->dtype);
        }
}
INLINE v16i broadcast(const int8_t *codes) {
    int32_t four;
    memcpy(&four, codes, sizeof four);
    return (v16i)_mm512_set1_epi32(four);
}
INLINE v16i dot(v16i sum, v16i without_sign, v16i with_sign) {
    return (v16i)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)without_sign, (__m512i)with_sign);
}

/* Four columns of a group's block from column 4 i, a lane for each row: byte 4 r + c of the lanes is byte 16 c + r as Q8 stores them. Of Q4
 * the even columns of eight, then the odd ones: two vectors at an even i. */
INLINE void codes_of(const hk_dtype dtype, const uint8_t *group, size_t i, v16i *codes) {
    static const uint8_t order[64] = {0,  16, 32, 48, 1,  17, 33, 49, 2,  18, 34, 50, 3,  19, 35, 51, 4,  20, 36, 52, 5,  21,
                                      37, 53, 6,  22, 38, 54, 7,  23, 39, 55, 8,  24, 40, 56, 9,  25, 41, 57, 10, 26, 42, 58,
                                      11, 27, 43, 59, 12, 28, 44, 60, 13, 29, 45, 61, 14, 30, 46, 62, 15, 31, 47, 63};
    v16 stored = load_raw(group + 32 + (dtype == HK_Q4 ? 32 : 64) * i);
    if (dtype == HK_Q4) {
        codes[0] = (v16i)stored & (v16i)splat_bits(0x0f0f0f0f);
        codes[1] = (v16i)((v16u)stored >> 4) & (v16i)splat_bits(0x0f0f0f0f);
    } else {
        codes[0] = (v16i)_mm512_permutexvar_epi8(_mm512_loadu_si512(order), (__m512i)stored) ^ (v16i)splat_bits(0x80808080u);
    }
}

/* ---- a few rows ----
 * Sixteen columns of C for `rows` rows from the first, of which m exist. B is read from end to end: four runs at once were 4 % slower
 * for int8 and 13 % for int4. */
INLINE void product_of(const size_t rows, const hk_dtype dtype, const job *j, size_t first, size_t m, size_t column) {
    const size_t bytes = hk_group_bytes(dtype), columns = hk_min(16, j->N - column);
    const uint8_t *group = j->B + column / 16 * j->blocks * bytes;
    const block_of_a *a[TOGETHER];
    v16 acc[TOGETHER];
    UNROLL for (size_t r = 0; r < rows; r++) {
        a[r] = j->A + (first + hk_min(r, m - 1)) * j->blocks;
        acc[r] = j->accumulate && r < m ? load_up_to(j->C + (first + r) * j->ldc + column, columns) : splat(0);
    }
    for (size_t b = 0; b < j->blocks; b++, group += bytes) {
        UNROLL for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(group + AHEAD * bytes + i, 0, 2);
        v16i sum[TOGETHER], codes[BLOCK / 4];
        UNROLL for (size_t r = 0; r < rows; r++) sum[r] = (v16i)splat_bits((uint32_t)a[r][b].start);
        UNROLL for (size_t i = 0; i < BLOCK / 4; i++) {
            if (i % 2 == 0 || dtype == HK_Q8) codes_of(dtype, group, i, codes + i);
            UNROLL for (size_t r = 0; r < rows; r++) sum[r] = dot(sum[r], codes[i], broadcast(a[r][b].codes + 4 * i));
        }
        v16 scale = load_f16((const uint16_t *)(const void *)group);
        UNROLL for (size_t r = 0; r < rows; r++)
            acc[r] = __builtin_convertvector(sum[r], v16) * (scale * splat(a[r][b].scale)) + acc[r];
    }
    UNROLL for (size_t r = 0; r < rows; r++)
        if (r < m) store_up_to(j->C + (first + r) * j->ldc + column, acc[r], columns);
}
/* More than eight rows pass again over columns of B that are still in the cache. */
INLINE void columns_of(const hk_dtype dtype, const job *j, size_t column, size_t last) {
    for (; column < last; column += 16)
        for (size_t first = 0; first < j->M; first += TOGETHER) {
            size_t m = hk_min(TOGETHER, j->M - first);
            if (m == 1) product_of(1, dtype, j, first, m, column);
            else if (m == 2) product_of(2, dtype, j, first, m, column);
            else if (m <= 4) product_of(4, dtype, j, first, m, column);
            else product_of(TOGETHER, dtype, j, first, m, column);
        }
}

/* ---- tiles ---- */
INLINE void pack_group(const hk_dtype dtype, const uint8_t *group, size_t g, block_of_panel *out) {
    const size_t bytes = hk_group_bytes(dtype);
    UNROLL for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(group + DEPTH * bytes + i, 0, 2);
    store(out->scales[g], load_f16((const uint16_t *)(const void *)group));
    v16i codes[BLOCK / 4];
    UNROLL for (size_t i = 0; i < BLOCK / 4; i++) {
        if (i % 2 == 0 || dtype == HK_Q8) codes_of(dtype, group, i, codes + i);
        _mm512_storeu_si512(out->codes[i][g], (__m512i)codes[i]);
    }
}
/* C[m <= ROWS, columns <= 16 groups] += A's rows, DEPTH blocks apart, times `blocks` of a panel. */
INLINE void tile_of(const size_t groups, size_t m, size_t columns, size_t blocks, const block_of_a *A, const block_of_panel *B, float *C,
                    size_t ldc, int accumulate) {
    v16 acc[ROWS][GROUPS];
    const block_of_a *a[ROWS];
    UNROLL for (size_t r = 0; r < ROWS; r++) {
        a[r] = A + hk_min(r, m - 1) * DEPTH; /* rows that do not exist repeat the last one */
        UNROLL for (size_t g = 0; g < groups; g++)
            acc[r][g] = accumulate ? load_up_to(C + hk_min(r, m - 1) * ldc + 16 * g, hk_min(16, columns - 16 * g)) : splat(0);
    }
    for (size_t b = 0; b < blocks; b++) {
        v16i sum[ROWS][GROUPS];
        UNROLL for (size_t r = 0; r < ROWS; r++)
            UNROLL for (size_t g = 0; g < groups; g++) sum[r][g] = (v16i)splat_bits((uint32_t)a[r][b].start);
        UNROLL for (size_t i = 0; i < BLOCK / 4; i++) {
            v16i w[GROUPS];
            UNROLL for (size_t g = 0; g < groups; g++) w[g] = (v16i)load_raw(B[b].codes[i][g]);
            UNROLL for (size_t r = 0; r < ROWS; r++) {
                v16i x = broadcast(a[r][b].codes + 4 * i);
                UNROLL for (size_t g = 0; g < groups; g++) sum[r][g] = dot(sum[r][g], w[g], x);
            }
        }
        UNROLL for (size_t g = 0; g < groups; g++) {
            v16 scale = load(B[b].scales[g]);
            UNROLL for (size_t r = 0; r < ROWS; r++)
                acc[r][g] = __builtin_convertvector(sum[r][g], v16) * (scale * splat(a[r][b].scale)) + acc[r][g];
        }
    }
    UNROLL for (size_t r = 0; r < ROWS; r++)
        UNROLL for (size_t g = 0; g < groups; g++)
            if (r < m) store_up_to(C + r * ldc + 16 * g, acc[r][g], hk_min(16, columns - 16 * g));
}
static void tiles_task(void *context, size_t chunk, int worker) {
    enum { WIDTH = 16 * GROUPS };
    const job *j = context;
    block_of_panel *panel = (block_of_panel *)(void *)hk_scratch(j->pool, worker);
    size_t first = chunk * j->chunk_columns, last = hk_min(first + j->chunk_columns, j->N);
    size_t bytes = hk_group_bytes(j->dtype), pitch = j->blocks * bytes;
    for (size_t k = 0; k < j->blocks; k += DEPTH) {
        size_t blocks = hk_min(DEPTH, j->blocks - k);
        for (size_t c = first; c < last; c += WIDTH) {
            size_t columns = hk_min(WIDTH, last - c), groups = hk_blocks(columns, 16);
            for (size_t g = 0; g < groups; g++) {
                const uint8_t *group = j->B + (c / 16 + g) * pitch + k * bytes;
                for (size_t b = 0; b < blocks; b++, group += bytes) {
                    if (j->dtype == HK_Q4) pack_group(HK_Q4, group, g, panel + b);
                    else pack_group(HK_Q8, group, g, panel + b);
                }
            }
            for (size_t m = 0; m < j->M; m += ROWS) {
                size_t rows = hk_min(ROWS, j->M - m);
                const block_of_a *A = j->A + (k / DEPTH * j->M + m) * DEPTH;
                float *C = j->C + m * j->ldc + c;
                if (groups == GROUPS) tile_of(GROUPS, rows, columns, blocks, A, panel, C, j->ldc, j->accumulate || k > 0);
                else tile_of(1, rows, columns, blocks, A, panel, C, j->ldc, j->accumulate || k > 0);
            }
        }
    }
}

static void product_task(void *context, size_t chunk, int worker) {
    const job *j = context;
    (void)worker;
    size_t column = chunk * j->chunk_columns, last = hk_min(column + j->chunk_columns, j->N);
    if (j->dtype == HK_Q4) columns_of(HK_Q4, j, column, last);
    else columns_of(HK_Q8, j, column, last);
}

int hk_vnni_matmul(hk_pool *pool, size_t M, size_t N, size_t K, const float *A, size_t lda, const void *B, hk_dtype dtype, float beta, float *C,
                   size_t ldc) {
    size_t blocks = K / BLOCK, most = hk_blocks(M, hk_blocks(M, ROW_BLOCK)); /* rows, even blocks */
    job j = {.pool = pool, .N = N, .blocks = blocks, .lda = lda, .tiled = M > HK_VNNI_ROWS, .B = B, .dtype = dtype, .ldc = ldc,
             .accumulate = beta != 0};
    j.A = hk_shared(pool, most * hk_blocks(blocks, DEPTH) * DEPTH * sizeof *j.A);
    if (!j.A || (j.tiled && !hk_reserve(pool, DEPTH * sizeof(block_of_panel) / sizeof(float)))) return HK_NO_MEMORY;
    j.chunk_columns = hk_blocks(hk_blocks(N, CHUNKS), 64) * 64;
    for (size_t m = 0; m < M; m += most) {
        j.M = hk_min(most, M - m);
        j.from = A + m * lda;
        j.C = C + m * ldc;
        hk_run(pool, j.M * K < 1 << 16, hk_blocks(j.M, ROWS), quantise_task, &j);
        hk_run(pool, (double)j.M * (double)N * (double)K < ALONE_BELOW, hk_blocks(N, j.chunk_columns), j.tiled ? tiles_task : product_task, &j);
    }
    return HK_OK;
}
#pragma clang attribute pop
#endif
