/* isa_portable.c - the kernels for the processor the compiler was asked for: SSE2 on x86-64, NEON on AArch64. */
#pragma clang diagnostic ignored "-Wpsabi" /* v16 arguments: everything that takes one is inlined */
#define HK_PRODUCT hk_product_portable
#define HK_KERNELS hk_kernels_portable
#define HK_UNIT 1
#define TILE_VECTORS 1
#define TILE_DEPTH 256
#if defined(__aarch64__)
#define TILE_ROWS 6 /* 24 of 32 registers */
#else
#define TILE_ROWS 2 /* 8 of 16 registers */
#endif
#include "kernel_table.h"
