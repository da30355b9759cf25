/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/ipc_chan.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/macros.h"
#include "tests/unit/closing.h"
#include "tests/unit/failalloc.h"

#define NOBODY_ELSE 65534 /* the overflow uid unless somebody changed it */

/* A channel and the bare socket at its other end. */
struct pair {
	struct ipc_chan *chan;
	int raw;
};

static struct pair
pair_new(enum ipc_from self)
{
	struct pair p;
	int sv[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(ipc_chan_new(&p.chan, sv[0], self), 0);
	assert_int_equal(ipc_chan_fd(p.chan), sv[0]);
	p.raw = sv[1];
	return p;
}

static void
pair_free(struct pair *p)
{
	assert_null(ipc_chan_free(p->chan));
	if (p->raw >= 0)
		close(p->raw);
}

/* Two channels that talk to each other. */
struct line {
	struct ipc_chan *client, *daemon;
};

static struct line
line_new(void)
{
	struct line l;
	int sv[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(ipc_chan_new(&l.client, sv[0], IPC_FROM_CLIENT), 0);
	assert_int_equal(ipc_chan_new(&l.daemon, sv[1], IPC_FROM_DAEMON), 0);
	return l;
}

static void
line_free(struct line *l)
{
	ipc_chan_free(l->client);
	ipc_chan_free(l->daemon);
}

static size_t
plain_frame(uint8_t *dst, uint64_t id)
{
	return ipc_build_at(dst, IPC_STATUS_GET, id, 0, NULL);
}

/* A PUBLISH_FILE frame: the one that carries a descriptor. */
static size_t
file_frame(uint8_t *dst, uint64_t id, unsigned n_fds)
{
	Pd__SubmitPublishFile b = PD__SUBMIT_PUBLISH_FILE__INIT;

	b.identifier.data = (uint8_t *)"name";
	b.identifier.len = 4;
	return ipc_build_at(dst, IPC_SUBMIT_PUBLISH_FILE, id, n_fds, &b.base);
}

static void
send_raw(int fd, const void *data, size_t len, int passed, unsigned n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))];
	struct iovec iov = {(void *)data, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	memset(control, 0, sizeof(control));
	if (n > 0) {
		struct cmsghdr *c;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (unsigned i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &passed,
				sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &mh, MSG_NOSIGNAL), len);
}

static void
read_ok(struct ipc_chan *c)
{
	bool more;

	assert_int_equal(ipc_chan_read(c, false, &more), 0);
}

static uint64_t
next_id(struct ipc_chan *c)
{
	struct ipc_msg m;
	uint64_t id;

	assert_int_equal(ipc_chan_next(c, &m), 0);
	id = m.header.id;
	ipc_msg_done(&m);
	return id;
}

static int
next_result(struct ipc_chan *c)
{
	struct ipc_msg m;
	int r = ipc_chan_next(c, &m);

	if (r == 0)
		ipc_msg_done(&m);
	return r;
}

/* Receiving. */

static void
frames_torn_at_every_byte(void **state)
{
	struct pair p = pair_new(IPC_FROM_DAEMON);
	uint8_t data[256];
	size_t len = 0, ends[4], frame = 0;

	for (int i = 0; i < 4; i++) {
		len += i % 2 ? plain_frame(data + len, 100 + i)
			     : file_frame(data + len, 100 + i, 1);
		ends[i] = len;
	}
	for (size_t i = 0; i < len; i++) {
		bool carries = i == 0 || i == ends[1];

		send_raw(p.raw, data + i, 1, p.raw, carries);
		read_ok(p.chan);
		if (i + 1 == ends[frame])
			assert_int_equal(next_id(p.chan), 100 + frame++);
		assert_int_equal(next_result(p.chan), -EAGAIN);
	}
	assert_int_equal(frame, 4);
	pair_free(&p);
}

