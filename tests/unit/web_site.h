/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A web server over a folder of its own, with a scripted hashed.h behind it and
 * scripted workers; only sockets and files are real.  It is 2017-07-14 02:40:00
 * (1,500,000,000), MinSize is 1000.
 */
#ifndef TESTS_UNIT_WEB_SITE_H
#define TESTS_UNIT_WEB_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "daemon/core/hashed.h"
#include "daemon/core/service.h"
#include "daemon/net/http_server.h"
#include "daemon/net/web.h"
#include "tests/unit/http_talk.h"

#define SITE_NOW  1500000000u
#define SITE_DATE "Date: Fri, 14 Jul 2017 02:40:00 GMT\r\n"
#define SITE_VARY "Vary: Accept-Encoding, X-P2P-PeerDist, X-P2P-PeerDistEx\r\n"
#define SITE_MIN  1000u
#define SITE_JOBS 64

/* Date, Last-Modified, ETag and Accept-Ranges. */
#define SITE_STAMP_TEXT 256

struct web_site {
	struct loop *loop;
	struct http_server *server;
	struct http_listener *listener;
	uint16_t port;
	struct service *service;
	struct web *web;
	struct env env;
	struct talk talk;
	unsigned fds;
	uint64_t now_s;
	char path[64]; /* of the folder with the root in it */
	char root[80];
	/* workers */
	bool by_hand; /* jobs wait for web_site_do_job() */
	size_t n_jobs;
	struct env_job *jobs[SITE_JOBS];
	struct env_job *cancelled[SITE_JOBS]; /* but not ended */
	size_t n_cancelled;
	unsigned cancels;
	struct loop_deferred work;
	unsigned opened; /* jobs so far */
	unsigned opened_slow;
	/* the system */
	bool no_openat2;
	bool stalls; /* each file system may */
	uint32_t patience_ms;
	bool cold; /* nothing is in the page cache, until it was read */
	/* hashed.h */
	enum hashed_result hashes; /* what is said */
	enum hashed_result then;   /* after HASHED_LATER */
	const char *info;
	int version;
	bool refuses; /* hashed_want() */
	unsigned asks;
	unsigned lent;
	unsigned wants;
	struct hashed_ask *waiting;
	struct hashed_ask last; /* as it was asked */
	struct stat st;
};

extern struct web_site site;

/* cmocka's. */
int web_site_setup(void **state);
int web_site_teardown(void **state);

/* Beneath the root, last changed at SITE_NOW - 3600. */
void web_site_file(const char *path, const void *data, size_t len);
void web_site_text(const char *path, const char *text);
/* Bytes that say where they are. */
void web_site_big(const char *path, size_t len);
uint8_t web_site_byte(uint64_t at);
void web_site_folder(const char *path);
void web_site_link(const char *path, const char *target);
void web_site_touch(const char *path, uint64_t when_s);
/* Of the root or a file beneath. */
const char *web_site_path(const char *path);
void web_site_etag(const char *path, char etag[64]);
void web_site_stamp(const char *path, char text[SITE_STAMP_TEXT]);

/* From now on the root is on a file system that may stall. */
void web_site_stall(void);
/* Runs the job that came last. */
void web_site_do_job(void);
/* Waits for it. */
void web_site_await_job(void);
/* What was LATER. */
void web_site_answer_ask(void);
void web_site_await_ask(void);

/* "GET path HTTP/1.1", fields (each with CRLF), empty line. */
void web_site_get(const char *path, const char *fields);
/* A scenario for failalloc.h: arg is a whole request, on a connection of its
 * own, on which the client allocates nothing and believes anything. */
int web_site_once(void *arg);
/* The one line of an error. */
void web_site_expect_error(unsigned status, const char *reason);
/* Status line to the empty line behind the header. */
void web_site_expect_head(
	const char *status, size_t len, const char *type, const char *fields);
/* Bytes of web_site_big(). */
void web_site_expect_bytes(uint64_t from, size_t len);

#endif
