/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/hex.h"
#include "common/macros.h"

static void
test_encode(void **state)
{
	static const uint8_t in[] = {0x00, 0x09, 0x0a, 0x1f, 0xa0, 0xff};
	char out[2 * sizeof(in) + 1];

	memset(out, 'x', sizeof(out));
	hex_encode(out, in, sizeof(in));
	assert_string_equal(out, "00090a1fa0ff");
	hex_encode(out, in, 0);
	assert_string_equal(out, "");
}

static void
test_decode(void **state)
{
	static const uint8_t want[] = {0x00, 0xab, 0xCD, 0x9f};
	uint8_t out[4];

	assert_true(hex_decode(out, 4, "00abCD9F"));
	assert_memory_equal(out, want, 4);
	assert_true(hex_decode(out, 0, ""));
}

static void
test_decode_refuses(void **state)
{
	static const char *const bad[] = {"", "0", "00", "000", "00000",
		"000000", "0g00", "g000", " 000", "00 0", "0x00", "/000",
		":000", "@000", "`000", "G000"};
	uint8_t out[2];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(hex_decode(out, 2, bad[i]));
}

static void
test_round_trip(void **state)
{
	uint8_t in[256], out[256];
	char text[2 * sizeof(in) + 1];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	hex_encode(text, in, sizeof(in));
	assert_true(hex_decode(out, sizeof(out), text));
	assert_memory_equal(in, out, sizeof(in));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_decode_refuses),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
