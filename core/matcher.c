/* Matching one span: its fields are put into slots, each slot's value is looked up in the index,
 * and the patterns so reached are tested, each once; atoms are tested at most once a span, whoever
 * asks. Which atoms a value leads to is remembered for values that came lately; and of patterns that
 * ask for a span's service, name, kind and status alone, which of them spans that agree in these
 * match.
 *
 * A matcher owns its scratch and nothing else. Everything it will need is taken in matcher_new, so
 * that matcher_span cannot run out of memory. Marks of atoms and patterns carry the stamp of the
 * span that they were made for, so nothing is cleared between two spans. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "err.h"
#include "heap.h"
#include "index.h"
#include "limits.h"
#include "memo.h"
#include "nested.h"
#include "ruleset.h"
#include "shapes.h"
#include "slots.h"

/* Of an atom. Stamps are those of the span that it was made for. */
struct mark {
  uint32_t tested;  /* truth is known */
  uint32_t reached; /* its patterns were tested */
  uint32_t truth;   /* enum fluo_truth */
};

struct matcher {
  const struct ruleset *rules;
  const struct index *x;
  const struct atoms *atoms;
  struct nested *nested;
  struct regex_scratch *regex;
  struct slots *slots;
  struct memo *memo;
  struct shapes *shapes;
  bool shape_known;           /* patterns that the span's shape decides are decided */
  const struct span_view *view;
  bool loaded;                /* its fields are in the slots */
  uint32_t stamp;             /* of the present span */
  struct mark *marks;         /* of each atom */
  uint32_t *seen;             /* stamps of patterns */
  uint32_t holding[SHAPE_ITEMS], holding_count; /* atoms that hold for the value, or the shape, being looked up */
  bool uncertain;             /* one of its atoms is unknown */
  uint32_t *recalled, recalled_count; /* atoms that hold for values that came lately */
  uint32_t *fresh, fresh_count; /* keys with another value */
  uint8_t *nodes;             /* truths of the pattern under test */
  uint32_t *hits, hits_count, *unknowns, unknowns_count;
  struct match_ask *asks;
  uint32_t asks_count, asks_max;
  uint32_t pattern, pattern_asks; /* whose asks are collected, and how many there are so far */
  bool too_many;
  struct answers answers;
};

/* ---- patterns ------------------------------------------------------------------------------ */

static void look_at(struct matcher *m, const struct span_view *view) {
  m->view = view;
  m->loaded = false;
  if (++m->stamp) return;
  /* After 2^32 spans the oldest marks would come back to life. */
  memset(m->marks, 0, m->atoms->count * sizeof *m->marks);
  memset(m->seen, 0, ruleset_ir(m->rules)->patterns * sizeof *m->seen);
  m->stamp = 1;
}

static void load(struct matcher *m) {
  slots_load(m->slots, m->view);
  m->loaded = true;
}

__attribute__((noinline))
static enum fluo_truth test_atom(struct matcher *m, uint32_t atom) {
  uint32_t key = m->x->atom_keys[atom], n;
  if (!m->loaded) load(m);
  const struct datum *value = slots_get(m->slots, key);
  enum fluo_truth truth = FLUO_FALSE;
  if (value) truth = atom_test(&m->atoms->items[atom], value, m->regex);
  m->marks[atom].tested = m->stamp;
  m->marks[atom].truth = truth;
  const uint8_t *bytes = value && truth != FLUO_UNKNOWN ? slots_bytes(m->slots, key, &n) : NULL;
  if (bytes) memo_add(m->memo, key, bytes, n, atom, truth == FLUO_TRUE);
  return truth;
}

/* Mostly it was tested for another pattern before. */
static inline enum fluo_truth atom_truth(struct matcher *m, uint32_t atom) {
  const struct mark *mark = &m->marks[atom];
  return mark->tested == m->stamp ? mark->truth : test_atom(m, atom);
}

static struct nested_view nested_view(const struct matcher *m) {
  return (struct nested_view){m->view, &m->answers, m->regex};
}

static enum fluo_truth part_truth(struct matcher *m, uint32_t has_any, uint32_t pattern) {
  if (atom_truth(m, has_any) == FLUO_FALSE) return FLUO_FALSE;
  struct nested_view view = nested_view(m);
  return nested_test(m->nested, &view, pattern);
}

static enum fluo_truth on_leaf(void *ctx, const struct fluo_ir_node *node) {
  struct matcher *m = ctx;
  switch (node->op) {
  case FLUO_NODE_ATOM: return atom_truth(m, m->atoms->of_ir[node->arg]);
  case FLUO_NODE_FUNCTION: return answers_find(&m->answers, node->arg, 0);
  case FLUO_NODE_EVENT: return part_truth(m, m->atoms->has_event, node->arg);
  default: return part_truth(m, m->atoms->has_link, node->arg);
  }
}

