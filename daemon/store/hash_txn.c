/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One transaction takes all that is queued.  If it fails, nothing of it has
 * happened; then each write gets a transaction of its own, so that one which
 * cannot be done (too large for what is left) does not take the others along.
 *
 * The counts, of all and of each user, are written in the same transactions.
 * Should their record be damaged, or an entry whose size they contain,
 * everything is counted anew.
 */
#include "daemon/store/hash_txn.h"

#include <string.h>

#include "common/err.h"
#include "common/macros.h"

#define RECORD_MAX (HASH_RECORD_LABEL_MAX + 1024u)
#define VALUE_MAX  UINT32_MAX /* LMDB's */
#define LINK_COST  128u

struct txn {
	struct index *index;
	struct hash_counts counts;
	bool recount;
	uint64_t max_bytes;
};

static struct index_blob
blob(const void *data, size_t len)
{
	return (struct index_blob){data, len};
}

static const struct index_blob counts_key = {"counts", 6};
/* What the keys of HASH_FILES are made of. */
static const struct index_blob files_key = {"files", 5};
static const struct index_blob files_linked = {"uid", 3};
static const struct index_blob all = {NULL, 0};

/* Counts. */

static bool
count_one(struct index_blob key, struct index_blob value, void *ctx)
{
	uint64_t id = hash_key_read_id(key.data, key.len), sum;
	struct hash_counts *c = ctx;
	struct hash_entry e;

	c->last_id = MAX_OF(c->last_id, id);
	if (hash_record_parse(&e, &sum, id, value.data, value.len) == 0) {
		c->entries++;
		c->bytes += hash_cost(&e);
	}
	return true;
}

int
hash_txn_count(struct index *ix, struct hash_counts *ret)
{
	struct index_blob value;

	*ret = (struct hash_counts){0};
	if (index_get(ix, HASH_COUNTS, counts_key, &value) &&
		hash_counts_parse(ret, value.data, value.len) == 0)
		return 0;
	*ret = (struct hash_counts){0};
	return err_pass(index_each(ix, HASH_ENTRIES, all, count_one, ret));
}

/* 0 when the user has nothing.  -EBADMSG: damaged. */
static int
user_get(struct txn *t, uint32_t uid, uint64_t *ret_bytes)
{
	uint8_t key[HASH_KEY_USER];
	struct index_blob value;
	int r;

	hash_key_user(key, uid);
	r = index_txn_get(t->index, HASH_USERS, blob(key, sizeof(key)), &value);
	if (r == 0)
		return err_pass(
			hash_user_parse(ret_bytes, uid, value.data, value.len));
	*ret_bytes = 0;
	return r == -ENOENT ? 0 : err_pass(r);
}

static int
user_put(struct txn *t, uint32_t uid, uint64_t bytes)
{
	uint8_t key[HASH_KEY_USER], value[HASH_USER_SIZE];

	hash_key_user(key, uid);
	if (bytes == 0)
		return err_pass(index_txn_delete(
			t->index, HASH_USERS, blob(key, sizeof(key)), all));
	hash_user_build(value, uid, bytes);
	return err_pass(index_txn_put(t->index, HASH_USERS,
		blob(key, sizeof(key)), blob(value, sizeof(value))));
}

/* This entry is there now, or no more. */
static int
count(struct txn *t, const struct hash_entry *e, bool there)
{
	uint64_t cost = hash_cost(e), bytes = 0;
	int r = user_get(t, e->uid, &bytes);

	t->counts.entries -= there ? 0 : MIN_OF(t->counts.entries, 1u);
	t->counts.entries += there;
	t->counts.bytes -= there ? 0 : MIN_OF(t->counts.bytes, cost);
	t->counts.bytes += there ? cost : 0;
	if (r == -EBADMSG) {
		t->recount = true;
		return 0;
	}
	bytes = there ? bytes + cost : bytes - MIN_OF(bytes, cost);
	return r != 0 ? err_pass(r) : err_pass(user_put(t, e->uid, bytes));
}

struct counting {
	struct txn *txn;
	int result;
};

