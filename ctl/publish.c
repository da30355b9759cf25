/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each slot works on one file: the file is opened here, so that it is the
 * caller's right to read that counts, and goes to the service with its path.
 *
 *	free -> running -> free           published, or not
 *	        running -> waiting        changed a moment ago
 *	waiting -> running                when that moment is over
 *
 * The service looks at the clock when it begins to hash, and a file that is
 * being written is "changed a moment ago" again and again; so there is an end
 * to that.
 */
#include "ctl/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/macros.h"
#include "ctl/ask.h"
#include "ctl/out.h"
#include "ctl/progress.h"
#include "proto/ipc_call.h"
#include "proto/peerdist_errors.h"

#define SLOTS    4u
#define RETRIES  3u
#define RETRY_US (2 * US_PER_S + 100 * US_PER_MS)

enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_WAITING };

struct slot {
	enum slot_state state;
	const struct walk_file *file;
	uint64_t id;
	uint64_t done;   /* bytes of the file */
	uint64_t due_us; /* waiting until then */
	unsigned retries;
};

struct publishing {
	struct publish *job;
	struct ipc_chan *chan;
	struct slot slots[SLOTS];
	size_t n_slots;
	size_t next; /* file that nobody has begun */
	uint32_t generation;
	uint64_t done; /* bytes of files that have ended */
	uint64_t heard_us;
	struct progress bar;
};

static void
show_progress(struct publishing *p)
{
	uint64_t done = p->done;

	for (size_t i = 0; i < p->n_slots; i++)
		if (p->slots[i].state != SLOT_FREE)
			done += p->slots[i].done;
	progress_show(&p->bar, done, p->job->walk->bytes);
}

static void
slot_free(struct publishing *p, struct slot *s)
{
	p->done += s->file->size;
	s->state = SLOT_FREE;
	progress_clear(&p->bar);
}

static void
slot_failed(struct publishing *p, struct slot *s, const char *why)
{
	slot_free(p, s);
	p->job->failed(p->job, s->file, why);
}

/* The file as its path said when the tree was walked: no link has taken its
 * place.  -errno. */
