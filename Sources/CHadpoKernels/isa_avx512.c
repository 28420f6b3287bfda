/* isa_avx512.c - the kernels with AVX-512 F, BW, VL and DQ. */
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang diagnostic ignored "-Wpsabi"
#include "internal.h"
#include <math.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#define HK_TARGET_AVX512 1
#define HK_PRODUCT hk_product_avx512
#define HK_KERNELS hk_kernels_avx512
#define HK_UNIT 1
#define TILE_ROWS 6 /* 24 accumulators of 32 registers */
#define TILE_VECTORS 4
#define TILE_DEPTH 512 /* a panel of 128 KiB: L2 feeds it fast enough, and C is touched half as often as with 64 KiB */
#include "kernel_table.h"
#pragma clang attribute pop
#endif