static void
many_frames_come_with_one_read(void **state)
{
	struct pair p = pair_new(IPC_FROM_DAEMON);
	uint8_t data[4000 * IPC_HEADER_SIZE];
	size_t len = 0;
	bool more = true;

	for (uint64_t i = 0; i < 4000; i++)
		len += plain_frame(data + len, i);
	send_raw(p.raw, data, len, -1, 0);
	assert_int_equal(ipc_chan_read(p.chan, false, &more), 0);
	assert_false(more);
	for (uint64_t i = 0; i < 4000; i++)
		assert_int_equal(next_id(p.chan), i);
	assert_int_equal(next_result(p.chan), -EAGAIN);
	assert_int_equal(ipc_chan_read(p.chan, false, &more), -EAGAIN);
	pair_free(&p);
}

static void
largest_frames_pass(void **state)
{
	struct line l = line_new();
	Pd__AdminText text = PD__ADMIN_TEXT__INIT;
	char *json = malloc(IPC_FRAME_MAX);
	struct ipc_msg m;
	bool more;

	memset(json, 'j', IPC_FRAME_MAX);
	json[IPC_FRAME_MAX - IPC_HEADER_SIZE - 4] = '\0';
	text.json = json;
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(ipc_chan_queue(l.daemon, IPC_ADMIN_TEXT, i,
					 &text.base, NULL, 0),
			0);
		assert_int_equal(
			ipc_chan_queue(l.daemon, IPC_REPLY, 100 + i,
				&(Pd__Reply)PD__REPLY__INIT.base, NULL, 0),
			0);
	}
	for (uint64_t i = 0; i < 10;) {
		int r = ipc_chan_flush(l.daemon);

		assert_true(r == 0 || r == -EAGAIN);
		r = ipc_chan_read(l.client, false, &more);
		assert_true(r == 0 || r == -EAGAIN);
		for (; (r = ipc_chan_next(l.client, &m)) == 0; i++) {
			assert_int_equal(
				m.header.id, i % 2 ? 100 + i / 2 : i / 2);
			ipc_msg_done(&m);
		}
		assert_int_equal(r, -EAGAIN);
	}
	json[IPC_FRAME_MAX - IPC_HEADER_SIZE - 4] = 'j';
	json[IPC_FRAME_MAX - 1] = '\0';
	assert_int_equal(ipc_chan_queue(l.daemon, IPC_ADMIN_TEXT, 1, &text.base,
				 NULL, 0),
		-EMSGSIZE);
	free(json);
	line_free(&l);
}

static void
a_full_buffer_is_told(void **state)
{
	struct pair p = pair_new(IPC_FROM_DAEMON);
	uint8_t data[1024 * IPC_HEADER_SIZE];
	size_t len = 0, got = 0;
	bool more = true;
	int r = 0;

	for (uint64_t i = 0; i < 1024; i++)
		len += plain_frame(data + len, i);
	for (int i = 0; i < 9; i++) {
		send_raw(p.raw, data, len, -1, 0);
		r = ipc_chan_read(p.chan, false, &more);
	}
	assert_int_equal(r, -ENOBUFS);
	while (next_result(p.chan) == 0)
		got++;
	assert_int_equal(got, 8 * 1024);
	read_ok(p.chan);
	assert_int_equal(next_id(p.chan), 0);
	pair_free(&p);
}

static void
refused_frames(void **state)
{
	static const struct {
		uint8_t header[IPC_HEADER_SIZE];
		int result;
	} cases[] = {
		{{0, 0, 0, 0, IPC_STATUS_GET}, IPC_E_LENGTH},
		{{15, 0, 0, 0, IPC_STATUS_GET}, IPC_E_LENGTH},
		{{1, 0, 1, 0, IPC_STATUS_GET}, IPC_E_LENGTH},
		{{255, 255, 255, 255, IPC_STATUS_GET}, IPC_E_LENGTH},
		{{16, 0, 0, 0, IPC_REPLY}, IPC_E_SENDER},
		{{16, 0, 0, 0, IPC_CONTENT_OPEN}, IPC_E_BODY},
		{{16, 0, 0, 0, IPC_STATUS_GET, 0, 1}, IPC_E_FDS},
		{{16, 0, 0, 0, 95}, IPC_E_UNKNOWN},
		{{16, 0, 0, 0, 95, 0, 200}, IPC_E_FDS},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pair p = pair_new(IPC_FROM_DAEMON);

		send_raw(p.raw, cases[i].header, IPC_HEADER_SIZE, -1, 0);
		read_ok(p.chan);
		assert_int_equal(next_result(p.chan), cases[i].result);
		pair_free(&p);
	}
}

