/* hypotf.c - linked into libhadpo.so so that it runs on glibc 2.34.
 *
 * The Swift runtime that is linked in names hypotf, which nothing here calls. A build on a newer system would bind it to the
 * hypotf of glibc 2.35, the only symbol younger than manylinux_2_34. Products of floats are exact in double, so only the sum,
 * the root and the last conversion round, as in glibc. */
#include <math.h>

float hypotf(float a, float b);

float hypotf(float a, float b)
{
    if (isinf(a) || isinf(b)) return INFINITY; /* also beside a NaN (C11 F.10.4.3) */
    return (float)sqrt((double)a * a + (double)b * b);
}
