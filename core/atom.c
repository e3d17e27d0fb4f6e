/* Atoms are made once, from a checked IR, and are constant from then on. atoms_init either makes
 * all of them or none: what it took until it failed goes in atoms_deinit, which takes a half-made
 * set. */
#include "atom.h"

#include <stdio.h>
#include <string.h>

#include "err.h"
#include "glob.h"
#include "hash.h"
#include "heap.h"

/* ---- testing ------------------------------------------------------------------------------- */

static bool has_prefix(const struct fluo_value *v, const struct fluo_value *operand) {
  return v->len >= operand->len && memcmp(v->text, operand->text, operand->len) == 0;
}

static bool has_suffix(const struct fluo_value *v, const struct fluo_value *operand) {
  return v->len >= operand->len &&
         memcmp(v->text + v->len - operand->len, operand->text, operand->len) == 0;
}

static enum fluo_truth test_text(const struct atom *a, const struct fluo_value *v,
                                 struct regex_scratch *regex) {
  if (v->type != FLUO_TYPE_STRING) return FLUO_FALSE;
  const struct fluo_value *operand = &a->operands->value;
  if (a->op == FLUO_OP_MATCHES) return regex_match(a->regex, regex, v->text, v->len);
  if (!operand->len) return a->op != FLUO_OP_GLOB || !v->len ? FLUO_TRUE : FLUO_FALSE;
  bool holds = false;
  switch (a->op) {
  case FLUO_OP_CONTAINS:
    holds = memmem(v->text, v->len, operand->text, operand->len) != NULL;
    break;
  case FLUO_OP_PREFIX: holds = has_prefix(v, operand); break;
  case FLUO_OP_SUFFIX: holds = has_suffix(v, operand); break;
  case FLUO_OP_GLOB: holds = glob_match(operand->text, operand->len, v->text, v->len); break;
  default: break;
  }
  return holds ? FLUO_TRUE : FLUO_FALSE;
}

static bool equals_any(const struct atom *a, const struct datum *value) {
  for (uint32_t i = 0; i < a->count; i++)
    if (datum_equal(value, &a->operands[i])) return true;
  return false;
}

static bool is_number(const struct datum *d) {
  return d->value.type == FLUO_TYPE_INT || d->value.type == FLUO_TYPE_DOUBLE;
}

/* Integers and doubles are one type. */
static bool strictly_equal(const struct datum *a, const struct datum *b) {
  bool alike = is_number(a) ? is_number(b) : a->value.type == b->value.type;
  return alike && datum_equal(a, b);
}

static bool in_order(const struct atom *a, const struct datum *value) {
  int order = datum_compare(value, a->operands);
  switch (a->op) {
  case FLUO_OP_GT: return order == 1;
  case FLUO_OP_GE: return order == 1 || order == 0;
  case FLUO_OP_LT: return order == -1;
  case FLUO_OP_LE: return order == -1 || order == 0;
  default: break;
  }
  if (order != 0 && order != 1) return false;
  order = datum_compare(value, a->operands + 1);
  return order == -1 || order == 0;
}

/* NE is told by its caller: it is about all elements of an array at once. */
static enum fluo_truth test_one(const struct atom *a, const struct datum *value,
                                struct regex_scratch *regex) {
  if (a->op == FLUO_OP_EQ || a->op == FLUO_OP_NE)
    return equals_any(a, value) ? FLUO_TRUE : FLUO_FALSE;
  if (a->op == FLUO_OP_STRICT)
    return strictly_equal(value, a->operands) ? FLUO_TRUE : FLUO_FALSE;
  if (a->op >= FLUO_OP_CONTAINS) return test_text(a, &value->value, regex);
  return in_order(a, value) ? FLUO_TRUE : FLUO_FALSE;
}

/* Any element; without one that holds, one beyond a limit leaves it unknown. */
static enum fluo_truth test_elements(const struct atom *a, const struct fluo_value *array,
                                     struct regex_scratch *regex) {
  enum fluo_truth truth = FLUO_FALSE;
  struct fluo_value element;
  for (uint32_t at = 0; value_element(array, &at, &element);) {
    struct datum value;
    datum_init(&value, &element);
    enum fluo_truth one = test_one(a, &value, regex);
    if (one == FLUO_TRUE) return one;
    if (one == FLUO_UNKNOWN) truth = one;
  }
  return truth;
}

