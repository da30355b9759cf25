/* SPDX-License-Identifier: BSD-2-Clause */
/* The caches in a few lines, for `status` and `cache show`. */
#ifndef CTL_CACHES_H
#define CTL_CACHES_H

#include <jansson.h>

/* A bar for each cache of the document, and what is wrong with it. */
void caches_print_bars(const json_t *document);
/* All that is known of them. */
void caches_print(const json_t *document);

#endif
