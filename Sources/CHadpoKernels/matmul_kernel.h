/* matmul_kernel.h - packing and the register tile, for one instruction set and one operand form.
 *
 * The including file sets HK_PRODUCT (the name of the hk_product it defines), HK_UNIT (1: fp32, 2: pairs of bf16), TILE_ROWS and
 * TILE_VECTORS (of 16 columns). The tile keeps TILE_ROWS x TILE_VECTORS v16 accumulators in registers. Every element of C is one
 * chain of multiply-adds over K in order, whatever tile it falls in: that is what makes a row's bits independent of the others.
 */
#include "internal.h"
#include "operand_kernel.h"

/* Rows that are multiplied as B streams in; registers of narrower vectors hold the sums of four. */
enum { FEW_ROWS = TILE_VECTORS == 4 ? HK_FEW_ROWS : 4 };

#if HK_UNIT == 1
/* The two 16-bit numbers of each lane as fp32, the one at the lower address first. */
INLINE void split_halves(v16 pairs, hk_dtype dtype, v16 *first, v16 *second) {
    v16u x = (v16u)pairs;
    if (dtype == HK_BF16) {
        *first = (v16)(x << 16);
        *second = (v16)(x & splat_bits(0xffff0000u));
        return;
    }
#ifdef HK_TARGET_AVX512
    const __m512i evens_then_odds =
        _mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1, 30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    __m512i y = _mm512_permutexvar_epi16(evens_then_odds, (__m512i)x);
    *first = (v16)_mm512_cvtph_ps(_mm512_castsi512_si256(y));
    *second = (v16)_mm512_cvtph_ps(_mm512_extracti64x4_epi64(y, 1));
#else
    *first = f16_to_f32(x & splat_bits(0xffff));
    *second = f16_to_f32(x >> 16);
#endif
}
/* pack_columns for 32 k's of 16 columns: transposed as pairs, half the shuffles of converting first. */
INLINE void pack_halves(float *dst, size_t pitch, const uint16_t *B, size_t ldb, hk_dtype dtype, int round) {
    v16 r[16], first, second;
    UNROLL for (size_t i = 0; i < 16; i++) r[i] = load_raw(B + i * ldb);
    transpose16(r);
    UNROLL for (size_t i = 0; i < 16; i++) {
        split_halves(r[i], dtype, &first, &second);
        store(dst + 2 * i * pitch, round ? round_to_bf16(first) : first);
        store(dst + (2 * i + 1) * pitch, round ? round_to_bf16(second) : second);
    }
}
#endif
/* out[16 u's][pitch] = transpose of sixteen runs along K, for up to 16 columns. */
INLINE void pack_columns(float *dst, size_t pitch, size_t columns, size_t k, const void *B, hk_dtype dtype, size_t first, size_t ldb,
                         int round) {
    v16 r[16];
    size_t u = 0;
    if (columns == 16) {
#if HK_UNIT == 1
        if (dtype != HK_F32)
            for (; u + 32 <= k; u += 32) pack_halves(dst + u * pitch, pitch, (const uint16_t *)B + first + u, ldb, dtype, round);
#endif
        for (; (u + 16) * HK_UNIT <= k; u += 16) {
            UNROLL for (size_t i = 0; i < 16; i++) r[i] = load_along(B, dtype, first + i * ldb + u * HK_UNIT, 16 * HK_UNIT, round);
            transpose16(r);
            UNROLL for (size_t i = 0; i < 16; i++) store(dst + (u + i) * pitch, r[i]);
        }
    }
    for (size_t units = hk_blocks(k, HK_UNIT); u < units; u += 16) {
        for (size_t i = 0; i < 16; i++)
            r[i] = i < columns ? load_along(B, dtype, first + i * ldb + u * HK_UNIT, k - u * HK_UNIT, round) : splat(0);
        transpose16(r);
        for (size_t i = 0; i < hk_min(16, units - u); i++) store(dst + (u + i) * pitch, r[i]);
    }
}
INLINE void pack_b_of(float *dst, size_t columns, size_t k, const void *B, hk_dtype dtype, size_t first, size_t ldb, int transposed,
                      int round) {
    size_t pitch = hk_blocks(columns, 16) * 16;
    if (transposed) {
        for (size_t c = 0; c < columns; c += 16)
            pack_columns(dst + c, pitch, hk_min(16, columns - c), k, B, dtype, first + c * ldb, ldb, round);
        return;
    }
    for (size_t u = 0; u * HK_UNIT < k; u++) {
        size_t next = u * HK_UNIT + 1 < k ? ldb : 0, row = first + u * HK_UNIT * ldb, c = 0;
        for (; c + 16 <= columns; c += 16) store(dst + u * pitch + c, load_across(B, dtype, row + c, next, 16, round));
        if (c < columns) store(dst + u * pitch + c, load_across(B, dtype, row + c, next, columns - c, round));
    }
}
static void pack_b(float *dst, size_t columns, size_t k, const void *B, hk_dtype dtype, size_t first, size_t ldb, int transposed,
                   int round) {
    if (dtype == HK_F32 && !round) pack_b_of(dst, columns, k, B, HK_F32, first, ldb, transposed, 0);
    else if (dtype == HK_F32) pack_b_of(dst, columns, k, B, HK_F32, first, ldb, transposed, 1);
    else if (dtype == HK_BF16) pack_b_of(dst, columns, k, B, HK_BF16, first, ldb, transposed, 0);
    else if (!round) pack_b_of(dst, columns, k, B, HK_F16, first, ldb, transposed, 0);
    else pack_b_of(dst, columns, k, B, HK_F16, first, ldb, transposed, 1);
}

