/* SPDX-License-Identifier: BSD-2-Clause */
/* One download, from beginning to end. */
#ifndef GET_GET_H
#define GET_GET_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "get/report.h"

struct get_options {
	const char *url;
	const char *file; /* NULL: as the URL has it; "-": standard output */
	bool no_peers;
	bool json;
	bool quiet;
	bool resume;
	uint64_t wait_us; /* for content information of a complete file */
};

/* stop: becomes other than 0, and stop_fd readable, when the download is to
 * end. */
enum report_exit get_run(const struct get_options *,
	const volatile sig_atomic_t *stop, int stop_fd);

#endif
