/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving
 *
 * One buffer of two frame sizes.  A read puts what the socket has behind what
 * is left; next cuts frames off at the front.  As long as the owner calls next
 * until it says -EAGAIN, less than one frame is left and there is always room.
 *
 * Descriptors are sent with the first byte of their frame, and a read never
 * goes past the bytes that carried some.  So a frame finds its descriptors at
 * the head of the queue, and when no byte is left over, no descriptor may be
 * either: the other side cannot park descriptors with us.  There is room for
 * more than it may send: the kernel would close the rest itself, here and now
 * (common/close).
 *
 * Sending
 *
 * One contiguous mapping [head, tail) that grows with mremap.  It is a mapping
 * of its own, not malloc memory, because of the promises: a million pending
 * operations are promised 96 MB, and a realloc that copies would touch every
 * byte of it.  Here nothing is touched before a frame is written to it.
 *
 *	capacity >= 2 * (queued + promises * IPC_COMPLETE_SIZE)
 *
 * holds after each reserve and each ordinary queue.  The factor two makes room
 * for what was sent already: when the end of the mapping is reached, at least
 * half of it lies in front of head, and moving the rest down costs less than
 * sending that half did.  Moving earlier, as soon as the sent part outweighs
 * the rest, keeps the touched part small.
 *
 * Descriptors wait in groups, one for each frame that has some, with the place
 * of the frame's first byte; a group is sent by a sendmsg that begins there.
 *
 * Reading and sending use separate parts of the struct and share the socket
 * only, so that one thread may read while another one sends.
 *
 * System calls
 *
 * A frame costs about what its system calls do, so each takes the cheapest that
 * will do: a message header only where descriptors may be.  They are made
 * directly, since in a process with threads the C library makes each of its
 * own a cancellation point, with two locked instructions; and a thread must not
 * be cancelled here, with its caller's locks held.
 */
#include "proto/ipc_chan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/close.h"
#include "common/err.h"
#include "common/macros.h"

#define READ_SIZE (2 * IPC_FRAME_MAX)
/* The rest of one frame and the start of the next may come in one read, and
 * each brings its descriptors.  More would be parked with us. */
#define FDS_WAITING   (2 * IPC_FDS_MAX)
#define OUT_MIN       65536u
#define OUT_MAX       ((size_t)1 << 40)
#define OUT_KEEP      (256u * 1024u) /* touched memory that stays when idle */
#define COMPACT_ABOVE 65536u

/* Checkers watch what goes through the C library. */
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define THROUGH_LIBC
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define THROUGH_LIBC
#endif

#ifdef THROUGH_LIBC
#define SYS_SENDMSG(fd, mh, flags)   sendmsg(fd, mh, flags)
#define SYS_RECVMSG(fd, mh, flags)   recvmsg(fd, mh, flags)
#define SYS_SEND(fd, data, n, flags) send(fd, data, n, flags)
#define SYS_RECV(fd, data, n, flags) recv(fd, data, n, flags)
#else
#define SYS_SENDMSG(fd, mh, flags) syscall(SYS_sendmsg, fd, mh, flags)
#define SYS_RECVMSG(fd, mh, flags) syscall(SYS_recvmsg, fd, mh, flags)
#define SYS_SEND(fd, data, n, flags) \
	syscall(SYS_sendto, fd, data, n, flags, NULL, 0)
#define SYS_RECV(fd, data, n, flags) \
	syscall(SYS_recvfrom, fd, data, n, flags, NULL, NULL)
#endif

struct fd_group {
	STAILQ_ENTRY(fd_group) link;
	size_t at; /* of the frame, in out.map */
	unsigned n;
	int fds[IPC_FDS_MAX];
};

struct reader {
	uint8_t *data; /* READ_SIZE */
	size_t head;
	size_t tail;
	unsigned fd_head; /* ring */
	unsigned n_fds;
	unsigned n_taken; /* of the frame that was given last */
	int fds[FDS_WAITING];
	int taken[IPC_FDS_MAX];
};

struct writer {
	uint8_t *map;
	size_t cap;
	size_t head;
	size_t tail;
	size_t touched;  /* highest tail since memory was given back */
	size_t promised; /* bytes */
	size_t plain;    /* queued beyond what was promised, at most */
	STAILQ_HEAD(, fd_group) groups;
};

struct ipc_chan {
	int fd;
	enum ipc_from self;
	bool plain; /* no descriptor is to come */
	struct reader in;
	char apart[64]; /* the two threads share no cache line */
	struct writer out;
};

/* Content and its information pass through: not for dumps. */
static void *
map_new(size_t size, int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, size, MADV_DONTDUMP);
	return p;
}

