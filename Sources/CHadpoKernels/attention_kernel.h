/* attention_kernel.h - one block of query rows of one head, for one instruction set.
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

/* S = X Y^T over the visible keys behind the first `known`, X [rows, head_dim] of queries, Y [keys, head_dim]. */
static void scores(const hk_segment *s, size_t row, size_t rows, size_t known, size_t head_dim, const float *X, size_t ldx, key_rows Y,
                   float *S, size_t pitch, float *packed) {
    for (key_run r = {.count = known}; next_run(s, row, rows, KEYS, &r);) {
        key_rows y = widened(Y, &r, head_dim, packed);
        if (rows - r.first_query <= HK_FEW_ROWS) { /* in place; what a row does not see is computed and not looked at */
            few_rows(rows - r.first_query, r.count, head_dim, X + r.first_query * ldx, ldx, y.data, y.dtype, y.first, y.ld, 0,
                     S + r.first_query * pitch + r.logical, pitch, 0);
            continue;
        }
        pack_b(packed, r.count, head_dim, y.data, y.dtype, y.first, y.ld, 0, 1, 0);
        size_t step = rows_at_once(s, row, rows, &r);
        for (size_t i = r.first_query; i < rows; i += step) {
            size_t n = hk_min(step, rows - i);
            multiply(n, pitch_for(seen_of(s, row, i + n - 1, &r)), head_dim, X + i * ldx, ldx, packed, pitch_for(r.count),
                     S + i * pitch + r.logical, pitch, 0);
        }
    }
}
/* out += P Y over the visible keys behind the first `known`. */
static void mix(const hk_segment *s, size_t row, size_t rows, size_t known, size_t head_dim, const float *P, size_t pitch, key_rows Y,
                float *out, size_t ldo, float *packed) {
    for (key_run r = {.count = known}; next_run(s, row, rows, KEYS, &r);) {
        key_rows y = widened(Y, &r, head_dim, packed);
        size_t ldb = y.ld;
        const float *B = (const float *)y.data + y.first;
        if (y.dtype != HK_F32 || head_dim % 16 != 0 || rows > TILE_ROWS) { /* else in place */
            pack_b(packed, head_dim, r.count, y.data, y.dtype, y.first, y.ld, 0, 0, 0);
            B = packed;
            ldb = pitch_for(head_dim);
        }
        size_t step = rows_at_once(s, row, rows, &r);
        for (size_t i = r.first_query; i < rows; i += step) {
            size_t n = hk_min(step, rows - i);
            multiply(n, head_dim, seen_of(s, row, i + n - 1, &r), P + i * pitch + r.logical, pitch, B, ldb, out + i * ldo, ldo, 1);
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
                              float *scratch) {
    size_t d = t->head_dim, kv = head / (t->heads / t->kv_heads), q_row = s->q_start + row, T = 0;
    if (segments == 1) T = s->ctx_count + hk_own_visible(s, row + rows - 1);
    for (size_t i = 0; segments > 1 && i < segments; i++) T = hk_max(T, s[i].ctx_count + hk_own_visible(&s[i], s[i].q_count - 1));
    size_t pitch = score_pitch(T);
    float *S = scratch, *packed = scratch + rows * pitch;
    const float *q = t->q + q_row * t->ldq + head * d;
    float *out = t->result + q_row * t->ldo + head * d;
    key_rows k = {t->k, t->kv_dtype, kv * d, t->ldk}, v = {t->v, t->kv_dtype, kv * d, t->ldv};
    hk_segment context = {.q_count = rows, .ctx_start = s->ctx_start, .ctx_count = s->ctx_count};
    size_t known = segments > 1 ? s->ctx_count : 0;
    if (segments > 1) scores(&context, 0, rows, 0, d, q, t->ldq, k, S, pitch, packed);
    float inverse[HK_QUERY_ROWS];
    for (size_t i = 0, at = 0; i < segments; i++) {
        size_t first = segments > 1 ? 0 : row, n = segments > 1 ? s[i].q_count : rows;
        size_t seen = s[i].ctx_count + hk_own_visible(&s[i], first + n - 1);
        scores(&s[i], first, n, known, d, q + at * t->ldq, t->ldq, k, S + at * pitch, pitch, packed);
        for (size_t r = 0; r < n; r++, at++)
            inverse[at] = softmax_row(S + at * pitch, s[i].ctx_count + hk_own_visible(&s[i], first + r), seen, t->scale,
                                      t->lse ? &t->lse[(q_row + at) * t->heads + head] : NULL);
    }
    clear(out, t->ldo, rows, d);
    if (segments > 1) mix(&context, 0, rows, 0, d, S, pitch, v, out, t->ldo, packed);
    for (size_t i = 0, at = 0; i < segments; i++) {
        size_t n = segments > 1 ? s[i].q_count : rows;
        mix(&s[i], segments > 1 ? 0 : row, n, known, d, S + at * pitch, pitch, v, out + at * t->ldo, t->ldo, packed);
        at += n;
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < d; c += 16)
            store_up_to(out + i * t->ldo + c, load_up_to(out + i * t->ldo + c, d - c) * splat(inverse[i]), d - c);
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
                 pitch_for(head_dim), dY + r.row * ldy, ldy, 1);
    }
}

static void attention_backward(const hk_attention *t, const hk_segment *s, size_t row, size_t rows, size_t head, float *scratch) {
    size_t d = t->head_dim, kv = head / (t->heads / t->kv_heads), T = s->ctx_count + hk_own_visible(s, row + rows - 1);
    size_t pitch = score_pitch(T), q_row = s->q_start + row;
    float *P = scratch, *G = P + rows * pitch, *transposed = G + rows * pitch, *packed = transposed + pitch * pitch_for(rows);
    float *Q = packed + pitch_for(d) * KEYS, *D = Q + rows * pitch_for(d);
    const float *q = t->q + q_row * t->ldq + head * d, *dout = t->dout + q_row * t->lddo + head * d;
    const float *out = t->out + q_row * t->ldo + head * d;
    key_rows k = {t->k, HK_F32, kv * d, t->ldk}, v = {t->v, HK_F32, kv * d, t->ldv};
    float *dq = t->dq + q_row * t->lddq + head * d;
    scores(s, row, rows, 0, d, q, t->ldq, k, P, pitch, packed);
    scores(s, row, rows, 0, d, dout, t->lddo, v, G, pitch, packed);
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
    mix(s, row, rows, 0, d, G, pitch, k, dq, t->lddq, packed);
    pack_b(Q, d, rows, q, HK_F32, 0, t->ldq, 0, 0, 0);
    pack_b(D, d, rows, dout, HK_F32, 0, t->lddo, 0, 0, 0);
    mix_transposed(s, row, rows, d, P, pitch, D, transposed, t->dv + kv * d, t->lddv);
    mix_transposed(s, row, rows, d, G, pitch, Q, transposed, t->dk + kv * d, t->lddk);
}