static bool
recount_one(struct index_blob key, struct index_blob value, void *ctx)
{
	uint64_t id = hash_key_read_id(key.data, key.len), sum;
	struct counting *c = ctx;
	struct hash_entry e;

	c->txn->counts.last_id = MAX_OF(c->txn->counts.last_id, id);
	if (hash_record_parse(&e, &sum, id, value.data, value.len) == 0)
		c->result = count(c->txn, &e, true);
	return c->result == 0;
}

/* An id that was given must not be given again, so the last one counts even if
 * its entry is gone by now. */
static int
recount(struct txn *t)
{
	struct counting c = {.txn = t};
	int r = index_txn_clear(t->index, HASH_USERS);

	t->counts = (struct hash_counts){.last_id = t->counts.last_id};
	if (r == 0)
		r = index_txn_each(
			t->index, HASH_ENTRIES, all, recount_one, &c);
	t->recount = false;
	return r == 0 ? err_pass(c.result) : err_pass(r);
}

static int
write_counts(struct txn *t)
{
	uint8_t bytes[HASH_COUNTS_SIZE];
	int r = t->recount ? recount(t) : 0;

	if (r < 0)
		return err_pass(r);
	hash_counts_build(bytes, &t->counts);
	return err_pass(index_txn_put(
		t->index, HASH_COUNTS, counts_key, blob(bytes, sizeof(bytes))));
}

/* One entry. */

static int
pair_delete(struct txn *t, enum hash_table table, struct index_blob key,
	const uint8_t id[HASH_KEY_ID])
{
	return err_pass(
		index_txn_delete(t->index, table, key, blob(id, HASH_KEY_ID)));
}

static int
delete_links(struct txn *t, const struct hash_entry *e)
{
	uint8_t id[HASH_KEY_ID], label[HASH_KEY_LABEL], file[HASH_KEY_FILE];
	int r;

	hash_key_id(id, e->id);
	hash_key_label(label, e->uid, e->label, e->label_len);
	hash_key_file(file, &e->file, e->uid);
	r = pair_delete(t, HASH_LABELS, blob(label, sizeof(label)), id);
	if (r == 0)
		r = pair_delete(t, HASH_FILES, blob(file, sizeof(file)), id);
	return err_pass(r);
}

/* -ENOENT: there is none. */
static int
delete_entry(struct txn *t, uint64_t number)
{
	struct index_blob value, key;
	uint8_t id[HASH_KEY_ID];
	struct hash_entry e;
	uint64_t sum;
	int r;

	hash_key_id(id, number);
	key = blob(id, sizeof(id));
	r = index_txn_get(t->index, HASH_ENTRIES, key, &value);
	if (r != 0)
		return err_pass(r);
	if (hash_record_parse(&e, &sum, number, value.data, value.len) == 0) {
		r = delete_links(t, &e);
		if (r == 0)
			r = count(t, &e, false);
	} else {
		t->recount = true; /* its links lead nowhere */
	}
	if (r == 0)
		r = index_txn_delete(t->index, HASH_ENTRIES, key, all);
	if (r == 0)
		r = index_txn_delete(t->index, HASH_HASHES, key, all);
	return err_pass(r);
}

struct search {
	struct txn *txn;
	struct index_blob key;
	const struct hash_entry *want;
	uint64_t found; /* id; 0: none */
	uint64_t bytes;
};

static bool
search_one(struct index_blob key, struct index_blob value, void *ctx)
{
	struct search *s = ctx;
	uint64_t id = hash_key_read_id(value.data, value.len), sum;
	struct index_blob record;
	struct hash_entry e;

	if (key.len != s->key.len ||
		memcmp(key.data, s->key.data, key.len) != 0)
		return false;
	if (index_txn_get(s->txn->index, HASH_ENTRIES, value, &record) == 0 &&
		hash_record_parse(&e, &sum, id, record.data, record.len) == 0 &&
		e.uid == s->want->uid && e.label_len == s->want->label_len &&
		memcmp(e.label, s->want->label, e.label_len) == 0) {
		s->found = id;
		s->bytes = hash_cost(&e);
	}
	return s->found == 0;
}

