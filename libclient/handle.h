/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HANDLE values of this process.  A value is an index and a generation that is
 * never used twice, so a closed handle is told from a live one; it is never 0
 * or -1 and always a multiple of 4, since bit 0 of OVERLAPPED.hEvent means
 * something of its own.
 *
 * The table holds one reference to each object, a look-up takes another:
 * closing in one thread never pulls an object away under another.
 */
#ifndef LIBCLIENT_HANDLE_H
#define LIBCLIENT_HANDLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "libclient/peerdist_types.h"

enum pdc_kind {
	PDC_FREE,
	PDC_EVENT,
	PDC_PORT,
	PDC_INSTANCE,
	PDC_CONTENT,
	PDC_CONTENTINFO,
	PDC_STREAM,
};

/* First member of everything that has a handle. */
struct pdc_object {
	atomic_uint refs;
	enum pdc_kind kind;
	void (*free)(struct pdc_object *);
};

/* One reference, the caller's. */
void pdc_object_init(
	struct pdc_object *, enum pdc_kind, void (*free)(struct pdc_object *));
void pdc_object_ref(struct pdc_object *);
/* May free; NULL is allowed. */
void pdc_object_unref(struct pdc_object *);

/* Enters the object; the table takes a reference of its own.  NULL when out of
 * memory. */
HANDLE pdc_handle_new(struct pdc_object *);
/* The object with a reference for the caller, or NULL: not a handle, or of
 * another kind. */
struct pdc_object *pdc_handle_get(HANDLE, enum pdc_kind);
/* Removes the handle; the table's reference goes to the caller.  NULL as
 * above, also for the second of two that close at once. */
struct pdc_object *pdc_handle_close(HANDLE, enum pdc_kind);
/* Handles there are, for tests. */
size_t pdc_handle_count(void);

/* After fork, in the child: no handle is valid any more. */
void pdc_handle_forget_all(void);

#endif
