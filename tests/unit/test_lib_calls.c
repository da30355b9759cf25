/* SPDX-License-Identifier: BSD-2-Clause */
/* Argument checks, synchronous calls, and the ways a completion takes. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/macros.h"
#include "libclient/conn.h"
#include "libclient/handle.h"
#include "libclient/result.h"
#include "libclient/util.h"
#include "tests/unit/lib_daemon.h"

struct fixture {
	struct fake *fake;
	HANDLE port;
	PEERDIST_INSTANCE_HANDLE instance;
	PEERDIST_CONTENT_HANDLE content;
};

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->fake = fake_new();
	fake_start(x->fake);
	x->port = make_port();
	x->instance = start_instance();
	x->content = open_content(x->instance, x->port, 7);
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(PeerDistShutdown(x->instance), 0);
	assert_int_equal(PeerDistShutdown(x->instance), ERROR_INVALID_HANDLE);
	assert_true(pdw_CloseHandle(x->port));
	fake_free(x->fake);
	free(x);
	assert_int_equal(pdc_handle_count(), 0);
	atomic_store(&pdc_nap_ms, 1);
	pdc_nap_dense_us = 200;
	return 0;
}

static void
test_versions(void **state)
{
	static const struct {
		DWORD version;
		DWORD code;
	} rows[] = {
		{0x00000001, 0},
		{0x00000101, 0},
		{0x00010001, 0},
		{0x00000002, 0},
		{0x00000000, PEERDIST_ERROR_VERSION_UNSUPPORTED},
		{0x00000003, PEERDIST_ERROR_VERSION_UNSUPPORTED},
		{0x00000102, PEERDIST_ERROR_VERSION_UNSUPPORTED},
		{0x00010002, PEERDIST_ERROR_VERSION_UNSUPPORTED},
		{0xFFFFFFFF, PEERDIST_ERROR_VERSION_UNSUPPORTED},
	};
	HANDLE h;
	DWORD max;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		h = (HANDLE)1;
		max = 0;
		assert_int_equal(PeerDistStartup(rows[i].version, &h, &max),
			rows[i].code);
		assert_int_equal(max, 2);
		if (rows[i].code == 0)
			assert_int_equal(PeerDistShutdown(h), 0);
		else
			assert_null(h);
	}
	assert_int_equal(
		PeerDistStartup(2, NULL, &max), ERROR_INVALID_PARAMETER);
}

static void
test_completion_forms(void **state)
{
	struct fixture *x = *state;
	HANDLE event = pdw_CreateEventA(NULL, TRUE, TRUE, NULL);
	OVERLAPPED ov = {0};
	uint8_t buffer[16];

	ov.hEvent = event;
	assert_int_equal(PeerDistClientBlockRead(
				 x->instance, x->content, 16, buffer, 0, &ov),
		ERROR_IO_PENDING);
	assert_int_equal(pdw_WaitForSingleObject(event, 0), WAIT_TIMEOUT);
	assert_int_equal(ov.Internal, STATUS_PENDING);
	fake_complete_nth(x->fake, 0, PEERDIST_ERROR_NO_MORE);
	expect_packet(x->port, &ov, 7, PEERDIST_ERROR_NO_MORE, 0);
	assert_int_equal(pdw_WaitForSingleObject(event, 0), WAIT_OBJECT_0);
	assert_int_equal(ov.Internal, 0xC0070FD5);
	/* Bit 0: the event alone. */
	ov.hEvent = (HANDLE)((ULONG_PTR)event | 1);
	assert_int_equal(PeerDistClientBlockRead(
				 x->instance, x->content, 16, buffer, 0, &ov),
		ERROR_IO_PENDING);
	fake_complete_nth(x->fake, 1, ERROR_TIMEOUT);
	assert_int_equal(
		pdw_WaitForSingleObject(event, FAKE_WAIT_MS), WAIT_OBJECT_0);
	expect_no_packet(x->port);
	expect_result(&ov, ERROR_TIMEOUT, 0);
	assert_true(pdw_CloseHandle(event));
}

