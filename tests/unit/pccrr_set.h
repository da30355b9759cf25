/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_UNIT_PCCRR_SET_H
#define TESTS_UNIT_PCCRR_SET_H

#include "codec/pccrr.h"

static inline uint32_t
pccrr_set_count(const struct pccrr_set *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < PCCRR_BLOCKS_MAX; i++)
		n += pccrr_set_has(s, i);
	return n;
}

#endif