static bool on_ask(void *ctx, uint32_t function, uint32_t object) {
  struct matcher *m = ctx;
  m->too_many = m->pattern_asks == LIMIT_PATTERN_QUESTIONS || m->asks_count == m->asks_max;
  if (m->too_many) return false;
  m->pattern_asks++;
  m->asks[m->asks_count++] = (struct match_ask){m->pattern, function, object};
  return true;
}

static void on_open(void *ctx, const struct fluo_ir_node *leaf) {
  struct matcher *m = ctx;
  if (leaf->op == FLUO_NODE_ATOM || m->too_many) return;
  if (leaf->op == FLUO_NODE_FUNCTION) {
    on_ask(m, leaf->arg, 0);
    return;
  }
  struct nested_view view = nested_view(m);
  nested_asks(m->nested, &view, leaf->arg, on_ask, m);
}

/* Of all or none of the functions that can still change the root. */
static bool collect_asks(struct matcher *m, uint32_t pattern) {
  uint32_t before = m->asks_count;
  m->pattern = pattern;
  m->pattern_asks = 0;
  m->too_many = false;
  formula_open(m->x->ir->nodes, ruleset_pattern(m->rules, pattern)->nodes, m->nodes, on_open, m);
  if (m->too_many) m->asks_count = before;
  return m->asks_count != before;
}

static enum fluo_truth pattern_truth(struct matcher *m, uint32_t pattern) {
  const struct index *x = m->x;
  bool whole = !x->says_more[pattern];
  for (uint32_t i = x->needs_first[pattern]; i < x->needs_first[pattern + 1]; i++) {
    enum fluo_truth truth = atom_truth(m, x->needs[i]);
    if (truth == FLUO_FALSE) return truth;
    whole &= truth == FLUO_TRUE;
  }
  return whole ? FLUO_TRUE : formula_test(x->ir->nodes, x->ir->patterns[pattern].nodes, m->nodes, on_leaf, m);
}

static void test_pattern(struct matcher *m, uint32_t pattern) {
  if (m->seen[pattern] == m->stamp) return;
  m->seen[pattern] = m->stamp;
  enum fluo_truth truth = pattern_truth(m, pattern);
  if (truth == FLUO_FALSE) return;
  if (truth == FLUO_TRUE) {
    m->hits[m->hits_count++] = pattern;
    return;
  }
  if (!collect_asks(m, pattern)) m->unknowns[m->unknowns_count++] = pattern;
}

/* The atom does not fail: its patterns are worth testing. */
static void reach(struct matcher *m, uint32_t atom) {
  struct mark *mark = &m->marks[atom];
  if (mark->reached == m->stamp) return;
  mark->reached = m->stamp;
  const uint32_t *postings = m->x->postings;
  uint32_t end = m->shape_known ? m->x->posting_shaped[atom] : m->x->posting_first[atom + 1];
  for (uint32_t i = m->x->posting_first[atom]; i < end; i++) test_pattern(m, postings[i]);
}

static void on_ref(void *ctx, uint32_t atom, bool equal) {
  struct matcher *m = ctx;
  struct mark *mark = &m->marks[atom];
  if (mark->reached == m->stamp) return; /* through another element of the same array */
  if (equal) *mark = (struct mark){m->stamp, mark->reached, FLUO_TRUE};
  enum fluo_truth truth = atom_truth(m, atom);
  if (truth == FLUO_FALSE) return;
  m->uncertain |= truth == FLUO_UNKNOWN;
  if (m->x->posting_first[atom] < m->x->posting_shaped[atom] && m->holding_count++ < SHAPE_ITEMS)
    m->holding[m->holding_count - 1] = atom;
  reach(m, atom);
}

static void look_up(struct matcher *m, uint32_t key) {
  uint32_t n;
  const uint8_t *bytes = slots_bytes(m->slots, key, &n);
  m->holding_count = 0;
  m->uncertain = false;
  index_probe(m->x, key, slots_get(m->slots, key), on_ref, m);
  if (bytes && !m->uncertain) memo_put(m->memo, key, bytes, n, m->holding, m->holding_count);
}

static void reach_all(struct matcher *m, const uint32_t *atoms, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    struct mark *mark = &m->marks[atoms[i]];
    mark->tested = m->stamp;
    mark->truth = FLUO_TRUE;
    reach(m, atoms[i]);
  }
}

