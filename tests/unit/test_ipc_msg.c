/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/ipc_msg.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/macros.h"
#include "tests/unit/failalloc.h"

static uint8_t bytes[IPC_FRAME_MAX];

/* A body of each kind, with the values given to the fields that are checked. */
union bodies {
	Pd__Hello hello;
	Pd__Reply reply;
	Pd__Status status;
	Pd__Complete complete;
	Pd__Need need;
	Pd__Slice slice;
	Pd__Range range;
	Pd__PublishOpen publish_open;
	Pd__Handle handle;
	Pd__Identifier identifier;
	Pd__InfoOpen info_open;
	Pd__ServerCancel server_cancel;
	Pd__ContentOpen content_open;
	Pd__ClientCancel client_cancel;
	Pd__SubmitAdd submit_add;
	Pd__SubmitPublishFile submit_publish_file;
	Pd__SubmitRetrieve submit_retrieve;
	Pd__SubmitRead submit_read;
	Pd__SubmitFlush submit_flush;
	Pd__AdminRequest admin_request;
	Pd__AdminText admin_text;
	Pd__SubmitPublishStanding submit_publish_standing;
	Pd__Progress progress;
	Pd__AdminCache admin_cache;
	Pd__AdminPublished admin_published;
	Pd__AdminSecret admin_secret;
	Pd__AdminPeers admin_peers;
	Pd__AdminProbe admin_probe;
	Pd__AdminExplain admin_explain;
	Pd__AdminMode admin_mode;
};

static Pd__Slice part = PD__SLICE__INIT;
static uint8_t slash_x[] = "/x";

static ProtobufCBinaryData
binary(size_t len)
{
	return (ProtobufCBinaryData){len, bytes};
}

static const ProtobufCMessage *
make_none(union bodies *u)
{
	return NULL;
}

#define MAKE(name, ...) \
	static const ProtobufCMessage *make_##name(union bodies *u) \
	{ \
		pd__##name##__init(&u->name); \
		__VA_ARGS__; \
		return &u->name.base; \
	}
MAKE(hello, u->hello.min_version = 1; u->hello.max_version = 3)
MAKE(reply, u->reply.code = 1260; u->reply.handle = UINT64_MAX)
MAKE(status, u->status.status = 2)
MAKE(complete, u->complete.code = 995; u->complete.offset = UINT64_MAX)
MAKE(need, u->need.length = IPC_SLICE_MAX)
MAKE(slice, u->slice.length = IPC_SLICE_MAX; u->slice.offset = 4096)
MAKE(range, u->range.length = 1; u->range.offset = 77)
MAKE(publish_open, u->publish_open.identifier = binary(1))
MAKE(handle, u->handle.handle = 5)
MAKE(identifier, u->identifier.identifier = binary(IPC_IDENTIFIER_MAX))
MAKE(info_open, u->info_open.identifier = binary(20))
MAKE(server_cancel, u->server_cancel.identifier = binary(20))
MAKE(content_open, u->content_open.tag = binary(16))
MAKE(client_cancel, u->client_cancel.operation = ipc_op_id(7, 9))
MAKE(submit_add, u->submit_add.length = 100; part.length = 100;
	u->submit_add.slice = &part)
MAKE(submit_publish_file, u->submit_publish_file.identifier = binary(20))
MAKE(submit_retrieve, u->submit_retrieve.length = 1)
MAKE(submit_read, u->submit_read.timeout_ms = UINT32_MAX)
MAKE(submit_flush, u->submit_flush.tag = binary(16))
MAKE(admin_request, u->admin_request.all = 1)
MAKE(admin_text, u->admin_text.json = (char *)"{}")
MAKE(submit_publish_standing,
	u->submit_publish_standing.path = (ProtobufCBinaryData){2, slash_x})
