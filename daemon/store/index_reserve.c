/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/store/index_reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

#include "common/macros.h"

uint64_t
index_reserve_want(uint64_t used)
{
	return MIN_OF(MAX_OF(used, RESERVE_LEAST), RESERVE_MOST);
}

static int
allocate(int fd, uint64_t from, uint64_t to)
{
	int r;

	do
		r = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from,
			(off_t)(to - from));
	while (r != 0 && errno == EINTR);
	return r != 0 ? -errno : 0;
}

bool
index_reserve_extend(int fd, uint64_t *end, uint64_t to)
{
	/* Mostly there is room for all. */
	if (to > *end && allocate(fd, *end, to) == 0)
		*end = to;
	while (*end < to) {
		uint64_t next = MIN_OF(*end + RESERVE_STEP, to);
		int r = allocate(fd, *end, next);

		if (r == -ENOSPC || r == -EDQUOT)
			return false;
		if (r != 0)
			return true;
		*end = next;
	}
	return true;
}
