/* A weekly window begins on a day of its own zone, which is at most one day before the moment that is asked for. */
#include "mute.h"

enum { DAY_MINUTES = 24 * 60, THURSDAY = 4 }; /* 1970-01-01 was one */

bool mute_time_is(const struct mute_time *m, uint64_t unix_ns) {
  int64_t minutes = (int64_t)(unix_ns / 60000000000u) + m->offset_minutes;
  /* A week more keeps what lies before 1970 in the west positive. */
  uint64_t shifted = (uint64_t)(minutes + 7 * DAY_MINUTES);
  uint32_t minute = (uint32_t)(shifted % DAY_MINUTES);
  uint32_t day = (uint32_t)((shifted / DAY_MINUTES + THURSDAY) % 7), before = (day + 6) % 7;
  bool over_night = m->to_minute <= m->from_minute;
  bool today = m->days >> day & 1 && minute >= m->from_minute && (over_night || minute < m->to_minute);
  return today || (over_night && m->days >> before & 1 && minute < m->to_minute);
}
