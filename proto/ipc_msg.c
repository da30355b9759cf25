/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A frame is parsed in this order: header, type, sender, descriptors, body,
 * bounds; the first thing wrong is what the caller hears.
 *
 * The body is decoded by protobuf-c into memory that ipc_msg brings along: the
 * allocator below hands out the arena front to back, and single malloc()s
 * behind it, kept on a list that ipc_msg_done() frees.  Its free does nothing,
 * so the many frees of a decoder that gives up half-way cost nothing and
 * cannot go wrong.
 *
 * A sender can make a body expand: an empty sub-message of two bytes takes a
 * structure each time it is repeated.  What one frame may take is therefore
 * bounded, and a frame over the bound is malformed, not a lack of memory.
 *
 * Frames without byte strings have a small constant bound.  They are packed
 * straight into place, without a first pass that only counts.
 */
#include "proto/ipc_msg.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/macros.h"
#include "common/rd.h"

#define ARENA_ALIGN    16u
#define ARENA_PLAIN    256u /* no payload is in a frame that takes less */
#define OVERFLOW_BOUND (512u * 1024u)
#define NAME_BOUND     256u
#define ID_BOUND       64u
#define AREA_BOUND     (1u << 30)
#define AREA_UNIT      4096u

/* struct ipc_header lies in memory as in the frame, but for the byte order. */
_Static_assert(sizeof(struct ipc_header) == IPC_HEADER_SIZE &&
		offsetof(struct ipc_header, type) == 4 &&
		offsetof(struct ipc_header, n_fds) == 6 &&
		offsetof(struct ipc_header, flags) == 7 &&
		offsetof(struct ipc_header, id) == 8,
	"one copy each way");

struct overflow {
	struct overflow *next;
	size_t size;
	_Alignas(ARENA_ALIGN) uint8_t bytes[];
};

struct arena {
	struct ipc_msg *msg;
	size_t overflow_used;
	bool no_memory;
};

struct frame_row {
	const char *name;
	enum ipc_from from;
	const ProtobufCMessageDescriptor *body; /* NULL: none */
	/* Meaning of the body; NULL: nothing to check. */
	bool (*check)(const struct ipc_msg *, enum ipc_from);
};

static void *
arena_alloc(void *ctx, size_t size)
{
	struct arena *a = ctx;
	struct ipc_msg *m = a->msg;
	struct overflow *o;

	if (size <= sizeof(m->arena)) {
		size_t take = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1u);

		if (take <= sizeof(m->arena) - m->arena_used) {
			m->arena_used += take;
			return m->arena + m->arena_used - take;
		}
	}
	if (size > OVERFLOW_BOUND - a->overflow_used)
		return NULL;
	o = malloc(sizeof(*o) + size);
	if (o == NULL) {
		a->no_memory = true;
		return NULL;
	}
	a->overflow_used += size;
	o->size = size;
	o->next = m->overflow;
	m->overflow = o;
	return o->bytes;
}

static void
arena_free(void *ctx, void *p)
{
}

static bool
identifier_ok(const ProtobufCBinaryData *b)
{
	return b->len >= 1 && b->len <= IPC_IDENTIFIER_MAX;
}

static bool
range_ok(const Pd__Range *r, uint32_t max)
{
	return r->length >= 1 && r->length <= max &&
		r->offset <= UINT32_MAX - r->length;
}

/* Either the bytes themselves, or where they lie. */
static bool
slice_ok(const Pd__Slice *s)
{
	if (s->inline_data.len > 0)
		return s->inline_data.len <= IPC_INLINE_MAX &&
			s->length == s->inline_data.len && s->offset == 0;
	return s->length >= 1 && s->length <= IPC_SLICE_MAX &&
		s->offset <= UINT32_MAX - s->length;
}

