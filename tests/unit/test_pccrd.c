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
#include "tests/unit/pccrd_util.h"

#define SCOPES_V1 \
	"3721F9523A5345B997CC1ABF15FBB1F09349E4607CC137DD126320FC4835C5B6"
#define SCOPES_V2 \
	"ACACNyH5UjpTRbmXzBq/Ffux8JNJ5GB8wTfdEmMg/Eg1xbYlyfDECKPXeTAbyuRu" \
	"2K0AAvdT2lw3lmFl/GUa8I9Lnw=="
#define RULE_V1 "http://schemas.xmlsoap.org/ws/2005/04/discovery/strcmp0"
#define RULE_V2 \
	"http://schemas.microsoft.com/p2p/2010/05/PeerDistV2MatchingRule"
#define URN_PROBE "urn:uuid:5f0a7f2e-1f7b-4c58-8a3e-3a9c2f6d1b22"

static struct pccrd_parser *parser;
static struct pccrd_message m;
static uint8_t id_one[32], id_two[32];

static int
setup(void **state)
{
	pccrd_unhex(id_one, 32, PCCRD_ID_ONE);
	pccrd_unhex(id_two, 32, PCCRD_ID_TWO);
	parser = pccrd_parser_new();
	return parser == NULL;
}

static int
teardown(void **state)
{
	parser = pccrd_parser_free(parser);
	return parser != NULL;
}

/* The copy ends where its allocation does, so that a sanitizer sees more. */
static int
parse(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len + (len == 0));
	int r;

	assert_non_null(copy);
	memcpy(copy, data, len);
	memset(&m, 0xee, sizeof(m));
	r = pccrd_parse(parser, copy, len, &m);
	free(copy);
	return r;
}

static void
test_vector_probes(void **state)
{
	struct buf b;

	pccrd_load(&b, PCCRD_VECTORS "probe_v1.txt");
	assert_int_equal(parse(b.data, b.len), PCCRD_OK);
	assert_int_equal(m.kind, PCCRD_PROBE);
	assert_int_equal(m.u.probe.version, PCCRD_V1);
	assert_string_equal(m.u.probe.message_id, URN_PROBE);
	assert_int_equal(m.u.probe.n_ids, 1);
	assert_memory_equal(m.u.probe.ids[0].bytes, id_one, 32);
	assert_int_equal(m.u.probe.ids[0].lower, 0);
	buf_done(&b);

	pccrd_load(&b, PCCRD_VECTORS "probe_v2.txt");
	assert_int_equal(parse(b.data, b.len), PCCRD_OK);
	assert_int_equal(m.kind, PCCRD_PROBE);
	assert_int_equal(m.u.probe.version, PCCRD_V2);
	assert_int_equal(m.u.probe.n_ids, 2);
	assert_memory_equal(m.u.probe.ids[0].bytes, id_one, 32);
	assert_memory_equal(m.u.probe.ids[1].bytes, id_two, 32);
	buf_done(&b);
}

static void
test_vector_answers(void **state)
{
	const struct pccrd_match *match = &m.u.matches.matches[0];
	char addr[PARSE_ADDR_TEXT];
	struct buf b;

	pccrd_load(&b, PCCRD_VECTORS "answer_v1.txt");
	assert_int_equal(parse(b.data, b.len), PCCRD_OK);
	assert_int_equal(m.kind, PCCRD_MATCHES);
	assert_string_equal(m.u.matches.message_id,
		"urn:uuid:0e1f0b2c-5a53-4a0c-9d0e-8d2c6f1f7a11");
	assert_string_equal(m.u.matches.relates_to, URN_PROBE);
	assert_int_equal(m.u.matches.n_matches, 1);
	assert_int_equal(match->version, PCCRD_V1);
	assert_int_equal(match->n_held, 1);
	assert_memory_equal(match->held[0].id, id_one, 32);
	assert_int_equal(match->held[0].blocks, 1);
	assert_int_equal(match->held[0].age_ds, PCCRD_AGE_UNKNOWN);
	assert_int_equal(match->n_addrs, 1);
	parse_addr_format(addr, &match->addrs[0]);
	assert_string_equal(addr, "192.0.2.10:80");
	buf_done(&b);

	pccrd_load(&b, PCCRD_VECTORS "answer_v2.txt");
	assert_int_equal(parse(b.data, b.len), PCCRD_OK);
	assert_int_equal(match->version, PCCRD_V2);
	assert_int_equal(match->n_held, 4);
	assert_int_equal(match->held[0].blocks, 0);
	assert_int_equal(match->held[0].age_ds, PCCRD_AGE_UNKNOWN);
	assert_int_equal(match->held[1].blocks, UINT32_MAX);
	assert_int_equal(match->held[1].age_ds, 6000);
	assert_int_equal(match->held[2].blocks, 0);
	assert_int_equal(match->held[3].blocks, 0);
	buf_done(&b);
}

static const char *const vectors[] = {
	PCCRD_VECTORS "probe_v1.txt",
	PCCRD_VECTORS "probe_v2.txt",
	PCCRD_VECTORS "answer_v1.txt",
	PCCRD_VECTORS "answer_v2.txt",
};

static void
test_every_cut(void **state)
{
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		pccrd_load(&b, vectors[i]);
		for (size_t n = 0; n < b.len; n++)
			assert_int_equal(parse(b.data, n), PCCRD_E_MALFORMED);
		/* and the parser is none the worse for it */
		assert_int_equal(parse(b.data, b.len), PCCRD_OK);
		buf_done(&b);
	}
}

