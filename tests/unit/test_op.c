/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "common/macros.h"
#include "daemon/core/op.h"

static unsigned n_log;
static uint64_t log_id[64];
static enum core_result log_status[64];
static bool deny;
static unsigned n_idle, n_left, n_forgotten;

static void
complete(struct op_owner *o, uint64_t id, const struct op_result *r)
{
	/* Nobody can find an op while it is being reported. */
	assert_null(op_find(o, id));
	log_id[n_log] = id;
	log_status[n_log++] = r->status;
}

static bool
accept_op(struct op_owner *o, uint64_t id)
{
	return !deny;
}

static const struct op_owner_ops owner_ops = {complete, accept_op};

static void
idle(struct op_source *s)
{
	assert_true(TAILQ_EMPTY(&s->waiters));
	n_idle++;
}

static void
left(struct op_scope *s)
{
	n_left++;
}

static void
forget(struct op *op)
{
	n_forgotten++;
}

static struct op_owner owner;
static struct op_scope scope_a, scope_b;
static struct op_source source;

static int
setup(void **state)
{
	n_log = n_idle = n_left = n_forgotten = 0;
	deny = false;
	op_owner_init(&owner, &owner_ops, 1000);
	op_scope_init(&scope_a, left, forget);
	op_scope_init(&scope_b, left, forget);
	op_source_init(&source, idle);
	return 0;
}

static int
teardown(void **state)
{
	op_owner_done(&owner);
	return 0;
}

static uint64_t
id_of(uint32_t slot, uint32_t generation)
{
	return (uint64_t)generation << 32 | slot;
}

static struct op *
start(struct op_scope *scope, uint64_t id)
{
	struct op *op;

	assert_int_equal(
		op_start(&op, &owner, scope, id, OP_BLOCK_READ, 0), CORE_OK);
	return op;
}

static void
test_numbers(void **state)
{
	struct op *op, *other;

	op = start(&scope_a, id_of(7, 1));
	assert_int_equal(
		op_start(&other, &owner, &scope_a, id_of(7, 1), OP_FLUSH, 0),
		CORE_E_PROTOCOL);
	assert_int_equal(
		op_start(&other, &owner, &scope_a, id_of(7, 2), OP_FLUSH, 0),
		CORE_E_PROTOCOL);
	assert_int_equal(
		op_start(&other, &owner, &scope_a, id_of(1000, 1), OP_FLUSH, 0),
		CORE_E_PROTOCOL);
	assert_int_equal(
		op_start(&other, &owner, &scope_a, id_of(8, 0), OP_FLUSH, 0),
		CORE_E_PROTOCOL);
	assert_ptr_equal(op_find(&owner, id_of(7, 1)), op);
	assert_null(op_find(&owner, id_of(7, 2)));
	assert_null(op_find(&owner, id_of(999, 1)));
	assert_null(op_find(&owner, UINT64_MAX));
	op_finish_status(op, CORE_OK);
	assert_null(op_find(&owner, id_of(7, 1)));
	assert_int_equal(n_log, 1);
	assert_int_equal(n_forgotten, 1);
	assert_int_equal(n_left, 1);
}

static void
test_not_accepted(void **state)
{
	struct op *op;

	deny = true;
	assert_int_equal(
		op_start(&op, &owner, &scope_a, id_of(40, 1), OP_FLUSH, 0),
		CORE_E_NO_MEMORY);
	assert_int_equal(owner.n_ops, 0);
	assert_true(TAILQ_EMPTY(&scope_a.ops));
}

static void
test_cancel_in_scope_only(void **state)
{
	start(&scope_a, id_of(1, 1));
	start(&scope_b, id_of(2, 1));
	assert_int_equal(op_cancel(&owner, &scope_a, id_of(2, 1)),
		CORE_E_OPERATION_NOT_FOUND);
	assert_int_equal(op_cancel(&owner, &scope_b, id_of(2, 1)), CORE_OK);
	assert_int_equal(log_status[0], CORE_E_ABORTED);
	assert_int_equal(op_cancel(&owner, &scope_b, id_of(2, 1)),
		CORE_E_OPERATION_NOT_FOUND);
	assert_int_equal(op_cancel(&owner, NULL, id_of(1, 1)), CORE_OK);
	assert_int_equal(n_log, 2);
}

static void
test_scope_in_start_order(void **state)
{
	static const uint32_t slots[] = {500, 3, 64, 1, 999};

	for (unsigned i = 0; i < ARRAY_LEN(slots); i++)
		op_wait(start(&scope_a, id_of(slots[i], 9)), &source);
	start(&scope_b, id_of(2, 1));
	assert_int_equal(op_cancel_scope(&scope_a, CORE_E_ABORTED), 5);
	for (unsigned i = 0; i < ARRAY_LEN(slots); i++)
		assert_int_equal(log_id[i], id_of(slots[i], 9));
	/* The walk is told about as one; the source once, when empty. */
	assert_int_equal(n_left, 1);
	assert_int_equal(n_idle, 1);
	assert_int_equal(op_cancel_scope(&scope_a, CORE_E_ABORTED), 0);
	op_cancel_scope(&scope_b, CORE_E_INVALIDATED);
	assert_int_equal(log_status[5], CORE_E_INVALIDATED);
}

static void
test_source(void **state)
{
	struct op_source other;
	struct op *op;

	op_source_init(&other, idle);
	op = start(&scope_a, id_of(1, 1));
	op_wait(op, &source);
	op_wait(start(&scope_a, id_of(2, 1)), &source);
	op_wait(op, &other);
	assert_int_equal(n_idle, 0);
	op_finish_status(TAILQ_FIRST(&source.waiters), CORE_OK);
	assert_int_equal(n_idle, 1);
	assert_int_equal(n_log, 1);
	op_wait(op, NULL);
	assert_int_equal(n_idle, 2);
	op_finish_status(op, CORE_E_TIMEOUT);
	assert_int_equal(n_idle, 2);
}

static void
test_abandon_tells_nobody(void **state)
{
	for (uint32_t i = 0; i < 200; i++)
		op_wait(start(i % 2 ? &scope_a : &scope_b, id_of(i * 5, 1)),
			&source);
	assert_int_equal(owner.n_ops, 200);
	op_owner_abandon(&owner);
	assert_int_equal(owner.n_ops, 0);
	assert_int_equal(n_log, 0);
	assert_int_equal(n_forgotten, 200);
	assert_int_equal(n_idle, 1);
	assert_true(TAILQ_EMPTY(&scope_a.ops));
	assert_true(TAILQ_EMPTY(&scope_b.ops));
}

/* Any number may be expected; nothing comes of it. */
static void
test_expected(void **state)
{
	uint64_t ids[] = {0, id_of(3, 1), id_of(3, 2), id_of(4, 1),
		id_of(999, 1), id_of(1000, 1), UINT64_MAX};
	struct op *op;

	op_expect(&owner, ids, ARRAY_LEN(ids));
	op = start(&scope_a, id_of(3, 1));
	op_wait(op, &source);
	(void)start(&scope_a, id_of(4, 1));
	op_expect(&owner, ids, ARRAY_LEN(ids));
	assert_ptr_equal(op_find(&owner, id_of(3, 1)), op);
	assert_int_equal(owner.n_ops, 2);
	assert_int_equal(op_cancel_scope(&scope_a, CORE_E_ABORTED), 2);
	op_expect(&owner, ids, ARRAY_LEN(ids));
	assert_int_equal(n_log, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_not_accepted, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_cancel_in_scope_only, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_scope_in_start_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_source, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expected, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_abandon_tells_nobody, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
