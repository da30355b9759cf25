/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/core/upload.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/service_internal.h"

struct uploads {
	struct service *service;
};

struct uploads *
uploads_new(struct service *svc)
{
	struct uploads *u = calloc(1, sizeof(*u));

	if (u != NULL)
		u->service = svc;
	return u;
}

struct uploads *
uploads_free(struct uploads *u)
{
	free(u);
	return NULL;
}

void
uploads_configure(struct uploads *u)
{
}

bool
upload_begin(struct uploads *us, struct upload *u,
	const struct parse_addr *addr, void (*over)(struct upload *))
{
	return false;
}

void
upload_end(struct upload *u, uint64_t sent)
{
}

void
upload_held(struct upload *u, const uint8_t *id, size_t id_len,
	struct store_held *ret)
{
	memset(ret, 0, sizeof(*ret));
}

bool
upload_lend(struct upload *u, const uint8_t *id, size_t id_len, uint32_t index)
{
	return false;
}

uint32_t
upload_wait_ms(struct upload *u, uint32_t bytes)
{
	return UINT32_MAX;
}

void
uploads_held(struct uploads *u, const uint8_t *id, size_t id_len,
	struct store_held *ret)
{
	memset(ret, 0, sizeof(*ret));
}

unsigned
uploads_running(const struct uploads *u)
{
	return 0;
}
