/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/macros.h"
#include "tests/unit/pccrtp_util.h"

struct understood_row {
	const char *head;
	unsigned info;
};

static void
check_understood(const struct understood_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct pccrtp_fields f = read_head(rows[i].head);
		unsigned info = pccrtp_understood(&f);

		if (info != rows[i].info)
			fail_msg("%u, not %u:\n%s", info, rows[i].info,
				rows[i].head);
	}
}

#define CHECK_UNDERSTOOD(rows) check_understood((rows), ARRAY_LEN(rows))

/* Step 2 of the decision. */
static void
test_accept_encoding(void **state)
{
	static const struct understood_row rows[] = {
		{P("Version=1.0") "Accept-Encoding: peerdist\n", V1},
		{P("Version=1.0") "Accept-Encoding: gzip, deflate, peerdist\n",
			V1},
		{P("Version=1.0") "Accept-Encoding: identity, peerdist\n", V1},
		{P("Version=1.0") "Accept-Encoding: deflate, peerdist\n", V1},
		{P("Version=1.0") "ACCEPT-encoding:PeerDist\n", V1},
		{P("Version=1.0") "accept-encoding: ,, gzip ,\tpeerdist\t,\n",
			V1},
		{P("Version=1.0") "Accept-Encoding: peerdist,gzip\n", V1},
		{P("Version=1.0") "Accept-Encoding: gzip\n"
				  "Accept-Encoding: peerdist\n",
			V1},
		{P("Version=1.0") "Accept-Encoding: peerdist\n"
				  "Accept-Encoding: gzip\n",
			V1},
		/* It is not there. */
		{P("Version=1.0"), NONE},
		{P("Version=1.0") "Accept-Encoding: \n", NONE},
		{P("Version=1.0") "Accept-Encoding: gzip, deflate\n", NONE},
		{P("Version=1.0") "Accept-Encoding: *\n", NONE},
		{P("Version=1.0") "Accept-Encoding: *;q=1, gzip\n", NONE},
		{P("Version=1.0") "Accept-Encoding: xpeerdist\n", NONE},
		{P("Version=1.0") "Accept-Encoding: peerdist2\n", NONE},
		{P("Version=1.0") "Accept-Encoding: peer dist\n", NONE},
		{P("Version=1.0") "Accept-Encoding: gzip peerdist\n", NONE},
		{P("Version=1.0") "Accept-Encoding: gzip;peerdist\n", NONE},
		{P("Version=1.0") "Accept-Encoding: \"peerdist\"\n", NONE},
		{P("Version=1.0") "Accept-Encoding: \"a, peerdist\"\n", NONE},
		{P("Version=1.0") "Accept-Encoding: a=\"b, peerdist, c\"\n",
			NONE},
		{P("Version=1.0") "X-Accept-Encoding: peerdist\n", NONE},
		{P("Version=1.0") "Content-Encoding: peerdist\n", NONE},
		{P("Version=1.0") "Accept: peerdist\n", NONE},
	};

	CHECK_UNDERSTOOD(rows);
}