int
ipc_chan_new(struct ipc_chan **ret_chan, int fd, enum ipc_from self)
{
	struct ipc_chan *c = calloc(1, sizeof(*c));

	assert(self == IPC_FROM_CLIENT || self == IPC_FROM_DAEMON);
	if (c == NULL) {
		fd_close_local(fd);
		return err_new(-ENOMEM);
	}
	c->fd = fd;
	c->self = self;
	if (self == IPC_FROM_DAEMON)
		fd_in_band(fd);
	STAILQ_INIT(&c->out.groups);
	c->in.data = map_new(READ_SIZE, 0);
	if (c->in.data == NULL) {
		ipc_chan_free(c);
		return err_new(-ENOMEM);
	}
	*ret_chan = c;
	return 0;
}

static void
close_fds(const struct ipc_chan *c, int *fds, unsigned n, bool foreign)
{
	uint32_t user = foreign ? fd_local_user(c->fd) : 0;

	for (unsigned i = 0; i < n; i++)
		if (foreign)
			fd_close_foreign(fds[i], user);
		else if (fds[i] >= 0)
			close(fds[i]);
}

/* Clients trust the daemon. */
static void
close_received(const struct ipc_chan *c, int *fds, unsigned n)
{
	close_fds(c, fds, n, c->self == IPC_FROM_DAEMON);
}

/* What a client sends may be anything of the application's. */
static struct fd_group *
group_free(const struct ipc_chan *c, struct fd_group *g)
{
	if (g == NULL)
		return NULL;
	close_fds(c, g->fds, g->n, c->self == IPC_FROM_CLIENT);
	free(g);
	return NULL;
}

static int
fd_pop(struct reader *in)
{
	int fd = in->fds[in->fd_head];

	in->fd_head = (in->fd_head + 1) % FDS_WAITING;
	in->n_fds--;
	return fd;
}

struct ipc_chan *
ipc_chan_free(struct ipc_chan *c)
{
	struct fd_group *g;

	if (c == NULL)
		return NULL;
	close_received(c, c->in.taken, c->in.n_taken);
	while (c->in.n_fds > 0) {
		int fd = fd_pop(&c->in);

		close_received(c, &fd, 1);
	}
	while ((g = STAILQ_FIRST(&c->out.groups)) != NULL) {
		STAILQ_REMOVE_HEAD(&c->out.groups, link);
		group_free(c, g);
	}
	if (c->in.data != NULL)
		munmap(c->in.data, READ_SIZE);
	if (c->out.map != NULL)
		munmap(c->out.map, c->out.cap);
	if (c->self == IPC_FROM_DAEMON)
		fd_close_local(c->fd);
	else
		close(c->fd);
	free(c);
	return NULL;
}

void
ipc_chan_expect_plain(struct ipc_chan *c)
{
	c->plain = true;
}

int
ipc_chan_fd(const struct ipc_chan *c)
{
	return c->fd;
}

/* Receiving. */

/* Takes the descriptors of one control message; all of them, or the rest is
 * closed and the answer is false. */
static bool
take_rights(struct ipc_chan *c, const struct cmsghdr *cmsg)
{
	struct reader *in = &c->in;
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool fit = true;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
		if (in->n_fds == FDS_WAITING) {
			close_received(c, &fd, 1);
			fit = false;
			continue;
		}
		in->fds[(in->fd_head + in->n_fds) % FDS_WAITING] = fd;
		in->n_fds++;
	}
	return fit;
}

static bool
take_control(struct ipc_chan *c, struct msghdr *mh)
{
	struct cmsghdr *cmsg;
	bool fit = (mh->msg_flags & MSG_CTRUNC) == 0;

	for (cmsg = CMSG_FIRSTHDR(mh); cmsg != NULL;
		cmsg = CMSG_NXTHDR(mh, cmsg))
		if (cmsg->cmsg_level == SOL_SOCKET &&
			cmsg->cmsg_type == SCM_RIGHTS)
			fit = take_rights(c, cmsg) && fit;
	return fit;
}

static void
make_room(struct reader *in)
{
	if (in->head == in->tail) {
		in->head = in->tail = 0;
	} else if (READ_SIZE - in->tail < IPC_FRAME_MAX) {
		memmove(in->data, in->data + in->head, in->tail - in->head);
		in->tail -= in->head;
		in->head = 0;
	}
}

static int
read_errno(int error)
{
	if (error == EWOULDBLOCK)
		return -EAGAIN;
	return error == ECONNRESET ? -EPIPE : -error;
}

