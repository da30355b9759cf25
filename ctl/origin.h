/* SPDX-License-Identifier: BSD-2-Clause */
/* A content's origin is asked over HTTP as a client would ask it; of contents
 * themselves nothing is taken but the head of the answer. */
#ifndef CTL_ORIGIN_H
#define CTL_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/pccrtp.h"
#include "common/secbuf.h"
#include "ctl/cmd.h"

#define ORIGIN_TEXT 256

/* The last answer, behind redirections.  Texts have printable ASCII only. */
struct origin_answer {
	unsigned status;
	unsigned http; /* 10, 11, 20, ... */
	struct pccrtp_fields fields;
	enum pccrtp_body body; /* of a 200 or 206 */
	bool has_length;       /* Content-Length */
	uint64_t length;
	bool ends;  /* the head is complete */
	bool aged;  /* Age: it comes out of a cache */
	bool large; /* more content information than is taken */
	bool no_memory;
	char etag[ORIGIN_TEXT];
	char modified[ORIGIN_TEXT];
	char vary[ORIGIN_TEXT];
	unsigned redirects;
	char url[8 * ORIGIN_TEXT]; /* without credentials and query */
	struct secbuf info;        /* when the body is content information */
};

void origin_answer_init(struct origin_answer *);
/* Wipes the content information. */
void origin_answer_done(struct origin_answer *);
/* A line of its head, as it came. */
void origin_answer_line(struct origin_answer *, const char *line, size_t len);
/* Something whose value ties content information to a version of the
 * content, ... */
bool origin_has_validator(const struct origin_answer *);
/* ... and what does it in If-Range; NULL: nothing. */
const char *origin_range_validator(const struct origin_answer *);
/* Does Vary name all that the answer depends on, or anything of PeerDist? */
bool origin_varies(const struct origin_answer *);
bool origin_varies_somehow(const struct origin_answer *);

struct origin;

/* Only http and https.  Anything but CTL_OK has been told to the user. */
enum ctl_exit origin_open(const char *url, struct origin **ret);
struct origin *origin_close(struct origin *);
/* The URL as it may be shown. */
const char *origin_url(const struct origin *);
/* if_range: for PCCRTP_ASK_MISSING, which asks for the first byte.  The answer
 * is to be initialised. */
enum ctl_exit origin_ask(struct origin *, enum pccrtp_ask, const char *if_range,
	struct origin_answer *);

#endif
