/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events, completion ports and the thread's last error: as much of the Windows
 * API as programs around peerdist.h need, and a few additions for Linux.
 *
 * Every name has the prefix pdw_, so that nothing clashes with other projects
 * that bring the bare ones (WinPR, Wine).  The folder win32/, which `pkg-config
 * libpeerdist-client-win32` puts on the include path, has a windows.h that
 * maps the Windows spelling to these.
 *
 * A function without a comment does what Microsoft's page of the same name
 * says.  Failures are FALSE, NULL or WAIT_FAILED, with the reason in the last
 * error.  All are safe to call from any thread.
 */
#ifndef PEERDIST_PORT_H
#define PEERDIST_PORT_H

#include <wchar.h>

#include "peerdist_types.h"

#include "peerdist_errors.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of this thread; independent of errno.  Successful calls leave it alone
 * unless they say otherwise. */
DWORD WINAPI pdw_GetLastError(void);
void WINAPI pdw_SetLastError(DWORD dwErrCode);

/*
 * Events.  lpName must be NULL (last error 50 otherwise); attributes are
 * ignored.  Success sets the last error to 0.
 */
#define PDW_CREATE_EVENT_MANUAL_RESET 1
#define PDW_CREATE_EVENT_INITIAL_SET  2
HANDLE WINAPI pdw_CreateEventA(LPSECURITY_ATTRIBUTES lpEventAttributes,
	BOOL bManualReset, BOOL bInitialState, const char *lpName);
HANDLE WINAPI pdw_CreateEventW(LPSECURITY_ATTRIBUTES lpEventAttributes,
	BOOL bManualReset, BOOL bInitialState, const wchar_t *lpName);
HANDLE WINAPI pdw_CreateEventExA(LPSECURITY_ATTRIBUTES lpEventAttributes,
	const char *lpName, DWORD dwFlags, DWORD dwDesiredAccess);
HANDLE WINAPI pdw_CreateEventExW(LPSECURITY_ATTRIBUTES lpEventAttributes,
	const wchar_t *lpName, DWORD dwFlags, DWORD dwDesiredAccess);
BOOL WINAPI pdw_SetEvent(HANDLE hEvent);
BOOL WINAPI pdw_ResetEvent(HANDLE hEvent);

/* Of events only.  Time during which the machine is suspended does not count.
 * bAlertable is accepted and ignored. */
DWORD WINAPI pdw_WaitForSingleObject(HANDLE hHandle, DWORD dwMilliseconds);
DWORD WINAPI pdw_WaitForSingleObjectEx(
	HANDLE hHandle, DWORD dwMilliseconds, BOOL bAlertable);
DWORD WINAPI pdw_WaitForMultipleObjects(DWORD nCount, const HANDLE *lpHandles,
	BOOL bWaitAll, DWORD dwMilliseconds);
DWORD WINAPI pdw_WaitForMultipleObjectsEx(DWORD nCount, const HANDLE *lpHandles,
	BOOL bWaitAll, DWORD dwMilliseconds, BOOL bAlertable);

/*
 * Completion ports.  Only new ports are made: FileHandle must be
 * INVALID_HANDLE_VALUE and ExistingCompletionPort NULL (50 and 87 otherwise);
 * peer distribution handles are bound to a port by the calls that open them.
 * The number of threads is not enforced.
 */
HANDLE WINAPI pdw_CreateIoCompletionPort(HANDLE FileHandle,
	HANDLE ExistingCompletionPort, ULONG_PTR CompletionKey,
	DWORD NumberOfConcurrentThreads);
/* TRUE: a packet of success.  FALSE with *lpOverlapped not NULL: a packet of a
 * failed operation, everything filled in, its code in the last error.  FALSE
 * with NULL: 258 time-out, 735 the port was closed meanwhile, 6, 87. */
