/* probe.c - the processor's peaks as one JSON line, to be run between benchmarks: where it moves, the machine is not quiet.
 *
 *   cc -O2 Tests/Bench/probe.c Tests/Bench/peaks.c -lpthread -o probe && ./probe [threads] */
#include "peaks.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : peak_threads();
    printf("{\"threads\": %d", threads);
    for (int i = 0; i < PEAKS; i++) printf(", \"%s\": %.1f", peak_names[i], peak_of((peak)i, threads, 3));
    puts("}");
    return 0;
}
