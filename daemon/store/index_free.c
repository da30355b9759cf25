/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/store/index_free.h"

#include <string.h>

#define DBI_FREE 0

struct query {
	size_t below;
	uint64_t from, to;
	uint64_t n;
};

/* Element i of an array of LMDB's.  Where it lies may be damaged, too. */
static size_t
word(const MDB_val *v, size_t i)
{
	size_t n;

	memcpy(&n, (const uint8_t *)v->mv_data + i * sizeof(n), sizeof(n));
	return n;
}

/* A list begins with its length.  It may be damaged. */
static void
look(struct query *q, const MDB_val *number, const MDB_val *list)
{
	size_t n;

	if (number->mv_size != sizeof(size_t) || word(number, 0) >= q->below ||
		list->mv_size < sizeof(size_t))
		return;
	n = word(list, 0);
	if (n > list->mv_size / sizeof(size_t) - 1)
		return;
	if (q->from == 0 && q->to == UINT64_MAX) {
		q->n += n;
		return;
	}
	for (size_t i = 1; i <= n; i++)
		q->n += word(list, i) >= q->from && word(list, i) < q->to;
}

static int
run(struct index_guard *guard, MDB_txn *txn, struct query *q)
{
	MDB_val k = {0}, v = {0};
	MDB_cursor *cursor;
	int r;

	index_guard_enter(guard);
	r = mdb_cursor_open(txn, DBI_FREE, &cursor);
	if (r == 0) {
		while ((r = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0)
			look(q, &k, &v);
		mdb_cursor_close(cursor);
	}
	index_guard_leave();
	return r == MDB_NOTFOUND ? 0 : r;
}

int
index_free_count(
	struct index_guard *guard, MDB_txn *txn, size_t below, uint64_t *ret)
{
	struct query q = {.below = below, .to = UINT64_MAX};
	int r = run(guard, txn, &q);

	*ret = q.n;
	return r;
}

int
index_free_between(struct index_guard *guard, MDB_txn *txn, uint64_t from,
	uint64_t to, uint64_t *ret)
{
	struct query q = {.below = SIZE_MAX, .from = from, .to = to};
	int r = run(guard, txn, &q);

	*ret = q.n;
	return r;
}
