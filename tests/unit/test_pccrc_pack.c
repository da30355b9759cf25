/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptions without secrets, and back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/macros.h"
#include "common/secmem.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/pccrc_util.h"

#define BOTH      (PCCRC_MAKE_V1 | PCCRC_MAKE_V2)
#define DATA_SIZE (5u << 20)
#define HEADER    10u

static const uint8_t key[] = "key";
static struct bulk *bulk;
static uint8_t *data;

static int
setup(void **state)
{
	bulk = bulk_new(BULK_AUTO);
	data = random_bytes(DATA_SIZE, 7);
	return bulk != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	bulk_free(bulk);
	free(data);
	return 0;
}

static struct pccrc_desc *
describe(unsigned make, size_t len)
{
	struct pccrc_pub *pub = pccrc_pub_new(make);
	struct pccrc_desc *desc;

	assert_int_equal(pccrc_pub_feed(pub, bulk, data, len), 0);
	assert_int_equal(
		pccrc_pub_finish(pub, bulk, key, sizeof(key), &desc), 0);
	pccrc_pub_free(pub);
	return desc;
}

/* Made-up hashes of a content too large to be here. */
static struct pccrc_desc *
invent(uint64_t length)
{
	struct pccrc_pub *pub = pccrc_pub_new(PCCRC_MAKE_V1);
	size_t blocks = (size_t)((length + 65535) / 65536);
	AUTO_FREE uint8_t *hashes = random_bytes(blocks * 32, length);
	struct pccrc_desc *desc;

	assert_int_equal(pccrc_pub_set_blocks(pub, 0, hashes, blocks), 0);
	assert_int_equal(pccrc_pub_set_length(pub, length), 0);
	assert_int_equal(
		pccrc_pub_finish(pub, bulk, key, sizeof(key), &desc), 0);
	pccrc_pub_free(pub);
	return desc;
}

static struct buf
pack(const struct pccrc_desc *desc)
{
	struct buf b;

	buf_init(&b, SIZE_MAX);
	assert_int_equal(pccrc_desc_pack(desc, &b), 0);
	return b;
}

static int
unpack(const struct buf *b, struct pccrc_desc **ret)
{
	return pccrc_desc_unpack(b->data, b->len, bulk, key, sizeof(key), ret);
}

static void
assert_same_range(const struct pccrc_desc *a, const struct pccrc_desc *b,
	uint64_t offset, uint64_t length)
{
	for (int version = 1; version <= 2; version++) {
		uint8_t *x, *y;
		size_t x_len, y_len;

		if ((pccrc_desc_versions(a) & (unsigned)version) == 0)
			continue;
		assert_int_equal(pccrc_desc_build(a, version, offset, length,
					 &x, &x_len),
			0);
		assert_int_equal(pccrc_desc_build(b, version, offset, length,
					 &y, &y_len),
			0);
		assert_int_equal(x_len, y_len);
		assert_memory_equal(x, y, x_len);
		sec_free(x, x_len);
		sec_free(y, y_len);
	}
}

/* The law: nothing tells the one from the other. */
static void
check_law(struct pccrc_desc *desc, const struct pccrc_counts *want)
{
	uint64_t n = pccrc_desc_length(desc);
	struct pccrc_desc *again = NULL;
	struct pccrc_counts c;
	struct buf b = pack(desc);

	assert_int_equal(unpack(&b, &again), 0);
	assert_int_equal(pccrc_desc_length(again), n);
	assert_int_equal(pccrc_desc_versions(again), pccrc_desc_versions(desc));
	assert_int_equal(pccrc_desc_memory(again), pccrc_desc_memory(desc));
	assert_same_range(desc, again, 0, n);
	assert_same_range(desc, again, 0, 1);
	assert_same_range(desc, again, n - 1, 1);
	assert_same_range(desc, again, n / 3, n / 3 + 1);
	pccrc_packed_count(n, pccrc_desc_versions(desc), b.len, &c);
	assert_int_equal(c.v1_blocks, want->v1_blocks);
	assert_int_equal(c.v1_segments, want->v1_segments);
	if (want->v2_segments != UINT64_MAX)
		assert_int_equal(c.v2_segments, want->v2_segments);
	pccrc_desc_free(again);
	pccrc_desc_free(desc);
	buf_done(&b);
}

