/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/macros.h"
#include "common/secmem.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/pccrc_util.h"

#define N_SAMPLES  4
#define BIG_PIECES 4000

struct sample {
	uint8_t *bytes;
	size_t len;
};

struct fixture {
	struct bulk *bulk;
	/* Windows version 1 and 2, 70 MiB of version 1, many pieces of 2 */
	struct sample samples[N_SAMPLES];
};

static struct sample
sample_file(const char *path)
{
	struct sample s = {malloc(256), 0};

	assert_non_null(s.bytes);
	s.len = hex_file(s.bytes, 256, path);
	return s;
}

static struct sample
sample_v1(struct bulk *bulk)
{
	const size_t blocks = 70 * 16;
	uint8_t *hashes = random_bytes(blocks * 32, 4), *bytes;
	struct pccrc_pub *pub = pccrc_pub_new(PCCRC_MAKE_V1);
	struct pccrc_desc *desc;
	struct sample s;

	assert_non_null(pub);
	assert_int_equal(pccrc_pub_set_blocks(pub, 0, hashes, blocks), 0);
	assert_int_equal(pccrc_pub_set_length(pub, blocks * 65536), 0);
	assert_int_equal(pccrc_pub_finish(pub, bulk, hashes, 32, &desc), 0);
	assert_int_equal(
		pccrc_desc_build(desc, 1, 0, blocks * 65536, &bytes, &s.len),
		0);
	s.bytes = malloc(s.len);
	assert_non_null(s.bytes);
	memcpy(s.bytes, bytes, s.len);
	sec_free(bytes, s.len);
	pccrc_desc_free(desc);
	pccrc_pub_free(pub);
	free(hashes);
	return s;
}

/* Two chunks of made-up pieces. */
static struct sample
sample_v2(void)
{
	size_t chunk = BIG_PIECES / 2 * 68, at = 31;
	struct sample s = {NULL, 31 + 2 * (5 + chunk)};

	s.bytes = random_bytes(s.len, 9);
	memset(s.bytes, 0, 31);
	s.bytes[1] = 2;
	s.bytes[2] = 4;
	for (int c = 0; c < 2; c++) {
		for (int i = 0; i < 5; i++)
			s.bytes[at + (size_t)i] =
				i == 0 ? 0 : (uint8_t)(chunk >> 8 * (4 - i));
		at += 5;
		for (size_t i = 0; i < BIG_PIECES / 2; i++, at += 68) {
			s.bytes[at] = 0;
			s.bytes[at + 1] = 0;
			s.bytes[at + 2] |= 1;
		}
	}
	return s;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->bulk = bulk_new(BULK_EVP);
	assert_non_null(f->bulk);
	f->samples[0] = sample_file(PCCRC_VECTORS "windows_v1.hex");
	f->samples[1] = sample_file(PCCRC_VECTORS "windows_v2.hex");
	f->samples[2] = sample_v1(f->bulk);
	f->samples[3] = sample_v2();
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < N_SAMPLES; i++)
		free(f->samples[i].bytes);
	bulk_free(f->bulk);
	free(f);
	return 0;
}

static void
feed(struct pccrc_parser *p, const struct sample *s, size_t from, size_t to,
	size_t piece)
{
	for (size_t at = from; at < to; at += piece)
		assert_int_equal(pccrc_parser_feed(p, s->bytes + at,
					 MIN_OF(piece, to - at)),
			0);
	assert_int_equal(pccrc_parser_fed(p), to);
}

/* The parser gives what the whole gives. */
static void
check_finish(struct fixture *f, struct pccrc_parser *p, const struct sample *s)
{
	struct pccrc_info *info = NULL, *whole = NULL;

	assert_int_equal(pccrc_parser_finish(p, f->bulk, &info), 0);
	assert_int_equal(pccrc_parse(s->bytes, s->len, f->bulk, &whole), 0);
	assert_true(same_info(info, whole));
	assert_int_equal(info->n_bytes, s->len);
	assert_memory_equal(info->bytes, s->bytes, s->len);
	pccrc_info_unref(info);
	pccrc_info_unref(whole);
}

