/* Which patterns ask for nothing but a span's shape (shapes.h). index_build.c's own. */
#ifndef FLUO_INDEX_SHAPES_H
#define FLUO_INDEX_SHAPES_H
#include "index.h"

/* The keys of atoms are known. 0 or FLUO_ENOMEM. */
int index_shapes_add(struct index *x);

#endif
