/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists that the daemon gives in pages: printed as they come, in one table or
 * one document, however long they are. */
#ifndef CTL_PAGES_H
#define CTL_PAGES_H

#include "ctl/ask.h"

#define PAGE_ROWS 1000u

struct pages {
	struct ask_request request;
	const char *member;     /* of the document: an array of rows */
	const char *heading;    /* of the table */
	const char *when_empty; /* in place of the table */
	void (*print_row)(const json_t *row);
	/* Makes the request ask for what comes behind the page. */
	bool (*next)(struct pages *, const json_t *document);
};

enum ctl_exit pages_print(struct pages *);

#endif
