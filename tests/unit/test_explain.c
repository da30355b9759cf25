/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK PCCRC_BLOCK_SIZE

/* A segment of ten blocks, the last one short, at 1 MiB; all of it. */
static const struct pccrc_segment segment = {
	.start = 1 << 20, .len = 9 * BLOCK + 100, .n_blocks = 10};

static struct pccrc_info
info_of(uint64_t from, uint64_t to)
{
	return (struct pccrc_info){.version = 1,
		.range_start = segment.start + from,
		.range_end = segment.start + to};
}

/* row: JSON with ' for ". */
static void
explain_range(
	uint64_t from, uint64_t to, const char *row, struct explain_view *ret)
{
	struct pccrc_info info = info_of(from, to);
	char text[1024];
	json_t *document;

	strcpy(text, row);
	for (char *p = text; *p != '\0'; p++)
		if (*p == '\'')
			*p = '"';
	document = json_loads(text, 0, NULL);
	assert_non_null(document);
	explain_segment(&info, &segment, document, ret);
	/* What points into the document is not looked at. */
	json_decref(document);
}

static struct explain_view
explain(const char *row)
{
	struct explain_view v;

	explain_range(0, segment.len, row, &v);
	return v;
}

static void
bytes_are(const struct explain_view *v, uint64_t peers, uint64_t application,
	uint64_t earlier, uint64_t missing)
{
	assert_int_equal(v->bytes.peers, peers);
	assert_int_equal(v->bytes.application, application);
	assert_int_equal(v->bytes.earlier, earlier);
	assert_int_equal(v->bytes.missing, missing);
	assert_int_equal(v->bytes.all, peers + application + earlier + missing);
}

static void
blocks_are_counted(void **state)
{
	static const struct {
		const char *blocks;
		unsigned held;
		uint64_t here;
	} rows[] = {
		{"", 0, 0},
		{"0", 1, BLOCK},
		{"9", 1, 100},
		{"0-9", 10, 9 * BLOCK + 100},
		{"1,3-4,8-9", 5, 4 * BLOCK + 100},
		/* None of this segment. */
		{"10-511", 0, 0},
		/* What no service says. */
		{"0-4294967295", 10, 9 * BLOCK + 100},
		{"99999999999999999999", 0, 0},
		{"5-4", 0, 0},
		{"1,", 1, BLOCK},
		{",1", 0, 0},
		{"-3", 0, 0},
		{"x", 0, 0},
		{"2 3", 1, BLOCK},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char row[64];
		struct explain_view v;

		snprintf(row, sizeof(row), "{'blocks': '%s'}", rows[i].blocks);
		v = explain(row);
		assert_int_equal(v.blocks, 10);
		assert_int_equal(v.held, rows[i].held);
		bytes_are(
			&v, 0, 0, rows[i].here, 9 * BLOCK + 100 - rows[i].here);
	}
}

static void
only_the_range_counts(void **state)
{
	struct explain_view v;

	/* The last byte of block 1, block 2, the first byte of block 3. */
	explain_range(
		2 * BLOCK - 1, 3 * BLOCK + 1, "{'blocks': '0-1,3-9'}", &v);
	assert_int_equal(v.blocks, 3);
	assert_int_equal(v.held, 2);
	bytes_are(&v, 0, 0, 2, BLOCK);
	assert_int_equal(v.reason, EXPLAIN_UNTRIED);
}

