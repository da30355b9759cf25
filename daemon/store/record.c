/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records as bytes.
 *
 * Every byte of a header is either told by the struct or zero, and one rule,
 * record_valid(), says what a struct may hold; so what is read back without
 * complaint would be built again as exactly the same bytes.
 *
 * The seed of a record's checksum mixes the volume's random salt with the
 * offset.  Who does not know the salt cannot make bytes that pass.
 *
 * XXH3 comes out of libxxhash.  On x86-64 the library also has versions for
 * each vector width that choose by the CPU at run time; plain XXH3_64bits() is
 * the one of SSE2, which for a block of 64 KiB in the cache is 2.5 times
 * slower than AVX-512.  A library built without them leaves their names
 * undefined, therefore weak.
 */
#include "daemon/store/record.h"

#include <assert.h>
#include <string.h>
/* The state of a hash in two parts lives on the stack. */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#pragma weak XXH3_64bits_dispatch
#pragma weak XXH3_64bits_update_dispatch
#define HAVE_DISPATCH (&XXH3_64bits_dispatch != NULL)
#undef XXH3_64bits
#undef XXH3_64bits_withSeed
#undef XXH3_64bits_update
#else
#define HAVE_DISPATCH               false
#define XXH3_64bits_dispatch        XXH3_64bits
#define XXH3_64bits_update_dispatch XXH3_64bits_update
#endif

#include "codec/pccrr.h"
#include "common/rd.h"

#define VOLUME_MAGIC  "PDVOLUME"
#define VOLUME_HASHED 32u /* bytes before the header's checksum */
#define VOLUME_USED   40u
#define RECORD_MAGIC  0x43524450u /* "PDRC" */
#define RECORD_HASHED 144u
#define RECORD_USED   152u
#define CIPHER_UNIT   16u

enum record_flag {
	FLAG_PROVED = 1,
	FLAG_SEALED = 2,
};

static uint8_t *
put_bytes(uint8_t *dst, const void *data, size_t n)
{
	memcpy(dst, data, n);
	return dst + n;
}

static uint8_t *
put_le(uint8_t *dst, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)(v >> 8 * i);
	return dst + n;
}

static void
put_be32(uint8_t *dst, uint32_t v)
{
	for (size_t i = 0; i < 4; i++)
		dst[i] = (uint8_t)(v >> (24 - 8 * i));
}

