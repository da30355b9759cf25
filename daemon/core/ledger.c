/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/core/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/service_internal.h"

struct ledger {
	struct service *service;
};

struct ledger *
ledger_new(struct service *svc)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (l != NULL)
		l->service = svc;
	return l;
}

struct ledger *
ledger_free(struct ledger *l)
{
	free(l);
	return NULL;
}

void
ledger_block_from_peer(struct ledger *l, const uint8_t *id, size_t id_len,
	const struct parse_addr *addr)
{
}

void
ledger_block_from_application(
	struct ledger *l, const uint8_t *id, size_t id_len)
{
}

void
ledger_discovered(
	struct ledger *l, const uint8_t *id, size_t id_len, uint32_t answers)
{
}

void
ledger_trouble(struct ledger *l, const uint8_t *id, size_t id_len,
	enum ledger_trouble trouble, const struct parse_addr *addr)
{
}

bool
ledger_find(struct ledger *l, const uint8_t *id, size_t id_len,
	struct ledger_view *ret)
{
	return false;
}