/* The entry of the same user and label. */
static int
find_older(struct txn *t, const struct hash_entry *want, uint64_t *ret_id,
	uint64_t *ret_bytes)
{
	uint8_t label[HASH_KEY_LABEL];
	struct search s = {.txn = t, .want = want};
	int r;

	hash_key_label(label, want->uid, want->label, want->label_len);
	s.key = blob(label, sizeof(label));
	r = index_txn_each(t->index, HASH_LABELS, s.key, search_one, &s);
	*ret_id = s.found;
	*ret_bytes = s.bytes;
	return err_pass(r);
}

static int
insert_entry(
	struct txn *t, const struct hash_entry *e, const struct buf *record)
{
	uint8_t id[HASH_KEY_ID], label[HASH_KEY_LABEL], file[HASH_KEY_FILE];
	struct index_blob key = blob(id, sizeof(id));
	int r;

	hash_key_id(id, e->id);
	hash_key_label(label, e->uid, e->label, e->label_len);
	hash_key_file(file, &e->file, e->uid);
	r = index_txn_put(
		t->index, HASH_ENTRIES, key, blob(record->data, record->len));
	if (r == 0)
		r = index_txn_put(t->index, HASH_HASHES, key,
			blob(e->hashes, e->hashes_len));
	if (r == 0)
		r = index_txn_put(
			t->index, HASH_LABELS, blob(label, sizeof(label)), key);
	if (r == 0)
		r = index_txn_put(
			t->index, HASH_FILES, blob(file, sizeof(file)), key);
	if (r == 0)
		r = count(t, e, true);
	return err_pass(r);
}

static int
replace(struct txn *t, struct hash_entry *e, uint64_t older)
{
	struct buf record;
	int r = older != 0 ? delete_entry(t, older) : 0;

	if (r != 0)
		return err_pass(r);
	e->id = ++t->counts.last_id;
	buf_init(&record, RECORD_MAX);
	r = hash_record_build(
		&record, e, hash_record_sum(e->id, e->hashes, e->hashes_len));
	if (r == 0)
		r = insert_entry(t, e, &record);
	buf_done(&record);
	return err_pass(r);
}

/* Whether there is room for an entry in place of that many bytes. */
static int
room_for(struct txn *t, const struct hash_entry *e, uint64_t older_bytes,
	enum store_status *ret_status)
{
	uint64_t bytes = hash_cost(e), users = 0;
	int r = user_get(t, e->uid, &users);

	if (r == -EBADMSG) {
		r = recount(t);
		if (r == 0)
			r = user_get(t, e->uid, &users);
	}
	if (r != 0)
		return err_pass(r);
	*ret_status = STORE_OK;
	if (e->hashes_len > VALUE_MAX)
		*ret_status = STORE_DISK_FULL;
	else if (t->max_bytes == 0)
		return 0;
	else if (users - MIN_OF(users, older_bytes) + bytes >
		hash_user_limit(e->uid, t->max_bytes))
		*ret_status = STORE_OVER_QUOTA;
	if (t->counts.bytes - MIN_OF(t->counts.bytes, older_bytes) + bytes >
		t->max_bytes)
		*ret_status = STORE_DISK_FULL;
	return 0;
}

static int
do_put(struct txn *t, struct hash_put *p)
{
	struct hash_entry *e = &p->entry;
	uint64_t older, older_bytes;
	int r = find_older(t, e, &older, &older_bytes);

	if (r == 0)
		r = room_for(t, e, older_bytes, &p->status);
	if (r != 0 || p->status != STORE_OK)
		return err_pass(r);
	p->replaced = older;
	r = index_txn_reserve(t->index, hash_cost(e));
	return r != 0 ? err_pass(r) : err_pass(replace(t, e, older));
}

static int
do_remove(struct txn *t, struct hash_remove *rm)
{
	int r = delete_entry(t, rm->id);

	rm->status = r == -ENOENT ? STORE_MISSING : STORE_OK;
	return r == -ENOENT ? 0 : err_pass(r);
}

