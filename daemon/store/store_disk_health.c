/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disk trouble.
 *
 * Appending to volumes and committing to the index fail apart from each other,
 * so each has its own health; the worse one is the store's, and is told once
 * for each change.  While appending is ill, puts are refused at once, but for
 * one in a second, which tries.  While committing is ill, it is tried once a
 * second, and puts are refused all the time, lest the overlay grow for ever.
 *
 * A kernel reports a failed sync once; the pages may be lost, and the next sync
 * of the same file may well succeed.  So what that sync was for is forgotten,
 * its volume is never appended to again, and only another sync that succeeds
 * proves that the disk is well.
 */
#include <errno.h>

#include "daemon/store/store_disk_priv.h"

bool
is_full_error(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

enum store_status
disk_status(int error)
{
	if (error == 0)
		return STORE_OK;
	if (error == -ENOMEM)
		return STORE_NO_MEMORY;
	return is_full_error(error) ? STORE_DISK_FULL : STORE_IO;
}

static enum store_health
worst(const struct store_disk *m)
{
	return MAX_OF(m->append_health, m->commit_health);
}

static void
tell(struct store_disk *m, int error)
{
	enum store_health now = worst(m);

	if (now == m->told || m->broken)
		return;
	m->told = now;
	if (now == STORE_HEALTHY)
		disk_report(m, STORE_REPORT_RECOVERED, 0);
	else
		disk_report(m,
			now == STORE_FULL ? STORE_REPORT_FULL
					  : STORE_REPORT_FAILING,
			-error);
}

void
disk_health(struct store_disk *m, int error, bool append)
{
	enum store_health health =
		is_full_error(error) ? STORE_FULL : STORE_FAILING;

	/* These say nothing about the disk. */
	if (error == -ENOMEM || error == -ECANCELED || error == -EMFILE ||
		error == -ENFILE)
		return;
	if (append)
		m->append_health = health;
	else
		m->commit_health = health;
	m->probe_ms = disk_now_ms(m) + RETRY_MS;
	tell(m, error);
}

void
disk_healthy(struct store_disk *m, bool append)
{
	if (append && m->suspect)
		return;
	if (append)
		m->append_health = STORE_HEALTHY;
	else
		m->commit_health = STORE_HEALTHY;
	tell(m, 0);
}

void
disk_broken(struct store_disk *m)
{
	if (m->broken)
		return;
	disk_report(m, STORE_REPORT_INDEX_BROKEN, EIO);
	m->broken = true;
	m->commit_health = STORE_FAILING;
	disk_puts_fail(m, STORE_IO);
}

bool
disk_refuses(struct store_disk *m, enum store_status *ret)
{
	enum store_health health = worst(m);

	*ret = health == STORE_FULL ? STORE_DISK_FULL : STORE_IO;
	if (m->broken || m->commit_health != STORE_HEALTHY)
		return true;
	if (m->append_health == STORE_HEALTHY)
		return false;
	if (disk_now_ms(m) < m->probe_ms)
		return true;
	m->probe_ms = disk_now_ms(m) + RETRY_MS;
	return false;
}
