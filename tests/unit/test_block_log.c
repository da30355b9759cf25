/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pwritev() and pread() are this file's own, so that a disk can be played that
 * writes a part, is interrupted, full, or broken.
 */
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/pccrr.h"
#include "common/macros.h"
#include "daemon/store/block_log.h"

#define SALT     0x1122334455667788u
#define BORN     1700000000u
#define NUMBER   7u
#define NAME     "00000007.vol"
#define KIB      1024u
#define NO_BOUND UINT64_MAX

static char folder_path[64];
static int folder = -1;
static uint8_t payload[2048 * KIB];

/* The disk. */
static struct {
	unsigned writes, reads;
	size_t write_most;         /* bytes that one call writes, 0: all */
	unsigned interrupts;       /* calls that are interrupted first */
	uint64_t room;             /* bytes until it is full */
	int full_error;            /* what it says then, 0: writes nothing */
	uint64_t bad_from, bad_to; /* cannot be read */
} disk;

ssize_t __pread_chk(int, void *, size_t, off_t, size_t);

static void
disk_reset(void)
{
	memset(&disk, 0, sizeof(disk));
	disk.room = UINT64_MAX;
	disk.full_error = ENOSPC;
	disk.bad_from = disk.bad_to = UINT64_MAX;
}

static ssize_t
disk_refuse(int error)
{
	errno = error;
	return error != 0 ? -1 : 0;
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	size_t most = disk.write_most > 0 ? disk.write_most : SIZE_MAX;
	size_t put = 0;

	disk.writes++;
	if (disk.interrupts > 0) {
		disk.interrupts--;
		return disk_refuse(EINTR);
	}
	most = MIN_OF(most, disk.room);
	if (most == 0)
		return disk_refuse(disk.full_error);
	for (int i = 0; i < n && most > 0; i++) {
		size_t want = MIN_OF(iov[i].iov_len, most);
		ssize_t r =
			pwrite(fd, iov[i].iov_base, want, offset + (off_t)put);

		if (r < 0)
			return put > 0 ? (ssize_t)put : -1;
		put += (size_t)r;
		most -= (size_t)r;
		if ((size_t)r < want)
			break;
	}
	disk.room -= disk.room < UINT64_MAX ? put : 0;
	return (ssize_t)put;
}

ssize_t
pread(int fd, void *dst, size_t n, off_t offset)
{
	uint64_t at = (uint64_t)offset;

	disk.reads++;
	if (disk.interrupts > 0) {
		disk.interrupts--;
		return disk_refuse(EINTR);
	}
	if (at >= disk.bad_from && at < disk.bad_to)
		return disk_refuse(EIO);
	if (at < disk.bad_from && n > disk.bad_from - at)
		n = disk.bad_from - at;
	return syscall(SYS_pread64, fd, dst, n, offset);
}

ssize_t
__pread_chk(int fd, void *dst, size_t n, off_t offset, size_t size)
{
	assert_true(n <= size);
	return pread(fd, dst, n, offset);
}

static int
setup(void **state)
{
	disk_reset();
	strcpy(folder_path, "/tmp/peerdist-log-XXXXXX");
	if (mkdtemp(folder_path) == NULL)
		return -1;
	folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder < 0 ? -1 : 0;
}

static int
remove_volume(uint32_t number, void *ctx)
{
	return block_log_unlink(folder, number);
}

static int
teardown(void **state)
{
	int r = block_log_each(folder, remove_volume, NULL);

	close(folder);
	return r != 0 ? r : rmdir(folder_path);
}

static void
new_volume(struct volume_file *v)
{
	assert_int_equal(block_log_create(folder, NUMBER, BORN, SALT, v), 0);
}

static struct block_log_item
block_item(uint32_t index, uint32_t plain_len)
{
	struct block_log_item it = {
		.record =
			{
				.type = RECORD_BLOCK,
				.id_len = 32,
				.proved = true,
				.index = index,
				.plain_len = plain_len,
				.cipher_len = pccrr_cipher_len(plain_len),
				.algo = PCCRR_AES128,
				.owner = {.uid = 1000},
				.born_s = BORN,
			},
		.cipher = payload + index % 1000,
	};

	memset(it.record.id, 0x40 + (int)(index % 100), it.record.id_len);
	memset(it.record.claim, 0x11, sizeof(it.record.claim));
	memset(it.iv, 0x80 + (int)(index % 100), sizeof(it.iv));
	return it;
}

