/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records of the index about one segment: who owns it, and where each block
 * lies.  Pure: bytes to struct and back.  The bytes carry a checksum, since
 * LMDB has none of its own.
 *
 *   0  u8  SEGREC_FORMAT
 *   1  u8  number of owners, at most SEGREC_OWNERS
 *   2  u16 zero
 *   4  u32 number of entries
 *   8  u64 XXH3 of all that follows, seeded with key and format
 *  16      owners: u32 each, the numbers that the index gave them
 *          entries: SEGREC_ENTRY bytes each, by index, then claim
 *
 * Little-endian.  Entries are read in place by binary search.
 */
#ifndef STORE_SEGREC_H
#define STORE_SEGREC_H

#include "common/buf.h"
#include "daemon/store/store.h"

#define SEGREC_FORMAT 1u
#define SEGREC_HEADER 16u
#define SEGREC_ENTRY  48u
#define SEGREC_OWNERS 32u   /* one more takes the place of the oldest */
#define SEGREC_MOST   2560u /* entries: 512 blocks, proved and variants */

/* Where a block lies. */
struct segrec_entry {
	uint32_t index;
	uint32_t volume;
	uint64_t offset; /* of the record in the volume */
	uint32_t plain_len;
	uint32_t cipher_len;
	uint32_t born_s;
	uint32_t owners; /* bit i: the segment's owner i */
	uint8_t algo;
	bool proved;
	bool sealed;
	uint8_t claim[STORE_CLAIM_SIZE];
};

/* Points into the bytes, which must stay. */
struct segrec {
	const uint8_t *data;
	uint32_t n_owners;
	uint32_t n_entries;
};

enum segrec_refusal {
	SEGREC_OK,
	SEGREC_E_SHORT,
	SEGREC_E_FORMAT,
	SEGREC_E_HASH,
	SEGREC_E_VALUE, /* counts, order */
	_SEGREC_E_MAX,
};

/* key: the segment id under which the bytes were found.  check_hash false: the
 * checksum was looked at before (same bytes). > 0: enum segrec_refusal. */
int segrec_parse(struct segrec *ret, const uint8_t *key, size_t key_len,
	const uint8_t *data, size_t len);
uint32_t segrec_owner(const struct segrec *, uint32_t i);
void segrec_entry(const struct segrec *, uint32_t i, struct segrec_entry *ret);
/* Position of the first entry whose index is not below index. */
uint32_t segrec_lower_bound(const struct segrec *, uint32_t index);

/* The same, to be changed.  Owns its memory. */
struct segrec_edit {
	uint32_t n_owners;
	uint32_t owners[SEGREC_OWNERS];
	size_t n;
	size_t cap;
	struct segrec_entry *entries;
};

/* Takes a parsed one (NULL: none) apart.  -ENOMEM. */
int segrec_edit_init(struct segrec_edit *, const struct segrec *);
void segrec_edit_done(struct segrec_edit *);
/* The bit of an owner, added if need be; an owner too many takes the oldest
 * one's place (his bit is cleared everywhere first). *ret_lost: the number of
 * the owner that lost his place, or UINT32_MAX. */
uint32_t segrec_edit_owner(
	struct segrec_edit *, uint32_t owner, uint32_t *ret_lost);
/* Adds, or replaces what has the same index and claim: owners are joined, proved
 * stays when either was, the place is the new one.  A proved one drives out
 * nothing else; of unproved variants at most STORE_VARIANTS stay, the oldest
 * goes; of sealed ones one.  -ENOMEM, -E2BIG over SEGREC_MOST. */
int segrec_edit_put(struct segrec_edit *, const struct segrec_entry *);
/* The entry with this index and claim, or NULL. */
struct segrec_entry *segrec_edit_find(
	struct segrec_edit *, uint32_t index, const uint8_t *claim);
void segrec_edit_remove(struct segrec_edit *, struct segrec_entry *);
/* Appends the bytes; owners without an entry are left out. */
int segrec_build(struct buf *, const struct segrec_edit *, const uint8_t *key,
	size_t key_len);

#endif
