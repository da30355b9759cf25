/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slots of uploads
 *
 * Hosts are told apart by address, whatever the port: each has at most half of
 * the slots, so that one alone cannot make this host look empty to all others.
 *
 * The rate limit is a bucket that may be in debt: a block leaves at once when
 * the bucket is not empty, and whatever it is short of, later ones wait for.
 * The bucket is counted in bytes times milliseconds, lest low rates lose
 * fractions.
 */
#include "daemon/core/upload.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "common/macros.h"
#include "daemon/core/service_internal.h"

#define MS_PER_S INT64_C(1000)
/* What the bucket holds, as a time: what timers are late by. */
#define BURST_MS INT64_C(125)
/* Rates above (128 GiB a second) are none: the bucket's numbers stay below
 * 2^62, be an upload as patient as the settings allow. */
#define RATE_MAX (UINT64_C(1) << 37)
#define IDLE_MAX (UINT64_C(1) << 23) /* ms; more has filled any bucket */

struct host_key {
	uint8_t addr[16]; /* IPv4 as mapped IPv6 */
	uint32_t scope;
};

struct upload_host {
	UT_hash_handle hh;
	struct host_key key;
	uint32_t running;
};

struct uploads {
	struct service *service;
	struct upload_host *hosts;
	unsigned running;
	uint64_t rate;
	int64_t level; /* bytes * ms */
	uint64_t filled_ms;
};

struct uploads *
uploads_new(struct service *svc)
{
	struct uploads *us = calloc(1, sizeof(*us));

	if (us == NULL)
		return NULL;
	us->service = svc;
	return us;
}

struct uploads *
uploads_free(struct uploads *us)
{
	if (us == NULL)
		return NULL;
	assert(us->running == 0 && us->hosts == NULL);
	free(us);
	return NULL;
}

void
uploads_configure(struct uploads *us)
{
	uint64_t rate = us->service->settings.upload_rate;

	rate = rate > RATE_MAX ? 0 : rate;
	if (rate == us->rate)
		return;
	us->rate = rate;
	us->level = 0;
	us->filled_ms = service_now_ms(us->service);
}

static struct host_key
key_of(const struct parse_addr *addr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct host_key key = {.scope = 0};
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (addr->ss.ss_family == AF_INET) {
		memcpy(&in, &addr->ss, sizeof(in));
		memcpy(key.addr, mapped, sizeof(mapped));
		memcpy(key.addr + sizeof(mapped), &in.sin_addr, 4);
	} else if (addr->ss.ss_family == AF_INET6) {
		memcpy(&in6, &addr->ss, sizeof(in6));
		memcpy(key.addr, &in6.sin6_addr, sizeof(key.addr));
		key.scope = in6.sin6_scope_id;
	}
	return key;
}

static struct upload_host *
host_get(struct uploads *us, const struct parse_addr *addr)
{
	struct host_key key = key_of(addr);
	struct upload_host *h;

	HASH_FIND(hh, us->hosts, &key, sizeof(key), h);
	if (h != NULL)
		return h;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return NULL;
	h->key = key;
	HASH_ADD(hh, us->hosts, key, sizeof(h->key), h);
	if (h->hh.tbl == NULL) {
		free(h);
		return NULL;
	}
	return h;
}

static bool
has_slot(const struct uploads *us, const struct upload_host *h)
{
	uint32_t all = us->service->settings.uploads;

	return h->running < MAX_OF(all / 2, 1u);
}

static void
on_timer(struct wheel_timer *t)
{
	struct upload *u = container_of(t, struct upload, timer);

	u->failed = true;
	u->over(u);
}

bool
upload_begin(struct uploads *us, struct upload *u,
	const struct parse_addr *addr, void (*over)(struct upload *))
{
	struct service *svc = us->service;
	struct upload_host *h;

	*u = (struct upload){.over = over};
	if (!service_has_peers(svc))
		return false;
	h = us->running < svc->settings.uploads ? host_get(us, addr) : NULL;
	if (h == NULL || !has_slot(us, h)) {
		svc->counters.uploads_busy++;
		return false;
	}
	u->uploads = us;
	u->host = h;
	u->timer.fn = on_timer;
	h->running++;
	us->running++;
	service_hold(svc);
	service_timer(svc, &u->timer, svc->settings.upload_timeout_ms);
	svc->counters.uploads++;
	return true;
}

