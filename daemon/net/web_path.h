/* SPDX-License-Identifier: BSD-2-Clause */
/* The path of a URL as a path beneath a folder.  Pure. */
#ifndef NET_WEB_PATH_H
#define NET_WEB_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

/*
 * Percent-codes are resolved, then ".", ".." and slashes that follow one
 * another.  The result has no slash at its beginning, keeps one at its end, and
 * is empty for the root itself; it has no component "..".  dst has room for len
 * + 1 bytes, and gets a NUL.
 *
 * false: the path does not begin with a slash, leaves the root, has a NUL in
 * it or a percent sign that is none.
 */
bool web_path_resolve(char *dst, const char *path, size_t len, size_t *ret_len);

/* The way back: what resolves to this again, from its slash on, safe in a
 * header field. */
void web_path_put(struct buf *, const char *path, size_t len);

#endif