MAKE(progress, u->progress.total = UINT64_MAX)
MAKE(admin_cache, u->admin_cache.action = IPC_CACHE_LIST)
MAKE(admin_published, u->admin_published.action = IPC_PUBLISHED_REMOVE)
MAKE(admin_secret, u->admin_secret.action = IPC_SECRET_FINGERPRINT)
MAKE(admin_peers, u->admin_peers.action = IPC_PEERS_FORGIVE)
MAKE(admin_probe, u->admin_probe.id = binary(IPC_PROBE_ID_SIZE))
MAKE(admin_explain, u->admin_explain.id_size = 32;
	u->admin_explain.ids = binary(64))
MAKE(admin_mode, u->admin_mode.action = IPC_MODE_SET)

struct row {
	const char *name;
	enum ipc_type type;
	enum ipc_from from;
	const ProtobufCMessage *(*make)(union bodies *);
};

static const struct row rows[] = {
#define X(name, number, body, from) \
	{#name, number, IPC_FROM_##from, make_##body},
	IPC_FRAMES(X)
#undef X
};

static size_t
frame(uint8_t *dst, enum ipc_type type, uint64_t id, unsigned n_fds,
	const ProtobufCMessage *body)
{
	struct buf b;
	size_t len;

	buf_init(&b, IPC_FRAME_MAX);
	assert_int_equal(ipc_build(&b, type, id, n_fds, body), 0);
	assert_in_range(b.len, IPC_HEADER_SIZE, IPC_FRAME_MAX);
	memcpy(dst, b.data, b.len);
	len = b.len;
	buf_done(&b);
	return len;
}

static enum ipc_from
sender_of(const struct row *row)
{
	return row->from & IPC_FROM_CLIENT ? IPC_FROM_CLIENT : IPC_FROM_DAEMON;
}

static unsigned
fds_of(const struct row *row)
{
	return row->type == IPC_SUBMIT_PUBLISH_FILE ||
		row->type == IPC_SUBMIT_PUBLISH_STANDING;
}

static int
parse_once(const uint8_t *data, size_t len, enum ipc_from from)
{
	struct ipc_msg m;
	int r = ipc_parse(&m, data, len, from);

	if (r == 0)
		ipc_msg_done(&m);
	return r;
}

static int
try_frame(enum ipc_type type, unsigned n_fds, const ProtobufCMessage *body,
	enum ipc_from from)
{
	uint8_t *data = malloc(IPC_FRAME_MAX);
	size_t len = frame(data, type, 1, n_fds, body);
	int r = parse_once(data, len, from);

	free(data);
	return r;
}

static void
set_length(uint8_t *data, size_t len)
{
	for (int i = 0; i < 4; i++)
		data[i] = (uint8_t)(len >> 8 * i);
}

static void
header_is_little_endian(void **state)
{
	static const uint8_t data[] = {
		17, 0, 0, 0, 2, 1, 3, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
	struct ipc_header h;

	for (size_t n = 0; n < IPC_HEADER_SIZE; n++)
		assert_int_equal(ipc_parse_header(&h, data, n), -EAGAIN);
	assert_int_equal(ipc_parse_header(&h, data, sizeof(data)), 0);
	assert_int_equal(h.length, 17);
	assert_int_equal(h.type, 0x102);
	assert_int_equal(h.n_fds, 3);
	assert_int_equal(h.flags, 9);
	assert_true(h.id == 0x0102030405060708);
}

static void
header_refuses_impossible_lengths(void **state)
{
	static const uint32_t bad[] = {0, 1, 15, IPC_FRAME_MAX + 1, UINT32_MAX};
	uint8_t data[IPC_HEADER_SIZE] = {0};
	struct ipc_header h;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		set_length(data, bad[i]);
		assert_int_equal(
			ipc_parse_header(&h, data, sizeof(data)), IPC_E_LENGTH);
		assert_int_equal(
			parse_once(data, sizeof(data), IPC_FROM_CLIENT),
			IPC_E_LENGTH);
	}
	set_length(data, IPC_FRAME_MAX);
	assert_int_equal(ipc_parse_header(&h, data, sizeof(data)), 0);
	/* A frame that says less or more than there is. */
	set_length(data, 17);
	assert_int_equal(
		parse_once(data, sizeof(data), IPC_FROM_CLIENT), IPC_E_LENGTH);
}

static void
every_frame_comes_back(void **state)
{
	uint8_t *data = malloc(IPC_FRAME_MAX), *again = malloc(IPC_FRAME_MAX);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		enum ipc_from from = sender_of(row);
		union bodies u;
		struct ipc_msg m;
		size_t len = frame(data, row->type, 0xABCDEF0123456789,
			fds_of(row), row->make(&u));

		assert_string_equal(ipc_type_name(row->type), row->name);
		assert_int_equal(ipc_parse(&m, data, len, from), 0);
		assert_true(m.header.id == 0xABCDEF0123456789);
		assert_int_equal(m.header.type, row->type);
		assert_int_equal(frame(again, row->type, m.header.id,
					 fds_of(row), m.u.base),
			len);
		assert_memory_equal(again, data, len);
		assert_in_range(len, 0, ipc_frame_bound(row->type, m.u.base));
		ipc_msg_done(&m);
	}
	free(data);
	free(again);
}

