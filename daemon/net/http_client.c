/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libcurl's multi interface on the loop.
 *
 * Objects.  A request is the caller's; while it lives it has a transfer, ours:
 * its deadline, its answer, and, once it runs, its libcurl handle.  Hosts exist
 * while they have a transfer, waiting or running.  A watch is one descriptor
 * that libcurl wants to know about.
 *
 *   start   request gets a transfer, which waits at its host
 *   pump    starts what the limits allow: one of a host, next host, ...
 *   end     everything that belongs to the transfer is freed at once, whatever
 *           it was doing; the request goes to the ended list, and done follows
 *           from a deferred call
 *
 * end is called by libcurl's result, by the deadline (ours and not libcurl's,
 * as it covers the waiting too) and by cancel.  None of these is inside a
 * callback of libcurl, so a handle may always be removed.
 *
 * When a callback of libcurl cannot get memory or a descriptor, libcurl's multi
 * handle is dead for good: all that runs ends with HTTP_NO_MEMORY and the next
 * request makes a new one.  It is first made when it is first needed, since
 * most daemons never ask a peer and libcurl is large.
 */
#include "daemon/net/http_client.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <net/if.h>

#include "common/buf.h"
#include "common/macros.h"
#include "daemon/net/http_client_lib.h"
#include "daemon/net/loop.h"

#define HEADERS_MAX      32768u
#define RECEIVE_SIZE     65536L
#define IDLE_SECONDS_MAX 30L /* servers close after 60 */
#define URL_MAX          160

TAILQ_HEAD(request_list, http_request);
TAILQ_HEAD(host_list, http_host);

struct http_host {
	struct sockaddr_storage ss;
	unsigned running;
	struct request_list waiting;
	TAILQ_ENTRY(http_host) link;
};

struct http_transfer {
	struct http_client *client;
	struct http_request *request;
	struct http_host *host;
	struct loop_alarm deadline;
	struct buf answer;
	size_t header_bytes;
	bool headers_over; /* more than HEADERS_MAX */
	bool headers_end;  /* the empty line came */
	CURL *easy;        /* NULL: waits */
};

struct http_watch {
	struct http_client *client;
	struct event event;
	LIST_ENTRY(http_watch) link;
};

struct http_client {
	struct http_client_lib lib; /* valid while curl_ready */
	struct loop *loop;
	struct http_limits limits;
	CURLM *multi; /* NULL before the first use */
	bool curl_ready;
	bool broken; /* multi is dead */
	struct curl_slist *headers;
	struct loop_alarm timer; /* libcurl's */
	struct loop_deferred timer_now;
	LIST_HEAD(, http_watch) watches;
	struct host_list hosts;
	unsigned running;
	struct request_list active; /* the requests of running transfers */
	struct request_list ended;
	struct loop_deferred tell;
	struct loop_deferred pump;
};

/* Hosts */

static bool
same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port &&
			a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a6->sin6_port == b6->sin6_port &&
		a6->sin6_scope_id == b6->sin6_scope_id &&
		memcmp(&a6->sin6_addr, &b6->sin6_addr, 16) == 0;
}

/* A walk: the hosts of a branch that are being asked at one time are few. */
static struct http_host *
host_get(struct http_client *client, const struct parse_addr *addr)
{
	struct http_host *host;

	TAILQ_FOREACH (host, &client->hosts, link)
		if (same_host(&host->ss, &addr->ss))
			return host;
	host = calloc(1, sizeof(*host));
	if (host == NULL)
		return NULL;
	memcpy(&host->ss, &addr->ss, sizeof(host->ss));
	TAILQ_INIT(&host->waiting);
	TAILQ_INSERT_TAIL(&client->hosts, host, link);
	return host;
}

static void
host_put(struct http_client *client, struct http_host *host)
{
	if (host == NULL || host->running > 0 || !TAILQ_EMPTY(&host->waiting))
		return;
	TAILQ_REMOVE(&client->hosts, host, link);
	free(host);
}

/* The end of a transfer */