static void
after_an_unknown_type_the_channel_goes_on(void **state)
{
	struct pair p = pair_new(IPC_FROM_DAEMON);
	uint8_t data[128] = {20, 0, 0, 0, 95, 0, 2, 0, 77};
	struct ipc_msg m;
	size_t len = 20 + plain_frame(data + 20, 5);
	unsigned before = count_fds();

	send_raw(p.raw, data, len, p.raw, 2);
	read_ok(p.chan);
	assert_int_equal(count_fds(), before + 2);
	assert_int_equal(ipc_chan_next(p.chan, &m), IPC_E_UNKNOWN);
	assert_int_equal(m.header.id, 77);
	assert_int_equal(next_id(p.chan), 5);
	assert_int_equal(count_fds(), before);
	assert_int_equal(next_result(p.chan), -EAGAIN);
	pair_free(&p);
}

static void
closing_is_told_after_the_last_frame(void **state)
{
	struct pair p = pair_new(IPC_FROM_DAEMON);
	uint8_t data[64];
	bool more;

	send_raw(p.raw, data, plain_frame(data, 3), -1, 0);
	close(p.raw);
	p.raw = -1;
	read_ok(p.chan);
	assert_int_equal(next_id(p.chan), 3);
	assert_int_equal(ipc_chan_read(p.chan, false, &more), -EPIPE);
	assert_int_equal(ipc_chan_queue(p.chan, IPC_REPLY, 1,
				 &(Pd__Reply)PD__REPLY__INIT.base, NULL, 0),
		0);
	assert_int_equal(ipc_chan_flush(p.chan), -EPIPE);
	pair_free(&p);
}

