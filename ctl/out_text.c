/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/macros.h"
#include "ctl/out.h"

#define COLUMNS_MAX 16
#define CELL_MAX    160 /* 64 bytes in hexadecimal, and some */
#define BAR_WIDTH   30

static enum out_color color = OUT_COLOR_AUTO;

void
out_set_color(enum out_color c)
{
	color = c;
}

static bool
use_color(void)
{
	if (color != OUT_COLOR_AUTO)
		return color == OUT_COLOR_ALWAYS;
	return isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
}

void
out_heading(const char *text)
{
	if (use_color())
		printf("\033[1m%s\033[0m\n", text);
	else
		printf("%s\n", text);
}

/* Control characters, the C1 ones in their UTF-8 form too, become \xNN. */
void
out_clean(char *dst, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;
		bool c1 = c == 0xc2 && ((unsigned char)text[1] & 0xe0) == 0x80;

		if (c < 0x20 || c == 0x7f || c1)
			n += (size_t)sprintf(dst + n, "\\x%02x", c);
		else
			dst[n++] = (char)c;
	}
	dst[n] = '\0';
}

void
out_string(const char *text)
{
	char clean_text[4096];

	out_clean(clean_text, sizeof(clean_text), text);
	fputs(clean_text, stdout);
}

void
out_padded(const char *text, int width)
{
	char clean_text[4096];

	out_clean(clean_text, sizeof(clean_text), text != NULL ? text : "-");
	printf("%-*s", width, clean_text);
}

void
out_bar(const char *title, uint64_t used, uint64_t max)
{
	double part = max > 0 ? (double)used / (double)max : 0;
	int filled = (int)(MIN_OF(part, 1.0) * BAR_WIDTH + 0.5);
	char text[32];

	out_format_bytes(text, sizeof(text), used);
	if (max == 0) {
		printf("%-11s %s, no limit\n", title, text);
		return;
	}
	printf("%-11s [", title);
	for (int i = 0; i < BAR_WIDTH; i++)
		putchar(i < filled ? '#' : '.');
	printf("] %.1f %%  %s of ", 100 * part, text);
	out_format_bytes(text, sizeof(text), max);
	printf("%s\n", text);
}

static bool
ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

void
out_format_bytes(char *dst, size_t size, uint64_t n)
{
	static const char units[] = "KMGTPE";
	double v = (double)n;
	int unit = -1;

	for (; v >= 1024 && unit < 5; unit++)
		v /= 1024;
	if (unit < 0)
		snprintf(dst, size, "%" PRIu64 " B", n);
	else
		snprintf(dst, size, "%.1f %ciB", v, units[unit]);
}

void
out_format_ms(char *dst, size_t size, uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (ms < 10000)
		snprintf(dst, size, "%" PRIu64 ".%03u s", s,
			(unsigned)(ms % 1000));
	else if (s < 3600)
		snprintf(dst, size, "%" PRIu64 "m %02us", s / 60,
			(unsigned)(s % 60));
	else if (s < 48 * 3600)
		snprintf(dst, size, "%" PRIu64 "h %02um", s / 3600,
			(unsigned)(s / 60 % 60));
	else
		snprintf(dst, size, "%" PRIu64 "d %02uh", s / 86400,
			(unsigned)(s / 3600 % 24));
}

static void
format_integer(char *dst, size_t size, const char *key, uint64_t n)
{
	if (ends_with(key, "_ms"))
		out_format_ms(dst, size, n);
	else if (strstr(key, "bytes") != NULL || strcmp(key, "size") == 0)
		out_format_bytes(dst, size, n);
	else
		snprintf(dst, size, "%" PRIu64, n);
}

/* A cell of one line. */
static void
format_value(char *dst, size_t size, const char *key, const json_t *v)
{
	if (v == NULL) {
		snprintf(dst, size, "-");
		return;
	}
	switch (json_typeof(v)) {
	case JSON_STRING:
		out_clean(dst, size, json_string_value(v));
		break;
	case JSON_INTEGER:
		format_integer(dst, size, key, (uint64_t)json_integer_value(v));
		break;
	case JSON_REAL:
		snprintf(dst, size, "%g", json_real_value(v));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		snprintf(dst, size, "%s", json_is_true(v) ? "yes" : "no");
		break;
	default:
		snprintf(dst, size, "-");
	}
}

/* An array of plain values in one line. */
static void
print_plain_array(const char *key, const json_t *array)
{
	const char *blank = "";
	const json_t *v;
	size_t i;

	if (json_array_size(array) == 0)
		fputs("-", stdout);
	json_array_foreach(array, i, v)
	{
		fputs(blank, stdout);
		out_text(key, v);
		blank = " ";
	}
}

