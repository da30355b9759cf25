/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "codec/pccrr.h"
#include "common/err.h"
#include "common/macros.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/pccrr_util.h"

static const uint8_t the_iv[16] = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6,
	0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};

static void
assert_bytes(const struct buf *have, const struct buf *want)
{
	assert_int_equal(have->len, want->len);
	assert_memory_equal(have->data, want->data, want->len);
}

static void
test_vector_getblks(void **state)
{
	struct pccrr_getblks m = {0};
	struct buf want, have;

	load(&want, PCCRR_VECTORS "getblks.hex");
	assert_int_equal(pccrr_parse_getblks(&m, want.data, want.len), 0);
	assert_int_equal(m.header.major, 1);
	assert_int_equal(m.header.minor, 0);
	assert_int_equal(m.header.type, PCCRR_GETBLKS);
	assert_int_equal(m.header.size, 68);
	assert_int_equal(m.header.algo, PCCRR_AES128);
	assert_int_equal(m.id_len, 32);
	assert_memory_equal(m.id, the_id, 32);
	assert_int_equal(m.block, 0);
	assert_false(m.nothing);

	buf_init(&have, 68);
	assert_int_equal(pccrr_build_getblks(&have, &m), 0);
	assert_bytes(&have, &want);
	buf_done(&have);
	buf_done(&want);
}

static void
test_vector_blk(void **state)
{
	struct pccrr_blk m = {0};
	struct buf want, have;

	load(&want, PCCRR_VECTORS "blk.hex");
	assert_int_equal(pccrr_parse_blk(&m, want.data, want.len), 0);
	assert_int_equal(m.header.algo, PCCRR_AES128);
	assert_int_equal(m.header.size, 136);
	assert_int_equal(m.id_len, 32);
	assert_memory_equal(m.id, the_id, 32);
	assert_int_equal(m.block, 0);
	assert_int_equal(m.next_block, 0);
	assert_int_equal(m.data_len, 48);
	assert_ptr_equal(m.data, want.data + 0x44);
	assert_int_equal(m.iv_len, 16);
	assert_memory_equal(m.iv, the_iv, 16);

	buf_init(&have, 140);
	assert_int_equal(pccrr_build_blk(&have, &m), 0);
	assert_bytes(&have, &want);
	buf_done(&have);
	buf_done(&want);
}

static void
test_vector_blk_empty(void **state)
{
	struct pccrr_blk m;
	struct buf want, have;

	memset(&m, 0xff, sizeof(m));
	load(&want, PCCRR_VECTORS "blk_empty.hex");
	assert_int_equal(pccrr_parse_blk(&m, want.data, want.len), 0);
	assert_int_equal(m.header.algo, PCCRR_NONE);
	assert_int_equal(m.data_len, 0);
	assert_null(m.data);
	assert_int_equal(m.iv_len, 0);
	assert_null(m.iv);

	buf_init(&have, 76);
	assert_int_equal(pccrr_build_blk(&have, &m), 0);
	assert_bytes(&have, &want);
	buf_done(&have);
	buf_done(&want);
}

/* What is sent before a block that comes from elsewhere, with its tail. */
static void
test_blk_head(void **state)
{
	struct pccrr_blk m = {0};
	struct buf want, have;

	load(&want, PCCRR_VECTORS "blk.hex");
	assert_int_equal(pccrr_parse_blk(&m, want.data, want.len), 0);
	m.data = NULL;
	m.iv = NULL;
	m.iv_len = 0;
	buf_init(&have, PCCRR_BLK_HEAD_MAX);
	assert_int_equal(pccrr_build_blk_head(&have, &m), 0);
	assert_int_equal(have.len, want.len - 48 - 24);
	assert_memory_equal(have.data, want.data, have.len);
	buf_reset(&have);
	m.id = the_id;
	m.id_len = 64;
	m.data_len = 65552;
	m.block = 511;
	m.next_block = 17;
	m.header.algo = PCCRR_AES256;
	assert_int_equal(pccrr_build_blk_head(&have, &m), 0);
	assert_int_equal(have.len, 100);
	buf_reset(&want);
	WORDS(&want, 65672, 1, PCCRR_BLK, 65672, 3, 64);
	buf_append(&want, the_id, 64);
	WORDS(&want, 511, 17, 65552);
	assert_bytes(&have, &want);
	buf_done(&want);
	buf_done(&have);
}