struct edit {
	const char *from;
	const char *to;
	int want;
};

static void
check_edits(const char *vector, const struct edit *edits, size_t n)
{
	struct buf b;
	int r;

	for (size_t i = 0; i < n; i++) {
		pccrd_load(&b, vector);
		pccrd_edit(&b, edits[i].from, edits[i].to);
		r = parse(b.data, b.len);
		if (r != edits[i].want)
			print_message("%s -> %s\n", edits[i].from, edits[i].to);
		assert_int_equal(r, edits[i].want);
		buf_done(&b);
	}
}

#define EMPTY_BODY \
	"<Envelope xmlns='http://www.w3.org/2003/05/soap-envelope'>" \
	"<Body/></Envelope>"
#define TYPES_1    "<wsd:Types>PeerDist:PeerDistData</wsd:Types>"
#define HEADER_END "</soap:Header>"
#define TWO_SCOPES "</wsd:Scopes><wsd:Scopes>"
#define MESSAGE_ID "<wsa:MessageID>" URN_PROBE "</wsa:MessageID>"

/* What others may write and mean the same. */
static void
test_probe_spellings(void **state)
{
	static const struct edit edits[] = {
		{"<?xml version=\"1.0\" encoding=\"utf-8\"?>", "", 0},
		{"<?xml version=\"1.0\" encoding=\"utf-8\"?>",
			"\xef\xbb\xbf<?xml version='1.0'?>\r\n<!-- x -->", 0},
		{"<soap:Envelope", "\n<?pi x?>\n<soap:Envelope  a='b'\n", 0},
		{"\"" RULE_V1 "\"", "'" RULE_V1 "'", 0},
		{"\"" RULE_V1 "\"", "' " RULE_V1 "\n'", 0},
		{" MatchBy=\"" RULE_V1 "\"", "", 0},
		{" MatchBy=\"", " x='y' MatchBy=\"", 0},
		{SCOPES_V1, "<![CDATA[" SCOPES_V1 "]]>", 0},
		{SCOPES_V1, "\n\t<!-- id -->" SCOPES_V1 "\r\n", 0},
		{"3721F9", "&#x33;72<!-- -->1&#70;9", 0},
		{"<wsd:Types>", "\n\t<wsd:Types>\n ", 0},
		{"<wsd:Types>",
			"<x:y xmlns:x='z'><wsd:Types/></x:y><wsd:Types>", 0},
		{"<wsd:Probe>", "<wsd:Probe a='1'>", 0},
		{"PeerDist:PeerDistData<", "PeerDist:PeerDistData  <", 0},
		{"PeerDist:PeerDistData<",
			"PeerDist:PeerDistData PeerDist:PeerDistData<", 0},
		{"PeerDist:PeerDistData<", "nobody:PeerDistData<", 0},
		{"PeerDist:PeerDistData<", "PeerDistData<", 0},
		{"<wsd:Types>PeerDist:",
			"<wsd:Types xmlns:q='http://"
			"schemas.microsoft.com/p2p/2007/09/"
			"PeerDistributionDiscovery'>q:",
			0},
		{"<wsd:Types>PeerDist:",
			"<wsd:Types xmlns='http://"
			"schemas.microsoft.com/p2p/2007/09/"
			"PeerDistributionDiscovery'>",
			0},
		{"<wsd:Types>PeerDist:", "<wsd:Types xmlns=''>", 0},
		{HEADER_END, "<a/><b xmlns='c'>d</b>" HEADER_END, 0},
		{HEADER_END,
			"<wsa:ReplyTo soap:mustUnderstand='1'><wsa:Address>x"
			"</wsa:Address></wsa:ReplyTo>" HEADER_END,
			0},
		{HEADER_END, "<a soap:mustUnderstand='0'/>" HEADER_END, 0},
		{HEADER_END, "<a soap:mustUnderstand='false'/>" HEADER_END, 0},
		{HEADER_END, "<a mustUnderstand='1'/>" HEADER_END, 0},
		{HEADER_END, "<a><b soap:mustUnderstand='1'/></a>" HEADER_END,
			0},
		{"<wsa:To>", "<wsa:To soap:mustUnderstand='true'>", 0},
		{URN_PROBE, "\n" URN_PROBE " ", 0},
		{URN_PROBE, "http://x/a&amp;b", 0},
	};

	check_edits(PCCRD_VECTORS "probe_v1.txt", edits, ARRAY_LEN(edits));
	assert_string_equal(m.u.probe.message_id, "http://x/a&b");
}

