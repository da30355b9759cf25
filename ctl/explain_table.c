/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/explain_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "common/parse.h"
#include "ctl/ask.h"
#include "ctl/explain.h"
#include "ctl/out.h"

#define SHORT_ID  16 /* digits of an id that are shown in the table */
#define FROM_ROOM 512

struct reason_total {
	uint64_t segments;
	uint64_t bytes;
	char with[PARSE_ADDR_TEXT + 32]; /* one of those it was with */
};

struct explaining {
	const struct pccrc_info *info;
	struct bulk *bulk;
	json_t *rows; /* with --json, else NULL */
	char mode[32];
	uint64_t n_partial; /* segments that nothing proves */
	struct explain_bytes bytes;
	struct reason_total reasons[_EXPLAIN_REASON_MAX];
};

/* Text. */

/* Appends a part of the last column. */
static void
add_part(char *text, const char *format, const char *what, uint64_t n)
{
	size_t len = strlen(text);
	const char *comma = len > 0 ? ", " : "";

	if (len + strlen(what) + 32 > FROM_ROOM)
		return;
	len += (size_t)sprintf(text + len, "%s%s", comma, what);
	if (format != NULL)
		sprintf(text + len, " (%" PRIu64 " %s)", n, format);
}

static void
add_sources(char *text, const struct explain_view *v)
{
	const json_t *source;
	char clean[PARSE_ADDR_TEXT];
	size_t i;

	if (json_array_size(v->sources) == 0)
		add_part(text, NULL, "peers", 0);
	json_array_foreach(v->sources, i, source)
	{
		const char *address =
			json_string_value(json_object_get(source, "address"));
		json_int_t n =
			json_integer_value(json_object_get(source, "blocks"));

		out_clean(clean, sizeof(clean), address != NULL ? address : "");
		add_part(text, n > 1 ? "blocks" : NULL, clean, (uint64_t)n);
	}
}

static void
print_from(const struct explain_view *v)
{
	char text[FROM_ROOM] = "";

	if (v->bytes.peers > 0)
		add_sources(text, v);
	if (v->bytes.application > 0)
		add_part(text, NULL, "application", 0);
	if (v->bytes.earlier > 0)
		add_part(text, NULL, "earlier", 0);
	fputs(text, stdout);
	if (v->reason == EXPLAIN_COMPLETE)
		return;
	printf("%s%s", text[0] != '\0' ? "; " : "", explain_words(v->reason));
	if (v->with != NULL) {
		printf(": ");
		out_string(v->with);
	}
}

static void
print_segment(const struct pccrc_segment *s, const char *id,
	const struct explain_view *v)
{
	char length[32];

	out_format_bytes(length, sizeof(length), s->len);
	printf("%14" PRIu64 "  %9s  %.*s  %4u of %-3u  ", s->start, length,
		SHORT_ID, id, v->held, v->blocks);
	print_from(v);
	printf("\n");
}

static void
print_bytes(const char *title, uint64_t bytes, const struct explain_bytes *all)
{
	char text[32];

	out_format_bytes(text, sizeof(text), bytes);
	printf("%-18s %10s  %5.1f %%\n", title, text,
		all->all > 0 ? 100.0 * (double)bytes / (double)all->all : 0);
}

void
explain_wrapped(const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column > 0 && column + 1 + len > 76)
			column = 0;
		printf("%s%.*s", column > 0 ? " " : "\n  ", (int)len, text);
		column += (column > 0) + len;
		text += len;
		text += strspn(text, " ");
	}
	printf("\n");
}

static void
print_reasons(const struct explaining *e)
{
	for (unsigned i = EXPLAIN_COMPLETE + 1; i < _EXPLAIN_REASON_MAX; i++) {
		const struct reason_total *r = &e->reasons[i];
		enum explain_reason reason = (enum explain_reason)i;
		char bytes[32];

		if (r->segments == 0)
			continue;
		out_format_bytes(bytes, sizeof(bytes), r->bytes);
		printf("\n%s of %" PRIu64 " segment%s: %s", bytes, r->segments,
			r->segments == 1 ? "" : "s", explain_words(reason));
		if (r->with[0] != '\0')
			printf(" (%s)", r->with);
		explain_wrapped(explain_remedy(reason));
	}
}

static void
print_summary(const struct explaining *e)
{
	const struct explain_bytes *b = &e->bytes;

	printf("\n");
	print_bytes("described", b->all, b);
	print_bytes("from peers", b->peers, b);
	print_bytes("from applications", b->application, b);
	print_bytes("from earlier", b->earlier, b);
	print_bytes("missing", b->missing, b);
	printf("mode               %10s%s\n", e->mode,
		strcmp(e->mode, "local") == 0 ? "  (nobody is asked)" : "");
	print_reasons(e);
	if (b->missing > 0 && e->n_partial > 0)
		printf("\n%" PRIu64 " segment%s described in part only: what "
		       "was added under such a\ndescription is not passed on "
		       "to peers, and not counted here.\n",
			e->n_partial, e->n_partial == 1 ? " is" : "s are");
}

/* JSON. */

static json_t *
bytes_json(const struct explain_bytes *b)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "described",
		(json_int_t)b->all, "peers", (json_int_t)b->peers,
		"application", (json_int_t)b->application, "earlier",
		(json_int_t)b->earlier, "missing", (json_int_t)b->missing);
}

