/* SPDX-License-Identifier: BSD-2-Clause */
/* The server secret key: what all segment secrets of this host come from. */
#ifndef DAEMON_MANAGER_SECRET_H
#define DAEMON_MANAGER_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/api/client.h"

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
/* Puts another in its place, durably; a crash leaves the old or the new one.
 * After a failure it is the old one, unless the disk is so broken that nobody
 * knows. */
int secret_replace(const char *folder, const uint8_t *key, size_t len,
	const char **ret_why);

/* The secret in force, and who uses it. */
struct secret {
	const char *folder;
	uint8_t *key; /* secmem, SECRET_SIZE_MAX; NULL: not loaded */
	size_t key_len;
	int (*use)(void *ctx, const uint8_t *key, size_t len);
	void *ctx;
};

/* manager_secret_ask.c: what peerdistctl asks, with its answer.  A secret that
 * cannot be put into use is taken back from the disk, too. */
enum core_result secret_ask(
	struct secret *, const struct api_secret_request *, struct json *);

#endif
