/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parser object: bytes in, as they come; pccrc_v1.c and pccrc_v2.c tell how
 * many bytes their next step needs and judge them.
 *
 * A step sees its bytes once and leaves what it found in a small struct
 * pccrc_scan; nothing is allocated by a count from outside before the end, when
 * the bytes that back the count are there.
 *
 * Going back to an earlier length means to check again from the start.  So that
 * somebody who feeds much and takes it back often cannot keep us busy, a copy
 * of the scan is put aside every 64 KiB.
 *
 * The bytes are shared with the info that _finish makes.  They lie in one
 * counted piece of secmem; a parser that is fed again while an info holds it
 * goes on with a copy.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrc_priv.h"
#include "common/err.h"
#include "common/macros.h"
#include "common/secmem.h"

#define FIRST_SIZE   4096u
#define MARK_SPACING 65536u
/* Block lists that are hashed together. */
#define LIST_GROUP 16

struct pccrc_bytes {
	unsigned refs;
	size_t size; /* of the whole allocation */
	uint8_t data[];
};

struct pccrc_parser {
	struct pccrc_bytes *bytes;
	size_t len;
	size_t max;
	int failure; /* sticky, until _rollback */
	struct pccrc_scan scan;
	struct pccrc_scan *marks; /* ascending pos */
	size_t n_marks;
	size_t room_marks;
};

struct info_box {
	struct pccrc_info info;
	struct pccrc_bytes *bytes;
};

static struct pccrc_bytes *
bytes_unref(struct pccrc_bytes *b)
{
	if (b != NULL && --b->refs == 0)
		sec_free(b, b->size);
	return NULL;
}

int
pccrc_too_long(const struct pccrc_scan *s, int refusal)
{
	return s->exact ? refusal : -EMSGSIZE;
}

struct pccrc_parser *
pccrc_parser_new(size_t max_bytes)
{
	struct pccrc_parser *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->max = max_bytes;
	p->scan.limit = max_bytes;
	return p;
}

struct pccrc_parser *
pccrc_parser_free(struct pccrc_parser *p)
{
	if (p == NULL)
		return NULL;
	bytes_unref(p->bytes);
	free(p->marks);
	free(p);
	return NULL;
}

/* Room for more bytes behind len that nobody else reads. */
static int
reserve(struct pccrc_parser *p, size_t more)
{
	struct pccrc_bytes *old = p->bytes, *b;
	size_t need = sizeof(*b) + p->len + more, size = FIRST_SIZE;

	if (old != NULL) {
		if (old->refs == 1 && need <= old->size)
			return 0;
		size = old->size;
	}
	while (size < need)
		size *= 2;
	size = MIN_OF(size, sizeof(*b) + p->max);
	size = MAX_OF(size, need);
	if (old != NULL && old->refs == 1) {
		b = sec_realloc(old, old->size, size);
		if (b == NULL)
			return err_new(-ENOMEM);
	} else {
		b = sec_alloc(size);
		if (b == NULL)
			return err_new(-ENOMEM);
		b->refs = 1;
		if (old != NULL)
			memcpy(b->data, old->data, p->len);
		bytes_unref(old);
	}
	b->size = size;
	p->bytes = b;
	return 0;
}

static int
step_version(struct pccrc_scan *s, const uint8_t *bytes)
{
	/* Minor first in both versions. */
	if (bytes[0] != 0 || (bytes[1] != 1 && bytes[1] != 2))
		return PCCRC_E_BAD_VERSION;
	s->version = bytes[1];
	return 0;
}

static size_t
scan_need(const struct pccrc_scan *s)
{
	switch (s->version) {
	case 0:
		return 2;
	case 1:
		return pccrc_v1_need(s);
	default:
		return pccrc_v2_need(s);
	}
}

static int
scan_step(struct pccrc_scan *s, const uint8_t *bytes)
{
	switch (s->version) {
	case 0:
		return step_version(s, bytes);
	case 1:
		return pccrc_v1_step(s, bytes);
	default:
		return pccrc_v2_step(s, bytes);
	}
}

/* Checks all that can be checked of the bytes that are there. */
static int
advance(struct pccrc_parser *p)
{
	struct pccrc_scan *s = &p->scan;

	for (;;) {
		size_t need = scan_need(s);
		int r;

		if (p->len - s->pos < need)
			return 0;
		r = scan_step(s, p->bytes->data + s->pos);
		if (r != 0)
			return r;
		s->pos += need;
	}
}

/* Going back is slower without it, no more; so failure is no failure. */
static void
set_mark(struct pccrc_parser *p)
{
	size_t last = p->n_marks > 0 ? p->marks[p->n_marks - 1].pos : 0;
	struct pccrc_scan *marks;

	if (p->scan.pos - last < MARK_SPACING)
		return;
	if (p->n_marks == p->room_marks) {
		size_t room = p->room_marks * 2 + 8;

		marks = realloc(p->marks, room * sizeof(*marks));
		if (marks == NULL)
			return;
		p->marks = marks;
		p->room_marks = room;
	}
	p->marks[p->n_marks++] = p->scan;
}

