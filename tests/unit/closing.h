/* SPDX-License-Identifier: BSD-2-Clause */
/* What the threads of common/close.h leave behind, when they are done. */
#ifndef TESTS_UNIT_CLOSING_H
#define TESTS_UNIT_CLOSING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>

#include "common/clock.h"
#include "common/close.h"

#define CLOSING_LATE_US (20 * US_PER_S)

static inline unsigned
count_entries(const char *folder)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static inline unsigned
count_fds(void)
{
	uint64_t end = clock_now_us() + CLOSING_LATE_US;

	while (fd_closing() > 0) {
		assert_true(clock_now_us() < end);
		sched_yield();
	}
	return count_entries("/proc/self/fd");
}

static inline void *
end_at_once(void *arg)
{
	return NULL;
}

/* To be asked in main().  A sanitizer may have one of its own from the first
 * on. */
static inline unsigned
threads_that_last(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, end_at_once, NULL) == 0)
		pthread_join(thread, NULL);
	return count_entries("/proc/self/task");
}

/* Threads that end take and give memory, under sanitizers much of it. */
static inline void
await_threads(unsigned that_last)
{
	uint64_t end = clock_now_us() + CLOSING_LATE_US;

	while (count_entries("/proc/self/task") > that_last) {
		assert_true(clock_now_us() < end);
		sched_yield();
	}
}

#endif
