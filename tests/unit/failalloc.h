/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Failing allocations.  Every unit test is linked so that the malloc family
 * and mmap, called from our own code (not from inside shared libraries), come
 * by here first.
 *
 *	static int
 *	scenario(void *arg)
 *	{
 *		struct thing *t;
 *		int r = thing_new(&t);
 *
 *		if (r == 0)
 *			thing_free(t);
 *		return r;
 *	}
 *	...
 *	assert_true(failalloc_each(scenario, NULL) > 0);
 */
#ifndef TESTS_UNIT_FAILALLOC_H
#define TESTS_UNIT_FAILALLOC_H

#include <stdbool.h>

/* The n-th allocation from now on fails, once; 1 is the next one. */
void failalloc_arm(unsigned long n);
/* No more; whether one failed since. */
bool failalloc_disarm(void);

/*
 * Runs the scenario with its first allocation failing, then with its second,
 * and so on until it ends without meeting a failure.  It must return 0 or
 * -ENOMEM when one failed, and 0 in the last run; anything else fails the test.
 * It has to release what it made: leaks show under SAN=1.  The number of
 * allocations that it makes, so that the caller can tell that there were any.
 */
unsigned long failalloc_each(int (*scenario)(void *), void *arg);

#endif
