/* SPDX-License-Identifier: BSD-2-Clause */
#include "get/collected.h"

#include <string.h>

#include "codec/pccrtp.h"
#include "common/err.h"
#include "common/macros.h"
#include "common/secmem.h"

#define CAP_LEAST (64u * 1024)

int
collected_add(struct collected *c, const uint8_t *bytes, size_t len)
{
	size_t cap = c->cap;
	uint8_t *p;

	if (len > PCCRTP_INFO_MAX - c->len)
		return err_new(-EMSGSIZE);
	while (c->len + len > cap)
		cap = cap > 0 ? cap * 2 : CAP_LEAST;
	if (cap > c->cap) {
		p = sec_realloc(c->bytes, c->cap, cap);
		if (p == NULL)
			return err_new(-ENOMEM);
		c->bytes = p;
		c->cap = cap;
	}
	memcpy(c->bytes + c->len, bytes, len);
	c->len += len;
	return 0;
}

void
collected_done(struct collected *c)
{
	sec_free(c->bytes, c->cap);
	*c = (struct collected){0};
}
