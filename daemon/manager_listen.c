/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/manager_listen.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "common/macros.h"
#include "daemon/log.h"

#define AGAIN_MS 30000u

static bool
same_addr(const struct parse_addr *a, const struct parse_addr *b)
{
	return a->len == b->len && memcmp(&a->ss, &b->ss, a->len) == 0;
}

static const struct http_filter *
filter_of(const struct listening *l)
{
	return l->filter.allow != NULL ? &l->filter : NULL;
}

/* Each reason once. */
static void
told(struct listening *l, int error)
{
	char text[PARSE_ADDR_TEXT];

	if (error == l->error)
		return;
	l->error = error;
	if (error == 0)
		return;
	parse_addr_format(text, &l->addr);
	log_event(LOG_ERR, l->refused, LOG_STR("ADDRESS", text),
		LOG_ERRNO(-error));
}

static bool
try_open(struct listening *l)
{
	char text[PARSE_ADDR_TEXT];
	int r = http_server_listen(
		l->server, &l->addr, filter_of(l), &l->listener);

	told(l, r);
	if (r != 0) {
		loop_alarm_start(&l->again, AGAIN_MS);
		return false;
	}
	parse_addr_format(text, &l->addr);
	log_event(LOG_INFO, l->opened, LOG_STR("ADDRESS", text),
		LOG_U64("PORT", http_listener_port(l->listener)));
	return true;
}

static void
on_again(struct loop_alarm *a)
{
	struct listening *l = container_of(a, struct listening, again);

	if (try_open(l) && l->retried != NULL)
		l->retried(l->ctx);
}

void
listening_init(struct listening *l, struct loop *loop)
{
	loop_alarm_init(&l->again, loop, on_again);
}

void
listening_adopt(struct listening *l, int fd)
{
	int r;

	if (fd < 0)
		return;
	r = http_server_listen_fd(l->server, fd, filter_of(l), &l->listener);
	l->passed = r == 0;
	if (r != 0)
		log_event(LOG_ERR, "Socket from systemd cannot be used",
			LOG_STR("NAME", l->name), LOG_ERRNO(-r));
}

void
listening_open(struct listening *l, const struct parse_addr *addr)
{
	if (l->passed)
		return;
	if (!same_addr(&l->addr, addr))
		listening_close(l);
	l->addr = *addr;
	if (l->listener == NULL)
		(void)try_open(l);
}

void
listening_close(struct listening *l)
{
	loop_alarm_stop(&l->again);
	l->error = 0;
	if (!l->passed)
		l->listener = http_listener_close(l->listener);
}

void
listening_end(struct listening *l)
{
	loop_alarm_stop(&l->again);
	l->listener = http_listener_close(l->listener);
}

uint16_t
listening_port(const struct listening *l)
{
	return l->listener != NULL ? http_listener_port(l->listener) : 0;
}

/* Only systemd passes one that is in the file system. */
static void
put_address(const struct parse_addr *addr, struct json *j)
{
	const struct sockaddr_un *un = (const void *)&addr->ss;
	char text[sizeof(un->sun_path) + PARSE_ADDR_TEXT];

	if (addr->ss.ss_family == AF_UNIX)
		snprintf(text, sizeof(text), "unix:%.*s",
			(int)sizeof(un->sun_path), un->sun_path);
	else
		parse_addr_format(text, addr);
	json_out_text(j, "address", text);
}

void
listening_put(const struct listening *l, struct json *j)
{
	struct parse_addr addr = l->addr;

	if (l->listener == NULL && l->error == 0)
		return;
	if (l->listener != NULL)
		http_listener_address(l->listener, &addr);
	json_out_object(j, NULL);
	json_out_text(j, "name", l->name);
	json_out_text(j, "from", l->passed ? "systemd" : "settings");
	put_address(&addr, j);
	if (listening_port(l) != 0)
		json_out_u64(j, "port", listening_port(l));
	if (l->error != 0)
		json_out_text(j, "problem", strerror(-l->error));
	json_out_end_object(j);
}

void
server_put_counters(const struct http_server *s, struct json *j)
{
	const struct http_counters *c = http_server_counters(s);

	json_out_object(j, "server");
	json_out_u64(j, "connections", http_server_conns(s));
	json_out_u64(j, "accepted", c->accepted);
	json_out_u64(j, "not_allowed", c->filtered);
	json_out_u64(j, "crowded", c->crowded);
	json_out_u64(j, "displaced", c->displaced);
	json_out_u64(j, "requests", c->requests);
	json_out_u64(j, "refused", c->refused);
	json_out_u64(j, "timed_out", c->timed_out);
	json_out_u64(j, "broken", c->broken);
	json_out_end_object(j);
}
