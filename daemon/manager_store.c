/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/manager_store.h"

#include <assert.h>
#include <time.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/log.h"
#include "daemon/manager_settings.h"
#include "daemon/store/hash_store.h"
#include "daemon/store/index.h"
#include "daemon/store/store_disk.h"

static void
on_alarm(struct loop_alarm *alarm)
{
	struct store_alarm *a = container_of(alarm, struct store_alarm, alarm);

	a->fn(a->ctx);
}

/* Each store has a few things that it is waked for; each keeps its slot. */
static void
set_alarm(void *host_ctx, void (*fn)(void *ctx), void *ctx, uint64_t delay_ms)
{
	struct stores *s = host_ctx;
	size_t i = 0;

	while (i < STORE_ALARMS && s->alarms[i].ctx != NULL &&
		(s->alarms[i].ctx != ctx || s->alarms[i].fn != fn))
		i++;
	assert(i < STORE_ALARMS);
	s->alarms[i].fn = fn;
	s->alarms[i].ctx = ctx;
	if (delay_ms == UINT64_MAX)
		loop_alarm_stop(&s->alarms[i].alarm);
	else
		loop_alarm_start(&s->alarms[i].alarm, delay_ms);
}

static uint64_t
wall_s(void *host_ctx)
{
	return (uint64_t)time(NULL);
}

static void
on_report(void *host_ctx, enum store_report what, const char *folder, int error)
{
	static const struct {
		int level;
		const char *text;
	} rows[_STORE_REPORT_MAX] = {
		[STORE_REPORT_OPENED] = {LOG_INFO, "Store opened"},
		[STORE_REPORT_FOREIGN] = {LOG_WARNING,
			"Index of another machine or release is not used"},
		[STORE_REPORT_DAMAGED] = {LOG_WARNING,
			"Damaged index is begun anew"},
		[STORE_REPORT_REBUILDING] = {LOG_NOTICE,
			"Index is made again from the volumes"},
		[STORE_REPORT_REBUILT] = {LOG_NOTICE, "Index is complete"},
		[STORE_REPORT_FULL] = {LOG_WARNING,
			"No room on the disk: nothing can be added"},
		[STORE_REPORT_FAILING] = {LOG_ERR,
			"The disk refuses to write: nothing can be added"},
		[STORE_REPORT_RECOVERED] = {LOG_NOTICE,
			"Adding is possible again"},
		[STORE_REPORT_ROTTEN] = {LOG_WARNING,
			"A damaged block was found and dropped"},
		[STORE_REPORT_INDEX_BROKEN] = {LOG_ERR,
			"Index cannot be written until the next start"},
	};

	log_event(rows[what].level, rows[what].text, LOG_STR("FOLDER", folder),
		{error != 0 ? "ERROR" : "",
			error != 0 ? log_strerror(error) : "", 0});
}

static void
on_readable(void *ctx)
{
	struct stores *s = ctx;

	work_dispatch(s->pool);
}

static int
failed(const char *message, const char *folder, const char *why, int r)
{
	log_event(LOG_ERR, message, LOG_STR("FOLDER", folder),
		LOG_STR("REASON", why), LOG_ERRNO(-r));
	return err_pass(r);
}

static int
open_thread(struct stores *s)
{
	static const struct work_thread_ops no_context = {.ctx_new = NULL};
	int r = work_new(&s->pool, 1, &no_context);

	if (r != 0)
		return err_pass(r);
	s->watch = loop_watch_new(s->loop, work_fd(s->pool), on_readable, s);
	return s->watch != NULL ? 0 : err_new(-ENOMEM);
}

static int
open_blocks(struct stores *s, const struct conf *c)
{
	const struct store_disk_params params = {
		.folder = c->cache_directory,
		.max_bytes = settings_cache_bytes(c),
		.max_age_s = settings_cache_age_s(c),
	};
	const char *why = "";
	int r = store_disk_open(&s->blocks, &s->host, &params, &why);

	return r == 0
		? 0
		: failed("Cache cannot be used", c->cache_directory, why, r);
}

static int
open_hashes(struct stores *s, const struct conf *c)
{
	const char *why = "";
	int r = hash_store_open(&s->hashes, &s->host, c->hash_directory,
		settings_hash_bytes(c), &why);

	return r == 0 ? 0
		      : failed("Publications cannot be used", c->hash_directory,
				why, r);
}

int
stores_open(struct stores *s, struct loop *loop, const struct env *env,
	const struct conf *c)
{
	int r;

	*s = (struct stores){.loop = loop};
	for (size_t i = 0; i < STORE_ALARMS; i++)
		loop_alarm_init(&s->alarms[i].alarm, loop, on_alarm);
	r = open_thread(s);
	if (r != 0) {
		log_event(LOG_ERR, "Store thread cannot start", LOG_ERRNO(-r));
		return r;
	}
	s->host = (struct store_host){
		.env = env,
		.pool = s->pool,
		.alarm = set_alarm,
		.wall_s = wall_s,
		.report = on_report,
		.ctx = s,
	};
	index_guard_install();
	r = open_blocks(s, c);
	if (r == 0)
		r = open_hashes(s, c);
	return r;
}

void
stores_configure(struct stores *s, const struct conf *c)
{
	s->blocks->ops->set_limit(s->blocks, settings_cache_bytes(c));
	s->blocks->ops->set_max_age(s->blocks, settings_cache_age_s(c));
	s->hashes->ops->set_limit(s->hashes, settings_hash_bytes(c));
}

void
stores_close(struct stores *s)
{
	if (s->loop == NULL)
		return;
	if (s->hashes != NULL)
		s->hashes = s->hashes->ops->close(s->hashes);
	if (s->blocks != NULL)
		s->blocks = s->blocks->ops->close(s->blocks);
	for (size_t i = 0; i < STORE_ALARMS; i++)
		loop_alarm_stop(&s->alarms[i].alarm);
	s->watch = loop_watch_free(s->watch);
	s->pool = work_free(s->pool);
}