static void
test_probe_foreign(void **state)
{
	static const struct edit edits[] = {
		{"soap-envelope", "soap-envelop", PCCRD_E_FOREIGN},
		{"2004/08/addressing", "2005/08/addressing",
			PCCRD_E_MALFORMED}, /* no Action then */
		{"2005/04/discovery\" xmlns:Peer", "2009/01\" xmlns:Peer",
			PCCRD_E_FOREIGN},
		{"2007/09/PeerDist", "2008/09/PeerDist", PCCRD_E_FOREIGN},
		{"discovery/Probe<", "discovery/Hello<", PCCRD_E_FOREIGN},
		{"discovery/Probe<", "discovery/ProbeMatches<",
			PCCRD_E_FOREIGN},
		{"<wsd:Probe>", "<wsd:Hello/><wsd:Probe>", PCCRD_E_FOREIGN},
		{"<wsd:Probe>", "<Probe/><wsd:Probe>", PCCRD_E_FOREIGN},
		{"PeerDist:PeerDistData<", "PeerDist:PeerDistDatum<",
			PCCRD_E_FOREIGN},
		{"PeerDist:PeerDistData<", "wsd:PeerDistData<",
			PCCRD_E_FOREIGN},
		{"PeerDist:PeerDistData<", "PeerDist:PeerDistDataV2<",
			PCCRD_E_FOREIGN}, /* the rule of version 1 */
		{"PeerDist:PeerDistData<",
			"PeerDist:PeerDistData PeerDist:PeerDistDataV2<",
			PCCRD_E_FOREIGN},
		{"PeerDist:PeerDistData<", "PeerDist:PeerDistData x:Device<",
			PCCRD_E_FOREIGN},
		{"PeerDist:PeerDistData<", "<", PCCRD_E_FOREIGN},
		{"PeerDist:PeerDistData<", "PeerDist:<", PCCRD_E_FOREIGN},
		{TYPES_1, "", PCCRD_E_FOREIGN},
		{"<wsd:Types>", "<wsd:Types xmlns:PeerDist='x'>",
			PCCRD_E_FOREIGN},
		{"strcmp0", "rfc3986", PCCRD_E_FOREIGN},
		{RULE_V1, RULE_V2, PCCRD_E_FOREIGN},
		{HEADER_END, "<a soap:mustUnderstand='1'/>" HEADER_END,
			PCCRD_E_FOREIGN},
		{HEADER_END,
			"<wsa:Too soap:mustUnderstand=' true '/>" HEADER_END,
			PCCRD_E_FOREIGN},
	};
	static const char *const others[] = {
		"<x/>",
		"<Envelope/>",
		"<e xmlns='http://www.w3.org/2003/05/soap-envelope'/>",
		"<Envelope xmlns='http://schemas.xmlsoap.org/soap/envelope/'/>",
		"<Envelope xmlns='http://www.w3.org/2003/05/soap-envelope'/>",
		EMPTY_BODY,
	};

	check_edits(PCCRD_VECTORS "probe_v1.txt", edits, ARRAY_LEN(edits));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(
			parse((const uint8_t *)others[i], strlen(others[i])),
			PCCRD_E_FOREIGN);
}

static void
test_probe_malformed(void **state)
{
	static const struct edit edits[] = {
		{"<soap:Envelope", "<!DOCTYPE x><soap:Envelope",
			PCCRD_E_MALFORMED},
		{"<soap:Envelope",
			"<!DOCTYPE x [<!ENTITY y 'z'>]><soap:Envelope",
			PCCRD_E_MALFORMED},
		{"<soap:Envelope", "<!DOCTYPE x SYSTEM 'y'><soap:Envelope",
			PCCRD_E_MALFORMED},
		{"</soap:Envelope>", "</soap:Envelope>x", PCCRD_E_MALFORMED},
		{"</soap:Envelope>", "</soap:Envelope><x/>", PCCRD_E_MALFORMED},
		{"<wsd:Probe>", "<wsd:Probe>\xff", PCCRD_E_MALFORMED},
		{"<wsd:Probe>", "<wsd:Probe>&x;", PCCRD_E_MALFORMED},
		{"<wsd:Probe>", "<wsd:Probe><y:x/>", PCCRD_E_MALFORMED},
		{"<wsd:Types>", "<wsd:Scopes/><wsd:Types>", PCCRD_E_MALFORMED},
		{"</wsd:Scopes>", TWO_SCOPES SCOPES_V1 "</wsd:Scopes>",
			PCCRD_E_MALFORMED},
		{"</wsd:Types>", "</wsd:Types>" TYPES_1, PCCRD_E_MALFORMED},
		{"</wsd:Types>", "<a/></wsd:Types>", PCCRD_E_MALFORMED},
		{"</wsd:Probe>", "</wsd:Probe><wsd:Probe/>", PCCRD_E_MALFORMED},
		{"</wsd:Probe>", "</wsd:Probe><x/>", PCCRD_E_MALFORMED},
		{"</soap:Body>", "</soap:Body><soap:Body/>", PCCRD_E_MALFORMED},
		{"<soap:Body>", "<soap:Header/><soap:Body>", PCCRD_E_MALFORMED},
		{SCOPES_V1, "", PCCRD_E_MALFORMED},
		{SCOPES_V1, " \n", PCCRD_E_MALFORMED},
		{SCOPES_V1, SCOPES_V1 " " SCOPES_V1 "0", PCCRD_E_MALFORMED},
		{SCOPES_V1, SCOPES_V1 "\xc2\xa0" SCOPES_V1, PCCRD_E_MALFORMED},
		{SCOPES_V1, SCOPES_V1 SCOPES_V1, PCCRD_E_MALFORMED},
		{SCOPES_V1, "<a>" SCOPES_V1 "</a>", PCCRD_E_MALFORMED},
		{"3721F9", "3721F", PCCRD_E_MALFORMED},
		{"3721F9", "3721 F9", PCCRD_E_MALFORMED},
		{"3721F9", "3721G9", PCCRD_E_MALFORMED},
		{"3721F9", "0x21F9", PCCRD_E_MALFORMED},
		{URN_PROBE, "", PCCRD_E_MALFORMED},
		{URN_PROBE, "a b", PCCRD_E_MALFORMED},
		{URN_PROBE, "a\xc3\xa4", PCCRD_E_MALFORMED},
		{MESSAGE_ID, "", PCCRD_E_MALFORMED},
		{MESSAGE_ID, MESSAGE_ID MESSAGE_ID, PCCRD_E_MALFORMED},
		{"<wsa:Action>", "<wsa:Act/><wsa:Action>", 0},
		{"wsa:Action>http", "wsa:Action >http", 0},
	};

	check_edits(PCCRD_VECTORS "probe_v1.txt", edits, ARRAY_LEN(edits));
}

