/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading settings
 *
 * inih splits the lines.  It gets them from read_line() below, because Debian's
 * build cuts what is longer than 200 bytes without a word and takes an indented
 * line for the continuation of the one before: here the first is an error, and
 * indentation means nothing.  The line number for messages comes from there,
 * too.
 *
 * Each value is checked when it is met.  A bad one is told and keeps what stood
 * before; later sources overwrite earlier ones, so the order of reading is the
 * order of precedence.  Only settings.conf is read last, when its folder is
 * known, and yields to what stands above it.
 */
#include "daemon/conf.h"

#include <dirent.h>
#include <ini.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "daemon/conf_value.h"

#define FILE_MAX (1024u * 1024u)

struct source {
	struct conf *conf;
	const char *name;
	const char *pos, *end;
	unsigned line;
	enum conf_source kind;
	conf_report_fn *report;
	void *ctx;
	int result; /* enum conf_failure or -errno: give up */
};

static void __attribute__((format(printf, 2, 3)))
source_report(const struct source *s, const char *fmt, ...)
{
	char origin[CONF_VALUE_MAX + 64], text[512];
	va_list args;

	if (s->report == NULL)
		return;
	if (s->line > 0)
		snprintf(origin, sizeof(origin), "%.*s:%u", CONF_VALUE_MAX + 32,
			s->name, s->line);
	else
		snprintf(origin, sizeof(origin), "%.*s", CONF_VALUE_MAX + 32,
			s->name);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	s->report(s->ctx, origin, text);
}

/* A value that was taken remembers where it came from. */
static int
remember_origin(struct source *s, const struct conf_row *row)
{
	struct conf_value *v = &s->conf->values[row - conf_table];
	char *origin;
	int n;

	n = s->line > 0 ? asprintf(&origin, "%s:%u", s->name, s->line)
			: asprintf(&origin, "%s", s->name);
	if (n < 0)
		return err_new(-ENOMEM);
	if (s->kind == CONF_FROM_POLICY && v->source == CONF_FROM_SET)
		source_report(s, "%s.%s is locked here; --set is ignored",
			row->section, row->name);
	free(v->origin);
	v->origin = origin;
	v->source = s->kind;
	return 0;
}

/* An administrators' group that was never made is no news. */
static bool
worth_telling(const struct conf_row *row, int r, const char *text)
{
	return r == CONF_VALUE_E_BAD || row->type != CONF_GROUP ||
		strcmp(text, row->default_text) != 0;
}

/* 0 taken, 1 told why not, -ENOMEM. */
static int
take_value(struct source *s, const char *section, const char *name,
	const char *text)
{
	const struct conf_row *row = conf_row_find(section, name);
	const char *why = "";
	bool append;
	int r;

	if (row == NULL) {
		source_report(s, "%.64s.%.64s: no such setting, ignored",
			section, name);
		return 1;
	}
	if (row->later) {
		source_report(s, "%s.%s: not in this release, ignored", section,
			name);
		return 0;
	}
	if (s->kind == CONF_FROM_STATE && !row->state) {
		source_report(
			s, "%s.%s: not for this file, ignored", section, name);
		return 1;
	}
	if (s->kind < s->conf->values[row - conf_table].source)
		return 0;
	append = s->conf->values[row - conf_table].source == s->kind;
	r = conf_value_set(s->conf, row, text, append, &why);
	if (r < 0)
		return err_pass(r);
	if (r != 0 && worth_telling(row, r, text))
		source_report(s, "%s.%s: \"%.*s\" %s%s", section, name,
			CONF_VALUE_MAX, text, why,
			r == CONF_VALUE_E_BAD ? ", ignored" : "");
	if (r == CONF_VALUE_E_BAD)
		return 1;
	return err_pass(remember_origin(s, row));
}

static int
on_value(void *ctx, const char *section, const char *name, const char *text)
{
	struct source *s = ctx;
	int r;

	if (s->result == 0) {
		r = take_value(s, section, name, text);
		if (r < 0)
			s->result = r;
	}
	return 1;
}

/* What inih would misunderstand is replaced by something harmless: a broken
 * section head by a section that does not exist, so that its keys are not
 * taken for those of the section before. */
static const char *
check_line(const struct source *s, const char *line, size_t *len)
{
	if (*len == 0 || line[0] == ';' || line[0] == '#')
		return line;
	if (line[0] == '[') {
		if (memchr(line, ']', *len) != NULL)
			return line;
		source_report(s, "section without ]");
		*len = 3;
		return "[?]";
	}
	if (memchr(line, '=', *len) != NULL || memchr(line, ':', *len) != NULL)
		return line;
	source_report(s, "neither [Section] nor Key=VALUE, ignored");
	*len = 0;
	return "";
}