/* An event and a port that the caller closes while the operation is pending. */
static void
test_closed_meanwhile(void **state)
{
	struct fixture *x = *state;
	HANDLE port = make_port();
	HANDLE event = pdw_CreateEventA(NULL, TRUE, FALSE, NULL);
	PEERDIST_CONTENT_HANDLE content = open_content(x->instance, port, 1);
	OVERLAPPED ov = {.hEvent = event};

	assert_int_equal(PeerDistClientCompleteContentInformation(
				 x->instance, content, &ov),
		ERROR_IO_PENDING);
	assert_true(pdw_CloseHandle(port));
	assert_true(pdw_CloseHandle(event));
	fake_complete_nth(x->fake, 0, 0);
	expect_result(&ov, 0, 0);
	assert_int_equal(PeerDistClientCloseContent(x->instance, content), 0);
}

static void
test_bad_handles(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov = {0};
	PEERDIST_CONTENT_TAG tag = {{0}};
	HANDLE h, other = start_instance();
	uint8_t b[4];

	ov.hEvent = x->port;
	assert_int_equal(
		PeerDistClientAddData(x->instance, x->content, 4, b, &ov),
		ERROR_INVALID_HANDLE);
	assert_int_equal(
		ov.Internal, pdc_internal_of_result(ERROR_INVALID_HANDLE));
	ov.hEvent = INVALID_HANDLE_VALUE;
	assert_int_equal(
		PeerDistClientAddData(x->instance, x->content, 4, b, &ov),
		ERROR_INVALID_HANDLE);
	ov.hEvent = NULL;
	assert_int_equal(PeerDistClientAddData(other, x->content, 4, b, &ov),
		ERROR_INVALID_HANDLE);
	assert_int_equal(
		PeerDistClientAddData(x->content, x->content, 4, b, &ov),
		ERROR_INVALID_HANDLE);
	assert_int_equal(PeerDistServerPublishAddToStream(
				 x->instance, x->content, 4, b, &ov),
		ERROR_INVALID_HANDLE);
	assert_int_equal(
		PeerDistClientOpenContent(x->instance, &tag, x->content, 0, &h),
		ERROR_INVALID_HANDLE);
	assert_int_equal(PeerDistServerCloseStreamHandle(x->instance, NULL),
		ERROR_INVALID_HANDLE);
	assert_false(pdw_CloseHandle(x->content));
	assert_int_equal(pdw_GetLastError(), ERROR_INVALID_HANDLE);
	assert_int_equal(fake_seen(x->fake, IPC_SUBMIT_DATA_ADD), 0);
	assert_int_equal(PeerDistShutdown(other), 0);
}

