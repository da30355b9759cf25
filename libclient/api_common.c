/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handles of the API and their objects.
 *
 * A child (content, stream, cursor) remembers on which connection it was
 * opened.  When that one is gone the child is of no use but to be closed:
 * while the daemon is away its calls say 4065, afterwards 4057.
 *
 * Closing takes the handle out of the table first, so that of two closers one
 * gets 6, then tells the daemon.  The daemon completes what was pending before
 * it answers, and frames are handled in order: so those completions are
 * delivered when the call returns.
 */
#include <stdlib.h>
#include <string.h>

#include "libclient/api.h"

DWORD
pdc_api_instance(PEERDIST_INSTANCE_HANDLE h, struct pdc_instance **ret_instance)
{
	struct pdc_instance *i;

	i = (struct pdc_instance *)pdc_handle_get(h, PDC_INSTANCE);
	if (i == NULL)
		return ERROR_INVALID_HANDLE;
	if (atomic_load(&i->shutting)) {
		pdc_instance_unref(i);
		return PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS;
	}
	*ret_instance = i;
	return ERROR_SUCCESS;
}

DWORD
pdc_api_port(HANDLE h, struct pdc_port **ret_port)
{
	*ret_port = NULL;
	if (h == NULL)
		return ERROR_SUCCESS;
	*ret_port = pdc_port_get(h);
	return *ret_port != NULL ? ERROR_SUCCESS : ERROR_INVALID_HANDLE;
}

void
pdc_target_done(struct pdc_target *t)
{
	if (t->child != NULL)
		pdc_object_unref(&t->child->object);
	pdc_instance_unref(t->instance);
}

DWORD
pdc_target_get(struct pdc_target *ret, PEERDIST_INSTANCE_HANDLE instance,
	HANDLE h, enum pdc_kind kind)
{
	DWORD code;

	ret->child = NULL;
	ret->instance = NULL;
	code = pdc_api_instance(instance, &ret->instance);
	if (code != ERROR_SUCCESS)
		return code;
	ret->child = (struct pdc_child *)pdc_handle_get(h, kind);
	if (ret->child != NULL && ret->child->instance == ret->instance)
		return ERROR_SUCCESS;
	pdc_target_done(ret);
	return ERROR_INVALID_HANDLE;
}

DWORD
pdc_target_link(const struct pdc_target *t, struct pdc_link **ret_link)
{
	struct pdc_link *l = pdc_instance_link(t->instance);
	struct pdc_service_status s;

	if (l == NULL)
		return PEERDIST_ERROR_SERVICE_UNAVAILABLE;
	if (l->generation == t->child->generation) {
		*ret_link = l;
		return ERROR_SUCCESS;
	}
	pdc_link_unref(l);
	pdc_status_get(t->instance, &s);
	switch (s.status) {
	case PEERDIST_STATUS_DISABLED:
		return ERROR_ACCESS_DISABLED_BY_POLICY;
	case PEERDIST_STATUS_UNAVAILABLE:
		return PEERDIST_ERROR_SERVICE_UNAVAILABLE;
	default:
		return PEERDIST_ERROR_INVALIDATED;
	}
}

static void
child_free(struct pdc_object *o)
{
	struct pdc_child *c = (struct pdc_child *)o;

	pdc_port_unref(c->port);
	pdc_instance_unref(c->instance);
	free(c);
}

static struct pdc_child *
child_new(struct pdc_instance *i, const struct pdc_open *open,
	struct pdc_port *port)
{
	struct pdc_child *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	pdc_object_init(&c->object, open->kind, child_free);
	pdc_object_ref(&i->object);
	c->instance = i;
	if (port != NULL)
		pdc_object_ref(&port->object);
	c->port = port;
	c->key = open->key;
	return c;
}

static enum ipc_type
child_close_type(enum pdc_kind kind)
{
	switch (kind) {
	case PDC_STREAM:
		return IPC_STREAM_CLOSE;
	case PDC_CONTENTINFO:
		return IPC_INFO_CLOSE;
	default:
		return IPC_CONTENT_CLOSE;
	}
}

/* Gives the child its handle.  A shutdown that has begun finds it on the list,
 * or is found here. */
static DWORD
child_publish(struct pdc_child *c, HANDLE *ret_handle)
{
	struct pdc_instance *i = c->instance;
	DWORD code = ERROR_SUCCESS;

	pthread_mutex_lock(&i->lock);
	if (atomic_load(&i->shutting)) {
		code = PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS;
	} else {
		c->self = pdc_handle_new(&c->object);
		if (c->self == NULL)
			code = ERROR_NOT_ENOUGH_MEMORY;
	}
	if (code == ERROR_SUCCESS) {
		c->listed = true;
		LIST_INSERT_HEAD(&i->children, c, link);
		*ret_handle = c->self;
	}
	pthread_mutex_unlock(&i->lock);
	return code;
}

