/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A conversation: the input is what a client says, cut into pieces.  A piece is
 * a byte n and n bytes (0: the client reads what has come); the last byte of
 * the input says how it ends.  Whatever is said, the answers are whole and
 * well-formed HTTP, as many as requests were handled or refused, and nothing is
 * left when the connection is over.
 *
 * The last byte of a path says how it is answered.  Files and parts of files in
 * capital letters are not in memory: the service has them read later, K and P,
 * at once, W, or gives up, X.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <http_parser.h>

#include "common/macros.h"
#include "daemon/net/http_conn.h"
#include "daemon/net/loop.h"

#define FILE_LEN 300000u
#define BODY_MAX 2000u

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct {
	struct loop *loop;
	struct http_conn_set set;
	int file;
	int fd;                 /* the client's */
	struct http_conn *to;   /* be answered later */
	struct http_conn *cold; /* to be warmed later */
	char how;               /* it is being answered */
	unsigned handled;
	unsigned ended;
	unsigned whole;
	/* of the client */
	http_parser parser;
	unsigned answers; /* but those that say 100 */
	bool head;        /* a HEAD was among the requests */
	bool over;
} f;

static bool
match(void *ctx, const char *path, size_t len)
{
	assert(len > 0);
	return path[len - 1] != '-';
}

/* In place of the C library's. */
ssize_t
preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	assert(fd == f.file && offset >= 0 && offset < FILE_LEN);
	errno = EAGAIN;
	return f.how >= 'A' && f.how <= 'Z' ? -1 : 1;
}

static void
cold(void *ctx, struct http_conn *c, uint64_t offset, uint64_t len)
{
	static const uint8_t brought[50000];

	assert(f.cold == NULL && f.to != c);
	assert(len > 0 && offset < FILE_LEN && len <= FILE_LEN - offset);
	if (f.how == 'W')
		http_conn_warmed(c, NULL, 0);
	else if (f.how == 'B')
		http_conn_warmed(
			c, brought, MIN_OF(len, 1 + offset % sizeof(brought)));
	else if (f.how == 'X')
		http_conn_abort(c);
	else
		f.cold = c;
}

static void
answer(struct http_conn *c, char how)
{
	static const struct http_part parts[] = {
		{"one", 3, 100, 70000},
		{"", 0, 200, 0},
		{"two", 3, FILE_LEN - 1, 1},
		{"three", 5, 0, 0},
	};
	static const uint8_t memory[5000];
	struct http_answer a = {.status = 200, .type = "a/b"};

	a.head = http_conn_body(c, &a.head_len);
	assert(a.head_len <= BODY_MAX);
	a.fd = f.file;
	f.how = how;
	if (strchr("fBKWX", how) != NULL) {
		a.offset = 1;
		a.span = FILE_LEN - 1;
	} else if (how == 'p' || how == 'P') {
		a.parts = parts;
		a.n_parts = ARRAY_LEN(parts);
	} else if (how == 'm') {
		a.bytes = memory;
		a.span = sizeof(memory);
	}
	a.close = how == 'c';
	if (how == 'n')
		a.status = 304;
	http_conn_answer(c, &a);
}

/* In order, and nothing in them that could be something else. */
static void
check_header(void *ctx, const char *name, size_t name_len, const char *value,
	size_t len)
{
	const char **last = ctx;

	assert(name > *last && name_len > 0 && value > name + name_len);
	assert(memchr(name, ':', name_len) == NULL);
	assert(memchr(name, ' ', name_len) == NULL);
	assert(memchr(value, '\n', len) == NULL);
	assert(memchr(value, 0, len) == NULL);
	assert(len == 0 || (*value != ' ' && value[len - 1] != ' '));
	*last = value + len - 1;
}

static void
check_headers(struct http_conn *c)
{
	const char *last;
	size_t len;

	last = http_conn_path(c, &len);
	http_conn_each_header(c, check_header, &last);
}

static void
handle(void *ctx, struct http_conn *c)
{
	size_t len;
	const char *path = http_conn_path(c, &len);
	size_t value_len = 0;
	const char *value = http_conn_header(c, "Host", &value_len);

	f.handled++;
	f.head |= http_conn_method(c) == HTTP_HEAD;
	assert(value != NULL || value_len == 0);
	assert(memchr(path, 0, len) == NULL);
	check_headers(c);
	if (path[len - 1] == 'l')
		f.to = c;
	else if (path[len - 1] == 'a')
		http_conn_abort(c);
	else
		answer(c, path[len - 1]);
}

