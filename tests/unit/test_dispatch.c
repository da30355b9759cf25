/* SPDX-License-Identifier: BSD-2-Clause */
/* Every frame through the real core. */
#include <jansson.h>

#include "daemon/api/dispatch.h"

#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "tests/unit/api_harness.h"

#define OP(n) ipc_op_id((n), 1)

/* What is sent again and again. */

static uint64_t
open_content(struct end *e, uint64_t id)
{
	Pd__ContentOpen b = PD__CONTENT_OPEN__INIT;

	b.tag.data = (uint8_t *)"0123456789abcdef";
	b.tag.len = 16;
	put(e, IPC_CONTENT_OPEN, id, &b);
	return get_handle(e, id);
}

static void
put_publish(struct end *e, uint64_t id, const char *name, uint64_t length)
{
	Pd__PublishOpen b = PD__PUBLISH_OPEN__INIT;

	b.identifier.data = (uint8_t *)name;
	b.identifier.len = strlen(name);
	b.length = length;
	b.version = 2;
	put(e, IPC_PUBLISH_OPEN, id, &b);
}

static uint64_t
open_stream(struct end *e, uint64_t id, const char *name)
{
	put_publish(e, id, name, 0);
	return get_handle(e, id);
}

static void
put_handle(struct end *e, enum ipc_type type, uint64_t id, uint64_t handle)
{
	Pd__Handle b = PD__HANDLE__INIT;

	b.handle = handle;
	put(e, type, id, &b);
}

/* data NULL: the start of the write half. */
static Pd__Slice
slice_of(const void *data, uint32_t len)
{
	Pd__Slice s = PD__SLICE__INIT;

	s.length = len;
	if (data != NULL) {
		s.inline_data.data = (uint8_t *)data;
		s.inline_data.len = len;
	}
	return s;
}

static void
put_add(struct end *e, enum ipc_type type, uint64_t op, uint64_t handle,
	uint32_t total, Pd__Slice slice)
{
	Pd__SubmitAdd b = PD__SUBMIT_ADD__INIT;

	b.handle = handle;
	b.length = total;
	b.slice = &slice;
	put(e, type, op, &b);
}

/* An add that waits for its second slice, for ever. */
static void
pending_add(struct end *e, uint64_t op, uint64_t handle)
{
	struct ipc_msg m;

	put_add(e, IPC_SUBMIT_STREAM_ADD, op, handle, 100, slice_of("x", 1));
	assert_int_equal(get_code(e, IPC_ACK, op), 0);
	get(e, IPC_NEED, op, &m);
	assert_int_equal(m.u.need->length, 99);
	ipc_msg_done(&m);
}

static void
put_server_cancel(struct end *e, uint64_t id, const char *name, uint64_t op)
{
	Pd__ServerCancel b = PD__SERVER_CANCEL__INIT;

	b.identifier.data = (uint8_t *)name;
	b.identifier.len = strlen(name);
	b.operation = op;
	put(e, IPC_SERVER_CANCEL, id, &b);
}

/* The first frames. */

static void
hello_makes_a_session(void **state)
{
	struct end e = session_as(ALICE);

	assert_int_equal(e.write_size, h.limits.write_size);
	assert_int_equal(e.area_size, h.limits.write_size + h.limits.read_size);
	assert_int_equal(service_counters(h.service)->sessions_opened, 1);
	end_close(&e);
	TURN_UNTIL(h.set.n_clients == 0);
}

static void
without_an_area_there_is_no_session(void **state)
{
	Pd__ContentOpen open = PD__CONTENT_OPEN__INIT;
	struct ipc_msg m;
	struct end e;

	end_open(&e, connect_as(ALICE));
	greet(&e, 0);
	assert_null(e.area);
	put(&e, IPC_STATUS_GET, 1, NULL);
	get(&e, IPC_REPLY, 1, &m);
	assert_int_equal(m.u.reply->value, SERVICE_AVAILABLE);
	assert_true(m.u.reply->handle == (2ull << 32 | 1));
	ipc_msg_done(&m);
	open.tag.data = (uint8_t *)"0123456789abcdef";
	open.tag.len = 16;
	put(&e, IPC_CONTENT_OPEN, 2, &open);
	assert_int_equal(get_code(&e, IPC_REPLY, 2), ERROR_INVALID_HANDLE);
	put_handle(&e, IPC_SUBMIT_CI_COMPLETE, OP(0), 1);
	assert_int_equal(get_code(&e, IPC_ACK, OP(0)), ERROR_INVALID_HANDLE);
	end_close(&e);
}

