/* SPDX-License-Identifier: BSD-2-Clause */
/* What the user is told: a bar while it goes on, a line or a JSON document at
 * the end.  Everything but the document goes to standard error. */
#ifndef GET_REPORT_H
#define GET_REPORT_H

#include <stdbool.h>
#include <stdint.h>

enum report_source {
	REPORT_LOCAL,
	REPORT_PEERS,
	REPORT_ORIGIN,
	_REPORT_SOURCE_MAX,
};

enum report_exit { /* of the program */
	REPORT_OK,
	REPORT_FAILED,
	REPORT_USAGE,
	REPORT_NETWORK, /* the network, or what the origin says */
	REPORT_FILE,    /* here */
};

struct report { /* begins as {0} */
	bool json;
	bool quiet;
	const char *url;  /* as it may be shown */
	const char *file; /* NULL: not known yet */
	uint64_t total;   /* UINT64_MAX: not known */
	uint64_t by[_REPORT_SOURCE_MAX];
	uint64_t kept;  /* bytes that were there before, of --continue */
	uint64_t given; /* to the cache */
	bool has_service;
	bool encoded;
	int version; /* of content information; 0: none */
	unsigned hash_requests;
	unsigned restarts;
	enum report_exit exit;
	char message[512]; /* why not REPORT_OK */
	/* its own */
	bool bar;
	uint64_t begun_us;
	uint64_t drawn_us;
	uint64_t ended_us; /* the file was complete */
	unsigned drawn;    /* columns */
};

void report_begin(struct report *);
/* Draws the bar, if there is one and it is time. */
void report_draw(struct report *);
/* One line, unless quiet. */
void report_say(struct report *, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The bytes of a restart do not count. */
void report_forget(struct report *);
/* The file is complete; what follows is for others. */
void report_complete(struct report *);
/* The last word.  false: standard output could not be written. */
bool report_end(struct report *);

#endif
