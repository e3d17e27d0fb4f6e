/* Matching one span: its fields are put into slots, each slot's value is looked up in the index, and
 * the patterns so reached are tested, each once; atoms are tested at most once a span, whoever asks.
 *
 * A matcher owns its scratch and nothing else. Everything it will need is taken in matcher_new, so that
 * matcher_span cannot run out of memory. Slots lend from the arena, from the matcher's copy of the last
 * resource, or from `hex`; they are read within the same call only. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "index.h"
#include "nested.h"
#include "ruleset.h"

/* A larger resource is read anew for each span. */
enum { RESOURCE_BYTES_MAX = 4096, ID_FIELDS = 3 };

/* The value of a key, of the span whose stamp it carries. rank 0: under its own name. */
struct slot { uint32_t stamp, rank; struct datum datum; };

struct matcher {
  const struct ruleset *rules;
  const struct index *x;
  const struct atoms *atoms;
  struct nested *nested;
  struct regex_scratch *regex;
  const struct span_view *view;
  uint32_t stamp;                   /* of the present span: what carries another is of an earlier one */
  struct slot *slots;
  uint32_t *present, present_count;
  uint8_t *truths;                  /* of each atom, enum fluo_truth */
  uint32_t *tested, *reached;       /* stamps of atoms: truth is known; its patterns were tested */
  uint32_t *seen;                   /* stamps of patterns */
  uint8_t *nodes, *needed;          /* of the pattern under test */
  uint32_t *hits, hits_count, *unknowns, unknowns_count;
  struct match_ask *asks;           uint32_t asks_count;
  const struct match_answer *answers; uint32_t answers_count;
  uint8_t resource[RESOURCE_BYTES_MAX];
  uint32_t resource_len;            /* UINT32_MAX: none is kept */
  uint32_t *resource_keys, resource_keys_count;
  char hex[ID_FIELDS][32];
};

/* ---- slots ------------------------------------------------------------------------------------------- */

static void put(struct matcher *m, uint32_t key, uint32_t rank, const struct fluo_value *value) {
  struct slot *slot = &m->slots[key];
  if (slot->stamp != m->stamp) m->present[m->present_count++] = key;
  slot->stamp = m->stamp;
  slot->rank = rank;
  datum_init(&slot->datum, value);
}

static char *hex_of(struct matcher *m, uint32_t field) {
  return m->hex[field == FLUO_FIELD_TRACE_ID ? 0 : field == FLUO_FIELD_SPAN_ID ? 1 : 2];
}

static void load_fields(struct matcher *m) {
  for (uint32_t left = m->x->fields; left; left &= left - 1) {
    uint32_t field = (uint32_t)__builtin_ctz(left);
    struct fluo_value value;
    if (field_get(m->view, field, NULL, 0, hex_of(m, field), &value)) put(m, field, 0, &value);
  }
}

/* One KeyValue. The last of the same key wins, since it is put last. */
static void load_pair(struct matcher *m, uint32_t field, const uint8_t *p, uint32_t n) {
  struct fluo_item name;
  struct fluo_value value;
  fluo_key_value(p, n, &name, &value);
  uint32_t key = index_key_find(m->x, field, name.text, name.len);
  if (key != INDEX_KEY_NONE) put(m, key, 0, &value);
}

static void load_payload(struct matcher *m) {
  const struct fluo_span *span = m->view->span;
  if (span->flags & FLUO_SPAN_SHED) return;
  const uint8_t *p = m->view->arena + span->payload.off, *end = p + span->payload.len;
  const struct fluo_value none = { .type = FLUO_TYPE_NONE };
  struct wire_field field;
  while (p < end && (p = wire_next(p, end, &field))) {
    if (field.type != WIRE_LEN) continue;
    if (field.number == 9 && m->x->attributes)
      load_pair(m, FLUO_FIELD_ATTRIBUTE, field.text, (uint32_t)field.len);
    else if (field.number == 11 && m->x->events)
      put(m, INDEX_KEY_EVENT, 0, &none);
    else if (field.number == 13 && m->x->links)
      put(m, INDEX_KEY_LINK, 0, &none);
  }
}

/* Attributes that are absent take the value of one that is there under another name. */
static void load_renamed(struct matcher *m) {
  uint32_t direct = m->present_count;
  for (uint32_t i = 0; i < direct; i++) {
    const struct index_key *key = &m->x->keys[m->present[i]];
    for (uint32_t k = 0; k < key->served.count; k++) {
      struct index_served served = m->x->served[key->served.first + k];
      const struct slot *slot = &m->slots[served.key];
      if (slot->stamp == m->stamp && slot->rank <= served.rank) continue;
      put(m, served.key, served.rank, &m->slots[m->present[i]].datum.value);
    }
  }
}

static void read_resource(struct matcher *m, const uint8_t *p, uint32_t n) {
  struct fluo_item item = { .next = 0 };
  uint32_t before = m->present_count;
  while (fluo_item_next(p, n, 1, &item)) load_pair(m, FLUO_FIELD_RESOURCE, item.text, item.len);
  m->resource_keys_count = m->present_count - before;
  if (m->resource_keys_count)
    memcpy(m->resource_keys, m->present + before, m->resource_keys_count * sizeof *m->resource_keys);
}

