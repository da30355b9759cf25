/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The transfer is broken off where nothing of what follows is wanted: behind
 * the head of every answer but a redirection and content information.  URLs may
 * carry credentials, in the query as well: what is shown has neither.
 */
#include "ctl/origin.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "ctl/out.h"

#define REDIRECTS_MAX 10L

struct origin {
	CURL *curl;
	CURLU *url;
	char shown[8 * ORIGIN_TEXT];
};

/* URLs. */

static void
cleanup_curl_text(char **text)
{
	curl_free(*text);
}

static void
cleanup_slist(struct curl_slist **list)
{
	curl_slist_free_all(*list);
}

static void
show_url(char *dst, size_t size, CURLU *url)
{
	CLEANUP(cleanup_curl_text) char *text = NULL;
	CLEANUP(cleanup_curl_text) char *query = NULL;
	CURLU *copy = curl_url_dup(url);
	size_t n = 0;

	dst[0] = '\0';
	if (copy == NULL)
		return;
	(void)curl_url_get(copy, CURLUPART_QUERY, &query, 0);
	(void)curl_url_set(copy, CURLUPART_USER, NULL, 0);
	(void)curl_url_set(copy, CURLUPART_PASSWORD, NULL, 0);
	(void)curl_url_set(copy, CURLUPART_OPTIONS, NULL, 0);
	(void)curl_url_set(copy, CURLUPART_FRAGMENT, NULL, 0);
	(void)curl_url_set(copy, CURLUPART_QUERY,
		query != NULL && query[0] != '\0' ? "..." : NULL, 0);
	if (curl_url_get(copy, CURLUPART_URL, &text, 0) == CURLUE_OK)
		for (; text[n] != '\0' && n + 1 < size; n++)
			dst[n] = (char)(text[n] < 0x20 || text[n] > 0x7e
					? '?'
					: text[n]);
	dst[n] = '\0';
	curl_url_cleanup(copy);
}

static bool
is_http(CURLU *url)
{
	CLEANUP(cleanup_curl_text) char *scheme = NULL;

	return curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		(strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
}

enum ctl_exit
origin_open(const char *url, struct origin **ret)
{
	struct origin *o = calloc(1, sizeof(*o));
	CURLUcode code = CURLUE_OUT_OF_MEMORY;

	if (o != NULL) {
		o->curl = curl_easy_init();
		o->url = curl_url();
	}
	if (o != NULL && o->curl != NULL && o->url != NULL)
		code = curl_url_set(
			o->url, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
	if (code == CURLUE_OK && is_http(o->url)) {
		show_url(o->shown, sizeof(o->shown), o->url);
		*ret = o;
		return CTL_OK;
	}
	origin_close(o);
	if (code == CURLUE_OUT_OF_MEMORY)
		return out_error(CTL_FAILED, "out of memory");
	if (code == CURLUE_OK)
		return out_error(CTL_USAGE, "only http and https are spoken");
	return out_error(CTL_USAGE, "this URL is not understood: %s",
		curl_url_strerror(code));
}

struct origin *
origin_close(struct origin *o)
{
	if (o == NULL)
		return NULL;
	curl_easy_cleanup(o->curl);
	curl_url_cleanup(o->url);
	free(o);
	return NULL;
}

const char *
origin_url(const struct origin *o)
{
	return o->shown;
}

/* A transfer. */

static bool
is_redirection(unsigned status)
{
	return status >= 300 && status < 400;
}

static bool
has_info(const struct origin_answer *a)
{
	return a->ends && a->body == PCCRTP_BODY_INFO &&
		(a->status == 200 || a->status == 206);
}

/* Everything but n breaks off. */
static size_t
take_line(char *line, size_t size, size_t n, void *ctx)
{
	struct origin_answer *a = ctx;

	origin_answer_line(a, line, n);
	if (!a->ends || is_redirection(a->status))
		return n;
	if (!has_info(a))
		return 0;
	if (a->has_length && a->length > PCCRTP_INFO_MAX)
		a->large = true;
	return a->large ? 0 : n;
}

static size_t
take_body(char *data, size_t size, size_t n, void *ctx)
{
	struct origin_answer *a = ctx;
	int r;

	if (!has_info(a))
		return 0;
	r = secbuf_add(&a->info, PCCRTP_INFO_MAX, data, n);
	a->large = r == -EMSGSIZE;
	a->no_memory = r == -ENOMEM;
	return r == 0 ? n : 0;
}

static struct curl_slist *
fields_of(enum pccrtp_ask what, const char *if_range)
{
	const char *const *fields = pccrtp_request_fields(what);
	struct curl_slist *list = NULL, *longer;
	char text[ORIGIN_TEXT + 16];

	snprintf(text, sizeof(text), "If-Range: %s",
		if_range != NULL ? if_range : "");
	for (;;) {
		const char *field = *fields != NULL ? *fields++ : NULL;
		bool last = field == NULL;

		if (last && if_range == NULL)
			return list;
		longer = curl_slist_append(list, last ? text : field);
		if (longer == NULL) {
			curl_slist_free_all(list);
			return NULL;
		}
		list = longer;
		if (last)
			return list;
	}
}

static void
set_options(struct origin *o, const struct curl_slist *fields,
	struct origin_answer *a)
{
	CURL *c = o->curl;

	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_CURLU, o->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)arg_timeout_ms);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(c, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(
		c, CURLOPT_USERAGENT, "peerdistctl/" PEERDIST_VERSION_STRING);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_line);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, a);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
}

static void
take_place(struct origin *o, struct origin_answer *a)
{
	char *effective = NULL;
	long redirects = 0;
	CURLU *url = curl_url();

	(void)curl_easy_getinfo(o->curl, CURLINFO_REDIRECT_COUNT, &redirects);
	(void)curl_easy_getinfo(o->curl, CURLINFO_EFFECTIVE_URL, &effective);
	a->redirects = (unsigned)redirects;
	if (url != NULL && effective != NULL &&
		curl_url_set(url, CURLUPART_URL, effective, 0) == CURLUE_OK)
		show_url(a->url, sizeof(a->url), url);
	curl_url_cleanup(url);
}

/* Its error buffer may have the URL in it, as it was given. */
static enum ctl_exit
transfer_failed(const struct origin *o, CURLcode code)
{
	return out_error(
		CTL_FAILED, "%s: %s", o->shown, curl_easy_strerror(code));
}

enum ctl_exit
origin_ask(struct origin *o, enum pccrtp_ask what, const char *if_range,
	struct origin_answer *a)
{
	CLEANUP(cleanup_slist)
	struct curl_slist *fields = fields_of(what, if_range);
	CURLcode code;

	if (fields == NULL)
		return out_error(CTL_FAILED, "out of memory");
	set_options(o, fields, a);
	if (what == PCCRTP_ASK_MISSING)
		curl_easy_setopt(o->curl, CURLOPT_RANGE, "0-0");
	code = curl_easy_perform(o->curl);
	take_place(o, a);
	if (a->no_memory)
		return out_error(CTL_FAILED, "out of memory");
	if (code == CURLE_OK ||
		(code == CURLE_WRITE_ERROR && a->ends && !has_info(a)) ||
		a->large)
		return CTL_OK;
	return transfer_failed(o, code);
}
