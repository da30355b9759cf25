/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/lib_daemon.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "proto/peerdist_errors.h"

#define IDS_MAX 262144u

struct fake {
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t cond;
	pthread_t thread;
	char dir[32];
	char path[64];
	bool running;
	bool stop;
	bool drop;
	int wake_fd;
	int listen_fd;
	struct ipc_chan *chan;
	uint8_t *map;
	bool no_area;
	fake_hook hook;
	void *hook_arg;
	uint32_t status;
	uint32_t max_operations;
	uint32_t refuse;
	uint64_t handles;
	uint64_t *ids; /* as submitted */
	bool *pending; /* which of them are */
	unsigned n_ids;
	unsigned seen[IPC_TYPE_LIMIT];
};

static void
wake(struct fake *f)
{
	uint64_t one = 1;

	if (write(f->wake_fd, &one, sizeof(one)) < 0)
		abort();
}

struct fake *
fake_new(void)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->cond, NULL);
	strcpy(f->dir, "/tmp/peerdist-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	strcpy(f->path, f->dir);
	strcat(f->path, "/sock");
	setenv("PEERDIST_SOCKET", f->path, 1);
	f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->status = PEERDIST_STATUS_AVAILABLE;
	f->max_operations = 65536;
	f->ids = calloc(IDS_MAX, sizeof(*f->ids));
	f->pending = calloc(IDS_MAX, sizeof(*f->pending));
	f->listen_fd = -1;
	return f;
}

/* With the lock. */
static void
send_locked(struct fake *f, enum ipc_type type, uint64_t id,
	const ProtobufCMessage *body, int fd)
{
	struct pollfd p;

	if (f->chan == NULL)
		return;
	assert_int_equal(
		ipc_chan_queue(f->chan, type, id, body, &fd, fd >= 0 ? 1 : 0),
		0);
	while (ipc_chan_flush(f->chan) == -EAGAIN) {
		p = (struct pollfd){ipc_chan_fd(f->chan), POLLOUT, 0};
		poll(&p, 1, 1000);
	}
}

void
fake_send(struct fake *f, enum ipc_type type, uint64_t id,
	const ProtobufCMessage *body)
{
	pthread_mutex_lock(&f->lock);
	send_locked(f, type, id, body, -1);
	pthread_mutex_unlock(&f->lock);
}

void
fake_send_bytes(struct fake *f, const void *data, size_t len)
{
	pthread_mutex_lock(&f->lock);
	assert_non_null(f->chan);
	assert_int_equal(fd_write_all(ipc_chan_fd(f->chan), data, len), 0);
	pthread_mutex_unlock(&f->lock);
}

void
fake_reply(struct fake *f, enum ipc_type type, uint64_t id, uint32_t code)
{
	Pd__Reply r = PD__REPLY__INIT;

	r.code = code;
	pthread_mutex_lock(&f->lock);
	r.handle = ++f->handles;
	send_locked(f, type, id, &r.base, -1);
	pthread_mutex_unlock(&f->lock);
}

void
fake_send_status(struct fake *f, uint32_t status)
{
	Pd__Status s = PD__STATUS__INIT;

	s.status = status;
	s.min_content_version = 1;
	s.max_content_version = 2;
	pthread_mutex_lock(&f->lock);
	f->status = status;
	send_locked(f, IPC_STATUS, 0, &s.base, -1);
	pthread_mutex_unlock(&f->lock);
}

static void
complete_locked(struct fake *f, uint64_t id, uint32_t code, uint32_t bytes)
{
	Pd__Complete c = PD__COMPLETE__INIT;

	c.code = code;
	c.bytes = bytes;
	send_locked(f, IPC_COMPLETE, id, &c.base, -1);
	for (unsigned i = 0; i < f->n_ids; i++)
		if (f->ids[i] == id)
			f->pending[i] = false;
}

void
fake_complete(struct fake *f, uint64_t id, uint32_t code, uint32_t bytes)
{
	pthread_mutex_lock(&f->lock);
	complete_locked(f, id, code, bytes);
	pthread_mutex_unlock(&f->lock);
}