/* As fgets(), for inih. */
static char *
read_line(char *dst, int size, void *stream)
{
	struct source *s = stream;
	const char *line = s->pos, *newline;
	size_t len;

	if (s->pos == s->end || s->result != 0)
		return NULL;
	newline = memchr(line, '\n', (size_t)(s->end - line));
	len = (size_t)((newline != NULL ? newline : s->end) - line);
	s->pos = newline != NULL ? newline + 1 : s->end;
	s->line++;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL)
		len--;
	if (len + 4 > (size_t)size) {
		source_report(s, "line too long (at most %d bytes)", size - 4);
		s->result = CONF_E_UNREADABLE;
		return NULL;
	}
	line = check_line(s, line, &len);
	memcpy(dst, line, len);
	memcpy(dst + len, "\n", 2);
	return dst;
}

int
conf_read_text(struct conf *c, const struct conf_text *t,
	conf_report_fn *report, void *ctx)
{
	struct source s = {
		.conf = c,
		.name = t->name,
		.pos = t->text,
		.end = t->text + t->len,
		.kind = t->kind,
		.report = report,
		.ctx = ctx,
	};
	int r;

	if (memchr(t->text, '\0', t->len) != NULL) {
		source_report(&s, "not a text file");
		return CONF_E_UNREADABLE;
	}
	if (t->len >= 3 && memcmp(t->text, "\xef\xbb\xbf", 3) == 0)
		s.pos += 3;
	r = ini_parse_stream(read_line, &s, on_value, &s);
	if (r > 0 && s.result == 0) {
		s.line = (unsigned)r;
		source_report(&s, "neither [Section] nor Key=VALUE, ignored");
	}
	return s.result;
}

static int
unreadable(const char *path, int error, conf_report_fn *report, void *ctx)
{
	if (report != NULL)
		report(ctx, path, strerror(error));
	return CONF_E_UNREADABLE;
}

static int
read_file(struct conf *c, const char *path, enum conf_source kind,
	conf_report_fn *report, void *ctx)
{
	struct conf_text text = {.name = path, .text = "", .kind = kind};
	struct buf bytes;
	int r;

	buf_init(&bytes, FILE_MAX);
	r = fd_read_file(path, &bytes);
	if (r == 0 && bytes.len > 0) {
		text.text = (const char *)bytes.data;
		text.len = bytes.len;
		r = conf_read_text(c, &text, report, ctx);
	} else if (r < 0 && r != -ENOMEM) {
		r = unreadable(path, -r, report, ctx);
	}
	buf_done(&bytes);
	return r;
}

static int
is_conf_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 &&
		strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* By byte values, whatever the locale: the order decides who wins. */
static int
compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int
read_folder(struct conf *c, const char *folder, enum conf_source kind,
	conf_report_fn *report, void *ctx)
{
	struct dirent **entries = NULL;
	int n, r = 0;

	n = scandir(folder, &entries, is_conf_file, compare_names);
	if (n < 0)
		return errno == ENOENT ? 0
				       : unreadable(folder, errno, report, ctx);
	for (int i = 0; i < n; i++) {
		AUTO_FREE char *path = NULL;

		if (r == 0 &&
			asprintf(&path, "%s/%s", folder, entries[i]->d_name) <
				0) {
			path = NULL;
			r = err_new(-ENOMEM);
		}
		if (r == 0)
			r = read_file(c, path, kind, report, ctx);
		free(entries[i]);
	}
	free(entries);
	return r;
}

int
conf_read_set(
	struct conf *c, const char *set, conf_report_fn *report, void *ctx)
{
	struct source s = {
		.conf = c,
		.name = "--set",
		.kind = CONF_FROM_SET,
		.report = report,
		.ctx = ctx,
	};
	AUTO_FREE char *copy = strdup(set);
	char *name, *value;
	int r;

	if (copy == NULL)
		return err_new(-ENOMEM);
	value = strchr(copy, '=');
	name = strchr(copy, '.');
	if (value == NULL || name == NULL || name > value) {
		source_report(&s, "\"%.200s\" is not Section.Key=VALUE", set);
		return CONF_E_OPTION;
	}
	*value++ = '\0';
	*name++ = '\0';
	r = take_value(&s, copy, name, value);
	return r > 0 ? CONF_E_OPTION : err_pass(r);
}

/* The folder is closed to whoever is not the daemon: then there is nothing to
 * be told, or an ordinary user could not check settings. */
static int
read_state(
	struct conf *c, const char *folder, conf_report_fn *report, void *ctx)
{
	AUTO_FREE char *path = NULL;

	if (asprintf(&path, "%s/" CONF_STATE_FILE, folder) < 0) {
		path = NULL;
		return err_new(-ENOMEM);
	}
	if (access(path, F_OK) != 0)
		return 0;
	return read_file(c, path, CONF_FROM_STATE, report, ctx);
}