static DWORD
child_open_on(struct pdc_instance *i, const struct pdc_open *open,
	struct pdc_child *c, HANDLE *ret_handle)
{
	struct pdc_link *l = pdc_instance_link(i);
	struct pdc_answer answer;
	DWORD code;

	if (l == NULL)
		return PEERDIST_ERROR_SERVICE_UNAVAILABLE;
	if (!pdc_link_promise(l)) {
		pdc_link_unref(l);
		return ERROR_NOT_ENOUGH_MEMORY;
	}
	code = pdc_link_call(l, open->type, open->body, &answer);
	if (code == ERROR_SUCCESS) {
		c->remote = answer.handle;
		c->generation = l->generation;
		code = child_publish(c, ret_handle);
		if (code != ERROR_SUCCESS)
			pdc_link_close(
				l, child_close_type(open->kind), answer.handle);
	} else {
		pdc_link_unpromise(l);
	}
	pdc_link_unref(l);
	return code;
}

DWORD
pdc_child_open(PEERDIST_INSTANCE_HANDLE h, const struct pdc_open *open,
	HANDLE *ret_handle)
{
	struct pdc_child *c = NULL;
	struct pdc_instance *i;
	struct pdc_port *port;
	DWORD code;

	code = pdc_api_instance(h, &i);
	if (code != ERROR_SUCCESS)
		return code;
	code = pdc_api_port(open->port, &port);
	if (code == ERROR_SUCCESS) {
		c = child_new(i, open, port);
		code = c == NULL ? ERROR_NOT_ENOUGH_MEMORY
				 : child_open_on(i, open, c, ret_handle);
	}
	if (c != NULL)
		pdc_object_unref(&c->object);
	pdc_port_unref(port);
	pdc_instance_unref(i);
	return code;
}

static void
child_unlist(struct pdc_child *c)
{
	pthread_mutex_lock(&c->instance->lock);
	if (c->listed)
		LIST_REMOVE(c, link);
	c->listed = false;
	pthread_mutex_unlock(&c->instance->lock);
}

DWORD
pdc_child_close(PEERDIST_INSTANCE_HANDLE h, HANDLE handle, enum pdc_kind kind,
	enum ipc_type type)
{
	struct pdc_link *l = NULL;
	struct pdc_target t;
	DWORD code;

	code = pdc_target_get(&t, h, handle, kind);
	if (code != ERROR_SUCCESS)
		return code;
	if (pdc_handle_close(handle, kind) == NULL) {
		pdc_target_done(&t);
		return ERROR_INVALID_HANDLE;
	}
	child_unlist(t.child);
	/* The table's reference; t still has its own. */
	pdc_object_unref(&t.child->object);

	pthread_mutex_lock(&t.instance->lock);
	if (t.instance->link != NULL &&
		t.instance->link->generation == t.child->generation) {
		l = t.instance->link;
		atomic_fetch_add(&l->refs, 1);
	}
	pthread_mutex_unlock(&t.instance->lock);
	if (l != NULL)
		code = pdc_link_close(l, type, t.child->remote);
	pdc_link_unref(l);
	pdc_target_done(&t);
	/* Without a daemon there is nothing to be closed.  A shutdown that came
	 * before us delivers what is pending, perhaps later. */
	return code == PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS ? code
							   : ERROR_SUCCESS;
}

void
pdc_children_forget(struct pdc_instance *i)
{
	struct pdc_object *o;
	struct pdc_child *c;

	pthread_mutex_lock(&i->lock);
	while ((c = LIST_FIRST(&i->children)) != NULL) {
		LIST_REMOVE(c, link);
		c->listed = false;
		o = pdc_handle_close(c->self, c->object.kind);
		pthread_mutex_unlock(&i->lock);
		/* NULL: somebody is just closing it himself. */
		pdc_object_unref(o);
		pthread_mutex_lock(&i->lock);
	}
	pthread_mutex_unlock(&i->lock);
}

bool
pdc_identifier_ok(DWORD len, const BYTE *data)
{
	return data != NULL && len >= 1 && len <= IPC_IDENTIFIER_MAX;
}

bool
pdc_options_ok(const PEERDIST_PUBLICATION_OPTIONS *o)
{
	if (o == NULL)
		return true;
	return o->dwFlags == 0 &&
		o->dwVersion >= PEERDIST_PUBLICATION_OPTIONS_VERSION_1 &&
		o->dwVersion <= PEERDIST_PUBLICATION_OPTIONS_VERSION_2;
}

bool
pdc_overlapped_clear(const OVERLAPPED *ov)
{
	return ov->Offset == 0 && ov->OffsetHigh == 0;
}

DWORD
pdc_cancel_result(DWORD code)
{
	if (code == ERROR_SUCCESS)
		pdw_SetLastError(ERROR_OPERATION_ABORTED);
	return code;
}
