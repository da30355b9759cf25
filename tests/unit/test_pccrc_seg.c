/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "codec/pccrc_priv.h"
#include "common/macros.h"
#include "tests/unit/pccrc_util.h"

#define RANDOM_SIZE  3000000u
#define NUMBERS_SIZE 1500000u
#define ZEROES_SIZE  400000u
#define SHIFT_SIZE   (64u << 20)

/* Reads expected lengths one by one. */
static FILE *
open_cuts(const char *name)
{
	char path[128], line[128];
	FILE *f;
	int c;

	(void)snprintf(path, sizeof(path), PCCRC_VECTORS "cuts_%s.txt", name);
	f = fopen(path, "re");
	assert_non_null(f);
	while ((c = getc(f)) == '#')
		assert_non_null(fgets(line, sizeof(line), f));
	ungetc(c, f);
	return f;
}

static void
check_cuts(const char *name, const uint8_t *data, size_t len)
{
	FILE *f = open_cuts(name);
	unsigned long want;

	for (size_t at = 0; at < len;) {
		size_t cut = pccrc_cut(data + at, len - at, true);

		assert_int_equal(fscanf(f, "%lu", &want), 1);
		assert_int_equal(cut, want);
		at += cut;
	}
	assert_int_equal(fscanf(f, "%lu", &want), EOF);
	fclose(f);
}

static uint8_t *
numbers(size_t len)
{
	uint8_t *data = malloc(len + 32);
	size_t at = 0;

	assert_non_null(data);
	for (unsigned long n = 0; at < len; n++)
		at += (size_t)snprintf((char *)data + at, 32, "%lu\n", n);
	return data;
}

static void
test_committed_cuts(void **state)
{
	AUTO_FREE uint8_t *data = random_bytes(RANDOM_SIZE, 1);
	AUTO_FREE uint8_t *text = numbers(NUMBERS_SIZE);
	AUTO_FREE uint8_t *zeroes = calloc(1, ZEROES_SIZE);

	check_cuts("random", data, RANDOM_SIZE);
	check_cuts("numbers", text, NUMBERS_SIZE);
	check_cuts("zeroes", zeroes, ZEROES_SIZE);
}

/* The table as the rule makes it. */
static void
make_table(uint64_t table[256])
{
	struct bulk *bulk = bulk_new(BULK_EVP);

	assert_non_null(bulk);
	for (size_t n = 0; n < 256; n++) {
		uint8_t seed[26] = "peerdist version 2 cutter", digest[32];
		struct bulk_hash_job job = {seed, sizeof(seed), digest};

		seed[25] = (uint8_t)n;
		assert_int_equal(bulk_hash(bulk, BULK_SHA256, &job, 1), 0);
		table[n] = 0;
		for (size_t i = 8; i-- > 0;)
			table[n] = table[n] << 8 | digest[i];
	}
	bulk_free(bulk);
}

/* The rule, word for word. */
static size_t
cut_by_rule(const uint64_t table[256], const uint8_t *data, size_t len)
{
	for (size_t p = PCCRC_CUT_MIN; p < MIN_OF(len, PCCRC_CUT_MAX); p++) {
		uint64_t gear = 0;

		for (size_t i = 0; i < 64; i++)
			gear += table[data[p - 1 - i]] << i;
		if (gear < (UINT64_C(1) << (p < PCCRC_CUT_AVG ? 48 : 50)))
			return p;
	}
	return MIN_OF(len, PCCRC_CUT_MAX);
}

static void
test_rule(void **state)
{
	AUTO_FREE uint8_t *data = random_bytes(RANDOM_SIZE, 3);
	uint64_t table[256];
	size_t cut;

	make_table(table);
	for (size_t at = 0; at < RANDOM_SIZE; at += cut) {
		cut = pccrc_cut(data + at, RANDOM_SIZE - at, true);
		assert_int_equal(
			cut, cut_by_rule(table, data + at, RANDOM_SIZE - at));
	}
}

/* Of two places that pass the first counts, however the search takes turns
 * between parts of the content. */
static void
test_first_of_two(void **state)
{
	const size_t first = PCCRC_CUT_MIN + 4096 + 100;
	AUTO_FREE uint8_t *random = random_bytes(RANDOM_SIZE, 1);
	AUTO_FREE uint8_t *data = malloc(PCCRC_CUT_AVG);
	const uint8_t *passes = random;
	size_t at;

	assert_non_null(data);
	while ((at = pccrc_cut(passes, PCCRC_CUT_AVG, false)) == 0)
		passes += PCCRC_CUT_MIN;
	passes += at;
	for (size_t apart = 64; apart <= 4096; apart++) {
		memset(data, 0, PCCRC_CUT_AVG);
		memcpy(data + first - 64, passes - 64, 64);
		memcpy(data + first + apart - 64, passes - 64, 64);
		at = pccrc_cut(data, PCCRC_CUT_AVG, true);
		assert_int_equal(at, first);
	}
}

/* However the bytes come, the cut is the same and is told as soon as they
 * allow. */
static void
test_growing(void **state)
{
	AUTO_FREE uint8_t *data = random_bytes(RANDOM_SIZE, 1);

	for (size_t at = 0; at + PCCRC_CUT_MAX < RANDOM_SIZE;) {
		size_t want = pccrc_cut(data + at, PCCRC_CUT_MAX, false);
		size_t known = 0, cut, step = 1 + at % 4099;

		for (;; known += step) {
			cut = pccrc_cut_more(
				data + at, known + step, known, false);
			if (cut != 0)
				break;
			assert_true(known + step < want);
		}
		assert_int_equal(cut, want);
		assert_int_equal(pccrc_cut(data + at, want - 1, false), 0);
		assert_int_equal(pccrc_cut(data + at, want, false), want);
		assert_int_equal(
			pccrc_cut(data + at, want - 1, true), want - 1);
		at += want;
	}
}

static void
test_short(void **state)
{
	const uint8_t data[100] = {0};

	assert_int_equal(pccrc_cut(data, 1, true), 1);
	assert_int_equal(pccrc_cut(data, 100, true), 100);
	assert_int_equal(pccrc_cut(data, 100, false), 0);
	assert_int_equal(pccrc_cut(data, 0, false), 0);
}

/* Ends of pieces in data, counted from its end. */
static size_t
ends(const uint8_t *data, size_t len, size_t *ret_ends, size_t max)
{
	size_t n = 0;

	for (size_t at = 0; at < len;) {
		at += pccrc_cut(data + at, len - at, true);
		assert_true(n < max);
		ret_ends[n++] = len - at;
	}
	return n;
}

static void
test_one_byte_in_front(void **state)
{
	static size_t before[SHIFT_SIZE / PCCRC_CUT_MIN + 1];
	static size_t after[SHIFT_SIZE / PCCRC_CUT_MIN + 1];
	uint8_t *data = random_bytes(SHIFT_SIZE + 1, 2);
	size_t n, m, found = 0;

	n = ends(data + 1, SHIFT_SIZE, before, ARRAY_LEN(before));
	m = ends(data, SHIFT_SIZE + 1, after, ARRAY_LEN(after));
	free(data);
	for (size_t i = 0, k = 0; i < n; i++) {
		while (k < m && after[k] > before[i])
			k++;
		found += k < m && after[k] == before[i];
	}
	print_message("%zu of %zu cuts found again\n", found, n);
	assert_true(found * 100 >= n * 95);
	/* Around 64 KiB. */
	assert_in_range(SHIFT_SIZE / n, 60 * 1024, 70 * 1024);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_committed_cuts),
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_first_of_two),
		cmocka_unit_test(test_growing),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_one_byte_in_front),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
