/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/api_harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/fdutil.h"

struct harness h;

static uint64_t
env_now(void *ctx)
{
	return clock_now_us() / US_PER_MS + h.ahead_ms;
}

static void
env_random(void *ctx, void *buf, size_t len)
{
	assert_int_equal(getrandom(buf, len, 0), len);
}

static struct env_job **
job_next(struct env_job *job)
{
	return (struct env_job **)&job->env_private[0];
}

static void
env_job(void *ctx, struct env_job *job)
{
	*job_next(job) = NULL;
	*h.jobs_tail = job;
	h.jobs_tail = job_next(job);
}

static void
env_peer_request(void *ctx, struct env_peer_request *r)
{
	fail_msg("nobody may ask a peer here");
}

static void
env_peer_cancel(void *ctx, struct env_peer_request *r)
{
}

static void
env_timer_changed(void *ctx)
{
}

static uint64_t
env_wall(void *ctx)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 +
		h.ahead_ms;
}

static void
env_probe(void *ctx, const struct env_probe *probe)
{
}

static void
env_match(void *ctx, const struct env_match *match)
{
}

static const struct env_ops env_functions = {
	.now_ms = env_now,
	.random = env_random,
	.job = env_job,
	.peer_request = env_peer_request,
	.peer_cancel = env_peer_cancel,
	.probe = env_probe,
	.match = env_match,
	.timer_changed = env_timer_changed,
	.wall_ms = env_wall,
};

static bool
run_job(void)
{
	struct env_job *job = h.jobs;

	if (job == NULL)
		return false;
	h.jobs = *job_next(job);
	if (h.jobs == NULL)
		h.jobs_tail = &h.jobs;
	if (job->run != NULL)
		job->run(job, h.bulk);
	job->done(job, true);
	return true;
}

