/* SPDX-License-Identifier: BSD-2-Clause */
/* Settings in the words of the parts. */
#ifndef DAEMON_MANAGER_SETTINGS_H
#define DAEMON_MANAGER_SETTINGS_H

#include "daemon/api/client.h"
#include "daemon/conf.h"
#include "daemon/core/service.h"

/* Points into conf, which must outlive the use. */
void settings_for_service(struct conf *, struct service_settings *ret);
void settings_for_clients(const struct conf *, struct client_limits *ret);
/* Sizes of the two caches; never 0. */
uint64_t settings_cache_bytes(const struct conf *);
uint64_t settings_hash_bytes(const struct conf *);
/* 0: no limit. */
uint64_t settings_cache_age_s(const struct conf *);

/* Sets the size of a cache, and keeps it in folder (conf_state_set()).
 * CORE_E_DISABLED: --set or policy says what it is; CORE_E_BAD_PARAMETER. */
enum core_result settings_set_size(
	struct conf *, const char *folder, enum ipc_cache, const char *size);

/* The same for the mode. */
enum core_result settings_set_mode(
	struct conf *, const char *folder, const char *mode);

/* Problems of the last reading: "ORIGIN: TEXT" each, the first so many. */
#define PROBLEMS_MAX 64
struct problems {
	size_t n; /* all */
	size_t n_lines;
	char *lines[PROBLEMS_MAX];
};
/* A conf_report_fn; ctx is a struct problems.  Logs it, too. */
void problems_add(void *ctx, const char *origin, const char *text);
void problems_done(struct problems *);

/* Members of the documents that peerdistctl gets. */
void settings_put_config(struct json *, const struct conf *);
void settings_put_mode(struct json *, const struct conf *);
void settings_put_size(struct json *, const struct conf *, enum ipc_cache);
void settings_put_problems(struct json *, const struct problems *);

#endif
