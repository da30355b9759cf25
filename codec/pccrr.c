/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MS-PCCRR, section "Message Syntax".
 *
 *   request   header(16) body
 *   answer    size(4) header(16) body
 *
 * A variable field is its length (4), its bytes and zero padding to the next
 * multiple of 4.  The last field of a message has no padding; peers that send
 * some all the same are understood, so padding at the very end may be there or
 * not, whole or in part.  Every other length must come out exactly.
 */
#include "codec/pccrr.h"

#include <string.h>

#include "common/err.h"
#include "common/rd.h"

#define HEADER_SIZE    16u
#define TRANSPORT_SIZE 4u
#define RANGES_MAX     256u /* most non-touching ranges in 512 blocks */
#define BLOCKS_MAX     512u

static uint32_t
pad_of(uint32_t len)
{
	return -len & 3;
}

static bool
id_len_valid(uint32_t len)
{
	return len == 32 || len == 48 || len == 64;
}

/* A variable field that others follow. */
static const uint8_t *
read_field(struct rd *r, uint32_t *ret_len)
{
	const uint8_t *bytes;

	*ret_len = rd_be32(r);
	bytes = rd_bytes(r, *ret_len);
	(void)rd_bytes(r, pad_of(*ret_len));
	return bytes;
}

/* The field that ends the message. */
static const uint8_t *
read_last_field(struct rd *r, uint32_t *ret_len)
{
	const uint8_t *bytes;

	*ret_len = rd_be32(r);
	bytes = rd_bytes(r, *ret_len);
	if (rd_ok(r) && rd_left(r) <= pad_of(*ret_len))
		(void)rd_bytes(r, rd_left(r));
	return bytes;
}

static const uint8_t *
read_id(struct rd *r, uint32_t *ret_len)
{
	struct rd ahead = *r;
	uint32_t len = rd_be32(&ahead);

	/* a length that no hash has is told apart from a message cut off */
	if (rd_ok(&ahead) && !id_len_valid(len)) {
		*ret_len = len;
		return NULL;
	}
	return read_field(r, ret_len);
}

int
pccrr_parse_header(struct pccrr_header *ret, const uint8_t *data, size_t len)
{
	struct pccrr_header h;
	struct rd r;

	if (len > PCCRR_RESPONSE_MAX)
		return PCCRR_E_TOO_BIG;
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

/* The header of a message of this type; *r is left at its body. */
static int
open_message(struct rd *r, struct pccrr_header *ret, uint32_t type)
{
	int e = pccrr_parse_header(ret, r->pos, rd_left(r));

	if (e != 0)
		return e;
	/* MESSAGE_HEADER: the minor number never matters, and block messages
	 * mean the same in both major versions. */
	if (ret->type != type || ret->major < 1 || ret->major > 2)
		return PCCRR_E_UNSUPPORTED;
	(void)rd_bytes(r, HEADER_SIZE);
	return 0;
}

/* The smallest block of all ranges.  What lies beyond the last possible block
 * cannot be had; {0, 0}, which test peers send, asks for nothing at all. */
static int
read_ranges(struct rd *r, struct pccrr_getblks *m)
{
	uint32_t n = rd_be32(r);

	if (!rd_ok(r))
		return PCCRR_E_SHORT;
	if (n > RANGES_MAX || (uint64_t)n * 8 > rd_left(r))
		return PCCRR_E_MALFORMED;
	m->nothing = true;
	m->block = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = rd_be32(r);
		uint32_t count = rd_be32(r);

		if (count > 0 && index < BLOCKS_MAX &&
			(m->nothing || index < m->block)) {
			m->nothing = false;
			m->block = index;
		} else if (i == 0) {
			m->block = index;
		}
	}
	return 0;
}

int
pccrr_parse_getblks(struct pccrr_getblks *ret, const uint8_t *data, size_t len)
{
	struct pccrr_getblks m;
	uint32_t verify_len;
	struct rd r;
	int e;

	if (len > PCCRR_REQUEST_MAX)
		return PCCRR_E_TOO_BIG;
	rd_init(&r, data, len);
	e = open_message(&r, &m.header, PCCRR_GETBLKS);
	if (e != 0)
		return e;
	m.id = read_id(&r, &m.id_len);
	if (!rd_ok(&r))
		return PCCRR_E_SHORT;
	if (m.id == NULL)
		return PCCRR_E_MALFORMED;
	e = read_ranges(&r, &m);
	if (e != 0)
		return e;
	/* MSG_GETBLKS: DataForVrfBlock has no meaning in any version */
	(void)read_last_field(&r, &verify_len);
	if (!rd_ok(&r))
		return PCCRR_E_SHORT;
	if (rd_left(&r) > 0)
		return PCCRR_E_MALFORMED;
	*ret = m;
	return 0;
}

