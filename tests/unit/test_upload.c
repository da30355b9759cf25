/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/core_env.h"

#include <errno.h>

#include "daemon/core/upload.h"
#include "tests/unit/failalloc.h"

#define SLOTS      8u
#define TIMEOUT_MS 15000u
#define BLOCK      65536u

static struct script x;
static struct uploads *us;
static const uint8_t id[32] = {1}, id48[48] = {2}, foreign[20] = {3};

/* Who gives up, and how often it was told to. */
struct taken {
	struct upload u;
	unsigned over;
	bool end_in_over;
};

static void
on_over(struct upload *u)
{
	struct taken *t = container_of(u, struct taken, u);

	t->over++;
	if (t->end_in_over)
		upload_end(u, 0);
}

static void
configure(void)
{
	assert_int_equal(service_configure(x.service, &x.settings), 0);
}

static int
setup(void **state)
{
	script_init(&x, MODE_DISTRIBUTED);
	x.settings.uploads = SLOTS;
	x.settings.upload_timeout_ms = TIMEOUT_MS;
	configure();
	us = service_uploads(x.service);
	return 0;
}

static int
teardown(void **state)
{
	assert_int_equal(uploads_running(us), 0);
	script_done(&x);
	return 0;
}

static void
put_done(struct store_put *p)
{
}

static void
put(const uint8_t *segment, size_t len, uint32_t index, uint32_t algo,
	bool proved)
{
	static const uint8_t cipher[BLOCK];
	struct store_ref ref = {
		.id = segment, .id_len = (uint8_t)len, .index = index};
	struct store_block block = {.plain_len = BLOCK - (algo != 0),
		.cipher_len = BLOCK,
		.algo = algo,
		.proved = proved,
		.cipher = cipher};
	struct store_put p = {
		.refs = &ref, .blocks = &block, .n_refs = 1, .done = put_done};

	ref.claim[0] = (uint8_t)(algo + 1);
	x.store->ops->put(x.store, &p);
	script_settle(&x);
	assert_int_equal(ref.status, STORE_OK);
}

static bool
begin(struct taken *t, const char *addr)
{
	struct parse_addr a;

	*t = (struct taken){.over = 0};
	assert_int_equal(parse_addr_port(addr, &a), 0);
	return upload_begin(us, &t->u, &a, on_over);
}

static void
end(struct taken *t, uint64_t sent)
{
	upload_end(&t->u, sent);
}

static const struct service_counters *
counters(void)
{
	return service_counters(x.service);
}

static void
test_block(void **state)
{
	struct taken t;
	struct store_held h;

	put(id, sizeof(id), 3, PCCRR_AES128, true);
	put(id, sizeof(id), 5, PCCRR_AES256, true);
	assert_true(begin(&t, "192.0.2.1:1000"));
	assert_int_equal(uploads_running(us), 1);
	upload_held(&t.u, id, sizeof(id), &h);
	assert_int_equal(h.n_blocks, 2);
	assert_true(h.blocks[0] == (1u << 3 | 1u << 5));
	assert_false(upload_lend(&t.u, id, sizeof(id), 4));
	assert_true(upload_lend(&t.u, id, sizeof(id), 5));
	assert_int_equal(t.u.loan.algo, PCCRR_AES256);
	assert_int_equal(t.u.loan.cipher_len, BLOCK);
	assert_int_equal(t.u.loan.tail_len, 24);
	end(&t, BLOCK);
	assert_int_equal(uploads_running(us), 0);
	assert_int_equal(counters()->uploads, 1);
	assert_int_equal(counters()->upload_bytes, BLOCK);
	assert_int_equal(counters()->uploads_empty, 0);
	assert_int_equal(counters()->uploads_given_up, 0);
	/* Twice is once. */
	end(&t, BLOCK);
	assert_int_equal(counters()->upload_bytes, BLOCK);
}

