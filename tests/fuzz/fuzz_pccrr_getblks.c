/* SPDX-License-Identifier: BSD-2-Clause */
/* A request: what is accepted is inside the input, and builds to a message that
 * is read as the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrr.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_rebuilt(const struct pccrr_getblks *m)
{
	struct pccrr_getblks again;
	struct buf b;

	buf_init(&b, PCCRR_REQUEST_MAX);
	assert(pccrr_build_getblks(&b, m) == 0);
	assert(pccrr_parse_getblks(&again, b.data, b.len) == 0);
	assert(again.header.major == 1 && again.header.minor == 0);
	assert(again.header.algo == m->header.algo);
	assert(again.id_len == m->id_len);
	assert(memcmp(again.id, m->id, m->id_len) == 0);
	assert(again.block == m->block && again.nothing == m->nothing);
	buf_done(&b);
}

static void
check(const uint8_t *data, size_t len)
{
	struct pccrr_getblks m;
	struct pccrr_header h;
	int header = pccrr_parse_header(&h, data, len);

	if (pccrr_parse_getblks(&m, data, len) != 0)
		return;
	assert(header == 0 && h.type == PCCRR_GETBLKS && h.size == len);
	assert(m.id >= data && m.id + m.id_len <= data + len);
	assert(m.nothing || m.block < 512);
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
		copy[8 + i] = (uint8_t)(len >> (24 - 8 * i));
	check(copy, len);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check(data, len);
	if (len >= 16)
		check_sized(data, len);
	return 0;
}
