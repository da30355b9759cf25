/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The finished description of a content, and content information of any range
 * of it.
 *
 * Kept is the structure of the whole content as it is sent, for version 1 in
 * full, for version 2 the segment entries behind each other, and beside them
 * where each segment starts.  A range is then a header, and runs of bytes
 * copied from there.
 *
 *   version 1  the segments that the range touches; the lists of all but the
 *              last are whole, the last list ends with the last block that is
 *              touched; all begin with block 0
 *   version 2  the segments that the range touches
 */
#include "codec/pccrc_desc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/macros.h"
#include "common/secmem.h"

#define SECRET_GROUP   64
#define CHUNK_SEGMENTS (UINT32_MAX / V2_ENTRY_SIZE)

/* One HMAC of Ks for each entry, through the lanes. */
struct secrets {
	struct bulk *bulk;
	enum bulk_hash hash;
	uint8_t ks[PCCRC_HASH_MAX];
	struct bulk_hmac_job jobs[SECRET_GROUP];
	size_t n;
};

static int
secrets_flush(struct secrets *s)
{
	int r = bulk_hmac_many(s->bulk, s->hash, s->jobs, s->n);

	s->n = 0;
	return err_pass(r);
}

/* HoD and the place of Kp behind it. */
static int
secrets_add(struct secrets *s, uint8_t *hod)
{
	size_t size = bulk_digest_size(s->hash);

	s->jobs[s->n++] = (struct bulk_hmac_job){
		.key = s->ks,
		.key_len = size,
		.a = hod,
		.a_len = size,
		.digest = hod + size,
	};
	return s->n < SECRET_GROUP ? 0 : err_pass(secrets_flush(s));
}

static size_t
v1_lists_at(size_t n_segments)
{
	return V1_HEADER_SIZE + n_segments * V1_ENTRY;
}

/* Where segment i of the content begins and ends. */
static uint64_t
v1_start(size_t i)
{
	return (uint64_t)i * PCCRC_SEGMENT_SIZE;
}

static uint64_t
v1_end(const struct pccrc_desc *d, size_t i)
{
	return MIN_OF(d->length, v1_start(i + 1));
}

static int
v1_alloc(struct pccrc_desc *d)
{
	uint64_t blocks = d->length / PCCRC_BLOCK_SIZE +
		(d->length % PCCRC_BLOCK_SIZE != 0);

	d->v1_segments = (size_t)(d->length / PCCRC_SEGMENT_SIZE +
		(d->length % PCCRC_SEGMENT_SIZE != 0));
	d->v1_len = v1_lists_at(d->v1_segments) +
		d->v1_segments * V1_COUNT_SIZE + (size_t)blocks * V1_HASH;
	d->v1 = sec_alloc(d->v1_len);
	return d->v1 != NULL ? 0 : err_new(-ENOMEM);
}

/* The block lists, and the hash of the last block if it is a short one. */
static int
v1_lists(struct pccrc_desc *d, const struct pccrc_pub *pub, struct bulk *bulk)
{
	uint8_t *p = d->v1 + v1_lists_at(d->v1_segments);
	size_t listed = 0;
	struct bulk_hash_job rest = {pub->block, pub->block_len, NULL};

	for (size_t i = 0; i < d->v1_segments; i++) {
		size_t blocks = (size_t)((v1_end(d, i) - v1_start(i) +
						 PCCRC_BLOCK_SIZE - 1) /
			PCCRC_BLOCK_SIZE);
		size_t ready = MIN_OF(blocks, pub->n_blocks - listed);

		pccrc_put_le(p, blocks, V1_COUNT_SIZE);
		p += V1_COUNT_SIZE;
		if (ready > 0)
			memcpy(p, pub->hashes + listed * V1_HASH,
				ready * V1_HASH);
		p += blocks * V1_HASH;
		listed += ready;
	}
	assert(p == d->v1 + d->v1_len && listed == pub->n_blocks);
	if (rest.len == 0)
		return 0;
	rest.digest = p - V1_HASH;
	return err_pass(bulk_hash(bulk, BULK_SHA256, &rest, 1));
}

static int
v1_hods(struct pccrc_desc *d, struct bulk *bulk)
{
	struct bulk_hash_job jobs[SECRET_GROUP];
	const uint8_t *list = d->v1 + v1_lists_at(d->v1_segments);
	const uint8_t *end = d->v1 + d->v1_len;
	uint8_t *entry = d->v1 + V1_HEADER_SIZE;
	size_t n = 0;

	for (size_t i = 0; i < d->v1_segments; i++) {
		size_t len = MIN_OF((size_t)(end - list), V1_FULL_LIST);
		int r = 0;

		pccrc_v1_put_fields(entry, v1_start(i),
			(uint32_t)(v1_end(d, i) - v1_start(i)));
		jobs[n++] = (struct bulk_hash_job){list + V1_COUNT_SIZE,
			len - V1_COUNT_SIZE, entry + V1_FIELDS_SIZE};
		list += len;
		entry += V1_ENTRY;
		if (n == SECRET_GROUP || i + 1 == d->v1_segments) {
			r = bulk_hash(bulk, BULK_SHA256, jobs, n);
			n = 0;
		}
		if (r != 0)
			return err_pass(r);
	}
	return 0;
}

