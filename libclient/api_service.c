/* SPDX-License-Identifier: BSD-2-Clause */
/* Startup, Shutdown and the service status. */
#include "libclient/api.h"

/* What the system supports at most. */
#define VERSION_MAX 2u

/* 1.0 to 2.0; major in the low, minor in the high part, of bytes (Windows 7) or
 * of words. */
static bool
version_supported(DWORD v)
{
	bool words = v > 0xFFFF;

	return v == VERSION_MAX ||
		(LOBYTE(v) == 1 && (!words || HIBYTE(v) == 0));
}

DWORD WINAPI
PeerDistStartup(DWORD dwVersionRequested, PPEERDIST_INSTANCE_HANDLE phPeerDist,
	PDWORD pdwSupportedVersion)
{
	struct pdc_instance *i;
	DWORD code;

	if (pdwSupportedVersion != NULL)
		*pdwSupportedVersion = VERSION_MAX;
	if (phPeerDist == NULL)
		return ERROR_INVALID_PARAMETER;
	*phPeerDist = NULL;
	if (!version_supported(dwVersionRequested))
		return PEERDIST_ERROR_VERSION_UNSUPPORTED;
	code = pdc_instance_new(&i);
	if (code != ERROR_SUCCESS)
		return code;
	*phPeerDist = pdc_handle_new(&i->object);
	if (*phPeerDist == NULL) {
		pdc_instance_stop(i);
		code = ERROR_NOT_ENOUGH_MEMORY;
	}
	pdc_instance_unref(i);
	return code;
}

/* The daemon completes what is pending before it answers. */
static void
shutdown_remote(struct pdc_instance *i)
{
	struct pdc_link *l;

	pthread_mutex_lock(&i->lock);
	l = i->link;
	if (l != NULL)
		atomic_fetch_add(&l->refs, 1);
	pthread_mutex_unlock(&i->lock);
	if (l != NULL)
		pdc_link_end(l);
	pdc_link_unref(l);
}

DWORD WINAPI
PeerDistShutdown(PEERDIST_INSTANCE_HANDLE hPeerDist)
{
	struct pdc_instance *i;
	bool first;

	i = (struct pdc_instance *)pdc_handle_get(hPeerDist, PDC_INSTANCE);
	if (i == NULL)
		return ERROR_INVALID_HANDLE;
	pthread_mutex_lock(&i->lock);
	first = !atomic_exchange(&i->shutting, true);
	pthread_mutex_unlock(&i->lock);
	if (!first) {
		pdc_instance_unref(i);
		return PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS;
	}
	/* First, since the end of the connection would be news to it. */
	pdc_status_unregister(i);
	pdc_job_cancel_all(i, NULL, 0);
	shutdown_remote(i);
	pdc_instance_stop(i);
	pdc_children_forget(i);
	pdc_object_unref(pdc_handle_close(hPeerDist, PDC_INSTANCE));
	pdc_instance_unref(i);
	return ERROR_SUCCESS;
}

/* The daemon's own answer, or what is known without one.  It is not entered as
 * current: a STATUS frame may have come behind it. */
static void
status_ask(struct pdc_instance *i, struct pdc_service_status *ret_status)
{
	struct pdc_link *l = pdc_instance_link(i);
	struct pdc_answer a = {.value = 0};

	if (l != NULL &&
		pdc_link_call(l, IPC_STATUS_GET, NULL, &a) == ERROR_SUCCESS &&
		a.value <= PEERDIST_STATUS_AVAILABLE) {
		ret_status->status = a.value;
		ret_status->min_version = (uint32_t)a.handle;
		ret_status->max_version = (uint32_t)(a.handle >> 32);
	} else {
		pdc_status_get(i, ret_status);
	}
	pdc_link_unref(l);
}

DWORD WINAPI
PeerDistGetStatus(
	PEERDIST_INSTANCE_HANDLE hPeerDist, PEERDIST_STATUS *pPeerDistStatus)
{
	struct pdc_service_status s;
	struct pdc_instance *i;
	DWORD code;

	if (pPeerDistStatus == NULL)
		return ERROR_INVALID_PARAMETER;
	code = pdc_api_instance(hPeerDist, &i);
	if (code != ERROR_SUCCESS)
		return code;
	status_ask(i, &s);
	*pPeerDistStatus = (PEERDIST_STATUS)s.status;
	pdc_instance_unref(i);
	return ERROR_SUCCESS;
}

