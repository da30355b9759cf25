/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "codec/pccrr.h"
#include "common/macros.h"
#include "daemon/store/record.h"

#define SALT   0x0123456789abcdefu
#define OFFSET 4096u

static const uint8_t iv[16] = "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"
			      "\x0d\x0e\x0f\x10";

static struct record
block(void)
{
	struct record r = {
		.type = RECORD_BLOCK,
		.id_len = 32,
		.proved = true,
		.index = 0x01020304,
		.plain_len = 65536,
		.cipher_len = 65552,
		.algo = PCCRR_AES128,
		.owner = {.uid = 1000},
		.born_s = 0x1122334455,
		.tail_len = 24,
		.data_hash = 0xfedcba9876543210u,
	};

	memset(r.id, 0xaa, r.id_len);
	memset(r.claim, 0xbb, sizeof(r.claim));
	memset(r.owner.tag, 0xcc, sizeof(r.owner.tag));
	return r;
}

static struct record
sealed_block(void)
{
	struct record r = block();

	r.proved = false;
	r.sealed = true;
	memset(r.claim, 0, sizeof(r.claim));
	return r;
}

static struct record
small(enum record_type type)
{
	struct record r = block();

	r.type = type;
	r.plain_len = r.cipher_len = r.algo = r.tail_len = 0;
	r.data_hash = 0;
	if (type == RECORD_FLUSH) {
		memset(r.id, 0, sizeof(r.id));
		r.id_len = 0;
	}
	return r;
}

static void
assert_same(const struct record *a, const struct record *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->id_len, b->id_len);
	assert_memory_equal(a->id, b->id, sizeof(a->id));
	assert_int_equal(a->proved, b->proved);
	assert_int_equal(a->sealed, b->sealed);
	assert_int_equal(a->index, b->index);
	assert_int_equal(a->plain_len, b->plain_len);
	assert_int_equal(a->cipher_len, b->cipher_len);
	assert_int_equal(a->algo, b->algo);
	assert_int_equal(a->owner.uid, b->owner.uid);
	assert_memory_equal(a->owner.tag, b->owner.tag, STORE_TAG_SIZE);
	assert_int_equal(a->born_s, b->born_s);
	assert_memory_equal(a->claim, b->claim, STORE_CLAIM_SIZE);
	assert_int_equal(a->tail_len, b->tail_len);
	assert_true(a->data_hash == b->data_hash);
}

static void
assert_round(const struct record *r)
{
	uint8_t data[RECORD_HEADER], again[RECORD_HEADER];
	struct record back;

	memset(data, 0x55, sizeof(data));
	record_build(data, r, SALT, OFFSET);
	assert_int_equal(record_parse(&back, data, SALT, OFFSET), RECORD_OK);
	assert_same(r, &back);
	record_build(again, &back, SALT, OFFSET);
	assert_memory_equal(data, again, sizeof(data));
}

static void
put_le64(uint8_t *dst, uint64_t v)
{
	for (size_t i = 0; i < 8; i++)
		dst[i] = (uint8_t)(v >> 8 * i);
}

/* What record.c seeds its checksum with. */
static void
seal_header(uint8_t *data)
{
	uint64_t seed = SALT ^ OFFSET * 0x9e3779b97f4a7c15u;

	put_le64(data + 144, XXH3_64bits_withSeed(data, 144, seed));
}

static void
test_layout(void **state)
{
	static const uint8_t front[40] = {0x50, 0x44, 0x52, 0x43, /* "PDRC" */
		1, 32, 1, 0, 0x04, 0x03, 0x02, 0x01, 0, 0, 1, 0, 0x10, 0, 1, 0,
		1, 0, 0, 0, 0xe8, 0x03, 0, 0, 24, 0, 0, 0, 0x55, 0x44, 0x33,
		0x22, 0x11, 0, 0, 0};
	struct record r = block();
	uint8_t data[RECORD_HEADER], hash[8];
	uint8_t want[16 + 16 + 64 + 8] = {0};

	record_build(data, &r, SALT, OFFSET);
	assert_memory_equal(data, front, sizeof(front));
	memset(want, 0xcc, 16);
	memset(want + 16, 0xbb, 16);
	memset(want + 32, 0xaa, 32);
	put_le64(want + 96, r.data_hash);
	assert_memory_equal(data + 40, want, sizeof(want));
	memcpy(hash, data + 144, 8);
	seal_header(data);
	assert_memory_equal(data + 144, hash, 8);
	memset(want, 0, 8);
	assert_memory_equal(data + 152, want, 8);
}

