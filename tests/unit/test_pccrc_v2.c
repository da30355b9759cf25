/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/buf.h"
#include "tests/unit/pccrc_refuse.h"

#define HEADER 31
#define ENTRY  68

struct fixture {
	struct bulk *bulk;
	uint8_t captured[172]; /* 39390 (0x99de) and 60320 bytes, one chunk */
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->bulk = bulk_new(BULK_EVP);
	assert_non_null(f->bulk);
	assert_int_equal(hex_file(f->captured, sizeof(f->captured),
				 PCCRC_VECTORS "windows_v2.hex"),
		172);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	bulk_free(f->bulk);
	free(f);
	return 0;
}

static const struct refuse_row rows[] = {
	{PCCRC_E_SHORT_HEADER, 0, 0, "", -172, 0},
	{PCCRC_E_SHORT_HEADER, 0, 0, "", -171, 0},
	{PCCRC_E_SHORT_HEADER, 0, 0, "", -(172 - 2), 0},
	{PCCRC_E_SHORT_HEADER, 0, 0, "", -(172 - 30), 0},
	{PCCRC_E_BAD_VERSION, 2, 0, "0102", 0, 0},
	{PCCRC_E_BAD_VERSION, 2, 0, "0200", 0, 0},
	{PCCRC_E_BAD_HASH_ALGO, 3, 2, "01", 0, 0},
	{PCCRC_E_NO_CHUNKS, 0, 0, "", -(172 - 31), 0},
	{PCCRC_E_BAD_CHUNK_TYPE, 32, 31, "01", 0, 0},
	{PCCRC_E_EMPTY_CHUNK, 36, 32, "00000000", 0, 0},
	{PCCRC_E_CHUNK_LENGTH_NOT_MULTIPLE, 36, 32, "00000043", 0, 0},
	{PCCRC_E_CHUNK_TRUNCATED, 0, 32, "000000cc", 0, 0},
	/* 68 * 63161283: the largest. */
	{PCCRC_E_CHUNK_TRUNCATED, 36, 32, "ffffffcc", 0, -EMSGSIZE},
	/* The rest looks like the header of a second chunk. */
	{PCCRC_E_CHUNK_LENGTH_NOT_MULTIPLE, 109, 32, "00000044", 0, 0},
	{PCCRC_E_CHUNK_TRUNCATED, 0, 0, "", 1, 0},
	{PCCRC_E_CHUNK_TRUNCATED, 0, 0, "", -1, 0},
	{PCCRC_E_CHUNK_TRUNCATED, 0, 0, "", -(172 - 35), 0},
	{PCCRC_E_ZERO_SEGMENT_LENGTH, 40, 36, "00000000", 0, 0},
	{PCCRC_E_ZERO_SEGMENT_LENGTH, 108, 104, "00000000", 0, 0},
	{PCCRC_E_SEGMENT_TOO_LONG, 40, 36, "00020001", 0, 0},
	{PCCRC_E_FIRST_OFFSET_OUT_OF_RANGE, 40, 19, "000099de", 0, 0},
	{PCCRC_E_RANGE_OUT_OF_SEGMENTS, 0, 27, "0001857f", 0, 0},
	{PCCRC_E_RANGE_OUT_OF_SEGMENTS, 0, 19, "00000001 000000000001857e", 0,
		0},
	{PCCRC_E_RANGE_OUT_OF_SEGMENTS, 0, 23, "ffffffffffffffff", 0, 0},
	{PCCRC_E_INDEX_OFFSET_CONFLICT, 31, 18, "01", 0, 0},
	{PCCRC_E_INDEX_OFFSET_CONFLICT, 31, 10, "01", 0, 0},
	{PCCRC_E_INDEX_OFFSET_CONFLICT, 31, 3,
		"0000000000020001 0000000000000001", 0, 0},
	{PCCRC_E_OFFSET_OVERFLOW, 40, 3, "ffffffffffffffff ffffffffffffffff", 0,
		0},
};