static void
frames_of_the_other_side_are_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		union bodies u;

		if (rows[i].from == IPC_FROM_BOTH)
			continue;
		assert_int_equal(
			try_frame(rows[i].type, fds_of(&rows[i]),
				rows[i].make(&u), rows[i].from ^ IPC_FROM_BOTH),
			IPC_E_SENDER);
	}
}

/* The same frame with a header field changed. */
static int
with_byte(size_t at, uint8_t value)
{
	uint8_t data[64];
	size_t len = frame(data, IPC_STATUS_GET, 1, 0, NULL);

	data[at] = value;
	return parse_once(data, len, IPC_FROM_CLIENT);
}

static void
unknown_types_leave_the_header(void **state)
{
	uint8_t data[64];
	size_t len = frame(data, IPC_STATUS_GET, 4711, 0, NULL);
	struct ipc_msg m;

	for (unsigned type = 0; type <= UINT16_MAX; type++) {
		if (strcmp(ipc_type_name(type), "?") != 0)
			continue;
		data[4] = (uint8_t)type;
		data[5] = (uint8_t)(type >> 8);
		assert_int_equal(ipc_parse(&m, data, len, IPC_FROM_CLIENT),
			IPC_E_UNKNOWN);
		assert_int_equal(m.header.type, type);
		assert_true(m.header.id == 4711);
	}
	assert_int_equal(with_byte(7, 1), IPC_E_BODY);
}

static void
descriptors_are_counted(void **state)
{
	union bodies u;

	assert_int_equal(with_byte(6, 1), IPC_E_FDS);
	assert_int_equal(with_byte(6, IPC_FDS_MAX + 1), IPC_E_FDS);
	for (unsigned n = 0; n <= IPC_FDS_MAX; n++)
		assert_int_equal(
			try_frame(IPC_SUBMIT_PUBLISH_FILE, n,
				make_submit_publish_file(&u), IPC_FROM_CLIENT),
			n == 1 ? 0 : IPC_E_FDS);
	make_hello(&u);
	assert_int_equal(
		try_frame(IPC_HELLO, 1, &u.hello.base, IPC_FROM_CLIENT),
		IPC_E_FDS);
	u.hello.write_size = u.hello.read_size = 4096;
	assert_int_equal(
		try_frame(IPC_HELLO, 1, &u.hello.base, IPC_FROM_DAEMON), 0);
	assert_int_equal(
		try_frame(IPC_HELLO, 2, &u.hello.base, IPC_FROM_DAEMON),
		IPC_E_FDS);
}

static int
try_hello(uint32_t min, uint32_t max, uint32_t write_size, uint32_t read_size,
	size_t name_len)
{
	char name[600];
	Pd__Hello h = PD__HELLO__INIT;

	memset(name, 'x', name_len);
	name[name_len] = '\0';
	h.name = name;
	h.min_version = min;
	h.max_version = max;
	h.write_size = write_size;
	h.read_size = read_size;
	return try_frame(IPC_HELLO, write_size != 0, &h.base, IPC_FROM_DAEMON);
}

