/* SPDX-License-Identifier: BSD-2-Clause */
#include "get/report.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/macros.h"

#define DRAW_US     (100 * US_PER_MS)
#define COLUMNS     80u
#define COLUMNS_MAX 200u
#define BAR_LEAST   10u
#define SIZE_TEXT   24

static const char *const source_keys[_REPORT_SOURCE_MAX] = {
	[REPORT_LOCAL] = "local_cache",
	[REPORT_PEERS] = "peers",
	[REPORT_ORIGIN] = "origin",
};
static const char source_marks[_REPORT_SOURCE_MAX] = {
	[REPORT_LOCAL] = 'c',
	[REPORT_PEERS] = 'p',
	[REPORT_ORIGIN] = 'o',
};

static void
size_text(char text[SIZE_TEXT], double bytes)
{
	static const char units[] = " KMGT";
	size_t unit = 0;

	for (; bytes >= 1000 && unit < sizeof(units) - 2; unit++)
		bytes /= 1024;
	if (unit == 0)
		snprintf(text, SIZE_TEXT, "%.0f B", bytes);
	else
		snprintf(text, SIZE_TEXT, "%.*f %ciB", bytes < 10 ? 2 : 1,
			bytes, units[unit]);
}

static uint64_t
got(const struct report *r)
{
	uint64_t sum = r->kept;

	for (int i = 0; i < _REPORT_SOURCE_MAX; i++)
		sum += r->by[i];
	return sum;
}

static double
seconds(const struct report *r)
{
	uint64_t end = r->ended_us > 0 ? r->ended_us : clock_now_us();

	return (double)(end - r->begun_us) / US_PER_S;
}

static double
rate(const struct report *r)
{
	double s = seconds(r);

	return s > 0 ? (double)(got(r) - r->kept) / s : 0;
}

void
report_begin(struct report *r)
{
	r->begun_us = clock_now_us();
	r->bar = !r->quiet && isatty(STDERR_FILENO);
	r->total = UINT64_MAX;
}

static void
wipe(struct report *r)
{
	if (r->drawn > 0)
		fprintf(stderr, "\r%*s\r", (int)r->drawn, "");
	r->drawn = 0;
}

static unsigned
columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return COLUMNS;
	return MIN_OF(size.ws_col, COLUMNS_MAX);
}

/* "[cccppoo      ]", as long as room allows. */
static void
bar_text(const struct report *r, char *text, unsigned width)
{
	unsigned at = 0;

	memset(text, ' ', width);
	text[width] = '\0';
	for (int i = -1; i < _REPORT_SOURCE_MAX; i++) {
		uint64_t bytes = i < 0 ? r->kept : r->by[i];
		unsigned n =
			(unsigned)((double)bytes / (double)r->total * width +
				0.5);

		for (; n > 0 && at < width; n--)
			text[at++] = i < 0 ? '=' : source_marks[i];
	}
}

static void
draw(struct report *r)
{
	char have[SIZE_TEXT], all[SIZE_TEXT], speed[SIZE_TEXT];
	char line[COLUMNS_MAX + 128], bar[COLUMNS_MAX + 1] = "";
	unsigned room = columns();
	int n;

	size_text(have, (double)got(r));
	size_text(speed, rate(r));
	if (r->total == UINT64_MAX || r->total == 0) {
		n = snprintf(line, sizeof(line), "%s  %s/s", have, speed);
	} else {
		size_text(all, (double)r->total);
		n = snprintf(line, sizeof(line), "%3.0f%%  %s of %s  %s/s",
			(double)got(r) / (double)r->total * 100, have, all,
			speed);
		if ((unsigned)n + BAR_LEAST + 5 < room)
			bar_text(r, bar,
				MIN_OF(room - (unsigned)n - 5, COLUMNS_MAX));
	}
	if (n < 0)
		return;
	wipe(r);
	if (bar[0] != '\0')
		r->drawn = (unsigned)fprintf(stderr, "[%s] %s", bar, line);
	else
		r->drawn =
			(unsigned)fprintf(stderr, "%.*s", (int)room - 1, line);
	fflush(stderr);
}