static void
test_nothing_there(void **state)
{
	static const uint8_t zero[64];
	struct taken t;
	struct store_held h;

	put(id, sizeof(id), 0, PCCRR_AES128, false);
	put(id, sizeof(id), 1, PCCRR_NONE, true);
	put(foreign, sizeof(foreign), 0, PCCRR_AES128, true);
	put(id48, sizeof(id48), 0, PCCRR_AES192, true);
	assert_true(begin(&t, "192.0.2.1:1000"));
	/* Not verified by what is vouched for; not encrypted. */
	assert_false(upload_lend(&t.u, id, sizeof(id), 0));
	assert_false(upload_lend(&t.u, id, sizeof(id), 1));
	upload_held(&t.u, id, sizeof(id), &h);
	assert_int_equal(h.n_blocks, 0);
	/* Not what a segment can be called. */
	assert_false(upload_lend(&t.u, foreign, sizeof(foreign), 0));
	for (size_t len = 0; len <= 64; len++) {
		h.n_blocks = 1;
		upload_held(&t.u, zero, len, &h);
		assert_int_equal(h.n_blocks, 0);
	}
	upload_held(&t.u, foreign, sizeof(foreign), &h);
	assert_int_equal(h.n_blocks, 0);
	end(&t, 0);
	assert_int_equal(counters()->uploads_empty, 1);
	/* A list with something in it is not empty. */
	assert_true(begin(&t, "192.0.2.1:1000"));
	upload_held(&t.u, id48, sizeof(id48), &h);
	assert_int_equal(h.n_blocks, 1);
	upload_held(&t.u, id, sizeof(id), &h);
	assert_int_equal(h.n_blocks, 0);
	end(&t, 0);
	assert_int_equal(counters()->uploads_empty, 1);
}

static void
test_modes(void **state)
{
	struct taken t, late;
	struct store_held h;

	put(id, sizeof(id), 0, PCCRR_AES128, true);
	uploads_held(us, id, sizeof(id), &h);
	assert_int_equal(h.n_blocks, 1);
	assert_true(begin(&t, "192.0.2.1:1000"));
	assert_true(upload_lend(&t.u, id, sizeof(id), 0));
	assert_true(begin(&late, "192.0.2.1:1000"));
	x.settings.policy.mode = MODE_LOCAL;
	configure();
	uploads_held(us, id, sizeof(id), &h);
	assert_int_equal(h.n_blocks, 0);
	/* What was lent runs on, more there is not. */
	assert_false(upload_lend(&late.u, id, sizeof(id), 0));
	upload_held(&late.u, id, sizeof(id), &h);
	assert_int_equal(h.n_blocks, 0);
	end(&late, 0);
	assert_false(begin(&late, "192.0.2.2:1000"));
	end(&late, 0);
	assert_int_equal(counters()->uploads_busy, 0);
	end(&t, BLOCK);
	assert_int_equal(counters()->upload_bytes, BLOCK);
	x.settings.policy.mode = MODE_DISTRIBUTED;
	x.settings.policy.enabled = false;
	configure();
	assert_false(begin(&late, "192.0.2.2:1000"));
	x.settings.policy.enabled = true;
	configure();
	assert_true(begin(&late, "192.0.2.2:1000"));
	end(&late, 0);
}

static void
test_slots(void **state)
{
	struct taken t[SLOTS], more;

	for (unsigned i = 0; i < SLOTS; i++)
		assert_true(begin(&t[i],
			i < SLOTS / 2 ? "192.0.2.1:1" : "[2001:db8::1]:1"));
	assert_int_equal(uploads_running(us), SLOTS);
	assert_false(begin(&more, "192.0.2.2:1"));
	assert_int_equal(counters()->uploads_busy, 1);
	assert_int_equal(counters()->uploads, SLOTS);
	end(&t[0], 0);
	assert_true(begin(&more, "192.0.2.2:1"));
	end(&more, 0);
	/* Fewer from now on: those that run do so to their end. */
	x.settings.uploads = 2;
	configure();
	assert_false(begin(&more, "192.0.2.2:1"));
	for (unsigned i = 1; i < SLOTS - 1; i++)
		end(&t[i], 0);
	assert_true(begin(&more, "192.0.2.2:1"));
	end(&more, 0);
	end(&t[SLOTS - 1], 0);
	x.settings.uploads = 0;
	configure();
	assert_false(begin(&more, "192.0.2.2:1"));
}

