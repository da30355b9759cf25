/* SPDX-License-Identifier: BSD-2-Clause */
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
#define KIB       1024u
#define MIB       (1024u * 1024)

struct fixture {
	struct bulk *bulk;
	struct bulk *evp;
	uint8_t *data;
};

static const uint8_t key[] = "key";

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->bulk = bulk_new(BULK_AUTO);
	f->evp = bulk_new(BULK_EVP);
	f->data = random_bytes(DATA_SIZE, 21);
	assert_non_null(f->bulk);
	assert_non_null(f->evp);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	bulk_free(f->bulk);
	bulk_free(f->evp);
	free(f->data);
	free(f);
	return 0;
}

static struct pccrc_desc *
finish(const struct pccrc_pub *pub, struct bulk *bulk)
{
	struct pccrc_desc *desc = NULL;

	assert_int_equal(
		pccrc_pub_finish(pub, bulk, key, sizeof(key), &desc), 0);
	return desc;
}

/* Fed in pieces of sizes that change: step, then a bit more each time. */
static struct pccrc_desc *
describe(struct bulk *bulk, unsigned make, const uint8_t *data, size_t len,
	size_t step)
{
	struct pccrc_pub *pub = pccrc_pub_new(make);
	struct pccrc_desc *desc;
	size_t part;

	assert_non_null(pub);
	for (size_t at = 0; at < len; at += part) {
		part = MIN_OF(step + at % 7, len - at);
		assert_int_equal(pccrc_pub_feed(pub, bulk, data + at, part), 0);
		assert_int_equal(pccrc_pub_length(pub), at + part);
	}
	desc = finish(pub, bulk);
	pccrc_pub_free(pub);
	return desc;
}

/* A content of made-up hashes. */
static struct pccrc_desc *
invent(struct bulk *bulk, uint64_t length)
{
	struct pccrc_pub *pub = pccrc_pub_new(PCCRC_MAKE_V1);
	size_t blocks = (size_t)((length + 65535) / 65536);
	AUTO_FREE uint8_t *hashes = random_bytes(blocks * 32, length);
	struct pccrc_desc *desc;

	assert_non_null(pub);
	assert_int_equal(pccrc_pub_set_blocks(pub, 0, hashes, blocks), 0);
	assert_int_equal(pccrc_pub_set_length(pub, length), 0);
	desc = finish(pub, bulk);
	pccrc_pub_free(pub);
	return desc;
}

/* Every hash in info against the data itself. */
static void
check_against_data(struct fixture *f, const struct pccrc_info *info)
{
	uint8_t digest[64], ks[64], kp[64];

	assert_int_equal(
		pccrc_server_secret(f->evp, info->hash, key, sizeof(key), ks),
		0);
	for (size_t i = 0; i < info->n_segments; i++) {
		const struct pccrc_segment *s = &info->segments[i];

		for (uint32_t k = 0; k < s->n_listed; k++) {
			struct bulk_hash_job job = {
				f->data + s->start + (size_t)k * 65536,
				pccrc_block_len(info, s, k), digest};

			assert_int_equal(
				bulk_hash(f->evp, info->hash, &job, 1), 0);
			assert_memory_equal(
				pccrc_block_hash(info, s, k), digest, 32);
		}
		assert_int_equal(
			segment_secret(f->evp, info->hash, ks, s->hod, kp), 0);
		assert_memory_equal(s->kp, kp, 32);
	}
}

static void
check_range(struct fixture *f, const struct pccrc_desc *desc, int version,
	uint64_t offset, uint64_t length)
{
	struct pccrc_info *info = NULL;
	const struct pccrc_segment *last;
	struct buf again;
	uint8_t *bytes = NULL;
	size_t len = 0;

	assert_int_equal(
		pccrc_desc_build(desc, version, offset, length, &bytes, &len),
		0);
	assert_int_equal(pccrc_parse(bytes, len, f->evp, &info), 0);
	last = &info->segments[info->n_segments - 1];
	assert_int_equal(info->version, version);
	assert_int_equal(info->range_start, offset);
	assert_int_equal(info->range_end, offset + length);
	/* No segment that the range does not touch. */
	assert_true(offset < info->segments[0].start + info->segments[0].len);
	assert_true(last->start < offset + length);
	for (size_t i = 0; i < info->n_segments; i++)
		assert_int_equal(info->segments[i].first_listed, 0);
	if (version == 1)
		assert_int_equal(last->n_listed,
			(offset + length - last->start + 65535) / 65536);
	check_against_data(f, info);
	/* What we write is canonical. */
	buf_init(&again, SIZE_MAX);
	assert_int_equal(pccrc_build(info, &again), 0);
	assert_int_equal(again.len, len);
	assert_memory_equal(again.data, bytes, len);
	buf_done(&again);
	pccrc_info_unref(info);
	sec_free(bytes, len);
}