/* Spans of one resource come in a row, so what the last one said is kept: its slots lend from a copy,
 * since the same place in the arena may hold another resource by now. */
static void load_resource(struct matcher *m) {
  struct fluo_text text = m->view->span->resource;
  const uint8_t *p = m->view->arena + text.off;
  if (text.len == m->resource_len && (text.len == 0 || memcmp(p, m->resource, text.len) == 0)) {
    for (uint32_t i = 0; i < m->resource_keys_count; i++) {
      m->slots[m->resource_keys[i]].stamp = m->stamp;
      m->present[m->present_count++] = m->resource_keys[i];
    }
    return;
  }
  m->resource_len = UINT32_MAX;
  if (text.len <= RESOURCE_BYTES_MAX) {
    if (text.len) memcpy(m->resource, p, text.len);
    m->resource_len = text.len;
    p = m->resource;
  }
  read_resource(m, p, text.len);
}

static void clear_stamps(struct matcher *m) {
  for (uint32_t i = 0; i < m->x->keys_count; i++) m->slots[i].stamp = 0;
  memset(m->tested, 0, m->atoms->count * sizeof *m->tested);
  memset(m->reached, 0, m->atoms->count * sizeof *m->reached);
  memset(m->seen, 0, ruleset_ir(m->rules)->patterns * sizeof *m->seen);
}

static void load(struct matcher *m, const struct span_view *view) {
  if (++m->stamp == 0) {
    clear_stamps(m);
    m->stamp = 1;
  }
  m->view = view;
  m->present_count = 0;
  load_fields(m);
  if (m->x->resources) load_resource(m);
  if (m->x->attributes || m->x->events || m->x->links) load_payload(m);
  if (m->x->served && view->renamed) load_renamed(m);
}

/* ---- patterns ---------------------------------------------------------------------------------------- */

static enum fluo_truth atom_truth(struct matcher *m, uint32_t atom) {
  if (m->tested[atom] == m->stamp) return m->truths[atom];
  const struct slot *slot = &m->slots[m->x->atom_keys[atom]];
  enum fluo_truth truth = FLUO_FALSE;
  if (slot->stamp == m->stamp) truth = atom_test(&m->atoms->items[atom], &slot->datum, m->regex);
  m->tested[atom] = m->stamp;
  m->truths[atom] = (uint8_t)truth;
  return truth;
}

static enum fluo_truth answer_of(const struct matcher *m, uint32_t function) {
  for (uint32_t i = 0; i < m->answers_count; i++)
    if (m->answers[i].function == function)
      return m->answers[i].truth <= FLUO_UNKNOWN ? m->answers[i].truth : FLUO_UNKNOWN;
  return FLUO_UNKNOWN;
}

static enum fluo_truth on_leaf(void *ctx, const struct fluo_ir_node *node) {
  struct matcher *m = ctx;
  switch (node->op) {
    case FLUO_NODE_ATOM: return atom_truth(m, m->atoms->of_ir[node->arg]);
    case FLUO_NODE_FUNCTION: return answer_of(m, node->arg);
    case FLUO_NODE_EVENT:
      if (atom_truth(m, m->atoms->has_event) == FLUO_FALSE) return FLUO_FALSE;
      return nested_test(m->nested, m->view, node->arg, m->regex);
    default:
      if (atom_truth(m, m->atoms->has_link) == FLUO_FALSE) return FLUO_FALSE;
      return nested_test(m->nested, m->view, node->arg, m->regex);
  }
}

/* A function that is still open under nodes that all are matters: any other cannot change the root. */
static void collect_asks(struct matcher *m, uint32_t pattern) {
  struct fluo_range range = ruleset_pattern(m->rules, pattern)->nodes;
  const struct fluo_ir_node *nodes = m->x->ir->nodes;
  for (uint32_t at = range.first + range.count; at-- > range.first;) {
    const struct fluo_ir_node *node = &nodes[at];
    bool open = m->nodes[at - range.first] == FLUO_UNKNOWN;
    bool above = node->parent == at || m->needed[node->parent - range.first];
    m->needed[at - range.first] = open && above;
    if (open && above && node->op == FLUO_NODE_FUNCTION)
      m->asks[m->asks_count++] = (struct match_ask){ pattern, node->arg };
  }
}

static void test_pattern(struct matcher *m, uint32_t pattern) {
  if (m->seen[pattern] == m->stamp) return;
  m->seen[pattern] = m->stamp;
  struct fluo_range range = ruleset_pattern(m->rules, pattern)->nodes;
  enum fluo_truth truth = formula_test(m->x->ir->nodes, range, m->nodes, on_leaf, m);
  if (truth == FLUO_FALSE) return;
  if (truth == FLUO_TRUE) {
    m->hits[m->hits_count++] = pattern;
    return;
  }
  uint32_t before = m->asks_count;
  collect_asks(m, pattern);
  if (m->asks_count == before) m->unknowns[m->unknowns_count++] = pattern;
}