static struct block_log_item
small_item(enum record_type type, uint32_t index)
{
	struct block_log_item it = {
		.record =
			{
				.type = type,
				.id_len = type == RECORD_FLUSH ? 0 : 32,
				.index = index,
				.owner = {.uid = 1000},
				.born_s = BORN,
			},
	};

	memset(it.record.id, 0x55, it.record.id_len);
	return it;
}

/* Blocks of odd lengths with small records between. */
static void
mixed_items(struct block_log_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t index = (uint32_t)i;

		if (i % 3 == 2)
			items[i] = small_item(
				(enum record_type)(RECORD_OWNER + i / 3 % 3),
				index);
		else
			items[i] = block_item(index, 1 + index * 37 % 5000);
	}
}

static void
append(struct volume_file *v, struct block_log_item *items, size_t n)
{
	assert_int_equal(block_log_append(v, items, n), 0);
}

static off_t
file_size(const struct volume_file *v)
{
	struct stat st;

	assert_int_equal(fstat(v->fd, &st), 0);
	return st.st_size;
}

static void
put_at(const struct volume_file *v, uint64_t offset, const void *data, size_t n)
{
	assert_int_equal(pwrite(v->fd, data, n, (off_t)offset), n);
}

/* Flips one bit. */
static void
damage(const struct volume_file *v, uint64_t offset)
{
	uint8_t c;

	assert_int_equal(pread(v->fd, &c, 1, (off_t)offset), 1);
	c ^= 0x10;
	put_at(v, offset, &c, 1);
}

/* What a scan found. */
struct found {
	size_t n;
	uint32_t index[4096];
	uint64_t offset[4096];
	size_t stop_at; /* 0: never */
};

static int
on_record(const struct record *r, uint64_t offset, void *ctx)
{
	struct found *f = ctx;

	assert_true(f->n < ARRAY_LEN(f->index));
	f->index[f->n] = r->index;
	f->offset[f->n++] = offset;
	return f->n == f->stop_at ? 42 : 0;
}

static int
scan(const struct volume_file *v, struct found *f, uint64_t limit,
	uint64_t *ret_damaged)
{
	struct block_log_scan s = {.limit = limit, .fn = on_record, .ctx = f};
	int r;

	f->n = 0;
	r = block_log_scan(v, &s);
	*ret_damaged = s.damaged;
	if (r == 0)
		assert_true(s.offset == MIN_OF(limit, (uint64_t)file_size(v)));
	return r;
}

static void
assert_found(const struct found *f, const struct block_log_item *items,
	size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_true(f->n > i);
		assert_int_equal(f->index[i], items[from + i].record.index);
		assert_true(f->offset[i] == items[from + i].offset);
	}
}

/* Finds exactly the items but the one that is left out (SIZE_MAX: none). */
static void
assert_scan(const struct volume_file *v, const struct block_log_item *items,
	size_t n, size_t without, uint64_t damaged)
{
	static struct found f;
	uint64_t got;

	assert_int_equal(scan(v, &f, NO_BOUND, &got), 0);
	assert_int_equal(got, damaged);
	assert_int_equal(f.n, without < n ? n - 1 : n);
	for (size_t i = 0, k = 0; i < n; i++) {
		if (i == without)
			continue;
		assert_int_equal(f.index[k], items[i].record.index);
		assert_true(f.offset[k++] == items[i].offset);
	}
}

static int
collect(uint32_t number, void *ctx)
{
	uint32_t *sum = ctx;

	*sum += number;
	return 0;
}

static int
stop(uint32_t number, void *ctx)
{
	++*(int *)ctx;
	return 9;
}

