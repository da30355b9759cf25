/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A flash crowd: many hosts want the same at this moment, so that an
 * application does well to wait a little before it goes to the origin.  Seen in
 * two ways: three distinct hosts asked for a segment within ten seconds, or a
 * host that answered us with a part of it has more of it now.
 *
 * Of each segment the last three distinct hosts of each address family are
 * kept, each with the time of its last question; there is a crowd as long as
 * all three of one family are young.
 *
 * State: 16,384 segments, 2.1 MB once the first question was heard.
 */
#include "daemon/core/discover_internal.h"

#define CROWD_HOSTS 3u
#define CROWD_MS    10000u
#define SETS        2048u

struct crowd_hosts {
	uint64_t at_ms[CROWD_HOSTS];
	uint32_t hosts[CROWD_HOSTS];
};

struct crowd_row {
	struct discover_row row;
	uint64_t grown_ms;              /* 0: never */
	struct crowd_hosts families[2]; /* see DISCOVER_HOST_IPV6 */
};

void
discover_crowd_init(struct discover *d)
{
	d->crowds.row_size = sizeof(struct crowd_row);
	d->crowds.n_sets = SETS;
}

static bool
young(uint64_t at_ms, uint64_t now_ms)
{
	return at_ms != 0 && now_ms + 1 - at_ms < CROWD_MS;
}

static bool
all_young(const struct crowd_hosts *h, uint64_t now_ms)
{
	for (size_t i = 0; i < CROWD_HOSTS; i++)
		if (!young(h->at_ms[i], now_ms))
			return false;
	return true;
}

static bool
crowded(const struct crowd_row *c, uint64_t now_ms)
{
	return young(c->grown_ms, now_ms) ||
		all_young(&c->families[0], now_ms) ||
		all_young(&c->families[1], now_ms);
}

void
discover_crowd_asked(struct discover *d, const uint8_t *id, uint32_t host)
{
	struct crowd_row *c = discover_table_take(d, &d->crowds, id);
	uint64_t now_ms = service_now_ms(d->service);
	struct crowd_hosts *h;
	size_t at = 0;

	if (c == NULL)
		return;
	h = &c->families[host & DISCOVER_HOST_IPV6];
	for (size_t i = 0; i < CROWD_HOSTS; i++) {
		if (h->at_ms[i] != 0 && h->hosts[i] == host) {
			at = i;
			break;
		}
		if (h->at_ms[i] < h->at_ms[at])
			at = i;
	}
	h->hosts[at] = host;
	h->at_ms[at] = now_ms + 1;
	if (crowded(c, now_ms))
		d->crowded_until_ms = now_ms + CROWD_MS;
}

void
discover_crowd_grew(struct discover *d, const uint8_t *id)
{
	struct crowd_row *c = discover_table_take(d, &d->crowds, id);
	uint64_t now_ms = service_now_ms(d->service);

	if (c == NULL)
		return;
	c->grown_ms = now_ms + 1;
	d->crowded_until_ms = now_ms + CROWD_MS;
}

bool
discover_crowd(struct discover *d, const uint8_t *id)
{
	const struct crowd_row *c = d->on && discover_crowd_any(d)
		? discover_table_find(d, &d->crowds, id)
		: NULL;

	return c != NULL && crowded(c, service_now_ms(d->service));
}

bool
discover_crowd_any(const struct discover *d)
{
	return service_now_ms(d->service) < d->crowded_until_ms;
}
