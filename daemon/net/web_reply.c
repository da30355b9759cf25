/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From an open file to an answer.  Conditions come first, then ranges, then the
 * coding (MS-PCCRTP): content information describes the bytes that would be
 * sent otherwise, so a range is resolved before it is described, and
 * Content-Range tells of bytes of the file in both cases.
 *
 *   hashed          answer
 *   -----------------------------------------------------------------
 *   known           content information, unless it is not shorter
 *   not known       the file, and it is hashed for the next time
 *   on the disk     the same as one of the others, in a moment: web_reply()
 *                   is run once more, from its beginning
 *
 * Whether a request can be answered by content information at all is decided by
 * what it says and by the file's size, before anything is asked of the core.
 */
#include "daemon/net/web_priv.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "codec/http_range.h"
#include "codec/pccrc.h"
#include "codec/pccrtp.h"
#include "common/macros.h"
#include "daemon/net/web_cond.h"

#define RANGES_MAX 64u

_Static_assert(
	PCCRTP_INFO_V1 == PCCRC_MAKE_V1 && PCCRTP_INFO_V2 == PCCRC_MAKE_V2,
	"what is understood is what is asked for");

struct reply {
	struct web_request *request;
	struct web *web;
	uint64_t size;
	struct web_stamp stamp;
	/* what the fields say */
	struct web_cond cond;
	struct pccrtp_fields peerdist;
	const char *range;
	size_t range_len;
	unsigned range_fields;
	/* what is wanted */
	struct http_range ranges[RANGES_MAX];
	size_t n_ranges; /* 0: all of it */
	uint64_t length; /* of the one range, or of all */
	bool make_hash;
};

static bool
is_name(const char *name, size_t len, const char *wanted)
{
	return len == strlen(wanted) && strncasecmp(name, wanted, len) == 0;
}

static void
on_field(void *ctx, const char *name, size_t name_len, const char *value,
	size_t len)
{
	struct reply *p = ctx;

	switch (*name | 0x20) {
	case 'a':
	case 'x':
		pccrtp_field(&p->peerdist, name, name_len, value, len);
		break;
	case 'i':
		web_cond_field(&p->cond, name, name_len, value, len);
		break;
	case 'r':
		if (!is_name(name, name_len, "Range"))
			break;
		p->range = value;
		p->range_len = len;
		p->range_fields++;
	}
}

/* Ranges */

static bool
are_too_much(const struct reply *p)
{
	uint64_t left = p->size;

	for (size_t i = 0; i < p->n_ranges; i++) {
		if (p->ranges[i].length > left)
			return true;
		left -= p->ranges[i].length;
	}
	return false;
}

/* false: there is none of them. */
static bool
find_ranges(struct reply *p)
{
	enum http_range_result result = HTTP_RANGE_IGNORE;

	/* Two fields say two things: the whole file is never wrong. */
	if (p->request->is_get && p->range_fields == 1 &&
		web_cond_range(&p->cond))
		result = http_range_parse(p->range, p->range_len, p->size,
			p->ranges, RANGES_MAX, &p->n_ranges);
	if (result == HTTP_RANGE_NOTHING)
		return false;
	if (result == HTTP_RANGE_IGNORE || are_too_much(p))
		p->n_ranges = 0;
	p->length = p->n_ranges > 0 ? p->ranges[0].length : p->size;
	return true;
}

/* Header lines */

static bool
may_be_encoded(const struct reply *p)
{
	return p->size > p->request->min_size;
}

static void
begin_head(struct reply *p, bool stamped)
{
	struct web_head *h = &p->web->head;

	web_head_begin(h, p->stamp.now_s);
	if (stamped)
		web_head_stamp(h, &p->stamp);
	if (may_be_encoded(p))
		web_head_put(h, "Vary: " PCCRTP_VARY);
}

static void
send_answer(struct reply *p, struct http_answer *a)
{
	struct web_request *r = p->request;

	a->fields = web_head_end(&p->web->head);
	if (a->fields == NULL)
		http_conn_abort(r->conn);
	else
		http_conn_answer(r->conn, a);
}

static void
answer_not_modified(struct reply *p)
{
	struct http_answer a = {.status = 304};

	begin_head(p, true);
	send_answer(p, &a);
}

static void
answer_no_range(struct reply *p)
{
	begin_head(p, false);
	web_head_range(&p->web->head, NULL, p->size);
	web_request_refuse_with(p->request, 416);
}

/* The file itself */

static void
put_make_hash(struct reply *p)
{
	struct buf *text = &p->web->head.text;
	size_t before = text->len;

	pccrtp_put_make_hash(text, &p->peerdist);
	p->web->counters.make_hash += text->len > before;
}

