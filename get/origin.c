/* SPDX-License-Identifier: BSD-2-Clause */
#include "get/origin.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "codec/http_list.h"
#include "common/err.h"
#include "common/macros.h"

#define REDIRECTIONS_MOST 10L
#define CONNECT_MS        30000L
#define SILENCE_S         60L
#define BUFFER            (256L * 1024)
#define FDS_MOST          4u

struct origin_transfer {
	LIST_ENTRY(origin_transfer) link;
	struct origin *origin;
	CURL *easy;
	struct curl_slist *fields;
	const struct origin_ops *ops;
	void *ctx;
	struct origin_answer answer;
	bool headed; /* the head was there to its end */
	bool told;   /* head was called */
	bool waits;
	bool stopped;
	const char *problem; /* NULL: libcurl's */
	char error[CURL_ERROR_SIZE];
};

struct origin {
	CURLM *multi;
	struct url named; /* as the user named it */
	LIST_HEAD(, origin_transfer) transfers;
};

/* Answers. */

static void
answer_reset(struct origin_answer *a)
{
	free(a->etag);
	free(a->modified);
	free(a->date);
	*a = (struct origin_answer){.length = UINT64_MAX};
}

/* The first one counts.  false: no memory. */
static bool
keep_text(char **text, struct http_text value)
{
	if (*text == NULL)
		*text = strndup(value.data, value.len);
	return *text != NULL;
}

/* libcurl takes a length that it cannot count for none. */
static bool
is_length(struct http_text value)
{
	uint64_t n;

	return http_text_number(&value, UINT64_MAX, &n) && value.len == 0 &&
		n <= INT64_MAX;
}

static bool
answer_field(struct origin_transfer *t, struct http_text name,
	struct http_text value)
{
	struct origin_answer *a = &t->answer;

	pccrtp_field(&a->fields, name.data, name.len, value.data, value.len);
	if (http_text_is(name, "ETag"))
		return keep_text(&a->etag, value);
	if (http_text_is(name, "Last-Modified"))
		return keep_text(&a->modified, value);
	if (http_text_is(name, "Date"))
		return keep_text(&a->date, value);
	if (http_text_is(name, "Content-Range")) {
		a->ranged = true;
		a->has_range = http_content_range_parse(
			&a->range, value.data, value.len);
	}
	if (http_text_is(name, "Content-Length") && !is_length(value)) {
		t->problem = "the answer's length is none";
		return false;
	}
	return true;
}

static bool
answer_line(struct origin_transfer *t, const char *line, size_t len)
{
	struct http_text name, value;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		answer_reset(&t->answer);
		t->headed = false;
		return true;
	}
	if (line[0] == '\r' || line[0] == '\n')
		t->headed = true;
	/* Behind the body they are trailers. */
	return t->headed ||
		!http_field_split(
			(struct http_text){line, len}, &name, &value) ||
		answer_field(t, name, value);
}

static size_t
on_header(char *line, size_t size, size_t n, void *ctx)
{
	struct origin_transfer *t = ctx;

	if (t->told || answer_line(t, line, size * n))
		return size * n;
	return 0;
}

/* Tells of the answer, if that has not been done yet. */
static enum origin_flow
tell(struct origin_transfer *t)
{
	curl_off_t length = -1;

	if (t->told)
		return ORIGIN_ON;
	t->told = true;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->answer.status);
	curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (length >= 0)
		t->answer.length = (uint64_t)length;
	return t->ops->head(t->ctx, &t->answer);
}

static size_t
on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct origin_transfer *t = ctx;
	enum origin_flow flow = tell(t);

	if (flow == ORIGIN_ON)
		flow = t->ops->body(t->ctx, (const uint8_t *)data, size * n);
	if (flow == ORIGIN_LATER) {
		t->waits = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	t->stopped = flow == ORIGIN_STOP;
	return t->stopped ? 0 : size * n;
}

/* Transfers. */

static struct origin_transfer *
transfer_free(struct origin_transfer *t)
{
	if (t == NULL)
		return NULL;
	if (t->easy != NULL) {
		curl_multi_remove_handle(t->origin->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	curl_slist_free_all(t->fields);
	LIST_REMOVE(t, link);
	answer_reset(&t->answer);
	free(t);
	return NULL;
}

static bool
add_field(struct curl_slist **list, const char *text)
{
	struct curl_slist *longer = curl_slist_append(*list, text);

	if (longer != NULL)
		*list = longer;
	return longer != NULL;
}

static bool
add_formatted(struct curl_slist **list, const char *name, const char *value)
{
	AUTO_FREE char *line = NULL;

	if (asprintf(&line, "%s: %s", name, value) < 0) {
		line = NULL;
		return false;
	}
	return add_field(list, line);
}

static bool
set_fields(struct origin_transfer *t, const struct origin_request *req)
{
	const char *const *field = req->ask < ORIGIN_ASK_PLAIN
		? pccrtp_request_fields((enum pccrtp_ask)req->ask)
		: NULL;
	bool ok = true;

	for (; ok && field != NULL && *field != NULL; field++)
		ok = add_field(&t->fields, *field);
	if (ok && req->ranged && req->if_range != NULL)
		ok = add_formatted(&t->fields, "If-Range", req->if_range);
	if (ok && t->fields != NULL)
		ok = curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->fields) ==
			CURLE_OK;
	return ok;
}

static bool
set_range(CURL *easy, const struct range *range)
{
	char text[48];

	if (range->end == UINT64_MAX)
		snprintf(text, sizeof(text), "%llu-",
			(unsigned long long)range->start);
	else
		snprintf(text, sizeof(text), "%llu-%llu",
			(unsigned long long)range->start,
			(unsigned long long)range->end - 1);
	return curl_easy_setopt(easy, CURLOPT_RANGE, text) == CURLE_OK;
}

/* User and password of the command line are for that site alone. */
static bool
set_credentials(CURL *easy, const struct url *named, const struct url *url)
{
	const struct url *of = url->user != NULL ? url : named;

	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL);
	if (of->user == NULL || !url_same_site(of, url))
		return true;
	return curl_easy_setopt(easy, CURLOPT_USERNAME, of->user) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_PASSWORD,
			of->password != NULL ? of->password : "") == CURLE_OK;
}