static void
test_sizes_and_ranges(void **state)
{
	static const size_t sizes[] = {1, 2, 32767, 32768, 32769, 65535, 65536,
		65537, 99710, 131072, 131073, 1000000, DATA_SIZE};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t n = sizes[i];
		struct pccrc_desc *desc =
			describe(f->bulk, BOTH, f->data, n, n);

		assert_int_equal(pccrc_desc_length(desc), n);
		assert_int_equal(pccrc_desc_versions(desc), BOTH);
		for (int version = 1; version <= 2; version++) {
			check_range(f, desc, version, 0, n);
			check_range(f, desc, version, 0, 1);
			check_range(f, desc, version, n - 1, 1);
			check_range(f, desc, version, n / 2, n - n / 2);
			check_range(f, desc, version, n / 3, n / 3 + 1);
		}
		pccrc_desc_free(desc);
	}
}

static void
assert_same(const struct pccrc_desc *a, const struct pccrc_desc *b)
{
	uint64_t length = pccrc_desc_length(a);

	assert_int_equal(pccrc_desc_length(b), length);
	for (int version = 1; version <= 2; version++) {
		uint8_t *x, *y;
		size_t x_len, y_len;

		assert_int_equal(
			pccrc_desc_build(a, version, 0, length, &x, &x_len), 0);
		assert_int_equal(
			pccrc_desc_build(b, version, 0, length, &y, &y_len), 0);
		assert_int_equal(x_len, y_len);
		assert_memory_equal(x, y, x_len);
		sec_free(x, x_len);
		sec_free(y, y_len);
	}
}

/* However the bytes come, and whoever hashes them. */
static void
test_feeding(void **state)
{
	static const size_t steps[] = {1, 1000, 32768, 65530, 65536, 65537,
		131072, 700000, 2u << 20, DATA_SIZE};
	struct fixture *f = *state;
	struct pccrc_desc *whole =
		describe(f->evp, BOTH, f->data, DATA_SIZE, DATA_SIZE);
	struct pccrc_desc *small =
		describe(f->evp, BOTH, f->data, 400000, 400000);

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct pccrc_desc *desc = describe(f->bulk, BOTH, f->data,
			steps[i] == 1 ? 400000 : DATA_SIZE, steps[i]);

		assert_same(steps[i] == 1 ? small : whole, desc);
		pccrc_desc_free(desc);
	}
	pccrc_desc_free(whole);
	pccrc_desc_free(small);
}

/* Content that is cut at the longest piece, over windows and feeds. */
static void
test_zeroes(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE uint8_t *zeroes = calloc(1, DATA_SIZE);
	struct pccrc_desc *a =
		describe(f->bulk, BOTH, zeroes, DATA_SIZE, DATA_SIZE);
	struct pccrc_desc *b =
		describe(f->bulk, BOTH, zeroes, DATA_SIZE, 50001);

	assert_same(a, b);
	pccrc_desc_free(a);
	pccrc_desc_free(b);
}

/* A finish in the middle changes nothing. */
static void
test_finish_and_go_on(void **state)
{
	struct fixture *f = *state;
	struct pccrc_pub *pub = pccrc_pub_new(BOTH);
	struct pccrc_desc *half, *desc, *want;

	assert_int_equal(pccrc_pub_feed(pub, f->bulk, f->data, 777777), 0);
	half = finish(pub, f->bulk);
	assert_int_equal(
		pccrc_pub_feed(pub, f->bulk, f->data + 777777, 111111), 0);
	desc = finish(pub, f->bulk);
	want = describe(f->evp, BOTH, f->data, 777777, 777777);
	assert_same(half, want);
	pccrc_desc_free(want);
	want = describe(f->evp, BOTH, f->data, 888888, 888888);
	assert_same(desc, want);
	pccrc_desc_free(want);
	pccrc_desc_free(half);
	pccrc_desc_free(desc);
	pccrc_pub_free(pub);
}

