/* SPDX-License-Identifier: BSD-2-Clause */
/* A flush finds what is its owner's, even when a row about him is damaged. */
#include "tests/unit/disk_env.h"

#include "daemon/store/store_disk_priv.h"

#define SEGMENTS 20u

static struct disk_env x;
static struct index *ix;
static uint8_t alice_key[OWNER_KEY], bob_key[OWNER_KEY];
static uint8_t alice_number[4], bob_number[4];

static int
setup(void **state)
{
	disk_env_init(&x);
	disk_env_open(&x);
	return 0;
}

static int
teardown(void **state)
{
	disk_env_done(&x);
	return 0;
}

static struct index_blob
blob(const void *data, size_t len)
{
	return (struct index_blob){data, len};
}

static void
row_put(enum disk_table table, struct index_blob key, struct index_blob value)
{
	assert_int_equal(index_txn_put(ix, table, key, value), 0);
}

/* value.data NULL: all of the key. */
static void
row_delete(
	enum disk_table table, struct index_blob key, struct index_blob value)
{
	assert_int_equal(index_txn_delete(ix, table, key, value), 0);
}

static const struct index_blob all;
#define WHO    blob(alice_key, OWNER_KEY)
#define NUMBER blob(alice_number, 4)

static void
nothing_is_damaged(void)
{
}

static void
owner_is_lost(void)
{
	row_delete(T_OWNERS, WHO, all);
}

static void
owner_is_another(void)
{
	uint8_t key[OWNER_KEY];

	memcpy(key, alice_key, sizeof(key));
	key[10] ^= 4;
	row_delete(T_OWNERS, WHO, all);
	row_put(T_OWNERS, blob(key, sizeof(key)), NUMBER);
}

static void
owner_has_no_number(void)
{
	row_put(T_OWNERS, WHO, blob("abc", 3));
}

static void
owner_has_a_wrong_number(void)
{
	row_put(T_OWNERS, WHO, blob("\0\0\7\7", 4));
}

static void
owner_has_bobs_number(void)
{
	row_put(T_OWNERS, WHO, blob(bob_number, 4));
}

static void
name_is_lost(void)
{
	row_delete(T_NAMES, NUMBER, all);
}

static void
name_is_wrong(void)
{
	uint8_t key[OWNER_KEY];

	memcpy(key, alice_key, sizeof(key));
	key[3] ^= 0x80;
	row_put(T_NAMES, NUMBER, blob(key, sizeof(key)));
}

static void
name_is_bobs(void)
{
	row_put(T_NAMES, NUMBER, blob(bob_key, sizeof(bob_key)));
}

static void
list_is_lost(void)
{
	row_delete(T_OWNED, NUMBER, all);
}

static void
list_has_a_wrong_segment(void)
{
	struct store_ref ref = disk_ref(3, 0, 'p');
	uint8_t id[STORE_ID_MAX];

	memcpy(id, ref.id, ref.id_len);
	id[20] ^= 1;
	row_delete(T_OWNED, NUMBER, blob(ref.id, ref.id_len));
	row_put(T_OWNED, NUMBER, blob(id, ref.id_len));
}

static void
number_of(const uint8_t *key, uint8_t ret[4])
{
	struct index_blob v;

	assert_int_equal(
		index_txn_get(ix, T_OWNERS, blob(key, OWNER_KEY), &v), 0);
	assert_int_equal(v.len, 4);
	memcpy(ret, v.data, 4);
}

static void
change_index(void (*damage)(void))
{
	disk_env_sync(&x);
	disk_env_settle(&x);
	ix = disk_of(x.store)->index;
	owner_key(alice_key, &alice);
	owner_key(bob_key, &bob);
	assert_int_equal(index_begin(ix), 0);
	number_of(alice_key, alice_number);
	number_of(bob_key, bob_number);
	damage();
	assert_int_equal(index_commit(ix), 0);
	index_refresh(ix);
}

/* Block 0 is Alice's, 1 Bob's, 2 both have. */
static void
put_all(void)
{
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		disk_put_byte(&x, disk_ref(i, 0, 'p'), 1, true, &alice);
		disk_put_byte(&x, disk_ref(i, 1, 'p'), 2, true, &bob);
		disk_put_byte(&x, disk_ref(i, 2, 'p'), 3, true, &alice);
		disk_put_byte(&x, disk_ref(i, 2, 'p'), 3, true, &bob);
	}
	disk_env_sync(&x);
}

static void
assert_there(bool alices, bool bobs)
{
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		assert_int_equal(disk_there(&x, disk_ref(i, 0, 'p')), alices);
		assert_int_equal(disk_there(&x, disk_ref(i, 1, 'p')), bobs);
		assert_int_equal(
			disk_there(&x, disk_ref(i, 2, 'p')), alices || bobs);
	}
}

static bool
is_alices(struct index_blob key, struct index_blob value, void *ctx)
{
	*(bool *)ctx |= memcmp(value.data, alice_key, OWNER_KEY) == 0;
	return true;
}

static void
assert_unknown(void)
{
	struct index_blob v;
	bool named = false;

	assert_false(index_get(ix, T_OWNERS, WHO, &v));
	assert_int_equal(index_each(ix, T_NAMES, all, is_alices, &named), 0);
	assert_false(named);
	assert_false(index_get(ix, T_OWNED, NUMBER, &v));
}

static void
test_a_damaged_row(void **state)
{
	static void (*const damages[])(void) = {
		nothing_is_damaged,
		owner_is_lost,
		owner_is_another,
		owner_has_no_number,
		owner_has_a_wrong_number,
		owner_has_bobs_number,
		name_is_lost,
		name_is_wrong,
		name_is_bobs,
		list_is_lost,
		list_has_a_wrong_segment,
	};

	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		put_all();
		change_index(damages[i]);
		assert_int_equal(disk_flush_owner(&x, &alice), STORE_OK);
		assert_there(false, true);
		assert_unknown();
		put_all();
		assert_there(true, true);
		assert_int_equal(disk_flush_owner(&x, &bob), STORE_OK);
		assert_there(true, false);
		assert_int_equal(disk_flush_owner(&x, &alice), STORE_OK);
		assert_there(false, false);
		assert_int_equal(disk_stats_of(&x).blocks, 0);
	}
}

/* He came again under another number before he flushed. */
static void
test_two_numbers(void **state)
{
	put_all();
	change_index(owner_is_lost);
	disk_put_byte(&x, disk_ref(40, 0, 'p'), 1, true, &alice);
	disk_env_sync(&x);
	assert_int_equal(disk_flush_owner(&x, &alice), STORE_OK);
	assert_there(false, true);
	assert_false(disk_there(&x, disk_ref(40, 0, 'p')));
	assert_unknown();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_a_damaged_row, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_two_numbers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
