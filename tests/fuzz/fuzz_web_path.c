/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request to the web server: the first byte of the input says how the world
 * is, the rest up to a line feed is the path, and what follows are header
 * lines.  Whatever is asked, a path stays beneath the root, the answer is
 * well-formed HTTP, what it claims to be of the file is just that, and nothing
 * is left when the connection is over.
 *
 * The root has "a" (3,000 bytes, each its place modulo 251), "index.html",
 * folders, and links in and out; the file beside it says SECRET.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <http_parser.h>

#include "codec/http_range.h"
#include "common/macros.h"
#include "daemon/core/hashed.h"
#include "daemon/core/service.h"
#include "daemon/net/http_server.h"
#include "daemon/net/loop.h"
#include "daemon/net/web.h"
#include "daemon/net/web_path.h"

#define FILE_LEN 3000u
#define INFO     "INFORMATION"
#define JOBS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct {
	char path[64];
	struct loop *loop;
	struct env env;
	struct service *service;
	struct http_server *server;
	struct web *web;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int fd; /* the client's */
	enum hashed_result hashes;
	enum hashed_result then;
	bool no_openat2;
	struct hashed_ask *waiting;
	unsigned lent;
	struct env_job *jobs[JOBS_MAX];
	size_t n_jobs;
	/* of the client */
	http_parser parser;
	char field[32];
	size_t field_len;
	struct http_content_range range;
	bool has_range;
	bool encoded;
	bool multi;
	uint8_t body[65536];
	size_t body_len;
	bool whole;
} f;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
enum hashed_result __wrap_hashed_get(
	struct service *, const struct stat *, struct hashed_ask *);
void __wrap_hashed_give_back(struct hashed_ask *);
bool __wrap_hashed_want(struct service *, int fd, const struct stat *);

/* The web server calls this for openat2() alone. */
long
__wrap_syscall(long number, ...)
{
	const char *path;
	void *how;
	va_list args;
	size_t len;
	int fd;

	assert(number == SYS_openat2);
	va_start(args, number);
	fd = va_arg(args, int);
	path = va_arg(args, const char *);
	how = va_arg(args, void *);
	len = va_arg(args, size_t);
	va_end(args);
	if (f.no_openat2) {
		errno = ENOSYS;
		return -1;
	}
	return __real_syscall(number, fd, path, how, len);
}

static void
lend(struct hashed_ask *ask)
{
	f.lent++;
	ask->version = 1;
	ask->bytes = (const uint8_t *)INFO;
	ask->len = sizeof(INFO) - 1;
}

enum hashed_result
__wrap_hashed_get(
	struct service *svc, const struct stat *st, struct hashed_ask *ask)
{
	assert(ask->versions >= 1 && ask->versions <= 3);
	assert(ask->length > 0 && ask->length <= (uint64_t)st->st_size);
	assert(ask->offset <= (uint64_t)st->st_size - ask->length);
	if (f.hashes == HASHED_OK)
		lend(ask);
	if (f.hashes == HASHED_LATER)
		f.waiting = ask;
	return f.hashes;
}

void
__wrap_hashed_give_back(struct hashed_ask *ask)
{
	if (f.waiting == ask)
		f.waiting = NULL;
	else
		assert(f.lent-- > 0);
}

bool
__wrap_hashed_want(struct service *svc, int fd, const struct stat *st)
{
	return f.then == HASHED_OK;
}

static uint64_t
now_ms(void *ctx)
{
	return 1;
}

static uint64_t
wall_ms(void *ctx)
{
	return UINT64_C(1500000000000);
}

static void
fill(void *ctx, void *buf, size_t len)
{
	memset(buf, 1, len);
}

static void
take_job(void *ctx, struct env_job *job)
{
	assert(f.n_jobs < JOBS_MAX);
	f.jobs[f.n_jobs++] = job;
}

/* They run. */
static void
leave_job(void *ctx, struct env_job *job)
{
	assert(f.n_jobs > 0);
}

static void
timer_changed(void *ctx)
{
}

static const struct env_ops env_ops = {
	.now_ms = now_ms,
	.wall_ms = wall_ms,
	.random = fill,
	.job = take_job,
	.job_cancel = leave_job,
	.timer_changed = timer_changed,
};

static void
do_jobs(void)
{
	while (f.n_jobs > 0) {
		struct env_job *job = f.jobs[--f.n_jobs];

		job->run(job, NULL);
		job->done(job, true);
	}
	if (f.waiting != NULL) {
		struct hashed_ask *ask = TAKE_PTR(f.waiting);

		if (f.then == HASHED_OK)
			lend(ask);
		ask->done(ask, f.then);
	}
}