static void
test_bad_parameters(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov = {0}, dirty = {.Offset = 1};
	PEERDIST_PUBLICATION_OPTIONS options = {3, 0};
	PEERDIST_RETRIEVAL_OPTIONS retrieval = {sizeof(retrieval), 2, 1, 0};
	PEERDIST_STATUS_INFO info = {.cbSize = 15};
	BYTE b[4] = {0};
	HANDLE h;

#define BAD(call) assert_int_equal((call), ERROR_INVALID_PARAMETER)
	BAD(PeerDistGetStatus(x->instance, NULL));
	BAD(PeerDistGetStatusEx(x->instance, &info));
	BAD(PeerDistRegisterForStatusChangeNotificationEx(
		x->instance, NULL, 0, &ov, &info));
	BAD(PeerDistRegisterForStatusChangeNotification(
		x->instance, NULL, 0, NULL, &info.status));
	BAD(PeerDistServerPublishStream(
		x->instance, 0, b, 0, NULL, NULL, 0, &h));
	BAD(PeerDistServerPublishStream(
		x->instance, 32769, b, 0, NULL, NULL, 0, &h));
	BAD(PeerDistServerPublishStream(
		x->instance, 4, b, 0, &options, NULL, 0, &h));
	BAD(PeerDistServerPublishStream(
		x->instance, 4, b, 0, NULL, NULL, 0, NULL));
	BAD(PeerDistServerOpenContentInformation(
		x->instance, 4, b, 1, 0, NULL, 0, &h));
	BAD(PeerDistServerOpenContentInformation(
		x->instance, 4, b, 2, UINT64_MAX, NULL, 0, &h));
	BAD(PeerDistServerOpenContentInformationEx(
		x->instance, 4, b, 0, 0, &retrieval, NULL, 0, &h));
	BAD(PeerDistServerOpenContentInformationEx(
		x->instance, 4, b, 0, 0, NULL, NULL, 0, &h));
	BAD(PeerDistClientAddData(x->instance, x->content, 0, b, &ov));
	BAD(PeerDistClientAddData(x->instance, x->content, 4, NULL, &ov));
	BAD(PeerDistClientAddContentInformation(
		x->instance, x->content, 4, b, &dirty));
	BAD(PeerDistClientBlockRead(
		x->instance, x->content, 4, b, INFINITE, &ov));
	BAD(PeerDistClientStreamRead(x->instance, x->content, 4, NULL, 0, &ov));
	BAD(PeerDistServerCancelAsyncOperation(x->instance, 4, b, NULL));
	BAD(PeerDistClientGetInformationByHandle(x->instance, x->content,
		MaximumPeerDistClientInfoByHandlesClass, 4, b));
#undef BAD
	assert_int_equal(
		ov.Internal, pdc_internal_of_result(ERROR_INVALID_PARAMETER));
	assert_int_equal(PeerDistClientGetInformationByHandle(x->instance,
				 x->content, PeerDistClientBasicInfo, 3, b),
		ERROR_INSUFFICIENT_BUFFER);
}

static void
test_overlapped_in_use(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov = {0};
	DWORD bytes = 5;
	BYTE b[4];

	assert_int_equal(
		PeerDistClientStreamRead(x->instance, x->content, 4, b, 1, &ov),
		ERROR_IO_PENDING);
	assert_int_equal(
		PeerDistClientStreamRead(x->instance, x->content, 4, b, 1, &ov),
		ERROR_INVALID_PARAMETER);
	assert_int_equal(ov.Internal, STATUS_PENDING);
	assert_false(PeerDistGetOverlappedResult(&ov, &bytes, FALSE));
	assert_int_equal(pdw_GetLastError(), ERROR_IO_INCOMPLETE);
	assert_int_equal(bytes, 5);
	fake_complete_nth(x->fake, 0, PEERDIST_ERROR_MISSING_DATA);
	expect_packet(x->port, &ov, 7, PEERDIST_ERROR_MISSING_DATA, 0);
}

static void
test_refused(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov = {0};
	BYTE b[4];

	fake_refuse(x->fake, ERROR_ACCESS_DISABLED_BY_POLICY);
	assert_int_equal(
		PeerDistClientStreamRead(x->instance, x->content, 4, b, 1, &ov),
		ERROR_ACCESS_DISABLED_BY_POLICY);
	assert_int_equal(ov.Internal, 0xC00704EC);
	fake_refuse(x->fake, 0);
	expect_no_packet(x->port);
	/* Its slot is free again, under another id. */
	assert_int_equal(
		PeerDistClientStreamRead(x->instance, x->content, 4, b, 1, &ov),
		ERROR_IO_PENDING);
	assert_int_equal(ipc_op_slot(fake_nth_id(x->fake, 0)),
		ipc_op_slot(fake_nth_id(x->fake, 1)));
	assert_int_not_equal(fake_nth_id(x->fake, 0), fake_nth_id(x->fake, 1));
	fake_complete_nth(x->fake, 1, 0);
	expect_packet(x->port, &ov, 7, 0, 0);
}

