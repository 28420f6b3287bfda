/* pool.c - worker threads, their scratch, and the choice of instruction set.
 *
 * A worker's state goes IDLE -> POSTED (by the caller) -> RUNNING (by the worker) -> IDLE. When the caller runs out of chunks it
 * takes back what is still only POSTED, so a worker that wakes late never delays a small job.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IDLE, POSTED, RUNNING, QUIT };
/* A few microseconds: shorter than going to sleep and being woken, too short to show in a profile. */
enum { SPINS = 2000, MAX_THREADS = 1024 };

typedef struct {
    hk_pool *pool;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    _Atomic int state, asleep;
    float *scratch;
    size_t scratch_floats;
    int index;
} worker;

struct hk_pool {
    worker *workers; /* [0] is the caller */
    int threads, started;
    pid_t process; /* whose threads they are */
    hk_isa isa;
    int rounds, vnni;
    const hk_kernels *kernels;
    const hk_product *product;
    void *shared;
    size_t shared_bytes;
    /* the job: written while every worker is IDLE */
    hk_task task;
    void *context;
    size_t chunks;
    _Atomic size_t next;
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    _Atomic int caller_asleep;
};

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void work(hk_pool *pool, int index) {
    size_t chunk;
    while ((chunk = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < pool->chunks)
        pool->task(pool->context, chunk, index);
}

static void *worker_main(void *argument) {
    worker *w = argument;
    hk_pool *pool = w->pool;
    for (;;) {
        for (int i = 0; i < SPINS && atomic_load_explicit(&w->state, memory_order_relaxed) == IDLE; i++) relax();
        if (atomic_load(&w->state) == IDLE) {
            pthread_mutex_lock(&w->mutex);
            atomic_store(&w->asleep, 1);
            while (atomic_load(&w->state) == IDLE) pthread_cond_wait(&w->wake, &w->mutex);
            atomic_store(&w->asleep, 0);
            pthread_mutex_unlock(&w->mutex);
        }
        int posted = POSTED;
        if (atomic_compare_exchange_strong(&w->state, &posted, RUNNING)) {
            work(pool, w->index);
            atomic_store(&w->state, IDLE);
            if (atomic_load(&pool->caller_asleep)) {
                pthread_mutex_lock(&pool->mutex);
                pthread_cond_signal(&pool->finished);
                pthread_mutex_unlock(&pool->mutex);
            }
        } else if (posted == QUIT) {
            return NULL;
        }
    }
}

static void set_state(worker *w, int state) {
    atomic_store(&w->state, state);
    if (atomic_load(&w->asleep)) {
        pthread_mutex_lock(&w->mutex);
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->mutex);
    }
}

