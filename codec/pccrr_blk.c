/* SPDX-License-Identifier: BSD-2-Clause */
/* MSG_GETBLKS and MSG_BLK: one block asked for, one block sent. */
#include "codec/pccrr.h"

#include <string.h>

#include "codec/pccrr_priv.h"
#include "common/err.h"

/* The smallest block of all ranges.  What lies beyond the last possible block
 * cannot be had; {0, 0}, which test peers send, asks for nothing at all. */
static int
read_smallest(struct rd *r, struct pccrr_getblks *m)
{
	uint32_t n = rd_be32(r);

	if (!rd_ok(r))
		return PCCRR_E_SHORT;
	if (n > PCCRR_RANGES_MAX || (uint64_t)n * PCCRR_RANGE_SIZE > rd_left(r))
		return PCCRR_E_MALFORMED;
	m->nothing = true;
	m->block = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = rd_be32(r);
		uint32_t count = rd_be32(r);

		if (count > 0 && index < PCCRR_BLOCKS_MAX &&
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

	e = pccrr_open_request(&r, &m.header, PCCRR_GETBLKS, data, len);
	if (e == 0)
		e = pccrr_open_id(&r, &m.id, &m.id_len);
	if (e == 0)
		e = read_smallest(&r, &m);
	if (e != 0)
		return e;
	/* MSG_GETBLKS: DataForVrfBlock has no meaning in any version */
	(void)pccrr_read_last(&r, &verify_len);
	e = pccrr_close_message(&r);
	if (e == 0)
		*ret = m;
	return e;
}

static int
read_blk_body(struct rd *r, struct pccrr_blk *m)
{
	uint32_t verify_len;
	int e = pccrr_open_id(r, &m->id, &m->id_len);

	if (e != 0)
		return e;
	m->block = rd_be32(r);
	m->next_block = rd_be32(r);
	m->data = pccrr_read_field(r, &m->data_len);
	(void)pccrr_read_field(r, &verify_len);
	m->iv = pccrr_read_last(r, &m->iv_len);
	return pccrr_close_message(r);
}

int
pccrr_parse_blk(struct pccrr_blk *ret, const uint8_t *data, size_t len)
{
	struct pccrr_blk m;
	struct rd r;
	int e;

	e = pccrr_open_answer(&r, &m.header, PCCRR_BLK, data, len);
	if (e == 0)
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

int
pccrr_build_getblks(struct buf *b, const struct pccrr_getblks *m)
{
	if (!pccrr_id_valid(m->id_len) || m->header.algo >= _PCCRR_ALGO_MAX)
		return err_new(-EINVAL);
	pccrr_write_header(b, PCCRR_GETBLKS,
		PCCRR_HEADER_SIZE + 4 + m->id_len + 4 + PCCRR_RANGE_SIZE + 4,
		m->header.algo);
	pccrr_write_field(b, m->id, m->id_len);
	buf_be32(b, 1);
	buf_be32(b, m->block);
	buf_be32(b, m->nothing ? 0 : 1);
	buf_be32(b, 0);
	return err_pass(buf_error(b));
}

static uint8_t *
put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
	return p + 4;
}

/* Up to where the data begins.  Written into place in one go: it is built for
 * every block that is served. */
static int
write_blk_head(struct buf *b, const struct pccrr_blk *m, uint32_t iv_len)
{
	uint32_t head = PCCRR_HEADER_SIZE + 4 + m->id_len + 8 + 4;
	uint64_t size = (uint64_t)head + m->data_len + pccrr_pad(m->data_len) +
		4 + 4 + iv_len;
	uint8_t *p;

	if (size > PCCRR_RESPONSE_MAX)
		return err_new(-EMSGSIZE);
	p = buf_extend(b, PCCRR_TRANSPORT_SIZE + head);
	if (p == NULL)
		return err_pass(buf_error(b));
	p = put_be32(p, (uint32_t)size);
	p = put_be32(p, 1); /* version 1.0 */
	p = put_be32(p, PCCRR_BLK);
	p = put_be32(p, (uint32_t)size);
	p = put_be32(p, m->header.algo);
	p = put_be32(p, m->id_len);
	memcpy(p, m->id, m->id_len); /* of a length that wants no padding */
	p = put_be32(p + m->id_len, m->block);
	p = put_be32(p, m->next_block);
	(void)put_be32(p, m->data_len);
	return 0;
}

int
pccrr_build_blk_head(struct buf *b, const struct pccrr_blk *m)
{
	if (!pccrr_id_valid(m->id_len) || m->data_len == 0 ||
		pccrr_pad(m->data_len) != 0 || m->header.algo == PCCRR_NONE ||
		m->header.algo >= _PCCRR_ALGO_MAX)
		return err_new(-EINVAL);
	return err_pass(write_blk_head(b, m, PCCRR_IV_SIZE));
}

int
pccrr_build_blk(struct buf *b, const struct pccrr_blk *m)
{
	bool sealed = m->data_len > 0 && m->header.algo != PCCRR_NONE;
	int e;

	if (!pccrr_id_valid(m->id_len) || m->header.algo >= _PCCRR_ALGO_MAX ||
		m->iv_len != (sealed ? PCCRR_IV_SIZE : 0))
		return err_new(-EINVAL);
	e = write_blk_head(b, m, m->iv_len);
	if (e != 0)
		return err_pass(e);
	if (m->data_len > 0)
		buf_append(b, m->data, m->data_len);
	buf_zero(b, pccrr_pad(m->data_len));
	buf_be32(b, 0);
	pccrr_write_field(b, m->iv, m->iv_len);
	return err_pass(buf_error(b));
}