/* Bytes alone; the kernel drops descriptors that come all the same. */
static int
read_plain(struct ipc_chan *c, size_t room, int flags, bool *ret_more)
{
	long n;

	do
		n = SYS_RECV(c->fd, c->in.data + c->in.tail, room, flags);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n == 0 ? -EPIPE : read_errno(errno);
	c->in.tail += (size_t)n;
	*ret_more = (size_t)n == room;
	return 0;
}

static int
read_message(struct ipc_chan *c, size_t room, int flags, bool *ret_more)
{
	struct reader *in = &c->in;
	_Alignas(struct cmsghdr) char
		control[CMSG_SPACE(CLOSE_RIGHTS_MAX * sizeof(int))];
	struct iovec iov = {in->data + in->tail, room};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	long n;

	do
		n = SYS_RECVMSG(c->fd, &mh, MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return read_errno(errno);
	in->tail += (size_t)n;
	if (mh.msg_controllen > 0 || (mh.msg_flags & MSG_CTRUNC) != 0)
		if (!take_control(c, &mh))
			return err_new(-EPROTO);
	if (n == 0)
		return -EPIPE;
	*ret_more = (size_t)n == room || mh.msg_controllen > 0;
	return 0;
}

int
ipc_chan_read(struct ipc_chan *c, bool wait, bool *ret_more)
{
	int flags = wait ? 0 : MSG_DONTWAIT;
	size_t room;

	make_room(&c->in);
	room = READ_SIZE - c->in.tail;
	if (room == 0)
		return err_new(-ENOBUFS);
	return c->plain ? read_plain(c, room, flags, ret_more)
			: read_message(c, room, flags, ret_more);
}

/* Gives the frame its descriptors. */
static int
assign_fds(struct reader *in, unsigned n)
{
	if (n > in->n_fds)
		return IPC_E_FDS;
	while (in->n_taken < n)
		in->taken[in->n_taken++] = fd_pop(in);
	return IPC_OK;
}

int
ipc_chan_next(struct ipc_chan *c, struct ipc_msg *ret_msg)
{
	struct reader *in = &c->in;
	size_t left = in->tail - in->head;
	uint32_t length;
	int r;

	if (in->n_taken > 0)
		close_received(c, in->taken, in->n_taken);
	in->n_taken = 0;
	r = ipc_parse_header(&ret_msg->header, in->data + in->head, left);
	if (r == -EAGAIN)
		return left == 0 && in->n_fds > 0 ? IPC_E_FDS : -EAGAIN;
	if (r != IPC_OK)
		return r;
	length = ret_msg->header.length;
	if (left < length)
		return -EAGAIN;
	r = ipc_parse(ret_msg, in->data + in->head, length,
		c->self == IPC_FROM_CLIENT ? IPC_FROM_DAEMON : IPC_FROM_CLIENT);
	in->head += length;
	if (r != IPC_OK && r != IPC_E_UNKNOWN)
		return r;
	if (assign_fds(in, ret_msg->header.n_fds) != IPC_OK) {
		if (r == IPC_OK)
			ipc_msg_done(ret_msg);
		r = IPC_E_FDS;
	}
	return r;
}

size_t
ipc_chan_unhandled(const struct ipc_chan *c)
{
	return c->in.tail - c->in.head;
}

size_t
ipc_chan_look_ahead(const struct ipc_chan *c, uint64_t *ret_ops, size_t max)
{
	const struct reader *in = &c->in;
	const uint8_t *p = in->data + in->head;
	const uint8_t *end = in->data + in->tail;
	struct ipc_header h;
	size_t n = 0;

	while (n < max &&
		ipc_parse_header(&h, p, (size_t)(end - p)) == IPC_OK &&
		h.length <= (size_t)(end - p)) {
		ret_ops[n++] = ipc_guess_operation(&h, p);
		p += h.length;
	}
	return n;
}

int
ipc_chan_take_fd(struct ipc_chan *c, unsigned i)
{
	return i < c->in.n_taken ? TAKE_FD(c->in.taken[i]) : -1;
}

/* Sending. */

static int
resize(struct writer *out, size_t cap)
{
	uint8_t *map;

	if (out->map == NULL)
		map = map_new(cap, MAP_NORESERVE);
	else
		map = mremap(out->map, out->cap, cap, MREMAP_MAYMOVE);
	if (map == NULL || map == MAP_FAILED)
		return err_new(-ENOMEM);
	/* The first byte written must not make two megabytes resident. */
	if (out->map == NULL)
		(void)madvise(map, cap, MADV_NOHUGEPAGE);
	out->map = map;
	out->cap = cap;
	return 0;
}

static void
compact(struct writer *out)
{
	struct fd_group *g;

	memmove(out->map, out->map + out->head, out->tail - out->head);
	STAILQ_FOREACH (g, &out->groups, link)
		g->at -= out->head;
	out->tail -= out->head;
	out->head = 0;
}

static void
compact_if_cheap(struct writer *out)
{
	if (out->head >= COMPACT_ABOVE && out->head >= out->tail - out->head)
		compact(out);
}

/* Keeps the invariant for n more bytes, promised or about to be queued. */
static int
ensure(struct writer *out, size_t n)
{
	size_t live = out->tail - out->head + out->promised + n;
	size_t cap = MAX_OF(out->cap, OUT_MIN);

	if (live > OUT_MAX)
		return err_new(-ENOMEM);
	if (2 * live <= out->cap)
		return 0;
	while (cap < 2 * live)
		cap *= 2;
	return err_pass(resize(out, cap));
}

/* Room at the tail, which the invariant grants. */
static uint8_t *
tail_room(struct writer *out, size_t n)
{
	compact_if_cheap(out);
	if (n > out->cap - out->tail)
		compact(out);
	assert(n <= out->cap - out->tail);
	return out->map + out->tail;
}

static void
put_frame(struct writer *out, size_t bound, enum ipc_type type, uint64_t id,
	unsigned n_fds, const ProtobufCMessage *body)
{
	uint8_t *dst = tail_room(out, bound);

	out->tail += ipc_build_at(dst, type, id, n_fds, body);
	if (out->tail > out->touched)
		out->touched = out->tail;
}

static int
group_new(const struct ipc_chan *c, const int *fds, unsigned n,
	struct fd_group **ret_group)
{
	struct fd_group *g = malloc(sizeof(*g));

	if (g == NULL)
		return err_new(-ENOMEM);
	for (g->n = 0; g->n < n; g->n++) {
		g->fds[g->n] = fcntl(fds[g->n], F_DUPFD_CLOEXEC, 0);
		if (g->fds[g->n] < 0) {
			int r = err_new(-errno);

			group_free(c, g);
			return r;
		}
	}
	*ret_group = g;
	return 0;
}

int
ipc_chan_queue(struct ipc_chan *c, enum ipc_type type, uint64_t id,
	const ProtobufCMessage *body, const int *fds, unsigned n_fds)
{
	struct writer *out = &c->out;
	struct fd_group *g = NULL;
	size_t bound = ipc_frame_bound(type, body);
	size_t before;
	int r;

	if (bound > IPC_FRAME_MAX)
		return err_new(-EMSGSIZE);
	r = ensure(out, bound);
	if (r == 0 && n_fds > 0)
		r = group_new(c, fds, n_fds, &g);
	if (r < 0)
		return err_pass(r);
	before = out->tail - out->head;
	put_frame(out, bound, type, id, n_fds, body);
	out->plain += out->tail - out->head - before;
	if (g != NULL) {
		g->at = out->head + before;
		STAILQ_INSERT_TAIL(&out->groups, g, link);
	}
	return 0;
}

int
ipc_chan_reserve(struct ipc_chan *c, size_t n)
{
	int r;

	if (n > OUT_MAX / IPC_COMPLETE_SIZE)
		return err_new(-ENOMEM);
	r = ensure(&c->out, n * IPC_COMPLETE_SIZE);
	if (r == 0)
		c->out.promised += n * IPC_COMPLETE_SIZE;
	return err_pass(r);
}

void
ipc_chan_unreserve(struct ipc_chan *c, size_t n)
{
	assert(n * IPC_COMPLETE_SIZE <= c->out.promised);
	c->out.promised -= n * IPC_COMPLETE_SIZE;
}

int
ipc_chan_queue_reserved(
	struct ipc_chan *c, uint64_t id, const Pd__Complete *complete)
{
	struct writer *out = &c->out;
	size_t bound = ipc_frame_bound(IPC_COMPLETE, &complete->base);
	int r = 0;

	assert(out->promised >= IPC_COMPLETE_SIZE);
	if (bound > IPC_FRAME_MAX)
		return err_new(-EMSGSIZE);
	if (bound > IPC_COMPLETE_SIZE)
		r = ensure(out, bound - IPC_COMPLETE_SIZE);
	if (r < 0)
		return err_pass(r);
	out->promised -= IPC_COMPLETE_SIZE;
	if (bound > IPC_COMPLETE_SIZE)
		out->plain += bound - IPC_COMPLETE_SIZE;
	put_frame(out, bound, IPC_COMPLETE, id, 0, &complete->base);
	return 0;
}

size_t
ipc_chan_queued(const struct ipc_chan *c)
{
	return c->out.tail - c->out.head;
}

size_t
ipc_chan_queued_plain(const struct ipc_chan *c)
{
	return MIN_OF(c->out.plain, ipc_chan_queued(c));
}

static void
set_rights(struct msghdr *mh, char *control, const struct fd_group *g)
{
	struct cmsghdr *cmsg;

	mh->msg_control = control;
	mh->msg_controllen = CMSG_SPACE(g->n * sizeof(int));
	cmsg = CMSG_FIRSTHDR(mh);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(g->n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), g->fds, g->n * sizeof(int));
}