static void pack_a(float *dst, size_t pitch, size_t rows, size_t k, const float *A, size_t lda, int transposed, int round) {
    size_t units = hk_blocks(k, HK_UNIT);
    if (!transposed) {
        for (size_t r = 0; r < rows; r++)
            for (size_t u = 0; u < units; u += 16)
                store_up_to(dst + r * pitch + u, load_along(A, HK_F32, r * lda + u * HK_UNIT, k - u * HK_UNIT, round), units - u);
        return;
    }
    for (size_t r = 0; r < rows; r += 16) {
        for (size_t u = 0; u < units; u += 16) {
            v16 t[16];
            if (rows - r >= 16 && (u + 16) * HK_UNIT <= k) {
                UNROLL for (size_t i = 0; i < 16; i++) t[i] = load_across(A, HK_F32, (u + i) * HK_UNIT * lda + r, lda, 16, round);
                transpose16(t);
                UNROLL for (size_t i = 0; i < 16; i++) store(dst + (r + i) * pitch + u, t[i]);
                continue;
            }
            for (size_t i = 0; i < 16; i++) {
                size_t at = (u + i) * HK_UNIT;
                t[i] = at < k ? load_across(A, HK_F32, at * lda + r, at + 1 < k ? lda : 0, rows - r, round) : splat(0);
            }
            transpose16(t);
            for (size_t i = 0; i < hk_min(16, rows - r); i++) store_up_to(dst + (r + i) * pitch + u, t[i], units - u);
        }
    }
}

INLINE v16 multiply_add(float a, v16 b, v16 c) {
#if HK_UNIT == 2
    return (v16)_mm512_dpbf16_ps((__m512)c, (__m512bh)splat(a), (__m512bh)b);
#else
    return splat(a) * b + c;
#endif
}
INLINE void tile(const size_t rows, const size_t vectors, size_t units, const float *A, size_t lda, const float *B, size_t ldb,
                 float *C, size_t ldc, int accumulate, hk_source next) {
    v16 acc[TILE_ROWS][TILE_VECTORS];
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t v = 0; v < vectors; v++) acc[r][v] = accumulate ? load(C + r * ldc + 16 * v) : splat(0);
    /* The tile below is next: its C and, a cache line of every row at a time, its A are on their way meanwhile. */
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t v = 0; v < vectors; v++) __builtin_prefetch(C + (rows + r) * ldc + 16 * v, 1);
    for (size_t first = 0; first < units; first += 16) {
        UNROLL for (size_t r = 0; r < rows; r++) __builtin_prefetch(A + (rows + r) * lda + first);
        for (size_t i = 0; i < next.runs; i++)
            for (size_t byte = 0; byte < next.step; byte += 64)
                __builtin_prefetch(next.at + i * next.pitch + first / 16 * next.step + byte, 0, 2);
        for (size_t u = first; u < hk_min(first + 16, units); u++) {
            v16 b[TILE_VECTORS];
            UNROLL for (size_t v = 0; v < vectors; v++) b[v] = load(B + u * ldb + 16 * v);
            UNROLL for (size_t r = 0; r < rows; r++)
                UNROLL for (size_t v = 0; v < vectors; v++) acc[r][v] = multiply_add(A[r * lda + u], b[v], acc[r][v]);
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t v = 0; v < vectors; v++) store(C + r * ldc + 16 * v, acc[r][v]);
}
typedef void (*tile_function)(size_t, const float *, size_t, const float *, size_t, float *, size_t, int, hk_source);
#define TILE(R, V)                                                                                                                \
    static void tile_##R##_##V(size_t units, const float *A, size_t lda, const float *B, size_t ldb, float *C, size_t ldc,        \
                               int accumulate, hk_source next) {                                                                  \
        tile(R, V, units, A, lda, B, ldb, C, ldc, accumulate, next);                                                              \
    }
