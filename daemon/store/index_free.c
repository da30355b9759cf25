/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/store/index_free.h"

#define DBI_FREE 0

struct query {
	size_t below;
	uint64_t from, to;
	uint64_t n;
};

/* A list begins with its length.  It may be damaged. */
static void
look(struct query *q, const MDB_val *number, const MDB_val *list)
{
	const size_t *by = number->mv_data, *pages = list->mv_data;

	if (number->mv_size != sizeof(*by) || *by >= q->below ||
		list->mv_size < sizeof(*pages) ||
		pages[0] > list->mv_size / sizeof(*pages) - 1)
		return;
	if (q->from == 0 && q->to == UINT64_MAX) {
		q->n += pages[0];
		return;
	}
	for (size_t i = 1; i <= pages[0]; i++)
		q->n += pages[i] >= q->from && pages[i] < q->to;
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
