/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discovery messages.  What is accepted keeps what the header promises and
 * builds to a message that is read as the same; and a parser that read this
 * input reads a good message afterwards as it did before.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrd.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct pccrd_message message, again;

static void
check_text(const char *uri)
{
	size_t len = strlen(uri);

	assert(len > 0 && len <= PCCRD_URI_MAX);
	for (size_t i = 0; i < len; i++)
		assert(uri[i] > ' ' && uri[i] <= '~');
}

static int
answer_to(struct buf *b, const struct pccrd_probe *p, struct pccrd_held *held)
{
	struct pccrd_answer a = {.relates_to = p->message_id,
		.version = p->version,
		.n_ids = p->n_ids,
		.ids = p->ids,
		.held = held,
		.n_addrs = 1};
	struct parse_addr addr;

	assert(parse_addr_port("192.0.2.1:80", &addr) == 0);
	a.addrs = &addr;
	return pccrd_build_answer(b, &a);
}

/* Asked again, and answered. */
static void
check_probe(struct pccrd_parser *parser, const struct pccrd_probe *p)
{
	static uint8_t ids[PCCRD_IDS_MAX][PCCRD_ID_SIZE];
	static struct pccrd_held held[PCCRD_IDS_MAX];
	uint8_t uuid[PCCRD_UUID_SIZE] = {0};
	struct buf b;
	int r;

	check_text(p->message_id);
	assert(p->version == PCCRD_V1 || p->version == PCCRD_V2);
	assert(p->n_ids > 0 && p->n_ids <= PCCRD_IDS_MAX);
	(void)pccrd_urn_parse(uuid, p->message_id);
	for (size_t i = 0; i < p->n_ids; i++) {
		memcpy(ids[i], p->ids[i].bytes, PCCRD_ID_SIZE);
		held[i].blocks = (uint32_t)i;
		held[i].age_ds = i % 3 ? (uint32_t)i : PCCRD_AGE_UNKNOWN;
	}
	buf_init(&b, 65536);
	assert(pccrd_build_probe(&b, uuid, p->version, ids, p->n_ids) == 0);
	assert(b.len <= 65536 &&
		pccrd_probe_ids(p->version, b.len) >= p->n_ids);
	assert(pccrd_parse(parser, b.data, b.len, &again) == 0);
	assert(again.kind == PCCRD_PROBE);
	assert(again.u.probe.n_ids == p->n_ids);
	for (size_t i = 0; i < p->n_ids; i++)
		assert(memcmp(again.u.probe.ids[i].bytes, ids[i],
			       PCCRD_ID_SIZE) == 0);
	buf_reset(&b);
	assert(answer_to(&b, p, held) == 0);
	r = pccrd_parse(parser, b.data, b.len, &again);
	assert(r == 0 && again.kind == PCCRD_MATCHES);
	assert(strcmp(again.u.matches.relates_to, p->message_id) == 0);
	assert(again.u.matches.matches[0].n_held >= p->n_ids);
	buf_done(&b);
}

static void
check_match(const struct pccrd_match *m)
{
	assert(m->version == PCCRD_V1 || m->version == PCCRD_V2);
	assert(m->n_addrs > 0 && m->n_addrs <= PCCRD_ADDRS_MAX);
	assert(m->n_held > 0 && m->n_held <= PCCRD_IDS_MAX + 1);
	for (size_t i = 0; i < m->n_addrs; i++)
		assert(m->addrs[i].ss.ss_family == AF_INET ||
			m->addrs[i].ss.ss_family == AF_INET6);
	for (size_t i = 0; i < m->n_held; i++) {
		assert(m->version == PCCRD_V2 ||
			m->held[i].age_ds == PCCRD_AGE_UNKNOWN);
		assert(m->version == PCCRD_V1 || m->held[i].blocks < 2 ||
			m->held[i].blocks == UINT32_MAX);
	}
}

static void
check_matches(const struct pccrd_matches *m)
{
	check_text(m->message_id);
	check_text(m->relates_to);
	assert(m->n_matches > 0 && m->n_matches <= PCCRD_MATCHES_MAX);
	for (size_t i = 0; i < m->n_matches; i++)
		check_match(&m->matches[i]);
}

static void
check_unharmed(struct pccrd_parser *parser)
{
	static const uint8_t uuid[PCCRD_UUID_SIZE] = {1};
	static const uint8_t ids[2][PCCRD_ID_SIZE] = {{1}, {2}};
	struct buf b;

	buf_init(&b, 4096);
	assert(pccrd_build_probe(&b, uuid, PCCRD_V1, ids, 2) == 0);
	assert(pccrd_parse(parser, b.data, b.len, &again) == 0);
	assert(again.kind == PCCRD_PROBE && again.u.probe.n_ids == 2);
	buf_done(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct pccrd_parser *parser;
	int r;

	if (parser == NULL)
		parser = pccrd_parser_new();
	assert(parser != NULL);
	r = pccrd_parse(parser, data, len, &message);
	assert(r >= 0 && r < _PCCRD_E_MAX);
	if (r == 0 && message.kind == PCCRD_PROBE)
		check_probe(parser, &message.u.probe);
	else if (r == 0)
		check_matches(&message.u.matches);
	check_unharmed(parser);
	return 0;
}
