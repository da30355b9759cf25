/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Results
 *
 * A function that can fail returns int:
 *   0      done
 *   < 0    -errno: unexpected, passed upward unchanged
 *   > 0    a value of the module's own enum, documented at the function, dealt
 *          with by the direct caller and never passed on
 *
 * Where a negative value is born write err_new(-ENOMEM); where it passes,
 * err_pass(r); where a positive one that nobody foresaw must become fatal,
 * err_fold(r).  In debug builds (-DERR_TRACE) these print file and line, so a
 * failure shows the way it took; otherwise they cost nothing.
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include <errno.h>

/* Prints what happened to a negative r, and returns r. */
int err_trace(int r, const char *what, const char *file, int line);

#ifdef ERR_TRACE
#define err_new(r)  err_trace((r), "born", __FILE__, __LINE__)
#define err_pass(r) err_trace((r), "passed", __FILE__, __LINE__)
#define err_fold(r) \
	err_trace((r) > 0 ? -ENOTRECOVERABLE : (r), "folded", __FILE__, \
		__LINE__)
#else
#define err_new(r)  (r)
#define err_pass(r) (r)
#define err_fold(r) ((r) > 0 ? -ENOTRECOVERABLE : (r))
#endif

#endif
