/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/frames.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "codec/pccrc.h"
#include "common/secmem.h"
#include "proto/ipc_call.h"

#define IN_SIZE (256u * 1024u)

void
bench_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	exit(1);
}

static uint64_t
read_clock(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
bench_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t
bench_cpu_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void
bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		bench_die("sched_setaffinity: %s", strerror(errno));
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
bench_median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

bool
bench_go(void)
{
	char line[64];

	return fgets(line, sizeof(line), stdin) != NULL;
}

void
frames_open(struct frames *f)
{
	struct ipc_greeting greeting;
	struct ipc_chan *chan;
	int fd, r;

	fd = ipc_connect(ipc_socket_path(), 5000);
	if (fd < 0)
		bench_die("%s: %s", ipc_socket_path(), strerror(-fd));
	/* The channel closes its socket; ours stays open. */
	f->fd = dup(fd);
	r = ipc_chan_new(&chan, fd, IPC_FROM_CLIENT);
	if (r == 0)
		r = ipc_greet(chan, IPC_FEATURE_AREA, "bench", 5000, &greeting);
	if (r != 0 || f->fd < 0)
		bench_die("greeting: %s", strerror(-r));
	close(greeting.area.fd);
	/* No shutdown: it would end the copy too. */
	ipc_chan_free(chan);
	f->in = malloc(IN_SIZE);
	f->in_len = f->in_used = 0;
	f->next_request = 1;
	buf_init(&f->out, 64u << 20);
	if (!f->in)
		bench_die("out of memory");
}

void
frames_add(struct frames *f, enum ipc_type type, uint64_t id,
	const ProtobufCMessage *body)
{
	if (ipc_build(&f->out, type, id, 0, body) != 0)
		bench_die("cannot build a frame");
}

void
frames_send(struct frames *f)
{
	size_t sent = 0;
	ssize_t n;

	while (sent < f->out.len) {
		n = send(f->fd, f->out.data + sent, f->out.len - sent,
			MSG_NOSIGNAL);
		if (n < 0)
			bench_die("send: %s", strerror(errno));
		sent += (size_t)n;
	}
	buf_reset(&f->out);
}

bool
frames_have(const struct frames *f)
{
	struct ipc_header h;
	size_t left = f->in_len - f->in_used;

	return ipc_parse_header(&h, f->in + f->in_used, left) == 0 &&
		left >= h.length;
}

static void
receive(struct frames *f)
{
	ssize_t n;

	memmove(f->in, f->in + f->in_used, f->in_len - f->in_used);
	f->in_len -= f->in_used;
	f->in_used = 0;
	n = recv(f->fd, f->in + f->in_len, IN_SIZE - f->in_len, 0);
	if (n <= 0)
		bench_die("the daemon closed the connection");
	f->in_len += (size_t)n;
}

struct ipc_header
frames_next(struct frames *f, const uint8_t **ret_body)
{
	struct ipc_header h;

	while (!frames_have(f))
		receive(f);
	(void)ipc_parse_header(&h, f->in + f->in_used, f->in_len - f->in_used);
	*ret_body = f->in + f->in_used + IPC_HEADER_SIZE;
	f->in_used += h.length;
	return h;
}

/* Waits for one frame of this type; its reply. */
static uint64_t
await(struct frames *f, enum ipc_type type)
{
	const uint8_t *body;
	struct ipc_header h;
	Pd__Reply *reply;
	uint64_t handle;

	do
		h = frames_next(f, &body);
	while (h.type != type);
	if (type == IPC_COMPLETE)
		return 0;
	reply = pd__reply__unpack(NULL, h.length - IPC_HEADER_SIZE, body);
	if (!reply || reply->code != 0)
		bench_die("refused: %u", reply ? reply->code : 0);
	handle = reply->handle;
	pd__reply__free_unpacked(reply, NULL);
	return handle;
}

/* Content information of random bytes. */
static uint8_t *
make_info(size_t *ret_len)
{
	struct bulk *bulk = bulk_new(BULK_AUTO);
	struct pccrc_pub *pub = pccrc_pub_new(PCCRC_MAKE_V1);
	struct pccrc_desc *desc;
	uint8_t *info, *data = malloc(4 * PCCRC_BLOCK_SIZE);
	int r;

	if (!bulk || !pub || !data)
		bench_die("out of memory");
	for (size_t i = 0; i < 4 * PCCRC_BLOCK_SIZE; i++)
		data[i] = (uint8_t)random();
	r = pccrc_pub_feed(pub, bulk, data, 4 * PCCRC_BLOCK_SIZE);
	if (r == 0)
		r = pccrc_pub_finish(pub, bulk, data, 32, &desc);
	if (r == 0)
		r = pccrc_desc_build(
			desc, 1, 0, 4 * PCCRC_BLOCK_SIZE, &info, ret_len);
	if (r != 0)
		bench_die("content information: %s", strerror(-r));
	pccrc_desc_free(desc);
	pccrc_pub_free(pub);
	bulk_free(bulk);
	free(data);
	return info;
}

uint64_t
frames_content(struct frames *f)
{
	Pd__ContentOpen open = PD__CONTENT_OPEN__INIT;
	Pd__SubmitAdd add = PD__SUBMIT_ADD__INIT;
	Pd__Slice slice = PD__SLICE__INIT;
	Pd__Handle complete = PD__HANDLE__INIT;
	uint8_t tag[16] = "bench";
	uint64_t handle;
	size_t len;
	uint8_t *info = make_info(&len);

	open.tag.data = tag;
	open.tag.len = sizeof(tag);
	frames_add(f, IPC_CONTENT_OPEN, f->next_request++, &open.base);
	frames_send(f);
	handle = await(f, IPC_REPLY);
	slice.length = (uint32_t)len;
	slice.inline_data.data = info;
	slice.inline_data.len = len;
	add.handle = complete.handle = handle;
	add.length = (uint32_t)len;
	add.slice = &slice;
	frames_add(f, IPC_SUBMIT_CI_ADD, ipc_op_id(0, 1), &add.base);
	frames_send(f);
	(void)await(f, IPC_ACK);
	(void)await(f, IPC_COMPLETE);
	frames_add(f, IPC_SUBMIT_CI_COMPLETE, ipc_op_id(0, 2), &complete.base);
	frames_send(f);
	(void)await(f, IPC_ACK);
	(void)await(f, IPC_COMPLETE);
	sec_free(info, len);
	return handle;
}

void
frames_add_read(struct frames *f, uint64_t handle, uint64_t op)
{
	Pd__SubmitRead read = PD__SUBMIT_READ__INIT;

	read.handle = handle;
	read.offset = ipc_op_slot(op) % 4 * PCCRC_BLOCK_SIZE;
	read.length = PCCRC_BLOCK_SIZE;
	read.timeout_ms = 0xFFFFFFFDu;
	frames_add(f, IPC_SUBMIT_BLOCK_READ, op, &read.base);
}
