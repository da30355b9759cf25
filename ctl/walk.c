/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/walk.h"

#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/macros.h"
#include "proto/ipc_msg.h"

static int
add_file(struct walk *w, const char *path, const struct stat *st)
{
	char *copy;

	if (strlen(path) > IPC_PATH_MAX) {
		w->problem(w, path, strerror(ENAMETOOLONG));
		return 0;
	}
	if (w->n == w->cap) {
		size_t cap = MAX_OF(2 * w->cap, 64u);
		void *files = reallocarray(w->files, cap, sizeof(w->files[0]));

		if (files == NULL)
			return -ENOMEM;
		w->files = files;
		w->cap = cap;
	}
	copy = strdup(path);
	if (copy == NULL)
		return -ENOMEM;
	w->files[w->n++] = (struct walk_file){copy, (uint64_t)st->st_size};
	return 0;
}

static int
add_entry(struct walk *w, const FTSENT *e)
{
	switch (e->fts_info) {
	case FTS_D:
	case FTS_DP:
		return 0;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		w->problem(w, e->fts_path, strerror(e->fts_errno));
		return 0;
	case FTS_F:
		if (e->fts_statp->st_size > 0)
			return add_file(w, e->fts_path, e->fts_statp);
		break;
	default:
		break;
	}
	w->skipped++;
	return 0;
}

static int
add_folder(struct walk *w, char *path)
{
	char *const roots[] = {path, NULL};
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *e;
	int r = 0;

	if (fts == NULL)
		return -ENOMEM;
	while (r == 0 && (e = fts_read(fts)) != NULL)
		r = add_entry(w, e);
	fts_close(fts);
	return r;
}

int
walk_add(struct walk *w, const char *path, bool recurse)
{
	AUTO_FREE char *real = realpath(path, NULL);
	struct stat st;

	if (real == NULL || stat(real, &st) != 0) {
		if (errno == ENOMEM)
			return -ENOMEM;
		w->problem(w, path, strerror(errno));
		return 0;
	}
	if (S_ISDIR(st.st_mode) && recurse)
		return add_folder(w, real);
	if (S_ISREG(st.st_mode) && st.st_size > 0)
		return add_file(w, real, &st);
	w->problem(w, path,
		S_ISDIR(st.st_mode) ? "a folder; -r publishes what is in it"
			: S_ISREG(st.st_mode)
			? "empty, there is nothing to publish"
			: "not a regular file");
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const struct walk_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

void
walk_sort(struct walk *w)
{
	size_t n = 0;

	if (w->n > 0)
		qsort(w->files, w->n, sizeof(w->files[0]), compare);
	w->bytes = 0;
	for (size_t i = 0; i < w->n; i++) {
		if (n > 0 && compare(&w->files[n - 1], &w->files[i]) == 0) {
			free(w->files[i].path);
			continue;
		}
		w->files[n] = w->files[i];
		w->bytes += w->files[n++].size;
	}
	w->n = n;
}

void
walk_done(struct walk *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->files[i].path);
	free(w->files);
	w->files = NULL;
	w->n = w->cap = 0;
}
