/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every error number of the peer distribution API and of what belongs to it:
 * the only place where one is written.  Installed.
 *
 * Each name stands under its own guard, since a program may have another
 * project's Windows headers in front of this one; the numbers are the same
 * there.  They have no suffix and compare equal to DWORD and to long.
 */
#ifndef PEERDIST_ERRORS_H
#define PEERDIST_ERRORS_H

/* Success and the general system codes. */

#ifndef ERROR_SUCCESS
/* Done. */
#define ERROR_SUCCESS 0
#endif
#ifndef ERROR_ACCESS_DENIED
/* Only peerdistctl's requests; never from the API. */
#define ERROR_ACCESS_DENIED 5
#endif
#ifndef ERROR_INVALID_HANDLE
/* Not a handle, of another kind, closed, or after fork. */
#define ERROR_INVALID_HANDLE 6
#endif
#ifndef ERROR_NOT_ENOUGH_MEMORY
/* In the library, the daemon, or the cache's bounds. */
#define ERROR_NOT_ENOUGH_MEMORY 8
#endif
#ifndef ERROR_INVALID_DATA
/* Completion: data does not match its hash or length. */
#define ERROR_INVALID_DATA 13
#endif
#ifndef ERROR_NOT_READY
/* Only peerdistctl's requests: the file has been changed a moment ago. */
#define ERROR_NOT_READY 21
#endif
#ifndef ERROR_BAD_LENGTH
/* Not used. */
#define ERROR_BAD_LENGTH 24
#endif
#ifndef ERROR_HANDLE_EOF
/* Not used. */
#define ERROR_HANDLE_EOF 38
#endif
#ifndef ERROR_NOT_SUPPORTED
/* A request or an argument form that is not known here. */
#define ERROR_NOT_SUPPORTED 50
#endif
#ifndef ERROR_INVALID_PARAMETER
/* An argument that no state could make valid. */
#define ERROR_INVALID_PARAMETER 87
#endif
#ifndef ERROR_DISK_FULL
/* Completion: no room for data or hashes. */
#define ERROR_DISK_FULL 112
#endif
#ifndef ERROR_CALL_NOT_IMPLEMENTED
/* Not used. */
#define ERROR_CALL_NOT_IMPLEMENTED 120
#endif
#ifndef ERROR_INSUFFICIENT_BUFFER
/* The caller's structure is too small. */
#define ERROR_INSUFFICIENT_BUFFER 122
#endif
#ifndef ERROR_ALREADY_EXISTS
/* Not used: 4058 is. */
#define ERROR_ALREADY_EXISTS 183
#endif
#ifndef ERROR_MORE_DATA
/* Not used: a short buffer just receives less. */
#define ERROR_MORE_DATA 234
#endif
#ifndef WAIT_TIMEOUT
/* Waits: the time is over. */
#define WAIT_TIMEOUT 258
#endif
#ifndef ERROR_NO_MORE_ITEMS
/* Never used: the number of STATUS_PENDING. */
#define ERROR_NO_MORE_ITEMS 259
#endif
#ifndef ERROR_ABANDONED_WAIT_0
/* The completion port was closed during the wait. */
#define ERROR_ABANDONED_WAIT_0 735
#endif
#ifndef ERROR_OPERATION_ABORTED
/* Completion of a cancelled operation. */
#define ERROR_OPERATION_ABORTED 995
#endif
#ifndef ERROR_IO_INCOMPLETE
/* GetOverlappedResult: still pending. */
#define ERROR_IO_INCOMPLETE 996
#endif
#ifndef ERROR_IO_PENDING
/* Accepted: exactly one completion will come. */
#define ERROR_IO_PENDING 997
#endif
#ifndef ERROR_NOACCESS
/* Not used. */
#define ERROR_NOACCESS 998
#endif
#ifndef ERROR_IO_DEVICE
/* Completion: the cache or the file failed to read or write. */
#define ERROR_IO_DEVICE 1117
#endif
#ifndef ERROR_NOT_FOUND
/* Nothing is published under this identifier. */
#define ERROR_NOT_FOUND 1168
#endif
#ifndef ERROR_ACCESS_DISABLED_BY_POLICY
/* Disabled by policy, or not for this role. */
#define ERROR_ACCESS_DISABLED_BY_POLICY 1260
#endif
#ifndef ERROR_NO_SYSTEM_RESOURCES
/* Over a quota of the user. */
#define ERROR_NO_SYSTEM_RESOURCES 1450
#endif
#ifndef ERROR_TIMEOUT
/* Completion of a read whose time is over. */
#define ERROR_TIMEOUT 1460
#endif
#ifndef ERROR_UNSUPPORTED_TYPE
/* Not used. */
#define ERROR_UNSUPPORTED_TYPE 1630
#endif