static void
test_probe_v2_edits(void **state)
{
	static const struct edit edits[] = {
		{"2K0AAv", "2K 0\n\tAA<!-- -->v", 0},
		{RULE_V2, RULE_V1, PCCRD_E_FOREIGN},
		{SCOPES_V2, "", PCCRD_E_MALFORMED},
		{SCOPES_V2, "ACAA", PCCRD_E_MALFORMED}, /* no ids */
		{SCOPES_V2, "ACAB", PCCRD_E_MALFORMED},
		{SCOPES_V2, "ACA=", PCCRD_E_MALFORMED},
		{"ACACNy", "ACABNy", PCCRD_E_MALFORMED}, /* one, but two */
		{"ACACNy", "ACADNy", PCCRD_E_MALFORMED},
		{"ACACNy", "ADACNy", PCCRD_E_MALFORMED}, /* of 48 bytes */
		{"ACACNy", "ASACNy", PCCRD_E_MALFORMED},
		{"I9Lnw==", "I9Lnw=", PCCRD_E_MALFORMED},
		{"I9Lnw==", "I9Lnw", PCCRD_E_MALFORMED},
		{"I9Lnw==", "I9Lnw===", PCCRD_E_MALFORMED},
		{"I9Lnw==", "I9Lnw==AAAA", PCCRD_E_MALFORMED},
		{"I9Lnw==", "I9Lnx==", PCCRD_E_MALFORMED}, /* a bit too many */
		{"I9Lnw==", "I9Lnw0=", PCCRD_E_MALFORMED},
		{"I9Lnw==", "I9L-w==", PCCRD_E_MALFORMED},
	};

	check_edits(PCCRD_VECTORS "probe_v2.txt", edits, ARRAY_LEN(edits));
}

/* A message with nothing of the usual look, but the same meaning. */
static void
test_probe_other_prefixes(void **state)
{
	static const char text[] =
		"<Envelope xmlns='http://www.w3.org/2003/05/soap-envelope'>"
		"<Body><P:Probe xmlns:P='http://schemas.xmlsoap.org/ws/2005/04/"
		"discovery' xmlns='http://schemas.microsoft.com/p2p/2007/09/"
		"PeerDistributionDiscovery'>"
		"<P:Scopes MatchBy='" RULE_V2 "'>" SCOPES_V2 "</P:Scopes>"
		"<Types/><P:Types> PeerDistDataV2 </P:Types></P:Probe></Body>"
		"<Header><MessageID xmlns='http://schemas.xmlsoap.org/ws/2004/"
		"08/addressing'>uuid:5</MessageID>"
		"<soap:Action xmlns:soap='http://schemas.xmlsoap.org/ws/2004/"
		"08/addressing'>http://schemas.xmlsoap.org/ws/2005/04/"
		"discovery/Probe</soap:Action></Header></Envelope>";

	assert_int_equal(
		parse((const uint8_t *)text, sizeof(text) - 1), PCCRD_OK);
	assert_int_equal(m.u.probe.version, PCCRD_V2);
	assert_int_equal(m.u.probe.n_ids, 2);
	assert_string_equal(m.u.probe.message_id, "uuid:5");
}

/* Some clients compare text, so the case is remembered; ids are bytes. */
static void
test_probe_case(void **state)
{
	static const char mixed[] = "3721f9523A5345B997cC1aBf15fbb1f0"
				    "9349e4607CC137dd126320FC4835c5B6";
	uint64_t lower = 0;
	struct buf b;

	for (size_t i = 0; i < 64; i++)
		lower |= (uint64_t)(mixed[i] >= 'a') << i;
	pccrd_load(&b, PCCRD_VECTORS "probe_v1.txt");
	pccrd_edit(&b, SCOPES_V1, mixed);
	assert_int_equal(parse(b.data, b.len), PCCRD_OK);
	assert_memory_equal(m.u.probe.ids[0].bytes, id_one, 32);
	assert_true(m.u.probe.ids[0].lower == lower);
	buf_done(&b);
}

static void
append_list(struct buf *b, const char *item, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_append(b, item, strlen(item));
		buf_append(b, i % 2 ? " " : "\n\t", i % 2 ? 1 : 2);
	}
}

/* 16 KiB of text hold some ids less than the other form could name. */
static void
test_probe_many_ids(void **state)
{
	static const size_t counts[] = {2, 100, 246, 300};
	struct buf b, list;

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		buf_init(&list, 65536);
		append_list(&list, SCOPES_V1, counts[i]);
		buf_u8(&list, 0);
		pccrd_load(&b, PCCRD_VECTORS "probe_v1.txt");
		pccrd_edit(&b, SCOPES_V1, (const char *)list.data);
		assert_int_equal(parse(b.data, b.len),
			counts[i] == 300 ? PCCRD_E_TOO_BIG : PCCRD_OK);
		if (counts[i] < 300)
			assert_int_equal(m.u.probe.n_ids, counts[i]);
		buf_done(&b);
		buf_done(&list);
	}
}

