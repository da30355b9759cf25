/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MS-PCCRR, section "Message Syntax": what all messages have in common.
 *
 *   request   header(16) body
 *   answer    size(4) header(16) body
 *
 * A variable field is its length (4), its bytes and zero padding to the next
 * multiple of 4.  The last field of a message has no padding; peers that send
 * some all the same are understood, so padding at the very end may be there or
 * not, whole or in part.  Every other length must come out exactly.
 *
 * The bodies: pccrr_nego.c versions, pccrr_list.c which blocks, pccrr_blk.c one
 * block, pccrr_seg.c which segments; pccrr_blob.c the ages of segments that the
 * last one and discovery carry.
 */
#include "codec/pccrr.h"

#include "codec/pccrr_priv.h"

bool
pccrr_id_valid(uint32_t len)
{
	return len == 32 || len == 48 || len == 64;
}

const uint8_t *
pccrr_read_field(struct rd *r, uint32_t *ret_len)
{
	const uint8_t *bytes;

	*ret_len = rd_be32(r);
	bytes = rd_bytes(r, *ret_len);
	(void)rd_bytes(r, pccrr_pad(*ret_len));
	return bytes;
}

const uint8_t *
pccrr_read_last(struct rd *r, uint32_t *ret_len)
{
	const uint8_t *bytes;

	*ret_len = rd_be32(r);
	bytes = rd_bytes(r, *ret_len);
	if (rd_ok(r) && rd_left(r) <= pccrr_pad(*ret_len))
		(void)rd_bytes(r, rd_left(r));
	return bytes;
}

/* NULL without the error: a length that no segment id has. */
static const uint8_t *
read_id(struct rd *r, uint32_t *ret_len)
{
	struct rd ahead = *r;
	uint32_t len = rd_be32(&ahead);

	/* a length that no hash has is told apart from a message cut off */
	if (rd_ok(&ahead) && !pccrr_id_valid(len)) {
		*ret_len = len;
		return NULL;
	}
	return pccrr_read_field(r, ret_len);
}

int
pccrr_open_id(struct rd *r, const uint8_t **ret_id, uint32_t *ret_len)
{
	*ret_id = read_id(r, ret_len);
	if (!rd_ok(r))
		return PCCRR_E_SHORT;
	return *ret_id == NULL ? PCCRR_E_MALFORMED : 0;
}

int
pccrr_close_message(const struct rd *r)
{
	if (!rd_ok(r))
		return PCCRR_E_SHORT;
	return rd_left(r) > 0 ? PCCRR_E_MALFORMED : 0;
}

int
pccrr_parse_header(struct pccrr_header *ret, const uint8_t *data, size_t len)
{
	struct pccrr_header h;
	struct rd r;

	if (len > PCCRR_RESPONSE_MAX)
		return PCCRR_E_TOO_BIG;
	if (len == 0) /* then data may be NULL */
		return PCCRR_E_SHORT;
	rd_init(&r, data, len);
	h.minor = rd_be16(&r);
	h.major = rd_be16(&r);
	h.type = rd_be32(&r);
	h.size = rd_be32(&r);
	h.algo = rd_be32(&r);
	if (!rd_ok(&r))
		return PCCRR_E_SHORT;
	if (h.size != len || h.algo >= _PCCRR_ALGO_MAX)
		return PCCRR_E_MALFORMED;
	if (h.type >= _PCCRR_TYPE_MAX)
		return PCCRR_E_UNSUPPORTED;
	*ret = h;
	return 0;
}

static int
open_message(struct rd *r, struct pccrr_header *ret, uint32_t type)
{
	int e = pccrr_parse_header(ret, r->pos, rd_left(r));

	if (e != 0)
		return e;
	/* MESSAGE_HEADER: the minor number never matters, and all messages
	 * mean the same in both major versions. */
	if (ret->type != type || ret->major < 1 || ret->major > 2)
		return PCCRR_E_UNSUPPORTED;
	(void)rd_bytes(r, PCCRR_HEADER_SIZE);
	return 0;
}

int
pccrr_open_request(struct rd *r, struct pccrr_header *ret, uint32_t type,
	const uint8_t *data, size_t len)
{
	if (len > PCCRR_REQUEST_MAX)
		return PCCRR_E_TOO_BIG;
	if (len == 0)
		return PCCRR_E_SHORT;
	rd_init(r, data, len);
	return open_message(r, ret, type);
}

int
pccrr_open_answer(struct rd *r, struct pccrr_header *ret, uint32_t type,
	const uint8_t *data, size_t len)
{
	if (len > PCCRR_TRANSPORT_SIZE + PCCRR_RESPONSE_MAX)
		return PCCRR_E_TOO_BIG;
	if (len == 0)
		return PCCRR_E_SHORT;
	rd_init(r, data, len);
	/* TRANSPORT_RESPONSE_HEADER: counts all that follows it */
	if (rd_be32(r) != rd_left(r))
		return rd_ok(r) ? PCCRR_E_MALFORMED : PCCRR_E_SHORT;
	if (!rd_ok(r))
		return PCCRR_E_SHORT;
	return open_message(r, ret, type);
}

void
pccrr_write_header(struct buf *b, uint32_t type, uint32_t size, uint32_t algo)
{
	/* MESSAGE_HEADER: the version goes with the type, not with the peer */
	buf_be16(b, 0);
	buf_be16(b, type >= PCCRR_GETSEGLIST ? 2 : 1);
	buf_be32(b, type);
	buf_be32(b, size);
	buf_be32(b, algo);
}

void
pccrr_write_answer(struct buf *b, uint32_t type, uint32_t size, uint32_t algo)
{
	buf_be32(b, size);
	pccrr_write_header(b, type, size, algo);
}

void
pccrr_write_field(struct buf *b, const uint8_t *bytes, uint32_t len)
{
	buf_be32(b, len);
	if (len > 0)
		buf_append(b, bytes, len);
	buf_zero(b, pccrr_pad(len));
}
