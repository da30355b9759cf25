/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Status and epochs.  The service is AVAILABLE, UNAVAILABLE (starting,
 * stopping) or DISABLED (policy).  Whenever it leaves AVAILABLE the epoch
 * number goes up: every pending operation ends as invalidated, every
 * publication is withdrawn, and every handle opened before is stale - it can be
 * closed and nothing else.
 */
#include "daemon/core/service.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/macros.h"
#include "common/secmem.h"
#include "daemon/core/content.h"
#include "daemon/core/discover.h"
#include "daemon/core/fetch.h"
#include "daemon/core/hashed_priv.h"
#include "daemon/core/ledger.h"
#include "daemon/core/peers.h"
#include "daemon/core/publish.h"
#include "daemon/core/service_internal.h"
#include "daemon/core/upload.h"

static void
groups_done(struct policy_groups *g)
{
	free(g->gids);
	g->gids = NULL;
	g->n = 0;
}

static bool
groups_copy(struct policy_groups *to, const struct policy_groups *from)
{
	*to = (struct policy_groups){.all = from->all};
	if (from->n == 0)
		return true;
	to->gids = calloc(from->n, sizeof(to->gids[0]));
	if (to->gids == NULL)
		return false;
	memcpy(to->gids, from->gids, from->n * sizeof(to->gids[0]));
	to->n = from->n;
	return true;
}

static void
settings_done(struct service_settings *s)
{
	groups_done(&s->policy.admins);
	groups_done(&s->policy.clients);
	groups_done(&s->policy.publishers);
	free(s->peers);
	s->peers = NULL;
}

static bool
settings_copy(struct service_settings *to, const struct service_settings *from)
{
	const struct policy *p = &from->policy;

	*to = *from;
	to->policy.admins = (struct policy_groups){0};
	to->policy.clients = (struct policy_groups){0};
	to->policy.publishers = (struct policy_groups){0};
	to->peers = calloc(from->n_peers + 1, sizeof(to->peers[0]));
	if (to->peers == NULL || !groups_copy(&to->policy.admins, &p->admins) ||
		!groups_copy(&to->policy.clients, &p->clients) ||
		!groups_copy(&to->policy.publishers, &p->publishers)) {
		settings_done(to);
		return false;
	}
	if (from->n_peers > 0)
		memcpy(to->peers, from->peers,
			from->n_peers * sizeof(to->peers[0]));
	return true;
}

static struct server_key *
key_new(const uint8_t *bytes, size_t len)
{
	struct server_key *key = sec_alloc(sizeof(*key) + len);

	if (key == NULL)
		return NULL;
	key->refs = 1;
	key->len = len;
	memcpy(key->bytes, bytes, len);
	return key;
}

struct server_key *
service_key_ref(struct service *svc)
{
	svc->key->refs++;
	return svc->key;
}

struct server_key *
service_key_unref(struct server_key *key)
{
	if (key != NULL && --key->refs == 0)
		sec_free(key, sizeof(*key) + key->len);
	return NULL;
}

struct service *
service_new(const struct env *env, struct block_store *store,
	const struct service_settings *settings, const uint8_t *key,
	size_t key_len)
{
	struct service *svc = calloc(1, sizeof(*svc));

	if (svc == NULL)
		return NULL;
	TAILQ_INIT(&svc->sessions);
	LIST_INIT(&svc->standing_infos);
	svc->env = env;
	svc->store = store;
	svc->status = SERVICE_UNAVAILABLE;
	svc->epoch = 1;
	svc->armed_ms = UINT64_MAX;
	svc->started_ms = service_now_ms(svc);
	wheel_init(&svc->wheel, svc->started_ms);
	svc->quota = quota_new(&settings->limits);
	svc->label = malloc(sizeof(*svc->label) + SESSION_IDENTIFIER_MAX);
	svc->peers = peers_new(svc);
	svc->fetcher = fetcher_new(svc);
	svc->discover = discover_new(svc);
	svc->uploads = uploads_new(svc);
	svc->ledger = ledger_new(svc);
	svc->hashed = hashed_new(svc);
	svc->key = key_new(key, key_len);
	if (svc->quota == NULL || svc->peers == NULL || svc->label == NULL ||
		svc->fetcher == NULL || svc->discover == NULL ||
		svc->uploads == NULL || svc->ledger == NULL ||
		svc->hashed == NULL || svc->key == NULL ||
		service_configure(svc, settings) < 0)
		return service_free(svc);
	return svc;
}