static void
test_probe_v2_most_ids(void **state)
{
	static uint8_t ids[PCCRD_IDS_MAX][32];
	uint8_t uuid[16] = {1};
	struct buf b;

	for (size_t i = 0; i < PCCRD_IDS_MAX; i++)
		memset(ids[i], (int)i, 32);
	buf_init(&b, 65536);
	assert_int_equal(
		pccrd_build_probe(&b, uuid, PCCRD_V2, ids, PCCRD_IDS_MAX), 0);
	assert_int_equal(parse(b.data, b.len), PCCRD_OK);
	assert_int_equal(m.u.probe.n_ids, PCCRD_IDS_MAX);
	for (size_t i = 0; i < PCCRD_IDS_MAX; i++)
		assert_memory_equal(m.u.probe.ids[i].bytes, ids[i], 32);
	buf_done(&b);
}

static void
repeat(struct buf *b, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_append(b, text, strlen(text));
}

/* A probe with something put in before a place in it. */
static int
parse_with(const char *before, const struct buf *more)
{
	struct buf b;
	char *text = calloc(1, more->len + strlen(before) + 1);
	int r;

	assert_non_null(text);
	memcpy(text, more->data, more->len);
	strcat(text, before);
	pccrd_load(&b, PCCRD_VECTORS "probe_v1.txt");
	b.max = 1 << 20;
	pccrd_edit(&b, before, text);
	r = parse(b.data, b.len);
	buf_done(&b);
	free(text);
	return r;
}

static void
test_limits(void **state)
{
	struct buf x;
	char attr[32];

	for (size_t over = 0; over < 2; over++) {
		int want = over ? PCCRD_E_TOO_BIG : PCCRD_OK;

		/* nested, below Envelope and Body */
		buf_init(&x, 1 << 20);
		repeat(&x, "<a>", 13 + over);
		repeat(&x, "</a>", 13 + over);
		assert_int_equal(parse_with("<wsd:Types>", &x), want);

		buf_reset(&x);
		repeat(&x, "<a", 1);
		for (size_t i = 0; i < 32 + over; i++) {
			snprintf(attr, sizeof(attr), " b%zu='c'", i);
			repeat(&x, attr, 1);
		}
		repeat(&x, "/>", 1);
		assert_int_equal(parse_with("<wsd:Types>", &x), want);

		buf_reset(&x);
		repeat(&x, "<a", 1);
		for (size_t i = 0; i < 32 + over; i++) {
			snprintf(attr, sizeof(attr), " xmlns:b%zu='c'", i);
			repeat(&x, attr, 1);
		}
		repeat(&x, "/>", 1);
		assert_int_equal(parse_with("<wsd:Types>", &x), want);

		/* text that is not looked at, too */
		buf_reset(&x);
		repeat(&x, "<a>", 1);
		repeat(&x, "0123456789abcde\n", 1024);
		repeat(&x, "+", over);
		repeat(&x, "</a>", 1);
		assert_int_equal(parse_with("<wsd:Types>", &x), want);

		buf_reset(&x);
		repeat(&x, "<a xmlns:", 1);
		repeat(&x, "p", 31 + over);
		repeat(&x, "='x'/>", 1);
		assert_int_equal(parse_with("<wsd:Types>", &x), want);
		buf_done(&x);
	}
}

static void
test_more_limits(void **state)
{
	struct buf x, b;
	char attr[64];

	/* prefixes that add up, 30 an element */
	buf_init(&x, 1 << 20);
	for (size_t i = 0; i < 3; i++) {
		repeat(&x, "<a", 1);
		for (size_t k = 0; k < 30; k++) {
			snprintf(attr, sizeof(attr), " xmlns:p%zu_%zu='c'", i,
				k);
			repeat(&x, attr, 1);
		}
		repeat(&x, ">", 1);
	}
	repeat(&x, "</a>", 3);
	assert_int_equal(parse_with("<wsd:Types>", &x), PCCRD_E_TOO_BIG);
	/* the same side by side is nothing */
	buf_reset(&x);
	for (size_t i = 0; i < 90; i++) {
		snprintf(attr, sizeof(attr), "<a xmlns:p%zu='c'/>", i);
		repeat(&x, attr, 1);
	}
	assert_int_equal(parse_with("<wsd:Types>", &x), PCCRD_OK);
	buf_done(&x);

	for (size_t n = 127; n <= 128; n++) {
		char id[129] = "";

		memset(id, 'x', n);
		pccrd_load(&b, PCCRD_VECTORS "probe_v1.txt");
		pccrd_edit(&b, URN_PROBE, id);
		assert_int_equal(parse(b.data, b.len),
			n == 127 ? PCCRD_OK : PCCRD_E_TOO_BIG);
		buf_done(&b);
	}
	for (size_t n = PCCRD_RECEIVE_MAX; n <= PCCRD_RECEIVE_MAX + 1; n++) {
		pccrd_load(&b, PCCRD_VECTORS "probe_v1.txt");
		while (b.len < n)
			buf_u8(&b, '\n');
		assert_int_equal(parse(b.data, b.len),
			n == PCCRD_RECEIVE_MAX ? PCCRD_OK : PCCRD_E_TOO_BIG);
		buf_done(&b);
	}
}

