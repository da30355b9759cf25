/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Written for Windows, as its pages describe the API: an event for each
 * operation, no completion port.  Compiles unchanged against the folder win32/.
 *
 * A read that nobody can answer is cancelled while it waits, by itself and
 * together with others; the results are taken by GetOverlappedResult.
 */
#include <windows.h>

#include <peerdist.h>
#include <stdio.h>
#include <stdlib.h>

#define READS 3

static BYTE Identifier[] = "win32 event sample";

static VOID
Fail(_In_ LPCSTR what, DWORD error)
{
	fprintf(stderr, "%s: error %lu\n", what, (unsigned long)error);
	exit(1);
}

static VOID
Prepare(_Inout_ OVERLAPPED *ov)
{
	HANDLE hEvent = ov->hEvent;

	ZeroMemory(ov, sizeof(*ov));
	ov->hEvent = hEvent;
}

/* The end of an operation: what it returned, and what came of it. */
static DWORD
Finish(_In_ OVERLAPPED *ov, DWORD returned, _Out_ DWORD *pcb)
{
	if (returned != ERROR_IO_PENDING)
		return returned;
	if (WaitForSingleObject(ov->hEvent, 30000) != WAIT_OBJECT_0)
		Fail("WaitForSingleObject", GetLastError());
	if (!HasOverlappedIoCompleted(ov))
		Fail("the event came before the result", 0);
	if (PeerDistGetOverlappedResult(ov, pcb, FALSE))
		return ERROR_SUCCESS;
	return GetLastError();
}

static VOID
MustFinish(_In_ LPCSTR what, _In_ OVERLAPPED *ov, DWORD returned)
{
	DWORD cb, error = Finish(ov, returned, &cb);

	if (error != ERROR_SUCCESS)
		Fail(what, error);
}

static VOID
Publish(_In_ PEERDIST_INSTANCE_HANDLE hPeerDist, _In_ OVERLAPPED *ov)
{
	static BYTE data[100000];
	PEERDIST_STREAM_HANDLE hStream;
	DWORD error, i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (BYTE)(i * 7 + GetTickCount());
	error = PeerDistServerPublishStream(hPeerDist, sizeof(Identifier),
		Identifier, 0, NULL, NULL, 0, &hStream);
	if (error != ERROR_SUCCESS)
		Fail("PublishStream", error);
	Prepare(ov);
	MustFinish("AddToStream", ov,
		PeerDistServerPublishAddToStream(
			hPeerDist, hStream, sizeof(data), data, ov));
	Prepare(ov);
	MustFinish("CompleteStream", ov,
		PeerDistServerPublishCompleteStream(hPeerDist, hStream, ov));
	PeerDistServerCloseStreamHandle(hPeerDist, hStream);
}

static VOID
Feed(_In_ PEERDIST_INSTANCE_HANDLE hPeerDist,
	_In_ PEERDIST_CONTENT_HANDLE hContent, _In_ OVERLAPPED *ov)
{
	PEERDIST_RETRIEVAL_OPTIONS options = {sizeof(options),
		PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION_1,
		PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION, 0};
	PEERDIST_CONTENTINFO_HANDLE hInfo;
	static BYTE piece[4096];
	DWORD error, cb = 0;

	error = PeerDistServerOpenContentInformationEx(hPeerDist,
		sizeof(Identifier), Identifier, 0, 0, &options, NULL, 0,
		&hInfo);
	if (error != ERROR_SUCCESS)
		Fail("OpenContentInformationEx", error);
	for (;;) {
		Prepare(ov);
		error = Finish(ov,
			PeerDistServerRetrieveContentInformation(
				hPeerDist, hInfo, sizeof(piece), piece, ov),
			&cb);
		if (error == PEERDIST_ERROR_NO_MORE)
			break;
		if (error != ERROR_SUCCESS)
			Fail("Retrieve", error);
		Prepare(ov);
		MustFinish("AddContentInformation", ov,
			PeerDistClientAddContentInformation(
				hPeerDist, hContent, cb, piece, ov));
	}
	Prepare(ov);
	MustFinish("CompleteContentInformation", ov,
		PeerDistClientCompleteContentInformation(
			hPeerDist, hContent, ov));
	PeerDistServerCloseContentInformation(hPeerDist, hInfo);
}

/* Whether the reads wait depends on the service's mode: without peers they end
 * at once, and then there is nothing to cancel. */