bool
service_idle(const struct service *svc)
{
	return svc->busy == 0;
}

struct service *
service_free(struct service *svc)
{
	if (svc == NULL)
		return NULL;
	hashed_free(svc->hashed);
	assert(TAILQ_EMPTY(&svc->sessions));
	assert(svc->busy == 0);
	fetcher_free(svc->fetcher);
	content_spares_free(svc);
	assert(svc->publications == NULL);
	discover_free(svc->discover);
	uploads_free(svc->uploads);
	ledger_free(svc->ledger);
	peers_free(svc->peers);
	quota_free(svc->quota);
	free(svc->label);
	assert(svc->key == NULL || svc->key->refs == 1);
	service_key_unref(svc->key);
	settings_done(&svc->settings);
	free(svc);
	return NULL;
}

static void
invalidate(struct service *svc)
{
	struct session *s;

	svc->epoch++;
	svc->counters.epochs++;
	TAILQ_FOREACH (s, &svc->sessions, link) {
		session_cancel_handles(s, NULL, NULL, CORE_E_INVALIDATED);
		op_cancel_scope(&s->own_scope, CORE_E_INVALIDATED);
		call_answer_all(s,
			svc->status == SERVICE_DISABLED ? CORE_E_DISABLED
							: CORE_E_UNAVAILABLE,
			true);
		publication_withdraw_all(s);
	}
	fetch_stop_all(svc);
}

static void
set_status(struct service *svc, enum service_status status)
{
	enum service_status before = svc->status;
	uint32_t min, max;
	struct session *s;

	if (status == before)
		return;
	svc->status = status;
	if (before == SERVICE_AVAILABLE) {
		hashed_stop(svc->hashed);
		invalidate(svc);
	}
	discover_configure(svc->discover);
	uploads_configure(svc->uploads);
	service_content_versions(svc, &min, &max);
	TAILQ_FOREACH (s, &svc->sessions, link)
		s->ops->status(s->ctx, status, min, max);
}

static void
evaluate(struct service *svc)
{
	if (!svc->settings.policy.enabled)
		set_status(svc, SERVICE_DISABLED);
	else if (!svc->ready)
		set_status(svc, SERVICE_UNAVAILABLE);
	else
		set_status(svc, SERVICE_AVAILABLE);
}

static bool
needs_role(const struct handle *h, const void *roles)
{
	return *(const unsigned *)roles &
		(h->type == HANDLE_CONTENT ? ROLE_CLIENT : ROLE_PUBLISHER);
}

/* A session that lost a role loses what it has pending under it. */
static void
session_roles_changed(struct session *s)
{
	unsigned lost = s->roles;

	s->roles = policy_roles(&s->service->settings.policy, &s->identity);
	lost &= ~s->roles;
	session_cancel_handles(s, needs_role, &lost, CORE_E_INVALIDATED);
	if (lost & ROLE_CLIENT)
		op_cancel_scope(&s->own_scope, CORE_E_INVALIDATED);
	if (lost & ROLE_PUBLISHER)
		call_answer_all(s, CORE_E_DISABLED, true);
}

int
service_configure(struct service *svc, const struct service_settings *settings)
{
	struct service_settings copy;
	struct session *s;
	int r;

	if (!settings_copy(&copy, settings))
		return -ENOMEM;
	r = peers_configure(svc->peers, copy.peers, copy.n_peers);
	if (r < 0) {
		settings_done(&copy);
		return err_pass(r);
	}
	settings_done(&svc->settings);
	svc->settings = copy;
	quota_set_limits(svc->quota, &copy.limits);
	TAILQ_FOREACH (s, &svc->sessions, link)
		session_roles_changed(s);
	discover_configure(svc->discover);
	uploads_configure(svc->uploads);
	evaluate(svc);
	fetch_reconsider(svc);
	return 0;
}

void
service_ready(struct service *svc, bool ready)
{
	svc->ready = ready;
	evaluate(svc);
}

int
service_set_key(struct service *svc, const uint8_t *bytes, size_t len)
{
	struct server_key *key = key_new(bytes, len);

	if (key == NULL)
		return err_new(-ENOMEM);
	service_key_unref(svc->key);
	svc->key = key;
	if (svc->status == SERVICE_AVAILABLE)
		set_status(svc, SERVICE_UNAVAILABLE);
	evaluate(svc);
	return 0;
}

