/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Written for Windows, as its pages describe the API: one completion port and
 * one thread that waits on it.  Compiles unchanged against the folder win32/.
 *
 * Publishes a file, takes its content information, opens the content with it,
 * and reads it: what is missing comes from the file itself (which plays the
 * origin server) and is given to the cache; at the end everything is read from
 * the cache and compared.
 */
#include <windows.h>

#include <peerdist.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma comment(lib, "peerdist.lib")

#define KEY_STATUS  ((ULONG_PTR)1)
#define KEY_PUBLISH ((ULONG_PTR)2)
#define KEY_INFO    ((ULONG_PTR)3)
#define KEY_CONTENT ((ULONG_PTR)4)
#define CHUNK       (256 * 1024)

typedef struct _SAMPLE {
	HANDLE hPort;
	PEERDIST_INSTANCE_HANDLE hPeerDist;
	PEERDIST_CONTENT_HANDLE hContent;
	BYTE *pFile;
	DWORD cbFile;
} SAMPLE;

static BYTE Identifier[] = "win32 port sample";

static VOID
Fail(_In_ LPCSTR what, DWORD error)
{
	char text[256] = "?";

	FormatMessageA(
		FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS,
		NULL, error, MAKELANGID(LANG_NEUTRAL, SUBLANG_DEFAULT), text,
		ARRAYSIZE(text), NULL);
	fprintf(stderr, "%s: error %lu: %s\n", what, (unsigned long)error,
		text);
	exit(1);
}

/* Waits for the completion of this operation. */
static DWORD
WaitFor(_In_ SAMPLE *s, _In_ LPOVERLAPPED expected, ULONG_PTR expectedKey,
	_Out_ DWORD *pcbTransferred)
{
	LPOVERLAPPED lpOverlapped = NULL;
	ULONG_PTR key = 0;
	BOOL fOk;

	fOk = GetQueuedCompletionStatus(
		s->hPort, pcbTransferred, &key, &lpOverlapped, 30000);
	if (lpOverlapped == NULL)
		Fail("GetQueuedCompletionStatus", GetLastError());
	if (lpOverlapped != expected || key != expectedKey)
		Fail("unexpected completion", 0);
	return fOk ? ERROR_SUCCESS : GetLastError();
}

static VOID
MustComplete(_In_ SAMPLE *s, _In_ LPCSTR what, DWORD returned,
	_In_ LPOVERLAPPED ov, ULONG_PTR key)
{
	DWORD cb, error;

	if (returned != ERROR_IO_PENDING)
		Fail(what, returned);
	error = WaitFor(s, ov, key, &cb);
	if (error != ERROR_SUCCESS)
		Fail(what, error);
}

static VOID
WaitUntilAvailable(_In_ SAMPLE *s)
{
	PEERDIST_STATUS status = PEERDIST_STATUS_DISABLED;
	OVERLAPPED ov;
	DWORD error;

	while (status != PEERDIST_STATUS_AVAILABLE) {
		ZeroMemory(&ov, sizeof(ov));
		error = PeerDistRegisterForStatusChangeNotification(
			s->hPeerDist, s->hPort, KEY_STATUS, &ov, &status);
		MustComplete(s, "RegisterForStatusChangeNotification", error,
			&ov, KEY_STATUS);
	}
}

static VOID
Publish(_In_ SAMPLE *s)
{
	PEERDIST_PUBLICATION_OPTIONS options = {
		PEERDIST_PUBLICATION_OPTIONS_VERSION, 0};
	PEERDIST_STREAM_HANDLE hStream;
	OVERLAPPED ov;
	DWORD error, cb, done;

	error = PeerDistServerPublishStream(s->hPeerDist, sizeof(Identifier),
		Identifier, s->cbFile, &options, s->hPort, KEY_PUBLISH,
		&hStream);
	if (error != ERROR_SUCCESS)
		Fail("PublishStream", error);
	for (done = 0; done < s->cbFile; done += cb) {
		cb = s->cbFile - done < CHUNK ? s->cbFile - done : CHUNK;
		ZeroMemory(&ov, sizeof(ov));
		error = PeerDistServerPublishAddToStream(
			s->hPeerDist, hStream, cb, s->pFile + done, &ov);
		MustComplete(s, "PublishAddToStream", error, &ov, KEY_PUBLISH);
	}
	ZeroMemory(&ov, sizeof(ov));
	error = PeerDistServerPublishCompleteStream(s->hPeerDist, hStream, &ov);
	MustComplete(s, "PublishCompleteStream", error, &ov, KEY_PUBLISH);
	error = PeerDistServerCloseStreamHandle(s->hPeerDist, hStream);
	if (error != ERROR_SUCCESS)
		Fail("CloseStreamHandle", error);
}

/* Hands each piece of the content information to the client side at once. */
static VOID
PassContentInformation(_In_ SAMPLE *s)
{
	PEERDIST_CONTENTINFO_HANDLE hInfo;
	static BYTE piece[1000];
	OVERLAPPED ov, add;
	DWORD error, cb;

	error = PeerDistServerOpenContentInformation(s->hPeerDist,
		sizeof(Identifier), Identifier, 0, 0, s->hPort, KEY_INFO,
		&hInfo);
	if (error != ERROR_SUCCESS)
		Fail("OpenContentInformation", error);
	for (;;) {
		ZeroMemory(&ov, sizeof(ov));
		error = PeerDistServerRetrieveContentInformation(
			s->hPeerDist, hInfo, sizeof(piece), piece, &ov);
		if (error == ERROR_IO_PENDING)
			error = WaitFor(s, &ov, KEY_INFO, &cb);
		if (error == PEERDIST_ERROR_NO_MORE)
			break;
		if (error != ERROR_SUCCESS)
			Fail("RetrieveContentInformation", error);
		ZeroMemory(&add, sizeof(add));
		error = PeerDistClientAddContentInformation(
			s->hPeerDist, s->hContent, cb, piece, &add);
		MustComplete(
			s, "AddContentInformation", error, &add, KEY_CONTENT);
	}
	ZeroMemory(&add, sizeof(add));
	error = PeerDistClientCompleteContentInformation(
		s->hPeerDist, s->hContent, &add);
	MustComplete(s, "CompleteContentInformation", error, &add, KEY_CONTENT);
	error = PeerDistServerCloseContentInformation(s->hPeerDist, hInfo);
	if (error != ERROR_SUCCESS)
		Fail("CloseContentInformation", error);
}