static bool
check_hello(const struct ipc_msg *m, enum ipc_from from)
{
	const Pd__Hello *h = m->u.hello;

	if (h->min_version < 1 || h->max_version < h->min_version ||
		strlen(h->name) > NAME_BOUND)
		return false;
	if (m->header.n_fds == 0)
		return h->write_size == 0 && h->read_size == 0;
	return h->write_size > 0 && h->write_size <= AREA_BOUND &&
		h->write_size % AREA_UNIT == 0 && h->read_size > 0 &&
		h->read_size <= AREA_BOUND && h->read_size % AREA_UNIT == 0;
}

static bool
check_complete(const struct ipc_msg *m, enum ipc_from from)
{
	const Pd__Complete *c = m->u.complete;

	if (c->range != NULL)
		return c->inline_data.len == 0 &&
			range_ok(c->range, IPC_READ_MAX);
	return c->inline_data.len <= IPC_INLINE_MAX;
}

static bool
check_need(const struct ipc_msg *m, enum ipc_from from)
{
	return m->u.need->length >= 1 && m->u.need->length <= IPC_SLICE_MAX;
}

static bool
check_slice(const struct ipc_msg *m, enum ipc_from from)
{
	return slice_ok(m->u.slice);
}

static bool
check_range(const struct ipc_msg *m, enum ipc_from from)
{
	return range_ok(m->u.range,
		from == IPC_FROM_CLIENT ? IPC_READ_MAX : IPC_SLICE_MAX);
}

static bool
check_publish_open(const struct ipc_msg *m, enum ipc_from from)
{
	return identifier_ok(&m->u.publish_open->identifier);
}

static bool
check_identifier(const struct ipc_msg *m, enum ipc_from from)
{
	return identifier_ok(&m->u.identifier->identifier);
}

static bool
check_info_open(const struct ipc_msg *m, enum ipc_from from)
{
	return identifier_ok(&m->u.info_open->identifier);
}

static bool
check_server_cancel(const struct ipc_msg *m, enum ipc_from from)
{
	return identifier_ok(&m->u.server_cancel->identifier);
}

static bool
check_publish_file(const struct ipc_msg *m, enum ipc_from from)
{
	return identifier_ok(&m->u.submit_publish_file->identifier);
}

static bool
check_content_open(const struct ipc_msg *m, enum ipc_from from)
{
	return m->u.content_open->tag.len == IPC_TAG_SIZE;
}

static bool
check_flush(const struct ipc_msg *m, enum ipc_from from)
{
	return m->u.submit_flush->tag.len == IPC_TAG_SIZE;
}

static bool
check_publish_standing(const struct ipc_msg *m, enum ipc_from from)
{
	const Pd__SubmitPublishStanding *p = m->u.submit_publish_standing;

	return p->path.len >= 1 && p->path.len <= IPC_PATH_MAX &&
		p->path.data[0] == '/' &&
		memchr(p->path.data, '\0', p->path.len) == NULL;
}

static bool
check_cache(const struct ipc_msg *m, enum ipc_from from)
{
	const Pd__AdminCache *c = m->u.admin_cache;

	return c->action >= 1 && c->action < _IPC_CACHE_MAX &&
		(c->tag.len == 0 || c->tag.len == IPC_TAG_SIZE) &&
		c->after.len <= ID_BOUND && c->limit <= IPC_ROWS_MAX &&
		c->cache < _IPC_CACHE_KIND_MAX && strlen(c->size) <= NAME_BOUND;
}

static bool
check_published(const struct ipc_msg *m, enum ipc_from from)
{
	const Pd__AdminPublished *p = m->u.admin_published;

	return p->action >= 1 && p->action < _IPC_PUBLISHED_MAX &&
		p->limit <= IPC_ROWS_MAX;
}

static bool
check_secret(const struct ipc_msg *m, enum ipc_from from)
{
	const Pd__AdminSecret *s = m->u.admin_secret;

	if (s->action < 1 || s->action >= _IPC_SECRET_MAX ||
		s->passphrase_length > IPC_PASSPHRASE_MAX ||
		s->blob_length > IPC_KEY_BLOB_MAX)
		return false;
	return (s->action == IPC_SECRET_FINGERPRINT) == (m->header.n_fds == 0);
}

