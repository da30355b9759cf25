/* SPDX-License-Identifier: BSD-2-Clause */
#include "get/give.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/queue.h>

#include "common/err.h"
#include "common/macros.h"

#define SLOTS 16u

struct slot {
	struct branch_op op;
	SLIST_ENTRY(slot) link;
	struct give *give;
	struct branch_piece piece;
};

struct give {
	struct branch *branch;
	struct part *part;
	struct described *described;
	struct report *report;
	uint64_t at; /* of the next piece */
	enum give_result result;
	DWORD lost; /* why there is no cache; ERROR_SUCCESS: there is */
	size_t pending;
	SLIST_HEAD(, slot) free;
	uint8_t *buffers;
	struct slot slots[SLOTS];
};

/* The cache has not taken a piece. */
static void
refused(struct give *g, const struct branch_piece *p, DWORD code)
{
	if (code == ERROR_INVALID_DATA)
		g->result = GIVE_WRONG;
	else if (g->lost == ERROR_SUCCESS)
		g->lost = code;
	if (!described_verify(g->described, p->offset, p->bytes, p->len))
		g->result = GIVE_WRONG;
}

static void
add_done(struct branch_op *op, const struct branch_end *end)
{
	struct slot *s = container_of(op, struct slot, op);
	struct give *g = s->give;

	g->pending--;
	SLIST_INSERT_HEAD(&g->free, s, link);
	if (end->code == ERROR_SUCCESS)
		g->report->given += s->piece.len;
	else
		refused(g, &s->piece, end->code);
}

/* false: not now. */
static bool
add_next(struct give *g, uint64_t total)
{
	struct slot *s = SLIST_FIRST(&g->free);
	DWORD code = g->lost;

	s->piece.offset = g->at;
	s->piece.len =
		(uint32_t)(described_piece(g->described, g->at, total) - g->at);
	if (part_read(g->part, s->piece.bytes, s->piece.len, g->at) != 0) {
		g->result = GIVE_UNREAD;
		return false;
	}
	s->op.done = add_done;
	if (g->lost == ERROR_SUCCESS)
		code = branch_add(g->branch, &s->piece, &s->op);
	/* Over a limit: when something has ended there is room again. */
	if (code == ERROR_NO_SYSTEM_RESOURCES && g->pending > 0)
		return false;
	g->at += s->piece.len;
	if (code != ERROR_SUCCESS) {
		refused(g, &s->piece, code);
		return false;
	}
	SLIST_REMOVE_HEAD(&g->free, link);
	g->pending++;
	return true;
}

enum give_result
give_step(struct give *g)
{
	uint64_t total = described_length(g->described);

	while (g->result == GIVE_RUNNING && g->at < total &&
		!SLIST_EMPTY(&g->free) && add_next(g, total))
		continue;
	if (g->result == GIVE_RUNNING && g->at == total && g->pending == 0)
		g->result = g->lost == ERROR_SUCCESS ? GIVE_DONE : GIVE_FAILED;
	return g->result;
}

bool
give_is_busy(const struct give *g)
{
	return g->lost != ERROR_SUCCESS;
}

const char *
give_why(const struct give *g)
{
	return branch_reason(g->lost);
}

int
give_new(struct give **ret_give, struct branch *branch, DWORD opened,
	struct part *part, struct described *described, struct report *report)
{
	struct give *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return err_new(-ENOMEM);
	g->branch = branch;
	g->lost = opened;
	g->part = part;
	g->described = described;
	g->report = report;
	g->buffers = mmap(NULL, (size_t)SLOTS * DESCRIBED_PIECE_MAX,
		PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g->buffers == MAP_FAILED) {
		free(g);
		return err_new(-ENOMEM);
	}
	for (size_t i = SLOTS; i-- > 0;) {
		g->slots[i].give = g;
		g->slots[i].piece.bytes = g->buffers + i * DESCRIBED_PIECE_MAX;
		SLIST_INSERT_HEAD(&g->free, &g->slots[i], link);
	}
	*ret_give = g;
	return 0;
}

struct give *
give_free(struct give *g)
{
	if (g == NULL)
		return NULL;
	branch_close(g->branch);
	munmap(g->buffers, (size_t)SLOTS * DESCRIBED_PIECE_MAX);
	free(g);
	return NULL;
}