static void
test_refusals(void **state)
{
	static const int wanted[] = {PCCRC_E_SHORT_HEADER, PCCRC_E_BAD_VERSION,
		PCCRC_E_BAD_HASH_ALGO, PCCRC_E_ZERO_SEGMENT_LENGTH,
		PCCRC_E_SEGMENT_TOO_LONG, PCCRC_E_OFFSET_OVERFLOW,
		PCCRC_E_FIRST_OFFSET_OUT_OF_RANGE,
		PCCRC_E_RANGE_OUT_OF_SEGMENTS, PCCRC_E_BAD_CHUNK_TYPE,
		PCCRC_E_EMPTY_CHUNK, PCCRC_E_CHUNK_LENGTH_NOT_MULTIPLE,
		PCCRC_E_CHUNK_TRUNCATED, PCCRC_E_NO_CHUNKS,
		PCCRC_E_INDEX_OFFSET_CONFLICT};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		refuse_check(
			f->bulk, f->captured, sizeof(f->captured), &rows[i]);
	refuse_complete(rows, ARRAY_LEN(rows), wanted, ARRAY_LEN(wanted));
}

static void
test_names(void **state)
{
	for (int i = 0; i < _PCCRC_E_MAX; i++) {
		assert_non_null(pccrc_refusal_name(i));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(
				pccrc_refusal_name(i), pccrc_refusal_name(k));
	}
	assert_string_equal(
		pccrc_refusal_name(PCCRC_E_HOD_MISMATCH), "hod-mismatch");
	assert_string_equal(pccrc_refusal_name(-1), "unknown");
	assert_string_equal(pccrc_refusal_name(_PCCRC_E_MAX), "unknown");
}

static struct pccrc_info *
parse(struct bulk *bulk, const uint8_t *data, size_t len)
{
	struct pccrc_info *info = NULL;
	int r = pccrc_parse(data, len, bulk, &info);

	if (r != 0)
		fail_msg("refused: %s", pccrc_refusal_name(r));
	return info;
}

/* What the info is written as, which parses to the same value. */
static void
check_written(struct bulk *bulk, const struct pccrc_info *info,
	const uint8_t *want, size_t len)
{
	struct pccrc_info *again;
	struct buf b;

	buf_init(&b, SIZE_MAX);
	assert_int_equal(pccrc_build(info, &b), 0);
	assert_int_equal(b.len, len);
	assert_memory_equal(b.data, want, len);
	again = parse(bulk, b.data, b.len);
	assert_true(same_info(info, again));
	pccrc_info_unref(again);
	buf_done(&b);
}

static void
test_windows(void **state)
{
	struct fixture *f = *state;
	struct pccrc_info *info =
		parse(f->bulk, f->captured, sizeof(f->captured));
	const struct pccrc_segment *s = info->segments;

	assert_int_equal(info->version, 2);
	assert_int_equal(info->hash, BULK_SHA512_256);
	assert_int_equal(info->hash_size, 32);
	assert_int_equal(info->range_start, 0);
	assert_int_equal(info->range_end, 99710);
	assert_int_equal(info->first_index, 0);
	assert_false(info->reaches_end);
	assert_int_equal(info->n_segments, 2);
	assert_int_equal(s[0].start, 0);
	assert_int_equal(s[0].len, 39390);
	assert_int_equal(s[1].start, 39390);
	assert_int_equal(s[1].len, 60320);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(s[i].n_blocks, 1);
		assert_int_equal(s[i].first_listed, 0);
		assert_int_equal(s[i].n_listed, 1);
		assert_true(s[i].proved);
		assert_memory_equal(s[i].hod, f->captured + 40 + i * ENTRY, 32);
		assert_memory_equal(s[i].kp, f->captured + 72 + i * ENTRY, 32);
		assert_ptr_equal(pccrc_block_hash(info, &s[i], 0), s[i].hod);
		assert_null(pccrc_block_hash(info, &s[i], 1));
		assert_int_equal(pccrc_block_len(info, &s[i], 0), s[i].len);
	}
	assert_int_equal(pccrc_segment_at(info, 39389), 0);
	assert_int_equal(pccrc_segment_at(info, 39390), 1);
	assert_int_equal(pccrc_segment_at(info, 99709), 1);
	assert_int_equal(pccrc_segment_at(info, 99710), 2);
	check_written(f->bulk, info, f->captured, sizeof(f->captured));
	pccrc_info_unref(info);
}

