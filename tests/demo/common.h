/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two programs of the demonstration share: commands come as lines on
 * standard input, each is answered by lines of text and then "done". */
#ifndef TESTS_DEMO_COMMON_H
#define TESTS_DEMO_COMMON_H

#include <peerdist.h>
#include <peerdist_port.h>
#include <stddef.h>

struct command {
	const char *name;
	void (*run)(const char *arg); /* the rest of the line */
};

int demo_main(const char *who, const struct command *, size_t n);
/* Prints a line in the program's name. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Ends the program when got is not want. */
void must(const char *what, DWORD got, DWORD want);
void must_hold(const char *what, int holds);

/* Whole file; ends the program when it cannot be read. */
BYTE *read_file(const char *path, size_t *ret_len);

/* An OVERLAPPED with an event of its own. */
void overlapped_init(OVERLAPPED *);
/* Waits for the end and gives its code; *ret_bytes may be NULL. */
DWORD overlapped_end(OVERLAPPED *, DWORD *ret_bytes);
ULONGLONG overlapped_offset(const OVERLAPPED *);
/* Waits until the service has this status, by notifications. */
void await_status(PEERDIST_INSTANCE_HANDLE, PEERDIST_STATUS);

#endif
