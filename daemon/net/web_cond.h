/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a request makes depend on the state of the file: RFC 9110 section 13.
 * Pure: the fields of one request in, a decision out.
 */
#ifndef NET_WEB_COND_H
#define NET_WEB_COND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stat;

#define WEB_ETAG_TEXT 56

/* How one state of a file is told from others. */
struct web_stamp {
	char etag[WEB_ETAG_TEXT]; /* with its quotes; a strong one */
	size_t etag_len;
	int64_t modified_s; /* never in the future */
	bool future;        /* it would be: this is now instead */
	int64_t now_s;
};
void web_stamp_init(struct web_stamp *, const struct stat *, int64_t now_s);

enum web_cond_result {
	WEB_COND_PASS,
	WEB_COND_NOT_MODIFIED, /* 304 */
	WEB_COND_FAILED,       /* 412 */
};

struct web_cond_date {
	unsigned fields; /* with this name */
	bool valid;      /* of the only one */
	int64_t when_s;
};

/* Begins as {.stamp = ...}. */
struct web_cond {
	const struct web_stamp *stamp;
	bool has_match;
	bool match;
	bool has_none_match;
	bool none_match; /* one of them does match */
	struct web_cond_date modified_since;
	struct web_cond_date unmodified_since;
	unsigned ranges; /* If-Range */
	bool range;
};

/* One field of the request, in their order; those that are no conditions are
 * ignored. */
void web_cond_field(struct web_cond *, const char *name, size_t name_len,
	const char *value, size_t len);
/* Of a GET or HEAD, in the order of 13.2.2. */
enum web_cond_result web_cond_decide(const struct web_cond *);
/* Whether Range is to be looked at: no If-Range, or one that holds. */
bool web_cond_range(const struct web_cond *);

#endif
