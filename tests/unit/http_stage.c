/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/http_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/unit/closing.h"
#include "tests/unit/net_peer.h"

struct http_stage stage;

/* In place of the C library's. */
ssize_t
preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	assert_int_equal(flags, RWF_NOWAIT);
	stage.looks++;
	if ((uint64_t)offset >= stage.cold_from) {
		errno = EAGAIN;
		return -1;
	}
	return preadv(fd, iov, n, offset);
}

static bool
match(void *ctx, const char *path, size_t len)
{
	assert_true(len > 0 && *path == '/');
	return len < 2 || path[1] != '-';
}

static void
handle(void *ctx, struct http_conn *c)
{
	stage.handled++;
	assert_null(http_conn_user(c));
	http_conn_set_user(c, &stage);
	stage.handle(c);
}

static void
ended(void *ctx, struct http_conn *c, bool whole)
{
	assert_ptr_equal(http_conn_user(c), &stage);
	stage.whole += whole;
	stage.cut += !whole;
	stage.span_sent = http_conn_span_sent(c);
	if (stage.ended != NULL)
		stage.ended(c);
	net_wait_check();
}

static const struct http_service *
route(struct http_conn_set *set, const char *path, size_t len)
{
	return match(NULL, path, len) ? &stage.service : NULL;
}

static void
on_closed(struct http_conn_set *set, struct http_conn *c)
{
	net_wait_check();
}

void
stage_open(struct talk *t)
{
	int fds[2], small = 65536;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0, fds),
		0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	assert_int_equal(http_conn_new(&stage.set, fds[0], NULL, NULL), 0);
	talk_begin(t, stage.loop, fds[1]);
}

static void
fill_file(void)
{
	stage.file = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(stage.file, STAGE_FILE_LEN), 0);
	stage.memory = mmap(NULL, STAGE_FILE_LEN, PROT_READ | PROT_WRITE,
		MAP_SHARED, stage.file, 0);
	assert_ptr_not_equal(stage.memory, MAP_FAILED);
	for (size_t i = 0; i < STAGE_FILE_LEN; i++)
		stage.memory[i] = (uint8_t)(i * 7 ^ i >> 11);
}

int
stage_setup(void **state)
{
	memset(&stage, 0, sizeof(stage));
	stage.fds = count_fds();
	assert_int_equal(loop_new(&stage.loop, NULL, NULL), 0);
	http_conn_set_init(&stage.set, stage.loop);
	stage.set.route = route;
	stage.set.closed = on_closed;
	stage.set.limits = (struct http_conn_limits){
		.request_ms = 20000, .idle_ms = 20000, .stall_ms = 20000};
	stage.service = (struct http_service){
		.match = match,
		.methods = 1u << HTTP_GET | 1u << HTTP_POST | 1u << HTTP_HEAD,
		.body_max = STAGE_BODY_MAX,
		.handle = handle,
		.ended = ended,
	};
	stage.cold_from = UINT64_MAX;
	fill_file();
	stage_open(&stage.talk);
	return 0;
}

int
stage_teardown(void **state)
{
	talk_end(&stage.talk);
	http_conn_set_close(&stage.set);
	assert_int_equal(stage.set.n_conns, 0);
	assert_int_equal(stage.handled, stage.whole + stage.cut);
	loop_free(stage.loop);
	munmap(stage.memory, STAGE_FILE_LEN);
	close(stage.file);
	assert_int_equal(count_fds(), stage.fds);
	return 0;
}

bool
stage_all_closed(void *arg)
{
	return stage.set.n_conns == 0;
}

bool
stage_all_ended(void *arg)
{
	return stage.handled == stage.whole + stage.cut;
}