static void
hello_bounds(void **state)
{
	assert_int_equal(try_hello(1, 1, 0, 0, 256), 0);
	assert_int_equal(try_hello(1, 1, 0, 0, 257), IPC_E_BODY);
	assert_int_equal(try_hello(0, 1, 0, 0, 0), IPC_E_BODY);
	assert_int_equal(try_hello(2, 1, 0, 0, 0), IPC_E_BODY);
	assert_int_equal(try_hello(1, 1, 4096, 8192, 0), 0);
	assert_int_equal(try_hello(1, 1, 0, 4096, 0), IPC_E_BODY);
	assert_int_equal(try_hello(1, 1, 4096, 0, 0), IPC_E_BODY);
	assert_int_equal(try_hello(1, 1, 4097, 4096, 0), IPC_E_BODY);
	assert_int_equal(try_hello(1, 1, 4096, 100, 0), IPC_E_BODY);
	assert_int_equal(
		try_hello(1, 1, (1u << 30) + 4096, 4096, 0), IPC_E_BODY);
}

static int
try_slice(uint32_t offset, uint32_t length, size_t inline_len)
{
	Pd__Slice s = PD__SLICE__INIT;
	Pd__SubmitAdd a = PD__SUBMIT_ADD__INIT;
	int r;

	s.offset = offset;
	s.length = length;
	s.inline_data = binary(inline_len);
	a.length = UINT32_MAX;
	a.slice = &s;
	r = try_frame(IPC_FEED, 0, &s.base, IPC_FROM_CLIENT);
	assert_int_equal(
		try_frame(IPC_SUBMIT_DATA_ADD, 0, &a.base, IPC_FROM_CLIENT), r);
	return r;
}

static void
slice_bounds(void **state)
{
	union bodies u;

	assert_int_equal(try_slice(0, 0, 0), IPC_E_BODY);
	assert_int_equal(try_slice(0, 1, 0), 0);
	assert_int_equal(try_slice(0, IPC_SLICE_MAX, 0), 0);
	assert_int_equal(try_slice(0, IPC_SLICE_MAX + 1, 0), IPC_E_BODY);
	assert_int_equal(try_slice(UINT32_MAX - 10, 10, 0), 0);
	assert_int_equal(try_slice(UINT32_MAX - 10, 11, 0), IPC_E_BODY);
	assert_int_equal(try_slice(0, IPC_INLINE_MAX, IPC_INLINE_MAX), 0);
	assert_int_equal(try_slice(0, IPC_INLINE_MAX + 1, IPC_INLINE_MAX + 1),
		IPC_E_BODY);
	assert_int_equal(try_slice(0, 9, 10), IPC_E_BODY);
	assert_int_equal(try_slice(1, 10, 10), IPC_E_BODY);
	make_submit_add(&u);
	u.submit_add.length = 99; /* the slice is longer */
	assert_int_equal(try_frame(IPC_SUBMIT_CI_ADD, 0, &u.submit_add.base,
				 IPC_FROM_CLIENT),
		IPC_E_BODY);
	u.submit_add.slice = NULL;
	assert_int_equal(try_frame(IPC_SUBMIT_CI_ADD, 0, &u.submit_add.base,
				 IPC_FROM_CLIENT),
		IPC_E_BODY);
}

static int
try_range(enum ipc_type type, uint32_t offset, uint32_t length)
{
	Pd__Range r = PD__RANGE__INIT;

	r.offset = offset;
	r.length = length;
	return try_frame(type, 0, &r.base,
		type == IPC_RETURN ? IPC_FROM_CLIENT : IPC_FROM_DAEMON);
}

