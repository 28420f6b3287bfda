/* attention_kernel.h - one block of query rows of one head, or of a few of them, for one instruction set.
 *
 * A block is a run of rows of one segment, or several whole segments with one context (branches behind a prefix: its keys are read once
 * for all of them).
 * The keys a query sees have a logical order: context range, then own range. Scores, probabilities and sums are laid out and added
 * by that logical index only, with the products of matmul_kernel.h (one chain per element), so where the split between the two
 * ranges lies cannot show in the forward bits. T visible keys of the block's last row; P, S, G are [rows][pitch].
 */
#include "matmul_kernel.h"

enum { KEYS = 64 /* packed at a time */ };

/* A run of logically consecutive keys in one of the two ranges. */
typedef struct {
    size_t logical, row, count; /* row of k and v */
    size_t first_query;         /* of the block: the earlier ones see none of these keys */
    int range;
} key_run;
/* The next run of at most `most` keys; 0 when the block's last row sees no more. Start from a zeroed run. */
static int next_run(const hk_segment *s, size_t row, size_t rows, size_t most, key_run *run) {
    size_t at = run->logical + run->count, own = hk_own_visible(s, row + rows - 1);
    if (at < s->ctx_count) {
        *run = (key_run){at, s->ctx_start + at, hk_min(most, s->ctx_count - at), 0, 0};
        return 1;
    }
    size_t j = at - s->ctx_count;
    if (j >= own) return 0;
    size_t first = hk_own_visible(s, row) > j ? 0 : hk_min(rows - 1, j + s->q_count - s->own_count - row);
    *run = (key_run){at, s->own_start + j, hk_min(most, own - j), first, 1};
    return 1;
}
/* How many keys of the run the block's row i sees. */
static size_t seen_of(const hk_segment *s, size_t row, size_t i, const key_run *run) {
    if (run->range == 0) return run->count;
    size_t own = hk_own_visible(s, row + i), before = run->logical - s->ctx_count;
    return own > before ? hk_min(own - before, run->count) : 0;
}
/* Rows per product: all, or tile by tile where the causal diagonal cuts the run, so that each tile stops at its own last key. */
static size_t rows_at_once(const hk_segment *s, size_t row, size_t rows, const key_run *run) {
    return seen_of(s, row, run->first_query, run) == run->count ? rows : TILE_ROWS;
}
static size_t pitch_for(size_t n) { return (n + 15) / 16 * 16; }
/* Scores are written in whole vectors, which may stick out behind the last key. */
static size_t score_pitch(size_t keys) { return pitch_for(keys) + 16; }

static size_t attention_scratch(size_t head_dim, size_t keys, int backward) {
    size_t rows = HK_QUERY_ROWS, pitch = score_pitch(keys), packed = pitch_for(head_dim) * KEYS;
    if (!backward) return rows * pitch + packed + KEYS * pitch_for(head_dim);
    return 2 * rows * pitch + pitch * pitch_for(rows) + packed + 2 * rows * pitch_for(head_dim);
}

/* Keys or values of one head: rows of `dtype`, from element `first` of the first row. */
typedef struct {
    const void *data;
    hk_dtype dtype;
    size_t first, ld;
} key_rows;

/* Rows of HK_CACHE8 as fp32, behind the packed ones. */
static key_rows widened(key_rows Y, const key_run *r, size_t head_dim, float *packed) {
    if (Y.dtype != HK_CACHE8) return (key_rows){Y.data, Y.dtype, Y.first + r->row * Y.ld, Y.ld};
    float *wide = packed + pitch_for(head_dim) * KEYS;
    for (size_t i = 0; i < r->count; i++)
        load_cache8(wide + i * head_dim, (const int8_t *)Y.data + (r->row + i) * Y.ld, Y.ld, Y.first, head_dim);
    return (key_rows){wide, HK_F32, 0, head_dim};
}

/* The rows of Y that the run behind `r` has, for a product over `units`. */
static hk_source rows_after(const hk_segment *s, size_t row, size_t rows, key_run r, key_rows Y, size_t head_dim, size_t units) {
    size_t size = Y.dtype == HK_F32 ? 4 : 2;
    if (Y.dtype == HK_CACHE8 || !next_run(s, row, rows, KEYS, &r)) return (hk_source){0};
    return (hk_source){(const char *)Y.data + (Y.first + r.row * Y.ld) * size, r.count, Y.ld * size, hk_blocks(head_dim * size, hk_blocks(units, 16))};
}

/* What a chunk takes together: `count` heads from `head`, `pitch` floats between their scores. The keys of neighbouring heads lie side by
 * side, so that few rows, for which reading them is all the cost, go through them run by run and not head by head. */
