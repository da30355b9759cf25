/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One end of the control socket: queues of bytes and descriptors.  Knows no
 * event loop: its owner says when to read and when to flush.
 *
 *	read     takes what the socket has (one recvmsg), up to a bound
 *	next     the next whole frame of what was read, checked
 *	queue    appends a frame to what is to be sent
 *	flush    sends what the socket takes (one sendmsg per descriptor group)
 *
 * Memory for completions is reserved when an operation is accepted
 * (ipc_chan_reserve), so that queueing one later cannot fail; reserved bytes
 * are address space only, no memory is touched until it is used.
 *
 * Not thread-safe: the library has a lock for each direction (read/next, and
 * queue/flush, touch no common state).
 */
#ifndef PROTO_IPC_CHAN_H
#define PROTO_IPC_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/ipc_msg.h"

struct ipc_chan;

/* Takes the connected socket over, also on failure. */
int ipc_chan_new(struct ipc_chan **ret_chan, int fd, enum ipc_from self);
/* Closes the socket and every descriptor still queued. Returns NULL. */
struct ipc_chan *ipc_chan_free(struct ipc_chan *);
int ipc_chan_fd(const struct ipc_chan *);
/* The other side sends no descriptors any more: none is received. */
void ipc_chan_expect_plain(struct ipc_chan *);

/* Reads once.  0: something came, and *ret_more says whether the socket may
 * hold more; -EAGAIN nothing there; -EPIPE the other side closed; -EPROTO
 * descriptors in a way that is not allowed (too many, truncated); -ENOBUFS the
 * buffer is full of frames that were not taken; -errno.  wait: block until
 * something comes (the socket's SO_RCVTIMEO applies, then -EAGAIN). */
int ipc_chan_read(struct ipc_chan *, bool wait, bool *ret_more);
/* 0: *ret_msg is the next frame (ipc_msg_done() it); -EAGAIN: no whole frame;
 * > 0: enum ipc_refusal, of which only IPC_E_UNKNOWN leaves the channel usable
 * (ret_msg->header is valid then); -ENOMEM. */
int ipc_chan_next(struct ipc_chan *, struct ipc_msg *ret_msg);
/* Bytes that were read and not given by ipc_chan_next(). */
size_t ipc_chan_unhandled(const struct ipc_chan *);
/* Looks at up to max of the whole frames that ipc_chan_next() will give, and
 * checks nothing: how many, and the operations that they seem to be about (0:
 * none). */
size_t ipc_chan_look_ahead(
	const struct ipc_chan *, uint64_t *ret_ops, size_t max);
/* Descriptor i of the frame that ipc_chan_next() gave last; the caller owns it
 * afterwards.  -1 when there is none.  Those not taken are closed by the next
 * ipc_chan_next(). */
int ipc_chan_take_fd(struct ipc_chan *, unsigned i);

/* Appends a frame.  fds (n_fds of them) are duplicated, not taken.  -ENOMEM,
 * -EMSGSIZE, -EMFILE. */
int ipc_chan_queue(struct ipc_chan *, enum ipc_type, uint64_t id,
	const ProtobufCMessage *body, const int *fds, unsigned n_fds);
/* Promises room for n COMPLETE frames (IPC_COMPLETE_SIZE each) on top of what
 * is queued; -ENOMEM.  _unreserve takes n promises back. */
int ipc_chan_reserve(struct ipc_chan *, size_t n);
void ipc_chan_unreserve(struct ipc_chan *, size_t n);
/* Queues a COMPLETE from a promise; cannot fail when the frame keeps to
 * IPC_COMPLETE_SIZE. Inline data beyond the promise is -ENOMEM when there is no
 * room (the caller then sends it another way). */
int ipc_chan_queue_reserved(
	struct ipc_chan *, uint64_t id, const Pd__Complete *);
/* Bytes waiting to be sent, without promises. */
size_t ipc_chan_queued(const struct ipc_chan *);
/* Of these, what did not come from promises (never too little; exact whenever
 * the queue was empty before). */
size_t ipc_chan_queued_plain(const struct ipc_chan *);
/* Sends.  0 all gone; -EAGAIN the socket is full; -EPIPE; -errno. */
int ipc_chan_flush(struct ipc_chan *);
static inline bool
ipc_chan_wants_write(const struct ipc_chan *c)
{
	return ipc_chan_queued(c) > 0;
}

/* Who is at the other end, from the kernel. */
#define IPC_GROUPS_MAX 65536u
struct ipc_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	size_t n_groups;
	gid_t *groups; /* supplementary groups; free() it */
};
/* -EPERM for the overflow uid, which stands for every user of a foreign user
 * namespace (and for a local user of that number, who cannot be told apart). */
int ipc_peer_get(int fd, struct ipc_peer *ret_peer);
void ipc_peer_done(struct ipc_peer *);

#endif