static void
where_it_came_from(void **state)
{
	struct explain_view v;

	v = explain("{'blocks': '0-7', 'history': {'from_peers': 4, "
		    "'from_application': 2}}");
	bytes_are(&v, 4 * BLOCK, 2 * BLOCK, 2 * BLOCK, BLOCK + 100);
	/* More came than is here: some was dropped. */
	v = explain("{'blocks': '0-1', 'history': {'from_peers': 300, "
		    "'from_application': 9}}");
	bytes_are(&v, 2 * BLOCK, 0, 0, 7 * BLOCK + 100);
	v = explain("{'blocks': '0-9', 'history': {'from_peers': 3, "
		    "'from_application': 900}}");
	assert_int_equal(v.bytes.earlier, 0);
	assert_int_equal(v.bytes.missing, 0);
	assert_int_equal(v.bytes.peers, (9 * BLOCK + 100) * 3 / 10);
	v = explain("{'blocks': '', 'history': {'from_peers': 3}}");
	bytes_are(&v, 0, 0, 0, 9 * BLOCK + 100);
	v = explain("{'blocks': '0', 'history': {'from_peers': -3}}");
	bytes_are(&v, 0, 0, BLOCK, 8 * BLOCK + 100);
}

static void
why_the_rest_is_missing(void **state)
{
	static const struct {
		const char *row;
		enum explain_reason reason;
	} rows[] = {
		{"{'blocks': '0-9', 'history': {'trouble': 'bad'}}",
			EXPLAIN_COMPLETE},
		{"{}", EXPLAIN_UNTRIED},
		{"{'discovery': 'off'}", EXPLAIN_UNTRIED},
		{"{'discovery': 'found'}", EXPLAIN_FOUND},
		{"{'discovery': 'nobody'}", EXPLAIN_NOBODY},
		{"{'discovery': 'asking', 'history': {'trouble': 'bad'}}",
			EXPLAIN_ASKING},
		{"{'discovery': 'found', 'history': {'trouble': 'timeout'}}",
			EXPLAIN_TIMEOUT},
		{"{'history': {'trouble': 'none'}}", EXPLAIN_UNTRIED},
		{"{'history': {'trouble': 'unheard-of'}}", EXPLAIN_UNTRIED},
		{"{'history': {'trouble': 'mode'}}", EXPLAIN_MODE},
		{"{'history': {'trouble': 'no-source'}}", EXPLAIN_NO_SOURCE},
		{"{'history': {'trouble': 'nobody'}}", EXPLAIN_NOBODY},
		{"{'history': {'trouble': 'empty'}}", EXPLAIN_EMPTY},
		{"{'history': {'trouble': 'refused'}}", EXPLAIN_REFUSED},
		{"{'history': {'trouble': 'bad'}}", EXPLAIN_BAD},
		{"{'history': {'trouble': 'unstored'}}", EXPLAIN_UNSTORED},
		{"{'history': {'trouble': 7}, 'blocks': 8, 'discovery': []}",
			EXPLAIN_UNTRIED},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(explain(rows[i].row).reason, rows[i].reason);
}

static void
every_reason_has_words(void **state)
{
	for (unsigned i = 0; i < _EXPLAIN_REASON_MAX; i++) {
		enum explain_reason reason = (enum explain_reason)i;

		assert_true(strlen(explain_name(reason)) > 0);
		assert_true(strlen(explain_words(reason)) > 0);
		assert_int_equal(strlen(explain_remedy(reason)) > 0,
			reason != EXPLAIN_COMPLETE);
	}
}

static void
version_2_has_one_block(void **state)
{
	static const struct pccrc_segment small = {
		.start = 500, .len = 70000, .n_blocks = 1};
	const struct pccrc_info info = {
		.version = 2, .range_start = 0, .range_end = 70500};
	json_t *row = json_pack(
		"{s:s, s:{s:i}}", "blocks", "0", "history", "from_peers", 1);
	struct explain_view v;

	explain_segment(&info, &small, row, &v);
	assert_int_equal(v.blocks, 1);
	assert_int_equal(v.held, 1);
	bytes_are(&v, 70000, 0, 0, 0);
	assert_int_equal(v.reason, EXPLAIN_COMPLETE);
	json_decref(row);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_counted),
		cmocka_unit_test(only_the_range_counts),
		cmocka_unit_test(where_it_came_from),
		cmocka_unit_test(why_the_rest_is_missing),
		cmocka_unit_test(every_reason_has_words),
		cmocka_unit_test(version_2_has_one_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
