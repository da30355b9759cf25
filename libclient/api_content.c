/* SPDX-License-Identifier: BSD-2-Clause */
/* The client part: content, its information, its data. */
#include <string.h>

#include "libclient/api.h"

DWORD WINAPI
PeerDistClientOpenContent(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PCPEERDIST_CONTENT_TAG pContentTag, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, PPEERDIST_CONTENT_HANDLE phContentHandle)
{
	Pd__ContentOpen body = PD__CONTENT_OPEN__INIT;
	struct pdc_open open = {.type = IPC_CONTENT_OPEN,
		.body = &body.base,
		.kind = PDC_CONTENT,
		.port = hCompletionPort,
		.key = ulCompletionKey};

	if (pContentTag == NULL || phContentHandle == NULL)
		return ERROR_INVALID_PARAMETER;
	body.tag.data = (uint8_t *)pContentTag->Data;
	body.tag.len = sizeof(pContentTag->Data);
	return pdc_child_open(hPeerDist, &open, phContentHandle);
}

DWORD WINAPI
PeerDistClientCloseContent(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle)
{
	return pdc_child_close(
		hPeerDist, hContentHandle, PDC_CONTENT, IPC_CONTENT_CLOSE);
}

static DWORD
content_add(PEERDIST_INSTANCE_HANDLE h, HANDLE handle, enum ipc_type type,
	void *data, DWORD len, OVERLAPPED *ov)
{
	Pd__SubmitAdd body = PD__SUBMIT_ADD__INIT;
	Pd__Slice slice = PD__SLICE__INIT;
	struct pdc_async a = {.kind = PDC_CONTENT,
		.pending = PDC_ADD,
		.submit = {type, &body.base, &slice, -1},
		.handle = &body.handle,
		.data = data,
		.len = len};

	body.length = len;
	body.slice = &slice;
	if (type == IPC_SUBMIT_DATA_ADD)
		body.offset = (uint64_t)ov->OffsetHigh << 32 | ov->Offset;
	return pdc_async_run(h, handle, ov, &a);
}

DWORD WINAPI
PeerDistClientAddContentInformation(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, DWORD cbNumberOfBytes,
	PBYTE pBuffer, LPOVERLAPPED lpOverlapped)
{
	if (lpOverlapped == NULL || pBuffer == NULL || cbNumberOfBytes == 0 ||
		!pdc_overlapped_clear(lpOverlapped))
		return pdc_pending_refuse_early(
			lpOverlapped, ERROR_INVALID_PARAMETER);
	return content_add(hPeerDist, hContentHandle, IPC_SUBMIT_CI_ADD,
		pBuffer, cbNumberOfBytes, lpOverlapped);
}

DWORD WINAPI
PeerDistClientCompleteContentInformation(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, LPOVERLAPPED lpOverlapped)
{
	Pd__Handle body = PD__HANDLE__INIT;
	struct pdc_async a = {.kind = PDC_CONTENT,
		.submit = {IPC_SUBMIT_CI_COMPLETE, &body.base, NULL, -1},
		.handle = &body.handle};

	if (lpOverlapped == NULL)
		return ERROR_INVALID_PARAMETER;
	return pdc_async_run(hPeerDist, hContentHandle, lpOverlapped, &a);
}

DWORD WINAPI
PeerDistClientAddData(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, DWORD cbNumberOfBytes,
	PBYTE pBuffer, LPOVERLAPPED lpOverlapped)
{
	if (lpOverlapped == NULL || pBuffer == NULL || cbNumberOfBytes == 0)
		return pdc_pending_refuse_early(
			lpOverlapped, ERROR_INVALID_PARAMETER);
	return content_add(hPeerDist, hContentHandle, IPC_SUBMIT_DATA_ADD,
		pBuffer, cbNumberOfBytes, lpOverlapped);
}

struct read_args {
	enum ipc_type type;
	void *buffer;
	DWORD room;
	DWORD timeout_ms;
};

static DWORD
content_read(PEERDIST_INSTANCE_HANDLE h, HANDLE handle,
	const struct read_args *args, OVERLAPPED *ov)
{
	Pd__SubmitRead body = PD__SUBMIT_READ__INIT;
	struct pdc_async a = {.kind = PDC_CONTENT,
		.pending = PDC_READ,
		.submit = {args->type, &body.base, NULL, -1},
		.handle = &body.handle,
		.data = args->buffer,
		.len = args->room};

	if (ov == NULL || (args->buffer == NULL && args->room > 0) ||
		args->timeout_ms == INFINITE)
		return pdc_pending_refuse_early(ov, ERROR_INVALID_PARAMETER);
	if (args->type == IPC_SUBMIT_BLOCK_READ)
		body.offset = (uint64_t)ov->OffsetHigh << 32 | ov->Offset;
	body.length = args->room;
	body.timeout_ms = args->timeout_ms;
	return pdc_async_run(h, handle, ov, &a);
}

DWORD WINAPI
PeerDistClientBlockRead(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, DWORD cbMaxNumberOfBytes,
	PBYTE pBuffer, DWORD dwTimeoutInMilliseconds, LPOVERLAPPED lpOverlapped)
{
	struct read_args args = {IPC_SUBMIT_BLOCK_READ, pBuffer,
		cbMaxNumberOfBytes, dwTimeoutInMilliseconds};

	return content_read(hPeerDist, hContentHandle, &args, lpOverlapped);
}