static void
test_blk_head_refused(void **state)
{
	static const struct pccrr_blk refused[] = {
		{.header.algo = 1, .id_len = 33, .data_len = 16},
		{.header.algo = 1, .id_len = 0, .data_len = 16},
		{.header.algo = 1, .id_len = 32, .data_len = 0},
		{.header.algo = 1, .id_len = 32, .data_len = 18},
		{.header.algo = 0, .id_len = 32, .data_len = 16},
		{.header.algo = 4, .id_len = 32, .data_len = 16},
	};
	struct pccrr_blk m = {.header.algo = 1, .id = the_id, .id_len = 32};
	struct buf b;

	buf_init(&b, 1024);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		assert_int_equal(
			pccrr_build_blk_head(&b, &refused[i]), -EINVAL);
	m.data_len = PCCRR_RESPONSE_MAX - 84;
	assert_int_equal(pccrr_build_blk_head(&b, &m), -EMSGSIZE);
	m.data_len = UINT32_MAX - 3;
	assert_int_equal(pccrr_build_blk_head(&b, &m), -EMSGSIZE);
	assert_int_equal(b.len, 0);
	m.data_len = PCCRR_RESPONSE_MAX - 88;
	assert_int_equal(pccrr_build_blk_head(&b, &m), 0);
	buf_done(&b);
	buf_init(&b, 67);
	assert_int_equal(pccrr_build_blk_head(&b, &m), -EMSGSIZE);
	buf_done(&b);
}

/* Cut off anywhere, a message is refused, and nothing is read beyond its end
 * (the copy ends where the allocation does). */
static void
test_every_cut(void **state)
{
	struct pccrr_getblks g;
	struct pccrr_blk k;
	struct buf b;

	load(&b, PCCRR_VECTORS "getblks.hex");
	for (size_t n = 0; n < b.len; n++) {
		uint8_t *copy = malloc(n + (n == 0));

		assert_non_null(copy);
		memcpy(copy, b.data, n);
		assert_true(pccrr_parse_getblks(&g, copy, n) > 0);
		/* and with sizes that agree */
		if (n >= 16) {
			copy[11] = (uint8_t)n;
			assert_int_equal(pccrr_parse_getblks(&g, copy, n),
				n > 52 && n < 56            ? PCCRR_E_SHORT
					: n >= 56 && n < 64 ? PCCRR_E_MALFORMED
							    : PCCRR_E_SHORT);
		}
		free(copy);
	}
	buf_done(&b);
	load(&b, PCCRR_VECTORS "blk.hex");
	for (size_t n = 0; n < b.len; n++) {
		uint8_t *copy = malloc(n + (n == 0));

		assert_non_null(copy);
		memcpy(copy, b.data, n);
		assert_true(pccrr_parse_blk(&k, copy, n) > 0);
		if (n >= 20) {
			copy[3] = copy[15] = (uint8_t)(n - 4);
			assert_int_equal(
				pccrr_parse_blk(&k, copy, n), PCCRR_E_SHORT);
		}
		free(copy);
	}
	buf_done(&b);
}

static void
test_header_edits(void **state)
{
	static const struct edit edits[] = {
		{0, 0x00000001, 0},
		{0, 0xffff0001, 0}, /* any minor */
		{0, 0x00000002, 0},
		{0, 0x00000000, PCCRR_E_UNSUPPORTED},
		{0, 0x00000003, PCCRR_E_UNSUPPORTED},
		{0, 0x0001fefe, PCCRR_E_UNSUPPORTED},
		{4, PCCRR_BLK, PCCRR_E_UNSUPPORTED},
		{4, PCCRR_GETBLKLIST, PCCRR_E_UNSUPPORTED},
		{4, 8, PCCRR_E_UNSUPPORTED},
		{4, 0xfefe, PCCRR_E_UNSUPPORTED},
		{4, UINT32_MAX, PCCRR_E_UNSUPPORTED},
		{8, 67, PCCRR_E_MALFORMED},
		{8, 69, PCCRR_E_MALFORMED},
		{8, 0, PCCRR_E_MALFORMED},
		{8, UINT32_MAX, PCCRR_E_MALFORMED},
		{12, 0, 0},
		{12, 3, 0},
		{12, 4, PCCRR_E_MALFORMED},
		{12, 0x01000000, PCCRR_E_MALFORMED},
	};
	struct pccrr_getblks m;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		load(&b, PCCRR_VECTORS "getblks.hex");
		set_word(&b, edits[i].at, edits[i].word);
		assert_int_equal(
			pccrr_parse_getblks(&m, b.data, b.len), edits[i].want);
		buf_done(&b);
	}
}