static void
test_round_trip(void **state)
{
	struct record r = block();

	assert_round(&r);
	r.proved = false;
	assert_round(&r);
	for (r.id_len = 1; r.id_len <= STORE_ID_MAX; r.id_len++) {
		r.id[r.id_len - 1] = r.id_len;
		memset(r.id + r.id_len, 0, STORE_ID_MAX - r.id_len);
		assert_round(&r);
	}
	r = sealed_block();
	assert_round(&r);
	r.plain_len = 0;
	assert_round(&r);
	for (int t = RECORD_OWNER; t < _RECORD_TYPE_MAX; t++) {
		r = small((enum record_type)t);
		assert_round(&r);
	}
}

/* The same bytes count at no other place and in no other volume. */
static void
test_place(void **state)
{
	struct record r = block(), back;
	uint8_t data[RECORD_HEADER];

	record_build(data, &r, SALT, OFFSET);
	assert_int_equal(
		record_parse(&back, data, SALT, OFFSET + 32), RECORD_E_HASH);
	assert_int_equal(record_parse(&back, data, SALT, 0), RECORD_E_HASH);
	assert_int_equal(
		record_parse(&back, data, SALT + 1, OFFSET), RECORD_E_HASH);
	assert_int_equal(record_parse(&back, data, SALT, OFFSET), RECORD_OK);
}

