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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/client.h"
#include "bench/frames.h"

#define BLOCK      65536u
#define ROOM_BYTES 64u
#define FOREVER    0xFFFFFFFDu

static PEERDIST_INSTANCE_HANDLE instance;
static PEERDIST_CONTENT_HANDLE content;
static OVERLAPPED *ops;
static size_t n_ops;
static BYTE room[ROOM_BYTES];

/* Content information of something that nobody will have. */
static BYTE *
make_info(DWORD *ret_len)
{
	static BYTE data[4 * BLOCK];
	PEERDIST_PUBLICATION_OPTIONS v1 = {1, 0};
	PEERDIST_STREAM_HANDLE s;
	OVERLAPPED ov = {0};
	BYTE *info;

	client_must("PublishStream",
		PeerDistServerPublishStream(
			instance, CLIENT_IDENTIFIER, 0, &v1, NULL, 0, &s),
		0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (BYTE)random();
	client_finish("AddToStream",
		PeerDistServerPublishAddToStream(
			instance, s, sizeof(data), data, &ov),
		&ov);
	ov = (OVERLAPPED){0};
	client_finish("CompleteStream",
		PeerDistServerPublishCompleteStream(instance, s, &ov), &ov);
	info = client_info(instance, ret_len);
	client_must("close", PeerDistServerCloseStreamHandle(instance, s), 0);
	return info;
}

static void
start_read(size_t i)
{
	ops[i] = (OVERLAPPED){.Offset = (DWORD)(i % 4) * BLOCK};
	client_must("BlockRead",
		PeerDistClientBlockRead(
			instance, content, ROOM_BYTES, room, FOREVER, &ops[i]),
		ERROR_IO_PENDING);
}

static void
fill(size_t pending)
{
	DWORD len;
	BYTE *info = make_info(&len);

	content = client_content(instance, info, len);
	free(info);
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

		client_must("cancel",
			PeerDistClientCancelAsyncOperation(
				instance, content, &ops[k]),
			0);
		ns[i] = (double)(bench_now_ns() - start);
		start_read(k);
		/* What the submission leaves to be done is done when the next
		 * call has been answered. */
		client_must("status", PeerDistGetStatus(instance, &status), 0);
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

	client_finish("PublishFile",
		pdw_ServerPublishFile(instance, &f, NULL, 0, &ov), &ov);
	start = bench_now_ns() - start;
	client_must("Unpublish",
		PeerDistServerUnpublish(instance, CLIENT_IDENTIFIER), 0);
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
	client_must("Startup",
		PeerDistStartup(PEERDIST_VERSION, &instance, NULL), 0);
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