static bool
check_peers(const struct ipc_msg *m, enum ipc_from from)
{
	const Pd__AdminPeers *p = m->u.admin_peers;

	return p->action >= 1 && p->action < _IPC_PEERS_MAX &&
		strlen(p->address) <= NAME_BOUND;
}

static bool
check_probe(const struct ipc_msg *m, enum ipc_from from)
{
	const Pd__AdminProbe *p = m->u.admin_probe;

	return p->id.len == IPC_PROBE_ID_SIZE && p->version <= 2;
}

static bool
check_explain(const struct ipc_msg *m, enum ipc_from from)
{
	const Pd__AdminExplain *e = m->u.admin_explain;

	if (e->id_size != 32 && e->id_size != 48 && e->id_size != 64)
		return false;
	return e->ids.len >= 1 && e->ids.len % e->id_size == 0 &&
		e->ids.len / e->id_size <= IPC_IDS_MAX;
}

static bool
check_mode(const struct ipc_msg *m, enum ipc_from from)
{
	const Pd__AdminMode *b = m->u.admin_mode;

	return b->action >= 1 && b->action < _IPC_MODE_MAX &&
		strlen(b->mode) <= NAME_BOUND;
}

static bool
check_add(const struct ipc_msg *m, enum ipc_from from)
{
	const Pd__SubmitAdd *a = m->u.submit_add;

	return a->slice != NULL && slice_ok(a->slice) &&
		a->slice->length <= a->length;
}

#define BODY_none          NULL, NULL
#define BODY_hello         &pd__hello__descriptor, check_hello
#define BODY_reply         &pd__reply__descriptor, NULL
#define BODY_status        &pd__status__descriptor, NULL
#define BODY_complete      &pd__complete__descriptor, check_complete
#define BODY_need          &pd__need__descriptor, check_need
#define BODY_slice         &pd__slice__descriptor, check_slice
#define BODY_range         &pd__range__descriptor, check_range
#define BODY_publish_open  &pd__publish_open__descriptor, check_publish_open
#define BODY_handle        &pd__handle__descriptor, NULL
#define BODY_identifier    &pd__identifier__descriptor, check_identifier
#define BODY_info_open     &pd__info_open__descriptor, check_info_open
#define BODY_server_cancel &pd__server_cancel__descriptor, check_server_cancel
#define BODY_content_open  &pd__content_open__descriptor, check_content_open
#define BODY_client_cancel &pd__client_cancel__descriptor, NULL
#define BODY_submit_add    &pd__submit_add__descriptor, check_add
#define BODY_submit_publish_file \
	&pd__submit_publish_file__descriptor, check_publish_file
#define BODY_submit_retrieve &pd__submit_retrieve__descriptor, NULL
#define BODY_submit_read     &pd__submit_read__descriptor, NULL
#define BODY_submit_flush    &pd__submit_flush__descriptor, check_flush
#define BODY_admin_request   &pd__admin_request__descriptor, NULL
#define BODY_admin_text      &pd__admin_text__descriptor, NULL
#define BODY_submit_publish_standing \
	&pd__submit_publish_standing__descriptor, check_publish_standing
#define BODY_progress        &pd__progress__descriptor, NULL
#define BODY_admin_cache     &pd__admin_cache__descriptor, check_cache
#define BODY_admin_published &pd__admin_published__descriptor, check_published
#define BODY_admin_secret    &pd__admin_secret__descriptor, check_secret
#define BODY_admin_peers     &pd__admin_peers__descriptor, check_peers
#define BODY_admin_probe     &pd__admin_probe__descriptor, check_probe
#define BODY_admin_explain   &pd__admin_explain__descriptor, check_explain
#define BODY_admin_mode      &pd__admin_mode__descriptor, check_mode

