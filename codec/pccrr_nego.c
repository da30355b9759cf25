/* SPDX-License-Identifier: BSD-2-Clause */
/* MSG_NEGO_REQ and MSG_NEGO_RESP: which versions the sender speaks.  What the
 * two ends of a range mean for each other is for the reader to judge. */
#include "codec/pccrr.h"

#include "codec/pccrr_priv.h"
#include "common/err.h"

#define NEGO_SIZE (PCCRR_HEADER_SIZE + 8u)

static int
read_nego(struct pccrr_nego *m, struct rd *r)
{
	/* the minor number comes first, as in the header */
	m->min_minor = rd_be16(r);
	m->min_major = rd_be16(r);
	m->max_minor = rd_be16(r);
	m->max_major = rd_be16(r);
	return pccrr_close_message(r);
}

int
pccrr_parse_nego_req(struct pccrr_nego *ret, const uint8_t *data, size_t len)
{
	struct pccrr_header h;
	struct pccrr_nego m;
	struct rd r;
	int e;

	e = pccrr_open_request(&r, &m.header, PCCRR_NEGO_REQ, data, len);
	/* MSG_NEGO_REQ is of version 1.0 always: there is nothing to negotiate
	 * about the version in which versions are negotiated. */
	if (e == PCCRR_E_UNSUPPORTED &&
		pccrr_parse_header(&h, data, len) == 0 &&
		h.type == PCCRR_NEGO_REQ)
		return PCCRR_E_MALFORMED;
	if (e == 0)
		e = read_nego(&m, &r);
	if (e == 0)
		*ret = m;
	return e;
}

int
pccrr_parse_nego_resp(struct pccrr_nego *ret, const uint8_t *data, size_t len)
{
	struct pccrr_nego m;
	struct rd r;
	int e;

	e = pccrr_open_answer(&r, &m.header, PCCRR_NEGO_RESP, data, len);
	if (e == 0)
		e = read_nego(&m, &r);
	if (e == 0)
		*ret = m;
	return e;
}

static int
write_nego(struct buf *b, const struct pccrr_nego *m)
{
	buf_be16(b, m->min_minor);
	buf_be16(b, m->min_major);
	buf_be16(b, m->max_minor);
	buf_be16(b, m->max_major);
	return err_pass(buf_error(b));
}

int
pccrr_build_nego_req(struct buf *b, const struct pccrr_nego *m)
{
	if (m->header.algo >= _PCCRR_ALGO_MAX)
		return err_new(-EINVAL);
	pccrr_write_header(b, PCCRR_NEGO_REQ, NEGO_SIZE, m->header.algo);
	return err_pass(write_nego(b, m));
}

int
pccrr_build_nego_resp(struct buf *b, const struct pccrr_nego *m)
{
	if (m->header.algo >= _PCCRR_ALGO_MAX)
		return err_new(-EINVAL);
	pccrr_write_answer(b, PCCRR_NEGO_RESP, NEGO_SIZE, m->header.algo);
	return err_pass(write_nego(b, m));
}
