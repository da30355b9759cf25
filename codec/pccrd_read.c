/* SPDX-License-Identifier: BSD-2-Clause */
/* What the values of a Probe and of a ProbeMatch mean. */
#include "codec/pccrd.h"

#include <string.h>

#include "codec/pccrd_priv.h"
#include "codec/pccrr.h"
#include "common/macros.h"

/* Before the ids that version 2 asks for: size of one (2), how many (1). */
#define LIST_HEAD 3

static enum pccrd_refusal
read_ids_v1(struct pccrd_probe *m, struct pccrd_text list)
{
	struct pccrd_text word;

	for (m->n_ids = 0; pccrd_word(&list, &word); m->n_ids++) {
		struct pccrd_id *id = &m->ids[m->n_ids];

		if (m->n_ids == PCCRD_IDS_MAX)
			return PCCRD_E_TOO_BIG;
		if (!pccrd_hex(id->bytes, PCCRD_ID_SIZE, word, &id->lower))
			return PCCRD_E_MALFORMED;
	}
	return m->n_ids > 0 ? PCCRD_OK : PCCRD_E_MALFORMED;
}

static enum pccrd_refusal
read_ids_v2(struct pccrd_probe *m, struct pccrd_text text)
{
	uint8_t list[LIST_HEAD + PCCRD_IDS_MAX * PCCRD_ID_SIZE];
	ptrdiff_t n = pccrd_base64(list, sizeof(list), text);

	if (n < LIST_HEAD || list[0] != 0 || list[1] != PCCRD_ID_SIZE ||
		list[2] == 0 || n != LIST_HEAD + list[2] * PCCRD_ID_SIZE)
		return PCCRD_E_MALFORMED;
	m->n_ids = list[2];
	for (size_t i = 0; i < m->n_ids; i++) {
		m->ids[i].lower = 0;
		memcpy(m->ids[i].bytes, list + LIST_HEAD + i * PCCRD_ID_SIZE,
			PCCRD_ID_SIZE);
	}
	return PCCRD_OK;
}

enum pccrd_refusal
pccrd_read_probe(struct pccrd_probe *m, enum pccrd_version version,
	struct pccrd_text scopes)
{
	m->version = version;
	return version == PCCRD_V1 ? read_ids_v1(m, scopes)
				   : read_ids_v2(m, scopes);
}

/* As many numbers as ids, of eight digits or, as the text also has it, four. */
static enum pccrd_refusal
read_counts(struct pccrd_match *m, struct pccrd_text t)
{
	size_t size = t.len == 8 * m->n_held ? 4 : 2;

	if (t.len != 2 * size * m->n_held)
		return PCCRD_E_MALFORMED;
	for (size_t i = 0; i < m->n_held; i++) {
		struct pccrd_text digits = {t.text + 2 * size * i, 2 * size};
		uint8_t bytes[4] = {0};

		if (!pccrd_hex(bytes + 4 - size, size, digits, NULL))
			return PCCRD_E_MALFORMED;
		m->held[i].blocks = (uint32_t)bytes[0] << 24 |
			(uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
			bytes[3];
	}
	return PCCRD_OK;
}

static enum pccrd_refusal
read_held_v1(struct pccrd_match *m, const struct pccrd_values *v)
{
	struct pccrd_text list = v->scopes, word;

	for (m->n_held = 0; pccrd_word(&list, &word); m->n_held++) {
		struct pccrd_held *h = &m->held[m->n_held];

		if (m->n_held == PCCRD_IDS_MAX)
			return PCCRD_E_TOO_BIG;
		h->age_ds = PCCRD_AGE_UNKNOWN;
		if (!pccrd_hex(h->id, PCCRD_ID_SIZE, word, NULL))
			return PCCRD_E_MALFORMED;
	}
	if (m->n_held == 0)
		return PCCRD_E_MALFORMED;
	return read_counts(m, v->counts);
}

/* A blob that is no good is as if it were not there. */
static void
read_ages(struct pccrd_match *m, struct pccrd_text text)
{
	struct pccrr_age ages[UINT8_MAX];
	uint8_t blob[2048];
	ptrdiff_t len = pccrd_base64(blob, sizeof(blob), text);
	size_t n = len < 0
		? 0
		: pccrr_parse_ages(ages, ARRAY_LEN(ages), blob, (size_t)len);

	for (size_t i = 0; i < n; i++)
		if (ages[i].index < m->n_held)
			m->held[ages[i].index].age_ds = ages[i].ds;
}

/* Two bits for each id that was asked for, the first one in the highest. */
static enum pccrd_refusal
read_held_v2(struct pccrd_match *m, const struct pccrd_values *v)
{
	static const uint32_t blocks[] = {0, 0, 1, UINT32_MAX};
	uint8_t bits[ARRAY_LEN(m->held) / 4];
	ptrdiff_t n = pccrd_base64(bits, sizeof(bits), v->scopes);

	if (n <= 0)
		return PCCRD_E_MALFORMED;
	m->n_held = 4 * (size_t)n;
	for (size_t i = 0; i < m->n_held; i++)
		m->held[i] = (struct pccrd_held){
			.blocks = blocks[bits[i / 4] >> (6 - 2 * (i % 4)) & 3],
			.age_ds = PCCRD_AGE_UNKNOWN,
		};
	read_ages(m, v->ages);
	return PCCRD_OK;
}

enum pccrd_refusal
pccrd_read_match(struct pccrd_match *m, enum pccrd_version version,
	const struct pccrd_values *v)
{
	struct pccrd_text list = v->addrs, word;

	m->version = version;
	m->n_addrs = 0;
	while (m->n_addrs < PCCRD_ADDRS_MAX && pccrd_word(&list, &word))
		if (pccrd_addr(&m->addrs[m->n_addrs], word))
			m->n_addrs++;
	if (m->n_addrs == 0)
		return PCCRD_E_MALFORMED;
	return version == PCCRD_V1 ? read_held_v1(m, v) : read_held_v2(m, v);
}
