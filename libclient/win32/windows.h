/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For sources written for Windows: the types, numbers and names around
 * peerdist.h, OVERLAPPED, events and completion ports, and no more.  The names
 * are macros over the functions of peerdist_port.h; peerdist(3) lists what is
 * left out (threads, files, named objects, wide-character text).
 *
 * Not for programs that bring another windows.h (Wine, MinGW, WinPR).
 */
#ifndef PDW_WINDOWS_H
#define PDW_WINDOWS_H

#include <stdlib.h>
#include <string.h>

#include "peerdist_port.h"

typedef wchar_t WCHAR;
typedef WCHAR *PWSTR, *LPWSTR;
typedef const WCHAR *PCWSTR, *LPCWSTR;
typedef const void *LPCVOID;
typedef int INT;
typedef unsigned int UINT;
typedef short SHORT;
typedef unsigned short USHORT;
typedef unsigned char UCHAR, *PUCHAR;
typedef BYTE BOOLEAN;
typedef intptr_t INT_PTR;
typedef uintptr_t UINT_PTR;
typedef intptr_t SSIZE_T;
typedef HANDLE HLOCAL, HGLOBAL;

typedef struct _GUID {
	uint32_t Data1;
	uint16_t Data2;
	uint16_t Data3;
	uint8_t Data4[8];
} GUID, UUID;
typedef LONG RPC_STATUS;