/* A segment behind the range is dropped, and so are more of them. */
static void
test_unused_segments(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[172 + 5 + 2 * ENTRY];
	struct pccrc_info *info;

	memcpy(bytes, f->captured, 172);
	/* A second chunk like the first. */
	memcpy(bytes + 172, f->captured + HEADER, 5 + 2 * ENTRY);
	hex_bytes(bytes + 27, 4, "000099de");
	info = parse(f->bulk, bytes, 172);
	assert_int_equal(info->n_segments, 1);
	assert_int_equal(info->range_end, 39390);
	assert_int_equal(pccrc_segment_at(info, 39390), 1);
	pccrc_info_unref(info);
	info = parse(f->bulk, bytes, sizeof(bytes));
	assert_int_equal(info->n_segments, 1);
	pccrc_info_unref(info);
	hex_bytes(bytes + 27, 4, "000099df");
	info = parse(f->bulk, bytes, sizeof(bytes));
	assert_int_equal(info->n_segments, 2);
	pccrc_info_unref(info);
	hex_bytes(bytes + 27, 4, "00000000");
	info = parse(f->bulk, bytes, sizeof(bytes));
	assert_int_equal(info->n_segments, 4);
	assert_int_equal(info->range_end, 2 * 99710);
	pccrc_info_unref(info);
}

/* 193536 bytes cut to 60, 85 and 44 KiB, whole: 240 bytes. */
static const char whole_header[] = "00 02 04 0000000000000000 0000000000000000"
				   "00000000 000000000002f400"
				   "00 000000cc";
/* The same, 100 KiB to 110 KiB: 104 bytes. */
static const char part_header[] = "00 02 04 000000000000f000 0000000000000001"
				  "0000a000 0000000000002800"
				  "00 00000044";

static void
test_example_whole(void **state)
{
	static const uint32_t lens[] = {0xf000, 0x15400, 0xb000};
	struct fixture *f = *state;
	uint8_t bytes[240], canonical[240];
	struct pccrc_info *info;
	uint64_t start = 0;

	memset(bytes, 0x33, sizeof(bytes));
	assert_int_equal(hex_bytes(bytes, 36, whole_header), 36);
	for (size_t i = 0; i < 3; i++) {
		uint8_t *entry = bytes + 36 + i * ENTRY;

		entry[0] = 0;
		entry[1] = (uint8_t)(lens[i] >> 16);
		entry[2] = (uint8_t)(lens[i] >> 8);
		entry[3] = (uint8_t)lens[i];
	}
	info = parse(f->bulk, bytes, sizeof(bytes));
	assert_int_equal(info->n_segments, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(info->segments[i].start, start);
		assert_int_equal(info->segments[i].len, lens[i]);
		start += lens[i];
	}
	assert_int_equal(info->range_end, 193536);
	/* The old spelling of the length; we write 0 for the whole. */
	memcpy(canonical, bytes, sizeof(bytes));
	memset(canonical + 23, 0, 8);
	check_written(f->bulk, info, canonical, sizeof(canonical));
	pccrc_info_unref(info);
}

static void
test_example_part(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[104];
	struct pccrc_info *info;

	memset(bytes, 0x33, sizeof(bytes));
	assert_int_equal(hex_bytes(bytes, 36, part_header), 36);
	hex_bytes(bytes + 36, 4, "00015400");
	info = parse(f->bulk, bytes, sizeof(bytes));
	assert_int_equal(info->n_segments, 1);
	assert_int_equal(info->first_index, 1);
	assert_int_equal(info->segments[0].start, 0xf000);
	assert_int_equal(info->range_start, 102400);
	assert_int_equal(info->range_end, 112640);
	assert_int_equal(pccrc_segment_at(info, 0xefff), 1);
	assert_int_equal(pccrc_segment_at(info, 0xf000), 0);
	check_written(f->bulk, info, bytes, sizeof(bytes));
	pccrc_info_unref(info);
}

/* Length 0 behind a later start: to the end of the segments. */
static void
test_zero_length_part(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[104], canonical[104];
	struct pccrc_info *info;

	memset(bytes, 0x33, sizeof(bytes));
	hex_bytes(bytes, 36, part_header);
	hex_bytes(bytes + 36, 4, "00015400");
	memcpy(canonical, bytes, sizeof(bytes));
	memset(bytes + 23, 0, 8);
	hex_bytes(canonical + 23, 8, "000000000000b400");
	info = parse(f->bulk, bytes, sizeof(bytes));
	assert_int_equal(info->range_start, 102400);
	assert_int_equal(info->range_end, 0xf000 + 0x15400);
	check_written(f->bulk, info, canonical, sizeof(canonical));
	pccrc_info_unref(info);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_unused_segments),
		cmocka_unit_test(test_example_whole),
		cmocka_unit_test(test_example_part),
		cmocka_unit_test(test_zero_length_part),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
