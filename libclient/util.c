/* SPDX-License-Identifier: BSD-2-Clause */
#include "libclient/util.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

uint64_t
pdc_deadline_us(DWORD timeout_ms)
{
	if (timeout_ms == INFINITE)
		return UINT64_MAX;
	return clock_now_us() + timeout_ms * US_PER_MS;
}

int
pdc_deadline_left_ms(uint64_t deadline_us)
{
	uint64_t now, left;

	if (deadline_us == UINT64_MAX)
		return -1;
	now = clock_now_us();
	if (now >= deadline_us)
		return 0;
	left = (deadline_us - now + US_PER_MS - 1) / US_PER_MS;
	return left > INT_MAX ? INT_MAX : (int)left;
}

void
pdc_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

static struct timespec
timespec_of(uint64_t us)
{
	struct timespec ts = {
		.tv_sec = (time_t)(us / US_PER_S),
		.tv_nsec = (long)(us % US_PER_S * 1000),
	};

	return ts;
}

bool
pdc_cond_wait_until(
	pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_us)
{
	struct timespec ts;

	if (deadline_us == UINT64_MAX)
		return pthread_cond_wait(cond, lock) == 0;
	ts = timespec_of(deadline_us);
	return pthread_cond_timedwait(cond, lock, &ts) != ETIMEDOUT;
}

/* 0 closed; 2 closed and somebody waits; 1 open. */
void
pdc_latch_open(atomic_uint *latch)
{
	if (atomic_exchange_explicit(latch, 1, memory_order_acq_rel) == 2)
		syscall(SYS_futex, latch, FUTEX_WAKE_PRIVATE, INT_MAX, NULL,
			NULL, 0);
}

bool
pdc_latch_wait(atomic_uint *latch, uint64_t deadline_us)
{
	struct timespec ts = timespec_of(deadline_us);
	unsigned closed = 0;
	long r;

	for (;;) {
		atomic_compare_exchange_strong_explicit(latch, &closed, 2,
			memory_order_acq_rel, memory_order_acquire);
		if (atomic_load_explicit(latch, memory_order_acquire) == 1)
			return true;
		closed = 0;
		/* FUTEX_WAIT_BITSET takes a point in monotonic time. */
		r = syscall(SYS_futex, latch, FUTEX_WAIT_BITSET_PRIVATE, 2,
			deadline_us == UINT64_MAX ? NULL : &ts, NULL,
			FUTEX_BITSET_MATCH_ANY);
		if (r < 0 && errno == ETIMEDOUT)
			return atomic_load_explicit(
				       latch, memory_order_acquire) == 1;
	}
}
