/* SPDX-License-Identifier: BSD-2-Clause */
/* The server part: publishing and content information. */
#include "libclient/api.h"

static ProtobufCBinaryData
bytes_of(const void *data, size_t len)
{
	ProtobufCBinaryData b = {.len = len, .data = (uint8_t *)data};

	return b;
}

DWORD WINAPI
PeerDistServerPublishStream(PEERDIST_INSTANCE_HANDLE hPeerDist,
	DWORD cbContentIdentifier, PBYTE pContentIdentifier,
	ULONGLONG cbContentLength,
	PCPEERDIST_PUBLICATION_OPTIONS pPublishOptions, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, PPEERDIST_STREAM_HANDLE phStream)
{
	Pd__PublishOpen body = PD__PUBLISH_OPEN__INIT;
	struct pdc_open open = {.type = IPC_PUBLISH_OPEN,
		.body = &body.base,
		.kind = PDC_STREAM,
		.port = hCompletionPort,
		.key = ulCompletionKey};

	if (phStream == NULL ||
		!pdc_identifier_ok(cbContentIdentifier, pContentIdentifier) ||
		!pdc_options_ok(pPublishOptions))
		return ERROR_INVALID_PARAMETER;
	body.identifier = bytes_of(pContentIdentifier, cbContentIdentifier);
	body.length = cbContentLength;
	body.version = pPublishOptions != NULL
		? pPublishOptions->dwVersion
		: PEERDIST_PUBLICATION_OPTIONS_VERSION_2;
	return pdc_child_open(hPeerDist, &open, phStream);
}

DWORD WINAPI
PeerDistServerPublishAddToStream(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_STREAM_HANDLE hStream, DWORD cbNumberOfBytes, PBYTE pBuffer,
	LPOVERLAPPED lpOverlapped)
{
	Pd__SubmitAdd body = PD__SUBMIT_ADD__INIT;
	Pd__Slice slice = PD__SLICE__INIT;
	struct pdc_async a = {.kind = PDC_STREAM,
		.pending = PDC_ADD,
		.submit = {IPC_SUBMIT_STREAM_ADD, &body.base, &slice, -1},
		.handle = &body.handle,
		.data = pBuffer,
		.len = cbNumberOfBytes};

	if (lpOverlapped == NULL || pBuffer == NULL || cbNumberOfBytes == 0 ||
		!pdc_overlapped_clear(lpOverlapped))
		return pdc_pending_refuse_early(
			lpOverlapped, ERROR_INVALID_PARAMETER);
	body.length = cbNumberOfBytes;
	body.slice = &slice;
	return pdc_async_run(hPeerDist, hStream, lpOverlapped, &a);
}

DWORD WINAPI
PeerDistServerPublishCompleteStream(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_STREAM_HANDLE hStream, LPOVERLAPPED lpOverlapped)
{
	Pd__Handle body = PD__HANDLE__INIT;
	struct pdc_async a = {.kind = PDC_STREAM,
		.submit = {IPC_SUBMIT_STREAM_COMPLETE, &body.base, NULL, -1},
		.handle = &body.handle};

	if (lpOverlapped == NULL || !pdc_overlapped_clear(lpOverlapped))
		return pdc_pending_refuse_early(
			lpOverlapped, ERROR_INVALID_PARAMETER);
	return pdc_async_run(hPeerDist, hStream, lpOverlapped, &a);
}

DWORD WINAPI
PeerDistServerCloseStreamHandle(
	PEERDIST_INSTANCE_HANDLE hPeerDist, PEERDIST_STREAM_HANDLE hStream)
{
	return pdc_child_close(
		hPeerDist, hStream, PDC_STREAM, IPC_STREAM_CLOSE);
}

/* A request that names an identifier and opens nothing. */
static DWORD
server_request(PEERDIST_INSTANCE_HANDLE h, enum ipc_type type,
	const ProtobufCMessage *body)
{
	struct pdc_instance *i;
	struct pdc_link *l;
	DWORD code;

	code = pdc_api_instance(h, &i);
	if (code != ERROR_SUCCESS)
		return code;
	l = pdc_instance_link(i);
	code = l != NULL ? pdc_link_call(l, type, body, NULL)
			 : PEERDIST_ERROR_SERVICE_UNAVAILABLE;
	pdc_link_unref(l);
	pdc_instance_unref(i);
	return code;
}

DWORD WINAPI
PeerDistServerUnpublish(PEERDIST_INSTANCE_HANDLE hPeerDist,
	DWORD cbContentIdentifier, PBYTE pContentIdentifier)
{
	Pd__Identifier body = PD__IDENTIFIER__INIT;
	struct pdc_instance *i;
	DWORD code;

	if (!pdc_identifier_ok(cbContentIdentifier, pContentIdentifier))
		return ERROR_INVALID_PARAMETER;
	body.identifier = bytes_of(pContentIdentifier, cbContentIdentifier);
	code = pdc_api_instance(hPeerDist, &i);
	if (code != ERROR_SUCCESS)
		return code;
	pdc_job_cancel_all(i, pContentIdentifier, cbContentIdentifier);
	pdc_instance_unref(i);
	return server_request(hPeerDist, IPC_UNPUBLISH, &body.base);
}

static bool
range_ok(ULONGLONG offset, ULONGLONG length)
{
	return length <= UINT64_MAX - offset && (length != 0 || offset == 0);
}

struct info_args {
	DWORD ident_len;
	const BYTE *ident;
	ULONGLONG offset;
	ULONGLONG length;
	uint32_t min_version;
	uint32_t max_version;
};

