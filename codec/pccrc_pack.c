/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A description as it is kept on disk: what was hashed, and nothing that a key
 * went into.  Segment secrets are made anew from the server's key when it is
 * unpacked.
 *
 *	u8	1, the format
 *	u8	versions, PCCRC_MAKE_*
 *	u64	length of the content, not 0
 *	version 1: the hash of each 64 KiB block, 32 bytes
 *	version 2: for each segment u32 length, 32 bytes of HoD
 *
 * Little-endian.  How many hashes there are follows from the lengths, so there
 * is one form for each description and nothing that could contradict itself.
 * HoDs of version 1 are hashes of the block lists, and so not kept.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrc_desc.h"
#include "common/err.h"
#include "common/macros.h"
#include "common/rd.h"

#define FORMAT   1u
#define HEADER   10u
#define HASH     32u
#define V2_ENTRY (4u + HASH)

static uint64_t
blocks_of(uint64_t length)
{
	return length / PCCRC_BLOCK_SIZE + (length % PCCRC_BLOCK_SIZE != 0);
}

/* Block lists without their counts. */
static void
pack_v1(const struct pccrc_desc *d, struct buf *b)
{
	const uint8_t *list = pccrc_desc_v1_lists(d);
	const uint8_t *end = d->v1 + d->v1_len;

	while (list < end) {
		size_t len = MIN_OF((size_t)(end - list), V1_FULL_LIST);

		buf_append(b, list + V1_COUNT_SIZE, len - V1_COUNT_SIZE);
		list += len;
	}
}

static void
pack_v2(const struct pccrc_desc *d, struct buf *b)
{
	const uint8_t *entry = d->v2;
	uint64_t end;

	for (size_t i = 0; i < d->v2_segments; i++, entry += V2_ENTRY_SIZE) {
		end = i + 1 < d->v2_segments ? d->starts[i + 1] : d->length;
		buf_le32(b, (uint32_t)(end - d->starts[i]));
		buf_append(b, entry + 4, HASH);
	}
}

int
pccrc_desc_pack(const struct pccrc_desc *d, struct buf *b)
{
	if (d->length == 0)
		return err_new(-EINVAL);
	buf_u8(b, FORMAT);
	buf_u8(b, (uint8_t)d->versions);
	buf_le64(b, d->length);
	if (d->versions & PCCRC_MAKE_V1)
		pack_v1(d, b);
	if (d->versions & PCCRC_MAKE_V2)
		pack_v2(d, b);
	return err_pass(buf_error(b));
}

/* Segments of version 2 in so many bytes; 0: it cannot be. */
static size_t
count_v2(uint64_t length, unsigned versions, size_t len)
{
	uint64_t blocks = versions & PCCRC_MAKE_V1 ? blocks_of(length) : 0;
	size_t rest;

	if (len < HEADER || blocks > (len - HEADER) / HASH)
		return 0;
	rest = len - HEADER - (size_t)blocks * HASH;
	return rest % V2_ENTRY == 0 ? rest / V2_ENTRY : 0;
}

void
pccrc_packed_count(uint64_t length, unsigned versions, size_t len,
	struct pccrc_counts *ret)
{
	*ret = (struct pccrc_counts){0};
	if (versions & PCCRC_MAKE_V1) {
		ret->v1_blocks = blocks_of(length);
		ret->v1_segments = length / PCCRC_SEGMENT_SIZE +
			(length % PCCRC_SEGMENT_SIZE != 0);
	}
	if (versions & PCCRC_MAKE_V2)
		ret->v2_segments = count_v2(length, versions, len);
}

/* The hasher as it was when the content had been hashed; its block hashes stay
 * where they are. */
struct unpacked {
	struct pccrc_pub pub;
	struct rd r;
};

static int
unpack_v1(struct unpacked *u)
{
	uint64_t n = blocks_of(u->pub.length);

	if (n > rd_left(&u->r) / HASH)
		return err_new(-EBADMSG);
	u->pub.n_blocks = (size_t)n;
	u->pub.hashes = (uint8_t *)rd_bytes(&u->r, (size_t)n * HASH);
	return 0;
}

/* As pccrc_cut() makes them: only the last may be short. */
static bool
pieces_ok(const struct pccrc_pub *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < p->n_pieces; i++) {
		uint32_t len = p->pieces[i].len;

		if (len > PCCRC_CUT_MAX || len == 0 ||
			(len < PCCRC_CUT_MIN && i + 1 < p->n_pieces))
			return false;
		sum += len;
	}
	return sum == p->length;
}

static int
unpack_v2(struct unpacked *u)
{
	struct pccrc_pub *p = &u->pub;
	size_t n = rd_left(&u->r) / V2_ENTRY;

	if (n == 0)
		return err_new(-EBADMSG);
	p->pieces = malloc(n * sizeof(*p->pieces));
	if (p->pieces == NULL)
		return err_new(-ENOMEM);
	p->n_pieces = n;
	for (size_t i = 0; i < n; i++) {
		p->pieces[i].len = rd_le32(&u->r);
		rd_copy(&u->r, p->pieces[i].hod, HASH);
	}
	return pieces_ok(p) ? 0 : err_new(-EBADMSG);
}

static int
unpack(struct unpacked *u)
{
	uint8_t format = rd_u8(&u->r);
	int r = 0;

	u->pub.make = rd_u8(&u->r);
	u->pub.length = rd_le64(&u->r);
	if (format != FORMAT || u->pub.make == 0 ||
		(u->pub.make & ~(PCCRC_MAKE_V1 | PCCRC_MAKE_V2)) != 0 ||
		u->pub.length == 0)
		return err_new(-EBADMSG);
	if (u->pub.make & PCCRC_MAKE_V1)
		r = unpack_v1(u);
	if (r == 0 && u->pub.make & PCCRC_MAKE_V2)
		r = unpack_v2(u);
	if (r == 0 && (!rd_ok(&u->r) || rd_left(&u->r) != 0))
		r = err_new(-EBADMSG);
	return err_pass(r);
}

int
pccrc_desc_unpack(const uint8_t *bytes, size_t len, struct bulk *bulk,
	const uint8_t *key, size_t key_len, struct pccrc_desc **ret_desc)
{
	struct unpacked u = {.pub = {.set = true}};
	int r;

	rd_init(&u.r, bytes, len);
	r = unpack(&u);
	if (r == 0)
		r = pccrc_pub_finish(&u.pub, bulk, key, key_len, ret_desc);
	free(u.pub.pieces);
	return err_pass(r);
}