int
pccrc_parser_feed(struct pccrc_parser *p, const uint8_t *data, size_t len)
{
	int r;

	if (p->failure != 0)
		return p->failure;
	if (len == 0)
		return 0;
	if (len > p->max - p->len)
		return p->failure = err_new(-EMSGSIZE);
	r = reserve(p, len);
	if (r != 0)
		return p->failure = err_pass(r);
	set_mark(p);
	memcpy(p->bytes->data + p->len, data, len);
	p->len += len;
	return p->failure = advance(p);
}

size_t
pccrc_parser_fed(const struct pccrc_parser *p)
{
	return p->len;
}

int
pccrc_parser_rollback(struct pccrc_parser *p, size_t len)
{
	assert(len <= p->len);
	while (p->n_marks > 0 && p->marks[p->n_marks - 1].pos > len)
		p->n_marks--;
	if (p->n_marks > 0)
		p->scan = p->marks[p->n_marks - 1];
	else
		p->scan = (struct pccrc_scan){
			.limit = p->scan.limit, .exact = p->scan.exact};
	p->len = len;
	return p->failure = advance(p);
}

/* H(list) against HoD, for every segment whose list is whole. */
static int
check_lists(const struct pccrc_info *info, struct bulk *bulk)
{
	struct bulk_hash_job jobs[LIST_GROUP];
	uint8_t got[LIST_GROUP][PCCRC_HASH_MAX];
	const uint8_t *want[LIST_GROUP];
	size_t n = 0;

	for (size_t i = 0; i < info->n_segments; i++) {
		const struct pccrc_segment *seg = &info->segments[i];
		int r;

		if (seg->proved) {
			jobs[n] = (struct bulk_hash_job){seg->hashes,
				(size_t)seg->n_listed * info->hash_size,
				got[n]};
			want[n++] = seg->hod;
		}
		if (n < LIST_GROUP && i + 1 < info->n_segments)
			continue;
		r = bulk_hash(bulk, info->hash, jobs, n);
		if (r != 0)
			return err_pass(r);
		for (; n > 0; n--) {
			if (memcmp(got[n - 1], want[n - 1], info->hash_size))
				return PCCRC_E_HOD_MISMATCH;
		}
	}
	return 0;
}

/* The state at the end of all bytes, or why they cannot be all. */
static int
scan_end(const struct pccrc_parser *p, struct pccrc_scan *ret_scan)
{
	*ret_scan = p->scan;
	switch (p->scan.version) {
	case 0:
		return PCCRC_E_SHORT_HEADER;
	case 1:
		return pccrc_v1_end(ret_scan);
	default:
		return pccrc_v2_end(ret_scan);
	}
}

static struct pccrc_info *
info_new(const struct pccrc_parser *p, const struct pccrc_scan *scan)
{
	struct info_box *box = calloc(1, sizeof(*box));
	struct pccrc_info *info;

	if (box == NULL)
		return NULL;
	info = &box->info;
	info->segments = calloc(scan->n_segments, sizeof(*info->segments));
	if (info->segments == NULL) {
		free(box);
		return NULL;
	}
	box->bytes = p->bytes;
	box->bytes->refs++;
	info->refs = 1;
	info->version = scan->version;
	info->hash = scan->hash;
	info->hash_size = (uint32_t)scan->hash_size;
	info->n_segments = scan->n_segments;
	info->bytes = box->bytes->data;
	info->n_bytes = p->len;
	return info;
}

int
pccrc_parser_finish(
	struct pccrc_parser *p, struct bulk *bulk, struct pccrc_info **ret_info)
{
	struct pccrc_scan scan;
	struct pccrc_info *info;
	int r = p->failure;

	if (r == 0)
		r = scan_end(p, &scan);
	if (r != 0)
		return r;
	info = info_new(p, &scan);
	if (info == NULL)
		return err_new(-ENOMEM);
	if (scan.version == 1) {
		pccrc_v1_fill(&scan, info);
		r = check_lists(info, bulk);
	} else {
		pccrc_v2_fill(&scan, info);
	}
	if (r != 0) {
		pccrc_info_unref(info);
		return r;
	}
	*ret_info = info;
	return 0;
}

int
pccrc_parse(const uint8_t *data, size_t len, struct bulk *bulk,
	struct pccrc_info **ret_info)
{
	struct pccrc_parser *p = pccrc_parser_new(len);
	int r;

	if (p == NULL)
		return err_new(-ENOMEM);
	p->scan.exact = true;
	r = pccrc_parser_feed(p, data, len);
	if (r == 0)
		r = pccrc_parser_finish(p, bulk, ret_info);
	pccrc_parser_free(p);
	return r;
}

struct pccrc_info *
pccrc_info_ref(struct pccrc_info *info)
{
	assert(info->refs > 0);
	info->refs++;
	return info;
}

struct pccrc_info *
pccrc_info_unref(struct pccrc_info *info)
{
	struct info_box *box;

	if (info == NULL || --info->refs > 0)
		return NULL;
	box = container_of(info, struct info_box, info);
	bytes_unref(box->bytes);
	free(info->segments);
	free(box);
	return NULL;
}
