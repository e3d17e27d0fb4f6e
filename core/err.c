/* The texts of the list in err.h, and of numbers that are not in it. */
#include "err.h"

const char *err_text(int err) {
  switch (err) {
  case 0: return "ok";
#define X(name, code, text)                                                                        \
  case name: return text;
    FLUO_ERRS(X)
#undef X
  default: return "unknown error";
  }
}
