/* Protobuf is written from the back, for then lengths are known when they are due; JSON from the front. Both
 * write the same spans, and note where ids and times stand. */
#include "payload.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERVICES = 5, NAMES = 8, ATTRIBUTES = 10, SPAN_BYTES_MAX = 3000, PATCHES_A_SPAN = 5 };
enum patch_kind { PATCH_TRACE, PATCH_SPAN, PATCH_START, PATCH_END };
struct patch { size_t at; enum patch_kind kind; uint64_t value; };

struct attribute { const char *key; char text[64]; int64_t integer; };   /* an empty text: the integer */
struct span {
  uint64_t trace, id, parent, duration_ns;
  int service, kind;
  bool error;
  const char *name;
  struct attribute attributes[ATTRIBUTES];
};

static const char *const services[SERVICES] = {"frontend", "cart", "checkout", "payment", "catalogue"};
static const char *const names[NAMES] = {"GET /api/products/{id}", "POST /api/cart", "checkout.place_order", "payment.charge_card",
                                         "db.query SELECT products", "cache.get", "http.request", "publish order.placed"};

static uint64_t mix(uint64_t x) {                    /* splitmix64's finisher (Vigna, public domain) */
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return x ^ x >> 31;
}

static uint64_t random64(uint64_t *state) {
  return mix(*state += 0x9e3779b97f4a7c15ull);
}

/* ---- what is said ----------------------------------------------------------------------------------------- */

static void fill_span(struct span *s, uint64_t *state, bool marked) {
  s->service = (int)(random64(state) % SERVICES);
  s->kind = 2 + (int)(random64(state) % 2);
  s->name = names[random64(state) % NAMES];
  s->duration_ns = random64(state) % 50000000;
  s->error = marked || random64(state) % 100 == 0;
  struct attribute *a = s->attributes;
  a[0] = (struct attribute){"http.method", "GET", 0};
  a[1] = (struct attribute){.key = "http.url"};
  snprintf(a[1].text, sizeof a->text, "https://shop.example/api/v1/items/%u", (unsigned)(random64(state) % 100000));
  a[2] = (struct attribute){"http.status_code", "", marked ? 503 : s->error ? 500 : 200};
  a[3] = (struct attribute){"http.response_content_length", "", (int64_t)(random64(state) % 100000)};
  a[4] = (struct attribute){"http.user_agent", "Mozilla/5.0 (X11; Linux x86_64)", 0};
  a[5] = (struct attribute){.key = "enduser.id"};
  snprintf(a[5].text, sizeof a->text, "user-%08x", (unsigned)random64(state));
  a[6] = (struct attribute){"db.system", "postgresql", 0};
  a[7] = (struct attribute){"net.peer.name", "10.0.12.7", 0};
  a[8] = (struct attribute){"net.peer.port", "", (int64_t)(40000 + random64(state) % 1000)};
  a[9] = (struct attribute){"thread.name", "http-nio-8080-exec-7", 0};
}

static struct span *plan(uint64_t seed, size_t n) {
  uint64_t state = mix(seed + 1);
  struct span *spans = calloc(n, sizeof *spans);
  for (size_t i = 0, first = 0, end = 0, traces = 0; spans && i < n; i++) {
    if (i == end) {
      first = i;
      end = i + 8 + random64(&state) % 13;
    }
    fill_span(&spans[i], &state, i == first && (seed * 37 + traces++) % 100 == 0);
    spans[i].id = random64(&state);
    spans[i].trace = i == first ? random64(&state) : spans[first].trace;
    spans[i].parent = i == first ? 0 : spans[first + random64(&state) % (i - first)].id;
  }
  return spans;
}

static void note(struct payload *p, const uint8_t *at, enum patch_kind kind, uint64_t value) {
  p->patches[p->patches_count++] = (struct patch){(size_t)(at - p->block), kind, value};
}

/* ---- protobuf --------------------------------------------------------------------------------------------- */

static void put(struct payload *p, const void *bytes, size_t n) { memcpy(p->bytes -= n, bytes, n); }