static void
test_versions(void **state)
{
	struct fixture *f = *state;
	struct pccrc_desc *v1 =
		describe(f->bulk, PCCRC_MAKE_V1, f->data, 100000, 1000);
	struct pccrc_desc *v2 =
		describe(f->bulk, PCCRC_MAKE_V2, f->data, 100000, 1000);
	uint8_t *bytes;
	size_t len;

	assert_int_equal(pccrc_desc_versions(v1), PCCRC_MAKE_V1);
	assert_int_equal(pccrc_desc_versions(v2), PCCRC_MAKE_V2);
	check_range(f, v1, 1, 5, 99995);
	check_range(f, v2, 2, 5, 99995);
	assert_int_equal(pccrc_desc_build(v1, 2, 0, 1, &bytes, &len), -EINVAL);
	assert_int_equal(pccrc_desc_build(v2, 1, 0, 1, &bytes, &len), -EINVAL);
	assert_int_equal(pccrc_desc_build(v1, 3, 0, 1, &bytes, &len), -EINVAL);
	assert_int_equal(pccrc_desc_build(v1, 1, 0, 0, &bytes, &len), -EINVAL);
	assert_int_equal(
		pccrc_desc_build(v1, 1, 0, 100001, &bytes, &len), -EINVAL);
	assert_int_equal(
		pccrc_desc_build(v1, 1, 100000, 1, &bytes, &len), -EINVAL);
	assert_int_equal(
		pccrc_desc_build(v1, 1, 1, UINT64_MAX, &bytes, &len), -EINVAL);
	/* 166 bytes of structure, at least. */
	assert_true(pccrc_desc_memory(v1) >= 166);
	assert_null(pccrc_desc_free(v1));
	assert_null(pccrc_desc_free(v2));
	assert_null(pccrc_desc_free(NULL));
	assert_null(pccrc_pub_free(NULL));
}

static void
test_empty(void **state)
{
	struct fixture *f = *state;
	struct pccrc_desc *desc = describe(f->bulk, BOTH, f->data, 0, 1);
	uint8_t *bytes;
	size_t len;

	assert_int_equal(pccrc_desc_length(desc), 0);
	assert_int_equal(
		pccrc_desc_build(desc, 1, 0, 1, &bytes, &len), -EINVAL);
	assert_int_equal(
		pccrc_desc_build(desc, 2, 0, 0, &bytes, &len), -EINVAL);
	pccrc_desc_free(desc);
}

struct example {
	uint64_t content;
	uint64_t offset;
	uint64_t length;
	size_t size; /* of the structure */
	uint32_t first_offset;
	uint32_t last_read;
	uint32_t n_segments;
	uint32_t counts[4]; /* cBlocks */
	size_t at[4];       /* where they are */
};

/* From the published examples; where their arithmetic is wrong, ours. */
static const struct example examples[] = {
	{128000, 0, 128000, 166, 0, 0, 1, {2}, {98}},
	{128000, 102400, 25600, 166, 102400, 0, 1, {2}, {98}},
	{131072000, 0, 131072000, 64354, 0, 0, 4, {512, 512, 512, 464},
		{338, 16726, 33114, 49502}},
	{131072000, 102400, 124 * MIB - 102400, 63842, 102400, 0x1c00000, 4,
		{512, 512, 512, 448}, {338, 16726, 33114, 49502}},
	{184946, 0, 184946, 198, 0, 0, 1, {3}, {98}},
	{65537, 0, 65537, 166, 0, 0, 1, {2}, {98}},
	{1, 0, 1, 134, 0, 0, 1, {1}, {98}},
	/* 1 GiB: ends with a full segment, and no empty one behind it. */
	{1024 * MIB, 0, 1024 * MIB, 526994, 0, 0, 32, {512}, {18 + 32 * 80}},
};

