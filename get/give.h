/* SPDX-License-Identifier: BSD-2-Clause */
/* A file that is complete is given to the cache, which says whether it is what
 * was described.  When that cannot say so, it is compared with its hashes here,
 * to its end. */
#ifndef GET_GIVE_H
#define GET_GIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "get/branch.h"
#include "get/described.h"
#include "get/part.h"
#include "get/report.h"

struct give;

enum give_result {
	GIVE_RUNNING,
	GIVE_DONE,
	GIVE_WRONG,  /* the file is not what is described */
	GIVE_FAILED, /* it is, but the cache cannot take it; give_why() */
	GIVE_UNREAD, /* the file cannot be read */
};

/* opened: how opening the content ended, ERROR_SUCCESS or why there is no
 * cache.  -ENOMEM. */
int give_new(struct give **ret_give, struct branch *, DWORD opened,
	struct part *, struct described *, struct report *);
/* Ends it, and closes the content.  NULL is allowed; returns NULL. */
struct give *give_free(struct give *);
/* Starts what can be started.  To be called after each event. */
enum give_result give_step(struct give *);
/* There is more to be done without any event. */
bool give_is_busy(const struct give *);
const char *give_why(const struct give *);

#endif
