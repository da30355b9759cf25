/* SPDX-License-Identifier: BSD-2-Clause */
/* Passphrases and other secret bytes, in locked memory all the way. */
#ifndef CTL_PASSPHRASE_H
#define CTL_PASSPHRASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/cmd.h"

struct secret_bytes {
	uint8_t *data; /* secmem */
	size_t room;
	size_t len;
};

/* No core dumps of this process, and nobody may look into it. */
void secret_process(void);
/* false: out of memory. */
bool secret_bytes_new(struct secret_bytes *, size_t room);
void secret_bytes_free(struct secret_bytes *);
/* The whole file, which must not be empty and must fit.  Failures have been
 * told. */
enum ctl_exit secret_bytes_read(struct secret_bytes *, const char *file);

/* A passphrase from the file, without one newline at its end; or from the
 * terminal, asked for twice when it is a new one. */
enum ctl_exit passphrase_get(
	struct secret_bytes *, const char *file, bool is_new);

#endif
