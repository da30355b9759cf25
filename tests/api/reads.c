/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads that wait for a peer that never answers: time-outs, every way to
 * cancel, every way to be told.
 */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "tests/api/content.h"

#define IS(want, fn, ...) CHECK_EQ(OBSERVED(fn, __VA_ARGS__), want)
#define LONG_MS           600000u

/* One session with one content of four blocks, nothing of it here. */
struct world {
	struct test_bytes b, info, room;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
};

static void
world_open(struct world *w)
{
	w->b = test_random(4 * BLOCK, 1);
	w->room = test_random(4 * BLOCK, 2);
	w->info = test_describe(&w->b, 1);
	w->h = test_startup();
	w->c = test_open_ready(w->h, 1, &w->info);
}

static void
world_free(struct world *w)
{
	test_bytes_free(&w->b);
	test_bytes_free(&w->info);
	test_bytes_free(&w->room);
}

static void
world_close(struct world *w)
{
	test_shutdown(w->h);
	world_free(w);
}

static void
block_read(struct world *w, struct test_op *op, ULONGLONG offset, DWORD timeout)
{
	CHECK_EQ(START_AT(op, offset, PeerDistClientBlockRead, w->h, w->c,
			 BLOCK, w->room.data, timeout),
		ERROR_IO_PENDING);
}

static void
stream_read(struct world *w, struct test_op *op, DWORD timeout)
{
	CHECK_EQ(START(op, PeerDistClientStreamRead, w->h, w->c, BLOCK,
			 w->room.data, timeout),
		ERROR_IO_PENDING);
}

static unsigned
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (unsigned)(ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
}

static void
timed(struct world *w, DWORD timeout, DWORD want, unsigned least, unsigned most)
{
	unsigned start = now_ms(), took;
	struct test_op op;
	DWORD bytes;

	block_read(w, &op, BLOCK + 3, timeout);
	CHECK_EQ(test_op_end(&op, &bytes), want);
	took = now_ms() - start;
	if (took < least || took > most)
		test_fail(__FILE__, __LINE__, "took %u ms", took);
	CHECK_EQ(test_op_offset(&op), BLOCK);
	CHECK(bytes >= BLOCK && bytes <= 3 * BLOCK);
}

static void
case_timeouts(void)
{
	struct world w;
	struct test_op a, b;
	DWORD n;

	test_start_silent(NULL);
	world_open(&w);
	timed(&w, PEERDIST_READ_TIMEOUT_LOCAL_CACHE_ONLY,
		PEERDIST_ERROR_MISSING_DATA, 0, 2000);
	timed(&w, 1, ERROR_TIMEOUT, 1, 3000);
	timed(&w, 250, ERROR_TIMEOUT, 250, 3000);
	timed(&w, PEERDIST_READ_TIMEOUT_DEFAULT, ERROR_TIMEOUT, 5000, 8000);
	/* Queued stream reads: each timer starts at the head of the queue. */
	stream_read(&w, &a, 300);
	stream_read(&w, &b, 300);
	CHECK_EQ(test_op_end(&a, &n), ERROR_TIMEOUT);
	CHECK_EQ(test_op_offset(&a), 0);
	CHECK(n >= BLOCK);
	CHECK(n == w.b.len || !test_op_ended(&b));
	CHECK_EQ(test_op_end(&b, NULL),
		n == w.b.len ? PEERDIST_ERROR_NO_MORE : ERROR_TIMEOUT);
	world_close(&w);
}

/* The data comes while a read waits. */
static void
case_data_arrives(void)
{
	struct world w;
	struct test_op op, stream;
	DWORD n;

	test_start_silent(NULL);
	world_open(&w);
	block_read(&w, &op, BLOCK + 10, LONG_MS);
	CHECK_EQ(START(&stream, PeerDistClientStreamRead, w.h, w.c, BLOCK,
			 w.room.data + BLOCK, LONG_MS),
		ERROR_IO_PENDING);
	CHECK_EQ(test_add(w.h, w.c, &w.b, BLOCK, BLOCK), ERROR_SUCCESS);
	CHECK_EQ(test_op_end(&op, &n), ERROR_SUCCESS);
	CHECK_EQ(n, BLOCK - 10);
	CHECK(memcmp(w.room.data, w.b.data + BLOCK + 10, n) == 0);
	CHECK(!test_op_ended(&stream));
	CHECK_EQ(test_add(w.h, w.c, &w.b, 0, BLOCK), ERROR_SUCCESS);
	CHECK_EQ(test_op_end(&stream, &n), ERROR_SUCCESS);
	CHECK(memcmp(w.room.data + BLOCK, w.b.data, n) == 0);
	world_close(&w);
}

