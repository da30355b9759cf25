/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/manager_settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "codec/pccrr.h"
#include "common/clock.h"
#include "common/macros.h"
#include "daemon/log.h"

#define PAGE       4096u
#define SIZE_LEAST (1024u * 1024u) /* a part of a tiny file system is more */

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
		.probe_timeout_ms = milliseconds(c->probe_timeout_us),
		.backoff_max_ms = milliseconds(c->backoff_max_us),
		.quorum = (uint32_t)c->quorum_size,
		.quorum_forget_ms = c->quorum_forget_us / US_PER_MS,
		.uploads = (uint32_t)c->upload_sessions,
		.upload_timeout_ms = milliseconds(c->upload_timeout_us),
		.upload_rate = c->upload_rate,
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
	struct rlimit files;

	*ret = (struct client_limits)CLIENT_LIMITS_DEFAULT;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		ret->closing_most = (uint32_t)MIN_OF(
			(rlim_t)ret->closing_most, files.rlim_cur / 4);
	ret->write_size = (uint32_t)(c->data_area / 2 / PAGE * PAGE);
	ret->read_size = ret->write_size;
}

static uint64_t
size_bytes(const struct conf_size *size, const char *directory)
{
	uint64_t bytes = 0;

	/* A folder that cannot be looked at cannot be used, either; whoever
	 * opens it will tell. */
	(void)conf_size_bytes(size, directory, &bytes);
	return MAX_OF(bytes, SIZE_LEAST);
}

uint64_t
settings_cache_bytes(const struct conf *c)
{
	return size_bytes(&c->cache_max_size, c->cache_directory);
}

uint64_t
settings_hash_bytes(const struct conf *c)
{
	return size_bytes(&c->hash_max_size, c->hash_directory);
}

uint64_t
settings_cache_age_s(const struct conf *c)
{
	return c->cache_max_age_us / US_PER_S +
		(c->cache_max_age_us % US_PER_S != 0);
}

static const char *
cache_section(enum ipc_cache cache)
{
	return cache == IPC_CACHE_DATA ? "DataCache" : "HashCache";
}

static enum core_result
keep(struct conf *c, const char *folder, const char *section, const char *name,
	const char *text)
{
	int r = conf_state_set(c, folder, section, name, text);

	if (r == 0)
		log_event(LOG_NOTICE, "Setting changed and kept",
			LOG_STR("SECTION", section), LOG_STR("NAME", name),
			LOG_STR("VALUE", text));
	else if (r < 0)
		log_event(LOG_ERR, "Setting cannot be kept",
			LOG_STR("FOLDER", folder),
			LOG_STR("FILE", CONF_STATE_FILE), LOG_ERRNO(-r));
	switch (r) {
	case 0:
		return CORE_OK;
	case CONF_STATE_E_LOCKED:
		return CORE_E_DISABLED;
	case CONF_STATE_E_BAD:
		return CORE_E_BAD_PARAMETER;
	case -ENOMEM:
		return CORE_E_NO_MEMORY;
	case -ENOSPC:
	case -EDQUOT:
		return CORE_E_DISK_FULL;
	default:
		return CORE_E_IO;
	}
}

enum core_result
settings_set_size(struct conf *c, const char *folder, enum ipc_cache cache,
	const char *size)
{
	return keep(c, folder, cache_section(cache), "MaxSize", size);
}

enum core_result
settings_set_mode(struct conf *c, const char *folder, const char *mode)
{
	return keep(c, folder, "Service", "Mode", mode);
}

void
settings_put_mode(struct json *j, const struct conf *c)
{
	const struct conf_value *v = conf_value_of(c, "Service", "Mode");

	json_out_text(j, "mode", v->text);
	json_out_text(j, "origin", v->origin);
}

void
settings_put_size(struct json *j, const struct conf *c, enum ipc_cache cache)
{
	const struct conf_value *v =
		conf_value_of(c, cache_section(cache), "MaxSize");
	bool data = cache == IPC_CACHE_DATA;

	json_out_text(j, "cache", data ? "data" : "hash");
	json_out_text(j, "size", v->text);
	json_out_text(j, "origin", v->origin);
	json_out_u64(j, "max_bytes",
		data ? settings_cache_bytes(c) : settings_hash_bytes(c));
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
		if (v->pending != NULL)
			put_value(j, row, "pending", v->pending);
		put_value(j, row, "default", row->default_text);
		json_out_text(j, "origin", v->origin);
		json_out_bool(j, "locked", v->source == CONF_FROM_POLICY);
		json_out_end_object(j);
	}
	json_out_end_array(j);
}
