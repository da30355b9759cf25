/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The web server that a file comes from: requests over HTTP, several at a time,
 * in one thread.
 *
 * A transfer calls back, only from origin_run() and origin_resume(): head once,
 * when it is clear that this is the answer and not a redirection on the way to
 * it; then body any number of times; then done once.  Callbacks must not start
 * or cancel transfers; who wants to does it when the call has returned.
 */
#ifndef GET_ORIGIN_H
#define GET_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/http_range.h"
#include "codec/pccrtp.h"
#include "get/ranges.h"
#include "get/url.h"

struct origin;
struct origin_transfer;

struct origin_answer {
	long status;
	struct pccrtp_fields fields;
	uint64_t length; /* of the body; UINT64_MAX: not told */
	char *etag;      /* NULL: none */
	char *modified;
	char *date;
	bool ranged;    /* there is a Content-Range, ... */
	bool has_range; /* ... and it is one */
	struct http_content_range range;
};

enum origin_ask { /* beside those of PeerDist */
	ORIGIN_ASK_CONTENT = PCCRTP_ASK_CONTENT,
	ORIGIN_ASK_MISSING = PCCRTP_ASK_MISSING,
	ORIGIN_ASK_HASH = PCCRTP_ASK_HASH,
	ORIGIN_ASK_PLAIN = _PCCRTP_ASK_MAX,
};

enum origin_end {
	ORIGIN_DONE,
	ORIGIN_BROKEN,  /* no answer, or not all of it */
	ORIGIN_STOPPED, /* a callback said so */
};

enum origin_flow {
	ORIGIN_ON,
	ORIGIN_LATER, /* these bytes again after origin_resume() */
	ORIGIN_STOP,
};

struct origin_ops {
	enum origin_flow (*head)(void *ctx, const struct origin_answer *);
	enum origin_flow (*body)(void *ctx, const uint8_t *, size_t);
	/* The transfer is freed when this returns.  why: of ORIGIN_BROKEN. */
	void (*done)(void *ctx, enum origin_end, const char *why);
};

struct origin_request {
	enum origin_ask ask;
	const struct url *url;
	bool ranged;
	struct range range;   /* end UINT64_MAX: to the end */
	const char *if_range; /* NULL: none */
	const struct origin_ops *ops;
	void *ctx;
};

/* Of user and password in this URL.  -errno. */
int origin_new(struct origin **ret_origin, const struct url *);
struct origin *origin_free(struct origin *);
/* -ENOMEM. */
int origin_start(struct origin *, const struct origin_request *,
	struct origin_transfer **ret_transfer);
void origin_resume(struct origin_transfer *);
bool origin_waits(const struct origin_transfer *);
/* From now on these are called. */
void origin_hand_over(
	struct origin_transfer *, const struct origin_ops *, void *ctx);
/* Without calling back.  NULL is allowed; returns NULL. */
struct origin_transfer *origin_cancel(struct origin_transfer *);
/* Where the answer came from, after redirections; NULL: no memory. */
const char *origin_effective(const struct origin_transfer *);
const struct origin_answer *origin_answered(const struct origin_transfer *);
/* Waits for the network or one of these descriptors (-1: none) to be readable,
 * at most timeout_ms.  Then callbacks are called. */
int origin_run(struct origin *, const int *fds, size_t n_fds, int timeout_ms);

/* Whether there could have been no other version with this Last-Modified: that
 * was already past when the answer was made. */
bool origin_is_dated(const struct origin_answer *);

#endif
