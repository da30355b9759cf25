/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LMDB, and what it leaves to its user.
 *
 * Opening: the file is looked at before LMDB maps it (index_file.c); then the
 * record "about" in a table of our own must be there, with a checksum, and tell
 * our format, purpose and machine, and every table must be there.  A file that
 * fails is put aside and the next one begun; nothing is ever repaired.
 *
 * Reading: values are handed out where LMDB has them.  LMDB checks neither
 * lengths nor order, so each key and value must lie inside the file, and a walk
 * must rise; that ends every walk, whatever the pages say.
 *
 * Failing: what LMDB calls corrupt leaves the mark (index_guard.c).  A commit
 * that fails half way through its last write (MDB_PANIC) damaged nothing, but
 * LMDB goes on only after a new start, so no mark is left.  In both cases reads
 * go on and writes are refused.
 *
 * Flags: no read-ahead, since look-ups are scattered and the file may be larger
 * than what the machine can spare; and never MDB_NOMEMINIT, which would write
 * what was in our memory to the disk.
 */
#include "daemon/store/index.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/store/index_about.h"
#include "daemon/store/index_file.h"
#include "daemon/store/index_free.h"
#include "daemon/store/index_guard.h"
#include "daemon/store/index_reserve.h"

#define OWN_TABLE "_index"
#define ABOUT_KEY "about"

#define READERS 32
#define FLAGS   (MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD)

#define NO_END SIZE_MAX

/* A read transaction and how far the file went when it began. */
struct snapshot {
	MDB_txn *txn;
	bool on;
	size_t end;
};

struct index {
	MDB_env *env;
	struct index_guard *guard;
	const uint8_t *map;
	size_t map_len;
	size_t n_tables;
	MDB_dbi tables[INDEX_TABLES_MAX];
	bool dup[INDEX_TABLES_MAX];
	MDB_dbi own;
	atomic_bool damaged;
	struct snapshot loop;
	uint64_t live; /* bytes of pages in use, as loop sees them */
	MDB_txn *write;
	int write_error; /* the first one of this transaction */
	int folder;
	/* the store thread's */
	uint64_t reserved; /* the file has all its blocks up to here */
	uint64_t used;     /* when this transaction began */
	uint64_t asked;    /* by index_txn_reserve() */
	uint64_t spare;    /* free in the file; UINT64_MAX: not counted yet */
};

struct index_reader {
	struct index *index;
	struct snapshot snapshot;
};

/* What index_open() goes by. */
struct opening {
	const struct index_params *params;
	struct index_files files;
	struct index_file_lack lack;
};

static int
index_broken(struct index *ix, bool mark)
{
	if (mark)
		index_guard_mark(ix->guard);
	atomic_store(&ix->damaged, true);
	return err_new(-EIO);
}

static bool
files_limited(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
		limit.rlim_cur != RLIM_INFINITY;
}

/* LMDB's result as ours. */
static int
index_result(struct index *ix, int r)
{
	switch (r) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
	case EDQUOT:
		return err_new(-ENOSPC);
	case MDB_TXN_FULL:
		return err_new(-ENOMEM);
	case MDB_BAD_VALSIZE:
		return err_new(-EINVAL);
	case MDB_READERS_FULL:
		return err_new(-EMFILE);
	case EFBIG:
	case EINVAL:
		/* The list of free pages is damaged: it gave a page that no
		 * file can have.  But for a limit on the size of files. */
		if (r == EFBIG && files_limited())
			return err_new(-EFBIG);
		return index_broken(ix, true);
	case MDB_PANIC:
		return index_broken(ix, false);
	default:
		return r > 0 ? err_new(-r) : index_broken(ix, true);
	}
}

/* A call of LMDB; the result is ours. */
#define INSIDE(ix, call) \
	({ \
		int inside_r_; \
		index_guard_enter((ix)->guard); \
		inside_r_ = (call); \
		index_guard_leave(); \
		index_result((ix), inside_r_); \
	})

static MDB_val
val_of(struct index_blob b)
{
	return (MDB_val){.mv_size = b.len, .mv_data = (void *)b.data};
}

