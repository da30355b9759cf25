/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How calls and operations end inside the service.  daemon/api/status_map.c
 * gives each its Windows number; nothing in core knows those numbers.
 */
#ifndef CORE_RESULT_H
#define CORE_RESULT_H

enum core_result {
	CORE_OK,
	CORE_E_BAD_HANDLE,          /* 6 */
	CORE_E_NO_MEMORY,           /* 8 */
	CORE_E_BAD_DATA,            /* 13 */
	CORE_E_TOO_NEW,             /* 21: the file has just been changed */
	CORE_E_BAD_PARAMETER,       /* 87 */
	CORE_E_DISK_FULL,           /* 112 */
	CORE_E_ABORTED,             /* 995 */
	CORE_E_IO,                  /* 1117 */
	CORE_E_NOT_FOUND,           /* 1168 */
	CORE_E_DISABLED,            /* 1260: by policy, or not for this role */
	CORE_E_NO_RESOURCES,        /* 1450: a quota */
	CORE_E_TIMEOUT,             /* 1460 */
	CORE_E_CI_VERSION,          /* 4050 */
	CORE_E_CI_MALFORMED,        /* 4051 */
	CORE_E_MISSING_DATA,        /* 4052 */
	CORE_E_NO_MORE,             /* 4053 */
	CORE_E_NOT_INITIALIZED,     /* 4054 */
	CORE_E_INVALIDATED,         /* 4057 */
	CORE_E_ALREADY_EXISTS,      /* 4058 */
	CORE_E_OPERATION_NOT_FOUND, /* 4059 */
	CORE_E_ALREADY_COMPLETED,   /* 4060 */
	CORE_E_OUT_OF_BOUNDS,       /* 4061 */
	CORE_E_UNAVAILABLE,         /* 4065 */
	CORE_E_PROTOCOL, /* the client broke the protocol: it must go */
	_CORE_RESULT_MAX,
	/* Of calls that say so: not the result, which comes by
	 * session_ops.reply. */
	CORE_LATER,
};

#endif
