/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/core_env.h"

static struct script x;
static uint8_t id[32] = "segment", other_id[32] = "another";
static const struct store_owner alice = {1, "a"}, bob = {2, "b"};
static bool answered;
static uint8_t seen[8];
static bool reject;

static int
setup(void **state)
{
	script_init(&x, MODE_LOCAL);
	reject = false;
	return 0;
}

static int
teardown(void **state)
{
	script_done(&x);
	return 0;
}

static struct store_ref
ref_of(const uint8_t *segment, uint32_t index, char claim)
{
	struct store_ref r = {.id = segment, .id_len = 32, .index = index};

	memset(r.claim, claim, sizeof(r.claim));
	return r;
}

static void
put_done(struct store_put *p)
{
	answered = true;
}

static enum store_status
put(struct store_ref ref, uint8_t byte, bool proved,
	const struct store_owner *owner)
{
	uint8_t cipher[1000];
	struct store_block block = {.plain_len = 990,
		.cipher_len = sizeof(cipher),
		.algo = 1,
		.proved = proved,
		.cipher = cipher};
	struct store_put p = {.refs = &ref,
		.blocks = &block,
		.n_refs = 1,
		.owner = *owner,
		.done = put_done};

	memset(cipher, byte, sizeof(cipher));
	answered = false;
	x.store->ops->put(x.store, &p);
	assert_false(answered);
	script_settle(&x);
	assert_true(answered);
	return ref.status;
}

static void
lookup_done(struct store_lookup *l)
{
	answered = true;
}

static bool
there(struct store_ref ref)
{
	struct store_lookup l = {
		.refs = &ref, .n_refs = 1, .done = lookup_done};

	answered = false;
	x.store->ops->lookup(x.store, &l);
	assert_false(answered);
	script_settle(&x);
	assert_true(answered);
	return ref.status == STORE_OK;
}

static bool
consume(struct store_get *g, size_t i, const struct store_block *b,
	struct bulk *bulk)
{
	seen[i] = b->cipher[500];
	return !reject;
}

static void
get_done(struct store_get *g)
{
	answered = true;
}

static struct store_get
get_of(struct store_ref *refs, size_t n)
{
	memset(seen, 0, sizeof(seen));
	answered = false;
	return (struct store_get){.refs = refs,
		.n_refs = n,
		.consume = consume,
		.done = get_done};
}

static void
flush_done(struct store_flush *f)
{
	answered = true;
}

static void
flush(const struct store_owner *owner)
{
	struct store_flush f = {.owner = *owner, .done = flush_done};

	x.store->ops->flush(x.store, &f);
	script_settle(&x);
	assert_int_equal(f.status, STORE_OK);
}

static void
test_claims(void **state)
{
	assert_int_equal(put(ref_of(id, 3, 'p'), 1, true, &alice), STORE_OK);
	assert_true(there(ref_of(id, 3, 'p')));
	assert_false(there(ref_of(id, 3, 'q')));
	assert_false(there(ref_of(id, 4, 'p')));
	assert_false(there(ref_of(other_id, 3, 'p')));
	/* A variant beside it; each reader sees his own. */
	assert_int_equal(put(ref_of(id, 3, 'q'), 2, false, &bob), STORE_OK);
	assert_true(there(ref_of(id, 3, 'p')));
	assert_true(there(ref_of(id, 3, 'q')));
}

static void
test_variants_are_bounded(void **state)
{
	assert_int_equal(put(ref_of(id, 0, 'p'), 1, true, &alice), STORE_OK);
	for (char c = 'A'; c < 'A' + STORE_VARIANTS + 2; c++)
		assert_int_equal(
			put(ref_of(id, 0, c), 1, false, &bob), STORE_OK);
	assert_false(there(ref_of(id, 0, 'A')));
	assert_false(there(ref_of(id, 0, 'B')));
	assert_true(there(ref_of(id, 0, 'C')));
	assert_true(there(ref_of(id, 0, 'p')));
}

static void
test_get(void **state)
{
	struct store_ref refs[3] = {
		ref_of(id, 1, 'p'), ref_of(id, 9, 'p'), ref_of(id, 2, 'p')};
	struct store_get g;

	put(refs[0], 11, true, &alice);
	put(refs[2], 22, true, &alice);
	g = get_of(refs, 3);
	x.store->ops->get(x.store, &g);
	script_settle(&x);
	assert_true(answered);
	assert_int_equal(refs[0].status, STORE_OK);
	assert_int_equal(refs[1].status, STORE_MISSING);
	assert_int_equal(refs[2].status, STORE_OK);
	assert_int_equal(seen[0], 11);
	assert_int_equal(seen[2], 22);
	/* The reader finds it wrong: reported, and gone. */
	reject = true;
	g = get_of(refs, 1);
	x.store->ops->get(x.store, &g);
	script_settle(&x);
	assert_int_equal(refs[0].status, STORE_ROTTEN);
	assert_false(there(ref_of(id, 1, 'p')));
}

/* Taken out while a reader has it: he reads on, undisturbed. */
static void
test_flushed_while_read(void **state)
{
	struct store_ref ref = ref_of(id, 1, 'p');
	struct store_flush f = {.owner = alice, .done = flush_done};
	struct store_get g = get_of(&ref, 1);

	put(ref, 33, true, &alice);
	g = get_of(&ref, 1);
	x.store->ops->get(x.store, &g);
	x.store->ops->flush(x.store, &f);
	assert_int_equal(x.n_jobs, 2);
	script_job(&x, 1);
	script_job(&x, 0);
	assert_int_equal(ref.status, STORE_OK);
	assert_int_equal(seen[0], 33);
	assert_false(there(ref_of(id, 1, 'p')));
}

static void
test_owners(void **state)
{
	put(ref_of(id, 1, 'p'), 1, true, &alice);
	put(ref_of(id, 1, 'p'), 1, true, &bob);
	put(ref_of(id, 2, 'p'), 1, true, &bob);
	flush(&alice);
	assert_true(there(ref_of(id, 1, 'p')));
	flush(&bob);
	assert_false(there(ref_of(id, 1, 'p')));
	assert_false(there(ref_of(id, 2, 'p')));
}

static void
test_limit(void **state)
{
	struct store_stats s;

	/* The records count: 512 bytes each. */
	x.store->ops->set_limit(x.store, 10 * 1512);
	for (uint32_t i = 0; i < 10; i++)
		put(ref_of(id, i, 'p'), 1, true, &alice);
	/* Used again: not the one to go. */
	put(ref_of(id, 0, 'p'), 1, true, &alice);
	put(ref_of(id, 10, 'p'), 1, true, &alice);
	assert_true(there(ref_of(id, 0, 'p')));
	assert_false(there(ref_of(id, 1, 'p')));
	x.store->ops->stats(x.store, &s);
	assert_int_equal(s.blocks, 10);
	assert_int_equal(s.bytes, 10000);
	assert_int_equal(s.evicted, 1);
	x.store->ops->set_limit(x.store, 2 * 1512 + 1000);
	x.store->ops->stats(x.store, &s);
	assert_int_equal(s.blocks, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_claims, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_variants_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_get, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_flushed_while_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