static void
test_weights(void **state)
{
	static const struct {
		const char *coding;
		bool accepts;
	} rows[] = {
		{"peerdist;q=1", true},
		{"peerdist;q=1.", true},
		{"peerdist;q=1.0", true},
		{"peerdist;q=1.000", true},
		{"peerdist;q=0.001", true},
		{"peerdist;q=0.5", true},
		{"peerdist ; q=0.5", true},
		{"peerdist;\tQ = 0.5 ", true},
		{"peerdist;q=0.0001", true},
		{"gzip;q=0, peerdist;q=0.1", true},
		{"*;q=0, peerdist", true},
		{"identity;q=0, peerdist", true},
		{"peerdist;q=0", false},
		{"peerdist;q=0.", false},
		{"peerdist;q=0.0", false},
		{"peerdist;q=0.000", false},
		{"peerdist;q=0.0000000", false},
		{"PeerDist ; Q=0", false},
		{"*, peerdist;q=0", false},
		/* Refused anywhere is refused. */
		{"peerdist, peerdist;q=0", false},
		{"peerdist;q=0, peerdist", false},
		{"peerdist;q=0, gzip, peerdist;q=1", false},
		/* No weights. */
		{"peerdist;", false},
		{"peerdist;q", false},
		{"peerdist;q=", false},
		{"peerdist;q=.5", false},
		{"peerdist;q=2", false},
		{"peerdist;q=1.1", false},
		{"peerdist;q=1.001", false},
		{"peerdist;q=10", false},
		{"peerdist;q=00.5", false},
		{"peerdist;q=0,5", false},
		{"peerdist;q=0x1", false},
		{"peerdist;q=-1", false},
		{"peerdist;q=0.5.5", false},
		{"peerdist;q=0.5x", false},
		{"peerdist;q=0.5;q=1", false},
		{"peerdist;q=\"1\"", false},
		{"peerdist;w=1", false},
		{"peerdist;qq=1", false},
		{"peerdist;level=1;q=1", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pccrtp_fields f = read_head(P("Version=1.0"));

		pccrtp_field(&f, "Accept-Encoding", 15, rows[i].coding,
			strlen(rows[i].coding));
		if (f.accepts != rows[i].accepts ||
			(pccrtp_understood(&f) == V1) != rows[i].accepts)
			fail_msg("[%s]: %d", rows[i].coding, f.accepts);
	}
}

/* Across fields too, and in either order. */
static void
test_refused_in_another_field(void **state)
{
	static const struct understood_row rows[] = {
		{P("Version=1.0") ACCEPT "Accept-Encoding: peerdist;q=0\n",
			NONE},
		{P("Version=1.0") "Accept-Encoding: peerdist;q=0\n" ACCEPT,
			NONE},
	};

	CHECK_UNDERSTOOD(rows);
}

/* Steps 3 and 4. */
static void
test_version(void **state)
{
	static const struct understood_row rows[] = {
		{ACCEPT P("Version=1.0"), V1},
		{ACCEPT P("Version=1.1") EX_BOTH, BOTH},
		/* Without Ex there is only version 1. */
		{ACCEPT P("Version=1.1"), V1},
		/* Ex is honoured with 1.0 too. */
		{ACCEPT P("Version=1.0") EX_BOTH, BOTH},
		/* Missing, or none. */
		{ACCEPT, NONE},
		{ACCEPT EX_BOTH, NONE},
		{ACCEPT P(""), NONE},
		{ACCEPT P(","), NONE},
		{ACCEPT P("MissingDataRequest=false"), NONE},
		{ACCEPT P("1.0"), NONE},
		{ACCEPT P("Version"), NONE},
		{ACCEPT P("Version="), NONE},
		{ACCEPT P("Version=1"), NONE},
		{ACCEPT P("Version=1."), NONE},
		{ACCEPT P("Version=.1"), NONE},
		{ACCEPT P("Version=1.0."), NONE},
		{ACCEPT P("Version=1.0.0"), NONE},
		{ACCEPT P("Version=1,0"), NONE},
		{ACCEPT P("Version=1:0"), NONE},
		{ACCEPT P("Version=110"), NONE},
		{ACCEPT P("Version=a.b"), NONE},
		{ACCEPT P("Version=1.x"), NONE},
		{ACCEPT P("Version=+1.0"), NONE},
		{ACCEPT P("Version=-1.0"), NONE},
		{ACCEPT P("Version=1.-0"), NONE},
		{ACCEPT P("Version=0x1.0"), NONE},
		{ACCEPT P("Version=\"1.0\""), NONE},
		{ACCEPT P("Version=1.0;x=y"), NONE},
		{ACCEPT P("Version=1.0 MissingDataRequest=false"), NONE},
		{ACCEPT P("Version==1.0"), NONE},
		{ACCEPT P("Version:1.0"), NONE},
		{ACCEPT P("XVersion=1.0"), NONE},
		{ACCEPT P("Versions=1.0"), NONE},
		/* Blanks: not around the dot. */
		{ACCEPT P("Version=1 .0"), NONE},
		{ACCEPT P("Version=1. 0"), NONE},
		{ACCEPT P("Version = 1.0"), V1},
		{ACCEPT P("\tVersion\t=\t1.0\t"), V1},
		/* Other versions, and large ones. */
		{ACCEPT P("Version=1.2") EX_BOTH, NONE},
		{ACCEPT P("Version=2.0") EX_BOTH, NONE},
		{ACCEPT P("Version=2.1") EX_BOTH, NONE},
		{ACCEPT P("Version=0.0") EX_BOTH, NONE},
		{ACCEPT P("Version=0.9") EX_BOTH, NONE},
		{ACCEPT P("Version=0.1") EX_BOTH, NONE},
		{ACCEPT P("Version=1.10") EX_BOTH, NONE},
		{ACCEPT P("Version=1.23") EX_BOTH, NONE},
		{ACCEPT P("Version=10.1") EX_BOTH, NONE},
		{ACCEPT P("Version=999.999") EX_BOTH, NONE},
		{ACCEPT P("Version=1." TWO_32), NONE},
		{ACCEPT P("Version=4294967297.0"), NONE},
		{ACCEPT P("Version=1." TWO_64), NONE},
		{ACCEPT P("Version=18446744073709551617.0"), NONE},
		/* The same number, written otherwise. */
		{ACCEPT P("Version=01.00"), V1},
		{ACCEPT P("Version=1.01") EX_BOTH, BOTH},
		/* Names in any case, elements that are empty or unknown. */
		{ACCEPT "x-p2p-peerdist: vERSION=1.0\n", V1},
		{ACCEPT "X-P2P-PEERDIST:,,Version=1.0,\n", V1},
		{ACCEPT P("Flavour=sweet, Version=1.0, x, y=, =z"), V1},
		{ACCEPT P("a=\"b,Version=2.0,\\\",\", Version=1.0"), V1},
		{ACCEPT P("a=\"b, Version=1.0"), NONE},
		/* In the wrong field. */
		{ACCEPT EX("Version=1.0"), NONE},
		{ACCEPT "X-P2P-PeerDis: Version=1.0\n", NONE},
		{ACCEPT "X-P2P-PeerDist2: Version=1.0\n", NONE},
		{ACCEPT "Via: Version=1.0\n", NONE},
	};

	CHECK_UNDERSTOOD(rows);
}

static void
test_repeated_versions(void **state)
{
	static const struct understood_row rows[] = {
		{ACCEPT P("Version=1.0, Version=1.0"), V1},
		{ACCEPT P("Version=1.0, Version=01.00"), V1},
		{ACCEPT P("Version=1.1") P("Version=1.1") EX_BOTH, BOTH},
		{ACCEPT P("Version=1.0, Version=1.1"), NONE},
		{ACCEPT P("Version=1.1, Version=1.0"), NONE},
		{ACCEPT P("Version=1.1") P("Version=1.0"), NONE},
		{ACCEPT P("Version=1.0, Version=x"), NONE},
		{ACCEPT P("Version=x, Version=1.0"), NONE},
		{ACCEPT P("Version=1.0, Version"), NONE},
		{ACCEPT P("Version=1.0, Version=999.999, Version=1.0"), NONE},
		{ACCEPT P("Version=x") P("Version=1.0") P("Version=1.0"), NONE},
	};

	CHECK_UNDERSTOOD(rows);
}

/* Step 5. */
static void
test_missing_data(void **state)
{
	static const struct understood_row rows[] = {
		{ACCEPT P("Version=1.0, MissingDataRequest=true"), NONE},
		{ACCEPT P("Version=1.1, MissingDataRequest=true"), NONE},
		{ACCEPT EX_BOTH P("Version=1.1, MissingDataRequest=true"),
			NONE},
		{ACCEPT P("Version=1.0, MissingDataRequest=TRUE"), NONE},
		{ACCEPT P("Version=1.0, MissingDataRequest=false"), V1},
		{ACCEPT EX_BOTH P("Version=1.1, MissingDataRequest=false"),
			BOTH},
		{ACCEPT P("Version=1.0,missingdatarequest = False"), V1},
		{ACCEPT P("MissingDataRequest=false, Version=1.0"), V1},
		{ACCEPT P("Version=1.0, MissingDataRequest=InvalidValue"),
			NONE},
		{ACCEPT P("Version=1.0, MissingDataRequest="), NONE},
		{ACCEPT P("Version=1.0, MissingDataRequest"), NONE},
		{ACCEPT P("Version=1.0, MissingDataRequest=0"), NONE},
		{ACCEPT P("Version=1.0, MissingDataRequest=\"false\""), NONE},
		{ACCEPT P("Version=1.0, MissingDataRequest=false;x"), NONE},
		{ACCEPT P("Version=1.0") P("MissingDataRequest=true"), NONE},
		/* The first counts. */
		{ACCEPT P("Version=1.0, MissingDataRequest=false, "
			  "MissingDataRequest=true"),
			V1},
		{ACCEPT P("Version=1.0, MissingDataRequest=true, "
			  "MissingDataRequest=false"),
			NONE},
		{ACCEPT P("Version=1.0, MissingDataRequest=x, "
			  "MissingDataRequest=false"),
			NONE},
		/* Of another field. */
		{ACCEPT P("Version=1.0") EX("MissingDataRequest=true"), V1},
		/* The request for missing data as clients send it. */
		{P("Version=1.1, MissingDataRequest=true"), NONE},
		{P("Version=1.1, MissingDataRequest=true") EX(
			 MIN("1.0") ", " MAX("2.0") ", HashRequest=true"),
			NONE},
	};

	CHECK_UNDERSTOOD(rows);
}

/* Step 6; both protocol versions give the same. */
static void
test_bounds(void **state)
{
	static const struct {
		const char *ex;
		unsigned info;
	} rows[] = {
		{MIN("1.0") ", " MAX("1.0"), V1},
		{MIN("1.0") ", " MAX("2.0"), BOTH},
		{MIN("2.0") ", " MAX("2.0"), V2},
		{MAX("2.0") "," MIN("1.0"), BOTH},
		{"mincontentinformation = 1.0 ,MAXCONTENTINFORMATION=2.0",
			BOTH},
		{MIN("01.0") ", " MAX("2.00"), BOTH},
		{MIN("2.0") ", " MAX("1.0"), NONE},
		{MIN("900.0") ", " MAX("999.0"), NONE},
		{MIN("1.0") ", " MAX("999.0"), NONE},
		{MIN("1.0") ", " MAX("3.0"), NONE},
		{MIN("2.0") ", " MAX("3.0"), NONE},
		{MIN("0.0") ", " MAX("2.0"), NONE},
		{MIN("0.9") ", " MAX("2.0"), NONE},
		{MIN("1.0") ", " MAX("1.5"), NONE},
		{MIN("1.1") ", " MAX("2.0"), NONE},
		{MIN("1.0") ", " MAX("2.1"), NONE},
		{MIN("1.0") ", " MAX("2." TWO_32), NONE},
		{MIN("1.0") ", " MAX("4294967298.0"), NONE},
		{MIN("1.0") ", " MAX(TWO_64 "." TWO_64), NONE},
		{MIN("1.0") ", " MAX("2"), NONE},
		{MIN("1") ", " MAX("2.0"), NONE},
		{MIN("1.0") ", " MAX(""), NONE},
		{MIN("") ", " MAX("2.0"), NONE},
		{MIN("x") ", " MAX("y"), NONE},
		{MIN("1.0") ", MaxContentInformation", NONE},
		{MIN("1.0 ") MAX("2.0"), NONE},
		/* One that is not given is 1.0. */
		{MIN("1.0"), V1},
		{MIN("2.0"), NONE},
		{MAX("1.0"), V1},
		{MAX("2.0"), BOTH},
		{MAX("3.0"), NONE},
		{"", V1},
		{",", V1},
		{"HashRequest=true", V1},
		{"Flavour=sweet", V1},
		{"Flavour=sweet, " MIN("1.0") ", x, " MAX("2.0"), BOTH},
		/* The first counts, also when it is none. */
		{MIN("1.0") ", " MAX("1.0") ", " MAX("2.0"), V1},
		{MIN("2.0") ", " MIN("1.0") ", " MAX("2.0"), V2},
		{MIN("1.0") ", " MAX("x") ", " MAX("2.0"), NONE},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (unsigned minor = 0; minor <= 1; minor++) {
			struct pccrtp_fields f =
				read_head(minor == 0 ? ACCEPT P("Version=1.0")
						     : ACCEPT P("Version=1.1"));
			unsigned info;

			pccrtp_field(&f, "x-p2p-peerdistex", 16, rows[i].ex,
				strlen(rows[i].ex));
			info = pccrtp_understood(&f);
			if (!f.has_ex || info != rows[i].info)
				fail_msg("1.%u [%s]: %u", minor, rows[i].ex,
					info);
		}
}

static void
test_bounds_of_several_fields(void **state)
{
	static const struct understood_row rows[] = {
		{ACCEPT P("Version=1.1") EX(MIN("1.0")) EX(MAX("2.0")), BOTH},
		{ACCEPT P("Version=1.1") EX(MAX("1.0")) EX(MAX("2.0")), V1},
		{EX(MAX("2.0")) ACCEPT EX(MIN("2.0")) P("Version=1.1"), V2},
		/* Of another field. */
		{ACCEPT P("Version=1.1, " MIN("2.0") ", " MAX("2.0")), V1},
	};

	CHECK_UNDERSTOOD(rows);
}

/* It accepts by itself: what is printed has no Accept-Encoding. */
static void
test_hash_request(void **state)
{
	static const struct understood_row rows[] = {
		{P("Version=1.1") EX(
			 MIN("1.0") ", " MAX("2.0") ", HashRequest=true"),
			BOTH},
		{P("Version=1.1") EX("hashrequest = TRUE"), V1},
		{P("Version=1.0") EX("HashRequest=true"), V1},
		{P("Version=1.1") EX(
			 "HashRequest=true") "Accept-Encoding: gzip\n",
			V1},
		{P("Version=1.1") EX("HashRequest=true") ACCEPT, V1},
		/* But not against what the request says. */
		{P("Version=1.1") EX(
			 "HashRequest=true") "Accept-Encoding: peerdist;q=0\n",
			NONE},
		{P("Version=1.1") EX("HashRequest=false"), NONE},
		{P("Version=1.1") EX("HashRequest=1"), NONE},
		{P("Version=1.1") EX("HashRequest"), NONE},
		{P("Version=1.1") EX("HashRequest=\"true\""), NONE},
		{P("Version=1.1") EX("HashRequest=false, HashRequest=true"),
			NONE},
		{P("Version=1.1") EX("HashRequest=true, HashRequest=false"),
			V1},
		{P("Version=1.1") EX("MakeHashRequest=true"), NONE},
		{P("Version=1.1, HashRequest=true"), NONE},
		{EX("HashRequest=true"), NONE},
		{P("Version=999.999") EX("HashRequest=true"), NONE},
	};

	CHECK_UNDERSTOOD(rows);
}

/* Requests that were seen, and those of Microsoft's test suite. */
static void
test_real_requests(void **state)
{
	static const struct understood_row rows[] = {
		/* IE 11, Edge. */
		{"Accept-Encoding: gzip, deflate, peerdist\n" P("Version=1.1")
				EX_BOTH,
			BOTH},
		/* IE on Windows 7. */
		{"Accept-Encoding: gzip, deflate, peerdist\n" P("Version=1.0"),
			V1},
		/* BITS. */
		{"Accept-Encoding: identity, peerdist\n" P("Version=1.1")
				EX_BOTH,
			BOTH},
		/* The client that was held to version 1. */
		{"Accept-Encoding: gzip, deflate, peerdist\n" P("Version=1.1")
				EX(MIN("1.0") ", " MAX("1.0")),
			V1},
		/* By hand. */
		{ACCEPT P("Version=1.1") EX(MIN("2.0") ", " MAX("2.0")), V2},
		/* iPXE: a download, then the blocks that nobody has. */
		{"Host: origin\nConnection: keep-alive\nUser-Agent: "
		 "iPXE/1.21\n" ACCEPT P("Version=1.1") EX_BOTH,
			BOTH},
		{"Host: origin\nRange: bytes=0-65535\n" P(
			 "Version=1.1, MissingDataRequest=true"),
			NONE},
		/* The test suite; its lists have no blanks. */
		{P("Version=1.1") EX_BOTH, NONE},
		{ACCEPT P("Version=999.999"), NONE},
		{ACCEPT P("Version=1.0,MissingDataRequest=true"), NONE},
		{ACCEPT P("Version=1.1,MissingDataRequest=true") EX_BOTH, NONE},
		{ACCEPT P("Version=1.0,MissingDataRequest=false"), V1},
		{ACCEPT P("Version=1.0,MissingDataRequest=InvalidValue"), NONE},
		{ACCEPT P("Version=1.1") EX(MIN("900.0") "," MAX("999.0")),
			NONE},
		{ACCEPT P("Version=1.1") EX(MIN("1.0") "," MAX("2.0")), BOTH},
		/* A browser, a mirror tool. */
		{"Accept-Encoding: gzip, deflate, br, zstd\nAccept: */*\n",
			NONE},
		{"", NONE},
	};

	CHECK_UNDERSTOOD(rows);
}

/* What fields hold, beyond what decisions show. */
static void
test_fields(void **state)
{
	struct pccrtp_fields f = read_head(P("Version=1.23"));
	struct pccrtp_fields g = read_head(P("Version=1.3"));

	assert_int_equal(f.version.major, 1);
	assert_int_equal(f.version.minor, 23);
	assert_int_equal(g.version.minor, 3);
	f = read_head(P("Version=4294967295.4294967296"));
	assert_int_equal(f.version.major, UINT32_MAX);
	assert_int_equal(f.version.minor, UINT32_MAX);
	assert_false(f.contradicts);
	f = read_head(P("Version=7.8, Version=9.9"));
	assert_true(f.contradicts);
	assert_int_equal(f.version.major, 7);
	f = read_head(P("Version=7.8x"));
	assert_true(f.has_version && f.contradicts);
	assert_int_equal(f.version.major, 0);
	f = read_head(EX(MIN("2.0x") ", " MAX("1.23")));
	assert_true(f.has_ex && f.has_min && f.has_max);
	assert_int_equal(f.min_info.major, 0);
	assert_int_equal(f.max_info.minor, 23);
	f = read_head("Accept: x\n");
	assert_true(says_nothing(&f));
}

static void
check_text(const struct buf *b, const char *want)
{
	assert_int_equal(buf_error(b), 0);
	if (b->len != strlen(want) ||
		(b->len > 0 && memcmp(b->data, want, b->len) != 0))
		fail_msg("[%.*s], not [%s]", (int)b->len,
			b->len > 0 ? (const char *)b->data : "", want);
}

static void
test_put_encoded(void **state)
{
	static const struct {
		const char *head;
		uint64_t length;
		const char *text;
	} rows[] = {
		{ACCEPT P("Version=1.0"), 102400,
			"X-P2P-PeerDist: Version=1.0, "
			"ContentLength=102400\r\n"},
		{ACCEPT P("Version=1.1"), 184946,
			"X-P2P-PeerDist: Version=1.1, "
			"ContentLength=184946\r\n"},
		{ACCEPT P("Version=1.1") EX_BOTH, 0,
			"X-P2P-PeerDist: Version=1.1, ContentLength=0\r\n"},
		{ACCEPT P("Version=1.0") EX_BOTH, UINT64_MAX,
			"X-P2P-PeerDist: Version=1.0, "
			"ContentLength=18446744073709551615\r\n"},
		{ACCEPT P("Version=01.01"), 1,
			"X-P2P-PeerDist: Version=1.1, ContentLength=1\r\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pccrtp_fields f = read_head(rows[i].head);
		struct buf b;

		buf_init(&b, 1000);
		pccrtp_put_encoded(&b, &f, rows[i].length);
		check_text(&b, rows[i].text);
		buf_done(&b);
	}
}

static void
test_put_make_hash(void **state)
{
#define ASKS \
	"X-P2P-PeerDist: Version=1.1\r\n" \
	"X-P2P-PeerDistEx: MakeHashRequest=true\r\n"
	static const struct {
		const char *head;
		const char *text;
	} rows[] = {
		{ACCEPT P("Version=1.1"), ASKS},
		{ACCEPT P("Version=1.1") EX_BOTH, ASKS},
		{ACCEPT P("Version=1.1") EX("HashRequest=false"), ASKS},
		/* Knows nothing of hash requests. */
		{ACCEPT P("Version=1.0"), ""},
		{ACCEPT P("Version=1.0") EX_BOTH, ""},
		/* Is one: it would come again and again. */
		{ACCEPT P("Version=1.1") EX("HashRequest=true"), ""},
		{P("Version=1.1") EX("HashRequest=true"), ""},
		/* Does not understand. */
		{P("Version=1.1") EX_BOTH, ""},
		{"Accept-Encoding: peerdist;q=0\n" P("Version=1.1"), ""},
		{ACCEPT P("Version=1.2") EX_BOTH, ""},
		{ACCEPT P("Version=999.999"), ""},
		{ACCEPT P("Version=1.1, Version=1.0"), ""},
		{ACCEPT P("Version=1.1, MissingDataRequest=true"), ""},
		{ACCEPT P("Version=1.1") EX(MIN("900.0") ", " MAX("999.0")),
			""},
		{"", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pccrtp_fields f = read_head(rows[i].head);
		struct buf b;

		buf_init(&b, 1000);
		pccrtp_put_make_hash(&b, &f);
		check_text(&b, rows[i].text);
		buf_done(&b);
	}
}

static void
test_put_without_room(void **state)
{
	struct pccrtp_fields f = read_head(ACCEPT P("Version=1.1"));
	struct buf b;

	buf_init(&b, 10);
	pccrtp_put_encoded(&b, &f, 5);
	assert_int_equal(buf_error(&b), -EMSGSIZE);
	buf_reset(&b);
	pccrtp_put_make_hash(&b, &f);
	assert_int_equal(buf_error(&b), -EMSGSIZE);
	buf_done(&b);
}

static void
test_nul_is_no_end(void **state)
{
	struct pccrtp_fields f = {0};

	pccrtp_field(&f, "Accept-Encoding", 15, "peerdist\0", 9);
	pccrtp_field(&f, "X-P2P-PeerDist\0x", 16, "Version=1.0", 11);
	assert_true(says_nothing(&f));
	pccrtp_field(&f, "X-P2P-PeerDist", 14, "Version=1.0\0", 12);
	assert_true(f.contradicts);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept_encoding),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_refused_in_another_field),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_repeated_versions),
		cmocka_unit_test(test_missing_data),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_bounds_of_several_fields),
		cmocka_unit_test(test_hash_request),
		cmocka_unit_test(test_real_requests),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_put_encoded),
		cmocka_unit_test(test_put_make_hash),
		cmocka_unit_test(test_put_without_room),
		cmocka_unit_test(test_nul_is_no_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
