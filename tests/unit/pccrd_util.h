/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of discovery messages share. */
#ifndef TESTS_UNIT_PCCRD_UTIL_H
#define TESTS_UNIT_PCCRD_UTIL_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrd.h"
#include "common/buf.h"
#include "common/fdutil.h"
#include "common/hex.h"

#define PCCRD_VECTORS "tests/vectors/pccrd/"

/* A vector as it is on the wire: see the README there. */
static inline void
pccrd_load(struct buf *b, const char *path)
{
	struct buf text;
	bool begins = true;

	buf_init(&text, 65536);
	buf_init(b, 65536);
	if (fd_read_file(path, &text) != 0)
		abort();
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];

		if (c != '\n' && !(begins && c == '\t'))
			buf_u8(b, c);
		begins = c == '\n' || (begins && c == '\t');
	}
	buf_done(&text);
}

/* Replaces the first occurrence of from, which must be there. */
static inline void
pccrd_edit(struct buf *b, const char *from, const char *to)
{
	uint8_t *at = memmem(b->data, b->len, from, strlen(from));
	size_t before, after;
	struct buf copy;

	if (at == NULL)
		abort();
	before = (size_t)(at - b->data);
	after = before + strlen(from);
	buf_init(&copy, b->max);
	buf_append(&copy, b->data, before);
	buf_append(&copy, to, strlen(to));
	buf_append(&copy, b->data + after, b->len - after);
	if (buf_error(&copy) != 0)
		abort();
	buf_done(b);
	*b = copy;
}

static inline void
pccrd_unhex(uint8_t *dst, size_t len, const char *text)
{
	if (!hex_decode(dst, len, text))
		abort();
}

#define PCCRD_ID_ONE \
	"3721f9523a5345b997cc1abf15fbb1f09349e4607cc137dd126320fc4835c5b6"
#define PCCRD_ID_TWO \
	"25c9f0c408a3d779301bcae46ed8ad0002f753da5c37966165fc651af08f4b9f"
#define PCCRD_UUID_PROBE  "5f0a7f2e1f7b4c588a3e3a9c2f6d1b22"
#define PCCRD_UUID_PROBE2 "5f0a7f2e1f7b4c588a3e3a9c2f6d1b23"

/* An answer as in the vectors, in whichever version; the parts it points to
 * live beside it. */
struct pccrd_sample {
	struct pccrd_answer answer;
	struct pccrd_id ids[2];
	struct pccrd_held held[2];
	struct parse_addr addrs[2];
};

static inline void
pccrd_sample(struct pccrd_sample *s, enum pccrd_version version)
{
	bool v1 = version == PCCRD_V1;

	memset(s, 0, sizeof(*s));
	pccrd_unhex(s->answer.message, 16,
		v1 ? "0e1f0b2c5a534a0c9d0e8d2c6f1f7a11"
		   : "0e1f0b2c5a534a0c9d0e8d2c6f1f7a12");
	pccrd_unhex(s->answer.endpoint, 16, "9b9a8c5e6d1d4a258a360e5b7c1d2f33");
	s->answer.relates_to = v1
		? "urn:uuid:5f0a7f2e-1f7b-4c58-8a3e-3a9c2f6d1b22"
		: "urn:uuid:5f0a7f2e-1f7b-4c58-8a3e-3a9c2f6d1b23";
	s->answer.instance = 1750000000;
	s->answer.number = 1;
	s->answer.version = version;
	s->answer.n_ids = v1 ? 1 : 2;
	s->answer.ids = s->ids;
	s->answer.held = s->held;
	s->answer.n_addrs = 1;
	s->answer.addrs = s->addrs;
	pccrd_unhex(s->ids[0].bytes, 32, PCCRD_ID_ONE);
	pccrd_unhex(s->ids[1].bytes, 32, PCCRD_ID_TWO);
	s->held[0].blocks = v1 ? 1 : 0;
	s->held[0].age_ds = PCCRD_AGE_UNKNOWN;
	s->held[1].blocks = v1 ? 7 : UINT32_MAX;
	s->held[1].age_ds = 6000;
	if (parse_addr_port("192.0.2.10:80", &s->addrs[0]) != 0 ||
		parse_addr_port("[2001:db8::7]:8080", &s->addrs[1]) != 0)
		abort();
}

#endif