static void
test_cancel(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov[3] = {{0}};
	BYTE b[4] = "abc";

	for (int i = 0; i < 3; i++)
		assert_int_equal(PeerDistClientBlockRead(x->instance,
					 x->content, 4, b, 1, &ov[i]),
			ERROR_IO_PENDING);
	pdw_SetLastError(1);
	assert_int_equal(PeerDistClientCancelAsyncOperation(
				 x->instance, x->content, &ov[1]),
		0);
	assert_int_equal(pdw_GetLastError(), ERROR_OPERATION_ABORTED);
	assert_int_equal(ov[1].Internal, 0xC0000120);
	expect_packet(x->port, &ov[1], 7, ERROR_OPERATION_ABORTED, 0);
	assert_int_equal(PeerDistClientCancelAsyncOperation(
				 x->instance, x->content, &ov[1]),
		PEERDIST_ERROR_OPERATION_NOTFOUND);
	assert_int_equal(PeerDistClientCancelAsyncOperation(
				 x->instance, x->content, NULL),
		0);
	expect_packet(x->port, &ov[0], 7, ERROR_OPERATION_ABORTED, 0);
	expect_packet(x->port, &ov[2], 7, ERROR_OPERATION_ABORTED, 0);
	assert_int_equal(PeerDistClientCancelAsyncOperation(
				 x->instance, x->content, NULL),
		PEERDIST_ERROR_OPERATION_NOTFOUND);
	assert_int_equal(
		PeerDistServerCancelAsyncOperation(x->instance, 4, b, &ov[0]),
		PEERDIST_ERROR_OPERATION_NOTFOUND);
}

static bool
complete_with_data(struct fake *f, struct ipc_msg *m, void *arg)
{
	Pd__Complete c = PD__COMPLETE__INIT;
	Pd__Range range = PD__RANGE__INIT;

	if (m->header.type != IPC_SUBMIT_BLOCK_READ)
		return false;
	fake_reply(f, IPC_ACK, m->header.id, 0);
	c.bytes = m->u.submit_read->length;
	c.has_offset = true;
	c.offset = m->u.submit_read->offset;
	if (c.bytes <= IPC_INLINE_MAX) {
		c.inline_data.len = c.bytes;
		c.inline_data.data = fake_area(f);
	} else {
		range.offset = FAKE_WRITE_SIZE + 4096;
		range.length = c.bytes;
		memset(fake_area(f) + range.offset, 0x5A, c.bytes);
		c.range = &range;
	}
	fake_send(f, IPC_COMPLETE, m->header.id, &c.base);
	return true;
}

static void
test_read_data(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov = {.Offset = 5, .OffsetHigh = 1};
	uint8_t *buffer = malloc(100000);

	memset(fake_area(x->fake), 0x33, 100);
	fake_hook_set(x->fake, complete_with_data, NULL);
	assert_int_equal(PeerDistClientBlockRead(
				 x->instance, x->content, 100, buffer, 1, &ov),
		ERROR_IO_PENDING);
	expect_packet(x->port, &ov, 7, 0, 100);
	assert_int_equal(buffer[99], 0x33);
	assert_int_equal(ov.Offset, 5);
	assert_int_equal(ov.OffsetHigh, 1);
	for (int n = 0; n < 2; n++) {
		assert_int_equal(PeerDistClientBlockRead(x->instance,
					 x->content, 100000, buffer, 1, &ov),
			ERROR_IO_PENDING);
		expect_packet(x->port, &ov, 7, 0, 100000);
		for (int i = 0; i < 100000; i++)
			assert_int_equal(buffer[i], 0x5A);
		memset(buffer, 0, 100000);
	}
	/* One range goes back with whatever is sent next. */
	fake_wait_seen(x->fake, IPC_RETURN, 1);
	free(buffer);
}

