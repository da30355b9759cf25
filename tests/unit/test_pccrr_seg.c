/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "codec/pccrr.h"
#include "common/err.h"
#include "common/macros.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/pccrr_util.h"

static const uint8_t the_request[16] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15,
	0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f};

static struct pccrr_segment_id ids[PCCRR_SEGMENTS_MAX + 1];

static int
parse_get(const uint8_t *data, size_t len)
{
	struct pccrr_getseglist m;

	return pccrr_parse_getseglist(&m, ids, PCCRR_SEGMENTS_MAX, data, len);
}

static int
parse_list(const uint8_t *data, size_t len)
{
	struct pccrr_seglist m;

	return pccrr_parse_seglist(&m, data, len);
}

static void
test_vector_getseglist(void **state)
{
	struct pccrr_getseglist m = {0};
	struct buf want, have;

	load(&want, PCCRR_VECTORS "getseglist.hex");
	assert_int_equal(
		pccrr_parse_getseglist(&m, ids, 2, want.data, want.len), 0);
	assert_int_equal(m.header.major, 2);
	assert_memory_equal(m.request, the_request, 16);
	assert_int_equal(m.n_ids, 2);
	assert_ptr_equal(m.ids, ids);
	assert_int_equal(ids[0].len, 32);
	assert_memory_equal(ids[0].bytes, the_id, 32);
	assert_int_equal(ids[1].len, 32);
	assert_ptr_equal(ids[1].bytes, want.data + 0x4c);
	assert_int_equal(m.blob_len, 0);
	assert_null(m.blob);
	buf_init(&have, 112);
	assert_int_equal(pccrr_build_getseglist(&have, &m), 0);
	assert_true(same_bytes(&have, &want));
	buf_done(&have);
	buf_done(&want);
}

static void
test_vector_seglist(void **state)
{
	struct pccrr_seglist m = {0};
	struct pccrr_segment_range range;
	struct pccrr_age ages[4];
	struct buf want, have;

	load(&want, PCCRR_VECTORS "seglist.hex");
	assert_int_equal(pccrr_parse_seglist(&m, want.data, want.len), 0);
	assert_memory_equal(m.request, the_request, 16);
	assert_int_equal(m.n_ranges, 1);
	range = pccrr_seglist_range(&m, 0);
	assert_int_equal(range.index, 1);
	assert_int_equal(range.count, 1);
	assert_int_equal(m.blob_len, 8);
	assert_int_equal(pccrr_parse_ages(ages, 4, m.blob, m.blob_len), 1);
	assert_int_equal(ages[0].index, 0);
	assert_int_equal(ages[0].ds, 6000);
	buf_init(&have, 60);
	assert_int_equal(
		pccrr_build_seglist(&have, m.request, &range, 1, ages, 1), 0);
	assert_true(same_bytes(&have, &want));
	buf_done(&have);
	buf_done(&want);
}

/* "I have none of them", and "I am busy": the exact answer. */
static void
test_empty_answer(void **state)
{
	struct buf want, have;

	buf_init(&want, 64);
	WORDS(&want, 40, 2, PCCRR_SEGLIST, 40, 0);
	buf_append(&want, the_request, 16);
	WORDS(&want, 0, 0);
	buf_init(&have, 64);
	assert_int_equal(
		pccrr_build_seglist(&have, the_request, NULL, 0, NULL, 0), 0);
	assert_true(same_bytes(&have, &want));
	assert_int_equal(parse_list(have.data, have.len), 0);
	buf_done(&have);
	buf_done(&want);
}

