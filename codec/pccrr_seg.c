/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSG_GETSEGLIST and MSG_SEGLIST: which of these segments a hosted cache has.
 * The answer names them by their positions in the question, and its ages by
 * positions counted from the first one named.
 */
#include "codec/pccrr.h"

#include <string.h>

#include "codec/pccrr_priv.h"
#include "common/err.h"

/* What comes before the ids or ranges: RequestID and their number. */
#define LIST_START (PCCRR_HEADER_SIZE + PCCRR_RID_SIZE + 4u)
#define ID_LEN_MIN 32u
#define AGE_SIZE   4u

static int
read_ids(struct rd *r, struct pccrr_getseglist *m, size_t max_ids)
{
	uint32_t n = rd_be32(r);
	int e = 0;

	if (!rd_ok(r))
		return PCCRR_E_SHORT;
	/* the documents leave no id open; Windows does not answer it */
	if (n == 0 || (uint64_t)n * (4 + ID_LEN_MIN) > rd_left(r))
		return PCCRR_E_MALFORMED;
	if (n > max_ids)
		return PCCRR_E_TOO_BIG;
	for (uint32_t i = 0; i < n && e == 0; i++)
		e = pccrr_open_id(r, &m->ids[i].bytes, &m->ids[i].len);
	m->n_ids = n;
	return e;
}

int
pccrr_parse_getseglist(struct pccrr_getseglist *ret,
	struct pccrr_segment_id *ids, size_t max_ids, const uint8_t *data,
	size_t len)
{
	struct pccrr_getseglist m = {.ids = ids};
	struct rd r;
	int e;

	e = pccrr_open_request(&r, &m.header, PCCRR_GETSEGLIST, data, len);
	if (e != 0)
		return e;
	rd_copy(&r, m.request, sizeof(m.request));
	e = read_ids(&r, &m, max_ids);
	if (e != 0)
		return e;
	m.blob = pccrr_read_last(&r, &m.blob_len);
	if (m.blob_len == 0)
		m.blob = NULL;
	e = pccrr_close_message(&r);
	if (e == 0)
		*ret = m;
	return e;
}

struct pccrr_segment_range
pccrr_seglist_range(const struct pccrr_seglist *m, size_t i)
{
	struct pccrr_segment_range range;
	struct rd r;

	rd_init(&r, m->ranges + i * PCCRR_RANGE_SIZE, PCCRR_RANGE_SIZE);
	range.index = rd_be32(&r);
	range.count = rd_be32(&r);
	return range;
}

/* SEGMENT_RANGE: Count is at least 1, and positions have 32 bits. */
static bool
range_valid(struct pccrr_segment_range range)
{
	return range.count > 0 &&
		(uint64_t)range.index + range.count <= UINT64_C(1) << 32;
}

static int
read_positions(struct rd *r, struct pccrr_seglist *m)
{
	uint32_t n = rd_be32(r);

	if (!rd_ok(r))
		return PCCRR_E_SHORT;
	if ((uint64_t)n * PCCRR_RANGE_SIZE > rd_left(r))
		return PCCRR_E_MALFORMED;
	m->n_ranges = n;
	m->ranges = rd_bytes(r, n * PCCRR_RANGE_SIZE);
	for (size_t i = 0; i < n; i++)
		if (!range_valid(pccrr_seglist_range(m, i)))
			return PCCRR_E_MALFORMED;
	return 0;
}

/* The blob is younger than the message: a sender may not know of it. */
static int
read_blob(struct rd *r, struct pccrr_seglist *m)
{
	struct pccrr_age first;

	if (rd_ok(r) && rd_left(r) == 0)
		return 0;
	m->blob = pccrr_read_last(r, &m->blob_len);
	if (rd_ok(r) && pccrr_parse_ages(&first, 1, m->blob, m->blob_len) == 0)
		m->blob_len = 0;
	if (m->blob_len == 0)
		m->blob = NULL;
	return pccrr_close_message(r);
}

int
pccrr_parse_seglist(struct pccrr_seglist *ret, const uint8_t *data, size_t len)
{
	struct pccrr_seglist m = {0};
	struct rd r;
	int e;

	e = pccrr_open_answer(&r, &m.header, PCCRR_SEGLIST, data, len);
	if (e != 0)
		return e;
	rd_copy(&r, m.request, sizeof(m.request));
	e = read_positions(&r, &m);
	if (e == 0)
		e = read_blob(&r, &m);
	if (e == 0)
		*ret = m;
	return e;
}

int
pccrr_build_getseglist(struct buf *b, const struct pccrr_getseglist *m)
{
	uint64_t size = (uint64_t)LIST_START + 4 + m->blob_len;

	if (m->n_ids == 0 || m->header.algo >= _PCCRR_ALGO_MAX)
		return err_new(-EINVAL);
	if (m->n_ids > PCCRR_SEGMENTS_MAX)
		return err_new(-EMSGSIZE);
	for (size_t i = 0; i < m->n_ids; i++) {
		if (!pccrr_id_valid(m->ids[i].len))
			return err_new(-EINVAL);
		size += 4 + m->ids[i].len;
	}
	if (size > PCCRR_REQUEST_MAX)
		return err_new(-EMSGSIZE);
	pccrr_write_header(b, PCCRR_GETSEGLIST, (uint32_t)size, m->header.algo);
	buf_append(b, m->request, sizeof(m->request));
	buf_be32(b, (uint32_t)m->n_ids);
	for (size_t i = 0; i < m->n_ids; i++)
		pccrr_write_field(b, m->ids[i].bytes, m->ids[i].len);
	/* the last field: without padding */
	buf_be32(b, m->blob_len);
	if (m->blob_len > 0)
		buf_append(b, m->blob, m->blob_len);
	return err_pass(buf_error(b));
}

int
pccrr_build_seglist(struct buf *b, const uint8_t request[PCCRR_RID_SIZE],
	const struct pccrr_segment_range *ranges, size_t n_ranges,
	const struct pccrr_age *ages, size_t n_ages)
{
	uint32_t blob_len = n_ages > 0 ? AGE_SIZE * ((uint32_t)n_ages + 1) : 0;
	uint64_t size;

	if (n_ages > UINT8_MAX)
		return err_new(-EINVAL);
	if (n_ranges > PCCRR_RESPONSE_MAX / PCCRR_RANGE_SIZE)
		return err_new(-EMSGSIZE);
	for (size_t i = 0; i < n_ranges; i++)
		if (!range_valid(ranges[i]))
			return err_new(-EINVAL);
	size = LIST_START + n_ranges * PCCRR_RANGE_SIZE + 4 + blob_len;
	if (size > PCCRR_RESPONSE_MAX)
		return err_new(-EMSGSIZE);
	pccrr_write_answer(b, PCCRR_SEGLIST, (uint32_t)size, PCCRR_NONE);
	buf_append(b, request, PCCRR_RID_SIZE);
	buf_be32(b, (uint32_t)n_ranges);
	for (size_t i = 0; i < n_ranges; i++) {
		buf_be32(b, ranges[i].index);
		buf_be32(b, ranges[i].count);
	}
	buf_be32(b, blob_len);
	if (n_ages > 0)
		return err_pass(pccrr_build_ages(b, ages, n_ages));
	return err_pass(buf_error(b));
}