void hk_parallel(hk_pool *pool, size_t chunks, hk_task task, void *context) {
    int helpers = (int)hk_min((size_t)pool->threads, chunks) - 1;
    if (helpers <= 0) {
        for (size_t i = 0; i < chunks; i++) task(context, i, 0);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->chunks = chunks;
    atomic_store(&pool->next, 0);
    for (int i = 1; i <= helpers; i++) set_state(&pool->workers[i], POSTED);
    work(pool, 0);
    for (int i = 1; i <= helpers; i++) {
        worker *w = &pool->workers[i];
        int posted = POSTED;
        if (atomic_compare_exchange_strong(&w->state, &posted, IDLE)) continue;
        for (int s = 0; s < SPINS && atomic_load_explicit(&w->state, memory_order_relaxed) == RUNNING; s++) relax();
        if (atomic_load(&w->state) == RUNNING) {
            pthread_mutex_lock(&pool->mutex);
            atomic_store(&pool->caller_asleep, 1);
            while (atomic_load(&w->state) == RUNNING) pthread_cond_wait(&pool->finished, &pool->mutex);
            atomic_store(&pool->caller_asleep, 0);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

void hk_run(hk_pool *pool, int alone, size_t chunks, hk_task task, void *context) {
    if (alone)
        for (size_t i = 0; i < chunks; i++) task(context, i, 0);
    else
        hk_parallel(pool, chunks, task, context);
}

static const char *choose_isa(hk_pool *pool, hk_isa isa, hk_numerics numerics) {
    int fast = numerics == HK_FAST;
    pool->kernels = &hk_kernels_portable;
    pool->isa = HK_PORTABLE;
#ifdef HK_X86
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    int bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
    const char *no_amx = isa == HK_AMX_BF16 || (isa == HK_AUTO && fast) ? hk_amx_open() : "not asked for";
    /* Intel's vdpbf16ps is slower than its fp32 multiply-add (measured: a third), AMD's twice as fast. */
    int bf16_pays = bf16 && !__builtin_cpu_is("intel");
#else
    int avx2 = 0, avx512 = 0, bf16 = 0, bf16_pays = 0;
    const char *no_amx = "this processor has no AMX with bf16";
#endif
    if (isa == HK_AUTO || isa == HK_OPENBLAS)
        pool->isa = !no_amx && fast      ? HK_AMX_BF16
                    : bf16_pays && fast ? HK_AVX512_BF16
                    : avx512            ? HK_AVX512
                    : avx2              ? HK_AVX2
                                        : HK_PORTABLE;
    else
        pool->isa = isa;
    if (pool->isa < HK_PORTABLE || pool->isa > HK_AMX_BF16) return "unknown instruction set";
    if (pool->isa == HK_AMX_BF16 && no_amx) return no_amx;
    if (pool->isa == HK_AVX2 && !avx2) return "this processor has no AVX2 with FMA and F16C";
    if (pool->isa == HK_AVX512 && !avx512) return "this processor has no AVX-512 F, BW, VL and DQ";
    if (pool->isa == HK_AVX512_BF16 && !bf16) return "this processor has no AVX-512 BF16";
    if ((pool->isa == HK_AVX512_BF16 || pool->isa == HK_AMX_BF16) && !fast) pool->isa = HK_AVX512; /* exact products are fp32 */
#ifdef HK_X86
    if (pool->isa == HK_AVX2) pool->kernels = &hk_kernels_avx2;
    if (pool->isa >= HK_AVX512) pool->kernels = &hk_kernels_avx512;
#endif
    pool->product = pool->kernels->product;
    pool->rounds = fast;
#ifdef HK_X86
    pool->vnni = fast && isa != HK_OPENBLAS && pool->isa >= HK_AVX512 && hk_vnni_open();
    if (pool->isa == HK_AVX512_BF16) {
        pool->product = &hk_product_avx512_bf16;
        pool->rounds = 0; /* the packing converts anyway */
    }
#endif
    if (isa == HK_OPENBLAS) {
        pool->isa = HK_OPENBLAS;
        return hk_openblas_open();
    }
    return NULL;
}

static int processors(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

hk_pool *hk_pool_create(int threads, hk_isa isa, hk_numerics numerics, const char **why) {
    static const char no_memory[] = "out of memory";
    const char *ignored;
    if (!why) why = &ignored;
    *why = NULL;
    if (threads < 0 || threads > MAX_THREADS) {
        *why = "the number of threads is outside 0...1024";
        return NULL;
    }
    hk_pool *pool = calloc(1, sizeof *pool);
    if (!pool) {
        *why = no_memory;
        return NULL;
    }
    *why = choose_isa(pool, isa, numerics);
    if (*why) {
        free(pool);
        return NULL;
    }
    pool->threads = threads ? threads : (int)hk_min((size_t)processors(), MAX_THREADS);
    pool->workers = calloc((size_t)pool->threads, sizeof *pool->workers);
    if (!pool->workers) {
        free(pool);
        *why = no_memory;
        return NULL;
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->finished, NULL);
    /* The host's signals are for the host's threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pool->started = 1;
    pool->process = getpid();
    for (int i = 1; i < pool->threads; i++) {
        worker *w = &pool->workers[i];
        w->pool = pool;
        w->index = i;
        pthread_mutex_init(&w->mutex, NULL);
        pthread_cond_init(&w->wake, NULL);
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
            pthread_cond_destroy(&w->wake);
            pthread_mutex_destroy(&w->mutex);
            *why = "a worker thread could not be started";
            break;
        }
        pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (*why) {
        hk_pool_free(pool);
        return NULL;
    }
    return pool;
}

void hk_pool_free(hk_pool *pool) {
    if (!pool) return;
    /* In the child of a fork there are no workers to wait for, and a lock may be held for ever. */
    if (pool->process != getpid()) pool->started = 0;
    for (int i = 1; i < pool->started; i++) set_state(&pool->workers[i], QUIT);
    for (int i = 1; i < pool->started; i++) {
        worker *w = &pool->workers[i];
        pthread_join(w->thread, NULL);
        pthread_cond_destroy(&w->wake);
        pthread_mutex_destroy(&w->mutex);
    }
    for (int i = 0; i < pool->threads; i++) free(pool->workers[i].scratch);
    free(pool->shared);
    if (pool->started > 0) {
        pthread_cond_destroy(&pool->finished);
        pthread_mutex_destroy(&pool->mutex);
    }
    free(pool->workers);
    free(pool);
}

int hk_pool_threads(const hk_pool *pool) { return pool->threads; }
const char *hk_pool_isa_name(const hk_pool *pool) {
    static const char *const names[] = {"auto", "portable", "avx2", "avx512", "avx512-bf16", "openblas", "amx-bf16"};
    return names[pool->isa];
}
const hk_kernels *hk_pool_kernels(const hk_pool *pool) { return pool->kernels; }
const hk_product *hk_pool_product(const hk_pool *pool) { return pool->product; }
int hk_pool_rounds(const hk_pool *pool) { return pool->rounds; }
int hk_pool_uses_vnni(const hk_pool *pool) { return pool->vnni; }
int hk_pool_uses_amx(const hk_pool *pool) { return pool->isa == HK_AMX_BF16; }
hk_dtype hk_cache_dtype(const hk_pool *pool) {
    if (pool->isa == HK_AMX_BF16) return HK_BF16;
    return pool->isa == HK_AVX512_BF16 || (pool->isa == HK_AVX512 && pool->rounds) ? HK_F16 : HK_F32;
}
int hk_pool_uses_openblas(const hk_pool *pool) { return pool->isa == HK_OPENBLAS; }

int hk_reserve(hk_pool *pool, size_t floats) {
    for (int i = 0; i < pool->threads; i++) {
        worker *w = &pool->workers[i];
        if (w->scratch_floats >= floats) continue;
        size_t grown = hk_max(hk_blocks(floats, 4096) * 4096, w->scratch_floats + w->scratch_floats / 2);
        free(w->scratch);
        w->scratch_floats = 0;
        if (grown > SIZE_MAX / 8) w->scratch = NULL;
        else w->scratch = aligned_alloc(64, (grown * sizeof(float) + 63) & ~(size_t)63);
        if (!w->scratch) return 0;
        w->scratch_floats = grown;
    }
    return 1;
}
float *hk_scratch(hk_pool *pool, int worker) { return pool->workers[worker].scratch; }

void *hk_shared(hk_pool *pool, size_t bytes) {
    if (pool->shared_bytes >= bytes && pool->shared) return pool->shared;
    free(pool->shared);
    pool->shared = NULL;
    pool->shared_bytes = 0;
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t grown = hk_max((bytes + 4095) & ~(size_t)4095, 4096);
    pool->shared = aligned_alloc(4096, grown);
    if (pool->shared) pool->shared_bytes = grown;
    return pool->shared;
}