/* The PEERDIST_ERROR block. */

#ifndef PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED
/* Format version of content information not supported. */
#define PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED 4050
#endif
#ifndef PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO
/* Content information is malformed. */
#define PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO 4051
#endif
#ifndef PEERDIST_ERROR_MISSING_DATA
/* Neither in the local cache nor at peers. */
#define PEERDIST_ERROR_MISSING_DATA 4052
#endif
#ifndef PEERDIST_ERROR_NO_MORE
/* The end is reached. */
#define PEERDIST_ERROR_NO_MORE 4053
#endif
#ifndef PEERDIST_ERROR_NOT_INITIALIZED
/* Content information is not complete yet. */
#define PEERDIST_ERROR_NOT_INITIALIZED 4054
#endif
#ifndef PEERDIST_ERROR_ALREADY_INITIALIZED
/* Not used. */
#define PEERDIST_ERROR_ALREADY_INITIALIZED 4055
#endif
#ifndef PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS
/* Another thread is inside PeerDistShutdown. */
#define PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS 4056
#endif
#ifndef PEERDIST_ERROR_INVALIDATED
/* The handle is of an earlier life of the service. */
#define PEERDIST_ERROR_INVALIDATED 4057
#endif
#ifndef PEERDIST_ERROR_ALREADY_EXISTS
/* Already published, or already registered. */
#define PEERDIST_ERROR_ALREADY_EXISTS 4058
#endif
#ifndef PEERDIST_ERROR_OPERATION_NOTFOUND
/* No such operation, or it has completed. */
#define PEERDIST_ERROR_OPERATION_NOTFOUND 4059
#endif
#ifndef PEERDIST_ERROR_ALREADY_COMPLETED
/* This step was taken before. */
#define PEERDIST_ERROR_ALREADY_COMPLETED 4060
#endif
#ifndef PEERDIST_ERROR_OUT_OF_BOUNDS
/* Outside of the content. */
#define PEERDIST_ERROR_OUT_OF_BOUNDS 4061
#endif
#ifndef PEERDIST_ERROR_VERSION_UNSUPPORTED
/* The version asked for is not supported. */
#define PEERDIST_ERROR_VERSION_UNSUPPORTED 4062
#endif
#ifndef PEERDIST_ERROR_INVALID_CONFIGURATION
/* Not used by the API. */
#define PEERDIST_ERROR_INVALID_CONFIGURATION 4063
#endif
#ifndef PEERDIST_ERROR_NOT_LICENSED
/* Never used. */
#define PEERDIST_ERROR_NOT_LICENSED 4064
#endif
#ifndef PEERDIST_ERROR_SERVICE_UNAVAILABLE
/* The service is not reachable or not ready. */
#define PEERDIST_ERROR_SERVICE_UNAVAILABLE 4065
#endif
#ifndef PEERDIST_ERROR_TRUST_FAILURE
/* Not used. */
#define PEERDIST_ERROR_TRUST_FAILURE 4066
#endif

/* Spellings of the documentation that the SDK's header does not have. */

#ifndef PEERDIST_ERROR_OPERATION_NOT_FOUND
#define PEERDIST_ERROR_OPERATION_NOT_FOUND PEERDIST_ERROR_OPERATION_NOTFOUND
#endif
#ifndef PEERDIST_ERROR_NOT_FOUND
#define PEERDIST_ERROR_NOT_FOUND ERROR_NOT_FOUND
#endif
#ifndef ERROR_NO_MORE
#define ERROR_NO_MORE PEERDIST_ERROR_NO_MORE
#endif

#endif
