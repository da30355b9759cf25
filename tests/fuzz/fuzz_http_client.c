/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A conversation with a hostile server.  The input says what it sends: pieces
 * of a length byte each, one per pass of the loop; a length of 0 closes the
 * connection, so that the rest comes on the next one.  At the end of the input
 * everything is closed.  Some requests are made, the last from the done of
 * another; each ends once, with what its result promises.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/macros.h"
#include "daemon/net/http_client.h"
#include "daemon/net/loop.h"

#define REQUESTS     4u
#define MAX_RESPONSE 700u

struct question {
	struct http_request http;
	unsigned done;
};

static struct {
	struct loop *loop;
	struct http_client *client;
	struct event accept;
	struct event write;
	struct loop_alarm hang;
	int listener;
	int fd; /* -1: no connection */
	struct parse_addr addr;
	const uint8_t *data;
	size_t len;
	struct question questions[REQUESTS];
	unsigned started;
	unsigned ended;
} s;

int LLVMFuzzerInitialize(int *, char ***);
int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
hang_up(void)
{
	if (s.fd < 0)
		return;
	event_del(&s.write);
	close(s.fd);
	s.fd = -1;
}

static void
on_write(evutil_socket_t fd, short what, void *arg)
{
	char question[512];
	size_t n;

	while (recv(fd, question, sizeof(question), MSG_DONTWAIT) > 0)
		continue;
	if (s.len == 0 || s.data[0] == 0) {
		s.data += s.len > 0;
		s.len -= s.len > 0;
		hang_up();
		return;
	}
	n = MIN_OF(s.len - 1, (size_t)s.data[0]);
	(void)!send(fd, s.data + 1, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	s.data += n + 1;
	s.len -= n + 1;
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (c < 0)
		return;
	if (s.fd >= 0 || s.len == 0) {
		close(c);
		return;
	}
	s.fd = c;
	event_assign(&s.write, loop_base(s.loop), c, EV_WRITE | EV_PERSIST,
		on_write, NULL);
	event_add(&s.write, NULL);
}

static void
check_answer(const struct http_request *r)
{
	assert(r->result >= 0 && r->result < _HTTP_RESULT_MAX);
	assert(r->result != HTTP_CANCELLED && r->result != HTTP_TIMEOUT);
	if (r->result != HTTP_DONE) {
		assert(r->memory == NULL && r->data == NULL);
		return;
	}
	assert(r->status == 200 && r->data_len <= MAX_RESPONSE);
	assert(r->data >= r->memory);
	for (size_t i = 0; i < r->data_len; i++)
		r->memory[0] ^= r->data[i]; /* a sanitizer sees where it is */
}

static void ask(void);

static void
on_done(struct http_request *r)
{
	struct question *q = container_of(r, struct question, http);

	assert(q->done++ == 0);
	check_answer(r);
	free(r->memory);
	if (s.started < REQUESTS)
		ask();
	if (++s.ended == REQUESTS)
		loop_stop(s.loop);
}

static void
ask(void)
{
	struct question *q = &s.questions[s.started++];

	memset(q, 0, sizeof(*q));
	q->http.addr = s.addr;
	q->http.path = "/";
	q->http.body = (const uint8_t *)"x";
	q->http.body_len = 1;
	q->http.max_response = MAX_RESPONSE;
	q->http.timeout_ms = 60000;
	q->http.done = on_done;
	http_client_start(s.client, &q->http);
}

static void
on_hang(struct loop_alarm *a)
{
	abort();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct sockaddr_in *in = (void *)&s.addr.ss;

	assert(loop_new(&s.loop, NULL, NULL) == 0);
	loop_alarm_init(&s.hang, s.loop, on_hang);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s.addr.len = sizeof(*in);
	s.fd = -1;
	s.listener =
		socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert(s.listener >= 0);
	assert(bind(s.listener, (void *)in, sizeof(*in)) == 0);
	assert(listen(s.listener, 16) == 0);
	assert(getsockname(s.listener, (void *)in, &s.addr.len) == 0);
	event_assign(&s.accept, loop_base(s.loop), s.listener,
		EV_READ | EV_PERSIST, on_accept, NULL);
	event_add(&s.accept, NULL);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct http_limits limits = {.per_host = 1, .total = 1};

	s.data = data;
	s.len = len;
	s.started = s.ended = 0;
	s.client = http_client_new(s.loop, &limits);
	assert(s.client != NULL);
	loop_alarm_start(&s.hang, 5000);
	while (s.started < REQUESTS - 1)
		ask();
	assert(loop_run(s.loop) == 0);
	loop_alarm_stop(&s.hang);
	assert(s.ended == REQUESTS);
	s.client = http_client_free(s.client);
	hang_up();
	return 0;
}
