/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A content on its way to be described.
 *
 * Fed bytes are hashed where they lie.  Both versions go over them in windows
 * that fit the cache: first the blocks of version 1 in the window, then the
 * version 2 pieces that end in it; a batch of hashes each.  Only what is begun
 * and not complete when the feed ends is copied: less than a block, and less
 * than the longest piece.  Copied bytes are hashed from there, joined by their
 * missing rest, at the next feed.
 *
 * The unfinished piece is known to hold no cut, so a feed of few bytes does not
 * search it again.
 *
 * Room for all hashes of a feed is made before it begins.  When hashing itself
 * fails, the pub is of no more use and says so from then on.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrc_priv.h"
#include "common/err.h"
#include "common/macros.h"

#define WINDOW     (2u << 20)
#define MAX_BLOCKS (WINDOW / PCCRC_BLOCK_SIZE + 1)
/* The last piece of a window may begin in the one before. */
#define MAX_PIECES (WINDOW / PCCRC_CUT_MIN + 5)
#define BLOCK_HASH 32u

struct pccrc_pub *
pccrc_pub_new(unsigned make)
{
	struct pccrc_pub *p = calloc(1, sizeof(*p));

	assert(make != 0 && (make & ~(PCCRC_MAKE_V1 | PCCRC_MAKE_V2)) == 0);
	if (p == NULL)
		return NULL;
	p->make = make;
	if (make & PCCRC_MAKE_V1) {
		p->block = malloc(PCCRC_BLOCK_SIZE);
		if (p->block == NULL)
			return pccrc_pub_free(p);
	}
	if (make & PCCRC_MAKE_V2) {
		p->piece = malloc(PCCRC_CUT_MAX);
		if (p->piece == NULL)
			return pccrc_pub_free(p);
	}
	return p;
}

struct pccrc_pub *
pccrc_pub_free(struct pccrc_pub *p)
{
	if (p == NULL)
		return NULL;
	free(p->hashes);
	free(p->block);
	free(p->pieces);
	free(p->piece);
	free(p);
	return NULL;
}

/* The array with room for need, or NULL and the array is as it was. */
static void *
grow(void *array, size_t *room, size_t need, size_t size)
{
	size_t more = MAX_OF(MAX_OF(*room * 2, (size_t)64), need);
	void *p;

	if (need <= *room)
		return array;
	if (more > SIZE_MAX / size)
		return NULL;
	p = realloc(array, more * size);
	if (p != NULL)
		*room = more;
	return p;
}

static int
room_v1(struct pccrc_pub *p, size_t n_blocks)
{
	uint8_t *hashes =
		grow(p->hashes, &p->room_blocks, n_blocks, BLOCK_HASH);

	if (hashes == NULL)
		return err_new(-ENOMEM);
	p->hashes = hashes;
	return 0;
}

static int
room_v2(struct pccrc_pub *p, size_t n_pieces)
{
	struct pccrc_piece *pieces =
		grow(p->pieces, &p->room_pieces, n_pieces, sizeof(*pieces));

	if (pieces == NULL)
		return err_new(-ENOMEM);
	p->pieces = pieces;
	return 0;
}

static int
make_room(struct pccrc_pub *p, size_t len)
{
	int r = 0;

	if (p->make & PCCRC_MAKE_V1)
		r = room_v1(p, p->n_blocks + len / PCCRC_BLOCK_SIZE + 1);
	if (r == 0 && p->make & PCCRC_MAKE_V2)
		r = room_v2(p, p->n_pieces + len / PCCRC_CUT_MIN + 2);
	return err_pass(r);
}

/* The blocks that end in [*used, end) of data. */
static int
feed_v1(struct pccrc_pub *p, struct bulk *bulk, const uint8_t *data,
	size_t *used, size_t end)
{
	struct bulk_hash_job jobs[MAX_BLOCKS];
	uint8_t *digest = p->hashes + p->n_blocks * BLOCK_HASH;
	size_t n = 0, at = *used;

	if (p->block_len > 0 && end - at >= PCCRC_BLOCK_SIZE - p->block_len) {
		size_t rest = PCCRC_BLOCK_SIZE - p->block_len;

		memcpy(p->block + p->block_len, data + at, rest);
		at += rest;
		p->block_len = 0;
		jobs[n++] = (struct bulk_hash_job){
			p->block, PCCRC_BLOCK_SIZE, digest};
		digest += BLOCK_HASH;
	}
	if (p->block_len == 0) {
		for (; end - at >= PCCRC_BLOCK_SIZE; at += PCCRC_BLOCK_SIZE) {
			jobs[n++] = (struct bulk_hash_job){
				data + at, PCCRC_BLOCK_SIZE, digest};
			digest += BLOCK_HASH;
		}
	}
	*used = at;
	p->n_blocks += n;
	return err_pass(bulk_hash(bulk, BULK_SHA256, jobs, n));
}

