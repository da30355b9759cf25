/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/macros.h"
#include "tests/unit/pccrtp_util.h"

static void
test_content_length(void **state)
{
	static const struct {
		const char *value;
		bool has;
		uint64_t length;
	} rows[] = {
		{"Version=1.0, ContentLength=102400", true, 102400},
		{"Version=1.0,contentlength = 0102400", true, 102400},
		{"ContentLength=0", true, 0},
		{"ContentLength=18446744073709551614", true, UINT64_MAX - 1},
		{"ContentLength=18446744073709551615", true, UINT64_MAX},
		{"ContentLength=" TWO_64, true, UINT64_MAX},
		{"ContentLength=" TWO_64 "0", true, UINT64_MAX},
		{"ContentLength", true, UINT64_MAX},
		{"ContentLength=", true, UINT64_MAX},
		{"ContentLength=x", true, UINT64_MAX},
		{"ContentLength=1x", true, UINT64_MAX},
		{"ContentLength=-1", true, UINT64_MAX},
		{"ContentLength=1 2", true, UINT64_MAX},
		{"ContentLength=\"1\"", true, UINT64_MAX},
		{"ContentLength=5, ContentLength=6", true, 5},
		{"ContentLength=x, ContentLength=6", true, UINT64_MAX},
		{"Version=1.0", false, 0},
		{"XContentLength=5", false, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pccrtp_fields f = {0};

		pccrtp_field(&f, "X-P2P-PeerDist", 14, rows[i].value,
			strlen(rows[i].value));
		if (f.has_length != rows[i].has || f.length != rows[i].length)
			fail_msg("[%s]", rows[i].value);
	}
}

static void
check_ask(enum pccrtp_ask ask, const char *want, unsigned info)
{
	const char *const *fields = pccrtp_request_fields(ask);
	struct pccrtp_fields f;
	struct buf b;

	buf_init(&b, 1000);
	for (; *fields != NULL; fields++)
		buf_printf(&b, "%s\n", *fields);
	buf_u8(&b, 0);
	assert_int_equal(buf_error(&b), 0);
	assert_string_equal((const char *)b.data, want);
	f = read_head((const char *)b.data);
	assert_int_equal(pccrtp_understood(&f), info);
	buf_done(&b);
}

/* Version is first of its field everywhere; Microsoft's server reads it by its
 * place. */
static void
test_requests(void **state)
{
	check_ask(PCCRTP_ASK_CONTENT,
		"Accept-Encoding: identity, peerdist\n" P("Version=1.1")
			EX_BOTH,
		BOTH);
	check_ask(PCCRTP_ASK_MISSING, P("Version=1.1, MissingDataRequest=true"),
		NONE);
	check_ask(PCCRTP_ASK_HASH,
		"Accept-Encoding: identity, peerdist\n" P("Version=1.1")
			EX(MIN("1.0") ", " MAX("2.0") ", HashRequest=true"),
		BOTH);
}

/* Without regard to what is beside it. */
static void
test_requests_by_themselves(void **state)
{
	for (unsigned ask = 0; ask < _PCCRTP_ASK_MAX; ask++) {
		const char *const *fields = pccrtp_request_fields(ask);
		struct pccrtp_fields f = {0};

		assert_non_null(fields);
		for (; *fields != NULL; fields++)
			read_field(&f, *fields, strlen(*fields));
		assert_int_equal(f.accepts, ask != PCCRTP_ASK_MISSING);
		assert_int_equal(f.has_ex, ask != PCCRTP_ASK_MISSING);
		assert_int_equal(f.hash_request, ask == PCCRTP_ASK_HASH);
		assert_int_equal(f.missing,
			ask == PCCRTP_ASK_MISSING ? PCCRTP_MISSING_TRUE
						  : PCCRTP_MISSING_ABSENT);
		assert_int_equal(f.version.major, 1);
		assert_int_equal(f.version.minor, 1);
	}
}

#define UNKNOWN  UINT64_MAX
#define PLAIN    PCCRTP_BODY_PLAIN
#define INFO     PCCRTP_BODY_INFO
#define REFUSED  PCCRTP_BODY_REFUSED
#define STRIPPED PCCRTP_BODY_STRIPPED

static void
test_responses(void **state)
{
	static const struct {
		const char *head;
		uint64_t body_len;
		enum pccrtp_body body;
	} rows[] = {
		{"", 5, PLAIN},
		{"", UNKNOWN, PLAIN},
		{"Content-Encoding: identity\n", 5, PLAIN},
		{"Content-Encoding: Identity, identity\n", 5, PLAIN},
		{"Content-Encoding: \n", 5, PLAIN},
		{"Content-Encoding: ,,\n", 5, PLAIN},
		/* Content information. */
		{CODED P("Version=1.1, ContentLength=184946"), 198, INFO},
		{CODED P("Version=1.0,ContentLength=102400"), 134, INFO},
		{CODED P("Version=1.0, ContentLength=134"), 134, INFO},
		{CODED P("ContentLength=102400, Version=1.0"), 134, INFO},
		{CODED P("Version=1.1"), 198, INFO},
		{CODED, 198, INFO},
		{CODED, UNKNOWN, INFO},
		{"content-ENCODING:PeerDist\n", 198, INFO},
		{"Content-Encoding: ,identity, peerdist ,\n", 198, INFO},
		{CODED "Content-Encoding: identity\n", 198, INFO},
		/* In something nobody asked for. */
		{"Content-Encoding: gzip\n", 5, REFUSED},
		{"Content-Encoding: gzip\n" P("Version=1.1"), 5, REFUSED},
		{"Content-Encoding: x\n", 5, REFUSED},
		{"Content-Encoding: *\n", 5, REFUSED},
		{"Content-Encoding: gzip, peerdist\n", 198, REFUSED},
		{"Content-Encoding: peerdist, gzip\n", 198, REFUSED},
		{"Content-Encoding: gzip, identity\n", 198, REFUSED},
		{CODED "Content-Encoding: gzip\n", 198, REFUSED},
		{"Content-Encoding: gzip\n" CODED, 198, REFUSED},
		{"Content-Encoding: peerdist, peerdist\n", 198, REFUSED},
		{CODED CODED, 198, REFUSED},
		{"Content-Encoding: peerdist;q=1\n", 198, REFUSED},
		{"Content-Encoding: \"peerdist\"\n", 198, REFUSED},
		{"Content-Encoding: peerdist2\n", 198, REFUSED},
		/* A version nobody asked for, or that is none. */
		{CODED P("Version=1.2, ContentLength=5"), 198, REFUSED},
		{CODED P("Version=2.0, ContentLength=5"), 198, REFUSED},
		{CODED P("Version=0.9, ContentLength=5"), 198, REFUSED},
		{CODED P("Version=x, ContentLength=5"), 198, REFUSED},
		{CODED P("Version=1.0, Version=1.1"), 198, REFUSED},
		/* In a plain answer it has no meaning. */
		{P("Version=999.999"), 5, PLAIN},
		{P("Version=x"), 5, PLAIN},
		{P("Version=1.1") EX("MakeHashRequest=true"), 184946, PLAIN},
		{ACCEPT, 5, PLAIN},
		{"X-Content-Encoding: peerdist\n", 5, PLAIN},
		/* The coding is gone. */
		{P("Version=1.1, ContentLength=184946"), 198, STRIPPED},
		{P("Version=1.1, ContentLength=184946"), 184946, PLAIN},
		{P("Version=1.1, ContentLength=184946"), UNKNOWN, PLAIN},
		{P("Version=1.1, ContentLength=184946"), 0, STRIPPED},
		{P("ContentLength=0"), 198, STRIPPED},
		{P("Version=1.1, ContentLength=x"), 198, STRIPPED},
		{P("Version=1.1, ContentLength=" TWO_64), 198, STRIPPED},
		{"Content-Encoding: identity\n" P("ContentLength=9"), 198,
			STRIPPED},
		{"Content-Encoding: gzip\n" P("ContentLength=9"), 198, REFUSED},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pccrtp_fields f = read_head(rows[i].head);
		enum pccrtp_body body = pccrtp_response(&f, rows[i].body_len);

		if (body != rows[i].body)
			fail_msg("%d, not %d:\n%s", body, rows[i].body,
				rows[i].head);
	}
}

static void
test_make_hash_in_response(void **state)
{
	static const struct {
		const char *head;
		bool make;
	} rows[] = {
		{P("Version=1.1") EX("MakeHashRequest=true"), true},
		{EX("MakeHashRequest=true"), true},
		{EX("makehashrequest = True , x=y"), true},
		{EX(MIN("1.0") ", " MAX("2.0") ", MakeHashRequest=true"), true},
		{EX("MakeHashRequest=true, MakeHashRequest=false"), true},
		{EX("MakeHashRequest=false, MakeHashRequest=true"), false},
		{EX("MakeHashRequest=false"), false},
		{EX("MakeHashRequest=yes"), false},
		{EX("MakeHashRequest="), false},
		{EX("MakeHashRequest"), false},
		{EX("HashRequest=true"), false},
		{EX("a=\"MakeHashRequest=true, b\""), false},
		{P("MakeHashRequest=true"), false},
		{P("Version=1.1"), false},
		{"", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (read_head(rows[i].head).make_hash != rows[i].make)
			fail_msg("%s", rows[i].head);
}

struct fits_row {
	const char *head;
	uint64_t start, end;
	bool fits;
};

static void
check_fits(const struct fits_row *rows, size_t n,
	const struct http_content_range *range)
{
	for (size_t i = 0; i < n; i++) {
		struct pccrtp_fields f = read_head(rows[i].head);

		if (pccrtp_info_fits(&f, range, rows[i].start, rows[i].end) !=
			rows[i].fits)
			fail_msg("%zu: %llu-%llu:\n%s", i,
				(unsigned long long)rows[i].start,
				(unsigned long long)rows[i].end, rows[i].head);
	}
}

#define LENGTH_100 CODED P("Version=1.1, ContentLength=100")

static void
test_info_of_a_whole(void **state)
{
	static const struct fits_row rows[] = {
		{LENGTH_100, 0, 100, true},
		{LENGTH_100, 0, 99, false},
		{LENGTH_100, 0, 101, false},
		{LENGTH_100, 1, 100, false},
		{LENGTH_100, 1, 101, false},
		{LENGTH_100, 100, 0, false},
		{LENGTH_100, 100, 200, false},
		/* Without ContentLength at least from the start. */
		{CODED, 0, 100, true},
		{CODED, 0, UINT64_MAX, true},
		{CODED, 50, 100, false},
		{CODED P("Version=1.1"), 0, 100, true},
		/* That is none. */
		{CODED P("ContentLength=100x"), 0, 100, false},
		{CODED P("ContentLength=" TWO_64), 0, 100, false},
		{CODED P("ContentLength=" TWO_64), 0, 0, false},
		{CODED P("ContentLength=100, ContentLength=50"), 0, 100, true},
		{CODED P("ContentLength=50, ContentLength=100"), 0, 100, false},
	};

	check_fits(rows, ARRAY_LEN(rows), NULL);
}

/* ContentLength may be that of the range or of the content. */
static void
test_info_of_a_range(void **state)
{
	static const struct fits_row rows[] = {
		{CODED P("Version=1.1, ContentLength=50"), 25, 75, true},
		{LENGTH_100, 25, 75, true},
		{CODED, 25, 75, true},
		{LENGTH_100, 25, 74, false},
		{LENGTH_100, 25, 76, false},
		{LENGTH_100, 24, 74, false},
		{LENGTH_100, 26, 76, false},
		{LENGTH_100, 24, 75, false},
		{LENGTH_100, 0, 50, false},
		{LENGTH_100, 0, 100, false},
		{LENGTH_100, 75, 25, false},
		{LENGTH_100, 25, 25, false},
	};
	static const struct http_content_range known = {{25, 50}, true, 100};
	static const struct http_content_range unknown = {{25, 50}, false, 0};

	check_fits(rows, ARRAY_LEN(rows), &known);
	check_fits(rows, ARRAY_LEN(rows), &unknown);
}

/* end - start of such would be the length of the range. */
static void
test_info_that_ends_before_it_starts(void **state)
{
	static const struct http_content_range range = {
		{UINT64_MAX - 1, 3}, false, 0};
	struct pccrtp_fields f = {0};

	assert_false(pccrtp_info_fits(&f, &range, UINT64_MAX - 1, 1));
	assert_false(pccrtp_info_fits(&f, NULL, UINT64_MAX - 1, 1));
}

/* The answer that the document prints, and one of a range. */
static void
test_real_responses(void **state)
{
	struct pccrtp_fields f = read_head(
		CODED "Content-Length: 198\n"
		      "Last-Modified: Fri, 01 Aug 2008 01:02:03 GMT\n"
		      "Accept-Ranges: bytes\nETag: \"8d2babfc81f3c81\"\n" P(
			      "Version=1.1, ContentLength=184946"));
	struct http_content_range range;

	assert_int_equal(pccrtp_response(&f, 198), PCCRTP_BODY_INFO);
	assert_true(pccrtp_info_fits(&f, NULL, 0, 184946));
	assert_false(pccrtp_info_fits(&f, NULL, 0, 184945));
	assert_true(http_content_range_parse(
		&range, "bytes 65536-131071/184946", 25));
	assert_true(pccrtp_info_fits(&f, &range, 65536, 131072));
	assert_false(pccrtp_info_fits(&f, &range, 0, 184946));
	f = read_head("Content-Length: 184946\nETag: \"c184b9ace0efcb1:0\"\n" P(
		"Version=1.1") EX("MakeHashRequest=true"));
	assert_int_equal(pccrtp_response(&f, 184946), PCCRTP_BODY_PLAIN);
	assert_true(f.make_hash);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content_length),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_requests_by_themselves),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_make_hash_in_response),
		cmocka_unit_test(test_info_of_a_whole),
		cmocka_unit_test(test_info_of_a_range),
		cmocka_unit_test(test_info_that_ends_before_it_starts),
		cmocka_unit_test(test_real_responses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
