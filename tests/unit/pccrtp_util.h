/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of PeerDist over HTTP share. */
#ifndef TESTS_UNIT_PCCRTP_UTIL_H
#define TESTS_UNIT_PCCRTP_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/pccrtp.h"
#include "common/macros.h"

#define NONE 0u
#define V1   PCCRTP_INFO_V1
#define V2   PCCRTP_INFO_V2
#define BOTH (PCCRTP_INFO_V1 | PCCRTP_INFO_V2)

/* Heads of messages, a field a line. */
#define ACCEPT   "Accept-Encoding: peerdist\n"
#define P(text)  "X-P2P-PeerDist: " text "\n"
#define EX(text) "X-P2P-PeerDistEx: " text "\n"
#define MIN(v)   "MinContentInformation=" v
#define MAX(v)   "MaxContentInformation=" v
#define EX_BOTH  EX(MIN("1.0") ", " MAX("2.0"))
#define CODED    "Content-Encoding: peerdist\n"

#define TWO_32 "4294967296"
#define TWO_64 "18446744073709551616"

/* Name and value lie in memory of their own size, so that a sanitizer sees a
 * byte too many. */
static inline void
read_field(struct pccrtp_fields *f, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	size_t name_len, value_len;
	AUTO_FREE char *name = NULL, *value = NULL;

	assert_non_null(colon);
	name_len = (size_t)(colon - line);
	value_len = len - name_len - 1;
	name = malloc(name_len);
	value = malloc(value_len);
	assert_true(name != NULL && value != NULL);
	memcpy(name, line, name_len);
	memcpy(value, colon + 1, value_len);
	pccrtp_field(f, name, name_len, value, value_len);
}

static inline struct pccrtp_fields
read_head(const char *head)
{
	struct pccrtp_fields f = {0};

	while (*head != '\0') {
		size_t len = strcspn(head, "\n");

		read_field(&f, head, len);
		head += len + 1;
	}
	return f;
}

static inline bool
says_nothing(const struct pccrtp_fields *f)
{
	return !f->accepts && !f->refuses && !f->encoded && !f->other_coding &&
		!f->has_version && !f->contradicts && !f->has_length &&
		!f->has_ex && !f->has_min && !f->has_max && !f->has_make_hash &&
		!f->has_hash_request && f->missing == PCCRTP_MISSING_ABSENT;
}

#endif
