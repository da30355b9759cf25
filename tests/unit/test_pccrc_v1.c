/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/secmem.h"
#include "tests/unit/pccrc_refuse.h"

#define MIB32 PCCRC_SEGMENT_SIZE

struct fixture {
	struct bulk *bulk;
	uint8_t one[166]; /* a segment of two blocks, 99710 bytes: 0x1857e */
	uint8_t *two;     /* 32 MiB, and 1000 bytes */
	size_t two_len;
};

/* Version 1 content information of made-up block hashes. */
static uint8_t *
make(struct bulk *bulk, uint64_t length, uint64_t offset, uint64_t range,
	size_t *ret_len)
{
	struct pccrc_pub *pub = pccrc_pub_new(PCCRC_MAKE_V1);
	struct pccrc_desc *desc;
	size_t blocks = (size_t)((length + 65535) / 65536);
	uint8_t *hashes = random_bytes(blocks * 32, length), *bytes;

	assert_non_null(pub);
	assert_int_equal(pccrc_pub_set_blocks(pub, 0, hashes, blocks), 0);
	assert_int_equal(pccrc_pub_set_length(pub, length), 0);
	assert_int_equal(
		pccrc_pub_finish(pub, bulk, (const uint8_t *)"k", 1, &desc), 0);
	assert_int_equal(
		pccrc_desc_build(desc, 1, offset, range, &bytes, ret_len), 0);
	pccrc_desc_free(desc);
	pccrc_pub_free(pub);
	free(hashes);
	return bytes;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->bulk = bulk_new(BULK_AUTO);
	assert_non_null(f->bulk);
	assert_int_equal(hex_file(f->one, sizeof(f->one),
				 PCCRC_VECTORS "windows_v1.hex"),
		166);
	f->two = make(f->bulk, MIB32 + 1000, 0, MIB32 + 1000, &f->two_len);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	bulk_free(f->bulk);
	sec_free(f->two, f->two_len);
	free(f);
	return 0;
}

static const struct refuse_row one_segment[] = {
	{PCCRC_E_SHORT_HEADER, 0, 0, "", -166, 0},
	{PCCRC_E_SHORT_HEADER, 0, 0, "", -165, 0},
	{PCCRC_E_SHORT_HEADER, 0, 0, "", -(166 - 2), 0},
	{PCCRC_E_SHORT_HEADER, 0, 0, "", -(166 - 17), 0},
	{PCCRC_E_BAD_VERSION, 2, 0, "0003", 0, 0},
	{PCCRC_E_BAD_VERSION, 2, 0, "0101", 0, 0},
	{PCCRC_E_BAD_VERSION, 2, 0, "0100", 0, 0},
	{PCCRC_E_BAD_HASH_ALGO, 6, 2, "04800000", 0, 0},
	{PCCRC_E_BAD_HASH_ALGO, 6, 2, "0c800001", 0, 0},
	{PCCRC_E_ZERO_SEGMENTS, 18, 14, "00000000", 0, 0},
	{PCCRC_E_SEGMENT_TABLE_TRUNCATED, 18, 14, "ffffffff", 0, -EMSGSIZE},
	{PCCRC_E_SEGMENT_TABLE_TRUNCATED, 0, 0, "", -(166 - 18), 0},
	{PCCRC_E_SEGMENT_TABLE_TRUNCATED, 0, 0, "", -(166 - 97), 0},
	{PCCRC_E_BAD_BLOCK_SIZE, 34, 30, "00100000", 0, 0},
	{PCCRC_E_ZERO_SEGMENT_LENGTH, 34, 26, "00000000", 0, 0},
	{PCCRC_E_SEGMENT_TOO_LONG, 34, 26, "01000002", 0, 0},
	{PCCRC_E_SEGMENT_UNALIGNED, 34, 18, "0000010000000000", 0, 0},
	{PCCRC_E_OFFSET_OVERFLOW, 34, 18, "ffffffffffffffff", 0, 0},
	{PCCRC_E_FIRST_OFFSET_OUT_OF_RANGE, 34, 6, "7e850100", 0, 0},
	{PCCRC_E_RANGE_OUT_OF_SEGMENTS, 34, 10, "7f850100", 0, 0},
	/* One segment: dwRead counts from the start of the range. */
	{PCCRC_E_RANGE_OUT_OF_SEGMENTS, 34, 6, "010000007e850100", 0, 0},
	{PCCRC_E_BLOCK_COUNT_MISMATCH, 102, 98, "01000000", 0, 0},
	{PCCRC_E_BLOCK_COUNT_MISMATCH, 102, 98, "00000000", 0, 0},
	{PCCRC_E_BLOCK_TABLE_TRUNCATED, 102, 98, "ffffffff", 0,
		PCCRC_E_BLOCK_COUNT_MISMATCH},
	{PCCRC_E_BLOCK_TABLE_TRUNCATED, 0, 0, "", -1, 0},
	{PCCRC_E_BLOCK_TABLE_TRUNCATED, 0, 0, "", -32, 0},
	{PCCRC_E_HOD_MISMATCH, 0, 102, "0000", 0, 0},
	{PCCRC_E_HOD_MISMATCH, 0, 34, "0000", 0, 0},
	{PCCRC_E_TRAILING_BYTES, 167, 0, "", 1, 0},
	{PCCRC_E_TRAILING_BYTES, 167, 0, "", 100, 0},
};

