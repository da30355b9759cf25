/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When in doubt, identity: content information given to one that cannot use it
 * is a broken download, a file given to one that could have used it is only a
 * slower one.  So whatever is malformed or contradicts itself is kept as a
 * value that no decision takes for a good one: a version as 0.0, a length as
 * UINT64_MAX, a number that does not fit as the largest there is.
 *
 * The grammar of the document is that of RFC 2616, which lets blanks stand
 * between any two tokens; it excepts only those of a version.
 */
#include "codec/pccrtp.h"

#include <inttypes.h>

#include "codec/http_list.h"

#define NAME_PARAMS "X-P2P-PeerDist"
#define NAME_EX     "X-P2P-PeerDistEx"

static const struct pccrtp_version pccrtp_1_0 = {1, 0};
static const struct pccrtp_version pccrtp_1_1 = {1, 1};
static const struct pccrtp_version info_1_0 = {1, 0};
static const struct pccrtp_version info_2_0 = {2, 0};

static bool
same(struct pccrtp_version a, struct pccrtp_version b)
{
	return a.major == b.major && a.minor == b.minor;
}

/* Fields. */

static bool
parse_version(struct http_text text, struct pccrtp_version *ret)
{
	uint64_t major, minor;

	*ret = (struct pccrtp_version){0, 0};
	if (!http_text_number(&text, UINT32_MAX, &major) || text.len == 0 ||
		text.data[0] != '.')
		return false;
	text.data++;
	text.len--;
	if (!http_text_number(&text, UINT32_MAX, &minor) || text.len > 0)
		return false;
	*ret = (struct pccrtp_version){(uint32_t)major, (uint32_t)minor};
	return true;
}

static void
set_version(struct pccrtp_fields *f, struct http_text value)
{
	struct pccrtp_version v;

	if (!parse_version(value, &v) ||
		(f->has_version && !same(f->version, v)))
		f->contradicts = true;
	if (!f->has_version)
		f->version = v;
	f->has_version = true;
}

static void
set_length(struct pccrtp_fields *f, struct http_text value)
{
	if (f->has_length)
		return;
	f->has_length = true;
	if (!http_text_number(&value, UINT64_MAX, &f->length) || value.len > 0)
		f->length = UINT64_MAX;
}

static void
set_missing(struct pccrtp_fields *f, struct http_text value)
{
	if (f->missing != PCCRTP_MISSING_ABSENT)
		return;
	if (http_text_is(value, "true"))
		f->missing = PCCRTP_MISSING_TRUE;
	else if (http_text_is(value, "false"))
		f->missing = PCCRTP_MISSING_FALSE;
	else
		f->missing = PCCRTP_MISSING_OTHER;
}

static void
set_bound(bool *has, struct pccrtp_version *bound, struct http_text value)
{
	if (!*has)
		(void)parse_version(value, bound);
	*has = true;
}

static void
set_flag(bool *has, bool *flag, struct http_text value)
{
	if (!*has)
		*flag = http_text_is(value, "true");
	*has = true;
}

static void
read_params(
	struct pccrtp_fields *f, struct http_text name, struct http_text value)
{
	if (http_text_is(name, "Version"))
		set_version(f, value);
	else if (http_text_is(name, "ContentLength"))
		set_length(f, value);
	else if (http_text_is(name, "MissingDataRequest"))
		set_missing(f, value);
}

static void
read_ex(struct pccrtp_fields *f, struct http_text name, struct http_text value)
{
	if (http_text_is(name, "MinContentInformation"))
		set_bound(&f->has_min, &f->min_info, value);
	else if (http_text_is(name, "MaxContentInformation"))
		set_bound(&f->has_max, &f->max_info, value);
	else if (http_text_is(name, "MakeHashRequest"))
		set_flag(&f->has_make_hash, &f->make_hash, value);
	else if (http_text_is(name, "HashRequest"))
		set_flag(&f->has_hash_request, &f->hash_request, value);
}

static void
read_list(struct pccrtp_fields *f, struct http_text list,
	void (*read)(struct pccrtp_fields *, struct http_text name,
		struct http_text value))
{
	struct http_text element, name, value;

	while (http_list_next(&list, &element)) {
		(void)http_text_split(element, '=', &name, &value);
		read(f, name, value);
	}
}

/* weight = "q" "=" ( "0" [ "." *DIGIT ] | "1" [ "." *"0" ] ), not zero. */
static bool
is_positive_weight(struct http_text text)
{
	struct http_text name, value;
	bool positive;

	if (!http_text_split(text, '=', &name, &value) ||
		!http_text_is(name, "q") || value.len == 0 ||
		(value.data[0] != '0' && value.data[0] != '1') ||
		(value.len > 1 && value.data[1] != '.'))
		return false;
	positive = value.data[0] == '1';
	for (size_t i = 2; i < value.len; i++) {
		char c = value.data[i];

		if (c < '0' || c > (value.data[0] == '1' ? '0' : '9'))
			return false;
		positive |= c != '0';
	}
	return positive;
}

/* "*" is not peerdist: who says it only does not care how the bytes of the file
 * are packed. */
static void
read_accept(struct pccrtp_fields *f, struct http_text list)
{
	struct http_text element, coding, weight;

	while (http_list_next(&list, &element)) {
		bool weighted = http_text_split(element, ';', &coding, &weight);

		if (!http_text_is(coding, PCCRTP_CODING))
			continue;
		if (weighted && !is_positive_weight(weight))
			f->refuses = true;
		f->accepts = !f->refuses;
	}
}

/* The same coding twice is one too many. */
static void
read_codings(struct pccrtp_fields *f, struct http_text list)
{
	struct http_text coding;

	while (http_list_next(&list, &coding))
		if (http_text_is(coding, PCCRTP_CODING) && !f->encoded)
			f->encoded = true;
		else if (!http_text_is(coding, "identity"))
			f->other_coding = true;
}

