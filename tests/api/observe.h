/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes down which code each function was seen to end with: lines
 * "function code letter" appended to the file that $PEERDIST_OBSERVED names,
 * with the letter R for a return value, C for a completion, B for the last
 * error of a function that returns BOOL.  tests/api/matrix makes the table of
 * them.  Each pair is written once by a process.
 */
#ifndef TESTS_API_OBSERVE_H
#define TESTS_API_OBSERVE_H

#include <peerdist.h>

/* Both return code. */
DWORD observe_return(const char *function, DWORD code);
DWORD observe_completion(const char *function, DWORD code);
void observe(const char *function, DWORD code, char letter);

/* Calls fn, writes its result down and gives it back. */
#define OBSERVED(fn, ...) observe_return(#fn, fn(__VA_ARGS__))

#endif
