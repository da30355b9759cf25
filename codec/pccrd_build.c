/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Probe and ProbeMatches as text.
 *
 * The prefixes of the namespaces could be any; but the boot loader iPXE looks
 * for the very strings <wsd:Scopes>, <wsd:XAddrs> and <PeerDist:BlockCount>,
 * without attributes, with no white space inside a value but between the items
 * of a list, and wants eight digits for a count.  So there is one template, and
 * no value that is put into it is anything but printable ASCII.
 */
#include "codec/pccrd.h"

#include <inttypes.h>
#include <string.h>

#include "codec/pccrd_priv.h"
#include "codec/pccrr.h"
#include "common/err.h"
#include "common/macros.h"

#define OPEN \
	"<?xml version=\"1.0\" encoding=\"utf-8\"?>" \
	"<soap:Envelope xmlns:soap=\"" PCCRD_NS_SOAP "\"" \
	" xmlns:wsa=\"" PCCRD_NS_WSA "\"" \
	" xmlns:wsd=\"" PCCRD_NS_WSD "\"" \
	" xmlns:PeerDist=\"" PCCRD_NS_PEERDIST "\"><soap:Header>"
#define CLOSE "</soap:Body></soap:Envelope>"

#define PROBE_TO \
	"<wsa:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</wsa:To>" \
	"<wsa:Action>" PCCRD_ACTION_PROBE "</wsa:Action><wsa:MessageID>"
#define PROBE_BODY(type, rule) \
	"</wsa:MessageID></soap:Header><soap:Body><wsd:Probe>" \
	"<wsd:Types>PeerDist:" type "</wsd:Types>" \
	"<wsd:Scopes MatchBy=\"" rule "\">"
#define PROBE_BODY_V1 PROBE_BODY(PCCRD_TYPE_V1, PCCRD_RULE_V1)
#define PROBE_BODY_V2 PROBE_BODY(PCCRD_TYPE_V2, PCCRD_RULE_V2)
#define PROBE_END     "</wsd:Scopes></wsd:Probe>" CLOSE

#define ANSWER_TO \
	"<wsa:To>" PCCRD_NS_WSA "/role/anonymous</wsa:To>" \
	"<wsa:Action>" PCCRD_ACTION_MATCHES "</wsa:Action><wsa:MessageID>"
#define ANSWER_RELATES "</wsa:MessageID><wsa:RelatesTo>"
#define ANSWER_BODY \
	"</wsa:RelatesTo>" \
	"<wsd:AppSequence InstanceId=\"%" PRIu64 "\" MessageNumber=\"%" PRIu32 \
	"\"></wsd:AppSequence></soap:Header><soap:Body>" \
	"<wsd:ProbeMatches><wsd:ProbeMatch><wsa:EndpointReference>" \
	"<wsa:Address>%s</wsa:Address></wsa:EndpointReference>" \
	"<wsd:Types>PeerDist:%s</wsd:Types><wsd:Scopes>"
#define ANSWER_ADDRS "</wsd:Scopes><wsd:XAddrs>"
#define ANSWER_DATA \
	"</wsd:XAddrs><wsd:MetadataVersion>%d</wsd:MetadataVersion>" \
	"<PeerDist:PeerDistData><PeerDist:%s>"
#define ANSWER_END \
	"</PeerDist:%s></PeerDist:PeerDistData>" \
	"</wsd:ProbeMatch></wsd:ProbeMatches>" CLOSE

#define COUNT_V1 "BlockCount"
#define AGES_V2  "SegmentAges"

#define V2_HEAD  3u /* size of an id (2) and how many (1) */
#define V2_QUAD  4u /* ids whose two bits make a byte */
#define AGE_SIZE 4u
#define HEX_ID   (2u * PCCRD_ID_SIZE)

static void
write_text(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

/* The one value that others chose. */
static void
write_escaped(struct buf *b, const char *text)
{
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '&':
			write_text(b, "&amp;");
			break;
		case '<':
			write_text(b, "&lt;");
			break;
		case '>':
			write_text(b, "&gt;");
			break;
		default:
			buf_u8(b, (uint8_t)*text);
		}
	}
}

static bool
version_valid(enum pccrd_version version)
{
	return version == PCCRD_V1 || version == PCCRD_V2;
}

static void
write_ids_v1(struct buf *b, const uint8_t (*ids)[PCCRD_ID_SIZE], size_t n)
{
	struct pccrd_id id = {.lower = 0};

	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_u8(b, ' ');
		memcpy(id.bytes, ids[i], sizeof(id.bytes));
		pccrd_write_hex(b, &id);
	}
}

static void
write_ids_v2(struct buf *b, const uint8_t (*ids)[PCCRD_ID_SIZE], size_t n)
{
	uint8_t list[V2_HEAD + PCCRD_IDS_MAX * PCCRD_ID_SIZE];

	list[0] = 0;
	list[1] = PCCRD_ID_SIZE;
	list[2] = (uint8_t)n;
	memcpy(list + V2_HEAD, ids, n * PCCRD_ID_SIZE);
	pccrd_write_base64(b, list, V2_HEAD + n * PCCRD_ID_SIZE);
}