static void
other_first_frames_end_the_connection(void **state)
{
	struct end e;

	end_open(&e, connect_as(ALICE));
	put(&e, IPC_STATUS_GET, 1, NULL);
	get_closed(&e);
	end_close(&e);
	end_open(&e, connect_as(ALICE));
	assert_int_equal(send(ipc_chan_fd(e.chan),
				 "\x10\0\0\0\x5F\0\0\0\1\0\0\0\0\0\0\0", 16, 0),
		16);
	get_closed(&e);
	end_close(&e);
	assert_int_equal(h.set.counters.broken, 2);
}

static void
versions_that_do_not_meet(void **state)
{
	struct end e;

	end_open(&e, connect_as(ALICE));
	put_hello(&e, IPC_VERSION_MAX + 1, IPC_VERSION_MAX + 1, 0);
	assert_int_equal(
		get_code(&e, IPC_REPLY, 0), PEERDIST_ERROR_VERSION_UNSUPPORTED);
	get_closed(&e);
	end_close(&e);
	assert_int_equal(h.set.counters.broken, 0);
}

static void
sessions_over_the_quota_say_so(void **state)
{
	Pd__ContentOpen open = PD__CONTENT_OPEN__INIT;
	struct quota_limits limits = h.settings.limits;
	struct end first, e;
	struct ipc_msg m;

	limits.max[QUOTA_SESSIONS] = 1;
	quota_set_limits(service_quota(h.service), &limits);
	first = session_as(ALICE);
	e = session_as(ALICE);
	open.tag.data = (uint8_t *)"0123456789abcdef";
	open.tag.len = 16;
	put(&e, IPC_CONTENT_OPEN, 1, &open);
	assert_int_equal(get_code(&e, IPC_REPLY, 1), ERROR_NO_SYSTEM_RESOURCES);
	put_handle(&e, IPC_SUBMIT_CI_COMPLETE, OP(0), 1);
	assert_int_equal(
		get_code(&e, IPC_ACK, OP(0)), ERROR_NO_SYSTEM_RESOURCES);
	put(&e, IPC_STATUS_GET, 2, NULL);
	assert_int_equal(get_code(&e, IPC_REPLY, 2), 0);
	/* Only as long as it is so. */
	end_close(&first);
	TURN_UNTIL(h.set.n_clients == 1);
	put(&e, IPC_CONTENT_OPEN, 3, &open);
	get(&e, IPC_STATUS, 0, &m);
	assert_int_equal(m.u.status->status, SERVICE_AVAILABLE);
	ipc_msg_done(&m);
	put_handle(&e, IPC_CONTENT_CLOSE, 4, get_handle(&e, 3));
	assert_int_equal(get_code(&e, IPC_REPLY, 4), 0);
	end_close(&e);
}

/* Frames that must not be. */

static void
unknown_types_are_answered(void **state)
{
	struct end e = session_as(ALICE);

	assert_int_equal(send(ipc_chan_fd(e.chan),
				 "\x10\0\0\0\x5F\0\0\0\7\0\0\0\0\0\0\0", 16, 0),
		16);
	assert_int_equal(get_code(&e, IPC_REPLY, 7), ERROR_NOT_SUPPORTED);
	put(&e, IPC_STATUS_GET, 8, NULL);
	assert_int_equal(get_code(&e, IPC_REPLY, 8), 0);
	end_close(&e);
}

