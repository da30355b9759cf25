/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as the head of a message, a field a line, read as a request and as
 * an answer.  What is read must say the same when it is written plainly and
 * read again, and when the fields of one name are joined to one; what we answer
 * must be read as what was meant.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/pccrtp.h"
#include "common/macros.h"

#define HEAD_MAX (1u << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *const names[] = {"Accept-Encoding", "Content-Encoding",
	"X-P2P-PeerDist", "X-P2P-PeerDistEx"};

static void
read_line(struct pccrtp_fields *f, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	AUTO_FREE char *value = NULL;
	size_t name_len, value_len;

	if (colon == NULL)
		return;
	name_len = (size_t)(colon - line);
	value_len = len - name_len - 1;
	value = malloc(value_len + 1);
	assert(value != NULL);
	/* Ends where its memory ends. */
	memcpy(value + 1, colon + 1, value_len);
	pccrtp_field(f, line, name_len, value + 1, value_len);
}

static struct pccrtp_fields
read_head(const char *head, size_t len)
{
	struct pccrtp_fields f = {0};

	while (len > 0) {
		const char *end = memchr(head, '\n', len);
		size_t n = end != NULL ? (size_t)(end - head) : len;
		size_t used = end != NULL ? n + 1 : n;

		read_line(&f, head, n);
		head += used;
		len -= used;
	}
	return f;
}

static struct pccrtp_fields
read_buf(struct buf *b)
{
	struct pccrtp_fields f;

	assert(buf_error(b) == 0);
	f = read_head((const char *)b->data, b->len);
	buf_reset(b);
	return f;
}

static void
assert_same_version(struct pccrtp_version a, struct pccrtp_version b)
{
	assert(a.major == b.major && a.minor == b.minor);
}

static void
assert_same(const struct pccrtp_fields *a, const struct pccrtp_fields *b)
{
	assert(a->accepts == b->accepts && a->refuses == b->refuses);
	assert(a->encoded == b->encoded);
	assert(a->other_coding == b->other_coding);
	assert(a->has_version == b->has_version);
	assert(a->contradicts == b->contradicts);
	assert_same_version(a->version, b->version);
	assert(a->missing == b->missing);
	assert(a->has_length == b->has_length && a->length == b->length);
	assert(a->has_ex == b->has_ex);
	assert(a->has_min == b->has_min && a->has_max == b->has_max);
	assert_same_version(a->min_info, b->min_info);
	assert_same_version(a->max_info, b->max_info);
	assert(a->has_make_hash == b->has_make_hash);
	assert(a->has_hash_request == b->has_hash_request);
	assert(a->make_hash == b->make_hash);
	assert(a->hash_request == b->hash_request);
}

/* Plainly. */

static void
write_version(struct buf *b, const char *name, struct pccrtp_version v)
{
	buf_printf(b, "%s=%" PRIu32 ".%" PRIu32 ", ", name, v.major, v.minor);
}

static void
write_params(struct buf *b, const struct pccrtp_fields *f)
{
	static const char *const missing[] = {
		[PCCRTP_MISSING_FALSE] = "false",
		[PCCRTP_MISSING_TRUE] = "true",
		[PCCRTP_MISSING_OTHER] = "maybe",
	};

	buf_printf(b, "X-P2P-PeerDist: ");
	if (f->has_version)
		write_version(b, "Version", f->version);
	if (f->contradicts)
		buf_printf(b, "Version=x, ");
	if (f->missing != PCCRTP_MISSING_ABSENT)
		buf_printf(b, "MissingDataRequest=%s, ", missing[f->missing]);
	if (f->has_length)
		buf_printf(b, "ContentLength=%" PRIu64, f->length);
	buf_printf(b, "\n");
}

static void
write_ex(struct buf *b, const struct pccrtp_fields *f)
{
	if (!f->has_ex)
		return;
	buf_printf(b, "X-P2P-PeerDistEx: ");
	if (f->has_min)
		write_version(b, "MinContentInformation", f->min_info);
	if (f->has_max)
		write_version(b, "MaxContentInformation", f->max_info);
	if (f->has_make_hash)
		buf_printf(b, "MakeHashRequest=%s, ",
			f->make_hash ? "true" : "false");
	if (f->has_hash_request)
		buf_printf(b, "HashRequest=%s",
			f->hash_request ? "true" : "false");
	buf_printf(b, "\n");
}

