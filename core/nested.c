/* Events and links are read where they lie, one after the other: they are few, and few patterns
 * ask. */
#include "nested.h"

#include "err.h"
#include "heap.h"

struct nested {
  const struct ir *ir;
  const struct atoms *atoms;
  uint8_t *truths;
  const struct nested_view *view;
  struct fluo_item item; /* the event or link under test */
  uint32_t index;        /* which it is */
  uint32_t object;
  nested_on_ask *on_ask;
  void *ctx;
  bool enough; /* on_ask wants no more */
};

/* Field numbers of Span, Span.Event and Span.Link. */
enum {
  SPAN_EVENTS = 11,
  SPAN_LINKS = 13,
  EVENT_NAME = 2,
  EVENT_ATTRIBUTES = 3,
  LINK_TRACE_ID = 1,
  LINK_SPAN_ID = 2,
  LINK_TRACE_STATE = 3,
  LINK_ATTRIBUTES = 4
};

static bool last_text(const struct fluo_item *in, uint32_t number, struct fluo_value *out) {
  struct fluo_item item = {.next = 0};
  *out = (struct fluo_value){.type = FLUO_TYPE_STRING, .text = in->text};
  while (fluo_item_next(in->text, in->len, number, &item)) {
    out->text = item.text;
    out->len = item.len;
  }
  return out->len != 0;
}

/* An id of another length than ids have is none. */
static bool id_text(const struct fluo_item *in, uint32_t number, uint32_t len, char scratch[32],
                    struct fluo_value *out) {
  if (!last_text(in, number, out) || out->len != len) return false;
  value_hex(out->text, len, scratch, out);
  return true;
}

static bool value_of(const struct nested *n, const struct atom *atom, char scratch[32],
                     struct fluo_value *out) {
  const struct fluo_item *in = &n->item;
  uint32_t attributes = n->object == FLUO_OBJECT_EVENT ? EVENT_ATTRIBUTES : LINK_ATTRIBUTES;
  switch (atom->field) {
  case FLUO_FIELD_ATTRIBUTE:
    return fluo_attribute(in->text, in->len, attributes, atom->key, atom->key_len, out);
  case FLUO_FIELD_EVENT_NAME:
    last_text(in, EVENT_NAME, out);
    return true; /* like a span's, an event's name is always there */
  case FLUO_FIELD_TRACE_ID: return id_text(in, LINK_TRACE_ID, 16, scratch, out);
  case FLUO_FIELD_SPAN_ID: return id_text(in, LINK_SPAN_ID, 8, scratch, out);
  case FLUO_FIELD_TRACE_STATE: return last_text(in, LINK_TRACE_STATE, out);
  default: return false;
  }
}

static enum fluo_truth on_leaf(void *ctx, const struct fluo_ir_node *node) {
  struct nested *n = ctx;
  if (node->op == FLUO_NODE_FUNCTION) return answers_find(n->view->answers, node->arg, n->index);
  const struct atom *atom = &n->atoms->items[n->atoms->of_ir[node->arg]];
  struct fluo_value value;
  struct datum datum;
  char scratch[32];
  if (!value_of(n, atom, scratch, &value)) return FLUO_FALSE;
  datum_init(&datum, &value);
  return atom_test(atom, &datum, n->view->regex);
}

/* ---- one after the other ------------------------------------------------------------------- */

static void walk(struct nested *n, const struct nested_view *view, uint32_t pattern) {
  n->view = view;
  n->object = n->ir->patterns[pattern].object;
  n->item = (struct fluo_item){.next = 0};
  n->index = UINT32_MAX; /* before the first */
}

static bool next(struct nested *n) {
  struct span_payload payload = span_payload(n->view->span);
  uint32_t number = n->object == FLUO_OBJECT_EVENT ? SPAN_EVENTS : SPAN_LINKS;
  n->index++;
  return fluo_item_next(payload.p, payload.n, number, &n->item);
}

static enum fluo_truth test(struct nested *n, uint32_t pattern) {
  return formula_test(n->ir->nodes, n->ir->patterns[pattern].nodes, n->truths, on_leaf, n);
}

enum fluo_truth nested_test(struct nested *n, const struct nested_view *view, uint32_t pattern) {
  enum fluo_truth truth = FLUO_FALSE;
  walk(n, view, pattern);
  while (next(n)) {
    enum fluo_truth one = test(n, pattern);
    if (one == FLUO_TRUE) return one;
    if (one == FLUO_UNKNOWN) truth = one;
  }
  return truth;
}

static void on_open(void *ctx, const struct fluo_ir_node *leaf) {
  struct nested *n = ctx;
  if (leaf->op != FLUO_NODE_FUNCTION || n->enough) return;
  n->enough = !n->on_ask(n->ctx, leaf->arg, n->index);
}

void nested_asks(struct nested *n, const struct nested_view *view, uint32_t pattern,
                 nested_on_ask *on_ask, void *ctx) {
  n->on_ask = on_ask;
  n->ctx = ctx;
  n->enough = false;
  walk(n, view, pattern);
  while (!n->enough && next(n))
    if (test(n, pattern) == FLUO_UNKNOWN)
      formula_open(n->ir->nodes, n->ir->patterns[pattern].nodes, n->truths, on_open, n);
}

/* ---- life ---------------------------------------------------------------------------------- */

int nested_new(const struct ir *ir, const struct atoms *atoms, uint32_t nodes_max,
               struct nested **out) {
  struct nested *n = heap_zalloc(sizeof *n);
  if (!n) return FLUO_ENOMEM;
  *n = (struct nested){.ir = ir, .atoms = atoms, .truths = heap_alloc(nodes_max)};
  if (!n->truths) {
    heap_free(n);
    return FLUO_ENOMEM;
  }
  *out = n;
  return 0;
}

void nested_free(struct nested *n) {
  if (!n) return;
  heap_free(n->truths);
  heap_free(n);
}