/* Files. */

static bool
link_file(struct index_blob key, struct index_blob value, void *ctx)
{
	uint64_t id = hash_key_read_id(key.data, key.len), sum;
	struct counting *c = ctx;
	uint8_t file[HASH_KEY_FILE], copy[HASH_KEY_ID];
	struct hash_entry e;

	if (hash_record_parse(&e, &sum, id, value.data, value.len) != 0)
		return true;
	hash_key_id(copy, id);
	hash_key_file(file, &e.file, e.uid);
	c->result = index_txn_reserve(c->txn->index, LINK_COST);
	if (c->result == 0)
		c->result = index_txn_put(c->txn->index, HASH_FILES,
			blob(file, sizeof(file)), blob(copy, sizeof(copy)));
	return c->result == 0;
}

static int
link_files(struct index *ix)
{
	struct txn t = {.index = ix};
	struct counting c = {.txn = &t};
	int r = index_txn_clear(ix, HASH_FILES);

	if (r == 0)
		r = index_txn_each(ix, HASH_ENTRIES, all, link_file, &c);
	if (r == 0)
		r = c.result;
	if (r == 0)
		r = index_txn_put(ix, HASH_COUNTS, files_key, files_linked);
	return err_pass(r);
}

int
hash_txn_link_files(struct index *ix)
{
	struct index_blob value;
	int r;

	if (index_get(ix, HASH_COUNTS, files_key, &value) &&
		value.len == files_linked.len &&
		memcmp(value.data, files_linked.data, value.len) == 0)
		return 0;
	r = index_begin(ix);
	if (r != 0)
		return err_pass(r);
	r = link_files(ix);
	if (r == 0)
		return err_pass(index_commit(ix));
	index_abort(ix);
	return err_pass(r);
}

/* Transactions. */

static int
do_write(struct txn *t, struct hash_write *w)
{
	return err_pass(
		w->put != NULL ? do_put(t, w->put) : do_remove(t, w->remove));
}

static int
begin(struct txn *t)
{
	struct index_blob value;
	int r = index_begin(t->index);

	if (r != 0)
		return err_pass(r);
	r = index_txn_get(t->index, HASH_COUNTS, counts_key, &value);
	t->recount = r != 0 ||
		hash_counts_parse(&t->counts, value.data, value.len) != 0;
	return r == -ENOENT ? 0 : err_pass(r);
}

/* Writes from first to last; NULL: all that follow. */
static int
run(struct txn *t, struct hash_write *first, const struct hash_write *last)
{
	struct hash_counts before = t->counts;
	struct hash_write *w = first;
	int r = begin(t);

	if (r == 0 && t->recount)
		r = recount(t);
	while (r == 0 && w != NULL) {
		r = do_write(t, w);
		w = w == last ? NULL : STAILQ_NEXT(w, link);
	}
	if (r == 0)
		r = write_counts(t);
	if (r == 0)
		r = index_commit(t->index);
	else
		index_abort(t->index);
	if (r != 0)
		t->counts = before;
	return err_pass(r);
}

static void
set_failed(struct hash_write *w, int r)
{
	enum store_status status = STORE_IO;

	if (r == -ENOSPC)
		status = STORE_DISK_FULL;
	else if (r == -ENOMEM)
		status = STORE_NO_MEMORY;
	if (w->put != NULL)
		w->put->status = status;
	else
		w->remove->status = status;
}

int
hash_txn_run(struct index *ix, const struct hash_writes *writes,
	uint64_t max_bytes, struct hash_counts *counts)
{
	struct txn t = {.index = ix, .counts = *counts, .max_bytes = max_bytes};
	struct hash_write *w;
	int r = run(&t, STAILQ_FIRST(writes), NULL), failure = 0;

	if (r != 0)
		STAILQ_FOREACH (w, writes, link) {
			r = run(&t, w, w);
			if (r == 0)
				continue;
			set_failed(w, r);
			failure = r;
		}
	*counts = t.counts;
	return err_pass(failure);
}
