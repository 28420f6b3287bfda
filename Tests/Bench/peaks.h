/* peaks.h - what this processor can do at best, the yardstick of the benchmarks here: GFLOP/s of each kind of multiply-add and
 * GB/s of reading, with every one of `threads` threads busy. 0 where the processor lacks the instruction. */
#ifndef HADPO_PEAKS_H
#define HADPO_PEAKS_H

typedef enum { PEAK_FP32, PEAK_BF16, PEAK_INT8, PEAK_AMX_BF16, PEAK_AMX_INT8, PEAK_READ, PEAKS } peak;

extern const char *const peak_names[PEAKS]; /* "fp32_gflops", ..., "read_gbytes_per_s" */

/* The best of `rounds` runs of about a tenth of a second. */
double peak_of(peak what, int threads, int rounds);
/* Processors this process may use. */
int peak_threads(void);

#endif