/* Nothing is sent any more, and yet only one range may stay. */
static void
test_ranges_return(void **state)
{
	Pd__Complete c = PD__COMPLETE__INIT;
	Pd__Range range = PD__RANGE__INIT;
	struct fixture *x = *state;
	uint8_t *buffer = malloc(100000);
	OVERLAPPED ov[2] = {{0}};

	range.length = c.bytes = 100000;
	c.range = &range;

	for (int i = 0; i < 2; i++)
		assert_int_equal(PeerDistClientBlockRead(x->instance,
					 x->content, 100000, buffer, 1, &ov[i]),
			ERROR_IO_PENDING);
	for (unsigned i = 0; i < 2; i++) {
		range.offset = FAKE_WRITE_SIZE + i * (1u << 20);
		fake_send(x->fake, IPC_COMPLETE, fake_nth_id(x->fake, i),
			&c.base);
	}
	for (int i = 0; i < 2; i++)
		expect_packet(x->port, &ov[i], 7, 0, 100000);
	fake_wait_seen(x->fake, IPC_RETURN, 2);
	free(buffer);
}

static void
test_missing_range(void **state)
{
	struct fixture *x = *state;
	Pd__Complete c = PD__COMPLETE__INIT;
	OVERLAPPED ov = {0};
	DWORD bytes = 0;
	BYTE b[4];

	assert_int_equal(
		PeerDistClientStreamRead(x->instance, x->content, 4, b, 1, &ov),
		ERROR_IO_PENDING);
	c.code = PEERDIST_ERROR_MISSING_DATA;
	c.bytes = UINT32_MAX;
	c.has_offset = true;
	c.offset = UINT64_C(0x123456789A);
	fake_send(x->fake, IPC_COMPLETE, fake_nth_id(x->fake, 0), &c.base);
	expect_packet(x->port, &ov, 7, PEERDIST_ERROR_MISSING_DATA, UINT32_MAX);
	assert_int_equal(ov.Offset, 0x3456789A);
	assert_int_equal(ov.OffsetHigh, 0x12);
	assert_false(PeerDistGetOverlappedResult(&ov, &bytes, TRUE));
	assert_int_equal(pdw_GetLastError(), PEERDIST_ERROR_MISSING_DATA);
	assert_int_equal(bytes, UINT32_MAX);
}

static void
test_flash_crowd(void **state)
{
	struct fixture *x = *state;
	PEERDIST_CLIENT_BASIC_INFO info = {5};

	assert_int_equal(
		PeerDistClientGetInformationByHandle(x->instance, x->content,
			PeerDistClientBasicInfo, sizeof(info), &info),
		0);
	assert_false(info.fFlashCrowd);
}

static void
test_flush_and_server(void **state)
{
	struct fixture *x = *state;
	PEERDIST_RETRIEVAL_OPTIONS retrieval = {sizeof(retrieval), 1, 2, 0};
	PEERDIST_CONTENT_TAG tag = {{9}};
	OVERLAPPED ov = {0};
	BYTE b[4] = "abc";
	HANDLE info, stream;

	assert_int_equal(
		PeerDistClientFlushContent(x->instance, &tag, x->port, 3, &ov),
		ERROR_IO_PENDING);
	fake_complete_nth(x->fake, 0, 0);
	expect_packet(x->port, &ov, 3, 0, 0);
	assert_int_equal(PeerDistServerOpenContentInformationEx(x->instance, 4,
				 b, 0, 0, &retrieval, x->port, 4, &info),
		0);
	assert_int_equal(PeerDistServerRetrieveContentInformation(
				 x->instance, info, 4, b, &ov),
		ERROR_IO_PENDING);
	assert_int_equal(
		PeerDistServerCloseContentInformation(x->instance, info), 0);
	expect_packet(x->port, &ov, 4, ERROR_OPERATION_ABORTED, 0);
	assert_int_equal(
		PeerDistServerCloseContentInformation(x->instance, info),
		ERROR_INVALID_HANDLE);
	stream = open_stream(x->instance, x->port, 5);
	assert_int_equal(
		PeerDistServerPublishCompleteStream(x->instance, stream, &ov),
		ERROR_IO_PENDING);
	assert_int_equal(PeerDistServerUnpublish(x->instance, 4, b), 0);
	expect_packet(x->port, &ov, 5, ERROR_OPERATION_ABORTED, 0);
	assert_int_equal(
		PeerDistServerCloseStreamHandle(x->instance, stream), 0);
}

