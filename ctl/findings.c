/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plain answer has many causes, and the server does not tell.  What it does
 * tell: a server of the encoding asks for a hash request while it makes hashes,
 * and names its fields in Vary.  The second question is one in which the
 * encoding does not depend on Accept-Encoding: when it brings what the first
 * did not, then somebody between has changed that field.
 */
#include "ctl/findings.h"

#include <string.h>

#define USUAL_MIN 65536u /* up to which servers do not encode */

#define BIT(finding) (1u << (finding))

static const struct {
	bool is_problem;
	const char *name, *words, *remedy;
} findings[_FINDING_MAX] = {
	[FINDING_ABSENT] = {true, "absent", "there is nothing under this URL",
		"is it spelled right?"},
	[FINDING_REFUSED] = {true, "refused",
		"the server does not give this to us",
		"a name and password can stand in ~/.netrc, or in the URL; "
		"only "
		"what one may have plainly one may have encoded"},
	[FINDING_STATUS] = {true, "status",
		"the answer is neither content nor content information",
		"only answers with status 200 are encoded; the server's log "
		"tells more"},
	[FINDING_REDIRECTED] = {false, "redirected",
		"the server sent us elsewhere",
		"what is told here is of the last server.  Clients follow, "
		"too; "
		"its cached blocks are found from every URL that leads there"},
	[FINDING_NOT_SPOKEN] = {true, "not-spoken",
		"nothing in the answer shows that the server speaks PeerDist",
		"serve the file with [Web] of peerdistd, or with IIS and "
		"BranchCache for content servers.  If that is what runs there: "
		"does a proxy or a CDN between remove X-P2P-PeerDist and "
		"X-P2P-PeerDistEx?"},
	[FINDING_SMALL] = {true, "small",
		"plain, and not more than 64 KiB long",
		"servers do not encode small files, since that would not save "
		"anything; peerdistd's limit is [Web] MinSize"},
	[FINDING_MAKING] = {false, "making",
		"the server has no hashes of it yet, and makes them now",
		"ask again in a moment.  `peerdistctl publish` on the server "
		"makes them ahead of the first request"},
	[FINDING_MADE] = {false, "made",
		"the server had no hashes of it before we asked",
		"the first client gets such a file plainly; `peerdistctl "
		"publish` on the server makes hashes ahead of the first "
		"request"},
	[FINDING_PLAIN] = {true, "plain",
		"the server speaks PeerDist, and sends this plainly",
		"either a proxy before it speaks HTTP/1.0 to it (nginx: "
		"proxy_http_version 1.1), or it cannot make or keep hashes: "
		"does the file change, is the hash cache full, is the service "
		"enabled?  On the server `peerdistctl status`, `peerdistctl "
		"cache show` and the log tell"},
	[FINDING_OLD_HTTP] = {true, "old-http",
		"the answer is of HTTP/1.0, to which nothing is encoded",
		"a proxy between speaks HTTP/1.0 to the server: let it speak "
		"1.1 (nginx: proxy_http_version 1.1), or go around it"},
	[FINDING_CACHED] = {true, "cached",
		"a plain answer out of a cache between us and the server",
		"the cache does not know that the answer depends on the "
		"request: let the server send Vary, empty the cache, or go "
		"around it"},
	[FINDING_ACCEPT_STRIPPED] = {true, "accept-stripped",
		"something between takes peerdist out of Accept-Encoding",
		"the server encodes when asked otherwise: let the proxy pass "
		"Accept-Encoding on as it comes, or go around it"},
	[FINDING_CODING_STRIPPED] = {true, "coding-stripped",
		"content information came without its Content-Encoding",
		"a proxy between removes that field, and makes broken "
		"downloads: let it pass Content-Encoding on, or go around it"},
	[FINDING_OTHER_CODING] = {true, "other-coding",
		"the answer is encoded in a way that nobody asked for",
		"clients refuse it: let the server, or the proxy before it, "
		"obey "
		"Accept-Encoding and X-P2P-PeerDist"},
	[FINDING_NO_VALIDATOR] = {true, "no-validator",
		"the answer has neither ETag nor Last-Modified",
		"nothing is encoded without one of them, since clients could "
		"not tell versions of the content apart.  Answers of programs "
		"have none unless the program sets it"},
	[FINDING_WEAK_VALIDATOR] = {true, "weak-validator",
		"the answer has a weak ETag only, and no Last-Modified",
		"parts cannot be asked for safely with it: let the server send "
		"a strong one, or Last-Modified"},
	[FINDING_NO_VARY] = {false, "no-vary",
		"Vary does not name all fields that the answer depends on",
		"a shared cache between could give content information to "
		"programs that do not understand it.  Let the server, or the "
		"proxy before it, send "
		"\"Vary: " PCCRTP_VARY "\""},
	[FINDING_LARGE] = {true, "large",
		"the content information has more than 64 MiB",
		"clients do not take it: cut the content into files"},
	[FINDING_BAD_INFO] = {true, "bad-info",
		"the answer is not content information, or malformed",
		"clients download plainly: what made it?"},
	[FINDING_MISFIT] = {true, "misfit",
		"the content information describes another length",
		"the file has changed since its hashes were made, or a proxy "
		"mixes answers: hashes have to be made anew"},
	[FINDING_NO_RANGES] = {true, "no-ranges",
		"the server does not answer a request for a part with a part",
		"what nobody in the branch has cannot be fetched by itself: "
		"the "
		"whole file is downloaded.  Let the server answer ranges, and "
		"a "
		"proxy pass Range and If-Range on"},
	[FINDING_NO_SERVICE] = {true, "no-service",
		"no peerdistd can be asked on this host",
		"without it nothing comes from the branch, and what is here is "
		"not known: start it, or name its socket with --socket"},
};