static void
test_every_bit(void **state)
{
	struct record r = block(), back;
	uint8_t data[RECORD_HEADER];

	record_build(data, &r, SALT, OFFSET);
	for (size_t i = 0; i < 8 * RECORD_HEADER; i++) {
		data[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(record_parse(&back, data, SALT, OFFSET),
			i < 32 ? RECORD_E_MAGIC : RECORD_E_HASH);
		data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	assert_int_equal(record_parse(&back, data, SALT, OFFSET), RECORD_OK);
}

/* Forged with a true checksum: byte at, set to value. */
static void
test_forged_fields(void **state)
{
	static const struct {
		uint8_t at, value;
	} bad[] = {
		{4, 0},                /* type */
		{4, _RECORD_TYPE_MAX}, /* type */
		{4, RECORD_OWNER},     /* with a block's lengths */
		{4, RECORD_FLUSH},     /* the same, and an id */
		{5, 0},                /* id */
		{5, 31},               /* a byte behind the id */
		{5, 65},               /* id */
		{6, 3},                /* proved and sealed */
		{6, 2},                /* sealed with a claim */
		{6, 5},                /* flags */
		{7, 1},                /* flags */
		{12, 1},               /* plain length 65537: good */
		{14, 0},               /* plain length 0, not sealed */
		{14, 2},               /* plain longer than cipher */
		{16, 0x11},            /* cipher length not of blocks */
		{16, 0x20},            /* 32 longer */
		{18, 0x11},            /* over RECORD_CIPHER_MAX */
		{20, _PCCRR_ALGO_MAX}, /* algorithm */
		{20, 0},               /* none, with an IV in the tail */
		{23, 1},               /* algorithm */
		{28, 8},               /* no IV in the tail */
		{28, 25},              /* tail */
		{29, 1},               /* tail */
		{72 + 32, 1},          /* a byte behind the id */
		{72 + 63, 1},          /* the same */
	};
	struct record r = block(), back;
	uint8_t data[RECORD_HEADER];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int want = RECORD_E_VALUE;

		record_build(data, &r, SALT, OFFSET);
		data[bad[i].at] = bad[i].value;
		seal_header(data);
		/* the one that is good shows that the rest is tested */
		if (bad[i].at == 12)
			want = RECORD_OK;
		assert_int_equal(record_parse(&back, data, SALT, OFFSET), want);
	}
}

static void
test_reserved_bytes(void **state)
{
	struct record r = block(), back;
	uint8_t data[RECORD_HEADER];

	for (size_t i = 152; i < RECORD_HEADER; i++) {
		record_build(data, &r, SALT, OFFSET);
		data[i] = 1;
		seal_header(data);
		assert_int_equal(
			record_parse(&back, data, SALT, OFFSET), RECORD_E_HASH);
	}
}

static bool
lengths_ok(struct record r, uint32_t algo, uint32_t plain, uint32_t cipher)
{
	r.algo = algo;
	r.tail_len = record_tail_len(algo);
	r.plain_len = plain;
	r.cipher_len = cipher;
	return record_valid(&r);
}

static void
test_lengths(void **state)
{
	struct record r = block();

	assert_true(lengths_ok(r, PCCRR_AES256, 1, 16));
	assert_true(lengths_ok(r, PCCRR_AES192, 16, 16));
	assert_true(lengths_ok(r, PCCRR_AES128, 16, 32));
	assert_false(lengths_ok(r, PCCRR_AES128, 15, 32));
	assert_false(lengths_ok(r, PCCRR_AES128, 17, 16));
	assert_false(lengths_ok(r, PCCRR_AES128, 0, 16));
	assert_false(lengths_ok(r, PCCRR_AES128, 16, 24));
	assert_true(lengths_ok(
		r, PCCRR_AES128, RECORD_CIPHER_MAX, RECORD_CIPHER_MAX));
	assert_false(lengths_ok(
		r, PCCRR_AES128, RECORD_CIPHER_MAX, RECORD_CIPHER_MAX + 16));
	assert_false(lengths_ok(r, PCCRR_AES128, UINT32_MAX, UINT32_MAX - 15));
	assert_true(lengths_ok(r, PCCRR_NONE, 17, 17));
	assert_false(lengths_ok(r, PCCRR_NONE, 16, 17));
	assert_false(lengths_ok(r, PCCRR_NONE, 17, 16));
	assert_false(lengths_ok(r, PCCRR_NONE, 0, 0));
	assert_false(lengths_ok(r, _PCCRR_ALGO_MAX, 16, 16));
	r = sealed_block();
	assert_true(lengths_ok(r, PCCRR_AES128, 0, 16));
	assert_true(lengths_ok(r, PCCRR_NONE, 0, 17));
	assert_false(lengths_ok(r, PCCRR_AES128, 0, 0));
	assert_false(lengths_ok(r, PCCRR_AES128, 1, 32));
}

static void
test_valid_kinds(void **state)
{
	struct record r = sealed_block();

	r.proved = true;
	assert_false(record_valid(&r));
	r = sealed_block();
	r.claim[15] = 1;
	assert_false(record_valid(&r));
	r = small(RECORD_FLUSH);
	r.id_len = 1;
	assert_false(record_valid(&r));
	for (int t = RECORD_OWNER; t < _RECORD_TYPE_MAX; t++) {
		r = small((enum record_type)t);
		r.tail_len = 8;
		assert_false(record_valid(&r));
		r.tail_len = 0;
		r.data_hash = 1;
		assert_false(record_valid(&r));
		r.data_hash = 0;
		r.cipher_len = 16;
		assert_false(record_valid(&r));
		r.cipher_len = 0;
		assert_true(record_valid(&r));
	}
}

static void
test_span(void **state)
{
	struct record r = small(RECORD_DROP);

	assert_int_equal(record_span(&r), RECORD_HEADER);
	r = block();
	assert_int_equal(record_span(&r) % RECORD_ALIGN, 0);
	assert_in_range(record_span(&r), 160 + 65552 + 24,
		160 + 65552 + 24 + RECORD_ALIGN - 1);
}

static const struct volume_header volume = {
	.format = RECORD_FORMAT,
	.number = 0x01020304,
	.salt = SALT,
	.born_s = 0x1122334455,
};

static void
test_volume_header(void **state)
{
	static const uint8_t front[32] = {'P', 'D', 'V', 'O', 'L', 'U', 'M',
		'E', 1, 0, 0, 0, 4, 3, 2, 1, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45,
		0x23, 0x01, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0, 0};
	uint8_t data[VOLUME_HEADER];
	struct volume_header back;

	memset(data, 0x55, sizeof(data));
	volume_header_build(data, &volume);
	assert_memory_equal(data, front, sizeof(front));
	assert_int_equal(volume_header_parse(&back, data), RECORD_OK);
	assert_int_equal(back.format, volume.format);
	assert_int_equal(back.number, volume.number);
	assert_true(back.salt == volume.salt);
	assert_true(back.born_s == volume.born_s);
	for (size_t i = 0; i < 8 * VOLUME_HEADER; i++) {
		data[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(volume_header_parse(&back, data),
			i < 64 ? RECORD_E_MAGIC : RECORD_E_HASH);
		data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

static void
test_volume_format(void **state)
{
	uint8_t data[VOLUME_HEADER];
	struct volume_header h = volume, back = {0};

	h.format = RECORD_FORMAT + 1;
	volume_header_build(data, &h);
	data[63] = 1; /* what a later format keeps there is its own */
	assert_int_equal(volume_header_parse(&back, data), RECORD_E_FORMAT);
	assert_int_equal(back.format, RECORD_FORMAT + 1);
	assert_int_equal(back.number, volume.number);
}

static void
test_tail(void **state)
{
	static const uint8_t want[24] = {0, 0, 0, 0, 0, 0, 0, 16, 1, 2, 3, 4, 5,
		6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
	static const uint8_t zero[16];
	uint8_t tail[RECORD_TAIL_MAX], back[16];

	assert_int_equal(record_tail_len(PCCRR_NONE), 8);
	assert_int_equal(record_tail_len(PCCRR_AES256), 24);
	assert_int_equal(record_tail(tail, PCCRR_AES128, iv), 24);
	assert_memory_equal(tail, want, 24);
	assert_true(record_tail_parse(back, PCCRR_AES128, tail, 24));
	assert_memory_equal(back, iv, 16);
	assert_false(record_tail_parse(back, PCCRR_AES128, tail, 23));
	assert_false(record_tail_parse(back, PCCRR_AES128, tail, 8));
	assert_false(record_tail_parse(back, PCCRR_NONE, tail, 8));
	for (size_t i = 0; i < 64; i++) {
		tail[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(record_tail_parse(back, PCCRR_AES128, tail, 24));
		tail[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	assert_int_equal(record_tail(tail, PCCRR_NONE, iv), 8);
	assert_memory_equal(tail, zero, 8);
	assert_true(record_tail_parse(back, PCCRR_NONE, tail, 8));
	assert_memory_equal(back, zero, 16);
	assert_false(record_tail_parse(back, PCCRR_NONE, tail, 0));
}

/* A tail is what ends the message that a peer is sent. */
static void
test_tail_is_wire(void **state)
{
	uint8_t cipher[32] = {0}, tail[RECORD_TAIL_MAX];
	struct pccrr_blk m = {
		.header = {.algo = PCCRR_AES128},
		.id = cipher,
		.id_len = 32,
		.data = cipher,
		.data_len = sizeof(cipher),
		.iv = iv,
		.iv_len = 16,
	};
	CLEANUP(buf_done) struct buf b;
	uint32_t n = record_tail(tail, PCCRR_AES128, iv);

	buf_init(&b, 4096);
	assert_int_equal(pccrr_build_blk(&b, &m), 0);
	assert_memory_equal(b.data + b.len - n, tail, n);
	b.len = 0;
	m.header.algo = PCCRR_NONE;
	m.iv = NULL;
	m.iv_len = 0;
	n = record_tail(tail, PCCRR_NONE, iv);
	assert_int_equal(pccrr_build_blk(&b, &m), 0);
	assert_memory_equal(b.data + b.len - n, tail, n);
}

/* In one piece or in two, at any alignment, it is XXH3 of the bytes. */
static void
test_data_hash(void **state)
{
	static const uint32_t lens[] = {
		1, 16, 17, 128, 129, 240, 241, 1024, 1025, 4096, 65552, 131088};
	AUTO_FREE uint8_t *data = malloc(131088 + 64);
	uint8_t tail[24];

	assert_non_null(data);
	for (size_t i = 0; i < 131088 + 64; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 24);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		const uint8_t *p = data + i;
		uint32_t n = lens[i];
		uint64_t want = XXH3_64bits(p, n + 24);

		memcpy(tail, p + n, 24);
		assert_true(record_data_hash(p, n, p + n, 24) == want);
		assert_true(record_data_hash(p, n, tail, 24) == want);
		tail[23] ^= 1;
		assert_false(record_data_hash(p, n, tail, 24) == want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_forged_fields),
		cmocka_unit_test(test_reserved_bytes),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_valid_kinds),
		cmocka_unit_test(test_span),
		cmocka_unit_test(test_volume_header),
		cmocka_unit_test(test_volume_format),
		cmocka_unit_test(test_tail),
		cmocka_unit_test(test_tail_is_wire),
		cmocka_unit_test(test_data_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
