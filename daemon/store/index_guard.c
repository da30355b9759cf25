/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals that a damaged index raises.
 *
 *   SIGBUS   a page of the map cannot be read: the disk failed, or the file
 *            became shorter.  The address tells, whoever touched it: values
 *            are read in place, long after LMDB was left.
 *   SIGSEGV  LMDB followed a pointer that a damaged page gave it, or a value on
 *            a changed page, outside of the map, is longer than that page.
 *   SIGABRT  an assertion in LMDB, or the allocator found what LMDB did.
 *
 * The latter two are blamed on the index only while the thread is in LMDB, or
 * probes such a value before anybody else reads it.  A SIGBUS outside the map
 * is not: LMDB's lock file is mapped as well, and can raise it when the disk is
 * full.
 *
 * A blamed guard leaves the mark and a line, and ends the process: neither the
 * thread nor LMDB's locks can be brought back.  Without room for the mark the
 * index itself is unlinked, which has the same meaning for the next start.
 *
 * Everything else goes where it would have gone: the handler that was there
 * before is put back.  A fault comes again by itself, with its own address;
 * what somebody sent is raised again.
 */
#include "daemon/store/index_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/store/index_file.h"

#define GUARDS 8

#define PROBE_STEP 16 /* a sanitizer leaves no less between two blocks */

struct index_guard {
	atomic_bool used;
	atomic_uintptr_t base; /* 0: not known */
	atomic_size_t len;
	struct index_files files;
	char line[INDEX_FILE_MAX + 80];
};

static struct index_guard guards[GUARDS];
static const int caught[] = {SIGBUS, SIGSEGV, SIGABRT};
static struct sigaction before[ARRAY_LEN(caught)];

__thread struct index_guard *index_guard_inside;

int
index_guard_new(struct index_guard **ret, int folder, const char *name)
{
	struct index_guard *g;
	size_t i;

	for (i = 0; i < GUARDS; i++)
		if (!atomic_exchange(&guards[i].used, true))
			break;
	if (i == GUARDS)
		return err_new(-EMFILE);
	g = &guards[i];
	folder = fcntl(folder, F_DUPFD_CLOEXEC, 3);
	if (folder < 0) {
		int r = -errno;

		atomic_store(&g->used, false);
		return err_new(r);
	}
	index_files_init(&g->files, folder, name);
	snprintf(g->line, sizeof(g->line),
		"peerdistd: %s.mdb is damaged; the next start begins it anew\n",
		name);
	*ret = g;
	return 0;
}

struct index_guard *
index_guard_free(struct index_guard *g)
{
	if (g == NULL)
		return NULL;
	index_guard_set_map(g, NULL, 0);
	close(g->files.folder);
	atomic_store(&g->used, false);
	return NULL;
}

void
index_guard_set_map(struct index_guard *g, const void *base, size_t len)
{
	atomic_store(&g->base, 0);
	atomic_store(&g->len, len);
	atomic_store(&g->base, (uintptr_t)base);
}

void
index_guard_mark(const struct index_guard *g)
{
	const struct index_files *f = &g->files;
	int fd = openat(f->folder, f->mark,
		O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0)
		close(fd);
	else
		unlinkat(f->folder, f->data, 0);
}

void
index_guard_probe(struct index_guard *g, const void *data, size_t len)
{
	const volatile uint8_t *bytes = data;

	index_guard_enter(g);
	for (size_t i = 0; i < len; i += PROBE_STEP)
		(void)bytes[i];
	if (len > 0)
		(void)bytes[len - 1];
	index_guard_leave();
}

static struct index_guard *
guard_of(uintptr_t address)
{
	for (size_t i = 0; i < GUARDS; i++) {
		uintptr_t base = atomic_load(&guards[i].base);

		if (base != 0 && address >= base &&
			address - base < atomic_load(&guards[i].len))
			return &guards[i];
	}
	return NULL;
}

/* Positive codes are the kernel's own, for a fault. */
static struct index_guard *
guard_blamed(int sig, const siginfo_t *si)
{
	struct index_guard *inside = index_guard_inside;
	struct index_guard *g;

	if (sig == SIGABRT)
		return si->si_pid == getpid() ? inside : NULL;
	if (si->si_code <= 0)
		return NULL;
	if (sig == SIGSEGV)
		return inside;
	g = guard_of((uintptr_t)si->si_addr);
	if (g == NULL && inside != NULL && atomic_load(&inside->base) == 0)
		return inside;
	return g;
}

/* A sanitizer sees what leads out of a page before any signal comes. */
#ifdef __SANITIZE_ADDRESS__
void __sanitizer_set_death_callback(void (*)(void));

static void
guard_died(void)
{
	if (index_guard_inside != NULL)
		index_guard_mark(index_guard_inside);
}

static void
watch_sanitizer(void)
{
	__sanitizer_set_death_callback(guard_died);
}
#else
static void
watch_sanitizer(void)
{
}
#endif

static void
guard_caught(int sig, siginfo_t *si, void *context)
{
	struct index_guard *g = guard_blamed(sig, si);
	int saved = errno;

	if (g != NULL) {
		index_guard_mark(g);
		(void)!write(STDERR_FILENO, g->line, strlen(g->line));
		_exit(1);
	}
	for (size_t i = 0; i < ARRAY_LEN(caught); i++)
		if (caught[i] == sig)
			sigaction(sig, &before[i], NULL);
	if (si->si_code <= 0)
		raise(sig);
	errno = saved;
}

void
index_guard_install(void)
{
	static atomic_bool installed;
	struct sigaction sa = {.sa_sigaction = guard_caught,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

	if (atomic_exchange(&installed, true))
		return;
	watch_sanitizer();
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(caught); i++)
		sigaction(caught[i], &sa, &before[i]);
}
