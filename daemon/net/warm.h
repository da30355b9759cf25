/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that are sent from where they lie: sendfile() of what is not in the
 * page cache would make the whole loop wait for the disk, so a worker reads it
 * first.
 */
#ifndef NET_WARM_H
#define NET_WARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/env.h"

/* Of a long file, so much is looked at and read at once. */
#define WARM_WINDOW (1u << 20)

/* As whose the workers read: many who want cold files of the web server are
 * only one of those who take turns with blocks for peers. */
#define WARM_FOR_PEERS UINT32_MAX
#define WARM_FOR_WEB   (UINT32_MAX - 1)

/* Is this part (not an empty one) in the page cache, as far as its ends and
 * some places between tell?  Where a file system cannot say, only those in
 * memory are taken to be. */
bool warm_is(int fd, uint64_t offset, uint64_t len);

/* From warm_start() to done it stays where it is. */
struct warm {
	struct env_job job;
	int fd; /* stays open until done */
	uint64_t offset;
	uint64_t len;
	uint32_t uid;  /* WARM_FOR_..., or ENV_PLACE() */
	uint8_t *into; /* for the bytes; NULL: the page cache is enough */
	size_t got;    /* of them, when done */
	void (*done)(struct warm *);
};
/* done follows, later, whether or not all could be read.  slow: the file system
 * may stall (env.h). */
void warm_start(struct warm *, const struct env *, bool slow);

#endif