/* The server answers a foreign version with its own range, so the header alone
 * must be readable. */
static void
test_header_alone(void **state)
{
	struct pccrr_header h;
	struct buf b;

	buf_init(&b, 64);
	WORDS(&b, 0x0007fefe, PCCRR_GETSEGLIST, 16, 2);
	assert_int_equal(pccrr_parse_header(&h, b.data, b.len), 0);
	assert_int_equal(h.minor, 7);
	assert_int_equal(h.major, 0xfefe);
	assert_int_equal(h.type, PCCRR_GETSEGLIST);
	assert_int_equal(h.size, 16);
	assert_int_equal(h.algo, 2);
	assert_int_equal(pccrr_parse_header(&h, b.data, 15), PCCRR_E_SHORT);
	set_word(&b, 4, _PCCRR_TYPE_MAX);
	assert_int_equal(
		pccrr_parse_header(&h, b.data, b.len), PCCRR_E_UNSUPPORTED);
	buf_done(&b);
}

static void
test_getblks_edits(void **state)
{
	static const struct edit edits[] = {
		{16, 31, PCCRR_E_MALFORMED},
		{16, 0, PCCRR_E_MALFORMED},
		{16, 20, PCCRR_E_MALFORMED},
		{16, UINT32_MAX, PCCRR_E_MALFORMED},
		{16, 48, PCCRR_E_SHORT}, /* the ranges are in the id then */
		{16, 64, PCCRR_E_SHORT},
		{52, 2, PCCRR_E_MALFORMED},
		{52, 10, PCCRR_E_MALFORMED},
		{52, 257, PCCRR_E_MALFORMED},
		{52, 0x20000001, PCCRR_E_MALFORMED}, /* * 8 = 8 in 32 bits */
		{52, UINT32_MAX, PCCRR_E_MALFORMED},
		{64, 1, PCCRR_E_SHORT},
		{64, UINT32_MAX, PCCRR_E_SHORT},
		{64, UINT32_MAX - 3, PCCRR_E_SHORT},
	};
	struct pccrr_getblks m;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		load(&b, PCCRR_VECTORS "getblks.hex");
		set_word(&b, edits[i].at, edits[i].word);
		assert_int_equal(
			pccrr_parse_getblks(&m, b.data, b.len), edits[i].want);
		buf_done(&b);
	}
}

struct ranges_case {
	uint32_t n;
	uint32_t words[8];
	uint32_t block;
	bool nothing;
};

static void
test_getblks_ranges(void **state)
{
	static const struct ranges_case cases[] = {
		{0, {0}, 0, true},
		{1, {0, 0}, 0, true},
		{1, {7, 0}, 7, true},
		{1, {511, 1}, 511, false},
		{1, {512, 1}, 512, true},
		{1, {UINT32_MAX, UINT32_MAX}, UINT32_MAX, true},
		{1, {511, UINT32_MAX}, 511, false}, /* cut to what exists */
		{1, {3, 100}, 3, false},
		{3, {9, 1, 4, 2, 6, 1}, 4, false}, /* unsorted: smallest */
		{3, {0, 0, 600, 1, 5, 1}, 5, false},
		{2, {5, 1, 0, 0}, 5, false},
		{2, {5, 1, 512, 1}, 5, false},
		{2, {600, 1, 4, 0}, 600, true},
	};
	struct pccrr_getblks m, again;
	struct buf b, built;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct ranges_case *c = &cases[i];

		buf_init(&b, 1024);
		WORDS(&b, 1, PCCRR_GETBLKS, 0, 1, 32);
		buf_append(&b, the_id, 32);
		buf_be32(&b, c->n);
		append_words(&b, c->words, 2 * c->n);
		buf_be32(&b, 0);
		fix_request(&b);
		assert_int_equal(pccrr_parse_getblks(&m, b.data, b.len), 0);
		assert_int_equal(m.block, c->block);
		assert_int_equal(m.nothing, c->nothing);

		buf_init(&built, 1024);
		assert_int_equal(pccrr_build_getblks(&built, &m), 0);
		assert_int_equal(
			pccrr_parse_getblks(&again, built.data, built.len), 0);
		assert_int_equal(again.block, c->block);
		assert_int_equal(again.nothing, c->nothing);
		buf_done(&built);
		buf_done(&b);
	}
}

