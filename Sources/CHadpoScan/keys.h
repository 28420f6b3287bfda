/* Each key of an object once, whatever the number of keys and whoever chose them. */
#ifndef HADPO_SCAN_KEYS_H
#define HADPO_SCAN_KEYS_H

#include "hadpo_scan.h"

/* Notes the key of `level`: HS_DUPLICATE_KEY if its object has it already. */
hs_result hs_add_key(hs_scan *scan, hs_level *level, bool is_escaped);

/* The object of `level`, the innermost, ends. */
void hs_forget_keys(hs_scan *scan, hs_level *level);

/* Room for `count` elements; false without memory, and everything as it was. */
bool hs_grow(void **array, size_t *capacity, size_t count, size_t size);

#endif
