/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts in the order in which they are built; each needs those before it,
 * and they go in the reverse order:
 *
 *	settings, sockets from systemd, loop, worker pool, retrieval, stores,
 *	server secret, service, network, control socket, listener, signals and
 *	watchdog, "ready"
 *
 * But the worker pool goes before the stores, whose scrubber may have a job in
 * it that no service waits for.
 *
 * The end has three steps, since what is on its way must come home first:
 *
 *	1. the service leaves AVAILABLE: every pending operation is completed
 *	2. a moment later, when that is sent, the listener and the network
 *	   drop everybody
 *	3. when no job and no request is left (service_idle), the loop stops,
 *	   and the rest is freed
 *
 * Should step 3 take longer than STOP_LIMIT_MS, the process ends without it.
 */
#include "daemon/manager.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "common/secmem.h"
#include "daemon/api/listener.h"
#include "daemon/core/service.h"
#include "daemon/log.h"
#include "daemon/manager_env.h"
#include "daemon/manager_network.h"
#include "daemon/manager_passed.h"
#include "daemon/manager_secret.h"
#include "daemon/manager_settings.h"
#include "daemon/manager_socket.h"
#include "daemon/manager_store.h"
#include "daemon/manager_web.h"
#include "daemon/net/loop.h"
#include "daemon/net/retrieve.h"

#define STOP_FLUSH_MS 10
#define STOP_CHECK_MS 5
#define STOP_LIMIT_MS 10000
#define FILES_WANTED  65536

enum { SIG_STOP_TERM, SIG_STOP_INT, SIG_RELOAD, _SIG_MAX };

struct manager {
	struct conf_sources sources;
	struct conf *conf;
	char state_folder[CONF_VALUE_MAX + 1];
	struct problems problems;
	struct loop *loop;
	struct work_pool *pool;
	struct loop_watch *pool_watch;
	struct retrieve *retrieve;
	struct host_env host;
	struct stores stores;
	struct service *service;
	struct secret secret;
	struct passed passed;
	struct network *network;
	struct web_site *web;
	struct control_socket socket;
	struct listener *listener;
	struct event *signals[_SIG_MAX];
	struct loop_alarm watchdog;
	uint64_t watchdog_ms;
	struct loop_alarm stop_timer;
	uint64_t started_ms;
	uint64_t stop_ms; /* when the end began, 0: not yet */
};

static int
failed(const char *message, int r)
{
	log_event(LOG_ERR, message, LOG_ERRNO(-r));
	return err_pass(r);
}

/* The process. */

/* A descriptor 0, 1 or 2 that the caller left closed would go to the first
 * socket, and messages into it. */
static void
fill_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* What passes through is somebody's content and its secrets, wherever it lies
 * at the moment: a dump, should one be made in spite of the limit, or by a
 * debugger, holds none of the process's memory.  Before the process becomes
 * undumpable, since the file belongs to root then. */
static void
dump_nothing(void)
{
	AUTO_FD int fd =
		open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)fd_write_all(fd, "0", 1);
}

