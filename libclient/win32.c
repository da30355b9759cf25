/* SPDX-License-Identifier: BSD-2-Clause */
/* The thread's last error, and small things that stand around the API. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/macros.h"
#include "libclient/peerdist_port.h"

#define HEAP_ZERO              0x08u
#define LOCAL_ZERO             0x40u
#define FORMAT_ALLOCATE_BUFFER 0x100u

static _Thread_local DWORD last_error;

DWORD WINAPI
pdw_GetLastError(void)
{
	return last_error;
}

void WINAPI
pdw_SetLastError(DWORD dwErrCode)
{
	last_error = dwErrCode;
}

void WINAPI
pdw_Sleep(DWORD dwMilliseconds)
{
	struct timespec ts = {
		.tv_sec = dwMilliseconds / 1000,
		.tv_nsec = dwMilliseconds % 1000 * 1000000L,
	};

	while (dwMilliseconds == INFINITE)
		pause();
	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

ULONGLONG WINAPI
pdw_GetTickCount64(void)
{
	return clock_now_us() / US_PER_MS;
}

DWORD WINAPI
pdw_GetTickCount(void)
{
	return (DWORD)pdw_GetTickCount64();
}

LPVOID WINAPI
pdw_HeapAlloc(HANDLE hHeap, DWORD dwFlags, SIZE_T dwBytes)
{
	SIZE_T n = dwBytes > 0 ? dwBytes : 1;

	return dwFlags & HEAP_ZERO ? calloc(1, n) : malloc(n);
}

BOOL WINAPI
pdw_HeapFree(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem)
{
	free(lpMem);
	return TRUE;
}

HANDLE WINAPI
pdw_GetProcessHeap(void)
{
	static int heap;

	return &heap;
}

HANDLE WINAPI
pdw_LocalAlloc(ULONG uFlags, SIZE_T uBytes)
{
	return pdw_HeapAlloc(NULL, uFlags & LOCAL_ZERO ? HEAP_ZERO : 0, uBytes);
}

HANDLE WINAPI
pdw_LocalFree(HANDLE hMem)
{
	free(hMem);
	return NULL;
}

static const struct {
	DWORD code;
	const char *text;
} messages[] = {
	{ERROR_SUCCESS, "The operation completed successfully."},
	{ERROR_ACCESS_DENIED, "Access is denied."},
	{ERROR_INVALID_HANDLE, "The handle is invalid."},
	{ERROR_NOT_ENOUGH_MEMORY, "There is not enough memory."},
	{ERROR_INVALID_DATA, "The data is invalid."},
	{ERROR_NOT_READY, "It is not ready yet."},
	{ERROR_BAD_LENGTH, "The length is wrong."},
	{ERROR_HANDLE_EOF, "The end of the file was reached."},
	{ERROR_NOT_SUPPORTED, "The request is not supported."},
	{ERROR_INVALID_PARAMETER, "A parameter is incorrect."},
	{ERROR_DISK_FULL, "There is not enough space on the disk."},
	{ERROR_CALL_NOT_IMPLEMENTED, "The function does not exist here."},
	{ERROR_INSUFFICIENT_BUFFER, "The buffer is too small."},
	{ERROR_ALREADY_EXISTS, "It exists already."},
	{ERROR_MORE_DATA, "There is more data."},
	{WAIT_TIMEOUT, "The time to wait is over."},
	{ERROR_NO_MORE_ITEMS, "There are no more items."},
	{ERROR_ABANDONED_WAIT_0, "The completion port was closed."},
	{ERROR_OPERATION_ABORTED, "The operation was cancelled."},
	{ERROR_IO_INCOMPLETE, "The operation has not completed yet."},
	{ERROR_IO_PENDING, "The operation is in progress."},
	{ERROR_NOACCESS, "The memory cannot be accessed."},
	{ERROR_IO_DEVICE, "The cache could not be read or written."},
	{ERROR_NOT_FOUND, "The element was not found."},
	{ERROR_ACCESS_DISABLED_BY_POLICY,
		"The feature is disabled by policy or settings."},
	{ERROR_NO_SYSTEM_RESOURCES, "A quota of the user is exhausted."},
	{ERROR_TIMEOUT, "The data did not arrive in time."},
	{ERROR_UNSUPPORTED_TYPE, "The type is not supported."},
	{PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED,
		"The version of the content information is not supported."},
	{PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO,
		"The content information is malformed."},
	{PEERDIST_ERROR_MISSING_DATA,
		"The data is neither in the local nor in a peer's cache."},
	{PEERDIST_ERROR_NO_MORE, "There is no more data."},
	{PEERDIST_ERROR_NOT_INITIALIZED,
		"The content information is not complete yet."},
	{PEERDIST_ERROR_ALREADY_INITIALIZED, "It is already initialized."},
	{PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS, "A shutdown is in progress."},
	{PEERDIST_ERROR_INVALIDATED,
		"The service was disabled, stopped or restarted meanwhile."},
	{PEERDIST_ERROR_ALREADY_EXISTS, "The element exists already."},
	{PEERDIST_ERROR_OPERATION_NOTFOUND,
		"The operation has completed or does not exist."},
	{PEERDIST_ERROR_ALREADY_COMPLETED, "It was completed before."},
	{PEERDIST_ERROR_OUT_OF_BOUNDS, "It is outside of the content."},
	{PEERDIST_ERROR_VERSION_UNSUPPORTED, "The version is not supported."},
	{PEERDIST_ERROR_INVALID_CONFIGURATION, "A setting is invalid."},
	{PEERDIST_ERROR_NOT_LICENSED, "The product is not licensed."},
	{PEERDIST_ERROR_SERVICE_UNAVAILABLE,
		"The service is not reachable or not ready."},
	{PEERDIST_ERROR_TRUST_FAILURE,
		"Traffic with other computers is blocked for a while."},
};

static const char *
message_text(DWORD code)
{
	for (size_t i = 0; i < ARRAY_LEN(messages); i++)
		if (messages[i].code == code)
			return messages[i].text;
	return NULL;
}

/* Writes as Windows does: with CR LF at the end. */
DWORD WINAPI
pdw_FormatMessageA(DWORD dwFlags, const void *lpSource, DWORD dwMessageId,
	DWORD dwLanguageId, char *lpBuffer, DWORD nSize, void *Arguments)
{
	const char *text = message_text(dwMessageId);
	size_t need;

	if (text == NULL || lpBuffer == NULL) {
		pdw_SetLastError(text == NULL ? ERROR_NOT_FOUND
					      : ERROR_INVALID_PARAMETER);
		return 0;
	}
	need = strlen(text) + sizeof("\r\n");
	if (dwFlags & FORMAT_ALLOCATE_BUFFER) {
		char *p = malloc(MAX_OF(need, (size_t)nSize));

		memcpy(lpBuffer, &p, sizeof(p));
		if (p == NULL) {
			pdw_SetLastError(ERROR_NOT_ENOUGH_MEMORY);
			return 0;
		}
		lpBuffer = p;
	} else if (need > nSize) {
		pdw_SetLastError(ERROR_INSUFFICIENT_BUFFER);
		return 0;
	}
	return (DWORD)snprintf(lpBuffer, need, "%s\r\n", text);
}

