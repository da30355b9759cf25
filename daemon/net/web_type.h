/* SPDX-License-Identifier: BSD-2-Clause */
/* Content types by the name of a file.  Pure. */
#ifndef NET_WEB_TYPE_H
#define NET_WEB_TYPE_H

#include <stddef.h>

#define WEB_TYPE_DEFAULT "application/octet-stream"

/* By what stands behind the last dot of the last component, in any case; a dot
 * at its beginning is none. */
const char *web_type(const char *path, size_t len);

#endif
