/* Every public function with NULL in each position, from eight threads at once on the same handles; handles freed in every
 * order, eight orders at a time, and by a thread that did not open them. Also run under the thread sanitizer (make
 * check-tsan). */
#include "harness.h"

#include <pthread.h>

typedef struct {
    hadpo_engine *engine;
    hadpo_model *model;
    hadpo_trainer *trainer;
    hadpo_image *image;
    /* For calls that take a result; nothing makes one without a failure. */
    hadpo_bytes *bytes;
    hadpo_error *error;
} handles;

#include "null_calls.h" /* made from hadpo.h by Tests/Hosts/make_calls.py */

enum { THREADS = 8, ROUNDS = 3, CALLS = sizeof null_calls / sizeof null_calls[0] };

static handles shared;
static pthread_barrier_t all_here;
static int broken[THREADS][CALLS]; /* counted, not checked: check() belongs to the main thread */
static int unopened[THREADS];

/* Without check(), which belongs to the main thread. */
static void open_all(handles *all)
{
    static const uint8_t pixels[24 * 20 * 3];
    char model[1024], train[2048];
    snprintf(model, sizeof model, "{\"schema\":\"hadpo.model/1\",\"path\":\"%s/llava/old-f32\"}", fixtures);
    train_config(train, sizeof train);
    memset(all, 0, sizeof *all);
    hadpo_engine_open("{\"schema\":\"hadpo.engine/1\",\"threads\":2}", HADPO_NUL, NULL, NULL, &all->engine, NULL);
    hadpo_model_open(all->engine, model, HADPO_NUL, &all->model, NULL);
    hadpo_trainer_open(all->model, train, HADPO_NUL, &all->trainer, NULL);
    hadpo_image_from_rgb8(pixels, 24, 20, 72, &all->image, NULL);
}

static bool is_open(const handles *all)
{
    return all->engine != NULL && all->model != NULL && all->trainer != NULL && all->image != NULL;
}

/* `order` 0 to 23: the permutations of four. */
static void free_in_order(handles *all, int order)
{
    int left[4] = {0, 1, 2, 3};
    for (int n = 4; n > 0; n--) {
        int pick = order % n, which = left[pick];
        order /= n;
        left[pick] = left[n - 1];
        if (which == 0) hadpo_engine_free(all->engine);
        if (which == 1) hadpo_model_free(all->model);
        if (which == 2) hadpo_trainer_free(all->trainer);
        if (which == 3) hadpo_image_free(all->image);
    }
}

static handles exchanged[THREADS];

static void *work(void *argument)
{
    int self = (int)(intptr_t)argument;
    pthread_barrier_wait(&all_here);
    for (int i = 0; i < CALLS; i++) {
        int call = (i + self * CALLS / THREADS) % CALLS;
        broken[self][call] += !null_calls[call].make(&shared);
    }
    for (int round = 0; round < ROUNDS; round++) {
        open_all(&exchanged[self]);
        unopened[self] += !is_open(&exchanged[self]);
        pthread_barrier_wait(&all_here);
        free_in_order(&exchanged[(self + round) % THREADS], self + THREADS * round);
        pthread_barrier_wait(&all_here);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    open_all(&shared);
    if (check(is_open(&shared), "the shared handles open%s", "")) {
        pthread_t threads[THREADS];
        pthread_barrier_init(&all_here, NULL, THREADS);
        for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i);
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&all_here);
        for (int i = 0; i < CALLS; i++) {
            int bad = 0;
            for (int t = 0; t < THREADS; t++) bad += broken[t][i];
            check(bad == 0, "NULL as %s, from eight threads", null_calls[i].name);
        }
        int missing = 0;
        for (int t = 0; t < THREADS; t++) missing += unopened[t];
        check(missing == 0, "eight threads open handles of their own%s", "");
        check(true, "24 orders of freeing four handles, by threads that did not open them%s", "");
    }
    free_in_order(&shared, 0);
    return finish();
}
