/* attention_amx.c - softmax attention on AMX under FAST: bf16 operands, fp32 scores, softmax and sums.
 *
 * Everything is computed with a query in a lane: S^T = K Q^T, so the softmax needs no sum across lanes, out^T = V^T P^T and
 * dQ^T = K^T G^T; dV = P^T dO and dK = G^T Q have their keys as rows anyway. Keys lie packed in their logical order (context range, then
 * own range), thirty-two to a step, from 0 on: where the split between the two ranges lies cannot show in the forward bits, nor does a
 * row see its block. Exponentials are rounded to bf16 before they are normalised; their sum is that of the fp32 ones.
 *
 * T keys of the segment, in steps of 32; d of a head, D tiles of 32, H tiles of 16; a block of ROWS queries, QT tiles of 16.
 * Left tiles: [16 rows][32 of the summed dimension]; right tiles: [16 pairs of it][16 columns].
 */
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang diagnostic ignored "-Wpsabi"
#include "internal.h"
#include <math.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16"))), \
                             apply_to = function)
#define HK_TARGET_AVX512 1
#define HK_UNIT 2
#include "amx_tiles.h"

enum { ROWS = 64, QT = ROWS / SIDE, STEP = DEPTH /* keys */, FEW = 4 /* queries of a segment: in vectors */ };

/* Segments first..<first+count share a context, or it is one alone: its keys are packed once. */
typedef struct {
    size_t first, count, items; /* a block of queries of one head; of segments of few rows, rows */
} run;
typedef struct {
    hk_attention t;
    hk_pool *pool;
    const hk_segment *segments;
    const run *runs;
    size_t parts;        /* into which a run's items of one kv head are cut */
    size_t steps;        /* of the longest segment */
    const uint32_t *first, *next; /* backward: of a component, as in attention.c */
} job;

static size_t depth_tiles(const hk_attention *t) { return hk_blocks(t->head_dim, DEPTH); }
static size_t width_tiles(const hk_attention *t) { return hk_blocks(t->head_dim, SIDE); }

/* ---- packing ---- */
typedef struct {
    const void *p;
    hk_dtype dtype;
    size_t at, ld, count; /* element of the first row; rows */
} rows_of;

/* Logical keys 32 step.. of a head of k or v. A step that takes from both ranges, or from a cache in int8, is put together in `joined`
 * [32][d]. */
static rows_of step_rows(const hk_segment *s, const void *p, hk_dtype dtype, size_t ld, size_t column, size_t d, size_t step, float *joined) {
    size_t key = step * STEP, count = hk_min(STEP, hk_keys_of(s) - key);
    int whole = dtype != HK_CACHE8 && (key >= s->ctx_count || key + count <= s->ctx_count);
    if (whole) return (rows_of){p, dtype, hk_key_row(s, key) * ld + column, ld, count};
    for (size_t i = 0; i < count; i++) {
        size_t at = hk_key_row(s, key + i) * ld;
        float *to = joined + i * d;
        if (dtype == HK_CACHE8) load_cache8(to, (const int8_t *)p + at, ld, column, d);
        else
            for (size_t c = 0; c < d; c += 16) store_up_to(to + c, load_first_as_f32(p, dtype, at + column + c, hk_min(16, d - c)), d - c);
    }
    return (rows_of){joined, HK_F32, 0, d, count};
}
/* out[2][D]: left tiles [16 keys][32 of d] of one step. */
INLINE void pack_keys_of(float *out, const hk_dtype dtype, rows_of r, size_t d) {
    for (size_t i = 0; i < STEP; i += SIDE)
        for (size_t c = 0; c < d; c += DEPTH, out += TILE)
            pack_tile(out, r.p, dtype, r.at + i * r.ld + c, r.ld, 1, r.count > i ? r.count - i : 0, d - c, 0);
}
/* out[H]: left tiles [16 of d][32 keys]. */
INLINE void pack_turned_of(float *out, const hk_dtype dtype, rows_of r, size_t d) {
    for (size_t c = 0; c < d; c += SIDE, out += TILE) pack_tile(out, r.p, dtype, r.at + c, r.ld, 0, d - c, r.count, 0);
}
#define BY_DTYPE(dtype, CALL)              \
    switch (dtype) {                       \
    case HK_F16: CALL(HK_F16); break;      \
    case HK_BF16: CALL(HK_BF16); break;    \
    default: CALL(HK_F32); break;          \
    }
