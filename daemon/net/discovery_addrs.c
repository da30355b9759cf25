/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/net/discovery_addrs.h"

#include <netinet/in.h>
#include <string.h>

#include "daemon/net/discovery_socket.h"

static const struct sockaddr *
sa_of(const struct parse_addr *a)
{
	return (const struct sockaddr *)&a->ss;
}

static bool
same_address(const struct parse_addr *a, const struct parse_addr *b)
{
	struct sockaddr_in6 six_a, six_b;
	struct sockaddr_in four_a, four_b;

	if (a->ss.ss_family != b->ss.ss_family)
		return false;
	if (a->ss.ss_family == AF_INET) {
		memcpy(&four_a, &a->ss, sizeof(four_a));
		memcpy(&four_b, &b->ss, sizeof(four_b));
		return four_a.sin_addr.s_addr == four_b.sin_addr.s_addr;
	}
	memcpy(&six_a, &a->ss, sizeof(six_a));
	memcpy(&six_b, &b->ss, sizeof(six_b));
	return IN6_ARE_ADDR_EQUAL(&six_a.sin6_addr, &six_b.sin6_addr) &&
		six_a.sin6_scope_id == six_b.sin6_scope_id;
}

/* The less the better; -1: not at all. */
static int
rank(const struct netif_row *row, const struct netif_addr *a,
	const struct parse_addr *to, const struct parse_addr *own)
{
	bool near = netif_row_same_subnet(row, sa_of(to), sa_of(own));

	if (!a->usable || a->family != to->ss.ss_family)
		return -1;
	if (a->family == AF_INET)
		return near ? 0 : -1;
	if (netif_is_loopback(sa_of(own)))
		return netif_is_loopback(sa_of(to)) ? 0 : -1;
	if (netif_is_link_local(sa_of(own)))
		return 4;
	return (near ? 0 : 2) + a->passing;
}

/* One of the same subnet is there already. */
static bool
is_covered(const struct netif_row *row, const struct parse_addr *list, size_t n,
	const struct parse_addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (netif_row_same_subnet(row, sa_of(&list[i]), sa_of(a)))
			return true;
	return false;
}

size_t
discovery_addrs_own(const struct netif_row *row, const struct parse_addr *to,
	uint16_t port, struct parse_addr *ret)
{
	struct parse_addr own;
	size_t n = 0;

	for (int wanted = 0; wanted <= 4; wanted++) {
		/* the last resort */
		if (wanted == 4 && n > 0)
			break;
		for (size_t i = 0; i < row->n_addrs; i++) {
			netif_addr_get(row, &row->addrs[i], port, &own);
			if (n < PCCRD_ADDRS_MAX &&
				rank(row, &row->addrs[i], to, &own) == wanted &&
				!is_covered(row, ret, n, &own))
				ret[n++] = own;
		}
	}
	return n;
}

static bool
is_mapped(const struct parse_addr *a)
{
	struct sockaddr_in6 in6;

	if (a->ss.ss_family != AF_INET6)
		return false;
	memcpy(&in6, &a->ss, sizeof(in6));
	return IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
}

static void
set_scope(struct parse_addr *a, unsigned interface)
{
	struct sockaddr_in6 in6;

	if (!netif_is_link_local(sa_of(a)))
		return;
	memcpy(&in6, &a->ss, sizeof(in6));
	in6.sin6_scope_id = interface;
	memcpy(&a->ss, &in6, sizeof(in6));
}

/* A host must have one name only, or it would be quarantined under one and
 * asked by another: so no IPv4 address in the clothes of IPv6.  Nobody else
 * may send us to the other services of this host, which may trust it. */
static bool
is_believable(const struct discovery_claim *c, const struct parse_addr *a)
{
	if ((a->ss.ss_family != AF_INET && a->ss.ss_family != AF_INET6) ||
		is_mapped(a) || discovery_port_of(a) == 0 ||
		!netif_row_near(c->row, sa_of(a)))
		return false;
	if (!same_address(a, c->from) && !netif_is_link_local(sa_of(c->from)) &&
		!netif_row_same_subnet(c->row, sa_of(a), sa_of(c->from)))
		return false;
	if (netif_owner(c->netif, sa_of(a)) != NULL &&
		(discovery_port_of(a) == c->own_port ||
			netif_owner(c->netif, sa_of(c->from)) == NULL))
		return false;
	return c->allow == NULL || c->allow(c->ctx, sa_of(a));
}

static bool
is_there(const struct parse_addr *list, size_t n, const struct parse_addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (same_address(&list[i], a) &&
			discovery_port_of(&list[i]) == discovery_port_of(a))
			return true;
	return false;
}

size_t
discovery_addrs_believed(const struct discovery_claim *c, size_t n,
	const struct parse_addr *addrs, struct parse_addr *ret)
{
	struct parse_addr a;
	size_t good = 0;

	for (size_t i = 0; i < n && good < PCCRD_ADDRS_MAX; i++) {
		a = addrs[i];
		set_scope(&a, c->row->index);
		if (is_believable(c, &a) && !is_there(ret, good, &a))
			ret[good++] = a;
	}
	return good;
}
