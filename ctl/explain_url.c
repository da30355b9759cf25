/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Up to three questions: for the content, as every client asks; when the answer
 * is plain the hash request that a client sends after its download; when there
 * is content information the request for a part that nobody in the branch has.
 */
#include "ctl/explain_url.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/macros.h"
#include "ctl/ask.h"
#include "ctl/explain_table.h"
#include "ctl/findings.h"
#include "ctl/origin.h"
#include "ctl/out.h"
#include "proto/ipc_call.h"
#include "proto/ipc_chan.h"

struct visit {
	struct origin *origin;
	struct bulk *bulk;
	struct origin_answer content, hash, range;
	bool asked_hash, asked_range;
	struct pccrc_info *info;
	const char *refusal; /* of content information that is none */
	enum finding_info info_state;
	uint32_t found;
};

static bool
is_info(const struct origin_answer *a)
{
	return a->status == 200 && a->body == PCCRTP_BODY_INFO;
}

/* The answer that has content information. */
static const struct origin_answer *
encoded(const struct visit *v)
{
	if (is_info(&v->content))
		return &v->content;
	return is_info(&v->hash) ? &v->hash : NULL;
}

/* Asking. */

static enum ctl_exit
take_info(struct visit *v, const struct origin_answer *a)
{
	int r;

	if (a->large)
		return CTL_OK;
	r = pccrc_parse(a->info.bytes, a->info.len, v->bulk, &v->info);
	if (r < 0)
		return out_error(CTL_FAILED, "out of memory");
	if (r > 0) {
		v->info_state = FINDING_INFO_BAD;
		v->refusal = pccrc_refusal_name(r);
	} else if (!pccrtp_info_fits(&a->fields, NULL, v->info->range_start,
			   v->info->range_end))
		v->info_state = FINDING_INFO_MISFIT;
	return CTL_OK;
}

static enum ctl_exit
ask_hash(struct visit *v)
{
	v->asked_hash = true;
	return origin_ask(v->origin, PCCRTP_ASK_HASH, NULL, &v->hash);
}

/* A weak validator must not stand in If-Range. */
static enum ctl_exit
ask_range(struct visit *v, const struct origin_answer *a)
{
	const char *validator = origin_range_validator(a);

	if (validator == NULL)
		return CTL_OK;
	v->asked_range = true;
	return origin_ask(v->origin, PCCRTP_ASK_MISSING, validator, &v->range);
}

static enum ctl_exit
ask_all(struct visit *v)
{
	const struct origin_answer *with_info;
	enum ctl_exit r;

	r = origin_ask(v->origin, PCCRTP_ASK_CONTENT, NULL, &v->content);
	if (r == CTL_OK && v->content.status == 200 &&
		v->content.body == PCCRTP_BODY_PLAIN)
		r = ask_hash(v);
	with_info = encoded(v);
	if (r == CTL_OK && with_info != NULL) {
		r = take_info(v, with_info);
		if (r == CTL_OK)
			r = ask_range(v, with_info);
	}
	return r;
}

static bool
service_is_there(void)
{
	struct ipc_greeting greeting;
	struct ipc_chan *chan = NULL;
	int r = ask_connect(0, &chan, &greeting);

	ipc_chan_free(chan);
	return r == 0;
}

static bool
has(const struct visit *v, enum finding f)
{
	return (v->found & (1u << f)) != 0;
}

static void
find(struct visit *v)
{
	const struct findings_input in = {
		.content = &v->content,
		.hash = v->asked_hash ? &v->hash : NULL,
		.range = v->asked_range ? &v->range : NULL,
		.info = v->info_state,
	};

	v->found = findings_of(&in);
	if (v->info != NULL && !service_is_there())
		v->found |= 1u << FINDING_NO_SERVICE;
}

/* Text. */

static void
print_text(const char *title, const char *text)
{
	if (text[0] == '\0')
		return;
	printf("%-18s ", title);
	out_string(text);
	printf("\n");
}

static void
print_answer(const struct origin_answer *a)
{
	char length[32];

	printf("%-18s %u, HTTP/%u.%u", "answer", a->status, a->http / 10,
		a->http % 10);
	if (a->has_length) {
		out_format_bytes(length, sizeof(length), a->length);
		printf(", %s", length);
	}
	printf("\n");
	print_text("ETag", a->etag);
	print_text("Last-Modified", a->modified);
	print_text("Vary", a->vary);
}

static void
print_peerdist(const struct visit *v)
{
	const struct origin_answer *a = encoded(v);
	const struct pccrtp_fields *f =
		a != NULL ? &a->fields : &v->content.fields;
	char bytes[32];

	printf("%-18s ", "PeerDist");
	if (f->has_version && !f->contradicts)
		printf("version %" PRIu32 ".%" PRIu32 ", ", f->version.major,
			f->version.minor);
	printf("%s\n", a == NULL ? "plain" : "encoded");
	if (v->info == NULL)
		return;
	out_format_bytes(bytes, sizeof(bytes), v->info->n_bytes);
	printf("%-18s version %d, %s", "content info", v->info->version, bytes);
	out_format_bytes(bytes, sizeof(bytes),
		v->info->range_end - v->info->range_start);
	printf(" for %s\n", bytes);
}

