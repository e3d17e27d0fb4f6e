/* Backtracking only ever to the last star: what an earlier one took can stay taken, since a longer
 * run there leaves less for the rest (so no glob, however many stars, is exponential). */
#include "glob.h"

bool glob_match(const uint8_t *glob, size_t glob_n, const uint8_t *text, size_t text_n) {
  size_t g = 0, t = 0;
  size_t star = SIZE_MAX, taken = 0; /* the last star, and where its run ends */
  while (t < text_n) {
    if (g < glob_n && glob[g] == '*') {
      star = g++;
      taken = t;
    } else if (g < glob_n && glob[g] == text[t]) {
      g++;
      t++;
    } else if (star != SIZE_MAX) {
      g = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (g < glob_n && glob[g] == '*') g++;
  return g == glob_n;
}
