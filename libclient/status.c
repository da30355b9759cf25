/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service status, as this instance knows it, and the one registration for
 * its changes.
 *
 * `current` is what the daemon said last, or UNAVAILABLE without a connection.
 * `notified` starts as DISABLED and is moved by notifications only, so that a
 * status that changed and changed back between two registrations tells
 * nothing.  The registration never leaves the library: it must work while the
 * daemon is away.
 */
#include "libclient/conn.h"

static const struct pdc_outcome outcome_ok = {.code = ERROR_SUCCESS};
static const struct pdc_outcome outcome_aborted = {
	.code = ERROR_OPERATION_ABORTED};

static void
status_fill(struct pdc_pending *p, const struct pdc_service_status *s)
{
	p->u.status.value[0] = s->status;
	p->u.status.value[1] = s->min_version;
	p->u.status.value[2] = s->max_version;
}

/* With the lock; gives the registration that this completes. */
static struct pdc_pending *
status_change(struct pdc_instance *i, const struct pdc_service_status *s)
{
	struct pdc_pending *p = NULL;

	i->current = *s;
	if (i->armed != NULL && s->status != i->notified) {
		p = i->armed;
		i->armed = NULL;
		i->notified = s->status;
		status_fill(p, s);
	}
	return p;
}

void
pdc_status_set(struct pdc_instance *i, const struct pdc_service_status *s)
{
	struct pdc_pending *p;

	pthread_mutex_lock(&i->status_lock);
	p = status_change(i, s);
	pthread_mutex_unlock(&i->status_lock);
	if (p != NULL)
		pdc_pending_deliver(p, &outcome_ok);
}

void
pdc_status_lost(struct pdc_instance *i)
{
	struct pdc_service_status s;
	struct pdc_pending *p;

	pthread_mutex_lock(&i->status_lock);
	s = i->current;
	s.status = PEERDIST_STATUS_UNAVAILABLE;
	p = status_change(i, &s);
	pthread_mutex_unlock(&i->status_lock);
	if (p != NULL)
		pdc_pending_deliver(p, &outcome_ok);
}

void
pdc_status_get(struct pdc_instance *i, struct pdc_service_status *ret)
{
	pthread_mutex_lock(&i->status_lock);
	*ret = i->current;
	pthread_mutex_unlock(&i->status_lock);
}

DWORD
pdc_status_register(struct pdc_instance *i, struct pdc_pending *p)
{
	DWORD code = ERROR_IO_PENDING;
	bool at_once = false;

	pthread_mutex_lock(&i->status_lock);
	/* Asked here, so that Shutdown finds whatever is armed. */
	if (atomic_load(&i->shutting)) {
		code = PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS;
	} else if (i->armed != NULL) {
		code = PEERDIST_ERROR_ALREADY_EXISTS;
	} else if (i->current.status != i->notified) {
		at_once = true;
		i->notified = i->current.status;
		status_fill(p, &i->current);
	} else {
		i->armed = p;
	}
	pthread_mutex_unlock(&i->status_lock);
	if (code != ERROR_IO_PENDING)
		pdc_pending_refuse(p, code);
	else if (at_once)
		pdc_pending_deliver(p, &outcome_ok);
	return code;
}

bool
pdc_status_unregister(struct pdc_instance *i)
{
	struct pdc_pending *p;

	pthread_mutex_lock(&i->status_lock);
	p = i->armed;
	i->armed = NULL;
	pthread_mutex_unlock(&i->status_lock);
	if (p != NULL)
		pdc_pending_deliver(p, &outcome_aborted);
	return p != NULL;
}