static DWORD
info_open(PEERDIST_INSTANCE_HANDLE h, const struct info_args *args, HANDLE port,
	ULONG_PTR key, HANDLE *ret_handle)
{
	Pd__InfoOpen body = PD__INFO_OPEN__INIT;
	struct pdc_open open = {.type = IPC_INFO_OPEN,
		.body = &body.base,
		.kind = PDC_CONTENTINFO,
		.port = port,
		.key = key};

	if (ret_handle == NULL ||
		!pdc_identifier_ok(args->ident_len, args->ident) ||
		!range_ok(args->offset, args->length))
		return ERROR_INVALID_PARAMETER;
	body.identifier = bytes_of(args->ident, args->ident_len);
	body.offset = args->offset;
	body.length = args->length;
	body.min_version = args->min_version;
	body.max_version = args->max_version;
	return pdc_child_open(h, &open, ret_handle);
}

DWORD WINAPI
PeerDistServerOpenContentInformation(PEERDIST_INSTANCE_HANDLE hPeerDist,
	DWORD cbContentIdentifier, PBYTE pContentIdentifier,
	ULONGLONG ullContentOffset, ULONGLONG cbContentLength,
	HANDLE hCompletionPort, ULONG_PTR ulCompletionKey,
	PPEERDIST_CONTENTINFO_HANDLE phContentInfo)
{
	struct info_args args = {cbContentIdentifier, pContentIdentifier,
		ullContentOffset, cbContentLength,
		PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION_1,
		PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION_1};

	return info_open(hPeerDist, &args, hCompletionPort, ulCompletionKey,
		phContentInfo);
}

static bool
retrieval_ok(const PEERDIST_RETRIEVAL_OPTIONS *o)
{
	return o != NULL && o->cbSize == sizeof(*o) && o->dwReserved == 0 &&
		o->dwContentInfoMinVersion >=
		PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION_1 &&
		o->dwContentInfoMaxVersion <=
		PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION_2 &&
		o->dwContentInfoMinVersion <= o->dwContentInfoMaxVersion;
}

DWORD WINAPI
PeerDistServerOpenContentInformationEx(PEERDIST_INSTANCE_HANDLE hPeerDist,
	DWORD cbContentIdentifier, PBYTE pContentIdentifier,
	ULONGLONG ullContentOffset, ULONGLONG cbContentLength,
	PEERDIST_RETRIEVAL_OPTIONS *pRetrievalOptions, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, PPEERDIST_CONTENTINFO_HANDLE phContentInfo)
{
	struct info_args args = {cbContentIdentifier, pContentIdentifier,
		ullContentOffset, cbContentLength, 0, 0};

	if (!retrieval_ok(pRetrievalOptions))
		return ERROR_INVALID_PARAMETER;
	args.min_version = pRetrievalOptions->dwContentInfoMinVersion;
	args.max_version = pRetrievalOptions->dwContentInfoMaxVersion;
	return info_open(hPeerDist, &args, hCompletionPort, ulCompletionKey,
		phContentInfo);
}

DWORD WINAPI
PeerDistServerRetrieveContentInformation(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENTINFO_HANDLE hContentInfo, DWORD cbMaxNumberOfBytes,
	PBYTE pBuffer, LPOVERLAPPED lpOverlapped)
{
	Pd__SubmitRetrieve body = PD__SUBMIT_RETRIEVE__INIT;
	struct pdc_async a = {.kind = PDC_CONTENTINFO,
		.pending = PDC_READ,
		.submit = {IPC_SUBMIT_RETRIEVE, &body.base, NULL, -1},
		.handle = &body.handle,
		.data = pBuffer,
		.len = cbMaxNumberOfBytes};

	if (lpOverlapped == NULL || pBuffer == NULL || cbMaxNumberOfBytes == 0)
		return pdc_pending_refuse_early(
			lpOverlapped, ERROR_INVALID_PARAMETER);
	body.length = cbMaxNumberOfBytes;
	return pdc_async_run(hPeerDist, hContentInfo, lpOverlapped, &a);
}

DWORD WINAPI
PeerDistServerCloseContentInformation(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENTINFO_HANDLE hContentInfo)
{
	return pdc_child_close(
		hPeerDist, hContentInfo, PDC_CONTENTINFO, IPC_INFO_CLOSE);
}

DWORD WINAPI
PeerDistServerCancelAsyncOperation(PEERDIST_INSTANCE_HANDLE hPeerDist,
	DWORD cbContentIdentifier, PBYTE pContentIdentifier,
	LPOVERLAPPED pOverlapped)
{
	Pd__ServerCancel body = PD__SERVER_CANCEL__INIT;
	struct pdc_instance *i;
	DWORD code;
	bool local;

	if (pOverlapped == NULL ||
		!pdc_identifier_ok(cbContentIdentifier, pContentIdentifier))
		return ERROR_INVALID_PARAMETER;
	code = pdc_api_instance(hPeerDist, &i);
	if (code != ERROR_SUCCESS)
		return code;
	local = pdc_job_cancel(
		i, pOverlapped, pContentIdentifier, cbContentIdentifier);
	body.identifier = bytes_of(pContentIdentifier, cbContentIdentifier);
	body.operation = pdc_async_id(i, pOverlapped);
	pdc_instance_unref(i);
	if (!local)
		code = server_request(hPeerDist, IPC_SERVER_CANCEL, &body.base);
	return pdc_cancel_result(code);
}
