/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file as long as it is not complete: beside its later place, under a name
 * of its own, locked, with a small file next to it that says what it is a part
 * of.  Or, for standard output, a file without a name.
 */
#ifndef GET_PART_H
#define GET_PART_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PART_SUFFIX ".peerdist-part"
#define NOTE_SUFFIX PART_SUFFIX ".json"

struct part;

enum part_result {
	PART_OK,
	PART_E_FOLDER,  /* the target is one */
	PART_E_SPECIAL, /* the target is a device or the like */
	PART_E_BUSY,    /* somebody else is getting the same file */
	PART_E_FOREIGN, /* what has the name is not ours */
	PART_E_GONE,    /* the part has lost its name */
	PART_E_WRITTEN, /* what is in standard output cannot be taken back */
};

/* What a part is a part of. */
struct part_note {
	char *url;
	char *etag; /* NULL: none */
	char *modified;
	uint64_t length; /* UINT64_MAX: not known */
	bool encoded;    /* has gaps */
};
void part_note_done(struct part_note *);

/* > 0: enum part_result; -errno.  With a part even then, for part_problem(). */
int part_open(struct part **ret_part, const char *target);
/* "-".  What waits for its reader ends with -EINTR when stop is not 0. */
int part_open_stdout(struct part **ret_part, const volatile sig_atomic_t *stop);
/* Keeps what is there, for --continue, or leaves nothing behind.  NULL is
 * allowed; returns NULL. */
struct part *part_close(struct part *, bool keep);
/* What is wrong, with the name of the file that it is wrong with. */
void part_problem(const struct part *, int result, char *text, size_t size);

/* What is there from before, and how many bytes; -ENOENT: nothing of use. */
int part_found(struct part *, struct part_note *ret_note, uint64_t *ret_size);
/* Begins anew.  PART_E_WRITTEN; -errno. */
int part_empty(struct part *);
/* From now on it can be continued.  -errno. */
int part_tell(struct part *, const struct part_note *);
/* Bytes of standard output may then be written in any order, too. */
int part_spool(struct part *);
int part_write(struct part *, const void *, size_t, uint64_t offset);
int part_read(struct part *, void *, size_t, uint64_t offset);
/* The bytes before end are all there: standard output gets them. */
int part_emit(struct part *, uint64_t end);
/* Has the name now.  Can still be read. */
int part_commit(struct part *);
/* After a commit: what was committed is wrong.  A new part can be written;
 * until that is committed or the part is closed the wrong one stays. */
int part_reopen(struct part *);
/* After a commit: somebody has changed, replaced or removed it since. */
bool part_is_touched(const struct part *);
bool part_is_stdout(const struct part *);

#endif