static void
host_release(struct uploads *us, struct upload_host *h)
{
	if (--h->running > 0)
		return;
	HASH_DEL(us->hosts, h);
	free(h);
}

/* What did not leave is not counted: who asks and hangs up must not use up the
 * rate of others. */
static void
bucket_return(struct uploads *us, const struct upload *u, uint64_t sent)
{
	int64_t rate = (int64_t)us->rate;

	if (rate == 0 || sent >= u->charged)
		return;
	us->level += (int64_t)(u->charged - sent) * MS_PER_S;
	us->level = MIN_OF(us->level, BURST_MS * rate);
}

static void
count_end(struct upload *u, uint64_t sent)
{
	struct service_counters *c = &u->uploads->service->counters;

	c->upload_bytes += sent;
	if (u->failed || (u->lent && sent < u->loan.cipher_len))
		c->uploads_given_up++;
	else if (!u->found)
		c->uploads_empty++;
}

void
upload_end(struct upload *u, uint64_t sent)
{
	struct uploads *us = u->uploads;
	struct service *svc;

	if (us == NULL)
		return;
	svc = us->service;
	count_end(u, sent);
	bucket_return(us, u, sent);
	wheel_stop(&u->timer);
	if (u->lent)
		svc->store->ops->give_back(svc->store, &u->loan);
	u->lent = false;
	us->running--;
	host_release(us, u->host);
	u->host = NULL;
	u->uploads = NULL;
	service_release(svc);
}

static bool
is_segment_id(size_t id_len)
{
	return id_len == 32 || id_len == 48 || id_len == 64;
}

void
upload_held(struct upload *u, const uint8_t *id, size_t id_len,
	struct store_held *ret)
{
	uploads_held(u->uploads, id, id_len, ret);
	u->found |= ret->n_blocks > 0;
}

bool
upload_lend(struct upload *u, const uint8_t *id, size_t id_len, uint32_t index)
{
	struct service *svc = u->uploads->service;

	assert(!u->lent);
	u->lent = service_has_peers(svc) && is_segment_id(id_len) &&
		svc->store->ops->lend(
			svc->store, id, id_len, index, &u->loan) == STORE_OK;
	u->found |= u->lent;
	return u->lent;
}

static void
bucket_fill(struct uploads *us)
{
	uint64_t now_ms = service_now_ms(us->service);
	int64_t idle_ms = (int64_t)MIN_OF(now_ms - us->filled_ms, IDLE_MAX);
	int64_t rate = (int64_t)us->rate;

	us->filled_ms = now_ms;
	us->level = MIN_OF(us->level + idle_ms * rate, BURST_MS * rate);
}

uint32_t
upload_wait_ms(struct upload *u, uint32_t bytes)
{
	struct uploads *us = u->uploads;
	int64_t rate = (int64_t)us->rate, wait_ms = 0;
	uint64_t now_ms;

	if (rate == 0)
		return 0;
	bucket_fill(us);
	if (us->level < 0)
		wait_ms = (-us->level + rate - 1) / rate;
	now_ms = us->filled_ms;
	if (now_ms + (uint64_t)wait_ms >= u->timer.due_ms)
		return UINT32_MAX;
	us->level -= bytes * MS_PER_S;
	u->charged += bytes;
	return (uint32_t)wait_ms;
}

void
uploads_held(struct uploads *us, const uint8_t *id, size_t id_len,
	struct store_held *ret)
{
	struct service *svc = us->service;

	*ret = (struct store_held){0};
	if (service_has_peers(svc) && is_segment_id(id_len))
		svc->store->ops->held(svc->store, id, id_len, ret);
}

unsigned
uploads_running(const struct uploads *us)
{
	return us->running;
}
