/* SPDX-License-Identifier: BSD-2-Clause */
#include "get/url.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"
#include "common/macros.h"

static void
cleanup_curlu(CURLU **u)
{
	curl_url_cleanup(*u);
}

static void
cleanup_curl_text(char **text)
{
	curl_free(*text);
}

static int
result_of(CURLUcode code)
{
	switch (code) {
	case CURLUE_OK:
		return URL_OK;
	case CURLUE_OUT_OF_MEMORY:
		return err_new(-ENOMEM);
	case CURLUE_UNSUPPORTED_SCHEME:
		return URL_SCHEME;
	default:
		return URL_MALFORMED;
	}
}

/* A part as memory of ours; NULL when it is not there. */
static int
part_of(CURLU *u, CURLUPart part, unsigned flags, char **ret)
{
	CLEANUP(cleanup_curl_text) char *text = NULL;
	CURLUcode code = curl_url_get(u, part, &text, flags);

	*ret = NULL;
	if (code == CURLUE_NO_USER || code == CURLUE_NO_PASSWORD)
		return 0;
	if (code != CURLUE_OK)
		return result_of(code);
	*ret = strdup(text);
	return *ret != NULL ? 0 : err_new(-ENOMEM);
}

static int
take_site(CURLU *u, char **ret)
{
	AUTO_FREE char *scheme = NULL, *host = NULL, *port = NULL;
	int r = part_of(u, CURLUPART_SCHEME, 0, &scheme);

	if (r == 0 && strcmp(scheme, "http") != 0 &&
		strcmp(scheme, "https") != 0)
		return URL_SCHEME;
	if (r == 0)
		r = part_of(u, CURLUPART_HOST, 0, &host);
	if (r == 0)
		r = part_of(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, &port);
	if (r != 0)
		return r;
	if (asprintf(ret, "%s://%s:%s", scheme, host, port) < 0) {
		*ret = NULL;
		return err_new(-ENOMEM);
	}
	return 0;
}

static int
take_parts(struct url *url, CURLU *u)
{
	int r = take_site(u, &url->site);

	if (r == 0)
		r = part_of(u, CURLUPART_USER, CURLU_URLDECODE, &url->user);
	if (r == 0)
		r = part_of(
			u, CURLUPART_PASSWORD, CURLU_URLDECODE, &url->password);
	if (r != 0)
		return r;
	(void)curl_url_set(u, CURLUPART_USER, NULL, 0);
	(void)curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
	(void)curl_url_set(u, CURLUPART_OPTIONS, NULL, 0);
	(void)curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	return part_of(u, CURLUPART_URL, 0, &url->text);
}

int
url_parse(struct url *ret, const char *text)
{
	CLEANUP(cleanup_curlu) CURLU *u = curl_url();
	struct url url = {0};
	int r;

	if (u == NULL)
		return err_new(-ENOMEM);
	r = result_of(curl_url_set(u, CURLUPART_URL, text, CURLU_URLENCODE));
	if (r == 0)
		r = take_parts(&url, u);
	if (r != 0) {
		url_done(&url);
		return r;
	}
	*ret = url;
	return 0;
}

static bool
copy_text(char **ret, const char *text)
{
	*ret = text != NULL ? strdup(text) : NULL;
	return text == NULL || *ret != NULL;
}

int
url_copy(struct url *ret, const struct url *url)
{
	struct url copy = {0};

	if (!copy_text(&copy.text, url->text) ||
		!copy_text(&copy.site, url->site) ||
		!copy_text(&copy.user, url->user) ||
		!copy_text(&copy.password, url->password)) {
		url_done(&copy);
		return err_new(-ENOMEM);
	}
	*ret = copy;
	return 0;
}

void
url_done(struct url *url)
{
	free(url->text);
	free(url->site);
	free(url->user);
	if (url->password != NULL)
		explicit_bzero(url->password, strlen(url->password));
	free(url->password);
	*url = (struct url){0};
}

/* A control character for terminals, in UTF-8. */
static bool
is_c1(const char *at)
{
	return (unsigned char)at[0] == 0xc2 &&
		((unsigned char)at[1] & 0xe0) == 0x80;
}

static bool
is_file_name(const char *name, size_t len)
{
	if (len == 0 || memchr(name, '\0', len) != NULL ||
		strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] == '/' || (unsigned char)name[i] < ' ' ||
			name[i] == 0x7f || is_c1(name + i))
			return false;
	return true;
}

char *
url_file_name(const struct url *url)
{
	size_t len = strcspn(url->text, "?#");
	const char *start, *path = strstr(url->text, "://");
	AUTO_FREE char *raw = NULL;
	char *name;
	int n = 0;

	errno = 0;
	path = path != NULL ? path + 3 : url->text;
	start = memrchr(path, '/', len - (size_t)(path - url->text));
	if (start == NULL)
		return NULL;
	raw = strndup(start + 1, len - (size_t)(start + 1 - url->text));
	if (raw == NULL)
		return NULL;
	name = curl_easy_unescape(NULL, raw, 0, &n);
	if (name != NULL && is_file_name(name, (size_t)n)) {
		char *copy = strdup(name);

		curl_free(name);
		return copy;
	}
	curl_free(name);
	return is_file_name(raw, strlen(raw)) ? TAKE_PTR(raw) : NULL;
}

bool
url_same_site(const struct url *a, const struct url *b)
{
	return strcasecmp(a->site, b->site) == 0;
}