static void
test_pieces(void **state)
{
	static const size_t pieces[] = {1, 2, 3, 7, 67, 1000, 65536, 1 << 20};
	struct fixture *f = *state;

	for (size_t i = 0; i < N_SAMPLES; i++) {
		const struct sample *s = &f->samples[i];

		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			struct pccrc_parser *p = pccrc_parser_new(s->len);

			assert_non_null(p);
			assert_int_equal(pccrc_parser_feed(p, NULL, 0), 0);
			feed(p, s, 0, s->len, pieces[k]);
			check_finish(f, p, s);
			pccrc_parser_free(p);
		}
	}
}

/* Finishing too early is refused and changes nothing. */
static void
test_early_finish(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < N_SAMPLES; i++) {
		const struct sample *s = &f->samples[i];
		struct pccrc_parser *p = pccrc_parser_new(s->len);
		size_t step = s->len / 50 + 1;

		for (size_t at = 0; at < s->len; at += step) {
			struct pccrc_info *info = NULL;
			int r = pccrc_parser_finish(p, f->bulk, &info);

			/* Version 2 may end behind any chunk. */
			assert_true(r > 0 || i == 3);
			pccrc_info_unref(info);
			feed(p, s, at, MIN_OF(at + step, s->len), step);
		}
		check_finish(f, p, s);
		check_finish(f, p, s);
		pccrc_parser_free(p);
	}
}

/* Back to any earlier length and on again, also from a refusal. */
static void
test_rollback(void **state)
{
	static const uint8_t junk[200] = {0xff, 0xff};
	struct fixture *f = *state;
	uint64_t x = 3;

	for (size_t i = 0; i < N_SAMPLES; i++) {
		const struct sample *s = &f->samples[i];
		struct pccrc_parser *p = pccrc_parser_new(s->len + 1000);
		size_t piece = s->len / 40 + 1, at = 0;

		for (int round = 0; round < 300 && at < s->len; round++) {
			size_t back = splitmix(&x) % (at + 1), to;

			if (round % 3 == 0) {
				assert_int_equal(
					pccrc_parser_rollback(p, back), 0);
				at = back;
			}
			to = MIN_OF(at + piece, s->len);
			feed(p, s, at, to, piece / 3 + 1);
			at = to;
			(void)pccrc_parser_feed(p, junk, sizeof(junk));
			assert_int_equal(pccrc_parser_rollback(p, at), 0);
			assert_int_equal(pccrc_parser_fed(p), at);
		}
		feed(p, s, at, s->len, piece);
		check_finish(f, p, s);
		pccrc_parser_free(p);
	}
}

/* A failure stays until the bytes that caused it are gone. */
static void
test_sticky(void **state)
{
	struct fixture *f = *state;
	const struct sample *s = &f->samples[0];
	struct pccrc_parser *p = pccrc_parser_new(1000);
	struct pccrc_info *info = NULL;

	feed(p, s, 0, 2, 2);
	assert_int_equal(
		pccrc_parser_feed(p, s->bytes, 4), PCCRC_E_BAD_HASH_ALGO);
	assert_int_equal(
		pccrc_parser_feed(p, s->bytes + 2, 4), PCCRC_E_BAD_HASH_ALGO);
	assert_int_equal(
		pccrc_parser_finish(p, f->bulk, &info), PCCRC_E_BAD_HASH_ALGO);
	assert_null(info);
	assert_int_equal(pccrc_parser_rollback(p, 6), PCCRC_E_BAD_HASH_ALGO);
	assert_int_equal(pccrc_parser_rollback(p, 2), 0);
	feed(p, s, 2, s->len, 9);
	check_finish(f, p, s);
	pccrc_parser_free(p);
}