void
service_set_hash_store(struct service *svc, struct hash_store *hashes)
{
	svc->hashes = hashes;
	if (hashes != NULL)
		standing_sweep_soon(svc);
}

enum service_status
service_status(const struct service *svc)
{
	return svc->status;
}

void
service_content_versions(
	const struct service *svc, uint32_t *ret_min, uint32_t *ret_max)
{
	*ret_min = 1;
	*ret_max = svc->settings.preferred_content_version == 1 ? 1 : 2;
}

uint32_t
service_epoch(const struct service *svc)
{
	return svc->epoch;
}

const struct service_counters *
service_counters(const struct service *svc)
{
	return &svc->counters;
}

const struct service_settings *
service_settings(const struct service *svc)
{
	return &svc->settings;
}

struct quota_table *
service_quota(struct service *svc)
{
	return svc->quota;
}

struct block_store *
service_store(struct service *svc)
{
	return svc->store;
}

struct hash_store *
service_hash_store(struct service *svc)
{
	return svc->hashes;
}

struct discover *
service_discover(struct service *svc)
{
	return svc->discover;
}

struct uploads *
service_uploads(struct service *svc)
{
	return svc->uploads;
}

struct ledger *
service_ledger(struct service *svc)
{
	return svc->ledger;
}

bool
service_has_peers(const struct service *svc)
{
	return svc->status == SERVICE_AVAILABLE &&
		svc->settings.policy.mode == MODE_DISTRIBUTED;
}

void
service_hold(struct service *svc)
{
	svc->busy++;
}

void
service_release(struct service *svc)
{
	assert(svc->busy > 0);
	svc->busy--;
}

uint64_t
service_now_ms(const struct service *svc)
{
	return svc->env->ops->now_ms(svc->env->ctx);
}

uint64_t
service_wall_ms(const struct service *svc)
{
	return svc->env->ops->wall_ms(svc->env->ctx);
}

uint32_t
service_now_ds(const struct service *svc)
{
	return (uint32_t)((service_now_ms(svc) - svc->started_ms) / 100);
}

enum core_result
service_store_result(enum store_status status)
{
	switch (status) {
	case STORE_OK:
		return CORE_OK;
	case STORE_NO_MEMORY:
		return CORE_E_NO_MEMORY;
	case STORE_DISK_FULL:
		return CORE_E_DISK_FULL;
	case STORE_OVER_QUOTA:
		return CORE_E_NO_RESOURCES;
	case STORE_MISSING:
		return CORE_E_NOT_FOUND;
	case STORE_ROTTEN:
	case STORE_IO:
		break;
	}
	return CORE_E_IO;
}

void
service_timer(struct service *svc, struct wheel_timer *t, uint64_t delay_ms)
{
	/* One more, because the clock was cut down to whole milliseconds. */
	uint64_t due_ms = service_now_ms(svc) + delay_ms + 1;

	wheel_start(&svc->wheel, t, due_ms);
	if (due_ms >= svc->armed_ms)
		return;
	svc->armed_ms = due_ms;
	svc->env->ops->timer_changed(svc->env->ctx);
}

void
service_tick(struct service *svc)
{
	wheel_advance(&svc->wheel, service_now_ms(svc));
}

uint64_t
service_next_ms(struct service *svc)
{
	svc->armed_ms = wheel_next_ms(&svc->wheel);
	return svc->armed_ms;
}

static void
job_done(struct env_job *e, bool ran)
{
	struct core_job *job = container_of(e, struct core_job, env);

	job->service->busy--;
	job->done(job, ran);
}

void
service_job(struct service *svc, struct core_job *job,
	void (*run)(struct env_job *, struct bulk *),
	void (*done)(struct core_job *, bool ran), uint32_t uid)
{
	job->service = svc;
	job->done = done;
	job->env.run = run;
	job->env.done = job_done;
	job->env.uid = uid;
	svc->busy++;
	svc->env->ops->job(svc->env->ctx, &job->env);
}

struct session *
service_find_session(struct service *svc, uint64_t number)
{
	struct session *s;

	TAILQ_FOREACH (s, &svc->sessions, link)
		if (s->number == number)
			return s;
	return NULL;
}

void
service_each_peer(struct service *svc,
	void (*fn)(const struct peer_view *, void *ctx), void *ctx)
{
	peers_each(svc->peers, fn, ctx);
}

size_t
service_forgive_peer(struct service *svc, const struct parse_addr *addr)
{
	return peers_forgive(svc->peers, addr);
}
