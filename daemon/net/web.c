/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a request
 *
 *   path --> open, on the loop: what the kernel has in memory --+--> reply
 *                  | it would have to wait                      |    | | |
 *                  +--> open, by a worker ----------------------+    | | |
 *                                                                    | | |
 *            reply once more <-- still the same file? <-- hashes <---+ | |
 *                                                                      | |
 *                    error, redirection, 304, content information <----+ |
 *                                                                        |
 *            ended <-- sendfile, a worker reads what is cold <-----------+
 *
 * The descriptor that was opened stays the only one: what it is was asked of
 * it, its hashes are those of exactly this state of this file, and it is what
 * is sent.
 *
 * A request that is refused at once needs no memory.  The others have a struct
 * web_request, of which some are kept for the next ones.  The connection may
 * end at any point; the request then waits only for what a worker does with it,
 * and holds the service meanwhile.
 *
 * Without openat2() every request would have to go to a worker, and in the
 * service's own unit there is none.  So paths that a worker has opened within
 * the last seconds are walked to on the loop, since nothing of their way has
 * left the kernel's memory in so short a time.  Whoever may write beneath the
 * root can put another way there meanwhile: it may not be a long one, and where
 * it leads to something that is mounted there, a worker goes on.
 *
 * Where the file system may stall, workers do all of it: they open, look, read
 * what is sent, and close, one after the other for each file system, which is
 * known by its device before it is asked for anything.  A request whose turn
 * does not come, or does not end, has a time-out; it is answered, and what a
 * worker has of it comes home later, or never.
 */
#include "daemon/net/web.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <http_parser.h>

#include "common/close.h"
#include "common/macros.h"
#include "daemon/net/http_server.h"
#include "daemon/net/web_path.h"
#include "daemon/net/web_priv.h"
#include "daemon/net/web_type.h"

#define REQUESTS_KEPT 64u /* unused ones */
#define LATELY_S      10
#define BODY_MAX      4096u /* of a GET: not looked at */
#define RETRY_AFTER_S "30"
/* Of a file that may stall: so much each connection may hold. */
#define SLOW_WINDOW (128u << 10)

int64_t
web_now_s(const struct web *w)
{
	return (int64_t)(w->env->ops->wall_ms(w->env->ctx) / 1000);
}

/* Requests */

static struct web_request *
request_new(struct web *w, struct http_conn *c, struct web_root *root)
{
	struct web_request *r = LIST_FIRST(&w->unused);

	if (r != NULL) {
		LIST_REMOVE(r, link);
		w->n_unused--;
	} else {
		r = malloc(sizeof(*r));
		if (r == NULL)
			return NULL;
	}
	memset(r, 0, sizeof(*r));
	r->web = w;
	r->conn = c;
	r->root = web_root_ref(root);
	r->min_size = w->min_size;
	r->place = root->dev;
	r->is_get = http_conn_method(c) == HTTP_GET;
	r->fd = -1;
	w->n_running++;
	return r;
}

static void
request_keep(struct web_request *r)
{
	struct web *w = r->web;

	w->n_running--;
	if (w->n_unused == REQUESTS_KEPT) {
		free(r);
		return;
	}
	w->n_unused++;
	LIST_INSERT_HEAD(&w->unused, r, link);
}

static void
patience_begin(struct web_request *r)
{
	struct web *w = r->web;

	r->patience_end_ms = loop_now_ms() + w->patience_ms;
	if (TAILQ_EMPTY(&w->patient))
		loop_alarm_start(&w->patience, w->patience_ms);
	TAILQ_INSERT_TAIL(&w->patient, r, patience);
}

/* The alarm goes off in vain, rather than that it is moved each time. */
static void
patience_end(struct web_request *r)
{
	if (r->patience_end_ms != 0)
		TAILQ_REMOVE(&r->web->patient, r, patience);
	r->patience_end_ms = 0;
}

/* Before the worker has it. */
static void
work_begins(struct web_request *r, struct env_job *job, bool slow)
{
	r->at_work = job;
	service_hold(r->web->service);
	if (slow && r->conn != NULL)
		patience_begin(r);
}

