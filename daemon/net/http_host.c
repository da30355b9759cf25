/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who has the most connections is asked for each one that comes while there is
 * no place, and many come then: so hosts lie in ranks by powers of two, and
 * change them seldom.
 */
#include "daemon/net/http_host.h"

#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>

#define PREFIX_SIZE 8
#define LOOKS       16u

void
http_hosts_init(struct http_hosts *hs)
{
	for (size_t i = 0; i < HTTP_HOST_SLOTS; i++)
		LIST_INIT(&hs->slots[i]);
	for (size_t i = 0; i < HTTP_HOST_RANKS; i++)
		TAILQ_INIT(&hs->ranks[i]);
}

bool
http_host_is_known(const struct parse_addr *a)
{
	return a->ss.ss_family == AF_INET || a->ss.ss_family == AF_INET6;
}

/* An IPv4 address as one of IPv6, lest it be like a prefix.  Behind fe80::
 * there are six bytes that are always nothing. */
static bool
key_of(const struct parse_addr *a, uint8_t ret_key[16])
{
	const struct sockaddr_in *in = (const void *)&a->ss;
	const struct sockaddr_in6 *in6 = (const void *)&a->ss;

	memset(ret_key, 0, 16);
	if (a->ss.ss_family == AF_INET) {
		memset(ret_key + 10, 0xff, 2);
		memcpy(ret_key + 12, &in->sin_addr, 4);
		return false;
	}
	if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) {
		memcpy(ret_key, &in6->sin6_addr, 16);
		memcpy(ret_key + 4, &in6->sin6_scope_id, 4);
		return false;
	}
	if (IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr)) {
		memcpy(ret_key, &in6->sin6_addr, 16);
		return false;
	}
	memcpy(ret_key, &in6->sin6_addr, PREFIX_SIZE);
	return true;
}

static struct http_host_list *
slot_of(struct http_hosts *hs, const uint8_t key[16])
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < 16; i++)
		h = (h ^ key[i]) * 16777619u;
	return &hs->slots[h % HTTP_HOST_SLOTS];
}

struct http_host *
http_host_get(struct http_hosts *hs, const struct parse_addr *a)
{
	uint8_t key[16];
	bool is_prefix = key_of(a, key);
	struct http_host_list *slot = slot_of(hs, key);
	struct http_host *h;

	LIST_FOREACH (h, slot, link)
		if (memcmp(h->key, key, sizeof(key)) == 0)
			return h;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return NULL;
	TAILQ_INIT(&h->owner.busy);
	memcpy(h->key, key, sizeof(key));
	h->is_prefix = is_prefix;
	LIST_INSERT_HEAD(slot, h, link);
	return h;
}

void
http_host_put(struct http_host *h)
{
	if (h == NULL || h->n_conns > 0)
		return;
	LIST_REMOVE(h, link);
	free(h);
}

static size_t
rank_of(unsigned n)
{
	return HTTP_HOST_RANKS - 1 - (size_t)__builtin_clz(n);
}

static void
set_conns(struct http_hosts *hs, struct http_host *h, unsigned n)
{
	unsigned before = h->n_conns;

	h->n_conns = n;
	if (before > 0 && n > 0 && rank_of(before) == rank_of(n))
		return;
	if (before > 0)
		TAILQ_REMOVE(&hs->ranks[rank_of(before)], h, turn);
	if (n > 0)
		TAILQ_INSERT_TAIL(&hs->ranks[rank_of(n)], h, turn);
}

void
http_host_more(struct http_hosts *hs, struct http_host *h)
{
	set_conns(hs, h, h->n_conns + 1);
}

void
http_host_less(struct http_hosts *hs, struct http_host *h)
{
	set_conns(hs, h, h->n_conns - 1);
	http_host_put(h);
}

struct http_host *
http_host_greediest(struct http_hosts *hs, unsigned least)
{
	struct http_host *h = NULL, *most;
	size_t rank = HTTP_HOST_RANKS;

	while (h == NULL && rank > 0)
		h = TAILQ_FIRST(&hs->ranks[--rank]);
	most = h;
	for (unsigned i = 0; h != NULL && i < LOOKS; i++) {
		if (h->n_conns > most->n_conns)
			most = h;
		h = TAILQ_NEXT(h, turn);
	}
	if (most == NULL || most->n_conns < least)
		return NULL;
	TAILQ_REMOVE(&hs->ranks[rank], most, turn);
	TAILQ_INSERT_TAIL(&hs->ranks[rank], most, turn);
	return most;
}
