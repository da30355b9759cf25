/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes that give access like a key while they come, in memory for secrets: no
 * copy of them stays where it grew from. */
#ifndef COMMON_SECBUF_H
#define COMMON_SECBUF_H

#include <stddef.h>
#include <stdint.h>

struct secbuf { /* begins as {0} */
	uint8_t *bytes;
	size_t len;
	size_t cap;
};

/* At most max bytes in all.  -ENOMEM, -EMSGSIZE: nothing is added. */
int secbuf_add(struct secbuf *, size_t max, const void *bytes, size_t len);
/* Wipes; it is as at the beginning. */
void secbuf_done(struct secbuf *);

#endif
