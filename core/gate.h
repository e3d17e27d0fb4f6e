/* Gates: whether the counts of a trace can make a rule's condition true. */
#ifndef FLUO_GATE_H
#define FLUO_GATE_H
#include <stdbool.h>

#include "ir.h"
#include "ruleset.h"

/* Whether the gate is open at these counts; without counts: whether it can be without a single hit,
 * whatever spans there are. An empty gate is closed. */
bool gate_open(const struct ir *ir, uint32_t rule, const struct gate_counts *counts);
/* Whether the gate asks for more than hits: spans, the trace's duration, or nothing. */
bool gate_asks_spans(const struct ir *ir, uint32_t rule);

#endif
