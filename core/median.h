/* The median, and how far numbers stray from it: both hold against up to half of the numbers being outliers (Rousseeuw
 * and Croux, "Alternatives to the median absolute deviation", 1993). */
#ifndef FLUO_MEDIAN_H
#define FLUO_MEDIAN_H
#include <stdint.h>

/* Of normally distributed numbers the deviation times this is their sigma. */
#define MEDIAN_SIGMA 1.4826

/* Of n numbers, 1 or more, without NaN. Puts them in another order. */
double median(double *x, uint32_t n);
/* The median of |x - from|. Writes over them. */
double median_deviation(double *x, uint32_t n, double from);

#endif