DWORD WINAPI
PeerDistGetStatusEx(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_STATUS_INFO *pPeerDistStatus)
{
	struct pdc_service_status s;
	struct pdc_instance *i;
	DWORD code;

	if (pPeerDistStatus == NULL ||
		pPeerDistStatus->cbSize != sizeof(*pPeerDistStatus))
		return ERROR_INVALID_PARAMETER;
	code = pdc_api_instance(hPeerDist, &i);
	if (code != ERROR_SUCCESS)
		return code;
	status_ask(i, &s);
	pPeerDistStatus->status = (PEERDIST_STATUS)s.status;
	pPeerDistStatus->dwMinVer = s.min_version;
	pPeerDistStatus->dwMaxVer = s.max_version;
	pdc_instance_unref(i);
	return ERROR_SUCCESS;
}

struct registration {
	PEERDIST_STATUS *status;
	PEERDIST_STATUS_INFO *info;
	HANDLE port;
	ULONG_PTR key;
};

static DWORD
register_on(
	struct pdc_instance *i, OVERLAPPED *ov, const struct registration *r)
{
	struct pdc_pending *p = NULL;
	struct pdc_port *port;
	DWORD code;

	code = pdc_api_port(r->port, &port);
	if (code != ERROR_SUCCESS)
		return pdc_pending_refuse_early(ov, code);
	code = pdc_pending_new(&p, i, ov, PDC_STATUS, port, r->key);
	pdc_port_unref(port);
	if (code != ERROR_SUCCESS)
		return code;
	p->u.status.status = r->status;
	p->u.status.info = r->info;
	/* A daemon that is just being reached should be the first news. */
	pdc_link_unref(pdc_instance_link(i));
	return pdc_status_register(i, p);
}

static DWORD
register_run(PEERDIST_INSTANCE_HANDLE h, OVERLAPPED *ov,
	const struct registration *r)
{
	struct pdc_instance *i;
	DWORD code;

	code = pdc_api_instance(h, &i);
	if (code != ERROR_SUCCESS)
		return pdc_pending_refuse_early(ov, code);
	code = register_on(i, ov, r);
	pdc_instance_unref(i);
	return code;
}

DWORD WINAPI
PeerDistRegisterForStatusChangeNotification(PEERDIST_INSTANCE_HANDLE hPeerDist,
	HANDLE hCompletionPort, ULONG_PTR ulCompletionKey,
	LPOVERLAPPED lpOverlapped, PEERDIST_STATUS *pPeerDistStatus)
{
	struct registration r = {.status = pPeerDistStatus,
		.port = hCompletionPort,
		.key = ulCompletionKey};

	if (lpOverlapped == NULL || pPeerDistStatus == NULL)
		return pdc_pending_refuse_early(
			lpOverlapped, ERROR_INVALID_PARAMETER);
	return register_run(hPeerDist, lpOverlapped, &r);
}

DWORD WINAPI
PeerDistRegisterForStatusChangeNotificationEx(
	PEERDIST_INSTANCE_HANDLE hPeerDist, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, LPOVERLAPPED lpOverlapped,
	PEERDIST_STATUS_INFO *pPeerDistStatus)
{
	struct registration r = {.info = pPeerDistStatus,
		.port = hCompletionPort,
		.key = ulCompletionKey};

	if (lpOverlapped == NULL || pPeerDistStatus == NULL ||
		pPeerDistStatus->cbSize != sizeof(*pPeerDistStatus))
		return pdc_pending_refuse_early(
			lpOverlapped, ERROR_INVALID_PARAMETER);
	return register_run(hPeerDist, lpOverlapped, &r);
}

DWORD WINAPI
PeerDistUnregisterForStatusChangeNotification(
	PEERDIST_INSTANCE_HANDLE hPeerDist)
{
	struct pdc_instance *i;
	DWORD code;

	code = pdc_api_instance(hPeerDist, &i);
	if (code != ERROR_SUCCESS)
		return code;
	if (pdc_status_unregister(i))
		pdw_SetLastError(ERROR_OPERATION_ABORTED);
	pdc_instance_unref(i);
	return ERROR_SUCCESS;
}
