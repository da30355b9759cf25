/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volumes as files.
 *
 * Appending.  Of a block three things are written: header, ciphertext, tail
 * with padding.  Tail and padding of one record and the header of the next lie
 * side by side in the volume, so they are put together in a small buffer and
 * leave as one piece: two pieces for each block, many blocks in one pwritev().
 *
 * Scanning.  From a good header the next one's place is known; a page is read
 * there, which holds many small records or the header of one block.  Where
 * there is no good header, any multiple of RECORD_ALIGN may be the beginning
 * of the next one.  They are all tried, over big reads.  The checksum with
 * salt and offset makes a false find as good as impossible, and a record that
 * reaches beyond the end counts as damaged.
 */
#include "daemon/store/block_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"

#define NAME_DIGITS  8u
#define NAME_ENDING  ".vol"
#define BATCH_ITEMS  64u /* records of one system call */
#define SCAN_PAGE    4096u
#define SCAN_WINDOW  65536u
#define RECORD_EXTRA (RECORD_HEADER + RECORD_TAIL_MAX + RECORD_ALIGN)

/* Pieces of one pwritev(). */
struct batch {
	int n;
	struct iovec iov[2 * BATCH_ITEMS + 1];
	size_t used;
	uint8_t extra[BATCH_ITEMS * RECORD_EXTRA];
};

/* What of a volume lies in memory during a scan. */
struct window {
	int fd;
	uint64_t end; /* of the scan */
	uint64_t offset;
	size_t n;
	uint8_t data[SCAN_WINDOW];
};