void
out_text(const char *key, const json_t *value)
{
	char cell[4096];

	if (value == NULL) {
		fputs("-", stdout);
		return;
	}
	if (json_is_array(value)) {
		print_plain_array(key, value);
		return;
	}
	format_value(cell, sizeof(cell), key, value);
	fputs(cell, stdout);
}

/* "age_ms" is "age": the unit stands beside the value. */
static void
title_of(char *dst, size_t size, const char *key)
{
	out_clean(dst, size, key);
	if (ends_with(dst, "_ms"))
		dst[strlen(dst) - 3] = '\0';
	for (char *p = dst; *p != '\0'; p++)
		if (*p == '_')
			*p = ' ';
}

struct column {
	const char *key;
	char title[CELL_MAX];
	size_t width;
};

static struct column *
find_column(struct column *columns, size_t n, const char *key)
{
	for (size_t c = 0; c < n; c++)
		if (strcmp(columns[c].key, key) == 0)
			return &columns[c];
	return NULL;
}

/* Members that only some rows have stand behind those of the first. */
static size_t
find_columns(const json_t *array, struct column *columns)
{
	const json_t *row, *value;
	const char *key;
	size_t n = 0, i;

	json_array_foreach(array, i, row)
	{
		json_object_foreach((json_t *)row, key, value)
		{
			struct column *c = find_column(columns, n, key);
			char cell[CELL_MAX];

			if (c == NULL) {
				if (n == COLUMNS_MAX || json_is_object(value))
					continue;
				c = &columns[n++];
				c->key = key;
				title_of(c->title, CELL_MAX, key);
				c->width = strlen(c->title);
			}
			format_value(cell, sizeof(cell), key, value);
			c->width = MAX_OF(c->width, strlen(cell));
		}
	}
	return n;
}

static void
print_row(const struct column *columns, size_t n, const json_t *row)
{
	char cell[CELL_MAX];

	for (size_t c = 0; c < n; c++) {
		const char *key = columns[c].key;
		const json_t *v = json_object_get(row, key);
		int width = (int)columns[c].width;

		format_value(cell, sizeof(cell), key, v);
		if (c + 1 == n && !json_is_integer(v))
			width = 0;
		printf(json_is_integer(v) ? "%s%*s" : "%s%-*s",
			c > 0 ? "  " : "", width, cell);
	}
	printf("\n");
}

static void
print_head(const struct column *columns, size_t n)
{
	char line[COLUMNS_MAX * (CELL_MAX + 2) + 1];
	size_t len = 0;

	line[0] = '\0';
	for (size_t c = 0; c < n; c++)
		len += (size_t)snprintf(line + len, sizeof(line) - len,
			"%s%-*s", c > 0 ? "  " : "",
			c + 1 < n ? (int)columns[c].width : 0,
			columns[c].title);
	out_heading(line);
}

void
out_table(const json_t *array, const char *when_empty)
{
	struct column columns[COLUMNS_MAX];
	const json_t *row;
	size_t n, i;

	if (json_array_size(array) == 0) {
		out_note("%s\n", when_empty);
		return;
	}
	n = find_columns(array, columns);
	print_head(columns, n);
	json_array_foreach(array, i, row) print_row(columns, n, row);
}

static bool
is_nested(const json_t *v)
{
	return json_is_object(v) ||
		(json_is_array(v) && json_is_object(json_array_get(v, 0)));
}

static void
print_member(const char *key, const json_t *value)
{
	char title[CELL_MAX];

	title_of(title, sizeof(title), key);
	printf("%-28s ", title);
	out_text(key, value);
	printf("\n");
}

void
out_object(const json_t *object)
{
	char title[CELL_MAX];
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		if (!is_nested(value) && strcmp(key, "v") != 0)
			print_member(key, value);
	}
	json_object_foreach((json_t *)object, key, value)
	{
		if (!is_nested(value))
			continue;
		title_of(title, sizeof(title), key);
		printf("\n");
		out_heading(title);
		if (json_is_object(value))
			out_object(value);
		else
			out_table(value, "none");
	}
}

void
out_note(const char *fmt, ...)
{
	va_list args;

	if (arg_quiet || arg_json)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
}

void
out_warn(const char *fmt, ...)
{
	va_list args;

	if (arg_quiet)
		return;
	va_start(args, fmt);
	fprintf(stderr, "peerdistctl: ");
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	va_end(args);
}