static const struct frame_row frame_rows[IPC_TYPE_LIMIT] = {
#define X(n, number, body_, from_) \
	[number] = {#n, IPC_FROM_##from_, BODY_##body_},
	IPC_FRAMES(X)
#undef X
};

static const struct frame_row *
frame_row(unsigned type)
{
	if (type >= IPC_TYPE_LIMIT || frame_rows[type].name == NULL)
		return NULL;
	return &frame_rows[type];
}

const char *
ipc_type_name(unsigned type)
{
	const struct frame_row *row = frame_row(type);

	return row != NULL ? row->name : "?";
}

static bool
fds_ok(unsigned type, enum ipc_from from, unsigned n)
{
	switch (type) {
	case IPC_HELLO:
		return n <= (from == IPC_FROM_DAEMON ? 1 : 0);
	case IPC_SUBMIT_PUBLISH_FILE:
	case IPC_SUBMIT_PUBLISH_STANDING:
		return n == 1;
	case IPC_ADMIN_SECRET:
		return n <= 1;
	default:
		return n == 0;
	}
}

int
ipc_parse_header(struct ipc_header *ret, const uint8_t *data, size_t len)
{
	struct ipc_header h;

	if (len < IPC_HEADER_SIZE)
		return -EAGAIN;
	memcpy(&h, data, sizeof(h));
	ret->length = le32toh(h.length);
	ret->type = le16toh(h.type);
	ret->n_fds = h.n_fds;
	ret->flags = h.flags;
	ret->id = le64toh(h.id);
	if (ret->length < IPC_HEADER_SIZE || ret->length > IPC_FRAME_MAX)
		return IPC_E_LENGTH;
	return IPC_OK;
}

/*
 * Hot shapes.  A cancel, its completion and its answer are what the design load
 * is made of, and protobuf-c, which walks a description for each field, would
 * be most of what they cost in user space.  The bodies that they have in
 * practice are written and read by hand; whatever looks different takes the
 * general way.  The bytes are the same, which a test compares.
 */

/* Field number and wire type of a one-byte key. */
#define KEY(field, wire) ((uint8_t)((field) << 3 | (wire)))
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2 };

static uint8_t *
put_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

/* A number that is 0 is not written at all. */
static uint8_t *
put_number(uint8_t *p, unsigned field, uint64_t v)
{
	if (v == 0)
		return p;
	*p++ = KEY(field, WIRE_VARINT);
	return put_varint(p, v);
}

static size_t
pack_reply(uint8_t *dst, const Pd__Reply *r)
{
	uint8_t *p = put_number(dst, 1, r->code);
	uint64_t handle = htole64(r->handle);

	if (handle != 0) {
		*p++ = KEY(2, WIRE_FIXED64);
		memcpy(p, &handle, sizeof(handle));
		p += sizeof(handle);
	}
	return (size_t)(put_number(p, 3, r->value) - dst);
}

static size_t
pack_complete(uint8_t *dst, const Pd__Complete *c)
{
	uint8_t *p = put_number(dst, 1, c->code);

	p = put_number(p, 2, c->bytes);
	p = put_number(p, 3, c->offset);
	return (size_t)(put_number(p, 4, c->has_offset != 0) - dst);
}

/* The packed size; 0 bytes is a size too, so the general way is SIZE_MAX. */
static size_t
pack_hot(uint8_t *dst, enum ipc_type type, const ProtobufCMessage *body)
{
	const Pd__Complete *c = (const Pd__Complete *)body;

	if (body->n_unknown_fields != 0)
		return SIZE_MAX;
	if (type == IPC_REPLY || type == IPC_ACK)
		return pack_reply(dst, (const Pd__Reply *)body);
	if (type == IPC_COMPLETE && c->range == NULL && c->inline_data.len == 0)
		return pack_complete(dst, c);
	return SIZE_MAX;
}

/* A number of at most max_bytes; false: the general way must judge it. */
static bool
get_varint(struct rd *r, unsigned max_bytes, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < max_bytes; i++) {
		uint8_t b = rd_u8(r);

		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (b < 0x80) {
			*ret = v;
			return rd_ok(r);
		}
	}
	return false;
}