uint64_t
fake_nth_id(struct fake *f, unsigned n)
{
	uint64_t id;

	pthread_mutex_lock(&f->lock);
	assert_true(n < f->n_ids);
	id = f->ids[n];
	pthread_mutex_unlock(&f->lock);
	return id;
}

void
fake_complete_nth(struct fake *f, unsigned n, uint32_t code)
{
	fake_complete(f, fake_nth_id(f, n), code, 0);
}

uint8_t *
fake_area(struct fake *f)
{
	return f->map;
}

unsigned
fake_seen(struct fake *f, enum ipc_type type)
{
	unsigned n;

	pthread_mutex_lock(&f->lock);
	n = f->seen[type];
	pthread_mutex_unlock(&f->lock);
	return n;
}

void
fake_wait_seen(struct fake *f, enum ipc_type type, unsigned n)
{
	struct timespec ts;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += FAKE_WAIT_MS / 1000;
	pthread_mutex_lock(&f->lock);
	while (f->seen[type] < n && r == 0)
		r = pthread_cond_timedwait(&f->cond, &f->lock, &ts);
	pthread_mutex_unlock(&f->lock);
	assert_int_equal(r, 0);
}

/* With the lock.  How many were pending. */
static unsigned
abort_pending(struct fake *f, uint64_t id)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n_ids; i++) {
		if (!f->pending[i] || (id != 0 && f->ids[i] != id))
			continue;
		complete_locked(f, f->ids[i], ERROR_OPERATION_ABORTED, 0);
		n++;
	}
	return n;
}