static void pack_keys(float *out, rows_of r, size_t d) {
#define PACK(dtype) pack_keys_of(out, dtype, r, d)
    BY_DTYPE(r.dtype, PACK)
#undef PACK
}
static void pack_turned(float *out, rows_of r, size_t d) {
#define PACK(dtype) pack_turned_of(out, dtype, r, d)
    BY_DTYPE(r.dtype, PACK)
#undef PACK
}
/* out[D][QT]: right tiles [16 pairs of d][16 queries]. */
static void pack_queries(float *out, const float *x, size_t ld, size_t rows, size_t d) {
    for (size_t c = 0; c < d; c += DEPTH)
        for (size_t i = 0; i < ROWS; i += SIDE, out += TILE)
            pack_tile(out, x, HK_F32, i < rows ? i * ld + c : 0, ld, 1, rows > i ? rows - i : 0, d - c, 1);
}
/* out[2][H]: right tiles [16 pairs of queries][16 of d]. */
static void pack_query_pairs(float *out, const float *x, size_t ld, size_t rows, size_t d) {
    for (size_t i = 0; i < ROWS; i += DEPTH)
        for (size_t c = 0; c < d; c += SIDE, out += TILE)
            pack_tile(out, x, HK_F32, i < rows ? i * ld + c : 0, ld, 0, d - c, rows > i ? rows - i : 0, 1);
}

/* ---- products ---- */
/* Four tiles of sums = left[0..1] x right[0..1] over n tiles of the summed dimension; *_next: floats to the next of them. */
#define FOUR_SUMS(n, left, left_next, left_second, right, right_next, right_second)                                                  \
    for (size_t s_ = 0; s_ < (n); s_++) {                                                                                            \
        _tile_loadd(4, (left) + s_ * (left_next), 64);                                                                               \
        _tile_loadd(6, (right) + s_ * (right_next), 64);                                                                             \
        _tile_dpbf16ps(0, 4, 6);                                                                                                     \
        _tile_loadd(7, (right) + s_ * (right_next) + (right_second), 64);                                                            \
        _tile_dpbf16ps(1, 4, 7);                                                                                                     \
        _tile_loadd(5, (left) + s_ * (left_next) + (left_second), 64);                                                               \
        _tile_dpbf16ps(2, 5, 6);                                                                                                     \
        _tile_dpbf16ps(3, 5, 7);                                                                                                     \
    }
#define CLEAR_SUMS() (_tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3))

/* S[key][ROWS] of a block's queries, `steps` of keys; keys[step][2][D], queries[D][QT]. */
static void scores(size_t steps, size_t D, size_t tiles, const float *keys, const float *queries, float *S) {
    for (size_t i = 0; i < steps; i++, keys += 2 * D * TILE, S += STEP * ROWS)
        for (size_t q = 0; q < tiles; q += 2) {
            CLEAR_SUMS();
            FOUR_SUMS(D, keys, TILE, D * TILE, queries + q * TILE, QT * TILE, TILE)
            _tile_stored(0, S + q * SIDE, ROWS * 4);
            _tile_stored(1, S + (q + 1) * SIDE, ROWS * 4);
            _tile_stored(2, S + SIDE * ROWS + q * SIDE, ROWS * 4);
            _tile_stored(3, S + SIDE * ROWS + (q + 1) * SIDE, ROWS * 4);
        }
}
/* out[query][d] = left^T right, times factors[query] where there are any: left[step][H] turned keys or values, right[step][QT] pairs of keys by queries. */
static void mix(size_t steps, const hk_attention *t, size_t rows, const float *left, const float *right, const float *factors, float *out,
                size_t ldo) {
    size_t H = width_tiles(t), d = t->head_dim;
    _Alignas(64) float sums[4 * TILE];
    for (size_t q = 0; q * SIDE < rows; q += 2)
        for (size_t c = 0; c < H; c += 2) {
            size_t second = c + 1 < H ? TILE : 0;
            CLEAR_SUMS();
            FOUR_SUMS(steps, left + c * TILE, H * TILE, second, right + q * TILE, QT * TILE, TILE)
            _tile_stored(0, sums, 64);
            _tile_stored(1, sums + TILE, 64);
            _tile_stored(2, sums + 2 * TILE, 64);
            _tile_stored(3, sums + 3 * TILE, 64);
            for (size_t i = 0; i < (second ? 4 : 2); i++) {
                size_t row = (q + i % 2) * SIDE, column = (c + i / 2) * SIDE;
                v16 r[16], factor = factors ? load(factors + row) : splat(1);
                UNROLL for (size_t l = 0; l < 16; l++) r[l] = load(sums + i * TILE + l * 16) * factor;
                transpose16(r);
                for (size_t l = 0; l < SIDE && row + l < rows; l++) store_up_to(out + (row + l) * ldo + column, r[l], d - column);
            }
        }
}
/* sums[key tile][H] += left x right: left[key tile][2] of [16 keys][32 queries], right[2][H]. */
static void collect(size_t steps, size_t H, size_t rows, const float *left, const float *right, float *sums) {
    size_t depth = hk_blocks(rows, DEPTH);
    for (size_t i = 0; i < steps; i++, left += 4 * TILE, sums += 2 * H * TILE)
        for (size_t c = 0; c < H; c += 2) {
            float *at = sums + c * TILE;
            size_t second = c + 1 < H ? TILE : 0;
            _tile_loadd(0, at, 64);
            _tile_loadd(1, at + second, 64);
            _tile_loadd(2, at + H * TILE, 64);
            _tile_loadd(3, at + H * TILE + second, 64);
            FOUR_SUMS(depth, left, TILE, 2 * TILE, right + c * TILE, H * TILE, second)
            _tile_stored(0, at, 64);
            _tile_stored(2, at + H * TILE, 64);
            if (second) {
                _tile_stored(1, at + second, 64);
                _tile_stored(3, at + H * TILE + second, 64);
            }
        }
}

