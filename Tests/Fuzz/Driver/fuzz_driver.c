#include "fuzz_driver.h"

/* What the address sanitizer does unless ASAN_OPTIONS says otherwise. A block that cannot be had is answered with NULL, as malloc
 * does on other machines; libFuzzer's own limits (-rss_limit_mb, -malloc_limit_mb) say what is too much. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1:detect_leaks=1"; }