static void
transfer_detach(struct http_transfer *t)
{
	struct http_client *client = t->client;
	const struct http_client_lib *lib = &client->lib;

	loop_alarm_stop(&t->deadline);
	if (t->easy == NULL) {
		if (t->host != NULL)
			TAILQ_REMOVE(&t->host->waiting, t->request, link);
	} else {
		TAILQ_REMOVE(&client->active, t->request, link);
		client->running--;
		t->host->running--;
		/* closes the connection unless the answer is complete */
		lib->multi_remove_handle(client->multi, t->easy);
		lib->easy_cleanup(t->easy);
	}
	host_put(client, t->host);
	buf_done(&t->answer);
	free(t);
}

static void
request_ended(struct http_client *client, struct http_request *req,
	enum http_result result)
{
	req->transfer = NULL;
	req->result = result;
	TAILQ_INSERT_TAIL(&client->ended, req, link);
	loop_defer(client->loop, &client->tell);
}

static void
transfer_end(struct http_transfer *t, enum http_result result)
{
	struct http_client *client = t->client;
	struct http_request *req = t->request;

	if (result == HTTP_DONE)
		req->data = buf_take(&t->answer, &req->data_len);
	transfer_detach(t);
	request_ended(client, req, result);
	loop_defer(client->loop, &client->pump);
}

static void
on_tell(struct loop_deferred *d)
{
	struct http_client *client = container_of(d, struct http_client, tell);
	struct request_list now = TAILQ_HEAD_INITIALIZER(now);
	struct http_request *req;

	/* what ends meanwhile is told in the next pass */
	TAILQ_CONCAT(&now, &client->ended, link);
	while ((req = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, req, link);
		req->done(req);
	}
}

static void
on_deadline(struct loop_alarm *a)
{
	transfer_end(
		container_of(a, struct http_transfer, deadline), HTTP_TIMEOUT);
}

/* libcurl's results */

static enum http_result
result_of_code(const struct http_transfer *t, CURLcode code)
{
	if (t->headers_over)
		return HTTP_TOO_BIG;
	if (t->request->status > 200)
		return HTTP_STATUS;
	switch (code) {
	case CURLE_OK:
		/* libcurl is content with a connection that ends in the
		 * middle of the headers */
		if (!t->headers_end)
			return HTTP_REFUSED;
		return t->request->status == 200 ? HTTP_DONE : HTTP_STATUS;
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_TIMEOUT;
	case CURLE_FILESIZE_EXCEEDED:
		return HTTP_TOO_BIG;
	case CURLE_WRITE_ERROR:
		if (buf_error(&t->answer) == -EMSGSIZE)
			return HTTP_TOO_BIG;
		/* a coding that libcurl could not undo ends here as well */
		return buf_error(&t->answer) != 0 ? HTTP_NO_MEMORY
						  : HTTP_GARBAGE;
	case CURLE_OUT_OF_MEMORY:
	case CURLE_ABORTED_BY_CALLBACK: /* on_socket() failed */
		return HTTP_NO_MEMORY;
	case CURLE_COULDNT_CONNECT:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_FAIL_REWIND:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
		return HTTP_REFUSED;
	default:
		return HTTP_GARBAGE;
	}
}

static void
watch_free(struct http_watch *watch)
{
	LIST_REMOVE(watch, link);
	event_del(&watch->event);
	free(watch);
}

static void
timer_stop(struct http_client *client)
{
	loop_alarm_stop(&client->timer);
	loop_undefer(client->loop, &client->timer_now);
}

/* All that runs ends; connections kept for later are closed. */
static void
multi_free(struct http_client *client, enum http_result result)
{
	const struct http_client_lib *lib = &client->lib;
	struct http_request *req;
	struct http_watch *watch;

	while ((req = TAILQ_FIRST(&client->active)) != NULL)
		transfer_end(req->transfer, result);
	if (client->multi != NULL)
		lib->multi_cleanup(client->multi);
	client->multi = NULL;
	client->broken = false;
	/* a multi handle that broke may have forgotten some */
	while ((watch = LIST_FIRST(&client->watches)) != NULL)
		watch_free(watch);
	timer_stop(client);
}