static void
test_law(void **state)
{
	static const size_t sizes[] = {1, 2, 32767, 32768, 32769, 65535, 65536,
		65537, 99710, 131072, 131073, 1000000, DATA_SIZE};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (unsigned make = 1; make <= BOTH; make++) {
			struct pccrc_counts want = {
				.v2_segments =
					make & PCCRC_MAKE_V2 ? UINT64_MAX : 0};

			if (make & PCCRC_MAKE_V1) {
				want.v1_segments = 1;
				want.v1_blocks = (sizes[i] + 65535) / 65536;
			}
			check_law(describe(make, sizes[i]), &want);
		}
}

static void
test_law_of_many_segments(void **state)
{
	static const uint64_t sizes[] = {
		33554431, 33554432, 33554433, 66 * UINT64_C(33554432) + 100};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		check_law(invent(sizes[i]),
			&(struct pccrc_counts){(sizes[i] + 33554431) / 33554432,
				(sizes[i] + 65535) / 65536, 0});
}

/* Another key gives other secrets and the same hashes. */
static void
test_other_key(void **state)
{
	struct pccrc_desc *desc = describe(BOTH, 200000), *other = NULL;
	struct buf b = pack(desc), again;

	assert_int_equal(pccrc_desc_unpack(b.data, b.len, bulk,
				 (const uint8_t *)"other", 5, &other),
		0);
	again = pack(other);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	for (int version = 1; version <= 2; version++) {
		struct pccrc_info *x, *y;
		uint8_t *bytes;
		size_t len;

		assert_int_equal(pccrc_desc_build(desc, version, 0, 200000,
					 &bytes, &len),
			0);
		assert_int_equal(pccrc_parse(bytes, len, bulk, &x), 0);
		sec_free(bytes, len);
		assert_int_equal(pccrc_desc_build(other, version, 0, 200000,
					 &bytes, &len),
			0);
		assert_int_equal(pccrc_parse(bytes, len, bulk, &y), 0);
		sec_free(bytes, len);
		assert_memory_equal(x->segments[0].hod, y->segments[0].hod, 32);
		assert_memory_not_equal(
			x->segments[0].kp, y->segments[0].kp, 32);
		pccrc_info_unref(x);
		pccrc_info_unref(y);
	}
	buf_done(&b);
	buf_done(&again);
	pccrc_desc_free(desc);
	pccrc_desc_free(other);
}

static bool
contains(const struct buf *b, const uint8_t *what, size_t len)
{
	return memmem(b->data, b->len, what, len) != NULL;
}

/* Nothing in it lets anybody read the content. */
static void
test_no_secrets(void **state)
{
	struct pccrc_desc *desc = describe(BOTH, 1000000);
	struct buf b = pack(desc);

	for (int version = 1; version <= 2; version++) {
		struct pccrc_info *info;
		uint8_t *bytes;
		size_t len;

		assert_int_equal(pccrc_desc_build(desc, version, 0, 1000000,
					 &bytes, &len),
			0);
		assert_int_equal(pccrc_parse(bytes, len, bulk, &info), 0);
		for (size_t i = 0; i < info->n_segments; i++) {
			assert_true(contains(&b, info->segments[i].hashes, 32));
			assert_false(contains(&b, info->segments[i].kp, 16));
		}
		pccrc_info_unref(info);
		sec_free(bytes, len);
	}
	assert_int_equal(
		b.len, HEADER + 16 * 32 + (b.len - HEADER - 16 * 32) / 36 * 36);
	buf_done(&b);
	pccrc_desc_free(desc);
}

static void
refused(struct buf *b)
{
	struct pccrc_desc *desc = NULL;

	assert_int_equal(unpack(b, &desc), -EBADMSG);
	assert_null(desc);
}

/* Where the bytes of one number are, and what is to be there for a moment. */
static void
refused_with(struct buf *b, size_t at, uint64_t v, size_t n)
{
	uint8_t was[8];

	memcpy(was, b->data + at, n);
	for (size_t i = 0; i < n; i++)
		b->data[at + i] = (uint8_t)(v >> 8 * i);
	refused(b);
	memcpy(b->data + at, was, n);
}