/* ---- softmax ---- */
/* Sixteen queries from row `row` of a segment: how many keys each sees; 0 behind the last. */
static v16i keys_seen(const hk_segment *s, size_t row, size_t rows) {
    v16i n;
    for (size_t i = 0; i < SIDE; i++) n[i] = i < rows ? (int32_t)(s->ctx_count + hk_own_visible(s, row + i)) : 0;
    return n;
}
/* Steps of keys that the last of `rows` queries sees. */
static size_t steps_seen(const hk_segment *s, size_t row, size_t rows) {
    return hk_blocks(s->ctx_count + hk_own_visible(s, row + rows - 1), STEP);
}
/* Pairs of keys side by side: a row of a right tile. */
INLINE v16 paired(v16 even, v16 odd) {
    v16 both[2] = {even, odd};
    return unit_of(both, 0);
}
static v16 masked(v16 x, size_t key, v16i seen, float otherwise) {
    return select16((v16i)splat_bits((uint32_t)key) < seen, x, splat(otherwise));
}
/* P = exp(scale S - maximum) of sixteen queries over `steps`, as right tiles P[step][QT]; their maximum and sum. */
static void softmax(size_t steps, v16i seen, size_t all, float scale_of, const float *S, float *P, v16 *maximum, v16 *sum) {
    v16 peak = splat(-INFINITY), total = splat(0), scale = splat(scale_of);
    for (size_t j = 0; j < steps * STEP; j++) {
        v16 x = load(S + j * ROWS) * scale;
        peak = max16(j < all ? x : masked(x, j, seen, -INFINITY), peak);
    }
    for (size_t i = 0; i < steps; i++, P += QT * TILE)
        for (size_t u = 0; u < SIDE; u++) {
            size_t j = i * STEP + 2 * u;
            v16 even = exp16(load(S + j * ROWS) * scale - peak), odd = exp16(load(S + (j + 1) * ROWS) * scale - peak);
            if (j + 1 >= all) {
                even = masked(even, j, seen, 0);
                odd = masked(odd, j + 1, seen, 0);
            }
            total = total + even;
            total = total + odd;
            store(P + u * 16, paired(even, odd));
        }
    *maximum = peak;
    *sum = total;
}

