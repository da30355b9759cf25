/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For a note in the table: io_uring's ASYNC_CANCEL of random requests among
 * PENDING polls, 64 to a submission, by raw system calls.
 *
 *	yard_uring PENDING COUNT
 *
 * Cancels per second, once for each line on standard input; exit status 77
 * when the kernel has no io_uring for us.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/frames.h"

#define ENTRIES 1024u
#define BATCH   64u

struct ring {
	int fd;
	unsigned *sq_tail, *sq_mask, *sq_array;
	unsigned *cq_head, *cq_tail;
	struct io_uring_sqe *sqes;
	unsigned tail;
};

static uint8_t *
map(int fd, size_t len, uint64_t offset)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);

	if (p == MAP_FAILED)
		bench_die("mmap: %s", strerror(errno));
	return p;
}

static void
ring_open(struct ring *r)
{
	struct io_uring_params p = {0};
	uint8_t *sq, *cq;

	p.flags = IORING_SETUP_CQSIZE;
	p.cq_entries = ENTRIES * 4;
	r->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &p);
	if (r->fd < 0) {
		fprintf(stderr, "io_uring: %s\n", strerror(errno));
		exit(77);
	}
	sq = map(r->fd, p.sq_off.array + p.sq_entries * sizeof(unsigned),
		IORING_OFF_SQ_RING);
	cq = map(r->fd,
		p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
		IORING_OFF_CQ_RING);
	r->sqes = (struct io_uring_sqe *)(void *)map(r->fd,
		p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	r->sq_tail = (unsigned *)(void *)(sq + p.sq_off.tail);
	r->sq_mask = (unsigned *)(void *)(sq + p.sq_off.ring_mask);
	r->sq_array = (unsigned *)(void *)(sq + p.sq_off.array);
	r->cq_head = (unsigned *)(void *)(cq + p.cq_off.head);
	r->cq_tail = (unsigned *)(void *)(cq + p.cq_off.tail);
	r->tail = *r->sq_tail;
}

static struct io_uring_sqe *
ring_next(struct ring *r)
{
	unsigned i = r->tail++ & *r->sq_mask;

	r->sq_array[i] = i;
	memset(&r->sqes[i], 0, sizeof(r->sqes[i]));
	return &r->sqes[i];
}

/* Submits n, waits for want completions and drops them. */
static void
ring_enter(struct ring *r, unsigned n, unsigned want)
{
	unsigned seen = 0;

	__atomic_store_n(r->sq_tail, r->tail, __ATOMIC_RELEASE);
	do {
		unsigned tail;

		if (syscall(SYS_io_uring_enter, r->fd, n, want - seen,
			    IORING_ENTER_GETEVENTS, NULL, 0) < 0)
			bench_die("io_uring_enter: %s", strerror(errno));
		n = 0;
		tail = __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE);
		seen += tail - *r->cq_head;
		__atomic_store_n(r->cq_head, tail, __ATOMIC_RELEASE);
	} while (seen < want);
}

static void
poll_range(struct ring *r, int fd, uint64_t first, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct io_uring_sqe *sqe = ring_next(r);

		sqe->opcode = IORING_OP_POLL_ADD;
		sqe->fd = fd;
		sqe->poll32_events = POLLIN;
		sqe->user_data = first + i + 1;
	}
	ring_enter(r, n, 0);
}

static double
measure(struct ring *r, int fd, size_t pending, size_t count)
{
	uint64_t spent = 0;

	for (size_t done = 0; done < count; done += BATCH) {
		/* A run of BATCH different ones at a random place. */
		uint64_t first = (uint64_t)random() % (pending - BATCH);
		uint64_t start = bench_now_ns();

		for (unsigned i = 0; i < BATCH; i++) {
			struct io_uring_sqe *sqe = ring_next(r);

			sqe->opcode = IORING_OP_ASYNC_CANCEL;
			sqe->addr = first + i + 1;
		}
		ring_enter(r, BATCH, 2 * BATCH);
		spent += bench_now_ns() - start;
		poll_range(r, fd, first, BATCH);
	}
	return (double)count * 1e9 / (double)spent;
}

int
main(int argc, char **argv)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	size_t pending, count;
	struct ring r;

	if (argc < 3)
		bench_die("usage: yard_uring PENDING COUNT");
	pending = strtoull(argv[1], NULL, 10);
	count = strtoull(argv[2], NULL, 10);
	ring_open(&r);
	for (size_t i = 0; i < pending; i += BATCH)
		poll_range(&r, fd, i, BATCH);
	printf("ready\n");
	fflush(stdout);
	while (bench_go()) {
		printf("%.1f\n", measure(&r, fd, pending, count));
		fflush(stdout);
	}
	return 0;
}