/* As whose a worker does something that is not slow, or is. */
static uint32_t
turn_of(const struct web_request *r, bool slow, uint32_t quick)
{
	return slow ? ENV_PLACE(r->place) : quick;
}

static void
job_start(struct web_request *r, void (*run)(struct env_job *, struct bulk *),
	void (*done)(struct env_job *, bool), bool slow)
{
	struct web *w = r->web;

	r->job = (struct env_job){.run = run,
		.done = done,
		.uid = turn_of(r, slow, WEB_OPENS),
		.slow = slow};
	work_begins(r, &r->job, slow);
	w->env->ops->job(w->env->ctx, &r->job);
}

/* Worker thread. */
static void
close_run(struct env_job *job, struct bulk *bulk)
{
	struct web_request *r = container_of(job, struct web_request, job);

	close(TAKE_FD(r->fd));
}

static void
closed(struct env_job *job, bool ran)
{
	struct web_request *r = container_of(job, struct web_request, job);
	struct service *service = r->web->service;

	if (!ran)
		fd_close_foreign(TAKE_FD(r->fd), geteuid());
	request_keep(r);
	service_release(service);
}

/* Many may end at once, which is more than fd_close_foreign() has threads
 * for. */
static void
request_free(struct web_request *r)
{
	r->conn = NULL;
	web_request_drop_hashes(r);
	web_multi_free(r->multi);
	free(r->path);
	free(r->window);
	web_root_unref(r->root);
	if (r->fd >= 0 && r->slow) {
		job_start(r, close_run, closed, true);
		return;
	}
	if (r->fd >= 0)
		close(r->fd);
	request_keep(r);
}

void
web_request_drop_hashes(struct web_request *r)
{
	if (r->held)
		hashed_give_back(&r->ask);
	r->held = false;
}

/* Answers without a file */

/* fields: those of w->head. */
static void
refuse(struct web *w, struct http_conn *c, unsigned status)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "%u %s\n", status,
		http_status_str((enum http_status)status));
	struct http_answer a = {
		.status = status,
		.type = "text/plain",
		.fields = web_head_end(&w->head),
		.head = line,
		.head_len = (size_t)len,
		.close = status == 400,
	};

	w->counters.not_found += status == 404;
	if (a.fields == NULL)
		http_conn_abort(c);
	else
		http_conn_answer(c, &a);
}

static void
refuse_early(struct web *w, struct http_conn *c, unsigned status)
{
	web_head_begin(&w->head, web_now_s(w));
	refuse(w, c, status);
}

void
web_request_refuse_with(struct web_request *r, unsigned status)
{
	struct web *w = r->web;
	struct http_conn *c = r->conn;

	http_conn_set_user(c, NULL);
	request_free(r);
	refuse(w, c, status);
}

void
web_request_refuse(struct web_request *r, unsigned status)
{
	web_head_begin(&r->web->head, web_now_s(r->web));
	web_request_refuse_with(r, status);
}

/* Sockets cannot be opened, and are as little there as a FIFO is. */
static unsigned
status_of(int error)
{
	switch (-error) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case ENXIO:
	case ENODEV:
		return 404;
	case EACCES:
	case EPERM:
	case ELOOP:
	case EXDEV:
		return 403;
	case EAGAIN:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ECANCELED:
		return 503;
	default:
		return 500;
	}
}

static void
put_query(struct buf *b, const char *query, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t ch = (uint8_t)query[i];

		if (ch > ' ' && ch < 0x7f)
			buf_u8(b, ch);
		else
			buf_printf(b, "%%%02X", ch);
	}
}

/* path: of a folder, without the slash that is missing. */
static void
redirect(struct web_request *r, const char *path, bool index)
{
	struct buf *text = &r->web->head.text;
	static const char name[] = "Location: ";
	size_t len;
	const char *query = http_conn_query(r->conn, &len);

	web_head_begin(&r->web->head, web_now_s(r->web));
	buf_append(text, name, sizeof(name) - 1);
	web_path_put(text, path, strlen(path));
	if (index)
		buf_append(text, WEB_INDEX, sizeof(WEB_INDEX) - 1);
	buf_u8(text, '/');
	put_query(text, query, len);
	buf_append(text, "\r\n", 2);
	web_request_refuse_with(r, 301);
}

