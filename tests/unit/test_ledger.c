/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/core/ledger.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/core_env.h"
#include "tests/unit/failalloc.h"

static void
id_of(uint8_t *id, uint32_t n)
{
	memset(id, 0, 32);
	memcpy(id + 4, &n, sizeof(n));
}

static struct parse_addr
addr(uint8_t host)
{
	struct parse_addr a;
	char text[32];

	snprintf(text, sizeof(text), "10.0.0.%u:80", host);
	assert_int_equal(parse_addr_port(text, &a), 0);
	return a;
}

static void
test_counts(void **state)
{
	struct parse_addr a;
	struct ledger_view v;
	uint8_t id[32];
	struct script x;
	struct ledger *l;

	script_init(&x, MODE_LOCAL);
	l = ledger_new(x.service);
	id_of(id, 1);
	assert_false(ledger_find(l, id, 32, &v));
	ledger_block_from_application(l, id, 32);
	ledger_discovered(l, id, 32, 3);
	a = addr(9);
	ledger_trouble(l, id, 32, LEDGER_TIMEOUT, &a);
	script_time(&x, 500);
	assert_true(ledger_find(l, id, 32, &v));
	assert_int_equal(v.from_application, 1);
	assert_int_equal(v.asked, 1);
	assert_int_equal(v.answers, 3);
	assert_int_equal(v.trouble, LEDGER_TIMEOUT);
	assert_true(v.has_addr);
	assert_memory_equal(&v.addr.ss, &a.ss, a.len);
	assert_int_equal(v.age_ms, 500);
	/* That nobody is left is no news, until that is long ago. */
	ledger_trouble(l, id, 32, LEDGER_NOBODY, NULL);
	assert_true(ledger_find(l, id, 32, &v));
	assert_int_equal(v.trouble, LEDGER_TIMEOUT);
	assert_true(v.has_addr);
	script_time(&x, 60000);
	ledger_trouble(l, id, 32, LEDGER_NOBODY, NULL);
	assert_true(ledger_find(l, id, 32, &v));
	assert_int_equal(v.trouble, LEDGER_NOBODY);
	assert_false(v.has_addr);
	/* A longer id that begins like it is another one. */
	{
		uint8_t longer[64] = {0};

		memcpy(longer, id, 32);
		assert_false(ledger_find(l, longer, 64, &v));
	}
	/* A block ends the trouble; the last four are remembered. */
	for (uint8_t i = 1; i <= 5; i++) {
		a = addr(i);
		for (uint8_t k = 0; k < i; k++)
			ledger_block_from_peer(l, id, 32, &a);
	}
	a = addr(3);
	ledger_block_from_peer(l, id, 32, &a);
	assert_true(ledger_find(l, id, 32, &v));
	assert_int_equal(v.trouble, LEDGER_FINE);
	assert_false(v.has_addr);
	assert_int_equal(v.from_peers, 16);
	assert_int_equal(v.n_sources, 4);
	assert_memory_equal(&v.sources[0].addr.ss, &a.ss, a.len);
	assert_int_equal(v.sources[0].blocks, 4);
	assert_int_equal(v.sources[1].blocks, 5);
	assert_int_equal(v.sources[2].blocks, 4);
	assert_int_equal(v.sources[3].blocks, 2);
	ledger_free(l);
	script_done(&x);
}

/* The 4,096 that were used last. */
static void
test_bounded(void **state)
{
	struct ledger_view v;
	struct ledger *l;
	struct script x;
	uint8_t id[32];

	script_init(&x, MODE_LOCAL);
	l = ledger_new(x.service);
	for (uint32_t i = 0; i < 5000; i++) {
		id_of(id, i);
		ledger_block_from_application(l, id, 32);
		id_of(id, 0);
		ledger_block_from_application(l, id, 32);
	}
	for (uint32_t i = 0; i < 5000; i++) {
		id_of(id, i);
		assert_true(ledger_find(l, id, 32, &v) ==
			(i == 0 || i >= 5000 - 4095));
	}
	id_of(id, 0);
	assert_true(ledger_find(l, id, 32, &v));
	assert_int_equal(v.from_application, 5001);
	ledger_free(l);
	script_done(&x);
}

/* Without memory it knows less, and that is all. */
static int
scenario(void *arg)
{
	struct script *x = arg;
	struct parse_addr a = addr(1);
	struct ledger *l = ledger_new(x->service);
	struct ledger_view v;
	uint8_t id[32];

	if (l == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < 3; i++) {
		id_of(id, i);
		ledger_block_from_peer(l, id, 32, &a);
		ledger_trouble(l, id, 32, LEDGER_EMPTY, NULL);
		ledger_discovered(l, id, 32, 1);
		if (ledger_find(l, id, 32, &v))
			assert_true(v.n_sources <= 1);
	}
	ledger_free(l);
	return 0;
}

static void
test_out_of_memory(void **state)
{
	struct script x;

	script_init(&x, MODE_LOCAL);
	assert_true(failalloc_each(scenario, &x) >= 7);
	script_done(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
