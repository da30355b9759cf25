/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's side of the demonstration: opens content by its information,
 * fetches what is missing from the "origin" (the file itself) and gives it
 * back; waits for data and cancels.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/demo/common.h"

#define PIECE   10007u
#define ROOM    (1024u * 1024u)
#define MANY    100u
#define FOREVER 3600000u

static PEERDIST_INSTANCE_HANDLE instance;
static PEERDIST_CONTENT_HANDLE waiting; /* content that nobody has */
static OVERLAPPED ops[MANY];
static BYTE room[ROOM];

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
begin(const char *arg)
{
	must("Startup", PeerDistStartup(PEERDIST_VERSION, &instance, NULL),
		ERROR_SUCCESS);
	await_status(instance, PEERDIST_STATUS_AVAILABLE);
	say("session open, status AVAILABLE");
}

static void
feed(PEERDIST_CONTENT_HANDLE c, const char *path)
{
	size_t len;
	BYTE *info = read_file(path, &len);
	OVERLAPPED ov;
	unsigned pieces = 0;
	DWORD n;

	for (size_t at = 0; at < len; at += n, pieces++) {
		n = len - at < PIECE ? (DWORD)(len - at) : PIECE;
		overlapped_init(&ov);
		must("AddContentInformation",
			PeerDistClientAddContentInformation(
				instance, c, n, info + at, &ov),
			ERROR_IO_PENDING);
		must("AddContentInformation, completion",
			overlapped_end(&ov, NULL), 0);
	}
	overlapped_init(&ov);
	must("CompleteContentInformation",
		PeerDistClientCompleteContentInformation(instance, c, &ov),
		ERROR_IO_PENDING);
	must("CompleteContentInformation, completion",
		overlapped_end(&ov, NULL), 0);
	free(info);
	say("content information given in %u pieces", pieces);
}

static PEERDIST_CONTENT_HANDLE
open_content(const char *info)
{
	PEERDIST_CONTENT_TAG tag = {"demonstration"};
	PEERDIST_CONTENT_HANDLE c;

	must("OpenContent",
		PeerDistClientOpenContent(instance, &tag, NULL, 0, &c),
		ERROR_SUCCESS);
	feed(c, info);
	return c;
}

struct pass {
	unsigned reads, holes;
	ULONGLONG cached, missing;
};

static void
fill_hole(PEERDIST_CONTENT_HANDLE c, BYTE *data, ULONGLONG at, DWORD n)
{
	OVERLAPPED ov;

	overlapped_init(&ov);
	ov.Offset = (DWORD)at;
	ov.OffsetHigh = (DWORD)(at >> 32);
	must("AddData", PeerDistClientAddData(instance, c, n, data + at, &ov),
		ERROR_IO_PENDING);
	must("AddData, completion", overlapped_end(&ov, NULL), 0);
}

/* Reads from front to end, asking peers as long as timeout says; a hole is
 * filled from the file. */
static struct pass
read_through(PEERDIST_CONTENT_HANDLE c, BYTE *data, size_t len, DWORD timeout)
{
	struct pass p = {0};
	ULONGLONG at = 0;
	OVERLAPPED ov;
	DWORD code, n;

	for (;; p.reads++) {
		overlapped_init(&ov);
		must("StreamRead",
			PeerDistClientStreamRead(
				instance, c, ROOM, room, timeout, &ov),
			ERROR_IO_PENDING);
		code = overlapped_end(&ov, &n);
		if (code == PEERDIST_ERROR_NO_MORE)
			break;
		must_hold("the next bytes",
			overlapped_offset(&ov) == at && n > 0 && at + n <= len);
		if (code == ERROR_SUCCESS) {
			must_hold("the same bytes",
				memcmp(room, data + at, n) == 0);
			p.cached += n;
		} else {
			must("StreamRead, completion", code,
				PEERDIST_ERROR_MISSING_DATA);
			fill_hole(c, data, at, n);
			p.holes++;
			p.missing += n;
		}
		at += n;
	}
	must_hold("all of it", at == len);
	return p;
}

/* fetch INFO FILE */
static void
fetch(const char *arg)
{
	char info[400], file[400];
	PEERDIST_CONTENT_HANDLE c;
	struct pass p;
	double start;
	size_t len;
	BYTE *data;

	must_hold("arguments", sscanf(arg, "%399s %399s", info, file) == 2);
	data = read_file(file, &len);
	c = open_content(info);
	p = read_through(c, data, len, PEERDIST_READ_TIMEOUT_LOCAL_CACHE_ONLY);
	say("first pass: %u missing ranges, %llu bytes fetched and given back, "
	    "%llu bytes from the cache",
		p.holes, (unsigned long long)p.missing,
		(unsigned long long)p.cached);
	must("CloseContent", PeerDistClientCloseContent(instance, c), 0);
	c = open_content(info);
	start = now();
	p = read_through(c, data, len, PEERDIST_READ_TIMEOUT_LOCAL_CACHE_ONLY);
	must_hold("nothing is missing now", p.holes == 0 && p.cached == len);
	say("second pass: %llu bytes in %u reads, all the same as the file, "
	    "%.0f MB/s",
		(unsigned long long)p.cached, p.reads,
		(double)len / 1e6 / (now() - start));
	must("CloseContent", PeerDistClientCloseContent(instance, c), 0);
	free(data);
}

