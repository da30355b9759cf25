/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading all blocks there are, step by step. */
#ifndef STORE_STORE_DISK_WALK_H
#define STORE_STORE_DISK_WALK_H

#include "daemon/store/segrec.h"
#include "daemon/store/store_disk_volume.h"

/* A walk over the index that compares all blocks with their checksums, step by
 * step. */
#define WALK_BAD 64u

struct walk_volume {
	struct volume *volume;
	bool used;
};

struct walk_bad {
	uint8_t id_len;
	uint8_t id[STORE_ID_MAX];
	bool dangling;
	struct segrec_entry at;
};

struct walk {
	/* where it is */
	uint8_t at[STORE_ID_MAX];
	size_t at_len;
	uint32_t at_entry;
	/* a step */
	struct index *index;
	int folder;
	uint64_t budget;
	size_t n_volumes;
	struct walk_volume *volumes;
	uint32_t first_unknown; /* numbers from here on tell nothing */
	uint8_t *buf;
	size_t buf_len;
	/* its answers */
	uint64_t bytes;
	uint64_t blocks;
	bool ended;
	int error;
	size_t n_bad;
	struct walk_bad bad[WALK_BAD];
};

/* Loop: makes a step ready; -ENOMEM. */
int walk_prepare(struct store_disk *, struct walk *);
/* Any thread. */
void walk_step(struct walk *);
/* Loop: what was found.  repair: it is dropped. */
void walk_end_step(struct store_disk *, struct walk *, bool repair,
	struct store_verify *ret);
struct walk *walk_free(struct walk *);

#endif
