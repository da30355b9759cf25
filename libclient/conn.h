/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An instance (one PeerDistStartup), its connection to the daemon, and its
 * reader thread.
 *
 *   instance  lives from Startup to Shutdown; outlives connections
 *   link      one connection with everything that ends with it: channel, data
 *	       area, records of operations, calls that wait for an answer
 *
 * Files: conn.c instance, reader thread, connecting; conn_recv.c the receive
 * side; conn_call.c sending and calls; status.c the service status.
 *
 * Locks, each taken alone or in this order: instance.lock; link.recv_lock;
 * link.send_lock; link.arm_lock.  status_lock, the locks of slots, area, port,
 * event and of the OVERLAPPED table are leaves.
 */
#ifndef LIBCLIENT_CONN_H
#define LIBCLIENT_CONN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "libclient/area.h"
#include "libclient/handle.h"
#include "libclient/pending.h"
#include "proto/ipc_chan.h"

#define PDC_ANSWER_TIMEOUT_MS 10000
#define PDC_CONNECT_WAIT_MS   1000
#define PDC_QUEUE_MAX         (1024u * 1024u)

struct pdc_instance;

/* Somebody waits for the answer to what he sent; lives on his stack. */
struct pdc_call {
	LIST_ENTRY(pdc_call) link;
	uint64_t id;
	struct pdc_pending *pending; /* its ACK is waited for; NULL: a REPLY */
	bool receiver;               /* has the receive side */
	bool done;
	DWORD code;
	uint64_t handle;
	uint32_t value;
	pthread_cond_t cond;
};

struct pdc_link {
	atomic_uint refs;
	struct pdc_instance *instance;
	struct ipc_chan *chan;
	int fd;
	uint64_t generation;
	struct pdc_area area;
	struct pdc_slots slots;
	atomic_bool dead;

	atomic_uint held; /* read ranges given back, but not sent since */

	pthread_mutex_t send_lock; /* sending half of chan, ended */
	pthread_cond_t room;
	unsigned n_room_waiters;
	bool ended;       /* SESSION_END is queued: nothing comes behind it */
	atomic_bool full; /* the socket took no more last time */

	pthread_mutex_t recv_lock; /* calls, receiving */
	pthread_cond_t free_cond;
	LIST_HEAD(, pdc_call) calls;
	uint64_t last_request;
	bool receiving; /* somebody has the receive side */
	unsigned n_free_waiters;
	bool over;      /* dead, and all that was pending is delivered */
	bool unwatched; /* the reader thread is not woken; it naps */
	bool napping;   /* it looks around every pdc_nap_ms */
	unsigned n_naps;
	unsigned n_naps_seen;
	unsigned n_looks_seen;

	/* Of whoever has the receive side: */
	struct pdc_pending_list hungry; /* adds that wait for room, in order */
	bool unflushed;
	uint64_t called_us; /* when the last call that read began to */
	bool dense;         /* and that was soon after the one before */

	pthread_mutex_t arm_lock; /* what the reader thread is woken for */
	bool want_in;
	bool want_out;
};

/* What a handle of the server or client part stands for. */
struct pdc_child {
	struct pdc_object object;
	struct pdc_instance *instance; /* referenced */
	LIST_ENTRY(pdc_child) link;
	bool listed;
	HANDLE self;
	uint64_t remote;     /* the daemon's number */
	uint64_t generation; /* of the link it was opened on */
	struct pdc_port *port;
	ULONG_PTR key;
};

struct pdc_service_status {
	uint32_t status;
	uint32_t min_version;
	uint32_t max_version;
};

struct pdc_instance {
	struct pdc_object object;
	LIST_ENTRY(pdc_instance) all_link;
	pthread_t reader;
	char *path; /* of the socket */
	int epoll_fd;
	int wake_fd;
	atomic_int watch_fd; /* inotify, while there is no connection */
	atomic_int sock_fd;  /* of the connection, for the child after fork */
	atomic_uint n_napping;

	pthread_mutex_t lock;
	pthread_cond_t cond; /* link, attempts */
	struct pdc_link *link;
	uint64_t generation;
	uint64_t attempts_wanted; /* numbers of attempts to connect */
	uint64_t attempts_begun;
	uint64_t attempts_ended;
	bool stop;
	atomic_bool shutting;
	LIST_HEAD(, pdc_child) children;
	LIST_HEAD(, pdc_job) jobs;

	pthread_mutex_t status_lock;
	struct pdc_service_status current;
	uint32_t notified; /* the status last notified */
	struct pdc_pending *armed;
};

/* conn.c */

/* One reference, the caller's.  0, 8. */
DWORD pdc_instance_new(struct pdc_instance **ret_instance);
/* Ends connection and reader thread; whatever is still pending completes with
 * 995.  The object lives until its last reference goes. */
void pdc_instance_stop(struct pdc_instance *);
void pdc_instance_unref(struct pdc_instance *);
/* The connection with a reference, made if there is none: waits a moment for
 * that.  NULL: the daemon is away. */
struct pdc_link *pdc_instance_link(struct pdc_instance *);
void pdc_instance_wake(struct pdc_instance *);
struct pdc_link *pdc_link_unref(struct pdc_link *);

/* A thread looks for something that a frame may bring, and waits for it until
 * the end; or only looks, when the end follows at once. */
