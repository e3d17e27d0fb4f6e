/* OTLP/JSON in the form that nearly all clients write: no white space but what makes members pretty, short texts without
 * escapes, whole numbers of digits alone. Read without a look for the end of the text, and written as protobuf, as it goes. What is in any other form is
 * not taken, and left to otlp_json.c, which knows all. Pure: bytes in, bytes out. */
#ifndef FLUO_OTLP_PLAIN_H
#define FLUO_OTLP_PLAIN_H
#include <stdbool.h>
#include <stdint.h>

#include "otlp_schema.h"

/* So many bytes have to be there to read one, and to write: more may be written than what out is moved by. */
enum { PLAIN_AHEAD_BYTES = 288, PLAIN_ROOM_BYTES = 256 };

struct plain {
  const uint8_t *p, *end;
  uint8_t *out, *out_end;
  bool named;               /* by plain_members */
};

/* What the attribute at a place of its list began with last time, in the same text: up to where its string or its number
 * is; it is mostly the same again. n = 0: nothing is known yet. */
struct plain_start {
  const uint8_t *text;
  uint8_t n, key_bytes;
  bool is_string;
};
enum { PLAIN_STARTS = 32 };

/* Both go on, from the first byte of one, while what comes next is plain and there is room. They stop behind the last one
 * taken, before the comma that may be there. false: none was. */
/* Members of a message that hold neither messages nor lists; *number is that of the field before, and then of the last. What
 * is no such value, but whose field is known, is named: its name and colon are taken, and count. */
bool plain_members(struct plain *s, enum otlp_message shape, uint32_t *number);
/* Items of a list of KeyValues, without white space, that hold a string or a whole number, each shorter than 128 bytes. */
bool plain_attributes(struct plain *s, uint32_t number, struct plain_start starts[PLAIN_STARTS]);

#endif
