/* SPDX-License-Identifier: BSD-2-Clause */
/* Versions, asked and answered: what is accepted builds to a message that is
 * read as the same. */
#include <assert.h>

#include "codec/pccrr.h"
#include "tests/fuzz/pccrr_sized.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
assert_same(const struct pccrr_nego *a, const struct pccrr_nego *b)
{
	assert(b->header.major == 1 && b->header.minor == 0);
	assert(a->header.algo == b->header.algo);
	assert(a->min_major == b->min_major && a->min_minor == b->min_minor);
	assert(a->max_major == b->max_major && a->max_minor == b->max_minor);
}

static void
check_req(const uint8_t *data, size_t len)
{
	struct pccrr_nego m, again;
	struct buf b;

	if (pccrr_parse_nego_req(&m, data, len) != 0)
		return;
	assert(len == 24 && m.header.size == 24);
	buf_init(&b, 24);
	assert(pccrr_build_nego_req(&b, &m) == 0);
	assert(pccrr_parse_nego_req(&again, b.data, b.len) == 0);
	assert_same(&m, &again);
	buf_done(&b);
}

static void
check_resp(const uint8_t *data, size_t len)
{
	struct pccrr_nego m, again;
	struct buf b;

	if (pccrr_parse_nego_resp(&m, data, len) != 0)
		return;
	assert(len == 28 && m.header.size == 24);
	buf_init(&b, 28);
	assert(pccrr_build_nego_resp(&b, &m) == 0);
	assert(pccrr_parse_nego_resp(&again, b.data, b.len) == 0);
	assert_same(&m, &again);
	buf_done(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	pccrr_sized(data, len, 0, check_req);
	return pccrr_sized(data, len, 1, check_resp);
}
