/* allocations.h - counts calls of the allocator: the program is linked with --wrap for each of them (see the Makefile). */
#ifndef HADPO_ALLOCATIONS_H
#define HADPO_ALLOCATIONS_H
#include <stddef.h>

void allocations_begin(void);
long allocations_count(void);  /* since begin */
size_t allocations_peak(void); /* most bytes held at once since begin, beyond what was held then */

#endif