static void
test_edits(void **state)
{
	static const struct edit get[] = {
		{0, 1, 0},
		{0, 0x00070002, 0},
		{0, 0, PCCRR_E_UNSUPPORTED},
		{0, 3, PCCRR_E_UNSUPPORTED},
		{4, PCCRR_SEGLIST, PCCRR_E_UNSUPPORTED},
		{8, 111, PCCRR_E_MALFORMED},
		{12, 4, PCCRR_E_MALFORMED},
		{32, 0, PCCRR_E_MALFORMED},
		{32, 1, PCCRR_E_MALFORMED}, /* the second one is a blob */
		{32, 3, PCCRR_E_MALFORMED},
		{32, UINT32_MAX, PCCRR_E_MALFORMED},
		{32, 0x80000000, PCCRR_E_MALFORMED},
		{36, 33, PCCRR_E_MALFORMED},
		{36, 0, PCCRR_E_MALFORMED},
		{36, 48, PCCRR_E_MALFORMED},
		{36, UINT32_MAX, PCCRR_E_MALFORMED},
		{72, 48, PCCRR_E_SHORT},
		{72, 64, PCCRR_E_SHORT},
		{108, 1, PCCRR_E_SHORT},
		{108, UINT32_MAX, PCCRR_E_SHORT},
	};
	static const struct edit list[] = {
		{0, 55, PCCRR_E_MALFORMED},
		{4, 1, 0},
		{4, 3, PCCRR_E_UNSUPPORTED},
		{8, PCCRR_BLKLIST, PCCRR_E_UNSUPPORTED},
		{36, 0, PCCRR_E_MALFORMED}, /* the blob has 1 byte then */
		{36, 2, PCCRR_E_SHORT},
		{36, 3, PCCRR_E_MALFORMED},
		{36, UINT32_MAX, PCCRR_E_MALFORMED},
		{36, 0x20000001, PCCRR_E_MALFORMED}, /* * 8 in 32 bits */
		{40, UINT32_MAX, 0},
		{44, 0, PCCRR_E_MALFORMED},
		{44, UINT32_MAX, 0},
		{48, 7, 0}, /* cut by a byte, which could be padding */
		{48, 12, PCCRR_E_SHORT},
		{48, UINT32_MAX, PCCRR_E_SHORT},
	};
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(get); i++) {
		load(&b, PCCRR_VECTORS "getseglist.hex");
		set_word(&b, get[i].at, get[i].word);
		assert_int_equal(parse_get(b.data, b.len), get[i].want);
		buf_done(&b);
	}
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		load(&b, PCCRR_VECTORS "seglist.hex");
		set_word(&b, list[i].at, list[i].word);
		assert_int_equal(parse_list(b.data, b.len), list[i].want);
		buf_done(&b);
	}
}

/* A range may end at the last position that 32 bits can name, not behind. */
static void
test_range_ends(void **state)
{
	struct pccrr_segment_range range = {UINT32_MAX, 1};
	struct buf b;

	buf_init(&b, 64);
	assert_int_equal(
		pccrr_build_seglist(&b, the_request, &range, 1, NULL, 0), 0);
	assert_int_equal(parse_list(b.data, b.len), 0);
	set_word(&b, 44, 2);
	assert_int_equal(parse_list(b.data, b.len), PCCRR_E_MALFORMED);
	buf_reset(&b);
	range.count = 2;
	assert_int_equal(
		pccrr_build_seglist(&b, the_request, &range, 1, NULL, 0),
		-EINVAL);
	range.count = 0;
	assert_int_equal(
		pccrr_build_seglist(&b, the_request, &range, 1, NULL, 0),
		-EINVAL);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

static void
test_lengths(void **state)
{
	struct buf b;

	assert_int_equal(parse_get(NULL, 0), PCCRR_E_SHORT);
	assert_int_equal(parse_list(NULL, 0), PCCRR_E_SHORT);
	load(&b, PCCRR_VECTORS "getseglist.hex");
	assert_int_equal(first_cut_taken(&b, false, parse_get), 0);
	assert_true(try_every_word(&b, parse_get) > 0);
	buf_u8(&b, 0);
	fix_request(&b);
	assert_int_equal(parse_get(b.data, b.len), PCCRR_E_MALFORMED);
	buf_done(&b);
	/* the one place where a SEGLIST may end earlier: behind the ranges */
	load(&b, PCCRR_VECTORS "seglist.hex");
	assert_int_equal(first_cut_taken(&b, true, parse_list), 48);
	assert_true(try_every_word(&b, parse_list) > 0);
	buf_u8(&b, 0);
	fix_answer(&b);
	assert_int_equal(parse_list(b.data, b.len), PCCRR_E_MALFORMED);
	b.len = 49;
	fix_answer(&b);
	assert_int_equal(parse_list(b.data, b.len), PCCRR_E_SHORT);
	buf_done(&b);
	buf_init(&b, 1 << 20);
	buf_zero(&b, PCCRR_REQUEST_MAX + 1);
	assert_int_equal(parse_get(b.data, b.len), PCCRR_E_TOO_BIG);
	buf_zero(&b, PCCRR_RESPONSE_MAX + 4 - PCCRR_REQUEST_MAX);
	assert_int_equal(parse_list(b.data, b.len), PCCRR_E_TOO_BIG);
	buf_done(&b);
}

/* A blob that is no good does not spoil the message. */
static void
test_seglist_blobs(void **state)
{
	static const uint32_t heads[] = {0x00020301, 0x00010001, 0x00010501,
		0x00010302, 0x000103ff, 0x01000301};
	struct pccrr_seglist m;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		load(&b, PCCRR_VECTORS "seglist.hex");
		set_word(&b, 52, heads[i]);
		assert_int_equal(pccrr_parse_seglist(&m, b.data, b.len), 0);
		assert_int_equal(m.n_ranges, 1);
		assert_null(m.blob);
		assert_int_equal(m.blob_len, 0);
		buf_done(&b);
	}
	load(&b, PCCRR_VECTORS "seglist.hex");
	b.len = 48;
	fix_answer(&b);
	assert_int_equal(pccrr_parse_seglist(&m, b.data, b.len), 0);
	assert_int_equal(m.n_ranges, 1);
	assert_null(m.blob);
	buf_done(&b);
}