void
report_draw(struct report *r)
{
	uint64_t now;

	if (!r->bar || r->ended_us > 0)
		return;
	now = clock_now_us();
	if (now - r->drawn_us < DRAW_US)
		return;
	r->drawn_us = now;
	draw(r);
}

void
report_say(struct report *r, const char *fmt, ...)
{
	va_list args;

	if (r->quiet)
		return;
	wipe(r);
	fputs("peerdist-get: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

void
report_forget(struct report *r)
{
	memset(r->by, 0, sizeof(r->by));
	r->kept = 0;
	r->total = UINT64_MAX;
	r->encoded = false;
	r->version = 0;
	r->ended_us = 0;
}

void
report_complete(struct report *r)
{
	if (r->ended_us == 0)
		r->ended_us = clock_now_us();
	wipe(r);
}

static json_t *
sources(const struct report *r)
{
	json_t *doc = json_object();

	for (int i = 0; i < _REPORT_SOURCE_MAX; i++)
		json_object_set_new(doc, source_keys[i],
			json_integer((json_int_t)r->by[i]));
	if (r->kept > 0)
		json_object_set_new(
			doc, "partial", json_integer((json_int_t)r->kept));
	return doc;
}

/* Names of files are any bytes. */
static json_t *
text_json(const char *text)
{
	json_t *doc = text != NULL ? json_string(text) : NULL;
	AUTO_FREE char *ascii = NULL;

	if (doc != NULL || text == NULL)
		return doc;
	ascii = strdup(text);
	for (char *c = ascii; c != NULL && *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return ascii != NULL ? json_string(ascii) : NULL;
}

static json_t *
error_part(const struct report *r)
{
	static const char *const kinds[] = {
		[REPORT_FAILED] = "failed",
		[REPORT_USAGE] = "usage",
		[REPORT_NETWORK] = "network",
		[REPORT_FILE] = "file",
	};

	if (r->exit == REPORT_OK)
		return NULL;
	return json_pack("{s:s, s:o}", "kind", kinds[r->exit], "message",
		text_json(r->message));
}

static bool
print_json(const struct report *r)
{
	json_t *doc = json_pack(
		"{s:i, s:o*, s:o*, s:I, s:o, s:f, s:{s:b, s:b, s:i, s:i},"
		" s:i, s:I, s:o*}",
		"v", 1, "url", text_json(r->url), "file", text_json(r->file),
		"bytes", (json_int_t)got(r), "sources", sources(r), "seconds",
		seconds(r), "peerdist", "service", (int)r->has_service,
		"encoded", (int)r->encoded, "version", r->version,
		"hash_requests", (int)r->hash_requests, "restarts",
		(int)r->restarts, "given_to_cache", (json_int_t)r->given,
		"error", error_part(r));
	bool ok = doc != NULL &&
		json_dumpf(doc, stdout,
			JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0;

	json_decref(doc);
	return ok && putchar('\n') != EOF && fflush(stdout) == 0;
}

static void
print_part(const char *before, uint64_t bytes, const char *after)
{
	char text[SIZE_TEXT];

	size_text(text, (double)bytes);
	if (bytes > 0)
		fprintf(stderr, "%s%s %s", before, text, after);
}

static void
print_line(struct report *r)
{
	static const char *const places[_REPORT_SOURCE_MAX] = {
		[REPORT_LOCAL] = "from the local cache",
		[REPORT_PEERS] = "from the branch",
		[REPORT_ORIGIN] = "from the origin",
	};
	char text[SIZE_TEXT];
	const char *before = ": ";

	size_text(text, (double)got(r));
	fprintf(stderr, "%s: %s", r->file, text);
	for (int i = 0; i < _REPORT_SOURCE_MAX; i++) {
		print_part(before, r->by[i], places[i]);
		if (r->by[i] > 0)
			before = ", ";
	}
	print_part(before, r->kept, "from before");
	size_text(text, rate(r));
	fprintf(stderr, "; %.1f s, %s/s", seconds(r), text);
	print_part("; ", r->given, "given to the cache");
	fputc('\n', stderr);
}

bool
report_end(struct report *r)
{
	wipe(r);
	if (r->exit != REPORT_OK)
		fprintf(stderr, "peerdist-get: %s\n", r->message);
	else if (!r->quiet && !r->json)
		print_line(r);
	return !r->json || print_json(r);
}
