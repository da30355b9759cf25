/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <locale.h>
#include <stdio.h>
#include <time.h>

#include "common/macros.h"
#include "daemon/net/http_date.h"

#define NOW  INT64_C(1780000000) /* in 2026 */
#define LAST INT64_C(253402300799)

static void
expect_format(int64_t when_s, const char *want)
{
	char text[HTTP_DATE_TEXT + 2];

	memset(text, '#', sizeof(text));
	http_date_format(text, when_s);
	assert_string_equal(text, want);
	assert_memory_equal(text + HTTP_DATE_TEXT, "##", 2);
}

/* false: it is none. */
static bool
parse(const char *text, int64_t now_s, int64_t *ret)
{
	size_t len = strlen(text);
	char *copy = malloc(len + 1);
	bool ok;

	/* without anything behind it */
	memcpy(copy, text, len);
	*ret = -12345;
	ok = http_date_parse(copy, len, now_s, ret);
	if (!ok)
		assert_int_equal(*ret, -12345);
	free(copy);
	return ok;
}

static void
expect_parse(const char *text, int64_t now_s, int64_t want)
{
	int64_t got;

	if (!parse(text, now_s, &got))
		fail_msg("\"%s\" is refused", text);
	if (got != want)
		fail_msg("\"%s\": %lld instead of %lld", text, (long long)got,
			(long long)want);
}

static void
test_examples(void **state)
{
	expect_format(784111777, "Sun, 06 Nov 1994 08:49:37 GMT");
	expect_format(0, "Thu, 01 Jan 1970 00:00:00 GMT");
	expect_format(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
	expect_format(1709251199, "Thu, 29 Feb 2024 23:59:59 GMT");
	expect_format(4107542399, "Sun, 28 Feb 2100 23:59:59 GMT");
	expect_format(4107542400, "Mon, 01 Mar 2100 00:00:00 GMT");
	expect_format(LAST, "Fri, 31 Dec 9999 23:59:59 GMT");
	/* what cannot be said is cut */
	expect_format(LAST + 1, "Fri, 31 Dec 9999 23:59:59 GMT");
	expect_format(INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
	expect_format(-1, "Thu, 01 Jan 1970 00:00:00 GMT");
	expect_format(INT64_MIN, "Thu, 01 Jan 1970 00:00:00 GMT");
	expect_parse("Sun, 06 Nov 1994 08:49:37 GMT", NOW, 784111777);
	expect_parse("Sunday, 06-Nov-94 08:49:37 GMT", NOW, 784111777);
	expect_parse("Sun Nov  6 08:49:37 1994", NOW, 784111777);
	expect_parse("Wed Nov 16 08:49:37 1994", NOW, 784975777);
}

static const char days[7][10] = {"Sunday", "Monday", "Tuesday", "Wednesday",
	"Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* In three forms, with the C library's calendar. */
static void
try_time(int64_t when_s)
{
	char text[128], clock[64];
	time_t t = (time_t)when_s;
	struct tm tm;
	int year;

	assert_non_null(gmtime_r(&t, &tm));
	year = tm.tm_year + 1900;
	snprintf(clock, sizeof(clock), "%02d:%02d:%02d", tm.tm_hour, tm.tm_min,
		tm.tm_sec);
	snprintf(text, sizeof(text), "%.3s, %02d %s %04d %s GMT",
		days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], year, clock);
	expect_parse(text, NOW, when_s);
	if (when_s >= 0)
		expect_format(when_s, text);
	snprintf(text, sizeof(text), "%.3s %s %2d %s %04d", days[tm.tm_wday],
		months[tm.tm_mon], tm.tm_mday, clock, year);
	expect_parse(text, NOW, when_s);
	/* seen from the same time, the century is known */
	snprintf(text, sizeof(text), "%s, %02d-%s-%02d %s GMT",
		days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], year % 100,
		clock);
	if (when_s >= 0)
		expect_parse(text, when_s, when_s);
}

/* The first and the last second of each day of 800 years, and some in each
 * month of all years. */
static void
test_calendar(void **state)
{
	uint64_t x = 1;

	for (int64_t day = 0; day < 800 * 366; day += 7) {
		try_time(day * 86400);
		try_time(day * 86400 + 86399);
	}
	/* from the year 0 */
	for (int64_t at = INT64_C(-62167219200); at <= LAST; at += 2629746) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		try_time(MIN_OF(at + (int64_t)(x >> 44), LAST));
	}
	try_time(LAST);
}