/* Finding the file */

static void
take_found(struct web_request *r)
{
	r->fd = r->found.fd;
	r->slow = r->root->slow || r->found.slow;
	r->place = r->found.st.st_dev;
}

static void
request_opened(struct web_request *r, int result, const char *path)
{
	size_t len = strlen(path);
	bool index = len == 0 || path[len - 1] == '/';

	if (result < 0) {
		web_request_refuse(r, status_of(result));
		return;
	}
	take_found(r);
	r->st = r->found.st;
	if (S_ISDIR(r->st.st_mode)) {
		redirect(r, path, index);
		return;
	}
	if (!S_ISREG(r->st.st_mode)) {
		web_request_refuse(r, 404);
		return;
	}
	r->type = index ? web_type(WEB_INDEX, sizeof(WEB_INDEX) - 1)
			: web_type(path, len);
	web_reply(r);
}

/* FNV-1a, begun with a secret: whoever could tell which paths have the same
 * value could have one of them walked to on the loop. */
static uint64_t
hash_path(const struct web *w, const char *path)
{
	uint64_t h = w->secret;

	for (; *path != 0; path++)
		h = (h ^ (uint8_t)*path) * UINT64_C(0x100000001b3);
	return h;
}

static bool
was_opened_lately(const struct web *w, const char *path)
{
	uint64_t h = hash_path(w, path);
	int64_t age_s = web_now_s(w) - w->lately[h % WEB_LATELY].when_s;

	return w->lately[h % WEB_LATELY].path == h && age_s >= 0 &&
		age_s <= LATELY_S;
}

static void
remember_opened(struct web *w, const char *path)
{
	uint64_t h = hash_path(w, path);

	w->lately[h % WEB_LATELY].path = h;
	w->lately[h % WEB_LATELY].when_s = web_now_s(w);
}

/* Worker thread. */
static void
open_run(struct env_job *job, struct bulk *bulk)
{
	struct web_request *r = container_of(job, struct web_request, job);

	r->result =
		web_open(r->root->fd, r->path, r->effort, r->walk, &r->found);
}

/* false: the connection is gone, and the request with it. */
static bool
job_ended(struct web_request *r)
{
	struct service *service = r->web->service;
	bool gone = r->conn == NULL;

	patience_end(r);
	r->at_work = NULL;
	/* That may be a job, too: the service is not let go between the two. */
	if (gone)
		request_free(r);
	service_release(service);
	return !gone;
}

static void open_done(struct env_job *job, bool ran);

static void
open_by_worker(struct web_request *r, enum web_effort effort)
{
	r->effort = effort;
	r->walk = r->web->no_openat2;
	job_start(r, open_run, open_done,
		r->root->slow || effort == WEB_ANYWHERE);
}

static void
open_done(struct env_job *job, bool ran)
{
	struct web_request *r = container_of(job, struct web_request, job);

	if (!ran)
		r->result = -ECANCELED;
	if (r->result == 0)
		take_found(r);
	if (!job_ended(r))
		return;
	if (r->result == -EXDEV && r->effort == WEB_NEARBY) {
		r->place = r->found.beyond;
		open_by_worker(r, WEB_ANYWHERE);
		return;
	}
	if (r->result == 0 && r->effort == WEB_NEARBY)
		remember_opened(r->web, r->path);
	request_opened(r, r->result, r->path);
}

/* -EAGAIN: a worker has to. */
static int
open_now(struct web_request *r, const char *path)
{
	struct web *w = r->web;
	int fd = r->root->fd;

	if (r->root->slow)
		return -EAGAIN;
	if (!w->no_openat2) {
		int result = web_open(fd, path, WEB_AT_ONCE, false, &r->found);

		if (result != -ENOSYS)
			return result;
		w->no_openat2 = true;
	}
	if (!was_opened_lately(w, path))
		return -EAGAIN;
	return web_open(fd, path, WEB_AT_ONCE, true, &r->found);
}