static void
test_cap(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < N_SAMPLES; i++) {
		const struct sample *s = &f->samples[i];
		struct pccrc_parser *p = pccrc_parser_new(s->len - 1);
		int r = pccrc_parser_feed(p, s->bytes, s->len);

		assert_int_equal(r, -EMSGSIZE);
		assert_int_equal(pccrc_parser_feed(p, s->bytes, 1), -EMSGSIZE);
		assert_int_equal(pccrc_parser_rollback(p, 0), 0);
		/* Byte by byte a count tells earlier, the last byte latest. */
		for (size_t at = 0; at < s->len && r == 0; at++)
			r = pccrc_parser_feed(p, s->bytes + at, 1);
		assert_int_equal(r, -EMSGSIZE);
		pccrc_parser_free(p);
	}
}

/* The info keeps its bytes whatever becomes of the parser. */
static void
test_shared_bytes(void **state)
{
	struct fixture *f = *state;
	const struct sample *s = &f->samples[0], *t = &f->samples[2];
	struct pccrc_parser *p = pccrc_parser_new(t->len);
	struct pccrc_info *info = NULL;
	const uint8_t *bytes;

	feed(p, s, 0, s->len, 50);
	assert_int_equal(pccrc_parser_finish(p, f->bulk, &info), 0);
	bytes = info->bytes;
	assert_int_equal(pccrc_parser_rollback(p, 0), 0);
	feed(p, t, 0, t->len, 50);
	assert_ptr_equal(info->bytes, bytes);
	assert_memory_equal(bytes, s->bytes, s->len);
	check_finish(f, p, t);
	pccrc_parser_free(p);
	assert_memory_equal(info->segments[0].kp, s->bytes + 66, 32);
	assert_ptr_equal(pccrc_info_ref(info), info);
	pccrc_info_unref(info);
	assert_memory_equal(info->bytes, s->bytes, s->len);
	assert_null(pccrc_info_unref(info));
}

static void
test_nothing(void **state)
{
	struct fixture *f = *state;
	struct pccrc_info *info = NULL;

	assert_int_equal(
		pccrc_parse(NULL, 0, f->bulk, &info), PCCRC_E_SHORT_HEADER);
	assert_null(pccrc_parser_free(NULL));
	assert_null(pccrc_info_unref(NULL));
	/* Many segments, little memory for each. */
	assert_true(sizeof(struct pccrc_segment) <= 48);
}

/* Feed, finish, go on, build: each allocation fails once. */
static int
all_steps(void *arg)
{
	struct fixture *f = arg;
	const struct sample *s = &f->samples[3];
	struct pccrc_parser *p = pccrc_parser_new(2 * s->len);
	struct pccrc_info *info = NULL, *whole = NULL;
	struct buf b;
	int r = p != NULL ? 0 : -ENOMEM;

	buf_init(&b, SIZE_MAX);
	for (size_t at = 0; r == 0 && at < s->len; at += 70000)
		r = pccrc_parser_feed(
			p, s->bytes + at, MIN_OF(70000, s->len - at));
	if (r == 0)
		r = pccrc_parser_finish(p, f->bulk, &info);
	if (r == 0)
		r = pccrc_parser_rollback(p, 0);
	if (r == 0)
		r = pccrc_parser_feed(p, s->bytes, s->len);
	if (r == 0)
		r = pccrc_build(info, &b);
	if (r == 0)
		r = pccrc_parse(b.data, b.len, f->bulk, &whole);
	if (r == 0)
		assert_true(same_info(info, whole));
	pccrc_info_unref(whole);
	pccrc_info_unref(info);
	pccrc_parser_free(p);
	buf_done(&b);
	return r;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(all_steps, *state) > 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_early_finish),
		cmocka_unit_test(test_rollback),
		cmocka_unit_test(test_sticky),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_shared_bytes),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