static void
case_cancel_one(void)
{
	struct world w;
	struct test_op op[3], never;

	test_start_silent(NULL);
	world_open(&w);
	for (int i = 0; i < 3; i++)
		block_read(&w, &op[i], (ULONGLONG)i * BLOCK, LONG_MS);
	pdw_SetLastError(0);
	IS(ERROR_SUCCESS, PeerDistClientCancelAsyncOperation, w.h, w.c,
		&op[1].ov);
	CHECK_EQ(pdw_GetLastError(), ERROR_OPERATION_ABORTED);
	CHECK(test_op_ended(&op[1]));
	CHECK(!test_op_ended(&op[0]) && !test_op_ended(&op[2]));
	CHECK_EQ(test_op_end(&op[1], NULL), ERROR_OPERATION_ABORTED);
	CHECK_EQ(op[1].ov.Internal, (DWORD)STATUS_CANCELLED);
	IS(PEERDIST_ERROR_OPERATION_NOTFOUND,
		PeerDistClientCancelAsyncOperation, w.h, w.c, &op[1].ov);
	memset(&never, 0, sizeof(never));
	IS(PEERDIST_ERROR_OPERATION_NOTFOUND,
		PeerDistClientCancelAsyncOperation, w.h, w.c, &never.ov);
	/* Through another handle it is not found. */
	{
		PEERDIST_CONTENT_HANDLE other = test_open(w.h, 1);

		IS(PEERDIST_ERROR_OPERATION_NOTFOUND,
			PeerDistClientCancelAsyncOperation, w.h, other,
			&op[0].ov);
		IS(PEERDIST_ERROR_OPERATION_NOTFOUND,
			PeerDistClientCancelAsyncOperation, w.h, other, NULL);
	}
	CHECK(!test_op_ended(&op[0]));
	world_close(&w);
	CHECK_EQ(test_op_end(&op[0], NULL), ERROR_OPERATION_ABORTED);
	CHECK_EQ(test_op_end(&op[2], NULL), ERROR_OPERATION_ABORTED);
}

/* The head of the queue of stream reads is cancelled: the next one starts, the
 * cursor has not moved. */
static void
case_cancel_head(void)
{
	struct world w;
	struct test_op op[2];
	DWORD n;

	test_start_silent(NULL);
	world_open(&w);
	stream_read(&w, &op[0], LONG_MS);
	stream_read(&w, &op[1], LONG_MS);
	IS(ERROR_SUCCESS, PeerDistClientCancelAsyncOperation, w.h, w.c,
		&op[0].ov);
	CHECK_EQ(test_op_end(&op[0], NULL), ERROR_OPERATION_ABORTED);
	CHECK(!test_op_ended(&op[1]));
	CHECK_EQ(test_add(w.h, w.c, &w.b, 0, BLOCK), ERROR_SUCCESS);
	CHECK_EQ(test_op_end(&op[1], &n), ERROR_SUCCESS);
	CHECK_EQ(test_op_offset(&op[1]), 0);
	CHECK_EQ(n, BLOCK);
	world_close(&w);
}

enum ending { END_CANCEL_ALL, END_CLOSE, END_SHUTDOWN };

static void
end_all(enum ending how)
{
	struct test_op op[40];
	struct world w;

	test_start_silent(NULL);
	world_open(&w);
	for (int i = 0; i < 40; i++)
		if (i % 2 == 0)
			block_read(&w, &op[i], (ULONGLONG)(i % 4) * BLOCK,
				LONG_MS);
		else
			stream_read(&w, &op[i], LONG_MS);
	switch (how) {
	case END_CANCEL_ALL:
		IS(ERROR_SUCCESS, PeerDistClientCancelAsyncOperation, w.h, w.c,
			NULL);
		CHECK_EQ(pdw_GetLastError(), ERROR_OPERATION_ABORTED);
		break;
	case END_CLOSE:
		IS(ERROR_SUCCESS, PeerDistClientCloseContent, w.h, w.c);
		break;
	case END_SHUTDOWN:
		test_shutdown(w.h);
		break;
	}
	for (int i = 0; i < 40; i++) {
		CHECK(test_op_ended(&op[i]));
		CHECK_EQ(test_op_end(&op[i], NULL), ERROR_OPERATION_ABORTED);
	}
	if (how == END_CANCEL_ALL)
		IS(PEERDIST_ERROR_OPERATION_NOTFOUND,
			PeerDistClientCancelAsyncOperation, w.h, w.c, NULL);
	if (how == END_SHUTDOWN)
		world_free(&w);
	else
		world_close(&w);
}

static void
case_cancel_all(void)
{
	end_all(END_CANCEL_ALL);
}

static void
case_close(void)
{
	end_all(END_CLOSE);
}

