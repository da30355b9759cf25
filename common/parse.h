/* SPDX-License-Identifier: BSD-2-Clause */
/* Strict text to value: the whole text must be the value, nothing else. */
#ifndef COMMON_PARSE_H
#define COMMON_PARSE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Decimal, no sign, no blanks.  -EINVAL not a number, -ERANGE outside
 * [min, max]. */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* Number with an optional K, M, G or T (powers of 1024). */
int parse_size(const char *text, uint64_t *ret);

/* Number with a unit us, ms, s, min, h or d; the bare number 0 is allowed. */
int parse_duration_us(const char *text, uint64_t *ret);

/* yes/no, true/false, on/off, 1/0. */
int parse_bool(const char *text, bool *ret);

struct parse_addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* A literal address with port: 192.0.2.1:80 or [2001:db8::1]:80.  No names:
 * nothing here may ask a name service. */
int parse_addr_port(const char *text, struct parse_addr *ret);

/* A network: 10.0.0.0/8, 2001:db8::/32, or an address alone.  Bits behind the
 * prefix do not count. */
struct parse_prefix {
	sa_family_t family; /* AF_INET or AF_INET6 */
	unsigned len;
	uint8_t addr[16];
};

int parse_prefix(const char *text, struct parse_prefix *ret);
/* Whether the address is of that network; IPv4 may come mapped into IPv6 on
 * either side. */
bool prefix_contains(const struct parse_prefix *, const struct sockaddr *);

/* The reverse of parse_addr_port(); dst of at least PARSE_ADDR_TEXT bytes. */
#define PARSE_ADDR_TEXT 72
void parse_addr_format(char *dst, const struct parse_addr *);

#endif