/* The completion frees the OVERLAPPED in another thread while the call may
 * still be on its way out. */
struct freeing {
	HANDLE port;
	unsigned left;
};

static void *
free_packets(void *arg)
{
	struct freeing *f = arg;
	OVERLAPPED *ov;
	ULONG_PTR key;
	DWORD bytes;

	while (f->left > 0) {
		pdw_GetQueuedCompletionStatus(
			f->port, &bytes, &key, &ov, FAKE_WAIT_MS);
		if (ov == NULL)
			return (void *)"a completion is missing";
		free(ov);
		f->left--;
	}
	return NULL;
}

#define ROUNDS  20000u
#define THREADS 3u

struct caller {
	struct fixture *x;
	unsigned rounds;
	unsigned done[3]; /* 995, other completion before, refused */
};

static void *
call_and_cancel(void *arg)
{
	struct caller *c = arg;
	uint8_t buffer[8];
	DWORD code;

	for (unsigned i = 0; i < c->rounds; i++) {
		OVERLAPPED *ov = calloc(1, sizeof(*ov));

		code = PeerDistClientBlockRead(
			c->x->instance, c->x->content, 8, buffer, 1, ov);
		if (code != ERROR_IO_PENDING)
			return (void *)"not accepted";
		code = PeerDistClientCancelAsyncOperation(
			c->x->instance, c->x->content, ov);
		c->done[code == 0 ? 0 : 1]++;
	}
	return NULL;
}

/* Completes every second read by itself, at once. */
static bool
complete_some(struct fake *f, struct ipc_msg *m, void *arg)
{
	if (m->header.type != IPC_SUBMIT_BLOCK_READ || m->header.id % 2 == 0)
		return false;
	fake_reply(f, IPC_ACK, m->header.id, 0);
	fake_complete(f, m->header.id, PEERDIST_ERROR_MISSING_DATA, 1);
	return true;
}

