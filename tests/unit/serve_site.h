/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A retrieval server with a made-up store behind it, in virtual time but for
 * the sockets.  The numbers are those of the protocol's worked example.
 *
 * Of ID_V1 there are the blocks 0 (48 bytes, in memory), 1, 2 and 70 (whole
 * ones, in a file), born at 1,000 s; of ID_V2 block 0, born at 500 s.  It is
 * 1,600 s now.
 */
#ifndef TESTS_UNIT_SERVE_SITE_H
#define TESTS_UNIT_SERVE_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/pccrr.h"
#include "daemon/core/service.h"
#include "daemon/core/upload.h"
#include "daemon/net/http_server.h"
#include "daemon/net/serve.h"
#include "tests/unit/http_talk.h"

#define PATH       "/116B50EB-ECE2-41ac-8429-9F9E963361B7/"
#define BIG        65552u /* ciphertext of a whole block */
#define TAIL       24u
#define TIMEOUT_MS 15000u
#define PASSED_MS  (TIMEOUT_MS + 1) /* the core's clock cuts off */
#define JOBS_MAX   64

#define ID_V1 "3721f9523a5345b997cc1abf15fbb1f09349e4607cc137dd126320fc4835c5b6"
#define ID_V2 "25c9f0c408a3d779301bcae46ed8ad0002f753da5c37966165fc651af08f4b9f"
/* nobody has it */
#define ID_NO "ff21f9523a5345b997cc1abf15fbb1f09349e4607cc137dd126320fc4835c5b6"
#define CIPHER \
	"3373224180857689ea296c69296fa20d97268439d2a33eb84f117c37bacc5ddef6b6" \
	"1f3eb37fc22b2e56846144689170"
#define IV "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"

/* MSG_GETBLKS of a block, its index in hex */
#define GETBLKS(id, index) \
	"00000001000000030000004400000001" \
	"00000020" id "00000001" index "00000001" \
	"00000000"
#define EMPTY_BLK(id, index) \
	"00000048000000010000000500000048" \
	"0000000000000020" id index "00000000" \
	"000000000000000000000000"
#define NEGO_RESP \
	"00000018000000010000000100000018" \
	"000000000000000100000002"

/* The answer to GETBLKS(ID_V1, "00000000"). */
#define BLK0 \
	"00000088000000010000000500000088" \
	"0000000100000020" ID_V1 "0000000000000001" \
	"00000030" CIPHER "0000000000000010" IV

struct serve_site {
	struct loop *loop;
	struct http_server *server;
	struct http_listener *listener;
	uint16_t port;
	struct service *service;
	struct service_settings settings;
	struct serve *serve;
	struct env env;
	struct talk talk;
	unsigned fds;
	uint64_t now_ms;
	size_t n_jobs;
	struct env_job *jobs[JOBS_MAX];
	/* the store */
	struct block_store store;
	int file;          /* big blocks with their tails */
	uint8_t small[72]; /* block 0 of ID_V1 with its tail */
	uint8_t *big;
	unsigned lent;
	unsigned lends;
	unsigned looked_up;
	struct loop_deferred between; /* called after the first look-up */
	bool nothing;                 /* the store is empty */
	bool cold;                    /* and not in the page cache */
};

extern struct serve_site site;

/* cmocka's. */
int site_setup(void **state);
int site_teardown(void **state);

void site_configure(void);
/* Virtual time passes. */
void site_pass(uint64_t ms);
/* Runs the job that came last. */
void site_do_job(void);

void site_unhex(const char *hex, uint8_t *dst);
/* POST on the published path. */
void site_ask(struct talk *, const char *hex);
void site_ask_bytes(struct talk *, const void *body, size_t len);
/* 200 with this body. */
void site_expect(struct talk *, const char *hex);
void site_expect_head(struct talk *, size_t len);
void site_expect_hex(struct talk *, const char *hex);
/* A whole block of ID_V1, numbers in hex. */
void site_expect_big(struct talk *, const char *index, const char *next);

#endif