void pdc_attend_begin(void);
void pdc_attend_end(void);
/* A descriptor is given out that shows such things, for ever. */
void pdc_attend_always(void);
/* Whether somebody waits. */
bool pdc_attended(void);
/* How often somebody has looked. */
unsigned pdc_attend_looks(void);
/* The reader thread naps about one connection more, or fewer. */
void pdc_attend_nap(struct pdc_instance *, bool begins);

/* conn_recv.c */

/* Adds the call to those that wait.  4065 when the connection is dead, and then
 * all that was pending on it is delivered. */
DWORD pdc_call_begin(struct pdc_link *, struct pdc_call *);
/* Waits for the answer, reading if nobody else does, and takes the call off. */
void pdc_call_wait(struct pdc_link *, struct pdc_call *);
/* Takes the call off; it will not be waited for. */
void pdc_call_drop(struct pdc_link *, struct pdc_call *);
/* The receive side by name, for who does not wait for an answer. */
void pdc_link_take(struct pdc_link *);
/* The same without waiting.  false: somebody has it, and the reader thread will
 * be woken for what comes when he gives it back. */
bool pdc_link_try(struct pdc_link *);
void pdc_link_give(struct pdc_link *);
/* The reader thread looks around.  Whether it shall nap on, for pdc_nap_ms. */
bool pdc_link_nap(struct pdc_link *);
/* Only tests change these. */
extern atomic_int pdc_nap_ms;
extern uint64_t pdc_nap_dense_us; /* calls begin at most so far apart */
/* For who waits for this operation's result, however long it takes: receives
 * until it is there, if nobody else does. */
void pdc_link_await(OVERLAPPED *);
/* With the receive side: handles what is there, without blocking. */
void pdc_link_read(struct pdc_link *);
/* With the receive side: the connection is over.  Accepted operations complete
 * with 4057 (995 in Shutdown), then calls end with 4065. */
void pdc_link_fail(struct pdc_link *);

/* conn_call.c */

enum pdc_send_mode {
	PDC_SEND_QUEUE, /* never blocks; the caller flushes later */
	PDC_SEND_NOW,   /* sent at once, as far as the socket takes it */
	PDC_SEND_END,   /* as NOW, and the last thing to be sent */
	PDC_SEND_CLOSE, /* as NOW, with a promise: memory is no matter */
};

/* Waits while too much is queued; not with the receive side, since the daemon
 * may be waiting for us to read.  A daemon that takes nothing for as long as an
 * answer may take is given up. */
void pdc_link_wait_room(struct pdc_link *);
/* fd: goes with the frame, or -1.  0, 8, 4056, 4065. */
DWORD pdc_link_send(struct pdc_link *, enum ipc_type, uint64_t id,
	const ProtobufCMessage *body, int fd, enum pdc_send_mode);
/* Sends what is queued, as far as the socket takes it; the reader thread does
 * the rest. */
void pdc_link_flush(struct pdc_link *);
/* Whether the reader thread is woken when something comes. */
void pdc_link_watch(struct pdc_link *, bool in);

struct pdc_answer {
	uint64_t handle;
	uint32_t value;
};

/* One request, one answer.  The daemon's code, or 8, 4056, 4065.  ret_answer
 * may be NULL. */
DWORD pdc_link_call(struct pdc_link *, enum ipc_type,
	const ProtobufCMessage *body, struct pdc_answer *ret_answer);
DWORD pdc_link_end(struct pdc_link *);

/* Promises memory for closing one handle, before it is opened: a close must
 * not fail.  false: out of memory. */
bool pdc_link_promise(struct pdc_link *);
/* There is no handle after all. */
void pdc_link_unpromise(struct pdc_link *);
/* Uses the promise.  What was pending on the handle is delivered when it
 * returns, except on 4056: then Shutdown does it. */
DWORD pdc_link_close(struct pdc_link *, enum ipc_type, uint64_t handle);

struct pdc_submit {
	enum ipc_type type;
	const ProtobufCMessage *body;
	Pd__Slice *slice; /* part of the body of an add, filled here */
	int fd;           /* -1 */
};

/* Sends an operation and waits for its ACK.  997: accepted, the record is no
 * longer the caller's; anything else: refused, and the record is gone too. */
DWORD pdc_link_submit(
	struct pdc_link *, struct pdc_pending *, struct pdc_submit *);

/* conn_feed.c: slices of adds, with the receive side except for the first. */

/* Places the next slice, at most len bytes of it; false: no room now. */
bool pdc_feed_place(struct pdc_link *, struct pdc_pending *, uint32_t len,
	bool first, Pd__Slice *ret_slice);
bool pdc_feed_need(struct pdc_link *, uint64_t id, uint32_t len);
bool pdc_feed_released(struct pdc_link *, uint32_t offset, uint32_t len);
void pdc_feed_forget(struct pdc_link *, struct pdc_pending *);

/* status.c */

void pdc_status_set(struct pdc_instance *, const struct pdc_service_status *);
void pdc_status_lost(struct pdc_instance *);
void pdc_status_get(struct pdc_instance *, struct pdc_service_status *);
/* Arms the registration or completes it at once.  997; 4056, 4058, and the
 * record is refused. */
DWORD pdc_status_register(struct pdc_instance *, struct pdc_pending *);
/* Ends it with 995; false when none is armed. */
bool pdc_status_unregister(struct pdc_instance *);

#endif