static uint64_t
align_up(uint64_t offset)
{
	return (offset + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

static void
volume_name(char *dst, uint32_t number)
{
	snprintf(dst, BLOCK_LOG_NAME_MAX, "%08" PRIx32 NAME_ENDING, number);
}

/* Only the very name that volume_name() makes. */
static bool
volume_name_parse(uint32_t *ret, const char *name)
{
	char again[BLOCK_LOG_NAME_MAX];
	uint32_t number = 0;

	for (size_t i = 0; i < NAME_DIGITS; i++) {
		char c = name[i];

		if (c >= '0' && c <= '9')
			number = number << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			number = number << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	volume_name(again, number);
	if (strcmp(name, again) != 0)
		return false;
	*ret = number;
	return true;
}

/* A volume of a disk that has become read-only was opened for reading: writing
 * says EBADF then, cutting EINVAL. */
static int
write_errno(void)
{
	return errno == EBADF || errno == EINVAL ? -EROFS : -errno;
}

/* All pieces, at offset. */
static int
write_pieces(int fd, struct iovec *iov, int n, uint64_t offset)
{
	while (n > 0) {
		ssize_t put = pwritev(fd, iov, n, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return err_new(write_errno());
		if (put == 0)
			return err_new(-EIO);
		offset += (uint64_t)put;
		while (n > 0 && (size_t)put >= iov->iov_len) {
			put -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + put;
			iov->iov_len -= (size_t)put;
		}
	}
	return 0;
}

/* The bytes that are there: fewer than n at the end, or before a fault if that
 * leaves a header. */
static int
read_at(int fd, void *dst, size_t n, uint64_t offset, size_t *ret_n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = pread(fd, (uint8_t *)dst + got, n - got,
			(off_t)(offset + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && got < RECORD_HEADER)
			return err_new(-errno);
		if (r <= 0)
			break;
		got += (size_t)r;
	}
	*ret_n = got;
	return 0;
}

static int
write_header(int fd, const struct volume_file *v)
{
	struct volume_header h = {
		.format = RECORD_FORMAT,
		.number = v->number,
		.salt = v->salt,
		.born_s = v->born_s,
	};
	uint8_t data[VOLUME_HEADER];
	struct iovec iov = {data, sizeof(data)};

	volume_header_build(data, &h);
	return err_pass(write_pieces(fd, &iov, 1, 0));
}

int
block_log_create(int folder, uint32_t number, uint64_t now_s, uint64_t salt,
	struct volume_file *ret)
{
	struct volume_file v = {
		.number = number,
		.salt = salt,
		.born_s = now_s,
		.length = VOLUME_HEADER,
	};
	char name[BLOCK_LOG_NAME_MAX];
	AUTO_FD int fd = -1;
	int r;

	volume_name(name, number);
	fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_new(-errno);
	r = write_header(fd, &v);
	if (r != 0) {
		unlinkat(folder, name, 0);
		return err_pass(r);
	}
	v.fd = TAKE_FD(fd);
	*ret = v;
	return 0;
}

/* What is no regular file must not make us wait, and must not be read. */
static int
open_volume(int folder, const char *name)
{
	int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	AUTO_FD int fd = openat(folder, name, flags | O_RDWR);
	int r;

	if (fd < 0 && errno == EROFS)
		fd = openat(folder, name, flags | O_RDONLY);
	if (fd < 0)
		return err_new(-errno);
	r = fd_check_regular(fd);
	return r != 0 ? err_pass(r) : TAKE_FD(fd);
}

int
block_log_open(int folder, uint32_t number, struct volume_file *ret)
{
	uint8_t data[VOLUME_HEADER] = {0};
	char name[BLOCK_LOG_NAME_MAX];
	struct volume_header h;
	AUTO_FD int fd = -1;
	struct stat st;
	size_t n = 0;
	int r;

	volume_name(name, number);
	fd = open_volume(folder, name);
	if (fd < 0)
		return err_pass(fd);
	if (fstat(fd, &st) != 0)
		return err_new(-errno);
	r = read_at(fd, data, sizeof(data), 0, &n);
	if (r == 0)
		r = n < sizeof(data) ? RECORD_E_MAGIC
				     : volume_header_parse(&h, data);
	if (r == 0 && h.number != number)
		r = RECORD_E_VALUE;
	if (r != 0)
		return r;
	*ret = (struct volume_file){
		.fd = TAKE_FD(fd),
		.number = number,
		.salt = h.salt,
		.born_s = h.born_s,
		.length = (uint64_t)st.st_size,
	};
	return 0;
}

void
block_log_close(struct volume_file *v)
{
	if (v == NULL || v->fd < 0)
		return;
	close(v->fd);
	v->fd = -1;
}

int
block_log_unlink(int folder, uint32_t number)
{
	char name[BLOCK_LOG_NAME_MAX];

	volume_name(name, number);
	return unlinkat(folder, name, 0) != 0 ? err_new(-errno) : 0;
}

/* An own description, since the position in a folder belongs to that. */
static DIR *
open_folder(int folder)
{
	AUTO_FD int fd =
		openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d;

	if (fd < 0)
		return NULL;
	d = fdopendir(fd);
	if (d != NULL)
		(void)TAKE_FD(fd);
	return d;
}

int
block_log_each(int folder, int (*fn)(uint32_t number, void *ctx), void *ctx)
{
	DIR *d = open_folder(folder);
	struct dirent *e;
	uint32_t number;
	int r = 0;

	if (d == NULL)
		return err_new(-errno);
	while (r == 0) {
		errno = 0;
		e = readdir(d);
		if (e == NULL) {
			r = errno != 0 ? err_new(-errno) : 0;
			break;
		}
		if (volume_name_parse(&number, e->d_name))
			r = fn(number, ctx);
	}
	closedir(d);
	return r;
}

/* Room that is one piece with what was taken just before. */
static uint8_t *
batch_extra(struct batch *b, size_t n)
{
	uint8_t *p = b->extra + b->used;
	struct iovec *last = b->n > 0 ? &b->iov[b->n - 1] : NULL;

	b->used += n;
	if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == p)
		last->iov_len += n;
	else
		b->iov[b->n++] = (struct iovec){p, n};
	return p;
}

static void
batch_add(struct batch *b, struct block_log_item *item, uint64_t salt)
{
	struct record *rec = &item->record;
	uint8_t *header = batch_extra(b, RECORD_HEADER);
	size_t data_len = (size_t)rec->cipher_len + rec->tail_len;
	size_t pad = (size_t)record_span(rec) - RECORD_HEADER - data_len;
	uint8_t *tail;

	if (rec->type == RECORD_BLOCK) {
		b->iov[b->n++] = (struct iovec){
			/* the interface knows no piece that is only read */
			(void *)(uintptr_t)item->cipher,
			rec->cipher_len,
		};
		tail = batch_extra(b, rec->tail_len);
		record_tail(tail, rec->algo, item->iv);
		rec->data_hash = record_data_hash(
			item->cipher, rec->cipher_len, tail, rec->tail_len);
		memset(batch_extra(b, pad), 0, pad);
	}
	record_build(header, rec, salt, item->offset);
}

/* Lengths and places of all, before anything is written. */
static int
place_items(const struct volume_file *v, struct block_log_item *items, size_t n)
{
	uint64_t offset = align_up(v->length);

	for (size_t i = 0; i < n; i++) {
		struct record *rec = &items[i].record;
		bool block = rec->type == RECORD_BLOCK;

		rec->tail_len = block ? record_tail_len(rec->algo) : 0;
		rec->data_hash = 0;
		if (!record_valid(rec))
			return err_new(-EINVAL);
		items[i].offset = offset;
		offset += record_span(rec);
	}
	return 0;
}

/* The first n, at most BATCH_ITEMS. */
static int
write_items(const struct volume_file *v, struct block_log_item *items, size_t n)
{
	struct batch b;

	b.n = 0;
	b.used = 0;
	for (size_t i = 0; i < n; i++)
		batch_add(&b, &items[i], v->salt);
	return err_pass(write_pieces(v->fd, b.iov, b.n, items[0].offset));
}

int
block_log_append(struct volume_file *v, struct block_log_item *items, size_t n)
{
	int r = place_items(v, items, n);

	for (size_t i = 0; r == 0 && i < n; i += BATCH_ITEMS) {
		r = write_items(v, items + i, MIN_OF(n - i, BATCH_ITEMS));
		/* gives room back on a full disk */
		if (r != 0)
			(void)!ftruncate(v->fd, (off_t)v->length);
	}
	if (r == 0 && n > 0)
		v->length =
			items[n - 1].offset + record_span(&items[n - 1].record);
	return err_pass(r);
}

int
block_log_sync(struct volume_file *v)
{
	int r;

	do
		r = fdatasync(v->fd);
	while (r != 0 && errno == EINTR);
	return r != 0 ? err_new(-errno) : 0;
}

int
block_log_sync_folder(int folder)
{
	return fsync(folder) != 0 ? err_new(-errno) : 0;
}

int
block_log_truncate(struct volume_file *v, uint64_t length)
{
	struct stat st;

	if (fstat(v->fd, &st) != 0)
		return err_new(-errno);
	if ((uint64_t)st.st_size > length &&
		ftruncate(v->fd, (off_t)length) != 0)
		return err_new(write_errno());
	v->length = MIN_OF((uint64_t)st.st_size, length);
	return 0;
}

/* The header at offset in memory; NULL with *ret_r 0 when the file ends early,
 * or -errno.  A read is of want bytes at most. */
static const uint8_t *
window_header(struct window *w, uint64_t offset, size_t want, int *ret_r)
{
	*ret_r = 0;
	if (offset < w->offset || offset - w->offset > w->n ||
		w->n - (offset - w->offset) < RECORD_HEADER) {
		w->offset = offset;
		w->n = 0;
		*ret_r = read_at(w->fd, w->data, MIN_OF(want, w->end - offset),
			offset, &w->n);
		if (*ret_r != 0 || w->n < RECORD_HEADER)
			return NULL;
	}
	return w->data + (offset - w->offset);
}

/* false: there is none, or not all of it. */
static bool
scan_record(const struct volume_file *v, const struct block_log_scan *s,
	const uint8_t *header, uint64_t end, struct record *ret)
{
	uint64_t left = end - s->offset;

	return record_parse(ret, header, v->salt, s->offset) == RECORD_OK &&
		RECORD_HEADER + (uint64_t)ret->cipher_len + ret->tail_len <=
		left;
}

static int
scan_hand_out(struct block_log_scan *s, const struct record *rec, uint64_t end)
{
	uint64_t offset = s->offset;

	s->offset = s->good = MIN_OF(offset + record_span(rec), end);
	s->searching = false;
	return s->fn(rec, offset, s->ctx);
}

static int
scan_search(struct block_log_scan *s, uint64_t *budget)
{
	if (!s->searching)
		s->damaged++;
	s->searching = true;
	s->offset += RECORD_ALIGN;
	*budget -= MIN_OF(*budget, RECORD_ALIGN);
	return *budget == 0 ? -EAGAIN : 0;
}

/* What is left behind the last record is damage, however little it is. */
static void
scan_end(struct block_log_scan *s, uint64_t end)
{
	if (s->offset < end && !s->searching)
		s->damaged++;
	s->searching = false;
	s->offset = MAX_OF(s->offset, end);
}

static int
scan_records(
	const struct volume_file *v, struct block_log_scan *s, struct window *w)
{
	uint64_t budget = s->search_max > 0 ? s->search_max : UINT64_MAX;
	int r = 0;

	while (r == 0 && s->offset < w->end &&
		w->end - s->offset >= RECORD_HEADER) {
		const uint8_t *header = window_header(w, s->offset,
			s->searching ? SCAN_WINDOW : SCAN_PAGE, &r);
		struct record rec;

		/* the file became shorter meanwhile */
		if (header == NULL)
			w->end = s->offset + w->n;
		else if (scan_record(v, s, header, w->end, &rec))
			r = scan_hand_out(s, &rec, w->end);
		else
			r = scan_search(s, &budget);
	}
	if (r == 0)
		scan_end(s, w->end);
	return r;
}

int
block_log_scan(const struct volume_file *v, struct block_log_scan *s)
{
	struct window w;
	struct stat st;

	if (fstat(v->fd, &st) != 0)
		return err_new(-errno);
	w.fd = v->fd;
	w.end = MIN_OF((uint64_t)st.st_size, s->limit);
	w.offset = 0;
	w.n = 0;
	if (s->offset < w.end)
		s->offset = align_up(MAX_OF(s->offset, VOLUME_HEADER));
	return scan_records(v, s, &w);
}