/* UTF-16 is XML as well; as bytes of UTF-8 the text grows by half, and no more
 * of it is taken than there is room for. */
static void
test_utf16(void **state)
{
	struct buf b, wide;

	pccrd_load(&b, PCCRD_VECTORS "probe_v1.txt");
	buf_init(&wide, 65536);
	buf_u8(&wide, 0xff);
	buf_u8(&wide, 0xfe);
	for (size_t i = 0; i < b.len; i++)
		buf_le16(&wide, b.data[i]);
	assert_int_equal(parse(wide.data, wide.len), PCCRD_OK);
	assert_memory_equal(m.u.probe.ids[0].bytes, id_one, 32);
	buf_done(&wide);
	buf_done(&b);
}

#define MATCH_END "</wsd:ProbeMatch>"
#define ADDR      "192.0.2.10:80"
#define COUNT_TAG "<PeerDist:BlockCount>00000001</PeerDist:BlockCount>"
#define DATA_TAGS "<PeerDist:PeerDistData>" COUNT_TAG "</PeerDist:PeerDistData>"

static void
test_answer_spellings(void **state)
{
	static const struct edit edits[] = {
		{"<wsd:AppSequence InstanceId=\"1750000000\" "
		 "MessageNumber=\"1\"></wsd:AppSequence>",
			"", 0},
		{DATA_TAGS, COUNT_TAG, 0},
		{DATA_TAGS,
			"<PeerDist:PeerDistDataV2>" COUNT_TAG
			"</PeerDist:PeerDistDataV2>",
			0},
		{"00000001", " \n0000002a\t", 0},
		{"00000001", "0001", 0}, /* the other width */
		{"00000001", "000001", PCCRD_E_MALFORMED},
		{"00000001", "0000 001", PCCRD_E_MALFORMED},
		{"00000001", "0000000g", PCCRD_E_MALFORMED},
		{"00000001", "", PCCRD_E_MALFORMED},
		{"00000001", "0000000100000001", PCCRD_E_MALFORMED},
		{COUNT_TAG, "", PCCRD_E_MALFORMED},
		{COUNT_TAG, COUNT_TAG COUNT_TAG, PCCRD_E_MALFORMED},
		{DATA_TAGS, DATA_TAGS COUNT_TAG, PCCRD_E_MALFORMED},
		{DATA_TAGS, DATA_TAGS "<PeerDist:PeerDistDataV2/>", 0},
		{SCOPES_V1, "", PCCRD_E_MALFORMED},
		{SCOPES_V1, SCOPES_V1 " 00", PCCRD_E_MALFORMED},
		{"<wsd:Scopes>", "<wsd:Scopes MatchBy='x'>", 0},
		{"PeerDist:PeerDistData</", "x:Device PeerDist:PeerDistData</",
			0},
		{"PeerDist:PeerDistData</", "x:Device</", PCCRD_E_FOREIGN},
		{ADDR, "", PCCRD_E_MALFORMED},
		{ADDR, "host:80", PCCRD_E_MALFORMED},
		{ADDR, "192.0.2.10", PCCRD_E_MALFORMED},
		{ADDR, "192.0.2.10:0", PCCRD_E_MALFORMED},
		{ADDR, "192.0.2.10:65536", PCCRD_E_MALFORMED},
		{ADDR, "http://192.0.2.10:80/", PCCRD_E_MALFORMED},
		{ADDR, "http://192.0.2.10:80/ " ADDR, 0},
		{"<wsa:RelatesTo>" URN_PROBE, "<wsa:RelatesTo>",
			PCCRD_E_MALFORMED},
		{"<wsa:RelatesTo>" URN_PROBE "</wsa:RelatesTo>", "",
			PCCRD_E_MALFORMED},
		{"discovery/ProbeMatches<", "discovery/Probe<",
			PCCRD_E_FOREIGN},
		{MATCH_END, MATCH_END "<wsd:ProbeMatch/>", 0},
		{MATCH_END, MATCH_END "<x/>", 0},
		{"<wsd:ProbeMatches>", "<wsd:Probe/><wsd:ProbeMatches>",
			PCCRD_E_FOREIGN},
		{"</wsd:ProbeMatches>", "</wsd:ProbeMatches><wsd:Probe/>",
			PCCRD_E_MALFORMED},
	};

	check_edits(PCCRD_VECTORS "answer_v1.txt", edits, ARRAY_LEN(edits));
}

static void
test_answer_counts(void **state)
{
	static const char three[] = SCOPES_V1 " " SCOPES_V1 "\n" SCOPES_V1;
	const struct pccrd_match *match = &m.u.matches.matches[0];
	static const char *const lists[] = {"001900040010",
		"000000190000000400000010", "00000019FFFFFFFF00000000"};
	static const uint32_t counts[][3] = {
		{25, 4, 16}, {25, 4, 16}, {25, UINT32_MAX, 0}};
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		pccrd_load(&b, PCCRD_VECTORS "answer_v1.txt");
		pccrd_edit(&b, SCOPES_V1, three);
		pccrd_edit(&b, "00000001", lists[i]);
		assert_int_equal(parse(b.data, b.len), PCCRD_OK);
		assert_int_equal(match->n_held, 3);
		for (size_t k = 0; k < 3; k++)
			assert_int_equal(match->held[k].blocks, counts[i][k]);
		buf_done(&b);
	}
}