LONG WINAPI
pdw_CreateGuid(void *guid)
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return (LONG)0x80004005; /* E_FAIL */
	/* Version 4 in the high bits of Data3, which is little-endian in
	 * memory on the machines at hand; variant in Data4. */
	b[7] = (uint8_t)((b[7] & 0x0F) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3F) | 0x80);
	memcpy(guid, b, sizeof(b));
	return 0;
}

static_assert(sizeof(pthread_mutex_t) <= sizeof(PDW_CRITICAL_SECTION),
	"a mutex fits");

static pthread_mutex_t *
section_mutex(PDW_CRITICAL_SECTION *s)
{
	return (pthread_mutex_t *)(void *)s;
}

void WINAPI
pdw_InitializeCriticalSection(PDW_CRITICAL_SECTION *s)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(section_mutex(s), &attr);
	pthread_mutexattr_destroy(&attr);
}

void WINAPI
pdw_EnterCriticalSection(PDW_CRITICAL_SECTION *s)
{
	pthread_mutex_lock(section_mutex(s));
}

BOOL WINAPI
pdw_TryEnterCriticalSection(PDW_CRITICAL_SECTION *s)
{
	return pthread_mutex_trylock(section_mutex(s)) == 0;
}

void WINAPI
pdw_LeaveCriticalSection(PDW_CRITICAL_SECTION *s)
{
	pthread_mutex_unlock(section_mutex(s));
}

void WINAPI
pdw_DeleteCriticalSection(PDW_CRITICAL_SECTION *s)
{
	pthread_mutex_destroy(section_mutex(s));
}