static void
test_getblks_256_ranges(void **state)
{
	struct pccrr_getblks m;
	struct buf b;

	for (uint32_t n = 256; n <= 257; n++) {
		buf_init(&b, 4096);
		WORDS(&b, 1, PCCRR_GETBLKS, 0, 1, 32);
		buf_append(&b, the_id, 32);
		buf_be32(&b, n);
		for (uint32_t i = 0; i < n; i++)
			WORDS(&b, 2 * (n - i) - 1, 1);
		buf_be32(&b, 0);
		fix_request(&b);
		assert_int_equal(pccrr_parse_getblks(&m, b.data, b.len),
			n == 256 ? 0 : PCCRR_E_MALFORMED);
		if (n == 256)
			assert_int_equal(m.block, 1);
		buf_done(&b);
	}
}

/* The unused last field may have content, and its padding may be there, in
 * part, or not; four bytes more are not padding. */
static void
test_getblks_verify_field(void **state)
{
	struct pccrr_getblks m;
	struct buf b;

	for (uint32_t len = 0; len <= 8; len++) {
		for (uint32_t pad = 0; pad <= 4; pad++) {
			int want = pad <= (-len & 3) ? 0 : PCCRR_E_MALFORMED;

			load(&b, PCCRR_VECTORS "getblks.hex");
			set_word(&b, 64, len);
			for (uint32_t i = 0; i < len + pad; i++)
				buf_u8(&b, 0xee);
			fix_request(&b);
			assert_int_equal(
				pccrr_parse_getblks(&m, b.data, b.len), want);
			buf_done(&b);
		}
	}
}

static void
test_id_lengths(void **state)
{
	static const uint32_t good[] = {32, 48, 64};
	struct pccrr_getblks g = {.id = the_id, .block = 5};
	struct pccrr_blk k = {.id = the_id, .block = 5}, k2;
	struct pccrr_getblks g2;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		g.id_len = k.id_len = good[i];
		buf_init(&b, 1024);
		assert_int_equal(pccrr_build_getblks(&b, &g), 0);
		assert_int_equal(pccrr_parse_getblks(&g2, b.data, b.len), 0);
		assert_int_equal(g2.id_len, good[i]);
		assert_memory_equal(g2.id, the_id, good[i]);
		assert_int_equal(g2.block, 5);
		buf_reset(&b);
		assert_int_equal(pccrr_build_blk(&b, &k), 0);
		assert_int_equal(pccrr_parse_blk(&k2, b.data, b.len), 0);
		assert_int_equal(k2.id_len, good[i]);
		assert_memory_equal(k2.id, the_id, good[i]);
		buf_done(&b);
	}
	g.id_len = k.id_len = 33;
	buf_init(&b, 1024);
	assert_int_equal(pccrr_build_getblks(&b, &g), -EINVAL);
	assert_int_equal(pccrr_build_blk(&b, &k), -EINVAL);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