static VOID
CancelReads(_In_ PEERDIST_INSTANCE_HANDLE hPeerDist,
	_In_ PEERDIST_CONTENT_HANDLE hContent, _In_ OVERLAPPED *ov)
{
	static BYTE buffer[READS][4096];
	HANDLE events[READS];
	DWORD error, cb, i, returned[READS];
	BOOL fWaiting = TRUE;

	for (i = 0; i < READS; i++) {
		Prepare(&ov[i]);
		ov[i].Offset = i * 4096;
		events[i] = ov[i].hEvent;
		returned[i] = PeerDistClientBlockRead(hPeerDist, hContent,
			sizeof(buffer[i]), buffer[i], 20000, &ov[i]);
		if (returned[i] != ERROR_IO_PENDING)
			Fail("BlockRead", returned[i]);
	}
	error = PeerDistClientCancelAsyncOperation(hPeerDist, hContent, &ov[0]);
	if (error == ERROR_SUCCESS) {
		if (GetLastError() != ERROR_OPERATION_ABORTED)
			Fail("the last error after a cancel", GetLastError());
		if (!HasOverlappedIoCompleted(&ov[0]))
			Fail("the cancel returned before the completion", 0);
	} else if (error == PEERDIST_ERROR_OPERATION_NOTFOUND) {
		fWaiting = FALSE;
	} else {
		Fail("CancelAsyncOperation", error);
	}
	error = PeerDistClientCancelAsyncOperation(hPeerDist, hContent, NULL);
	if (error != ERROR_SUCCESS &&
		(fWaiting || error != PEERDIST_ERROR_OPERATION_NOTFOUND))
		Fail("CancelAsyncOperation of all", error);
	if (WaitForMultipleObjects(READS, events, TRUE, 30000) != WAIT_OBJECT_0)
		Fail("WaitForMultipleObjects", GetLastError());
	for (i = 0; i < READS; i++) {
		error = GetOverlappedResult(hContent, &ov[i], &cb, FALSE)
			? ERROR_SUCCESS
			: GetLastError();
		if (error != ERROR_OPERATION_ABORTED &&
			(fWaiting || error != PEERDIST_ERROR_MISSING_DATA))
			Fail("the result of a read", error);
	}
	printf(fWaiting ? "reads were cancelled while they waited\n"
			: "nobody to wait for\n");
}

int
main(void)
{
	PEERDIST_STATUS_INFO info = {
		sizeof(info), PEERDIST_STATUS_DISABLED, 0, 0};
	PEERDIST_CLIENT_BASIC_INFO basic;
	PEERDIST_CONTENT_TAG tag = {{1, 2, 3}};
	PEERDIST_INSTANCE_HANDLE hPeerDist;
	PEERDIST_CONTENT_HANDLE hContent;
	OVERLAPPED ov[READS];
	DWORD error, i;

	ZeroMemory(ov, sizeof(ov));
	for (i = 0; i < READS; i++) {
		ov[i].hEvent = CreateEvent(NULL, TRUE, FALSE, NULL);
		if (ov[i].hEvent == NULL)
			Fail("CreateEvent", GetLastError());
	}
	error = PeerDistStartup(PEERDIST_VERSION, &hPeerDist, NULL);
	if (error != ERROR_SUCCESS)
		Fail("PeerDistStartup", error);
	while (info.status != PEERDIST_STATUS_AVAILABLE) {
		Prepare(&ov[0]);
		MustFinish("Register", &ov[0],
			PeerDistRegisterForStatusChangeNotificationEx(
				hPeerDist, NULL, 0, &ov[0], &info));
	}
	Publish(hPeerDist, &ov[0]);
	error = PeerDistClientOpenContent(hPeerDist, &tag, NULL, 0, &hContent);
	if (error != ERROR_SUCCESS)
		Fail("OpenContent", error);
	Feed(hPeerDist, hContent, &ov[0]);
	error = PeerDistClientGetInformationByHandle(hPeerDist, hContent,
		PeerDistClientBasicInfo, sizeof(basic), &basic);
	if (error != ERROR_SUCCESS)
		Fail("GetInformationByHandle", error);
	CancelReads(hPeerDist, hContent, ov);
	error = PeerDistClientCloseContent(hPeerDist, hContent);
	if (error != ERROR_SUCCESS)
		Fail("CloseContent", error);
	error = PeerDistShutdown(hPeerDist);
	if (error != ERROR_SUCCESS)
		Fail("PeerDistShutdown", error);
	for (i = 0; i < READS; i++)
		CloseHandle(ov[i].hEvent);
	return 0;
}