static void
each_type_has_its_row(void **state)
{
#define X(name, number, body, from) \
	if (number != IPC_HELLO) \
		assert_int_equal(dispatch_find(number) != NULL, \
			IPC_FROM_##from == IPC_FROM_CLIENT);
	IPC_FRAMES(X)
#undef X
	assert_null(dispatch_find(IPC_HELLO));
	assert_null(dispatch_find(IPC_TYPE_LIMIT));
}

static void
broken_frames_end_the_connection(void **state)
{
	static const struct {
		uint8_t bytes[20];
		size_t len;
	} cases[] = {
		{{15, 0, 0, 0, IPC_STATUS_GET}, 16},
		{{0, 0, 2, 0, IPC_STATUS_GET}, 16},
		{{16, 0, 0, 0, IPC_REPLY}, 16},
		{{16, 0, 0, 0, IPC_CONTENT_OPEN}, 16},
		{{18, 0, 0, 0, IPC_CONTENT_CLOSE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			 0, 9, 1},
			18},
		{{16, 0, 0, 0, IPC_STATUS_GET, 0, 1}, 16},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct end e = session_as(ALICE);

		assert_int_equal(send(ipc_chan_fd(e.chan), cases[i].bytes,
					 cases[i].len, 0),
			cases[i].len);
		get_closed(&e);
		end_close(&e);
	}
	assert_int_equal(h.set.counters.broken, ARRAY_LEN(cases));
	assert_int_equal(h.set.n_clients, 0);
}

static void
what_breaks_the_protocol_ends_the_connection(void **state)
{
	Pd__Range range = PD__RANGE__INIT;
	struct end e = session_as(ALICE);
	uint64_t stream;

	range.offset = h.limits.write_size;
	range.length = 4096;
	put(&e, IPC_RETURN, 0, &range); /* never was his */
	get_closed(&e);
	end_close(&e);
	e = session_as(ALICE);
	stream = open_stream(&e, 1, "a");
	put_add(&e, IPC_SUBMIT_STREAM_ADD, 5, stream, 1, slice_of("x", 1));
	get_closed(&e); /* generation 0 */
	end_close(&e);
	e = session_as(ALICE);
	put_hello(&e, 1, 1, IPC_FEATURE_AREA); /* a second time */
	get_closed(&e);
	end_close(&e);
	assert_int_equal(h.set.counters.broken, 3);
	TURN_UNTIL(h.set.n_clients == 0);
}

/* Publishing. */

static void
publish(struct end *e, const char *name, const uint8_t *data, uint32_t len)
{
	uint64_t stream = open_stream(e, 1, name);

	put_add(e, IPC_SUBMIT_STREAM_ADD, OP(0), stream, len,
		slice_of(data, len));
	assert_int_equal(get_code(e, IPC_ACK, OP(0)), 0);
	assert_int_equal(get_complete(e, OP(0)), 0);
	put_handle(e, IPC_SUBMIT_STREAM_COMPLETE, OP(1), stream);
	assert_int_equal(get_code(e, IPC_ACK, OP(1)), 0);
	assert_int_equal(get_complete(e, OP(1)), 0);
	put_handle(e, IPC_STREAM_CLOSE, 2, stream);
	assert_int_equal(get_code(e, IPC_REPLY, 2), 0);
}

static void
put_info_open(struct end *e, uint64_t id, const char *name)
{
	Pd__InfoOpen b = PD__INFO_OPEN__INIT;

	b.identifier.data = (uint8_t *)name;
	b.identifier.len = strlen(name);
	b.min_version = b.max_version = 1;
	put(e, IPC_INFO_OPEN, id, &b);
}

/* One Retrieve into buf; the number of bytes, or 0 at the end. */
static uint32_t
retrieve(struct end *e, uint64_t op, uint64_t info, uint8_t *buf)
{
	Pd__SubmitRetrieve b = PD__SUBMIT_RETRIEVE__INIT;
	struct ipc_msg m;
	uint32_t n;

	b.handle = info;
	b.length = 65536;
	put(e, IPC_SUBMIT_RETRIEVE, op, &b);
	assert_int_equal(get_code(e, IPC_ACK, op), 0);
	get(e, IPC_COMPLETE, op, &m);
	n = m.u.complete->bytes;
	if (m.u.complete->code != 0) {
		assert_int_equal(m.u.complete->code, PEERDIST_ERROR_NO_MORE);
		n = 0;
	} else if (m.u.complete->range != NULL) {
		memcpy(buf, e->area + m.u.complete->range->offset, n);
		put(e, IPC_RETURN, 0, m.u.complete->range);
	} else {
		assert_int_equal(m.u.complete->inline_data.len, n);
		memcpy(buf, m.u.complete->inline_data.data, n);
	}
	ipc_msg_done(&m);
	return n;
}

static void
published_content_has_information(void **state)
{
	struct end e = session_as(ALICE);
	uint8_t data[3000], info[4096];
	uint64_t handle;
	uint32_t n;

	memset(data, 7, sizeof(data));
	publish(&e, "name", data, sizeof(data));
	put_info_open(&e, 3, "name");
	handle = get_handle(&e, 3);
	n = retrieve(&e, OP(2), handle, info);
	assert_int_equal(n, 18 + 80 + 4 + 32); /* one segment, one block */
	assert_int_equal(info[1], 1);
	assert_int_equal(retrieve(&e, OP(3), handle, info), 0);
	put_handle(&e, IPC_INFO_CLOSE, 4, handle);
	assert_int_equal(get_code(&e, IPC_REPLY, 4), 0);
	put_handle(&e, IPC_INFO_CLOSE, 5, handle);
	assert_int_equal(get_code(&e, IPC_REPLY, 5), ERROR_INVALID_HANDLE);
	put_publish(&e, 6, "name", 0);
	assert_int_equal(
		get_code(&e, IPC_REPLY, 6), PEERDIST_ERROR_ALREADY_EXISTS);
	put_info_open(&e, 7, "other");
	assert_int_equal(get_code(&e, IPC_REPLY, 7), ERROR_NOT_FOUND);
	end_close(&e);
}

/* From the write half in two slices. */
static void
a_large_add_is_fed(void **state)
{
	struct end e = session_as(ALICE);
	uint64_t stream = open_stream(&e, 1, "name");
	Pd__Slice s = PD__SLICE__INIT;
	struct ipc_msg m;

	memset(e.area, 3, 20000);
	put_add(&e, IPC_SUBMIT_STREAM_ADD, OP(0), stream, 20000,
		slice_of(NULL, 10000));
	assert_int_equal(get_code(&e, IPC_ACK, OP(0)), 0);
	get(&e, IPC_RELEASED, OP(0), &m);
	assert_int_equal(m.u.range->offset, 0);
	assert_int_equal(m.u.range->length, 10000);
	ipc_msg_done(&m);
	get(&e, IPC_NEED, OP(0), &m);
	assert_int_equal(m.u.need->length, 10000);
	ipc_msg_done(&m);
	s.offset = 4096;
	s.length = 10000;
	put(&e, IPC_FEED, OP(0), &s);
	get(&e, IPC_RELEASED, OP(0), &m);
	ipc_msg_done(&m);
	get(&e, IPC_COMPLETE, OP(0), &m);
	assert_int_equal(m.u.complete->code, 0);
	assert_int_equal(m.u.complete->bytes, 20000);
	ipc_msg_done(&m);
	/* A slice for what has ended comes back. */
	put(&e, IPC_FEED, OP(0), &s);
	get(&e, IPC_RELEASED, OP(0), &m);
	ipc_msg_done(&m);
	end_close(&e);
}

/* Cancelling. */

static void
the_completion_comes_before_the_cancels_answer(void **state)
{
	struct end e = session_as(ALICE);
	uint64_t stream = open_stream(&e, 1, "name");

	pending_add(&e, OP(0), stream);
	put_server_cancel(&e, 2, "name", OP(0));
	assert_int_equal(get_complete(&e, OP(0)), ERROR_OPERATION_ABORTED);
	assert_int_equal(get_code(&e, IPC_REPLY, 2), 0);
	put_server_cancel(&e, 3, "name", OP(0));
	assert_int_equal(
		get_code(&e, IPC_REPLY, 3), PEERDIST_ERROR_OPERATION_NOTFOUND);
	end_close(&e);
}

static void
another_sessions_operation_is_not_found(void **state)
{
	struct end a = session_as(ALICE), b = session_as(ALICE);
	Pd__ClientCancel cancel = PD__CLIENT_CANCEL__INIT;
	uint64_t stream = open_stream(&a, 1, "name");

	pending_add(&a, OP(0), stream);
	put_server_cancel(&b, 2, "name", OP(0));
	assert_int_equal(
		get_code(&b, IPC_REPLY, 2), PEERDIST_ERROR_OPERATION_NOTFOUND);
	cancel.handle = stream;
	cancel.operation = OP(0);
	put(&b, IPC_CLIENT_CANCEL, 3, &cancel);
	assert_int_equal(get_code(&b, IPC_REPLY, 3), ERROR_INVALID_HANDLE);
	put(&a, IPC_CLIENT_CANCEL, 3, &cancel); /* a stream is no content */
	assert_int_equal(get_code(&a, IPC_REPLY, 3), ERROR_INVALID_HANDLE);
	end_close(&a);
	end_close(&b);
}

static void
contents_are_opened_and_closed(void **state)
{
	struct end e = session_as(ALICE);
	Pd__ClientCancel cancel = PD__CLIENT_CANCEL__INIT;
	Pd__SubmitRead read = PD__SUBMIT_READ__INIT;
	Pd__SubmitFlush flush = PD__SUBMIT_FLUSH__INIT;
	uint64_t content = open_content(&e, 1);

	cancel.handle = content;
	put(&e, IPC_CLIENT_CANCEL, 2, &cancel);
	assert_int_equal(
		get_code(&e, IPC_REPLY, 2), PEERDIST_ERROR_OPERATION_NOTFOUND);
	put_handle(&e, IPC_CONTENT_INFO, 3, content);
	assert_int_equal(get_code(&e, IPC_REPLY, 3), 0);
	read.handle = content;
	read.length = 100;
	put(&e, IPC_SUBMIT_BLOCK_READ, OP(0), &read);
	assert_int_equal(
		get_code(&e, IPC_ACK, OP(0)), PEERDIST_ERROR_NOT_INITIALIZED);
	put(&e, IPC_SUBMIT_STREAM_READ, OP(0), &read);
	assert_int_equal(
		get_code(&e, IPC_ACK, OP(0)), PEERDIST_ERROR_NOT_INITIALIZED);
	put_add(&e, IPC_SUBMIT_DATA_ADD, OP(0), content, 1, slice_of("x", 1));
	assert_int_equal(
		get_code(&e, IPC_ACK, OP(0)), PEERDIST_ERROR_NOT_INITIALIZED);
	put_add(&e, IPC_SUBMIT_CI_ADD, OP(0), content, 2, slice_of("\0\7", 2));
	assert_int_equal(get_code(&e, IPC_ACK, OP(0)), 0);
	assert_int_equal(get_complete(&e, OP(0)),
		PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED);
	put_handle(&e, IPC_SUBMIT_CI_COMPLETE, OP(0), content);
	assert_int_equal(get_code(&e, IPC_ACK, OP(0)),
		PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED);
	flush.tag.data = (uint8_t *)"0123456789abcdef";
	flush.tag.len = 16;
	put(&e, IPC_SUBMIT_FLUSH, OP(1), &flush);
	assert_int_equal(get_code(&e, IPC_ACK, OP(1)), 0);
	assert_int_equal(get_complete(&e, OP(1)), 0);
	put_handle(&e, IPC_CONTENT_CLOSE, 4, content);
	assert_int_equal(get_code(&e, IPC_REPLY, 4), 0);
	put_handle(&e, IPC_CONTENT_CLOSE, 5, content);
	assert_int_equal(get_code(&e, IPC_REPLY, 5), ERROR_INVALID_HANDLE);
	end_close(&e);
}

static void
ending_the_session_aborts_what_is_pending(void **state)
{
	struct end e = session_as(ALICE);
	Pd__Range range = PD__RANGE__INIT;

	pending_add(&e, OP(0), open_stream(&e, 1, "a"));
	pending_add(&e, OP(1), open_stream(&e, 2, "b"));
	put(&e, IPC_SESSION_END, 3, NULL);
	assert_int_equal(get_complete(&e, OP(0)), ERROR_OPERATION_ABORTED);
	assert_int_equal(get_complete(&e, OP(1)), ERROR_OPERATION_ABORTED);
	assert_int_equal(get_code(&e, IPC_REPLY, 3), 0);
	range.offset = h.limits.write_size;
	range.length = 1;
	put(&e, IPC_RETURN, 0, &range); /* was on its way: harmless */
	put(&e, IPC_SESSION_END, 4, NULL);
	assert_int_equal(get_code(&e, IPC_REPLY, 4), ERROR_INVALID_HANDLE);
	end_close(&e);
}

/* peerdistctl. */

static json_t *
ask(struct end *e, enum ipc_type type, const Pd__AdminRequest *request)
{
	Pd__AdminRequest empty = PD__ADMIN_REQUEST__INIT;
	char *text = calloc(1, 1);
	json_t *doc;
	bool more = true;

	put(e, type, 1000, request != NULL ? request : &empty);
	while (more) {
		struct ipc_msg m;

		get(e, IPC_ADMIN_TEXT, 1000, &m);
		assert_int_equal(m.u.admin_text->code, 0);
		more = m.u.admin_text->more;
		text = realloc(
			text, strlen(text) + strlen(m.u.admin_text->json) + 1);
		strcat(text, m.u.admin_text->json);
		ipc_msg_done(&m);
	}
	doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(doc);
	assert_int_equal(json_integer_value(json_object_get(doc, "v")), 1);
	free(text);
	return doc;
}

static uint64_t
number(const json_t *doc, const char *key)
{
	const json_t *v = json_object_get(doc, key);

	assert_true(json_is_integer(v));
	return (uint64_t)json_integer_value(v);
}

static size_t
count(struct end *e, enum ipc_type type, const Pd__AdminRequest *request)
{
	json_t *doc = ask(e, type, request);
	const char *key =
		type == IPC_ADMIN_SESSIONS ? "sessions" : "operations";
	size_t n = json_array_size(json_object_get(doc, key));

	assert_true(json_is_array(json_object_get(doc, key)));
	json_decref(doc);
	return n;
}

static void
status_tells_what_is_going_on(void **state)
{
	struct end e = session_as(ALICE);
	json_t *doc = ask(&e, IPC_ADMIN_STATUS, NULL);
	const json_t *quota = json_array_get(json_object_get(doc, "quotas"), 0);

	assert_string_equal(
		json_string_value(json_object_get(doc, "mode")), "local");
	assert_string_equal(
		json_string_value(json_object_get(doc, "status")), "available");
	assert_int_equal(number(doc, "clients"), 1);
	assert_int_equal(
		number(json_object_get(doc, "counters"), "sessions_opened"), 1);
	assert_int_equal(number(json_object_get(doc, "store"), "blocks"), 0);
	assert_int_equal(number(quota, "used"), 1);
	assert_int_equal(number(quota, "limit"), 1000000);
	assert_true(json_is_array(json_object_get(doc, "peers")));
	json_decref(doc);
	end_close(&e);
}

static void
one_sees_ones_own_and_administrators_all(void **state)
{
	struct end a = session_as(ALICE), b = session_as(BOB);
	struct end root = session_as(ROOT);
	Pd__AdminRequest of_bob = PD__ADMIN_REQUEST__INIT;
	json_t *doc, *op;

	of_bob.has_uid = 1;
	of_bob.uid = BOB;
	pending_add(&b, OP(0), open_stream(&b, 1, "name"));
	assert_int_equal(count(&a, IPC_ADMIN_SESSIONS, NULL), 1);
	assert_int_equal(count(&root, IPC_ADMIN_SESSIONS, NULL), 3);
	assert_int_equal(count(&root, IPC_ADMIN_SESSIONS, &of_bob), 1);
	assert_int_equal(count(&a, IPC_ADMIN_OPERATIONS, NULL), 0);
	assert_int_equal(count(&b, IPC_ADMIN_OPERATIONS, &of_bob), 1);
	put(&a, IPC_ADMIN_OPERATIONS, 5, &of_bob);
	assert_int_equal(get_code(&a, IPC_REPLY, 5), ERROR_ACCESS_DENIED);
	put(&a, IPC_ADMIN_SESSIONS, 6, &of_bob);
	assert_int_equal(get_code(&a, IPC_REPLY, 6), ERROR_ACCESS_DENIED);
	doc = ask(&root, IPC_ADMIN_OPERATIONS, NULL);
	op = json_array_get(json_object_get(doc, "operations"), 0);
	assert_string_equal(
		json_string_value(json_object_get(op, "id")), "2:100000000");
	assert_string_equal(
		json_string_value(json_object_get(op, "kind")), "stream-add");
	assert_int_equal(number(op, "uid"), BOB);
	json_decref(doc);
	end_close(&a);
	end_close(&b);
	end_close(&root);
}

static void
put_admin_cancel(struct end *e, uint64_t session, uint64_t op)
{
	Pd__AdminRequest b = PD__ADMIN_REQUEST__INIT;

	b.session = session;
	b.operation = op;
	put(e, IPC_ADMIN_CANCEL, 7, &b);
}

/* The victim hears of it although he is not in his pass. */
static void
cancelling_for_others(void **state)
{
	struct end a = session_as(ALICE), b = session_as(BOB);
	struct end root;

	end_open(&root, connect_as(ROOT));
	greet(&root, 0);
	pending_add(&b, OP(0), open_stream(&b, 1, "name"));
	pending_add(&b, OP(1), open_stream(&b, 2, "name 2"));
	put_admin_cancel(&a, 2, OP(0));
	assert_int_equal(
		get_code(&a, IPC_REPLY, 7), PEERDIST_ERROR_OPERATION_NOTFOUND);
	put_admin_cancel(&root, 99, OP(0));
	assert_int_equal(get_code(&root, IPC_REPLY, 7),
		PEERDIST_ERROR_OPERATION_NOTFOUND);
	put_admin_cancel(&root, 2, OP(0));
	assert_int_equal(get_code(&root, IPC_REPLY, 7), 0);
	assert_int_equal(get_complete(&b, OP(0)), ERROR_OPERATION_ABORTED);
	put_admin_cancel(&b, 2, OP(1));
	assert_int_equal(get_complete(&b, OP(1)), ERROR_OPERATION_ABORTED);
	assert_int_equal(get_code(&b, IPC_REPLY, 7), 0);
	put_admin_cancel(&root, 2, OP(0));
	assert_int_equal(get_code(&root, IPC_REPLY, 7),
		PEERDIST_ERROR_OPERATION_NOTFOUND);
	end_close(&a);
	end_close(&b);
	end_close(&root);
}

static uint32_t
reload_hook(void *ctx, struct json *j)
{
	json_out_text(j, "said", ctx);
	return 0;
}

static void
config_hook(void *ctx, struct json *j)
{
	/* Longer than a frame. */
	json_out_array(j, "lines");
	for (int i = 0; i < 20000; i++)
		json_out_text(j, NULL, "0123456789");
	json_out_end_array(j);
}

static void
the_manager_answers_through_hooks(void **state)
{
	struct end a = session_as(ALICE), root = session_as(ROOT);
	Pd__AdminRequest b = PD__ADMIN_REQUEST__INIT;
	json_t *doc;

	h.set.hooks = (struct api_hooks){.config = config_hook,
		.reload = reload_hook,
		.ctx = (void *)"a\"\\\n\x01\xC3\xA4\xFF\xF0\x9F\x98\x80"};
	put(&a, IPC_ADMIN_RELOAD, 9, &b);
	assert_int_equal(get_code(&a, IPC_REPLY, 9), ERROR_ACCESS_DENIED);
	doc = ask(&root, IPC_ADMIN_RELOAD, NULL);
	assert_string_equal(json_string_value(json_object_get(doc, "said")),
		"a\"\\\n\x01\xC3\xA4\xEF\xBF\xBD\xF0\x9F\x98\x80");
	json_decref(doc);
	doc = ask(&a, IPC_ADMIN_CONFIG, NULL);
	assert_int_equal(json_array_size(json_object_get(doc, "lines")), 20000);
	json_decref(doc);
	end_close(&a);
	end_close(&root);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(hello_makes_a_session),
		T(without_an_area_there_is_no_session),
		T(other_first_frames_end_the_connection),
		T(versions_that_do_not_meet),
		T(sessions_over_the_quota_say_so),
		T(unknown_types_are_answered),
		T(each_type_has_its_row),
		T(broken_frames_end_the_connection),
		T(what_breaks_the_protocol_ends_the_connection),
		T(published_content_has_information),
		T(a_large_add_is_fed),
		T(the_completion_comes_before_the_cancels_answer),
		T(another_sessions_operation_is_not_found),
		T(contents_are_opened_and_closed),
		T(ending_the_session_aborts_what_is_pending),
		T(status_tells_what_is_going_on),
		T(one_sees_ones_own_and_administrators_all),
		T(cancelling_for_others),
		T(the_manager_answers_through_hooks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
