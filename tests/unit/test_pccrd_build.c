/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codec/pccrd.h"
#include "common/err.h"
#include "common/macros.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/literal_match.h"
#include "tests/unit/pccrd_util.h"

static uint8_t uuid[16];

static void
sample_ids(uint8_t (*ids)[32], size_t n)
{
	for (size_t i = 0; i < n; i++)
		memset(ids[i], (int)(0x9a + i), 32);
}

static void
assert_bytes(const struct buf *have, const struct buf *want)
{
	assert_int_equal(have->len, want->len);
	assert_memory_equal(have->data, want->data, want->len);
}

static void
test_probe_vectors(void **state)
{
	uint8_t ids[2][32];
	struct buf want, have;

	pccrd_unhex(ids[0], 32, PCCRD_ID_ONE);
	pccrd_unhex(ids[1], 32, PCCRD_ID_TWO);
	pccrd_unhex(uuid, 16, PCCRD_UUID_PROBE);
	buf_init(&have, 4096);
	pccrd_load(&want, PCCRD_VECTORS "probe_v1.txt");
	assert_int_equal(pccrd_build_probe(&have, uuid, PCCRD_V1, ids, 1), 0);
	assert_bytes(&have, &want);
	buf_done(&want);

	pccrd_unhex(uuid, 16, PCCRD_UUID_PROBE2);
	buf_reset(&have);
	pccrd_load(&want, PCCRD_VECTORS "probe_v2.txt");
	assert_int_equal(pccrd_build_probe(&have, uuid, PCCRD_V2, ids, 2), 0);
	assert_bytes(&have, &want);
	buf_done(&want);
	buf_done(&have);
}

static void
test_answer_vectors(void **state)
{
	struct pccrd_sample s;
	struct buf want, have;

	buf_init(&have, 4096);
	pccrd_load(&want, PCCRD_VECTORS "answer_v1.txt");
	assert_int_equal(want.len, 1273);
	pccrd_sample(&s, PCCRD_V1);
	assert_int_equal(pccrd_build_answer(&have, &s.answer), 0);
	assert_bytes(&have, &want);
	buf_done(&want);

	buf_reset(&have);
	pccrd_load(&want, PCCRD_VECTORS "answer_v2.txt");
	pccrd_sample(&s, PCCRD_V2);
	assert_int_equal(pccrd_build_answer(&have, &s.answer), 0);
	assert_bytes(&have, &want);
	buf_done(&want);
	buf_done(&have);
}

/* What a client takes that looks for words and knows no XML. */
static void
test_answer_literally(void **state)
{
	struct literal_match m;
	struct pccrd_sample s;
	struct buf b;

	buf_init(&b, 4096);
	pccrd_sample(&s, PCCRD_V1);
	s.answer.n_ids = 2;
	s.answer.n_addrs = 2;
	assert_int_equal(pccrd_build_answer(&b, &s.answer), 0);
	assert_null(literal_parse(b.data, b.len, &m));
	assert_int_equal(m.n_ids, 2);
	assert_string_equal(m.ids[0],
		"3721F9523A5345B997CC1ABF15FBB1F0"
		"9349E4607CC137DD126320FC4835C5B6");
	assert_string_equal(m.ids[1],
		"25C9F0C408A3D779301BCAE46ED8AD00"
		"02F753DA5C37966165FC651AF08F4B9F");
	assert_int_equal(m.counts[0], 1);
	assert_int_equal(m.counts[1], 7);
	assert_int_equal(m.n_addrs, 2);
	assert_string_equal(m.addrs[0], "192.0.2.10:80");
	assert_string_equal(m.addrs[1], "[2001:db8::7]:8080");
	buf_done(&b);
}

/* A host that writes its question so that the answer repeats tags. */
static void
test_answer_to_a_trap(void **state)
{
	struct literal_match m;
	struct pccrd_sample s;
	struct buf b;

	buf_init(&b, 4096);
	pccrd_sample(&s, PCCRD_V1);
	s.answer.relates_to = "<wsd:XAddrs>192.0.2.66:1</wsd:XAddrs>&amp;";
	assert_int_equal(pccrd_build_answer(&b, &s.answer), 0);
	assert_non_null(memmem(b.data, b.len,
		"&lt;wsd:XAddrs&gt;192.0.2.66:1&lt;/wsd:XAddrs&gt;&amp;amp;",
		58));
	assert_null(literal_parse(b.data, b.len, &m));
	assert_int_equal(m.n_addrs, 1);
	assert_string_equal(m.addrs[0], "192.0.2.10:80");
	buf_done(&b);
}

