/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fetching under a script: one content of three megabytes, peers by number
 * (192.0.2.N:80), and their answers.
 */
#ifndef TESTS_FETCH_ENV_H
#define TESTS_FETCH_ENV_H

#include "daemon/core/discover.h"
#include "daemon/core/ledger.h"
#include "daemon/core/service_internal.h"
#include "tests/unit/core_env.h"

#define FETCH_LEN    (3u * 1024 * 1024 + 12345)
#define FETCH_BLOCKS 49u /* version 1 */
#define NO_REQUEST   SIZE_MAX
#define ANY_BLOCK    UINT32_MAX

struct fetch_env {
	struct script x;
	uint8_t *data;
	struct pccrc_info *info; /* of the version chosen */
	uint8_t *ci;
	size_t ci_len;
	struct parse_addr peers[32];
	uint64_t handle;
	/* The last Probe. */
	unsigned n_probes;
	struct env_probe probe;
	uint8_t (*ids)[PCCRD_ID_SIZE];
};

/* Distributed mode with n fixed peers, 1 to n; one handle open. */
void fetch_init(struct fetch_env *, int version, size_t n_fixed);
void fetch_done(struct fetch_env *);
struct parse_addr fetch_addr(unsigned peer);
/* Changes the fixed peers to the n from the first on. */
void fetch_fixed(struct fetch_env *, unsigned first, size_t n);
uint64_t fetch_open(struct fetch_env *);
/* A session of another user's, with the same content open: its reads should be
 * small ones, since nobody gives back its ranges.  session_free() it. */
struct session *fetch_other_user(struct fetch_env *, uint64_t *ret_handle);

uint64_t fetch_read(struct fetch_env *, uint64_t offset, uint32_t len);
uint64_t fetch_stream(struct fetch_env *, uint32_t len);
struct script_op *fetch_op(struct fetch_env *, uint64_t op);
/* It ended well, with the right bytes, this many (0: some). */
void fetch_check_read(
	struct fetch_env *, uint64_t op, uint64_t offset, uint32_t bytes);
/* It ended with a missing range. */
void fetch_check_missing(
	struct fetch_env *, uint64_t op, uint64_t offset, uint32_t bytes);
void fetch_check_pending(struct fetch_env *, uint64_t op);

/* The first request of this kind to this peer (0: any) or NO_REQUEST. */
size_t fetch_find(
	struct fetch_env *, unsigned peer, enum env_peer_kind, uint32_t block);
size_t fetch_count(struct fetch_env *, unsigned peer, enum env_peer_kind);
/* One request to this peer, which must be there, is answered. */
void fetch_good(struct fetch_env *, unsigned peer, uint32_t block);
void fetch_wrong(struct fetch_env *, unsigned peer, uint32_t block);
void fetch_answer(struct fetch_env *, unsigned peer, enum env_peer_kind,
	enum env_peer_status);
/* ... a list: it has blocks [first, +n). */
void fetch_list(struct fetch_env *, unsigned peer, uint32_t first, uint32_t n);
/* Everybody has everything, until nobody is asked any more. */
void fetch_all_good(struct fetch_env *);

/* These peers answer for the ids of the last Probe, with as many blocks. */
void fetch_found(struct fetch_env *, unsigned peer, uint32_t blocks);

struct fetch_seen {
	size_t n;
	struct peer_view view; /* of the one asked for */
};
/* What the service says about a peer; n: how many it knows. */
struct fetch_seen fetch_peer(struct fetch_env *, unsigned peer);

#endif