static void
range_bounds(void **state)
{
	static const enum ipc_type types[] = {IPC_RETURN, IPC_RELEASED};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		assert_int_equal(try_range(types[i], 0, 0), IPC_E_BODY);
		assert_int_equal(try_range(types[i], 0, 1u << 20), 0);
		assert_int_equal(
			try_range(types[i], 0, (1u << 20) + 1), IPC_E_BODY);
		assert_int_equal(
			try_range(types[i], UINT32_MAX, 1), IPC_E_BODY);
	}
}

static int
try_complete(uint32_t range_len, size_t inline_len)
{
	Pd__Complete c = PD__COMPLETE__INIT;
	Pd__Range r = PD__RANGE__INIT;

	r.length = range_len;
	c.range = range_len > 0 ? &r : NULL;
	c.inline_data = binary(inline_len);
	return try_frame(IPC_COMPLETE, 0, &c.base, IPC_FROM_DAEMON);
}

static void
complete_bounds(void **state)
{
	Pd__Complete c = PD__COMPLETE__INIT;
	Pd__Range r = PD__RANGE__INIT;
	uint8_t data[2 * IPC_COMPLETE_SIZE];

	assert_int_equal(try_complete(0, 0), 0);
	assert_int_equal(try_complete(IPC_READ_MAX, 0), 0);
	assert_int_equal(try_complete(IPC_READ_MAX + 1, 0), IPC_E_BODY);
	assert_int_equal(try_complete(0, IPC_INLINE_MAX), 0);
	assert_int_equal(try_complete(0, IPC_INLINE_MAX + 1), IPC_E_BODY);
	assert_int_equal(try_complete(1, 1), IPC_E_BODY);
	/* The largest one keeps the promise. */
	c.code = c.bytes = r.offset = r.length = UINT32_MAX;
	c.offset = UINT64_MAX;
	c.has_offset = 1;
	c.range = &r;
	assert_in_range(frame(data, IPC_COMPLETE, UINT64_MAX, 0, &c.base), 1,
		IPC_COMPLETE_SIZE);
	assert_in_range(
		ipc_frame_bound(IPC_COMPLETE, &c.base), 1, IPC_COMPLETE_SIZE);
}

static int
try_need(uint32_t length)
{
	Pd__Need n = PD__NEED__INIT;

	n.length = length;
	return try_frame(IPC_NEED, 0, &n.base, IPC_FROM_DAEMON);
}

static void
need_bounds(void **state)
{
	assert_int_equal(try_need(0), IPC_E_BODY);
	assert_int_equal(try_need(1), 0);
	assert_int_equal(try_need(IPC_SLICE_MAX + 1), IPC_E_BODY);
}

static void
identifier_bounds(void **state)
{
	static const struct {
		size_t len;
		int result;
	} cases[] = {{0, IPC_E_BODY}, {1, 0}, {IPC_IDENTIFIER_MAX, 0},
		{IPC_IDENTIFIER_MAX + 1, IPC_E_BODY}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ProtobufCBinaryData id = binary(cases[i].len);
		union bodies u;
		int want = cases[i].result;

		make_publish_open(&u);
		u.publish_open.identifier = id;
		assert_int_equal(try_frame(IPC_PUBLISH_OPEN, 0,
					 &u.publish_open.base, IPC_FROM_CLIENT),
			want);
		make_identifier(&u);
		u.identifier.identifier = id;
		assert_int_equal(try_frame(IPC_UNPUBLISH, 0, &u.identifier.base,
					 IPC_FROM_CLIENT),
			want);
		make_info_open(&u);
		u.info_open.identifier = id;
		assert_int_equal(try_frame(IPC_INFO_OPEN, 0, &u.info_open.base,
					 IPC_FROM_CLIENT),
			want);
		make_server_cancel(&u);
		u.server_cancel.identifier = id;
		assert_int_equal(
			try_frame(IPC_SERVER_CANCEL, 0, &u.server_cancel.base,
				IPC_FROM_CLIENT),
			want);
		make_submit_publish_file(&u);
		u.submit_publish_file.identifier = id;
		assert_int_equal(
			try_frame(IPC_SUBMIT_PUBLISH_FILE, 1,
				&u.submit_publish_file.base, IPC_FROM_CLIENT),
			want);
	}
}

