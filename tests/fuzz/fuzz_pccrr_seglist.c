/* SPDX-License-Identifier: BSD-2-Clause */
/* An answer with segments: what is accepted is inside the input, and builds to
 * a message that is read as the same. */
#include <assert.h>
#include <stdbool.h>

#include "codec/pccrr.h"
#include "tests/fuzz/pccrr_sized.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define AGES_MAX   255
#define RANGES_MAX (PCCRR_RESPONSE_MAX / 8)

static struct pccrr_segment_range ranges[RANGES_MAX];

static void
check_rebuilt(const struct pccrr_seglist *m)
{
	struct pccrr_age ages[AGES_MAX], ages_again[AGES_MAX];
	size_t n = pccrr_parse_ages(ages, AGES_MAX, m->blob, m->blob_len);
	struct pccrr_seglist again;
	struct buf b;

	for (size_t i = 0; i < m->n_ranges; i++) {
		ranges[i] = pccrr_seglist_range(m, i);
		assert(ranges[i].count > 0);
	}
	/* a size of the blob, where there was none, makes it longer */
	buf_init(&b, m->header.size + 4 + 4);
	assert(pccrr_build_seglist(
		       &b, m->request, ranges, m->n_ranges, ages, n) == 0);
	assert(pccrr_parse_seglist(&again, b.data, b.len) == 0);
	assert(again.header.major == 2 && again.header.minor == 0);
	assert(memcmp(again.request, m->request, PCCRR_RID_SIZE) == 0);
	assert(again.n_ranges == m->n_ranges);
	assert(m->n_ranges == 0 ||
		memcmp(again.ranges, m->ranges, 8 * m->n_ranges) == 0);
	assert(pccrr_parse_ages(
		       ages_again, AGES_MAX, again.blob, again.blob_len) == n);
	for (size_t i = 0; i < n; i++) {
		/* some ages are longer than what is written can say */
		assert(ages_again[i].index == ages[i].index);
		assert(ages_again[i].ds ==
			(ages[i].ds < 1677721 ? ages[i].ds : 1677721));
	}
	buf_done(&b);
}

static void
check(const uint8_t *data, size_t len)
{
	struct pccrr_seglist m;

	if (pccrr_parse_seglist(&m, data, len) != 0)
		return;
	assert(m.n_ranges == 0 ||
		pccrr_inside(m.ranges, 8 * m.n_ranges, data, len));
	assert(pccrr_inside(m.blob, m.blob_len, data, len));
	if (len + 4 <= PCCRR_RESPONSE_MAX)
		check_rebuilt(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	return pccrr_sized(data, len, 1, check);
}