enum fluo_truth atom_test(const struct atom *a, const struct datum *value,
                          struct regex_scratch *regex) {
  if (a->op == FLUO_OP_EXISTS) return FLUO_TRUE;
  enum fluo_truth truth = value->value.type == FLUO_TYPE_ARRAY
                              ? test_elements(a, &value->value, regex)
                              : test_one(a, value, regex);
  if (a->op != FLUO_OP_NE) return truth;
  return truth == FLUO_TRUE ? FLUO_FALSE : FLUO_TRUE;
}

/* ---- making -------------------------------------------------------------------------------- */

static uint64_t fold(uint64_t seed, uint64_t salt, const void *p, size_t n) {
  return hash64(&(struct hash_key){seed, salt}, p, n);
}

/* Of what the atom says, not of where the IR keeps it. */
static uint64_t identity(const struct ir *ir, const struct fluo_ir_atom *atom,
                         const struct hash_key *key) {
  uint64_t h = fold(key->k0, key->k1 ^ atom->field ^ (uint64_t)atom->op << 32,
                    ir->text + atom->key.off, atom->key.len);
  for (uint32_t i = 0; i < atom->values.count; i++) {
    const struct fluo_ir_value *v = &ir->values[atom->values.first + i];
    switch (v->type) {
    case FLUO_TYPE_STRING: h = fold(h, v->type, ir->text + v->text.off, v->text.len); break;
    case FLUO_TYPE_DOUBLE: h = fold(h, v->type, &v->number, sizeof v->number); break;
    default: h = fold(h, v->type, &v->integer, sizeof v->integer); break;
    }
  }
  return h;
}

static bool same_text(const struct ir *ir, struct fluo_text a, struct fluo_text b) {
  return a.len == b.len && memcmp(ir->text + a.off, ir->text + b.off, a.len) == 0;
}

static bool same_value(const struct ir *ir, const struct fluo_ir_value *a,
                       const struct fluo_ir_value *b) {
  if (a->type != b->type) return false;
  if (a->type == FLUO_TYPE_STRING) return same_text(ir, a->text, b->text);
  if (a->type == FLUO_TYPE_DOUBLE) return memcmp(&a->number, &b->number, sizeof a->number) == 0;
  return a->integer == b->integer;
}

static bool same_atom(const struct ir *ir, const struct fluo_ir_atom *a,
                      const struct fluo_ir_atom *b) {
  if (a->field != b->field || a->op != b->op || a->values.count != b->values.count) return false;
  if (!same_text(ir, a->key, b->key)) return false;
  for (uint32_t i = 0; i < a->values.count; i++)
    if (!same_value(ir, &ir->values[a->values.first + i], &ir->values[b->values.first + i]))
      return false;
  return true;
}

struct making {
  struct atoms *atoms;
  const struct ir *ir;
  const struct ruleset_options *options;
  uint32_t *table, mask; /* atom of the IR + 1, by identity; open addressing */
  struct hash_key key;
  uint32_t operands_used;
};

static void add_operand(struct making *m, struct atom *atom, const struct fluo_value *value) {
  datum_init(&m->atoms->operands[m->operands_used++], value);
  atom->count++;
}

static void add_status(struct making *m, struct atom *atom, const char *name) {
  struct fluo_value value = {
      .type = FLUO_TYPE_STRING, .text = (const uint8_t *)name, .len = (uint32_t)strlen(name)};
  add_operand(m, atom, &value);
}

/* "OK" is what instrumentation leaves unset, unless it was told to be strict. */
static void add_value(struct making *m, struct atom *atom, const struct fluo_ir_value *v) {
  const uint8_t *text = (const uint8_t *)m->ir->text + v->text.off;
  bool status = atom->field == FLUO_FIELD_STATUS;
  if (status && v->text.len == 11) { /* EXPLICIT_OK */
    add_status(m, atom, "OK");
  } else if (status && v->text.len == 2) {
    add_status(m, atom, "OK");
    if (!m->options->status_ok_is_explicit) add_status(m, atom, "UNSET");
  } else if (v->type == FLUO_TYPE_STRING) {
    struct fluo_value value = {.type = v->type, .text = text, .len = v->text.len};
    add_operand(m, atom, &value);
  } else {
    struct fluo_value value = {.type = v->type, .integer = v->integer, .number = v->number};
    add_operand(m, atom, &value);
  }
}

