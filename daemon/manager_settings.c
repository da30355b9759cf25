/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/manager_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/pccrr.h"
#include "common/clock.h"
#include "common/macros.h"
#include "daemon/log.h"

#define PAGE 4096u

static struct policy_groups
groups_of(struct conf_groups *g)
{
	return (struct policy_groups){
		.all = g->all, .n = g->n, .gids = g->gids};
}

static uint32_t
milliseconds(uint64_t us)
{
	return (uint32_t)((us + US_PER_MS - 1) / US_PER_MS);
}

void
settings_for_service(struct conf *c, struct service_settings *ret)
{
	static const uint32_t ciphers[] = {
		PCCRR_AES128, PCCRR_AES192, PCCRR_AES256};

	*ret = (struct service_settings){
		.policy = {.enabled = c->enable,
			.mode = (enum service_mode)c->mode,
			.admins = groups_of(&c->admin_group),
			.clients = groups_of(&c->client_groups),
			.publishers = groups_of(&c->publisher_groups)},
		.limits = {.content_info_bytes = c->per_uid_content_info_bytes},
		.preferred_content_version =
			(unsigned)c->preferred_content_version,
		.encryption = ciphers[c->encryption],
		.n_peers = c->peers.n,
		.peers = c->peers.addrs,
		.max_peers = (uint32_t)c->max_peers,
		.request_timeout_ms = milliseconds(c->request_timeout_us),
		.peer_strikes = (uint32_t)c->peer_strikes,
		.quarantine_ms = milliseconds(c->quarantine_us),
	};
	ret->limits.max[QUOTA_SESSIONS] = c->per_uid_sessions;
	ret->limits.max[QUOTA_CONTENTS] = c->per_uid_contents;
	ret->limits.max[QUOTA_OPERATIONS] = c->per_uid_operations;
	ret->limits.max[QUOTA_BUFFER_BYTES] = c->per_uid_buffer_bytes;
	ret->limits.max[QUOTA_CONNECTIONS] = c->per_uid_connections;
}

void
settings_for_clients(const struct conf *c, struct client_limits *ret)
{
	*ret = (struct client_limits)CLIENT_LIMITS_DEFAULT;
	ret->write_size = (uint32_t)(c->data_area / 2 / PAGE * PAGE);
	ret->read_size = ret->write_size;
}

/* A part of a disk may be more than all the memory of this machine, so what
 * was given as a part is held to a quarter of that. */
uint64_t
settings_cache_bytes(const struct conf *c)
{
	uint64_t bytes = 0, memory;
	long pages = sysconf(_SC_PHYS_PAGES);

	memory = pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE)
			   : 256u << 20;
	if (conf_size_bytes(&c->cache_max_size, c->cache_directory, &bytes) !=
			0 ||
		(c->cache_max_size.percent > 0 && bytes > memory / 4))
		bytes = memory / 4;
	/* 0 would be no limit. */
	return bytes > 0 ? bytes : 1;
}

void
problems_add(void *ctx, const char *origin, const char *text)
{
	struct problems *p = ctx;
	char *line;

	log_event(LOG_WARNING, "Problem in the settings",
		LOG_STR("WHERE", origin), LOG_STR("PROBLEM", text));
	p->n++;
	if (p->n_lines == PROBLEMS_MAX ||
		asprintf(&line, "%s: %s", origin, text) < 0)
		return;
	p->lines[p->n_lines++] = line;
}

void
problems_done(struct problems *p)
{
	for (size_t i = 0; i < p->n_lines; i++)
		free(p->lines[i]);
	*p = (struct problems){.n = 0};
}

void
settings_put_problems(struct json *j, const struct problems *p)
{
	json_out_array(j, "problems");
	for (size_t i = 0; i < p->n_lines; i++)
		json_out_text(j, NULL, p->lines[i]);
	json_out_end_array(j);
}

static void
put_list(struct json *j, const char *key, const char *text)
{
	json_out_array(j, key);
	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		json_out_bytes(j, NULL, text, len);
		text += len;
		text += strspn(text, " ");
	}
	json_out_end_array(j);
}

static void
put_value(struct json *j, const struct conf_row *row, const char *key,
	const char *text)
{
	if (conf_row_is_list(row))
		put_list(j, key, text);
	else
		json_out_text(j, key, text);
}

void
settings_put_config(struct json *j, const struct conf *c)
{
	json_out_array(j, "settings");
	for (size_t i = 0; i < conf_table_len; i++) {
		const struct conf_row *row = &conf_table[i];
		const struct conf_value *v = &c->values[i];

		if (row->later)
			continue;
		json_out_object(j, NULL);
		json_out_text(j, "section", row->section);
		json_out_text(j, "name", row->name);
		put_value(j, row, "value", v->text);
		put_value(j, row, "default", row->default_text);
		json_out_text(j, "origin", v->origin);
		json_out_bool(j, "locked", v->source == CONF_FROM_POLICY);
		json_out_end_object(j);
	}
	json_out_end_array(j);
}