static int
open_file(const struct walk_file *f)
{
	AUTO_FD int fd = open(f->path,
		O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return TAKE_FD(fd);
}

/* -errno of the connection; what is wrong with the file ends the slot. */
static int
slot_start(struct publishing *p, struct slot *s)
{
	Pd__SubmitPublishStanding body = PD__SUBMIT_PUBLISH_STANDING__INIT;
	AUTO_FD int fd = open_file(s->file);

	if (fd < 0) {
		slot_failed(p, s,
			fd == -EINVAL ? "no longer a regular file"
				      : strerror(-fd));
		return 0;
	}
	body.path.data = (uint8_t *)s->file->path;
	body.path.len = strlen(s->file->path);
	body.versions = p->job->versions;
	s->id = ipc_op_id((uint32_t)(s - p->slots), ++p->generation);
	s->done = 0;
	s->state = SLOT_RUNNING;
	p->heard_us = clock_now_us();
	return ipc_call_send(p->chan, IPC_SUBMIT_PUBLISH_STANDING, s->id,
		&body.base, fd, arg_timeout_ms);
}

static int
fill_slots(struct publishing *p)
{
	uint64_t now = clock_now_us();
	int r = 0;

	for (size_t i = 0; i < p->n_slots && r == 0; i++) {
		struct slot *s = &p->slots[i];

		/* A file that cannot be opened leaves the slot free. */
		while (r == 0 && s->state == SLOT_FREE &&
			p->next < p->job->walk->n) {
			*s = (struct slot){
				.file = &p->job->walk->files[p->next++]};
			r = slot_start(p, s);
		}
		if (s->state == SLOT_WAITING && s->due_us <= now)
			r = slot_start(p, s);
	}
	return r;
}

static const char *
words_for(uint32_t code)
{
	switch (code) {
	case ERROR_NOT_READY:
		return "it changes all the time: files are published when "
		       "they have been left alone for two seconds";
	case ERROR_INVALID_DATA:
		return "it changed while it was read";
	case ERROR_INVALID_PARAMETER:
		return "the service cannot publish this file";
	case ERROR_DISK_FULL:
		return "there is no room in the hash cache";
	case ERROR_IO_DEVICE:
		return "it cannot be read, or the service's disk refuses";
	case ERROR_NO_SYSTEM_RESOURCES:
		return "with it you would have more published, or under way, "
		       "than one user may";
	case ERROR_NOT_ENOUGH_MEMORY:
		return "the service has no memory for this now";
	case ERROR_OPERATION_ABORTED:
		return "cancelled";
	case PEERDIST_ERROR_ALREADY_EXISTS:
		return "a program has published something under this path";
	default:
		return NULL;
	}
}

/* What would be the same for every file. */
static bool
is_fatal(uint32_t code)
{
	return code == ERROR_NOT_SUPPORTED || code == ERROR_INVALID_HANDLE ||
		code == ERROR_ACCESS_DISABLED_BY_POLICY ||
		code == PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED ||
		code == PEERDIST_ERROR_INVALIDATED ||
		code == PEERDIST_ERROR_SERVICE_UNAVAILABLE;
}

static enum ctl_exit
fatal(struct publishing *p, uint32_t code)
{
	const struct ask_request what = {.type = IPC_SUBMIT_PUBLISH_STANDING};

	progress_clear(&p->bar);
	if (code == PEERDIST_ERROR_INVALIDATED)
		return out_error(CTL_UNAVAILABLE, "the service is stopping");
	if (code == PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED)
		return out_error(CTL_FAILED,
			"the service is set to make version 1 only");
	if (code == ERROR_ACCESS_DISABLED_BY_POLICY)
		return out_error(CTL_LOCKED,
			"publishing is switched off, or only for certain "
			"groups");
	return ask_failed(&what, code);
}

/* The file's end with this code, which is not 0. */
static enum ctl_exit
slot_refused(struct publishing *p, struct slot *s, uint32_t code)
{
	const char *why = words_for(code);
	char text[64];

	if (is_fatal(code))
		return fatal(p, code);
	if (code == ERROR_NOT_READY && s->retries < RETRIES) {
		s->retries++;
		s->due_us = clock_now_us() + RETRY_US;
		s->state = SLOT_WAITING;
		return CTL_OK;
	}
	if (why == NULL) {
		snprintf(text, sizeof(text), "the service answered %u", code);
		why = text;
	}
	slot_failed(p, s, why);
	return CTL_OK;
}

static enum ctl_exit
slot_complete(struct publishing *p, struct slot *s, const Pd__Complete *end)
{
	if (end->code != 0)
		return slot_refused(p, s, end->code);
	slot_free(p, s);
	p->job->published(p->job, s->file, end->offset, end->bytes != 0);
	return CTL_OK;
}

static struct slot *
slot_of(struct publishing *p, uint64_t id)
{
	uint32_t i = ipc_op_slot(id);

	if (i >= p->n_slots || p->slots[i].state != SLOT_RUNNING ||
		p->slots[i].id != id)
		return NULL;
	return &p->slots[i];
}

static enum ctl_exit
take_frame(struct publishing *p, const struct ipc_msg *m)
{
	struct slot *s = slot_of(p, m->header.id);

	if (s == NULL)
		return CTL_OK;
	switch (m->header.type) {
	case IPC_PROGRESS:
		if (m->u.progress->operation)
			s->done = MIN_OF(m->u.progress->done, s->file->size);
		return CTL_OK;
	case IPC_REPLY: /* of a service that does not know the frame */
	case IPC_ACK:
		return m->u.reply->code != 0
			? slot_refused(p, s, m->u.reply->code)
			: CTL_OK;
	case IPC_COMPLETE:
		return slot_complete(p, s, m->u.complete);
	default:
		return CTL_OK;
	}
}

/* Until a slot stops waiting, or patience ends. */
static int
patience_ms(const struct publishing *p, bool *ret_running)
{
	uint64_t now = clock_now_us(), until = UINT64_MAX;

	*ret_running = false;
	for (size_t i = 0; i < p->n_slots; i++) {
		const struct slot *s = &p->slots[i];

		if (s->state == SLOT_WAITING)
			until = MIN_OF(until, s->due_us);
		else if (s->state == SLOT_RUNNING)
			*ret_running = true;
	}
	if (*ret_running)
		until = MIN_OF(until,
			p->heard_us + (uint64_t)arg_timeout_ms * US_PER_MS);
	return (int)((until - MIN_OF(now, until)) / US_PER_MS) + 1;
}

static enum ctl_exit
lost(struct publishing *p, int r)
{
	progress_clear(&p->bar);
	return ask_connection_failed(r);
}

static enum ctl_exit
wait_step(struct publishing *p)
{
	enum ctl_exit result;
	struct ipc_msg m;
	bool running;
	int ms = patience_ms(p, &running);
	int r = ipc_call_next(p->chan, ms, &m);

	if (r == -ETIMEDOUT &&
		(!running ||
			clock_now_us() - p->heard_us <
				(uint64_t)arg_timeout_ms * US_PER_MS))
		return CTL_OK;
	if (r != 0)
		return lost(p, r);
	p->heard_us = clock_now_us();
	result = take_frame(p, &m);
	ipc_msg_done(&m);
	return result;
}

static bool
is_busy(const struct publishing *p)
{
	for (size_t i = 0; i < p->n_slots; i++)
		if (p->slots[i].state != SLOT_FREE)
			return true;
	return false;
}

static enum ctl_exit
run(struct publishing *p)
{
	enum ctl_exit result = CTL_OK;

	while (result == CTL_OK) {
		int r = fill_slots(p);

		if (r != 0)
			return lost(p, r);
		if (!is_busy(p))
			break;
		show_progress(p);
		result = wait_step(p);
	}
	return result;
}

enum ctl_exit
publish_run(struct publish *job)
{
	struct publishing p = {.job = job};
	struct ipc_greeting greeting;
	enum ctl_exit result;
	int r;

	if (job->walk->n == 0)
		return CTL_OK;
	r = ask_connect(IPC_FEATURE_AREA, &p.chan, &greeting);
	if (r != 0)
		return ask_connection_failed(r);
	p.n_slots = MIN_OF(SLOTS, greeting.max_operations);
	progress_begin(&p.bar, "publishing");
	if ((greeting.features & IPC_FEATURE_AREA) == 0 || p.n_slots == 0)
		result = out_error(
			CTL_UNAVAILABLE, "the service has no room for this");
	else
		result = run(&p);
	progress_clear(&p.bar);
	ipc_chan_free(p.chan);
	return result;
}