int
pccrd_build_probe(struct buf *b, const uint8_t uuid[PCCRD_UUID_SIZE],
	enum pccrd_version version, const uint8_t (*ids)[PCCRD_ID_SIZE],
	size_t n_ids)
{
	char urn[PCCRD_URN_SIZE];

	if (n_ids == 0 || n_ids > PCCRD_IDS_MAX || !version_valid(version))
		return err_new(-EINVAL);
	pccrd_urn_format(urn, uuid);
	write_text(b, OPEN PROBE_TO);
	write_text(b, urn);
	if (version == PCCRD_V1) {
		write_text(b, PROBE_BODY_V1);
		write_ids_v1(b, ids, n_ids);
	} else {
		write_text(b, PROBE_BODY_V2);
		write_ids_v2(b, ids, n_ids);
	}
	write_text(b, PROBE_END);
	return err_pass(buf_error(b));
}

size_t
pccrd_probe_ids(enum pccrd_version version, size_t bytes)
{
	size_t fixed = strlen(OPEN PROBE_TO) + PCCRD_URN_SIZE - 1 +
		strlen(PROBE_END) +
		strlen(version == PCCRD_V1 ? PROBE_BODY_V1 : PROBE_BODY_V2);
	size_t left = bytes > fixed ? bytes - fixed : 0, n;

	if (version == PCCRD_V1)
		n = (left + 1) / (HEX_ID + 1);
	else
		n = left / 4 * 3 < V2_HEAD
			? 0
			: (left / 4 * 3 - V2_HEAD) / PCCRD_ID_SIZE;
	return MIN_OF(n, PCCRD_IDS_MAX);
}

static void
write_counts(struct buf *b, const struct pccrd_answer *a)
{
	for (size_t i = 0; i < a->n_ids; i++)
		buf_printf(b, "%08" PRIX32, a->held[i].blocks);
}

static void
write_scopes_v1(struct buf *b, const struct pccrd_answer *a)
{
	for (size_t i = 0; i < a->n_ids; i++) {
		if (i > 0)
			buf_u8(b, ' ');
		pccrd_write_hex(b, &a->ids[i]);
	}
}

/* Two bits for each id, the first one in the highest. */
static void
write_scopes_v2(struct buf *b, const struct pccrd_answer *a)
{
	uint8_t bits[PCCRD_IDS_MAX / V2_QUAD + 1] = {0};

	for (size_t i = 0; i < a->n_ids; i++) {
		uint32_t blocks = a->held[i].blocks;
		unsigned two = blocks == 0 ? 0 : blocks == UINT32_MAX ? 3 : 2;

		bits[i / V2_QUAD] |= (uint8_t)(two << (6 - 2 * (i % V2_QUAD)));
	}
	pccrd_write_base64(b, bits, (a->n_ids + V2_QUAD - 1) / V2_QUAD);
}

static void
write_ages(struct buf *b, const struct pccrd_answer *a)
{
	struct pccrr_age ages[PCCRD_IDS_MAX];
	struct buf blob;
	size_t n = 0;

	for (size_t i = 0; i < a->n_ids; i++) {
		if (a->held[i].age_ds == PCCRD_AGE_UNKNOWN ||
			a->held[i].blocks == 0)
			continue;
		ages[n].index = (uint8_t)i;
		ages[n++].ds = a->held[i].age_ds;
	}
	buf_init(&blob, AGE_SIZE * (PCCRD_IDS_MAX + 1));
	if (pccrr_build_ages(&blob, ages, n) == 0)
		pccrd_write_base64(b, blob.data, blob.len);
	else
		b->error = buf_error(&blob);
	buf_done(&blob);
}

static void
write_match(struct buf *b, const struct pccrd_answer *a)
{
	bool v1 = a->version == PCCRD_V1;

	if (v1)
		write_scopes_v1(b, a);
	else
		write_scopes_v2(b, a);
	write_text(b, ANSWER_ADDRS);
	for (size_t i = 0; i < a->n_addrs; i++) {
		if (i > 0)
			buf_u8(b, ' ');
		pccrd_write_addr(b, &a->addrs[i]);
	}
	buf_printf(b, ANSWER_DATA, v1 ? 1 : 2, v1 ? COUNT_V1 : AGES_V2);
	if (v1)
		write_counts(b, a);
	else
		write_ages(b, a);
	buf_printf(b, ANSWER_END, v1 ? COUNT_V1 : AGES_V2);
}

int
pccrd_build_answer(struct buf *b, const struct pccrd_answer *a)
{
	struct pccrd_text relates = {a->relates_to, strlen(a->relates_to)};
	char urn[PCCRD_URN_SIZE];

	if (a->n_ids == 0 || a->n_ids > PCCRD_IDS_MAX || a->n_addrs == 0 ||
		a->n_addrs > PCCRD_ADDRS_MAX || !version_valid(a->version) ||
		relates.len > PCCRD_URI_MAX || !pccrd_uri_valid(relates))
		return err_new(-EINVAL);
	pccrd_urn_format(urn, a->message);
	write_text(b, OPEN ANSWER_TO);
	write_text(b, urn);
	write_text(b, ANSWER_RELATES);
	write_escaped(b, a->relates_to);
	pccrd_urn_format(urn, a->endpoint);
	buf_printf(b, ANSWER_BODY, a->instance, a->number, urn,
		a->version == PCCRD_V1 ? PCCRD_TYPE_V1 : PCCRD_TYPE_V2);
	write_match(b, a);
	return err_pass(buf_error(b));
}