static void
start_read(unsigned i)
{
	overlapped_init(&ops[i]);
	ops[i].Offset = i * 65536;
	must("BlockRead",
		PeerDistClientBlockRead(instance, waiting, ROOM / MANY,
			room + i * (ROOM / MANY), FOREVER, &ops[i]),
		ERROR_IO_PENDING);
}

/* Content that neither we nor the peer will ever have. */
static void
wait_for_peer(const char *info)
{
	waiting = open_content(info);
	start_read(0);
	must("the read waits", pdw_WaitForSingleObject(ops[0].hEvent, 300),
		WAIT_TIMEOUT);
	say("a read waits for the peer, which says nothing");
}

static void
cancel(const char *arg)
{
	double start = now();
	DWORD bytes;

	must("CancelAsyncOperation",
		PeerDistClientCancelAsyncOperation(instance, waiting, &ops[0]),
		ERROR_SUCCESS);
	must("GetLastError", pdw_GetLastError(), ERROR_OPERATION_ABORTED);
	must_hold("completed before the cancel returned",
		HasOverlappedIoCompleted(&ops[0]) &&
			!PeerDistGetOverlappedResult(&ops[0], &bytes, FALSE));
	must("completion", pdw_GetLastError(), ERROR_OPERATION_ABORTED);
	say("cancelled in %.0f us: 995 was posted before the call returned",
		(now() - start) * 1e6);
	must("second cancel",
		PeerDistClientCancelAsyncOperation(instance, waiting, &ops[0]),
		PEERDIST_ERROR_OPERATION_NOTFOUND);
	say("the same again: 4059");
	(void)overlapped_end(&ops[0], NULL);
}

static void
many(const char *arg)
{
	for (unsigned i = 0; i < MANY; i++)
		start_read(i);
	say("%u reads wait on one handle", MANY);
}

static void
cancel_all(const char *arg)
{
	double start = now(), took;

	must("CancelAsyncOperation of all",
		PeerDistClientCancelAsyncOperation(instance, waiting, NULL),
		ERROR_SUCCESS);
	took = now() - start;
	for (unsigned i = 0; i < MANY; i++) {
		must_hold("completed before the cancel returned",
			HasOverlappedIoCompleted(&ops[i]));
		must("completion", overlapped_end(&ops[i], NULL),
			ERROR_OPERATION_ABORTED);
	}
	say("one call cancelled all %u in %.0f us, each with its own 995", MANY,
		took * 1e6);
}

static void
lost(const char *arg)
{
	for (unsigned i = 0; i < MANY; i++)
		must("completion when the service dies",
			overlapped_end(&ops[i], NULL),
			PEERDIST_ERROR_INVALIDATED);
	await_status(instance, PEERDIST_STATUS_UNAVAILABLE);
	overlapped_init(&ops[0]);
	must("BlockRead without a service",
		PeerDistClientBlockRead(
			instance, waiting, ROOM, room, 0, &ops[0]),
		PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	say("%u pending reads ended with 4057; calls now return 4065", MANY);
}

static void
again(const char *arg)
{
	await_status(instance, PEERDIST_STATUS_AVAILABLE);
	overlapped_init(&ops[0]);
	must("BlockRead on a handle of before",
		PeerDistClientBlockRead(
			instance, waiting, ROOM, room, 0, &ops[0]),
		PEERDIST_ERROR_INVALIDATED);
	must("CloseContent", PeerDistClientCloseContent(instance, waiting), 0);
	say("AVAILABLE again; the old handle gives 4057 and was closed");
}

static void
end(const char *arg)
{
	must("Shutdown", PeerDistShutdown(instance), ERROR_SUCCESS);
	say("session closed");
}

int
main(void)
{
	static const struct command commands[] = {
		{"begin", begin},
		{"fetch", fetch},
		{"wait", wait_for_peer},
		{"cancel", cancel},
		{"many", many},
		{"cancel-all", cancel_all},
		{"lost", lost},
		{"again", again},
		{"end", end},
	};

	return demo_main(
		"consumer", commands, sizeof(commands) / sizeof(commands[0]));
}
