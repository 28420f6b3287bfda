/* isa_avx512_bf16.c - the product on pairs of bf16 with AVX-512 BF16. The instruction takes subnormals for zero. */
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang diagnostic ignored "-Wpsabi"
#include "internal.h"
#include <math.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))), apply_to = function)
#define HK_TARGET_AVX512 1
#define HK_PRODUCT hk_product_avx512_bf16
#define HK_UNIT 2
#define TILE_ROWS 6
#define TILE_VECTORS 4
#define TILE_DEPTH 512 /* pairs: a panel of 128 KiB; with 64 KiB C passes twice as often, and 1024 x 4096 x 11008 was 5 % slower on Zen 5 */
#include "matmul_kernel.h"
#pragma clang attribute pop
#endif
