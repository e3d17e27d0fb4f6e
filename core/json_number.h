/* Numbers from their decimal digits, without a detour over doubles: 1795232661632948700 keeps
 * its last digit, and 1.7e18 is an integer. */
#ifndef FLUO_JSON_NUMBER_H
#define FLUO_JSON_NUMBER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The digits from p, of which at most 19 are read: behind them. */
const uint8_t *json_number_digits(const uint8_t *p, const uint8_t *end, uint64_t *value);
/* n characters [-]digits[.digits][e[+-]digits], nothing else. false: no such text, not a whole
 * number, or past 2^64 - 1. */
bool json_number_whole(const char *p, size_t n, bool *negative, uint64_t *magnitude);
/* The nearest double. false: no such text, longer than 1 KiB, or past the range. Takes "NaN",
 * "Infinity" and "-Infinity" too. */
bool json_number_double(const char *p, size_t n, double *out);

#endif