static void
test_hostile(void **state)
{
	struct pccrc_desc *desc = describe(BOTH, 300000), *again;
	struct buf b = pack(desc);
	size_t len = b.len, pieces = HEADER + 5 * 32;

	for (b.len = 0; b.len < len; b.len++)
		refused(&b);
	b.len = len;
	refused_with(&b, 0, 2, 1); /* format */
	refused_with(&b, 1, 0, 1); /* versions */
	refused_with(&b, 1, 1, 1);
	refused_with(&b, 1, 4, 1);
	refused_with(&b, 2, 0, 8); /* length */
	refused_with(&b, 2, 299999, 8);
	refused_with(&b, 2, 300001, 8);
	refused_with(&b, 2, UINT64_MAX, 8);
	refused_with(&b, 2, UINT64_MAX / 32, 8);
	refused_with(&b, 2, UINT64_C(1) << 48, 8);
	/* A piece: none, too long, too short in the middle, off by one. */
	refused_with(&b, pieces, 0, 4);
	refused_with(&b, pieces, 131073, 4);
	refused_with(&b, pieces, 32767, 4);
	refused_with(&b, pieces, UINT32_MAX, 4);
	refused_with(&b, len - 36, 0, 4);
	refused_with(&b, len - 36, 1, 4);
	buf_u8(&b, 0);
	refused(&b);
	b.len = len;
	assert_int_equal(unpack(&b, &again), 0);
	pccrc_desc_free(again);
	pccrc_desc_free(desc);
	buf_done(&b);
}

/* Version 2 alone has no other bound than its own lengths. */
static void
test_hostile_version_2(void **state)
{
	struct pccrc_desc *desc = describe(PCCRC_MAKE_V2, 40000), *again;
	struct buf b = pack(desc);
	struct pccrc_counts c;

	refused_with(&b, 2, UINT64_MAX, 8);
	refused_with(&b, 2, 40001, 8);
	assert_int_equal(unpack(&b, &again), 0);
	pccrc_desc_free(again);
	pccrc_packed_count(UINT64_MAX, BOTH, b.len, &c);
	assert_int_equal(c.v2_segments, 0);
	pccrc_packed_count(40000, PCCRC_MAKE_V2, 3, &c);
	assert_int_equal(c.v2_segments, 0);
	pccrc_packed_count(40000, PCCRC_MAKE_V2, b.len + 1, &c);
	assert_int_equal(c.v2_segments, 0);
	pccrc_desc_free(desc);
	buf_done(&b);
}

/* Two pieces of these lengths, whose sum is that of the content. */
static int
unpack_pieces(uint32_t a, uint32_t b)
{
	struct pccrc_desc *desc = NULL;
	struct buf packed;
	int r;

	buf_init(&packed, SIZE_MAX);
	buf_u8(&packed, 1);
	buf_u8(&packed, PCCRC_MAKE_V2);
	buf_le64(&packed, (uint64_t)a + b);
	buf_le32(&packed, a);
	buf_append(&packed, data, 32);
	buf_le32(&packed, b);
	buf_append(&packed, data, 32);
	r = unpack(&packed, &desc);
	buf_done(&packed);
	pccrc_desc_free(desc);
	return r;
}

static void
test_lengths_of_pieces(void **state)
{
	assert_int_equal(unpack_pieces(131072, 131072), 0);
	assert_int_equal(unpack_pieces(32768, 1), 0);
	assert_int_equal(unpack_pieces(131073, 1), -EBADMSG);
	assert_int_equal(unpack_pieces(32768, 131073), -EBADMSG);
	assert_int_equal(unpack_pieces(32767, 32768), -EBADMSG);
	assert_int_equal(unpack_pieces(32768, 0), -EBADMSG);
	assert_int_equal(unpack_pieces(0, 32768), -EBADMSG);
}

static void
test_empty(void **state)
{
	struct pccrc_desc *desc = describe(BOTH, 0);
	struct buf b;

	buf_init(&b, SIZE_MAX);
	assert_int_equal(pccrc_desc_pack(desc, &b), -EINVAL);
	buf_done(&b);
	pccrc_desc_free(desc);
}

static int
there_and_back(void *arg)
{
	struct pccrc_desc *again = NULL;
	struct buf b;
	int r;

	buf_init(&b, SIZE_MAX);
	r = pccrc_desc_pack(arg, &b);
	if (r == 0)
		r = unpack(&b, &again);
	assert_true((r == 0) == (again != NULL));
	pccrc_desc_free(again);
	buf_done(&b);
	return r;
}

static void
test_out_of_memory(void **state)
{
	struct pccrc_desc *desc = describe(BOTH, 1000000);

	assert_true(failalloc_each(there_and_back, desc) >= 5);
	pccrc_desc_free(desc);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_law),
		cmocka_unit_test(test_law_of_many_segments),
		cmocka_unit_test(test_other_key),
		cmocka_unit_test(test_no_secrets),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_hostile_version_2),
		cmocka_unit_test(test_lengths_of_pieces),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