typedef struct {
    size_t head, count, group, pitch; /* `group` heads have one kv head */
} head_range;
static key_rows of_head(key_rows Y, const head_range *heads, size_t h, size_t head_dim) {
    Y.first += ((heads->head + h) / heads->group - heads->head / heads->group) * head_dim;
    return Y;
}

/* S = X Y^T of every head over the visible keys behind the first `known`, X [rows, head_dim] of queries, Y [keys, head_dim]. */
static void scores(const hk_segment *s, size_t row, size_t rows, size_t known, const head_range *heads, size_t head_dim, const float *X,
                   size_t ldx, key_rows Y, float *S, size_t pitch, float *packed) {
    for (key_run r = {.count = known}; next_run(s, row, rows, KEYS, &r);)
        for (size_t h = 0; h < heads->count; h++) {
            key_rows all = of_head(Y, heads, h, head_dim), y = widened(all, &r, head_dim, packed);
            const float *x = X + h * head_dim;
            float *out = S + h * heads->pitch + r.logical;
            if (rows - r.first_query <= FEW_ROWS) { /* in place; what a row does not see is computed and not looked at */
                few_rows(rows - r.first_query, r.count, head_dim, x + r.first_query * ldx, ldx, y.data, y.dtype, y.first, y.ld, 0,
                         out + r.first_query * pitch, pitch, 0);
                continue;
            }
            pack_b(packed, r.count, head_dim, y.data, y.dtype, y.first, y.ld, 1, 0);
            size_t step = rows_at_once(s, row, rows, &r);
            hk_source next = rows_after(s, row, rows, r, all, head_dim, head_dim);
            for (size_t i = r.first_query; i < rows; i += step, next.runs = 0) {
                size_t n = hk_min(step, rows - i);
                multiply(n, pitch_for(seen_of(s, row, i + n - 1, &r)), head_dim, x + i * ldx, ldx, packed, pitch_for(r.count),
                         out + i * pitch, pitch, 0, next);
            }
        }
}
/* out[width] += p[keys] Y for one row: Y of any dtype is read where it lies. The chains are the product's. */
INLINE void mix_row_of(const size_t vectors, hk_dtype dtype, size_t keys, const float *p, key_rows Y, float *out) {
    enum { AHEAD = 16 /* rows */ };
    v16 acc[8];
    UNROLL for (size_t v = 0; v < vectors; v++) acc[v] = load(out + 16 * v);
    for (size_t j = 0; j < keys; j++) {
        UNROLL for (size_t v = 0; v < vectors; v += dtype == HK_F32 ? 1 : 2)
            __builtin_prefetch((const char *)Y.data + (Y.first + (j + AHEAD) * Y.ld + 16 * v) * (dtype == HK_F32 ? 4 : 2), 0, 2);
        UNROLL for (size_t v = 0; v < vectors; v++)
            acc[v] = multiply_add(p[j], load_as_f32(Y.data, dtype, Y.first + j * Y.ld + 16 * v), acc[v]);
    }
    UNROLL for (size_t v = 0; v < vectors; v++) store(out + 16 * v, acc[v]);
}
static void mix_row(size_t keys, size_t head_dim, const float *p, key_rows Y, float *out) {
    for (size_t c = 0, n; c < head_dim; c += n, Y.first += n) {
        n = head_dim - c >= 128 ? 128 : head_dim - c >= 64 ? 64 : 16;
#define MIX(T)                                                                                                                    \
    (n == 128  ? mix_row_of(8, T, keys, p, Y, out + c)                                                                            \
     : n == 64 ? mix_row_of(4, T, keys, p, Y, out + c)                                                                            \
               : mix_row_of(1, T, keys, p, Y, out + c))
        if (Y.dtype == HK_F32) MIX(HK_F32);
        else if (Y.dtype == HK_BF16) MIX(HK_BF16);
        else MIX(HK_F16);
#undef MIX
    }
}
/* out += P Y of every head over the visible keys behind the first `known`. */
static void mix(const hk_segment *s, size_t row, size_t rows, size_t known, const head_range *heads, size_t head_dim, const float *P,
                size_t pitch, key_rows Y, float *out, size_t ldo, float *packed) {
    for (key_run r = {.count = known}; next_run(s, row, rows, KEYS, &r);)
        for (size_t h = 0; h < heads->count; h++) {
            key_rows all = of_head(Y, heads, h, head_dim), y = widened(all, &r, head_dim, packed);
            const float *p = P + h * heads->pitch + r.logical, *B = (const float *)y.data + y.first;
            size_t ldb = y.ld;
            if (rows == 1 && head_dim % 16 == 0) {
                mix_row(seen_of(s, row, 0, &r), head_dim, p, y, out + h * head_dim);
                continue;
            }
            if (y.dtype != HK_F32 || head_dim % 16 != 0 || rows > TILE_ROWS) { /* else in place */
                pack_b(packed, head_dim, r.count, y.data, y.dtype, y.first, y.ld, 0, 0);
                B = packed;
                ldb = pitch_for(head_dim);
            }
            size_t step = rows_at_once(s, row, rows, &r);
            hk_source next = rows_after(s, row, rows, r, all, head_dim, r.count);
            for (size_t i = r.first_query; i < rows; i += step, next.runs = 0) {
                size_t n = hk_min(step, rows - i);
                multiply(n, head_dim, seen_of(s, row, i + n - 1, &r), p + i * pitch, pitch, B, ldb, out + h * head_dim + i * ldo, ldo, 1,
                         next);
            }
        }
}
static void clear(float *x, size_t ldx, size_t rows, size_t columns) {
    for (size_t i = 0; i < rows; i++) memset(x + i * ldx, 0, columns * sizeof(float));
}

