/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Windows types that peerdist.h is written in, for Linux.
 *
 * DWORD, LONG and ULONG are 32 bits wide on every machine, as on Windows; they
 * are never `long`.  A program that already has such types from WinPR
 * (FreeRDP) may include its headers before this one: whatever is there is then
 * taken from it.  To be independent of the order, define PEERDIST_USE_WINPR,
 * which makes this header include WinPR's itself.
 */
#ifndef PEERDIST_TYPES_H
#define PEERDIST_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef PEERDIST_USE_WINPR
#include <winpr/wtypes.h>
#endif
/* Who has WinPR's basic types gets the rest from there too, since a struct
 * must not be defined twice. */
#ifdef WINPR_WTYPES_H
#include <winpr/error.h>
#include <winpr/io.h>
#include <winpr/nt.h>
#include <winpr/synch.h>
#endif

/* Versions of the API, as in sdkddkver.h.  Default: Windows 8. */
#ifndef NTDDI_WIN7
#define NTDDI_WIN7 0x06010000
#endif
#ifndef NTDDI_WIN8
#define NTDDI_WIN8 0x06020000
#endif
#ifndef NTDDI_VERSION
#define NTDDI_VERSION NTDDI_WIN8
#endif

#ifndef WINAPI
#define WINAPI
#endif
#ifndef CALLBACK
#define CALLBACK
#endif
#ifndef VOID
#define VOID void
#endif
#ifndef FALSE
#define FALSE 0
#endif
#ifndef TRUE
#define TRUE 1
#endif

#ifndef WINPR_WTYPES_H
typedef void *PVOID, *LPVOID;
typedef int32_t BOOL, *PBOOL, *LPBOOL;
typedef uint8_t BYTE, *PBYTE, *LPBYTE;
typedef uint16_t WORD, *PWORD, *LPWORD;
typedef uint32_t DWORD, *PDWORD, *LPDWORD;
typedef int32_t LONG, *PLONG, *LPLONG;
typedef uint32_t ULONG, *PULONG;
typedef int64_t LONGLONG, *PLONGLONG;
typedef uint64_t ULONGLONG, *PULONGLONG, DWORD64, *PDWORD64;
typedef uintptr_t ULONG_PTR, *PULONG_PTR, DWORD_PTR, *PDWORD_PTR;
typedef intptr_t LONG_PTR, *PLONG_PTR;
typedef ULONG_PTR SIZE_T, *PSIZE_T;
typedef void *HANDLE, **PHANDLE, **LPHANDLE;
typedef LONG HRESULT;
typedef LONG NTSTATUS;
typedef char CHAR;
typedef CHAR *PSTR, *LPSTR;
typedef const CHAR *PCSTR, *LPCSTR;

typedef struct _SECURITY_ATTRIBUTES {
	DWORD nLength;
	LPVOID lpSecurityDescriptor;
	BOOL bInheritHandle;
} SECURITY_ATTRIBUTES, *PSECURITY_ATTRIBUTES, *LPSECURITY_ATTRIBUTES;
#endif

#ifndef WINPR_IO_H
/* State of one asynchronous call.  Members that a call does not use must be 0.
 * From the call until its completion it belongs to the library. */
typedef struct _OVERLAPPED {
	ULONG_PTR Internal;     /* status, see HasOverlappedIoCompleted */
	ULONG_PTR InternalHigh; /* bytes transferred */
	__extension__ union {
		__extension__ struct {
			DWORD Offset;
			DWORD OffsetHigh;
		};
		PVOID Pointer;
	};
	HANDLE hEvent;
} OVERLAPPED, *LPOVERLAPPED;

/* One packet, as GetQueuedCompletionStatusEx returns it. */
typedef struct _OVERLAPPED_ENTRY {
	ULONG_PTR lpCompletionKey;
	LPOVERLAPPED lpOverlapped;
	ULONG_PTR Internal;
	DWORD dwNumberOfBytesTransferred;
} OVERLAPPED_ENTRY, *LPOVERLAPPED_ENTRY;
#endif

#ifndef INVALID_HANDLE_VALUE
#define INVALID_HANDLE_VALUE ((HANDLE)(LONG_PTR)-1)
#endif
#ifndef INFINITE
#define INFINITE 0xFFFFFFFF
#endif
#ifndef MAKEWORD
#define MAKEWORD(low, high) \
	((WORD)(((DWORD)(low)&0xFF) | ((DWORD)(high)&0xFF) << 8))
#endif
#ifndef MAKELONG
#define MAKELONG(low, high) \
	((LONG)(((DWORD)(low)&0xFFFF) | ((DWORD)(high)&0xFFFF) << 16))
#endif
#ifndef LOWORD
#define LOWORD(l) ((WORD)((DWORD_PTR)(l)&0xFFFF))
#endif
#ifndef HIWORD
#define HIWORD(l) ((WORD)((DWORD_PTR)(l) >> 16 & 0xFFFF))
#endif
#ifndef LOBYTE
#define LOBYTE(w) ((BYTE)((DWORD_PTR)(w)&0xFF))
#endif
#ifndef HIBYTE
#define HIBYTE(w) ((BYTE)((DWORD_PTR)(w) >> 8 & 0xFF))
#endif

#ifndef WAIT_OBJECT_0
#define WAIT_OBJECT_0 0
#endif
#ifndef WAIT_ABANDONED_0
#define WAIT_ABANDONED_0 0x80
#endif
#ifndef WAIT_FAILED
#define WAIT_FAILED 0xFFFFFFFF
#endif
#ifndef MAXIMUM_WAIT_OBJECTS
#define MAXIMUM_WAIT_OBJECTS 64
#endif
#ifndef STATUS_PENDING
#define STATUS_PENDING ((NTSTATUS)0x00000103)
#endif
#ifndef STATUS_CANCELLED
#define STATUS_CANCELLED ((NTSTATUS)0xC0000120)
#endif

/* True once the operation has completed.  May be asked from any thread at any
 * time, as long as the structure exists. */
#ifndef HasOverlappedIoCompleted
#define HasOverlappedIoCompleted(overlapped) \
	((DWORD)__atomic_load_n(&(overlapped)->Internal, __ATOMIC_ACQUIRE) != \
		(DWORD)STATUS_PENDING)
#endif

#ifdef __cplusplus
static_assert(sizeof(DWORD) == 4, "DWORD is 32 bits wide");
static_assert(sizeof(OVERLAPPED) == 8 + sizeof(ULONG_PTR) * 3,
	"layout of OVERLAPPED");
#else
_Static_assert(sizeof(DWORD) == 4, "DWORD is 32 bits wide");
_Static_assert(sizeof(OVERLAPPED) == 8 + sizeof(ULONG_PTR) * 3,
	"layout of OVERLAPPED");
#endif

#endif
