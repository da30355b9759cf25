/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block store as the core and the upload side see it.  Every call that may
 * touch the disk answers through done, on the loop thread, never from inside
 * the call.  A store may lose anything at any time: that is a cold cache.
 *
 * Blocks are kept as they travel to peers: ciphertext with its IV.  A block is
 * named by segment id and index (version 2: index 0).  The store never sees a
 * segment secret.
 *
 * Claims: a block carries a 16-byte tag that only a holder of the segment
 * secret and of the block's hash can make.  A *proved* block was verified
 * against a block list that gives the segment's HoD; an unproved one only
 * against a list that nothing vouches for.  A reader sees a block when its tag
 * equals his; a block of an equal index with another tag does not exist for
 * him.  Several unproved variants of one block may exist side by side (at most
 * STORE_VARIANTS; the oldest goes); a proved block with the same tag replaces
 * an unproved one.
 *
 * A *sealed* block is ciphertext taken from others by somebody who cannot open
 * it (a hosted cache): nothing was verified, its claim is zero, and whoever
 * reads by claim does not see it.  Whoever passes blocks on asks with "any" and
 * sees proved and sealed ones, the former first.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_ID_MAX     64
#define STORE_CLAIM_SIZE 16
#define STORE_TAG_SIZE   16
#define STORE_VARIANTS   4
/* Pointers that each request keeps for the store, so that no call can fail for
 * want of memory before it has begun. */
#define STORE_PRIVATE 12

struct bulk;

enum store_status {
	STORE_OK,
	STORE_MISSING, /* not there for this reader */
	STORE_ROTTEN,  /* was there, is damaged, is dropped */
	STORE_NO_MEMORY,
	STORE_DISK_FULL,
	STORE_IO,
	STORE_OVER_QUOTA, /* this user has as much as one may have */
};

/* One block as one reader names it. */
struct store_ref {
	const uint8_t *id;
	uint8_t id_len;
	bool any; /* proved or sealed, the claim does not matter */
	uint32_t index;
	uint8_t claim[STORE_CLAIM_SIZE];
	enum store_status status; /* the answer */
	void *store_private;
};

/* A block's bytes. */
struct store_block {
	uint32_t plain_len;
	uint32_t cipher_len;
	uint32_t algo; /* enum pccrr_algo; none: no IV either */
	bool proved;
	bool sealed;
	uint8_t iv[16];
	const uint8_t *cipher;
};

/* Whose content it is: FlushContent removes by this. */
struct store_owner {
	uint32_t uid;
	uint8_t tag[STORE_TAG_SIZE];
};

/* Which of the refs are there.  ids must stay valid until done. */
struct store_lookup {
	struct store_ref *refs;
	size_t n_refs;
	void (*done)(struct store_lookup *);
	void *store_private[STORE_PRIVATE];
};

/* Reads blocks.  consume is called on a worker thread for each ref that is
 * there, with the ciphertext already checked for damage; the block is valid
 * during the call only.  Then done, once, with every ref's status. */
struct store_get {
	struct store_ref *refs;
	size_t n_refs;
	uint32_t uid; /* for round robin between users */
	/* false: the block did not decrypt to what its hash promises */
	bool (*consume)(struct store_get *, size_t ref,
		const struct store_block *, struct bulk *);
	void (*done)(struct store_get *);
	void *store_private[STORE_PRIVATE];
};

/* Adds blocks, each verified by the caller from the very bytes given.  The
 * cipher bytes must stay valid until done; ref.status tells for each. A block
 * that is there already only gains the owner. */
struct store_put {
	struct store_ref *refs;
	const struct store_block *blocks;
	size_t n_refs;
	struct store_owner owner;
	void (*done)(struct store_put *);
	void *store_private[STORE_PRIVATE];
};

struct store_flush {
	struct store_owner owner;
	enum store_status status;
	void (*done)(struct store_flush *);
	void *store_private[STORE_PRIVATE];
};

/* A page of what is stored, in the order of ids. */
struct store_listed {
	uint8_t id[STORE_ID_MAX];
	uint8_t id_len;
	uint32_t blocks;
	uint64_t bytes;  /* ciphertext */
	uint32_t proved; /* blocks of that kind */
	uint32_t sealed;
	uint64_t born_s; /* oldest block, seconds since 1970 */
	uint32_t n_owners;
};

