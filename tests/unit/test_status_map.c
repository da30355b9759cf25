/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/api/status_map.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macros.h"

/* Written as numbers: this is what programs see. */
static const struct {
	enum core_result result;
	uint32_t number;
} rows[] = {
	{CORE_OK, 0},
	{CORE_E_BAD_HANDLE, 6},
	{CORE_E_NO_MEMORY, 8},
	{CORE_E_BAD_DATA, 13},
	{CORE_E_TOO_NEW, 21},
	{CORE_E_BAD_PARAMETER, 87},
	{CORE_E_DISK_FULL, 112},
	{CORE_E_ABORTED, 995},
	{CORE_E_IO, 1117},
	{CORE_E_NOT_FOUND, 1168},
	{CORE_E_DISABLED, 1260},
	{CORE_E_NO_RESOURCES, 1450},
	{CORE_E_TIMEOUT, 1460},
	{CORE_E_CI_VERSION, 4050},
	{CORE_E_CI_MALFORMED, 4051},
	{CORE_E_MISSING_DATA, 4052},
	{CORE_E_NO_MORE, 4053},
	{CORE_E_NOT_INITIALIZED, 4054},
	{CORE_E_INVALIDATED, 4057},
	{CORE_E_ALREADY_EXISTS, 4058},
	{CORE_E_OPERATION_NOT_FOUND, 4059},
	{CORE_E_ALREADY_COMPLETED, 4060},
	{CORE_E_OUT_OF_BOUNDS, 4061},
	{CORE_E_UNAVAILABLE, 4065},
};

static void
each_result_has_its_number(void **state)
{
	/* All but the one that is never told. */
	assert_int_equal(ARRAY_LEN(rows), _CORE_RESULT_MAX - 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(
			status_map_core(rows[i].result), rows[i].number);
	assert_int_not_equal(status_map_core(CORE_E_PROTOCOL), 0);
}

static void
only_success_is_zero(void **state)
{
	for (int r = CORE_OK + 1; r < _CORE_RESULT_MAX; r++)
		assert_int_not_equal(status_map_core(r), 0);
}

static void
errno_has_a_number(void **state)
{
	assert_int_equal(status_map_errno(0), 0);
	assert_int_equal(status_map_errno(-ENOMEM), 8);
	assert_int_equal(status_map_errno(-EMFILE), 1450);
	assert_int_equal(status_map_errno(-ENFILE), 1450);
	assert_int_equal(status_map_errno(-ENOSPC), 112);
	assert_int_equal(status_map_errno(-EBADF), 1117);
}

static void
spellings_of_the_documentation(void **state)
{
	assert_int_equal(PEERDIST_ERROR_OPERATION_NOT_FOUND, 4059);
	assert_int_equal(PEERDIST_ERROR_NOT_FOUND, 1168);
	assert_int_equal(ERROR_NO_MORE, 4053);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_result_has_its_number),
		cmocka_unit_test(only_success_is_zero),
		cmocka_unit_test(errno_has_a_number),
		cmocka_unit_test(spellings_of_the_documentation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