static struct index_blob
blob_of(const MDB_val *v)
{
	return (struct index_blob){.data = v->mv_data, .len = v->mv_size};
}

static void
txn_abort(struct index *ix, MDB_txn *txn)
{
	index_guard_enter(ix->guard);
	mdb_txn_abort(txn);
	index_guard_leave();
}

static void
cursor_close(struct index *ix, MDB_cursor *cursor)
{
	index_guard_enter(ix->guard);
	mdb_cursor_close(cursor);
	index_guard_leave();
}

/* Whether bytes that LMDB tells can be read.  end NO_END: of a write
 * transaction, whose changed pages are in LMDB's own memory.  How far they go
 * only LMDB knows, and by now what a damaged page says. */
static bool
blob_inside(const struct index *ix, size_t end, const MDB_val *v)
{
	uintptr_t at = (uintptr_t)v->mv_data, map = (uintptr_t)ix->map;

	if (at < map || at - map >= ix->map_len) {
		if (end != NO_END)
			return false;
		index_guard_probe(ix->guard, v->mv_data, v->mv_size);
		return true;
	}
	end = MIN_OF(end, ix->map_len);
	return at - map <= end && v->mv_size <= end - (at - map);
}

static int
bytes_order(struct index_blob a, struct index_blob b)
{
	size_t n = MIN_OF(a.len, b.len);
	int c = n > 0 ? memcmp(a.data, b.data, n) : 0;

	return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static size_t
file_end(struct index *ix)
{
	MDB_envinfo info = {0};
	MDB_stat stat = {0};

	if (INSIDE(ix, mdb_env_info(ix->env, &info)) != 0 ||
		INSIDE(ix, mdb_env_stat(ix->env, &stat)) != 0)
		return 0;
	return (info.me_last_pgno + 1) * stat.ms_psize;
}

/* Moves *end on to what is used, kept behind, and more. */
static bool
reserve(struct index *ix, uint64_t *end, uint64_t more)
{
	uint64_t used = file_end(ix);
	int fd;

	ix->used = used;
	return INSIDE(ix, mdb_env_get_fd(ix->env, &fd)) != 0 ||
		index_reserve_extend(
			fd, end, used + index_reserve_want(used) + more);
}

/* Holes within wait for the first transaction: the start is not to. */
static void
reserve_behind(struct index *ix)
{
	uint64_t end = file_end(ix);

	(void)reserve(ix, &end, 0);
}

/*
 * Transactions that read
 */

static int
snapshot_begin(struct index *ix, struct snapshot *s)
{
	int r;

	if (s->on)
		return 0;
	if (s->txn == NULL)
		r = INSIDE(
			ix, mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &s->txn));
	else
		r = INSIDE(ix, mdb_txn_renew(s->txn));
	if (r != 0)
		return err_pass(r);
	s->on = true;
	s->end = file_end(ix);
	return 0;
}

static void
snapshot_end(struct index *ix, struct snapshot *s)
{
	if (!s->on)
		return;
	index_guard_enter(ix->guard);
	mdb_txn_reset(s->txn);
	index_guard_leave();
	s->on = false;
}

static void
snapshot_done(struct index *ix, struct snapshot *s)
{
	if (s->txn == NULL)
		return;
	txn_abort(ix, s->txn);
	*s = (struct snapshot){0};
}

static int
txn_get(struct index *ix, MDB_txn *txn, size_t end, MDB_dbi table,
	struct index_blob key, struct index_blob *ret)
{
	MDB_val k = val_of(key), v = {0};
	int r = INSIDE(ix, mdb_get(txn, table, &k, &v));

	if (r != 0)
		return r;
	if (!blob_inside(ix, end, &v))
		return index_broken(ix, true);
	*ret = blob_of(&v);
	return 0;
}

/* After LMDB found damage it refuses this transaction; another one may still
 * find what lies on sound pages. */
static bool
snapshot_get(struct index *ix, struct snapshot *s, unsigned table,
	struct index_blob key, struct index_blob *ret)
{
	int r;

