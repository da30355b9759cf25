/* SPDX-License-Identifier: BSD-2-Clause */
/* What the store thread does to the index, in one transaction. */
#ifndef STORE_STORE_DISK_TXN_H
#define STORE_STORE_DISK_TXN_H

#include "daemon/store/index.h"
#include "daemon/store/segrec.h"
#include "daemon/store/store_disk_overlay.h"

enum disk_table {
	T_SEGMENTS, /* id -> segrec */
	T_VOLUMES,  /* number, big-endian -> struct volume_row */
	T_OWNERS,   /* uid, big-endian, and tag -> number */
	T_NAMES,    /* number, big-endian -> uid and tag */
	T_OWNED,    /* number, big-endian -> segment ids, several */
	T_STATE,    /* names of numbers, see store_disk_txn.c */
	_T_MAX,
};

struct txn {
	struct index *index;
	struct volume_row *rows;
	size_t n_rows;
	size_t last_row;
	/* the segment at hand */
	uint8_t id[STORE_ID_MAX];
	size_t id_len; /* 0: none */
	bool changed;
	struct segrec_edit edit;
	uint32_t n_before;
	uint32_t before[SEGREC_OWNERS];
	/* the owner looked up last */
	struct store_owner owner;
	uint32_t owner_number;
	bool owner_known;
	uint32_t next_owner;
	/* A block that is put into a volume from here on takes over nothing
	 * from one below. */
	uint32_t fence;
};

int txn_begin(struct txn *, struct index *, struct volume_row *, size_t n);
int txn_commit(struct txn *, uint32_t next_number);
void txn_abort(struct txn *);
int txn_segment(struct txn *, const uint8_t *id, size_t id_len);
struct volume_row *txn_row(struct txn *, uint32_t number);
int txn_change(struct txn *, const struct change *);
int txn_put(struct txn *, const struct change *);
/* The segment at hand is written, if it was changed; there is none then. */
int txn_segment_save(struct txn *);
/* Whether the segment at hand has a block of that owner. */
bool txn_has_owner(const struct txn *, uint32_t number);
/* store_disk_flush.c.  Blocks in volumes from below on stay. */
int txn_flush(struct txn *, const struct store_owner *, uint32_t below);
int txn_clear(struct txn *);
int txn_volume_gone(struct txn *, uint32_t number);
/* -ENOENT */
int txn_owner_name(struct txn *, uint32_t number, struct store_owner *ret);
/* -ENOENT also where his two rows do not agree. */
int txn_owner_find(struct txn *, const struct store_owner *, uint32_t *ret);
int txn_state_set(struct txn *, const char *name, uint64_t value);
int txn_state_get(struct txn *, const char *name, uint64_t *ret);
/* The loop's. -ENOENT; -EBADMSG: damaged. */
int disk_state(struct index *, const char *name, uint64_t *ret);
#define STATE_NEXT_VOLUME "next volume"
#define STATE_NEXT_OWNER  "next owner"
#define STATE_REBUILDING  "rebuilding"

#define OWNER_KEY      20u
#define VOLUME_ROW_LEN 48u
void volume_row_build(uint8_t *dst, const struct volume_row *);
bool volume_row_parse(
	struct volume_row *ret, struct index_blob key, struct index_blob value);
void owner_key(uint8_t dst[OWNER_KEY], const struct store_owner *);
void owner_unkey(struct store_owner *, const uint8_t src[OWNER_KEY]);
void number_key(uint8_t dst[4], uint32_t number);
uint32_t number_unkey(const uint8_t src[4]);

#endif