/* Ports and spellings of an address are one address. */
static void
test_half_for_one(void **state)
{
	static const char *const same[] = {"192.0.2.1:1", "192.0.2.1:2",
		"[::ffff:192.0.2.1]:3", "192.0.2.1:4"};
	struct taken t[SLOTS / 2], more, other[2];

	for (unsigned i = 0; i < SLOTS / 2; i++)
		assert_true(begin(&t[i], same[i]));
	assert_false(begin(&more, "192.0.2.1:5"));
	assert_false(begin(&more, "[::ffff:192.0.2.1]:5"));
	assert_int_equal(counters()->uploads_busy, 2);
	assert_true(begin(&other[0], "[fe80::1%1]:5"));
	assert_true(begin(&other[1], "[::192.0.2.1]:5"));
	end(&other[0], 0);
	end(&other[1], 0);
	end(&t[2], 0);
	assert_true(begin(&more, "192.0.2.1:5"));
	end(&more, 0);
	for (unsigned i = 0; i < SLOTS / 2; i++)
		end(&t[i], 0);
	/* At least one, and each link has its own. */
	x.settings.uploads = 1;
	configure();
	assert_true(begin(&more, "[fe80::1%1]:5"));
	assert_false(begin(&other[0], "[fe80::1%1]:6"));
	end(&more, 0);
	x.settings.uploads = 3;
	configure();
	assert_true(begin(&more, "[fe80::1%1]:5"));
	assert_false(begin(&other[0], "[fe80::1%1]:6"));
	assert_true(begin(&other[0], "[fe80::1%2]:6"));
	end(&other[0], 0);
	end(&more, 0);
}

static void
test_timer(void **state)
{
	struct taken t, quick;

	put(id, sizeof(id), 0, PCCRR_AES128, true);
	assert_true(begin(&t, "192.0.2.1:1000"));
	assert_true(upload_lend(&t.u, id, sizeof(id), 0));
	script_time(&x, TIMEOUT_MS - 1);
	assert_int_equal(t.over, 0);
	assert_true(begin(&quick, "192.0.2.1:1000"));
	quick.end_in_over = true;
	script_time(&x, 2);
	assert_int_equal(t.over, 1);
	/* Not before it is given back. */
	assert_int_equal(uploads_running(us), 2);
	assert_int_equal(counters()->uploads_given_up, 0);
	assert_int_equal(upload_wait_ms(&t.u, BLOCK), 0);
	end(&t, 100);
	assert_int_equal(counters()->uploads_given_up, 1);
	assert_int_equal(counters()->upload_bytes, 100);
	script_time(&x, TIMEOUT_MS);
	assert_int_equal(quick.over, 1);
	assert_int_equal(t.over, 1);
	assert_int_equal(uploads_running(us), 0);
	assert_int_equal(counters()->uploads_given_up, 2);
	/* The peer hung up in the middle. */
	assert_true(begin(&t, "192.0.2.1:1000"));
	assert_true(upload_lend(&t.u, id, sizeof(id), 0));
	end(&t, BLOCK - 1);
	assert_int_equal(counters()->uploads_given_up, 3);
	assert_int_equal(counters()->uploads_empty, 0);
	script_time(&x, 2 * TIMEOUT_MS);
	assert_int_equal(t.over, 0);
}

/* The service waits for those that run. */
static void
test_idle(void **state)
{
	struct taken t;

	script_settle(&x);
	assert_true(service_idle(x.service));
	assert_true(begin(&t, "192.0.2.1:1000"));
	assert_false(service_idle(x.service));
	end(&t, 0);
	assert_true(service_idle(x.service));
}

/* How many blocks leave in so many milliseconds, when each asks again as soon
 * as the one before has left. */
static unsigned
blocks_in(uint64_t ms)
{
	uint64_t until = x.now_ms + ms;
	unsigned n = 0;

	for (;;) {
		struct taken t;
		uint32_t wait;

		assert_true(begin(&t, "192.0.2.1:1000"));
		wait = upload_wait_ms(&t.u, BLOCK);
		assert_true(wait != UINT32_MAX);
		script_time(&x, wait);
		end(&t, BLOCK);
		if (x.now_ms > until)
			return n;
		n++;
	}
}

