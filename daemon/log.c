/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a message goes
 *
 * systemd tells in $JOURNAL_STREAM the device and inode of the stream that it
 * connected to stderr.  If stderr is still that one, messages go to the
 * journal's own socket with their fields; should that fail, they go to stderr
 * with the <N> prefix that the journal understands.  Any other stderr gets
 * plain text.
 *
 * A message is one write(2), so that lines of several processes on one
 * terminal or file do not mix.
 */
#include "daemon/log.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "common/macros.h"

#define JOURNAL_SOCKET  "/run/systemd/journal/socket"
#define LINE_MAX_BYTES  2048
#define VALUE_MAX_BYTES 512
#define FIELDS_MAX      16

static const char *const level_names[] = {
	[LOG_ERR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_NOTICE] = "notice",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static int max_level = LOG_INFO;
static bool prefixed;   /* stderr leads to the journal */
static bool to_journal; /* and its own socket is there */

/* Text cut at the end of its room, never overrun. */
struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

static void
line_char(struct line *l, char c)
{
	if (l->len < sizeof(l->text) - 2)
		l->text[l->len++] = c;
}

static void
line_text(struct line *l, const char *text)
{
	for (; *text != '\0'; text++)
		line_char(l, *text);
}

/* Everything but printable ASCII becomes \xNN: a name from outside can neither
 * forge a line nor reach the terminal. */
static void
line_escaped(struct line *l, const char *text, size_t max)
{
	static const char digits[] = "0123456789abcdef";
	size_t end = l->len + max;

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (l->len + 4 > end) {
			line_text(l, "...");
			return;
		}
		if (c >= 0x20 && c < 0x7f && c != '\\') {
			line_char(l, (char)c);
			continue;
		}
		line_text(l, "\\x");
		line_char(l, digits[c >> 4]);
		line_char(l, digits[c & 15]);
	}
}

static void
line_value(struct line *l, const struct log_field *f)
{
	char number[24];

	if (f->text != NULL) {
		line_escaped(l, f->text, VALUE_MAX_BYTES);
		return;
	}
	snprintf(number, sizeof(number), "%" PRIu64, f->number);
	line_text(l, number);
}

/* message (FIELD=value, FIELD=value) */
static void
line_event(struct line *l, const char *message, const struct log_field *f)
{
	const char *before = " (";

	line_escaped(l, message, sizeof(l->text));
	for (; f->name != NULL; f++) {
		if (f->name[0] == '\0')
			continue;
		line_text(l, before);
		line_text(l, f->name);
		line_char(l, '=');
		line_value(l, f);
		before = ", ";
	}
	if (before[0] == ',')
		line_char(l, ')');
}

static void
write_stderr(int level, const char *message, const struct log_field *f)
{
	struct line l = {.len = 0};

	if (prefixed) {
		line_char(&l, '<');
		line_char(&l, (char)('0' + level));
		line_char(&l, '>');
	}
	line_event(&l, message, f);
	l.text[l.len++] = '\n';
	(void)!write(STDERR_FILENO, l.text, l.len);
}

/* All fields of one message lie in one buffer; false when they do not fit or
 * the journal does not take them. */
static bool
write_journal(int level, const char *message, const struct log_field *f)
{
	struct iovec iov[FIELDS_MAX + 2];
	char head[2][LINE_MAX_BYTES];
	struct line l = {.len = 0}, whole = {.len = 0};
	int n = 2, len;

	/* People read MESSAGE alone, so it has the fields too. */
	line_event(&whole, message, f);
	len = snprintf(head[0], sizeof(head[0]), "PRIORITY=%d", level);
	iov[0] = (struct iovec){head[0], (size_t)len};
	len = snprintf(head[1], sizeof(head[1]), "MESSAGE=%.*s",
		(int)MIN_OF(whole.len, sizeof(head[1]) - 9), whole.text);
	iov[1] = (struct iovec){head[1], (size_t)len};
	for (; f->name != NULL; f++) {
		size_t from = l.len;

		if (f->name[0] == '\0')
			continue;
		if (n == FIELDS_MAX + 2)
			return false;
		line_text(&l, "PEERDIST_");
		line_text(&l, f->name);
		line_char(&l, '=');
		line_value(&l, f);
		iov[n++] = (struct iovec){l.text + from, l.len - from};
	}
	if (l.len >= sizeof(l.text) - 2)
		return false;
	return sd_journal_sendv(iov, n) == 0;
}

void
log_open(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;
	char end;

	prefixed = to_journal = false;
	if (stream == NULL ||
		sscanf(stream, "%llu:%llu%c", &dev, &ino, &end) != 2 ||
		fstat(STDERR_FILENO, &st) != 0)
		return;
	prefixed = st.st_dev == dev && st.st_ino == ino;
	/* Without its socket sd_journal_sendv() drops a message and says
	 * that all is well. */
	to_journal = prefixed && access(JOURNAL_SOCKET, W_OK) == 0;
}

void
log_set_level(int level)
{
	max_level = level;
}

int
log_level(void)
{
	return max_level;
}

int
log_level_from_name(const char *name)
{
	for (size_t i = LOG_ERR; i < ARRAY_LEN(level_names); i++)
		if (strcmp(level_names[i], name) == 0)
			return (int)i;
	return -1;
}

void
log_write(int level, const char *message, const struct log_field *fields)
{
	if (level > max_level)
		return;
	if (to_journal && write_journal(level, message, fields))
		return;
	write_stderr(level, message, fields);
}

const char *
log_strerror(int errno_)
{
	const char *text = strerrordesc_np(errno_);

	return text != NULL ? text : "unknown error";
}