#define SEND_FLAGS (MSG_NOSIGNAL | MSG_DONTWAIT)

static long
send_with(struct ipc_chan *c, const struct fd_group *g, struct iovec *iov)
{
	_Alignas(struct cmsghdr) char
		control[CMSG_SPACE(IPC_FDS_MAX * sizeof(int))] = {0};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = 1};

	set_rights(&mh, control, g);
	return SYS_SENDMSG(c->fd, &mh, SEND_FLAGS);
}

/* Sends from head up to the next frame that has descriptors; those of the frame
 * at head go along. */
static int
send_once(struct ipc_chan *c)
{
	struct writer *out = &c->out;
	struct fd_group *g = STAILQ_FIRST(&out->groups), *after = g;
	struct iovec iov = {.iov_base = out->map + out->head};
	bool with = g != NULL && g->at == out->head;
	long n;

	if (with)
		after = STAILQ_NEXT(g, link);
	iov.iov_len = (after != NULL ? after->at : out->tail) - out->head;
	do
		n = with ? send_with(c, g, &iov)
			 : SYS_SEND(c->fd, iov.iov_base, iov.iov_len,
				   SEND_FLAGS);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return read_errno(errno);
	if (with) {
		STAILQ_REMOVE_HEAD(&out->groups, link);
		group_free(c, g);
	}
	out->head += (size_t)n;
	return 0;
}