/* Files */

static int
remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	return remove(path);
}

static void
remove_all(void)
{
	nftw(f.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
make_file(int root, const char *path, const void *data, size_t len)
{
	int fd = openat(root, path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	close(fd);
}

static void
make_files(void)
{
	uint8_t data[FILE_LEN];
	int root;

	strcpy(f.path, "/tmp/fuzz_web_path.XXXXXX");
	if (mkdtemp(f.path) == NULL || atexit(remove_all) != 0)
		abort();
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i % 251);
	root = open(f.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	make_file(root, "secret", "SECRET", 6);
	if (mkdirat(root, "root", 0755) != 0 ||
		mkdirat(root, "root/sub", 0755) != 0 ||
		mkdirat(root, "root/sub/a b", 0755) != 0 ||
		symlinkat("../a", root, "root/sub/in") != 0 ||
		symlinkat("../../secret", root, "root/sub/out") != 0 ||
		symlinkat("..", root, "root/up") != 0 ||
		symlinkat("/", root, "root/all") != 0)
		abort();
	make_file(root, "root/a", data, sizeof(data));
	make_file(root, "root/index.html", "INDEX", 5);
	close(root);
}

/* The server */

static const struct block_store_ops no_store;
static struct block_store store = {.ops = &no_store};

static void
begin_service(void)
{
	static const uint8_t key[32] = {1};
	static const struct service_settings settings = {
		.policy = {.enabled = true,
			.clients = {.all = true},
			.publishers = {.all = true}},
		.preferred_content_version = 2,
		.max_peers = 16,
	};

	f.env.ops = &env_ops;
	f.service = service_new(&f.env, &store, &settings, key, sizeof(key));
	if (f.service == NULL)
		abort();
	service_ready(f.service, true);
}

static void
begin_server(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct web_settings settings = {.min_size = 1000};
	struct http_listener *listener;
	char root[80];

	snprintf(root, sizeof(root), "%s/root", f.path);
	settings.root = root;
	f.addr.sun_family = AF_UNIX;
	f.addr_len = sizeof(f.addr);
	f.server = http_server_new(f.loop, NULL);
	f.web = f.server == NULL ? NULL
				 : web_new(f.loop, f.service, &f.env, f.server);
	/* Without a name it gets one that nobody else has. */
	if (f.web == NULL || web_configure(f.web, &settings) != 0 ||
		bind(fd, (struct sockaddr *)&f.addr, sizeof(sa_family_t)) !=
			0 ||
		getsockname(fd, (struct sockaddr *)&f.addr, &f.addr_len) != 0 ||
		http_server_listen_fd(f.server, fd, NULL, &listener) != 0)
		abort();
}

static void
begin(void)
{
	if (f.loop == NULL) {
		signal(SIGPIPE, SIG_IGN);
		make_files();
		if (loop_new(&f.loop, NULL, NULL) != 0)
			abort();
		begin_service();
		begin_server();
	}
	f.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(f.fd, (struct sockaddr *)&f.addr, f.addr_len) != 0)
		abort();
	http_parser_init(&f.parser, HTTP_RESPONSE);
	f.has_range = false;
	f.encoded = false;
	f.multi = false;
	f.body_len = 0;
	f.whole = false;
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

/* The client */

static int
on_field(http_parser *p, const char *at, size_t len)
{
	f.field_len = MIN_OF(len, sizeof(f.field) - 1);
	memcpy(f.field, at, f.field_len);
	f.field[f.field_len] = 0;
	return 0;
}

static int
on_value(http_parser *p, const char *at, size_t len)
{
	if (strcmp(f.field, "Content-Range") == 0)
		f.has_range = http_content_range_parse(&f.range, at, len);
	if (strcmp(f.field, "Content-Encoding") == 0)
		f.encoded = true;
	if (strcmp(f.field, "Content-Type") == 0)
		f.multi = len > 10 && memcmp(at, "multipart/", 10) == 0;
	return 0;
}

static int
on_body(http_parser *p, const char *at, size_t len)
{
	assert(len <= sizeof(f.body) - f.body_len);
	memcpy(f.body + f.body_len, at, len);
	f.body_len += len;
	return 0;
}

static int
on_message(http_parser *p)
{
	if (p->status_code == 100)
		return 0;
	f.whole = true;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings callbacks = {
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_body = on_body,
	.on_message_complete = on_message,
};

static void
is_of_file(const uint8_t *data, size_t len, uint64_t from)
{
	for (size_t i = 0; i < len; i++)
		assert(data[i] == (from + i) % 251);
}

/* Of the first answer: there are more where the fields ended in a request. */
static void
check_answer(bool head)
{
	unsigned status = f.parser.status_code;

	assert(memmem(f.body, f.body_len, "SECRET", 6) == NULL);
	assert(memmem(f.body, f.body_len, "root:", 5) == NULL);
	if (f.encoded) {
		assert(status == 200 || (status == 206 && f.has_range));
		assert(!head && f.body_len == sizeof(INFO) - 1 &&
			memcmp(f.body, INFO, f.body_len) == 0);
	} else if (status == 206 && !f.multi) {
		assert(!head && f.has_range && f.range.has_size);
		assert(f.body_len == f.range.range.length);
		if (f.range.size == FILE_LEN)
			is_of_file(f.body, f.body_len, f.range.range.offset);
	} else if (status == 200 && f.body_len == FILE_LEN) {
		is_of_file(f.body, f.body_len, 0);
	}
}

static void
read_answer(bool head)
{
	static char bytes[1 << 20];
	ssize_t n = recv(f.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n <= 0)
		return;
	if (f.whole || head)
		return;
	(void)http_parser_execute(&f.parser, &callbacks, bytes, (size_t)n);
	assert(HTTP_PARSER_ERRNO(&f.parser) == HPE_OK ||
		HTTP_PARSER_ERRNO(&f.parser) == HPE_PAUSED);
	if (f.whole)
		check_answer(head);
}

static void
check_path(const char *path, size_t len)
{
	char *dst = malloc(len + 1);
	char *exact = malloc(len + (len == 0));
	size_t ret_len;

	memcpy(exact, path, len);
	if (web_path_resolve(dst, exact, len, &ret_len)) {
		size_t again_len;
		char *again;
		struct buf b;

		assert(ret_len < len && dst[ret_len] == 0);
		assert(strlen(dst) == ret_len && dst[0] != '/');
		assert(strstr(dst, "//") == NULL);
		assert(strncmp(dst, "../", 3) != 0 && strcmp(dst, "..") != 0);
		assert(strstr(dst, "/../") == NULL);
		buf_init(&b, 1u << 20);
		web_path_put(&b, dst, ret_len);
		again = malloc(b.len + 1);
		if (buf_error(&b) == 0) {
			assert(web_path_resolve(again, (const char *)b.data,
				b.len, &again_len));
			assert(again_len == ret_len &&
				memcmp(again, dst, ret_len) == 0);
		}
		free(again);
		buf_done(&b);
	}
	free(exact);
	free(dst);
}

static void
say(const void *data, size_t len)
{
	(void)send(f.fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
converse(uint8_t world, const char *path, size_t len, const char *fields,
	size_t fields_len)
{
	bool head = world & 1;
	const char *end = world & 2 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n";

	f.hashes = (enum hashed_result)((world >> 2 & 7) % 5);
	f.then = world & 32 ? HASHED_OK : HASHED_UNKNOWN;
	f.no_openat2 = world & 64;
	begin();
	say(head ? "HEAD " : "GET ", head ? 5 : 4);
	say(path, len);
	say(end, strlen(end));
	say("Host: a\r\n", 9);
	say(fields, fields_len);
	say("\r\n\r\n", 4);
	run();
	/* else it goes away while something is under way */
	for (unsigned i = 0; i < 4 && !(world & 128); i++) {
		do_jobs();
		run();
		read_answer(head);
	}
	close(f.fd);
	for (unsigned i = 0; i < 100 && http_server_conns(f.server) > 0; i++)
		run();
	http_server_close_all(f.server);
	do_jobs();
	assert(f.waiting == NULL && f.lent == 0 && f.n_jobs == 0);
	assert(service_idle(f.service) ||
		service_status(f.service) == SERVICE_AVAILABLE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *path = (const char *)data + 1;
	const char *stop;
	size_t path_len;

	if (len == 0)
		return 0;
	stop = memchr(path, '\n', len - 1);
	path_len = stop != NULL ? (size_t)(stop - path) : len - 1;
	check_path(path, path_len);
	converse(data[0], path, path_len, path + path_len + (stop != NULL),
		len - 1 - path_len - (stop != NULL));
	return 0;
}