/* ---- forward ---- */
static size_t forward_floats(const hk_attention *t, size_t steps) {
    size_t D = depth_tiles(t), H = width_tiles(t);
    return steps * ((2 * D + H + QT) * TILE + STEP * ROWS) + D * QT * TILE + STEP * t->head_dim + 16;
}
static void forward_block(const job *j, const hk_segment *s, size_t row, size_t head, const float *K, const float *V, float *scratch) {
    const hk_attention *t = &j->t;
    size_t rows = hk_min(ROWS, s->q_count - row), q_row = s->q_start + row, d = t->head_dim, D = depth_tiles(t);
    size_t steps = steps_seen(s, row, rows), tiles = hk_blocks(rows, SIDE);
    float *Q = scratch, *S = Q + D * QT * TILE, *P = S + j->steps * STEP * ROWS;
    _Alignas(64) float inverse[ROWS] = {0};
    pack_queries(Q, t->q + q_row * t->ldq + head * d, t->ldq, rows, d);
    scores(steps, D, tiles, K, Q, S);
    for (size_t q = 0; q < tiles; q++) {
        size_t first = q * SIDE, n = hk_min(SIDE, rows - first);
        v16i seen = keys_seen(s, row + first, n);
        v16 maximum, sum;
        softmax(steps, seen, n == SIDE ? (size_t)seen[0] : 0, t->scale, S + first, P + q * TILE, &maximum, &sum);
        for (size_t i = 0; i < n; i++) {
            inverse[first + i] = seen[i] ? 1.0f / sum[i] : 0.0f;
            if (t->lse) t->lse[(q_row + first + i) * t->heads + head] = seen[i] ? (float)((double)maximum[i] + log((double)sum[i])) : -INFINITY;
        }
    }
    for (size_t q = tiles; q % 2; q++) /* the products take two tiles at a time */
        for (size_t i = 0; i < steps; i++) memset(P + (i * QT + q) * TILE, 0, TILE * sizeof *P);
    mix(steps, t, rows, V, P, inverse, t->result + q_row * t->ldo + head * d, t->ldo);
}
/* Chunk: a part of a run's items of one kv head. */
static void forward_task(void *context, size_t chunk, int worker) {
    const job *j = context;
    const hk_attention *t = &j->t;
    size_t part = chunk % j->parts, kv = chunk / j->parts % t->kv_heads, group = t->heads / t->kv_heads, d = t->head_dim;
    const run *r = &j->runs[chunk / j->parts / t->kv_heads];
    size_t first = r->items * part / j->parts, last = r->items * (part + 1) / j->parts, item = 0, D = depth_tiles(t), H = width_tiles(t);
    float *K = hk_scratch(j->pool, worker), *V = K + j->steps * 2 * D * TILE, *rest = V + j->steps * H * TILE;
    float *joined = rest + D * QT * TILE + j->steps * (STEP * ROWS + QT * TILE);
    size_t packed = 0; /* steps: of them, those of the context alone hold for the next segment too */
    configure();
    for (size_t i = r->first; i < r->first + r->count && item < last; i++) {
        const hk_segment *s = &j->segments[i];
        size_t blocks = hk_blocks(s->q_count, ROWS);
        packed = hk_min(packed, s->ctx_count / STEP);
        for (size_t b = 0; b < blocks; b++)
            for (size_t head = kv * group; head < (kv + 1) * group; head++, item++) {
                if (item < first || item >= last) continue;
                size_t row = b * ROWS, steps = steps_seen(s, row, hk_min(ROWS, s->q_count - row));
                for (; packed < steps; packed++) {
                    pack_keys(K + packed * 2 * D * TILE, step_rows(s, t->k, t->kv_dtype, t->ldk, kv * d, d, packed, joined), d);
                    pack_turned(V + packed * H * TILE, step_rows(s, t->v, t->kv_dtype, t->ldv, kv * d, d, packed, joined), d);
                }
                forward_block(j, s, row, head, K, V, rest);
            }
    }
    _tile_release();
}

/* ---- forward, few rows ----
 * Decoding: keys and values pass once, so they are multiplied in vectors, as the tiles multiply: even and odd products summed apart
 * from zero, step after step. The bits are the tiles' (tested). A run's rows are one block: the steps that lie in their context are read
 * once for all of them. */