	assert(table < ix->n_tables);
	if (key.len == 0 || snapshot_begin(ix, s) != 0)
		return false;
	r = txn_get(ix, s->txn, s->end, ix->tables[table], key, ret);
	if (r == -EIO)
		snapshot_end(ix, s);
	return r == 0;
}

struct walk {
	struct index *index;
	MDB_txn *txn;
	size_t end;
	unsigned table;
	bool (*fn)(struct index_blob, struct index_blob, void *);
	void *ctx;
};

/* Whether key and value are readable and behind those before. */
static bool
walk_rises(const struct walk *w, const MDB_val *k, const MDB_val *v,
	struct index_blob before[2], bool first)
{
	int order;

	if (!blob_inside(w->index, w->end, k) ||
		!blob_inside(w->index, w->end, v))
		return false;
	order = bytes_order(blob_of(k), before[0]);
	if (order == 0 && !first)
		order = w->index->dup[w->table]
			? bytes_order(blob_of(v), before[1])
			: -1;
	else if (order == 0)
		order = 1;
	before[0] = blob_of(k);
	before[1] = blob_of(v);
	return order > 0;
}

static int
walk_run(const struct walk *w, MDB_cursor *cursor, struct index_blob from)
{
	MDB_cursor_op op = from.len > 0 ? MDB_SET_RANGE : MDB_FIRST;
	struct index_blob before[2] = {from, {0}};
	MDB_val k = val_of(from), v = {0};
	bool first = true;

	for (;; op = MDB_NEXT, first = false) {
		int r = INSIDE(w->index, mdb_cursor_get(cursor, &k, &v, op));

		if (r != 0)
			return r == -ENOENT ? 0 : err_pass(r);
		if (!walk_rises(w, &k, &v, before, first))
			return index_broken(w->index, true);
		if (!w->fn(blob_of(&k), blob_of(&v), w->ctx))
			return 0;
	}
}

static int
walk(const struct walk *w, struct index_blob from)
{
	struct index *ix = w->index;
	MDB_cursor *cursor;
	int r;

	assert(w->table < ix->n_tables);
	r = INSIDE(ix, mdb_cursor_open(w->txn, ix->tables[w->table], &cursor));
	if (r != 0)
		return err_pass(r);
	r = walk_run(w, cursor, from);
	cursor_close(ix, cursor);
	return r;
}

static int
snapshot_each(struct snapshot *s, struct walk *w, struct index_blob from)
{
	int r = snapshot_begin(w->index, s);

	if (r != 0)
		return err_pass(r);
	w->txn = s->txn;
	w->end = s->end;
	r = walk(w, from);
	if (r == -EIO)
		snapshot_end(w->index, s);
	return r;
}

/*
 * Opening
 */

static size_t
page_number(struct index *ix, const uint8_t *page)
{
	size_t number;

	index_guard_enter(ix->guard);
	memcpy(&number, page, sizeof(number));
	index_guard_leave();
	return number;
}

/* LMDB does not tell where it mapped the file.  A page tells its number,
 * though, and the record "about" is short, so it lies on a page that has a
 * head. */
static bool
find_map(struct index *ix, struct index_blob about)
{
	size_t page_size = (size_t)sysconf(_SC_PAGESIZE), number;
	const uint8_t *page = about.data;
	MDB_envinfo info = {0};

	if (INSIDE(ix, mdb_env_info(ix->env, &info)) != 0)
		return false;
	page -= (uintptr_t)page % page_size;
	number = page_number(ix, page);
	if (number < 2 || number > info.me_last_pgno)
		return false;
	page -= number * page_size;
	if (page_number(ix, page) != 0 ||
		page_number(ix, page + page_size) != 1)
		return false;
	ix->map = page;
	ix->map_len = info.me_mapsize;
	index_guard_set_map(ix->guard, ix->map, ix->map_len);
	return true;
}

