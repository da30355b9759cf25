/* SPDX-License-Identifier: BSD-2-Clause */
/* A daemon that breaks the protocol, limits, and failing allocations. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "libclient/handle.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/lib_daemon.h"

struct fixture {
	struct fake *fake;
	HANDLE port;
	PEERDIST_INSTANCE_HANDLE instance;
	PEERDIST_CONTENT_HANDLE content;
	uint8_t buffer[64];
};

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->fake = fake_new();
	fake_max_operations(x->fake, 4);
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
	pdw_CloseHandle(x->port);
	fake_free(x->fake);
	free(x);
	assert_int_equal(pdc_handle_count(), 0);
	return 0;
}

static DWORD
read_async(struct fixture *x, OVERLAPPED *ov)
{
	memset(ov, 0, sizeof(*ov));
	return PeerDistClientBlockRead(
		x->instance, x->content, sizeof(x->buffer), x->buffer, 1, ov);
}

static void
test_too_many(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov[5];

	for (int i = 0; i < 4; i++)
		assert_int_equal(read_async(x, &ov[i]), ERROR_IO_PENDING);
	assert_int_equal(read_async(x, &ov[4]), ERROR_NO_SYSTEM_RESOURCES);
	fake_complete_nth(x->fake, 2, PEERDIST_ERROR_NO_MORE);
	expect_packet(x->port, &ov[2], 7, PEERDIST_ERROR_NO_MORE, 0);
	assert_int_equal(read_async(x, &ov[4]), ERROR_IO_PENDING);
	assert_int_equal(
		PeerDistClientCloseContent(x->instance, x->content), 0);
}

enum offence {
	BYTES_OVER_ROOM,
	BYTES_WITHOUT_DATA,
	RANGE_IN_WRITE_HALF,
	RANGE_BEHIND_END,
	DATA_ON_FAILURE,
	CODE_PENDING,
	CODE_WIDE,
	UNKNOWN_OPERATION,
	NEED_OF_READ,
	RELEASED_FREE,
	REPLY_UNASKED,
	ACK_UNASKED,
	STATUS_RANGE,
	_OFFENCE_MAX,
};

static void
offend_complete(struct fake *f, enum offence o)
{
	Pd__Complete c = PD__COMPLETE__INIT;
	Pd__Range range = PD__RANGE__INIT;
	uint64_t id = fake_nth_id(f, 0);
	uint8_t data[100] = {0};

	c.inline_data.data = data;
	range.length = 64;
	switch (o) {
	case BYTES_OVER_ROOM:
		c.bytes = c.inline_data.len = 100;
		break;
	case BYTES_WITHOUT_DATA:
		c.bytes = 10;
		break;
	case RANGE_IN_WRITE_HALF:
		c.bytes = 64;
		c.range = &range;
		break;
	case RANGE_BEHIND_END:
		c.bytes = 64;
		range.offset = FAKE_WRITE_SIZE + FAKE_READ_SIZE - 63;
		c.range = &range;
		break;
	case DATA_ON_FAILURE:
		c.code = ERROR_TIMEOUT;
		c.bytes = c.inline_data.len = 10;
		break;
	case CODE_PENDING:
		c.code = ERROR_IO_PENDING;
		break;
	case CODE_WIDE:
		c.code = 0x10000;
		break;
	default:
		id += UINT64_C(1) << 32;
		break;
	}
	fake_send(f, IPC_COMPLETE, id, &c.base);
}

static void
offend(struct fake *f, enum offence o)
{
	Pd__Need need = PD__NEED__INIT;
	Pd__Range range = PD__RANGE__INIT;

	need.length = range.length = 4096;
	switch (o) {
	case NEED_OF_READ:
		fake_send(f, IPC_NEED, fake_nth_id(f, 0), &need.base);
		break;
	case RELEASED_FREE:
		fake_send(f, IPC_RELEASED, 0, &range.base);
		break;
	case REPLY_UNASKED:
		fake_reply(f, IPC_REPLY, 77, 0);
		break;
	case ACK_UNASKED:
		fake_reply(f, IPC_ACK, fake_nth_id(f, 0), 0);
		break;
	case STATUS_RANGE:
		fake_send_status(f, 3);
		fake_status(f, PEERDIST_STATUS_AVAILABLE);
		break;
	default:
		offend_complete(f, o);
		break;
	}
}

/* The connection ends, the operation with 4057; nothing was written. */
static void
test_offences(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov;

	for (int o = 0; o < _OFFENCE_MAX; o++) {
		assert_int_equal(PeerDistShutdown(x->instance), 0);
		fake_free(x->fake);
		x->fake = fake_new();
		fake_start(x->fake);
		x->instance = start_instance();
		x->content = open_content(x->instance, x->port, 7);
		memset(x->buffer, 0x77, sizeof(x->buffer));
		assert_int_equal(read_async(x, &ov), ERROR_IO_PENDING);
		offend(x->fake, (enum offence)o);
		expect_packet(x->port, &ov, 7, PEERDIST_ERROR_INVALIDATED, 0);
		for (size_t i = 0; i < sizeof(x->buffer); i++)
			assert_int_equal(x->buffer[i], 0x77);
	}
}