/* Before any pattern is tested, so that none tests what is known. */
static void recall(struct matcher *m) {
  uint32_t count, n;
  const uint32_t *present = slots_present(m->slots, &count);
  m->recalled_count = m->fresh_count = 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t *bytes = slots_bytes(m->slots, present[i], &n);
    const struct memo_entry *known = bytes ? memo_get(m->memo, present[i], bytes, n) : NULL;
    if (!known) m->fresh[m->fresh_count++] = present[i];
    for (uint32_t k = 0; known && k + 1 < known->count_next; k++) {
      uint32_t atom = known->truths[k] >> 1, holds = known->truths[k] & 1;
      m->marks[atom].tested = m->stamp;
      m->marks[atom].truth = holds ? FLUO_TRUE : FLUO_FALSE;
      if (holds) m->recalled[m->recalled_count++] = atom;
    }
  }
}

/* ---- what a shape decides ------------------------------------------------------------------ */

static void take_shape(struct matcher *m, const struct shape_entry *known) {
  uint32_t hits = known->hits_next - 1u;
  for (; m->hits_count < hits; m->hits_count++) m->hits[m->hits_count] = known->items[m->hits_count];
  reach_all(m, known->items + hits, known->atoms);
}

static void probe_shape(struct matcher *m) {
  m->holding_count = 0;
  m->uncertain = false;
  for (uint32_t left = INDEX_SHAPE; left; left &= left - 1) {
    uint32_t field = (uint32_t)__builtin_ctz(left);
    const struct datum *value = m->x->keys[field].probed ? slots_get(m->slots, field) : NULL;
    if (value) index_probe(m->x, field, value, on_ref, m);
  }
}

/* What was undecided may be decided another time. */
static void learn_shape(struct matcher *m, const struct shape *shape) {
  if (m->uncertain || m->holding_count > SHAPE_ITEMS) return;
  for (uint32_t i = 0; i < m->unknowns_count; i++)
    if (m->x->shaped[m->unknowns[i]]) return;
  struct shape_list hits = {m->hits, m->hits_count}, atoms = {m->holding, m->holding_count};
  shapes_put(m->shapes, shape, hits, m->x->shaped, atoms);
}

static void test_always(struct matcher *m, const struct index_always *always) {
  if (always->blocker != UINT32_MAX && atom_truth(m, always->blocker) == FLUO_TRUE) return;
  const uint32_t *patterns = m->x->always_patterns + always->patterns.first;
  for (uint32_t i = 0; i < always->patterns.count; i++)
    if (!m->shape_known || !m->x->shaped[patterns[i]]) test_pattern(m, patterns[i]);
}

/* ---- results ------------------------------------------------------------------------------- */

static int compare_indices(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

static int compare_asks(const void *left, const void *right) {
  const struct match_ask *a = left, *b = right;
  if (a->pattern != b->pattern) return a->pattern < b->pattern ? -1 : 1;
  if (a->function != b->function) return a->function < b->function ? -1 : 1;
  return (a->object > b->object) - (a->object < b->object);
}

/* Nearly always a handful, which is quicker done here. */
static inline void sort_indices(uint32_t *items, uint32_t count) {
  if (count > 32) {
    qsort(items, count, sizeof *items, compare_indices);
    return;
  }
  for (uint32_t i = 1; i < count; i++) {
    uint32_t item = items[i], at = i;
    for (; at && items[at - 1] > item; at--) items[at] = items[at - 1];
    items[at] = item;
  }
}

static void sort_asks(struct matcher *m) {
  if (m->asks_count < 2) return;
  qsort(m->asks, m->asks_count, sizeof *m->asks, compare_asks);
  uint32_t kept = 1;
  for (uint32_t i = 1; i < m->asks_count; i++)
    if (compare_asks(&m->asks[i], &m->asks[kept - 1])) m->asks[kept++] = m->asks[i];
  m->asks_count = kept;
}

static void match_shape(struct matcher *m, const struct shape *shape, const struct shape_entry *known) {
  m->shape_known = known;
  if (known)
    take_shape(m, known);
  else
    probe_shape(m);
  for (uint32_t i = 0; i < m->x->always_count; i++) test_always(m, &m->x->always[i]);
  if (!known && m->view->span->flags & FLUO_SPAN_LASTING) learn_shape(m, shape);
}

int matcher_span(struct matcher *m, const struct span_view *view, struct match *out) {
  /* Asked for before the walk, what is known of the shape comes from memory while that goes on. */
  struct shape shape = shape_of(view->span);
  const struct shape_entry *known = view->span->flags & FLUO_SPAN_LASTING ? shapes_get(m->shapes, &shape) : NULL;
  m->hits_count = m->unknowns_count = m->asks_count = 0;
  m->answers = (struct answers){NULL, 0};
  look_at(m, view);
  load(m);
  recall(m);
  match_shape(m, &shape, known);
  for (uint32_t i = 0; i < m->recalled_count; i++) reach(m, m->recalled[i]);
  for (uint32_t i = 0; i < m->fresh_count; i++) look_up(m, m->fresh[i]);
  sort_indices(m->hits, m->hits_count);
  sort_indices(m->unknowns, m->unknowns_count);
  sort_asks(m);
  *out = (struct match){m->hits,           m->hits_count, m->unknowns,
                        m->unknowns_count, m->asks,       m->asks_count};
  return 0;
}

const struct fluo_value *matcher_value(struct matcher *m, uint32_t key) {
  return slots_value(m->slots, key);
}

enum fluo_truth matcher_resolve(struct matcher *m, const struct span_view *view, uint32_t pattern,
                                const struct fluo_answer *answers, uint32_t count) {
  assert(ruleset_pattern(m->rules, pattern)->object == FLUO_OBJECT_SPAN);
  look_at(m, view); /* which is read where its answers do not decide alone */
  m->answers = (struct answers){answers, count};
  struct fluo_range range = ruleset_pattern(m->rules, pattern)->nodes;
  return formula_test(m->x->ir->nodes, range, m->nodes, on_leaf, m);
}

/* ---- life ---------------------------------------------------------------------------------- */

/* How many functions a span can need. Those of events and links have no such number, but nobody is
 * asked more than LIMIT_QUESTIONS: what finds no room in this is unknown, as is all before it. */
static uint32_t most_asks(const struct ir *ir) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < ir->header->functions; i++)
    if (ir->functions[i].object != FLUO_OBJECT_SPAN)
      return LIMIT_QUESTIONS + LIMIT_PATTERN_QUESTIONS;
  for (uint32_t i = 0; i < ir->header->nodes; i++) n += ir->nodes[i].op == FLUO_NODE_FUNCTION;
  return n;
}

