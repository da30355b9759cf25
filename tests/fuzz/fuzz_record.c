/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is read back from a volume.  The input is a volume header, then a
 * record, then anything; the input as a whole is a volume that is scanned.
 * Whatever is accepted builds to the very bytes it was read from, and lies
 * inside.
 *
 * No fuzzer finds a checksum.  Therefore the same again with checksums put
 * right: of the volume header, and of whatever has the magic of a record.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/fdutil.h"
#include "common/macros.h"
#include "daemon/store/block_log.h"

#define SALT 0x0102030405060708u

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* One scan, and what it must hand out. */
struct check {
	const uint8_t *data;
	size_t len;
	uint64_t salt;
	uint64_t end; /* of the record before */
	unsigned records;
	unsigned stop_after; /* each so many, 0: never */
};

static void
put_le64(uint8_t *dst, uint64_t v)
{
	for (size_t i = 0; i < 8; i++)
		dst[i] = (uint8_t)(v >> 8 * i);
}

static void
check_record(const struct record *r, const uint8_t *data, uint64_t salt,
	uint64_t offset)
{
	uint8_t again[RECORD_HEADER];

	assert(record_valid(r));
	record_build(again, r, salt, offset);
	assert(memcmp(again, data, RECORD_HEADER) == 0);
}

static void
check_volume_header(const uint8_t *data)
{
	uint8_t again[VOLUME_HEADER];
	struct volume_header h;
	int r = volume_header_parse(&h, data);

	assert(r >= 0 && r < _RECORD_E_MAX);
	if (r != RECORD_OK)
		return;
	volume_header_build(again, &h);
	assert(memcmp(again, data, VOLUME_HEADER) == 0);
}

static void
check_tail(const uint8_t *data, size_t len)
{
	uint8_t iv[16], again[RECORD_TAIL_MAX];
	uint32_t n = (uint32_t)MIN_OF(len, RECORD_TAIL_MAX + 1);

	for (uint32_t algo = 0; algo < 5; algo++) {
		if (!record_tail_parse(iv, algo, data, n))
			continue;
		assert(record_tail(again, algo, iv) == n);
		assert(memcmp(again, data, n) == 0);
	}
}

static int
on_record(const struct record *r, uint64_t offset, void *ctx)
{
	struct check *c = ctx;

	assert(offset % RECORD_ALIGN == 0 && offset >= c->end);
	assert(offset + RECORD_HEADER + r->cipher_len + r->tail_len <= c->len);
	check_record(r, c->data + offset, c->salt, offset);
	c->end = offset + record_span(r);
	c->records++;
	return c->stop_after > 0 && c->records % c->stop_after == 0;
}

/* Whole, and in pieces: the same records and the same damage. */
static unsigned
scan(const struct volume_file *v, struct check *c, uint64_t search_max,
	uint64_t *ret_damaged)
{
	struct block_log_scan s = {.limit = UINT64_MAX,
		.fn = on_record,
		.ctx = c,
		.search_max = search_max};
	uint64_t before = 0;
	int r;

	c->end = VOLUME_HEADER;
	c->records = 0;
	while ((r = block_log_scan(v, &s)) != 0) {
		assert(r == 1 || r == -EAGAIN);
		assert(s.offset > before && s.offset <= c->len);
		before = s.offset;
	}
	assert(s.offset >= c->len);
	*ret_damaged = s.damaged;
	return c->records;
}

static void
check_scan(const struct volume_file *v, struct check *c)
{
	uint64_t damaged, damaged_again;
	unsigned n = scan(v, c, 0, &damaged);

	c->stop_after = 2;
	assert(scan(v, c, RECORD_ALIGN, &damaged_again) == n);
	assert(damaged_again == damaged);
	c->stop_after = 0;
}

static void
check_volume(const uint8_t *data, size_t len)
{
	struct volume_file v = {.salt = SALT};
	struct check c = {.data = data, .len = len, .salt = SALT};
	AUTO_FD int fd = memfd_create("volume", MFD_CLOEXEC);

	assert(fd >= 0 && fd_write_all(fd, data, len) == 0);
	v.fd = fd;
	v.length = len;
	check_scan(&v, &c);
	for (uint64_t at = 0; at + RECORD_HEADER <= len; at += RECORD_ALIGN) {
		struct record r;
		int e = record_parse(&r, data + at, SALT, at);

		assert(e >= 0 && e < _RECORD_E_MAX);
		if (e == RECORD_OK)
			check_record(&r, data + at, SALT, at);
	}
}

/* Makes the checksums true. */
static void
seal(uint8_t *data, size_t len)
{
	if (len >= VOLUME_HEADER)
		put_le64(data + 32, XXH3_64bits(data, 32));
	for (size_t at = VOLUME_HEADER; at + RECORD_HEADER <= len;
		at += RECORD_ALIGN)
		if (memcmp(data + at, "PDRC", 4) == 0)
			put_le64(data + at + 144,
				XXH3_64bits_withSeed(data + at, 144,
					SALT ^ at * 0x9e3779b97f4a7c15u));
}

static void
check(const uint8_t *data, size_t len)
{
	if (len >= VOLUME_HEADER)
		check_volume_header(data);
	check_tail(data, len);
	check_volume(data, len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO_FREE uint8_t *copy = malloc(len > 0 ? len : 1);

	check(data, len);
	if (copy == NULL || len == 0)
		return 0;
	memcpy(copy, data, len);
	seal(copy, len);
	check(copy, len);
	return 0;
}