static void
test_rate(void **state)
{
	struct taken t;
	unsigned n;

	assert_true(begin(&t, "192.0.2.1:1000"));
	for (int i = 0; i < 1000; i++)
		assert_int_equal(upload_wait_ms(&t.u, UINT32_MAX), 0);
	end(&t, 0);
	/* Ten blocks a second. */
	x.settings.upload_rate = 10 * BLOCK;
	configure();
	n = blocks_in(20000);
	assert_in_range(n, 199, 202);
	/* An eighth of a second is saved up, no more. */
	script_time(&x, 3600000);
	n = blocks_in(1000);
	assert_in_range(n, 10, 13);
	/* Rates that do not divide. */
	x.settings.upload_rate = 7 * BLOCK + 1;
	configure();
	n = blocks_in(100000);
	assert_in_range(n, 699, 703);
	x.settings.upload_rate = UINT64_MAX;
	configure();
	assert_true(begin(&t, "192.0.2.1:1000"));
	for (int i = 0; i < 1000; i++)
		assert_int_equal(upload_wait_ms(&t.u, UINT32_MAX), 0);
	end(&t, 0);
}

/* Several at a time wait one behind the other; who would wait for too long is
 * not waited for. */
static void
test_rate_queue(void **state)
{
	struct taken t[3];

	x.settings.upload_rate = BLOCK / 10;
	configure();
	assert_true(begin(&t[0], "192.0.2.1:1000"));
	assert_true(begin(&t[1], "192.0.2.1:1000"));
	assert_true(begin(&t[2], "192.0.2.2:1000"));
	assert_int_equal(upload_wait_ms(&t[0].u, BLOCK), 0);
	assert_in_range(upload_wait_ms(&t[1].u, BLOCK), 9999, 10003);
	/* Not counted: the next one waits no longer for it. */
	assert_int_equal(upload_wait_ms(&t[2].u, BLOCK), UINT32_MAX);
	assert_int_equal(upload_wait_ms(&t[2].u, BLOCK), UINT32_MAX);
	script_time(&x, 10003);
	end(&t[0], BLOCK);
	end(&t[1], BLOCK);
	end(&t[2], 0);
	assert_true(begin(&t[0], "192.0.2.1:1000"));
	assert_in_range(upload_wait_ms(&t[0].u, 1), 9990, 10003);
	end(&t[0], 0);
	/* What never left is not counted, however often somebody hangs up. */
	script_time(&x, 20000);
	for (unsigned i = 0; i < 100; i++) {
		assert_true(begin(&t[0], "192.0.2.1:1000"));
		assert_int_equal(upload_wait_ms(&t[0].u, BLOCK), 0);
		end(&t[0], 0);
	}
	/* A new rate begins anew. */
	x.settings.upload_rate = 1;
	configure();
	assert_true(begin(&t[0], "192.0.2.1:1000"));
	assert_int_equal(upload_wait_ms(&t[0].u, UINT32_MAX), 0);
	assert_int_equal(upload_wait_ms(&t[0].u, 1), UINT32_MAX);
	end(&t[0], 0);
	/* As long as the settings allow, at the highest rate. */
	x.settings.upload_rate = UINT64_C(1) << 37;
	x.settings.upload_timeout_ms = 3600000;
	configure();
	script_time(&x, UINT64_C(1) << 40);
	assert_true(begin(&t[0], "192.0.2.1:1000"));
	for (unsigned i = 0; i < 115000; i++)
		assert_true(upload_wait_ms(&t[0].u, UINT32_MAX) <= 3600000);
	assert_true(upload_wait_ms(&t[0].u, 1) > 3590000);
	end(&t[0], 0);
}

static int
begin_one(void *arg)
{
	struct taken t;

	if (!begin(&t, "192.0.2.1:1000"))
		return -ENOMEM;
	end(&t, 0);
	return 0;
}

static void
test_allocations(void **state)
{
	assert_true(failalloc_each(begin_one, NULL) >= 2);
	assert_true(counters()->uploads_busy >= 2);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_block),
		TEST(test_nothing_there),
		TEST(test_modes),
		TEST(test_slots),
		TEST(test_half_for_one),
		TEST(test_timer),
		TEST(test_idle),
		TEST(test_rate),
		TEST(test_rate_queue),
		TEST(test_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