static void
ended(void *ctx, struct http_conn *c, bool whole)
{
	f.ended++;
	f.whole += whole;
	if (f.to == c)
		f.to = NULL;
	if (f.cold == c)
		f.cold = NULL;
}

static const struct http_service service = {
	.match = match,
	.methods = 1u << HTTP_GET | 1u << HTTP_POST | 1u << HTTP_HEAD,
	.body_max = BODY_MAX,
	.handle = handle,
	.ended = ended,
	.cold = cold,
};

static const struct http_service *
route(struct http_conn_set *set, const char *path, size_t len)
{
	return match(NULL, path, len) ? &service : NULL;
}

/* The client */

static int
on_message(http_parser *p)
{
	f.answers += p->status_code != 100;
	return 0;
}

static const http_parser_settings callbacks = {
	.on_message_complete = on_message};

/* Answers to HEAD have no body, which only the asker knows: from then on they
 * are not looked at. */
static void
read_answers(void)
{
	char bytes[65536];
	ssize_t n;

	while ((n = recv(f.fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		size_t len = (size_t)n;

		if (f.head)
			continue;
		assert(!f.over);
		assert(http_parser_execute(&f.parser, &callbacks, bytes, len) ==
			len);
		assert(HTTP_PARSER_ERRNO(&f.parser) == HPE_OK);
	}
	f.over |= n == 0 || (errno != EAGAIN && errno != EINTR);
}

struct pass {
	struct loop_deferred deferred;
	unsigned left;
};

static void
on_pass(struct loop_deferred *d)
{
	struct pass *p = container_of(d, struct pass, deferred);

	if (p->left-- > 0)
		loop_defer(f.loop, d);
	else
		loop_stop(f.loop);
}

static void
run(void)
{
	struct pass p = {.deferred.fn = on_pass, .left = 3};

	loop_defer(f.loop, &p.deferred);
	if (loop_run(f.loop) != 0)
		abort();
}

static void
begin(void)
{
	int fds[2], small = 4096;

	if (f.loop == NULL) {
		signal(SIGPIPE, SIG_IGN);
		f.file = memfd_create("fuzz", MFD_CLOEXEC);
		if (loop_new(&f.loop, NULL, NULL) != 0 ||
			ftruncate(f.file, FILE_LEN) != 0)
			abort();
		http_conn_set_init(&f.set, f.loop);
		f.set.route = route;
		f.set.limits = (struct http_conn_limits){.request_ms = 100000,
			.idle_ms = 100000,
			.stall_ms = 100000};
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		    fds) != 0)
		abort();
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	f.fd = fds[1];
	f.to = NULL;
	f.cold = NULL;
	f.handled = 0;
	f.ended = 0;
	f.whole = 0;
	f.answers = 0;
	f.head = false;
	f.over = false;
	f.set.counters = (struct http_counters){0};
	http_parser_init(&f.parser, HTTP_RESPONSE);
	if (http_conn_new(&f.set, fds[0], NULL, NULL) != 0)
		abort();
}

/* What waits for the service does not any more. */
static void
serve(void)
{
	if (f.to != NULL)
		answer(TAKE_PTR(f.to), 'x');
	if (f.cold != NULL)
		http_conn_warmed(TAKE_PTR(f.cold), NULL, 0);
}

static void
say(const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t piece = MIN_OF((size_t)data[0], len - 1);

		if (piece > 0)
			(void)send(f.fd, data + 1, piece, MSG_NOSIGNAL);
		run();
		if (piece == 0)
			read_answers();
		if (data[0] % 4 == 0)
			serve();
		data += piece + 1;
		len -= piece + 1;
	}
}

/* All answers, as long as any come. */
static void
finish(void)
{
	shutdown(f.fd, SHUT_WR);
	for (unsigned i = 0; i < 1000 && f.set.n_conns > 0; i++) {
		run();
		serve();
		read_answers();
	}
	read_answers();
	assert(f.set.n_conns == 0);
	if (!f.head && f.set.counters.broken == 0)
		assert(f.answers == f.whole + f.set.counters.refused);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t end = len > 0 ? data[len - 1] % 3 : 0;

	begin();
	if (len > 0)
		say(data, len - 1);
	if (end == 0)
		finish();
	else if (end == 1)
		http_conn_set_close(&f.set);
	close(f.fd);
	for (unsigned i = 0; i < 100 && f.set.n_conns > 0; i++) {
		run();
		serve();
	}
	assert(f.set.n_conns == 0);
	assert(f.handled == f.ended);
	return 0;
}
