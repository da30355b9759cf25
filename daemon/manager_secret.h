/* SPDX-License-Identifier: BSD-2-Clause */
/* The server secret key: what all segment secrets of this host come from. */
#ifndef DAEMON_MANAGER_SECRET_H
#define DAEMON_MANAGER_SECRET_H

#include <stddef.h>
#include <stdint.h>

#define SECRET_SIZE     32u /* of one made here */
#define SECRET_SIZE_MIN 16u /* of one made elsewhere */
#define SECRET_SIZE_MAX 4096u
#define SECRET_FILE     "server.key"

/* The content of folder/server.key, made when there is none.  Into secmem:
 * sec_free(key, SECRET_SIZE_MAX) it.  *ret_why is what is wrong, in words, when
 * the result is negative.  Refuses what is no regular file of this user that
 * nobody else can read. */
int secret_load(const char *folder, uint8_t **ret_key, size_t *ret_len,
	const char **ret_why);

#endif