static int
make_v1(struct pccrc_desc *d, const struct pccrc_pub *pub, struct secrets *s)
{
	struct pccrc_v1_header h = {.hash = BULK_SHA256};
	int r;

	r = v1_alloc(d);
	if (r == 0)
		r = v1_lists(d, pub, s->bulk);
	if (r == 0)
		r = v1_hods(d, s->bulk);
	if (r != 0)
		return err_pass(r);
	h.count = (uint32_t)d->v1_segments;
	pccrc_v1_put_header(d->v1, &h);
	for (size_t i = 0; i < d->v1_segments && r == 0; i++)
		r = secrets_add(s,
			d->v1 + V1_HEADER_SIZE + i * V1_ENTRY + V1_FIELDS_SIZE);
	return r != 0 ? err_pass(r) : err_pass(secrets_flush(s));
}

static int
v2_alloc(struct pccrc_desc *d, const struct pccrc_pub *pub)
{
	d->v2_segments = pub->n_pieces + (pub->piece_len > 0);
	d->v2_len = d->v2_segments * V2_ENTRY_SIZE;
	d->v2 = sec_alloc(d->v2_len);
	d->starts = malloc(d->v2_segments * sizeof(*d->starts));
	return d->v2 != NULL && d->starts != NULL ? 0 : err_new(-ENOMEM);
}

static int
make_v2(struct pccrc_desc *d, const struct pccrc_pub *pub, struct secrets *s)
{
	struct bulk_hash_job rest = {pub->piece, pub->piece_len, NULL};
	uint64_t at = 0;
	int r;

	r = v2_alloc(d, pub);
	for (size_t i = 0; i < d->v2_segments && r == 0; i++) {
		uint8_t *entry = d->v2 + i * V2_ENTRY_SIZE;
		uint32_t len = (uint32_t)rest.len;

		if (i < pub->n_pieces) {
			len = pub->pieces[i].len;
			memcpy(entry + 4, pub->pieces[i].hod, V2_HASH_SIZE);
		} else {
			rest.digest = entry + 4;
			r = bulk_hash(s->bulk, BULK_SHA512_256, &rest, 1);
		}
		pccrc_put_be(entry, len, 4);
		d->starts[i] = at;
		at += len;
		if (r == 0)
			r = secrets_add(s, entry + 4);
	}
	assert(r != 0 || at == d->length);
	return r != 0 ? err_pass(r) : err_pass(secrets_flush(s));
}

struct server_key {
	const uint8_t *bytes;
	size_t len;
};

static int
make_version(struct pccrc_desc *d, const struct pccrc_pub *pub,
	struct bulk *bulk, const struct server_key *key, unsigned version)
{
	struct secrets s = {.bulk = bulk};
	int r;

	s.hash = version == PCCRC_MAKE_V1 ? BULK_SHA256 : BULK_SHA512_256;
	r = pccrc_server_secret(bulk, s.hash, key->bytes, key->len, s.ks);
	if (r == 0 && version == PCCRC_MAKE_V1)
		r = make_v1(d, pub, &s);
	else if (r == 0)
		r = make_v2(d, pub, &s);
	explicit_bzero(s.ks, sizeof(s.ks));
	return err_pass(r);
}

int
pccrc_pub_finish(const struct pccrc_pub *pub, struct bulk *bulk,
	const uint8_t *key, size_t key_len, struct pccrc_desc **ret_desc)
{
	const struct server_key server_key = {key, key_len};
	struct pccrc_desc *d;
	int r = pub->failure;

	if (r != 0)
		return err_pass(r);
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return err_new(-ENOMEM);
	d->versions = pub->make;
	d->length = pub->length;
	/* Empty content has no content information. */
	if (d->length > 0 && pub->make & PCCRC_MAKE_V1)
		r = make_version(d, pub, bulk, &server_key, PCCRC_MAKE_V1);
	if (d->length > 0 && r == 0 && pub->make & PCCRC_MAKE_V2)
		r = make_version(d, pub, bulk, &server_key, PCCRC_MAKE_V2);
	if (r != 0) {
		pccrc_desc_free(d);
		return err_pass(r);
	}
	*ret_desc = d;
	return 0;
}