static void
request_open(struct web_request *r, const char *path)
{
	int result = open_now(r, path);

	if (result != -EAGAIN) {
		request_opened(r, result, path);
		return;
	}
	r->path = strdup(path);
	if (r->path != NULL)
		open_by_worker(r, WEB_NEARBY);
	else
		web_request_refuse(r, 503);
}

/* Hashes */

/* All that matters for what the bytes are. */
static bool
is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
		a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
		a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void
look_again(struct env_job *job, struct bulk *bulk)
{
	struct web_request *r = container_of(job, struct web_request, job);

	r->result = fstat(r->fd, &r->found.st) == 0 ? 0 : -errno;
}

static void
reply_again(struct web_request *r)
{
	if (r->result < 0) {
		web_request_refuse(r, status_of(r->result));
		return;
	}
	if (!is_same(&r->st, &r->found.st)) {
		web_request_drop_hashes(r);
		r->plain = true;
		r->st = r->found.st;
	}
	web_reply(r);
}

static void
looked_again(struct env_job *job, bool ran)
{
	struct web_request *r = container_of(job, struct web_request, job);

	if (!ran)
		r->result = -ECANCELED;
	if (job_ended(r))
		reply_again(r);
}

static void
hashes_done(struct hashed_ask *ask, enum hashed_result result)
{
	struct web_request *r = container_of(ask, struct web_request, ask);

	r->waits = false;
	r->hashes = result;
	r->held = result == HASHED_OK;
	if (r->slow) {
		job_start(r, look_again, looked_again, true);
		return;
	}
	look_again(&r->job, NULL);
	reply_again(r);
}

/* The service */

static void
count_host(void *ctx, const char *name, size_t name_len, const char *value,
	size_t len)
{
	static const char host[] = "Host";
	unsigned *n = ctx;

	*n += name_len == sizeof(host) - 1 &&
		strncasecmp(name, host, name_len) == 0;
}

/* RFC 9112 3.2.  There is one site only, and yet: somebody between may have
 * thought of another. */
static bool
is_for_us(const struct http_conn *c)
{
	unsigned hosts = 0;

	http_conn_each_header(c, count_host, &hosts);
	return hosts == 1 || http_conn_is_old(c);
}

static void
on_request(void *ctx, struct http_conn *c)
{
	struct web *w = ctx;
	struct web_root *root = web_roots_get(&w->roots, web_now_s(w));
	struct web_request *r;
	size_t len;
	const char *path = http_conn_path(c, &len);

	w->counters.answers++;
	if (root == NULL) {
		refuse_early(w, c, 503);
		return;
	}
	if (!is_for_us(c) || !web_path_resolve(w->path, path, len, &len)) {
		refuse_early(w, c, 400);
		return;
	}
	r = request_new(w, c, root);
	if (r == NULL) {
		http_conn_abort(c);
		return;
	}
	r->ask.done = hashes_done;
	http_conn_set_user(c, r);
	request_open(r, w->path);
}

/* The connection has nothing to do with it any more.  What still waits for its
 * turn does not wait longer, so that nothing piles up behind what stalls. */
static void
leave(struct web_request *r)
{
	struct web *w = r->web;

	r->conn = NULL;
	patience_end(r);
	if (r->waits)
		hashed_give_back(&r->ask);
	r->waits = false;
	if (r->at_work != NULL)
		w->env->ops->job_cancel(w->env->ctx, r->at_work);
	else
		request_free(r);
}

static void
on_ended(void *ctx, struct http_conn *c, bool whole)
{
	struct web_request *r = http_conn_user(c);
	struct web_counters *counters;

	if (r == NULL)
		return;
	counters = &r->web->counters;
	*(r->described ? &counters->encoded_bytes : &counters->plain_bytes) +=
		http_conn_span_sent(c);
	leave(r);
}

