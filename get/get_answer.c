/* SPDX-License-Identifier: BSD-2-Clause */
/* What the first request is answered with, and what follows from that. */
#include "get/get_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Answers. */

static bool
copy_text(char **ret, const char *text)
{
	free(*ret);
	*ret = text != NULL ? strdup(text) : NULL;
	return text == NULL || *ret != NULL;
}

/* The file is made from this answer. */
bool
get_take_answer(struct get *g, const struct origin_answer *a)
{
	const char *effective = origin_effective(g->transfer);
	struct url url;

	g->fields = a->fields;
	g->validator = NULL;
	if (!get_memory_ok(g,
		    copy_text(&g->etag, a->etag) &&
			    copy_text(&g->modified, a->modified) &&
			    effective != NULL))
		return false;
	g->validator = http_range_validator(
		g->etag, origin_is_dated(a) ? g->modified : NULL);
	if (url_parse(&url, effective) != 0) {
		get_fail(g, REPORT_NETWORK, "redirected to what is no URL");
		return false;
	}
	url_done(&g->url);
	g->url = url;
	return true;
}

/* The same as the answer that the file is made from. */
bool
get_same_validators(
	const char *etag, const char *modified, const struct origin_answer *a)
{
	const char *ours = http_range_validator(etag, NULL);
	const char *theirs = http_range_validator(a->etag, NULL);

	if (ours != NULL && theirs != NULL)
		return strcmp(ours, theirs) == 0;
	if (modified == NULL || a->modified == NULL)
		return false;
	return strcmp(modified, a->modified) == 0;
}

/* From now on an end leaves something to continue with. */
static bool
tell_part(struct get *g, bool encoded)
{
	struct part_note n = {
		.url = g->named.text,
		.etag = g->etag,
		.modified = g->modified,
		.length = g->length,
		.encoded = encoded,
	};

	return g->validator == NULL || get_local_ok(g, part_tell(g->part, &n));
}

static void
body_begins(struct get *g, uint64_t length)
{
	g->state = GET_PLAIN;
	g->length = length;
	g->report.total = length;
	(void)tell_part(g, false);
}

/* The rest of a part of before. */
static enum origin_flow
rest_begins(struct get *g, const struct origin_answer *a)
{
	const struct http_range *r = &a->range.range;

	if (!a->has_range || r->offset != g->before_size ||
		!a->range.has_size || r->offset + r->length != a->range.size ||
		!get_same_validators(g->before.etag, g->before.modified, a)) {
		get_note(g, NEXT_AGAIN,
			"the answer is not the rest of the file");
		return ORIGIN_STOP;
	}
	g->written = g->report.kept = g->before_size;
	g->before_size = 0;
	body_begins(g, a->range.size);
	return g->next == NEXT_NOTHING ? ORIGIN_ON : ORIGIN_STOP;
}

/* A whole file.  Part of it may be there. */
enum origin_flow
get_file_begins(struct get *g, const struct origin_answer *a)
{
	g->make_hash = a->fields.make_hash && g->branch != NULL &&
		!part_is_stdout(g->part);
	if (g->before_size > 0 && g->asked == ORIGIN_ASK_CONTENT &&
		get_same_validators(g->before.etag, g->before.modified, a) &&
		(a->length == UINT64_MAX || g->before_size <= a->length)) {
		get_note(g,
			g->before_size == a->length ? NEXT_THERE
						    : NEXT_CONTINUE,
			NULL);
		g->length = a->length;
		return ORIGIN_LATER;
	}
	g->before_size = 0;
	if (!get_local_ok(g, part_empty(g->part)))
		return ORIGIN_STOP;
	body_begins(g, a->length);
	return g->next == NEXT_NOTHING ? ORIGIN_ON : ORIGIN_STOP;
}

bool
get_info_too_long(const struct origin_answer *a)
{
	return a->length != UINT64_MAX && a->length > PCCRTP_INFO_MAX;
}

static enum origin_flow
info_begins(struct get *g, const struct origin_answer *a)
{
	if (get_info_too_long(a)) {
		get_note(g, NEXT_AGAIN, "the content information is too long");
		return ORIGIN_STOP;
	}
	g->before_size = 0;
	g->state = GET_INFO;
	g->report.encoded = true;
	if (g->fields.has_length)
		g->report.total = g->length = g->fields.length;
	if (!get_local_ok(g, part_empty(g->part)) || !tell_part(g, true))
		return ORIGIN_STOP;
	return ORIGIN_ON;
}

