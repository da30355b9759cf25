/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The branch: what the service on this host can give, through the public
 * library.  One instance, one completion port, at most one content at a time.
 *
 * An operation is a struct of the caller's with a struct branch_op in it.  It
 * is the library's from a start that returned true until its done is called,
 * which happens only in branch_take() and branch_close().
 */
#ifndef GET_BRANCH_H
#define GET_BRANCH_H

#include <peerdist.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct branch;
struct branch_op;

struct branch_end {
	DWORD code;
	uint64_t offset; /* of what was read, or is missing */
	uint32_t bytes;
};

typedef void branch_done(struct branch_op *, const struct branch_end *);

struct branch_op { /* begins as {0} */
	OVERLAPPED ov;
	branch_done *done;
};

/* NULL: no memory. */
struct branch *branch_new(void);
struct branch *branch_free(struct branch *);
/* Whether the service answers now. */
bool branch_available(struct branch *);
/* Readable when there is something for branch_take(). */
int branch_fd(const struct branch *);
/* Delivers what has ended. */
void branch_take(struct branch *);
/* How many operations have not ended. */
size_t branch_pending(const struct branch *);

/* A content is opened, labelled by this text, and described by these bytes,
 * which must stay until it is.  The operation ends when it can be read and
 * added to.  This and the next three start an operation and return 0, or return
 * why not; buffers are the library's meanwhile, too. */
DWORD branch_open(struct branch *, const char *label, const uint8_t *info,
	size_t len, struct branch_op *);
struct branch_piece {
	uint64_t offset;
	uint32_t len;
	uint8_t *bytes;
};
DWORD branch_read(struct branch *, const struct branch_piece *,
	DWORD timeout_ms, struct branch_op *);
/* The next bytes from where these reads have come to; the offset of the piece
 * does not matter. */
DWORD branch_read_on(struct branch *, const struct branch_piece *,
	DWORD timeout_ms, struct branch_op *);
DWORD branch_add(
	struct branch *, const struct branch_piece *, struct branch_op *);
/* Ends the content's operations and delivers their ends.  Nothing is done when
 * none is open. */
void branch_close(struct branch *);
/* In words, for people. */
const char *branch_reason(DWORD code);
/* The service is not there any more, or not for us: there is no use in asking
 * it again. */
bool branch_is_lost(DWORD code);

#endif
