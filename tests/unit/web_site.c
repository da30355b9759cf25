/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/web_site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/macros.h"
#include "tests/unit/closing.h"
#include "tests/unit/net_peer.h"

struct web_site site;

/* In place of the system's. */

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

/* The web server calls this for openat2() alone. */
long
__wrap_syscall(long number, ...)
{
	const char *path;
	void *how;
	va_list args;
	size_t len;
	int fd;

	assert_int_equal(number, SYS_openat2);
	va_start(args, number);
	fd = va_arg(args, int);
	path = va_arg(args, const char *);
	how = va_arg(args, void *);
	len = va_arg(args, size_t);
	va_end(args);
	if (site.no_openat2) {
		errno = ENOSYS;
		return -1;
	}
	return __real_syscall(number, fd, path, how, len);
}

ssize_t
preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	assert_int_equal(flags, RWF_NOWAIT);
	if (site.cold) {
		errno = EAGAIN;
		return -1;
	}
	return preadv(fd, iov, n, offset);
}

int __wrap_fd_may_stall(int fd);

int
__wrap_fd_may_stall(int fd)
{
	return site.stalls;
}

/* There are threads for some, and any number may go at once. */
void __wrap_fd_close_foreign(int fd, uint32_t user);

void
__wrap_fd_close_foreign(int fd, uint32_t user)
{
	fail_msg("is left open if many go at once");
}

/* hashed.h */

enum hashed_result __wrap_hashed_get(
	struct service *, const struct stat *, struct hashed_ask *);
void __wrap_hashed_give_back(struct hashed_ask *);
bool __wrap_hashed_want(struct service *, int fd, const struct stat *);

static void
lend(struct hashed_ask *ask)
{
	site.lent++;
	ask->version = site.version;
	ask->bytes = (const uint8_t *)site.info;
	ask->len = strlen(site.info);
}

enum hashed_result
__wrap_hashed_get(
	struct service *svc, const struct stat *st, struct hashed_ask *ask)
{
	assert_ptr_equal(svc, site.service);
	assert_true(ask->length > 0);
	assert_true(ask->offset + ask->length <= (uint64_t)st->st_size);
	assert_true(ask->versions >= 1 && ask->versions <= 3);
	site.asks++;
	site.last = *ask;
	site.st = *st;
	if (site.hashes == HASHED_OK)
		lend(ask);
	if (site.hashes == HASHED_LATER) {
		assert_null(site.waiting);
		site.waiting = ask;
	}
	net_wait_check();
	return site.hashes;
}

void
__wrap_hashed_give_back(struct hashed_ask *ask)
{
	if (site.waiting == ask)
		site.waiting = NULL;
	else
		assert_true(site.lent-- > 0);
	ask->bytes = NULL;
	net_wait_check();
}

bool
__wrap_hashed_want(struct service *svc, int fd, const struct stat *st)
{
	struct stat now;

	assert_int_equal(fstat(fd, &now), 0);
	assert_int_equal(now.st_ino, st->st_ino);
	site.wants++;
	return !site.refuses;
}

static bool
has_ask(void *ctx)
{
	return site.waiting != NULL;
}

void
web_site_await_ask(void)
{
	net_wait(site.loop, has_ask, NULL);
}

void
web_site_answer_ask(void)
{
	struct hashed_ask *ask = site.waiting;

	assert_non_null(ask);
	site.waiting = NULL;
	if (site.then == HASHED_OK)
		lend(ask);
	ask->done(ask, site.then);
}

/* The environment */

static uint64_t
now_ms(void *ctx)
{
	return 1;
}

static uint64_t
wall_ms(void *ctx)
{
	return site.now_s * 1000 + 999;
}

void
web_site_do_job(void)
{
	struct env_job *job;

	assert_true(site.n_jobs > 0);
	job = site.jobs[--site.n_jobs];
	job->run(job, NULL);
	job->done(job, true);
}

static void
on_work(struct loop_deferred *d)
{
	while (site.n_cancelled > 0) {
		struct env_job *job = site.cancelled[--site.n_cancelled];

		job->done(job, false);
	}
	while (site.n_jobs > 0 && !site.by_hand)
		web_site_do_job();
}