DWORD WINAPI
PeerDistClientStreamRead(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, DWORD cbMaxNumberOfBytes,
	PBYTE pBuffer, DWORD dwTimeoutInMilliseconds, LPOVERLAPPED lpOverlapped)
{
	struct read_args args = {IPC_SUBMIT_STREAM_READ, pBuffer,
		cbMaxNumberOfBytes, dwTimeoutInMilliseconds};

	return content_read(hPeerDist, hContentHandle, &args, lpOverlapped);
}

static DWORD
flush_submit(struct pdc_instance *i, struct pdc_port *port, ULONG_PTR key,
	const PEERDIST_CONTENT_TAG *tag, OVERLAPPED *ov)
{
	Pd__SubmitFlush body = PD__SUBMIT_FLUSH__INIT;
	struct pdc_submit s = {IPC_SUBMIT_FLUSH, &body.base, NULL, -1};
	struct pdc_pending *p;
	struct pdc_link *l;
	DWORD code;

	code = pdc_pending_new(&p, i, ov, PDC_PLAIN, port, key);
	if (code != ERROR_SUCCESS)
		return code;
	l = pdc_instance_link(i);
	if (l == NULL) {
		code = PEERDIST_ERROR_SERVICE_UNAVAILABLE;
		pdc_pending_refuse(p, code);
		return code;
	}
	body.tag.data = (uint8_t *)tag->Data;
	body.tag.len = sizeof(tag->Data);
	code = pdc_link_submit(l, p, &s);
	pdc_link_unref(l);
	return code;
}

DWORD WINAPI
PeerDistClientFlushContent(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PCPEERDIST_CONTENT_TAG pContentTag, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, LPOVERLAPPED lpOverlapped)
{
	struct pdc_instance *i;
	struct pdc_port *port;
	DWORD code;

	if (lpOverlapped == NULL || pContentTag == NULL ||
		!pdc_overlapped_clear(lpOverlapped))
		return pdc_pending_refuse_early(
			lpOverlapped, ERROR_INVALID_PARAMETER);
	code = pdc_api_instance(hPeerDist, &i);
	if (code != ERROR_SUCCESS)
		return pdc_pending_refuse_early(lpOverlapped, code);
	code = pdc_api_port(hCompletionPort, &port);
	if (code == ERROR_SUCCESS)
		code = flush_submit(
			i, port, ulCompletionKey, pContentTag, lpOverlapped);
	else
		pdc_pending_refuse_early(lpOverlapped, code);
	pdc_port_unref(port);
	pdc_instance_unref(i);
	return code;
}

/* A request about a content handle. */
static DWORD
content_request(const struct pdc_target *t, enum ipc_type type,
	const ProtobufCMessage *body, struct pdc_answer *ret_answer)
{
	struct pdc_link *l;
	DWORD code;

	code = pdc_target_link(t, &l);
	if (code != ERROR_SUCCESS)
		return code;
	code = pdc_link_call(l, type, body, ret_answer);
	pdc_link_unref(l);
	return code;
}

static DWORD
content_cancel(const struct pdc_target *t, OVERLAPPED *ov)
{
	Pd__ClientCancel body = PD__CLIENT_CANCEL__INIT;
	struct pdc_link *l;
	DWORD code;

	code = pdc_target_link(t, &l);
	if (code != ERROR_SUCCESS)
		return code;
	body.handle = t->child->remote;
	if (ov != NULL) {
		body.operation = pdc_async_id(t->instance, ov);
		pdc_slots_expect(&l->slots, body.operation);
	}
	code = pdc_link_call(l, IPC_CLIENT_CANCEL, &body.base, NULL);
	pdc_link_unref(l);
	return code;
}

DWORD WINAPI
PeerDistClientCancelAsyncOperation(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, LPOVERLAPPED pOverlapped)
{
	struct pdc_target t;
	DWORD code;

	if (pOverlapped != NULL)
		pdc_pending_expect(pOverlapped);
	code = pdc_target_get(&t, hPeerDist, hContentHandle, PDC_CONTENT);
	if (code != ERROR_SUCCESS)
		return code;
	code = content_cancel(&t, pOverlapped);
	pdc_target_done(&t);
	return pdc_cancel_result(code);
}

DWORD WINAPI
PeerDistClientGetInformationByHandle(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle,
	PEERDIST_CLIENT_INFO_BY_HANDLE_CLASS PeerDistClientInfoClass,
	DWORD dwBufferSize, LPVOID lpInformation)
{
	Pd__Handle body = PD__HANDLE__INIT;
	PEERDIST_CLIENT_BASIC_INFO info;
	struct pdc_answer answer;
	struct pdc_target t;
	DWORD code;

	if (PeerDistClientInfoClass != PeerDistClientBasicInfo ||
		lpInformation == NULL)
		return ERROR_INVALID_PARAMETER;
	if (dwBufferSize < sizeof(info))
		return ERROR_INSUFFICIENT_BUFFER;
	code = pdc_target_get(&t, hPeerDist, hContentHandle, PDC_CONTENT);
	if (code != ERROR_SUCCESS)
		return code;
	body.handle = t.child->remote;
	code = content_request(&t, IPC_CONTENT_INFO, &body.base, &answer);
	if (code == ERROR_SUCCESS) {
		info.fFlashCrowd = answer.value != 0;
		memcpy(lpInformation, &info, sizeof(info));
	}
	pdc_target_done(&t);
	return code;
}