enum origin_flow
get_refused(struct get *g, const char *what)
{
	if (g->asked == ORIGIN_ASK_CONTENT)
		get_note(g, NEXT_AGAIN, what);
	else
		get_fail(g, REPORT_NETWORK, "%s", what);
	return ORIGIN_STOP;
}

static enum origin_flow
first_head(void *ctx, const struct origin_answer *a)
{
	struct get *g = ctx;
	enum pccrtp_body body = pccrtp_response(&a->fields, a->length);

	if (a->status != 200 && (a->status != 206 || g->before_size == 0)) {
		if (g->before_size > 0 && a->status == 416)
			get_note(g, NEXT_AGAIN, "the file has become shorter");
		else
			get_fail(g, REPORT_NETWORK, "the server answers %ld",
				a->status);
		return ORIGIN_STOP;
	}
	if (!get_take_answer(g, a))
		return ORIGIN_STOP;
	if (body == PCCRTP_BODY_STRIPPED)
		return get_refused(
			g, "something on the way takes the coding away");
	if (body == PCCRTP_BODY_REFUSED ||
		(body == PCCRTP_BODY_INFO &&
			(g->asked != ORIGIN_ASK_CONTENT || a->status != 200)))
		return get_refused(g,
			"the server uses a coding that was not "
			"asked for");
	if (body == PCCRTP_BODY_INFO)
		return info_begins(g, a);
	return a->status == 206 ? rest_begins(g, a) : get_file_begins(g, a);
}

static enum origin_flow
collect(struct get *g, const uint8_t *bytes, size_t len)
{
	int r = secbuf_add(&g->info, PCCRTP_INFO_MAX, bytes, len);

	if (r == -EMSGSIZE)
		get_note(g, NEXT_AGAIN, "the content information is too long");
	else
		(void)get_memory_ok(g, r == 0);
	return r == 0 ? ORIGIN_ON : ORIGIN_STOP;
}

static enum origin_flow
first_body(void *ctx, const uint8_t *bytes, size_t len)
{
	struct get *g = ctx;

	if (g->next != NEXT_NOTHING)
		return ORIGIN_STOP;
	if (g->state == GET_INFO)
		return collect(g, bytes, len);
	if (len > g->length - g->written) {
		get_fail(g, REPORT_NETWORK,
			"more bytes than the server promised");
		return ORIGIN_STOP;
	}
	if (!get_local_ok(g, part_write(g->part, bytes, len, g->written)))
		return ORIGIN_STOP;
	g->written += len;
	g->report.by[REPORT_ORIGIN] += len;
	return ORIGIN_ON;
}

static void
first_done(void *ctx, enum origin_end end, const char *why)
{
	struct get *g = ctx;

	g->transfer = NULL;
	if (end == ORIGIN_BROKEN)
		get_fail(g, REPORT_NETWORK, "%s", why);
	else if (end == ORIGIN_DONE && g->next == NEXT_NOTHING)
		get_note(g,
			g->state == GET_INFO ? NEXT_INFO_ENDED
					     : NEXT_BODY_ENDED,
			NULL);
}

const struct origin_ops get_first_ops = {first_head, first_body, first_done};

/* Requests. */

void
get_first_request(struct get *g, enum origin_ask ask)
{
	const char *validator =
		http_range_validator(g->before.etag, g->before.modified);
	bool rest = ask == ORIGIN_ASK_PLAIN && g->before_size > 0;
	struct origin_request req = {
		.ask = ask,
		.url = &g->named,
		.ranged = rest,
		.range = {g->before_size, UINT64_MAX},
		.if_range = rest ? validator : NULL,
		.ops = &get_first_ops,
		.ctx = g,
	};

	g->state = GET_FIRST;
	g->next = NEXT_NOTHING;
	g->asked = ask;
	g->written = 0;
	g->length = UINT64_MAX;
	(void)get_memory_ok(
		g, origin_start(g->origin, &req, &g->transfer) == 0);
}