static int
read_blk_body(struct rd *r, struct pccrr_blk *m)
{
	uint32_t verify_len;

	m->id = read_id(r, &m->id_len);
	if (!rd_ok(r))
		return PCCRR_E_SHORT;
	if (m->id == NULL)
		return PCCRR_E_MALFORMED;
	m->block = rd_be32(r);
	m->next_block = rd_be32(r);
	m->data = read_field(r, &m->data_len);
	(void)read_field(r, &verify_len);
	m->iv = read_last_field(r, &m->iv_len);
	if (!rd_ok(r))
		return PCCRR_E_SHORT;
	if (rd_left(r) > 0)
		return PCCRR_E_MALFORMED;
	return 0;
}

int
pccrr_parse_blk(struct pccrr_blk *ret, const uint8_t *data, size_t len)
{
	struct pccrr_blk m;
	struct rd r;
	int e;

	if (len > TRANSPORT_SIZE + PCCRR_RESPONSE_MAX)
		return PCCRR_E_TOO_BIG;
	rd_init(&r, data, len);
	/* TRANSPORT_RESPONSE_HEADER: counts all that follows it */
	if (rd_be32(&r) != rd_left(&r))
		return rd_ok(&r) ? PCCRR_E_MALFORMED : PCCRR_E_SHORT;
	if (!rd_ok(&r))
		return PCCRR_E_SHORT;
	e = open_message(&r, &m.header, PCCRR_BLK);
	if (e != 0)
		return e;
	e = read_blk_body(&r, &m);
	if (e != 0)
		return e;
	if (m.data_len == 0 || m.header.algo == PCCRR_NONE) {
		m.iv = NULL;
		m.iv_len = 0;
	} else if (m.iv_len != PCCRR_IV_SIZE) {
		return PCCRR_E_MALFORMED;
	}
	if (m.data_len == 0)
		m.data = NULL;
	*ret = m;
	return 0;
}

static void
write_header(struct buf *b, uint32_t type, uint32_t size, uint32_t algo)
{
	buf_be16(b, 0);
	buf_be16(b, 1);
	buf_be32(b, type);
	buf_be32(b, size);
	buf_be32(b, algo);
}

static void
write_field(struct buf *b, const uint8_t *bytes, uint32_t len)
{
	buf_be32(b, len);
	if (len > 0)
		buf_append(b, bytes, len);
	buf_zero(b, pad_of(len));
}

int
pccrr_build_getblks(struct buf *b, const struct pccrr_getblks *m)
{
	if (!id_len_valid(m->id_len) || m->header.algo >= _PCCRR_ALGO_MAX)
		return err_new(-EINVAL);
	write_header(b, PCCRR_GETBLKS, HEADER_SIZE + 4 + m->id_len + 4 + 8 + 4,
		m->header.algo);
	write_field(b, m->id, m->id_len);
	buf_be32(b, 1);
	buf_be32(b, m->block);
	buf_be32(b, m->nothing ? 0 : 1);
	buf_be32(b, 0);
	return err_pass(buf_error(b));
}

int
pccrr_build_blk(struct buf *b, const struct pccrr_blk *m)
{
	bool sealed = m->data_len > 0 && m->header.algo != PCCRR_NONE;
	uint64_t size;

	if (!id_len_valid(m->id_len) || m->header.algo >= _PCCRR_ALGO_MAX ||
		m->iv_len != (sealed ? PCCRR_IV_SIZE : 0))
		return err_new(-EINVAL);
	size = (uint64_t)HEADER_SIZE + 4 + m->id_len + 8 + 4 + m->data_len +
		pad_of(m->data_len) + 4 + 4 + m->iv_len;
	if (size > PCCRR_RESPONSE_MAX)
		return err_new(-EMSGSIZE);
	buf_be32(b, (uint32_t)size);
	write_header(b, PCCRR_BLK, (uint32_t)size, m->header.algo);
	write_field(b, m->id, m->id_len);
	buf_be32(b, m->block);
	buf_be32(b, m->next_block);
	write_field(b, m->data, m->data_len);
	buf_be32(b, 0);
	write_field(b, m->iv, m->iv_len);
	return err_pass(buf_error(b));
}
