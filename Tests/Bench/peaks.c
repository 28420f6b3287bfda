/* peaks.c - see peaks.h. Registers only, sixteen independent sums (four tiles on AMX); reading by whole cache lines. Operands are random:
 * zeros draw so little power that the processor runs them at a clock which no real product sees (2.8 and not 2.3 GHz on AMX). */
#define _GNU_SOURCE
#include "peaks.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

const char *const peak_names[PEAKS] = {"fp32_gflops",     "bf16_gflops",     "int8_gops",
                                       "amx_bf16_gflops", "amx_int8_gops", "read_gbytes_per_s"};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int peak_threads(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

enum { READ_BYTES = 1 << 30 }; /* beyond any last-level cache */

typedef struct {
    long rounds;
    const char *memory;
    size_t bytes;
} work;

#if defined(__x86_64__)
/* Four tiles of bf16 between 0.0078 and 0.0156 of either sign; as bytes or fp32 they are ordinary numbers too. */
static uint16_t operands[4 * 512];
static void fill_operands(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        state = state * 1664525u + 1013904223u;
        operands[i] = (uint16_t)(0x3c00 | (state >> 24 & 0x7f) | (state >> 16 & 0x8000));
    }
}

#define EACH(op)                                                                                                                  \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define FP32(r) "vfmadd231ps %%zmm30,%%zmm31,%%zmm" #r "\n\t"
#define BF16(r) "vdpbf16ps %%zmm30,%%zmm31,%%zmm" #r "\n\t"
#define INT8(r) "vpdpbusd %%zmm30,%%zmm31,%%zmm" #r "\n\t"
#define ZERO(r) "vpxorq %%zmm" #r ",%%zmm" #r ",%%zmm" #r "\n\t"
#define AVX512 __attribute__((target("avx512f")))
#define USED                                                                                                                      \
    "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", "zmm12", "zmm13", "zmm14", \
        "zmm15", "zmm30", "zmm31"
/* One asm for the whole loop: between two of them a compiler may use the registers. */
#define LOOP(op)                                                                                                                  \
    __asm__ volatile(EACH(ZERO) "vmovdqu64 (%1),%%zmm30\n\tvmovdqu64 64(%1),%%zmm31\n\t1:\n\t" EACH(op) "dec %0\n\tjnz 1b\n\t"          \
                     : "+r"(rounds) : "r"(operands) : USED, "cc", "memory")

AVX512 static void *fp32_loop(void *context)
{
    long rounds = ((work *)context)->rounds;
    LOOP(FP32);
    return NULL;
}
AVX512 static void *bf16_loop(void *context)
{
    long rounds = ((work *)context)->rounds;
    LOOP(BF16);
    return NULL;
}
AVX512 static void *int8_loop(void *context)
{
    long rounds = ((work *)context)->rounds;
    LOOP(INT8);
    return NULL;
}

/* Tiles of 16 rows of 64 bytes. */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;
static void configure_tiles(void)
{
    tile_config config;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int i = 0; i < 8; i++) config.row_bytes[i] = 64, config.rows[i] = 16;
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
    __asm__ volatile("tilezero %%tmm0\n tilezero %%tmm1\n tilezero %%tmm2\n tilezero %%tmm3\n"
                     "tileloadd (%0,%1),%%tmm4\n tileloadd 1024(%0,%1),%%tmm5\n"
                     "tileloadd 2048(%0,%1),%%tmm6\n tileloadd 3072(%0,%1),%%tmm7"
                     : : "r"(operands), "r"((size_t)64) : "memory");
}
static void *amx_bf16_loop(void *context)
{
    configure_tiles();
    for (long i = ((work *)context)->rounds; i > 0; i--)
        __asm__ volatile("tdpbf16ps %tmm6,%tmm4,%tmm0\n tdpbf16ps %tmm7,%tmm4,%tmm1\n"
                         "tdpbf16ps %tmm6,%tmm5,%tmm2\n tdpbf16ps %tmm7,%tmm5,%tmm3");
    __asm__ volatile("tilerelease");
    return NULL;
}
static void *amx_int8_loop(void *context)
{
    configure_tiles();
    for (long i = ((work *)context)->rounds; i > 0; i--)
        __asm__ volatile("tdpbssd %tmm6,%tmm4,%tmm0\n tdpbssd %tmm7,%tmm4,%tmm1\n"
                         "tdpbssd %tmm6,%tmm5,%tmm2\n tdpbssd %tmm7,%tmm5,%tmm3");
    __asm__ volatile("tilerelease");
    return NULL;
}
AVX512 static void *read_loop(void *context)
{
    const work *w = context;
    for (size_t i = 0; i < w->bytes; i += 256)
        __asm__ volatile("vmovdqu64 (%0),%%zmm0\n vmovdqu64 64(%0),%%zmm1\n vmovdqu64 128(%0),%%zmm2\n vmovdqu64 192(%0),%%zmm3"
                         : : "r"(w->memory + i) : "zmm0", "zmm1", "zmm2", "zmm3");
    return NULL;
}

