/* SPDX-License-Identifier: BSD-2-Clause */
/* web.c has the service and how long a request lives, web_reply.c what it is
 * answered. */
#ifndef NET_WEB_PRIV_H
#define NET_WEB_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "daemon/core/env.h"
#include "daemon/core/hashed.h"
#include "daemon/core/service.h"
#include "daemon/net/http_conn.h"
#include "daemon/net/loop.h"
#include "daemon/net/warm.h"
#include "daemon/net/web.h"
#include "daemon/net/web_answer.h"
#include "daemon/net/web_open.h"
#include "daemon/net/web_root.h"

#define WEB_LATELY 256u

struct web {
	struct service *service;
	const struct env *env;
	struct http_service http;
	struct web_counters counters;
	struct web_roots roots;
	uint64_t min_size;
	struct web_head head;         /* being built */
	char path[HTTP_HEAD_MAX + 1]; /* of the request that has just come */
	bool no_openat2;
	uint64_t secret;
	struct {
		uint64_t path; /* a hash */
		int64_t when_s;
	} lately[WEB_LATELY];
	LIST_HEAD(, web_request) unused;
	unsigned n_unused;
	unsigned n_running; /* requests that are not ended */
	/* Those for which a file system that may stall is asked, the longest
	 * waiting first, each for so long. */
	TAILQ_HEAD(, web_request) patient;
	struct loop_alarm patience;
	uint32_t patience_ms;
};

struct web_request {
	struct web *web;
	struct http_conn *conn; /* NULL: gone */
	LIST_ENTRY(web_request) link;
	struct web_root *root;
	uint64_t min_size; /* as the settings were when it came, like root */
	bool waits;        /* for hashes */
	bool is_get;
	struct env_job *at_work;           /* a worker has it: warm, or job */
	TAILQ_ENTRY(web_request) patience; /* while it has an end */
	uint64_t patience_end_ms;          /* 0: it has none */
	/* the file */
	char *path; /* for the worker */
	int fd;
	bool slow; /* its file system may stall */
	dev_t place;
	struct stat st;
	const char *type;
	struct env_job job;
	enum web_effort effort;
	bool walk;
	int result; /* of the job */
	struct web_found found;
	struct warm warm;
	uint8_t *window; /* of what is sent, where that may stall */
	/* content information */
	bool plain; /* of no interest any more */
	bool asked;
	enum hashed_result hashes; /* what came of it */
	struct hashed_ask ask;
	bool held;      /* ask, to be given back */
	bool described; /* it is the answer */
	struct web_multi *multi;
};

int64_t web_now_s(const struct web *);
/* An answer of one line; the request is over. */
void web_request_refuse(struct web_request *, unsigned status);
/* The same with header lines that begin with web->head.text. */
void web_request_refuse_with(struct web_request *, unsigned status);
void web_request_drop_hashes(struct web_request *);

/* web_reply.c: fd, st and type are known.  Answers, or waits for hashes; then
 * it is called again. */
void web_reply(struct web_request *);

#endif