static bool
parse_reply(Pd__Reply *m, struct rd *r)
{
	uint64_t v;

	while (rd_left(r) > 0) {
		switch (rd_u8(r)) {
		case KEY(1, WIRE_VARINT):
			if (!get_varint(r, 4, &v))
				return false;
			m->code = (uint32_t)v;
			break;
		case KEY(2, WIRE_FIXED64):
			m->handle = rd_le64(r);
			break;
		default:
			return false;
		}
	}
	return rd_ok(r);
}

static bool
parse_complete(Pd__Complete *m, struct rd *r)
{
	uint64_t v;

	while (rd_left(r) > 0) {
		uint8_t key = rd_u8(r);

		if (!get_varint(r, key == KEY(3, WIRE_VARINT) ? 9 : 4, &v))
			return false;
		switch (key) {
		case KEY(1, WIRE_VARINT):
			m->code = (uint32_t)v;
			break;
		case KEY(2, WIRE_VARINT):
			m->bytes = (uint32_t)v;
			break;
		case KEY(3, WIRE_VARINT):
			m->offset = v;
			break;
		case KEY(4, WIRE_VARINT):
			m->has_offset = v != 0;
			break;
		default:
			return false;
		}
	}
	return true;
}

static bool
parse_client_cancel(Pd__ClientCancel *m, struct rd *r)
{
	if (rd_u8(r) != KEY(1, WIRE_FIXED64))
		return false;
	m->handle = rd_le64(r);
	if (rd_u8(r) != KEY(2, WIRE_FIXED64))
		return false;
	m->operation = rd_le64(r);
	return rd_ok(r) && rd_left(r) == 0;
}

#define CANCEL_LENGTH (IPC_HEADER_SIZE + 2 * (1 + sizeof(uint64_t)))

uint64_t
ipc_guess_operation(const struct ipc_header *h, const uint8_t *data)
{
	uint64_t op;

	if (h->type >= IPC_SUBMIT_STREAM_ADD &&
		h->type <= IPC_SUBMIT_PUBLISH_STANDING)
		return h->id;
	if (h->type != IPC_CLIENT_CANCEL || h->length != CANCEL_LENGTH)
		return 0;
	memcpy(&op, data + CANCEL_LENGTH - sizeof(op), sizeof(op));
	return le64toh(op);
}

_Static_assert(sizeof(Pd__Complete) <= sizeof(((struct ipc_msg *)0)->arena),
	"hot bodies lie in the arena");

static bool
parse_hot(struct ipc_msg *m, const uint8_t *data, size_t len)
{
	void *body = m->arena;
	struct rd r;
	bool ok;

	rd_init(&r, data, len);
	switch (m->header.type) {
	case IPC_CLIENT_CANCEL:
		*(Pd__ClientCancel *)body =
			(Pd__ClientCancel)PD__CLIENT_CANCEL__INIT;
		ok = parse_client_cancel(body, &r);
		break;
	case IPC_REPLY:
	case IPC_ACK:
		*(Pd__Reply *)body = (Pd__Reply)PD__REPLY__INIT;
		ok = parse_reply(body, &r);
		break;
	case IPC_COMPLETE:
		*(Pd__Complete *)body = (Pd__Complete)PD__COMPLETE__INIT;
		ok = parse_complete(body, &r);
		break;
	default:
		return false;
	}
	if (ok)
		m->u.base = body;
	return ok;
}

static int
parse_body(struct ipc_msg *m, const struct frame_row *row, const uint8_t *data,
	size_t len)
{
	struct arena arena = {.msg = m};
	ProtobufCAllocator allocator = {arena_alloc, arena_free, &arena};

	if (parse_hot(m, data, len))
		return IPC_OK;
	m->u.base = protobuf_c_message_unpack(row->body, &allocator, len, data);
	if (m->u.base != NULL)
		return IPC_OK;
	return arena.no_memory ? err_new(-ENOMEM) : IPC_E_BODY;
}

