/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/api/json_out.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct buf out;

static struct json
begin(size_t max)
{
	struct json j;

	buf_init(&out, max);
	json_out_init(&j, &out);
	return j;
}

static void
expect(const char *text)
{
	assert_int_equal(buf_error(&out), 0);
	assert_int_equal(out.len, strlen(text));
	assert_memory_equal(out.data, text, out.len);
	buf_done(&out);
}

static void
commas_and_nesting(void **state)
{
	struct json j = begin(1000);

	json_out_object(&j, NULL);
	json_out_u64(&j, "a", UINT64_MAX);
	json_out_array(&j, "b");
	json_out_bool(&j, NULL, true);
	json_out_bool(&j, NULL, false);
	json_out_object(&j, NULL);
	json_out_end_object(&j);
	json_out_array(&j, NULL);
	json_out_end_array(&j);
	json_out_text(&j, NULL, NULL);
	json_out_end_array(&j);
	json_out_hex(&j, "c", 0x1F);
	json_out_text(&j, "e", "");
	json_out_end_object(&j);
	expect("{\"a\":18446744073709551615,\"b\":[true,false,{},[],null],"
	       "\"c\":\"0x1f\",\"e\":\"\"}");
}

static void
expect_text(const char *bytes, size_t len, const char *text)
{
	struct json j = begin(1000);

	json_out_bytes(&j, NULL, bytes, len);
	expect(text);
}

static void
everything_but_plain_ascii_is_escaped(void **state)
{
	expect_text("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
	expect_text("\0\n\x1b\x7f", 4, "\"\\u0000\\u000a\\u001b\\u007f\"");
	expect_text("\xC3\xA4", 2, "\"\\u00e4\"");
	expect_text("\xE2\x82\xAC", 3, "\"\\u20ac\"");
	expect_text("\xF0\x9F\x98\x80", 4, "\"\\ud83d\\ude00\"");
	expect_text("\xF4\x8F\xBF\xBF", 4, "\"\\udbff\\udfff\"");
}

static void
what_is_not_utf8_is_replaced(void **state)
{
	expect_text("\xFF", 1, "\"\\ufffd\"");
	expect_text("\xC3", 1, "\"\\ufffd\"");
	expect_text("\xC3(", 2, "\"\\ufffd(\"");
	expect_text("\x80", 1, "\"\\ufffd\"");
	/* Overlong, a surrogate, beyond the last one. */
	expect_text("\xC0\x80", 2, "\"\\ufffd\\ufffd\"");
	expect_text("\xE0\x80\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"");
	expect_text("\xED\xA0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"");
	expect_text("\xF4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

static void
the_bound_holds(void **state)
{
	struct json j = begin(64);

	json_out_array(&j, NULL);
	for (int i = 0; i < 100; i++)
		json_out_u64(&j, NULL, 12345);
	json_out_end_array(&j);
	assert_int_equal(buf_error(&out), -EMSGSIZE);
	assert_true(out.len <= 64);
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_and_nesting),
		cmocka_unit_test(everything_but_plain_ascii_is_escaped),
		cmocka_unit_test(what_is_not_utf8_is_replaced),
		cmocka_unit_test(the_bound_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
