/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of the records of the hash store.  Pure; what is read may be damaged in
 * any way. */
#ifndef STORE_HASH_RECORD_H
#define STORE_HASH_RECORD_H

#include "common/buf.h"
#include "daemon/store/store_hash.h"

#define HASH_RECORD_FORMAT    1u
#define HASH_RECORD_LABEL_MAX 32768u

/* Keys of the tables. */
#define HASH_KEY_ID    8u
#define HASH_KEY_LABEL 20u
#define HASH_KEY_FILE  44u
void hash_key_id(uint8_t dst[HASH_KEY_ID], uint64_t id);
/* 0: not a key. */
uint64_t hash_key_read_id(const void *key, size_t len);
/* Different labels may have the same key. */
void hash_key_label(uint8_t dst[HASH_KEY_LABEL], uint32_t uid,
	const uint8_t *label, size_t len);
void hash_key_file(
	uint8_t dst[HASH_KEY_FILE], const struct hash_file *, uint32_t uid);

/* Everything of an entry but its hashes, whose length and checksum it has.
 * -ENOMEM; -EINVAL: no label, or too long a one. */
int hash_record_build(struct buf *, const struct hash_entry *, uint64_t sum);
/* The label points into data; hashes is NULL.  id: that of the record's key.
 * -EBADMSG. */
int hash_record_parse(struct hash_entry *ret, uint64_t *ret_sum, uint64_t id,
	const void *data, size_t len);
/* Of the hashes, which lie in a record of their own. */
uint64_t hash_record_sum(uint64_t id, const void *hashes, size_t len);

struct hash_counts {
	uint64_t last_id;
	uint64_t entries;
	uint64_t bytes;
};
#define HASH_COUNTS_SIZE 32u
void hash_counts_build(
	uint8_t dst[HASH_COUNTS_SIZE], const struct hash_counts *);
int hash_counts_parse(struct hash_counts *ret, const void *data, size_t len);

/* What one user has. */
#define HASH_KEY_USER  4u
#define HASH_USER_SIZE 16u
void hash_key_user(uint8_t dst[HASH_KEY_USER], uint32_t uid);
void hash_user_build(uint8_t dst[HASH_USER_SIZE], uint32_t uid, uint64_t bytes);
int hash_user_parse(
	uint64_t *ret_bytes, uint32_t uid, const void *data, size_t len);

#endif