static void
test_answer_addrs(void **state)
{
	const struct pccrd_match *match = &m.u.matches.matches[0];
	static const char *const want[] = {"192.0.2.1:1", "[2001:db8::1]:65535",
		"[fe80::5]:80", "192.0.2.2:2"};
	char text[PARSE_ADDR_TEXT];
	struct buf b;

	pccrd_load(&b, PCCRD_VECTORS "answer_v1.txt");
	/* the fifth one, and what makes no sense, is left out */
	pccrd_edit(&b, ADDR,
		" 192.0.2.1:1 x:y\n[2001:db8::1]:65535 [fe80::5%eth0]:80 "
		"192.0.2.2:2 192.0.2.3:3 ");
	assert_int_equal(parse(b.data, b.len), PCCRD_OK);
	assert_int_equal(match->n_addrs, 4);
	for (size_t i = 0; i < 4; i++) {
		parse_addr_format(text, &match->addrs[i]);
		assert_string_equal(text, want[i]);
	}
	buf_done(&b);
}

/* Several hosts in one message, and services that are none of ours between
 * them; nothing of one is taken for another's. */
static void
test_answer_several(void **state)
{
	static const char other[] =
		"<wsd:ProbeMatch><wsd:Types>x:Y</wsd:Types></wsd:ProbeMatch>";
	static const char no_addr[] =
		"<wsd:ProbeMatch>" TYPES_1 "<wsd:Scopes>" SCOPES_V1
		"</wsd:Scopes>" COUNT_TAG "</wsd:ProbeMatch>";
	static const char good[] =
		"<wsd:ProbeMatch>" TYPES_1 "<wsd:Scopes>" SCOPES_V1
		"</wsd:Scopes><wsd:XAddrs>192.0.2.9:9</wsd:XAddrs>" COUNT_TAG
		"</wsd:ProbeMatch>";
	struct buf b;

	pccrd_load(&b, PCCRD_VECTORS "answer_v1.txt");
	pccrd_edit(&b, MATCH_END, MATCH_END "%%");
	pccrd_edit(&b, "%%", other);
	for (size_t n = 2; n <= 5; n++) {
		pccrd_edit(&b, "</wsd:ProbeMatches>", "%%</wsd:ProbeMatches>");
		pccrd_edit(&b, "%%", good);
		assert_int_equal(parse(b.data, b.len),
			n <= PCCRD_MATCHES_MAX ? PCCRD_OK : PCCRD_E_TOO_BIG);
		if (n <= PCCRD_MATCHES_MAX)
			assert_int_equal(m.u.matches.n_matches, n);
	}
	buf_done(&b);
	pccrd_load(&b, PCCRD_VECTORS "answer_v1.txt");
	pccrd_edit(&b, "</wsd:ProbeMatches>", "%%</wsd:ProbeMatches>");
	pccrd_edit(&b, "%%", no_addr);
	assert_int_equal(parse(b.data, b.len), PCCRD_E_MALFORMED);
	buf_done(&b);
}

static void
test_answer_v2_edits(void **state)
{
	static const struct edit edits[] = {
		{"MA==", " M A\n=\t= ", 0}, {"MA==", "", PCCRD_E_MALFORMED},
		{"MA==", "MA=", PCCRD_E_MALFORMED},
		{"MA==", "MB==", PCCRD_E_MALFORMED},
		{"<PeerDist:PeerDistData>", "<PeerDist:PeerDistDataV2>",
			PCCRD_E_MALFORMED}, /* the tag is not closed */
		{"<PeerDist:PeerDistData><PeerDist:SegmentAges>AAEDAQFg6gA="
		 "</PeerDist:SegmentAges></PeerDist:PeerDistData>",
			"", 0},
		{"<PeerDist:PeerDistData><PeerDist:SegmentAges>AAEDAQFg6gA="
		 "</PeerDist:SegmentAges></PeerDist:PeerDistData>",
			"<PeerDist:SegmentAges>AAEDAQFg6gA="
			"</PeerDist:SegmentAges>",
			0},
		{"PeerDistDataV2</", "PeerDistData PeerDistDataV2</",
			PCCRD_E_MALFORMED}, /* the first one counts: V1 */
	};

	check_edits(PCCRD_VECTORS "answer_v2.txt", edits, ARRAY_LEN(edits));
}

static void
test_answer_v2_bits(void **state)
{
	const struct pccrd_match *match = &m.u.matches.matches[0];
	/* all, none, some, all; none, 01 that means nothing, none, none */
	static const uint32_t want[8] = {UINT32_MAX, 0, 1, UINT32_MAX};
	char most[128];
	struct buf b;

	pccrd_load(&b, PCCRD_VECTORS "answer_v2.txt");
	pccrd_edit(&b, "MA==", "yxA=");
	assert_int_equal(parse(b.data, b.len), PCCRD_OK);
	assert_int_equal(match->n_held, 8);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(match->held[i].blocks, want[i]);
	pccrd_edit(&b, "yxA=", "/////////////w==");
	assert_int_equal(parse(b.data, b.len), PCCRD_OK);
	assert_int_equal(match->n_held, 40);
	for (size_t i = 0; i < 40; i++)
		assert_int_equal(match->held[i].blocks, UINT32_MAX);
	/* 64 bytes for 255 ids; no question is longer */
	memset(most, '/', 88);
	memcpy(most + 84, "/w==", 5);
	pccrd_edit(&b, "/////////////w==", most);
	assert_int_equal(parse(b.data, b.len), PCCRD_OK);
	assert_int_equal(match->n_held, 256);
	pccrd_edit(&b, "/w==", "/////w==");
	assert_int_equal(parse(b.data, b.len), PCCRD_E_MALFORMED);
	buf_done(&b);
}