static bool
make_multi(struct reply *p)
{
	const struct env *env = p->web->env;
	struct web_request *r = p->request;
	uint64_t boundary;

	env->ops->random(env->ctx, &boundary, sizeof(boundary));
	r->multi = web_multi_new(
		p->ranges, p->n_ranges, p->size, r->type, boundary);
	return r->multi != NULL;
}

static void
answer_plain(struct reply *p)
{
	struct web_request *r = p->request;
	struct http_answer a = {
		.status = 200, .type = r->type, .fd = r->fd, .slow = r->slow};

	web_request_drop_hashes(r);
	begin_head(p, true);
	if (p->make_hash)
		put_make_hash(p);
	if (p->n_ranges > 1) {
		if (!make_multi(p)) {
			http_conn_abort(r->conn);
			return;
		}
		web_multi_answer(r->multi, &a);
	} else {
		a.span = p->length;
		a.offset = p->n_ranges > 0 ? p->ranges[0].offset : 0;
	}
	if (p->n_ranges > 0)
		a.status = 206;
	if (p->n_ranges == 1)
		web_head_range(&p->web->head, p->ranges, p->size);
	send_answer(p, &a);
}

/* Content information */

static void
answer_described(struct reply *p)
{
	struct web_request *r = p->request;
	struct web_head *h = &p->web->head;
	struct http_answer a = {
		.status = p->n_ranges > 0 ? 206 : 200,
		.type = r->type,
		.bytes = r->ask.bytes,
		.span = r->ask.len,
	};

	r->described = true;
	p->web->counters.encoded++;
	p->web->counters.described_bytes += p->length;
	begin_head(p, true);
	web_head_put(h, "Cache-Control: no-transform");
	web_head_put(h, "Content-Encoding: " PCCRTP_CODING);
	if (p->n_ranges > 0)
		web_head_range(h, p->ranges, p->size);
	pccrtp_put_encoded(&h->text, &p->peerdist, p->length);
	send_answer(p, &a);
}

/* The versions that may be the answer to this request; 0: none, whatever is
 * known of the file. */
static unsigned
describable(const struct reply *p)
{
	const struct web_request *r = p->request;

	if (r->plain || !r->is_get || !may_be_encoded(p) || p->n_ranges > 1 ||
		(p->n_ranges > 0 && p->length < PCCRTP_RANGE_MIN) ||
		p->length == 0 || http_conn_is_old(r->conn))
		return 0;
	return pccrtp_understood(&p->peerdist);
}

static enum hashed_result
ask_hashes(struct reply *p, unsigned versions)
{
	struct web_request *r = p->request;

	r->ask.versions = versions;
	r->ask.offset = p->n_ranges > 0 ? p->ranges[0].offset : 0;
	r->ask.length = p->length;
	r->asked = true;
	r->hashes = hashed_get(p->web->service, &r->st, &r->ask);
	r->held = r->hashes == HASHED_OK;
	return r->hashes;
}

static void
answer(struct reply *p)
{
	struct web_request *r = p->request;
	struct service *service = p->web->service;
	unsigned versions = describable(p);
	enum hashed_result hashes = HASHED_UNFIT;

	if (versions != 0)
		hashes = r->asked ? r->hashes : ask_hashes(p, versions);
	switch (hashes) {
	case HASHED_LATER:
		r->waits = true;
		return;
	case HASHED_OK:
		if (r->ask.len >= p->length)
			break;
		answer_described(p);
		return;
	case HASHED_UNKNOWN:
		p->make_hash = hashed_want(service, r->fd, &r->st);
		break;
	case HASHED_UNFIT:
	case HASHED_FAILED:
		break;
	}
	answer_plain(p);
}

static void
decide(struct reply *p)
{
	switch (web_cond_decide(&p->cond)) {
	case WEB_COND_NOT_MODIFIED:
		answer_not_modified(p);
		return;
	case WEB_COND_FAILED:
		web_request_refuse(p->request, 412);
		return;
	case WEB_COND_PASS:
		break;
	}
	if (find_ranges(p))
		answer(p);
	else
		answer_no_range(p);
}

void
web_reply(struct web_request *r)
{
	struct reply p = {
		.request = r,
		.web = r->web,
		.size = (uint64_t)r->st.st_size,
	};

	web_stamp_init(&p.stamp, &r->st, web_now_s(r->web));
	p.cond.stamp = &p.stamp;
	http_conn_each_header(r->conn, on_field, &p);
	if (p.peerdist.missing == PCCRTP_MISSING_TRUE && !r->asked)
		r->web->counters.missing_data++;
	decide(&p);
}