static void
a_waiting_read_keeps_to_the_timeout(void **state)
{
	struct pair p = pair_new(IPC_FROM_DAEMON);
	struct timeval tv = {0, 2000};
	uint8_t data[64];
	bool more;

	setsockopt(
		ipc_chan_fd(p.chan), SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	assert_int_equal(ipc_chan_read(p.chan, true, &more), -EAGAIN);
	send_raw(p.raw, data, plain_frame(data, 3), -1, 0);
	assert_int_equal(ipc_chan_read(p.chan, true, &more), 0);
	assert_int_equal(next_id(p.chan), 3);
	pair_free(&p);
}

/* Descriptors. */

static ino_t
inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void
descriptors_reach_their_frames(void **state)
{
	struct line l = line_new();
	Pd__SubmitPublishFile b = PD__SUBMIT_PUBLISH_FILE__INIT;
	unsigned before = count_fds();
	int fds[3], got;
	ino_t inodes[3];

	b.identifier.data = (uint8_t *)"n";
	b.identifier.len = 1;
	for (uint64_t i = 0; i < 3; i++) {
		fds[i] = memfd_create("x", MFD_CLOEXEC);
		inodes[i] = inode_of(fds[i]);
		assert_int_equal(ipc_chan_queue(l.client, IPC_STATUS_GET,
					 10 * i, NULL, NULL, 0),
			0);
		assert_int_equal(
			ipc_chan_queue(l.client, IPC_SUBMIT_PUBLISH_FILE,
				10 * i + 1, &b.base, &fds[i], 1),
			0);
		close(fds[i]);
	}
	assert_int_equal(ipc_chan_flush(l.client), 0);
	for (int i = 0; i < 3; i++) {
		while (next_result(l.daemon) == -EAGAIN)
			read_ok(l.daemon);
		assert_int_equal(ipc_chan_take_fd(l.daemon, 0), -1);
		while (next_result(l.daemon) == -EAGAIN)
			read_ok(l.daemon);
		if (i == 1)
			continue; /* not taken: closed with the next frame */
		got = ipc_chan_take_fd(l.daemon, 0);
		assert_int_equal(inode_of(got), inodes[i]);
		assert_int_equal(fcntl(got, F_GETFD), FD_CLOEXEC);
		assert_int_equal(ipc_chan_take_fd(l.daemon, 0), -1);
		assert_int_equal(ipc_chan_take_fd(l.daemon, 1), -1);
		close(got);
	}
	assert_int_equal(next_result(l.daemon), -EAGAIN);
	assert_int_equal(count_fds(), before);
	line_free(&l);
}

static void
unsent_and_unread_descriptors_are_closed(void **state)
{
	unsigned before = count_fds();
	struct line l = line_new();
	Pd__SubmitPublishFile b = PD__SUBMIT_PUBLISH_FILE__INIT;
	uint8_t data[64];
	int fd = ipc_chan_fd(l.client);

	b.identifier.data = (uint8_t *)"n";
	b.identifier.len = 1;
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(
			ipc_chan_queue(l.client, IPC_SUBMIT_PUBLISH_FILE, i,
				&b.base, &fd, 1),
			0);
	send_raw(fd, data, file_frame(data, 1, 1), fd, 1);
	read_ok(l.daemon);
	line_free(&l);
	assert_int_equal(count_fds(), before);
}

static void
a_frame_without_its_descriptor_is_refused(void **state)
{
	struct pair p = pair_new(IPC_FROM_DAEMON);
	uint8_t data[64];

	send_raw(p.raw, data, file_frame(data, 1, 1), -1, 0);
	read_ok(p.chan);
	assert_int_equal(next_result(p.chan), IPC_E_FDS);
	pair_free(&p);
}

static void
descriptors_nobody_announced_are_refused(void **state)
{
	unsigned before = count_fds();
	struct pair p = pair_new(IPC_FROM_DAEMON);
	uint8_t data[64];

	send_raw(p.raw, data, file_frame(data, 1, 1), p.raw, 2);
	read_ok(p.chan);
	assert_int_equal(next_id(p.chan), 1);
	assert_int_equal(next_result(p.chan), IPC_E_FDS);
	pair_free(&p);
	assert_int_equal(count_fds(), before);
}

static void
a_flood_of_descriptors_is_refused(void **state)
{
	unsigned before = count_fds();
	struct pair p = pair_new(IPC_FROM_DAEMON);
	bool more;
	uint8_t data[64];
	size_t len = file_frame(data, 1, 1);

	assert_in_range(len, 4, 64);
	/* More at once than two frames can have. */
	send_raw(p.raw, data, 1, p.raw, 2 * IPC_FDS_MAX + 1);
	assert_int_equal(ipc_chan_read(p.chan, false, &more), -EPROTO);
	pair_free(&p);
	assert_int_equal(count_fds(), before);
	/* Too many by and by, behind a frame that never ends. */
	p = pair_new(IPC_FROM_DAEMON);
	send_raw(p.raw, data, 1, p.raw, IPC_FDS_MAX + 1);
	read_ok(p.chan);
	send_raw(p.raw, data + 1, 1, p.raw, IPC_FDS_MAX - 1);
	read_ok(p.chan);
	send_raw(p.raw, data + 2, 1, p.raw, 1);
	assert_int_equal(ipc_chan_read(p.chan, false, &more), -EPROTO);
	pair_free(&p);
	assert_int_equal(count_fds(), before);
}

/* Sending. */

static void
queue_status(struct ipc_chan *c, uint64_t id)
{
	assert_int_equal(
		ipc_chan_queue(c, IPC_STATUS_GET, id, NULL, NULL, 0), 0);
}

static void
a_full_socket_takes_it_in_parts(void **state)
{
	struct line l = line_new();
	Pd__SubmitPublishFile b = PD__SUBMIT_PUBLISH_FILE__INIT;
	int small = 4096, fd = ipc_chan_fd(l.client), blocked = 0;
	uint64_t sent = 0, got = 0;
	ino_t inode = inode_of(fd);

	b.identifier.data = (uint8_t *)"n";
	b.identifier.len = 1;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	while (got < 20000) {
		struct ipc_msg m;
		bool more;
		int r;

		for (int i = 0; i < 500 && sent < 20000; i++, sent++) {
			if (sent % 97 != 0)
				queue_status(l.client, sent);
			else
				assert_int_equal(
					ipc_chan_queue(l.client,
						IPC_SUBMIT_PUBLISH_FILE, sent,
						&b.base, &fd, 1),
					0);
		}
		r = ipc_chan_flush(l.client);
		assert_true(r == 0 || r == -EAGAIN);
		assert_int_equal(r != 0, ipc_chan_wants_write(l.client));
		blocked += r != 0;
		(void)ipc_chan_read(l.daemon, false, &more);
		for (; ipc_chan_next(l.daemon, &m) == 0; got++) {
			assert_int_equal(m.header.id, got);
			if (got % 97 == 0) {
				int passed = ipc_chan_take_fd(l.daemon, 0);

				assert_int_equal(inode_of(passed), inode);
				close(passed);
			}
			ipc_msg_done(&m);
		}
	}
	assert_true(blocked > 10);
	line_free(&l);
}

static void
queued_bytes_are_counted(void **state)
{
	struct line l = line_new();
	Pd__Complete c = PD__COMPLETE__INIT;
	Pd__Reply reply = PD__REPLY__INIT;
	uint8_t bytes[4000] = {0};
	size_t plain;

	assert_int_equal(ipc_chan_queued(l.daemon), 0);
	assert_int_equal(ipc_chan_flush(l.daemon), 0);
	assert_int_equal(ipc_chan_reserve(l.daemon, 10), 0);
	assert_int_equal(ipc_chan_queued(l.daemon), 0);
	assert_int_equal(
		ipc_chan_queue(l.daemon, IPC_REPLY, 1, &reply.base, NULL, 0),
		0);
	plain = ipc_chan_queued(l.daemon);
	assert_int_equal(plain, IPC_HEADER_SIZE);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(ipc_chan_queue_reserved(l.daemon, i, &c), 0);
	assert_int_equal(ipc_chan_queued(l.daemon), 11 * IPC_HEADER_SIZE);
	assert_int_equal(ipc_chan_queued_plain(l.daemon), plain);
	/* What a completion brings along was not promised. */
	assert_int_equal(ipc_chan_reserve(l.daemon, 1), 0);
	c.inline_data.data = bytes;
	c.inline_data.len = sizeof(bytes);
	assert_int_equal(ipc_chan_queue_reserved(l.daemon, 1, &c), 0);
	assert_true(ipc_chan_queued_plain(l.daemon) > plain + 3900);
	assert_int_equal(ipc_chan_flush(l.daemon), 0);
	assert_int_equal(ipc_chan_queued_plain(l.daemon), 0);
	line_free(&l);
}

static size_t
resident_bytes(void)
{
	unsigned long pages, resident;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_int_equal(fscanf(f, "%lu %lu", &pages, &resident), 2);
	fclose(f);
	return resident * 4096;
}

static unsigned lasting_threads;

static void
promises_take_no_memory(void **state)
{
	struct line l = line_new();
	size_t before;

	queue_status(l.client, 1);
	await_threads(lasting_threads);
	before = resident_bytes();
	for (int i = 0; i < 1000000; i++)
		if (ipc_chan_reserve(l.client, 1) != 0)
			fail();
	assert_in_range(resident_bytes(), 0, before + (1u << 20));
	ipc_chan_unreserve(l.client, 1000000);
	assert_int_equal(ipc_chan_flush(l.client), 0);
	line_free(&l);
}

/* From now on no address space, until the limit is put back. */
static struct rlimit
no_more_memory(void)
{
	struct rlimit old, none;

	await_threads(lasting_threads);
	getrlimit(RLIMIT_AS, &old);
	none = old;
	none.rlim_cur = 1 << 20;
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	return old;
}

/* Takes everything that was promised, all frames as large as they may be. */
static void
take_promises(struct ipc_chan *c, uint64_t from, uint64_t n)
{
	Pd__Complete body = PD__COMPLETE__INIT;
	Pd__Range range = PD__RANGE__INIT;

	body.code = body.bytes = UINT32_MAX;
	body.offset = UINT64_MAX;
	body.has_offset = 1;
	range.length = IPC_READ_MAX;
	body.range = &range;
	for (uint64_t i = from; i < from + n; i++)
		if (ipc_chan_queue_reserved(c, i, &body) != 0)
			fail();
}

static uint64_t
read_all(struct ipc_chan *c, uint64_t want)
{
	bool more;

	while (ipc_chan_read(c, false, &more) == 0) {
		struct ipc_msg m;

		for (; ipc_chan_next(c, &m) == 0; want++) {
			if (m.header.id != want)
				fail();
			ipc_msg_done(&m);
		}
	}
	return want;
}

static void
skip_under_valgrind(struct line *l)
{
	if (getenv("FEW") == NULL)
		return;
	puts("skip: valgrind itself cannot live without memory");
	line_free(l);
	skip();
}

static void
promises_are_kept_without_memory(void **state)
{
	struct line l = line_new();
	struct rlimit old;
	uint64_t got = 0;
	int r;

	skip_under_valgrind(&l);
	assert_int_equal(ipc_chan_reserve(l.daemon, 50000), 0);
	old = no_more_memory();
	r = ipc_chan_reserve(l.daemon, 1000000);
	take_promises(l.daemon, 0, 20000);
	while (got < 20000) { /* the socket takes parts of it */
		(void)ipc_chan_flush(l.daemon);
		got = read_all(l.client, got);
	}
	take_promises(l.daemon, 20000, 30000);
	setrlimit(RLIMIT_AS, &old);
	assert_int_equal(r, -ENOMEM);
	while (got < 50000) {
		(void)ipc_chan_flush(l.daemon);
		got = read_all(l.client, got);
	}
	line_free(&l);
}

/* Sent and queued by turns without the queue ever running empty: what was sent
 * must not pile up in front. */
static void
a_queue_that_never_empties_stays_small(void **state)
{
	struct line l = line_new();
	uint8_t *taken = malloc(100 * IPC_COMPLETE_SIZE);
	size_t before = 0, head_start = 0, each;

	await_threads(lasting_threads);
	assert_int_equal(ipc_chan_reserve(l.daemon, 1000000), 0);
	for (uint64_t round = 0; round < 20000; round++) {
		assert_int_equal(ipc_chan_reserve(l.daemon, 100), 0);
		take_promises(l.daemon, 100 * round, 100);
		if (round < 100) { /* more than the socket holds */
			head_start = ipc_chan_queued(l.daemon);
			continue;
		}
		each = head_start / 100;
		assert_int_equal(ipc_chan_flush(l.daemon), -EAGAIN);
		assert_int_equal(
			recv(ipc_chan_fd(l.client), taken, each, MSG_WAITALL),
			each);
		if (round == 500)
			before = resident_bytes();
	}
	assert_in_range(ipc_chan_queued(l.daemon), 1, head_start + 2 * each);
	assert_in_range(resident_bytes(), 0, before + (2u << 20));
	free(taken);
	line_free(&l);
}

static void
inline_beyond_the_promise_may_fail(void **state)
{
	struct line l = line_new();
	Pd__Complete c = PD__COMPLETE__INIT;
	struct rlimit old;
	uint8_t *data;
	int r = 0;

	skip_under_valgrind(&l);
	data = calloc(1, IPC_INLINE_MAX);
	c.inline_data.data = data;
	c.inline_data.len = IPC_INLINE_MAX;
	assert_int_equal(ipc_chan_reserve(l.daemon, 1000), 0);
	assert_int_equal(ipc_chan_queue_reserved(l.daemon, 0, &c), 0);
	old = no_more_memory();
	for (int i = 1; i < 999 && r == 0; i++)
		r = ipc_chan_queue_reserved(l.daemon, 0, &c);
	c.inline_data.len = 0;
	assert_int_equal(ipc_chan_queue_reserved(l.daemon, 0, &c), 0);
	setrlimit(RLIMIT_AS, &old);
	assert_int_equal(r, -ENOMEM);
	free(data);
	line_free(&l);
}

static int
scenario(void *arg)
{
	Pd__SubmitPublishFile b = PD__SUBMIT_PUBLISH_FILE__INIT;
	struct ipc_chan *c;
	int sv[2], r;

	b.identifier.data = (uint8_t *)"n";
	b.identifier.len = 1;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) != 0)
		return -errno;
	r = ipc_chan_new(&c, sv[0], IPC_FROM_CLIENT);
	if (r == 0) {
		r = ipc_chan_reserve(c, 5);
		if (r == 0)
			r = ipc_chan_queue(c, IPC_SUBMIT_PUBLISH_FILE, 1,
				&b.base, &sv[1], 1);
		if (r == 0)
			r = ipc_chan_flush(c);
		ipc_chan_free(c);
	}
	close(sv[1]);
	return r;
}

