/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/err.h"

#include <stdio.h>
#include <string.h>

int
err_trace(int r, const char *what, const char *file, int line)
{
	int saved = errno;

	if (r < 0)
		fprintf(stderr, "%s:%d: %s: %s\n", file, line, what,
			strerrordesc_np(-r) ?: "unknown error");
	errno = saved;
	return r;
}