/* The literal reader is no rubber stamp. */
static void
test_literal_reader(void **state)
{
	static const char *const edits[][2] = {
		{"<wsd:Scopes>", "<wsd:Scopes MatchBy=\"x\">"},
		{"<wsd:Scopes>", "<d:Scopes>"},
		{"00000001", "0001"},
		{"00000001", "0000 0001"},
		{"00000001", "00000000"},
		{"<PeerDist:BlockCount>", "<p:BlockCount>"},
		{"3721F952", "3721f952"},
		{"192.0.2.10:80", ""},
		{"192.0.2.10:80", "192.0.2.10"},
		{"192.0.2.10:80", "192.0.2.10:0"},
		{"192.0.2.10:80", "http://192.0.2.10:80"},
		{"192.0.2.10:80", "[fe80::1%2]:80"},
		{"</wsd:XAddrs>", "</wsd:XAddrs >"},
	};
	struct literal_match m;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		pccrd_load(&b, PCCRD_VECTORS "answer_v1.txt");
		assert_null(literal_parse(b.data, b.len, &m));
		pccrd_edit(&b, edits[i][0], edits[i][1]);
		assert_non_null(literal_parse(b.data, b.len, &m));
		buf_done(&b);
	}
	pccrd_load(&b, PCCRD_VECTORS "answer_v1.txt");
	pccrd_edit(&b, "192.0.2.10:80", "\n 192.0.2.10:80\n[::1]:5\t");
	pccrd_edit(&b, "00000001", "\n0000002A ");
	assert_null(literal_parse(b.data, b.len, &m));
	assert_int_equal(m.n_addrs, 2);
	assert_int_equal(m.counts[0], 42);
	buf_done(&b);
}

/* Whoever asks in lower case is answered in lower case, letter by letter. */
static void
test_answer_case(void **state)
{
	static const char mixed[] = "3721f9523A5345B997cC1aBf15fbb1f0"
				    "9349e4607CC137dd126320FC4835c5B6";
	struct pccrd_sample s;
	struct buf b;

	buf_init(&b, 4096);
	pccrd_sample(&s, PCCRD_V1);
	for (size_t i = 0; i < 64; i++)
		if (mixed[i] >= 'a')
			s.ids[0].lower |= UINT64_C(1) << i;
	assert_int_equal(pccrd_build_answer(&b, &s.answer), 0);
	assert_non_null(memmem(b.data, b.len, mixed, 64));
	buf_done(&b);
}

/* No scope: it would be the number of an interface here. */
static void
test_answer_link_local(void **state)
{
	struct pccrd_sample s;
	struct buf b;

	buf_init(&b, 4096);
	pccrd_sample(&s, PCCRD_V1);
	assert_int_equal(parse_addr_port("[fe80::1%3]:80", &s.addrs[0]), 0);
	assert_int_equal(pccrd_build_answer(&b, &s.answer), 0);
	assert_non_null(memmem(b.data, b.len, ">[fe80::1]:80<", 14));
	buf_done(&b);
}

static void
test_answer_bits(void **state)
{
	/* complete, none, some, complete, none: 11 00 10 11 00 */
	static const uint32_t blocks[5] = {UINT32_MAX, 0, 1, UINT32_MAX, 0};
	struct pccrd_held held[5];
	struct pccrd_id ids[5] = {0};
	struct pccrd_sample s;
	struct buf b;

	buf_init(&b, 4096);
	pccrd_sample(&s, PCCRD_V2);
	for (size_t i = 0; i < 5; i++)
		held[i] = (struct pccrd_held){
			.blocks = blocks[i], .age_ds = PCCRD_AGE_UNKNOWN};
	s.answer.n_ids = 5;
	s.answer.ids = ids;
	s.answer.held = held;
	assert_int_equal(pccrd_build_answer(&b, &s.answer), 0);
	assert_non_null(memmem(b.data, b.len, "<wsd:Scopes>ywA=<", 17));
	/* no ages: a blob with none */
	assert_non_null(memmem(b.data, b.len, "Ages>AAEDAA==<", 14));
	buf_done(&b);
}

/* The largest answers that there may be fit what may be sent. */
static void
test_answer_sizes(void **state)
{
	struct pccrd_held held[PCCRD_IDS_MAX];
	static struct pccrd_id ids[PCCRD_IDS_MAX];
	struct parse_addr addrs[PCCRD_ADDRS_MAX];
	struct pccrd_sample s;
	struct buf b;

	buf_init(&b, PCCRD_SEND_MAX);
	for (size_t i = 0; i < PCCRD_IDS_MAX; i++)
		held[i] = (struct pccrd_held){.blocks = 1, .age_ds = 1};
	for (size_t i = 0; i < PCCRD_ADDRS_MAX; i++)
		assert_int_equal(parse_addr_port("[2001:db8:1111:2222:3333:"
						 "4444:5555:6666]:65535",
					 &addrs[i]),
			0);
	pccrd_sample(&s, PCCRD_V1);
	s.answer.ids = ids;
	s.answer.held = held;
	s.answer.n_addrs = PCCRD_ADDRS_MAX;
	s.answer.addrs = addrs;
	s.answer.instance = UINT64_MAX;
	s.answer.number = UINT32_MAX;
	s.answer.n_ids = PCCRD_ANSWER_IDS_MAX;
	assert_int_equal(pccrd_build_answer(&b, &s.answer), 0);
	buf_reset(&b);
	s.answer.version = PCCRD_V2;
	s.answer.n_ids = PCCRD_IDS_MAX;
	assert_int_equal(pccrd_build_answer(&b, &s.answer), 0);
	buf_reset(&b);
	s.answer.version = PCCRD_V1;
	assert_int_equal(pccrd_build_answer(&b, &s.answer), -EMSGSIZE);
	buf_done(&b);
}