static void
read_results(struct http_client *client)
{
	const struct http_client_lib *lib = &client->lib;
	struct http_transfer *t;
	CURLMsg *msg;
	char *private;
	long status;
	int left;

	while ((msg = lib->multi_info_read(client->multi, &left)) != NULL) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		lib->easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
		lib->easy_getinfo(
			msg->easy_handle, CURLINFO_RESPONSE_CODE, &status);
		t = (struct http_transfer *)(void *)private;
		t->request->status = (unsigned)status;
		transfer_end(t, result_of_code(t, msg->data.result));
	}
	if (client->broken)
		multi_free(client, HTTP_NO_MEMORY);
}

static void
socket_action(struct http_client *client, curl_socket_t fd, int what)
{
	const struct http_client_lib *lib = &client->lib;
	int running;

	if (lib->multi_socket_action(client->multi, fd, what, &running) !=
		CURLM_OK)
		client->broken = true;
	read_results(client);
}

/* Callbacks of libcurl and of the events that it wants */

static void
on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct http_watch *watch = arg;
	int bits = 0;

	if (what & EV_READ)
		bits |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		bits |= CURL_CSELECT_OUT;
	socket_action(watch->client, fd, bits);
}

static void
on_timer(struct loop_alarm *a)
{
	socket_action(container_of(a, struct http_client, timer),
		CURL_SOCKET_TIMEOUT, 0);
}

static void
on_timer_now(struct loop_deferred *d)
{
	socket_action(container_of(d, struct http_client, timer_now),
		CURL_SOCKET_TIMEOUT, 0);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock)
{
	struct http_client *client = arg;
	struct http_watch *watch = sock;
	short bits = EV_PERSIST;

	if (what == CURL_POLL_REMOVE) {
		if (watch != NULL)
			watch_free(watch);
		return 0;
	}
	if (watch == NULL) {
		watch = calloc(1, sizeof(*watch));
		if (watch == NULL)
			goto broken;
		watch->client = client;
		LIST_INSERT_HEAD(&client->watches, watch, link);
		client->lib.multi_assign(client->multi, fd, watch);
	} else {
		event_del(&watch->event);
	}
	if (what & CURL_POLL_IN)
		bits |= EV_READ;
	if (what & CURL_POLL_OUT)
		bits |= EV_WRITE;
	event_assign(
		&watch->event, loop_base(client->loop), fd, bits, on_fd, watch);
	if (event_add(&watch->event, NULL) == 0)
		return 0;
broken:
	client->broken = true;
	return -1;
}

static int
on_set_timer(CURLM *multi, long ms, void *arg)
{
	struct http_client *client = arg;

	timer_stop(client);
	/* even 0 goes through the loop: libcurl must not be entered here */
	if (ms == 0)
		loop_defer(client->loop, &client->timer_now);
	else if (ms > 0)
		loop_alarm_start(&client->timer, (uint64_t)ms);
	return 0;
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;

	/* also 1xx answers and trailers; libcurl keeps them all in memory */
	t->header_bytes += size * n;
	t->headers_over = t->header_bytes > HEADERS_MAX;
	if (*data == '\r' || *data == '\n')
		t->headers_end = true;
	else if (n >= 5 && memcmp(data, "HTTP/", 5) == 0)
		t->headers_end = false;
	return t->headers_over ? 0 : size * n;
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	const struct http_client_lib *lib = &t->client->lib;
	long status = 0;

	/* nobody waits for the text of an error page */
	lib->easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return 0;
	buf_append(&t->answer, data, size * n);
	return buf_error(&t->answer) != 0 ? 0 : size * n;
}

/* Starting */

