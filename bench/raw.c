/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon over raw frames.
 *
 *	raw cancel PENDING COUNT CPU	one at a time: cancel, completion,
 *					answer; then a fresh operation,
 *					untimed; median in ns
 *	raw rate PENDING COUNT		random cancels, 1,024 in flight; per s
 *	raw status COUNT		status requests, 256 in flight; per s
 *	raw hold PENDING		only keeps them pending
 *
 * Says "ready" when the operations are pending, then measures once for each
 * line on standard input and prints the number.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frames.h"

#define SUBMIT_BATCH 512u
#define CANCEL_DEPTH 1024u
#define STATUS_DEPTH 256u
#define REFILL       128u /* frames sent at once while in flight */

static struct frames f;
static uint64_t handle;
static uint32_t n_slots, *generations;
static uint32_t rng = 2463534242u;

static uint32_t
next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 17;
	rng ^= rng << 5;
	return rng;
}

static void
expect_acks(uint32_t n)
{
	const uint8_t *body;

	while (n > 0) {
		struct ipc_header h = frames_next(&f, &body);

		/* An accepting Reply is all zeroes, hence no body. */
		if (h.type != IPC_ACK || h.length != IPC_HEADER_SIZE)
			bench_die("submit: frame type %u, length %u", h.type,
				h.length);
		n--;
	}
}

/* Slots [from, to) get a pending read each. */
static void
submit_range(uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to;) {
		uint32_t batch = to - i < SUBMIT_BATCH ? to - i : SUBMIT_BATCH;

		for (uint32_t k = 0; k < batch; k++, i++)
			frames_add_read(
				&f, handle, ipc_op_id(i, ++generations[i]));
		frames_send(&f);
		expect_acks(batch);
	}
}

static void
fill(uint32_t pending)
{
	frames_open(&f);
	handle = frames_content(&f);
	n_slots = pending;
	generations = malloc(n_slots * sizeof(*generations));
	if (!generations)
		bench_die("out of memory");
	/* Slot 0 was used twice for the content information. */
	for (uint32_t i = 0; i < n_slots; i++)
		generations[i] = 2;
	submit_range(0, n_slots);
}

static void
add_cancel(uint64_t id, uint32_t slot)
{
	Pd__ClientCancel cancel = PD__CLIENT_CANCEL__INIT;

	cancel.handle = handle;
	cancel.operation = ipc_op_id(slot, generations[slot]);
	frames_add(&f, IPC_CLIENT_CANCEL, id, &cancel.base);
}

/* What a submission leaves to be done is done when the next request has been
 * answered: it shall not be counted as the cancel's. */
static void
settle(void)
{
	uint64_t id = f.next_request++;
	const uint8_t *body;
	struct ipc_header h;

	frames_add(&f, IPC_STATUS_GET, id, NULL);
	frames_send(&f);
	h = frames_next(&f, &body);
	if (h.type != IPC_REPLY || h.id != id)
		bench_die("status: frame type %u", h.type);
}

static double
cancel_once(void)
{
	uint32_t slot = next_random() % n_slots;
	uint64_t start, id = f.next_request++;
	struct ipc_header done, answer;
	const uint8_t *body;

	start = bench_now_ns();
	add_cancel(id, slot);
	frames_send(&f);
	done = frames_next(&f, &body);
	answer = frames_next(&f, &body);
	start = bench_now_ns() - start;
	if (done.type != IPC_COMPLETE ||
		done.id != ipc_op_id(slot, generations[slot]) ||
		answer.type != IPC_REPLY || answer.id != id)
		bench_die("cancel: frames %u and %u", done.type, answer.type);
	submit_range(slot, slot + 1);
	settle();
	return (double)start;
}

static double
cancel_median(size_t count)
{
	double *ns = malloc(count * sizeof(*ns)), median;

	if (!ns)
		bench_die("out of memory");
	for (size_t i = 0; i < count; i++)
		ns[i] = cancel_once();
	median = bench_median(ns, count);
	free(ns);
	return median;
}

/* A random order of count different slots. */
static uint32_t *
pick(size_t count)
{
	uint32_t *slots = malloc(n_slots * sizeof(*slots));

	if (!slots || count > n_slots)
		bench_die("too many");
	for (uint32_t i = 0; i < n_slots; i++)
		slots[i] = i;
	for (size_t i = 0; i < count; i++) {
		size_t k = i + next_random() % (n_slots - i);
		uint32_t swap = slots[i];

		slots[i] = slots[k];
		slots[k] = swap;
	}
	return slots;
}

static double
cancel_rate(size_t count)
{
	uint32_t *slots = pick(count);
	size_t sent = 0, done = 0, answered = 0;
	const uint8_t *body;
	uint64_t start = bench_now_ns();

	while (answered < count) {
		while (sent < count && sent - answered < CANCEL_DEPTH) {
			add_cancel(f.next_request++, slots[sent++]);
			if (sent % REFILL == 0)
				break;
		}
		frames_send(&f);
		do {
			struct ipc_header h = frames_next(&f, &body);

			done += h.type == IPC_COMPLETE;
			answered += h.type == IPC_REPLY;
		} while (frames_have(&f) ||
			sent - answered > CANCEL_DEPTH - REFILL);
	}
	start = bench_now_ns() - start;
	if (done != count)
		bench_die("%zu completions of %zu", done, count);
	for (size_t i = 0; i < count; i++)
		submit_range(slots[i], slots[i] + 1);
	free(slots);
	return (double)count * 1e9 / (double)start;
}

static double
status_rate(size_t count)
{
	size_t sent = 0, answered = 0;
	const uint8_t *body;
	uint64_t start = bench_now_ns();

	while (answered < count) {
		while (sent < count && sent - answered < STATUS_DEPTH)
			frames_add(&f, IPC_STATUS_GET, f.next_request + sent++,
				NULL);
		frames_send(&f);
		do {
			struct ipc_header h = frames_next(&f, &body);

			if (h.id != f.next_request + answered)
				bench_die("status: frame type %u", h.type);
			answered++;
		} while (frames_have(&f));
	}
	f.next_request += sent;
	return (double)count * 1e9 / (double)(bench_now_ns() - start);
}

static double
measure(const char *what, size_t count)
{
	if (strcmp(what, "cancel") == 0)
		return cancel_median(count);
	if (strcmp(what, "rate") == 0)
		return cancel_rate(count);
	if (strcmp(what, "status") == 0)
		return status_rate(count);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	bool status = strcmp(what, "status") == 0;
	size_t count = 0;

	if (argc < 3)
		bench_die("usage: raw cancel|rate|status|hold ...");
	if (argc > 4)
		bench_pin(atoi(argv[4]));
	if (status) {
		frames_open(&f);
		count = strtoull(argv[2], NULL, 10);
	} else {
		fill((uint32_t)strtoull(argv[2], NULL, 10));
		if (argc > 3)
			count = strtoull(argv[3], NULL, 10);
	}
	printf("ready\n");
	fflush(stdout);
	while (bench_go()) {
		printf("%.1f\n", measure(what, count));
		fflush(stdout);
	}
	return 0;
}
