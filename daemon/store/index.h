/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An LMDB environment, as both stores use it: one file NAME.mdb and its lock in
 * a folder that is ours alone, several named tables.
 *
 * Threads: index_get(), index_each() and index_refresh() belong to the loop,
 * which has one read transaction (MDB_NOTLS) that is renewed when a commit has
 * ended; index_begin() .. index_commit() belong to the store thread, which owns
 * every write transaction.  Until the loop refreshes, no page that a commit
 * freed can be used again: a file whose commits are not followed by it grows
 * with each of them.  LMDB keeps the memory of changed pages for the next
 * transaction, so the largest one sets how much: one page for each entry, when
 * keys are scattered.
 *
 * A page that cannot be read raises SIGBUS, and a damaged one may raise SIGSEGV
 * or an assertion inside LMDB.  index_guard_install() catches these, the first
 * wherever somebody reads in the map, the others while a thread is inside LMDB:
 * the environment is marked as damaged (a file NAME.damaged beside it), a line
 * goes to stderr, and the process ends with exit status 1; the next
 * index_open() finds the mark, puts the file aside and begins an empty one,
 * which it tells.
 *
 * LMDB has no checksums: a damaged page may also make a key disappear, or give
 * a value that never was (inside the file, though).  Values have to carry their
 * own, and it must include the key.
 *
 * The file belongs to the machine: LMDB's pages have its page size and byte
 * order.  That, the format and its purpose are noted in the table "_index".
 *
 * Map size rule: address space, not disk, so it is generous: map_size as the
 * caller says, rounded up to pages.  A full map is -ENOSPC from the write calls
 * and from the commit, and leaves everything as it was before index_begin().
 */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_TABLES_MAX 8

struct index;

struct index_params {
	int folder;       /* the caller's, open as long as the index is */
	const char *path; /* of the folder, for LMDB */
	const char *name; /* "index": index.mdb; at most 31 bytes */
	uint32_t format;
	uint64_t map_size;
	size_t n_tables;
	struct index_table {
		const char *name;
		bool dup; /* several values for one key (MDB_DUPSORT) */
	} tables[INDEX_TABLES_MAX];
};

enum index_opened {
	INDEX_FOUND,   /* 0 */
	INDEX_NEW,     /* there was none, or an empty file */
	INDEX_DAMAGED, /* there was one, put aside as NAME.mdb.damaged */
	INDEX_FOREIGN, /* another machine's or an older format: the same */
	INDEX_NEWER,   /* newer format: not opened, *ret untouched */
};

struct index_blob {
	const void *data;
	size_t len;
};

/* > 0: enum index_opened; -errno.  A foreign one is put aside only when
 * replace says so, else INDEX_FOREIGN without opening it (*ret untouched).  One
 * process at a time, and there only once: the caller sees to that. */
int index_open(struct index **ret, const struct index_params *, bool replace);
struct index *index_close(struct index *);
/* Handlers of SIGBUS, SIGSEGV and SIGABRT; once. */
void index_guard_install(void);

/* Loop.  Bytes are valid until index_refresh(). */
bool index_get(struct index *, unsigned table, struct index_blob key,
	struct index_blob *ret_value);
/* From the first key not below from, until fn says false. -errno. */
int index_each(struct index *, unsigned table, struct index_blob from,
	bool (*fn)(struct index_blob key, struct index_blob value, void *ctx),
	void *ctx);
/* A commit has ended: later calls see it. */
void index_refresh(struct index *);
/* Whether LMDB itself reported damage (MDB_CORRUPTED and friends: the mark was
 * left) or refuses to write since a commit broke off (MDB_PANIC: no mark):
 * reads go on, writes are -EIO, a restart helps.  Any thread. */
bool index_is_damaged(const struct index *);
/* Bytes of the file, free pages included (it never shrinks), what is kept
 * behind it not.  Any thread. */
uint64_t index_used_bytes(struct index *);
/* Of the file those pages that are in use, as of the last index_refresh().
 * Loop. */
uint64_t index_live_bytes(const struct index *);

/* Store thread.  -ENOSPC: map or disk full; -EIO; -ENOMEM: also more changes
 * than LMDB takes in one transaction; otherwise what the disk said (-EROFS).
 * After a failure of any of them the transaction is over, and whatever follows
 * is answered the same: index_abort(), or index_commit(), which always ends
 * it. */
int index_begin(struct index *);
/* In a transaction that adds, before it does, for about so many bytes: -ENOSPC
 * when the disk has no room for them and for what is kept behind the file
 * besides (index_reserve.h), so that who removes always finds some.  The
 * transaction is not over then. */
int index_txn_reserve(struct index *, uint64_t bytes);
/* -ENOENT.  Valid until the next change. */
int index_txn_get(struct index *, unsigned table, struct index_blob key,
	struct index_blob *ret_value);
/* In a table with dup: adds the pair, if it is not there. */
int index_txn_put(struct index *, unsigned table, struct index_blob key,
	struct index_blob value);
/* value.data NULL: all of the key.  0 also when it was not there. */
int index_txn_delete(struct index *, unsigned table, struct index_blob key,
	struct index_blob value);
/* As index_each(), in the write transaction; fn must not change the table. */
int index_txn_each(struct index *, unsigned table, struct index_blob from,
	bool (*fn)(struct index_blob key, struct index_blob value, void *ctx),
	void *ctx);
/* Empties a table. */
int index_txn_clear(struct index *, unsigned table);
/* Durable when 0. */
int index_commit(struct index *);
void index_abort(struct index *);

/* Any thread but those two: a read transaction of its own, e.g. for a walk over
 * everything on a worker.  At most 30 at once; while one lives, no page that
 * was freed since can be used again, so the file grows. */
struct index_reader;
/* NULL: no memory, too many, or damaged. */
struct index_reader *index_reader_new(struct index *);
struct index_reader *index_reader_free(struct index_reader *);
bool index_reader_get(struct index_reader *, unsigned table,
	struct index_blob key, struct index_blob *ret_value);
int index_reader_each(struct index_reader *, unsigned table,
	struct index_blob from,
	bool (*fn)(struct index_blob key, struct index_blob value, void *ctx),
	void *ctx);

#endif
