/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/serve_site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/macros.h"
#include "tests/unit/closing.h"
#include "tests/unit/net_peer.h"

struct serve_site site;

/* In place of the C library's: whether pages are there cannot be arranged. */
ssize_t
preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	assert_int_equal(flags, RWF_NOWAIT);
	if (site.cold) {
		errno = EAGAIN;
		return -1;
	}
	return preadv(fd, iov, n, offset);
}

/* The store: of ID_V1 the blocks 0 (48 bytes), 1, 2 and 70, of ID_V2 block 0.
 */

void
site_unhex(const char *hex, uint8_t *dst)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		unsigned byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		dst[i] = (uint8_t)byte;
	}
}

static bool
id_is(const uint8_t *id, size_t len, const char *hex)
{
	uint8_t want[32];

	site_unhex(hex, want);
	return len == sizeof(want) && memcmp(id, want, len) == 0;
}

static void
fake_held(struct block_store *store, const uint8_t *id, size_t len,
	struct store_held *ret)
{
	*ret = (struct store_held){0};
	if (site.looked_up++ == 0 && site.between.fn != NULL)
		loop_defer(site.loop, &site.between);
	if (site.nothing)
		return;
	if (id_is(id, len, ID_V1))
		*ret = (struct store_held){
			.n_blocks = 4, .blocks = {7, 1u << 6}, .born_s = 1000};
	else if (id_is(id, len, ID_V2))
		*ret = (struct store_held){
			.n_blocks = 1, .blocks = {1}, .born_s = 500};
}

static enum store_status
fake_lend(struct block_store *store, const uint8_t *id, size_t len,
	uint32_t index, struct store_loan *ret)
{
	struct store_held held;

	fake_held(store, id, len, &held);
	if (index >= 512 || !(held.blocks[index / 64] >> index % 64 & 1))
		return STORE_MISSING;
	site.lent++;
	site.lends++;
	*ret = (struct store_loan){
		.fd = site.file,
		.offset = 4096 + 1234 * index,
		.cipher_len = BIG,
		.tail_len = TAIL,
		.algo = PCCRR_AES256,
	};
	if (index == 0) {
		ret->fd = -1;
		ret->bytes = site.small;
		ret->cipher_len = 48;
		ret->algo = PCCRR_AES128;
	}
	return STORE_OK;
}

static void
fake_give_back(struct block_store *store, struct store_loan *loan)
{
	assert_true(site.lent-- > 0);
	net_wait_check();
}

static const struct block_store_ops store_ops = {
	.held = fake_held, .lend = fake_lend, .give_back = fake_give_back};

/* The environment: virtual time, and jobs that end when told. */

static uint64_t
now_ms(void *ctx)
{
	return site.now_ms;
}

static uint64_t
wall_ms(void *ctx)
{
	return 1600999;
}

static void
take_job(void *ctx, struct env_job *job)
{
	assert_true(site.n_jobs < JOBS_MAX);
	site.jobs[site.n_jobs++] = job;
	net_wait_check();
}

void
site_do_job(void)
{
	struct env_job *job = site.jobs[--site.n_jobs];

	job->run(job, NULL);
	job->done(job, true);
}

static void
timer_changed(void *ctx)
{
}

static void
fill(void *ctx, void *buf, size_t len)
{
	memset(buf, 1, len);
}

static const struct env_ops env_ops = {
	.now_ms = now_ms,
	.wall_ms = wall_ms,
	.random = fill,
	.job = take_job,
	.timer_changed = timer_changed,
};

void
site_configure(void)
{
	assert_int_equal(service_configure(site.service, &site.settings), 0);
}

static void
service_begin(void)
{
	static const uint8_t key[32] = {1};

	site.store.ops = &store_ops;
	site.env = (struct env){.ops = &env_ops};
	site.now_ms = 1000;
	site.settings = (struct service_settings){
		.policy = {.enabled = true,
			.mode = MODE_DISTRIBUTED,
			.clients = {.all = true},
			.publishers = {.all = true}},
		.preferred_content_version = 2,
		.encryption = PCCRR_AES128,
		.max_peers = 16,
		.uploads = 64,
		.upload_timeout_ms = TIMEOUT_MS,
	};
	site.service = service_new(
		&site.env, &site.store, &site.settings, key, sizeof(key));
	assert_non_null(site.service);
	service_ready(site.service, true);
	site_configure();
}

