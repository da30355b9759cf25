/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/findings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define CODED \
	"Content-Encoding: peerdist\r\n" \
	"X-P2P-PeerDist: Version=1.1, ContentLength=100000\r\n"
#define TAGS \
	"ETag: \"a\"\r\n" \
	"Last-Modified: Sun, 01 Nov 2026 10:00:00 GMT\r\n"
#define VARY         "Vary: " PCCRTP_VARY "\r\n"
#define BIT(finding) (1u << (finding))

/* Line by line, as it comes from the transfer. */
static void
take(struct origin_answer *a, const char *head)
{
	while (*head != '\0') {
		size_t n = strcspn(head, "\n");

		n += head[n] == '\n';
		origin_answer_line(a, head, n);
		head += n;
	}
}

static struct origin_answer
answer(const char *head)
{
	struct origin_answer a;

	origin_answer_init(&a);
	take(&a, head);
	return a;
}

static void
test_head(void **state)
{
	struct origin_answer a =
		answer("HTTP/1.1 200 OK\r\netag:  \"x\" \t\r\n"
		       "CONTENT-LENGTH: 77\r\nLast-Modified: never\r\n"
		       "Age: 3\r\nnothing\r\n:\r\nETagged: no\r\n");

	assert_false(a.ends);
	take(&a, "\r\n");
	assert_true(a.ends);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.http, 11);
	assert_string_equal(a.etag, "\"x\"");
	assert_string_equal(a.modified, "never");
	assert_true(a.has_length);
	assert_int_equal(a.length, 77);
	assert_true(a.aged);
	assert_int_equal(a.body, PCCRTP_BODY_PLAIN);
}

static void
test_the_last_answer_counts(void **state)
{
	struct origin_answer a =
		answer("HTTP/1.1 302 Found\r\nAge: 3\r\nETag: \"a\"\r\n" CODED
		       "Vary: x\r\nContent-Length: 5\r\n\r\n"
		       "HTTP/2 103 \r\nLink: x\r\n\r\n");

	assert_false(a.ends);
	take(&a, "HTTP/2 200 \r\n\r\n");
	assert_true(a.ends);
	assert_int_equal(a.http, 20);
	assert_false(a.aged);
	assert_false(a.has_length);
	assert_false(a.fields.encoded);
	assert_string_equal(a.etag, "");
	assert_string_equal(a.vary, "");
}

static void
test_trailers_do_not_count(void **state)
{
	struct origin_answer a =
		answer("HTTP/1.1 200 OK\r\n\r\nETag: \"a\"\r\nVary: x\r\n\r\n");

	assert_true(a.ends);
	assert_string_equal(a.etag, "");
	assert_string_equal(a.vary, "");
}

static void
test_rubbish(void **state)
{
	char line[2000] = "ETag: \"\x1b[1m\xc3\xa9\x7f\"";
	struct origin_answer a = answer("HTTP/1.1 200 OK\r\n");

	take(&a, line);
	assert_string_equal(a.etag, "\"?[1m???\"");
	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "Vary: ", 6);
	take(&a, line);
	take(&a, line);
	assert_int_equal(strlen(a.vary), ORIGIN_TEXT - 1);
	take(&a, "Content-Length: 5x\r\n");
	assert_false(a.has_length);
	origin_answer_line(&a, "Age\0: 1", 7);
	assert_false(a.aged);
	a = answer("HTTP/\r\n\r\n");
	assert_int_equal(a.status, 0);
	assert_false(a.ends);
}

