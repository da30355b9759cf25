/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files of an index, and what of them has to be looked at before LMDB maps
 * them: what it takes on trust, and what would end the process rather than a
 * call.
 */
#ifndef STORE_INDEX_FILE_H
#define STORE_INDEX_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/store/index_about.h"

#define INDEX_FILE_MAX (INDEX_NAME_MAX + 16)

struct index_files {
	int folder; /* the caller's */
	char data[INDEX_FILE_MAX];
	char lock[INDEX_FILE_MAX];  /* LMDB's */
	char aside[INDEX_FILE_MAX]; /* a damaged one, for whoever is curious */
	char mark[INDEX_FILE_MAX];  /* there: damaged */
};

void index_files_init(struct index_files *, int folder, const char *name);
bool index_files_marked(const struct index_files *);
/* Makes the lock file with its blocks: on a full disk LMDB's map of it would
 * raise SIGBUS. */
int index_files_reserve_lock(const struct index_files *);
/* Whatever is there is no longer under its name. */
int index_files_put_aside(const struct index_files *);

enum index_file_found {
	INDEX_FILE_GOOD,
	INDEX_FILE_NONE, /* none, or an empty one */
	INDEX_FILE_DAMAGED,
	INDEX_FILE_FOREIGN, /* another machine's */
};

/* Pages that the file claims to have and is too short for: [from, to).  Only
 * pages that are free may lack. */
struct index_file_lack {
	uint64_t from;
	uint64_t to;
};

/* > 0: enum index_file_found; -errno.  A file that is too short is made longer
 * with a hole, so that reading it raises no signal.  map_size: what a file may
 * claim beyond what it has. */
int index_files_check(const struct index_files *, uint64_t map_size,
	struct index_file_lack *ret);

#endif
