/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CTL_EXPLAIN_URL_H
#define CTL_EXPLAIN_URL_H

#include "ctl/cmd.h"

/* Asks the origin, tells what is found there and, when content information
 * came, what the service knows of its segments. */
enum ctl_exit explain_url(const char *url);

#endif