static void
test_blk_edits(void **state)
{
	static const struct edit edits[] = {
		{0, 135, PCCRR_E_MALFORMED},
		{0, 137, PCCRR_E_MALFORMED},
		{0, 0, PCCRR_E_MALFORMED},
		{0, UINT32_MAX, PCCRR_E_MALFORMED},
		{4, 2, 0},
		{4, 3, PCCRR_E_UNSUPPORTED},
		{8, PCCRR_NEGO_RESP, PCCRR_E_UNSUPPORTED},
		{8, PCCRR_GETBLKS, PCCRR_E_UNSUPPORTED},
		{12, 140, PCCRR_E_MALFORMED},
		{16, 4, PCCRR_E_MALFORMED},
		{16, PCCRR_AES256, 0},
		{16, PCCRR_NONE, 0},
		{20, 33, PCCRR_E_MALFORMED},
		{20, 0, PCCRR_E_MALFORMED},
		{0x40, 49, PCCRR_E_SHORT},
		{0x40, UINT32_MAX, PCCRR_E_SHORT},
		{0x40, UINT32_MAX - 2, PCCRR_E_SHORT}, /* pads to 2^32 */
		{0x40, 44, PCCRR_E_SHORT},
		{0x74, UINT32_MAX, PCCRR_E_SHORT},
		{0x78, 0, PCCRR_E_MALFORMED},
		{0x78, 15, PCCRR_E_MALFORMED},
		{0x78, 12, PCCRR_E_MALFORMED},
		{0x78, 17, PCCRR_E_SHORT},
		{0x78, UINT32_MAX, PCCRR_E_SHORT},
	};
	struct pccrr_blk m;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		load(&b, PCCRR_VECTORS "blk.hex");
		set_word(&b, edits[i].at, edits[i].word);
		assert_int_equal(
			pccrr_parse_blk(&m, b.data, b.len), edits[i].want);
		buf_done(&b);
	}
}

/* A block whose length is not a multiple of 4, a verification field that is not
 * empty, padding that is not zero. */
static void
test_blk_odd_fields(void **state)
{
	struct pccrr_blk m;
	struct buf b;

	for (uint32_t len = 1; len <= 9; len++) {
		buf_init(&b, 1024);
		WORDS(&b, 0, 1, PCCRR_BLK, 0, PCCRR_AES192, 32);
		buf_append(&b, the_id, 32);
		WORDS(&b, 511, 4, len);
		for (uint32_t i = 0; i < len + (-len & 3); i++)
			buf_u8(&b, (uint8_t)(0x80 + i));
		buf_be32(&b, 10 - len);
		for (uint32_t i = 0; i < 10 - len + (-(10 - len) & 3); i++)
			buf_u8(&b, 0x55);
		buf_be32(&b, 16);
		buf_append(&b, the_iv, 16);
		fix_answer(&b);
		assert_int_equal(pccrr_parse_blk(&m, b.data, b.len), 0);
		assert_int_equal(m.block, 511);
		assert_int_equal(m.next_block, 4);
		assert_int_equal(m.data_len, len);
		assert_int_equal(m.data[len - 1], 0x80 + len - 1);
		assert_memory_equal(m.iv, the_iv, 16);
		buf_done(&b);
	}
}

/* Without data the IV means nothing; some peers may send one. */
static void
test_blk_iv_without_data(void **state)
{
	struct pccrr_blk m;
	struct buf b;

	for (uint32_t len = 1; len <= 17; len += 8) {
		load(&b, PCCRR_VECTORS "blk_empty.hex");
		set_word(&b, 16, PCCRR_AES128);
		set_word(&b, b.len - 4, len);
		buf_zero(&b, len);
		fix_answer(&b);
		assert_int_equal(pccrr_parse_blk(&m, b.data, b.len), 0);
		assert_int_equal(m.iv_len, 0);
		assert_null(m.iv);
		buf_u8(&b, 0);
		buf_u8(&b, 0);
		buf_u8(&b, 0);
		buf_u8(&b, 0);
		fix_answer(&b);
		assert_int_equal(
			pccrr_parse_blk(&m, b.data, b.len), PCCRR_E_MALFORMED);
		buf_done(&b);
	}
}