static void
greet(struct fake *f)
{
	Pd__Hello h = PD__HELLO__INIT;
	int fd = -1;

	h.min_version = IPC_VERSION_MIN;
	h.max_version = IPC_VERSION_MAX;
	h.max_operations = f->max_operations;
	h.status = f->status;
	h.min_content_version = 1;
	h.max_content_version = 2;
	h.name = "fake";
	if (!f->no_area) {
		h.write_size = FAKE_WRITE_SIZE;
		h.read_size = FAKE_READ_SIZE;
		fd = fd_memfd_sealed("fake", FAKE_WRITE_SIZE + FAKE_READ_SIZE);
		assert_true(fd >= 0);
		f->map = mmap(NULL, FAKE_WRITE_SIZE + FAKE_READ_SIZE,
			PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		assert_true(f->map != MAP_FAILED);
	}
	send_locked(f, IPC_HELLO, 0, &h.base, fd);
	if (fd >= 0)
		close(fd);
}

static bool
is_submit(unsigned type)
{
	return type >= IPC_SUBMIT_STREAM_ADD && type <= IPC_SUBMIT_FLUSH;
}

static uint32_t
cancel_code(struct fake *f, uint64_t id)
{
	return abort_pending(f, id) > 0 ? 0 : PEERDIST_ERROR_OPERATION_NOTFOUND;
}

static void
answer_request(struct fake *f, struct ipc_msg *m)
{
	Pd__Reply r = PD__REPLY__INIT;

	r.code = f->refuse;
	r.handle = ++f->handles;
	switch (m->header.type) {
	case IPC_CLIENT_CANCEL:
		r.code = cancel_code(f, m->u.client_cancel->operation);
		break;
	case IPC_SERVER_CANCEL:
		r.code = cancel_code(f, m->u.server_cancel->operation);
		break;
	case IPC_CONTENT_CLOSE:
	case IPC_STREAM_CLOSE:
	case IPC_INFO_CLOSE:
	case IPC_UNPUBLISH:
	case IPC_SESSION_END:
		abort_pending(f, 0);
		break;
	case IPC_STATUS_GET:
		r.value = f->status;
		r.handle = UINT64_C(2) << 32 | 1;
		break;
	default:
		break;
	}
	send_locked(f, IPC_REPLY, m->header.id, &r.base, -1);
}

static void
answer(struct fake *f, struct ipc_msg *m)
{
	Pd__Reply r = PD__REPLY__INIT;

	if (m->header.type == IPC_HELLO) {
		greet(f);
	} else if (is_submit(m->header.type)) {
		r.code = f->refuse;
		send_locked(f, IPC_ACK, m->header.id, &r.base, -1);
	} else if (m->header.type >= IPC_STATUS_GET) {
		answer_request(f, m);
	}
}

static void
handle(struct fake *f, struct ipc_msg *m)
{
	fake_hook hook;
	void *arg;
	bool done = false;

	pthread_mutex_lock(&f->lock);
	if (is_submit(m->header.type) && f->n_ids < IDS_MAX) {
		f->pending[f->n_ids] = f->refuse == 0;
		f->ids[f->n_ids++] = m->header.id;
	}
	hook = f->hook;
	arg = f->hook_arg;
	pthread_mutex_unlock(&f->lock);
	if (hook != NULL)
		done = hook(f, m, arg);
	pthread_mutex_lock(&f->lock);
	if (!done)
		answer(f, m);
	f->seen[m->header.type]++;
	pthread_cond_broadcast(&f->cond);
	pthread_mutex_unlock(&f->lock);
}

static void
hang_up(struct fake *f)
{
	pthread_mutex_lock(&f->lock);
	f->chan = ipc_chan_free(f->chan);
	if (f->map != NULL)
		munmap(f->map, FAKE_WRITE_SIZE + FAKE_READ_SIZE);
	f->map = NULL;
	memset(f->pending, 0, IDS_MAX * sizeof(*f->pending));
	f->drop = false;
	pthread_cond_broadcast(&f->cond);
	pthread_mutex_unlock(&f->lock);
}

/* Takes what the connection has; false when it is over. */
static bool
serve(struct fake *f)
{
	struct ipc_msg m;
	bool more = true;
	int r;

	while (more) {
		r = ipc_chan_read(f->chan, false, &more);
		if (r == -EAGAIN)
			return true;
		if (r < 0)
			return false;
		while ((r = ipc_chan_next(f->chan, &m)) == 0) {
			handle(f, &m);
			ipc_msg_done(&m);
		}
		if (r != -EAGAIN)
			return false;
	}
	return true;
}

static void
welcome(struct fake *f)
{
	int fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct ipc_chan *chan;

	if (fd < 0 || ipc_chan_new(&chan, fd, IPC_FROM_DAEMON) < 0)
		return;
	pthread_mutex_lock(&f->lock);
	f->chan = chan;
	pthread_mutex_unlock(&f->lock);
}

static void *
run(void *arg)
{
	struct fake *f = arg;
	bool stop = false, drop;
	uint64_t value;

	while (!stop) {
		/* One client at a time: the next one waits in the backlog. */
		struct pollfd p[2] = {
			{f->wake_fd, POLLIN, 0},
			{f->chan != NULL ? ipc_chan_fd(f->chan) : f->listen_fd,
				POLLIN, 0},
		};

		poll(p, 2, -1);
		if (p[0].revents && read(f->wake_fd, &value, 8) < 0)
			continue;
		pthread_mutex_lock(&f->lock);
		stop = f->stop;
		drop = f->drop;
		pthread_mutex_unlock(&f->lock);
		if (f->chan == NULL && !drop && !stop && p[1].revents)
			welcome(f);
		else if (f->chan != NULL && !drop && p[1].revents)
			drop = !serve(f);
		if (drop || stop)
			hang_up(f);
	}
	return NULL;
}

void
fake_start(struct fake *f)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	assert_false(f->running);
	strcpy(sun.sun_path, f->path);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(f->listen_fd >= 0);
	assert_int_equal(bind(f->listen_fd, (void *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(f->listen_fd, 16), 0);
	f->stop = false;
	f->running = true;
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

void
fake_stop(struct fake *f)
{
	if (!f->running)
		return;
	/* First, so that nobody who is thrown out comes back. */
	unlink(f->path);
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_mutex_unlock(&f->lock);
	wake(f);
	pthread_join(f->thread, NULL);
	close(f->listen_fd);
	f->listen_fd = -1;
	f->running = false;
}

void
fake_drop(struct fake *f)
{
	pthread_mutex_lock(&f->lock);
	f->drop = true;
	wake(f);
	while (f->drop)
		pthread_cond_wait(&f->cond, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

void
fake_free(struct fake *f)
{
	fake_stop(f);
	rmdir(f->dir);
	close(f->wake_fd);
	free(f->ids);
	free(f->pending);
	free(f);
}

void
fake_hook_set(struct fake *f, fake_hook hook, void *arg)
{
	pthread_mutex_lock(&f->lock);
	f->hook = hook;
	f->hook_arg = arg;
	pthread_mutex_unlock(&f->lock);
}

void
fake_status(struct fake *f, uint32_t status)
{
	pthread_mutex_lock(&f->lock);
	f->status = status;
	pthread_mutex_unlock(&f->lock);
}

void
fake_max_operations(struct fake *f, uint32_t n)
{
	f->max_operations = n;
}

void
fake_no_area(struct fake *f)
{
	f->no_area = true;
}

void
fake_refuse(struct fake *f, uint32_t code)
{
	pthread_mutex_lock(&f->lock);
	f->refuse = code;
	pthread_mutex_unlock(&f->lock);
}

void
expect_packet(
	HANDLE port, OVERLAPPED *ov, ULONG_PTR key, DWORD code, DWORD bytes)
{
	OVERLAPPED *got = NULL;
	ULONG_PTR got_key = 0;
	DWORD got_bytes = 0;
	BOOL ok;

	ok = pdw_GetQueuedCompletionStatus(
		port, &got_bytes, &got_key, &got, FAKE_WAIT_MS);
	assert_ptr_equal(got, ov);
	assert_int_equal(ok ? 0 : pdw_GetLastError(), code);
	assert_int_equal(got_key, key);
	assert_int_equal(got_bytes, bytes);
}

void
expect_no_packet(HANDLE port)
{
	OVERLAPPED *got = NULL;
	ULONG_PTR key;
	DWORD bytes;

	assert_false(
		pdw_GetQueuedCompletionStatus(port, &bytes, &key, &got, 0));
	assert_null(got);
	assert_int_equal(pdw_GetLastError(), WAIT_TIMEOUT);
}

void
expect_result(OVERLAPPED *ov, DWORD code, DWORD bytes)
{
	DWORD got_bytes = 0;
	BOOL ok;

	ok = pdw_GetOverlappedResultEx(
		NULL, ov, &got_bytes, FAKE_WAIT_MS, FALSE);
	assert_int_equal(ok ? 0 : pdw_GetLastError(), code);
	assert_int_equal(got_bytes, bytes);
	assert_true(HasOverlappedIoCompleted(ov));
}

PEERDIST_INSTANCE_HANDLE
start_instance(void)
{
	PEERDIST_INSTANCE_HANDLE h = NULL;

	assert_int_equal(PeerDistStartup(PEERDIST_VERSION, &h, NULL), 0);
	assert_non_null(h);
	return h;
}

HANDLE
make_port(void)
{
	HANDLE h = pdw_CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);

	assert_non_null(h);
	return h;
}

PEERDIST_CONTENT_HANDLE
open_content(PEERDIST_INSTANCE_HANDLE instance, HANDLE port, ULONG_PTR key)
{
	PEERDIST_CONTENT_TAG tag = {{1}};
	PEERDIST_CONTENT_HANDLE h = NULL;

	assert_int_equal(
		PeerDistClientOpenContent(instance, &tag, port, key, &h), 0);
	return h;
}

PEERDIST_STREAM_HANDLE
open_stream(PEERDIST_INSTANCE_HANDLE instance, HANDLE port, ULONG_PTR key)
{
	PEERDIST_STREAM_HANDLE h = NULL;
	BYTE ident[] = "stream";

	assert_int_equal(PeerDistServerPublishStream(instance, sizeof(ident),
				 ident, 0, NULL, port, key, &h),
		0);
	return h;
}