static void on_ref(void *ctx, uint32_t atom, bool equal) {
  struct matcher *m = ctx;
  if (m->reached[atom] == m->stamp) return;
  if (equal) {
    m->tested[atom] = m->stamp;
    m->truths[atom] = FLUO_TRUE;
  }
  if (atom_truth(m, atom) == FLUO_FALSE) return;
  m->reached[atom] = m->stamp;
  const uint32_t *postings = m->x->postings;
  for (uint32_t i = m->x->posting_first[atom]; i < m->x->posting_first[atom + 1]; i++)
    test_pattern(m, postings[i]);
}

/* ---- results ----------------------------------------------------------------------------------------- */

static int compare_indices(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

static int compare_asks(const void *left, const void *right) {
  const struct match_ask *a = left, *b = right;
  if (a->pattern != b->pattern) return a->pattern < b->pattern ? -1 : 1;
  return (a->function > b->function) - (a->function < b->function);
}

/* Nearly always a handful, which is quicker done here. */
static void sort_indices(uint32_t *items, uint32_t count) {
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

int matcher_span(struct matcher *m, const struct span_view *view, struct match *out) {
  m->hits_count = m->unknowns_count = m->asks_count = m->answers_count = 0;
  load(m, view);
  for (uint32_t i = 0; i < m->present_count; i++)
    index_probe(m->x, m->present[i], &m->slots[m->present[i]].datum, on_ref, m);
  for (uint32_t i = 0; i < m->x->always_count; i++) test_pattern(m, m->x->always[i]);
  sort_indices(m->hits, m->hits_count);
  sort_indices(m->unknowns, m->unknowns_count);
  sort_asks(m);
  *out = (struct match){ m->hits, m->hits_count, m->unknowns, m->unknowns_count, m->asks, m->asks_count };
  return 0;
}

enum fluo_truth matcher_resolve(struct matcher *m, const struct span_view *view, uint32_t pattern,
                                const struct match_answer *answers, uint32_t count) {
  assert(ruleset_pattern(m->rules, pattern)->object == FLUO_OBJECT_SPAN);
  load(m, view);
  m->answers = answers;
  m->answers_count = count;
  struct fluo_range range = ruleset_pattern(m->rules, pattern)->nodes;
  return formula_test(m->x->ir->nodes, range, m->nodes, on_leaf, m);
}

/* ---- life -------------------------------------------------------------------------------------------- */

static uint32_t count_functions(const struct ir *ir) {
  uint32_t n = 0;
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
  size_t keys = m->x->keys_count, atoms = m->atoms->count, patterns = ir->header->patterns;
  uint32_t nodes = longest_pattern(ir);
  m->slots = heap_zalloc(keys * sizeof *m->slots);
  m->present = heap_alloc(keys * sizeof *m->present);
  m->resource_keys = heap_alloc(keys * sizeof *m->resource_keys);
  m->truths = heap_alloc(atoms);
  m->tested = heap_zalloc(atoms * sizeof *m->tested);
  m->reached = heap_zalloc(atoms * sizeof *m->reached);
  m->seen = heap_zalloc(patterns * sizeof *m->seen);
  m->nodes = heap_alloc(nodes);
  m->needed = heap_alloc(nodes);
  m->hits = heap_alloc(patterns * sizeof *m->hits);
  m->unknowns = heap_alloc(patterns * sizeof *m->unknowns);
  m->asks = heap_alloc(count_functions(ir) * sizeof *m->asks);
  bool all = m->slots && m->present && m->resource_keys && m->truths && m->tested && m->reached &&
             m->seen && m->nodes && m->needed && m->hits && m->unknowns && m->asks;
  if (!all) return FLUO_ENOMEM;
  int err = nested_new(ir, m->atoms, nodes, &m->nested);
  return err ? err : regex_scratch_new(ruleset_options(m->rules)->matches_limit, &m->regex);
}

int matcher_new(const struct ruleset *r, struct matcher **out) {
  struct matcher *m = heap_zalloc(sizeof *m);
  if (!m) return FLUO_ENOMEM;
  m->rules = r;
  m->x = ruleset_index(r);
  m->atoms = ruleset_atoms(r);
  m->resource_len = UINT32_MAX;
  int err = take_scratch(m);
  if (err) matcher_free(m);
  else *out = m;
  return err;
}

void matcher_free(struct matcher *m) {
  if (!m) return;
  heap_free(m->slots);
  heap_free(m->present);
  heap_free(m->resource_keys);
  heap_free(m->truths);
  heap_free(m->tested);
  heap_free(m->reached);
  heap_free(m->seen);
  heap_free(m->nodes);
  heap_free(m->needed);
  heap_free(m->hits);
  heap_free(m->unknowns);
  heap_free(m->asks);
  nested_free(m->nested);
  regex_scratch_free(m->regex);
  heap_free(m);
}