void
turn(void)
{
	assert_true(
		event_base_loop(h.base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0);
	run_job();
}

int
harness_setup(void **state)
{
	memset(&h, 0, sizeof(h));
	h.base = event_base_new();
	h.env = (struct env){&env_functions, NULL};
	h.jobs_tail = &h.jobs;
	h.bulk = bulk_new(BULK_EVP);
	h.store = store_mem_new(&h.env, 64u << 20);
	h.settings.policy.enabled = true;
	h.settings.policy.clients.all = true;
	h.settings.policy.publishers.all = true;
	for (int k = 0; k < _QUOTA_MAX; k++)
		h.settings.limits.max[k] = 1000000;
	h.settings.limits.max[QUOTA_BUFFER_BYTES] = 256u << 20;
	h.settings.limits.content_info_bytes = 1 << 20;
	h.settings.preferred_content_version = 2;
	h.settings.max_peers = 4;
	h.settings.request_timeout_ms = 1000;
	h.settings.peer_strikes = 3;
	h.service = service_new(&h.env, h.store, &h.settings,
		(const uint8_t *)"0123456789abcdef0123456789abcdef", 32);
	if (h.base == NULL || h.bulk == NULL || h.service == NULL)
		return -1;
	h.hashes = store_mem_hash_new(&h.env, 0);
	if (h.hashes == NULL)
		return -1;
	service_set_hash_store(h.service, h.hashes);
	service_ready(h.service, true);
	h.limits = (struct client_limits)CLIENT_LIMITS_DEFAULT;
	h.limits.write_size = h.limits.read_size = 1u << 20;
	client_set_init(&h.set, h.base, h.service, &h.limits, &h.hooks);
	return 0;
}

static void
service_end(void)
{
	while (!service_idle(h.service))
		if (!run_job())
			fail_msg("the service is not idle and has no job");
	while (run_job())
		;
	h.service = service_free(h.service);
	h.store = h.store->ops->close(h.store);
	h.hashes = h.hashes->ops->close(h.hashes);
}

int
harness_teardown(void **state)
{
	client_set_done(&h.set);
	service_end();
	bulk_free(h.bulk);
	event_base_free(h.base);
	return 0;
}

int
connect_as(uint32_t uid)
{
	struct identity who = {.pid = 4242, .uid = uid, .n_gids = 1};
	struct quota_user *user;
	int sv[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	who.gids = malloc(sizeof(uint32_t));
	who.gids[0] = uid;
	user = quota_user_get(service_quota(h.service), uid);
	assert_true(quota_take(user, QUOTA_CONNECTIONS, 1));
	assert_int_equal(client_new(&h.set, sv[1], &who, user), 0);
	return sv[0];
}

void
end_open(struct end *e, int fd)
{
	memset(e, 0, sizeof(*e));
	assert_int_equal(ipc_chan_new(&e->chan, fd, IPC_FROM_CLIENT), 0);
}

void
end_close(struct end *e)
{
	e->chan = ipc_chan_free(e->chan);
	if (e->area != NULL)
		munmap(e->area, e->area_size);
	e->area = NULL;
}

void
put(struct end *e, enum ipc_type type, uint64_t id, const void *body)
{
	assert_int_equal(ipc_chan_queue(e->chan, type, id, body, NULL, 0), 0);
	assert_int_equal(ipc_chan_flush(e->chan), 0);
}

bool
get_now(struct end *e, struct ipc_msg *ret)
{
	bool more;
	int r = ipc_chan_next(e->chan, ret);

	if (r == 0)
		return true;
	assert_int_equal(r, -EAGAIN);
	r = ipc_chan_read(e->chan, false, &more);
	if (r == -EPIPE)
		e->closed = true;
	return r == 0 && ipc_chan_next(e->chan, ret) == 0;
}

void
get(struct end *e, enum ipc_type type, uint64_t id, struct ipc_msg *ret)
{
	TURN_UNTIL(get_now(e, ret) || e->closed);
	assert_false(e->closed);
	assert_string_equal(
		ipc_type_name(ret->header.type), ipc_type_name(type));
	assert_true(ret->header.id == id);
}

uint32_t
get_code(struct end *e, enum ipc_type type, uint64_t id)
{
	struct ipc_msg m;
	uint32_t code;

	get(e, type, id, &m);
	code = m.u.reply->code;
	ipc_msg_done(&m);
	return code;
}

uint64_t
get_handle(struct end *e, uint64_t id)
{
	struct ipc_msg m;
	uint64_t handle;

	get(e, IPC_REPLY, id, &m);
	assert_int_equal(m.u.reply->code, 0);
	handle = m.u.reply->handle;
	ipc_msg_done(&m);
	return handle;
}

uint32_t
get_complete(struct end *e, uint64_t id)
{
	struct ipc_msg m;
	uint32_t code;

	get(e, IPC_COMPLETE, id, &m);
	code = m.u.complete->code;
	ipc_msg_done(&m);
	return code;
}

void
get_closed(struct end *e)
{
	struct ipc_msg m;

	TURN_UNTIL(get_now(e, &m) || e->closed);
	assert_true(e->closed);
}

void
put_hello(struct end *e, uint32_t min, uint32_t max, uint64_t features)
{
	Pd__Hello hello = PD__HELLO__INIT;

	hello.min_version = min;
	hello.max_version = max;
	hello.features = features;
	hello.name = (char *)"test \"1\"";
	put(e, IPC_HELLO, 0, &hello);
}

void
greet(struct end *e, uint64_t features)
{
	struct ipc_msg m;
	int fd;

	put_hello(e, 1, 1, features);
	get(e, IPC_HELLO, 0, &m);
	fd = ipc_chan_take_fd(e->chan, 0);
	assert_int_equal(fd >= 0, m.u.hello->features & IPC_FEATURE_AREA);
	if (fd >= 0) {
		e->write_size = m.u.hello->write_size;
		e->area_size = e->write_size + m.u.hello->read_size;
		assert_int_equal(fd_memfd_check(fd, e->area_size), 0);
		e->area = mmap(NULL, e->area_size, PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);
		assert_true(e->area != MAP_FAILED);
		close(fd);
	}
	ipc_msg_done(&m);
}

struct end
session_as(uint32_t uid)
{
	struct end e;

	end_open(&e, connect_as(uid));
	greet(&e, IPC_FEATURE_AREA);
	assert_non_null(e.area);
	return e;
}
