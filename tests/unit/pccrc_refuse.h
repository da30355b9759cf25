/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables of malformed content information: a good structure, what is changed,
 * and the refusal that must come of it, at the earliest byte that allows it. */
#ifndef TESTS_UNIT_PCCRC_REFUSE_H
#define TESTS_UNIT_PCCRC_REFUSE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/macros.h"
#include "tests/unit/pccrc_util.h"

#define REFUSE_AT_END 0
#define STREAM_CAP    (64u << 20)

struct refuse_row {
	int refusal;
	size_t at;       /* bytes fed when it is found */
	size_t offset;   /* of the change */
	const char *hex; /* new bytes */
	int cut;         /* bytes taken off (< 0) or put on (> 0) the end */
	int streamed; /* when the length is not known: another code; 0: same */
};

static inline int
refuse_stream(
	struct bulk *bulk, const uint8_t *data, size_t len, size_t *ret_at)
{
	struct pccrc_parser *p = pccrc_parser_new(STREAM_CAP);
	struct pccrc_info *info = NULL;
	int r = 0;

	assert_non_null(p);
	for (size_t i = 0; i < len && r == 0; i++)
		r = pccrc_parser_feed(p, data + i, 1);
	*ret_at = r != 0 ? pccrc_parser_fed(p) : REFUSE_AT_END;
	if (r == 0)
		r = pccrc_parser_finish(p, bulk, &info);
	pccrc_info_unref(info);
	pccrc_parser_free(p);
	return r;
}

static inline void
refuse_check(struct bulk *bulk, const uint8_t *base, size_t base_len,
	const struct refuse_row *row)
{
	size_t len = (size_t)((long)base_len + row->cut), at;
	uint8_t *data = calloc(1, len + 1);
	struct pccrc_info *info = NULL;
	int r;

	assert_non_null(data);
	memcpy(data, base, MIN_OF(len, base_len));
	(void)hex_bytes(data + row->offset, len - row->offset, row->hex);
	r = pccrc_parse(data, len, bulk, &info);
	if (r != row->refusal)
		fail_msg("%s at %zu: parsed to %s",
			pccrc_refusal_name(row->refusal), row->offset,
			pccrc_refusal_name(r));
	r = refuse_stream(bulk, data, len, &at);
	if (r != (row->streamed != 0 ? row->streamed : row->refusal) ||
		at != row->at)
		fail_msg("%s at %zu: streamed to %d (%s) after %zu",
			pccrc_refusal_name(row->refusal), row->offset, r,
			pccrc_refusal_name(r), at);
	free(data);
}

/* Every refusal from first to last, less those of skip, has its row. */
static inline void
refuse_complete(const struct refuse_row *rows, size_t n, const int *wanted,
	size_t n_wanted)
{
	for (size_t i = 0; i < n_wanted; i++) {
		size_t k = 0;

		while (k < n && rows[k].refusal != wanted[i])
			k++;
		if (k == n)
			fail_msg(
				"no row for %s", pccrc_refusal_name(wanted[i]));
	}
}

#endif