static int has(peak what)
{
    unsigned a = 7, b, c = 0, d;
    __builtin_cpu_init();
    switch (what) {
    case PEAK_BF16: return __builtin_cpu_supports("avx512bf16") != 0;
    case PEAK_INT8: return __builtin_cpu_supports("avx512vnni") != 0;
    case PEAK_AMX_BF16:
    case PEAK_AMX_INT8:
        __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        if (!(d >> (what == PEAK_AMX_BF16 ? 22 : 25) & 1)) return 0;
        return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0;
    default: return __builtin_cpu_supports("avx512f") != 0;
    }
}
static const struct {
    void *(*loop)(void *);
    double per_round; /* operations */
    long rounds;
} loops[PEAKS] = {{fp32_loop, 16 * 32, 16000000},
                  {bf16_loop, 16 * 64, 8000000},
                  {int8_loop, 16 * 128, 16000000},
                  {amx_bf16_loop, 4 * 2.0 * 16 * 16 * 32, 4000000},
                  {amx_int8_loop, 4 * 2.0 * 16 * 16 * 64, 4000000},
                  {read_loop, 0, 1}};
#else
static void *read_loop(void *context)
{
    const work *w = context;
    const volatile uint64_t *p = (const volatile uint64_t *)(const void *)w->memory;
    for (size_t i = 0; i < w->bytes / 8; i++) (void)p[i];
    return NULL;
}
static void fill_operands(void) {}
static int has(peak what) { return what == PEAK_READ; }
static const struct {
    void *(*loop)(void *);
    double per_round;
    long rounds;
} loops[PEAKS] = {[PEAK_READ] = {read_loop, 0, 1}};
#endif

double peak_of(peak what, int threads, int rounds)
{
    static char *memory;
    if (threads < 1 || threads > 256 || !has(what)) return 0;
    fill_operands();
    if (what == PEAK_READ && memory == NULL) {
        memory = malloc(READ_BYTES);
        if (memory == NULL) return 0;
        memset(memory, 1, READ_BYTES);
    }
    pthread_t running[256];
    work each[256];
    double best = 1e9;
    for (int r = 0; r < rounds; r++) {
        size_t slice = READ_BYTES / (size_t)threads & ~(size_t)255;
        double start = now();
        for (int i = 0; i < threads; i++) {
            each[i] = (work){loops[what].rounds, memory + (size_t)i * slice, slice};
            if (pthread_create(&running[i], NULL, loops[what].loop, &each[i]) != 0) return 0;
        }
        for (int i = 0; i < threads; i++) pthread_join(running[i], NULL);
        double time = now() - start;
        if (time < best) best = time;
    }
    double work_done = what == PEAK_READ ? (double)(READ_BYTES / (size_t)threads & ~(size_t)255)
                                         : loops[what].per_round * (double)loops[what].rounds;
    return work_done * threads / best / 1e9;
}