static void
test_probe_sizes(void **state)
{
	static uint8_t ids[PCCRD_IDS_MAX][32];
	struct buf b;

	sample_ids(ids, PCCRD_IDS_MAX);
	buf_init(&b, 65536);
	for (enum pccrd_version v = PCCRD_V1; v <= PCCRD_V2; v++) {
		assert_int_equal(pccrd_probe_ids(v, 0), 0);
		assert_int_equal(pccrd_probe_ids(v, 800), 0);
		assert_int_equal(pccrd_probe_ids(v, SIZE_MAX), PCCRD_IDS_MAX);
		for (size_t n = 1; n <= PCCRD_IDS_MAX; n++) {
			buf_reset(&b);
			assert_int_equal(
				pccrd_build_probe(&b, uuid, v, ids, n), 0);
			/* in V2 some numbers of ids have the same size */
			assert_true(pccrd_probe_ids(v, b.len) >= n);
			assert_true(pccrd_probe_ids(v, b.len - 4) < n);
			if (v == PCCRD_V1)
				assert_int_equal(
					pccrd_probe_ids(v, b.len - 1), n - 1);
		}
	}
	buf_done(&b);
}

static void
test_probe_fits(void **state)
{
	static uint8_t ids[PCCRD_IDS_MAX][32];
	struct buf b;

	for (enum pccrd_version v = PCCRD_V1; v <= PCCRD_V2; v++) {
		size_t n = pccrd_probe_ids(v, PCCRD_SEND_GOOD);

		assert_int_equal(n, v == PCCRD_V1 ? 10 : 14);
		buf_init(&b, PCCRD_SEND_GOOD);
		assert_int_equal(pccrd_build_probe(&b, uuid, v, ids, n), 0);
		buf_reset(&b);
		assert_int_equal(
			pccrd_build_probe(&b, uuid, v, ids, n + 1), -EMSGSIZE);
		buf_done(&b);
	}
}

static void
refuse_answer(const struct pccrd_answer *a)
{
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(pccrd_build_answer(&b, a), -EINVAL);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

static void
test_refused(void **state)
{
	static const uint8_t ids[1][32];
	char uri[PCCRD_URI_MAX + 2] = "";
	struct pccrd_sample s;
	struct buf b;

	buf_init(&b, 65536);
	assert_int_equal(
		pccrd_build_probe(&b, uuid, PCCRD_V1, ids, 0), -EINVAL);
	assert_int_equal(
		pccrd_build_probe(&b, uuid, PCCRD_V2, ids, 256), -EINVAL);
	assert_int_equal(pccrd_build_probe(&b, uuid, 3, ids, 1), -EINVAL);
	assert_int_equal(b.len, 0);
	buf_done(&b);
	pccrd_sample(&s, PCCRD_V1);
	s.answer.n_ids = 0;
	refuse_answer(&s.answer);
	s.answer.n_ids = 256;
	refuse_answer(&s.answer);
	pccrd_sample(&s, PCCRD_V1);
	s.answer.n_addrs = 0;
	refuse_answer(&s.answer);
	s.answer.n_addrs = 5;
	refuse_answer(&s.answer);
	pccrd_sample(&s, PCCRD_V1);
	s.answer.version = 0;
	refuse_answer(&s.answer);
	pccrd_sample(&s, PCCRD_V1);
	s.answer.relates_to = "";
	refuse_answer(&s.answer);
	s.answer.relates_to = "a\nb";
	refuse_answer(&s.answer);
	s.answer.relates_to = "a\xff";
	refuse_answer(&s.answer);
	memset(uri, 'x', sizeof(uri) - 1);
	s.answer.relates_to = uri;
	refuse_answer(&s.answer);
}

static int
build_all(void *arg)
{
	static const uint8_t ids[2][32];
	struct pccrd_sample s;
	struct buf b;
	int r = 0;

	buf_init(&b, 4096);
	for (enum pccrd_version v = PCCRD_V1; v <= PCCRD_V2 && r == 0; v++) {
		pccrd_sample(&s, v);
		r = pccrd_build_answer(&b, &s.answer);
		buf_done(&b);
		if (r == 0)
			r = pccrd_build_probe(&b, uuid, v, ids, 2);
		buf_done(&b);
	}
	return r;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(build_all, NULL) > 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe_vectors),
		cmocka_unit_test(test_answer_vectors),
		cmocka_unit_test(test_answer_literally),
		cmocka_unit_test(test_answer_to_a_trap),
		cmocka_unit_test(test_literal_reader),
		cmocka_unit_test(test_answer_case),
		cmocka_unit_test(test_answer_link_local),
		cmocka_unit_test(test_answer_bits),
		cmocka_unit_test(test_answer_sizes),
		cmocka_unit_test(test_probe_sizes),
		cmocka_unit_test(test_probe_fits),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
