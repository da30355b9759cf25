/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log of the daemon: one message per event, what varies goes into fields.
 *
 *	log_event(LOG_INFO, "Client connected", LOG_U64("UID", uid),
 *		LOG_STR("PROGRAM", name));
 *
 * Field names are upper case, as the journal wants them.  In the journal each
 * is a field of its own; on a plain stderr they follow the message.  Values
 * are escaped, so strings from outside may be given as they came.  Content,
 * keys and secrets may not.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdint.h>
#include <syslog.h> /* LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG */

struct log_field {
	const char *name;
	const char *text; /* NULL: the number counts */
	uint64_t number;
};

#define LOG_STR(field, value) \
	{ \
		(field), (value), 0 \
	}
#define LOG_U64(field, value) \
	{ \
		(field), NULL, (uint64_t)(value) \
	}

/* errno_ is positive; the text of it under ERROR. */
#define LOG_ERRNO(errno_) \
	{ \
		"ERROR", log_strerror(errno_), 0 \
	}

/* The first element is there for calls without fields; it is skipped. */
#define log_event(level, message, ...) \
	log_write((level), (message), \
		(const struct log_field[]){ \
			{"", NULL, 0}, ##__VA_ARGS__, {NULL, NULL, 0}})

/* Looks where stderr leads to.  Before it, plain text is written. */
void log_open(void);
/* Messages above this are dropped; LOG_INFO at start. */
void log_set_level(int level);
int log_level(void);
/* "error", "warning", "notice", "info", "debug" in the order of their numbers;
 * -1 when unknown. */
int log_level_from_name(const char *name);
/* One event; fields end with a NULL name, those with an empty one are
 * skipped.  Use log_event(). */
void log_write(int level, const char *message, const struct log_field *fields);
const char *log_strerror(int errno_);

#endif
