/* SPDX-License-Identifier: BSD-2-Clause */
/* What the service knows of a segment, in terms of what is asked of it: how
 * much of the described range is here, where that came from, and why the rest
 * is not. */
#ifndef CTL_EXPLAIN_H
#define CTL_EXPLAIN_H

#include <jansson.h>
#include <stdint.h>

#include "codec/pccrc.h"

/* Why something is missing. */
enum explain_reason {
	EXPLAIN_COMPLETE, /* nothing is */
	EXPLAIN_UNTRIED,
	EXPLAIN_ASKING,
	EXPLAIN_FOUND,
	EXPLAIN_MODE,
	EXPLAIN_NO_SOURCE,
	EXPLAIN_NOBODY,
	EXPLAIN_EMPTY,
	EXPLAIN_TIMEOUT,
	EXPLAIN_REFUSED,
	EXPLAIN_BAD,
	EXPLAIN_UNSTORED,
	_EXPLAIN_REASON_MAX,
};

/* Bytes of the described range. */
struct explain_bytes {
	uint64_t all;
	uint64_t peers;
	uint64_t application;
	uint64_t earlier; /* here, and the service does not know since when */
	uint64_t missing;
};

struct explain_view {
	unsigned blocks; /* that the range touches */
	unsigned held;   /* of them */
	struct explain_bytes bytes;
	enum explain_reason reason;
	/* In the service's document: */
	const char *with;      /* whom the trouble was with, or NULL */
	const json_t *sources; /* peers that gave blocks: address, blocks */
};

/* row: an element of "segments" of the service's answer. */
void explain_segment(const struct pccrc_info *, const struct pccrc_segment *,
	const json_t *row, struct explain_view *ret);

const char *explain_name(enum explain_reason);
/* In plain words, and what can be done about it. */
const char *explain_words(enum explain_reason);
const char *explain_remedy(enum explain_reason);

#endif
