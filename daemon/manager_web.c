/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the settings say, done to the web server.  It has a server of its own:
 * who may connect, and how much, has nothing to do with peers.  A socket from
 * systemd is listened on whatever Listen says, and answered 503 while there is
 * no folder.
 *
 * A folder that has the service's own ones in it is none: whoever asks would
 * get the server secret and the hashes with which it makes the secrets of all
 * that is published here.
 */
#include "daemon/manager_web.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/core/hashed.h"
#include "daemon/log.h"
#include "daemon/manager_listen.h"
#include "daemon/net/http_server.h"
#include "daemon/net/web.h"

/* A reverse proxy in front is one address with many connections. */
#define CONNS             4096u
#define CONNS_PER_ADDRESS 1024u

struct web_site {
	struct service *service;
	struct http_server *server;
	struct web *web;
	struct listening listening;
	bool stopped;
	int error; /* of the root, when it was set, or 0 */
	char root[CONF_VALUE_MAX + 1];
};

int
web_site_new(struct web_site **ret, const struct web_site_params *p)
{
	struct http_server_limits limits = HTTP_SERVER_LIMITS_DEFAULT;
	struct web_site *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return err_new(-ENOMEM);
	limits.conns = CONNS;
	limits.conns_per_address = CONNS_PER_ADDRESS;
	limits.conns_per_prefix = CONNS_PER_ADDRESS;
	limits.conn.dated = true;
	w->service = p->service;
	w->server = http_server_new(p->loop, &limits);
	if (w->server != NULL)
		w->web = web_new(p->loop, p->service, p->env, w->server);
	if (w->web == NULL) {
		web_site_free(w);
		return err_new(-ENOMEM);
	}
	w->listening = (struct listening){
		.name = "web",
		.opened = "Gives out files by HTTP",
		.refused = "Files cannot be given out by HTTP",
		.server = w->server,
	};
	listening_init(&w->listening, p->loop);
	listening_adopt(&w->listening, TAKE_FD(p->passed->web));
	*ret = w;
	return 0;
}

struct web_site *
web_site_free(struct web_site *w)
{
	if (w == NULL)
		return NULL;
	w->server = http_server_free(w->server);
	w->web = web_free(w->web);
	free(w);
	return NULL;
}

static void
set_root(struct web_site *w, const struct conf *c)
{
	bool same = strcmp(w->root, c->web_root) == 0;
	const char *const own[] = {c->state_directory, c->hash_directory,
		c->cache_directory, NULL};
	const struct web_settings settings = {
		.root = c->web_root[0] != '\0' ? c->web_root : NULL,
		.own = own,
		.min_size = c->web_min_size,
	};
	int r = web_configure(w->web, &settings);

	if (r != 0 && (r != w->error || !same))
		log_event(LOG_ERR,
			r == -EPERM
				? "Folder of the web server has the service's "
				  "own folders in it"
				: "Folder of the web server cannot be opened",
			LOG_STR("FOLDER", c->web_root), LOG_ERRNO(-r));
	w->error = r;
	memcpy(w->root, c->web_root, sizeof(w->root));
}

void
web_site_configure(struct web_site *w, const struct conf *c)
{
	bool on = c->web_listen.len > 0 && c->web_root[0] != '\0';

	if (w->stopped)
		return;
	set_root(w, c);
	if (on) {
		listening_open(&w->listening, &c->web_listen);
		return;
	}
	listening_close(&w->listening);
	if (w->listening.listener == NULL)
		http_server_close_all(w->server);
}

void
web_site_stop(struct web_site *w)
{
	w->stopped = true;
	listening_end(&w->listening);
	http_server_close_all(w->server);
}

void
web_site_put_listeners(const struct web_site *w, struct json *j)
{
	listening_put(&w->listening, j);
}

void
web_site_put_status(const struct web_site *w, struct json *j)
{
	const struct web_counters *c = web_counters(w->web);
	struct hashed_view v;

	hashed_view(w->service, &v);
	json_out_object(j, "web");
	if (w->root[0] != '\0')
		json_out_text(j, "root", w->root);
	if (w->error != 0 && !web_is_open(w->web))
		json_out_text(j, "problem", strerror(-w->error));
#define X(name) json_out_u64(j, #name, c->name);
	WEB_COUNTERS(X)
#undef X
	json_out_u64(j, "files_waiting", v.waiting);
	json_out_u64(j, "files_hashing", v.hashing);
	json_out_u64(j, "files_hashed", v.done);
	json_out_u64(j, "files_failed", v.failed);
	json_out_u64(j, "described_files", v.cached_files);
	json_out_u64(j, "described_memory_bytes", v.cached_bytes);
	server_put_counters(w->server, j);
	json_out_end_object(j);
}
