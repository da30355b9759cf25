/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the core needs from outside.  In the daemon the loop, the worker pool
 * and net/ implement it; in tests a script in virtual time does, finishing jobs
 * and requests whenever it likes.
 */
#ifndef CORE_ENV_H
#define CORE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "codec/bulk.h"
#include "codec/pccrd.h"
#include "codec/pccrr.h"
#include "common/parse.h"

/* Work off the loop.  run gets everything it needs through the struct around
 * the job and touches no state of the core. */
struct env_job {
	/* Worker thread.  NULL: there is nothing to run, done is only called
	 * later, from the loop. */
	void (*run)(struct env_job *, struct bulk *);
	/* The same on the loop thread, for what is over in a moment: waking a
	 * worker may cost more than the work.  false: it would have to wait for
	 * something, and has done nothing.  NULL: never. */
	bool (*try_now)(struct env_job *, struct bulk *);
	/* Loop thread; exactly once, never from inside env->job().  ran: false
	 * when the service stopped before run was called. */
	void (*done)(struct env_job *, bool ran);
	uint32_t uid; /* of a slow one: or ENV_PLACE() */
	bool slow;    /* touches a foreign file: of one uid at most one runs */
	void *env_private[6];
};

/* Slow jobs that all touch one file system go by its device instead of a uid:
 * if it stalls, it holds up only those.  Numbers so high are no uids in use. */
#define ENV_PLACE(dev) (UINT32_C(1) << 31 | (uint32_t)(dev))

enum env_peer_status {
	ENV_PEER_OK,    /* an answer with the block's bytes */
	ENV_PEER_EMPTY, /* a well-formed answer without the block */
	ENV_PEER_TIMEOUT,
	ENV_PEER_REFUSED, /* no connection, connection lost, HTTP failure */
	ENV_PEER_BAD,     /* an answer that breaks the protocol */
	/* LIST: it answers, but does not know such a request: one that serves
	 * blocks only.  Versions that have nothing in common, too. */
	ENV_PEER_UNSUPPORTED,
};

enum env_peer_kind {
	ENV_PEER_BLOCK, /* MSG_GETBLKS: one block */
	ENV_PEER_LIST,  /* MSG_GETBLKLIST: which of some blocks it has */
};

/* One question to one peer. */
struct env_peer_request {
	/* asked */
	enum env_peer_kind kind;
	struct parse_addr addr;
	uint8_t id[64];
	uint32_t id_len;
	uint32_t block;         /* BLOCK */
	struct pccrr_set asked; /* LIST */
	uint32_t max_data;      /* more ciphertext than this is ENV_PEER_BAD */
	uint32_t timeout_ms;    /* from when it is sent */
	/* answered */
	enum env_peer_status status;
	struct pccrr_set held; /* LIST: of those asked for */
	uint32_t algo;         /* enum pccrr_algo */
	uint8_t iv[16];
	uint8_t *memory; /* free()d by whoever owns the request */
	uint8_t *data;   /* somewhere in it, not aligned */
	uint32_t data_len;
	/* Loop thread; exactly once, never from inside peer_request() nor
	 * peer_cancel(). */
	void (*done)(struct env_peer_request *);
	void *env_private;
};

/* A Probe to everybody, on every interface. */
struct env_probe {
	uint8_t uuid[PCCRD_UUID_SIZE];
	enum pccrd_version version;
	size_t n_ids; /* fits PCCRD_SEND_GOOD */
	const uint8_t (*ids)[PCCRD_ID_SIZE];
};

/* An answer to somebody's Probe, as discover_heard() was told of it. */
struct env_match {
	struct parse_addr to;
	uint32_t interface;
	const char *relates_to;
	enum pccrd_version version;
	size_t n_ids; /* as in struct pccrd_answer */
	const struct pccrd_id *ids;
	const struct pccrd_held *held;
};

struct env_ops {
	uint64_t (*now_ms)(void *ctx);
	void (*random)(void *ctx, void *buf, size_t len);
	void (*job)(void *ctx, struct env_job *);
	/* Of one with run and without try_now: if it still waits, it is not
	 * run, and done follows soon. */
	void (*job_cancel)(void *ctx, struct env_job *);
	void (*peer_request)(void *ctx, struct env_peer_request *);
	/* Gives the request up; done is still called, soon. */
	void (*peer_cancel)(void *ctx, struct env_peer_request *);
	/* Both valid during the call only.  They are datagrams: what becomes of
	 * them is never known. */
	void (*probe)(void *ctx, const struct env_probe *);
	void (*match)(void *ctx, const struct env_match *);
	/* The earliest timer may have become earlier. */
	void (*timer_changed)(void *ctx);
	/* Wall clock, since 1970. */
	uint64_t (*wall_ms)(void *ctx);
};

struct env {
	const struct env_ops *ops;
	void *ctx;
};

#endif
