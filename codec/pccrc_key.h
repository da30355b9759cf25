/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server secret key as Windows handles it: made of a text, and as a file
 * under a passphrase (MS-PCCRC 2.5, "netsh branchcache set key, exportkey,
 * importkey").
 *
 * Texts are UTF-8 here and UTF-16LE without terminator there.  Buffers with
 * secrets are the caller's and belong into secmem; what is needed in between is
 * in secmem and wiped.
 */
#ifndef CODEC_PCCRC_KEY_H
#define CODEC_PCCRC_KEY_H

#include <stddef.h>
#include <stdint.h>

#define PCCRC_KEY_MAX         4096u /* bytes of a key */
#define PCCRC_KEY_TEXT_MAX    1024u /* bytes of a text */
#define PCCRC_KEY_FILE_MAX    (32u + PCCRC_KEY_MAX + 16u)
#define PCCRC_KEY_FINGERPRINT 16u

enum pccrc_key_refusal {
	PCCRC_KEY_OK,
	PCCRC_KEY_E_TEXT,   /* empty, too long, not UTF-8, or has a NUL */
	PCCRC_KEY_E_LENGTH, /* of the key: none, or too long */
	/* Not a key file, damaged, or under another passphrase: there is no
	 * telling which. */
	PCCRC_KEY_E_FILE,
};

/* Room for PCCRC_KEY_MAX bytes at key.  > 0: PCCRC_KEY_E_TEXT. */
int pccrc_key_from_text(
	const uint8_t *text, size_t len, uint8_t *key, size_t *ret_key_len);

struct pccrc_key_text {
	const uint8_t *text; /* the passphrase */
	size_t len;
};

/* Room for PCCRC_KEY_FILE_MAX bytes at file.  > 0: enum pccrc_key_refusal;
 * -ENOMEM; -EIO: libcrypto failed. */
int pccrc_key_export(const uint8_t *key, size_t key_len,
	const struct pccrc_key_text *, uint8_t *file, size_t *ret_file_len);
/* Room for PCCRC_KEY_MAX bytes at key.  Errors likewise. */
int pccrc_key_import(const uint8_t *file, size_t file_len,
	const struct pccrc_key_text *, uint8_t *key, size_t *ret_key_len);

/* By which two keys can be compared without being shown: of no use for anything
 * else, unlike the plain hash of the key, from which segment secrets are made.
 */
int pccrc_key_fingerprint(const uint8_t *key, size_t key_len,
	uint8_t ret_fingerprint[PCCRC_KEY_FINGERPRINT]);

#endif
