/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * GETBLKLIST is answered at once.  GETSEGLIST may name 2,729 segments: they are
 * looked up in slices, one in a pass of the loop, while the request stays in
 * the connection's buffer.  The slot is given back when the answer is built,
 * because nothing of the store is lent to it.
 */
#include "daemon/net/serve_priv.h"

#include <stdlib.h>
#include <string.h>

#include "common/macros.h"

#define SLICE    256u /* segments */
#define AGES_MAX 255u /* their number is one byte */

struct segments {
	struct serve_work work;
	struct serve *serve;
	struct http_conn *conn;
	struct upload upload;
	struct loop_deferred more;
	struct pccrr_getseglist asked;
	uint64_t now_s;
	size_t next; /* to be looked up */
	size_t n_ranges;
	struct pccrr_segment_range *ranges;
	size_t n_ages;
	struct pccrr_age ages[AGES_MAX];
	struct pccrr_segment_id ids[];
};

static struct pccrr_set
set_of(const struct store_held *held)
{
	struct pccrr_set set;

	_Static_assert(sizeof(set.words) == sizeof(held->blocks),
		"sets of the store and of the codec are alike");
	memcpy(set.words, held->blocks, sizeof(set.words));
	return set;
}

uint32_t
serve_next(const struct store_held *held, uint32_t from)
{
	struct pccrr_set set = set_of(held);
	uint32_t next = pccrr_set_next(&set, from);

	return next < PCCRR_BLOCKS_MAX ? next : 0;
}

/* What is held of what was asked for, and the next one behind that.  Without
 * any of these there is nothing to be behind of. */
static void
fill_list(struct pccrr_blklist *list, const struct pccrr_set *needed,
	const struct store_held *held)
{
	struct pccrr_set set = set_of(held);
	uint32_t last = PCCRR_BLOCKS_MAX;

	for (size_t i = 0; i < ARRAY_LEN(set.words); i++) {
		list->held.words[i] = set.words[i] & needed->words[i];
		if (list->held.words[i] != 0)
			last = (uint32_t)(64 * i + 63) -
				(uint32_t)__builtin_clzll(list->held.words[i]);
	}
	if (last < PCCRR_BLOCKS_MAX)
		list->next_block = serve_next(held, last + 1);
}

void
serve_getblklist(
	struct serve *s, struct http_conn *c, const uint8_t *data, size_t len)
{
	struct pccrr_blklist list = {0};
	struct pccrr_getblklist m;
	struct store_held held;
	struct upload slot;

	if (pccrr_parse_getblklist(&m, data, len) != 0) {
		serve_refuse(c);
		return;
	}
	list.id = m.id;
	list.id_len = m.id_len;
	/* No time passes that could be too long. */
	if (upload_begin(s->uploads, &slot, http_conn_peer(c), NULL)) {
		upload_held(&slot, m.id, m.id_len, &held);
		fill_list(&list, &m.needed, &held);
		upload_end(&slot, 0);
	}
	buf_reset(&s->message);
	serve_message(s, c, pccrr_build_blklist(&s->message, &list));
}

/* Segments */

static void
segments_free(struct segments *g)
{
	upload_end(&g->upload, 0);
	loop_undefer(g->serve->loop, &g->more);
	g->serve->n_running--;
	free(g->ranges);
	free(g);
}

static void
segments_ended(struct serve_work *w, uint64_t sent)
{
	segments_free(container_of(w, struct segments, work));
}

static void
segments_over(struct upload *u)
{
	http_conn_abort(container_of(u, struct segments, upload)->conn);
}

/* Positions of ages count from the first one held, and have one byte. */
static void
add_age(struct segments *g, size_t i, const struct store_held *held)
{
	size_t index = i - g->ranges[0].index;
	uint64_t age_s = g->now_s > held->born_s ? g->now_s - held->born_s : 0;

	if (g->n_ages == AGES_MAX || index > UINT8_MAX)
		return;
	g->ages[g->n_ages++] = (struct pccrr_age){
		.index = (uint8_t)index,
		.ds = (uint32_t)MIN_OF(age_s * 10, UINT32_MAX),
	};
}

static void
look_up(struct segments *g, size_t i)
{
	struct pccrr_segment_range *last =
		g->n_ranges > 0 ? &g->ranges[g->n_ranges - 1] : NULL;
	struct store_held held;

	upload_held(&g->upload, g->ids[i].bytes, g->ids[i].len, &held);
	if (held.n_blocks == 0)
		return;
	if (last != NULL && last->index + last->count == i)
		last->count++;
	else
		g->ranges[g->n_ranges++] = (struct pccrr_segment_range){
			.index = (uint32_t)i, .count = 1};
	add_age(g, i, &held);
}

static void
segments_answer(struct segments *g)
{
	struct serve *s = g->serve;
	struct http_conn *c = g->conn;
	int r;

	buf_reset(&s->message);
	r = pccrr_build_seglist(&s->message, g->asked.request, g->ranges,
		g->n_ranges, g->ages, g->n_ages);
	http_conn_set_user(c, NULL);
	segments_free(g);
	serve_message(s, c, r);
}

static void
segments_step(struct segments *g)
{
	size_t end = MIN_OF(g->next + SLICE, g->asked.n_ids);

	while (g->next < end)
		look_up(g, g->next++);
	if (g->next < g->asked.n_ids)
		loop_defer(g->serve->loop, &g->more);
	else
		segments_answer(g);
}

static void
segments_more(struct loop_deferred *d)
{
	segments_step(container_of(d, struct segments, more));
}

/* max: more ids than the message has room for. */
static struct segments *
segments_new(struct serve *s, struct http_conn *c, size_t max)
{
	struct segments *g = calloc(1, sizeof(*g) + max * sizeof(g->ids[0]));

	if (g == NULL)
		return NULL;
	g->ranges = malloc((max / 2 + 1) * sizeof(g->ranges[0]));
	if (g->ranges == NULL) {
		free(g);
		return NULL;
	}
	g->work.ended = segments_ended;
	g->more.fn = segments_more;
	g->serve = s;
	g->conn = c;
	g->now_s = s->env->ops->wall_ms(s->env->ctx) / 1000;
	s->n_running++;
	return g;
}

void
serve_getseglist(
	struct serve *s, struct http_conn *c, const uint8_t *data, size_t len)
{
	size_t max = len / 36 + 1;
	struct segments *g = segments_new(s, c, max);

	if (g == NULL) {
		http_conn_abort(c);
		return;
	}
	if (pccrr_parse_getseglist(&g->asked, g->ids, max, data, len) != 0) {
		segments_free(g);
		serve_refuse(c);
		return;
	}
	if (!upload_begin(
		    s->uploads, &g->upload, http_conn_peer(c), segments_over)) {
		segments_answer(g);
		return;
	}
	http_conn_set_user(c, &g->work);
	segments_step(g);
}
