/* SPDX-License-Identifier: BSD-2-Clause */
/* Publishes files, a few at a time, over one session. */
#ifndef CTL_PUBLISH_H
#define CTL_PUBLISH_H

#include "ctl/cmd.h"
#include "ctl/walk.h"

struct publish {
	const struct walk *walk;
	uint32_t versions; /* as in SUBMIT_PUBLISH_STANDING */
	/* How each file ended, in any order. */
	void (*published)(struct publish *, const struct walk_file *,
		uint64_t id, bool watched);
	void (*failed)(
		struct publish *, const struct walk_file *, const char *why);
};

/* Anything but CTL_OK: it ended before its time, and the user knows. */
enum ctl_exit publish_run(struct publish *);

#endif