/* P = exp(scale S - maximum) over the first n keys, zeros up to T; 1 / sum, and log of the denominator where it is kept. */
static float softmax_row(float *p, size_t n, size_t T, float scale_of, float *lse) {
    v16 peak = splat(-INFINITY), sum = splat(0), scale = splat(scale_of);
    for (size_t j = 0; j < n; j += 16) {
        v16 x = load(p + j) * scale;
        peak = max16(peak, n - j >= 16 ? x : select16(first_lanes(n - j), x, splat(-INFINITY)));
    }
    float m = maximum16(peak);
    for (size_t j = 0; j < n; j += 16) {
        v16 x = load(p + j) * scale;
        x = exp16(x - splat(m));
        if (n - j < 16) x = select16(first_lanes(n - j), x, splat(0));
        store(p + j, x);
        sum = sum + x;
    }
    for (size_t j = pitch_for(n); j < T; j += 16) store(p + j, splat(0)); /* keys only later rows see */
    float total = sum16(sum);
    if (lse) *lse = n ? (float)((double)m + log((double)total)) : -INFINITY;
    return n ? 1.0f / total : 0.0f;
}

/* Rows `row`.. of the first segment, or with segments > 1 all rows of all of them, which lie one behind the other. */
static void attention_forward(const hk_attention *t, const hk_segment *s, size_t segments, size_t row, size_t rows, size_t head,
                              size_t head_count, float *scratch) {
    size_t d = t->head_dim, group = t->heads / t->kv_heads, q_row = s->q_start + row, T = 0;
    if (segments == 1) T = s->ctx_count + hk_own_visible(s, row + rows - 1);
    for (size_t i = 0; segments > 1 && i < segments; i++) T = hk_max(T, s[i].ctx_count + hk_own_visible(&s[i], s[i].q_count - 1));
    size_t pitch = score_pitch(T);
    head_range heads = {head, head_count, group, rows * pitch};
    float *S = scratch, *packed = scratch + head_count * rows * pitch;
    const float *q = t->q + q_row * t->ldq + head * d;
    float *out = t->result + q_row * t->ldo + head * d;
    key_rows k = {t->k, t->kv_dtype, head / group * d, t->ldk}, v = {t->v, t->kv_dtype, head / group * d, t->ldv};
    hk_segment context = {.q_count = rows, .ctx_start = s->ctx_start, .ctx_count = s->ctx_count};
    size_t known = segments > 1 ? s->ctx_count : 0;
    if (segments > 1) scores(&context, 0, rows, 0, &heads, d, q, t->ldq, k, S, pitch, packed);
    float inverse[HK_QUERY_ROWS]; /* of head and row */
    for (size_t i = 0, at = 0; i < segments; i++) {
        size_t first = segments > 1 ? 0 : row, n = segments > 1 ? s[i].q_count : rows;
        size_t seen = s[i].ctx_count + hk_own_visible(&s[i], first + n - 1);
        scores(&s[i], first, n, known, &heads, d, q + at * t->ldq, t->ldq, k, S + at * pitch, pitch, packed);
        for (size_t r = 0; r < n; r++, at++)
            for (size_t h = 0; h < head_count; h++)
                inverse[h * rows + at] = softmax_row(S + h * heads.pitch + at * pitch, s[i].ctx_count + hk_own_visible(&s[i], first + r), seen,
                                                     t->scale, t->lse ? &t->lse[(q_row + at) * t->heads + head + h] : NULL);
    }
    clear(out, t->ldo, rows, head_count * d);
    if (segments > 1) mix(&context, 0, rows, 0, &heads, d, S, pitch, v, out, t->ldo, packed);
    for (size_t i = 0, at = 0; i < segments; i++) {
        size_t n = segments > 1 ? s[i].q_count : rows;
        mix(&s[i], segments > 1 ? 0 : row, n, known, &heads, d, S + at * pitch, pitch, v, out + at * t->ldo, t->ldo, packed);
        at += n;
    }
    for (size_t h = 0; h < head_count; h++)
        for (size_t i = 0; i < rows; i++) {
            float *o = out + i * t->ldo + h * d;
            for (size_t c = 0; c < d; c += 16) store_up_to(o + c, load_up_to(o + c, d - c) * splat(inverse[h * rows + i]), d - c);
        }
}