static int make_regex(struct atom *atom, uint32_t index, char *why) {
  const struct fluo_value *operand = &atom->operands->value;
  char reason[80] = "";
  uint32_t offset = 0;
  int err = regex_new((const char *)operand->text, operand->len, &atom->regex, reason,
                      sizeof reason, &offset);
  if (err == FLUO_EINVALID)
    snprintf(why, IR_WHY_BYTES, "atoms[%u]: %s at %u", index, reason, offset);
  if (!err) regex_number(atom->regex, index);
  return err;
}

/* The atom of the IR that says the same and came before, or this one, entered. */
static uint32_t first_like(struct making *m, uint32_t index) {
  const struct fluo_ir_atom *atoms = m->ir->atoms;
  uint32_t at = (uint32_t)identity(m->ir, &atoms[index], &m->key) & m->mask;
  for (; m->table[at]; at = (at + 1) & m->mask)
    if (same_atom(m->ir, &atoms[m->table[at] - 1], &atoms[index])) return m->table[at] - 1;
  m->table[at] = index + 1;
  return index;
}

static int make_atom(struct making *m, uint32_t index, char *why) {
  const struct fluo_ir_atom *from = &m->ir->atoms[index];
  struct atom *atom = &m->atoms->items[m->atoms->count++];
  bool keyed = from->field == FLUO_FIELD_ATTRIBUTE || from->field == FLUO_FIELD_RESOURCE;
  *atom = (struct atom){.field = from->field,
                        .op = from->op,
                        .key = m->ir->text + from->key.off,
                        .key_len = keyed ? from->key.len : 0,
                        .operands = m->atoms->operands + m->operands_used};
  for (uint32_t i = 0; i < from->values.count; i++)
    add_value(m, atom, &m->ir->values[from->values.first + i]);
  return atom->op == FLUO_OP_MATCHES ? make_regex(atom, index, why) : 0;
}

static int make_all(struct making *m, char *why) {
  struct atoms *a = m->atoms;
  for (uint32_t i = 0; i < m->ir->header->atoms; i++) {
    uint32_t first = first_like(m, i);
    a->of_ir[i] = first == i ? a->count : a->of_ir[first];
    if (first != i) continue;
    int err = make_atom(m, i, why);
    if (err) return err;
  }
  a->has_event = a->count++;
  a->has_link = a->count++;
  a->items[a->has_event] = a->items[a->has_link] = (struct atom){.op = FLUO_OP_EXISTS};
  return 0;
}

/* A status may become two operands. */
static size_t operands_wanted(const struct ir *ir) {
  size_t n = 0;
  for (uint32_t i = 0; i < ir->header->atoms; i++)
    n += (size_t)ir->atoms[i].values.count * (ir->atoms[i].field == FLUO_FIELD_STATUS ? 2 : 1);
  return n;
}

static uint32_t table_size(uint32_t count) {
  uint32_t size = 16;
  while (size < (uint64_t)count * 2 && size < UINT32_C(1) << 31) size *= 2;
  return size;
}

int atoms_init(struct atoms *a, const struct ir *ir, const struct ruleset_options *options,
               char why[IR_WHY_BYTES]) {
  uint32_t count = ir->header->atoms, size = table_size(count);
  *a = (struct atoms){.items = heap_zalloc(((size_t)count + 2) * sizeof *a->items),
                      .of_ir = heap_alloc(count * sizeof *a->of_ir),
                      .operands = heap_alloc(operands_wanted(ir) * sizeof *a->operands)};
  struct making m = {.atoms = a,
                     .ir = ir,
                     .options = options,
                     .mask = size - 1,
                     .table = heap_zalloc(size * sizeof *m.table),
                     .key = hash_key_random()};
  int err = FLUO_ENOMEM;
  if (a->items && a->of_ir && a->operands && m.table) err = make_all(&m, why);
  heap_free(m.table);
  if (err) atoms_deinit(a);
  return err;
}

void atoms_deinit(struct atoms *a) {
  for (uint32_t i = 0; a->items && i < a->count; i++) regex_free(a->items[i].regex);
  heap_free(a->items);
  heap_free(a->of_ir);
  heap_free(a->operands);
  *a = (struct atoms){.count = 0};
}
