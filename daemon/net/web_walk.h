/* SPDX-License-Identifier: BSD-2-Clause */
/* openat2() with RESOLVE_BENEATH, for where there is none. */
#ifndef NET_WEB_WALK_H
#define NET_WEB_WALK_H

#include <stdbool.h>

/* What openat2() with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS would do, for
 * flags without O_CREAT, O_PATH and O_NOFOLLOW.  near: a folder of another
 * file system than the root's is -EXDEV.  A descriptor, or -errno. */
int web_walk(int root, const char *path, int flags, bool near);

#endif