/* dY[keys, head_dim] += P^T X: P transposed block by block, X packed [rows][head_dim padded]. */
static void mix_transposed(const hk_segment *s, size_t row, size_t rows, size_t head_dim, const float *P, size_t pitch, const float *X,
                           float *transposed, float *dY, size_t ldy) {
    size_t width = pitch_for(rows);
    size_t keys = s->ctx_count + hk_own_visible(s, row + rows - 1);
    for (size_t j = 0; j < keys; j += 16)
        for (size_t i = 0; i < rows; i += 16) {
            v16 b[16];
            UNROLL for (size_t l = 0; l < 16; l++) b[l] = i + l < rows ? load(P + (i + l) * pitch + j) : splat(0);
            transpose16(b);
            UNROLL for (size_t l = 0; l < 16; l++) store(transposed + (j + l) * width + i, b[l]);
        }
    for (key_run r = {0}; next_run(s, row, rows, KEYS, &r);) {
        size_t first = r.first_query; /* no earlier row sees a key of the run */
        multiply(r.count, head_dim, rows - first, transposed + r.logical * width + first, width, X + first * pitch_for(head_dim),
                 pitch_for(head_dim), dY + r.row * ldy, ldy, 1, (hk_source){0});
    }
}

static void attention_backward(const hk_attention *t, const hk_segment *s, size_t row, size_t rows, size_t head, float *scratch) {
    size_t d = t->head_dim, kv = head / (t->heads / t->kv_heads), T = s->ctx_count + hk_own_visible(s, row + rows - 1);
    size_t pitch = score_pitch(T), q_row = s->q_start + row;
    head_range alone = {head, 1, t->heads / t->kv_heads, 0};
    float *P = scratch, *G = P + rows * pitch, *transposed = G + rows * pitch, *packed = transposed + pitch * pitch_for(rows);
    float *Q = packed + pitch_for(d) * KEYS, *D = Q + rows * pitch_for(d);
    const float *q = t->q + q_row * t->ldq + head * d, *dout = t->dout + q_row * t->lddo + head * d;
    const float *out = t->out + q_row * t->ldo + head * d;
    key_rows k = {t->k, HK_F32, kv * d, t->ldk}, v = {t->v, HK_F32, kv * d, t->ldv};
    float *dq = t->dq + q_row * t->lddq + head * d;
    scores(s, row, rows, 0, &alone, d, q, t->ldq, k, P, pitch, packed);
    scores(s, row, rows, 0, &alone, d, dout, t->lddo, v, G, pitch, packed);
    for (size_t i = 0; i < rows; i++) {
        size_t n = s->ctx_count + hk_own_visible(s, row + i);
        v16 lanes = splat(0), scale = splat(t->scale), lse = splat(t->lse[(q_row + i) * t->heads + head]);
        for (size_t c = 0; c < d; c += 16)
            lanes = load_up_to(out + i * t->ldo + c, d - c) * load_up_to(dout + i * t->lddo + c, d - c) + lanes;
        v16 delta = splat(sum16(lanes)); /* sum over keys of p dp */
        for (size_t j = 0; j < T; j += 16) {
            float *p = P + i * pitch + j, *g = G + i * pitch + j;
            v16i seen = first_lanes(n > j ? hk_min(16, n - j) : 0);
            v16 x = select16(seen, exp16(load(p) * scale - lse), splat(0));
            store(p, x);
            store(g, select16(seen, x * (load(g) - delta) * scale, splat(0)));
        }
    }
    clear(dq, t->lddq, rows, d);
    mix(s, row, rows, 0, &alone, d, G, pitch, k, dq, t->lddq, packed);
    pack_b(Q, d, rows, q, HK_F32, 0, t->ldq, 0, 0);
    pack_b(D, d, rows, dout, HK_F32, 0, t->lddo, 0, 0);
    mix_transposed(s, row, rows, d, P, pitch, D, transposed, t->dv + kv * d, t->lddv);
    mix_transposed(s, row, rows, d, G, pitch, Q, transposed, t->dk + kv * d, t->lddk);
}
