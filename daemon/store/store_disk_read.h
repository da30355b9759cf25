/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding blocks, reading them, and lending them. */
#ifndef STORE_STORE_DISK_READ_H
#define STORE_STORE_DISK_READ_H

#include "daemon/store/store_disk_overlay.h"

struct found {
	struct segrec_entry at;
	struct volume *volume;
	const struct overlay_entry *overlay; /* NULL: from the index */
};
bool disk_find(struct store_disk *, const struct store_ref *, struct found *);
/* The block to pass on, never one that is not encrypted; ref: any. */
bool disk_find_lendable(
	struct store_disk *, const struct store_ref *, struct found *);
/* What the index has of a segment, until the next commit has ended. */
const struct segrec *disk_index_segment(
	struct store_disk *, const uint8_t *id, size_t id_len);
bool disk_is_owner(struct store_disk *, const struct store_ref *,
	const struct found *, const struct store_owner *);
/* The block leaves, if it still lies there. */
void disk_drop(struct store_disk *, const struct store_ref *,
	const struct segrec_entry *);
void disk_lookup(struct block_store *, struct store_lookup *);
void disk_get(struct block_store *, struct store_get *);
void disk_drop_ref(struct block_store *, const struct store_ref *);
/* The bytes of its record up to the padding. */
size_t record_len(const struct segrec_entry *);
/* Worker: reads and checks a block; buf has room for record_len(), and ret
 * points into it.  > 0: damaged; -errno: it could not be read. */
int record_read(struct volume *, int folder, const struct store_ref *,
	const struct segrec_entry *, uint8_t *buf, struct store_block *ret);
/* Whether such an error tells nothing of the block. */
bool read_error_is_ours(int error);

/* store_disk_lend.c */
void disk_held(struct block_store *, const uint8_t *id, size_t id_len,
	struct store_held *ret);
enum store_status disk_lend(struct block_store *, const uint8_t *id,
	size_t id_len, uint32_t index, struct store_loan *ret);
void disk_give_back(struct block_store *, struct store_loan *);

#endif
