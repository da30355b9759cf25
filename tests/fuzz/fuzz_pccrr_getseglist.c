/* SPDX-License-Identifier: BSD-2-Clause */
/* A question for segments: what is accepted is inside the input, and builds to
 * a message that is read as the same. */
#include <assert.h>
#include <stdbool.h>

#include "codec/pccrr.h"
#include "tests/fuzz/pccrr_sized.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct pccrr_segment_id ids[PCCRR_SEGMENTS_MAX];
static struct pccrr_segment_id ids_again[PCCRR_SEGMENTS_MAX];

static bool
same(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static void
check_rebuilt(const struct pccrr_getseglist *m)
{
	struct pccrr_getseglist again;
	struct buf b;

	buf_init(&b, m->header.size);
	assert(pccrr_build_getseglist(&b, m) == 0);
	assert(pccrr_parse_getseglist(&again, ids_again, PCCRR_SEGMENTS_MAX,
		       b.data, b.len) == 0);
	assert(again.header.major == 2 && again.header.minor == 0);
	assert(again.header.algo == m->header.algo);
	assert(memcmp(again.request, m->request, PCCRR_RID_SIZE) == 0);
	assert(again.n_ids == m->n_ids);
	for (size_t i = 0; i < m->n_ids; i++)
		assert(same(ids[i].bytes, ids[i].len, ids_again[i].bytes,
			ids_again[i].len));
	assert(same(again.blob, again.blob_len, m->blob, m->blob_len));
	buf_done(&b);
}

static void
check(const uint8_t *data, size_t len)
{
	struct pccrr_getseglist m;

	/* with less room than there may be ids */
	(void)pccrr_parse_getseglist(&m, ids_again, 3, data, len);
	if (pccrr_parse_getseglist(&m, ids, PCCRR_SEGMENTS_MAX, data, len) != 0)
		return;
	assert(m.n_ids > 0 && m.n_ids <= PCCRR_SEGMENTS_MAX);
	for (size_t i = 0; i < m.n_ids; i++)
		assert(pccrr_inside(ids[i].bytes, ids[i].len, data, len));
	assert(pccrr_inside(m.blob, m.blob_len, data, len));
	check_rebuilt(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	return pccrr_sized(data, len, 0, check);
}
