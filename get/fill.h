/* SPDX-License-Identifier: BSD-2-Clause */
/* A file that is described by content information is put together: from the
 * local cache, the branch and the origin. */
#ifndef GET_FILL_H
#define GET_FILL_H

#include <stdbool.h>
#include <stdint.h>

#include "get/branch.h"
#include "get/described.h"
#include "get/origin.h"
#include "get/part.h"
#include "get/report.h"
#include "get/url.h"

struct fill;

enum fill_result {
	FILL_RUNNING,
	FILL_DONE,
	/* The origin has something else than what was described, or what was
	 * described is wrong; fill_body() may have what it has now. */
	FILL_CHANGED,
	FILL_BROKEN, /* the origin cannot be reached; fill_why() */
	FILL_LOCAL,  /* the part cannot be written; fill_local() */
};

/* All of it outlives the fill. */
struct fill_setup {
	struct origin *origin;
	struct branch *branch; /* with this content open */
	struct part *part;
	struct described *described;
	struct report *report;
	const struct url *url;
	const char *etag;
	const char *modified;
	const char *if_range; /* NULL: none */
	bool ask_peers;
};

/* -ENOMEM. */
int fill_new(struct fill **ret_fill, const struct fill_setup *);
/* Ends everything, and closes the content.  NULL is allowed; returns NULL. */
struct fill *fill_free(struct fill *);
/* Starts what can be started.  To be called after each event. */
enum fill_result fill_step(struct fill *);
/* How long nothing need be done without an event. */
int fill_timeout_ms(const struct fill *);
/* After FILL_CHANGED: the answer with the whole resource, waiting, now the
 * caller's; NULL: there is none. */
struct origin_transfer *fill_body(struct fill *);
const char *fill_why(const struct fill *);
/* After FILL_LOCAL: what a function of part.h returned. */
int fill_local(const struct fill *);

#endif