static void
check_example(struct fixture *f, const struct example *e)
{
	struct pccrc_desc *desc = invent(f->bulk, e->content);
	struct pccrc_info *info = NULL;
	uint8_t *bytes;
	size_t len;

	assert_int_equal(
		pccrc_desc_build(desc, 1, e->offset, e->length, &bytes, &len),
		0);
	assert_int_equal(len, e->size);
	assert_int_equal(get_le32(bytes + 6), e->first_offset);
	assert_int_equal(get_le32(bytes + 10), e->last_read);
	assert_int_equal(get_le32(bytes + 14), e->n_segments);
	for (size_t i = 0; i < 4 && e->at[i] != 0; i++)
		assert_int_equal(get_le32(bytes + e->at[i]), e->counts[i]);
	assert_int_equal(pccrc_parse(bytes, len, f->bulk, &info), 0);
	assert_int_equal(info->range_start, e->offset);
	assert_int_equal(info->range_end, e->offset + e->length);
	pccrc_info_unref(info);
	sec_free(bytes, len);
	pccrc_desc_free(desc);
}

static void
test_examples(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(examples); i++)
		check_example(*state, &examples[i]);
}

/* Hashes computed elsewhere, given in any order, are as good as fed bytes. */
static void
test_set_blocks(void **state)
{
	struct fixture *f = *state;
	const size_t len = 300000;
	struct pccrc_pub *pub = pccrc_pub_new(PCCRC_MAKE_V1);
	struct pccrc_desc *want =
		describe(f->evp, PCCRC_MAKE_V1, f->data, len, len);
	struct pccrc_desc *got;
	uint8_t hashes[5][32], *x, *y;
	size_t x_len, y_len;

	for (size_t i = 0; i < 5; i++) {
		struct bulk_hash_job job = {f->data + i * 65536,
			MIN_OF(65536, len - i * 65536), hashes[i]};

		assert_int_equal(bulk_hash(f->evp, BULK_SHA256, &job, 1), 0);
	}
	assert_int_equal(pccrc_pub_set_length(pub, len), -EINVAL);
	assert_int_equal(pccrc_pub_set_blocks(pub, 3, hashes[3], 2), 0);
	assert_int_equal(pccrc_pub_set_length(pub, len), -EINVAL);
	assert_int_equal(pccrc_pub_set_blocks(pub, 0, hashes[0], 3), 0);
	assert_int_equal(pccrc_pub_set_length(pub, 65536), -EINVAL);
	assert_int_equal(pccrc_pub_set_length(pub, len), 0);
	got = finish(pub, f->bulk);
	assert_int_equal(pccrc_desc_build(want, 1, 0, len, &x, &x_len), 0);
	assert_int_equal(pccrc_desc_build(got, 1, 0, len, &y, &y_len), 0);
	assert_int_equal(x_len, y_len);
	assert_memory_equal(x, y, x_len);
	sec_free(x, x_len);
	sec_free(y, y_len);
	pccrc_desc_free(want);
	pccrc_desc_free(got);
	pccrc_pub_free(pub);
}

static int
all_steps(void *arg)
{
	struct fixture *f = arg;
	struct pccrc_pub *pub = pccrc_pub_new(BOTH);
	struct pccrc_desc *desc = NULL;
	uint8_t *bytes = NULL;
	size_t len = 0;
	int r = pub != NULL ? 0 : -ENOMEM;

	if (r == 0)
		r = pccrc_pub_feed(pub, f->evp, f->data, 700000);
	if (r == 0)
		r = pccrc_pub_feed(
			pub, f->evp, f->data + 700000, DATA_SIZE / 2);
	if (r == 0)
		r = pccrc_pub_finish(pub, f->evp, key, sizeof(key), &desc);
	if (r == 0)
		r = pccrc_desc_build(desc, 1, 5, 1000, &bytes, &len);
	if (r == 0)
		bytes = sec_free(bytes, len);
	if (r == 0)
		r = pccrc_desc_build(desc, 2, 5, 1000, &bytes, &len);
	if (r == 0)
		sec_free(bytes, len);
	pccrc_desc_free(desc);
	pccrc_pub_free(pub);
	return r;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(all_steps, *state) > 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes_and_ranges),
		cmocka_unit_test(test_feeding),
		cmocka_unit_test(test_zeroes),
		cmocka_unit_test(test_finish_and_go_on),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_set_blocks),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