struct store_list {
	/* asked */
	uint8_t after[STORE_ID_MAX]; /* begins behind this id */
	uint8_t after_len;           /* 0: from the first one */
	/* Only the blocks that uid (under any tag) is among the owners of are
	 * counted, and only segments with such blocks listed. */
	bool only_owner;
	uint32_t uid;
	struct store_listed *rows; /* the caller's */
	size_t max_rows;
	/* answered */
	size_t n_rows;
	bool more;
	enum store_status status;
	void (*done)(struct store_list *);
	void *store_private[STORE_PRIVATE];
};

/* Reads everything and compares with its checksums. */
struct store_verify {
	bool repair; /* rotten blocks are dropped; else only counted */
	bool stop;   /* set by the caller: enough, done comes soon */
	uint64_t done_bytes;
	uint64_t total_bytes;
	uint64_t blocks;          /* looked at */
	uint64_t rotten;          /* damaged blocks */
	uint64_t dangling;        /* index entries that lead nowhere */
	uint64_t damaged_volumes; /* whose chain of records is broken */
	enum store_status status;
	/* Now and then, on the loop. */
	void (*progress)(struct store_verify *);
	void (*done)(struct store_verify *);
	void *store_private[STORE_PRIVATE];
};

enum store_health {
	STORE_HEALTHY,
	STORE_FULL,    /* no room on the disk: reads go on, adds are refused */
	STORE_FAILING, /* the disk refuses writes: the same */
	_STORE_HEALTH_MAX,
};

struct store_stats {
	uint64_t blocks;
	uint64_t bytes;      /* ciphertext that can be read */
	uint64_t disk_bytes; /* files, the index included; memory: records */
	uint64_t max_bytes;  /* 0: no limit */
	uint64_t evicted;    /* blocks */
	uint64_t carried;    /* blocks saved from an eviction */
	uint64_t expired;    /* blocks over their age */
	uint64_t rotten;
	uint64_t hits; /* of lookup, blocks */
	uint64_t misses;
	uint64_t volumes;
	uint64_t scrubbed_bytes; /* since the start */
	uint64_t rebuild_left;   /* volumes that are still to be indexed */
	enum store_health health;
};

/* What may be passed on of a segment: its proved and its sealed blocks. */
struct store_held {
	uint32_t n_blocks;
	uint64_t blocks[8]; /* bit i % 64 of word i / 64, index below 512 */
	uint64_t born_s;    /* the oldest of them, seconds since 1970 */
};

/* A block's bytes where they lie, to be sent from there: ciphertext, and behind
 * it the wire tail (MS-PCCRR: SizeOfVrfBlock, SizeOfIVBlock, IV). */
struct store_loan {
	int fd;               /* the store's; -1: bytes */
	uint64_t offset;      /* in fd */
	const uint8_t *bytes; /* in memory */
	uint32_t cipher_len;
	uint32_t tail_len;
	uint32_t algo; /* never none */
	void *store_private[2];
};

struct block_store;

struct block_store_ops {
	void (*lookup)(struct block_store *, struct store_lookup *);
	void (*get)(struct block_store *, struct store_get *);
	void (*put)(struct block_store *, struct store_put *);
	void (*flush)(struct block_store *, struct store_flush *);
	/* A reader found that a block is not what it claims to be. */
	void (*drop)(struct block_store *, const struct store_ref *);
	/* Everything, of everybody. */
	void (*clear)(struct block_store *, struct store_flush *);
	void (*list)(struct block_store *, struct store_list *);
	/* One at a time; a second one is answered STORE_IO at once. */
	void (*verify)(struct block_store *, struct store_verify *);
	/* These three answer at once, from the index's mapped memory; ret is
	 * empty when nothing is there. */
	void (*held)(struct block_store *, const uint8_t *id, size_t id_len,
		struct store_held *ret);
	/* The best of proved and sealed.  STORE_OK: the bytes stay where they
	 * are until give_back, whatever happens to the block meanwhile; they
	 * were not compared with their checksum, and whoever reads them may
	 * have to wait for the disk.  STORE_MISSING: not there, or not
	 * encrypted. */
	enum store_status (*lend)(struct block_store *, const uint8_t *id,
		size_t id_len, uint32_t index, struct store_loan *ret);
	void (*give_back)(struct block_store *, struct store_loan *);
	void (*stats)(struct block_store *, struct store_stats *ret);
	void (*set_limit)(struct block_store *, uint64_t max_bytes);
	/* 0: no limit */
	void (*set_max_age)(struct block_store *, uint64_t seconds);
	/* All requests are done before; returns NULL. */
	struct block_store *(*close)(struct block_store *);
};

struct block_store {
	const struct block_store_ops *ops;
};

#endif