BOOL WINAPI pdw_GetQueuedCompletionStatus(HANDLE CompletionPort,
	LPDWORD lpNumberOfBytesTransferred, PULONG_PTR lpCompletionKey,
	LPOVERLAPPED *lpOverlapped, DWORD dwMilliseconds);
BOOL WINAPI pdw_GetQueuedCompletionStatusEx(HANDLE CompletionPort,
	LPOVERLAPPED_ENTRY lpCompletionPortEntries, ULONG ulCount,
	PULONG ulNumEntriesRemoved, DWORD dwMilliseconds, BOOL fAlertable);
BOOL WINAPI pdw_PostQueuedCompletionStatus(HANDLE CompletionPort,
	DWORD dwNumberOfBytesTransferred, ULONG_PTR dwCompletionKey,
	LPOVERLAPPED lpOverlapped);

/* As PeerDistGetOverlappedResult; hFile is ignored.  Ex: 996 with time 0, 258
 * when the time is over. */
BOOL WINAPI pdw_GetOverlappedResult(HANDLE hFile, LPOVERLAPPED lpOverlapped,
	LPDWORD lpNumberOfBytesTransferred, BOOL bWait);
BOOL WINAPI pdw_GetOverlappedResultEx(HANDLE hFile, LPOVERLAPPED lpOverlapped,
	LPDWORD lpNumberOfBytesTransferred, DWORD dwMilliseconds,
	BOOL bAlertable);

/* Events and ports only.  Whoever waits on the port is woken with 735; an
 * operation that is to set the event, or a handle that is bound to the port,
 * keeps the object itself alive. */
BOOL WINAPI pdw_CloseHandle(HANDLE hObject);

/*
 * Additions: a descriptor to poll for reading, -1 for what is not an event or
 * a port.  Readable while the event is signalled, or while the port has
 * packets.  Borrowed: do not read, write or close it; dup it if it must outlive
 * the handle.
 */
int pdw_event_fd(HANDLE event);
int pdw_port_fd(HANDLE port);

/* What stands around these calls in most sources. */
void WINAPI pdw_Sleep(DWORD dwMilliseconds);
DWORD WINAPI pdw_GetTickCount(void);
ULONGLONG WINAPI pdw_GetTickCount64(void);
LPVOID WINAPI pdw_HeapAlloc(HANDLE hHeap, DWORD dwFlags, SIZE_T dwBytes);
BOOL WINAPI pdw_HeapFree(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem);
HANDLE WINAPI pdw_GetProcessHeap(void);
HANDLE WINAPI pdw_LocalAlloc(ULONG uFlags, SIZE_T uBytes);
HANDLE WINAPI pdw_LocalFree(HANDLE hMem);
/* Text of one of the numbers of peerdist_errors.h, in English.  lpSource and
 * Arguments are ignored.  0 for other numbers. */
DWORD WINAPI pdw_FormatMessageA(DWORD dwFlags, const void *lpSource,
	DWORD dwMessageId, DWORD dwLanguageId, char *lpBuffer, DWORD nSize,
	void *Arguments);
/* 16 random bytes in the form of a version 4 GUID; 0. */
LONG WINAPI pdw_CreateGuid(void *guid);

/* A lock that its holder may take again; size and content are private. */
typedef struct _PDW_CRITICAL_SECTION {
	ULONGLONG Opaque[8];
} PDW_CRITICAL_SECTION;
void WINAPI pdw_InitializeCriticalSection(PDW_CRITICAL_SECTION *);
void WINAPI pdw_EnterCriticalSection(PDW_CRITICAL_SECTION *);
BOOL WINAPI pdw_TryEnterCriticalSection(PDW_CRITICAL_SECTION *);
void WINAPI pdw_LeaveCriticalSection(PDW_CRITICAL_SECTION *);
void WINAPI pdw_DeleteCriticalSection(PDW_CRITICAL_SECTION *);

#ifdef __cplusplus
}
#endif

#endif