static void
test_getseglist_blob(void **state)
{
	static const uint8_t blob[9] = {0, 1, 3, 1, 0, 1, 2, 3, 4};
	struct pccrr_segment_id one = {the_id, 32};
	struct pccrr_getseglist m = {.n_ids = 1, .ids = &one, .blob = blob};
	struct pccrr_getseglist again;
	struct buf b;

	buf_init(&b, 1024);
	for (uint32_t len = 0; len <= sizeof(blob); len++) {
		m.blob_len = len;
		buf_reset(&b);
		assert_int_equal(pccrr_build_getseglist(&b, &m), 0);
		assert_int_equal(b.len, 76 + len);
		for (uint32_t pad = 0; pad <= 4; pad++) {
			int r = pccrr_parse_getseglist(
				&again, ids, 1, b.data, b.len);

			assert_int_equal(
				r, pad <= (-len & 3) ? 0 : PCCRR_E_MALFORMED);
			if (r == 0) {
				assert_int_equal(again.blob_len, len);
				assert_memory_equal(again.blob, blob, len);
			}
			buf_u8(&b, 0);
			fix_request(&b);
		}
	}
	buf_done(&b);
}

static void
test_most_ids(void **state)
{
	struct pccrr_segment_id *many =
		calloc(PCCRR_SEGMENTS_MAX + 1, sizeof(*many));
	struct pccrr_getseglist m = {.n_ids = PCCRR_SEGMENTS_MAX, .ids = many};
	struct pccrr_getseglist again;
	struct buf b;

	assert_non_null(many);
	for (size_t i = 0; i <= PCCRR_SEGMENTS_MAX; i++)
		many[i] = (struct pccrr_segment_id){the_id, 32};
	buf_init(&b, 1 << 20);
	assert_int_equal(pccrr_build_getseglist(&b, &m), 0);
	assert_int_equal(b.len, 40 + 36 * PCCRR_SEGMENTS_MAX);
	assert_true(b.len <= PCCRR_REQUEST_MAX);
	assert_int_equal(pccrr_parse_getseglist(&again, ids, PCCRR_SEGMENTS_MAX,
				 b.data, b.len),
		0);
	assert_int_equal(again.n_ids, PCCRR_SEGMENTS_MAX);
	assert_int_equal(pccrr_parse_getseglist(&again, ids,
				 PCCRR_SEGMENTS_MAX - 1, b.data, b.len),
		PCCRR_E_TOO_BIG);
	buf_reset(&b);
	m.n_ids++;
	assert_int_equal(pccrr_build_getseglist(&b, &m), -EMSGSIZE);
	m.n_ids--;
	many[5].len = 48;
	assert_int_equal(pccrr_build_getseglist(&b, &m), 0);
	many[6].len = 48;
	assert_int_equal(pccrr_build_getseglist(&b, &m), -EMSGSIZE);
	many[6].len = 40;
	assert_int_equal(pccrr_build_getseglist(&b, &m), -EINVAL);
	m.n_ids = 0;
	assert_int_equal(pccrr_build_getseglist(&b, &m), -EINVAL);
	m.n_ids = 1;
	m.blob_len = UINT32_MAX;
	assert_int_equal(pccrr_build_getseglist(&b, &m), -EMSGSIZE);
	buf_done(&b);
	free(many);
}

