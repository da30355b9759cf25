/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/clock.h"

#include <time.h>

uint64_t
clock_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * US_PER_S + (uint64_t)ts.tv_nsec / 1000;
}
