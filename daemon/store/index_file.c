/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Layout of an LMDB file, version 1 of its data format, as LMDB 0.9 has it
 * since 2011.  Integers are the machine's own in width and order.
 *
 * Pages 0 and 1 are metas; transaction N writes meta N & 1.  So one transaction
 * lies between the two, always, and a damaged number shows.  The later one
 * tells how many pages there are.  The file may be shorter: pages at its end
 * that were given back before they were ever written.
 */
#include "daemon/store/index_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/macros.h"

#define LOCK_SIZE  4096
#define MAGIC      0xbeefc0deu
#define VERSION    1u
#define PAGE_META  0x08u
#define PAGE_MOST  65536u
#define PAGE_LEAST 512u
#define DEPTH_MOST 32u
#define NO_ROOT    SIZE_MAX

struct db {
	uint32_t pad; /* of the first one: page size */
	uint16_t flags;
	uint16_t depth;
	size_t branch_pages;
	size_t leaf_pages;
	size_t overflow_pages;
	size_t entries;
	size_t root;
};

struct meta_page {
	size_t number;
	uint16_t pad;
	uint16_t flags;
	uint32_t pages;
	uint32_t magic;
	uint32_t version;
	size_t address;
	size_t map_size;
	struct db dbs[2];
	size_t last_page;
	size_t txn;
};

void
index_files_init(struct index_files *f, int folder, const char *name)
{
	f->folder = folder;
	snprintf(f->data, sizeof(f->data), "%s.mdb", name);
	snprintf(f->lock, sizeof(f->lock), "%s.mdb-lock", name);
	snprintf(f->aside, sizeof(f->aside), "%s.mdb.damaged", name);
	snprintf(f->mark, sizeof(f->mark), "%s.damaged", name);
}

bool
index_files_marked(const struct index_files *f)
{
	return faccessat(f->folder, f->mark, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int
index_files_reserve_lock(const struct index_files *f)
{
	AUTO_FD int fd = openat(f->folder, f->lock,
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return err_new(-errno);
	r = posix_fallocate(fd, 0, LOCK_SIZE);
	return r == 0 || r == EOPNOTSUPP ? 0 : err_new(-r);
}

static int
unlink_if_there(int folder, const char *name)
{
	if (unlinkat(folder, name, 0) != 0 && errno != ENOENT)
		return err_new(-errno);
	return 0;
}

/* The mark goes last: whatever stops this, the next start does it again. */
int
index_files_put_aside(const struct index_files *f)
{
	int r;

	if (renameat(f->folder, f->data, f->folder, f->aside) != 0 &&
		errno != ENOENT)
		return err_new(-errno);
	r = unlink_if_there(f->folder, f->lock);
	if (r != 0)
		return err_pass(r);
	if (fsync(f->folder) != 0)
		return err_new(-errno);
	return err_pass(unlink_if_there(f->folder, f->mark));
}

static bool
is_magic(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v == MAGIC || __builtin_bswap32(v) == MAGIC;
}

/* A machine of the other byte order has the magic the other way round, one of
 * the other width at another place. */
static bool
looks_foreign(const struct meta_page *m)
{
	const uint8_t *raw = (const uint8_t *)m;
	size_t ours = offsetof(struct meta_page, magic);
	size_t theirs = sizeof(size_t) == 8 ? 12 : 16;

	return m->magic != MAGIC &&
		(is_magic(raw + ours) || is_magic(raw + theirs));
}

static bool
is_page_size(uint32_t n)
{
	return n >= PAGE_LEAST && n <= PAGE_MOST && (n & (n - 1)) == 0;
}

static bool
meta_valid(const struct meta_page *m, uint32_t page_size)
{
	return (m->flags & PAGE_META) && m->magic == MAGIC &&
		m->version == VERSION && m->dbs[0].pad == page_size;
}

static bool
db_valid(const struct db *db, size_t last_page)
{
	if (db->depth > DEPTH_MOST)
		return false;
	return db->root == NO_ROOT || (db->root > 1 && db->root <= last_page);
}

/* The later of the two, or NULL.  The other one's roots are not looked at: a
 * write of it that failed may have left new ones under an old number. */
static const struct meta_page *
metas_choose(const struct meta_page m[2], uint32_t page_size)
{
	const struct meta_page *later = &m[m[1].txn > m[0].txn];
	const struct meta_page *other = &m[later == m];

	if (!meta_valid(later, page_size) || !meta_valid(other, page_size))
		return NULL;
	if (later->txn != 0 &&
		(later->txn != other->txn + 1 || m[1].txn % 2 != 1))
		return NULL;
	if (later->last_page == 0 ||
		!db_valid(&later->dbs[0], later->last_page) ||
		!db_valid(&later->dbs[1], later->last_page))
		return NULL;
	return later;
}

/* 1: the file ends before; else 0 or -errno. */
static int
read_meta(int fd, uint64_t offset, struct meta_page *ret)
{
	ssize_t n = pread(fd, ret, sizeof(*ret), (off_t)offset);

	if (n < 0)
		return err_new(-errno);
	return n != sizeof(*ret);
}

static int
read_metas(int fd, uint32_t page_size, struct meta_page ret[2])
{
	int r = read_meta(fd, 0, &ret[0]);

	if (r != 0)
		return r < 0 ? r : INDEX_FILE_DAMAGED;
	if (looks_foreign(&ret[0]))
		return INDEX_FILE_FOREIGN;
	if (ret[0].magic == MAGIC && ret[0].dbs[0].pad != page_size &&
		is_page_size(ret[0].dbs[0].pad))
		return INDEX_FILE_FOREIGN;
	r = read_meta(fd, page_size, &ret[1]);
	return r < 0 ? r : r != 0 ? INDEX_FILE_DAMAGED : 0;
}

static int
check_size(int fd, uint64_t size, uint32_t page_size, uint64_t map_size,
	const struct meta_page *m, struct index_file_lack *ret)
{
	uint64_t pages = (uint64_t)m->last_page + 1;
	uint64_t there = size / page_size;

	if (there < 2 || (pages > there && pages > map_size / page_size))
		return INDEX_FILE_DAMAGED;
	if (pages <= there)
		return INDEX_FILE_GOOD;
	*ret = (struct index_file_lack){.from = there, .to = pages};
	if (ftruncate(fd, (off_t)(pages * page_size)) != 0)
		return err_new(-errno);
	return INDEX_FILE_GOOD;
}

int
index_files_check(const struct index_files *f, uint64_t map_size,
	struct index_file_lack *ret)
{
	AUTO_FD int fd =
		openat(f->folder, f->data, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	uint32_t page_size = (uint32_t)sysconf(_SC_PAGESIZE);
	const struct meta_page *m;
	struct meta_page metas[2];
	struct stat st;
	int r;

	*ret = (struct index_file_lack){0};
	if (fd < 0)
		return errno == ENOENT ? INDEX_FILE_NONE : err_new(-errno);
	if (fstat(fd, &st) != 0)
		return err_new(-errno);
	if (!S_ISREG(st.st_mode))
		return INDEX_FILE_DAMAGED;
	if (st.st_size == 0)
		return INDEX_FILE_NONE;
	r = read_metas(fd, page_size, metas);
	if (r != 0)
		return r;
	m = metas_choose(metas, page_size);
	if (m == NULL)
		return INDEX_FILE_DAMAGED;
	return check_size(
		fd, (uint64_t)st.st_size, page_size, map_size, m, ret);
}