/* Two digits: the latest such year that is not more than 50 years ahead. */
static void
test_century(void **state)
{
	static const struct {
		const char *text;
		const char *now;
		const char *want;
	} years[] = {
		{"Friday, 06-Nov-26 08:49:37 GMT",
			"Wed, 01 Jan 2025 00:00:00 GMT",
			"Fri, 06 Nov 2026 08:49:37 GMT"},
		{"Friday, 01-Jan-75 00:00:00 GMT",
			"Wed, 01 Jan 2025 00:00:00 GMT",
			"Tue, 01 Jan 2075 00:00:00 GMT"},
		{"Friday, 01-Jan-75 00:00:01 GMT",
			"Wed, 01 Jan 2025 00:00:00 GMT",
			"Wed, 01 Jan 1975 00:00:01 GMT"},
		{"Friday, 02-Jan-75 00:00:00 GMT",
			"Wed, 01 Jan 2025 00:00:00 GMT",
			"Thu, 02 Jan 1975 00:00:00 GMT"},
		{"Friday, 31-Dec-74 23:59:59 GMT",
			"Wed, 01 Jan 2025 00:00:00 GMT",
			"Mon, 31 Dec 2074 23:59:59 GMT"},
		{"Friday, 31-Dec-99 23:59:59 GMT",
			"Wed, 01 Jan 2025 00:00:00 GMT",
			"Fri, 31 Dec 1999 23:59:59 GMT"},
		{"Friday, 01-Jan-00 00:00:00 GMT",
			"Wed, 01 Jan 2025 00:00:00 GMT",
			"Sat, 01 Jan 2000 00:00:00 GMT"},
		/* the next century is near */
		{"Friday, 06-Nov-05 08:49:37 GMT",
			"Wed, 01 Jan 2098 00:00:00 GMT",
			"Fri, 06 Nov 2105 08:49:37 GMT"},
		/* there is no such day in 2100 */
		{"Sunday, 29-Feb-00 00:00:00 GMT",
			"Wed, 01 Jan 2025 00:00:00 GMT",
			"Tue, 29 Feb 2000 00:00:00 GMT"},
		{"Sunday, 29-Feb-00 00:00:00 GMT",
			"Wed, 01 Jan 2080 00:00:00 GMT", NULL},
		/* half a century from a day that not all years have */
		{"Sunday, 01-Mar-74 00:00:00 GMT",
			"Thu, 29 Feb 2024 00:00:00 GMT",
			"Thu, 01 Mar 2074 00:00:00 GMT"},
		{"Sunday, 02-Mar-74 00:00:00 GMT",
			"Thu, 29 Feb 2024 00:00:00 GMT",
			"Sat, 02 Mar 1974 00:00:00 GMT"},
	};

	int64_t now, got, want;

	for (size_t i = 0; i < ARRAY_LEN(years); i++) {
		assert_true(parse(years[i].now, NOW, &now));
		if (years[i].want == NULL) {
			assert_false(parse(years[i].text, now, &got));
			continue;
		}
		assert_true(parse(years[i].want, NOW, &want));
		expect_parse(years[i].text, now, want);
	}
	/* clocks that are wrong */
	expect_parse("Sunday, 06-Nov-94 08:49:37 GMT", 0, 784111777);
	expect_parse("Sunday, 06-Nov-94 08:49:37 GMT", INT64_MIN, 784111777);
	/* whoever lives at the end of time has no later century */
	expect_parse("Friday, 31-Dec-99 23:59:59 GMT", INT64_MAX, LAST);
	expect_parse("Friday, 31-Dec-99 23:59:59 GMT", LAST, LAST);
	assert_true(parse("Thu, 01 Jan 9920 00:00:00 GMT", NOW, &want));
	expect_parse("Thursday, 01-Jan-20 00:00:00 GMT", LAST, want);
}

static void
test_accepted(void **state)
{
	/* a leap second is the next one's beginning */
	expect_parse("Sat, 31 Dec 2016 23:59:60 GMT", NOW, 1483228800);
	/* nobody counts the days of the week */
	expect_parse("Mon, 06 Nov 1994 08:49:37 GMT", NOW, 784111777);
	expect_parse("Monday, 06-Nov-94 08:49:37 GMT", NOW, 784111777);
	/* from before there were computers */
	expect_parse("Mon, 01 Jan 1900 00:00:00 GMT", NOW, -2208988800);
	expect_parse("Wed, 31 Dec 1969 23:59:59 GMT", NOW, -1);
	/* asctime() without its blank */
	expect_parse("Sun Nov 06 08:49:37 1994", NOW, 784111777);
}

