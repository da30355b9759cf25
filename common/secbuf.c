/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/secbuf.h"

#include <errno.h>
#include <string.h>

#include "common/err.h"
#include "common/secmem.h"

#define CAP_LEAST (64u * 1024)

int
secbuf_add(struct secbuf *b, size_t max, const void *bytes, size_t len)
{
	size_t cap = b->cap;
	uint8_t *p;

	if (len > max - b->len)
		return err_new(-EMSGSIZE);
	while (b->len + len > cap)
		cap = cap > 0 ? cap * 2 : CAP_LEAST;
	if (cap > b->cap) {
		p = sec_realloc(b->bytes, b->cap, cap);
		if (p == NULL)
			return err_new(-ENOMEM);
		b->bytes = p;
		b->cap = cap;
	}
	if (len > 0)
		memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	return 0;
}

void
secbuf_done(struct secbuf *b)
{
	sec_free(b->bytes, b->cap);
	*b = (struct secbuf){0};
}
