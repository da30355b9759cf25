/* SPDX-License-Identifier: BSD-2-Clause */
/* What the fuzzers of retrieval messages share. */
#ifndef TESTS_FUZZ_PCCRR_SIZED_H
#define TESTS_FUZZ_PCCRR_SIZED_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The input as it is, and with true sizes, so that the fuzzer need not find
 * them.  answer: with a transport header. */
static inline int
pccrr_sized(const uint8_t *data, size_t len, int answer,
	void (*check)(const uint8_t *data, size_t len))
{
	size_t first = answer ? 4 : 0;
	uint32_t size = (uint32_t)(len - first);
	uint8_t *copy;

	check(data, len);
	if (len < first + 16)
		return 0;
	copy = malloc(len);
	if (copy == NULL)
		return 0;
	memcpy(copy, data, len);
	for (size_t i = 0; i < 4; i++) {
		copy[first + 8 + i] = (uint8_t)(size >> (24 - 8 * i));
		if (answer)
			copy[i] = copy[first + 8 + i];
	}
	check(copy, len);
	free(copy);
	return 0;
}

/* n bytes at p, or NULL when there are none. */
static inline int
pccrr_inside(const uint8_t *p, size_t n, const uint8_t *data, size_t len)
{
	if (n == 0)
		return p == NULL;
	return p >= data && n <= len && p <= data + len - n;
}

#endif
