/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growable byte buffer with a hard upper bound.  Errors are sticky: once an
 * append failed (out of memory or over the bound) all later ones do nothing,
 * and buf_error() tells; so a builder appends straight down and asks once.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max;
	int error; /* 0, -ENOMEM, or -EMSGSIZE over max */
};

void buf_init(struct buf *, size_t max);
void buf_done(struct buf *);
/* Forgets content and error, keeps the memory. */
void buf_reset(struct buf *);
/* Room for n more bytes, uninitialised, counted as content; NULL on failure. */
uint8_t *buf_extend(struct buf *, size_t n);
void buf_append(struct buf *, const void *data, size_t n);
void buf_zero(struct buf *, size_t n);
void buf_u8(struct buf *, uint8_t);
void buf_le16(struct buf *, uint16_t);
void buf_le32(struct buf *, uint32_t);
void buf_le64(struct buf *, uint64_t);
void buf_be16(struct buf *, uint16_t);
void buf_be32(struct buf *, uint32_t);
/* printf; the NUL is not counted as content. */
void buf_printf(struct buf *, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int buf_error(const struct buf *);
/* Hands the memory to the caller (free() it) and empties the buffer.  NULL
 * after an error, and may be NULL when nothing was ever appended. */
uint8_t *buf_take(struct buf *, size_t *ret_len);

#endif
