/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts of the error numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/lib_daemon.h"

#define ALLOCATE_BUFFER 0x100
#define FROM_SYSTEM     0x1000

/* Each number that the header writes has one. */
static void
test_all_numbers(void **state)
{
	FILE *f = fopen("proto/peerdist_errors.h", "re");
	char line[256], text[256], name[128];
	unsigned number, n = 0;
	DWORD len;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "#define %127s %u", name, &number) != 2)
			continue;
		len = pdw_FormatMessageA(
			FROM_SYSTEM, NULL, number, 0, text, sizeof(text), NULL);
		if (len == 0)
			fail_msg("no text of %s", name);
		assert_int_equal(len, strlen(text));
		assert_string_equal(text + len - 2, "\r\n");
		n++;
	}
	fclose(f);
	assert_true(n > 40);
}

static void
test_buffers(void **state)
{
	char text[64], *made = NULL;
	DWORD len = pdw_FormatMessageA(FROM_SYSTEM | ALLOCATE_BUFFER, NULL,
		ERROR_ACCESS_DENIED, 0, (char *)&made, 0, NULL);

	assert_int_equal(len, strlen("Access is denied.\r\n"));
	assert_string_equal(made, "Access is denied.\r\n");
	pdw_LocalFree(made);
	/* The end counts. */
	assert_int_equal(pdw_FormatMessageA(FROM_SYSTEM, NULL,
				 ERROR_ACCESS_DENIED, 0, text, len + 1, NULL),
		len);
	assert_int_equal(pdw_FormatMessageA(FROM_SYSTEM, NULL,
				 ERROR_ACCESS_DENIED, 0, text, len, NULL),
		0);
	assert_int_equal(pdw_GetLastError(), ERROR_INSUFFICIENT_BUFFER);
	assert_int_equal(pdw_FormatMessageA(FROM_SYSTEM, NULL, 3, 0, text,
				 sizeof(text), NULL),
		0);
	assert_int_equal(pdw_GetLastError(), ERROR_NOT_FOUND);
	assert_int_equal(
		pdw_FormatMessageA(FROM_SYSTEM, NULL, 0, 0, NULL, 0, NULL), 0);
	assert_int_equal(pdw_GetLastError(), ERROR_INVALID_PARAMETER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_numbers),
		cmocka_unit_test(test_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