#if TILE_VECTORS == 4
#define TILES(R) TILE(R, 1) TILE(R, 2) TILE(R, 3) TILE(R, 4)
#define TILE_NAMES(R) {tile_##R##_1, tile_##R##_2, tile_##R##_3, tile_##R##_4}
#else
#define TILES(R) TILE(R, 1)
#define TILE_NAMES(R) {tile_##R##_1}
#endif
TILES(1) TILES(2)
#if TILE_ROWS == 6
TILES(3) TILES(4) TILES(5) TILES(6)
static const tile_function tiles[TILE_ROWS][TILE_VECTORS] = {TILE_NAMES(1), TILE_NAMES(2), TILE_NAMES(3),
                                                             TILE_NAMES(4), TILE_NAMES(5), TILE_NAMES(6)};
#else
static const tile_function tiles[TILE_ROWS][TILE_VECTORS] = {TILE_NAMES(1), TILE_NAMES(2)};
#endif

static void multiply(size_t rows, size_t columns, size_t units, const float *A, size_t lda, const float *B, size_t ldb, float *C,
                     size_t ldc, int accumulate, hk_source next) {
    enum { WIDTH = 16 * TILE_VECTORS };
    size_t turns = hk_blocks(columns, WIDTH) * hk_blocks(rows, TILE_ROWS), turn = 0;
    for (size_t c = 0; c < columns; c += WIDTH) {
        size_t n = hk_min(WIDTH, columns - c), vectors = hk_blocks(n, 16);
        for (size_t r = 0; r < rows; r += TILE_ROWS, turn++) {
            size_t m = hk_min(TILE_ROWS, rows - r);
            hk_source part = next; /* this tile's share */
            if (next.runs) {
                size_t run = next.runs * turn / turns;
                part.at += run * next.pitch;
                part.runs = next.runs * (turn + 1) / turns - run;
            }
            float *out = C + r * ldc + c;
            if (n == vectors * 16) {
                tiles[m - 1][vectors - 1](units, A + r * lda, lda, B + c, ldb, out, ldc, accumulate, part);
                continue;
            }
            /* The last columns go through a padded copy, so that nothing beyond them is touched. */
            float edge[TILE_ROWS * WIDTH];
            size_t whole = n / 16 * 16;
            if (accumulate)
                for (size_t i = 0; i < m; i++) {
                    for (size_t j = 0; j < whole; j += 16) store(edge + i * WIDTH + j, load(out + i * ldc + j));
                    store(edge + i * WIDTH + whole, load_first(out + i * ldc + whole, n - whole));
                }
            tiles[m - 1][vectors - 1](units, A + r * lda, lda, B + c, ldb, edge, WIDTH, accumulate, part);
            for (size_t i = 0; i < m; i++) {
                for (size_t j = 0; j < whole; j += 16) store(out + i * ldc + j, load(edge + i * WIDTH + j));
                store_first(out + i * ldc + whole, load(edge + i * WIDTH + whole), n - whole);
            }
        }
    }
}

/* ---- a few rows ----
 * The pass over W is the whole cost then: sixteen columns are transposed in registers and multiplied at once, without a packed copy.
 * The chains are those of the tile. One row's chain waits for its additions and conversions: two groups of sixteen columns are on their
 * way together then. */
