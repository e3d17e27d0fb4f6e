/* The table, from OTLP 1.11. It agrees with otlp.proto: a spec compares both decoders on real
 * bodies. */
#include "otlp_schema.h"

#include "wire.h"

#define TEXT(name)        {OTLP_STRING, WIRE_LEN, 0, 0, sizeof name - 1, name}
#define TEXTS(name)       {OTLP_STRING, WIRE_LEN, 0, 1, sizeof name - 1, name}
#define ID(name)          {OTLP_ID, WIRE_LEN, 0, 0, sizeof name - 1, name}
#define VARINT(kind, name) {kind, WIRE_VARINT, 0, 0, sizeof name - 1, name}
#define FIXED64(kind, name) {kind, WIRE_FIXED64, 0, 0, sizeof name - 1, name}
#define FIXED32(name)     {OTLP_FIXED32, WIRE_FIXED32, 0, 0, sizeof name - 1, name}
#define ONE(child, name)  {OTLP_MESSAGE, WIRE_LEN, child, 0, sizeof name - 1, name}
#define MANY(child, name) {OTLP_MESSAGE, WIRE_LEN, child, 1, sizeof name - 1, name}

const struct otlp_shape otlp_shapes[OTLP_MESSAGES] = {
  [OTLP_REQUEST] = {"Request", {[1] = MANY(OTLP_RESOURCE_SPANS, "resourceSpans")}},
  [OTLP_RESOURCE_SPANS] = {"ResourceSpans", {
    [1] = ONE(OTLP_RESOURCE, "resource"),
    [2] = MANY(OTLP_SCOPE_SPANS, "scopeSpans"),
    [3] = TEXT("schemaUrl")}},
  [OTLP_SCOPE_SPANS] = {"ScopeSpans", {
    [1] = ONE(OTLP_SCOPE, "scope"),
    [2] = MANY(OTLP_SPAN, "spans"),
    [3] = TEXT("schemaUrl")}},
  [OTLP_SPAN] = {"Span", {
    [1] = ID("traceId"),
    [2] = ID("spanId"),
    [3] = TEXT("traceState"),
    [4] = ID("parentSpanId"),
    [5] = TEXT("name"),
    [6] = VARINT(OTLP_SPAN_KIND, "kind"),
    [7] = FIXED64(OTLP_FIXED64, "startTimeUnixNano"),
    [8] = FIXED64(OTLP_FIXED64, "endTimeUnixNano"),
    [9] = MANY(OTLP_KEY_VALUE, "attributes"),
    [10] = VARINT(OTLP_UINT32, "droppedAttributesCount"),
    [11] = MANY(OTLP_EVENT, "events"),
    [12] = VARINT(OTLP_UINT32, "droppedEventsCount"),
    [13] = MANY(OTLP_LINK, "links"),
    [14] = VARINT(OTLP_UINT32, "droppedLinksCount"),
    [15] = ONE(OTLP_STATUS, "status"),
    [16] = FIXED32("flags")}},
  [OTLP_EVENT] = {"Event", {
    [1] = FIXED64(OTLP_FIXED64, "timeUnixNano"),
    [2] = TEXT("name"),
    [3] = MANY(OTLP_KEY_VALUE, "attributes"),
    [4] = VARINT(OTLP_UINT32, "droppedAttributesCount")}},
  [OTLP_LINK] = {"Link", {
    [1] = ID("traceId"),
    [2] = ID("spanId"),
    [3] = TEXT("traceState"),
    [4] = MANY(OTLP_KEY_VALUE, "attributes"),
    [5] = VARINT(OTLP_UINT32, "droppedAttributesCount"),
    [6] = FIXED32("flags")}},
  [OTLP_STATUS] = {"Status", {
    [2] = TEXT("message"),
    [3] = VARINT(OTLP_STATUS_CODE, "code")}},
  [OTLP_RESOURCE] = {"Resource", {
    [1] = MANY(OTLP_KEY_VALUE, "attributes"),
    [2] = VARINT(OTLP_UINT32, "droppedAttributesCount"),
    [3] = MANY(OTLP_ENTITY_REF, "entityRefs")}},
  [OTLP_ENTITY_REF] = {"EntityRef", {
    [1] = TEXT("schemaUrl"),
    [2] = TEXT("type"),
    [3] = TEXTS("idKeys"),
    [4] = TEXTS("descriptionKeys")}},
  [OTLP_SCOPE] = {"InstrumentationScope", {
    [1] = TEXT("name"),
    [2] = TEXT("version"),
    [3] = MANY(OTLP_KEY_VALUE, "attributes"),
    [4] = VARINT(OTLP_UINT32, "droppedAttributesCount")}},
  [OTLP_KEY_VALUE] = {"KeyValue", {
    [1] = TEXT("key"),
    [2] = ONE(OTLP_ANY_VALUE, "value"),
    [3] = VARINT(OTLP_INDEX, "keyStrindex")}},
  [OTLP_ANY_VALUE] = {"AnyValue", {
    [1] = TEXT("stringValue"),
    [2] = VARINT(OTLP_BOOL, "boolValue"),
    [3] = VARINT(OTLP_INT64, "intValue"),
    [4] = FIXED64(OTLP_DOUBLE, "doubleValue"),
    [5] = ONE(OTLP_ARRAY, "arrayValue"),
    [6] = ONE(OTLP_MAP, "kvlistValue"),
    [7] = {OTLP_BYTES, WIRE_LEN, 0, 0, sizeof "bytesValue" - 1, "bytesValue"},
    [8] = VARINT(OTLP_INDEX, "stringValueStrindex")}},
  [OTLP_ARRAY] = {"ArrayValue", {[1] = MANY(OTLP_ANY_VALUE, "values")}},
  [OTLP_MAP] = {"KeyValueList", {[1] = MANY(OTLP_KEY_VALUE, "values")}},
};