static VOID
AddMissing(_In_ SAMPLE *s, ULONGLONG offset, DWORD cb)
{
	OVERLAPPED ov;
	DWORD error;

	if (offset >= s->cbFile || cb > s->cbFile - offset)
		Fail("a missing range outside of the content", 0);
	ZeroMemory(&ov, sizeof(ov));
	ov.Offset = (DWORD)offset;
	ov.OffsetHigh = (DWORD)(offset >> 32);
	error = PeerDistClientAddData(
		s->hPeerDist, s->hContent, cb, s->pFile + offset, &ov);
	MustComplete(s, "AddData", error, &ov, KEY_CONTENT);
}

static VOID
FillCache(_In_ SAMPLE *s)
{
	static BYTE buffer[CHUNK];
	OVERLAPPED ov;
	DWORD error, cb;

	for (;;) {
		ZeroMemory(&ov, sizeof(ov));
		error = PeerDistClientStreamRead(s->hPeerDist, s->hContent,
			sizeof(buffer), buffer,
			PEERDIST_READ_TIMEOUT_LOCAL_CACHE_ONLY, &ov);
		if (error != ERROR_IO_PENDING)
			Fail("StreamRead", error);
		switch (error = WaitFor(s, &ov, KEY_CONTENT, &cb)) {
		case ERROR_SUCCESS:
			break;
		case PEERDIST_ERROR_MISSING_DATA:
		case ERROR_TIMEOUT:
			AddMissing(s,
				(ULONGLONG)ov.OffsetHigh << 32 | ov.Offset, cb);
			break;
		case PEERDIST_ERROR_NO_MORE:
			return;
		default:
			Fail("StreamRead", error);
		}
	}
}

static VOID
Compare(_In_ SAMPLE *s)
{
	static BYTE buffer[CHUNK];
	OVERLAPPED ov;
	DWORD error, cb, done;

	for (done = 0; done < s->cbFile; done += cb) {
		ZeroMemory(&ov, sizeof(ov));
		ov.Offset = done;
		error = PeerDistClientBlockRead(s->hPeerDist, s->hContent,
			sizeof(buffer), buffer,
			PEERDIST_READ_TIMEOUT_LOCAL_CACHE_ONLY, &ov);
		if (error != ERROR_IO_PENDING)
			Fail("BlockRead", error);
		error = WaitFor(s, &ov, KEY_CONTENT, &cb);
		if (error != ERROR_SUCCESS)
			Fail("BlockRead", error);
		if (cb == 0 || memcmp(buffer, s->pFile + done, cb) != 0)
			Fail("the cache holds something else", 0);
	}
}

static VOID
ReadFileInto(_In_ SAMPLE *s, _In_ LPCSTR name)
{
	FILE *f = fopen(name, "rb");
	long size;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0)
		Fail("cannot open the file", 0);
	size = ftell(f);
	rewind(f);
	if (size <= 0)
		Fail("the file is empty", 0);
	s->cbFile = (DWORD)size;
	s->pFile = (BYTE *)HeapAlloc(GetProcessHeap(), 0, s->cbFile);
	if (s->pFile == NULL || fread(s->pFile, 1, s->cbFile, f) != s->cbFile)
		Fail("cannot read the file", 0);
	fclose(f);
}

int
main(int argc, char **argv)
{
	PEERDIST_CONTENT_TAG tag;
	DWORD error, supported = 0;
	SAMPLE s;
	GUID guid;

	ZeroMemory(&s, sizeof(s));
	if (argc != 2)
		Fail("usage: win32_port_sample FILE", 0);
	ReadFileInto(&s, argv[1]);
	s.hPort = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
	if (s.hPort == NULL)
		Fail("CreateIoCompletionPort", GetLastError());
	error = PeerDistStartup(PEERDIST_VERSION, &s.hPeerDist, &supported);
	if (error != ERROR_SUCCESS)
		Fail("PeerDistStartup", error);
	WaitUntilAvailable(&s);
	Publish(&s);
	if (FAILED(CoCreateGuid(&guid)))
		Fail("CoCreateGuid", 0);
	CopyMemory(tag.Data, &guid, sizeof(tag.Data));
	error = PeerDistClientOpenContent(
		s.hPeerDist, &tag, s.hPort, KEY_CONTENT, &s.hContent);
	if (error != ERROR_SUCCESS)
		Fail("OpenContent", error);
	PassContentInformation(&s);
	FillCache(&s);
	Compare(&s);
	PeerDistClientCloseContent(s.hPeerDist, s.hContent);
	error = PeerDistServerUnpublish(
		s.hPeerDist, sizeof(Identifier), Identifier);
	if (error != ERROR_SUCCESS)
		Fail("Unpublish", error);
	error = PeerDistShutdown(s.hPeerDist);
	if (error != ERROR_SUCCESS)
		Fail("PeerDistShutdown", error);
	CloseHandle(s.hPort);
	HeapFree(GetProcessHeap(), 0, s.pFile);
	printf("%lu bytes published, cached and read\n",
		(unsigned long)s.cbFile);
	return 0;
}
