/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSG_GETBLKLIST and MSG_BLKLIST: which blocks of a segment somebody has.
 *
 * Ranges are read in any order, overlapping, empty and reaching beyond what a
 * segment can have, into a set; they are written from a set, so what goes out
 * is sorted, disjoint and merged.
 */
#include "codec/pccrr.h"

#include "codec/pccrr_priv.h"
#include "common/err.h"
#include "common/macros.h"

#define WORD_BITS 64u

/* The first block at or behind from whose bit is not that of flip. */
static uint32_t
next_differing(const struct pccrr_set *s, uint32_t from, uint64_t flip)
{
	uint64_t ahead;

	while (from < PCCRR_BLOCKS_MAX) {
		ahead = (s->words[from / WORD_BITS] ^ flip) >> from % WORD_BITS;
		if (ahead != 0)
			return from + (uint32_t)__builtin_ctzll(ahead);
		from = (from / WORD_BITS + 1) * WORD_BITS;
	}
	return PCCRR_BLOCKS_MAX;
}

uint32_t
pccrr_set_next(const struct pccrr_set *s, uint32_t from)
{
	return next_differing(s, from, 0);
}

/* Counts the ranges, and writes them if there is somewhere to write. */
static uint32_t
write_ranges(struct buf *b, const struct pccrr_set *s)
{
	uint32_t first = pccrr_set_next(s, 0), end, n = 0;

	for (; first < PCCRR_BLOCKS_MAX; n++) {
		end = next_differing(s, first, UINT64_MAX);
		if (b != NULL) {
			buf_be32(b, first);
			buf_be32(b, end - first);
		}
		first = pccrr_set_next(s, end);
	}
	return n;
}

static int
read_ranges(struct rd *r, struct pccrr_set *ret)
{
	uint32_t n = rd_be32(r);
	struct pccrr_set s = {0};

	if (!rd_ok(r))
		return PCCRR_E_SHORT;
	if (n > PCCRR_RANGES_MAX || (uint64_t)n * PCCRR_RANGE_SIZE > rd_left(r))
		return PCCRR_E_MALFORMED;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = rd_be32(r);
		uint64_t end = (uint64_t)index + rd_be32(r);

		end = MIN_OF(end, PCCRR_BLOCKS_MAX);
		for (; index < end; index++)
			pccrr_set_add(&s, index);
	}
	*ret = s;
	return 0;
}

int
pccrr_parse_getblklist(
	struct pccrr_getblklist *ret, const uint8_t *data, size_t len)
{
	struct pccrr_getblklist m;
	struct rd r;
	int e;

	e = pccrr_open_request(&r, &m.header, PCCRR_GETBLKLIST, data, len);
	if (e == 0)
		e = pccrr_open_id(&r, &m.id, &m.id_len);
	/* MSG_GETBLKLIST wants 1 to 256 ranges; test peers send none and wait
	 * for an answer that is empty. */
	if (e == 0)
		e = read_ranges(&r, &m.needed);
	if (e == 0)
		e = pccrr_close_message(&r);
	if (e == 0)
		*ret = m;
	return e;
}

int
pccrr_parse_blklist(struct pccrr_blklist *ret, const uint8_t *data, size_t len)
{
	struct pccrr_blklist m;
	struct rd r;
	int e;

	e = pccrr_open_answer(&r, &m.header, PCCRR_BLKLIST, data, len);
	if (e == 0)
		e = pccrr_open_id(&r, &m.id, &m.id_len);
	if (e == 0)
		e = read_ranges(&r, &m.held);
	if (e != 0)
		return e;
	m.next_block = rd_be32(&r);
	e = pccrr_close_message(&r);
	if (e == 0)
		*ret = m;
	return e;
}

int
pccrr_build_getblklist(struct buf *b, const struct pccrr_getblklist *m)
{
	uint32_t n = write_ranges(NULL, &m->needed);

	if (!pccrr_id_valid(m->id_len) || m->header.algo >= _PCCRR_ALGO_MAX)
		return err_new(-EINVAL);
	pccrr_write_header(b, PCCRR_GETBLKLIST,
		PCCRR_HEADER_SIZE + 4 + m->id_len + 4 + n * PCCRR_RANGE_SIZE,
		m->header.algo);
	pccrr_write_field(b, m->id, m->id_len);
	buf_be32(b, n);
	(void)write_ranges(b, &m->needed);
	return err_pass(buf_error(b));
}

int
pccrr_build_blklist(struct buf *b, const struct pccrr_blklist *m)
{
	uint32_t n = write_ranges(NULL, &m->held);

	if (!pccrr_id_valid(m->id_len) || m->header.algo >= _PCCRR_ALGO_MAX)
		return err_new(-EINVAL);
	pccrr_write_answer(b, PCCRR_BLKLIST,
		PCCRR_HEADER_SIZE + 4 + m->id_len + 4 + n * PCCRR_RANGE_SIZE +
			4,
		m->header.algo);
	pccrr_write_field(b, m->id, m->id_len);
	buf_be32(b, n);
	(void)write_ranges(b, &m->held);
	buf_be32(b, m->next_block);
	return err_pass(buf_error(b));
}