static void
touch(const char *name)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void
test_names(void **state)
{
	static const char *const foreign[] = {"0000000A.vol", "0000001.vol",
		"000000010.vol", "00000001.vo", "00000001.volx", "index.mdb",
		"00000001", "+0000001.vol", "lock"};
	struct volume_file v;
	uint32_t sum = 0;
	int calls = 0;

	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		touch(foreign[i]);
	for (uint32_t n = 1; n < 4; n++) {
		assert_int_equal(
			block_log_create(folder, n * 0x1f, 0, 0, &v), 0);
		block_log_close(&v);
		block_log_close(&v);
	}
	block_log_close(NULL);
	assert_int_equal(faccessat(folder, "0000005d.vol", F_OK, 0), 0);
	for (int again = 1; again <= 2; again++) {
		assert_int_equal(block_log_each(folder, collect, &sum), 0);
		assert_int_equal(sum, (unsigned)again * 6 * 0x1f);
	}
	assert_int_equal(block_log_each(folder, stop, &calls), 9);
	assert_int_equal(calls, 1);
	assert_int_equal(block_log_create(folder, 0x1f, 0, 0, &v), -EEXIST);
	assert_int_equal(block_log_unlink(folder, 0x1f), 0);
	assert_int_equal(block_log_unlink(folder, 0x1f), -ENOENT);
	assert_int_equal(block_log_open(folder, 0x1f, &v), -ENOENT);
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		assert_int_equal(unlinkat(folder, foreign[i], 0), 0);
}