static void
tag_bounds(void **state)
{
	for (size_t len = 0; len <= 40; len++) {
		union bodies u;
		int want = len == 16 ? 0 : IPC_E_BODY;

		make_content_open(&u);
		u.content_open.tag = binary(len);
		assert_int_equal(try_frame(IPC_CONTENT_OPEN, 0,
					 &u.content_open.base, IPC_FROM_CLIENT),
			want);
		make_submit_flush(&u);
		u.submit_flush.tag = binary(len);
		assert_int_equal(try_frame(IPC_SUBMIT_FLUSH, 0,
					 &u.submit_flush.base, IPC_FROM_CLIENT),
			want);
	}
}

static int
try_path(const char *text, size_t len)
{
	Pd__SubmitPublishStanding b = PD__SUBMIT_PUBLISH_STANDING__INIT;

	b.path = (ProtobufCBinaryData){len, (uint8_t *)text};
	return try_frame(
		IPC_SUBMIT_PUBLISH_STANDING, 1, &b.base, IPC_FROM_CLIENT);
}

static void
path_bounds(void **state)
{
	char path[IPC_PATH_MAX + 1];

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	assert_int_equal(try_path(path, 0), IPC_E_BODY);
	assert_int_equal(try_path(path, 1), 0);
	assert_int_equal(try_path(path, IPC_PATH_MAX), 0);
	assert_int_equal(try_path(path, IPC_PATH_MAX + 1), IPC_E_BODY);
	assert_int_equal(try_path("/a\0b", 4), IPC_E_BODY);
	assert_int_equal(try_path("a", 1), IPC_E_BODY);
}

static void
unknown_fields_are_ignored(void **state)
{
	uint8_t data[256];
	union bodies u;
	size_t len =
		frame(data, IPC_CLIENT_CANCEL, 1, 0, make_client_cancel(&u));
	struct ipc_msg m;

	/* Field 1000 as a string, field 1001 as a number. */
	memcpy(data + len,
		"\xC2\x3E\x03"
		"new\xC8\x3E\x05",
		9);
	set_length(data, len + 9);
	assert_int_equal(ipc_parse(&m, data, len + 9, IPC_FROM_CLIENT), 0);
	assert_true(m.u.client_cancel->operation == ipc_op_id(7, 9));
	ipc_msg_done(&m);
	/* A frame without body may get one in a later version. */
	len = frame(data, IPC_STATUS_GET, 1, 0, NULL);
	memcpy(data + len, "\x08\x01", 2);
	set_length(data, len + 2);
	assert_int_equal(ipc_parse(&m, data, len + 2, IPC_FROM_CLIENT), 0);
	assert_null(m.u.base);
	ipc_msg_done(&m);
}

static void
every_cut_of_every_frame_is_harmless(void **state)
{
	uint8_t *data = malloc(IPC_FRAME_MAX);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		union bodies u;
		size_t len = frame(data, rows[i].type, 1, fds_of(&rows[i]),
			rows[i].make(&u));

		for (size_t n = IPC_HEADER_SIZE; n < MIN_OF(len, 200); n++) {
			/* A copy of this size, for the sanitizers. */
			uint8_t *cut = malloc(n);
			int r;

			memcpy(cut, data, n);
			set_length(cut, n);
			r = parse_once(cut, n, rows[i].from & IPC_FROM_CLIENT);
			assert_true(
				r == 0 || r == IPC_E_BODY || r == IPC_E_SENDER);
			free(cut);
		}
	}
	free(data);
}

/* Two bytes of the frame would become a structure each. */
static void
a_frame_cannot_expand_without_bound(void **state)
{
	uint8_t *data = calloc(1, IPC_FRAME_MAX);
	size_t len = frame(data, IPC_SUBMIT_DATA_ADD, 1, 0,
		make_submit_add(&(union bodies){0}));

	while (len + 2 <= IPC_FRAME_MAX) {
		data[len++] = 0x22;
		data[len++] = 0x00;
	}
	set_length(data, len);
	assert_int_equal(parse_once(data, len, IPC_FROM_CLIENT), IPC_E_BODY);
	free(data);
}

