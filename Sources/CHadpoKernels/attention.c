/* attention.c - partition of softmax attention over workers, forward and backward.
 *
 * Forward: a chunk is one block of query rows of one head, or of several when the rows are few; chunks share nothing they write.
 * Backward: dk and dv of a context row collect from every segment that sees it. Segments that share key rows, directly or through
 * others, form a component; a chunk is one kv head of one component and walks its segments, heads and blocks in order. So no two
 * chunks add to one element, and the order of additions is fixed. A pair's [prefix | chosen | rejected] is one component.
 */
#include "internal.h"

#include <string.h>

enum { ALONE_BELOW = 1 << 19 /* multiply-adds */, MOST_HEADS = 4 /* of a chunk of few rows: their keys lie side by side */ };
_Static_assert((int)MOST_HEADS * (int)HK_FEW_ROWS <= (int)HK_QUERY_ROWS, "scratch has scores for so many");

typedef struct {
    size_t segment, segments, row, rows; /* of one segment, or several whole ones with one context */
    size_t head, heads;
} query_block;

typedef struct {
    hk_attention t;
    hk_pool *pool;
    const hk_segment *segments;
    const query_block *blocks;  /* forward */
    const uint32_t *first, *next; /* backward: first segment of a component, next segment of the same component */
} job;

static const uint32_t none = UINT32_MAX;

static int too_little(const hk_segment *segments, size_t n, size_t heads, size_t head_dim) {
    double work = 0;
    for (size_t i = 0; i < n; i++) work += (double)segments[i].q_count * (double)hk_keys_of(&segments[i]);
    return work * (double)heads * (double)head_dim < ALONE_BELOW;
}
static int reserve(hk_pool *pool, const hk_segment *segments, size_t n, size_t head_dim, int backward) {
    size_t keys = 0;
    for (size_t i = 0; i < n; i++) keys = hk_max(keys, hk_keys_of(&segments[i]));
    return hk_reserve(pool, hk_pool_kernels(pool)->attention_scratch(head_dim, keys, backward));
}

static void forward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    const query_block *b = &j->blocks[chunk];
    hk_pool_kernels(j->pool)->attention_forward(&j->t, &j->segments[b->segment], b->segments, b->row, b->rows, b->head, b->heads,
                                                hk_scratch(j->pool, worker));
}
/* Segments from i that make one block: as they lie in q, with one context, few rows in all. */
static size_t gather(const hk_segment *segments, size_t n, size_t i, size_t *rows) {
    size_t last = i + 1;
    *rows = segments[i].q_count;
    while (last < n && segments[i].ctx_count > 0 && segments[i].q_count > 0 && segments[last].ctx_start == segments[i].ctx_start &&
           segments[last].ctx_count == segments[i].ctx_count && segments[last].q_start == segments[i].q_start + *rows &&
           segments[last].q_count > 0 && *rows + segments[last].q_count <= HK_QUERY_ROWS)
        *rows += segments[last++].q_count;
    return last - i;
}

int hk_attention_forward(hk_pool *pool, const hk_segment *segments, size_t n_segments, size_t heads, size_t kv_heads,
                         size_t head_dim, float scale, const float *q, size_t ldq, const void *k, size_t ldk, const void *v,
                         size_t ldv, hk_dtype kv_dtype, float *out, size_t ldo, float *lse) {
    hk_attention t = {.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .scale = scale, .kv_dtype = kv_dtype, .q = q, .k = k, .v = v,
                      .result = out, .lse = lse, .ldq = ldq, .ldk = ldk, .ldv = ldv, .ldo = ldo};
    size_t blocks = 0, at = 0;
    for (size_t i = 0; i < n_segments; i++) blocks += hk_blocks(segments[i].q_count, HK_QUERY_ROWS);
    if (blocks == 0) return HK_OK;
    int alone = too_little(segments, n_segments, heads, head_dim);
#ifdef HK_X86
    if (hk_pool_uses_amx(pool)) return hk_amx_attention_forward(pool, alone, segments, n_segments, &t);
#endif
    query_block *list = hk_shared(pool, blocks * heads * sizeof *list); /* at most */
    if (!list || !reserve(pool, segments, n_segments, head_dim, 0)) return HK_NO_MEMORY;
    /* The chunks of one sequence must be enough for all threads; bits do not depend on it. */
    size_t together = hk_max(1, hk_min(MOST_HEADS, heads / (2 * (size_t)hk_pool_threads(pool))));
    for (size_t i = 0; i < n_segments;) {
        size_t rows, count = gather(segments, n_segments, i, &rows);
        for (size_t row = 0; row < rows; row += HK_QUERY_ROWS) { /* one turn for several segments */
            size_t m = hk_min(HK_QUERY_ROWS, rows - row), most = m <= HK_FEW_ROWS ? together : 1;
            for (size_t head = 0; head < heads; head += most) list[at++] = (query_block){i, count, row, m, head, hk_min(most, heads - head)};
        }
        i += count;
    }
    job j = {.t = t, .pool = pool, .segments = segments, .blocks = list};
    hk_run(pool, alone, at, forward_task, &j);
    return HK_OK;
}