static void
take_job(void *ctx, struct env_job *job)
{
	assert_true(site.n_jobs < SITE_JOBS);
	site.jobs[site.n_jobs++] = job;
	site.opened++;
	site.opened_slow += job->slow;
	if (!site.by_hand)
		loop_defer(site.loop, &site.work);
	net_wait_check();
}

/* One of them runs, and the others wait. */
static void
cancel_job(void *ctx, struct env_job *job)
{
	assert_true(site.n_jobs > 0);
	site.cancels++;
	for (size_t i = 1; i < site.n_jobs; i++) {
		if (site.jobs[i] != job)
			continue;
		site.jobs[i] = site.jobs[--site.n_jobs];
		site.cancelled[site.n_cancelled++] = job;
		loop_defer(site.loop, &site.work);
	}
}

void
web_site_stall(void)
{
	struct web_settings settings = {
		.min_size = SITE_MIN, .patience_ms = site.patience_ms};

	site.stalls = true;
	assert_int_equal(web_configure(site.web, &settings), 0);
	settings.root = site.root;
	assert_int_equal(web_configure(site.web, &settings), 0);
}

static bool
has_job(void *ctx)
{
	return site.n_jobs > 0;
}

void
web_site_await_job(void)
{
	net_wait(site.loop, has_job, NULL);
}

static void
timer_changed(void *ctx)
{
}

static void
fill(void *ctx, void *buf, size_t len)
{
	memset(buf, 1, len);
}

static const struct env_ops env_ops = {
	.now_ms = now_ms,
	.wall_ms = wall_ms,
	.random = fill,
	.job = take_job,
	.job_cancel = cancel_job,
	.timer_changed = timer_changed,
};

static const struct block_store_ops no_store;
static struct block_store store = {.ops = &no_store};

static void
service_begin(void)
{
	static const uint8_t key[32] = {1};
	static const struct service_settings settings = {
		.policy = {.enabled = true,
			.clients = {.all = true},
			.publishers = {.all = true}},
		.preferred_content_version = 2,
		.max_peers = 16,
	};

	site.env = (struct env){.ops = &env_ops};
	site.service =
		service_new(&site.env, &store, &settings, key, sizeof(key));
	assert_non_null(site.service);
	service_ready(site.service, true);
	assert_int_equal(service_configure(site.service, &settings), 0);
}

static void
folder_begin(void)
{
	strcpy(site.path, "/tmp/test_web.XXXXXX");
	assert_non_null(mkdtemp(site.path));
	assert_int_equal(chmod(site.path, 0755), 0);
	snprintf(site.root, sizeof(site.root), "%s/root", site.path);
	assert_int_equal(mkdir(site.root, 0755), 0);
}

int
web_site_setup(void **state)
{
	const struct web_settings settings = {
		.root = site.root, .min_size = SITE_MIN};
	struct parse_addr addr;

	memset(&site, 0, sizeof(site));
	site.now_s = SITE_NOW;
	site.hashes = HASHED_FAILED;
	site.work.fn = on_work;
	site.fds = count_fds();
	folder_begin();
	assert_int_equal(loop_new(&site.loop, NULL, NULL), 0);
	service_begin();
	site.server = http_server_new(site.loop, NULL);
	assert_non_null(site.server);
	site.web = web_new(site.loop, site.service, &site.env, site.server);
	assert_non_null(site.web);
	assert_int_equal(web_configure(site.web, &settings), 0);
	assert_int_equal(parse_addr_port("127.0.0.1:0", &addr), 0);
	assert_int_equal(
		http_server_listen(site.server, &addr, NULL, &site.listener),
		0);
	site.port = http_listener_port(site.listener);
	talk_connect(&site.talk, site.loop, site.port);
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	return remove(path);
}