static void
test_open(void **state)
{
	struct volume_file v, again;
	struct stat st;

	new_volume(&v);
	assert_int_equal(v.length, VOLUME_HEADER);
	assert_int_equal(file_size(&v), VOLUME_HEADER);
	assert_int_equal(fstat(v.fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(fcntl(v.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(block_log_sync(&v), 0);
	assert_int_equal(block_log_sync_folder(folder), 0);
	assert_int_equal(block_log_open(folder, NUMBER, &again), 0);
	assert_int_equal(again.number, NUMBER);
	assert_true(again.salt == SALT);
	assert_int_equal(again.born_s, BORN);
	assert_int_equal(again.length, VOLUME_HEADER);
	assert_true(fcntl(again.fd, F_GETFD) & FD_CLOEXEC);
	block_log_close(&again);
	damage(&v, 20);
	assert_int_equal(block_log_open(folder, NUMBER, &again), RECORD_E_HASH);
	damage(&v, 20);
	assert_int_equal(ftruncate(v.fd, 63), 0);
	assert_int_equal(
		block_log_open(folder, NUMBER, &again), RECORD_E_MAGIC);
	block_log_close(&v);
}

/* A volume under another one's name, of another format, or no file at all. */
static void
test_open_foreign(void **state)
{
	struct volume_header h = {RECORD_FORMAT + 1, NUMBER, SALT, BORN};
	struct volume_file v, again;
	uint8_t data[VOLUME_HEADER];

	new_volume(&v);
	assert_int_equal(renameat(folder, NAME, folder, "00000008.vol"), 0);
	assert_int_equal(block_log_open(folder, 8, &again), RECORD_E_VALUE);
	assert_int_equal(symlinkat("00000008.vol", folder, NAME), 0);
	assert_int_equal(block_log_open(folder, NUMBER, &again), -ELOOP);
	assert_int_equal(block_log_unlink(folder, NUMBER), 0);
	assert_int_equal(mkfifoat(folder, NAME, 0600), 0);
	assert_int_equal(block_log_open(folder, NUMBER, &again), -EINVAL);
	assert_int_equal(block_log_unlink(folder, NUMBER), 0);
	assert_int_equal(renameat(folder, "00000008.vol", folder, NAME), 0);
	volume_header_build(data, &h);
	put_at(&v, 0, data, sizeof(data));
	assert_int_equal(
		block_log_open(folder, NUMBER, &again), RECORD_E_FORMAT);
	block_log_close(&v);
}

static void
test_create_full(void **state)
{
	struct volume_file v;

	disk.room = 10;
	assert_int_equal(
		block_log_create(folder, NUMBER, BORN, SALT, &v), -ENOSPC);
	assert_int_equal(faccessat(folder, NAME, F_OK, 0), -1);
	disk.room = UINT64_MAX;
	disk.write_most = 10;
	new_volume(&v);
	block_log_close(&v);
	assert_int_equal(block_log_open(folder, NUMBER, &v), 0);
	block_log_close(&v);
}

/* Header, ciphertext, tail, zeroes: byte for byte. */
static void
assert_record_on_disk(const struct volume_file *v, struct block_log_item *it)
{
	static uint8_t data[RECORD_CIPHER_MAX + 256];
	uint8_t want[RECORD_HEADER], tail[RECORD_TAIL_MAX];
	size_t span = (size_t)record_span(&it->record);
	uint32_t cipher_len = it->record.cipher_len;
	uint8_t *p = data + RECORD_HEADER;

	assert_int_equal(pread(v->fd, data, span, (off_t)it->offset), span);
	record_build(want, &it->record, v->salt, it->offset);
	assert_memory_equal(data, want, RECORD_HEADER);
	if (it->record.type != RECORD_BLOCK)
		return;
	assert_memory_equal(p, it->cipher, cipher_len);
	p += cipher_len;
	assert_int_equal(record_tail(tail, it->record.algo, it->iv),
		it->record.tail_len);
	assert_memory_equal(p, tail, it->record.tail_len);
	assert_true(it->record.data_hash ==
		record_data_hash(data + RECORD_HEADER, cipher_len, p,
			it->record.tail_len));
	p += it->record.tail_len;
	assert_true(p <= data + span && p + RECORD_ALIGN > data + span);
	while (p < data + span)
		assert_int_equal(*p++, 0);
}

static void
assert_all_on_disk(
	const struct volume_file *v, struct block_log_item *items, size_t n)
{
	uint64_t offset = VOLUME_HEADER;

	for (size_t i = 0; i < n; i++) {
		assert_true(items[i].offset == offset);
		offset += record_span(&items[i].record);
		assert_record_on_disk(v, &items[i]);
	}
	assert_true(v->length == offset);
	assert_true((uint64_t)file_size(v) == offset);
}

static void
test_append(void **state)
{
	struct block_log_item items[7] = {
		block_item(0, 65536),
		block_item(1, 1),
		small_item(RECORD_FLUSH, 2),
		small_item(RECORD_DROP, 3),
		block_item(4, 77),
		block_item(5, RECORD_CIPHER_MAX - 1),
		small_item(RECORD_OWNER, 6),
	};
	struct volume_file v;

	items[4].record.algo = PCCRR_NONE;
	items[4].record.cipher_len = 77;
	new_volume(&v);
	disk.writes = 0;
	append(&v, items, ARRAY_LEN(items));
	assert_int_equal(disk.writes, 1);
	assert_all_on_disk(&v, items, ARRAY_LEN(items));
	assert_scan(&v, items, ARRAY_LEN(items), SIZE_MAX, 0);
	block_log_close(&v);
	assert_int_equal(block_log_open(folder, NUMBER, &v), 0);
	assert_all_on_disk(&v, items, ARRAY_LEN(items));
	block_log_close(&v);
}

static struct block_log_item many[1000];

static void
test_append_many(void **state)
{
	struct volume_file v;

	mixed_items(many, ARRAY_LEN(many));
	new_volume(&v);
	disk.writes = 0;
	append(&v, many, 700);
	append(&v, many + 700, 300);
	assert_in_range(disk.writes, 1, 20);
	assert_all_on_disk(&v, many, ARRAY_LEN(many));
	assert_scan(&v, many, ARRAY_LEN(many), SIZE_MAX, 0);
	block_log_close(&v);
}

static void
test_short_writes(void **state)
{
	static const size_t most[] = {1, 7, 31, 160, 161, 4096, 5000};
	struct volume_file v;

	mixed_items(many, 70);
	new_volume(&v);
	for (size_t i = 0; i < ARRAY_LEN(most); i++) {
		assert_int_equal(block_log_truncate(&v, VOLUME_HEADER), 0);
		disk.write_most = most[i];
		disk.interrupts = 3;
		append(&v, many, 70);
		assert_int_equal(disk.interrupts, 0);
		assert_all_on_disk(&v, many, 70);
	}
	block_log_close(&v);
}

/* Full after each number of bytes: nothing counts, and what was there stays. */
static void
test_full(void **state)
{
	struct block_log_item first = block_item(9, 100);
	struct volume_file v;
	uint64_t length, all;
	int r = -1;

	mixed_items(many, 70);
	new_volume(&v);
	append(&v, &first, 1);
	length = v.length;
	append(&v, many, 70);
	all = v.length - length;
	assert_int_equal(block_log_truncate(&v, length), 0);
	for (uint64_t room = 0; room <= all; room += room < 500 ? 1 : 997) {
		disk.room = room;
		disk.full_error = room % 3 == 0 ? ENOSPC : EIO;
		r = block_log_append(&v, many, 70);
		assert_int_equal(r, -disk.full_error);
		assert_true(v.length == length);
		assert_true((uint64_t)file_size(&v) == length);
		assert_scan(&v, &first, 1, SIZE_MAX, 0);
	}
	disk.room = all;
	append(&v, many, 70);
	assert_true(v.length == length + all);
	disk.room = 0;
	disk.full_error = 0;
	assert_int_equal(block_log_append(&v, many, 1), -EIO);
	block_log_close(&v);
}

/* The kernel's own short write. */
static void
test_file_size_limit(void **state)
{
	struct block_log_item items[3] = {block_item(0, 65536),
		block_item(1, 65536), block_item(2, 65536)};
	struct rlimit old, limit;
	struct volume_file v;
	int r;

	new_volume(&v);
	append(&v, items, 1);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 100000;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	r = block_log_append(&v, items + 1, 2);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(r, -EFBIG);
	assert_scan(&v, items, 1, SIZE_MAX, 0);
	append(&v, items + 1, 2);
	assert_scan(&v, items, 3, SIZE_MAX, 0);
	block_log_close(&v);
}

static void
test_read_only(void **state)
{
	struct block_log_item item = block_item(0, 100), more = item;
	struct volume_file v, ro;

	new_volume(&v);
	append(&v, &item, 1);
	ro = v;
	ro.fd = openat(folder, NAME, O_RDONLY | O_CLOEXEC);
	assert_true(ro.fd >= 0);
	assert_int_equal(block_log_append(&ro, &more, 1), -EROFS);
	assert_int_equal(block_log_truncate(&ro, 64), -EROFS);
	assert_true(ro.length == v.length);
	assert_scan(&ro, &item, 1, SIZE_MAX, 0);
	block_log_close(&ro);
	block_log_close(&v);
}

static void
test_append_invalid(void **state)
{
	struct block_log_item items[2] = {
		block_item(0, 100), block_item(1, 100)};
	struct volume_file v;

	new_volume(&v);
	disk.writes = 0;
	items[1].record.cipher_len = 2 * RECORD_CIPHER_MAX;
	assert_int_equal(block_log_append(&v, items, 2), -EINVAL);
	items[1] = block_item(1, 100);
	items[1].record.type = _RECORD_TYPE_MAX;
	assert_int_equal(block_log_append(&v, items, 2), -EINVAL);
	assert_int_equal(block_log_append(&v, items, 0), 0);
	assert_int_equal(disk.writes, 0);
	assert_int_equal(v.length, VOLUME_HEADER);
	block_log_close(&v);
}

static void
test_truncate(void **state)
{
	struct block_log_item items[3] = {
		block_item(0, 100), block_item(1, 100), block_item(2, 100)};
	struct volume_file v;

	new_volume(&v);
	append(&v, items, 3);
	assert_int_equal(block_log_truncate(&v, items[2].offset), 0);
	assert_true(v.length == items[2].offset);
	assert_true((uint64_t)file_size(&v) == v.length);
	assert_scan(&v, items, 2, SIZE_MAX, 0);
	/* never longer */
	assert_int_equal(block_log_truncate(&v, items[2].offset + 999), 0);
	assert_true(v.length == items[2].offset);
	assert_true((uint64_t)file_size(&v) == v.length);
	/* a torn end: records begin where records begin */
	assert_int_equal(block_log_truncate(&v, items[1].offset + 97), 0);
	append(&v, items + 2, 1);
	assert_true(items[2].offset == items[1].offset + 128);
	items[1] = items[2];
	assert_scan(&v, items, 2, SIZE_MAX, 1);
	block_log_close(&v);
}

/* Each record in turn loses its header; all others are found. */
static void
test_scan_damaged(void **state)
{
	static struct found f;
	struct volume_file v;
	uint64_t damaged;

	mixed_items(many, 100);
	new_volume(&v);
	append(&v, many, 100);
	for (size_t i = 0; i < 100; i++) {
		damage(&v, many[i].offset + i);
		assert_scan(&v, many, 100, i, 1);
		damage(&v, many[i].offset + i);
	}
	/* damage inside a block is not the scan's to find */
	damage(&v, many[1].offset + RECORD_HEADER);
	assert_scan(&v, many, 100, SIZE_MAX, 0);
	/* that of the first and of the last, and two in a row */
	damage(&v, many[0].offset);
	damage(&v, many[99].offset + 159);
	damage(&v, many[50].offset + 4);
	damage(&v, many[51].offset + 4);
	assert_int_equal(scan(&v, &f, NO_BOUND, &damaged), 0);
	assert_int_equal(damaged, 3);
	assert_int_equal(f.n, 96);
	assert_found(&f, many, 1, 49);
	block_log_close(&v);
}

/* Records as the content of a block, also where a search comes by. */
static void
test_scan_fake(void **state)
{
	static uint8_t fake[64 * KIB];
	struct block_log_item items[3] = {
		block_item(0, 65535), block_item(1, 65535), block_item(2, 10)};
	struct volume_file v;

	new_volume(&v);
	append(&v, items, 3);
	for (size_t i = 0; i + RECORD_HEADER <= sizeof(fake); i += 160)
		record_build(fake + i, &items[2].record, SALT, items[2].offset);
	assert_int_equal(block_log_truncate(&v, VOLUME_HEADER), 0);
	items[0].cipher = items[1].cipher = fake;
	append(&v, items, 3);
	assert_scan(&v, items, 3, SIZE_MAX, 0);
	damage(&v, items[1].offset);
	assert_scan(&v, items, 3, 1, 1);
	block_log_close(&v);
}

/* A whole record of an older life of the file, behind a torn one. */
static void
test_scan_older_life(void **state)
{
	struct block_log_item items[3] = {
		block_item(0, 100), block_item(1, 100), block_item(2, 100)};
	struct volume_file v, other;

	new_volume(&v);
	append(&v, items, 3);
	other = v;
	other.salt = SALT + 1;
	other.length = items[1].offset;
	append(&other, items + 1, 2);
	assert_scan(&v, items, 1, SIZE_MAX, 1);
	block_log_close(&v);
}

/* Cut at every length. */
static void
test_scan_cut(void **state)
{
	struct volume_file v;

	mixed_items(many, 8);
	new_volume(&v);
	append(&v, many, 8);
	for (uint64_t cut = v.length - 1; cut >= VOLUME_HEADER; cut -= 1) {
		size_t whole = 0;
		bool torn = cut > VOLUME_HEADER;

		assert_int_equal(ftruncate(v.fd, (off_t)cut), 0);
		for (size_t i = 0; i < 8; i++) {
			const struct record *r = &many[i].record;
			uint64_t from = many[i].offset,
				 end = from + RECORD_HEADER + r->cipher_len +
				r->tail_len;

			whole += end <= cut;
			if (end <= cut)
				torn = from + record_span(r) < cut;
		}
		assert_scan(&v, many, whole, SIZE_MAX, torn);
	}
	block_log_close(&v);
}

/* Limits cut like the end of the file does. */
static void
test_scan_limit(void **state)
{
	static struct found f;
	struct volume_file v;
	uint64_t damaged;

	mixed_items(many, 8);
	new_volume(&v);
	append(&v, many, 8);
	assert_int_equal(scan(&v, &f, many[5].offset, &damaged), 0);
	assert_int_equal(damaged, 0);
	assert_int_equal(f.n, 5);
	assert_int_equal(scan(&v, &f, many[5].offset + 96, &damaged), 0);
	assert_int_equal(damaged, 1);
	assert_int_equal(f.n, 5);
	assert_int_equal(scan(&v, &f, VOLUME_HEADER, &damaged), 0);
	assert_int_equal(damaged, 0);
	assert_int_equal(f.n, 0);
	block_log_close(&v);
}

static void
test_scan_stop(void **state)
{
	static struct found f;
	struct block_log_scan s = {
		.limit = NO_BOUND, .fn = on_record, .ctx = &f};
	struct volume_file v;

	mixed_items(many, 50);
	new_volume(&v);
	append(&v, many, 50);
	f.n = 0;
	for (size_t i = 1; i <= 50; i++) {
		f.stop_at = i;
		assert_int_equal(block_log_scan(&v, &s), 42);
		assert_int_equal(f.n, i);
	}
	f.stop_at = 0;
	assert_int_equal(block_log_scan(&v, &s), 0);
	assert_int_equal(f.n, 50);
	assert_int_equal(s.damaged, 0);
	assert_found(&f, many, 0, 50);
	s.offset = many[3].offset - 1;
	assert_int_equal(block_log_scan(&v, &s), 0);
	assert_found(&f, many, 0, 50);
	assert_int_equal(f.n, 97);
	s.offset = UINT64_MAX;
	assert_int_equal(block_log_scan(&v, &s), 0);
	assert_int_equal(f.n, 97);
	block_log_close(&v);
}

/* A hole of many megabytes: big reads, and what follows is found. */
static void
test_scan_hole(void **state)
{
	const uint64_t hole = 16384 * KIB;
	struct block_log_item items[2] = {
		block_item(0, 100), block_item(1, 100)};
	struct volume_file v;

	new_volume(&v);
	append(&v, items, 1);
	v.length += hole;
	append(&v, items + 1, 1);
	disk.reads = 0;
	assert_scan(&v, items, 2, SIZE_MAX, 1);
	assert_in_range(disk.reads, 1, hole / (64 * KIB) + 10);
	/* to the end */
	v.length += hole;
	assert_int_equal(ftruncate(v.fd, (off_t)v.length), 0);
	assert_scan(&v, items, 2, SIZE_MAX, 2);
	block_log_close(&v);
}

/* The same a piece at a time: one damage, however many pieces. */
static void
test_scan_search_max(void **state)
{
	static struct found f;
	struct block_log_item items[2] = {
		block_item(0, 100), block_item(1, 100)};
	struct block_log_scan s = {.limit = NO_BOUND,
		.fn = on_record,
		.ctx = &f,
		.search_max = 1024 * KIB};
	struct volume_file v;
	int pieces = 0, r;

	new_volume(&v);
	append(&v, items, 1);
	v.length += 10240 * KIB;
	append(&v, items + 1, 1);
	f.n = 0;
	while ((r = block_log_scan(&v, &s)) == -EAGAIN) {
		uint64_t gone = s.offset - items[0].offset;

		assert_in_range(++pieces, 1, 11);
		assert_in_range(gone, (unsigned)pieces * 1024 * KIB,
			(unsigned)pieces * 1024 * KIB + KIB);
	}
	assert_int_equal(r, 0);
	assert_int_equal(pieces, 10);
	assert_int_equal(s.damaged, 1);
	assert_int_equal(f.n, 2);
	assert_found(&f, items, 0, 2);
	block_log_close(&v);
}

/* A record that says it is longer than the file, with a true checksum. */
static void
test_scan_too_long(void **state)
{
	struct block_log_item items[2] = {
		block_item(0, 100), block_item(1, 100)};
	struct volume_file v;
	uint8_t data[RECORD_HEADER];
	struct record r;

	new_volume(&v);
	append(&v, items, 2);
	r = items[0].record;
	r.plain_len = RECORD_CIPHER_MAX;
	r.cipher_len = RECORD_CIPHER_MAX;
	record_build(data, &r, SALT, items[0].offset);
	put_at(&v, items[0].offset, data, sizeof(data));
	assert_scan(&v, items, 2, 0, 1);
	block_log_close(&v);
}

static void
test_read_fault(void **state)
{
	static struct found f;
	struct volume_file v;
	uint64_t damaged;

	mixed_items(many, 100);
	new_volume(&v);
	append(&v, many, 100);
	disk.interrupts = 5;
	assert_scan(&v, many, 100, SIZE_MAX, 0);
	disk.bad_from = many[50].offset + 100;
	disk.bad_to = many[50].offset + 4196;
	assert_int_equal(scan(&v, &f, NO_BOUND, &damaged), -EIO);
	assert_int_equal(damaged, 0);
	assert_int_equal(f.n, 50);
	assert_found(&f, many, 0, 50);
	/* behind the header: not met */
	disk.bad_from = many[49].offset + RECORD_HEADER;
	disk.bad_to = disk.bad_from + 1;
	assert_scan(&v, many, 100, SIZE_MAX, 0);
	block_log_close(&v);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names),
		TEST(test_open),
		TEST(test_open_foreign),
		TEST(test_create_full),
		TEST(test_append),
		TEST(test_append_many),
		TEST(test_short_writes),
		TEST(test_full),
		TEST(test_file_size_limit),
		TEST(test_read_only),
		TEST(test_append_invalid),
		TEST(test_truncate),
		TEST(test_scan_damaged),
		TEST(test_scan_fake),
		TEST(test_scan_older_life),
		TEST(test_scan_cut),
		TEST(test_scan_limit),
		TEST(test_scan_stop),
		TEST(test_scan_hole),
		TEST(test_scan_search_max),
		TEST(test_scan_too_long),
		TEST(test_read_fault),
	};

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 2654435761u >> 24);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