static void put_varint(struct payload *p, uint64_t x) {
  uint8_t bytes[10];
  size_t n = 0;
  do { bytes[n++] = (uint8_t)(x & 127) | (x > 127 ? 128 : 0); } while (x >>= 7);
  put(p, bytes, n);
}

static void put_tag(struct payload *p, uint32_t number, uint32_t type) { put_varint(p, number << 3 | type); }

static void end_message(struct payload *p, uint32_t number, const uint8_t *end) {
  put_varint(p, (uint64_t)(end - p->bytes));
  put_tag(p, number, 2);
}

static void put_text(struct payload *p, uint32_t number, const char *s) {
  const uint8_t *end = p->bytes;
  put(p, s, strlen(s));
  end_message(p, number, end);
}

/* The place of an id or a time, to be stamped. */
static void put_place(struct payload *p, uint32_t number, size_t n, enum patch_kind kind, uint64_t value) {
  const uint8_t *end = p->bytes;
  p->bytes -= n;
  note(p, p->bytes, kind, value);
  if (kind == PATCH_START || kind == PATCH_END) put_tag(p, number, 1);
  else end_message(p, number, end);
}

static void put_attribute(struct payload *p, uint32_t number, const char *key, const char *text, int64_t integer) {
  const uint8_t *whole = p->bytes;
  if (*text) put_text(p, 1, text);
  else { put_varint(p, (uint64_t)integer); put_tag(p, 3, 0); }
  end_message(p, 2, whole);
  put_text(p, 1, key);
  end_message(p, number, whole);
}

static void put_span(struct payload *p, const struct span *s) {
  const uint8_t *whole = p->bytes;
  if (s->error) {
    put_varint(p, 2);
    put_tag(p, 3, 0);
    end_message(p, 15, whole);
  }
  for (int i = ATTRIBUTES; i-- > 0;) put_attribute(p, 9, s->attributes[i].key, s->attributes[i].text, s->attributes[i].integer);
  put_place(p, 8, 8, PATCH_END, 0);
  put_place(p, 7, 8, PATCH_START, s->duration_ns);
  put_varint(p, (uint64_t)s->kind);
  put_tag(p, 6, 0);
  put_text(p, 5, s->name);
  if (s->parent) put_place(p, 4, 8, PATCH_SPAN, s->parent);
  put_place(p, 2, 8, PATCH_SPAN, s->id);
  put_place(p, 1, 16, PATCH_TRACE, s->trace);
  end_message(p, 2, whole);
}

static void put_service(struct payload *p, const struct span *spans, size_t n, int service) {
  const uint8_t *whole = p->bytes;
  for (size_t i = n; i-- > 0;)
    if (spans[i].service == service) put_span(p, &spans[i]);
  const uint8_t *scope = p->bytes;
  put_text(p, 2, "1.2.3");
  put_text(p, 1, "io.opentelemetry.http");
  end_message(p, 1, scope);
  end_message(p, 2, whole);
  const uint8_t *resource = p->bytes;
  put_attribute(p, 1, "host.name", "node-17.eu-west-1.example", 0);
  put_attribute(p, 1, "telemetry.sdk.language", "java", 0);
  put_attribute(p, 1, "service.name", services[service], 0);
  end_message(p, 1, resource);
  end_message(p, 1, whole);
}

