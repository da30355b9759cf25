/* SPDX-License-Identifier: BSD-2-Clause */
/* The inside of a fill; see fill.c. */
#ifndef GET_FILL_PRIV_H
#define GET_FILL_PRIV_H

#include <sys/queue.h>

#include "get/fill.h"
#include "get/ranges.h"

#define PIECE_MAX    DESCRIBED_PIECE_MAX
#define LOOKS_MOST   8u
#define STREAM_MOST  4u
#define PEERS_MOST   64u /* pieces asked of the branch at once */
#define ADDS_MOST    16u /* also those that are still being filled */
#define SLOTS        (LOOKS_MOST + STREAM_MOST + PEERS_MOST + ADDS_MOST)
#define FETCHES_MOST 2u /* transfers */

enum slot_kind {
	SLOT_LOOK,
	SLOT_STREAM,
	SLOT_PEERS,
	SLOT_ADD,
	_SLOT_KIND_MAX,
};

/* One operation with its buffer. */
struct slot {
	struct branch_op op;
	SLIST_ENTRY(slot) link; /* free, or waiting to be added */
	struct fill *fill;
	enum slot_kind kind;
	struct range piece;
	struct range stands_for; /* what nobody has if nobody has the piece */
	uint8_t *bytes;
};
SLIST_HEAD(slot_list, slot);

/* Pieces of which the rest is to be read, first come first served. */
struct line {
	struct range at[SLOTS];
	size_t first;
	size_t n;
};

/* One range request. */
struct fetch {
	struct fill *fill;
	struct origin_transfer *transfer; /* NULL: free */
	struct range range;               /* not yet in a full piece */
	uint64_t end;                     /* of the answer */
	uint64_t begun;                   /* where the request began */
	struct slot *slot;                /* being filled; NULL: none */
	size_t filled;
};

struct fill {
	struct fill_setup s;
	uint64_t total;
	enum fill_result result;
	int local;
	char why[256];
	struct origin_transfer *body;
	bool alone; /* without the service */

	uint64_t looked; /* pieces before this one are looked for, or were */
	struct line look_on;
	struct ranges wanted;
	uint64_t cursor; /* where the stream is */
	bool stream_over;
	struct line peers_on;
	struct ranges missing;
	uint64_t missing_us; /* since when there is some */
	struct ranges had;
	struct ranges settled; /* had, or was missing once */

	size_t n[_SLOT_KIND_MAX]; /* slots in use */
	size_t peers_most;
	unsigned silent; /* reads that timed out in a row */
	unsigned nobody; /* pieces that nobody had, in a row */
	bool starved;    /* the origin waits for their answers */
	bool peers_gave;
	unsigned failures; /* of the origin, in a row */
	uint64_t again_us;
	struct fetch fetches[FETCHES_MOST];
	struct slot_list free;
	struct slot_list refused; /* adds over a limit */
	uint8_t *buffers;
	struct slot slots[SLOTS];
};

/* The first one counts. */
void fill_end(struct fill *, enum fill_result, const char *why);
/* A result of part.h or -ENOMEM; true when it is 0. */
bool fill_ok(struct fill *, int);

/* There must be one. */
struct slot *fill_slot_take(struct fill *, enum slot_kind);
void fill_slot_give(struct slot *);
struct branch_piece fill_slot_piece(const struct slot *);

/* Nothing can become missing any more. */
bool fill_all_asked(const struct fill *);
/* They are right, and in the part. */
void fill_have(struct fill *, struct range, enum report_source);
void fill_lose_service(struct fill *, DWORD code);

/* Gives a slot with bytes of the origin to the cache.  false: over a limit, it
 * waits for fill_add_refused(). */
bool fill_add(struct slot *);
void fill_add_refused(struct fill *);

/* Starts requests for what is missing, and lets those go on that waited. */
void fill_fetch(struct fill *);
void fill_fetch_resume(struct fill *);
/* It has nothing to do. */
bool fill_fetch_idle(const struct fill *);

#endif
