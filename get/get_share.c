/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first one in a branch who gets a file has it, but cannot say so, since
 * the origin had no content information when it sent the file.  So the origin
 * is asked for that afterwards, a few times, and then the service is given the
 * file.
 *
 * The first answer also tells whether the origin still has the same file.  With
 * content information the file is checked, and gets its name then; without, it
 * gets its name before the waiting begins.  When it turns out not to be what
 * the origin describes it is downloaded anew, unless it has been changed here
 * meanwhile: then it is somebody's.
 */
#include "get/get_priv.h"

#include <errno.h>

#include "common/clock.h"
#include "common/macros.h"

/* For the head of an answer to a hash request: the first one tells whether the
 * file is still the same. */
#define ANSWER_US (10 * US_PER_S)

/* After the first hash request. */
static const uint64_t hash_again_us[] = {5 * US_PER_S, 30 * US_PER_S};
#define HASH_TRIES_MOST (1 + ARRAY_LEN(hash_again_us))

static enum origin_flow
hash_head(void *ctx, const struct origin_answer *a)
{
	struct get *g = ctx;

	if (a->status == 200 && !get_same_validators(g->etag, g->modified, a) &&
		(a->etag != NULL || a->modified != NULL)) {
		/* Before the file has its name it can be made anew; a file that
		 * was the right one then stays it. */
		if (g->committed)
			g->hash_tries = HASH_TRIES_MOST;
		else
			get_note(g, NEXT_AGAIN, "the resource has changed");
		return ORIGIN_STOP;
	}
	if (a->status != 200 || get_info_too_long(a) ||
		pccrtp_response(&a->fields, a->length) != PCCRTP_BODY_INFO)
		return ORIGIN_STOP;
	g->fields = a->fields;
	/* It may be long, and the line slow. */
	g->hash_next_us = MAX_OF(g->hash_next_us, g->hash_end_us);
	return ORIGIN_ON;
}

static enum origin_flow
hash_body(void *ctx, const uint8_t *bytes, size_t len)
{
	struct get *g = ctx;

	return g->next == NEXT_NOTHING &&
			secbuf_add(&g->info, PCCRTP_INFO_MAX, bytes, len) == 0
		? ORIGIN_ON
		: ORIGIN_STOP;
}

static void
hash_done(void *ctx, enum origin_end end, const char *why)
{
	struct get *g = ctx;

	g->transfer = NULL;
	if (g->next != NEXT_NOTHING)
		return;
	get_note(g,
		end == ORIGIN_DONE && g->info.len > 0 ? NEXT_INFO_ENDED
						      : NEXT_NO_INFO,
		NULL);
}

static const struct origin_ops hash_ops = {hash_head, hash_body, hash_done};

void
get_hash_request(struct get *g)
{
	struct origin_request req = {
		.ask = ORIGIN_ASK_HASH,
		.url = &g->url,
		.ops = &hash_ops,
		.ctx = g,
	};
	uint64_t now = clock_now_us();

	secbuf_done(&g->info);
	if (g->hash_tries == 0) {
		g->hash_begun_us = now;
		g->hash_end_us = now + g->opt->wait_us;
	}
	g->hash_next_us = now + ANSWER_US;
	g->state = GET_HASH;
	g->next = NEXT_NOTHING;
	g->hash_tries++;
	g->report.hash_requests++;
	(void)get_memory_ok(
		g, origin_start(g->origin, &req, &g->transfer) == 0);
}

/* No content information this time. */
void
get_hash_later(struct get *g)
{
	uint64_t next;

	get_commit(g);
	if (g->next == NEXT_FAILED)
		return;
	if (g->hash_tries >= HASH_TRIES_MOST) {
		g->state = GET_END;
		return;
	}
	next = g->hash_begun_us + hash_again_us[g->hash_tries - 1];
	if (next > g->hash_end_us) {
		g->state = GET_END;
		return;
	}
	if (g->hash_tries == 1)
		report_say(&g->report,
			"%s is complete; waiting for the server to describe "
			"it, so that the branch gets it",
			g->report.file);
	g->hash_next_us = next;
	g->state = GET_WAIT;
}

static void
given(struct get *g, const char *why_not)
{
	if (why_not != NULL)
		report_say(&g->report, "not given to the cache: %s", why_not);
	get_commit(g);
	g->state = GET_END;
}

static void
not_as_described(struct get *g)
{
	if (g->committed && part_is_touched(g->part))
		given(g, "it has been changed here");
	else
		get_again(g, NULL, "the file is not what the server describes");
}

/* Of a file that is complete. */
void
get_hash_info_ended(struct get *g)
{
	if (!get_understand(g)) {
		/* Another time there may be a better one. */
		if (g->next == NEXT_AGAIN)
			get_note(g, NEXT_NO_INFO, NULL);
		return;
	}
	if (described_length(g->described) != g->written)
		not_as_described(g);
	else
		get_open_content(g, GET_TELL);
}

void
get_give_begins(struct get *g)
{
	secbuf_done(&g->info);
	g->state = GET_GIVE;
	(void)get_memory_ok(g,
		give_new(&g->give, g->branch, g->opened, g->part, g->described,
			&g->report) == 0);
}

void
get_give_goes_on(struct get *g)
{
	switch (give_step(g->give)) {
	case GIVE_RUNNING:
		break;
	case GIVE_WRONG:
		g->report.given = 0;
		not_as_described(g);
		break;
	case GIVE_FAILED:
		given(g, give_why(g->give));
		break;
	case GIVE_DONE:
		given(g, NULL);
		break;
	case GIVE_UNREAD:
		if (g->committed)
			given(g, "it cannot be read");
		else
			(void)get_local_ok(g, -EIO);
		break;
	}
}