static int
read_all(struct conf *c, const struct conf_sources *s, conf_report_fn *report,
	void *ctx)
{
	AUTO_FREE char *drop_ins = NULL;
	AUTO_FREE char *copy = strdup(s->file);
	AUTO_FREE char *policy = NULL;
	int r = 0;

	if (copy == NULL || asprintf(&drop_ins, "%s.d", s->file) < 0)
		return err_new(-ENOMEM);
	if (asprintf(&policy, "%s/policy.d", dirname(copy)) < 0)
		return err_new(-ENOMEM);
	if (s->file_needed || access(s->file, F_OK) == 0 || errno != ENOENT)
		r = read_file(c, s->file, CONF_FROM_FILE, report, ctx);
	if (r == 0)
		r = read_folder(c, drop_ins, CONF_FROM_FILE, report, ctx);
	for (size_t i = 0; r == 0 && i < s->n_sets; i++)
		r = conf_read_set(c, s->sets[i], report, ctx);
	if (r == 0)
		r = read_folder(c, policy, CONF_FROM_POLICY, report, ctx);
	if (r == 0)
		r = read_state(c,
			s->state_folder != NULL ? s->state_folder
						: c->state_directory,
			report, ctx);
	return r;
}

/* An answer that may come after nobody waits for it any more is for nothing. */
static void
limit_backoff(struct conf *c, conf_report_fn *report, void *ctx)
{
	if (c->backoff_max_us <= c->probe_timeout_us)
		return;
	if (report != NULL)
		report(ctx, conf_value_of(c, "Discovery", "BackoffMax")->origin,
			"Discovery.BackoffMax is more than ProbeTimeout, which "
			"is taken instead");
	c->backoff_max_us = c->probe_timeout_us;
}

/* The server is off then; a socket of systemd is answered 503. */
static void
need_root(const struct conf *c, conf_report_fn *report, void *ctx)
{
	if (c->web_listen.len > 0 && c->web_root[0] == '\0' && report != NULL)
		report(ctx, conf_value_of(c, "Web", "Listen")->origin,
			"Web.Listen is of no use without Web.Root");
}

int
conf_load(struct conf **ret_conf, const struct conf_sources *s,
	conf_report_fn *report, void *ctx)
{
	struct conf *c = conf_new();
	int r;

	if (c == NULL)
		return err_new(-ENOMEM);
	r = read_all(c, s, report, ctx);
	if (r != 0) {
		conf_free(c);
		return r;
	}
	limit_backoff(c, report, ctx);
	need_root(c, report, ctx);
	*ret_conf = c;
	return 0;
}

static int
take_default(struct conf *c, const struct conf_row *row)
{
	struct conf_value *v = &c->values[row - conf_table];
	const char *why;
	int r;

	v->text = strdup("");
	v->origin = strdup("built-in");
	if (v->text == NULL || v->origin == NULL)
		return err_new(-ENOMEM);
	if (row->later)
		return 0;
	r = conf_value_set(c, row, row->default_text, false, &why);
	return r < 0 ? err_pass(r) : 0;
}

struct conf *
conf_new(void)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->values = calloc(conf_table_len, sizeof(*c->values));
	if (c->values == NULL)
		return conf_free(c);
	for (size_t i = 0; i < conf_table_len; i++)
		if (take_default(c, &conf_table[i]) != 0)
			return conf_free(c);
	return c;
}

struct conf *
conf_free(struct conf *c)
{
	if (c == NULL)
		return NULL;
	for (size_t i = 0; c->values != NULL && i < conf_table_len; i++) {
		free(c->values[i].text);
		free(c->values[i].origin);
		free(c->values[i].pending);
	}
	free(c->values);
	free(c);
	return NULL;
}

const struct conf_value *
conf_value_of(const struct conf *c, const char *section, const char *name)
{
	const struct conf_row *row = conf_row_find(section, name);

	return row != NULL ? &c->values[row - conf_table] : NULL;
}

bool
conf_nets_contain(const struct conf_nets *nets, const struct sockaddr *sa)
{
	for (size_t i = 0; i < nets->n; i++)
		if (prefix_contains(&nets->nets[i], sa))
			return true;
	return false;
}

int
conf_size_bytes(const struct conf_size *size, const char *directory,
	uint64_t *ret_bytes)
{
	char path[CONF_VALUE_MAX + 1];
	struct statvfs fs;
	char *slash;

	if (size->percent == 0) {
		*ret_bytes = size->bytes;
		return 0;
	}
	snprintf(path, sizeof(path), "%s", directory);
	while (statvfs(path, &fs) != 0) {
		slash = strrchr(path, '/');
		if (errno != ENOENT || slash == NULL || path[1] == '\0')
			return err_new(-errno);
		slash[slash == path] = '\0';
	}
	*ret_bytes = (uint64_t)fs.f_blocks * fs.f_frsize / 100 * size->percent;
	return 0;
}