static void
test_answer_limit(void **state)
{
	const uint32_t most = PCCRR_RESPONSE_MAX - 88;
	uint8_t *data = calloc(1, most + 16);
	struct pccrr_blk m = {.header.algo = PCCRR_AES128,
		.id = the_id,
		.id_len = 32,
		.iv = the_iv,
		.iv_len = 16,
		.data = data};
	struct pccrr_blk parsed;
	struct buf b;

	assert_non_null(data);
	buf_init(&b, 1 << 20);
	m.data_len = most + 1;
	assert_int_equal(pccrr_build_blk(&b, &m), -EMSGSIZE);
	m.data_len = UINT32_MAX; /* nothing may wrap */
	assert_int_equal(pccrr_build_blk(&b, &m), -EMSGSIZE);
	assert_int_equal(b.len, 0);
	m.data_len = most;
	assert_int_equal(pccrr_build_blk(&b, &m), 0);
	assert_int_equal(b.len, 4 + PCCRR_RESPONSE_MAX);
	assert_int_equal(pccrr_parse_blk(&parsed, b.data, b.len), 0);
	assert_int_equal(parsed.data_len, most);
	buf_u8(&b, 0);
	fix_answer(&b);
	assert_int_equal(
		pccrr_parse_blk(&parsed, b.data, b.len), PCCRR_E_TOO_BIG);
	buf_done(&b);
	free(data);
}

static void
test_request_limit(void **state)
{
	struct pccrr_getblks m;
	struct buf b;

	load(&b, PCCRR_VECTORS "getblks.hex");
	buf_zero(&b, PCCRR_REQUEST_MAX - b.len);
	set_word(&b, 64, PCCRR_REQUEST_MAX - 68);
	fix_request(&b);
	assert_int_equal(pccrr_parse_getblks(&m, b.data, b.len), 0);
	buf_u8(&b, 0);
	fix_request(&b);
	assert_int_equal(
		pccrr_parse_getblks(&m, b.data, b.len), PCCRR_E_TOO_BIG);
	buf_done(&b);
}

static void
test_build_refuses(void **state)
{
	struct pccrr_blk m = {.header.algo = PCCRR_AES128,
		.id = the_id,
		.id_len = 32,
		.iv = the_iv,
		.data = the_id,
		.data_len = 32};
	struct pccrr_getblks g = {.header.algo = 4, .id = the_id, .id_len = 32};
	struct buf b;

	buf_init(&b, 1024);
	assert_int_equal(pccrr_build_blk(&b, &m), -EINVAL); /* no IV */
	m.iv_len = 16;
	m.header.algo = PCCRR_NONE;
	assert_int_equal(pccrr_build_blk(&b, &m), -EINVAL); /* what for? */
	m.header.algo = _PCCRR_ALGO_MAX;
	assert_int_equal(pccrr_build_blk(&b, &m), -EINVAL);
	assert_int_equal(pccrr_build_getblks(&b, &g), -EINVAL);
	assert_int_equal(b.len, 0);
	buf_done(&b);
	buf_init(&b, 67);
	g.header.algo = 1;
	assert_int_equal(pccrr_build_getblks(&b, &g), -EMSGSIZE);
	buf_done(&b);
}

static int
build_both(void *arg)
{
	struct pccrr_blk m = {.header.algo = PCCRR_AES128,
		.id = the_id,
		.id_len = 32,
		.iv = the_iv,
		.iv_len = 16,
		.data = the_id,
		.data_len = 32};
	struct pccrr_getblks g = {.id = the_id, .id_len = 32};
	struct buf b;
	int r;

	buf_init(&b, 1024);
	r = pccrr_build_blk(&b, &m);
	if (r == 0)
		r = pccrr_build_getblks(&b, &g);
	buf_done(&b);
	if (r == 0)
		r = pccrr_build_blk_head(&b, &m);
	buf_done(&b);
	return r;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(build_both, NULL) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector_getblks),
		cmocka_unit_test(test_vector_blk),
		cmocka_unit_test(test_vector_blk_empty),
		cmocka_unit_test(test_blk_head),
		cmocka_unit_test(test_blk_head_refused),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_header_edits),
		cmocka_unit_test(test_header_alone),
		cmocka_unit_test(test_getblks_edits),
		cmocka_unit_test(test_getblks_ranges),
		cmocka_unit_test(test_getblks_256_ranges),
		cmocka_unit_test(test_getblks_verify_field),
		cmocka_unit_test(test_id_lengths),
		cmocka_unit_test(test_blk_edits),
		cmocka_unit_test(test_blk_odd_fields),
		cmocka_unit_test(test_blk_iv_without_data),
		cmocka_unit_test(test_answer_limit),
		cmocka_unit_test(test_request_limit),
		cmocka_unit_test(test_build_refuses),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