static void
add_piece(struct pccrc_pub *p, struct bulk_hash_job *job, const uint8_t *data,
	size_t len)
{
	struct pccrc_piece *piece = &p->pieces[p->n_pieces++];

	piece->len = (uint32_t)len;
	*job = (struct bulk_hash_job){data, len, piece->hod};
}

/* Bytes from data that end the unfinished piece; 0: it stays unfinished. */
static size_t
end_piece(struct pccrc_pub *p, const uint8_t *data, size_t len,
	struct bulk_hash_job *job)
{
	size_t part = MIN_OF(len, PCCRC_CUT_MAX - p->piece_len);
	size_t cut, known = p->piece_len;

	memcpy(p->piece + known, data, part);
	cut = pccrc_cut_more(p->piece, known + part, known, false);
	if (cut == 0)
		return 0;
	add_piece(p, job, p->piece, cut);
	p->piece_len = 0;
	return cut - known;
}

/* The pieces that end in [*used, end) of data. */
static int
feed_v2(struct pccrc_pub *p, struct bulk *bulk, const uint8_t *data,
	size_t *used, size_t end)
{
	struct bulk_hash_job jobs[MAX_PIECES];
	size_t n = 0, at = *used, cut;

	if (p->piece_len > 0) {
		cut = end_piece(p, data + at, end - at, &jobs[n]);
		if (cut == 0)
			return 0;
		n++;
		at += cut;
	}
	for (; n < MAX_PIECES; at += cut) {
		cut = pccrc_cut(data + at, end - at, false);
		if (cut == 0)
			break;
		add_piece(p, &jobs[n++], data + at, cut);
	}
	*used = at;
	return err_pass(bulk_hash(bulk, BULK_SHA512_256, jobs, n));
}

/* What is not complete is kept. */
static void
keep(uint8_t *dst, size_t *dst_len, const uint8_t *data, size_t len)
{
	memcpy(dst + *dst_len, data, len);
	*dst_len += len;
}

static int
feed_windows(
	struct pccrc_pub *p, struct bulk *bulk, const uint8_t *data, size_t len)
{
	size_t used_v1 = 0, used_v2 = 0, end = 0;
	int r = 0;

	while (end < len && r == 0) {
		end = MIN_OF(len, end + WINDOW);
		if (p->make & PCCRC_MAKE_V1)
			r = feed_v1(p, bulk, data, &used_v1, end);
		if (r == 0 && p->make & PCCRC_MAKE_V2)
			r = feed_v2(p, bulk, data, &used_v2, end);
	}
	if (r != 0)
		return err_pass(r);
	if (p->make & PCCRC_MAKE_V1)
		keep(p->block, &p->block_len, data + used_v1, len - used_v1);
	if (p->make & PCCRC_MAKE_V2)
		keep(p->piece, &p->piece_len, data + used_v2, len - used_v2);
	return 0;
}

int
pccrc_pub_feed(
	struct pccrc_pub *p, struct bulk *bulk, const uint8_t *data, size_t len)
{
	int r;

	assert(!p->set);
	if (p->failure != 0 || len == 0)
		return p->failure;
	r = make_room(p, len);
	if (r != 0)
		return err_pass(r);
	p->failure = feed_windows(p, bulk, data, len);
	if (p->failure == 0)
		p->length += len;
	return err_pass(p->failure);
}

uint64_t
pccrc_pub_length(const struct pccrc_pub *p)
{
	return p->length;
}

int
pccrc_pub_set_blocks(struct pccrc_pub *p, uint64_t first_block,
	const uint8_t *hashes, size_t n)
{
	int r;

	assert(p->make == PCCRC_MAKE_V1 && (p->set || p->length == 0));
	if (first_block > SIZE_MAX / BLOCK_HASH - n)
		return err_new(-ENOMEM);
	r = room_v1(p, (size_t)first_block + n);
	if (r != 0)
		return err_pass(r);
	memcpy(p->hashes + first_block * BLOCK_HASH, hashes, n * BLOCK_HASH);
	p->n_blocks += n;
	p->set = true;
	return 0;
}

int
pccrc_pub_set_length(struct pccrc_pub *p, uint64_t len)
{
	uint64_t blocks =
		len / PCCRC_BLOCK_SIZE + (len % PCCRC_BLOCK_SIZE != 0);

	if (!p->set || blocks != p->n_blocks)
		return err_new(-EINVAL);
	p->length = len;
	return 0;
}