static const struct refuse_row two_segments[] = {
	{PCCRC_E_SHORT_INNER_SEGMENT, 34, 26, "00000100", 0, 0},
	{PCCRC_E_SEGMENT_GAP, 114, 98, "0000000400000000", 0, 0},
	{PCCRC_E_SEGMENT_GAP, 114, 98, "0000000000000000", 0, 0},
	/* Several: from the start of the last one. */
	{PCCRC_E_RANGE_OUT_OF_SEGMENTS, 114, 10, "e9030000", 0, 0},
	{PCCRC_E_BLOCK_COUNT_MISMATCH, 182, 178, "ff010000", 0, 0},
	{PCCRC_E_SEGMENT_TABLE_TRUNCATED, 0, 0, "", -(16602 - 177), 0},
};

static void
test_refusals(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(one_segment); i++)
		refuse_check(f->bulk, f->one, sizeof(f->one), &one_segment[i]);
	for (size_t i = 0; i < ARRAY_LEN(two_segments); i++)
		refuse_check(f->bulk, f->two, f->two_len, &two_segments[i]);
}

static void
test_refusals_complete(void **state)
{
	static const int wanted[] = {PCCRC_E_SHORT_HEADER, PCCRC_E_BAD_VERSION,
		PCCRC_E_BAD_HASH_ALGO, PCCRC_E_ZERO_SEGMENTS,
		PCCRC_E_SEGMENT_TABLE_TRUNCATED, PCCRC_E_BAD_BLOCK_SIZE,
		PCCRC_E_ZERO_SEGMENT_LENGTH, PCCRC_E_SEGMENT_TOO_LONG,
		PCCRC_E_SEGMENT_UNALIGNED, PCCRC_E_OFFSET_OVERFLOW,
		PCCRC_E_FIRST_OFFSET_OUT_OF_RANGE,
		PCCRC_E_RANGE_OUT_OF_SEGMENTS, PCCRC_E_BLOCK_COUNT_MISMATCH,
		PCCRC_E_BLOCK_TABLE_TRUNCATED, PCCRC_E_HOD_MISMATCH,
		PCCRC_E_TRAILING_BYTES};
	static const int wanted_two[] = {
		PCCRC_E_SHORT_INNER_SEGMENT, PCCRC_E_SEGMENT_GAP};

	refuse_complete(
		one_segment, ARRAY_LEN(one_segment), wanted, ARRAY_LEN(wanted));
	refuse_complete(two_segments, ARRAY_LEN(two_segments), wanted_two,
		ARRAY_LEN(wanted_two));
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

/* build(parse(x)) is the same value, and parse(build()) changes no byte. */
static void
check_law(struct bulk *bulk, const struct pccrc_info *info)
{
	struct pccrc_info *again;
	struct buf a, b;

	buf_init(&a, SIZE_MAX);
	buf_init(&b, SIZE_MAX);
	assert_int_equal(pccrc_build(info, &a), 0);
	again = parse(bulk, a.data, a.len);
	assert_true(same_info(info, again));
	assert_int_equal(pccrc_build(again, &b), 0);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	pccrc_info_unref(again);
	buf_done(&a);
	buf_done(&b);
}

static void
test_windows(void **state)
{
	struct fixture *f = *state;
	struct pccrc_info *info = parse(f->bulk, f->one, sizeof(f->one));
	const struct pccrc_segment *s = info->segments;
	struct buf b;

	assert_int_equal(info->version, 1);
	assert_int_equal(info->hash, BULK_SHA256);
	assert_int_equal(info->hash_size, 32);
	assert_int_equal(info->range_start, 0);
	assert_int_equal(info->range_end, 99710);
	assert_true(info->reaches_end);
	assert_int_equal(info->n_segments, 1);
	assert_int_equal(s->start, 0);
	assert_int_equal(s->len, 99710);
	assert_int_equal(s->n_blocks, 2);
	assert_int_equal(s->n_listed, 2);
	assert_int_equal(s->first_listed, 0);
	assert_true(s->proved);
	assert_memory_equal(s->hod, f->one + 34, 32);
	assert_memory_equal(s->kp, f->one + 66, 32);
	assert_int_equal(pccrc_block_len(info, s, 0), 65536);
	assert_int_equal(pccrc_block_len(info, s, 1), 34174);
	assert_memory_equal(pccrc_block_hash(info, s, 0), f->one + 102, 32);
	assert_memory_equal(pccrc_block_hash(info, s, 1), f->one + 134, 32);
	assert_null(pccrc_block_hash(info, s, 2));
	check_law(f->bulk, info);
	/* Windows writes what we call canonical. */
	buf_init(&b, 4096);
	assert_int_equal(pccrc_build(info, &b), 0);
	assert_int_equal(b.len, 166);
	assert_memory_equal(b.data, f->one, 166);
	buf_done(&b);
	pccrc_info_unref(info);
}

struct form {
	uint32_t offset;
	uint32_t read;
	uint32_t listed;
	uint32_t first; /* block of the first hash */
	uint64_t start;
	uint64_t end;
	int refusal;
};

/* One segment of 300000 bytes, that is five blocks. */
static const struct form forms[] = {
	{0, 0, 5, 0, 0, 300000, 0},
	{0, 300000, 5, 0, 0, 300000, 0},
	{70000, 0, 5, 0, 70000, 300000, 0},
	{70000, 0, 4, 1, 70000, 300000, 0},
	{70000, 100, 1, 1, 70000, 70100, 0},
	{70000, 100, 2, 0, 70000, 70100, 0},
	{70000, 100, 5, 0, 70000, 70100, 0},
	{70000, 100, 3, 0, 0, 0, PCCRC_E_BLOCK_COUNT_MISMATCH},
	{65535, 2, 2, 0, 65535, 65537, 0},
	{65535, 1, 1, 0, 65535, 65536, 0},
	{65536, 65536, 1, 1, 65536, 131072, 0},
	{131072, 65537, 2, 2, 131072, 196609, 0},
	{131072, 65537, 4, 0, 131072, 196609, 0},
	{299999, 0, 1, 4, 299999, 300000, 0},
	{299999, 1, 1, 4, 299999, 300000, 0},
	{299999, 2, 1, 4, 0, 0, PCCRC_E_RANGE_OUT_OF_SEGMENTS},
	{300000, 0, 1, 4, 0, 0, PCCRC_E_FIRST_OFFSET_OUT_OF_RANGE},
};

static void
check_form(struct fixture *f, const uint8_t *whole, const struct form *row)
{
	uint8_t bytes[18 + 80 + 4 + 5 * 32];
	size_t len = 18 + 80 + 4 + row->listed * 32;
	struct pccrc_info *info = NULL;
	const struct pccrc_segment *s;

	memcpy(bytes, whole, sizeof(bytes));
	put_le32(bytes + 6, row->offset);
	put_le32(bytes + 10, row->read);
	put_le32(bytes + 98, row->listed);
	memcpy(bytes + 102, whole + 102 + (size_t)row->first * 32,
		(size_t)row->listed * 32);
	assert_int_equal(pccrc_parse(bytes, len, f->bulk, &info), row->refusal);
	if (row->refusal != 0)
		return;
	s = info->segments;
	assert_int_equal(info->range_start, row->start);
	assert_int_equal(info->range_end, row->end);
	assert_int_equal(s->first_listed, row->first);
	assert_int_equal(s->n_listed, row->listed);
	assert_int_equal(s->proved, row->listed == 5);
	for (uint32_t i = 0; i < 5; i++) {
		const uint8_t *hash = pccrc_block_hash(info, s, i);

		if (i < row->first || i >= row->first + row->listed)
			assert_null(hash);
		else
			assert_memory_equal(
				hash, whole + 102 + (size_t)i * 32, 32);
	}
	check_law(f->bulk, info);
	pccrc_info_unref(info);
}

static void
test_forms(void **state)
{
	struct fixture *f = *state;
	size_t len;
	uint8_t *whole = make(f->bulk, 300000, 0, 300000, &len);

	assert_int_equal(len, 18 + 80 + 4 + 5 * 32);
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		check_form(f, whole, &forms[i]);
	sec_free(whole, len);
}

/* dwRead counts from the start of the last segment when there are several;
 * 0 and the full count say the same and are written as 0. */
static void
test_several_segments(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE uint8_t *copy = malloc(f->two_len);
	struct pccrc_info *info, *explicit_info;

	memcpy(copy, f->two, f->two_len);
	info = parse(f->bulk, copy, f->two_len);
	assert_int_equal(info->n_segments, 2);
	assert_int_equal(info->range_end, MIB32 + 1000);
	assert_true(info->reaches_end);
	assert_int_equal(pccrc_segment_at(info, 0), 0);
	assert_int_equal(pccrc_segment_at(info, MIB32 - 1), 0);
	assert_int_equal(pccrc_segment_at(info, MIB32), 1);
	assert_int_equal(pccrc_segment_at(info, MIB32 + 999), 1);
	assert_int_equal(pccrc_segment_at(info, MIB32 + 1000), 2);
	assert_int_equal(pccrc_block_len(info, &info->segments[1], 0), 1000);
	check_law(f->bulk, info);
	put_le32(copy + 10, 1000);
	explicit_info = parse(f->bulk, copy, f->two_len);
	assert_true(same_info(info, explicit_info));
	check_law(f->bulk, explicit_info);
	pccrc_info_unref(explicit_info);
	put_le32(copy + 6, 5);
	put_le32(copy + 10, 1);
	explicit_info = parse(f->bulk, copy, f->two_len);
	assert_int_equal(explicit_info->range_start, 5);
	assert_int_equal(explicit_info->range_end, MIB32 + 1);
	check_law(f->bulk, explicit_info);
	pccrc_info_unref(explicit_info);
	pccrc_info_unref(info);
}

/* A range far inside: the segments before are not listed, and a last segment
 * of full size says nothing about the end of the content. */
static void
test_inner_range(void **state)
{
	struct fixture *f = *state;
	size_t len;
	uint8_t *bytes = make(f->bulk, UINT64_C(5) * MIB32,
		UINT64_C(2) * MIB32 + 70000, MIB32, &len);
	struct pccrc_info *info = parse(f->bulk, bytes, len);

	assert_int_equal(info->n_segments, 2);
	assert_int_equal(info->segments[0].start, UINT64_C(2) * MIB32);
	assert_int_equal(info->range_start, UINT64_C(2) * MIB32 + 70000);
	assert_int_equal(info->range_end, UINT64_C(3) * MIB32 + 70000);
	assert_true(info->segments[0].proved);
	assert_false(info->segments[1].proved);
	assert_int_equal(info->segments[1].n_listed, 2);
	assert_int_equal(info->segments[1].n_blocks, 512);
	assert_false(info->reaches_end);
	assert_int_equal(pccrc_segment_at(info, UINT64_C(2) * MIB32 - 1), 2);
	check_law(f->bulk, info);
	pccrc_info_unref(info);
	sec_free(bytes, len);
}

/* SHA-384 and SHA-512: one block each. */
static void
test_other_hashes(void **state)
{
	static const struct {
		enum bulk_hash hash;
		uint8_t wire;
	} rows[] = {{BULK_SHA384, 0x0d}, {BULK_SHA512, 0x0e}};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t h = bulk_digest_size(rows[i].hash);
		size_t len = 18 + 16 + 2 * h + 4 + h;
		uint8_t bytes[18 + 16 + 4 + 3 * 64];
		struct bulk_hash_job job = {
			bytes + 18 + 16 + 2 * h + 4, h, bytes + 34};
		struct pccrc_info *info;

		memset(bytes, 0x5a, sizeof(bytes));
		memcpy(bytes, f->one, 34);
		bytes[2] = rows[i].wire;
		put_le32(bytes + 26, 1000);
		put_le32(bytes + 34 + 2 * h, 1);
		assert_int_equal(bulk_hash(f->bulk, rows[i].hash, &job, 1), 0);
		info = parse(f->bulk, bytes, len);
		assert_int_equal(info->hash, rows[i].hash);
		assert_int_equal(info->hash_size, h);
		assert_ptr_equal(
			info->segments[0].kp, info->segments[0].hod + h);
		check_law(f->bulk, info);
		pccrc_info_unref(info);
		bytes[34] ^= 1;
		assert_int_equal(pccrc_parse(bytes, len, f->bulk, &info),
			PCCRC_E_HOD_MISMATCH);
	}
}

/* No beginning of a good structure passes for one. */
static void
test_prefixes(void **state)
{
	struct fixture *f = *state;
	struct pccrc_info *info = NULL;

	for (size_t len = 0; len < sizeof(f->one); len++)
		assert_true(pccrc_parse(f->one, len, f->bulk, &info) > 0);
	for (size_t len = 0; len < f->two_len; len += 101)
		assert_true(pccrc_parse(f->two, len, f->bulk, &info) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_refusals_complete),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_several_segments),
		cmocka_unit_test(test_inner_range),
		cmocka_unit_test(test_other_hashes),
		cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