/* Whether every page that lacks in the file is one that LMDB knows as free. */
static int
check_lack(struct index *ix, MDB_txn *txn, const struct index_file_lack *lack)
{
	uint64_t n;
	int r;

	if (lack->from == lack->to)
		return 0;
	r = index_result(ix,
		index_free_between(ix->guard, txn, lack->from, lack->to, &n));
	if (r != 0)
		return err_pass(r);
	return n == lack->to - lack->from ? 0 : INDEX_DAMAGED;
}

/* 0 when they cannot be told. */
static uint64_t
free_bytes(struct index *ix, MDB_txn *txn, size_t below)
{
	uint64_t n;

	if (index_result(ix, index_free_count(ix->guard, txn, below, &n)) != 0)
		return 0;
	return n * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void
note_live(struct index *ix)
{
	if (!ix->loop.on)
		return;
	ix->live = ix->loop.end -
		MIN_OF(free_bytes(ix, ix->loop.txn, SIZE_MAX), ix->loop.end);
}

static int
open_table(struct index *ix, MDB_txn *txn, const char *name, unsigned flags,
	MDB_dbi *ret)
{
	unsigned found = 0;
	int r = INSIDE(ix, mdb_dbi_open(txn, name, flags, ret));

	if (r == 0)
		r = INSIDE(ix, mdb_dbi_flags(txn, *ret, &found));
	if (r == 0 && found != (flags & ~(unsigned)MDB_CREATE))
		return INDEX_DAMAGED;
	return r == -ENOENT ? INDEX_DAMAGED : err_pass(r);
}

/* create: MDB_CREATE or 0. */
static int
open_tables(struct index *ix, MDB_txn *txn, const struct index_params *p,
	unsigned create)
{
	int r = 0;

	ix->n_tables = p->n_tables;
	for (size_t i = 0; r == 0 && i < p->n_tables; i++) {
		ix->dup[i] = p->tables[i].dup;
		r = open_table(ix, txn, p->tables[i].name,
			create | (ix->dup[i] ? MDB_DUPSORT : 0),
			&ix->tables[i]);
	}
	return r;
}

/* Everything in one transaction: the file is a whole one, or none at all. */
static int
create_tables(struct index *ix, const struct index_params *p)
{
	uint8_t about[INDEX_ABOUT];
	MDB_val k = {sizeof(ABOUT_KEY) - 1, (void *)ABOUT_KEY};
	MDB_val v = {sizeof(about), about};
	MDB_txn *txn;
	int r;

	index_about_build(about, p->format, p->name);
	r = INSIDE(ix, mdb_txn_begin(ix->env, NULL, 0, &txn));
	if (r != 0)
		return err_pass(r);
	r = open_tables(ix, txn, p, MDB_CREATE);
	if (r == 0)
		r = open_table(ix, txn, OWN_TABLE, MDB_CREATE, &ix->own);
	if (r == 0)
		r = INSIDE(ix, mdb_put(txn, ix->own, &k, &v, 0));
	if (r == 0)
		return err_pass(INSIDE(ix, mdb_txn_commit(txn)));
	txn_abort(ix, txn);
	return err_fold(r);
}

/* enum index_opened, or -errno. */
static int
load_in(struct index *ix, MDB_txn *txn, const struct opening *o)
{
	struct index_blob key = {ABOUT_KEY, sizeof(ABOUT_KEY) - 1}, about;
	int r = check_lack(ix, txn, &o->lack);

	if (r == 0)
		r = open_table(ix, txn, OWN_TABLE, 0, &ix->own);
	if (r == 0)
		r = txn_get(ix, txn, NO_END, ix->own, key, &about);
	if (r != 0)
		return r == -ENOENT ? INDEX_DAMAGED : err_pass(r);
	if (!find_map(ix, about))
		return INDEX_DAMAGED;
	r = index_about_check(about, o->params->format, o->params->name);
	return r != INDEX_FOUND ? r : open_tables(ix, txn, o->params, 0);
}

static int
load(struct index *ix, const struct opening *o)
{
	MDB_txn *txn;
	int r = INSIDE(ix, mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &txn));

	if (r != 0)
		return err_pass(r);
	r = load_in(ix, txn, o);
	if (r == INDEX_FOUND) {
		/* Tables opened in it are everybody's only by a commit. */
		r = INSIDE(ix, mdb_txn_commit(txn));
	} else {
		txn_abort(ix, txn);
	}
	return r;
}