static void
case_shutdown(void)
{
	end_all(END_SHUTDOWN);
}

/* Content information that is being fed is cancelled too: the handle has failed
 * then, since a part of it may have been taken. */
static void
case_cancel_info(void)
{
	struct test_bytes big = test_made_up_info(2000);
	struct test_op add, complete;
	PEERDIST_CONTENT_HANDLE c;
	struct world w;

	test_start_silent(NULL);
	world_open(&w);
	c = test_open(w.h, 1);
	CHECK_EQ(START(&add, PeerDistClientAddContentInformation, w.h, c,
			 (DWORD)big.len, big.data),
		ERROR_IO_PENDING);
	CHECK_EQ(START(&complete, PeerDistClientCompleteContentInformation, w.h,
			 c),
		ERROR_IO_PENDING);
	IS(ERROR_SUCCESS, PeerDistClientCancelAsyncOperation, w.h, c, NULL);
	CHECK(test_op_ended(&add) && test_op_ended(&complete));
	CHECK_EQ(test_op_end(&add, NULL), ERROR_OPERATION_ABORTED);
	CHECK_EQ(test_op_end(&complete, NULL), ERROR_OPERATION_ABORTED);
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, w.h, c);
	/* Whole, only Complete finds it wrong. */
	c = test_open(w.h, 1);
	CHECK_EQ(test_feed(w.h, c, &big, 10 * MiB), ERROR_SUCCESS);
	CHECK_EQ(RUN(PeerDistClientCompleteContentInformation, w.h, c),
		PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO);
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, w.h, c);
	test_bytes_free(&big);
	world_close(&w);
}

static PEERDIST_CONTENT_HANDLE
open_on_port(struct world *w, HANDLE port, ULONG_PTR key)
{
	PEERDIST_CONTENT_TAG tag = {{0}};
	PEERDIST_CONTENT_HANDLE c;

	IS(ERROR_SUCCESS, PeerDistClientOpenContent, w->h, &tag, port, key, &c);
	return c;
}

/* The next packet must be this one. */
static void
packet(HANDLE port, ULONG_PTR key, OVERLAPPED *ov, DWORD code, DWORD bytes)
{
	OVERLAPPED *got = NULL;
	ULONG_PTR got_key = 0;
	DWORD got_bytes = 99;
	BOOL ok = pdw_GetQueuedCompletionStatus(
		port, &got_bytes, &got_key, &got, 30000);

	CHECK(got == ov);
	CHECK_EQ(ok, code == 0);
	if (!ok)
		CHECK_EQ(pdw_GetLastError(), code);
	CHECK_EQ(got_key, key);
	CHECK_EQ(got_bytes, bytes);
}

static void
no_packet(HANDLE port)
{
	OVERLAPPED *got = NULL;
	ULONG_PTR key;
	DWORD bytes;

	CHECK(!pdw_GetQueuedCompletionStatus(port, &bytes, &key, &got, 0));
	CHECK(got == NULL);
	CHECK_EQ(pdw_GetLastError(), WAIT_TIMEOUT);
}

static void
feed_on_port(
	struct world *w, PEERDIST_CONTENT_HANDLE c, HANDLE port, ULONG_PTR key)
{
	OVERLAPPED ov;

	memset(&ov, 0, sizeof(ov));
	IS(ERROR_IO_PENDING, PeerDistClientAddContentInformation, w->h, c,
		(DWORD)w->info.len, w->info.data, &ov);
	packet(port, key, &ov, 0, (DWORD)w->info.len);
	memset(&ov, 0, sizeof(ov));
	IS(ERROR_IO_PENDING, PeerDistClientCompleteContentInformation, w->h, c,
		&ov);
	packet(port, key, &ov, 0, 0);
}

