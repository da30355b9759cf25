/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations and whatever ends them, at the same moment, against a live daemon.
 *
 * Two processes, each with several racers.  A racer is two threads with handles
 * of their own: the starter allocates OVERLAPPED and buffer, starts an
 * operation, waits for its completion on an event or a port and frees both at
 * once; the rival cancels (one or all) or closes the handle, a random while
 * after the start began, perhaps before the operation has reached the daemon,
 * perhaps when its memory is gone.  The while is tuned for each kind so that
 * both sides win.
 *
 * Checked in every round: one completion and no second one; it agrees with what
 * the cancel said; a cancel or close that succeeded returns after the
 * completion was posted.  At the end each of 995, another result, and 4059 must
 * have been seen in at least a tenth of the rounds.
 *
 * $ROUNDS: how many in all.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/api/content.h"

#define PROCESSES     2u
#define RACERS        2u
#define WAIT_MS       60000u
#define INFO_ROOM     200000u
#define CONTENT_BYTES (24u * BLOCK)

enum kind {
	BLOCK_READ,  /* of what no peer gives: ends by its timer */
	STREAM_READ, /* the same */
	CACHED_READ,
	DATA_ADD,
	STREAM_ADD,
	STREAM_COMPLETE,
	PUBLISH_FILE,
	RETRIEVE, /* carried out when accepted: 0, or never was there */
	CI_ADD,
	CI_COMPLETE,
	_KINDS,
};
static const char *const kind_names[_KINDS] = {"BlockRead", "StreamRead",
	"cached read", "AddData", "AddToStream", "CompleteStream",
	"PublishFile", "Retrieve", "AddContentInfo", "CompleteContentInfo"};
static const char *const kind_functions[_KINDS] = {"PeerDistClientBlockRead",
	"PeerDistClientStreamRead", "PeerDistClientBlockRead",
	"PeerDistClientAddData", "PeerDistServerPublishAddToStream",
	"PeerDistServerPublishCompleteStream", NULL,
	"PeerDistServerRetrieveContentInformation",
	"PeerDistClientAddContentInformation",
	"PeerDistClientCompleteContentInformation"};

enum attack { CANCEL_ONE, CANCEL_ALL, CLOSE };

/* Shared by all processes. */
struct totals {
	atomic_uint rounds[_KINDS], aborted[_KINDS], done[_KINDS];
	atomic_uint not_found[_KINDS], early[_KINDS];
};
static struct totals *totals;

/* The same in every process. */
static struct test_bytes info; /* of what nobody has */
static struct test_bytes cached_info;
static struct test_bytes added, added_info;
static struct test_bytes long_info; /* more than one slice */
static char retrieved[32];          /* published by each process for itself */
static int file = -1;               /* to be published */

struct racer {
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE reader, cached, c;
	PEERDIST_STREAM_HANDLE stream;
	PEERDIST_CONTENTINFO_HANDLE ci;
	HANDLE port, event;
	char id[32];
	unsigned seed, rounds;
	unsigned delay_us[_KINDS]; /* upper bound of the while, tuned */
	/* The round, fixed before the barrier opens. */
	enum kind kind;
	enum attack attack;
	bool by_port;
	unsigned wait_us;
	OVERLAPPED *ov;
	BYTE *buffer;
	DWORD started, code, rival_code;
	pthread_barrier_t gate;
};

