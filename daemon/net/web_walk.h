/* SPDX-License-Identifier: BSD-2-Clause */
/* openat2() with RESOLVE_BENEATH, for where there is none. */
#ifndef NET_WEB_WALK_H
#define NET_WEB_WALK_H

#include "daemon/net/web_open.h"

/* What openat2() with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS would do, for
 * flags without O_CREAT, O_PATH and O_NOFOLLOW.  Less than WEB_ANYWHERE: with
 * RESOLVE_NO_XDEV, too.  At once: a long way is -EAGAIN, but the disk of the
 * root is waited for.  A descriptor, or -errno; with -EXDEV ret_beyond may be
 * set to the device of what is mounted on the way. */
int web_walk(int root, const char *path, int flags, enum web_effort effort,
	dev_t *ret_beyond);

#endif
