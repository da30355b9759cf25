/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core under a script: virtual time, jobs and peer requests that end when
 * the script says, a session whose messages are recorded.
 *
 * Every operation submitted through script_op() is followed: how many ACKs and
 * completions it got, and which.
 */
#ifndef TESTS_CORE_ENV_H
#define TESTS_CORE_ENV_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrc.h"
#include "codec/pccrr.h"
#include "common/macros.h"
#include "common/secmem.h"
#include "daemon/core/session.h"
#include "daemon/store/store_mem.h"
#include "daemon/store/store_mem_hash.h"

#define SCRIPT_OPS_MAX    64
#define SCRIPT_QUEUE_MAX  4096
#define SCRIPT_AREA_HALF  (4u * 1024 * 1024)
#define SCRIPT_RANGES_MAX 64

struct script_op {
	unsigned acks;
	unsigned completions;
	struct op_result result;
	uint8_t *data; /* copy of what a read gave */
};

struct script {
	struct env env;
	uint64_t now_ms;
	uint64_t wall_ms; /* at now_ms 0 */
	size_t n_jobs;
	struct env_job *jobs[SCRIPT_QUEUE_MAX];
	size_t n_requests;
	struct env_peer_request *requests[SCRIPT_QUEUE_MAX];
	size_t n_cancelled; /* requests to be ended by script_settle() */
	struct env_peer_request *cancelled[SCRIPT_QUEUE_MAX];
	/* What discovery sends; NULL: nobody looks. */
	void (*on_probe)(struct script *, const struct env_probe *);
	void (*on_match)(struct script *, const struct env_match *);
	struct bulk *bulk;
	struct block_store *store;
	struct hash_store *hashes;
	struct service_settings settings;
	struct parse_addr peer;
	struct service *service;
	struct session *session;
	uint8_t *area;
	struct area *area_obj;
	bool deny_accept;
	unsigned n_released, n_need, n_status;
	uint64_t last_need_op;
	enum service_status last_status;
	/* The last answer that came later, and how many came. */
	unsigned n_replies;
	uint64_t next_request;
	uint64_t reply_request;
	enum core_result reply_result;
	uint64_t reply_handle;
	unsigned n_progress;
	uint64_t progress_done, progress_total;
	uint32_t next_op;
	struct script_op ops[SCRIPT_OPS_MAX];
	size_t n_ranges;
	struct {
		uint32_t offset, len;
	} ranges[SCRIPT_RANGES_MAX];
};

/* Runs and finishes the i-th waiting job. */
void script_job(struct script *x, size_t i);
/* Finishes jobs, and requests that were given up, until none is left. */
void script_settle(struct script *x);
/* Ends the i-th peer request. */
void script_answer(struct script *x, size_t i, enum env_peer_status status);
/* Time passes; timers fire. */
void script_time(struct script *x, uint64_t ms);
/* Nobody in the branch answers. */
void script_nobody(struct script *x);
struct script_op *script_op_of(struct script *x, uint64_t id);
/* Gives back every read range. */
void script_return(struct script *x);
/* A fresh operation number, its record empty. */
uint64_t script_op(struct script *x);
/* The calls that may be answered later, with a fresh request number; they wait
 * for their answer. */
enum core_result script_info_open(struct script *x,
	const struct session_label *label, const struct session_range *range,
	uint32_t min_version, uint32_t max_version, uint64_t *ret_handle);
enum core_result script_unpublish(
	struct script *x, const struct session_label *label);
/* A further session of the same user, as the current one. */
void script_session(struct script *x);
/* Service, stores in memory, one session. */
void script_init(struct script *x, enum service_mode mode);
/* Takes everything down; nothing may be left. */
void script_done(struct script *x);
/* Bytes of a content that tests agree on; free() it. */
uint8_t *script_content(size_t len);
/* Content information of data, made beside the service; free() it.  range 0: to
 * the end. */
uint8_t *script_information(const uint8_t *data, size_t len, int version,
	uint64_t offset, uint64_t range, size_t *ret_len);
/* Inline, or placed at the start of the write half. */
struct session_slice script_slice(
	struct script *x, const uint8_t *data, size_t len);
/* Opens a content and feeds it its information: ready afterwards. */
uint64_t script_open(struct script *x, const uint8_t *ci, size_t ci_len);
/* Request i gets the right answer: the block of data that it asks for, or a
 * list of all. */
void script_answer_good(struct script *x, size_t i, const uint8_t *data,
	size_t len, const struct pccrc_info *info);

extern const struct session_ops script_session_ops;

#endif
