#include <json.h>

/* A flag that a signal handler or another thread may set: one atomic word. */
static inline void hadpo_flag_store(int32_t *flag, int32_t value) { __atomic_store_n(flag, value, __ATOMIC_RELEASE); }
static inline int32_t hadpo_flag_load(const int32_t *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
static inline int32_t hadpo_flag_exchange(int32_t *flag, int32_t value) {
    return __atomic_exchange_n(flag, value, __ATOMIC_ACQ_REL);
}