struct parse_args {
	const uint8_t *data;
	size_t len;
	enum ipc_from from;
};

static int
scenario_parse(void *arg)
{
	const struct parse_args *a = arg;

	return parse_once(a->data, a->len, a->from);
}

/* Hand-written bodies are what protobuf-c writes, and are read as it reads. */
static void
check_hot(enum ipc_type type, enum ipc_from from, const ProtobufCMessage *m)
{
	uint8_t general[256], hot[256], again[256];
	struct ipc_msg got;
	size_t n = protobuf_c_message_pack(m, general);
	size_t len = ipc_build_at(hot, type, 7, 0, m);

	assert_int_equal(len, IPC_HEADER_SIZE + n);
	assert_memory_equal(hot + IPC_HEADER_SIZE, general, n);
	assert_int_equal(ipc_parse(&got, hot, len, from), IPC_OK);
	assert_int_equal(protobuf_c_message_pack(got.u.base, again), n);
	assert_memory_equal(again, general, n);
	ipc_msg_done(&got);
}

static void
hot_bodies_are_canonical(void **state)
{
	static const uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384,
		0x1fffff, 0x0fffffff, 0x10000000, UINT32_MAX, 1ull << 35,
		1ull << 62, 1ull << 63, UINT64_MAX};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		uint64_t v = numbers[i], w = numbers[(i * 5 + 3) % 14];
		Pd__ClientCancel cancel = PD__CLIENT_CANCEL__INIT;
		Pd__Complete done = PD__COMPLETE__INIT;
		Pd__Range range = PD__RANGE__INIT;
		Pd__Reply reply = PD__REPLY__INIT;

		cancel.handle = v;
		cancel.operation = w;
		check_hot(IPC_CLIENT_CANCEL, IPC_FROM_CLIENT, &cancel.base);
		reply.code = (uint32_t)v;
		reply.handle = w;
		check_hot(IPC_ACK, IPC_FROM_DAEMON, &reply.base);
		reply.value = (uint32_t)w;
		check_hot(IPC_REPLY, IPC_FROM_DAEMON, &reply.base);
		done.code = (uint32_t)w;
		done.bytes = (uint32_t)v;
		done.offset = v;
		done.has_offset = i % 2 != 0;
		check_hot(IPC_COMPLETE, IPC_FROM_DAEMON, &done.base);
		range.length = 4096;
		done.range = &range;
		check_hot(IPC_COMPLETE, IPC_FROM_DAEMON, &done.base);
	}
}

/* Cut off, repeated, reordered, unknown: whatever the shape, the answer is
 * protobuf-c's. */
static void
hot_bodies_are_judged_as_others(void **state)
{
	static const uint8_t keys[] = {
		0x08, 0x09, 0x10, 0x11, 0x18, 0x20, 0x28, 0x2a, 0x32, 0x38};
	uint8_t frame_bytes[64];

	srand(5);
	for (unsigned i = 0; i < 200000; i++) {
		static const enum ipc_type types[] = {
			IPC_CLIENT_CANCEL, IPC_REPLY, IPC_COMPLETE};
		enum ipc_type type = types[i % 3];
		size_t n = (size_t)rand() % 24;
		struct ipc_msg m;
		ProtobufCMessage *want;
		uint8_t a[512], b[512];
		int r;

		ipc_build_at(frame_bytes, IPC_STATUS_GET, 1, 0, NULL);
		frame_bytes[0] = (uint8_t)(IPC_HEADER_SIZE + n);
		frame_bytes[4] = (uint8_t)type;
		for (size_t k = 0; k < n; k++)
			frame_bytes[16 + k] = rand() % 3 == 0
				? keys[rand() % 10]
				: (uint8_t)(rand() % 4 ? rand() % 128 : rand());
		want = protobuf_c_message_unpack(type == IPC_CLIENT_CANCEL
				? &pd__client_cancel__descriptor
				: type == IPC_REPLY ? &pd__reply__descriptor
						    : &pd__complete__descriptor,
			NULL, n, frame_bytes + 16);
		r = ipc_parse(&m, frame_bytes, 16 + n,
			type == IPC_CLIENT_CANCEL ? IPC_FROM_CLIENT
						  : IPC_FROM_DAEMON);
		if (want == NULL) {
			assert_int_equal(r, IPC_E_BODY);
			continue;
		}
		if (r == IPC_OK) {
			size_t len = protobuf_c_message_pack(m.u.base, a);

			assert_int_equal(protobuf_c_message_pack(want, b), len);
			assert_memory_equal(a, b, len);
			ipc_msg_done(&m);
		} else {
			/* Well-formed, but out of a frame's own bounds. */
			assert_int_equal(type, IPC_COMPLETE);
		}
		protobuf_c_message_free_unpacked(want, NULL);
	}
}