/* ---- JSON ------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3)))
static void say(struct payload *p, const char *format, ...) {
  va_list args;
  va_start(args, format);
  p->n += (size_t)vsprintf((char *)p->bytes + p->n, format, args);
  va_end(args);
}

static void say_place(struct payload *p, const char *key, size_t digits, enum patch_kind kind, uint64_t value) {
  say(p, "\"%s\":\"", key);
  note(p, p->bytes + p->n, kind, value);
  say(p, "%0*d\",", (int)digits, 0);
}

static void say_attribute(struct payload *p, const char *key, const char *text, int64_t integer, const char *comma) {
  if (*text) say(p, "{\"key\":\"%s\",\"value\":{\"stringValue\":\"%s\"}}%s", key, text, comma);
  else say(p, "{\"key\":\"%s\",\"value\":{\"intValue\":\"%" PRId64 "\"}}%s", key, integer, comma);
}

static void say_span(struct payload *p, const struct span *s) {
  say(p, "{");
  say_place(p, "traceId", 32, PATCH_TRACE, s->trace);
  say_place(p, "spanId", 16, PATCH_SPAN, s->id);
  if (s->parent) say_place(p, "parentSpanId", 16, PATCH_SPAN, s->parent);
  say(p, "\"name\":\"%s\",\"kind\":%d,", s->name, s->kind);
  say_place(p, "startTimeUnixNano", 19, PATCH_START, s->duration_ns);
  say_place(p, "endTimeUnixNano", 19, PATCH_END, 0);
  say(p, "\"attributes\":[");
  for (int i = 0; i < ATTRIBUTES; i++)
    say_attribute(p, s->attributes[i].key, s->attributes[i].text, s->attributes[i].integer, i + 1 < ATTRIBUTES ? "," : "");
  say(p, "],\"status\":{%s}}", s->error ? "\"code\":2" : "");
}

static void say_service(struct payload *p, const struct span *spans, size_t n, int service) {
  say(p, "%s{\"resource\":{\"attributes\":[", service ? "," : "");
  say_attribute(p, "service.name", services[service], 0, ",");
  say_attribute(p, "telemetry.sdk.language", "java", 0, ",");
  say_attribute(p, "host.name", "node-17.eu-west-1.example", 0, "");
  say(p, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"io.opentelemetry.http\",\"version\":\"1.2.3\"},\"spans\":[");
  const char *comma = "";
  for (size_t i = 0; i < n; i++) {
    if (spans[i].service != service) continue;
    say(p, "%s", comma);
    say_span(p, &spans[i]);
    comma = ",";
  }
  say(p, "]}]}");
}

/* ---- a body ----------------------------------------------------------------------------------------------- */

void payload_init(struct payload *p, uint64_t seed, size_t n, bool json) {
  size_t bytes = (n + SERVICES) * SPAN_BYTES_MAX;
  struct span *spans = plan(seed, n);
  *p = (struct payload){.block = malloc(bytes), .patches = calloc(n * PATCHES_A_SPAN, sizeof *p->patches), .json = json};
  if (!spans || !p->block || !p->patches) exit(1);
  p->bytes = json ? p->block : p->block + bytes;
  if (json) say(p, "{\"resourceSpans\":[");
  for (int i = 0; i < SERVICES; i++) {
    if (json) say_service(p, spans, n, i);
    else put_service(p, spans, n, i);
  }
  if (json) say(p, "]}");
  else p->n = (size_t)(p->block + bytes - p->bytes);
  free(spans);
}

static void hex_write(uint8_t *to, uint64_t x) {
  for (int i = 0; i < 16; i++) to[i] = (uint8_t)"0123456789abcdef"[x >> (60 - 4 * i) & 15];
}

static void digits_write(uint8_t *to, uint64_t x) {
  for (int i = 19; i-- > 0; x /= 10) to[i] = (uint8_t)('0' + x % 10);
}

static void id_write(const struct payload *p, uint8_t *to, uint64_t x) {
  if (p->json) hex_write(to, x);
  else for (int i = 0; i < 8; i++) to[i] = (uint8_t)(x >> (56 - 8 * i));
}

void payload_stamp(struct payload *p, uint64_t request, uint64_t now_ns) {
  uint64_t mask = mix(request + 1);
  for (size_t i = 0; i < p->patches_count; i++) {
    const struct patch *patch = &p->patches[i];
    uint8_t *to = p->block + patch->at;
    uint64_t time = now_ns - patch->value;
    if (patch->kind <= PATCH_SPAN) id_write(p, to, patch->value ^ mask);
    else if (p->json) digits_write(to, time);
    else memcpy(to, &time, 8);
    if (patch->kind == PATCH_TRACE) id_write(p, to + (p->json ? 16 : 8), request);
  }
}

void payload_deinit(struct payload *p) {
  free(p->block);
  free(p->patches);
}
