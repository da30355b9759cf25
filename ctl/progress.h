/* SPDX-License-Identifier: BSD-2-Clause */
/* A bar on standard error, if that is a terminal; nothing with -q or --json. */
#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *title;
	bool shown;
	uint64_t started_us;
	uint64_t drawn_us;
};

void progress_begin(struct progress *, const char *title);
/* In bytes.  total 0: not known. */
void progress_show(struct progress *, uint64_t done, uint64_t total);
/* Takes the bar away, before other text and at the end. */
void progress_clear(struct progress *);

#endif