static unsigned
rnd(struct racer *r, unsigned below)
{
	return below ? (unsigned)rand_r(&r->seed) % below : 0;
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool
is_server(enum kind k)
{
	return k == STREAM_ADD || k == STREAM_COMPLETE || k == RETRIEVE ||
		k == PUBLISH_FILE;
}

/* What the operation needs: a fresh handle wherever an abort may spoil it. */
static PEERDIST_STREAM_HANDLE
open_stream(struct racer *r)
{
	PEERDIST_STREAM_HANDLE s = NULL;

	CHECK_EQ(PeerDistServerPublishStream(r->h, IDENT(r->id), 0, NULL,
			 r->by_port ? r->port : NULL, 1, &s),
		ERROR_SUCCESS);
	return s;
}

static PEERDIST_CONTENT_HANDLE
open_content(struct racer *r)
{
	PEERDIST_CONTENT_TAG tag = {{1}};
	PEERDIST_CONTENT_HANDLE c = NULL;

	CHECK_EQ(PeerDistClientOpenContent(
			 r->h, &tag, r->by_port ? r->port : NULL, 1, &c),
		ERROR_SUCCESS);
	return c;
}

/* Polls: neither port nor event. */
static void
finish_quietly(DWORD code, OVERLAPPED *ov, DWORD want)
{
	DWORD bytes, got = 0;

	CHECK_EQ(code, ERROR_IO_PENDING);
	if (!PeerDistGetOverlappedResult(ov, &bytes, TRUE))
		got = pdw_GetLastError();
	CHECK_EQ(got, want);
}

/* A packet that belongs to the preparation, not to the round. */
static void
drop_packet(struct racer *r, OVERLAPPED *ov)
{
	OVERLAPPED *got = NULL;
	ULONG_PTR key;
	DWORD bytes;

	if (!r->by_port)
		return;
	(void)pdw_GetQueuedCompletionStatus(
		r->port, &bytes, &key, &got, WAIT_MS);
	CHECK(got == ov);
}

static void
feed_info(struct racer *r, PEERDIST_CONTENT_HANDLE c,
	const struct test_bytes *bytes)
{
	OVERLAPPED ov;

	memset(&ov, 0, sizeof(ov));
	finish_quietly(PeerDistClientAddContentInformation(
			       r->h, c, (DWORD)bytes->len, bytes->data, &ov),
		&ov, 0);
	drop_packet(r, &ov);
}

static PEERDIST_CONTENT_HANDLE
open_ready(struct racer *r, const struct test_bytes *bytes)
{
	PEERDIST_CONTENT_HANDLE c = open_content(r);
	OVERLAPPED ov;

	feed_info(r, c, bytes);
	memset(&ov, 0, sizeof(ov));
	finish_quietly(
		PeerDistClientCompleteContentInformation(r->h, c, &ov), &ov, 0);
	drop_packet(r, &ov);
	return c;
}

static void
prepare_stream(struct racer *r)
{
	OVERLAPPED ov;

	r->stream = open_stream(r);
	if (r->kind == STREAM_COMPLETE) {
		memset(&ov, 0, sizeof(ov));
		finish_quietly(PeerDistServerPublishAddToStream(r->h, r->stream,
				       BLOCK * 3, added.data, &ov),
			&ov, 0);
		drop_packet(r, &ov);
	}
}

static void
prepare(struct racer *r)
{
	switch (r->kind) {
	case STREAM_ADD:
	case STREAM_COMPLETE:
		prepare_stream(r);
		break;
	case PUBLISH_FILE:
		break;
	case RETRIEVE:
		CHECK_EQ(PeerDistServerOpenContentInformation(r->h,
				 IDENT(retrieved), 0, 0,
				 r->by_port ? r->port : NULL, 1, &r->ci),
			ERROR_SUCCESS);
		break;
	case CI_ADD:
		r->c = open_content(r);
		break;
	case CI_COMPLETE:
		r->c = open_content(r);
		feed_info(r, r->c, &info);
		break;
	case CACHED_READ:
		r->c = open_ready(r, &cached_info);
		break;
	case DATA_ADD:
		r->c = open_ready(r, &added_info);
		break;
	default:
		r->c = open_ready(r, &info);
		break;
	}
}

static void
clean_up(struct racer *r)
{
	DWORD want = r->attack == CLOSE ? ERROR_INVALID_HANDLE : ERROR_SUCCESS;
	DWORD code;

	if (r->kind == RETRIEVE) {
		CHECK_EQ(PeerDistServerCloseContentInformation(r->h, r->ci),
			want);
		return;
	}
	if (!is_server(r->kind)) {
		CHECK_EQ(PeerDistClientCloseContent(r->h, r->c), want);
		return;
	}
	if (r->kind != PUBLISH_FILE)
		CHECK_EQ(
			PeerDistServerCloseStreamHandle(r->h, r->stream), want);
	code = PeerDistServerUnpublish(r->h, IDENT(r->id));
	CHECK(code == ERROR_SUCCESS || code == PEERDIST_ERROR_NOT_FOUND);
	CHECK((code == ERROR_SUCCESS) ==
		(r->kind != STREAM_ADD && r->code == ERROR_SUCCESS));
}

static size_t
buffer_size(enum kind k)
{
	switch (k) {
	case STREAM_COMPLETE:
	case PUBLISH_FILE:
	case CI_COMPLETE:
		return 0;
	case CI_ADD:
		return long_info.len;
	case RETRIEVE:
		return INFO_ROOM;
	case STREAM_ADD:
	case DATA_ADD:
		return CONTENT_BYTES;
	default:
		return 5 * BLOCK;
	}
}

static DWORD
start_client(struct racer *r)
{
	DWORD n = (DWORD)buffer_size(r->kind);

	switch (r->kind) {
	case BLOCK_READ:
		return PeerDistClientBlockRead(
			r->h, r->c, n, r->buffer, 1 + rnd(r, 2), r->ov);
	case STREAM_READ:
		return PeerDistClientStreamRead(
			r->h, r->c, n, r->buffer, 1 + rnd(r, 2), r->ov);
	case CACHED_READ:
		return PeerDistClientBlockRead(
			r->h, r->c, n, r->buffer, 0, r->ov);
	case DATA_ADD:
		return PeerDistClientAddData(r->h, r->c, n, r->buffer, r->ov);
	case CI_ADD:
		return PeerDistClientAddContentInformation(
			r->h, r->c, n, r->buffer, r->ov);
	default:
		return PeerDistClientCompleteContentInformation(
			r->h, r->c, r->ov);
	}
}

static DWORD
start_file(struct racer *r)
{
	PDW_PUBLISH_FILE f = {.cbSize = sizeof(f), .fd = file};

	f.cbContentIdentifier = (DWORD)strlen(r->id);
	f.pContentIdentifier = (const BYTE *)r->id;
	return pdw_ServerPublishFile(
		r->h, &f, r->by_port ? r->port : NULL, 1, r->ov);
}

static DWORD
start(struct racer *r)
{
	DWORD n = (DWORD)buffer_size(r->kind);

	switch (r->kind) {
	case STREAM_ADD:
		return PeerDistServerPublishAddToStream(
			r->h, r->stream, n, r->buffer, r->ov);
	case STREAM_COMPLETE:
		return PeerDistServerPublishCompleteStream(
			r->h, r->stream, r->ov);
	case PUBLISH_FILE:
		return start_file(r);
	case RETRIEVE:
		return PeerDistServerRetrieveContentInformation(
			r->h, r->ci, n, r->buffer, r->ov);
	default:
		return start_client(r);
	}
}

/* Whoever gets the completion frees everything at once. */
static DWORD
wait_end(struct racer *r)
{
	OVERLAPPED *got = NULL;
	ULONG_PTR key;
	DWORD bytes, code = 0;

	if (r->by_port) {
		if (!pdw_GetQueuedCompletionStatus(
			    r->port, &bytes, &key, &got, WAIT_MS))
			code = pdw_GetLastError();
		if (got != r->ov)
			test_fail(__FILE__, __LINE__,
				"%s: no packet, or a foreign one (%u)",
				kind_names[r->kind], (unsigned)code);
	} else {
		CHECK_EQ(pdw_WaitForSingleObject(r->event, WAIT_MS),
			WAIT_OBJECT_0);
		if (!PeerDistGetOverlappedResult(r->ov, &bytes, FALSE))
			code = pdw_GetLastError();
	}
	free(r->buffer);
	free(r->ov);
	return code;
}

static DWORD
do_attack(struct racer *r)
{
	const char *id = r->kind == RETRIEVE ? retrieved : r->id;

	if (r->attack == CLOSE) {
		if (r->kind == RETRIEVE)
			return PeerDistServerCloseContentInformation(
				r->h, r->ci);
		return is_server(r->kind)
			? PeerDistServerCloseStreamHandle(r->h, r->stream)
			: PeerDistClientCloseContent(r->h, r->c);
	}
	if (is_server(r->kind))
		return PeerDistServerCancelAsyncOperation(
			r->h, IDENT(id), r->ov);
	return PeerDistClientCancelAsyncOperation(
		r->h, r->c, r->attack == CANCEL_ALL ? NULL : r->ov);
}

static void *
rival(void *arg)
{
	struct racer *r = arg;

	for (unsigned i = 0; i < r->rounds; i++) {
		uint64_t until;

		pthread_barrier_wait(&r->gate);
		until = now_ns() + (uint64_t)r->wait_us * 1000;
		while (now_ns() < until)
			;
		pdw_SetLastError(0);
		r->rival_code = do_attack(r);
		if (r->rival_code == 0 && r->attack != CLOSE) {
			/* Posted before the cancel returned. */
			CHECK_EQ(pdw_GetLastError(), ERROR_OPERATION_ABORTED);
			if (!r->by_port)
				CHECK_EQ(pdw_WaitForSingleObject(r->event, 0),
					WAIT_OBJECT_0);
		}
		pthread_barrier_wait(&r->gate);
	}
	return NULL;
}

static void
choose(struct racer *r, unsigned round)
{
	r->kind = (enum kind)(round % _KINDS);
	r->by_port = rnd(r, 2);
	r->attack = CANCEL_ONE;
	if (r->kind != PUBLISH_FILE && rnd(r, 8) == 0)
		r->attack = CLOSE;
	else if (!is_server(r->kind) && rnd(r, 6) == 0)
		r->attack = CANCEL_ALL;
	r->wait_us = rnd(r, r->delay_us[r->kind]);
	r->ov = calloc(1, sizeof(*r->ov));
	r->buffer = malloc(buffer_size(r->kind) + 1);
	CHECK(r->ov && r->buffer);
	memset(r->ov, 0, sizeof(*r->ov));
	if (r->kind == CI_ADD)
		memcpy(r->buffer, long_info.data, long_info.len);
	else if (r->kind == DATA_ADD || r->kind == STREAM_ADD)
		memcpy(r->buffer, added.data, CONTENT_BYTES);
	if (!r->by_port)
		r->ov->hEvent = r->event;
}

/* What the two sides were told must fit together. */
static void
judge(struct racer *r)
{
	enum kind k = r->kind;
	bool aborted = r->code == ERROR_OPERATION_ABORTED;

	if (r->started != ERROR_IO_PENDING) {
		/* The close came first. */
		CHECK(r->attack == CLOSE);
		CHECK_EQ(r->started, ERROR_INVALID_HANDLE);
		totals->early[k]++;
		totals->not_found[k]++;
		return;
	}
	if (kind_functions[k] != NULL)
		observe(kind_functions[k], r->code, 'C');
	if (r->attack == CLOSE)
		CHECK_EQ(r->rival_code, ERROR_SUCCESS);
	else if (aborted)
		CHECK_EQ(r->rival_code, ERROR_SUCCESS);
	else
		CHECK_EQ(r->rival_code, PEERDIST_ERROR_OPERATION_NOTFOUND);
	if (aborted)
		totals->aborted[k]++;
	else
		totals->done[k]++;
	if (r->rival_code == PEERDIST_ERROR_OPERATION_NOTFOUND)
		totals->not_found[k]++;
	/* Towards a draw. */
	if (aborted)
		r->delay_us[k] += r->delay_us[k] / 8 + 2;
	else
		r->delay_us[k] -= r->delay_us[k] / 8;
}

static void
no_second(struct racer *r)
{
	OVERLAPPED *got = NULL;
	ULONG_PTR key;
	DWORD bytes;

	CHECK(!pdw_GetQueuedCompletionStatus(r->port, &bytes, &key, &got, 0));
	CHECK(got == NULL);
	CHECK_EQ(pdw_GetLastError(), WAIT_TIMEOUT);
	if (r->by_port)
		CHECK_EQ(pdw_WaitForSingleObject(r->event, 0), WAIT_TIMEOUT);
}

static void *
starter(void *arg)
{
	struct racer *r = arg;

	for (unsigned i = 0; i < r->rounds; i++) {
		choose(r, i);
		prepare(r);
		CHECK(pdw_ResetEvent(r->event));
		pthread_barrier_wait(&r->gate);
		r->started = start(r);
		if (r->started == ERROR_IO_PENDING) {
			r->code = wait_end(r);
		} else {
			r->code = r->started;
			free(r->buffer);
			free(r->ov);
		}
		pthread_barrier_wait(&r->gate);
		judge(r);
		no_second(r);
		clean_up(r);
		totals->rounds[r->kind]++;
	}
	return NULL;
}

static void
racer_open(struct racer *r, PEERDIST_INSTANCE_HANDLE h, unsigned number,
	unsigned rounds)
{
	memset(r, 0, sizeof(*r));
	r->h = h;
	r->seed = (unsigned)getpid() * 31 + number;
	r->rounds = rounds;
	snprintf(r->id, sizeof(r->id), "race-%d-%u", (int)getpid(), number);
	r->port = pdw_CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
	r->event = pdw_CreateEventA(NULL, TRUE, FALSE, NULL);
	CHECK(r->port && r->event);
	for (int k = 0; k < _KINDS; k++)
		r->delay_us[k] = k <= STREAM_READ ? 2000 : 100;
	CHECK(pthread_barrier_init(&r->gate, NULL, 2) == 0);
}

static void
make_contents(void)
{
	struct test_bytes missing = test_random(CONTENT_BYTES, 1);
	struct test_bytes cached = test_random(CONTENT_BYTES, 2);
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;

	added = test_random(CONTENT_BYTES, 3);
	file = memfd_create("published", MFD_CLOEXEC);
	CHECK(write(file, added.data, added.len) == (ssize_t)added.len);
	info = test_describe(&missing, 1);
	cached_info = test_describe(&cached, 1);
	added_info = test_describe(&added, 1);
	long_info = test_made_up_info(160);
	h = test_startup();
	c = test_open_ready(h, 9, &cached_info);
	CHECK_EQ(test_add(h, c, &cached, 0, cached.len), ERROR_SUCCESS);
	test_shutdown(h);
	test_bytes_free(&missing);
	test_bytes_free(&cached);
}

/* Something whose content information is more than a frame can carry. */
static void
publish_retrieved(PEERDIST_INSTANCE_HANDLE h)
{
	struct test_bytes b = test_random(64 * MiB, 4);

	snprintf(retrieved, sizeof(retrieved), "retrieved-%d", (int)getpid());
	test_publish(h, retrieved, &b, 1);
	test_bytes_free(&b);
}

static void __attribute__((noreturn)) process(unsigned rounds)
{
	PEERDIST_INSTANCE_HANDLE h;
	pthread_t threads[2 * RACERS];
	struct racer racers[RACERS];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	make_contents();
	h = test_startup();
	publish_retrieved(h);
	for (unsigned i = 0; i < RACERS; i++) {
		racer_open(&racers[i], h, i, rounds / RACERS);
		CHECK(pthread_create(
			      &threads[2 * i], NULL, starter, &racers[i]) == 0);
		CHECK(pthread_create(&threads[2 * i + 1], NULL, rival,
			      &racers[i]) == 0);
	}
	for (unsigned i = 0; i < 2 * RACERS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	test_shutdown(h);
	exit(0);
}

static void
report(void)
{
	unsigned rounds = 0, aborted = 0, done = 0, not_found = 0;

	printf("  %-20s %8s %8s %8s %8s %8s\n", "", "rounds", "995", "other",
		"4059", "early");
	for (int k = 0; k < _KINDS; k++) {
		printf("  %-20s %8u %8u %8u %8u %8u\n", kind_names[k],
			totals->rounds[k], totals->aborted[k], totals->done[k],
			totals->not_found[k], totals->early[k]);
		rounds += totals->rounds[k];
		aborted += totals->aborted[k];
		done += totals->done[k];
		not_found += totals->not_found[k];
	}
	printf("  %-20s %8u %8u %8u %8u\n", "all", rounds, aborted, done,
		not_found);
	fflush(stdout);
	CHECK(aborted * 10 >= rounds);
	CHECK(done * 10 >= rounds);
	CHECK(not_found * 10 >= rounds);
}

static void
case_race(void)
{
	const char *text = getenv("ROUNDS");
	unsigned rounds = text ? (unsigned)atoi(text) : 2000;
	int status;

	totals = mmap(NULL, sizeof(*totals), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(totals != MAP_FAILED);
	test_start_silent(NULL);
	fflush(stdout);
	for (unsigned i = 0; i < PROCESSES; i++)
		if (fork() == 0)
			process(rounds / PROCESSES);
	for (unsigned i = 0; i < PROCESSES; i++) {
		/* The daemon is a child of this process as well. */
		pid_t pid = waitpid(0, &status, 0);

		CHECK(pid > 0);
		CHECK(pid != test_d.pid);
		CHECK_EQ(status, 0);
	}
	report();
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"race", case_race}};

	return test_main("cancel_race", cases, 1, argc, argv);
}