int
web_site_teardown(void **state)
{
	talk_end(&site.talk);
	http_server_free(site.server);
	site.by_hand = false;
	do
		on_work(&site.work);
	while (site.n_jobs > 0 || site.n_cancelled > 0);
	loop_undefer(site.loop, &site.work);
	assert_int_equal(site.lent, 0);
	assert_null(site.waiting);
	service_ready(site.service, false);
	assert_true(service_idle(site.service));
	assert_null(web_free(site.web));
	service_free(site.service);
	loop_free(site.loop);
	assert_int_equal(count_fds(), site.fds);
	return nftw(site.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Files */

const char *
web_site_path(const char *path)
{
	static char whole[512];

	snprintf(whole, sizeof(whole), "%s/%s", site.root, path);
	return whole;
}

void
web_site_touch(const char *path, uint64_t when_s)
{
	struct timespec times[2] = {
		{.tv_sec = (time_t)when_s}, {.tv_sec = (time_t)when_s}};

	assert_int_equal(utimensat(AT_FDCWD, web_site_path(path), times, 0), 0);
}

void
web_site_file(const char *path, const void *data, size_t len)
{
	int fd = open(web_site_path(path),
		O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
	web_site_touch(path, SITE_NOW - 3600);
}

void
web_site_text(const char *path, const char *text)
{
	web_site_file(path, text, strlen(text));
}

uint8_t
web_site_byte(uint64_t at)
{
	return (uint8_t)(at * 11 ^ at >> 9);
}

void
web_site_big(const char *path, size_t len)
{
	uint8_t *data = malloc(len);

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = web_site_byte(i);
	web_site_file(path, data, len);
	free(data);
}

void
web_site_folder(const char *path)
{
	assert_int_equal(mkdir(web_site_path(path), 0755), 0);
}

void
web_site_link(const char *path, const char *target)
{
	assert_int_equal(symlink(target, web_site_path(path)), 0);
}

void
web_site_etag(const char *path, char etag[64])
{
	struct stat st;

	assert_int_equal(stat(web_site_path(path), &st), 0);
	snprintf(etag, 64, "\"%llx-%llx-%llx\"",
		st.st_mtim.tv_sec * 1000000000ULL +
			(unsigned long long)st.st_mtim.tv_nsec,
		(unsigned long long)st.st_size,
		st.st_ctim.tv_sec * 1000000000ULL +
			(unsigned long long)st.st_ctim.tv_nsec);
}

void
web_site_stamp(const char *path, char text[SITE_STAMP_TEXT])
{
	char etag[64];

	web_site_etag(path, etag);
	snprintf(text, SITE_STAMP_TEXT,
		SITE_DATE "Last-Modified: Fri, 14 Jul 2017 01:40:00 GMT\r\n"
			  "ETag: %s\r\nAccept-Ranges: bytes\r\n",
		etag);
}

/* Talking */

void
web_site_get(const char *path, const char *fields)
{
	talk_say(&site.talk, "GET ");
	talk_say(&site.talk, path);
	talk_say(&site.talk, " HTTP/1.1\r\nHost: a\r\n");
	talk_say(&site.talk, fields);
	talk_say(&site.talk, "\r\n");
}

int
web_site_once(void *arg)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_port = htons(site.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[4096];

	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_true(send(fd, arg, strlen(arg), 0) > 0);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	talk_settle(site.loop);
	if (site.waiting != NULL)
		web_site_answer_ask();
	talk_settle(site.loop);
	while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
		;
	close(fd);
	talk_settle(site.loop);
	return 0;
}

void
web_site_expect_head(
	const char *status, size_t len, const char *type, const char *fields)
{
	char head[1024];

	snprintf(head, sizeof(head),
		"HTTP/1.1 %s\r\nContent-Length: %zu\r\n"
		"Content-Type: %s\r\n",
		status, len, type);
	talk_expect(&site.talk, head);
	talk_expect(&site.talk, fields);
	talk_expect(&site.talk, "\r\n");
}

void
web_site_expect_error(unsigned status, const char *reason)
{
	char line[64], first[80];

	snprintf(line, sizeof(line), "%u %s", status, reason);
	snprintf(first, sizeof(first), "%s\n", line);
	web_site_expect_head(line, strlen(first), "text/plain", SITE_DATE);
	talk_expect(&site.talk, first);
}

void
web_site_expect_bytes(uint64_t from, size_t len)
{
	const uint8_t *got = talk_await(&site.talk, len);

	for (size_t i = 0; i < len; i++)
		if (got[i] != web_site_byte(from + i))
			fail_msg("byte %llu is not that of the file",
				(unsigned long long)(from + i));
}
