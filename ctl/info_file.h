/* SPDX-License-Identifier: BSD-2-Clause */
/* Content information in a file. */
#ifndef CTL_INFO_FILE_H
#define CTL_INFO_FILE_H

#include "codec/pccrc.h"
#include "ctl/cmd.h"

/* hint: what is said to somebody whose file is something else, or NULL.
 * Anything but CTL_OK has been told to the user. */
enum ctl_exit info_file_read(const char *file, const char *hint, struct bulk *,
	struct pccrc_info **ret_info);

#endif