const char *
finding_name(enum finding f)
{
	return findings[f].name;
}

const char *
finding_words(enum finding f)
{
	return findings[f].words;
}

const char *
finding_remedy(enum finding f)
{
	return findings[f].remedy;
}

bool
finding_is_problem(enum finding f)
{
	return findings[f].is_problem;
}

static enum finding
of_status(unsigned status)
{
	switch (status) {
	case 404:
	case 410:
		return FINDING_ABSENT;
	case 401:
	case 403:
	case 407:
		return FINDING_REFUSED;
	default:
		return FINDING_STATUS;
	}
}

static bool
is_info(const struct origin_answer *a)
{
	return a != NULL && a->status == 200 && a->body == PCCRTP_BODY_INFO;
}

/* Why a plain answer is plain. */
static enum finding
of_plain(const struct origin_answer *a, const struct origin_answer *hash)
{
	if (is_info(hash)) {
		if (a->fields.make_hash)
			return FINDING_MADE;
		return a->aged ? FINDING_CACHED : FINDING_ACCEPT_STRIPPED;
	}
	if (a->fields.make_hash)
		return FINDING_MAKING;
	if (!origin_has_validator(a))
		return FINDING_NO_VALIDATOR;
	if (a->has_length && a->length <= USUAL_MIN)
		return FINDING_SMALL;
	if (a->http == 10)
		return FINDING_OLD_HTTP;
	if (a->aged)
		return FINDING_CACHED;
	if (a->fields.has_version || origin_varies_somehow(a))
		return FINDING_PLAIN;
	return FINDING_NOT_SPOKEN;
}

static uint32_t
of_info(const struct origin_answer *a, enum finding_info info)
{
	if (a->large)
		return BIT(FINDING_LARGE);
	switch (info) {
	case FINDING_INFO_BAD:
		return BIT(FINDING_BAD_INFO);
	case FINDING_INFO_MISFIT:
		return BIT(FINDING_MISFIT);
	default:
		return 0;
	}
}

static uint32_t
of_body(const struct findings_input *in)
{
	switch (in->content->body) {
	case PCCRTP_BODY_STRIPPED:
		return BIT(FINDING_CODING_STRIPPED);
	case PCCRTP_BODY_REFUSED:
		return BIT(FINDING_OTHER_CODING);
	case PCCRTP_BODY_PLAIN:
		return BIT(of_plain(in->content, in->hash));
	default:
		return 0;
	}
}

/* What has to be so wherever there is content information. */
static uint32_t
of_encoded(const struct origin_answer *a)
{
	uint32_t found = 0;

	if (!origin_has_validator(a))
		found |= BIT(FINDING_NO_VALIDATOR);
	else if (origin_range_validator(a) == NULL)
		found |= BIT(FINDING_WEAK_VALIDATOR);
	return found;
}

static bool
same_version(const struct origin_answer *a, const struct origin_answer *b)
{
	return strcmp(a->etag, b->etag) == 0 &&
		strcmp(a->modified, b->modified) == 0;
}

uint32_t
findings_of(const struct findings_input *in)
{
	const struct origin_answer *a = in->content;
	const struct origin_answer *encoded = is_info(a) ? a
		: is_info(in->hash)                      ? in->hash
							 : NULL;
	uint32_t found = a->redirects > 0 ? BIT(FINDING_REDIRECTED) : 0;

	if (a->status != 200)
		return found | BIT(of_status(a->status));
	found |= of_body(in);
	if (encoded != NULL)
		found |= of_info(encoded, in->info) | of_encoded(encoded);
	if (!origin_varies(a) &&
		(encoded != NULL || a->fields.has_version ||
			origin_varies_somehow(a)))
		found |= BIT(FINDING_NO_VARY);
	/* A file that has just been changed is rightly sent whole. */
	if (in->range != NULL && in->range->status != 206 &&
		same_version(a, in->range))
		found |= BIT(FINDING_NO_RANGES);
	return found;
}