static void
set_common(struct origin_transfer *t)
{
	CURL *e = t->easy;

	curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	/* Who interrupts does not wait for the answer of a name server. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(e, CURLOPT_MAXREDIRS, REDIRECTIONS_MOST);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, BUFFER);
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(
		e, CURLOPT_USERAGENT, "peerdist-get/" PEERDIST_VERSION_STRING);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
}

static bool
set_all(struct origin_transfer *t, const struct origin_request *req)
{
	set_common(t);
	return curl_easy_setopt(t->easy, CURLOPT_URL, req->url->text) ==
		CURLE_OK &&
		set_credentials(t->easy, &t->origin->named, req->url) &&
		set_fields(t, req) &&
		(!req->ranged || set_range(t->easy, &req->range));
}

int
origin_start(struct origin *o, const struct origin_request *req,
	struct origin_transfer **ret_transfer)
{
	struct origin_transfer *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return err_new(-ENOMEM);
	t->origin = o;
	t->ops = req->ops;
	t->ctx = req->ctx;
	t->answer.length = UINT64_MAX;
	LIST_INSERT_HEAD(&o->transfers, t, link);
	t->easy = curl_easy_init();
	if (t->easy == NULL || !set_all(t, req) ||
		curl_multi_add_handle(o->multi, t->easy) != CURLM_OK) {
		transfer_free(t);
		return err_new(-ENOMEM);
	}
	*ret_transfer = t;
	return 0;
}

void
origin_resume(struct origin_transfer *t)
{
	if (!t->waits)
		return;
	t->waits = false;
	/* What it kept may be given at once. */
	curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

bool
origin_waits(const struct origin_transfer *t)
{
	return t->waits;
}

void
origin_hand_over(
	struct origin_transfer *t, const struct origin_ops *ops, void *ctx)
{
	t->ops = ops;
	t->ctx = ctx;
}

struct origin_transfer *
origin_cancel(struct origin_transfer *t)
{
	return transfer_free(t);
}

const char *
origin_effective(const struct origin_transfer *t)
{
	char *url = NULL;

	curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
	return url;
}

const struct origin_answer *
origin_answered(const struct origin_transfer *t)
{
	return &t->answer;
}

static void
transfer_ended(struct origin_transfer *t, CURLcode code)
{
	enum origin_end end = ORIGIN_DONE;
	const char *why = curl_easy_strerror(code);

	if (t->error[0] != '\0')
		why = t->error;
	/* libcurl takes an end amid the head for an answer without a body. */
	if (code == CURLE_OK && !t->headed) {
		code = CURLE_PARTIAL_FILE;
		why = "the answer breaks off";
	}
	if (t->problem != NULL)
		why = t->problem;
	/* An answer without a body has not been told of. */
	if (code == CURLE_OK && tell(t) == ORIGIN_STOP)
		t->stopped = true;
	if (t->stopped)
		end = ORIGIN_STOPPED;
	else if (code != CURLE_OK)
		end = ORIGIN_BROKEN;
	t->ops->done(t->ctx, end, why);
	transfer_free(t);
}

static void
take_ended(struct origin *o)
{
	struct origin_transfer *t;
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(o->multi, &left)) != NULL) {
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(
			message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		transfer_ended(t, code);
	}
}

int
origin_run(struct origin *o, const int *fds, size_t n_fds, int timeout_ms)
{
	struct curl_waitfd more[FDS_MOST];
	unsigned n = 0;
	int running;

	for (size_t i = 0; i < n_fds && n < FDS_MOST; i++)
		if (fds[i] >= 0)
			more[n++] = (struct curl_waitfd){
				.fd = fds[i], .events = CURL_WAIT_POLLIN};
	if (curl_multi_poll(o->multi, more, n, timeout_ms, NULL) != CURLM_OK ||
		curl_multi_perform(o->multi, &running) != CURLM_OK)
		return err_new(-ENOMEM);
	take_ended(o);
	return 0;
}

int
origin_new(struct origin **ret_origin, const struct url *named)
{
	struct origin *o = calloc(1, sizeof(*o));
	int r;

	if (o == NULL)
		return err_new(-ENOMEM);
	LIST_INIT(&o->transfers);
	r = url_copy(&o->named, named);
	if (r == 0)
		o->multi = curl_multi_init();
	if (o->multi == NULL) {
		origin_free(o);
		return err_new(-ENOMEM);
	}
	*ret_origin = o;
	return 0;
}

struct origin *
origin_free(struct origin *o)
{
	struct origin_transfer *t;

	if (o == NULL)
		return NULL;
	while ((t = LIST_FIRST(&o->transfers)) != NULL)
		transfer_free(t);
	curl_multi_cleanup(o->multi);
	url_done(&o->named);
	free(o);
	return NULL;
}

/* RFC 9110, section 8.8.2.2.  Who does not tell the time is believed. */
bool
origin_is_dated(const struct origin_answer *a)
{
	time_t modified, date;

	if (a->modified == NULL || a->date == NULL)
		return a->modified != NULL;
	modified = curl_getdate(a->modified, NULL);
	date = curl_getdate(a->date, NULL);
	return modified != -1 && date != -1 && modified < date;
}
