/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bounded reader with a sticky error.  Reading past the end gives zeroes (or
 * NULL) and sets the error; a parser reads straight down and asks rd_ok() once
 * per structure.  rd_left() is always the truth, so counts from outside are
 * compared with it before any loop or allocation.
 */
#ifndef COMMON_RD_H
#define COMMON_RD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rd {
	const uint8_t *pos;
	const uint8_t *end;
	bool short_;
};

static inline void
rd_init(struct rd *r, const uint8_t *data, size_t len)
{
	r->pos = data;
	r->end = data + len;
	r->short_ = false;
}

static inline bool
rd_ok(const struct rd *r)
{
	return !r->short_;
}

static inline size_t
rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->pos);
}

/* n bytes in place, or NULL. */
static inline const uint8_t *
rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p = r->pos;

	if (r->short_ || n > rd_left(r)) {
		r->short_ = true;
		return NULL;
	}
	r->pos += n;
	return p;
}

static inline void
rd_copy(struct rd *r, void *dst, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	if (p != NULL)
		memcpy(dst, p, n);
	else
		memset(dst, 0, n);
}

static inline uint8_t
rd_u8(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 1);

	return p != NULL ? p[0] : 0;
}

static inline uint64_t
rd_be(struct rd *r, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);
	uint64_t v = 0;

	if (p == NULL)
		return 0;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static inline uint64_t
rd_le(struct rd *r, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);
	uint64_t v = 0;

	if (p == NULL)
		return 0;
	for (size_t i = n; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static inline uint16_t
rd_be16(struct rd *r)
{
	return (uint16_t)rd_be(r, 2);
}

static inline uint32_t
rd_be32(struct rd *r)
{
	return (uint32_t)rd_be(r, 4);
}

static inline uint64_t
rd_be64(struct rd *r)
{
	return rd_be(r, 8);
}

static inline uint16_t
rd_le16(struct rd *r)
{
	return (uint16_t)rd_le(r, 2);
}

static inline uint32_t
rd_le32(struct rd *r)
{
	return (uint32_t)rd_le(r, 4);
}

static inline uint64_t
rd_le64(struct rd *r)
{
	return rd_le(r, 8);
}

#endif
