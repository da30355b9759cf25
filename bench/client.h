/* SPDX-License-Identifier: BSD-2-Clause */
/* What programs that use the public library have in common. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <peerdist.h>
#include <peerdist_port.h>

#define CLIENT_IDENTIFIER 4, (PBYTE) "file"

/* Dies when a call does not return what it must. */
void client_must(const char *what, DWORD got, DWORD want);
/* The same for an operation: accepted, then polled until it has succeeded.
 * Bytes. */
DWORD client_finish(const char *what, DWORD started, OVERLAPPED *ov);

/* Content information of what is published as CLIENT_IDENTIFIER; to be
 * freed. */
BYTE *client_info(PEERDIST_INSTANCE_HANDLE, DWORD *ret_len);
/* Publishes a file as CLIENT_IDENTIFIER, version 1. */
void client_publish(PEERDIST_INSTANCE_HANDLE, int fd);
/* A content, opened and ready. */
PEERDIST_CONTENT_HANDLE client_content(
	PEERDIST_INSTANCE_HANDLE, const BYTE *info, DWORD len);

#endif
