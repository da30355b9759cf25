/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server's side of the demonstration: publishes a file by streaming it to
 * the service and writes its content information, which a real server would
 * send to whoever asks for the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/demo/common.h"

#define SLICE (1536u * 1024u + 1)
#define PIECE 40000u

static PEERDIST_INSTANCE_HANDLE instance;
static PEERDIST_STREAM_HANDLE stream;
static OVERLAPPED pending;
static BYTE *pending_data;

static void
begin(const char *arg)
{
	DWORD supported;

	must("Startup",
		PeerDistStartup(PEERDIST_VERSION, &instance, &supported),
		ERROR_SUCCESS);
	await_status(instance, PEERDIST_STATUS_AVAILABLE);
	say("session open, API version %u, status AVAILABLE",
		(unsigned)supported);
}

static PEERDIST_STREAM_HANDLE
open_stream(const char *path, size_t len)
{
	PEERDIST_STREAM_HANDLE s;

	must("PublishStream",
		PeerDistServerPublishStream(instance, (DWORD)strlen(path),
			(PBYTE)path, len, NULL, NULL, 0, &s),
		ERROR_SUCCESS);
	return s;
}

static void
publish(const char *path)
{
	PEERDIST_STREAM_HANDLE s;
	OVERLAPPED ov;
	unsigned adds = 0;
	size_t len;
	BYTE *data = read_file(path, &len);
	DWORD n;

	s = open_stream(path, len);
	for (size_t at = 0; at < len; at += n, adds++) {
		n = len - at < SLICE ? (DWORD)(len - at) : SLICE;
		overlapped_init(&ov);
		must("AddToStream",
			PeerDistServerPublishAddToStream(
				instance, s, n, data + at, &ov),
			ERROR_IO_PENDING);
		must("AddToStream, completion", overlapped_end(&ov, NULL), 0);
	}
	overlapped_init(&ov);
	must("CompleteStream",
		PeerDistServerPublishCompleteStream(instance, s, &ov),
		ERROR_IO_PENDING);
	must("CompleteStream, completion", overlapped_end(&ov, NULL), 0);
	must("CloseStreamHandle", PeerDistServerCloseStreamHandle(instance, s),
		0);
	free(data);
	say("published %zu bytes in %u adds of up to %u bytes", len, adds,
		SLICE);
}

/* describe VERSION CONTENT TARGET */
static void
describe(const char *arg)
{
	PEERDIST_RETRIEVAL_OPTIONS options = {sizeof(options), 1, 1, 0};
	PEERDIST_CONTENTINFO_HANDLE ci;
	char content[400], target[400];
	unsigned version, pieces = 0;
	size_t total = 0;
	BYTE piece[PIECE];
	OVERLAPPED ov;
	DWORD code, n;
	FILE *f;

	must_hold("arguments",
		sscanf(arg, "%u %399s %399s", &version, content, target) == 3);
	options.dwContentInfoMinVersion = version;
	options.dwContentInfoMaxVersion = version;
	f = fopen(target, "wbe");
	must_hold(target, f != NULL);
	must("OpenContentInformationEx",
		PeerDistServerOpenContentInformationEx(instance,
			(DWORD)strlen(content), (PBYTE)content, 0, 0, &options,
			NULL, 0, &ci),
		ERROR_SUCCESS);
	for (;; pieces++) {
		overlapped_init(&ov);
		must("RetrieveContentInformation",
			PeerDistServerRetrieveContentInformation(
				instance, ci, sizeof(piece), piece, &ov),
			ERROR_IO_PENDING);
		code = overlapped_end(&ov, &n);
		if (code == PEERDIST_ERROR_NO_MORE)
			break;
		must("RetrieveContentInformation, completion", code, 0);
		must_hold(target, fwrite(piece, 1, n, f) == n);
		total += n;
	}
	must("CloseContentInformation",
		PeerDistServerCloseContentInformation(instance, ci), 0);
	must_hold(target, fclose(f) == 0);
	say("content information, version %u: %zu bytes in %u pieces", version,
		total, pieces);
}

/* Leaves a large add pending. */
static void
hang(const char *path)
{
	size_t len;

	pending_data = read_file(path, &len);
	stream = open_stream("pending", 0);
	overlapped_init(&pending);
	must("AddToStream",
		PeerDistServerPublishAddToStream(
			instance, stream, (DWORD)len, pending_data, &pending),
		ERROR_IO_PENDING);
	say("an add of %zu bytes is on its way", len);
}

static void
lost(const char *arg)
{
	DWORD code = overlapped_end(&pending, NULL);

	/* It may have been quicker than the kill. */
	if (code != ERROR_SUCCESS)
		must("AddToStream when the service dies", code,
			PEERDIST_ERROR_INVALIDATED);
	free(pending_data);
	await_status(instance, PEERDIST_STATUS_UNAVAILABLE);
	must("Unpublish without a service",
		PeerDistServerUnpublish(instance, 1, (PBYTE) "x"),
		PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	say("the pending add ended with %u; calls now return 4065",
		(unsigned)code);
}

static void
again(const char *path)
{
	await_status(instance, PEERDIST_STATUS_AVAILABLE);
	overlapped_init(&pending);
	must("AddToStream on a handle of before",
		PeerDistServerPublishAddToStream(
			instance, stream, 1, (PBYTE) "x", &pending),
		PEERDIST_ERROR_INVALIDATED);
	must("CloseStreamHandle",
		PeerDistServerCloseStreamHandle(instance, stream), 0);
	must("Unpublish",
		PeerDistServerUnpublish(
			instance, (DWORD)strlen(path), (PBYTE)path),
		PEERDIST_ERROR_NOT_FOUND);
	say("AVAILABLE again; the old handle gives 4057 and was closed; "
	    "publications are gone");
	publish(path);
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
		{"publish", publish},
		{"describe", describe},
		{"hang", hang},
		{"lost", lost},
		{"again", again},
		{"end", end},
	};

	return demo_main(
		"publisher", commands, sizeof(commands) / sizeof(commands[0]));
}