struct pccrc_desc *
pccrc_desc_free(struct pccrc_desc *d)
{
	if (d == NULL)
		return NULL;
	sec_free(d->v1, d->v1_len);
	sec_free(d->v2, d->v2_len);
	free(d->starts);
	free(d);
	return NULL;
}

uint64_t
pccrc_desc_length(const struct pccrc_desc *d)
{
	return d->length;
}

unsigned
pccrc_desc_versions(const struct pccrc_desc *d)
{
	return d->versions;
}

size_t
pccrc_desc_memory(const struct pccrc_desc *d)
{
	return sizeof(*d) + d->v1_len + d->v2_len +
		d->v2_segments * sizeof(*d->starts);
}

static int
build_v1(const struct pccrc_desc *d, uint64_t offset, uint64_t end,
	uint8_t **ret_bytes, size_t *ret_len)
{
	size_t first = (size_t)(offset / PCCRC_SEGMENT_SIZE);
	size_t last = (size_t)((end - 1) / PCCRC_SEGMENT_SIZE);
	size_t n = last - first + 1;
	size_t blocks =
		(size_t)((end - 1 - v1_start(last)) / PCCRC_BLOCK_SIZE) + 1;
	size_t lists = (n - 1) * V1_FULL_LIST;
	size_t len = v1_lists_at(n) + lists + V1_COUNT_SIZE + blocks * V1_HASH;
	const uint8_t *from =
		d->v1 + v1_lists_at(d->v1_segments) + first * V1_FULL_LIST;
	struct pccrc_v1_header h = {
		.hash = BULK_SHA256,
		.first_offset = (uint32_t)(offset - v1_start(first)),
		.count = (uint32_t)n,
	};
	uint8_t *bytes = sec_alloc(len), *p = bytes;

	if (bytes == NULL)
		return err_new(-ENOMEM);
	if (end != v1_end(d, last))
		h.last_read =
			(uint32_t)(end - (n == 1 ? offset : v1_start(last)));
	pccrc_v1_put_header(p, &h);
	p += V1_HEADER_SIZE;
	memcpy(p, d->v1 + v1_lists_at(first), n * V1_ENTRY);
	p += n * V1_ENTRY;
	memcpy(p, from, lists + V1_COUNT_SIZE + blocks * V1_HASH);
	/* The last list may be cut short. */
	pccrc_put_le(p + lists, blocks, V1_COUNT_SIZE);
	*ret_bytes = bytes;
	*ret_len = len;
	return 0;
}

/* The segment that holds offset. */
static size_t
v2_at(const struct pccrc_desc *d, uint64_t offset)
{
	size_t low = 0, high = d->v2_segments;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (d->starts[mid] <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static int
build_v2(const struct pccrc_desc *d, uint64_t offset, uint64_t end,
	uint8_t **ret_bytes, size_t *ret_len)
{
	size_t first = v2_at(d, offset), n = v2_at(d, end - 1) - first + 1;
	size_t chunks = (n + CHUNK_SEGMENTS - 1) / CHUNK_SEGMENTS;
	size_t len =
		V2_HEADER_SIZE + chunks * V2_CHUNK_HEADER + n * V2_ENTRY_SIZE;
	const uint8_t *from = d->v2 + first * V2_ENTRY_SIZE;
	struct pccrc_v2_header h = {
		.start = d->starts[first],
		.first_index = first,
		.first_offset = (uint32_t)(offset - d->starts[first]),
		.length = end - offset,
	};
	uint8_t *bytes = sec_alloc(len), *p = bytes;

	if (bytes == NULL)
		return err_new(-ENOMEM);
	if (h.length == d->length)
		h.length = 0;
	pccrc_v2_put_header(p, &h);
	p += V2_HEADER_SIZE;
	while (n > 0) {
		size_t part = MIN_OF(n, (size_t)CHUNK_SEGMENTS) * V2_ENTRY_SIZE;

		p[0] = 0;
		pccrc_put_be(p + 1, part, 4);
		memcpy(p + V2_CHUNK_HEADER, from, part);
		p += V2_CHUNK_HEADER + part;
		from += part;
		n -= part / V2_ENTRY_SIZE;
	}
	*ret_bytes = bytes;
	*ret_len = len;
	return 0;
}

int
pccrc_desc_build(const struct pccrc_desc *d, int version, uint64_t offset,
	uint64_t length, uint8_t **ret_bytes, size_t *ret_len)
{
	if (length == 0 || offset >= d->length || length > d->length - offset)
		return err_new(-EINVAL);
	if (version == 1 && d->v1 != NULL)
		return build_v1(d, offset, offset + length, ret_bytes, ret_len);
	if (version == 2 && d->v2 != NULL)
		return build_v2(d, offset, offset + length, ret_bytes, ret_len);
	return err_new(-EINVAL);
}