static size_t few_floats(const hk_attention *t, size_t steps) {
    return ROWS * (depth_tiles(t) * DEPTH + width_tiles(t) * SIDE + steps * STEP) + 2 * TILE + STEP * t->head_dim + 16;
}
/* n numbers rounded to bf16; the tiles take subnormals for zero. */
static void round_to_operand(float *out, const float *x, size_t n, size_t padded) {
    for (size_t i = 0; i < padded; i += 16) {
        v16 r = i < n ? round_to_bf16(load_up_to(x + i, hk_min(16, n - i))) : splat(0);
        store(out + i, select16(abs16(r) < splat(0x1p-126f), splat(0), r));
    }
}
/* As the tiles do: subnormal operands and results are zero. The caller puts the old state back. */
static unsigned flush_subnormals(void) {
    unsigned state = _mm_getcsr();
    _mm_setcsr(state | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
    return state;
}
/* While `done` to `then` of `all` of a step is computed, that part of the next step's rows is fetched: a row is too short, and the next too
 * far, for the processor to see them coming. */
INLINE void fetch_next(rows_of r, size_t d, size_t done, size_t then, size_t all) {
    size_t size = r.dtype == HK_F32 ? 4 : 2;
    const char *p = (const char *)r.p + (r.at + STEP * r.ld) * size;
    for (size_t i = STEP * done / all; i < STEP * hk_min(then, all) / all; i++)
        for (size_t at = 0; at < d * size; at += 64) _mm_prefetch(p + i * r.ld * size + at, _MM_HINT_T1);
}
/* A right tile of a step's keys or values. */
static void pack_few(float *tile, rows_of r, size_t at, const int along, size_t count, size_t depth) {
#define PACK(dtype) pack_tile(tile, r.p, dtype, at, r.ld, along, count, depth, 1)
    BY_DTYPE(r.dtype, PACK)
#undef PACK
}
/* out[row][16] += x[row][32] times a right tile, for `some` rows. */
INLINE void add_some(const float *tile, const size_t some, const float *x, size_t x_pitch, float *out, size_t out_pitch) {
    v16 even[4], odd[4];
    UNROLL for (size_t r = 0; r < some; r++) even[r] = odd[r] = splat(0);
    UNROLL for (size_t u = 0; u < 16; u++) {
        v16u pair = (v16u)load(tile + u * 16);
        UNROLL for (size_t r = 0; r < some; r++) {
            even[r] = splat(x[r * x_pitch + 2 * u]) * (v16)(pair << 16) + even[r];
            odd[r] = splat(x[r * x_pitch + 2 * u + 1]) * (v16)(pair & splat_bits(0xffff0000u)) + odd[r];
        }
    }
    UNROLL for (size_t r = 0; r < some; r++) store(out + r * out_pitch, load(out + r * out_pitch) + (even[r] + odd[r]));
}
static void add_products(const float *tile, size_t rows, const float *x, size_t x_pitch, float *out, size_t out_pitch) {
    size_t row = 0;
    for (; row + 4 <= rows; row += 4) add_some(tile, 4, x + row * x_pitch, x_pitch, out + row * out_pitch, out_pitch);
    for (; row < rows; row++) add_some(tile, 1, x + row * x_pitch, x_pitch, out + row * out_pitch, out_pitch);
}
/* S[row][pitch] of sixteen keys and then sixteen more; Q[row][32 D]. */
static void few_scores(rows_of k, size_t d, size_t rows, const float *Q, float *S, size_t pitch, float *tile) {
    size_t width = hk_blocks(d, DEPTH) * DEPTH;
    unsigned state = flush_subnormals();
    for (size_t i = 0; i < STEP; i += SIDE, S += SIDE) {
        for (size_t row = 0; row < rows; row++) store(S + row * pitch, splat(0));
        for (size_t c = 0; c < d && k.count > i; c += DEPTH) {
            size_t done = i / SIDE * width + c;
            fetch_next(k, d, done, done + DEPTH, 2 * width);
            pack_few(tile, k, k.at + i * k.ld + c, 1, k.count - i, d - c);
            add_products(tile, rows, Q + c, width, S, pitch);
        }
    }
    _mm_setcsr(state);
}
/* out[row][32] += P[row][pitch] V of one step, `some` rows at a time: thirty-two columns of bf16, the even and the odd ones apart, so that
 * nothing has to be packed. */
INLINE void mix_bf16(const uint16_t *v, size_t ld, size_t count, const size_t some, const float *P, size_t pitch, float *out, size_t width) {
    v16 sums[4 * 4]; /* row, parity of the key, parity of the column */
    const v16u high = (v16u)splat_bits(0xffff0000u);
    UNROLL for (size_t i = 0; i < 4 * some; i++) sums[i] = splat(0);
    for (size_t key = 0; key < count; key += 2, v += 2 * ld)
        UNROLL for (size_t odd = 0; odd < 2; odd++) {
            if (odd && key + 1 == count) continue;
            v16u x = (v16u)load_raw(v + odd * ld);
            UNROLL for (size_t r = 0; r < some; r++) {
                v16 p = splat(P[r * pitch + key + odd]);
                sums[4 * r + 2 * odd] = p * (v16)(x << 16) + sums[4 * r + 2 * odd];
                sums[4 * r + 2 * odd + 1] = p * (v16)(x & high) + sums[4 * r + 2 * odd + 1];
            }
        }
    const __m512i first = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i second = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    UNROLL for (size_t r = 0; r < some; r++, out += width) {
        __m512 even = (__m512)(sums[4 * r] + sums[4 * r + 2]), odd = (__m512)(sums[4 * r + 1] + sums[4 * r + 3]);
        store(out, load(out) + (v16)_mm512_permutex2var_ps(even, first, odd));
        store(out + 16, load(out + 16) + (v16)_mm512_permutex2var_ps(even, second, odd));
    }
}
static void few_mix(rows_of v, size_t d, size_t rows, const float *P, size_t pitch, float *out, float *tile) {
    size_t width = hk_blocks(d, SIDE) * SIDE, c = 0;
    unsigned state = flush_subnormals();
    for (; v.dtype == HK_BF16 && c + DEPTH <= d; c += DEPTH) {
        const uint16_t *p = (const uint16_t *)v.p + v.at + c;
        size_t row = 0;
        fetch_next(v, d, c, c + DEPTH, d);
        for (; row + 4 <= rows; row += 4) mix_bf16(p, v.ld, v.count, 4, P + row * pitch, pitch, out + row * width + c, width);
        for (; row < rows; row++) mix_bf16(p, v.ld, v.count, 1, P + row * pitch, pitch, out + row * width + c, width);
    }
    for (; c < d; c += SIDE) {
        fetch_next(v, d, c, c + SIDE, d);
        pack_few(tile, v, v.at + c, 0, d - c, v.count);
        add_products(tile, rows, P, pitch, out + c, width);
    }
    _mm_setcsr(state);
}
/* P over `seen` keys from S in place, zeros up to `keys`; 1 / sum. */
static float few_softmax(float *S, size_t seen, size_t keys, float scale_of, float *lse) {
    v16 peak = splat(-INFINITY), scale = splat(scale_of);
    v16i n = (v16i)splat_bits((uint32_t)seen);
    const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (size_t j = 0; j < keys; j += 16)
        peak = max16(select16(lane + (int32_t)j < n, load(S + j) * scale, splat(-INFINITY)), peak);
    float maximum = maximum16(peak), sum = 0;
    for (size_t j = 0; j < keys; j += 16) {
        v16 p = select16(lane + (int32_t)j < n, exp16(load(S + j) * scale - splat(maximum)), splat(0));
        store(S + j, p);
        for (size_t i = 0; i < 16; i++) sum += S[j + i];
        round_to_operand(S + j, S + j, 16, 16);
    }
    if (lse) *lse = seen ? (float)((double)maximum + log((double)sum)) : -INFINITY;
    return seen ? 1.0f / sum : 0.0f;
}
/* Chunk: a run of few rows, of one head. */
static void few_task(void *context, size_t chunk, int worker) {
    const job *j = context;
    const hk_attention *t = &j->t;
    const run *r = &j->runs[chunk / t->heads];
    const hk_segment *s = &j->segments[r->first];
    size_t head = chunk % t->heads, kv = head / (t->heads / t->kv_heads), d = t->head_dim, rows = r->items, pitch = j->steps * STEP;
    size_t Dw = depth_tiles(t) * DEPTH, Hw = width_tiles(t) * SIDE, shared = s->ctx_count / STEP;
    float *tile = hk_scratch(j->pool, worker), *Q = tile + TILE, *out = Q + ROWS * Dw, *S = out + ROWS * Hw, *joined = S + ROWS * pitch;
    for (size_t i = 0, row = 0; i < r->count; i++)
        for (size_t q = 0; q < s[i].q_count; q++, row++)
            round_to_operand(Q + row * Dw, t->q + (s[i].q_start + q) * t->ldq + head * d, d, Dw);
    memset(out, 0, rows * Hw * sizeof *out);
#define K_STEP(s, k) step_rows(s, t->k, t->kv_dtype, t->ldk, kv * d, d, k, joined), d
#define V_STEP(s, k) step_rows(s, t->v, t->kv_dtype, t->ldv, kv * d, d, k, joined), d
    for (size_t k = 0; k < shared; k++) few_scores(K_STEP(s, k), rows, Q, S + k * STEP, pitch, tile);
    float inverse[ROWS];
    for (size_t i = 0, row = 0; i < r->count; row += s[i++].q_count) {
        size_t steps = hk_blocks(hk_keys_of(&s[i]), STEP);
        for (size_t k = shared; k < steps; k++) few_scores(K_STEP(&s[i], k), s[i].q_count, Q + row * Dw, S + row * pitch + k * STEP, pitch, tile);
        for (size_t q = 0; q < s[i].q_count; q++) {
            float *lse = t->lse ? &t->lse[(s[i].q_start + q) * t->heads + head] : NULL;
            inverse[row + q] = few_softmax(S + (row + q) * pitch, s[i].ctx_count + hk_own_visible(&s[i], q), steps * STEP, t->scale, lse);
        }
    }
    for (size_t k = 0; k < shared; k++) few_mix(V_STEP(s, k), rows, S + k * STEP, pitch, out, tile);
    for (size_t i = 0, row = 0; i < r->count; row += s[i++].q_count) {
        size_t steps = hk_blocks(hk_keys_of(&s[i]), STEP);
        for (size_t k = shared; k < steps; k++) few_mix(V_STEP(&s[i], k), s[i].q_count, S + row * pitch + k * STEP, pitch, out + row * Hw, tile);
        for (size_t q = 0; q < s[i].q_count; q++)
            for (size_t c = 0; c < d; c += 16)
                store_up_to(t->result + (s[i].q_start + q) * t->ldo + head * d + c, load(out + (row + q) * Hw + c) * splat(inverse[row + q]), d - c);
    }
#undef K_STEP
#undef V_STEP
}

static size_t longest(const hk_segment *segments, size_t n) {
    size_t steps = 0;
    for (size_t i = 0; i < n; i++) steps = hk_max(steps, hk_blocks(hk_keys_of(&segments[i]), STEP));
    return steps;
}
static int is_few(const hk_segment *s) { return s->q_count <= FEW; }
static int goes_on(const run *r, const hk_segment *segments, size_t i) {
    const hk_segment *a = &segments[r->first], *b = &segments[i];
    return r->first + r->count == i && a->ctx_count && a->ctx_start == b->ctx_start && a->ctx_count == b->ctx_count && is_few(a) == is_few(b);
}

int hk_amx_attention_forward(hk_pool *pool, int alone, const hk_segment *segments, size_t n, const hk_attention *t) {
    size_t many = 0, few = 0, group = t->heads / t->kv_heads;
    run *runs = hk_shared(pool, n * sizeof *runs); /* of many rows from the front, of few from the back */
    job j = {.t = *t, .pool = pool, .segments = segments, .runs = runs, .steps = longest(segments, n)};
    if (!runs) return HK_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        size_t rows = segments[i].q_count, items = hk_blocks(rows, ROWS) * group;
        if (rows == 0) continue;
        run *last = is_few(&segments[i]) ? (few ? &runs[n - few] : NULL) : (many ? &runs[many - 1] : NULL);
        if (last && goes_on(last, segments, i) && (!is_few(&segments[i]) || last->items + rows <= ROWS)) {
            last->count++;
            last->items += is_few(&segments[i]) ? rows : items;
        } else if (is_few(&segments[i])) {
            runs[n - ++few] = (run){i, 1, rows};
        } else {
            runs[many++] = (run){i, 1, items};
        }
    }
    if (!hk_reserve(pool, hk_max(many ? forward_floats(t, j.steps) : 0, few ? few_floats(t, j.steps) : 0))) return HK_NO_MEMORY;
    if (many) {
        /* Every part packs the keys that it needs again: no more parts than keep everybody busy. */
        j.parts = hk_blocks(4 * (size_t)hk_pool_threads(pool), many * t->kv_heads);
        hk_run(pool, alone, many * t->kv_heads * j.parts, forward_task, &j);
    }
    j.runs = runs + n - few;
    if (few) hk_run(pool, alone, few * t->heads, few_task, &j);
    return HK_OK;
}

