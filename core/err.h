/* What can go wrong, as one list: functions that fail return 0 or one of these, all negative. */
#ifndef FLUO_ERR_H
#define FLUO_ERR_H

#define FLUO_ERRS(X) \
  X(FLUO_ENOMEM,      -1, "out of memory") \
  X(FLUO_EMALFORMED,  -2, "malformed") \
  X(FLUO_ETRUNCATED,  -3, "cut short") \
  X(FLUO_EDEPTH,      -4, "nested too deep") \
  X(FLUO_ETOOLARGE,   -5, "too large") \
  X(FLUO_ETOOMANY,    -6, "too many elements") \
  X(FLUO_EFULL,       -7, "full") \
  X(FLUO_EIO,         -8, "input or output failed") \
  X(FLUO_EUNSUPPORTED,-9, "not supported") \
  X(FLUO_EINVALID,   -10, "invalid") \
  X(FLUO_ETIMEOUT,   -11, "took too long") \
  X(FLUO_EDIED,      -12, "the process died")

enum fluo_err {
#define X(name, code, text) name = code,
  FLUO_ERRS(X)
#undef X
};

/* The text of an error (static); "ok" for 0, "unknown error" for what is not in the list. */
const char *err_text(int err);

#endif