static void
check_written(struct buf *b, const struct pccrtp_fields *f)
{
	struct pccrtp_fields again;

	buf_printf(b, "Accept-Encoding: gzip%s%s\n",
		f->accepts ? ", peerdist" : "",
		f->refuses ? ", peerdist;q=0" : "");
	buf_printf(b, "Content-Encoding: identity%s%s\n",
		f->encoded ? ", peerdist" : "", f->other_coding ? ", x" : "");
	write_params(b, f);
	write_ex(b, f);
	again = read_buf(b);
	assert_same(f, &again);
	assert(pccrtp_understood(f) == pccrtp_understood(&again));
}

/* Joined.  A quoted string without end takes the rest of its own field only. */

static void
append_values(struct buf *b, const char *name, const char *head, size_t len)
{
	size_t name_len = strlen(name);

	while (len > 0) {
		const char *end = memchr(head, '\n', len);
		size_t n = end != NULL ? (size_t)(end - head) : len;
		size_t used = end != NULL ? n + 1 : n;

		if (n > name_len && head[name_len] == ':' &&
			strncasecmp(head, name, name_len) == 0) {
			buf_append(b, head + name_len + 1, n - name_len - 1);
			buf_printf(b, ",");
		}
		head += used;
		len -= used;
	}
}

static void
check_joined(struct buf *b, const struct pccrtp_fields *f, const char *head,
	size_t len)
{
	struct pccrtp_fields again;

	if (memchr(head, '"', len) != NULL)
		return;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t before;

		buf_printf(b, "%s:", names[i]);
		before = b->len;
		append_values(b, names[i], head, len);
		if (b->len == before)
			b->len -= strlen(names[i]) + 1;
		else
			buf_printf(b, "\n");
	}
	again = read_buf(b);
	assert_same(f, &again);
}

/* Without the CR of its lines, as libraries for HTTP hand them over. */
static struct pccrtp_fields
read_answer(struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (b->data[i] == '\r')
			b->data[i] = ' ';
	return read_buf(b);
}

static void
check_request(struct buf *b, const struct pccrtp_fields *f, uint64_t length)
{
	unsigned info = pccrtp_understood(f);
	struct pccrtp_fields r;

	assert(info <= (PCCRTP_INFO_V1 | PCCRTP_INFO_V2));
	pccrtp_put_make_hash(b, f);
	assert(b->len == 0 || (info != 0 && !f->hash_request));
	r = read_answer(b);
	assert(pccrtp_response(&r, length) == PCCRTP_BODY_PLAIN);
	assert(!r.has_version || r.make_hash);
	if (info == 0)
		return;
	assert(f->has_version && !f->contradicts && !f->refuses);
	assert(f->accepts || f->hash_request);
	assert(f->missing != PCCRTP_MISSING_TRUE);
	buf_printf(b, "Content-Encoding: " PCCRTP_CODING "\r\n");
	pccrtp_put_encoded(b, f, length);
	r = read_answer(b);
	assert_same_version(f->version, r.version);
	assert(!r.contradicts && r.has_length && r.length == length);
	assert(pccrtp_response(&r, 5) == PCCRTP_BODY_INFO);
	assert(pccrtp_info_fits(&r, NULL, 0, length));
	assert(length == 0 || !pccrtp_info_fits(&r, NULL, 0, length - 1));
}

static void
check_response(const struct pccrtp_fields *f, uint64_t length)
{
	enum pccrtp_body body = pccrtp_response(f, length);
	struct http_content_range range = {{7, 5}, false, 0};

	assert(body != PCCRTP_BODY_INFO || f->encoded);
	assert(body == PCCRTP_BODY_REFUSED || !f->other_coding);
	assert(body != PCCRTP_BODY_STRIPPED || f->length != length);
	assert(pccrtp_response(f, UINT64_MAX) != PCCRTP_BODY_STRIPPED);
	assert(pccrtp_info_fits(f, NULL, 0, length) ==
		(!f->has_length || f->length == length));
	assert(pccrtp_info_fits(f, &range, 7, 12));
	assert(!pccrtp_info_fits(f, &range, 0, length));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *head = (const char *)data;
	struct pccrtp_fields f;
	uint64_t length = 0;
	struct buf b;

	if (len == 0 || len > HEAD_MAX)
		return 0;
	for (size_t i = 0; i < len; i++)
		length = length * 31 + data[i];
	length >>= data[len / 2] % 64;
	buf_init(&b, 2 * HEAD_MAX);
	f = read_head(head, len);
	check_written(&b, &f);
	check_joined(&b, &f, head, len);
	check_request(&b, &f, length);
	check_response(&f, length);
	buf_done(&b);
	return 0;
}