void
pccrtp_field(struct pccrtp_fields *f, const char *name, size_t name_len,
	const char *value, size_t len)
{
	struct http_text n = {name, name_len}, v = {value, len};

	if (http_text_is(n, "Accept-Encoding"))
		read_accept(f, v);
	else if (http_text_is(n, "Content-Encoding"))
		read_codings(f, v);
	else if (http_text_is(n, NAME_PARAMS))
		read_list(f, v, read_params);
	else if (http_text_is(n, NAME_EX)) {
		f->has_ex = true;
		read_list(f, v, read_ex);
	}
}

/* Server. */

static bool
info_is_known(struct pccrtp_version v)
{
	return same(v, info_1_0) || same(v, info_2_0);
}

/* A bound that is not given is 1.0: so is Min by the text, and who does not say
 * that it understands more than version 1 does not get more.  From 2.0 to 1.0
 * there is nothing. */
static unsigned
info_within_bounds(const struct pccrtp_fields *f)
{
	struct pccrtp_version min = f->has_min ? f->min_info : info_1_0;
	struct pccrtp_version max = f->has_max ? f->max_info : info_1_0;
	unsigned r = 0;

	if (!info_is_known(min) || !info_is_known(max))
		return 0;
	if (same(min, info_1_0))
		r |= PCCRTP_INFO_V1;
	if (same(max, info_2_0))
		r |= PCCRTP_INFO_V2;
	return r;
}

/* A hash request says by itself that it takes hashes: the one that the document
 * prints has no Accept-Encoding. */
unsigned
pccrtp_understood(const struct pccrtp_fields *f)
{
	if (f->refuses || (!f->accepts && !f->hash_request))
		return 0;
	if (!f->has_version || f->contradicts ||
		(!same(f->version, pccrtp_1_0) &&
			!same(f->version, pccrtp_1_1)))
		return 0;
	if (f->missing == PCCRTP_MISSING_TRUE ||
		f->missing == PCCRTP_MISSING_OTHER)
		return 0;
	return info_within_bounds(f);
}

/* Version first and ContentLength last, with nothing behind: there are readers
 * that know them by their places. */
void
pccrtp_put_encoded(
	struct buf *b, const struct pccrtp_fields *request, uint64_t length)
{
	struct pccrtp_version v =
		same(request->version, pccrtp_1_0) ? pccrtp_1_0 : pccrtp_1_1;

	buf_printf(b,
		NAME_PARAMS ": Version=%" PRIu32 ".%" PRIu32
			    ", ContentLength=%" PRIu64 "\r\n",
		v.major, v.minor, length);
}

void
pccrtp_put_make_hash(struct buf *b, const struct pccrtp_fields *request)
{
	if (pccrtp_understood(request) == 0 || request->hash_request ||
		!same(request->version, pccrtp_1_1))
		return;
	buf_printf(b,
		NAME_PARAMS ": Version=1.1\r\n" NAME_EX
			    ": MakeHashRequest=true\r\n");
}

/* Client. */

#define ASK_ACCEPT "Accept-Encoding: identity, " PCCRTP_CODING
#define ASK_BOUNDS \
	NAME_EX ": MinContentInformation=1.0, MaxContentInformation=2.0"

/*
 * "identity, peerdist" is what the download service of Windows sends, so
 * servers know it, and a middlebox that takes away what it does not know leaves
 * a field that says the right thing.  Without "gzip" nobody sends a body that
 * ranges of the file cannot be joined to.  A missing-data request carries no
 * Accept-Encoding at all: Microsoft's tests demand peerdist in each that is
 * there, and the document forbids peerdist here.
 */
const char *const *
pccrtp_request_fields(enum pccrtp_ask ask)
{
	static const char *const fields[_PCCRTP_ASK_MAX][4] = {
		[PCCRTP_ASK_CONTENT] = {ASK_ACCEPT, NAME_PARAMS ": Version=1.1",
			ASK_BOUNDS},
		[PCCRTP_ASK_MISSING] = {NAME_PARAMS
			": Version=1.1, MissingDataRequest=true"},
		[PCCRTP_ASK_HASH] = {ASK_ACCEPT, NAME_PARAMS ": Version=1.1",
			ASK_BOUNDS ", HashRequest=true"},
	};

	return fields[ask];
}

/* One that is newer than what was asked for may mean anything; that there is
 * none is no reason to refuse, the body says itself what it is. */
static bool
is_answer_version(const struct pccrtp_fields *f)
{
	return !f->has_version ||
		(!f->contradicts &&
			(same(f->version, pccrtp_1_0) ||
				same(f->version, pccrtp_1_1)));
}

enum pccrtp_body
pccrtp_response(const struct pccrtp_fields *f, uint64_t body_len)
{
	if (f->other_coding || (f->encoded && !is_answer_version(f)))
		return PCCRTP_BODY_REFUSED;
	if (f->encoded)
		return PCCRTP_BODY_INFO;
	if (f->has_length && body_len != UINT64_MAX && f->length != body_len)
		return PCCRTP_BODY_STRIPPED;
	return PCCRTP_BODY_PLAIN;
}

/* Of a 206 it is not known whether ContentLength is that of the range or of the
 * content, so there only Content-Range counts. */
bool
pccrtp_info_fits(const struct pccrtp_fields *f,
	const struct http_content_range *range, uint64_t start, uint64_t end)
{
	if (end < start)
		return false;
	if (range != NULL)
		return start == range->range.offset &&
			end - start == range->range.length;
	return start == 0 && (!f->has_length || f->length == end);
}
