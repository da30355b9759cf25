/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A branch for tests of net/discovery: one or two programs on this host, which
 * share the loop and what they see of the interfaces, and another host at the
 * end of a cable, which is only sockets: what it says is up to the test.  The
 * core is replaced by what writes down what it is told.
 */
#ifndef TESTS_UNIT_BRANCH_H
#define TESTS_UNIT_BRANCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/pccrd.h"
#include "common/parse.h"
#include "daemon/net/discovery.h"
#include "daemon/net/loop.h"
#include "daemon/net/netif.h"

#define BRANCH_PORT_A   8001 /* where the programs serve */
#define BRANCH_PORT_B   8002
#define BRANCH_TEXT_MAX 4096

struct branch;

/* A program of this host, and what it was told last. */
struct branch_program {
	struct branch *f;
	struct discovery *d;
	unsigned heard, answered;
	struct {
		struct parse_addr from;
		uint32_t interface;
		char message_id[PCCRD_URI_MAX + 1];
		size_t n_ids;
	} question;
	struct {
		struct parse_addr from;
		char relates_to[PCCRD_URI_MAX + 1];
		size_t n_addrs;
		struct parse_addr addrs[PCCRD_ADDRS_MAX];
		uint32_t blocks;
	} answer;
	bool stop; /* as soon as it is told something */
};

struct branch {
	struct loop *loop;
	struct netif *netif;
	struct branch_program a, b;
	int space; /* the other host */
	/* waiting */
	bool (*ready)(struct branch *);
	struct loop_alarm tick;
	uint64_t until_ms;
	size_t wanted;
	int far_fd;
	char folder[64];
};

extern const struct netif_settings branch_everything;

/* For cmocka: a fresh namespace each time. */
int branch_setup(void **state);
int branch_teardown(void **state);
/* Skips when there is none. */
struct branch *branch_of(void **state);

/* Runs the loop until ready, asserts that it becomes so. */
void branch_wait(struct branch *, bool (*ready)(struct branch *));
/* At least f->wanted times. */
bool branch_a_has_heard(struct branch *);
bool branch_b_has_heard(struct branch *);
bool branch_a_was_answered(struct branch *);
bool branch_a_has_received(struct branch *);
/* Exactly n times, since the beginning. */
void branch_wait_heard(struct branch *, size_t n);
void branch_wait_answered(struct branch *, size_t n);
/* Until A asks on so many interfaces, both families counted. */
void branch_wait_asks(struct branch *, size_t n);

/* v0 here, v1 there, with the addresses .1 and .2, ::1 and ::2. */
void branch_cable(struct branch *, bool four, bool six);
/* The second one, w0 and w1, 198.51.100.0/24. */
void branch_second_cable(struct branch *);
/* Makes the interfaces known to the programs. */
void branch_look(struct branch *, const struct netif_settings *);
void branch_make(struct branch_program *);
/* Looks at all interfaces, if nobody has looked, makes and starts it. */
void branch_start(struct branch_program *, uint16_t port);
struct discovery_view branch_view(const struct branch_program *);
void branch_ask(struct branch_program *);
/* To the last question. */
void branch_reply(struct branch_program *);

unsigned branch_index(const char *name);
unsigned branch_far_index(struct branch *, const char *name);
struct parse_addr branch_addr(const char *text);
void branch_assert_addr(const struct parse_addr *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
size_t branch_count_fds(void);

/* The other host.  text: ADDRESS:PORT; name: the interface for the group. */
int branch_speaker(struct branch *, const char *text, const char *name);
/* Hears what is said to the group there. */
int branch_listener(struct branch *, bool six, const char *name);
void branch_bind(int fd, const char *text);
bool branch_say(int fd, const char *to, const void *data, size_t len);
void branch_say_probe(int fd, const char *to);
/* An answer that names these addresses. */
void branch_say_answer(
	int fd, const struct parse_addr *to, const char *const *names);
#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
/* What came, as text of at most BRANCH_TEXT_MAX, and from whom; how many hops
 * it could have made still. */
int branch_hear(int fd, char *text, struct parse_addr *ret_from);

#endif