static bool
multi_new(struct http_client *client)
{
	struct http_client_lib *lib = &client->lib;
	CURLM *m;

	if (client->multi != NULL)
		return true;
	if (!client->curl_ready) {
		if (!http_client_lib_load(lib))
			return false;
		if (lib->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
			http_client_lib_unload(lib);
			return false;
		}
		client->curl_ready = true;
	}
	m = lib->multi_init();
	if (m == NULL)
		return false;
	lib->multi_setopt(m, CURLMOPT_SOCKETFUNCTION, on_socket);
	lib->multi_setopt(m, CURLMOPT_SOCKETDATA, client);
	lib->multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_set_timer);
	lib->multi_setopt(m, CURLMOPT_TIMERDATA, client);
	lib->multi_setopt(m, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	lib->multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)client->limits.total);
	client->multi = m;
	return true;
}

static bool
headers_new(struct http_client *client)
{
	const struct http_client_lib *lib = &client->lib;
	struct curl_slist *list, *more;

	if (client->headers != NULL)
		return true;
	/* without a value: libcurl leaves the header out */
	list = lib->slist_append(NULL, "Expect:");
	more = lib->slist_append(
		list, "Content-Type: application/octet-stream");
	if (more == NULL) {
		lib->slist_free_all(list);
		return false;
	}
	client->headers = more;
	return true;
}

static bool
format_url(char *dst, const struct http_request *req)
{
	const struct sockaddr_in *in4 = (const void *)&req->addr.ss;
	const struct sockaddr_in6 *in6 = (const void *)&req->addr.ss;
	char text[INET6_ADDRSTRLEN];
	int n;

	if (req->addr.ss.ss_family == AF_INET) {
		inet_ntop(AF_INET, &in4->sin_addr, text, sizeof(text));
		n = snprintf(dst, URL_MAX, "http://%s:%u%s", text,
			ntohs(in4->sin_port), req->path);
	} else {
		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		n = snprintf(dst, URL_MAX, "http://[%s]:%u%s", text,
			ntohs(in6->sin6_port), req->path);
	}
	return n < URL_MAX;
}

/* Who is spoken to. */
static bool
set_target(const struct http_client_lib *lib, CURL *e,
	const struct http_request *req)
{
	const struct sockaddr_in6 *in6 = (const void *)&req->addr.ss;
	char url[URL_MAX];

	if (!format_url(url, req))
		return false;
	if (req->addr.ss.ss_family == AF_INET6)
		lib->easy_setopt(
			e, CURLOPT_ADDRESS_SCOPE, (long)in6->sin6_scope_id);
	return lib->easy_setopt(e, CURLOPT_URL, url) == CURLE_OK &&
		lib->easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
		lib->easy_setopt(e, CURLOPT_NOPROXY, "*") == CURLE_OK &&
		lib->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK;
}

/* Those options that only store a number or a pointer cannot fail. */
static bool
easy_setup(struct http_transfer *t, CURL *e)
{
	const struct http_request *req = t->request;
	const struct http_client_lib *lib = &t->client->lib;

	if (!set_target(lib, e, req))
		return false;
	lib->easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	lib->easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	lib->easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	lib->easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	lib->easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	lib->easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	lib->easy_setopt(e, CURLOPT_MAXAGE_CONN, IDLE_SECONDS_MAX);
	lib->easy_setopt(e, CURLOPT_BUFFERSIZE, RECEIVE_SIZE);
	lib->easy_setopt(e, CURLOPT_HTTPHEADER, t->client->headers);
	lib->easy_setopt(e, CURLOPT_POST, 1L);
	lib->easy_setopt(e, CURLOPT_POSTFIELDS, req->body);
	lib->easy_setopt(
		e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
	lib->easy_setopt(
		e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)req->max_response);
	lib->easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	lib->easy_setopt(e, CURLOPT_HEADERDATA, t);
	lib->easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	lib->easy_setopt(e, CURLOPT_WRITEDATA, t);
	lib->easy_setopt(e, CURLOPT_PRIVATE, t);
	return true;
}