static int
open_env(struct index *ix, const struct opening *o)
{
	const struct index_params *p = o->params;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	AUTO_FREE char *path = NULL;
	int r = index_files_reserve_lock(&o->files);

	if (r != 0)
		return err_pass(r);
	if (asprintf(&path, "%s/%s", p->path, o->files.data) < 0)
		return err_new(-ENOMEM);
	r = INSIDE(ix, mdb_env_create(&ix->env));
	if (r == 0)
		r = INSIDE(
			ix, mdb_env_set_maxdbs(ix->env, INDEX_TABLES_MAX + 1));
	if (r == 0)
		r = INSIDE(ix, mdb_env_set_maxreaders(ix->env, READERS));
	if (r == 0)
		r = INSIDE(ix,
			mdb_env_set_mapsize(ix->env,
				(p->map_size + page - 1) / page * page));
	if (r == 0)
		r = INSIDE(ix, mdb_env_open(ix->env, path, FLAGS, 0600));
	return r;
}

/* What is there, opened: enum index_opened, or -errno; a new one is made. */
static int
open_there(struct index *ix, const struct opening *o)
{
	MDB_envinfo info = {0};
	bool fresh;
	int r = open_env(ix, o);

	if (r == 0)
		r = INSIDE(ix, mdb_env_info(ix->env, &info));
	fresh = info.me_last_txnid == 0;
	if (r == 0 && fresh) {
		r = create_tables(ix, o->params);
		if (r == 0 && fsync(ix->folder) != 0)
			r = err_new(-errno);
	}
	if (r == 0)
		r = load(ix, o);
	if (r == 0)
		r = snapshot_begin(ix, &ix->loop);
	note_live(ix);
	if (r == 0)
		reserve_behind(ix);
	if (r < 0)
		/* Found damaged, or only not to be had now? */
		return index_is_damaged(ix) ? INDEX_DAMAGED : err_pass(r);
	return r == INDEX_FOUND && fresh ? INDEX_NEW : r;
}

static int
index_new(struct index **ret, const struct index_params *p)
{
	struct index *ix = calloc(1, sizeof(*ix));
	int r;

	if (ix == NULL)
		return err_new(-ENOMEM);
	ix->folder = p->folder;
	r = index_guard_new(&ix->guard, p->folder, p->name);
	if (r != 0) {
		free(ix);
		return err_pass(r);
	}
	*ret = ix;
	return 0;
}

struct index *
index_close(struct index *ix)
{
	if (ix == NULL)
		return NULL;
	index_abort(ix);
	snapshot_done(ix, &ix->loop);
	index_guard_set_map(ix->guard, NULL, 0);
	index_guard_enter(ix->guard);
	mdb_env_close(ix->env);
	index_guard_leave();
	index_guard_free(ix->guard);
	free(ix);
	return NULL;
}

/* enum index_opened; *ret only when it is open. */
static int
index_try(struct index **ret, struct opening *o)
{
	const struct index_params *p = o->params;
	struct index *ix = NULL;
	int r;

	if (index_files_marked(&o->files))
		return INDEX_DAMAGED;
	r = index_files_check(&o->files, p->map_size, &o->lack);
	if (r == INDEX_FILE_DAMAGED || r == INDEX_FILE_FOREIGN)
		return r == INDEX_FILE_DAMAGED ? INDEX_DAMAGED : INDEX_FOREIGN;
	if (r < 0)
		return err_pass(r);
	r = index_new(&ix, p);
	if (r != 0)
		return err_pass(r);
	r = open_there(ix, o);
	if (r == INDEX_FOUND || r == INDEX_NEW)
		*ret = ix;
	else
		index_close(ix);
	return r;
}

