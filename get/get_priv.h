/* SPDX-License-Identifier: BSD-2-Clause */
/* The inside of a download; see get.c. */
#ifndef GET_GET_PRIV_H
#define GET_GET_PRIV_H

#include "codec/pccrtp.h"
#include "common/secbuf.h"
#include "get/branch.h"
#include "get/described.h"
#include "get/fill.h"
#include "get/get.h"
#include "get/give.h"
#include "get/origin.h"
#include "get/part.h"
#include "get/url.h"

enum get_state {
	GET_FIRST,
	GET_PLAIN,
	GET_INFO,
	GET_OPEN,
	GET_FILL,
	GET_HASH,
	GET_WAIT,
	GET_TELL,
	GET_GIVE,
	GET_END,
};

/* What the callbacks have found. */
enum get_next {
	NEXT_NOTHING,
	NEXT_BODY_ENDED, /* the file */
	NEXT_INFO_ENDED, /* content information */
	NEXT_AGAIN,      /* it has to be asked for anew, without PeerDist */
	NEXT_CONTINUE,   /* the rest of what is there is to be asked for */
	NEXT_THERE,      /* what is there is all of it */
	NEXT_NO_INFO,    /* the origin has no content information */
	NEXT_OPENED,     /* the service has answered: get->opened */
	NEXT_FAILED,     /* fail() has been called */
};

struct get {
	const struct get_options *opt;
	const volatile sig_atomic_t *stop;
	int stop_fd;
	struct report report;
	enum get_state state;
	enum get_next next;
	char why[256];

	struct url named; /* as the user named it */
	struct url url;   /* where the answer came from */
	char *file;
	struct origin *origin;
	struct branch *branch; /* NULL: no service */
	struct part *part;
	struct origin_transfer *transfer;

	/* The answer that the file is made from. */
	enum origin_ask asked;
	struct pccrtp_fields fields;
	char *etag;
	char *modified;
	const char *validator; /* one of these two, for If-Range */
	uint64_t length;       /* UINT64_MAX: not known */
	uint64_t written;
	bool make_hash;

	/* What --continue has found. */
	struct part_note before;
	uint64_t before_size; /* 0: nothing */

	struct secbuf info;
	struct described *described;
	struct branch_op opening;
	DWORD opened;
	struct fill *fill;
	struct give *give;
	bool committed;
	bool wrong; /* what was committed is */
	size_t hash_tries;
	uint64_t hash_begun_us;
	uint64_t hash_next_us;
	uint64_t hash_end_us;
};

/* The download ends with this.  The first one counts. */
void get_fail(struct get *, enum report_exit, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A result of part.h; true when it is 0, else the download ends. */
bool get_local_ok(struct get *, int);
/* Whether there was memory; else the download ends. */
bool get_memory_ok(struct get *, bool ok);
/* What is to be done when the callbacks have returned.  why may be NULL. */
void get_note(struct get *, enum get_next, const char *why);
/* Everything from the beginning, as an ordinary download.  body: of an answer
 * that is the file already; NULL: it is asked for. */
void get_again(struct get *, struct origin_transfer *body, const char *why);
/* The file gets its name, if it has not got it yet. */
void get_commit(struct get *);
/* Of content information that has come.  false: it is of no use; the download
 * has ended, or get->why. */
bool get_understand(struct get *);
/* The service is told of it. */
void get_open_content(struct get *, enum get_state);

/* The answer to the first request, get_answer.c. */
extern const struct origin_ops get_first_ops;
void get_first_request(struct get *, enum origin_ask);
bool get_take_answer(struct get *, const struct origin_answer *);
enum origin_flow get_file_begins(struct get *, const struct origin_answer *);
/* In a coding that nobody asked for: once more, or the end. */
enum origin_flow get_refused(struct get *, const char *what);
bool get_same_validators(
	const char *etag, const char *modified, const struct origin_answer *);
bool get_info_too_long(const struct origin_answer *);

/* The file is complete, and for others, get_share.c. */
void get_hash_request(struct get *);
/* No content information this time. */
void get_hash_later(struct get *);
void get_hash_info_ended(struct get *);
void get_give_begins(struct get *);
void get_give_goes_on(struct get *);

#endif
