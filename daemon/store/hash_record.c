/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Record of an entry, little-endian:
 *
 *	u8 1, the format	u8 flags: 1 watched	u16 0
 *	u32 uid			u32 versions		u32 length of the label
 *	u64 id			u64 published
 *	u64 dev, ino, size, mtime, ctime of the file
 *	u64 length of the hashes	u64 their checksum
 *	label
 *	u64 checksum of all before
 *
 * Checksums are XXH3 with 64 bits; that of the hashes is seeded with the id, so
 * that what belongs to another entry does not pass.
 */
#include "daemon/store/hash_record.h"

#include <xxhash.h>

#include "common/err.h"
#include "common/rd.h"

#define FLAG_WATCHED 1u
#define FIXED        88u
#define SUM          8u
#define VERSIONS_ALL 3u

static void
put(uint8_t *dst, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

/* Big-endian, so that the order of keys is that of ids. */
void
hash_key_id(uint8_t dst[HASH_KEY_ID], uint64_t id)
{
	put(dst, id, HASH_KEY_ID);
}

uint64_t
hash_key_read_id(const void *key, size_t len)
{
	struct rd r;

	rd_init(&r, key, len);
	return len == HASH_KEY_ID ? rd_be64(&r) : 0;
}

void
hash_key_label(uint8_t dst[HASH_KEY_LABEL], uint32_t uid, const uint8_t *label,
	size_t len)
{
	XXH128_hash_t h = XXH3_128bits(label, len);

	put(dst, uid, 4);
	put(dst + 4, h.high64, 8);
	put(dst + 12, h.low64, 8);
}

void
hash_key_file(
	uint8_t dst[HASH_KEY_FILE], const struct hash_file *f, uint32_t uid)
{
	put(dst, f->dev, 8);
	put(dst + 8, f->ino, 8);
	put(dst + 16, f->size, 8);
	put(dst + 24, (uint64_t)f->mtime_ns, 8);
	put(dst + 32, (uint64_t)f->ctime_ns, 8);
	put(dst + 40, uid, 4);
}

uint64_t
hash_record_sum(uint64_t id, const void *hashes, size_t len)
{
	return XXH3_64bits_withSeed(hashes, len, id);
}

int
hash_record_build(struct buf *b, const struct hash_entry *e, uint64_t sum)
{
	size_t start = b->len;

	if (e->label_len == 0 || e->label_len > HASH_RECORD_LABEL_MAX)
		return err_new(-EINVAL);
	buf_u8(b, HASH_RECORD_FORMAT);
	buf_u8(b, e->watched ? FLAG_WATCHED : 0);
	buf_le16(b, 0);
	buf_le32(b, e->uid);
	buf_le32(b, e->versions);
	buf_le32(b, (uint32_t)e->label_len);
	buf_le64(b, e->id);
	buf_le64(b, e->published_s);
	buf_le64(b, e->file.dev);
	buf_le64(b, e->file.ino);
	buf_le64(b, e->file.size);
	buf_le64(b, (uint64_t)e->file.mtime_ns);
	buf_le64(b, (uint64_t)e->file.ctime_ns);
	buf_le64(b, e->hashes_len);
	buf_le64(b, sum);
	buf_append(b, e->label, e->label_len);
	if (buf_error(b) != 0)
		return err_pass(buf_error(b));
	buf_le64(b, XXH3_64bits(b->data + start, b->len - start));
	return err_pass(buf_error(b));
}

static void
parse_file(struct rd *r, struct hash_file *f)
{
	f->dev = rd_le64(r);
	f->ino = rd_le64(r);
	f->size = rd_le64(r);
	f->mtime_ns = (int64_t)rd_le64(r);
	f->ctime_ns = (int64_t)rd_le64(r);
}

static bool
sum_ok(const uint8_t *data, size_t len)
{
	struct rd r;

	if (len < FIXED + SUM)
		return false;
	rd_init(&r, data + len - SUM, SUM);
	return rd_le64(&r) == XXH3_64bits(data, len - SUM);
}

int
hash_record_parse(struct hash_entry *ret, uint64_t *ret_sum, uint64_t id,
	const void *data, size_t len)
{
	struct hash_entry e = {0};
	uint8_t format, flags;
	uint16_t zero;
	uint64_t sum;
	struct rd r;

	if (!sum_ok(data, len))
		return err_new(-EBADMSG);
	rd_init(&r, data, len - SUM);
	format = rd_u8(&r);
	flags = rd_u8(&r);
	zero = rd_le16(&r);
	e.uid = rd_le32(&r);
	e.versions = rd_le32(&r);
	e.label_len = rd_le32(&r);
	e.id = rd_le64(&r);
	e.published_s = rd_le64(&r);
	parse_file(&r, &e.file);
	e.hashes_len = (size_t)rd_le64(&r);
	sum = rd_le64(&r);
	e.watched = flags & FLAG_WATCHED;
	if (format != HASH_RECORD_FORMAT || (flags & ~FLAG_WATCHED) != 0 ||
		zero != 0 || e.id != id || e.versions > VERSIONS_ALL ||
		e.label_len == 0 || e.label_len > HASH_RECORD_LABEL_MAX ||
		e.label_len != rd_left(&r))
		return err_new(-EBADMSG);
	e.label = rd_bytes(&r, e.label_len);
	*ret = e;
	*ret_sum = sum;
	return 0;
}

void
hash_counts_build(uint8_t dst[HASH_COUNTS_SIZE], const struct hash_counts *c)
{
	put(dst, c->last_id, 8);
	put(dst + 8, c->entries, 8);
	put(dst + 16, c->bytes, 8);
	put(dst + 24, XXH3_64bits(dst, 24), 8);
}

int
hash_counts_parse(struct hash_counts *ret, const void *data, size_t len)
{
	struct hash_counts c;
	struct rd r;

	rd_init(&r, data, len);
	c.last_id = rd_be64(&r);
	c.entries = rd_be64(&r);
	c.bytes = rd_be64(&r);
	if (len != HASH_COUNTS_SIZE || rd_be64(&r) != XXH3_64bits(data, 24))
		return err_new(-EBADMSG);
	*ret = c;
	return 0;
}

void
hash_key_user(uint8_t dst[HASH_KEY_USER], uint32_t uid)
{
	put(dst, uid, HASH_KEY_USER);
}

/* Seeded with the user, so that nobody's count passes for another's. */
void
hash_user_build(uint8_t dst[HASH_USER_SIZE], uint32_t uid, uint64_t bytes)
{
	put(dst, bytes, 8);
	put(dst + 8, XXH3_64bits_withSeed(dst, 8, uid), 8);
}

int
hash_user_parse(uint64_t *ret_bytes, uint32_t uid, const void *data, size_t len)
{
	uint64_t bytes;
	struct rd r;

	rd_init(&r, data, len);
	bytes = rd_be64(&r);
	if (len != HASH_USER_SIZE ||
		rd_be64(&r) != XXH3_64bits_withSeed(data, 8, uid))
		return err_new(-EBADMSG);
	*ret_bytes = bytes;
	return 0;
}
