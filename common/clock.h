/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

#define US_PER_MS 1000ULL
#define US_PER_S  1000000ULL

/* CLOCK_MONOTONIC in microseconds; time spent suspended does not count. */
uint64_t clock_now_us(void);

#endif