static bool
all_zero(const uint8_t *p, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

void
volume_header_build(uint8_t *dst, const struct volume_header *h)
{
	uint8_t *p = dst;

	memset(dst, 0, VOLUME_HEADER);
	p = put_bytes(p, VOLUME_MAGIC, 8);
	p = put_le(p, h->format, 4);
	p = put_le(p, h->number, 4);
	p = put_le(p, h->salt, 8);
	p = put_le(p, h->born_s, 8);
	put_le(p, XXH3_64bits(dst, VOLUME_HASHED), 8);
}

/* What every format has: magic, version, checksum.  Only what follows, and what
 * a record is, may differ. */
int
volume_header_parse(struct volume_header *ret, const uint8_t *data)
{
	struct volume_header h;
	struct rd r;

	rd_init(&r, data, VOLUME_HEADER);
	if (memcmp(rd_bytes(&r, 8), VOLUME_MAGIC, 8) != 0)
		return RECORD_E_MAGIC;
	h.format = rd_le32(&r);
	h.number = rd_le32(&r);
	h.salt = rd_le64(&r);
	h.born_s = rd_le64(&r);
	if (rd_le64(&r) != XXH3_64bits(data, VOLUME_HASHED))
		return RECORD_E_HASH;
	if (h.format == RECORD_FORMAT &&
		!all_zero(data + VOLUME_USED, VOLUME_HEADER - VOLUME_USED))
		return RECORD_E_HASH;
	*ret = h;
	return h.format == RECORD_FORMAT ? RECORD_OK : RECORD_E_FORMAT;
}

/* A sealed block's plaintext length may be unknown, 0. */
static bool
lengths_valid(const struct record *r)
{
	if (r->cipher_len == 0 || r->cipher_len > RECORD_CIPHER_MAX)
		return false;
	if (r->algo != PCCRR_NONE && r->cipher_len % CIPHER_UNIT != 0)
		return false;
	if (r->plain_len == 0)
		return r->sealed;
	if (r->algo == PCCRR_NONE)
		return r->plain_len == r->cipher_len;
	return r->plain_len <= r->cipher_len &&
		r->cipher_len - r->plain_len <= CIPHER_UNIT;
}

bool
record_valid(const struct record *r)
{
	bool has_id = r->type != RECORD_FLUSH;

	if (r->type < RECORD_BLOCK || r->type >= _RECORD_TYPE_MAX)
		return false;
	if (r->id_len > STORE_ID_MAX || (r->id_len > 0) != has_id)
		return false;
	if (r->sealed && (r->proved || !all_zero(r->claim, STORE_CLAIM_SIZE)))
		return false;
	if (r->type == RECORD_BLOCK)
		return r->algo < _PCCRR_ALGO_MAX &&
			r->tail_len == record_tail_len(r->algo) &&
			lengths_valid(r);
	return r->plain_len == 0 && r->cipher_len == 0 && r->algo == 0 &&
		r->tail_len == 0 && r->data_hash == 0;
}

static uint64_t
record_hash(const uint8_t *data, uint64_t salt, uint64_t offset)
{
	/* odd, so that no two offsets give the same seed */
	uint64_t seed = salt ^ offset * 0x9e3779b97f4a7c15u;

	return XXH3_64bits_withSeed(data, RECORD_HASHED, seed);
}

void
record_build(
	uint8_t *dst, const struct record *r, uint64_t salt, uint64_t offset)
{
	uint8_t *p = dst;

	assert(record_valid(r));
	memset(dst, 0, RECORD_HEADER);
	p = put_le(p, RECORD_MAGIC, 4);
	p = put_le(p, r->type, 1);
	p = put_le(p, r->id_len, 1);
	p = put_le(p,
		(r->proved ? FLAG_PROVED : 0u) | (r->sealed ? FLAG_SEALED : 0u),
		2);
	p = put_le(p, r->index, 4);
	p = put_le(p, r->plain_len, 4);
	p = put_le(p, r->cipher_len, 4);
	p = put_le(p, r->algo, 4);
	p = put_le(p, r->owner.uid, 4);
	p = put_le(p, r->tail_len, 4);
	p = put_le(p, r->born_s, 8);
	p = put_bytes(p, r->owner.tag, STORE_TAG_SIZE);
	p = put_bytes(p, r->claim, STORE_CLAIM_SIZE);
	put_bytes(p, r->id, r->id_len);
	p = put_le(p + STORE_ID_MAX, r->data_hash, 8);
	put_le(p, record_hash(dst, salt, offset), 8);
}

/* false: flags that do not exist. */
static bool
read_fields(struct record *ret, struct rd *r)
{
	uint16_t flags;

	ret->type = rd_u8(r);
	ret->id_len = rd_u8(r);
	flags = rd_le16(r);
	ret->proved = flags & FLAG_PROVED;
	ret->sealed = flags & FLAG_SEALED;
	ret->index = rd_le32(r);
	ret->plain_len = rd_le32(r);
	ret->cipher_len = rd_le32(r);
	ret->algo = rd_le32(r);
	ret->owner.uid = rd_le32(r);
	ret->tail_len = rd_le32(r);
	ret->born_s = rd_le64(r);
	rd_copy(r, ret->owner.tag, STORE_TAG_SIZE);
	rd_copy(r, ret->claim, STORE_CLAIM_SIZE);
	rd_copy(r, ret->id, STORE_ID_MAX);
	ret->data_hash = rd_le64(r);
	return flags <= (FLAG_PROVED | FLAG_SEALED);
}

int
record_parse(
	struct record *ret, const uint8_t *data, uint64_t salt, uint64_t offset)
{
	struct record rec = {0};
	struct rd r;

	rd_init(&r, data, RECORD_HEADER);
	if (rd_le32(&r) != RECORD_MAGIC)
		return RECORD_E_MAGIC;
	rd_init(&r, data + RECORD_HASHED, RECORD_USED - RECORD_HASHED);
	if (rd_le64(&r) != record_hash(data, salt, offset))
		return RECORD_E_HASH;
	if (!all_zero(data + RECORD_USED, RECORD_HEADER - RECORD_USED))
		return RECORD_E_HASH;
	rd_init(&r, data + 4, RECORD_HASHED - 4);
	if (!read_fields(&rec, &r) || !record_valid(&rec))
		return RECORD_E_VALUE;
	if (!all_zero(rec.id + rec.id_len, STORE_ID_MAX - rec.id_len))
		return RECORD_E_VALUE;
	*ret = rec;
	return RECORD_OK;
}

uint32_t
record_tail_len(uint32_t algo)
{
	return algo == PCCRR_NONE ? 8 : 8 + PCCRR_IV_SIZE;
}

uint32_t
record_tail(uint8_t *dst, uint32_t algo, const uint8_t *iv)
{
	uint32_t iv_len = record_tail_len(algo) - 8;

	put_be32(dst, 0);
	put_be32(dst + 4, iv_len);
	if (iv_len > 0)
		put_bytes(dst + 8, iv, iv_len);
	return 8 + iv_len;
}

bool
record_tail_parse(
	uint8_t *ret_iv, uint32_t algo, const uint8_t *data, uint32_t len)
{
	uint32_t iv_len = record_tail_len(algo) - 8;
	struct rd r;

	rd_init(&r, data, len);
	if (len != 8 + iv_len || rd_be32(&r) != 0 || rd_be32(&r) != iv_len)
		return false;
	memset(ret_iv, 0, PCCRR_IV_SIZE);
	rd_copy(&r, ret_iv, iv_len);
	return true;
}

static uint64_t
hash_parts(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	XXH3_state_t state;

	XXH3_INITSTATE(&state);
	XXH3_64bits_reset(&state);
	if (HAVE_DISPATCH) {
		XXH3_64bits_update_dispatch(&state, a, a_len);
		XXH3_64bits_update_dispatch(&state, b, b_len);
	} else {
		XXH3_64bits_update(&state, a, a_len);
		XXH3_64bits_update(&state, b, b_len);
	}
	return XXH3_64bits_digest(&state);
}

uint64_t
record_data_hash(const uint8_t *cipher, uint32_t cipher_len,
	const uint8_t *tail, uint32_t tail_len)
{
	size_t len = (size_t)cipher_len + tail_len;

	if (tail != cipher + cipher_len)
		return hash_parts(cipher, cipher_len, tail, tail_len);
	if (HAVE_DISPATCH)
		return XXH3_64bits_dispatch(cipher, len);
	return XXH3_64bits(cipher, len);
}