static void
test_vary(void **state)
{
	static const struct {
		const char *head;
		bool wholly, somehow;
	} rows[] = {
		{"", false, false},
		{"Vary: Accept-Encoding\r\n", false, false},
		{VARY, true, true},
		{"Vary: *\r\n", true, false},
		{"Vary: x-p2p-peerdistex,,ACCEPT-ENCODING\r\n"
		 "Vary:x-p2p-peerdist\r\n",
			true, true},
		{"Vary: Accept-Encoding, X-P2P-PeerDist\r\n", false, true},
		{"Vary: X-P2P-PeerDistExx\r\n", false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct origin_answer a = answer("HTTP/1.1 200 OK\r\n");

		take(&a, rows[i].head);
		assert_int_equal(origin_varies(&a), rows[i].wholly);
		assert_int_equal(origin_varies_somehow(&a), rows[i].somehow);
	}
}

static void
test_validators(void **state)
{
	struct origin_answer a = answer("HTTP/1.1 200 OK\r\n");

	assert_false(origin_has_validator(&a));
	take(&a, "ETag: W/\"a\"\r\n");
	assert_true(origin_has_validator(&a));
	assert_null(origin_range_validator(&a));
	take(&a, "Last-Modified: x\r\n");
	assert_non_null(origin_range_validator(&a));
}

struct row {
	const char *content, *hash, *range;
	enum finding_info info;
	uint32_t found;
};

#define OK_200(fields) "HTTP/1.1 200 OK\r\n" fields "\r\n"
#define LONG           "Content-Length: 65537\r\n"
#define SHORT          "Content-Length: 65536\r\n"
#define MAKE \
	"X-P2P-PeerDist: Version=1.1\r\n" \
	"X-P2P-PeerDistEx: MakeHashRequest=true\r\n"
#define GOOD OK_200(CODED TAGS VARY)
#define PART "HTTP/1.1 206 Partial Content\r\n" TAGS "\r\n"

static const struct row rows[] = {
	{GOOD, NULL, PART, FINDING_INFO_GOOD, 0},
	{GOOD, NULL, NULL, FINDING_INFO_BAD, BIT(FINDING_BAD_INFO)},
	{GOOD, NULL, NULL, FINDING_INFO_MISFIT, BIT(FINDING_MISFIT)},
	{GOOD, NULL, OK_200(TAGS), 0, BIT(FINDING_NO_RANGES)},
	{GOOD, NULL, OK_200("ETag: \"b\"\r\n"), 0, 0},
	{GOOD, NULL, "HTTP/1.1 500 No\r\n" TAGS "\r\n", 0,
		BIT(FINDING_NO_RANGES)},
	{OK_200(CODED TAGS), NULL, PART, 0, BIT(FINDING_NO_VARY)},
	{OK_200(CODED VARY), NULL, NULL, 0, BIT(FINDING_NO_VALIDATOR)},
	{OK_200(CODED VARY "ETag: W/\"a\"\r\n"), NULL, NULL, 0,
		BIT(FINDING_WEAK_VALIDATOR)},
	{"HTTP/1.1 404 No\r\n\r\n", NULL, NULL, 0, BIT(FINDING_ABSENT)},
	{"HTTP/1.1 410 No\r\n\r\n", NULL, NULL, 0, BIT(FINDING_ABSENT)},
	{"HTTP/1.1 401 No\r\n" CODED "\r\n", NULL, NULL, 0,
		BIT(FINDING_REFUSED)},
	{"HTTP/1.1 206 Part\r\n" CODED TAGS VARY "\r\n", NULL, NULL, 0,
		BIT(FINDING_STATUS)},
	{OK_200(TAGS), OK_200(TAGS), NULL, 0, BIT(FINDING_NOT_SPOKEN)},
	{OK_200(TAGS LONG), NULL, NULL, 0, BIT(FINDING_NOT_SPOKEN)},
	{OK_200(TAGS SHORT), NULL, NULL, 0, BIT(FINDING_SMALL)},
	{OK_200(SHORT), NULL, NULL, 0, BIT(FINDING_NO_VALIDATOR)},
	{OK_200(TAGS VARY MAKE), OK_200(TAGS), NULL, 0, BIT(FINDING_MAKING)},
	{OK_200(TAGS MAKE), OK_200(TAGS), NULL, 0,
		BIT(FINDING_MAKING) | BIT(FINDING_NO_VARY)},
	{OK_200(TAGS VARY MAKE), GOOD, PART, 0, BIT(FINDING_MADE)},
	{OK_200(TAGS VARY MAKE), GOOD, NULL, FINDING_INFO_BAD,
		BIT(FINDING_MADE) | BIT(FINDING_BAD_INFO)},
	{OK_200(TAGS VARY LONG), GOOD, PART, 0, BIT(FINDING_ACCEPT_STRIPPED)},
	{OK_200(TAGS VARY LONG "Age: 0\r\n"), GOOD, PART, 0,
		BIT(FINDING_CACHED)},
	{OK_200(TAGS VARY LONG "Age: 0\r\n"), NULL, NULL, 0,
		BIT(FINDING_CACHED)},
	{OK_200(TAGS VARY LONG), OK_200(TAGS), NULL, 0, BIT(FINDING_PLAIN)},
	{OK_200(TAGS VARY LONG "X-P2P-PeerDist: Version=1.0\r\n"), NULL, NULL,
		0, BIT(FINDING_PLAIN)},
	{"HTTP/1.0 200 OK\r\n" TAGS VARY LONG "\r\n", NULL, NULL, 0,
		BIT(FINDING_OLD_HTTP)},
	{OK_200(TAGS VARY LONG
		 "X-P2P-PeerDist: Version=1.1, ContentLength=100000\r\n"),
		NULL, NULL, 0, BIT(FINDING_CODING_STRIPPED)},
	{OK_200(TAGS VARY "Content-Encoding: gzip\r\n"), NULL, NULL, 0,
		BIT(FINDING_OTHER_CODING)},
};

static void
check_row(const struct row *row)
{
	struct origin_answer content = answer(row->content), hash, range;
	struct findings_input in = {.content = &content, .info = row->info};

	if (row->hash != NULL) {
		hash = answer(row->hash);
		in.hash = &hash;
	}
	if (row->range != NULL) {
		range = answer(row->range);
		in.range = &range;
	}
	assert_int_equal(findings_of(&in), row->found);
	content.redirects = 1;
	assert_int_equal(
		findings_of(&in), row->found | BIT(FINDING_REDIRECTED));
}

static void
test_findings(void **state)
{
	uint32_t seen = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check_row(&rows[i]);
		seen |= rows[i].found;
	}
	/* Of each there is a row, but of those that need more than heads. */
	seen |= BIT(FINDING_REDIRECTED) | BIT(FINDING_LARGE) |
		BIT(FINDING_NO_SERVICE);
	assert_int_equal(seen, BIT(_FINDING_MAX) - 1);
}

static void
test_large(void **state)
{
	struct origin_answer a = answer(GOOD);
	const struct findings_input in = {.content = &a};

	a.large = true;
	assert_int_equal(findings_of(&in), BIT(FINDING_LARGE));
}

static void
test_each_has_words(void **state)
{
	assert_true(_FINDING_MAX <= 32);
	for (unsigned i = 0; i < _FINDING_MAX; i++) {
		enum finding f = (enum finding)i;

		assert_true(strlen(finding_name(f)) > 2);
		assert_true(strlen(finding_words(f)) > 10);
		assert_true(strlen(finding_remedy(f)) > 10);
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(
				finding_name(f), finding_name((enum finding)j));
	}
	assert_false(finding_is_problem(FINDING_MAKING));
	assert_true(finding_is_problem(FINDING_PLAIN));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_the_last_answer_counts),
		cmocka_unit_test(test_trailers_do_not_count),
		cmocka_unit_test(test_rubbish),
		cmocka_unit_test(test_vary),
		cmocka_unit_test(test_validators),
		cmocka_unit_test(test_findings),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_each_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
