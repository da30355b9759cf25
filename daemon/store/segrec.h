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
 *   8  u64 XXH3 of all that follows, seeded with the key and the bytes before
 *  16      owners: u32 each, the numbers that the index gave them, oldest first
 *          entries: SEGREC_ENTRY bytes each, by index, then claim
 *
 * Entry:
 *
 *   0  u32 index
 *   4  u32 volume
 *   8  u32 offset, in units of RECORD_ALIGN
 *  12  u8  algorithm
 *  13  u8  flags: 1 proved, 2 sealed
 *  14  u16 zero
 *  16  u32 plaintext length
 *  20  u32 ciphertext length
 *  24  u32 born
 *  28  u32 owners
 *  32  16  claim
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
	uint64_t offset; /* of the record; RECORD_ALIGN divides it; < 128 GiB */
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
	SEGREC_E_VALUE, /* counts, order, fields that no build makes */
	_SEGREC_E_MAX,
};

/* key: the segment id under which the bytes were found; they are valid for no
 * other.  Looks at every byte once (about 2 us for 512 entries), so whoever
 * reads the same segment again and again keeps *ret. > 0: enum
 * segrec_refusal. */
int segrec_parse(struct segrec *ret, const uint8_t *key, size_t key_len,
	const uint8_t *data, size_t len);
uint32_t segrec_owner(const struct segrec *, uint32_t i);
void segrec_entry(const struct segrec *, uint32_t i, struct segrec_entry *ret);
/* Position of the first entry whose index is not below index; n_entries when
 * there is none. */
uint32_t segrec_lower_bound(const struct segrec *, uint32_t index);

/* The same, to be changed.  Owns its memory. */
struct segrec_edit {
	uint32_t n_owners;
	uint32_t owners[SEGREC_OWNERS];
	size_t n;
	size_t cap;
	struct segrec_entry *entries;
	/* What the last segrec_edit_put() took the place of, or drove out. */
	size_t n_lost;
	struct segrec_entry lost[2];
};

/* Takes a parsed one (NULL: none) apart.  -ENOMEM. */
int segrec_edit_init(struct segrec_edit *, const struct segrec *);
void segrec_edit_done(struct segrec_edit *);
/* The mask of an owner (one bit), who is added if need be; one too many drives
 * out the oldest, whose bit is cleared everywhere: then all bits told before
 * are void. *ret_lost: the number of the owner driven out, or UINT32_MAX. */
uint32_t segrec_edit_owner(
	struct segrec_edit *, uint32_t owner, uint32_t *ret_lost);
/* Adds, or replaces what has the same index and claim: owners are joined,
 * proved stays when either was, the place is the new one.  A proved one drives
 * out nothing else; of unproved variants at most STORE_VARIANTS stay, the
 * oldest goes, but never the new one; of sealed ones one.  -ENOMEM, -E2BIG over
 * SEGREC_MOST: nothing was changed. */
int segrec_edit_put(struct segrec_edit *, const struct segrec_entry *);
/* The entry with this index and claim, or NULL.  Its place, owners and proved
 * may be changed until the next call that changes entries. */
struct segrec_entry *segrec_edit_find(
	struct segrec_edit *, uint32_t index, const uint8_t *claim);
void segrec_edit_remove(struct segrec_edit *, struct segrec_entry *);
/* Appends the bytes; owners without an entry are left out.  -ENOMEM, -EMSGSIZE
 * as the buffer says. */
int segrec_build(struct buf *, const struct segrec_edit *, const uint8_t *key,
	size_t key_len);

#endif