/* ---- backward ---- */
static size_t backward_floats(const hk_attention *t, size_t steps) {
    size_t D = depth_tiles(t), H = width_tiles(t);
    return steps * ((4 * D + H + 4 * H + QT + 8) * TILE + 2 * STEP * ROWS) + (2 * D * QT + 4 * H) * TILE + STEP * t->head_dim + 16;
}
/* From S and dP of sixteen queries: P and G = P (dP - delta) scale, as left tiles [key tile][2] and, G, as right tiles [step][QT]. */
static void differentiate(size_t steps, v16i seen, size_t all, const hk_attention *t, v16 lse, v16 delta, size_t first, const float *S,
                          const float *dP, float *P, float *G, float *G_right) {
    v16 scale = splat(t->scale);
    size_t half = first / SIDE % 2, tile = first / DEPTH;
    for (size_t i = 0; i < steps; i++)
        for (size_t u = 0; u < SIDE; u++) {
            v16 g[2];
            UNROLL for (size_t o = 0; o < 2; o++) {
                size_t j = i * STEP + 2 * u + o;
                v16 p = exp16(load(S + j * ROWS + first) * scale - lse);
                g[o] = p * (load(dP + j * ROWS + first) - delta) * scale;
                if (j >= all) {
                    p = masked(p, j, seen, 0);
                    g[o] = masked(g[o], j, seen, 0);
                }
                size_t at = (j / SIDE * 2 + tile) * TILE + j % SIDE * 16 + half * 8; /* sixteen halves of a row */
                _mm256_store_si256((__m256i *)(P + at), (__m256i)_mm512_cvtneps_pbh((__m512)p));
                _mm256_store_si256((__m256i *)(G + at), (__m256i)_mm512_cvtneps_pbh((__m512)g[o]));
            }
            store(G_right + (i * QT + first / SIDE) * TILE + u * 16, paired(g[0], g[1]));
        }
}
typedef struct {
    float *K, *V, *turned, *dK, *dV; /* of a segment's kv head */
    float *S, *dP, *P, *G, *G_right, *Q, *dO, *Q_pairs, *dO_pairs, *joined;
} backward_scratch;