static void
print_finding(const struct visit *v, enum finding f)
{
	printf("\n%s: %s", finding_is_problem(f) ? "problem" : "note",
		finding_words(f));
	if (f == FINDING_BAD_INFO && v->refusal != NULL)
		printf(" (%s)", v->refusal);
	explain_wrapped(finding_remedy(f));
}

static void
print_visit(const struct visit *v)
{
	const struct origin_answer *a = &v->content;

	print_text("URL", origin_url(v->origin));
	if (a->redirects > 0)
		print_text("redirected to", a->url);
	print_answer(a);
	if (a->status == 200)
		print_peerdist(v);
	for (int f = 0; f < _FINDING_MAX; f++)
		if (has(v, (enum finding)f))
			print_finding(v, (enum finding)f);
}

/* JSON. */

static json_t *
text_json(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *
length_json(bool has, uint64_t n)
{
	return has && n <= INT64_MAX ? json_integer((json_int_t)n)
				     : json_null();
}

static json_t *
findings_json(const struct visit *v)
{
	json_t *array = json_array();

	for (int i = 0; array != NULL && i < _FINDING_MAX; i++) {
		enum finding f = (enum finding)i;
		json_t *one;

		if (!has(v, f))
			continue;
		one = json_pack("{s:s, s:b, s:s, s:s}", "name", finding_name(f),
			"problem", finding_is_problem(f), "text",
			finding_words(f), "remedy", finding_remedy(f));
		if (json_array_append_new(array, one) != 0) {
			json_decref(array);
			array = NULL;
		}
	}
	return array;
}

static json_t *
peerdist_json(const struct visit *v)
{
	const struct origin_answer *a = encoded(v);
	const struct pccrtp_fields *f =
		a != NULL ? &a->fields : &v->content.fields;
	char version[32] = "";

	if (f->has_version && !f->contradicts)
		snprintf(version, sizeof(version), "%" PRIu32 ".%" PRIu32,
			f->version.major, f->version.minor);
	return json_pack("{s:b, s:o, s:o, s:o}", "encoded", a != NULL,
		"version", text_json(version), "content_length",
		length_json(f->has_length, f->length), "info_bytes",
		length_json(v->info != NULL,
			v->info != NULL ? v->info->n_bytes : 0));
}

static json_t *
visit_json(const struct visit *v)
{
	const struct origin_answer *a = &v->content;
	char http[16];

	snprintf(http, sizeof(http), "%u.%u", a->http / 10, a->http % 10);
	return json_pack("{s:i, s:s, s:o, s:i, s:i, s:s, s:o, s:o, s:o, s:o, "
			 "s:o, s:o}",
		"v", 1, "url", origin_url(v->origin), "effective_url",
		text_json(a->url), "redirects", (int)a->redirects, "status",
		(int)a->status, "http", http, "length",
		length_json(a->has_length, a->length), "etag",
		text_json(a->etag), "last_modified", text_json(a->modified),
		"vary", text_json(a->vary), "peerdist", peerdist_json(v),
		"findings", findings_json(v));
}

/* The exit status of what was found. */
static enum ctl_exit
verdict(const struct visit *v)
{
	if (has(v, FINDING_NO_SERVICE))
		return CTL_UNAVAILABLE;
	if (has(v, FINDING_ABSENT))
		return CTL_NOT_FOUND;
	if (has(v, FINDING_REFUSED))
		return CTL_PERMISSION;
	for (int f = 0; f < _FINDING_MAX; f++)
		if (has(v, (enum finding)f) &&
			finding_is_problem((enum finding)f))
			return CTL_PROBLEMS;
	return CTL_OK;
}

static bool
wants_table(const struct visit *v)
{
	return v->info != NULL && !has(v, FINDING_NO_SERVICE);
}

static enum ctl_exit
tell_json(const struct visit *v)
{
	json_t *document = visit_json(v);
	enum ctl_exit r = CTL_OK;

	if (document == NULL)
		return out_error(CTL_FAILED, "out of memory");
	if (wants_table(v))
		r = explain_table(v->info, v->bulk, document);
	if (r == CTL_OK)
		r = out_json(document);
	json_decref(document);
	return r;
}

static enum ctl_exit
tell(const struct visit *v)
{
	if (arg_json)
		return tell_json(v);
	print_visit(v);
	if (!wants_table(v))
		return CTL_OK;
	printf("\n");
	return explain_table(v->info, v->bulk, NULL);
}

static void
visit_done(struct visit *v)
{
	origin_answer_done(&v->content);
	origin_answer_done(&v->hash);
	origin_answer_done(&v->range);
	pccrc_info_unref(v->info);
	bulk_free(v->bulk);
	origin_close(v->origin);
}

enum ctl_exit
explain_url(const char *url)
{
	struct visit v = {.bulk = bulk_new(BULK_EVP)};
	enum ctl_exit r;

	origin_answer_init(&v.content);
	origin_answer_init(&v.hash);
	origin_answer_init(&v.range);
	r = v.bulk == NULL ? out_error(CTL_FAILED, "out of memory")
			   : origin_open(url, &v.origin);
	if (r == CTL_OK)
		r = ask_all(&v);
	if (r == CTL_OK) {
		find(&v);
		r = tell(&v);
	}
	if (r == CTL_OK)
		r = verdict(&v);
	visit_done(&v);
	return r;
}
