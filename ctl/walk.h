/* SPDX-License-Identifier: BSD-2-Clause */
/* The regular files that paths on the command line stand for. */
#ifndef CTL_WALK_H
#define CTL_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct walk_file {
	char *path; /* absolute, without symbolic links */
	uint64_t size;
};

struct walk {
	struct walk_file *files;
	size_t n;
	size_t cap;
	uint64_t bytes;
	uint64_t skipped; /* found in folders, but empty or not regular */
	/* A path that cannot be used. */
	void (*problem)(struct walk *, const char *path, const char *why);
};

/* One path as it was given: symbolic links in it are followed, those inside of
 * folders are not.  -ENOMEM. */
int walk_add(struct walk *, const char *path, bool recurse);
/* In order, each once.  Afterwards nothing is added. */
void walk_sort(struct walk *);
void walk_done(struct walk *);

#endif
