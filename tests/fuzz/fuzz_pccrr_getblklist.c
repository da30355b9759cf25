/* SPDX-License-Identifier: BSD-2-Clause */
/* A question for blocks: what is accepted is inside the input, and builds to
 * a message that is read as the same and is no longer. */
#include <assert.h>

#include "codec/pccrr.h"
#include "tests/fuzz/pccrr_sized.h"
#include "tests/unit/pccrr_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_set(const struct pccrr_set *s)
{
	uint32_t n = 0;

	for (uint32_t i = pccrr_set_next(s, 0); i < PCCRR_BLOCKS_MAX;
		i = pccrr_set_next(s, i + 1)) {
		assert(pccrr_set_has(s, i));
		n++;
	}
	assert(n == pccrr_set_count(s));
}

static void
check(const uint8_t *data, size_t len)
{
	struct pccrr_getblklist m, again;
	struct buf b;

	if (pccrr_parse_getblklist(&m, data, len) != 0)
		return;
	assert(m.header.size == len);
	assert(pccrr_inside(m.id, m.id_len, data, len));
	check_set(&m.needed);
	buf_init(&b, len);
	assert(pccrr_build_getblklist(&b, &m) == 0);
	assert(pccrr_parse_getblklist(&again, b.data, b.len) == 0);
	assert(again.header.major == 1 && again.header.minor == 0);
	assert(again.header.algo == m.header.algo);
	assert(again.id_len == m.id_len);
	assert(memcmp(again.id, m.id, m.id_len) == 0);
	assert(memcmp(&again.needed, &m.needed, sizeof(m.needed)) == 0);
	buf_done(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	return pccrr_sized(data, len, 0, check);
}