/* Port; port and event; event with bit 0: no packet; neither: poll. */
static void
case_delivery(void)
{
	HANDLE port, event;
	PEERDIST_CONTENT_HANDLE c;
	OVERLAPPED ov;
	struct world w;
	DWORD bytes;

	test_start_silent(NULL);
	world_open(&w);
	port = pdw_CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
	event = pdw_CreateEventA(NULL, TRUE, TRUE, NULL);
	CHECK(port && event);
	c = open_on_port(&w, port, 4711);
	feed_on_port(&w, c, port, 4711);
	for (int bit = 0; bit < 2; bit++) {
		memset(&ov, 0, sizeof(ov));
		ov.hEvent = (HANDLE)((ULONG_PTR)event | (ULONG_PTR)bit);
		IS(ERROR_IO_PENDING, PeerDistClientBlockRead, w.h, c, BLOCK,
			w.room.data, LONG_MS, &ov);
		/* Reset when the operation starts. */
		CHECK_EQ(pdw_WaitForSingleObject(event, 0), WAIT_TIMEOUT);
		CHECK(!HasOverlappedIoCompleted(&ov));
		IS(ERROR_SUCCESS, PeerDistClientCancelAsyncOperation, w.h, c,
			&ov);
		CHECK_EQ(pdw_WaitForSingleObject(event, 0), WAIT_OBJECT_0);
		if (bit == 0)
			packet(port, 4711, &ov, ERROR_OPERATION_ABORTED, 0);
		no_packet(port);
	}
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, w.h, c);
	/* Neither. */
	memset(&ov, 0, sizeof(ov));
	IS(ERROR_IO_PENDING, PeerDistClientBlockRead, w.h, w.c, BLOCK,
		w.room.data, 50, &ov);
	CHECK(!PeerDistGetOverlappedResult(&ov, &bytes, TRUE));
	CHECK_EQ(pdw_GetLastError(), ERROR_TIMEOUT);
	observe("PeerDistGetOverlappedResult", ERROR_TIMEOUT, 'B');
	CHECK(HasOverlappedIoCompleted(&ov));
	CHECK(bytes >= BLOCK);
	CHECK(pdw_CloseHandle(port));
	CHECK(pdw_CloseHandle(event));
	world_close(&w);
}

/* Missing range through the port, bytes and offset included; port closed while
 * an operation is pending. */
static void
case_port_results(void)
{
	PEERDIST_CONTENT_HANDLE c;
	OVERLAPPED_ENTRY entry[4];
	ULONG removed = 0;
	OVERLAPPED ov;
	struct world w;
	HANDLE port;

	test_start_silent(NULL);
	world_open(&w);
	port = pdw_CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
	CHECK(port != NULL);
	c = open_on_port(&w, port, 1);
	feed_on_port(&w, c, port, 1);
	memset(&ov, 0, sizeof(ov));
	ov.Offset = 3 * BLOCK + 1;
	IS(ERROR_IO_PENDING, PeerDistClientBlockRead, w.h, c, BLOCK,
		w.room.data, 0, &ov);
	CHECK(pdw_GetQueuedCompletionStatusEx(
		port, entry, 4, &removed, 30000, FALSE));
	CHECK_EQ(removed, 1);
	CHECK(entry[0].lpOverlapped == &ov);
	CHECK_EQ(entry[0].dwNumberOfBytesTransferred, BLOCK);
	CHECK_EQ(ov.Offset, 3 * BLOCK);
	CHECK_EQ(ov.Internal, 0xC0070000u | PEERDIST_ERROR_MISSING_DATA);
	memset(&ov, 0, sizeof(ov));
	IS(ERROR_IO_PENDING, PeerDistClientBlockRead, w.h, c, BLOCK,
		w.room.data, LONG_MS, &ov);
	CHECK(pdw_CloseHandle(port));
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, w.h, c);
	CHECK(HasOverlappedIoCompleted(&ov));
	world_close(&w);
}

/* A waiting thread sees the completion; the canceller must not be ahead of
 * it. */
static void *
waiter(void *arg)
{
	struct test_op *op = arg;
	DWORD bytes;

	if (PeerDistGetOverlappedResult(&op->ov, &bytes, TRUE))
		return NULL;
	return (void *)(ULONG_PTR)pdw_GetLastError();
}

static void
case_waiting_thread(void)
{
	struct test_op op;
	struct world w;
	pthread_t thread;
	void *result;

	test_start_silent(NULL);
	world_open(&w);
	for (int i = 0; i < 100; i++) {
		block_read(&w, &op, 0, LONG_MS);
		CHECK(pthread_create(&thread, NULL, waiter, &op) == 0);
		IS(ERROR_SUCCESS, PeerDistClientCancelAsyncOperation, w.h, w.c,
			&op.ov);
		CHECK(HasOverlappedIoCompleted(&op.ov));
		CHECK(pthread_join(thread, &result) == 0);
		CHECK_EQ((ULONG_PTR)result, ERROR_OPERATION_ABORTED);
		CHECK_EQ(test_op_end(&op, NULL), ERROR_OPERATION_ABORTED);
	}
	world_close(&w);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"timeouts", case_timeouts},
		{"data_arrives", case_data_arrives},
		{"cancel_one", case_cancel_one},
		{"cancel_head", case_cancel_head},
		{"cancel_all", case_cancel_all},
		{"close", case_close},
		{"shutdown", case_shutdown},
		{"cancel_info", case_cancel_info},
		{"delivery", case_delivery},
		{"port_results", case_port_results},
		{"waiting_thread", case_waiting_thread},
	};

	return test_main(
		"reads", cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