/* A type that a newer daemon may send is no offence. */
static void
test_unknown_type(void **state)
{
	static const uint8_t frame[16] = {16, 0, 0, 0, 0x00, 0x10};
	struct fixture *x = *state;
	OVERLAPPED ov;

	assert_int_equal(read_async(x, &ov), ERROR_IO_PENDING);
	fake_send_bytes(x->fake, frame, sizeof(frame));
	fake_complete_nth(x->fake, 0, PEERDIST_ERROR_NO_MORE);
	expect_packet(x->port, &ov, 7, PEERDIST_ERROR_NO_MORE, 0);
}

static void
test_garbage(void **state)
{
	static const uint8_t garbage[64] = {0x21, 0, 0, 0, 5, 0, 0, 0, 1, 2, 3};
	struct fixture *x = *state;
	OVERLAPPED ov;

	assert_int_equal(read_async(x, &ov), ERROR_IO_PENDING);
	fake_send_bytes(x->fake, garbage, sizeof(garbage));
	expect_packet(x->port, &ov, 7, PEERDIST_ERROR_INVALIDATED, 0);
}

static int
scenario_objects(void *arg)
{
	HANDLE port =
		pdw_CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
	HANDLE event = pdw_CreateEventA(NULL, TRUE, FALSE, NULL);
	BOOL posted = pdw_PostQueuedCompletionStatus(port, 1, 2, NULL);
	bool ok = port != NULL && event != NULL && posted;

	pdw_CloseHandle(port);
	pdw_CloseHandle(event);
	return ok ? 0 : -ENOMEM;
}

static void
test_no_memory_objects(void **state)
{
	assert_true(failalloc_each(scenario_objects, NULL) > 0);
}

/* One call after the other on a live connection.  The reader thread allocates
 * too, so which call fails is left open; none may be half done. */
static void
test_no_memory_calls(void **state)
{
	struct fixture *x = *state;
	PEERDIST_CONTENT_TAG tag = {{0}};
	OVERLAPPED ov;
	HANDLE h;
	DWORD code;

	for (unsigned n = 1; n < 12; n++) {
		h = open_content(x->instance, x->port, 7);
		failalloc_arm(n);
		memset(&ov, 0, sizeof(ov));
		code = PeerDistClientBlockRead(
			x->instance, h, sizeof(x->buffer), x->buffer, 1, &ov);
		failalloc_disarm();
		if (code == ERROR_IO_PENDING)
			assert_int_equal(
				PeerDistClientCloseContent(x->instance, h), 0);
		else
			PeerDistClientCloseContent(x->instance, h);
		if (code == ERROR_IO_PENDING)
			expect_packet(
				x->port, &ov, 7, ERROR_OPERATION_ABORTED, 0);
		failalloc_arm(n);
		code = PeerDistClientOpenContent(
			x->instance, &tag, NULL, 0, &h);
		failalloc_disarm();
		if (code == 0)
			PeerDistClientCloseContent(x->instance, h);
		else
			assert_true(code == ERROR_NOT_ENOUGH_MEMORY ||
				code == PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_too_many),
		T(test_offences),
		T(test_unknown_type),
		T(test_garbage),
		cmocka_unit_test(test_no_memory_objects),
		T(test_no_memory_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