static uint32_t longest_pattern(const struct ir *ir) {
  uint32_t most = 1;
  for (uint32_t i = 0; i < ir->header->patterns; i++)
    if (ir->patterns[i].nodes.count > most) most = ir->patterns[i].nodes.count;
  return most;
}

static int take_scratch(struct matcher *m) {
  const struct ir *ir = m->x->ir;
  size_t atoms = m->atoms->count, patterns = ir->header->patterns;
  uint32_t nodes = longest_pattern(ir);
  m->marks = heap_zalloc(atoms * sizeof *m->marks);
  m->seen = heap_zalloc(patterns * sizeof *m->seen);
  m->nodes = heap_alloc(nodes);
  m->hits = heap_alloc(patterns * sizeof *m->hits);
  m->unknowns = heap_alloc(patterns * sizeof *m->unknowns);
  m->asks_max = most_asks(ir);
  m->asks = heap_alloc(m->asks_max * sizeof *m->asks);
  m->memo = memo_new(m->x->keys_count);
  m->recalled = heap_alloc(m->x->keys_count * MEMO_ATOMS * sizeof *m->recalled);
  m->fresh = heap_alloc(m->x->keys_count * sizeof *m->fresh);
  m->shapes = shapes_new(ir->header->patterns);
  bool all = m->marks && m->seen && m->nodes && m->hits && m->unknowns && m->asks && m->memo && m->recalled && m->fresh && m->shapes;
  if (!all) return FLUO_ENOMEM;
  int err = nested_new(ir, m->atoms, nodes, &m->nested);
  if (!err) err = slots_new(m->x, &m->slots);
  if (!err) err = regex_scratch_new(ruleset_options(m->rules)->matches_limit, &m->regex);
  return err ? err : regex_scratch_quotas(m->regex, ir->header->atoms);
}

void matcher_now(struct matcher *m, uint64_t now_ns) {
  regex_scratch_now(m->regex, now_ns);
}

int matcher_new(const struct ruleset *r, struct matcher **out) {
  struct matcher *m = heap_zalloc(sizeof *m);
  if (!m) return FLUO_ENOMEM;
  m->rules = r;
  m->x = ruleset_index(r);
  m->atoms = ruleset_atoms(r);
  int err = take_scratch(m);
  if (err)
    matcher_free(m);
  else
    *out = m;
  return err;
}

void matcher_free(struct matcher *m) {
  if (!m) return;
  heap_free(m->marks);
  heap_free(m->seen);
  heap_free(m->nodes);
  heap_free(m->hits);
  heap_free(m->unknowns);
  heap_free(m->asks);
  nested_free(m->nested);
  slots_free(m->slots);
  memo_free(m->memo);
  heap_free(m->recalled);
  heap_free(m->fresh);
  shapes_free(m->shapes);
  regex_scratch_free(m->regex);
  heap_free(m);
}
