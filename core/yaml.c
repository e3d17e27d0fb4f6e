/* The one file that knows libyaml.
 *
 * A text is pulled through the parser event by event, so its reader can stop at the first thing that it does not
 * take: too deep a nesting, an alias. libyaml looks ahead of the event that it gives by 1,024 characters at most (so
 * far a key may reach), and nothing of it recurses. The text is lent until fluo_yaml_close; what an event points at,
 * until the next event. After an error or the end nothing more comes. */
#include "yaml.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <yaml.h>

#include "heap.h"

enum { YAML_MAGIC = 0x59414d4c };

struct fluo_yaml {
  uint32_t magic;
  bool over, lent;              /* `event` is to be given back */
  yaml_parser_t parser;
  yaml_event_t event;
};

struct fluo_yaml *fluo_yaml_open(const void *text, uint64_t n) {
  struct fluo_yaml *y = heap_zalloc(sizeof *y);
  if (!y) return NULL;
  if (!yaml_parser_initialize(&y->parser)) {
    heap_free(y);
    return NULL;
  }
  y->magic = YAML_MAGIC;
  yaml_parser_set_encoding(&y->parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&y->parser, text, n);
  return y;
}

void fluo_yaml_close(struct fluo_yaml *y) {
  if (!y) return;
  assert(y->magic == YAML_MAGIC);
  if (y->lent) yaml_event_delete(&y->event);
  yaml_parser_delete(&y->parser);
  y->magic = 0;
  heap_free(y);
}

static void tell(struct fluo_yaml_event *out, uint32_t type, size_t at) {
  *out = (struct fluo_yaml_event){.type = type, .at = (uint32_t)at};
}

static void tell_text(struct fluo_yaml_event *out, const void *text, size_t n) {
  out->text = text;
  out->len = (uint32_t)n;
}

/* Where a byte is no UTF-8, libyaml knows which. */
static void tell_error(const yaml_parser_t *p, struct fluo_yaml_event *out) {
  bool bytes = p->error == YAML_READER_ERROR;
  tell(out, FLUO_YAML_ERROR, bytes ? p->problem_offset : p->problem_mark.index);
  out->in_bytes = bytes;
  const char *why = p->error == YAML_MEMORY_ERROR || !p->problem ? "out of memory" : p->problem;
  tell_text(out, why, strlen(why));
}

static void tell_tag(struct fluo_yaml_event *out, const yaml_char_t *tag) {
  out->tag = tag;
  out->tag_len = tag ? (uint32_t)strlen((const char *)tag) : 0;
}

static void tell_event(const yaml_event_t *e, struct fluo_yaml_event *out) {
  static const uint8_t types[] = {
      [YAML_DOCUMENT_START_EVENT] = FLUO_YAML_DOCUMENT, [YAML_DOCUMENT_END_EVENT] = FLUO_YAML_CLOSE,
      [YAML_ALIAS_EVENT] = FLUO_YAML_ALIAS,             [YAML_SCALAR_EVENT] = FLUO_YAML_SCALAR,
      [YAML_SEQUENCE_START_EVENT] = FLUO_YAML_LIST,     [YAML_SEQUENCE_END_EVENT] = FLUO_YAML_CLOSE,
      [YAML_MAPPING_START_EVENT] = FLUO_YAML_MAPPING,   [YAML_MAPPING_END_EVENT] = FLUO_YAML_CLOSE};
  tell(out, types[e->type], e->start_mark.index);
  if (e->type == YAML_SEQUENCE_START_EVENT) tell_tag(out, e->data.sequence_start.tag);
  if (e->type == YAML_MAPPING_START_EVENT) tell_tag(out, e->data.mapping_start.tag);
  if (e->type != YAML_SCALAR_EVENT) return;
  tell_tag(out, e->data.scalar.tag);
  tell_text(out, e->data.scalar.value, e->data.scalar.length);
  out->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
}

void fluo_yaml_next(struct fluo_yaml *y, struct fluo_yaml_event *out) {
  assert(y->magic == YAML_MAGIC);
  *out = (struct fluo_yaml_event){.type = FLUO_YAML_END};
  while (!y->over) {
    if (y->lent) yaml_event_delete(&y->event);
    y->lent = yaml_parser_parse(&y->parser, &y->event) != 0;
    y->over = !y->lent || y->event.type == YAML_STREAM_END_EVENT;
    if (!y->lent) tell_error(&y->parser, out);
    else if (y->over) tell(out, FLUO_YAML_END, y->event.start_mark.index);
    else if (y->event.type != YAML_STREAM_START_EVENT) tell_event(&y->event, out);
    else continue;
    return;
  }
}
