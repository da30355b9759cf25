/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/core/discover.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/service_internal.h"

struct discover {
	struct service *service;
};

struct discover *
discover_new(struct service *svc)
{
	struct discover *d = calloc(1, sizeof(*d));

	if (d != NULL)
		d->service = svc;
	return d;
}

struct discover *
discover_free(struct discover *d)
{
	free(d);
	return NULL;
}

void
discover_configure(struct discover *d)
{
}

enum discover_state
discover_want(struct discover *d, const uint8_t *id, unsigned content_version,
	uint32_t uid, struct discover_waiter *w)
{
	return DISCOVER_OFF;
}

void
discover_leave(struct discover_waiter *w)
{
}

enum discover_state
discover_state(struct discover *d, const uint8_t *id)
{
	return DISCOVER_OFF;
}

size_t
discover_peers(struct discover *d, const uint8_t *id, struct discover_peer *ret,
	size_t max)
{
	return 0;
}

void
discover_lost(
	struct discover *d, const uint8_t *id, const struct parse_addr *addr)
{
}

void
discover_obtained(struct discover *d, const uint8_t *id)
{
}

bool
discover_crowd(struct discover *d, const uint8_t *id)
{
	return false;
}

void
discover_heard(struct discover *d, const struct discover_question *q)
{
}

void
discover_answered(struct discover *d, const struct discover_answer *a)
{
}
