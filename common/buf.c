/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"

#define BUF_FIRST 64

/*
 * One byte more than the content is always there, so that buf_printf() has a
 * place for its NUL at the very bound, and so that an empty extension gives a
 * pointer too.
 */
static bool
buf_reserve(struct buf *b, size_t n)
{
	size_t need, cap;
	uint8_t *p;

	if (b->error != 0)
		return false;
	if (n > b->max - b->len) {
		b->error = -EMSGSIZE;
		return false;
	}
	need = b->len + n + 1;
	if (need <= b->cap)
		return true;
	cap = MAX_OF(MAX_OF(b->cap * 2, need), BUF_FIRST);
	cap = MIN_OF(cap, b->max + 1);
	p = realloc(b->data, cap);
	if (p == NULL) {
		b->error = -ENOMEM;
		return false;
	}
	b->data = p;
	b->cap = cap;
	return true;
}

void
buf_init(struct buf *b, size_t max)
{
	/* Halved so that no sum here can overflow. */
	*b = (struct buf){.max = MIN_OF(max, SIZE_MAX / 2 - 1)};
}

void
buf_done(struct buf *b)
{
	if (b == NULL)
		return;
	free(b->data);
	*b = (struct buf){.max = b->max};
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	b->error = 0;
}

uint8_t *
buf_extend(struct buf *b, size_t n)
{
	uint8_t *p;

	if (!buf_reserve(b, n))
		return NULL;
	p = b->data + b->len;
	b->len += n;
	return p;
}

void
buf_append(struct buf *b, const void *data, size_t n)
{
	uint8_t *p = buf_extend(b, n);

	if (p != NULL && n > 0)
		memcpy(p, data, n);
}

void
buf_zero(struct buf *b, size_t n)
{
	uint8_t *p = buf_extend(b, n);

	if (p != NULL)
		memset(p, 0, n);
}

static void
buf_le(struct buf *b, uint64_t v, size_t n)
{
	uint8_t *p = buf_extend(b, n);

	for (size_t i = 0; p != NULL && i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void
buf_be(struct buf *b, uint64_t v, size_t n)
{
	uint8_t *p = buf_extend(b, n);

	for (size_t i = 0; p != NULL && i < n; i++)
		p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

void
buf_u8(struct buf *b, uint8_t v)
{
	buf_le(b, v, 1);
}

void
buf_le16(struct buf *b, uint16_t v)
{
	buf_le(b, v, 2);
}

void
buf_le32(struct buf *b, uint32_t v)
{
	buf_le(b, v, 4);
}

void
buf_le64(struct buf *b, uint64_t v)
{
	buf_le(b, v, 8);
}

void
buf_be16(struct buf *b, uint16_t v)
{
	buf_be(b, v, 2);
}

void
buf_be32(struct buf *b, uint32_t v)
{
	buf_be(b, v, 4);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (b->error != 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->error = errno == ENOMEM ? -ENOMEM : -EMSGSIZE;
		return;
	}
	if (!buf_reserve(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

int
buf_error(const struct buf *b)
{
	return b->error;
}

uint8_t *
buf_take(struct buf *b, size_t *ret_len)
{
	uint8_t *p = b->data;

	*ret_len = b->len;
	if (b->error != 0) {
		free(p);
		p = NULL;
		*ret_len = 0;
	}
	b->data = NULL;
	b->len = 0;
	b->cap = 0;
	return p;
}