int
index_open(struct index **ret, const struct index_params *p, bool replace)
{
	struct opening o = {.params = p};
	int r, again;

	assert(p->n_tables <= INDEX_TABLES_MAX);
	assert(strlen(p->name) < INDEX_NAME_MAX);
	index_files_init(&o.files, p->folder, p->name);
	r = index_try(ret, &o);
	if (r != INDEX_DAMAGED && !(r == INDEX_FOREIGN && replace))
		return r;
	again = index_files_put_aside(&o.files);
	if (again == 0)
		again = index_try(ret, &o);
	if (again < 0)
		return err_pass(again);
	return again == INDEX_NEW ? r : err_new(-EIO);
}

/*
 * The loop
 */

bool
index_get(struct index *ix, unsigned table, struct index_blob key,
	struct index_blob *ret_value)
{
	return snapshot_get(ix, &ix->loop, table, key, ret_value);
}

int
index_each(struct index *ix, unsigned table, struct index_blob from,
	bool (*fn)(struct index_blob key, struct index_blob value, void *ctx),
	void *ctx)
{
	struct walk w = {.index = ix, .table = table, .fn = fn, .ctx = ctx};

	return snapshot_each(&ix->loop, &w, from);
}

/* Renewed at once: LMDB begins no transaction any more after MDB_PANIC, but
 * the one that is there can be read from. */
void
index_refresh(struct index *ix)
{
	if (index_is_damaged(ix))
		return;
	snapshot_end(ix, &ix->loop);
	(void)snapshot_begin(ix, &ix->loop);
	note_live(ix);
}

uint64_t
index_live_bytes(const struct index *ix)
{
	return ix->live;
}

bool
index_is_damaged(const struct index *ix)
{
	return atomic_load(&ix->damaged);
}

uint64_t
index_used_bytes(struct index *ix)
{
	return file_end(ix);
}

/*
 * The store thread
 */

int
index_begin(struct index *ix)
{
	int r;

	assert(ix->write == NULL);
	if (index_is_damaged(ix))
		return err_new(-EIO);
	ix->write_error = 0;
	r = INSIDE(ix, mdb_txn_begin(ix->env, NULL, 0, &ix->write));
	if (r != 0)
		return err_pass(r);
	ix->asked = 0;
	ix->spare = UINT64_MAX;
	(void)reserve(ix, &ix->reserved, 0);
	return 0;
}

/* In a transaction that writes LMDB does not show the lists.  What the last one
 * freed cannot be used in this one. */
static uint64_t
spare_bytes(struct index *ix)
{
	struct snapshot s = {0};
	uint64_t n = 0;

	if (snapshot_begin(ix, &s) == 0)
		n = free_bytes(ix, s.txn, mdb_txn_id(s.txn));
	snapshot_done(ix, &s);
	return n;
}

int
index_txn_reserve(struct index *ix, uint64_t bytes)
{
	uint64_t end, more;

	assert(ix->write != NULL);
	ix->asked += bytes;
	end = ix->used + index_reserve_want(ix->used) + ix->asked;
	if (end <= ix->reserved)
		return 0;
	if (ix->spare == UINT64_MAX) {
		more = (ix->asked + RESERVE_STEP - 1) / RESERVE_STEP *
			RESERVE_STEP;
		if (reserve(ix, &ix->reserved, more))
			return 0;
		ix->spare = spare_bytes(ix);
	}
	return end <= ix->reserved || end - ix->reserved <= ix->spare
		? 0
		: err_new(-ENOSPC);
}

/* The first failure is the transaction's, and stays its answer. */
static int
write_result(struct index *ix, int r)
{
	if (r < 0 && r != -ENOENT)
		ix->write_error = r;
	return r;
}

int
index_txn_get(struct index *ix, unsigned table, struct index_blob key,
	struct index_blob *ret_value)
{
	assert(ix->write != NULL && table < ix->n_tables);
	if (ix->write_error != 0)
		return err_pass(ix->write_error);
	return write_result(ix,
		txn_get(ix, ix->write, NO_END, ix->tables[table], key,
			ret_value));
}

int
index_txn_put(struct index *ix, unsigned table, struct index_blob key,
	struct index_blob value)
{
	MDB_val k = val_of(key), v = val_of(value);
	int r;

