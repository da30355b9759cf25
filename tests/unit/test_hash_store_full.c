/* SPDX-License-Identifier: BSD-2-Clause */
/* The hash store on a disk that becomes full: what is published can always be
 * taken back. */
#include "tests/unit/hash_env.h"
#include "tests/unit/small_disk.h"

#define MOST 3000

static uint64_t ids[MOST];

static enum store_status
publish(struct fixture *f, size_t n, size_t hashes_len)
{
	struct hash_entry e;
	char label[32];

	snprintf(label, sizeof(label), "/f%zu", n);
	e = entry(ALICE, label, n, 1 + n * 7919 % hashes_len);
	return put_entry(f, &e, &ids[n]);
}

static void
fill_and_remove(size_t published, size_t hashes_len)
{
	struct fixture f;
	size_t n = 0;

	small_disk_begin(2000);
	setup(&f, DISK);
	while (n < published) {
		assert_int_equal(publish(&f, n, hashes_len), STORE_OK);
		n++;
	}
	small_disk_fill();
	while (n < MOST && publish(&f, n, hashes_len) == STORE_OK)
		n++;
	assert_true(n < MOST);
	assert_int_equal(stats(&f).health, STORE_FULL);
	close_store(&f);
	assert_int_equal(open_disk(&f, 0), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(remove_id(&f, ids[i]), STORE_OK);
	assert_int_equal(stats(&f).entries, 0);
	small_disk_free(1000);
	assert_int_equal(publish(&f, 0, hashes_len), STORE_OK);
	assert_int_equal(stats(&f).health, STORE_HEALTHY);
	teardown(&f);
	small_disk_begin(0);
}

static void
test_few(void **state)
{
	fill_and_remove(20, 300);
	fill_and_remove(20, 3000);
	fill_and_remove(20, 20000);
}

static void
test_many(void **state)
{
	fill_and_remove(600, 300);
	fill_and_remove(600, 3000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
