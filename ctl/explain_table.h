/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of the segments of a content, with what the service knows of them;
 * it is asked about their ids only. */
#ifndef CTL_EXPLAIN_TABLE_H
#define CTL_EXPLAIN_TABLE_H

#include <jansson.h>

#include "codec/pccrc.h"
#include "ctl/cmd.h"

/* Prints the table and the sums below it, or, document not NULL, adds mode,
 * version, bytes and segments to that.  Anything but CTL_OK has been told to
 * the user. */
enum ctl_exit explain_table(
	const struct pccrc_info *, struct bulk *, json_t *document);

/* In lines of 78 columns, each behind two blanks. */
void explain_wrapped(const char *text);

#endif