static void
failing_allocations(void **state)
{
	unsigned before = count_fds();

	assert_true(failalloc_each(scenario, NULL) >= 4);
	assert_int_equal(count_fds(), before);
}

/* Who is there. */

static void
the_kernel_tells_who_it_is(void **state)
{
	struct line l = line_new();
	struct ipc_peer peer;
	gid_t groups[1024];
	int n = getgroups(1024, groups);

	assert_int_equal(ipc_peer_get(ipc_chan_fd(l.client), &peer), 0);
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.uid, getuid());
	assert_int_equal(peer.gid, getgid());
	assert_int_equal(peer.n_groups, n);
	assert_memory_equal(peer.groups, groups, n * sizeof(gid_t));
	ipc_peer_done(&peer);
	line_free(&l);
}

/* In a child of its own, since a process cannot come back from it. */
static int
in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
peer_of_self(struct ipc_peer *peer)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) != 0)
		return -errno;
	return ipc_peer_get(sv[0], peer);
}

static int
child_with_many_groups(void)
{
	gid_t groups[300];
	struct ipc_peer peer;

	for (gid_t i = 0; i < 300; i++)
		groups[i] = 100000 + i;
	if (setgroups(300, groups) != 0)
		return 77;
	if (peer_of_self(&peer) != 0 || peer.n_groups != 300 ||
		memcmp(peer.groups, groups, sizeof(groups)) != 0)
		return 1;
	ipc_peer_done(&peer);
	return 0;
}