static void backward_task(void *context, size_t chunk, int worker) {
    job *j = context;
    size_t group = j->t.heads / j->t.kv_heads, kv = chunk % j->t.kv_heads;
    for (uint32_t i = j->first[chunk / j->t.kv_heads]; i != none; i = j->next[i]) {
        const hk_segment *s = &j->segments[i];
        for (size_t head = kv * group; head < (kv + 1) * group; head++)
            for (size_t row = 0; row < s->q_count; row += HK_QUERY_ROWS)
                hk_pool_kernels(j->pool)->attention_backward(&j->t, s, row, hk_min(HK_QUERY_ROWS, s->q_count - row), head,
                                                             hk_scratch(j->pool, worker));
    }
}

static uint32_t root_of(uint32_t *parent, uint32_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
}
/* Segment i takes the key rows start..<start+count; whoever had one of them joins its component. The root is the lowest index. */
static void claim(uint32_t *parent, uint32_t *owner, uint32_t i, size_t start, size_t count) {
    for (size_t row = start; row < start + count; row++) {
        if (owner[row] == none) {
            owner[row] = i;
            continue;
        }
        uint32_t a = root_of(parent, owner[row]), b = root_of(parent, i);
        if (a < b) parent[b] = a;
        else parent[a] = b;
    }
}

int hk_attention_backward(hk_pool *pool, const hk_segment *segments, size_t n_segments, size_t heads, size_t kv_heads,
                          size_t head_dim, float scale, const float *q, size_t ldq, const float *k, size_t ldk,
                          const float *v, size_t ldv, const float *out, size_t ldo, const float *lse, const float *dout,
                          size_t lddo, float *dq, size_t lddq, float *dk, size_t lddk, float *dv, size_t lddv) {
    size_t key_rows = 0, components = 0;
    for (size_t i = 0; i < n_segments; i++) {
        const hk_segment *s = &segments[i];
        if (s->ctx_count) key_rows = hk_max(key_rows, s->ctx_start + s->ctx_count);
        if (s->own_count) key_rows = hk_max(key_rows, s->own_start + s->own_count);
    }
    uint32_t *next = hk_shared(pool, (4 * n_segments + key_rows) * sizeof *next);
    if (!next || n_segments >= none) return HK_NO_MEMORY;
    uint32_t *first = next + n_segments, *last = first + n_segments, *parent = last + n_segments, *owner = parent + n_segments;
    for (size_t row = 0; row < key_rows; row++) owner[row] = none;
    for (uint32_t i = 0; i < n_segments; i++) parent[i] = i;
    for (uint32_t i = 0; i < n_segments; i++) {
        claim(parent, owner, i, segments[i].ctx_start, segments[i].ctx_count);
        claim(parent, owner, i, segments[i].own_start, segments[i].own_count);
    }
    for (uint32_t i = 0; i < n_segments; i++) {
        uint32_t root = root_of(parent, i);
        next[i] = none;
        if (root == i) first[components++] = i;
        else next[last[root]] = i;
        last[root] = i;
    }
    hk_attention t = {.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .scale = scale, .q = q, .k = k, .v = v, .out = out,
                      .dout = dout, .lse = (float *)lse, .dq = dq, .dk = dk, .dv = dv, .ldq = ldq, .ldk = ldk, .ldv = ldv, .ldo = ldo,
                      .lddo = lddo, .lddq = lddq, .lddk = lddk, .lddv = lddv};
    int alone = too_little(segments, n_segments, heads, head_dim);
#ifdef HK_X86
    if (hk_pool_uses_amx(pool)) return hk_amx_attention_backward(pool, alone, segments, n_segments, &t, first, next, components);
#endif
    if (!reserve(pool, segments, n_segments, head_dim, 1)) return HK_NO_MEMORY;
    job j = {.t = t, .pool = pool, .segments = segments, .first = first, .next = next};
    hk_run(pool, alone, components * kv_heads, backward_task, &j);
    return HK_OK;
}
