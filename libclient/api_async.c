/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The common way of asynchronous calls on a handle, and
 * PeerDistGetOverlappedResult.
 */
#include "libclient/api.h"
#include "libclient/result.h"

static DWORD
async_submit(const struct pdc_target *t, OVERLAPPED *ov, struct pdc_async *a)
{
	struct pdc_pending *p;
	struct pdc_link *l;
	DWORD code;

	code = pdc_pending_new(
		&p, t->instance, ov, a->pending, t->child->port, t->child->key);
	if (code != ERROR_SUCCESS)
		return code;
	code = pdc_target_link(t, &l);
	if (code != ERROR_SUCCESS) {
		pdc_pending_refuse(p, code);
		return code;
	}
	if (a->pending == PDC_ADD) {
		p->u.add.data = a->data;
		p->u.add.len = a->len;
	} else if (a->pending == PDC_READ) {
		p->u.read.data = a->data;
		p->u.read.room = a->len;
	}
	*a->handle = t->child->remote;
	code = pdc_link_submit(l, p, &a->submit);
	pdc_link_unref(l);
	return code;
}

DWORD
pdc_async_run(PEERDIST_INSTANCE_HANDLE h, HANDLE handle, OVERLAPPED *ov,
	struct pdc_async *a)
{
	struct pdc_target t;
	DWORD code;

	code = pdc_target_get(&t, h, handle, a->kind);
	if (code != ERROR_SUCCESS)
		return pdc_pending_refuse_early(ov, code);
	code = async_submit(&t, ov, a);
	pdc_target_done(&t);
	return code;
}

uint64_t
pdc_async_id(const struct pdc_instance *i, OVERLAPPED *ov)
{
	return pdc_pending_id(ov, i);
}

static BOOL
overlapped_result(OVERLAPPED *ov, DWORD *bytes, DWORD timeout_ms)
{
	DWORD code = ERROR_INVALID_PARAMETER, n = 0;
	bool complete = false;

	if (ov != NULL && bytes != NULL && timeout_ms == INFINITE)
		pdc_link_await(ov);
	if (ov != NULL && bytes != NULL)
		code = pdc_pending_result(ov, timeout_ms, &n, &complete);
	if (complete)
		*bytes = n;
	if (code != ERROR_SUCCESS)
		pdw_SetLastError(code);
	return code == ERROR_SUCCESS;
}

BOOL WINAPI
PeerDistGetOverlappedResult(LPOVERLAPPED lpOverlapped,
	LPDWORD lpNumberOfBytesTransferred, BOOL bWait)
{
	return overlapped_result(
		lpOverlapped, lpNumberOfBytesTransferred, bWait ? INFINITE : 0);
}

BOOL WINAPI
pdw_GetOverlappedResult(HANDLE hFile, LPOVERLAPPED lpOverlapped,
	LPDWORD lpNumberOfBytesTransferred, BOOL bWait)
{
	return PeerDistGetOverlappedResult(
		lpOverlapped, lpNumberOfBytesTransferred, bWait);
}

BOOL WINAPI
pdw_GetOverlappedResultEx(HANDLE hFile, LPOVERLAPPED lpOverlapped,
	LPDWORD lpNumberOfBytesTransferred, DWORD dwMilliseconds,
	BOOL bAlertable)
{
	return overlapped_result(
		lpOverlapped, lpNumberOfBytesTransferred, dwMilliseconds);
}
