/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets leave in the order in which they came, to whichever thread asks
 * first.  They were allocated when their operation started, so that posting
 * cannot fail.
 *
 * The descriptor for poll() exists only once somebody asked for it, and is
 * readable exactly while the queue is not empty: one write when the first
 * packet comes, one read when the last goes.
 */
#include "libclient/port.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/macros.h"
#include "libclient/conn.h"
#include "libclient/peerdist_port.h"
#include "libclient/result.h"
#include "libclient/util.h"

static void
packets_drop(struct pdc_port *p)
{
	struct pdc_packet *packet;

	while ((packet = STAILQ_FIRST(&p->packets)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->packets, link);
		packet->done(packet);
	}
}

static void
port_free(struct pdc_object *o)
{
	struct pdc_port *p = (struct pdc_port *)o;

	packets_drop(p);
	if (p->fd >= 0)
		close(p->fd);
	pthread_cond_destroy(&p->cond);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct pdc_port *
pdc_port_new(void)
{
	struct pdc_port *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	pdc_cond_init(&p->cond);
	STAILQ_INIT(&p->packets);
	p->fd = -1;
	pdc_object_init(&p->object, PDC_PORT, port_free);
	return p;
}

/* The queue has become non-empty (readable) or empty. */
static void
port_show(struct pdc_port *p, bool readable)
{
	uint64_t value = 1;
	ssize_t n;

	if (p->fd < 0)
		return;
	if (readable)
		n = write(p->fd, &value, sizeof(value));
	else
		n = read(p->fd, &value, sizeof(value));
	(void)n;
}

void
pdc_port_post(struct pdc_port *p, struct pdc_packet *packet)
{
	pthread_mutex_lock(&p->lock);
	if (p->closed) {
		pthread_mutex_unlock(&p->lock);
		packet->done(packet);
		return;
	}
	if (STAILQ_EMPTY(&p->packets))
		port_show(p, true);
	STAILQ_INSERT_TAIL(&p->packets, packet, link);
	if (p->waiters > 0)
		pthread_cond_signal(&p->cond);
	pthread_mutex_unlock(&p->lock);
}

void
pdc_port_close(struct pdc_port *p)
{
	STAILQ_HEAD(, pdc_packet) rest = STAILQ_HEAD_INITIALIZER(rest);
	struct pdc_packet *packet;

	pthread_mutex_lock(&p->lock);
	p->closed = true;
	if (!STAILQ_EMPTY(&p->packets))
		port_show(p, false);
	STAILQ_CONCAT(&rest, &p->packets);
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->lock);
	while ((packet = STAILQ_FIRST(&rest)) != NULL) {
		STAILQ_REMOVE_HEAD(&rest, link);
		packet->done(packet);
	}
}

struct pdc_port *
pdc_port_get(HANDLE h)
{
	return (struct pdc_port *)pdc_handle_get(h, PDC_PORT);
}

void
pdc_port_unref(struct pdc_port *p)
{
	if (p != NULL)
		pdc_object_unref(&p->object);
}

/* Waits for at least one packet and takes up to max.  0, or the last error. */
static DWORD
port_take(struct pdc_port *p, OVERLAPPED_ENTRY *entries, ULONG max,
	ULONG *ret_n, DWORD timeout_ms)
{
	STAILQ_HEAD(, pdc_packet) taken = STAILQ_HEAD_INITIALIZER(taken);
	uint64_t deadline = pdc_deadline_us(timeout_ms);
	struct pdc_packet *packet;
	bool in_time = true, empty;
	ULONG n = 0;

	pthread_mutex_lock(&p->lock);
	p->waiters++;
	empty = STAILQ_EMPTY(&p->packets) && !p->closed;
	if (empty) {
		pthread_mutex_unlock(&p->lock);
		pdc_attend_begin();
		pthread_mutex_lock(&p->lock);
	}
	while (STAILQ_EMPTY(&p->packets) && !p->closed && in_time)
		in_time = timeout_ms != 0 &&
			pdc_cond_wait_until(&p->cond, &p->lock, deadline);
	p->waiters--;
	while (n < max && (packet = STAILQ_FIRST(&p->packets)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->packets, link);
		STAILQ_INSERT_TAIL(&taken, packet, link);
		entries[n].lpCompletionKey = packet->key;
		entries[n].lpOverlapped = packet->ov;
		entries[n].Internal = packet->internal;
		entries[n].dwNumberOfBytesTransferred = packet->bytes;
		n++;
	}
	if (n > 0 && STAILQ_EMPTY(&p->packets))
		port_show(p, false);
	else if (!STAILQ_EMPTY(&p->packets) && p->waiters > 0)
		pthread_cond_signal(&p->cond);
	in_time = !p->closed;
	pthread_mutex_unlock(&p->lock);
	if (empty)
		pdc_attend_end();

	while ((packet = STAILQ_FIRST(&taken)) != NULL) {
		STAILQ_REMOVE_HEAD(&taken, link);
		packet->done(packet);
	}
	*ret_n = n;
	if (n > 0)
		return ERROR_SUCCESS;
	return in_time ? WAIT_TIMEOUT : ERROR_ABANDONED_WAIT_0;
}