int
site_setup(void **state)
{
	struct parse_addr addr;

	memset(&site, 0, sizeof(site));
	site.fds = count_fds();
	assert_int_equal(loop_new(&site.loop, NULL, NULL), 0);
	service_begin();
	site_unhex(CIPHER, site.small);
	site_unhex("0000000000000010" IV, site.small + 48);
	site.file = memfd_create("blocks", MFD_CLOEXEC);
	assert_int_equal(ftruncate(site.file, 1 << 20), 0);
	site.big = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED,
		site.file, 0);
	assert_ptr_not_equal(site.big, MAP_FAILED);
	for (size_t i = 0; i < 1 << 20; i++)
		site.big[i] = (uint8_t)(i * 11 ^ i >> 9);
	site.server = http_server_new(site.loop, NULL);
	assert_non_null(site.server);
	site.serve = serve_new(site.loop, site.service, &site.env, site.server);
	assert_non_null(site.serve);
	assert_int_equal(parse_addr_port("127.0.0.1:0", &addr), 0);
	assert_int_equal(
		http_server_listen(site.server, &addr, NULL, &site.listener),
		0);
	site.port = http_listener_port(site.listener);
	talk_connect(&site.talk, site.loop, site.port);
	return 0;
}

int
site_teardown(void **state)
{
	talk_end(&site.talk);
	http_server_free(site.server);
	service_ready(site.service, false);
	assert_int_equal(site.lent, 0);
	assert_int_equal(uploads_running(service_uploads(site.service)), 0);
	assert_true(service_idle(site.service));
	assert_null(serve_free(site.serve));
	service_free(site.service);
	munmap(site.big, 1 << 20);
	close(site.file);
	loop_free(site.loop);
	assert_int_equal(count_fds(), site.fds);
	return 0;
}

/* Talking */

void
site_ask_bytes(struct talk *t, const void *body, size_t len)
{
	char head[256];

	snprintf(head, sizeof(head),
		"POST " PATH " HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", len);
	talk_say(t, head);
	talk_send(t, body, len);
}

void
site_ask(struct talk *t, const char *hex)
{
	uint8_t body[4096];

	assert_true(strlen(hex) / 2 <= sizeof(body));
	site_unhex(hex, body);
	site_ask_bytes(t, body, strlen(hex) / 2);
}

void
site_expect_head(struct talk *t, size_t len)
{
	char head[256];

	snprintf(head, sizeof(head),
		"HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n"
		"Content-Type: application/octet-stream\r\n\r\n",
		len);
	talk_expect(t, head);
}

void
site_expect_hex(struct talk *t, const char *hex)
{
	uint8_t body[4096];

	assert_true(strlen(hex) / 2 <= sizeof(body));
	site_unhex(hex, body);
	talk_expect_bytes(t, body, strlen(hex) / 2);
}

void
site_expect(struct talk *t, const char *hex)
{
	site_expect_head(t, strlen(hex) / 2);
	site_expect_hex(t, hex);
}

/* A whole block of ID_V1 of the file. */
void
site_expect_big(struct talk *t, const char *index, const char *next)
{
	char head[512];

	snprintf(head, sizeof(head),
		"0001006800000001000000050001006800000003" /* 65,640 */
		"00000020" ID_V1 "%s%s00010010",
		index, next);
	site_expect_head(t, 4 + 65640);
	site_expect_hex(t, head);
	talk_expect_bytes(t, site.big + 4096 + 1234 * strtoul(index, NULL, 16),
		BIG + TAIL);
}

void
site_pass(uint64_t ms)
{
	site.now_ms += ms;
	service_tick(site.service);
}
