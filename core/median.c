/* The median's story: the k-th number is selected, not sorted for (Hoare, "Algorithm 65: Find",
 * 1961); the pivot is the middle of three, so that numbers that are in order cost no more. */
#include "median.h"

#include <assert.h>
#include <math.h>

static void swap(double *a, double *b) {
  double x = *a;
  *a = *b;
  *b = x;
}

static double pivot_of(double *x, int32_t lo, int32_t hi) {
  int32_t middle = lo + (hi - lo) / 2;
  if (x[middle] < x[lo]) swap(&x[middle], &x[lo]);
  if (x[hi] < x[lo]) swap(&x[hi], &x[lo]);
  if (x[hi] < x[middle]) swap(&x[hi], &x[middle]);
  return x[middle];
}

/* The k-th from 0 comes to stand where it would if they were in order, and none before it is
 * greater. */
static double find(double *x, int32_t n, int32_t k) {
  int32_t lo = 0, hi = n - 1;
  while (lo < hi) {
    double pivot = pivot_of(x, lo, hi);
    int32_t i = lo, j = hi;
    while (i <= j) {
      while (x[i] < pivot) i++;
      while (pivot < x[j]) j--;
      if (i <= j) swap(&x[i++], &x[j--]);
    }
    if (j < k) lo = i;
    if (k < i) hi = j;
  }
  return x[k];
}

double median(double *x, uint32_t n) {
  assert(n);
  double upper = find(x, (int32_t)n, (int32_t)(n / 2)), lower = x[0];
  if (n % 2) return upper;
  for (uint32_t i = 1; i < n / 2; i++) lower = fmax(lower, x[i]);
  return (lower + upper) / 2;
}

double median_deviation(double *x, uint32_t n, double from) {
  for (uint32_t i = 0; i < n; i++) x[i] = fabs(x[i] - from);
  return median(x, n);
}
