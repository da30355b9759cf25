/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/core/peers.h"

#include <arpa/inet.h>

#include "tests/unit/core_env.h"

static struct parse_addr
addr(uint32_t host, uint16_t port)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(0x0A000000u + host),
	};
	struct parse_addr a = {.len = sizeof(in)};

	memcpy(&a.ss, &in, sizeof(in));
	return a;
}

static void
count(const struct peer_view *v, void *ctx)
{
	(void)v;
	(*(size_t *)ctx)++;
}

static size_t
known(struct peers *p)
{
	size_t n = 0;

	peers_each(p, count, &n);
	return n;
}

/* Named by discovery, forgotten after ten minutes without use; whoever makes
 * up addresses fills 1,024 places. */
static void
test_found_ones(void **state)
{
	struct parse_addr a = addr(1, 80), b = addr(1, 81);
	struct peer *one, *two;
	struct peers *p;
	struct script x;

	script_init(&x, MODE_DISTRIBUTED);
	p = peers_new(x.service);
	one = peers_heard(p, &a);
	two = peers_heard(p, &a);
	assert_ptr_equal(one, two);
	assert_true(peer_usable(one));
	assert_false(one->view.fixed);
	peer_unref(two);
	two = peers_heard(p, &b);
	assert_ptr_not_equal(one, two);
	peer_unref(two);
	assert_int_equal(known(p), 2);
	script_time(&x, 10 * 60 * 1000 + 1);
	for (uint32_t i = 0; i < 3000; i++) {
		struct parse_addr c = addr(100 + i, 80);

		peer_unref(peers_heard(p, &c));
		assert_true(known(p) <= 1024);
	}
	/* Somebody refers to it. */
	two = peers_heard(p, &a);
	assert_ptr_equal(one, two);
	peer_unref(one);
	peer_unref(two);
	peers_free(p);
	script_done(&x);
}

/* All places taken by hosts that are in use. */
static void
test_all_in_use(void **state)
{
	struct peer *held[1024];
	struct parse_addr a;
	struct peers *p;
	struct script x;

	script_init(&x, MODE_DISTRIBUTED);
	p = peers_new(x.service);
	for (uint32_t i = 0; i < 1024; i++) {
		a = addr(i, 80);
		held[i] = peers_heard(p, &a);
		assert_non_null(held[i]);
	}
	a = addr(5000, 80);
	assert_null(peers_heard(p, &a));
	/* The fixed ones have places of their own. */
	assert_int_equal(peers_configure(p, &a, 1), 0);
	assert_int_equal(known(p), 1025);
	peer_unref(held[7]);
	a = addr(5001, 80);
	held[7] = peers_heard(p, &a);
	assert_non_null(held[7]);
	for (uint32_t i = 0; i < 1024; i++)
		peer_unref(held[i]);
	peers_free(p);
	script_done(&x);
}

/* A reload keeps the record of who stays, also of who was found before. */
static void
test_reload(void **state)
{
	struct parse_addr list[3] = {addr(1, 80), addr(2, 80), addr(3, 80)};
	struct peer *peer, *fixed[4];
	struct peers *p;
	struct script x;

	script_init(&x, MODE_DISTRIBUTED);
	p = peers_new(x.service);
	assert_int_equal(peers_configure(p, list, 2), 0);
	assert_int_equal(known(p), 2);
	assert_true(peers_any_fixed(p));
	peer = peers_heard(p, &list[2]);
	peer_bad(peer, true);
	assert_int_equal(peers_configure(p, &list[1], 2), 0);
	/* The first one is forgotten, nobody refers to it. */
	assert_int_equal(known(p), 2);
	assert_true(peer->view.fixed);
	assert_int_equal(peer->view.strikes, 1);
	assert_int_equal(peers_configure(p, list, 1), 0);
	assert_int_equal(known(p), 2);
	assert_false(peer->view.fixed);
	/* It was heard of. */
	assert_true(peer_usable(peer));
	assert_int_equal(peers_fixed(p, fixed, 4), 1);
	assert_memory_equal(&fixed[0]->view.addr.ss, &list[0].ss, list[0].len);
	assert_int_equal(peers_configure(p, NULL, 0), 0);
	assert_false(peer_usable(fixed[0]));
	assert_false(peers_any_fixed(p));
	peer_unref(fixed[0]);
	assert_int_equal(known(p), 1);
	peer_unref(peer);
	peers_free(p);
	script_done(&x);
}

/* Found hosts are left alone after three failures in a row, and at the first
 * one after that; fixed ones, which somebody chose, for silence only and not
 * for long. */
static void
test_failures(void **state)
{
	struct parse_addr a = addr(1, 80), b = addr(2, 80);
	struct peer *found, *fixed;
	struct peers *p;
	struct script x;

	script_init(&x, MODE_DISTRIBUTED);
	p = peers_new(x.service);
	assert_int_equal(peers_configure(p, &b, 1), 0);
	found = peers_heard(p, &a);
	assert_int_equal(peers_fixed(p, &fixed, 1), 1);
	for (int i = 0; i < 9; i++)
		assert_false(peer_refused(fixed));
	assert_true(peer_usable(fixed));
	peer_good(fixed, 65552);
	assert_false(peer_silent(fixed));
	assert_false(peer_silent(fixed));
	assert_true(peer_silent(fixed));
	script_time(&x, 9999);
	assert_false(peer_usable(fixed));
	script_time(&x, 1);
	assert_true(peer_usable(fixed));
	assert_false(peer_silent(found));
	assert_false(peer_refused(found));
	peer_good(found, 65552);
	assert_false(peer_silent(found));
	assert_false(peer_silent(found));
	assert_true(peer_refused(found));
	assert_false(peer_usable(found));
	script_time(&x, 59999);
	assert_false(peer_usable(found));
	script_time(&x, 1);
	assert_true(peer_usable(found));
	assert_true(peer_refused(found));
	assert_false(peer_usable(found));
	peer_unref(found);
	peer_unref(fixed);
	peers_free(p);
	script_done(&x);
}

/* By address alone: every port of the host, and no other host. */
static void
test_forgive(void **state)
{
	struct parse_addr list[3] = {addr(1, 80), addr(1, 81), addr(2, 80)};
	struct parse_addr any = addr(1, 0);
	struct peer *fixed[3];
	struct peers *p;
	struct script x;

	script_init(&x, MODE_DISTRIBUTED);
	p = peers_new(x.service);
	assert_int_equal(peers_configure(p, list, 3), 0);
	assert_int_equal(peers_fixed(p, fixed, 3), 3);
	for (int i = 0; i < 3; i++)
		for (unsigned k = 0; k < x.settings.peer_strikes; k++)
			assert_true(peer_bad(fixed[i], true) ==
				(k + 1 == x.settings.peer_strikes));
	assert_false(peers_any_fixed(p));
	assert_int_equal(peers_forgive(p, &any), 2);
	assert_true(peer_usable(fixed[0]) && peer_usable(fixed[1]));
	assert_false(peer_usable(fixed[2]));
	assert_int_equal(peers_forgive(p, &list[2]), 1);
	assert_true(peer_usable(fixed[2]));
	for (int i = 0; i < 3; i++)
		peer_unref(fixed[i]);
	peers_free(p);
	script_done(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_ones),
		cmocka_unit_test(test_all_in_use),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_forgive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