int
ipc_parse(struct ipc_msg *ret, const uint8_t *data, size_t len,
	enum ipc_from from)
{
	const struct frame_row *row;
	int r;

	ret->u.base = NULL;
	ret->arena_used = 0;
	ret->overflow = NULL;
	if (ipc_parse_header(&ret->header, data, len) != IPC_OK ||
		ret->header.length != len)
		return IPC_E_LENGTH;
	if (ret->header.n_fds > IPC_FDS_MAX)
		return IPC_E_FDS;
	row = frame_row(ret->header.type);
	if (row == NULL)
		return IPC_E_UNKNOWN;
	if ((row->from & from) == 0)
		return IPC_E_SENDER;
	if (!fds_ok(ret->header.type, from, ret->header.n_fds))
		return IPC_E_FDS;
	if (ret->header.flags != 0)
		return IPC_E_BODY;
	if (row->body == NULL)
		return IPC_OK;
	r = parse_body(ret, row, data + IPC_HEADER_SIZE, len - IPC_HEADER_SIZE);
	if (r == IPC_OK && row->check != NULL && !row->check(ret, from))
		r = IPC_E_BODY;
	if (r != IPC_OK)
		ipc_msg_done(ret);
	return r;
}

void
ipc_msg_done(struct ipc_msg *m)
{
	struct overflow *o, *next;

	for (o = m->overflow; o != NULL; o = next) {
		next = o->next;
		explicit_bzero(o->bytes, o->size);
		free(o);
	}
	/* Content information and data come inside frames, too. */
	if (m->arena_used > ARENA_PLAIN)
		explicit_bzero(m->arena, m->arena_used);
	m->arena_used = 0;
	m->overflow = NULL;
	m->u.base = NULL;
}

/* At least the packed size of the body, and not much more. */
static size_t
body_bound(enum ipc_type type, const ProtobufCMessage *body)
{
	switch (type) {
	case IPC_ACK:
	case IPC_REPLY:
		return 21;
	case IPC_COMPLETE:
		return 48 + ((const Pd__Complete *)body)->inline_data.len;
	default:
		return protobuf_c_message_get_packed_size(body);
	}
}

size_t
ipc_frame_bound(enum ipc_type type, const ProtobufCMessage *body)
{
	return IPC_HEADER_SIZE + (body != NULL ? body_bound(type, body) : 0);
}

size_t
ipc_build_at(uint8_t *dst, enum ipc_type type, uint64_t id, unsigned n_fds,
	const ProtobufCMessage *body)
{
	struct ipc_header h = {0};
	size_t len = IPC_HEADER_SIZE;

	assert(frame_row(type) != NULL && n_fds <= IPC_FDS_MAX);
	assert((body != NULL ? body->descriptor : NULL) ==
		frame_rows[type].body);
	if (body != NULL) {
		size_t n = pack_hot(dst + IPC_HEADER_SIZE, type, body);

		if (n == SIZE_MAX)
			n = protobuf_c_message_pack(
				body, dst + IPC_HEADER_SIZE);
		len += n;
	}
	assert(len <= IPC_FRAME_MAX);
	h.length = htole32((uint32_t)len);
	h.type = htole16((uint16_t)type);
	h.n_fds = (uint8_t)n_fds;
	h.id = htole64(id);
	memcpy(dst, &h, sizeof(h));
	return len;
}

int
ipc_build(struct buf *b, enum ipc_type type, uint64_t id, unsigned n_fds,
	const ProtobufCMessage *body)
{
	size_t len = IPC_HEADER_SIZE;
	uint8_t *dst;

	if (body != NULL)
		len += protobuf_c_message_get_packed_size(body);
	if (len > IPC_FRAME_MAX)
		return err_new(-EMSGSIZE);
	dst = buf_extend(b, len);
	if (dst == NULL)
		return err_pass(buf_error(b));
	ipc_build_at(dst, type, id, n_fds, body);
	return 0;
}
