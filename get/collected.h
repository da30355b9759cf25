/* SPDX-License-Identifier: BSD-2-Clause */
/* Content information while it comes, in memory for secrets. */
#ifndef GET_COLLECTED_H
#define GET_COLLECTED_H

#include <stddef.h>
#include <stdint.h>

struct collected { /* begins as {0} */
	uint8_t *bytes;
	size_t len;
	size_t cap;
};

/* -ENOMEM; -EMSGSIZE: it is longer than either end would take. */
int collected_add(struct collected *, const uint8_t *, size_t);
void collected_done(struct collected *);

#endif