typedef union _LARGE_INTEGER {
	__extension__ struct {
		DWORD LowPart;
		LONG HighPart;
	};
	struct {
		DWORD LowPart;
		LONG HighPart;
	} u;
	LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef union _ULARGE_INTEGER {
	__extension__ struct {
		DWORD LowPart;
		DWORD HighPart;
	};
	struct {
		DWORD LowPart;
		DWORD HighPart;
	} u;
	ULONGLONG QuadPart;
} ULARGE_INTEGER, *PULARGE_INTEGER;

#ifndef _WIN32_WINNT
#define _WIN32_WINNT (NTDDI_VERSION >> 16)
#endif
#define APIENTRY WINAPI
#define CONST    const
#define FAR
#define NEAR
#define DUMMYUNIONNAME
#define DUMMYSTRUCTNAME
#define DECLSPEC_IMPORT

#define WINAPI_PARTITION_DESKTOP   1
#define WINAPI_PARTITION_APP       1
#define WINAPI_PARTITION_SYSTEM    1
#define WINAPI_FAMILY_PARTITION(x) 1

/* Annotations. */
#define _In_
#define _In_opt_
#define _In_reads_(n)
#define _In_reads_opt_(n)
#define _In_reads_bytes_(n)
#define _In_reads_bytes_opt_(n)
#define _Inout_
#define _Inout_opt_
#define _Out_
#define _Out_opt_
#define _Out_writes_(n)
#define _Out_writes_bytes_(n)
#define _Out_writes_bytes_opt_(n)
#define _Outptr_
#define _Reserved_
#define _Success_(e)
#define _Must_inspect_result_
#define IN
#define OUT
#define OPTIONAL

#define UNREFERENCED_PARAMETER(p) ((void)(p))
#define ARRAYSIZE(a)              (sizeof(a) / sizeof((a)[0]))
#define ZeroMemory(p, n)          memset((p), 0, (n))
#define FillMemory(p, n, c)       memset((p), (c), (n))
#define CopyMemory(d, s, n)       memcpy((d), (s), (n))
#define MoveMemory(d, s, n)       memmove((d), (s), (n))
#define RtlZeroMemory             ZeroMemory
#define RtlCopyMemory             CopyMemory
#define SecureZeroMemory(p, n) \
	(memset((p), 0, (n)), __extension__({ \
		__asm__ __volatile__("" : : "r"(p) : "memory"); \
		(PVOID)(p); \
	}))

#define NO_ERROR      ERROR_SUCCESS
#define S_OK          ((HRESULT)0)
#define S_FALSE       ((HRESULT)1)
#define E_FAIL        ((HRESULT)0x80004005)
#define SUCCEEDED(hr) ((HRESULT)(hr) >= 0)
#define FAILED(hr)    ((HRESULT)(hr) < 0)
#define RPC_S_OK      ((RPC_STATUS)0)
#define HRESULT_FROM_WIN32(e) \
	((HRESULT)(e) <= 0 ? (HRESULT)(e) \
			   : (HRESULT)(((DWORD)(e)&0xFFFF) | 0x80070000))

/* Last error, handles, events, waits. */
#define GetLastError   pdw_GetLastError
#define SetLastError   pdw_SetLastError
#define CloseHandle    pdw_CloseHandle
#define CreateEventA   pdw_CreateEventA
#define CreateEventW   pdw_CreateEventW
#define CreateEventExA pdw_CreateEventExA
#define CreateEventExW pdw_CreateEventExW
#ifdef UNICODE
#define CreateEvent   CreateEventW
#define CreateEventEx CreateEventExW
#else
#define CreateEvent   CreateEventA
#define CreateEventEx CreateEventExA
#endif
#define CREATE_EVENT_MANUAL_RESET PDW_CREATE_EVENT_MANUAL_RESET
#define CREATE_EVENT_INITIAL_SET  PDW_CREATE_EVENT_INITIAL_SET
#define EVENT_MODIFY_STATE        0x0002
#define EVENT_ALL_ACCESS          0x1F0003
#define SYNCHRONIZE               0x00100000
#define SetEvent                  pdw_SetEvent
#define ResetEvent                pdw_ResetEvent
#define WaitForSingleObject       pdw_WaitForSingleObject
#define WaitForSingleObjectEx     pdw_WaitForSingleObjectEx
#define WaitForMultipleObjects    pdw_WaitForMultipleObjects
#define WaitForMultipleObjectsEx  pdw_WaitForMultipleObjectsEx
#define WAIT_IO_COMPLETION        0xC0

/* Completion ports. */
#define CreateIoCompletionPort      pdw_CreateIoCompletionPort
#define GetQueuedCompletionStatus   pdw_GetQueuedCompletionStatus
#define GetQueuedCompletionStatusEx pdw_GetQueuedCompletionStatusEx
#define PostQueuedCompletionStatus  pdw_PostQueuedCompletionStatus
#define GetOverlappedResult         pdw_GetOverlappedResult
#define GetOverlappedResultEx       pdw_GetOverlappedResultEx

/* Time, memory, text. */
#define Sleep                          pdw_Sleep
#define GetTickCount                   pdw_GetTickCount
#define GetTickCount64                 pdw_GetTickCount64
#define GetProcessHeap                 pdw_GetProcessHeap
#define HeapAlloc                      pdw_HeapAlloc
#define HeapFree                       pdw_HeapFree
#define HEAP_ZERO_MEMORY               0x00000008
#define LocalAlloc                     pdw_LocalAlloc
#define LocalFree                      pdw_LocalFree
#define LMEM_FIXED                     0x0000
#define LMEM_ZEROINIT                  0x0040
#define LPTR                           (LMEM_FIXED | LMEM_ZEROINIT)
#define FormatMessageA                 pdw_FormatMessageA
#define FormatMessage                  pdw_FormatMessageA
#define FORMAT_MESSAGE_ALLOCATE_BUFFER 0x00000100
#define FORMAT_MESSAGE_IGNORE_INSERTS  0x00000200
#define FORMAT_MESSAGE_FROM_HMODULE    0x00000800
#define FORMAT_MESSAGE_FROM_SYSTEM     0x00001000
#define LANG_NEUTRAL                   0x00
#define SUBLANG_DEFAULT                0x01
#define MAKELANGID(p, s)               ((WORD)((WORD)(s) << 10 | (WORD)(p)))
#define CoCreateGuid(guid)             ((HRESULT)pdw_CreateGuid(guid))
#define UuidCreate(guid)               ((RPC_STATUS)pdw_CreateGuid(guid))

/* Locks and atomic numbers. */
typedef PDW_CRITICAL_SECTION CRITICAL_SECTION, *PCRITICAL_SECTION,
	*LPCRITICAL_SECTION;
#define InitializeCriticalSection pdw_InitializeCriticalSection
#define InitializeCriticalSectionAndSpinCount(section, count) \
	(pdw_InitializeCriticalSection(section), TRUE)
#define EnterCriticalSection    pdw_EnterCriticalSection
#define TryEnterCriticalSection pdw_TryEnterCriticalSection
#define LeaveCriticalSection    pdw_LeaveCriticalSection
#define DeleteCriticalSection   pdw_DeleteCriticalSection

static inline LONG
InterlockedIncrement(volatile LONG *p)
{
	return (LONG)((ULONG)__atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST) + 1u);
}

static inline LONG
InterlockedDecrement(volatile LONG *p)
{
	return (LONG)((ULONG)__atomic_fetch_sub(p, 1, __ATOMIC_SEQ_CST) - 1u);
}

static inline LONG
InterlockedExchange(volatile LONG *p, LONG value)
{
	return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);
}

static inline LONG
InterlockedExchangeAdd(volatile LONG *p, LONG value)
{
	return __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);
}

/* Gives what was there before. */
static inline LONG
InterlockedCompareExchange(volatile LONG *p, LONG value, LONG expected)
{
	__atomic_compare_exchange_n(
		p, &expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return expected;
}

#endif
