/* handles.c - the handles that are open, which every thread may use and free. */
#include "calls.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const int room_of[KINDS] = {[ENGINE] = 4, [MODEL] = 6, [TRAINER] = 5, [IMAGE] = 8};
enum { MOST_ROOM = 8 };

static place places[KINDS][MOST_ROOM];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Kept until the end: a model may outlive its engine's handle. */
static engine_state **states;
static size_t state_count;

uint64_t next_number(chance *chance)
{
    uint64_t z = chance->state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

unsigned below(chance *chance, unsigned limit)
{
    return (unsigned)(next_number(chance) % limit);
}

bool happens(chance *chance, unsigned per_cent)
{
    return below(chance, 100) < per_cent;
}

void *borrow(call *call, kind kind)
{
    unsigned which = below(call->chance, (unsigned)room_of[kind]);
    bool none = happens(call->chance, 2) || call->borrowed_count == MOST_BORROWED;
    pthread_mutex_lock(&lock);
    place *found = &places[kind][which];
    /* The next that is open, and in most cases on an engine where nothing runs: BUSY would be most answers. */
    bool wants_idle = kind != IMAGE && happens(call->chance, 80);
    for (int i = 0; i < room_of[kind]; i++) {
        place *other = &places[kind][(which + (unsigned)i) % (unsigned)room_of[kind]];
        if (other->handle == NULL || (wants_idle && other->engine->running > 0)) continue;
        found = other;
        break;
    }
    void *handle = none ? NULL : found->handle;
    if (handle != NULL) {
        found->users++;
        call->borrowed[call->borrowed_count++] = found;
        if (kind != IMAGE && call->engine == NULL) {
            call->engine = found->engine;
            call->overlapped = call->engine->running > 0;
            call->engine->running++;
            call->started = ++call->engine->started;
        }
    }
    pthread_mutex_unlock(&lock);
    return handle;
}

void give_back(call *call)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < call->borrowed_count; i++) call->borrowed[i]->users--;
    if (call->engine != NULL) {
        call->engine->running--;
        call->overlapped = call->overlapped || call->engine->started != call->started;
    }
    pthread_mutex_unlock(&lock);
    call->borrowed_count = 0;
}

void *take_out(chance *chance, kind kind)
{
    unsigned which = below(chance, (unsigned)room_of[kind]);
    pthread_mutex_lock(&lock);
    place *found = &places[kind][which];
    void *handle = found->users == 0 ? found->handle : NULL;
    if (handle != NULL) found->handle = NULL;
    pthread_mutex_unlock(&lock);
    return handle;
}

bool keep(void *handle, kind kind, engine_state *engine)
{
    bool kept = false;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < room_of[kind] && !kept; i++) {
        place *free_place = &places[kind][i];
        /* A place whose users have not given it back yet is not free. */
        if (free_place->handle != NULL || free_place->users != 0) continue;
        *free_place = (place){handle, kind, engine, 0};
        kept = true;
    }
    pthread_mutex_unlock(&lock);
    return kept;
}

engine_state *new_engine_state(bool is_small)
{
    engine_state *state = calloc(1, sizeof *state);
    pthread_mutex_lock(&lock);
    engine_state **grown = state == NULL ? NULL : realloc(states, (state_count + 1) * sizeof *grown);
    if (grown == NULL) abort();
    states = grown;
    states[state_count++] = state;
    pthread_mutex_unlock(&lock);
    state->is_small = is_small;
    return state;
}

void count_interrupt(engine_state *engine)
{
    pthread_mutex_lock(&lock);
    engine->interrupts++;
    pthread_mutex_unlock(&lock);
}

bool was_interrupted(engine_state *engine)
{
    pthread_mutex_lock(&lock);
    bool was = engine != NULL && ++engine->cancelled <= engine->interrupts;
    pthread_mutex_unlock(&lock);
    return was;
}

void free_handle(void *handle, kind kind)
{
    if (kind == ENGINE) hadpo_engine_free(handle);
    if (kind == MODEL) hadpo_model_free(handle);
    if (kind == TRAINER) hadpo_trainer_free(handle);
    if (kind == IMAGE) hadpo_image_free(handle);
}

void free_everything(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < MOST_ROOM; i++) free_handle(places[kind][i].handle, kind);
    memset(places, 0, sizeof places);
    for (size_t i = 0; i < state_count; i++) free(states[i]);
    free(states);
}
