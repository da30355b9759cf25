/* SPDX-License-Identifier: BSD-2-Clause */
/* OVERLAPPED.Internal: an NTSTATUS form of the result, since the plain number
 * 259 would look like STATUS_PENDING. */
#ifndef LIBCLIENT_RESULT_H
#define LIBCLIENT_RESULT_H

#include "libclient/peerdist_types.h"

#include "peerdist_errors.h"

#define PDC_INTERNAL_PENDING  ((ULONG_PTR)0x00000103)
#define PDC_INTERNAL_ABORTED  ((ULONG_PTR)0xC0000120)
#define PDC_INTERNAL_FACILITY ((ULONG_PTR)0xC0070000)

static inline ULONG_PTR
pdc_internal_of_result(DWORD code)
{
	if (code == ERROR_SUCCESS)
		return 0;
	if (code == ERROR_OPERATION_ABORTED)
		return PDC_INTERNAL_ABORTED;
	return PDC_INTERNAL_FACILITY | (code & 0xFFFF);
}

static inline DWORD
pdc_result_of_internal(ULONG_PTR internal)
{
	DWORD status = (DWORD)internal;

	if (status == PDC_INTERNAL_ABORTED)
		return ERROR_OPERATION_ABORTED;
	if (status == PDC_INTERNAL_PENDING)
		return ERROR_IO_INCOMPLETE;
	return status & 0xFFFF;
}

#endif