/* Nothing is queued: gives memory back that a burst or many promises took. */
static void
trim(struct writer *out)
{
	size_t cap = out->cap;

	out->head = out->tail = out->plain = 0;
	if (out->touched > OUT_KEEP) {
		madvise(out->map, out->cap, MADV_DONTNEED);
		out->touched = 0;
	}
	while (cap > OUT_MIN && cap / 8 >= 2 * out->promised + OUT_MIN)
		cap /= 2;
	if (cap < out->cap)
		(void)resize(out, cap);
}

int
ipc_chan_flush(struct ipc_chan *c)
{
	struct writer *out = &c->out;

	while (out->head < out->tail) {
		int r = send_once(c);

		if (r < 0)
			return r;
	}
	if (out->map != NULL)
		trim(out);
	return 0;
}

/* Who is there. */

static uint32_t
overflow_uid(void)
{
	char text[16] = "";
	int fd = open("/proc/sys/kernel/overflowuid", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 65534;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 ? (uint32_t)strtoul(text, NULL, 10) : 65534;
}

static int
peer_groups(int fd, struct ipc_peer *p)
{
	socklen_t len = 64 * sizeof(gid_t);
	gid_t *groups = NULL, *larger;

	for (;;) {
		larger = realloc(groups, len > 0 ? len : sizeof(gid_t));
		if (larger == NULL) {
			free(groups);
			return err_new(-ENOMEM);
		}
		groups = larger;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) ==
			0)
			break;
		/* ERANGE: len is now what is needed. */
		if (errno != ERANGE || len > IPC_GROUPS_MAX * sizeof(gid_t)) {
			int r = err_new(-errno);

			free(groups);
			return r;
		}
	}
	p->groups = groups;
	p->n_groups = len / sizeof(gid_t);
	return 0;
}

/*
 * A uid that has no meaning in our user namespace is shown as the overflow
 * uid.  All such strangers would be one and the same user to us, and the same
 * as a real user with that number (nobody, usually), so that number is refused
 * whoever it is: a service must not run as nobody anyway.
 */
int
ipc_peer_get(int fd, struct ipc_peer *ret_peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct ipc_peer p = {0};
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_new(-errno);
	if (cred.uid == (uid_t)-1 || cred.uid == overflow_uid())
		return err_new(-EPERM);
	p.pid = cred.pid;
	p.uid = cred.uid;
	p.gid = cred.gid;
	r = peer_groups(fd, &p);
	if (r < 0)
		return err_pass(r);
	*ret_peer = p;
	return 0;
}

void
ipc_peer_done(struct ipc_peer *p)
{
	free(p->groups);
	p->groups = NULL;
	p->n_groups = 0;
}
