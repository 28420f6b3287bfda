/* attention_kernel.h - one block of query rows of one head, for one instruction set.
 *
 * The keys a query sees have a logical order: context range, then own range. Scores, probabilities and sums are laid out and added
 * by that logical index only, with the products of matmul_kernel.h (one chain per element), so where the split between the two
 * ranges lies cannot show in the forward bits. T visible keys of the block's last row; P, S, G are [rows][pitch].
 */
#include "matmul_kernel.h"

enum { KEYS = 64 /* packed at a time */ };

static size_t own_visible(const hk_segment *s, size_t query) {
    size_t n = s->own_count + query + 1;
    return s->own_count && n > s->q_count ? n - s->q_count : 0;
}
/* A run of logically consecutive keys in one of the two ranges. */
typedef struct {
    size_t logical, row, count; /* row of k and v */
    size_t first_query;         /* of the block: the earlier ones see none of these keys */
    int range;
} key_run;
/* The next run of at most `most` keys; 0 when the block's last row sees no more. Start from a zeroed run. */
static int next_run(const hk_segment *s, size_t row, size_t rows, size_t most, key_run *run) {
    size_t at = run->logical + run->count, own = own_visible(s, row + rows - 1);
    if (at < s->ctx_count) {
        *run = (key_run){at, s->ctx_start + at, hk_min(most, s->ctx_count - at), 0, 0};
        return 1;
    }
    size_t j = at - s->ctx_count;
    if (j >= own) return 0;
    size_t first = own_visible(s, row) > j ? 0 : hk_min(rows - 1, j + s->q_count - s->own_count - row);
    *run = (key_run){at, s->own_start + j, hk_min(most, own - j), first, 1};
    return 1;
}
/* How many keys of the run the block's row i sees. */
static size_t seen_of(const hk_segment *s, size_t row, size_t i, const key_run *run) {
    if (run->range == 0) return run->count;
    size_t own = own_visible(s, row + i), before = run->logical - s->ctx_count;
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
    if (!backward) return rows * pitch + packed;
    return 2 * rows * pitch + pitch * pitch_for(rows) + packed + 2 * rows * pitch_for(head_dim);
}

/* S = X Y^T over the visible keys, X [rows, head_dim] of queries, Y [keys, head_dim]. */
static void scores(const hk_segment *s, size_t row, size_t rows, size_t head_dim, const float *X, size_t ldx, const float *Y,
                   size_t ldy, float *S, size_t pitch, float *packed) {
    for (key_run r = {0}; next_run(s, row, rows, KEYS, &r);) {
        pack_b(packed, r.count, head_dim, Y, HK_F32, r.row * ldy, ldy, 0, 1, 0);
        size_t step = rows_at_once(s, row, rows, &r);
        for (size_t i = r.first_query; i < rows; i += step) {
            size_t n = hk_min(step, rows - i);
            multiply(n, pitch_for(seen_of(s, row, i + n - 1, &r)), head_dim, X + i * ldx, ldx, packed, pitch_for(r.count),
                     S + i * pitch + r.logical, pitch, 0);
        }
    }
}
/* out += P Y over the visible keys. */
static void mix(const hk_segment *s, size_t row, size_t rows, size_t head_dim, const float *P, size_t pitch, const float *Y, size_t ldy,
                float *out, size_t ldo, float *packed) {
    for (key_run r = {0}; next_run(s, row, rows, KEYS, &r);) {
        pack_b(packed, head_dim, r.count, Y, HK_F32, r.row * ldy, ldy, 0, 0, 0);
        size_t step = rows_at_once(s, row, rows, &r);
        for (size_t i = r.first_query; i < rows; i += step) {
            size_t n = hk_min(step, rows - i);
            multiply(n, head_dim, seen_of(s, row, i + n - 1, &r), P + i * pitch + r.logical, pitch, packed, pitch_for(head_dim),
                     out + i * ldo, ldo, 1);
        }
    }
}
static void clear(float *x, size_t ldx, size_t rows, size_t columns) {
    for (size_t i = 0; i < rows; i++) memset(x + i * ldx, 0, columns * sizeof(float));
}

static void attention_forward(const hk_attention *t, const hk_segment *s, size_t row, size_t rows, size_t head, float *scratch) {
    size_t d = t->head_dim, kv = head / (t->heads / t->kv_heads), T = s->ctx_count + own_visible(s, row + rows - 1);
    size_t pitch = score_pitch(T), q_row = s->q_start + row;
    float *S = scratch, *packed = scratch + rows * pitch;
    float *out = t->result + q_row * t->ldo + head * d;
    scores(s, row, rows, d, t->q + q_row * t->ldq + head * d, t->ldq, t->k + kv * d, t->ldk, S, pitch, packed);
    clear(out, t->ldo, rows, d);
    float inverse[HK_QUERY_ROWS];
    for (size_t i = 0; i < rows; i++) {
        size_t n = s->ctx_count + own_visible(s, row + i);
        float *p = S + i * pitch;
        v16 peak = splat(-INFINITY), sum = splat(0), scale = splat(t->scale);
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
        inverse[i] = n ? 1.0f / total : 0.0f;
        if (t->lse) t->lse[(q_row + i) * t->heads + head] = n ? (float)((double)m + log((double)total)) : -INFINITY;
    }
    mix(s, row, rows, d, S, pitch, t->v + kv * d, t->ldv, out, t->ldo, packed);
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < d; c += 16)
            store_up_to(out + i * t->ldo + c, load_up_to(out + i * t->ldo + c, d - c) * splat(inverse[i]), d - c);
}

/* dY[keys, head_dim] += P^T X: P transposed block by block, X packed [rows][head_dim padded]. */
static void mix_transposed(const hk_segment *s, size_t row, size_t rows, size_t head_dim, const float *P, size_t pitch, const float *X,
                           float *transposed, float *dY, size_t ldy) {
    size_t width = pitch_for(rows);
    size_t keys = s->ctx_count + own_visible(s, row + rows - 1);
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
    size_t d = t->head_dim, kv = head / (t->heads / t->kv_heads), T = s->ctx_count + own_visible(s, row + rows - 1);
    size_t pitch = score_pitch(T), q_row = s->q_start + row;
    float *P = scratch, *G = P + rows * pitch, *transposed = G + rows * pitch, *packed = transposed + pitch * pitch_for(rows);
    float *Q = packed + pitch_for(d) * KEYS, *D = Q + rows * pitch_for(d);
    const float *q = t->q + q_row * t->ldq + head * d, *dout = t->dout + q_row * t->lddo + head * d;
    const float *out = t->out + q_row * t->ldo + head * d, *k = t->k + kv * d, *v = t->v + kv * d;
    float *dq = t->dq + q_row * t->lddq + head * d;
    scores(s, row, rows, d, q, t->ldq, k, t->ldk, P, pitch, packed);
    scores(s, row, rows, d, dout, t->lddo, v, t->ldv, G, pitch, packed);
    for (size_t i = 0; i < rows; i++) {
        size_t n = s->ctx_count + own_visible(s, row + i);
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
    mix(s, row, rows, d, G, pitch, k, t->ldk, dq, t->lddq, packed);
    pack_b(Q, d, rows, q, HK_F32, 0, t->ldq, 0, 0, 0);
    pack_b(D, d, rows, dout, HK_F32, 0, t->lddo, 0, 0, 0);
    mix_transposed(s, row, rows, d, P, pitch, D, transposed, t->dv + kv * d, t->lddv);
    mix_transposed(s, row, rows, d, G, pitch, Q, transposed, t->dk + kv * d, t->lddk);
}