/* Its file system did not answer. */
static void
give_up(struct web_request *r)
{
	struct web *w = r->web;
	struct http_conn *c = r->conn;

	w->counters.stalled++;
	if (!http_conn_is_unanswered(c)) {
		patience_end(r);
		http_conn_abort(c);
		return;
	}
	http_conn_set_user(c, NULL);
	leave(r);
	web_head_begin(&w->head, web_now_s(w));
	web_head_put(&w->head, "Retry-After: " RETRY_AFTER_S);
	refuse(w, c, 503);
}

static void
on_patience(struct loop_alarm *a)
{
	struct web *w = container_of(a, struct web, patience);
	uint64_t now = loop_now_ms();
	struct web_request *r;

	while ((r = TAILQ_FIRST(&w->patient)) != NULL &&
		r->patience_end_ms <= now)
		give_up(r);
	if (r != NULL)
		loop_alarm_start(a, r->patience_end_ms - now);
}

static void
warmed(struct warm *warm)
{
	struct web_request *r = container_of(warm, struct web_request, warm);

	if (!job_ended(r))
		return;
	if (r->window != NULL && warm->got == 0)
		http_conn_abort(r->conn);
	else
		http_conn_warmed(r->conn, r->window, warm->got);
}

static void
on_cold(void *ctx, struct http_conn *c, uint64_t offset, uint64_t len)
{
	struct web_request *r = http_conn_user(c);

	if (r->slow && r->window == NULL)
		r->window = malloc(SLOW_WINDOW);
	if (r->slow && r->window == NULL) {
		http_conn_abort(c);
		return;
	}
	r->warm = (struct warm){
		.fd = r->fd,
		.offset = offset,
		.len = r->slow ? MIN_OF(len, SLOW_WINDOW) : len,
		.uid = turn_of(r, r->slow, WARM_FOR_WEB),
		.into = r->window,
		.done = warmed,
	};
	work_begins(r, &r->warm.job, r->slow);
	warm_start(&r->warm, r->web->env, r->slow);
}

static bool
is_ours(void *ctx, const char *path, size_t len)
{
	return true;
}

struct web *
web_new(struct loop *loop, struct service *service, const struct env *env,
	struct http_server *server)
{
	struct web *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->service = service;
	w->env = env;
	env->ops->random(env->ctx, &w->secret, sizeof(w->secret));
	LIST_INIT(&w->unused);
	TAILQ_INIT(&w->patient);
	loop_alarm_init(&w->patience, loop, on_patience);
	w->patience_ms = WEB_PATIENCE_MS;
	web_head_init(&w->head);
	web_roots_init(&w->roots, service, env);
	w->http = (struct http_service){
		.match = is_ours,
		.methods = UINT64_C(1) << HTTP_GET | UINT64_C(1) << HTTP_HEAD,
		.body_max = BODY_MAX,
		.handle = on_request,
		.ended = on_ended,
		.cold = on_cold,
		.ctx = w,
	};
	http_server_add(server, &w->http);
	return w;
}

int
web_configure(struct web *w, const struct web_settings *settings)
{
	w->min_size = settings->min_size;
	w->patience_ms = settings->patience_ms != 0 ? settings->patience_ms
						    : WEB_PATIENCE_MS;
	memset(w->lately, 0, sizeof(w->lately));
	return web_roots_set(
		&w->roots, settings->root, settings->own, web_now_s(w));
}

bool
web_is_open(const struct web *w)
{
	return w->roots.current != NULL;
}

const struct web_counters *
web_counters(const struct web *w)
{
	return &w->counters;
}

struct web *
web_free(struct web *w)
{
	struct web_request *r;

	if (w == NULL)
		return NULL;
	assert(w->n_running == 0);
	loop_alarm_stop(&w->patience);
	while ((r = LIST_FIRST(&w->unused)) != NULL) {
		LIST_REMOVE(r, link);
		free(r);
	}
	web_roots_done(&w->roots);
	web_head_done(&w->head);
	free(w);
	return NULL;
}
