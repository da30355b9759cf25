/* SPDX-License-Identifier: BSD-2-Clause */
/* A folder for an index, made and removed for each test. */
#ifndef TESTS_UNIT_INDEX_UTIL_H
#define TESTS_UNIT_INDEX_UTIL_H

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/macros.h"
#include "daemon/store/index.h"

enum table {
	PLAIN,
	PAIRS,
	N_TABLES,
};

static char folder_path[64];
static int folder;
static struct index *ix;
static struct index_params params;

static inline int
setup(void **state)
{
	strcpy(folder_path, "/tmp/peerdist-index-XXXXXX");
	if (mkdtemp(folder_path) == NULL)
		return -1;
	folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	params = (struct index_params){.folder = folder,
		.path = folder_path,
		.name = "index",
		.format = 5,
		.map_size = 4 << 20,
		.n_tables = N_TABLES,
		.tables = {{"plain", false}, {"pairs", true}}};
	return folder < 0 ? -1 : 0;
}

static inline int
teardown(void **state)
{
	struct dirent *e;
	DIR *d;

	ix = index_close(ix);
	d = fdopendir(folder);
	if (d == NULL)
		return -1;
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			unlinkat(folder, e->d_name, 0);
	closedir(d);
	return rmdir(folder_path);
}

static inline void
reopen(int want)
{
	ix = index_close(ix);
	assert_int_equal(index_open(&ix, &params, false), want);
}

static inline struct index_blob
text(const char *s)
{
	return (struct index_blob){s, strlen(s)};
}

static inline void
put(enum table table, const char *key, const char *value)
{
	assert_int_equal(index_txn_put(ix, table, text(key), text(value)), 0);
}

static inline void
commit(void)
{
	assert_int_equal(index_commit(ix), 0);
	index_refresh(ix);
}

static inline void
put_one(const char *key, const char *value)
{
	assert_int_equal(index_begin(ix), 0);
	put(PLAIN, key, value);
	commit();
}

static inline bool
there(const char *key)
{
	struct index_blob v;

	return index_get(ix, PLAIN, text(key), &v);
}

static inline bool
is_there(const char *name)
{
	return faccessat(folder, name, F_OK, 0) == 0;
}

static inline void
cut_file(off_t size)
{
	AUTO_FD int fd = openat(folder, "index.mdb", O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
}

static inline void
assert_value(const char *key, const char *value)
{
	struct index_blob v;

	assert_true(index_get(ix, PLAIN, text(key), &v));
	assert_int_equal(v.len, strlen(value));
	assert_memory_equal(v.data, value, v.len);
}

static inline void
change_file(uint64_t offset, const void *data, size_t len)
{
	AUTO_FD int fd = openat(folder, "index.mdb", O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, (off_t)offset), len);
}

static inline off_t
file_size(const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(folder, name, &st, 0), 0);
	return st.st_size;
}

/* A file whose end is in use, and what LMDB says of it. */
static inline off_t
fill_index(void)
{
	char key[16], value[1000];
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	reopen(INDEX_NEW);
	assert_int_equal(index_begin(ix), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "%d", i);
		put(PLAIN, key, value);
	}
	commit();
	ix = index_close(ix);
	return file_size("index.mdb") / (off_t)page * (off_t)page;
}

static inline void
assert_put_aside(void)
{
	ix = index_close(ix);
	assert_int_equal(index_open(&ix, &params, false), INDEX_DAMAGED);
	assert_true(is_there("index.mdb.damaged"));
	assert_false(is_there("index.damaged"));
	assert_false(there("a"));
	put_one("b", "2");
	reopen(INDEX_FOUND);
	assert_value("b", "2");
}

#endif