HANDLE WINAPI
pdw_CreateIoCompletionPort(HANDLE FileHandle, HANDLE ExistingCompletionPort,
	ULONG_PTR CompletionKey, DWORD NumberOfConcurrentThreads)
{
	struct pdc_port *p;
	HANDLE h;

	if (FileHandle != INVALID_HANDLE_VALUE) {
		pdw_SetLastError(ERROR_NOT_SUPPORTED);
		return NULL;
	}
	if (ExistingCompletionPort != NULL) {
		pdw_SetLastError(ERROR_INVALID_PARAMETER);
		return NULL;
	}
	p = pdc_port_new();
	if (p == NULL) {
		pdw_SetLastError(ERROR_NOT_ENOUGH_MEMORY);
		return NULL;
	}
	h = pdc_handle_new(&p->object);
	if (h == NULL)
		pdw_SetLastError(ERROR_NOT_ENOUGH_MEMORY);
	pdc_port_unref(p);
	return h;
}

static DWORD
port_take_handle(HANDLE h, OVERLAPPED_ENTRY *entries, ULONG max, ULONG *ret_n,
	DWORD timeout_ms)
{
	struct pdc_port *p = pdc_port_get(h);
	DWORD code;

	if (p == NULL)
		return ERROR_INVALID_HANDLE;
	code = port_take(p, entries, max, ret_n, timeout_ms);
	pdc_port_unref(p);
	return code;
}

BOOL WINAPI
pdw_GetQueuedCompletionStatus(HANDLE CompletionPort,
	LPDWORD lpNumberOfBytesTransferred, PULONG_PTR lpCompletionKey,
	LPOVERLAPPED *lpOverlapped, DWORD dwMilliseconds)
{
	OVERLAPPED_ENTRY entry;
	DWORD code;
	ULONG n;

	if (lpOverlapped == NULL || lpNumberOfBytesTransferred == NULL ||
		lpCompletionKey == NULL) {
		pdw_SetLastError(ERROR_INVALID_PARAMETER);
		return FALSE;
	}
	*lpOverlapped = NULL;
	code = port_take_handle(CompletionPort, &entry, 1, &n, dwMilliseconds);
	if (code == ERROR_SUCCESS) {
		*lpOverlapped = entry.lpOverlapped;
		*lpNumberOfBytesTransferred = entry.dwNumberOfBytesTransferred;
		*lpCompletionKey = entry.lpCompletionKey;
		code = pdc_result_of_internal(entry.Internal);
	}
	if (code != ERROR_SUCCESS)
		pdw_SetLastError(code);
	return code == ERROR_SUCCESS;
}

BOOL WINAPI
pdw_GetQueuedCompletionStatusEx(HANDLE CompletionPort,
	LPOVERLAPPED_ENTRY lpCompletionPortEntries, ULONG ulCount,
	PULONG ulNumEntriesRemoved, DWORD dwMilliseconds, BOOL fAlertable)
{
	DWORD code = ERROR_INVALID_PARAMETER;
	ULONG n = 0;

	if (lpCompletionPortEntries != NULL && ulNumEntriesRemoved != NULL &&
		ulCount > 0)
		code = port_take_handle(CompletionPort, lpCompletionPortEntries,
			ulCount, &n, dwMilliseconds);
	if (ulNumEntriesRemoved != NULL)
		*ulNumEntriesRemoved = n;
	if (code != ERROR_SUCCESS)
		pdw_SetLastError(code);
	return code == ERROR_SUCCESS;
}

static void
posted_done(struct pdc_packet *packet)
{
	free(packet);
}

BOOL WINAPI
pdw_PostQueuedCompletionStatus(HANDLE CompletionPort,
	DWORD dwNumberOfBytesTransferred, ULONG_PTR dwCompletionKey,
	LPOVERLAPPED lpOverlapped)
{
	struct pdc_port *p = pdc_port_get(CompletionPort);
	struct pdc_packet *packet;

	if (p == NULL) {
		pdw_SetLastError(ERROR_INVALID_HANDLE);
		return FALSE;
	}
	packet = calloc(1, sizeof(*packet));
	if (packet != NULL) {
		packet->key = dwCompletionKey;
		packet->ov = lpOverlapped;
		packet->bytes = dwNumberOfBytesTransferred;
		packet->done = posted_done;
		pdc_port_post(p, packet);
	} else {
		pdw_SetLastError(ERROR_NOT_ENOUGH_MEMORY);
	}
	pdc_port_unref(p);
	return packet != NULL;
}

BOOL WINAPI
pdw_CloseHandle(HANDLE hObject)
{
	struct pdc_object *o = pdc_handle_close(hObject, PDC_EVENT);

	if (o == NULL) {
		o = pdc_handle_close(hObject, PDC_PORT);
		if (o != NULL)
			pdc_port_close((struct pdc_port *)o);
	}
	if (o == NULL) {
		pdw_SetLastError(ERROR_INVALID_HANDLE);
		return FALSE;
	}
	pdc_object_unref(o);
	return TRUE;
}

int
pdw_port_fd(HANDLE port)
{
	struct pdc_port *p = pdc_port_get(port);
	int fd;

	if (p == NULL)
		return -1;
	pthread_mutex_lock(&p->lock);
	if (p->fd < 0 && !p->closed)
		p->fd = eventfd(STAILQ_EMPTY(&p->packets) ? 0 : 1,
			EFD_CLOEXEC | EFD_NONBLOCK);
	fd = p->fd;
	pthread_mutex_unlock(&p->lock);
	pdc_port_unref(p);
	if (fd >= 0)
		pdc_attend_always();
	return fd;
}