static void
test_cancel_race(void **state)
{
	struct fixture *x = *state;
	struct freeing freeing = {x->port, 0};
	struct caller callers[THREADS];
	pthread_t threads[THREADS], freer;
	unsigned rounds = getenv("PEERDIST_TEST_ROUNDS") != NULL
		? (unsigned)atoi(getenv("PEERDIST_TEST_ROUNDS"))
		: 1000;
	void *failed;

	fake_hook_set(x->fake, complete_some, NULL);
	freeing.left = THREADS * rounds;
	pthread_create(&freer, NULL, free_packets, &freeing);
	for (unsigned i = 0; i < THREADS; i++) {
		callers[i] = (struct caller){.x = x, .rounds = rounds};
		pthread_create(&threads[i], NULL, call_and_cancel, &callers[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	pthread_join(freer, &failed);
	assert_null(failed);
	expect_no_packet(x->port);
}

/* Calls one behind the other, until the reader thread naps. */
static void
call_densely(struct fixture *x)
{
	struct pdc_instance *i = (struct pdc_instance *)pdc_handle_get(
		x->instance, PDC_INSTANCE);
	PEERDIST_CLIENT_BASIC_INFO info;

	pdc_nap_dense_us = 1000000;
	while (atomic_load(&i->n_napping) == 0)
		assert_int_equal(
			PeerDistClientGetInformationByHandle(x->instance,
				x->content, PeerDistClientBasicInfo,
				sizeof(info), &info),
			0);
	pdc_instance_unref(i);
}

/* ... and has nothing more to look at before the nap is over. */
static void
call_densely_and_wait(struct fixture *x)
{
	uint64_t deadline = pdc_deadline_us(FAKE_WAIT_MS);
	struct pdc_instance *i = (struct pdc_instance *)pdc_handle_get(
		x->instance, PDC_INSTANCE);
	struct pdc_link *l = pdc_instance_link(i);
	bool asleep = false;

	call_densely(x);
	while (!asleep) {
		assert_true(clock_now_us() < deadline);
		pthread_mutex_lock(&l->recv_lock);
		asleep = l->napping && l->n_naps_seen == l->n_naps;
		pthread_mutex_unlock(&l->recv_lock);
	}
	pdc_link_unref(l);
	pdc_instance_unref(i);
}

static void
start_reads(struct fixture *x, OVERLAPPED *ov, int n)
{
	static BYTE b[4];

	for (int i = 0; i < n; i++)
		assert_int_equal(PeerDistClientBlockRead(x->instance,
					 x->content, 4, b, 1, &ov[i]),
			ERROR_IO_PENDING);
}

/* Nobody looks by any function, and nobody calls: the nap ends by itself. */
static void
test_nap_ends(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov = {0};
	uint64_t deadline;

	start_reads(x, &ov, 1);
	call_densely(x);
	deadline = pdc_deadline_us(FAKE_WAIT_MS);
	fake_complete_nth(x->fake, 0, PEERDIST_ERROR_MISSING_DATA);
	while (__atomic_load_n(&ov.Internal, __ATOMIC_ACQUIRE) ==
		PDC_INTERNAL_PENDING) {
		assert_true(clock_now_us() < deadline);
		sched_yield();
	}
	expect_packet(x->port, &ov, 7, PEERDIST_ERROR_MISSING_DATA, 0);
}

/* The nap would last too long: only who looks ends it. */
static void
test_nap_is_ended(void **state)
{
	struct fixture *x = *state;
	HANDLE event = pdw_CreateEventA(NULL, TRUE, FALSE, NULL);
	OVERLAPPED ov[3] = {{0}};
	uint64_t deadline;
	DWORD n;

	ov[1].hEvent = (HANDLE)((uintptr_t)event | 1);
	start_reads(x, ov, 3);
	atomic_store(&pdc_nap_ms, 1000000);
	call_densely_and_wait(x);
	fake_complete_nth(x->fake, 0, PEERDIST_ERROR_MISSING_DATA);
	expect_packet(x->port, &ov[0], 7, PEERDIST_ERROR_MISSING_DATA, 0);
	call_densely_and_wait(x);
	fake_complete_nth(x->fake, 1, PEERDIST_ERROR_MISSING_DATA);
	assert_int_equal(
		pdw_WaitForSingleObject(event, FAKE_WAIT_MS), WAIT_OBJECT_0);
	call_densely_and_wait(x);
	fake_complete_nth(x->fake, 2, PEERDIST_ERROR_MISSING_DATA);
	/* Looking without waiting is enough. */
	deadline = pdc_deadline_us(FAKE_WAIT_MS);
	while (!PeerDistGetOverlappedResult(&ov[2], &n, FALSE) &&
		pdw_GetLastError() == ERROR_IO_INCOMPLETE) {
		assert_true(clock_now_us() < deadline);
		sched_yield();
	}
	expect_packet(x->port, &ov[2], 7, PEERDIST_ERROR_MISSING_DATA, 0);
	/* Who has a descriptor looks at that: no more naps. */
	assert_true(pdw_event_fd(event) >= 0);
	assert_true(pdc_attended());
	assert_true(pdw_CloseHandle(event));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_versions),
		T(test_completion_forms),
		T(test_closed_meanwhile),
		T(test_bad_handles),
		T(test_bad_parameters),
		T(test_overlapped_in_use),
		T(test_refused),
		T(test_cancel),
		T(test_read_data),
		T(test_ranges_return),
		T(test_missing_range),
		T(test_flash_crowd),
		T(test_flush_and_server),
		T(test_cancel_race),
		T(test_nap_ends),
		T(test_nap_is_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
