/* SPDX-License-Identifier: BSD-2-Clause */
/* An answer: what is accepted is inside the input, and builds to a message that
 * is read as the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrr.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static bool
same_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static void
check_rebuilt(const struct pccrr_blk *m)
{
	struct pccrr_blk again;
	struct buf b;

	/* an unused field that is left out makes it shorter, never longer */
	buf_init(&b, PCCRR_RESPONSE_MAX + 4);
	assert(pccrr_build_blk(&b, m) == 0);
	assert(b.len <= m->header.size + 4 + 3);
	assert(pccrr_parse_blk(&again, b.data, b.len) == 0);
	assert(again.header.major == 1 && again.header.minor == 0);
	assert(again.header.algo == m->header.algo);
	assert(again.block == m->block && again.next_block == m->next_block);
	assert(same_bytes(again.id, again.id_len, m->id, m->id_len));
	assert(same_bytes(again.data, again.data_len, m->data, m->data_len));
	assert(same_bytes(again.iv, again.iv_len, m->iv, m->iv_len));
	buf_done(&b);
}

static bool
inside(const uint8_t *p, size_t n, const uint8_t *data, size_t len)
{
	if (n == 0)
		return p == NULL;
	return p >= data && p + n <= data + len;
}

static void
check(const uint8_t *data, size_t len)
{
	struct pccrr_blk m;

	if (pccrr_parse_blk(&m, data, len) != 0)
		return;
	assert(inside(m.id, m.id_len, data, len));
	assert(inside(m.data, m.data_len, data, len));
	assert(inside(m.iv, m.iv_len, data, len));
	assert((m.iv_len == PCCRR_IV_SIZE) ==
		(m.data_len > 0 && m.header.algo != PCCRR_NONE));
	check_rebuilt(&m);
}

/* The same with true sizes, so that the fuzzer need not find them. */
static void
check_sized(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len);

	if (copy == NULL)
		return;
	memcpy(copy, data, len);
	for (size_t i = 0; i < 4; i++)
		copy[i] = copy[12 + i] = (uint8_t)((len - 4) >> (24 - 8 * i));
	check(copy, len);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check(data, len);
	if (len >= 20)
		check_sized(data, len);
	return 0;
}