/* Takes a waiting transfer into libcurl. */
static void
transfer_run(struct http_transfer *t)
{
	struct http_client *client = t->client;
	const struct http_client_lib *lib = &client->lib;
	CURL *e = NULL;

	if (multi_new(client) && headers_new(client))
		e = lib->easy_init();
	if (e == NULL || !easy_setup(t, e) ||
		lib->multi_add_handle(client->multi, e) != CURLM_OK) {
		if (e != NULL)
			lib->easy_cleanup(e);
		transfer_end(t, HTTP_NO_MEMORY);
		return;
	}
	t->easy = e;
	TAILQ_REMOVE(&t->host->waiting, t->request, link);
	TAILQ_INSERT_TAIL(&client->active, t->request, link);
	t->host->running++;
	client->running++;
}

/* The next host whose turn it is, or NULL. */
static struct http_host *
host_next(struct http_client *client)
{
	struct http_host *host;

	if (client->running >= client->limits.total)
		return NULL;
	TAILQ_FOREACH (host, &client->hosts, link)
		if (host->running < client->limits.per_host &&
			!TAILQ_EMPTY(&host->waiting))
			return host;
	return NULL;
}

static void
on_pump(struct loop_deferred *d)
{
	struct http_client *client = container_of(d, struct http_client, pump);
	struct http_host *host;

	while ((host = host_next(client)) != NULL) {
		TAILQ_REMOVE(&client->hosts, host, link);
		TAILQ_INSERT_TAIL(&client->hosts, host, link);
		transfer_run(TAILQ_FIRST(&host->waiting)->transfer);
	}
	if (client->broken)
		multi_free(client, HTTP_NO_MEMORY);
}

static struct http_transfer *
transfer_new(struct http_client *client, struct http_request *req)
{
	struct http_transfer *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->client = client;
	t->request = req;
	buf_init(&t->answer, req->max_response);
	loop_alarm_init(&t->deadline, client->loop, on_deadline);
	t->host = host_get(client, &req->addr);
	if (t->host == NULL) {
		free(t);
		return NULL;
	}
	loop_alarm_start(&t->deadline, req->timeout_ms);
	return t;
}

struct http_client *
http_client_new(struct loop *loop, const struct http_limits *limits)
{
	struct http_client *client = calloc(1, sizeof(*client));

	assert(limits->per_host > 0 && limits->total > 0);
	if (client == NULL)
		return NULL;
	client->loop = loop;
	client->limits = *limits;
	client->tell.fn = on_tell;
	client->pump.fn = on_pump;
	LIST_INIT(&client->watches);
	TAILQ_INIT(&client->hosts);
	TAILQ_INIT(&client->active);
	TAILQ_INIT(&client->ended);
	loop_alarm_init(&client->timer, loop, on_timer);
	client->timer_now.fn = on_timer_now;
	return client;
}

struct http_client *
http_client_free(struct http_client *client)
{
	struct http_host *host;

	if (client == NULL)
		return NULL;
	multi_free(client, HTTP_CANCELLED);
	while ((host = TAILQ_FIRST(&client->hosts)) != NULL)
		transfer_end(
			TAILQ_FIRST(&host->waiting)->transfer, HTTP_CANCELLED);
	on_tell(&client->tell);
	assert(TAILQ_EMPTY(&client->ended) && TAILQ_EMPTY(&client->hosts));
	loop_undefer(client->loop, &client->tell);
	loop_undefer(client->loop, &client->pump);
	if (client->curl_ready) {
		client->lib.slist_free_all(client->headers);
		client->lib.global_cleanup();
		http_client_lib_unload(&client->lib);
	}
	free(client);
	return NULL;
}

void
http_client_start(struct http_client *client, struct http_request *req)
{
	req->status = 0;
	req->data = NULL;
	req->data_len = 0;
	req->transfer = transfer_new(client, req);
	if (req->transfer == NULL) {
		request_ended(client, req, HTTP_NO_MEMORY);
		return;
	}
	TAILQ_INSERT_TAIL(&req->transfer->host->waiting, req, link);
	loop_defer(client->loop, &client->pump);
}

void
http_client_cancel(struct http_client *client, struct http_request *req)
{
	if (req->transfer != NULL)
		transfer_end(req->transfer, HTTP_CANCELLED);
}
