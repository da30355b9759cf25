/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/net/warm.h"

bool
warm_is(int fd, uint64_t offset, uint64_t len)
{
	return true;
}

void
warm_start(struct warm *w, const struct env *env, bool slow)
{
}