static json_t *
offset_json(uint64_t n)
{
	return n <= INT64_MAX ? json_integer((json_int_t)n)
			      : json_real((double)n);
}

/* What the service said of it, and what that means. */
static bool
add_row(struct explaining *e, const struct pccrc_segment *s, const json_t *row,
	const struct explain_view *v)
{
	json_t *out = json_pack("{s:o, s:I, s:O, s:i, s:i, s:s, s:o}", "offset",
		offset_json(s->start), "length", (json_int_t)s->len, "id",
		json_object_get(row, "id"), "blocks", (int)v->blocks, "held",
		(int)v->held, "reason", explain_name(v->reason), "bytes",
		bytes_json(&v->bytes));
	json_t *history = json_object_get(row, "history");

	if (history != NULL && json_object_set(out, "history", history) != 0) {
		json_decref(out);
		return false;
	}
	return json_array_append_new(e->rows, out) == 0;
}

static enum ctl_exit
fill_document(const struct explaining *e, json_t *document)
{
	if (json_object_set_new(document, "mode", json_string(e->mode)) != 0 ||
		json_object_set_new(document, "version",
			json_integer(e->info->version)) != 0 ||
		json_object_set_new(document, "bytes", bytes_json(&e->bytes)) !=
			0 ||
		json_object_set(document, "segments", e->rows) != 0)
		return out_error(CTL_FAILED, "out of memory");
	return CTL_OK;
}

/* The answers. */

static void
count(struct explaining *e, const struct pccrc_segment *s,
	const struct explain_view *v)
{
	struct reason_total *r = &e->reasons[v->reason];

	e->bytes.all += v->bytes.all;
	e->bytes.peers += v->bytes.peers;
	e->bytes.application += v->bytes.application;
	e->bytes.earlier += v->bytes.earlier;
	e->bytes.missing += v->bytes.missing;
	e->n_partial += !s->proved;
	r->segments++;
	r->bytes += v->bytes.missing;
	if (v->with != NULL)
		out_clean(r->with, sizeof(r->with), v->with);
}

static bool
take_row(struct explaining *e, const struct pccrc_segment *s, const json_t *row)
{
	const char *id = json_string_value(json_object_get(row, "id"));
	struct explain_view v;

	if (id == NULL)
		return false;
	explain_segment(e->info, s, row, &v);
	count(e, s, &v);
	if (e->rows != NULL)
		return add_row(e, s, row, &v);
	print_segment(s, id, &v);
	return true;
}

/* Segments [first, +n), in the order in which they were asked about. */
static enum ctl_exit
take_answer(
	struct explaining *e, const json_t *document, size_t first, size_t n)
{
	const json_t *rows = json_object_get(document, "segments");
	const char *mode = json_string_value(json_object_get(document, "mode"));
	bool ok = json_array_size(rows) == n;

	out_clean(e->mode, sizeof(e->mode), mode != NULL ? mode : "?");
	if (first == 0 && ok && e->rows == NULL)
		out_heading("        offset     length  segment           "
			    "held         from; why not");
	for (size_t i = 0; ok && i < n; i++)
		ok = take_row(e, &e->info->segments[first + i],
			json_array_get(rows, i));
	return ok ? CTL_OK
		  : out_error(CTL_FAILED,
			    "the service's answer is not understood");
}

static enum ctl_exit
ask_about(struct explaining *e, uint8_t *ids, size_t first, size_t n)
{
	Pd__AdminExplain body = PD__ADMIN_EXPLAIN__INIT;
	const struct ask_request request = {
		.type = IPC_ADMIN_EXPLAIN, .body = &body.base, .fd = -1};
	json_t *document = NULL;
	enum ctl_exit r;

	if (pccrc_segment_ids(e->bulk, e->info, first, n, ids) != 0)
		return out_error(CTL_FAILED, "out of memory");
	body.id_size = e->info->hash_size;
	body.ids = (ProtobufCBinaryData){n * e->info->hash_size, ids};
	r = ask_request(&request, &document);
	if (r == CTL_OK)
		r = take_answer(e, document, first, n);
	json_decref(document);
	return r;
}

static enum ctl_exit
ask_about_all(struct explaining *e)
{
	AUTO_FREE uint8_t *ids = malloc(IPC_IDS_MAX * PCCRC_HASH_MAX);
	size_t n = e->info->n_segments, step;
	enum ctl_exit r = CTL_OK;

	if (ids == NULL)
		return out_error(CTL_FAILED, "out of memory");
	for (size_t at = 0; r == CTL_OK && at < n; at += step) {
		step = MIN_OF(n - at, IPC_IDS_MAX);
		r = ask_about(e, ids, at, step);
	}
	return r;
}

enum ctl_exit
explain_table(
	const struct pccrc_info *info, struct bulk *bulk, json_t *document)
{
	struct explaining e = {
		.info = info,
		.bulk = bulk,
		.rows = document != NULL ? json_array() : NULL,
	};
	enum ctl_exit r;

	if (document != NULL && e.rows == NULL)
		return out_error(CTL_FAILED, "out of memory");
	r = ask_about_all(&e);
	if (r == CTL_OK && document != NULL)
		r = fill_document(&e, document);
	else if (r == CTL_OK)
		print_summary(&e);
	json_decref(e.rows);
	return r;
}
