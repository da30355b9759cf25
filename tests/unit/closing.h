/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_UNIT_CLOSING_H
#define TESTS_UNIT_CLOSING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <sched.h>

#include "common/clock.h"
#include "common/close.h"

/* Our descriptors, when all that other threads close is closed. */
static inline unsigned
count_fds(void)
{
	uint64_t end = clock_now_us() + 20 * US_PER_S;
	unsigned n = 0;
	DIR *d;

	while (fd_closing() > 0) {
		assert_true(clock_now_us() < end);
		sched_yield();
	}
	d = opendir("/proc/self/fd");
	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

#endif
