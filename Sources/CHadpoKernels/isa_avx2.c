/* isa_avx2.c - the kernels with AVX2, FMA and F16C. */
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang diagnostic ignored "-Wpsabi"
#include "internal.h"
#include <math.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define HK_TARGET_AVX2 1
#define HK_PRODUCT hk_product_avx2
#define HK_KERNELS hk_kernels_avx2
#define HK_UNIT 1
#define TILE_ROWS 6 /* 12 accumulators of 16 registers */
#define TILE_VECTORS 1
#define TILE_DEPTH 256
#include "kernel_table.h"
#pragma clang attribute pop
#endif
