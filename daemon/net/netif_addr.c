/* SPDX-License-Identifier: BSD-2-Clause */
/* Which addresses are on one subnet: the part of netif.h that needs no kernel.
 */
#include "daemon/net/netif.h"

#include <netinet/in.h>
#include <string.h>

/* One address, whatever it came as. */
struct plain {
	sa_family_t family;
	unsigned scope;
	uint8_t bytes[16];
};

static size_t
size_of(sa_family_t family)
{
	return family == AF_INET ? 4 : 16;
}

static bool
is_mapped(const struct in6_addr *a)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a, prefix, sizeof(prefix)) == 0;
}

static bool
plain_of(struct plain *ret, const struct sockaddr *sa)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	*ret = (struct plain){.family = sa->sa_family};
	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		memcpy(ret->bytes, &in.sin_addr, 4);
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(&in6, sa, sizeof(in6));
	if (is_mapped(&in6.sin6_addr)) {
		ret->family = AF_INET;
		memcpy(ret->bytes, in6.sin6_addr.s6_addr + 12, 4);
		return true;
	}
	memcpy(ret->bytes, &in6.sin6_addr, 16);
	ret->scope = in6.sin6_scope_id;
	return true;
}

static bool
is_local_to_link(const struct plain *p)
{
	return p->family == AF_INET6 && p->bytes[0] == 0xfe &&
		(p->bytes[1] & 0xc0) == 0x80;
}

static bool
is_loopback(const struct plain *p)
{
	static const uint8_t one[16] = {[15] = 1};

	return p->family == AF_INET ? p->bytes[0] == 127
				    : memcmp(p->bytes, one, 16) == 0;
}

/* Neither multicast nor "any". */
static bool
is_unicast(const struct plain *p)
{
	static const uint8_t any[16];

	if (memcmp(p->bytes, any, 16) == 0)
		return false;
	return p->family == AF_INET ? p->bytes[0] < 224 : p->bytes[0] != 0xff;
}

static bool
same_bits(const uint8_t *a, const uint8_t *b, unsigned n)
{
	unsigned rest = n % 8;
	uint8_t mask = (uint8_t)(0xff00u >> rest);

	return memcmp(a, b, n / 8) == 0 &&
		(rest == 0 || ((a[n / 8] ^ b[n / 8]) & mask) == 0);
}

/* The first and the last address of an IPv4 subnet mean all of its hosts. */
static bool
means_all(const struct netif_addr *a, const uint8_t *bytes)
{
	uint32_t host = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
		(uint32_t)bytes[2] << 8 | bytes[3];
	uint32_t mask;

	if (a->family != AF_INET || a->prefix_len >= 31)
		return false;
	mask = UINT32_MAX >> a->prefix_len;
	return (host & mask) == 0 || (host & mask) == mask;
}

static bool
is_own(const struct netif_addr *a, const struct plain *p)
{
	return a->family == p->family &&
		memcmp(a->own, p->bytes, size_of(p->family)) == 0;
}

/* A prefix of no bits is somebody's trick to route everything. */
static bool
in_subnet(const struct netif_addr *a, const struct plain *p)
{
	if (a->family != p->family)
		return false;
	if (is_own(a, p))
		return true;
	return a->prefix_len > 0 &&
		same_bits(a->net, p->bytes, a->prefix_len) &&
		!means_all(a, p->bytes);
}

bool
netif_row_owns(const struct netif_row *row, const struct sockaddr *sa)
{
	struct plain p;

	if (!plain_of(&p, sa))
		return false;
	if (is_local_to_link(&p) && p.scope != 0 && p.scope != row->index)
		return false;
	for (size_t i = 0; i < row->n_addrs; i++)
		if (is_own(&row->addrs[i], &p))
			return true;
	return false;
}

/* fe80::/10 is the subnet of every link, but only where IPv6 is. */
static bool
row_near(const struct netif_row *row, const struct plain *p)
{
	if (!row->up || !is_unicast(p))
		return false;
	if (is_local_to_link(p))
		return (p->scope == 0 || p->scope == row->index) &&
			netif_row_has(row, AF_INET6);
	for (size_t i = 0; i < row->n_addrs; i++)
		if (in_subnet(&row->addrs[i], p))
			return true;
	return false;
}

bool
netif_row_near(const struct netif_row *row, const struct sockaddr *sa)
{
	struct plain p;

	return plain_of(&p, sa) && row_near(row, &p);
}

bool
netif_row_same_subnet(const struct netif_row *row, const struct sockaddr *a,
	const struct sockaddr *b)
{
	struct plain pa, pb;

	if (!plain_of(&pa, a) || !plain_of(&pb, b) || !row_near(row, &pa) ||
		!row_near(row, &pb))
		return false;
	if (is_local_to_link(&pa) || is_local_to_link(&pb))
		return is_local_to_link(&pa) && is_local_to_link(&pb);
	for (size_t i = 0; i < row->n_addrs; i++)
		if (in_subnet(&row->addrs[i], &pa) &&
			in_subnet(&row->addrs[i], &pb))
			return true;
	return false;
}

bool
netif_row_has(const struct netif_row *row, sa_family_t family)
{
	for (size_t i = 0; i < row->n_addrs; i++)
		if (row->addrs[i].family == family && row->addrs[i].usable)
			return true;
	return false;
}

bool
netif_is_loopback(const struct sockaddr *sa)
{
	struct plain p;

	return plain_of(&p, sa) && is_loopback(&p);
}

bool
netif_is_link_local(const struct sockaddr *sa)
{
	struct plain p;

	return plain_of(&p, sa) && is_local_to_link(&p);
}

void
netif_addr_get(const struct netif_row *row, const struct netif_addr *a,
	uint16_t port, struct parse_addr *ret)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(port)};

	memset(ret, 0, sizeof(*ret));
	if (a->family == AF_INET) {
		memcpy(&in.sin_addr, a->own, 4);
		memcpy(&ret->ss, &in, sizeof(in));
		ret->len = sizeof(in);
		return;
	}
	memcpy(&in6.sin6_addr, a->own, 16);
	if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
		in6.sin6_scope_id = row->index;
	memcpy(&ret->ss, &in6, sizeof(in6));
	ret->len = sizeof(in6);
}