	assert(ix->write != NULL && table < ix->n_tables);
	if (ix->write_error != 0)
		return err_pass(ix->write_error);
	index_guard_enter(ix->guard);
	r = mdb_put(ix->write, ix->tables[table], &k, &v,
		ix->dup[table] ? MDB_NODUPDATA : 0);
	index_guard_leave();
	if (r == MDB_KEYEXIST && ix->dup[table])
		return 0;
	return write_result(ix, index_result(ix, r));
}

int
index_txn_delete(struct index *ix, unsigned table, struct index_blob key,
	struct index_blob value)
{
	MDB_val k = val_of(key), v = val_of(value);
	int r;

	assert(ix->write != NULL && table < ix->n_tables);
	if (ix->write_error != 0)
		return err_pass(ix->write_error);
	r = INSIDE(ix,
		mdb_del(ix->write, ix->tables[table], &k,
			value.data != NULL ? &v : NULL));
	return r == -ENOENT ? 0 : write_result(ix, r);
}

int
index_txn_each(struct index *ix, unsigned table, struct index_blob from,
	bool (*fn)(struct index_blob key, struct index_blob value, void *ctx),
	void *ctx)
{
	struct walk w = {.index = ix,
		.txn = ix->write,
		.end = NO_END,
		.table = table,
		.fn = fn,
		.ctx = ctx};

	assert(ix->write != NULL);
	if (ix->write_error != 0)
		return err_pass(ix->write_error);
	return write_result(ix, walk(&w, from));
}

int
index_txn_clear(struct index *ix, unsigned table)
{
	assert(ix->write != NULL && table < ix->n_tables);
	if (ix->write_error != 0)
		return err_pass(ix->write_error);
	return write_result(
		ix, INSIDE(ix, mdb_drop(ix->write, ix->tables[table], 0)));
}

/* When the disk is full in the middle of a write, LMDB calls it EIO. */
static bool
disk_is_full(const struct index *ix)
{
	struct statvfs st;

	return fstatvfs(ix->folder, &st) == 0 && st.f_bavail == 0;
}

/* The commit that breaks off tells only what the disk said; whoever comes next
 * is told that LMDB has given up.  The loop must not be the one. */
static void
notice_panic(struct index *ix)
{
	MDB_txn *txn;

	if (INSIDE(ix, mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &txn)) != 0)
		return;
	txn_abort(ix, txn);
}

int
index_commit(struct index *ix)
{
	int r = ix->write_error;

	assert(ix->write != NULL);
	if (r == 0 && index_is_damaged(ix))
		r = -EIO;
	if (r != 0) {
		index_abort(ix);
		return err_pass(r);
	}
	r = INSIDE(ix, mdb_txn_commit(TAKE_PTR(ix->write)));
	if (r != 0)
		notice_panic(ix);
	if (r == -EIO && !index_is_damaged(ix) && disk_is_full(ix))
		r = err_new(-ENOSPC);
	return err_pass(r);
}

void
index_abort(struct index *ix)
{
	if (ix->write == NULL)
		return;
	txn_abort(ix, TAKE_PTR(ix->write));
}

/*
 * Other threads
 */

struct index_reader *
index_reader_new(struct index *ix)
{
	struct index_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->index = ix;
	if (snapshot_begin(ix, &r->snapshot) == 0)
		return r;
	free(r);
	return NULL;
}

struct index_reader *
index_reader_free(struct index_reader *r)
{
	if (r == NULL)
		return NULL;
	snapshot_done(r->index, &r->snapshot);
	free(r);
	return NULL;
}

bool
index_reader_get(struct index_reader *r, unsigned table, struct index_blob key,
	struct index_blob *ret_value)
{
	return snapshot_get(r->index, &r->snapshot, table, key, ret_value);
}

int
index_reader_each(struct index_reader *r, unsigned table,
	struct index_blob from,
	bool (*fn)(struct index_blob key, struct index_blob value, void *ctx),
	void *ctx)
{
	struct walk w = {
		.index = r->index, .table = table, .fn = fn, .ctx = ctx};

	return snapshot_each(&r->snapshot, &w, from);
}