static void
test_other_ids(void **state)
{
	struct pccrr_segment_id three[] = {
		{the_id, 48}, {the_id, 64}, {the_id, 32}};
	struct pccrr_getseglist m = {.n_ids = 3, .ids = three}, again;
	struct buf b;

	buf_init(&b, 1024);
	assert_int_equal(pccrr_build_getseglist(&b, &m), 0);
	assert_int_equal(
		pccrr_parse_getseglist(&again, ids, 3, b.data, b.len), 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(ids[i].len, three[i].len);
		assert_memory_equal(ids[i].bytes, the_id, three[i].len);
	}
	buf_done(&b);
}

static void
test_most_ranges(void **state)
{
	size_t most = (PCCRR_RESPONSE_MAX - 40) / 8;
	struct pccrr_segment_range *ranges = calloc(most + 1, sizeof(*ranges)),
				   got;
	struct pccrr_age ages[256] = {{0, 0}};
	struct pccrr_seglist m;
	struct buf b;

	assert_non_null(ranges);
	for (size_t i = 0; i <= most; i++)
		ranges[i] = (struct pccrr_segment_range){2 * (uint32_t)i, 1};
	buf_init(&b, 1 << 20);
	assert_int_equal(
		pccrr_build_seglist(&b, the_request, ranges, most + 1, NULL, 0),
		-EMSGSIZE);
	assert_int_equal(
		pccrr_build_seglist(&b, the_request, ranges, SIZE_MAX, NULL, 0),
		-EMSGSIZE);
	assert_int_equal(
		pccrr_build_seglist(&b, the_request, ranges, 1, ages, 256),
		-EINVAL);
	assert_int_equal(b.len, 0);
	assert_int_equal(
		pccrr_build_seglist(&b, the_request, ranges, most, NULL, 0), 0);
	assert_int_equal(pccrr_parse_seglist(&m, b.data, b.len), 0);
	assert_int_equal(m.n_ranges, most);
	got = pccrr_seglist_range(&m, most - 1);
	assert_int_equal(got.index, ranges[most - 1].index);
	assert_int_equal(got.count, 1);
	buf_reset(&b);
	assert_int_equal(
		pccrr_build_seglist(&b, the_request, ranges, 1, ages, 255), 0);
	assert_int_equal(pccrr_parse_seglist(&m, b.data, b.len), 0);
	assert_int_equal(m.blob_len, 1024);
	buf_done(&b);
	free(ranges);
}

static int
build_both(void *arg)
{
	static const struct pccrr_segment_range ranges[] = {{1, 2}, {4, 5}};
	static const struct pccrr_age ages[] = {{0, 5}, {1, 6}};
	struct pccrr_segment_id two[] = {{the_id, 64}, {the_id, 48}};
	struct pccrr_getseglist m = {.n_ids = 2, .ids = two};
	struct buf b;
	int r;

	buf_init(&b, 1024);
	r = pccrr_build_getseglist(&b, &m);
	buf_done(&b);
	if (r == 0)
		r = pccrr_build_seglist(&b, the_request, ranges, 2, ages, 2);
	buf_done(&b);
	return r;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(build_both, NULL) > 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector_getseglist),
		cmocka_unit_test(test_vector_seglist),
		cmocka_unit_test(test_empty_answer),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_range_ends),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_seglist_blobs),
		cmocka_unit_test(test_getseglist_blob),
		cmocka_unit_test(test_most_ids),
		cmocka_unit_test(test_other_ids),
		cmocka_unit_test(test_most_ranges),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
