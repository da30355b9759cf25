/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Setting writes to the eventfd only when the event is clear: each write would
 * re-arm an edge-triggered watch of the application.  Signalled and readable
 * change together under the event's lock.
 *
 * Waiting is poll() without a lock, then an attempt to take the event under
 * its lock; who comes too late goes on waiting.  A wait for all locks the
 * events of the call, in the order of their addresses, and takes either all or
 * none; while some are missing it polls only those.
 */
#include "libclient/event.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "libclient/conn.h"
#include "libclient/peerdist_port.h"
#include "libclient/util.h"

static void
event_free(struct pdc_object *o)
{
	struct pdc_event *e = (struct pdc_event *)o;

	close(e->fd);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

struct pdc_event *
pdc_event_new(bool manual, bool signalled)
{
	struct pdc_event *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->fd = eventfd(signalled ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->fd < 0) {
		free(e);
		return NULL;
	}
	pthread_mutex_init(&e->lock, NULL);
	e->manual = manual;
	e->signalled = signalled;
	pdc_object_init(&e->object, PDC_EVENT, event_free);
	return e;
}

static void
event_clear_locked(struct pdc_event *e)
{
	uint64_t value;
	ssize_t n;

	if (!e->signalled)
		return;
	n = read(e->fd, &value, sizeof(value));
	(void)n;
	e->signalled = false;
}

void
pdc_event_set(struct pdc_event *e)
{
	uint64_t one = 1;
	ssize_t n;

	pthread_mutex_lock(&e->lock);
	if (!e->signalled) {
		n = write(e->fd, &one, sizeof(one));
		(void)n;
		e->signalled = true;
	}
	pthread_mutex_unlock(&e->lock);
}

void
pdc_event_reset(struct pdc_event *e)
{
	pthread_mutex_lock(&e->lock);
	event_clear_locked(e);
	pthread_mutex_unlock(&e->lock);
}

struct pdc_event *
pdc_event_get(HANDLE h)
{
	return (struct pdc_event *)pdc_handle_get(h, PDC_EVENT);
}

void
pdc_event_unref(struct pdc_event *e)
{
	if (e != NULL)
		pdc_object_unref(&e->object);
}

static bool
event_try(struct pdc_event *e)
{
	bool got;

	pthread_mutex_lock(&e->lock);
	got = e->signalled;
	if (got && !e->manual)
		event_clear_locked(e);
	pthread_mutex_unlock(&e->lock);
	return got;
}

/* The wait of one call. */
struct wait {
	struct pdc_event *events[MAXIMUM_WAIT_OBJECTS];
	struct pdc_event *sorted[MAXIMUM_WAIT_OBJECTS];
	struct pollfd polls[MAXIMUM_WAIT_OBJECTS];
	DWORD n;
	bool all;
};

/* Index of the first that is signalled, or n. */
static DWORD
wait_try_any(struct wait *w)
{
	DWORD i;

	for (i = 0; i < w->n; i++)
		if (event_try(w->events[i]))
			break;
	return i;
}

/* 0 when all were taken, or n. */
static DWORD
wait_try_all(struct wait *w)
{
	bool ready = true;
	DWORD i;

	for (i = 0; i < w->n; i++)
		pthread_mutex_lock(&w->sorted[i]->lock);
	for (i = 0; i < w->n; i++) {
		w->polls[i].fd =
			w->sorted[i]->signalled ? -1 : w->sorted[i]->fd;
		ready = ready && w->sorted[i]->signalled;
	}
	for (i = 0; i < w->n; i++) {
		if (ready && !w->sorted[i]->manual)
			event_clear_locked(w->sorted[i]);
		pthread_mutex_unlock(&w->sorted[i]->lock);
	}
	return ready ? 0 : w->n;
}

static DWORD
wait_run(struct wait *w, DWORD timeout_ms)
{
	uint64_t deadline = pdc_deadline_us(timeout_ms);
	int left_ms, r;
	DWORD got;

	for (;;) {
		got = w->all ? wait_try_all(w) : wait_try_any(w);
		if (got < w->n)
			return WAIT_OBJECT_0 + got;
		left_ms = pdc_deadline_left_ms(deadline);
		pdc_attend_begin();
		r = left_ms != 0 ? poll(w->polls, w->n, left_ms) : 0;
		pdc_attend_end();
		if (left_ms == 0)
			return WAIT_TIMEOUT;
		if (r < 0 && errno != EINTR) {
			pdw_SetLastError(ERROR_NOT_ENOUGH_MEMORY);
			return WAIT_FAILED;
		}
	}
}

static int
compare_events(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (struct pdc_event *const *)a;
	uintptr_t y = (uintptr_t) * (struct pdc_event *const *)b;

	return (x > y) - (x < y);
}

/* 0, or why not; in both cases the first w->n are referenced. */
static DWORD
wait_prepare(struct wait *w, DWORD n, const HANDLE *handles, bool all)
{
	w->all = all;
	for (w->n = 0; w->n < n; w->n++) {
		w->events[w->n] = pdc_event_get(handles[w->n]);
		if (w->events[w->n] == NULL)
			return ERROR_INVALID_HANDLE;
		w->sorted[w->n] = w->events[w->n];
		w->polls[w->n].fd = w->events[w->n]->fd;
		w->polls[w->n].events = POLLIN;
	}
	qsort(w->sorted, n, sizeof(w->sorted[0]), compare_events);
	for (DWORD i = 1; i < n; i++)
		if (w->sorted[i] == w->sorted[i - 1])
			return ERROR_INVALID_PARAMETER;
	return ERROR_SUCCESS;
}

DWORD WINAPI
pdw_WaitForMultipleObjects(DWORD nCount, const HANDLE *lpHandles, BOOL bWaitAll,
	DWORD dwMilliseconds)
{
	struct wait w;
	DWORD code, r;

	if (nCount < 1 || nCount > MAXIMUM_WAIT_OBJECTS || lpHandles == NULL) {
		pdw_SetLastError(ERROR_INVALID_PARAMETER);
		return WAIT_FAILED;
	}
	code = wait_prepare(&w, nCount, lpHandles, bWaitAll && nCount > 1);
	if (code == ERROR_SUCCESS) {
		r = wait_run(&w, dwMilliseconds);
	} else {
		pdw_SetLastError(code);
		r = WAIT_FAILED;
	}
	for (DWORD i = 0; i < w.n; i++)
		pdc_event_unref(w.events[i]);
	return r;
}

DWORD WINAPI
pdw_WaitForMultipleObjectsEx(DWORD nCount, const HANDLE *lpHandles,
	BOOL bWaitAll, DWORD dwMilliseconds, BOOL bAlertable)
{
	return pdw_WaitForMultipleObjects(
		nCount, lpHandles, bWaitAll, dwMilliseconds);
}

DWORD WINAPI
pdw_WaitForSingleObject(HANDLE hHandle, DWORD dwMilliseconds)
{
	return pdw_WaitForMultipleObjects(1, &hHandle, FALSE, dwMilliseconds);
}

DWORD WINAPI
pdw_WaitForSingleObjectEx(HANDLE hHandle, DWORD dwMilliseconds, BOOL bAlertable)
{
	return pdw_WaitForSingleObject(hHandle, dwMilliseconds);
}

static HANDLE
event_create(bool manual, bool signalled, bool named)
{
	struct pdc_event *e;
	HANDLE h;

	if (named) {
		pdw_SetLastError(ERROR_NOT_SUPPORTED);
		return NULL;
	}
	e = pdc_event_new(manual, signalled);
	if (e == NULL) {
		pdw_SetLastError(ERROR_NOT_ENOUGH_MEMORY);
		return NULL;
	}
	h = pdc_handle_new(&e->object);
	pdc_event_unref(e);
	pdw_SetLastError(h != NULL ? ERROR_SUCCESS : ERROR_NOT_ENOUGH_MEMORY);
	return h;
}

HANDLE WINAPI
pdw_CreateEventA(LPSECURITY_ATTRIBUTES lpEventAttributes, BOOL bManualReset,
	BOOL bInitialState, const char *lpName)
{
	return event_create(bManualReset, bInitialState, lpName != NULL);
}

HANDLE WINAPI
pdw_CreateEventW(LPSECURITY_ATTRIBUTES lpEventAttributes, BOOL bManualReset,
	BOOL bInitialState, const wchar_t *lpName)
{
	return event_create(bManualReset, bInitialState, lpName != NULL);
}

HANDLE WINAPI
pdw_CreateEventExA(LPSECURITY_ATTRIBUTES lpEventAttributes, const char *lpName,
	DWORD dwFlags, DWORD dwDesiredAccess)
{
	return event_create(dwFlags & PDW_CREATE_EVENT_MANUAL_RESET,
		dwFlags & PDW_CREATE_EVENT_INITIAL_SET, lpName != NULL);
}

HANDLE WINAPI
pdw_CreateEventExW(LPSECURITY_ATTRIBUTES lpEventAttributes,
	const wchar_t *lpName, DWORD dwFlags, DWORD dwDesiredAccess)
{
	return event_create(dwFlags & PDW_CREATE_EVENT_MANUAL_RESET,
		dwFlags & PDW_CREATE_EVENT_INITIAL_SET, lpName != NULL);
}

static BOOL
event_apply(HANDLE h, void (*fn)(struct pdc_event *))
{
	struct pdc_event *e = pdc_event_get(h);

	if (e == NULL) {
		pdw_SetLastError(ERROR_INVALID_HANDLE);
		return FALSE;
	}
	fn(e);
	pdc_event_unref(e);
	return TRUE;
}

BOOL WINAPI
pdw_SetEvent(HANDLE hEvent)
{
	return event_apply(hEvent, pdc_event_set);
}

BOOL WINAPI
pdw_ResetEvent(HANDLE hEvent)
{
	return event_apply(hEvent, pdc_event_reset);
}

int
pdw_event_fd(HANDLE event)
{
	struct pdc_event *e = pdc_event_get(event);
	int fd = -1;

	if (e != NULL)
		fd = e->fd;
	pdc_event_unref(e);
	if (fd >= 0)
		pdc_attend_always();
	return fd;
}