INLINE void few_rows_of(const size_t rows, const size_t groups, size_t m, size_t columns, size_t k, const float *A, size_t lda, const void *B,
                        hk_dtype dtype, size_t first, size_t ldb, int round, float *C, size_t ldc, int accumulate) {
    enum { AHEAD = 1024 /* bytes; measured best, by a little */ };
    const size_t size = dtype == HK_F32 ? 4 : 2, ahead = hk_min(AHEAD / size, k), whole = groups * 16 <= columns;
    v16 acc[FEW_ROWS], r[16]; /* rows x groups */
    const float *a[FEW_ROWS];
    size_t u = 0;
    UNROLL for (size_t j = 0; j < rows; j++) {
        a[j] = A + hk_min(j, m - 1) * lda; /* rows that do not exist repeat the last one */
        UNROLL for (size_t g = 0; g < groups; g++)
            acc[j * groups + g] = accumulate ? load_up_to(C + hk_min(j, m - 1) * ldc + 16 * g, hk_min(16, columns - 16 * g)) : splat(0);
    }
#define FETCH(at, g)                                                                                                              \
    {                                                                                                                             \
        size_t next = first + 16 * g * ldb + ((at) + ahead < k ? (at) + ahead : (at) + ahead - k + 16 * groups * ldb);            \
        UNROLL for (size_t i = 0; i < 16; i++) __builtin_prefetch((const char *)B + (i * ldb + next) * size, 0, 2);               \
    }
    if (whole) {
#if HK_UNIT == 1
        if (dtype != HK_F32)
            for (; u + 32 <= k; u += 32)
                UNROLL for (size_t g = 0; g < groups; g++) {
                    FETCH(u, g)
                    UNROLL for (size_t i = 0; i < 16; i++) r[i] = load_raw((const uint16_t *)B + first + (16 * g + i) * ldb + u);
                    transpose16(r);
                    UNROLL for (size_t i = 0; i < 16; i++) {
                        v16 even, odd;
                        split_halves(r[i], dtype, &even, &odd);
                        even = round ? round_to_bf16(even) : even;
                        odd = round ? round_to_bf16(odd) : odd;
                        UNROLL for (size_t j = 0; j < rows; j++) {
                            acc[j * groups + g] = multiply_add(a[j][u + 2 * i], even, acc[j * groups + g]);
                            acc[j * groups + g] = multiply_add(a[j][u + 2 * i + 1], odd, acc[j * groups + g]);
                        }
                    }
                }
#endif
        for (; (u + 16) * HK_UNIT <= k; u += 16)
            UNROLL for (size_t g = 0; g < groups; g++) {
                FETCH(u * HK_UNIT, g)
                UNROLL for (size_t i = 0; i < 16; i++)
                    r[i] = load_along(B, dtype, first + (16 * g + i) * ldb + u * HK_UNIT, 16 * HK_UNIT, round);
                transpose16(r);
                UNROLL for (size_t i = 0; i < 16; i++)
                    UNROLL for (size_t j = 0; j < rows; j++)
                        acc[j * groups + g] = multiply_add(a[j][u + i], r[i], acc[j * groups + g]);
            }
    }
#undef FETCH
    for (size_t units = hk_blocks(k, HK_UNIT); u < units; u += 16)
        UNROLL for (size_t g = 0; g < groups; g++) {
            for (size_t i = 0; i < 16; i++)
                r[i] = 16 * g + i < columns ? load_along(B, dtype, first + (16 * g + i) * ldb + u * HK_UNIT, k - u * HK_UNIT, round) : splat(0);
            transpose16(r);
            for (size_t i = 0; i < hk_min(16, units - u); i++)
                UNROLL for (size_t j = 0; j < rows; j++) acc[j * groups + g] = multiply_add(a[j][u + i], r[i], acc[j * groups + g]);
        }
    UNROLL for (size_t j = 0; j < rows; j++)
        UNROLL for (size_t g = 0; g < groups; g++)
            if (j < m) store_up_to(C + j * ldc + 16 * g, acc[j * groups + g], hk_min(16, columns - 16 * g));
}
INLINE void few_rows_by(const hk_dtype dtype, const int round, size_t m, size_t columns, size_t k, const float *A, size_t lda, const void *B,
                        size_t first, size_t ldb, float *C, size_t ldc, int accumulate) {
    for (size_t c = 0; c < columns;) {
        size_t rest = columns - c;
#define PRODUCT(ROWS, GROUPS)                                                                                                     \
    {                                                                                                                             \
        few_rows_of(ROWS, GROUPS, m, rest, k, A, lda, B, dtype, first + c * ldb, ldb, round, C + c, ldc, accumulate);             \
        c += 16 * GROUPS;                                                                                                         \
    }
        if (m == 1 && rest >= 32) PRODUCT(1, 2)
        else if (m == 1) PRODUCT(1, 1)
        else if (m <= 4) PRODUCT(4, 1)
        else PRODUCT(FEW_ROWS, 1)
#undef PRODUCT
    }
}
static void few_rows(size_t m, size_t columns, size_t k, const float *A, size_t lda, const void *B, hk_dtype dtype, size_t first,
                     size_t ldb, int round, float *C, size_t ldc, int accumulate) {
#define PRODUCT(T, ROUND) few_rows_by(T, ROUND, m, columns, k, A, lda, B, first, ldb, C, ldc, accumulate)
    if (dtype == HK_F32 && !round) PRODUCT(HK_F32, 0);
    else if (dtype == HK_F32) PRODUCT(HK_F32, 1);
    else if (dtype == HK_BF16) PRODUCT(HK_BF16, 0);
    else if (!round) PRODUCT(HK_F16, 0);
    else PRODUCT(HK_F16, 1);
#undef PRODUCT
}

#include "quantised_product_kernel.h"

const hk_product HK_PRODUCT = {HK_UNIT, TILE_ROWS, 16 * TILE_VECTORS, TILE_DEPTH, FEW_ROWS, pack_a, pack_b, multiply, few_rows,
                               pack_quantised, few_quantised};