static void
harden_process(void)
{
	struct rlimit files;

	fill_standard_fds();
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write that fails is enough */
	dump_nothing();
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	/* The leak checker of sanitizer builds must look into the process. */
#ifndef __SANITIZE_ADDRESS__
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
		files.rlim_cur < FILES_WANTED) {
		files.rlim_cur = MIN_OF(files.rlim_max, (rlim_t)FILES_WANTED);
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* The core's timers. */

static uint64_t
timer_next_ms(void *ctx)
{
	struct manager *m = ctx;

	return m->service != NULL ? service_next_ms(m->service) : UINT64_MAX;
}

static void
timer_tick(void *ctx)
{
	struct manager *m = ctx;

	if (m->service != NULL)
		service_tick(m->service);
}

static const struct loop_timer_ops timer_ops = {
	.next_ms = timer_next_ms,
	.tick = timer_tick,
};

static void
on_pool_readable(void *ctx)
{
	struct manager *m = ctx;

	work_dispatch(m->pool);
}

/* Settings. */

static int
apply_settings(struct manager *m, struct conf *conf)
{
	struct service_settings settings;
	int r;

	settings_for_service(conf, &settings);
	r = service_configure(m->service, &settings);
	if (r != 0)
		return failed("New settings cannot be applied", r);
	stores_configure(&m->stores, conf);
	network_configure(m->network, conf);
	web_site_configure(m->web, conf);
	log_set_level((int)conf->log_level + LOG_ERR);
	return 0;
}

/* false: the old settings stay. */
static bool
reload(struct manager *m)
{
	struct conf *conf = NULL;
	int r;

	(void)sd_notifyf(
		0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_now_us());
	problems_done(&m->problems);
	r = conf_load(&conf, &m->sources, problems_add, &m->problems);
	/* The caller of peerdistctl reload sees these problems, too. */
	if (r == 0)
		r = conf_keep_restart_only(
			conf, m->conf, problems_add, &m->problems);
	if (r == 0)
		r = apply_settings(m, conf);
	if (r == 0) {
		conf_free(m->conf);
		m->conf = conf;
		log_event(LOG_NOTICE, "Settings reloaded",
			LOG_U64("PROBLEMS", m->problems.n));
	} else {
		conf_free(conf);
		log_event(
			LOG_ERR, "Settings cannot be read, the old ones stay");
	}
	(void)sd_notify(0, "READY=1");
	return r == 0;
}

/* What peerdistctl asks of the manager. */

static void
hook_status(void *ctx, struct json *j)
{
	struct manager *m = ctx;

	json_out_text(j, "mode_origin",
		conf_value_of(m->conf, "Service", "Mode")->origin);
	json_out_text(j, "enable_origin",
		conf_value_of(m->conf, "Service", "Enable")->origin);
	json_out_text(j, "config_file", m->sources.file);
	json_out_u64(j, "config_problems", m->problems.n);
	json_out_u64(j, "pid", (uint64_t)getpid());
	json_out_u64(j, "uptime_ms", loop_now_ms() - m->started_ms);
	json_out_array(j, "listeners");
	json_out_object(j, NULL);
	json_out_text(j, "name", "control");
	json_out_text(j, "address", m->socket.path);
	json_out_text(j, "from", m->socket.own ? "settings" : "systemd");
	json_out_end_object(j);
	network_put_listeners(m->network, j);
	web_site_put_listeners(m->web, j);
	json_out_end_array(j);
	network_put_status(m->network, j);
	web_site_put_status(m->web, j);
}

static void
hook_config(void *ctx, struct json *j)
{
	struct manager *m = ctx;

	json_out_text(j, "file", m->sources.file);
	settings_put_config(j, m->conf);
	settings_put_problems(j, &m->problems);
}

static uint32_t
hook_reload(void *ctx, struct json *j)
{
	struct manager *m = ctx;

	json_out_bool(j, "reloaded", reload(m));
	settings_put_problems(j, &m->problems);
	return 0;
}

static enum core_result
hook_set_size(void *ctx, enum ipc_cache cache, const char *size, struct json *j)
{
	struct manager *m = ctx;
	enum core_result r;

	r = settings_set_size(m->conf, m->state_folder, cache, size);
	if (r != CORE_OK)
		return r;
	stores_configure(&m->stores, m->conf);
	settings_put_size(j, m->conf, cache);
	return CORE_OK;
}

static enum core_result
hook_set_mode(void *ctx, const char *mode, struct json *j)
{
	struct manager *m = ctx;
	enum core_result r = CORE_OK;

	if (mode != NULL)
		r = settings_set_mode(m->conf, m->state_folder, mode);
	if (r == CORE_OK && mode != NULL && apply_settings(m, m->conf) != 0)
		r = CORE_E_NO_MEMORY;
	if (r == CORE_OK)
		settings_put_mode(j, m->conf);
	return r;
}

static enum core_result
hook_secret(void *ctx, const struct api_secret_request *q, struct json *j)
{
	struct manager *m = ctx;

	return secret_ask(&m->secret, q, j);
}

/* The end. */

static void
on_stop_timer(struct loop_alarm *a)
{
	struct manager *m = container_of(a, struct manager, stop_timer);

	m->listener = listener_free(m->listener);
	network_stop(m->network);
	web_site_stop(m->web);
	if (service_idle(m->service) ||
		loop_now_ms() - m->stop_ms > STOP_LIMIT_MS)
		loop_stop(m->loop);
	else
		loop_alarm_start(a, STOP_CHECK_MS);
}

static void
on_stop_signal(evutil_socket_t fd, short what, void *ctx)
{
	struct manager *m = ctx;

	if (m->stop_ms != 0)
		return;
	m->stop_ms = loop_now_ms();
	(void)sd_notify(0, "STOPPING=1");
	log_event(LOG_NOTICE, "Stopping");
	service_ready(m->service, false);
	loop_alarm_start(&m->stop_timer, STOP_FLUSH_MS);
}

static void
on_reload_signal(evutil_socket_t fd, short what, void *ctx)
{
	struct manager *m = ctx;

	if (m->stop_ms == 0)
		(void)reload(m);
}

static void
on_watchdog(struct loop_alarm *a)
{
	struct manager *m = container_of(a, struct manager, watchdog);

	(void)sd_notify(0, "WATCHDOG=1");
	loop_alarm_start(a, m->watchdog_ms);
}

/* Building, in order. */

static int
use_key(void *ctx, const uint8_t *key, size_t len)
{
	struct manager *m = ctx;

	return service_set_key(m->service, key, len);
}

static int
build_service(struct manager *m)
{
	struct service_settings settings;
	struct secret *secret = &m->secret;
	const char *why;
	int r;

	*secret = (struct secret){
		.folder = m->state_folder, .use = use_key, .ctx = m};
	r = secret_load(secret->folder, &secret->key, &secret->key_len, &why);
	if (r != 0) {
		log_event(LOG_ERR, "Server secret cannot be used",
			LOG_STR("FOLDER", m->conf->state_directory),
			LOG_STR("FILE", SECRET_FILE), LOG_STR("REASON", why),
			LOG_ERRNO(-r));
		return r;
	}
	settings_for_service(m->conf, &settings);
	m->service = service_new(&m->host.env, m->stores.blocks, &settings,
		secret->key, secret->key_len);
	if (m->service == NULL)
		return failed("Service cannot start", -ENOMEM);
	service_set_hash_store(m->service, m->stores.hashes);
	return 0;
}

static int
build_network(struct manager *m)
{
	const struct network_params params = {
		.loop = m->loop,
		.service = m->service,
		.env = &m->host.env,
		.retrieve = m->retrieve,
		.state_folder = m->state_folder,
		.passed = &m->passed,
	};
	int r = network_new(&m->network, &params);

	if (r != 0)
		return failed("Network cannot start", r);
	m->host.discovery = network_discovery(m->network);
	network_configure(m->network, m->conf);
	return 0;
}

static int
build_web(struct manager *m)
{
	const struct web_site_params params = {
		.loop = m->loop,
		.service = m->service,
		.env = &m->host.env,
		.passed = &m->passed,
	};
	int r = web_site_new(&m->web, &params);

	if (r != 0)
		return failed("Web server cannot start", r);
	web_site_configure(m->web, m->conf);
	return 0;
}

static int
build_base(struct manager *m)
{
	static const struct http_limits limits = {.per_host = 4, .total = 64};
	int r;

	r = loop_new(&m->loop, &timer_ops, m);
	if (r != 0)
		return failed("Event loop cannot start", r);
	loop_alarm_init(&m->watchdog, m->loop, on_watchdog);
	loop_alarm_init(&m->stop_timer, m->loop, on_stop_timer);
	r = host_env_pool(&m->pool, (unsigned)m->conf->workers);
	if (r != 0)
		return failed("Worker threads cannot start", r);
	m->pool_watch =
		loop_watch_new(m->loop, work_fd(m->pool), on_pool_readable, m);
	m->retrieve = retrieve_new(m->loop, &limits);
	if (m->pool_watch == NULL || m->retrieve == NULL)
		return failed("Network cannot start", -ENOMEM);
	host_env_init(&m->host, m->loop, m->pool, m->retrieve);
	return stores_open(&m->stores, m->loop, &m->host.env, m->conf);
}

static int
build_listener(struct manager *m)
{
	const struct api_hooks hooks = {.status = hook_status,
		.config = hook_config,
		.reload = hook_reload,
		.set_size = hook_set_size,
		.secret = hook_secret,
		.set_mode = hook_set_mode,
		.ctx = m};
	struct client_limits limits;
	const char *why;
	int r;

	if (m->passed.control >= 0) {
		control_socket_adopt(&m->socket, m->conf->socket,
			TAKE_FD(m->passed.control));
		r = 0;
	} else {
		r = control_socket_open(&m->socket, m->conf->socket, &why);
	}
	if (r != 0) {
		log_event(LOG_ERR, "Control socket cannot be opened",
			LOG_STR("SOCKET", m->conf->socket),
			LOG_STR("REASON", why), LOG_ERRNO(-r));
		return r;
	}
	settings_for_clients(m->conf, &limits);
	r = listener_new(&m->listener, loop_base(m->loop), m->service,
		m->socket.fd, &limits, &hooks);
	if (r != 0)
		return failed("Control socket cannot be served", r);
	m->socket.fd = -1;
	return 0;
}

static int
build_signals(struct manager *m)
{
	static const struct {
		int number;
		event_callback_fn fn;
	} rows[_SIG_MAX] = {
		[SIG_STOP_TERM] = {SIGTERM, on_stop_signal},
		[SIG_STOP_INT] = {SIGINT, on_stop_signal},
		[SIG_RELOAD] = {SIGHUP, on_reload_signal},
	};
	struct event_base *base = loop_base(m->loop);
	uint64_t us = 0;

	for (size_t i = 0; i < _SIG_MAX; i++) {
		m->signals[i] =
			evsignal_new(base, rows[i].number, rows[i].fn, m);
		if (m->signals[i] == NULL ||
			event_add(m->signals[i], NULL) != 0)
			return failed("Signals cannot be caught", -ENOMEM);
	}
	if (sd_watchdog_enabled(0, &us) > 0) {
		m->watchdog_ms = us / 2 / US_PER_MS;
		loop_alarm_start(&m->watchdog, m->watchdog_ms);
	}
	return 0;
}

static int
build(struct manager *m)
{
	int r;

	r = build_base(m);
	if (r == 0)
		r = build_service(m);
	if (r == 0)
		r = build_network(m);
	if (r == 0)
		r = build_web(m);
	if (r == 0)
		r = build_listener(m);
	if (r == 0)
		r = build_signals(m);
	return err_pass(r);
}

static void *
event_drop(struct event *e)
{
	if (e != NULL)
		event_free(e);
	return NULL;
}

/* Of a half-built manager, too. */
static void
tear_down(struct manager *m)
{
	for (size_t i = 0; i < _SIG_MAX; i++)
		m->signals[i] = event_drop(m->signals[i]);
	loop_alarm_stop(&m->watchdog);
	loop_alarm_stop(&m->stop_timer);
	m->listener = listener_free(m->listener);
	control_socket_close(&m->socket);
	m->host.discovery = NULL;
	m->web = web_site_free(m->web);
	m->network = network_free(m->network);
	m->service = service_free(m->service);
	m->retrieve = retrieve_free(m->retrieve);
	m->pool_watch = loop_watch_free(m->pool_watch);
	m->pool = work_free(m->pool);
	stores_close(&m->stores);
	host_env_done(&m->host);
	m->loop = loop_free(m->loop);
	problems_done(&m->problems);
	m->secret.key = sec_free(m->secret.key, SECRET_SIZE_MAX);
	passed_done(&m->passed);
	m->conf = conf_free(m->conf);
}

static int
serve(struct manager *m)
{
	int r;

	service_ready(m->service, true);
	log_event(LOG_NOTICE, "Ready",
		LOG_STR("VERSION", PEERDIST_VERSION_STRING),
		LOG_STR("SOCKET", m->socket.path),
		LOG_STR("MODE",
			conf_value_of(m->conf, "Service", "Mode")->text));
	(void)sd_notify(0, "READY=1");
	r = loop_run(m->loop);
	if (r != 0)
		(void)failed("Event loop failed", r);
	if (!service_idle(m->service)) {
		/* Threads may still write to what would be freed. */
		log_event(LOG_ERR, "Work did not end in time");
		control_socket_close(&m->socket);
		_exit(1);
	}
	return r;
}

int
manager_run(const struct conf_sources *sources)
{
	struct manager m = {
		.sources = *sources,
		.socket = {.fd = -1, .lock_fd = -1},
	};
	int r;

	harden_process();
	r = conf_load(&m.conf, sources, problems_add, &m.problems);
	if (r != 0) {
		log_event(LOG_ERR, "Settings cannot be read");
		problems_done(&m.problems);
		return 2;
	}
	snprintf(m.state_folder, sizeof(m.state_folder), "%s",
		m.conf->state_directory);
	m.sources.state_folder = m.state_folder;
	log_set_level((int)m.conf->log_level + LOG_ERR);
	m.started_ms = loop_now_ms();
	passed_take(&m.passed);
	r = build(&m);
	if (r == 0)
		r = serve(&m);
	tear_down(&m);
	/* The next one can have all that was ours. */
	if (r == 0)
		log_event(LOG_NOTICE, "Stopped");
	return r == 0 ? 0 : 1;
}
