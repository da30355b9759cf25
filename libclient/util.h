/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting by the Windows rules, and what fork needs. */
#ifndef LIBCLIENT_UTIL_H
#define LIBCLIENT_UTIL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "libclient/peerdist_types.h"

/* Point in monotonic time; UINT64_MAX for INFINITE. */
uint64_t pdc_deadline_us(DWORD timeout_ms);
/* For poll(): -1 without end, 0 when it is over, else rounded up. */
int pdc_deadline_left_ms(uint64_t deadline_us);

/* A condition that counts by the monotonic clock. */
void pdc_cond_init(pthread_cond_t *);
/* false when the deadline is over. */
bool pdc_cond_wait_until(
	pthread_cond_t *, pthread_mutex_t *, uint64_t deadline_us);

/* A word that goes from 0 to 1 once, and threads that wait for it. */
void pdc_latch_open(atomic_uint *);
/* false when the deadline is over. */
bool pdc_latch_wait(atomic_uint *, uint64_t deadline_us);

#endif
