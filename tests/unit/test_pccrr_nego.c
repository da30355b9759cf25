/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "codec/pccrr.h"
#include "common/err.h"
#include "common/macros.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/pccrr_util.h"

static int
parse_req(const uint8_t *data, size_t len)
{
	struct pccrr_nego m;

	return pccrr_parse_nego_req(&m, data, len);
}

static int
parse_resp(const uint8_t *data, size_t len)
{
	struct pccrr_nego m;

	return pccrr_parse_nego_resp(&m, data, len);
}

static void
assert_range(const struct pccrr_nego *m)
{
	assert_int_equal(m->min_minor, 0);
	assert_int_equal(m->min_major, 1);
	assert_int_equal(m->max_minor, 0);
	assert_int_equal(m->max_major, 2);
}

static void
test_vectors(void **state)
{
	struct pccrr_nego m = {0};
	struct buf want, have;

	buf_init(&have, 64);
	load(&want, PCCRR_VECTORS "nego_req.hex");
	assert_int_equal(pccrr_parse_nego_req(&m, want.data, want.len), 0);
	assert_int_equal(m.header.type, PCCRR_NEGO_REQ);
	assert_int_equal(m.header.size, 24);
	assert_range(&m);
	assert_int_equal(pccrr_build_nego_req(&have, &m), 0);
	assert_true(same_bytes(&have, &want));
	buf_done(&want);

	buf_reset(&have);
	memset(&m, 0, sizeof(m));
	load(&want, PCCRR_VECTORS "nego_resp.hex");
	assert_int_equal(pccrr_parse_nego_resp(&m, want.data, want.len), 0);
	assert_int_equal(m.header.type, PCCRR_NEGO_RESP);
	assert_range(&m);
	assert_int_equal(pccrr_build_nego_resp(&have, &m), 0);
	assert_true(same_bytes(&have, &want));
	buf_done(&want);
	buf_done(&have);
}

/* As a test suite asks: 1.0 to 1.65535. */
static void
test_minor(void **state)
{
	struct pccrr_nego m, again;
	struct buf b, built;

	load(&b, PCCRR_VECTORS "nego_req.hex");
	set_word(&b, 20, 0xffff0001);
	assert_int_equal(pccrr_parse_nego_req(&m, b.data, b.len), 0);
	assert_int_equal(m.max_minor, 65535);
	assert_int_equal(m.max_major, 1);
	buf_init(&built, 64);
	assert_int_equal(pccrr_build_nego_resp(&built, &m), 0);
	assert_int_equal(
		pccrr_parse_nego_resp(&again, built.data, built.len), 0);
	assert_int_equal(again.max_minor, 65535);
	assert_int_equal(again.max_major, 1);
	buf_done(&built);
	buf_done(&b);
}

static void
test_edits(void **state)
{
	static const struct edit req[] = {
		{0, 0x00000002, 0},
		{0, 0xffff0001, 0},
		/* what is fixed cannot be negotiated about */
		{0, 0x00000000, PCCRR_E_MALFORMED},
		{0, 0x00000003, PCCRR_E_MALFORMED},
		{0, 0x0000fefe, PCCRR_E_MALFORMED},
		{4, PCCRR_NEGO_RESP, PCCRR_E_UNSUPPORTED},
		{4, 0xfefe, PCCRR_E_UNSUPPORTED},
		{8, 23, PCCRR_E_MALFORMED},
		{8, 28, PCCRR_E_MALFORMED},
		{12, 4, PCCRR_E_MALFORMED},
		{12, 1, 0},
		{16, UINT32_MAX, 0},
		{20, 0, 0},
	};
	static const struct edit resp[] = {
		{0, 23, PCCRR_E_MALFORMED},
		{4, 0x00000002, 0},
		{4, 0x00000003, PCCRR_E_UNSUPPORTED},
		{8, PCCRR_NEGO_REQ, PCCRR_E_UNSUPPORTED},
		{12, 25, PCCRR_E_MALFORMED},
		{16, 5, PCCRR_E_MALFORMED},
	};
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(req); i++) {
		load(&b, PCCRR_VECTORS "nego_req.hex");
		set_word(&b, req[i].at, req[i].word);
		assert_int_equal(parse_req(b.data, b.len), req[i].want);
		buf_done(&b);
	}
	for (size_t i = 0; i < ARRAY_LEN(resp); i++) {
		load(&b, PCCRR_VECTORS "nego_resp.hex");
		set_word(&b, resp[i].at, resp[i].word);
		assert_int_equal(parse_resp(b.data, b.len), resp[i].want);
		buf_done(&b);
	}
}

static void
test_lengths(void **state)
{
	struct buf b;

	assert_int_equal(parse_req(NULL, 0), PCCRR_E_SHORT);
	assert_int_equal(parse_resp(NULL, 0), PCCRR_E_SHORT);
	load(&b, PCCRR_VECTORS "nego_req.hex");
	assert_int_equal(first_cut_taken(&b, false, parse_req), 0);
	assert_true(try_every_word(&b, parse_req) > 0);
	for (size_t n = 1; n <= 4; n++) {
		buf_u8(&b, 0);
		fix_request(&b);
		assert_int_equal(parse_req(b.data, b.len), PCCRR_E_MALFORMED);
	}
	buf_done(&b);
	load(&b, PCCRR_VECTORS "nego_resp.hex");
	assert_int_equal(first_cut_taken(&b, true, parse_resp), 0);
	assert_true(try_every_word(&b, parse_resp) > 0);
	buf_u8(&b, 0);
	fix_answer(&b);
	assert_int_equal(parse_resp(b.data, b.len), PCCRR_E_MALFORMED);
	buf_done(&b);
}

static int
build_both(void *arg)
{
	struct pccrr_nego m = {0};
	struct buf b;
	int r;

	buf_init(&b, 64);
	r = pccrr_build_nego_req(&b, &m);
	buf_done(&b);
	if (r == 0)
		r = pccrr_build_nego_resp(&b, &m);
	buf_done(&b);
	return r;
}

static void
test_refused(void **state)
{
	struct pccrr_nego m = {.header.algo = _PCCRR_ALGO_MAX};
	struct buf b;

	buf_init(&b, 64);
	assert_int_equal(pccrr_build_nego_req(&b, &m), -EINVAL);
	assert_int_equal(pccrr_build_nego_resp(&b, &m), -EINVAL);
	assert_int_equal(b.len, 0);
	buf_done(&b);
	assert_int_equal(failalloc_each(build_both, NULL), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_minor),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
