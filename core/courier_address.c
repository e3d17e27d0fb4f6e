/* Which addresses are no public ones: those of the special-purpose registries (RFC 6890, with RFC 6598, 4193 and
 * 6052's embedded ones), from which an action could reach what only this machine or network is to reach. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "courier.h"

static const struct { uint32_t net; int bits; } special4[] = {
    {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},  {0xa9fe0000, 16}, {0xac100000, 12},
    {0xc0000000, 24}, {0xc0a80000, 16}, {0xc6120000, 15}, {0xe0000000, 4},  {0xf0000000, 4}};

static bool is_special4(uint32_t a) {
  for (size_t i = 0; i < sizeof special4 / sizeof *special4; i++)
    if ((a ^ special4[i].net) >> (32 - special4[i].bits) == 0) return true;
  return false;
}

static uint32_t word(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_special6(const uint8_t a[16]) {
  static const uint8_t zero[15], mapped[12] = {[10] = 0xff, [11] = 0xff}, nat64[12] = {0, 0x64, 0xff, 0x9b};
  if (!memcmp(a, mapped, 12) || !memcmp(a, nat64, 12)) return is_special4(word(a + 12));
  if (a[0] == 0x20 && a[1] == 0x02) return is_special4(word(a + 2)); /* 6to4 */
  if (!memcmp(a, zero, 15) && a[15] <= 1) return true;
  if (!memcmp(a, zero, 12)) return is_special4(word(a + 12));
  return (a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0x80)) || a[0] == 0xff;
}

bool courier_is_private(const struct sockaddr *address) {
  if (address->sa_family == AF_INET) {
    struct sockaddr_in in;
    memcpy(&in, address, sizeof in);
    return is_special4(ntohl(in.sin_addr.s_addr));
  }
  if (address->sa_family != AF_INET6) return true;
  struct sockaddr_in6 in6;
  memcpy(&in6, address, sizeof in6);
  return is_special6(in6.sin6_addr.s6_addr);
}
