/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calendar is counted here: gmtime() looks at TZ (which may be one with
 * leap seconds), strftime() and strptime() at the locale.
 */
#include "daemon/net/http_date.h"

#include <string.h>

#include "common/macros.h"

#define DAY_S       86400
#define YEAR_MAX    9999
#define MAX_S       INT64_C(253402300799) /* the end of that year */
#define DAYS_OF_400 146097
/* From the first day of the year 0 to that of 1970. */
#define DAYS_BEFORE_1970 719528

struct date {
	int weekday; /* 0: Sunday */
	int day;     /* of the month, from 1 */
	int month;   /* from 0 */
	int year;
	int hour, minute, second;
};

static const char weekdays[7][10] = {"Sunday", "Monday", "Tuesday", "Wednesday",
	"Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static bool
is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int
month_days(int month, int year)
{
	static const int days[12] = {
		31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month] + (month == 1 && is_leap(year));
}

/* Since 1970, to the first day of the year.  Counted from 400 years earlier,
 * that the divisions are of positive numbers. */
static int64_t
days_before(int year)
{
	int64_t last = year + 400 - 1;

	return last * 365 + last / 4 - last / 100 + last / 400 + 366 -
		DAYS_OF_400 - DAYS_BEFORE_1970;
}

static int64_t
to_seconds(const struct date *d)
{
	int64_t days = days_before(d->year) + d->day - 1;

	for (int m = 0; m < d->month; m++)
		days += month_days(m, d->year);
	return days * DAY_S + d->hour * 3600 + d->minute * 60 + d->second;
}

static void
from_seconds(int64_t when_s, struct date *ret)
{
	int64_t days, left;

	when_s = MAX_OF(when_s, 0);
	when_s = MIN_OF(when_s, MAX_S);
	days = when_s / DAY_S;
	left = when_s % DAY_S;
	*ret = (struct date){
		.weekday = (int)((days + 4) % 7),
		.year = (int)(1970 + days * 400 / DAYS_OF_400),
		.hour = (int)(left / 3600),
		.minute = (int)(left / 60 % 60),
		.second = (int)(left % 60),
	};
	/* A good guess, but leap years are not spread evenly. */
	while (days_before(ret->year) > days)
		ret->year--;
	while (days_before(ret->year + 1) <= days)
		ret->year++;
	days -= days_before(ret->year);
	while (days >= month_days(ret->month, ret->year))
		days -= month_days(ret->month++, ret->year);
	ret->day = (int)days + 1;
}

/* Writing */

static char *
put_text(char *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

static char *
put_number(char *at, int n, int digits)
{
	for (int i = digits - 1; i >= 0; i--, n /= 10)
		at[i] = (char)('0' + n % 10);
	return at + digits;
}

void
http_date_format(char text[HTTP_DATE_TEXT], int64_t when_s)
{
	struct date d;

	from_seconds(when_s, &d);
	text = put_text(text, weekdays[d.weekday], 3);
	text = put_text(text, ", ", 2);
	text = put_number(text, d.day, 2);
	text = put_text(text, " ", 1);
	text = put_text(text, months[d.month], 3);
	text = put_text(text, " ", 1);
	text = put_number(text, d.year, 4);
	text = put_text(text, " ", 1);
	text = put_number(text, d.hour, 2);
	text = put_text(text, ":", 1);
	text = put_number(text, d.minute, 2);
	text = put_text(text, ":", 1);
	text = put_number(text, d.second, 2);
	put_text(text, " GMT", 5);
}

/* Reading */

struct text {
	const char *at;
	size_t left;
};

static bool
skip(struct text *t, const char *what, size_t len)
{
	if (t->left < len || memcmp(t->at, what, len) != 0)
		return false;
	t->at += len;
	t->left -= len;
	return true;
}

static bool
get_number(struct text *t, int digits, int *ret)
{
	*ret = 0;
	for (int i = 0; i < digits; i++) {
		if (t->left == 0 || *t->at < '0' || *t->at > '9')
			return false;
		*ret = *ret * 10 + *t->at++ - '0';
		t->left--;
	}
	return true;
}

/* Which day of the week it says is of no importance. */
static bool
skip_weekday(struct text *t, bool whole)
{
	for (size_t i = 0; i < ARRAY_LEN(weekdays); i++)
		if (skip(t, weekdays[i], whole ? strlen(weekdays[i]) : 3))
			return true;
	return false;
}

static bool
get_month(struct text *t, int *ret)
{
	for (*ret = 0; *ret < 12; (*ret)++)
		if (skip(t, months[*ret], 3))
			return true;
	return false;
}

/* What a letter of a form stands for. */
static bool
get_field(struct text *t, char letter, struct date *ret)
{
	switch (letter) {
	case 'a':
		return skip_weekday(t, false);
	case 'w':
		return skip_weekday(t, true);
	case 'd':
		return get_number(t, 2, &ret->day);
	case 'e': /* " 6" */
		return get_number(t, skip(t, " ", 1) ? 1 : 2, &ret->day);
	case 'b':
		return get_month(t, &ret->month);
	case 'y':
		return get_number(t, 4, &ret->year);
	case 't':
		return get_number(t, 2, &ret->year);
	case 'h':
		return get_number(t, 2, &ret->hour);
	case 'm':
		return get_number(t, 2, &ret->minute);
	case 's':
		return get_number(t, 2, &ret->second);
	default:
		return skip(t, &letter, 1);
	}
}

/* A second 60 may be a leap second, and is the next minute's first. */
static bool
is_date(const struct date *d)
{
	return d->day >= 1 && d->day <= month_days(d->month, d->year) &&
		d->hour < 24 && d->minute < 60 && d->second <= 60;
}

static bool
get_date(const char *form, struct text t, struct date *ret)
{
	*ret = (struct date){0};
	for (; *form != 0; form++)
		if (!get_field(&t, *form, ret))
			return false;
	return t.left == 0;
}

/* Of the years that end in these two digits, the last one that is not more than
 * 50 years away. */
static void
find_century(struct date *d, int64_t now_s)
{
	struct date limit;
	int digits = d->year;

	from_seconds(now_s, &limit);
	limit.year += 50;
	d->year = limit.year - limit.year % 100 + digits;
	while (d->year > YEAR_MAX || to_seconds(d) > to_seconds(&limit))
		d->year -= 100;
}

bool
http_date_parse(
	const char *text, size_t len, int64_t now_s, int64_t *ret_when_s)
{
	static const char *const forms[] = {
		"a, d b y h:m:s GMT", /* the preferred one */
		"w, d-b-t h:m:s GMT", /* RFC 850 */
		"a b e h:m:s y",      /* asctime() */
	};
	struct text t = {.at = text, .left = len};
	struct date d;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (!get_date(forms[i], t, &d))
			continue;
		if (i == 1)
			find_century(&d, now_s);
		if (!is_date(&d))
			return false;
		*ret_when_s = to_seconds(&d);
		return true;
	}
	return false;
}
