/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations that were started and have not completed.
 *
 * A record has one operation reference, which whoever ends the operation
 * consumes: pdc_pending_deliver() or pdc_pending_refuse().  Everyone else who
 * looks at it holds a reference of his own.
 *
 * Two ways lead to a record: its OVERLAPPED's address (all instances of the
 * process together), and its slot on the connection that it was sent on.
 */
#ifndef LIBCLIENT_PENDING_H
#define LIBCLIENT_PENDING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "libclient/event.h"
#include "libclient/peerdist.h"
#include "libclient/port.h"

struct pdc_job;
struct pdc_link;

enum pdc_pending_kind {
	PDC_PLAIN,  /* nothing but a result */
	PDC_ADD,    /* reads the caller's buffer */
	PDC_READ,   /* writes it */
	PDC_STATUS, /* lives in the library only, like the next */
	PDC_FILE,
};

/* What every end of an operation touches comes first and is one cache line. */
struct pdc_pending {
	atomic_uint refs;
	atomic_uint done; /* latch; the result below is valid behind it */
	DWORD code;
	DWORD bytes;
	const void *owner; /* the instance, to compare only */
	OVERLAPPED *ov;
	_Atomic uint64_t id; /* 0 until it has a slot */
	struct pdc_event *event;
	struct pdc_port *port;
	uint8_t kind;
	bool quiet;    /* bit 0 of hEvent: no packet */
	bool accepted; /* its ACK said 0: a completion is owed */
	bool feeding;  /* on the connection's list of those who wait for room */
	struct pdc_packet packet;
	_Atomic(struct pdc_link *) link; /* it was sent on; NULL: none */
	TAILQ_ENTRY(pdc_pending) feed_link;
	union {
		struct {
			const uint8_t *data;
			uint32_t len;
			uint32_t taken;
			uint32_t wanted;
		} add;
		struct {
			uint8_t *data;
			uint32_t room;
		} read;
		struct {
			PEERDIST_STATUS *status; /* or: */
			PEERDIST_STATUS_INFO *info;
			uint32_t value[3]; /* status, versions */
		} status;
		struct pdc_job *job;
	} u;
};
TAILQ_HEAD(pdc_pending_list, pdc_pending);

/* No operation ever has this id. */
#define PDC_ID_NONE UINT64_C(0x00000001FFFFFFFF)

struct pdc_outcome {
	DWORD code;
	DWORD bytes;
	bool has_offset;
	uint64_t offset;
};

/* Starts an operation: enters the OVERLAPPED, takes event and port references,
 * marks it pending and clears the event.  0, or what the call returns: 87 (the
 * OVERLAPPED is in use), 6 (the event), 8; then the OVERLAPPED shows it, unless
 * another operation has it.  port may be NULL. */
DWORD pdc_pending_new(struct pdc_pending **ret_pending, const void *owner,
	OVERLAPPED *, enum pdc_pending_kind, struct pdc_port *port,
	ULONG_PTR key);
void pdc_pending_ref(struct pdc_pending *);
void pdc_pending_unref(struct pdc_pending *);
/* The one completion.  Nothing of the caller's is touched afterwards. */
void pdc_pending_deliver(struct pdc_pending *, const struct pdc_outcome *);
/* The call fails: no completion.  Only the OVERLAPPED shows it. */
void pdc_pending_refuse(struct pdc_pending *, DWORD code);
/* The same for a call that failed before there was a record.  Leaves an
 * OVERLAPPED alone that is in use; NULL is allowed.  Returns code. */
DWORD pdc_pending_refuse_early(OVERLAPPED *, DWORD code);
/* With a reference for the caller, or NULL. */
struct pdc_pending *pdc_pending_find(OVERLAPPED *);
/* The same with the connection that it was sent on, also referenced; NULL when
 * there is none. */
struct pdc_pending *pdc_pending_find_sent(
	OVERLAPPED *, struct pdc_link **ret_link);
/* Whether its result is there. */
bool pdc_pending_is_done(struct pdc_pending *);
/* It has its id, and will be sent on this connection. */
void pdc_pending_sent(struct pdc_pending *, struct pdc_link *);
/* An operation is about to be looked for, and ended: what that touches first is
 * brought near. */
void pdc_pending_expect(OVERLAPPED *);
/* The id of the owner's operation, PDC_ID_NONE when there is none. */
uint64_t pdc_pending_id(OVERLAPPED *, const void *owner);
/* What PeerDistGetOverlappedResult returns as last error; 0 for TRUE. */
DWORD pdc_pending_result(
	OVERLAPPED *, DWORD timeout_ms, DWORD *ret_bytes, bool *ret_complete);
/* After fork, in the child. */
void pdc_pending_forget_all(void);

/* The records of one connection, by slot. */
struct pdc_slot {
	struct pdc_pending *pending; /* NULL: free */
	uint32_t generation;
	uint32_t next_free;
};

struct pdc_slots {
	pthread_mutex_t lock;
	struct pdc_slot *slots;
	uint32_t len;
	uint32_t cap;
	uint32_t max;
	uint32_t first_free; /* UINT32_MAX: none */
};

void pdc_slots_init(struct pdc_slots *, uint32_t max);
void pdc_slots_done(struct pdc_slots *);
/* Gives the record its id.  0, 8, 1450. */
DWORD pdc_slots_enter(struct pdc_slots *, struct pdc_pending *);
/* It is about to end: brings its slot near. */
void pdc_slots_expect(struct pdc_slots *, uint64_t id);
/* Only the receive side ends accepted operations, so it may use what it finds
 * without a reference. */
struct pdc_pending *pdc_slots_find(struct pdc_slots *, uint64_t id);
/* Removal is the claim: who gets the record ends it. */
struct pdc_pending *pdc_slots_claim(struct pdc_slots *, uint64_t id);
/* Claims one of the accepted records from slot *pos on; NULL: no more. */
struct pdc_pending *pdc_slots_claim_next(struct pdc_slots *, uint32_t *pos);

#endif