static backward_scratch divide(float *p, const hk_attention *t, size_t steps) {
    size_t D = depth_tiles(t), H = width_tiles(t);
    backward_scratch b;
#define TAKE(name, floats) b.name = p, p += (floats)
    TAKE(K, steps * 2 * D * TILE);
    TAKE(V, steps * 2 * D * TILE);
    TAKE(turned, steps * H * TILE);
    TAKE(dK, steps * 2 * H * TILE);
    TAKE(dV, steps * 2 * H * TILE);
    TAKE(S, steps * STEP * ROWS);
    TAKE(dP, steps * STEP * ROWS);
    TAKE(P, steps * 4 * TILE);
    TAKE(G, steps * 4 * TILE);
    TAKE(G_right, steps * QT * TILE);
    TAKE(Q, D * QT * TILE);
    TAKE(dO, D * QT * TILE);
    TAKE(Q_pairs, 2 * H * TILE);
    TAKE(dO_pairs, 2 * H * TILE);
    TAKE(joined, STEP * t->head_dim);
#undef TAKE
    return b;
}
static void backward_block(const hk_attention *t, const hk_segment *s, size_t row, size_t head, const backward_scratch *b) {
    size_t rows = hk_min(ROWS, s->q_count - row), q_row = s->q_start + row, d = t->head_dim, D = depth_tiles(t), H = width_tiles(t);
    size_t steps = steps_seen(s, row, rows), tiles = hk_blocks(rows, SIDE);
    const float *q = t->q + q_row * t->ldq + head * d, *out = t->out + q_row * t->ldo + head * d, *dout = t->dout + q_row * t->lddo + head * d;
    pack_queries(b->Q, q, t->ldq, rows, d);
    pack_queries(b->dO, dout, t->lddo, rows, d);
    pack_query_pairs(b->Q_pairs, q, t->ldq, rows, d);
    pack_query_pairs(b->dO_pairs, dout, t->lddo, rows, d);
    scores(steps, D, tiles, b->K, b->Q, b->S);
    scores(steps, D, tiles, b->V, b->dO, b->dP);
    for (size_t first = 0; first < hk_blocks(rows, DEPTH) * DEPTH; first += SIDE) {
        size_t n = rows > first ? hk_min(SIDE, rows - first) : 0;
        v16i seen = keys_seen(s, row + first, n);
        v16 lse = splat(0), delta = splat(0);
        for (size_t i = 0; i < n; i++) {
            v16 lanes = splat(0);
            for (size_t c = 0; c < d; c += 16)
                lanes = load_up_to(out + (first + i) * t->ldo + c, d - c) * load_up_to(dout + (first + i) * t->lddo + c, d - c) + lanes;
            delta[i] = sum16(lanes); /* sum over keys of p dp */
            lse[i] = t->lse[(q_row + first + i) * t->heads + head];
        }
        differentiate(steps, seen, n == SIDE ? (size_t)seen[0] : 0, t, lse, delta, first, b->S, b->dP, b->P, b->G, b->G_right);
    }
    mix(steps, t, rows, b->turned, b->G_right, NULL, t->dq + q_row * t->lddq + head * d, t->lddq);
    collect(steps, H, rows, b->P, b->dO_pairs, b->dV);
    collect(steps, H, rows, b->G, b->Q_pairs, b->dK);
}
/* y[rows of the segment's keys][d] += sums[key tile][H]. */
static void add_sums(const hk_segment *s, size_t d, const float *sums, float *y, size_t ld) {
    size_t H = hk_blocks(d, SIDE);
    for (size_t j = 0; j < hk_keys_of(s); j++) {
        float *to = y + hk_key_row(s, j) * ld;
        const float *from = sums + j / SIDE * H * TILE + j % SIDE * 16;
        for (size_t c = 0; c < d; c += 16) store_up_to(to + c, load_up_to(to + c, d - c) + load(from + c / 16 * TILE), d - c);
    }
}
/* Chunk: one kv head of one component. */
static void backward_task(void *context, size_t chunk, int worker) {
    const job *j = context;
    const hk_attention *t = &j->t;
    size_t group = t->heads / t->kv_heads, kv = chunk % t->kv_heads, d = t->head_dim, D = depth_tiles(t), H = width_tiles(t);
    backward_scratch b = divide(hk_scratch(j->pool, worker), t, j->steps);
    configure();
    for (uint32_t i = j->first[chunk / t->kv_heads]; i != UINT32_MAX; i = j->next[i]) {
        const hk_segment *s = &j->segments[i];
        size_t steps = hk_blocks(hk_keys_of(s), STEP);
        for (size_t k = 0; k < steps; k++) {
            rows_of r = step_rows(s, t->k, HK_F32, t->ldk, kv * d, d, k, b.joined);
            pack_keys(b.K + k * 2 * D * TILE, r, d);
            pack_turned(b.turned + k * H * TILE, r, d);
            pack_keys(b.V + k * 2 * D * TILE, step_rows(s, t->v, HK_F32, t->ldv, kv * d, d, k, b.joined), d);
        }
        memset(b.dK, 0, steps * 2 * H * TILE * sizeof(float));
        memset(b.dV, 0, steps * 2 * H * TILE * sizeof(float));
        for (size_t head = kv * group; head < (kv + 1) * group; head++)
            for (size_t row = 0; row < s->q_count; row += ROWS) backward_block(t, s, row, head, &b);
        add_sums(s, d, b.dK, t->dk + kv * d, t->lddk);
        add_sums(s, d, b.dV, t->dv + kv * d, t->lddv);
    }
    _tile_release();
}
int hk_amx_attention_backward(hk_pool *pool, int alone, const hk_segment *segments, size_t n, const hk_attention *t,
                              const uint32_t *first, const uint32_t *next, size_t components) {
    job j = {.t = *t, .pool = pool, .segments = segments, .steps = longest(segments, n), .first = first, .next = next};
    if (!hk_reserve(pool, backward_floats(t, j.steps))) return HK_NO_MEMORY;
    hk_run(pool, alone, components * t->kv_heads, backward_task, &j);
    return HK_OK;
}
#pragma clang attribute pop
#endif