static int
child_without_groups(void)
{
	struct ipc_peer peer;

	if (setgroups(0, NULL) != 0)
		return 77;
	if (peer_of_self(&peer) != 0 || peer.n_groups != 0)
		return 1;
	ipc_peer_done(&peer);
	return 0;
}

static int
child_as_overflow(void)
{
	struct ipc_peer peer;

	if (setresuid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE) != 0)
		return 77;
	return peer_of_self(&peer) == -EPERM ? 0 : 1;
}

static void
other_identities(void **state)
{
	int (*const children[])(void) = {child_with_many_groups,
		child_without_groups, child_as_overflow};

	if (geteuid() != 0) {
		print_message("skip: changing the identity needs root\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(children); i++)
		assert_int_equal(in_child(children[i]), 0);
}

static void
where_none_is_to_come_descriptors_are_dropped(void **state)
{
	struct pair p = pair_new(IPC_FROM_DAEMON);
	uint8_t frame[IPC_HEADER_SIZE];
	struct ipc_msg m;
	int before;
	bool more;

	ipc_chan_expect_plain(p.chan);
	before = count_fds();
	send_raw(p.raw, frame, plain_frame(frame, 5), 0, 1);
	assert_int_equal(ipc_chan_read(p.chan, false, &more), 0);
	assert_false(more);
	assert_int_equal(count_fds(), before);
	assert_int_equal(ipc_chan_next(p.chan, &m), 0);
	assert_int_equal(m.header.id, 5);
	ipc_msg_done(&m);
	assert_int_equal(ipc_chan_next(p.chan, &m), -EAGAIN);
	assert_int_equal(ipc_chan_read(p.chan, false, &more), -EAGAIN);
	close(p.raw);
	p.raw = -1;
	assert_int_equal(ipc_chan_read(p.chan, false, &more), -EPIPE);
	pair_free(&p);
}

/* Whatever the frames are, nothing is checked, and nothing is taken. */
static void
a_look_ahead_guesses(void **state)
{
	struct pair p = pair_new(IPC_FROM_DAEMON);
	Pd__ClientCancel cancel = PD__CLIENT_CANCEL__INIT;
	Pd__SubmitRead submit = PD__SUBMIT_READ__INIT;
	uint8_t frames[512];
	uint64_t ops[8];
	size_t len = 0;
	struct ipc_msg m;

	assert_int_equal(ipc_chan_look_ahead(p.chan, ops, 8), 0);
	cancel.handle = 1;
	cancel.operation = ipc_op_id(77, 3);
	len += ipc_build_at(
		frames + len, IPC_CLIENT_CANCEL, 1, 0, &cancel.base);
	cancel.operation = 0;
	len += ipc_build_at(
		frames + len, IPC_CLIENT_CANCEL, 2, 0, &cancel.base);
	len += plain_frame(frames + len, 3);
	submit.handle = 1;
	len += ipc_build_at(frames + len, IPC_SUBMIT_BLOCK_READ,
		ipc_op_id(9, 4), 0, &submit.base);
	len += ipc_build_at(frames + len, IPC_SUBMIT_STREAM_READ,
		ipc_op_id(10, 4), 0, &submit.base);
	/* The last one is not whole. */
	send_raw(p.raw, frames, len - 1, 0, 0);
	read_ok(p.chan);
	assert_int_equal(ipc_chan_unhandled(p.chan), len - 1);
	assert_int_equal(ipc_chan_look_ahead(p.chan, ops, 8), 4);
	assert_true(ops[0] == ipc_op_id(77, 3) && ops[1] == 0 && ops[2] == 0 &&
		ops[3] == ipc_op_id(9, 4));
	assert_int_equal(ipc_chan_look_ahead(p.chan, ops, 3), 3);
	assert_int_equal(ipc_chan_next(p.chan, &m), 0);
	ipc_msg_done(&m);
	assert_int_equal(ipc_chan_look_ahead(p.chan, ops, 8), 3);
	assert_true(ops[2] == ipc_op_id(9, 4));
	pair_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_torn_at_every_byte),
		cmocka_unit_test(many_frames_come_with_one_read),
		cmocka_unit_test(largest_frames_pass),
		cmocka_unit_test(a_full_buffer_is_told),
		cmocka_unit_test(refused_frames),
		cmocka_unit_test(after_an_unknown_type_the_channel_goes_on),
		cmocka_unit_test(closing_is_told_after_the_last_frame),
		cmocka_unit_test(a_waiting_read_keeps_to_the_timeout),
		cmocka_unit_test(descriptors_reach_their_frames),
		cmocka_unit_test(unsent_and_unread_descriptors_are_closed),
		cmocka_unit_test(a_frame_without_its_descriptor_is_refused),
		cmocka_unit_test(descriptors_nobody_announced_are_refused),
		cmocka_unit_test(a_flood_of_descriptors_is_refused),
		cmocka_unit_test(where_none_is_to_come_descriptors_are_dropped),
		cmocka_unit_test(a_look_ahead_guesses),
		cmocka_unit_test(a_full_socket_takes_it_in_parts),
		cmocka_unit_test(queued_bytes_are_counted),
		cmocka_unit_test(promises_take_no_memory),
		cmocka_unit_test(promises_are_kept_without_memory),
		cmocka_unit_test(a_queue_that_never_empties_stays_small),
		cmocka_unit_test(inline_beyond_the_promise_may_fail),
		cmocka_unit_test(failing_allocations),
		cmocka_unit_test(the_kernel_tells_who_it_is),
		cmocka_unit_test(other_identities),
	};

	lasting_threads = threads_that_last();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
