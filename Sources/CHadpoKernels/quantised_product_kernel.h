/* quantised_product_kernel.h - packing and the product of a few rows from a quantised B. Included by matmul_kernel.h. */
#include "quantised_kernel.h"

enum { UNITS_OF_8 = 8 / HK_UNIT };

/* W's rows are the panel's columns: they lie in the lanes as they should. */
INLINE void pack_group_rows(float *dst, size_t columns, size_t k, const uint8_t *B, hk_dtype dtype, size_t row, size_t column, size_t width,
                            int round) {
    size_t pitch = hk_blocks(columns, 16) * 16, depth = hk_group_columns(dtype), bytes = hk_group_bytes(dtype);
    for (size_t c = 0; c < columns; c += 16) {
        const uint8_t *group = B + ((row + c) / 16 * (width / depth) + column / depth) * bytes;
        float *out = dst + c;
        for (size_t at = 0; at < k; at += depth, group += bytes) {
            v16 scale = group_scales(group, dtype), w[8];
            __builtin_prefetch(group + 8 * bytes, 0, 2);
            for (size_t i = 0; i < depth; i += 8, out += UNITS_OF_8 * pitch) {
                group_columns(w, group, dtype, i, scale);
                UNROLL for (size_t u = 0; u < UNITS_OF_8; u++) store(out + u * pitch, unit_of(w + u * HK_UNIT, round));
            }
        }
    }
}
/* W's columns are the panel's: sixteen by sixteen are transposed. Rows beyond the last are stored as zeros. */
INLINE void pack_group_columns(float *dst, size_t columns, size_t k, const uint8_t *B, hk_dtype dtype, size_t row, size_t column,
                               size_t width, int round) {
    size_t depth = hk_group_columns(dtype), bytes = hk_group_bytes(dtype), units = hk_blocks(k, HK_UNIT);
    for (size_t u = 0; u < units; u += 16 / HK_UNIT) {
        const uint8_t *groups = B + (row + u * HK_UNIT) / 16 * (width / depth) * bytes;
        for (size_t c = 0; c < columns; c += 16) {
            const uint8_t *group = groups + (column + c) / depth * bytes;
            v16 scale = group_scales(group, dtype), w[16];
            group_columns(w, group, dtype, (column + c) % depth, scale);
            group_columns(w + 8, group, dtype, (column + c) % depth + 8, scale);
            transpose16(w);
            for (size_t i = 0; i < hk_min(16 / HK_UNIT, units - u); i++) store(dst + (u + i) * columns + c, unit_of(w + i * HK_UNIT, round));
        }
    }
}
INLINE void pack_quantised_of(float *dst, size_t columns, size_t k, const void *B, hk_dtype dtype, size_t first, size_t ldb, int transposed,
                              int round) {
    if (transposed) pack_group_rows(dst, columns, k, B, dtype, first / ldb, first % ldb, ldb, round);
    else pack_group_columns(dst, columns, k, B, dtype, first / ldb, first % ldb, ldb, round);
}
static void pack_quantised(float *dst, size_t columns, size_t k, const void *B, hk_dtype dtype, size_t first, size_t ldb, int transposed,
                           int round) {
#define PACK(T)                                                                                                                   \
    (round ? pack_quantised_of(dst, columns, k, B, T, first, ldb, transposed, 1)                                                  \
           : pack_quantised_of(dst, columns, k, B, T, first, ldb, transposed, 0))
    if (dtype == HK_Q8) PACK(HK_Q8);
    else if (dtype == HK_Q4) PACK(HK_Q4);
    else PACK(HK_FP4);
#undef PACK
}

/* ---- a few rows ----
 * W streams through the registers once. One row has several groups in flight: a single chain per lane would wait for its additions. */
INLINE void few_quantised_of(const size_t rows, const size_t groups, size_t m, size_t columns, size_t k, const float *A, size_t lda,
                             const uint8_t *B, hk_dtype dtype, size_t row, int round, float *C, size_t ldc, int accumulate) {
    enum { MOST = 16 };
    const size_t depth = hk_group_columns(dtype), bytes = hk_group_bytes(dtype), pitch = k / depth * bytes;
    v16 acc[MOST];
    UNROLL for (size_t j = 0; j < rows; j++)
        UNROLL for (size_t g = 0; g < groups; g++) {
            size_t i = hk_min(j, m - 1); /* rows that do not exist repeat the last one */
            acc[j * groups + g] = accumulate ? load_up_to(C + i * ldc + 16 * g, hk_min(16, columns - 16 * g)) : splat(0);
        }
    const uint8_t *group = B + row / 16 * pitch;
    const float *a[MOST];
    UNROLL for (size_t j = 0; j < rows; j++) a[j] = A + hk_min(j, m - 1) * lda;
    size_t unit = 0;
    for (size_t at = 0; at < k; at += depth, group += bytes) {
        v16 scale[MOST];
        UNROLL for (size_t g = 0; g < groups; g++) scale[g] = group_scales(group + g * pitch, dtype);
        for (size_t i = 0; i < depth; i += 8, unit += UNITS_OF_8)
            UNROLL for (size_t g = 0; g < groups; g++) {
                v16 w[8];
                group_columns(w, group + g * pitch, dtype, i, scale[g]);
                UNROLL for (size_t u = 0; u < UNITS_OF_8; u++) {
                    v16 b = unit_of(w + u * HK_UNIT, round);
                    UNROLL for (size_t j = 0; j < rows; j++)
                        acc[j * groups + g] = multiply_add(a[j][unit + u], b, acc[j * groups + g]);
                }
            }
    }
    UNROLL for (size_t j = 0; j < rows; j++)
        UNROLL for (size_t g = 0; g < groups; g++)
            if (j < m) store_up_to(C + j * ldc + 16 * g, acc[j * groups + g], hk_min(16, columns - 16 * g));
}
INLINE void few_quantised_rows(const hk_dtype dtype, const int round, size_t m, size_t columns, size_t k, const float *A, size_t lda,
                               const uint8_t *B, size_t row, float *C, size_t ldc, int accumulate) {
    for (size_t c = 0; c < columns;) {
        size_t rest = columns - c;
#define FEW(ROWS, GROUPS)                                                                                                         \
    {                                                                                                                             \
        few_quantised_of(ROWS, GROUPS, m, rest, k, A, lda, B, dtype, row + c, round, C + c, ldc, accumulate);                     \
        c += 16 * GROUPS;                                                                                                         \
    }
        if (m == 1 && rest > 48) FEW(1, 4)
        else if (m == 1) FEW(1, 1)
        else if (m <= 4 && rest > 16) FEW(4, 2)
        else if (m <= 4) FEW(4, 1)
        else FEW(8, 1)
#undef FEW
    }
}
static void few_quantised(size_t m, size_t columns, size_t k, const float *A, size_t lda, const void *B, hk_dtype dtype, size_t row, int round,
                          float *C, size_t ldc, int accumulate) {
#define FEW(T)                                                                                                                    \
    (round ? few_quantised_rows(T, 1, m, columns, k, A, lda, B, row, C, ldc, accumulate)                                          \
           : few_quantised_rows(T, 0, m, columns, k, A, lda, B, row, C, ldc, accumulate))
    if (dtype == HK_Q8) FEW(HK_Q8);
    else if (dtype == HK_Q4) FEW(HK_Q4);
    else FEW(HK_FP4);
#undef FEW
}
