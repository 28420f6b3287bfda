/* amx_tiles.h - the shape of AMX's tiles, packing one, and their configuration. */
#ifndef HK_AMX_TILES_H
#define HK_AMX_TILES_H
#include "operand_kernel.h"

enum {
    SIDE = 16,  /* rows of a tile, and columns of one that holds sums */
    DEPTH = 32, /* elements of K in a tile */
    TILE = 256, /* floats: 1 KiB */
};

/* A tile of `count` lines (rows of A', columns of B') by `depth` of K, from element `first`. `along`: K is the contiguous dimension.
 * `paired`: [pair of K][line], else [line][K]. What does not exist is zero. */
INLINE void pack_tile(float *out, const void *p, hk_dtype dtype, size_t first, size_t ld, const int along, size_t count, size_t depth,
                      const int paired) {
    int whole = count >= SIDE && depth >= DEPTH;
    v16 r[16];
    if (along && whole) {
        UNROLL for (size_t i = 0; i < SIDE; i++) r[i] = load_along(p, dtype, first + i * ld, DEPTH, 0);
    } else if (along) {
        for (size_t i = 0; i < SIDE; i++) r[i] = i < count ? load_along(p, dtype, first + i * ld, depth, 0) : splat(0);
    } else if (whole) {
        UNROLL for (size_t u = 0; u < SIDE; u++) r[u] = load_across(p, dtype, first + 2 * u * ld, ld, SIDE, 0);
    } else {
        for (size_t u = 0; u < SIDE; u++)
            r[u] = 2 * u < depth ? load_across(p, dtype, first + 2 * u * ld, 2 * u + 1 < depth ? ld : 0, count, 0) : splat(0);
    }
    if (along == paired) transpose16(r);
    UNROLL for (size_t i = 0; i < SIDE; i++) store(out + i * 16, r[i]);
}

static void configure(void) {
    static const struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } configuration = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&configuration);
}
#endif