static void
test_answer_ages(void **state)
{
	static const struct {
		const char *blob;
		uint32_t age[2];
	} cases[] = {
		{"AAEDAgBg6gACYOoA", {6000, PCCRD_AGE_UNKNOWN}},
		{"A AED\nAQF g6gA=", {PCCRD_AGE_UNKNOWN, 6000}},
		/* thrown away: another version, another unit, too short, no
		 * base64; the message stays */
		{"AAIDAQFg6gA=", {PCCRD_AGE_UNKNOWN, PCCRD_AGE_UNKNOWN}},
		{"AAEFAQFg6gA=", {PCCRD_AGE_UNKNOWN, PCCRD_AGE_UNKNOWN}},
		{"AAEDAgFg6gA=", {PCCRD_AGE_UNKNOWN, PCCRD_AGE_UNKNOWN}},
		{"AAE", {PCCRD_AGE_UNKNOWN, PCCRD_AGE_UNKNOWN}},
		{"????", {PCCRD_AGE_UNKNOWN, PCCRD_AGE_UNKNOWN}},
		{"", {PCCRD_AGE_UNKNOWN, PCCRD_AGE_UNKNOWN}},
		/* of an id behind the last one */
		{"AAEDAQRg6gA=", {PCCRD_AGE_UNKNOWN, PCCRD_AGE_UNKNOWN}},
	};
	const struct pccrd_match *match = &m.u.matches.matches[0];
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		pccrd_load(&b, PCCRD_VECTORS "answer_v2.txt");
		pccrd_edit(&b, "AAEDAQFg6gA=", cases[i].blob);
		assert_int_equal(parse(b.data, b.len), PCCRD_OK);
		assert_int_equal(match->held[1].blocks, UINT32_MAX);
		assert_int_equal(match->held[0].age_ds, cases[i].age[0]);
		assert_int_equal(match->held[1].age_ds, cases[i].age[1]);
		buf_done(&b);
	}
}

/* What is built is read as what it was built from. */
static void
test_law(void **state)
{
	const struct pccrd_match *match = &m.u.matches.matches[0];
	struct pccrd_sample s;
	struct buf b;

	buf_init(&b, 4096);
	for (enum pccrd_version v = PCCRD_V1; v <= PCCRD_V2; v++) {
		pccrd_sample(&s, v);
		s.answer.n_ids = 2;
		s.answer.n_addrs = 2;
		s.answer.relates_to = "a<b>&\"'c";
		s.ids[1].lower = 0; /* answers are read without the case */
		buf_reset(&b);
		assert_int_equal(pccrd_build_answer(&b, &s.answer), 0);
		assert_int_equal(parse(b.data, b.len), PCCRD_OK);
		assert_string_equal(m.u.matches.relates_to, "a<b>&\"'c");
		assert_int_equal(match->version, v);
		assert_int_equal(match->n_addrs, 2);
		for (size_t i = 0; i < 2; i++) {
			assert_int_equal(
				match->held[i].blocks, s.held[i].blocks);
			assert_memory_equal(&match->addrs[i], &s.addrs[i],
				sizeof(s.addrs[i]));
			if (v == PCCRD_V1)
				assert_memory_equal(
					match->held[i].id, s.ids[i].bytes, 32);
		}
		assert_int_equal(match->held[1].age_ds,
			v == PCCRD_V1 ? PCCRD_AGE_UNKNOWN : 6000);
	}
	buf_done(&b);
}

static int
parse_all(void *arg)
{
	struct pccrd_parser *p = pccrd_parser_new();
	int r = p == NULL ? -ENOMEM : 0;
	struct buf *b = arg;

	for (size_t i = 0; i < ARRAY_LEN(vectors) && r == 0; i++) {
		r = pccrd_parse(p, b[i].data, b[i].len, &m);
		/* the next one is read all the same */
		if (r == -ENOMEM &&
			pccrd_parse(p, b[i].data, b[i].len, &m) != 0)
			r = -EINVAL;
	}
	pccrd_parser_free(p);
	return r;
}

static void
test_no_memory(void **state)
{
	struct buf b[ARRAY_LEN(vectors)];

	for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
		pccrd_load(&b[i], vectors[i]);
	assert_true(failalloc_each(parse_all, b) > 10);
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
		buf_done(&b[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector_probes),
		cmocka_unit_test(test_vector_answers),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_probe_spellings),
		cmocka_unit_test(test_probe_foreign),
		cmocka_unit_test(test_probe_malformed),
		cmocka_unit_test(test_probe_v2_edits),
		cmocka_unit_test(test_probe_other_prefixes),
		cmocka_unit_test(test_probe_case),
		cmocka_unit_test(test_probe_many_ids),
		cmocka_unit_test(test_probe_v2_most_ids),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_more_limits),
		cmocka_unit_test(test_utf16),
		cmocka_unit_test(test_answer_spellings),
		cmocka_unit_test(test_answer_counts),
		cmocka_unit_test(test_answer_addrs),
		cmocka_unit_test(test_answer_several),
		cmocka_unit_test(test_answer_v2_edits),
		cmocka_unit_test(test_answer_v2_bits),
		cmocka_unit_test(test_answer_ages),
		cmocka_unit_test(test_law),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