static const char *const refused[] = {
	"",
	" ",
	"0",
	"784111777",
	"Sun",
	"Sun,",
	"now",
	"Sun, 06 Nov 1994 08:49:37",
	"Sun, 06 Nov 1994 08:49:37 ",
	"Sun, 06 Nov 1994 08:49:37 GM",
	"Sun, 06 Nov 1994 08:49:37 GMT ",
	" Sun, 06 Nov 1994 08:49:37 GMT",
	"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
	"Sun, 06 Nov 1994 08:49:37 UTC",
	"Sun, 06 Nov 1994 08:49:37 gmt",
	"Sun, 06 Nov 1994 08:49:37 +0000",
	"Sun, 06 Nov 1994 08:49:37GMT",
	"Sun,06 Nov 1994 08:49:37 GMT",
	"Sun  06 Nov 1994 08:49:37 GMT",
	"Sun, 6 Nov 1994 08:49:37 GMT",
	"Sun,  6 Nov 1994 08:49:37 GMT",
	"Sun, 006 Nov 1994 08:49:37 GMT",
	"Sun, 06 nov 1994 08:49:37 GMT",
	"sun, 06 Nov 1994 08:49:37 GMT",
	"Sonntag, 06 Nov 1994 08:49:37 GMT",
	"Son, 06 Nov 1994 08:49:37 GMT",
	"Sun, 06 Nou 1994 08:49:37 GMT",
	"Sun, 06 11 1994 08:49:37 GMT",
	"Sun, 06-Nov-1994 08:49:37 GMT",
	"Sun, 06 Nov 94 08:49:37 GMT",
	"Sun, 06 Nov 19940 08:49:37 GMT",
	"Sun, 06 Nov 01994 08:49:37 GMT",
	"Sun, 06 Nov -994 08:49:37 GMT",
	"Sun, 06 Nov +994 08:49:37 GMT",
	"Sun, 06 Nov 0x94 08:49:37 GMT",
	"Sun, 06 Nov 1994 8:49:37 GMT",
	"Sun, 06 Nov 1994 08:49 GMT",
	"Sun, 06 Nov 1994 08.49.37 GMT",
	"Sun, 06 Nov 1994 24:00:00 GMT",
	"Sun, 06 Nov 1994 08:60:37 GMT",
	"Sun, 06 Nov 1994 08:49:61 GMT",
	"Sun, 00 Nov 1994 08:49:37 GMT",
	"Sun, 31 Nov 1994 08:49:37 GMT",
	"Sun, 32 Dec 1994 08:49:37 GMT",
	"Sun, 29 Feb 1994 08:49:37 GMT",
	"Sun, 29 Feb 1900 08:49:37 GMT",
	"Sun, 30 Feb 2000 08:49:37 GMT",
	"Sunday, 06 Nov 94 08:49:37 GMT",
	"Sunday, 06-Nov-1994 08:49:37 GMT",
	"Sun, 06-Nov-94 08:49:37 GMT",
	"Sunday 06-Nov-94 08:49:37 GMT",
	"Sunday, 31-Nov-94 08:49:37 GMT",
	"Sunday, 06-Nov-94 25:49:37 GMT",
	"Sun Nov 6 08:49:37 1994",
	"Sun Nov   6 08:49:37 1994",
	"Sun Nov  0 08:49:37 1994",
	"Sun Nov 31 08:49:37 1994",
	"Sun Nov  6 08:49:37 94",
	"Sun Nov  6 08:49:37 1994 GMT",
	"Sun Nov  6 08:49:37 1994\n",
	"Sunday Nov  6 08:49:37 1994",
	"1994-11-06T08:49:37Z",
};

static void
test_refused(void **state)
{
	int64_t got;

	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (parse(refused[i], NOW, &got))
			fail_msg("\"%s\" is taken for a date", refused[i]);
	/* a NUL is a byte like others */
	assert_false(http_date_parse(
		"Sun, 06 Nov 1994 08:49:37 GMT", 30, NOW, &got));
	assert_false(http_date_parse(
		"Sun\0 06 Nov 1994 08:49:37 GMT", 29, NOW, &got));
}

/* Any byte of a date changed to any other: another date, or none. */
static void
test_changed(void **state)
{
	static const char *const dates[] = {
		"Sun, 06 Nov 1994 08:49:37 GMT",
		"Wednesday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
	};

	for (size_t i = 0; i < ARRAY_LEN(dates); i++) {
		for (size_t at = 0; at < strlen(dates[i]); at++) {
			char text[64], again[HTTP_DATE_TEXT];
			int64_t got, same;

			strcpy(text, dates[i]);
			for (int byte = 0; byte < 256; byte++) {
				text[at] = (char)byte;
				if (!http_date_parse(text, strlen(dates[i]),
					    NOW, &got) ||
					got < 0)
					continue;
				http_date_format(again, got);
				expect_parse(again, NOW, got);
			}
			/* cut off */
			assert_false(http_date_parse(dates[i], at, NOW, &same));
		}
	}
}

/* Time zones, be it one with leap seconds, and languages. */
static void
test_elsewhere(void **state)
{
	static const char *const zones[] = {
		"America/New_York", "right/UTC", "XYZ-14:30"};

	setlocale(LC_ALL, "");
	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		setenv("TZ", zones[i], 1);
		tzset();
		test_examples(state);
		test_accepted(state);
	}
	unsetenv("TZ");
	tzset();
	setlocale(LC_ALL, "C");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_century),
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