static void
ordinary_frames_take_no_memory(void **state)
{
	uint8_t *data = malloc(IPC_FRAME_MAX);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		union bodies u;
		struct parse_args a = {
			.data = data, .from = sender_of(&rows[i])};

		if (rows[i].type == IPC_UNPUBLISH)
			continue; /* 32 KiB here */
		a.len = frame(data, rows[i].type, 1, fds_of(&rows[i]),
			rows[i].make(&u));
		assert_int_equal(failalloc_each(scenario_parse, &a), 0);
	}
	free(data);
}

static void
large_frames_survive_failing_allocations(void **state)
{
	uint8_t *data = malloc(IPC_FRAME_MAX);
	union bodies u;
	struct parse_args a = {data, 0, IPC_FROM_CLIENT};

	a.len = frame(data, IPC_UNPUBLISH, 1, 0, make_identifier(&u));
	assert_true(failalloc_each(scenario_parse, &a) > 0);
	free(data);
}

static void
too_large_a_body_is_not_built(void **state)
{
	Pd__AdminText t = PD__ADMIN_TEXT__INIT;
	char *text = malloc(IPC_FRAME_MAX + 1);
	struct buf b;

	memset(text, 'x', IPC_FRAME_MAX);
	text[IPC_FRAME_MAX] = '\0';
	t.json = text;
	buf_init(&b, SIZE_MAX);
	assert_int_equal(
		ipc_build(&b, IPC_ADMIN_TEXT, 1, 0, &t.base), -EMSGSIZE);
	assert_int_equal(b.len, 0);
	text[IPC_FRAME_MAX - 100] = '\0';
	assert_int_equal(ipc_build(&b, IPC_ADMIN_TEXT, 1, 0, &t.base), 0);
	buf_done(&b);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_is_little_endian),
		cmocka_unit_test(header_refuses_impossible_lengths),
		cmocka_unit_test(every_frame_comes_back),
		cmocka_unit_test(frames_of_the_other_side_are_refused),
		cmocka_unit_test(unknown_types_leave_the_header),
		cmocka_unit_test(descriptors_are_counted),
		cmocka_unit_test(hello_bounds),
		cmocka_unit_test(slice_bounds),
		cmocka_unit_test(range_bounds),
		cmocka_unit_test(complete_bounds),
		cmocka_unit_test(need_bounds),
		cmocka_unit_test(identifier_bounds),
		cmocka_unit_test(tag_bounds),
		cmocka_unit_test(path_bounds),
		cmocka_unit_test(unknown_fields_are_ignored),
		cmocka_unit_test(every_cut_of_every_frame_is_harmless),
		cmocka_unit_test(a_frame_cannot_expand_without_bound),
		cmocka_unit_test(hot_bodies_are_canonical),
		cmocka_unit_test(hot_bodies_are_judged_as_others),
		cmocka_unit_test(ordinary_frames_take_no_memory),
		cmocka_unit_test(large_frames_survive_failing_allocations),
		cmocka_unit_test(too_large_a_body_is_not_built),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
