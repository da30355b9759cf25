/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon through the public library.
 *
 *	api cancel PENDING COUNT CPU	PeerDistClientCancelAsyncOperation of a
 *					random one; median in ns
 *	api publish FILE VERSION	pdw_ServerPublishFile; bytes per s
 *
 * Says "ready", then measures once for each line on standard input.
 */
#include <fcntl.h>
#include <peerdist.h>
#include <peerdist_port.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/frames.h"

#define BLOCK      65536u
#define ROOM_BYTES 64u
#define FOREVER    0xFFFFFFFDu
#define IDENTIFIER 4, (PBYTE) "file"

static PEERDIST_INSTANCE_HANDLE instance;
static PEERDIST_CONTENT_HANDLE content;
static OVERLAPPED *ops;
static size_t n_ops;
static BYTE room[ROOM_BYTES];

static void
must(const char *what, DWORD got, DWORD want)
{
	if (got != want)
		bench_die(
			"%s: %u, not %u", what, (unsigned)got, (unsigned)want);
}

/* Polls for the end, which must be success. */
static DWORD
finish(const char *what, DWORD started, OVERLAPPED *ov)
{
	DWORD bytes;

	must(what, started, ERROR_IO_PENDING);
	if (!PeerDistGetOverlappedResult(ov, &bytes, TRUE))
		bench_die(
			"%s: completed %u", what, (unsigned)pdw_GetLastError());
	return bytes;
}

/* Content information of something that nobody will have. */
static DWORD
make_info(BYTE *info, DWORD size)
{
	static BYTE data[4 * BLOCK];
	PEERDIST_PUBLICATION_OPTIONS v1 = {1, 0};
	PEERDIST_STREAM_HANDLE s;
	PEERDIST_CONTENTINFO_HANDLE ci;
	OVERLAPPED ov = {0};
	DWORD n;

	must("PublishStream",
		PeerDistServerPublishStream(
			instance, IDENTIFIER, 0, &v1, NULL, 0, &s),
		0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (BYTE)random();
	finish("AddToStream",
		PeerDistServerPublishAddToStream(
			instance, s, sizeof(data), data, &ov),
		&ov);
	ov = (OVERLAPPED){0};
	finish("CompleteStream",
		PeerDistServerPublishCompleteStream(instance, s, &ov), &ov);
	must("OpenContentInformation",
		PeerDistServerOpenContentInformation(
			instance, IDENTIFIER, 0, 0, NULL, 0, &ci),
		0);
	ov = (OVERLAPPED){0};
	n = finish("Retrieve",
		PeerDistServerRetrieveContentInformation(
			instance, ci, size, info, &ov),
		&ov);
	must("close", PeerDistServerCloseContentInformation(instance, ci), 0);
	must("close", PeerDistServerCloseStreamHandle(instance, s), 0);
	return n;
}

static void
start_read(size_t i)
{
	ops[i] = (OVERLAPPED){.Offset = (DWORD)(i % 4) * BLOCK};
	must("BlockRead",
		PeerDistClientBlockRead(
			instance, content, ROOM_BYTES, room, FOREVER, &ops[i]),
		ERROR_IO_PENDING);
}

static void
fill(size_t pending)
{
	static BYTE info[4096];
	PEERDIST_CONTENT_TAG tag = {"bench"};
	OVERLAPPED ov = {0};
	DWORD n = make_info(info, sizeof(info));

	must("OpenContent",
		PeerDistClientOpenContent(instance, &tag, NULL, 0, &content),
		0);
	finish("AddContentInformation",
		PeerDistClientAddContentInformation(
			instance, content, n, info, &ov),
		&ov);
	ov = (OVERLAPPED){0};
	finish("CompleteContentInformation",
		PeerDistClientCompleteContentInformation(
			instance, content, &ov),
		&ov);
	n_ops = pending;
	ops = calloc(n_ops, sizeof(*ops));
	if (!ops)
		bench_die("out of memory");
	for (size_t i = 0; i < n_ops; i++)
		start_read(i);
}

static double
cancel_median(size_t count)
{
	double *ns = malloc(count * sizeof(*ns)), median;
	PEERDIST_STATUS status;

	if (!ns)
		bench_die("out of memory");
	for (size_t i = 0; i < count; i++) {
		size_t k = (size_t)random() % n_ops;
		uint64_t start = bench_now_ns();

		must("cancel",
			PeerDistClientCancelAsyncOperation(
				instance, content, &ops[k]),
			0);
		ns[i] = (double)(bench_now_ns() - start);
		start_read(k);
		/* What the submission leaves to be done is done when the next
		 * call has been answered. */
		must("status", PeerDistGetStatus(instance, &status), 0);
	}
	median = bench_median(ns, count);
	free(ns);
	return median;
}

static double
publish(int fd, DWORD version)
{
	PEERDIST_PUBLICATION_OPTIONS options = {version, 0};
	PDW_PUBLISH_FILE f = {.cbSize = sizeof(f),
		.cbContentIdentifier = 4,
		.pContentIdentifier = (const BYTE *)"file",
		.fd = fd,
		.pOptions = &options};
	OVERLAPPED ov = {0};
	struct stat st;
	uint64_t start = bench_now_ns();

	finish("PublishFile", pdw_ServerPublishFile(instance, &f, NULL, 0, &ov),
		&ov);
	start = bench_now_ns() - start;
	must("Unpublish", PeerDistServerUnpublish(instance, IDENTIFIER), 0);
	if (fstat(fd, &st) < 0)
		bench_die("fstat");
	return (double)st.st_size * 1e9 / (double)start;
}

int
main(int argc, char **argv)
{
	bool cancel = argc == 5 && strcmp(argv[1], "cancel") == 0;
	size_t count = cancel ? strtoull(argv[3], NULL, 10) : 0;
	int fd = -1;

	if (!cancel && (argc != 4 || strcmp(argv[1], "publish") != 0))
		bench_die("usage: api cancel PENDING COUNT CPU | "
			  "publish FILE VERSION");
	if (cancel)
		bench_pin(atoi(argv[4]));
	must("Startup", PeerDistStartup(PEERDIST_VERSION, &instance, NULL), 0);
	if (cancel)
		fill(strtoull(argv[2], NULL, 10));
	else if ((fd = open(argv[2], O_RDONLY | O_CLOEXEC)) < 0)
		bench_die("%s: cannot open", argv[2]);
	printf("ready\n");
	fflush(stdout);
	while (bench_go()) {
		printf("%.1f\n",
			cancel ? cancel_median(count)
			       : publish(fd, (DWORD)atoi(argv[3])));
		fflush(stdout);
	}
	return 0;
}
