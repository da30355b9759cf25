/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Publishing a file by descriptor.  One operation, no handle of the client: the
 * handle here exists to give the operation a scope, and goes with it.
 *
 * A look at the file comes first: asking a network or FUSE file system for
 * anything that the kernel has not cached can take for ever, so even fstat is a
 * worker's job, one that counts as slow.  If the file system is such a one, all
 * that follows is slow too, so that it holds up other such files of the same
 * user, and nothing else.  The caller is told about a bad range at once, by
 * what the kernel has cached.
 *
 * The file is read by workers with pread, into memory of our own, and never
 * reopened by path.  Version 1 alone is hashed by several jobs at once, 16
 * blocks each, since its blocks are independent; with version 2 the cuts depend
 * on each other and one job follows another.  When all is read, size and times
 * must be what they were before, else the operation ends with bad data.
 *
 * A job in flight keeps the whole object; when the operation ends first, the
 * last job to come back frees it.
 *
 * What is done with the description when it is there, file_ops says: here it
 * becomes a publication of the session.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/close.h"
#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "daemon/core/file.h"

/* Version 1 fills the lanes of one batch; the pieces of version 2 vary, and
 * twice as much has fewer lanes run empty at its end. */
#define FILE_CHUNK  (FILE_BLOCKS * PCCRC_BLOCK_SIZE)
#define FILE_CHUNK2 (2 * FILE_CHUNK)

static struct file *
file_of(struct handle *h)
{
	return container_of(h, struct file, h.handle);
}

static void
file_destroy(struct file *f)
{
	quota_give(f->session->user, QUOTA_BUFFER_BYTES, f->buffer_bytes);
	for (unsigned i = 0; i < FILE_JOBS; i++)
		free(f->jobs[i].buffer);
	fd_close_foreign(f->fd, f->session->identity.uid);
	pccrc_pub_free(f->hasher);
	pccrc_desc_free(f->desc);
	publication_unref(f->h.pub);
	session_unref(f->session);
	if (f->ops->destroy != NULL)
		f->ops->destroy(f);
	else
		free(f);
}

void
file_close(struct handle *h)
{
	struct file *f = file_of(h);

	if (f->detached)
		return;
	f->detached = true;
	if (f->h.pub->desc == NULL)
		publication_withdraw(f->h.pub);
	session_handle_remove(f->session, h);
	if (f->n_running == 0)
		file_destroy(f);
}

static void
file_forget(struct op *op)
{
	struct handle *h = container_of(op->scope, struct handle, scope);

	file_of(h)->op = NULL;
}

static void
file_left(struct op_scope *scope)
{
	file_close(container_of(scope, struct handle, scope));
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_ino == b->st_ino &&
		a->st_dev == b->st_dev &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
		a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* -EBADMSG: the file ends before it should, so it has changed. */
static int
read_all(int fd, uint8_t *buf, size_t len, uint64_t at)
{
	while (len > 0) {
		ssize_t n = pread(fd, buf, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_new(-errno);
		if (n == 0)
			return err_new(-EBADMSG);
		buf += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

static int
hash_blocks(struct file_job *j, struct bulk *bulk)
{
	struct bulk_hash_job jobs[FILE_BLOCKS];
	size_t n = 0;

	for (uint32_t at = 0; at < j->len; at += PCCRC_BLOCK_SIZE, n++) {
		jobs[n].data = j->buffer + at;
		jobs[n].len = MIN_OF(PCCRC_BLOCK_SIZE, j->len - at);
		jobs[n].digest = j->hashes + n * FILE_HASH_SIZE;
	}
	return bulk_hash(bulk, BULK_SHA256, jobs, n);
}

static struct file_job *
job_of(struct env_job *e)
{
	return container_of(
		container_of(e, struct core_job, env), struct file_job, job);
}

static int
may_stall(const struct file *f)
{
	const struct identity *who = &f->session->identity;

	if (who->service || who->uid == 0)
		return err_pass(fd_may_stall(f->fd));
	return err_pass(fd_may_stall_foreign(f->fd));
}

static void
look_run(struct env_job *e, struct bulk *bulk)
{
	struct file_job *j = job_of(e);
	struct file *f = j->file;
	int r = may_stall(f);

	if (r < 0)
		j->result = err_pass(r);
	else if (fstat(f->fd, &f->before) < 0)
		j->result = err_new(-errno);
	else if ((uint64_t)f->before.st_size != f->size)
		j->result = err_new(-EBADMSG);
	else
		j->result = f->ops->look != NULL ? f->ops->look(f) : 0;
	f->slow = r != 0;
}

static void
chunk_run(struct env_job *e, struct bulk *bulk)
{
	struct file_job *j = job_of(e);
	struct file *f = j->file;

	j->result = read_all(f->fd, j->buffer, j->len, f->offset + j->at);
	if (j->result < 0)
		return;
	j->result = f->parallel
		? hash_blocks(j, bulk)
		: pccrc_pub_feed(f->hasher, bulk, j->buffer, j->len);
}

static void
finish_run(struct env_job *e, struct bulk *bulk)
{
	struct file_job *j = job_of(e);
	struct file *f = j->file;
	struct stat after;

	if (fstat(f->fd, &after) < 0)
		j->result = err_new(-errno);
	else if (!same_file(&f->before, &after))
		j->result = err_new(-EBADMSG);
	else
		j->result = pccrc_pub_finish(
			f->hasher, bulk, f->key->bytes, f->key->len, &f->desc);
	if (j->result == 0 && f->ops->described != NULL)
		j->result = f->ops->described(f);
}

static enum core_result
result_of(int r)
{
	if (r >= 0)
		return (enum core_result)r;
	switch (r) {
	case -ENOMEM:
		return CORE_E_NO_MEMORY;
	case -EBADMSG:
		return CORE_E_BAD_DATA;
	default:
		return CORE_E_IO;
	}
}

static void file_step(struct file *);

void
file_work(struct file *f)
{
	f->n_running++;
}

bool
file_work_done(struct file *f)
{
	f->n_running--;
	if (f->op != NULL)
		return true;
	if (f->detached && f->n_running == 0)
		file_destroy(f);
	return false;
}

/* A job has come back.  false: the operation is over, f may be gone. */
static bool
job_back(struct file_job *j, bool ran)
{
	struct file *f = j->file;

	j->running = false;
	if (!file_work_done(f))
		return false;
	if (!ran || j->result != 0) {
		op_finish_status(
			f->op, ran ? result_of(j->result) : CORE_E_ABORTED);
		return false;
	}
	return true;
}

static void
chunk_done(struct core_job *job, bool ran)
{
	struct file_job *j = container_of(job, struct file_job, job);
	struct file *f = j->file;
	size_t n = (j->len + PCCRC_BLOCK_SIZE - 1) / PCCRC_BLOCK_SIZE;

	if (!job_back(j, ran))
		return;
	f->session->service->counters.bytes_published += j->len;
	f->hashed += j->len;
	if (f->ops->progress != NULL)
		f->ops->progress(f);
	if (f->parallel &&
		pccrc_pub_set_blocks(f->hasher, j->at / PCCRC_BLOCK_SIZE,
			j->hashes, n) < 0) {
		op_finish_status(f->op, CORE_E_NO_MEMORY);
		return;
	}
	file_step(f);
}

static void
finish_done(struct core_job *job, bool ran)
{
	struct file_job *j = container_of(job, struct file_job, job);
	struct file *f = j->file;

	f->key = service_key_unref(f->key);
	if (job_back(j, ran))
		f->ops->finished(f);
}

static void
look_done(struct core_job *job, bool ran)
{
	struct file_job *j = container_of(job, struct file_job, job);

	if (job_back(j, ran))
		file_step(j->file);
}

static void
start(struct file *f, struct file_job *j,
	void (*run)(struct env_job *, struct bulk *),
	void (*done)(struct core_job *, bool ran))
{
	j->running = true;
	file_work(f);
	j->job.env.slow = f->slow;
	service_job(f->session->service, &j->job, run, done,
		f->session->identity.uid);
}

static void
file_step(struct file *f)
{
	for (unsigned i = 0; i < f->n_jobs && f->next < f->length; i++) {
		struct file_job *j = &f->jobs[i];

		if (j->running)
			continue;
		j->at = f->next;
		j->len = (uint32_t)MIN_OF(f->length - f->next, f->chunk);
		f->next += j->len;
		start(f, j, chunk_run, chunk_done);
	}
	if (f->n_running > 0)
		return;
	if (f->parallel && pccrc_pub_set_length(f->hasher, f->length) < 0) {
		op_finish_status(f->op, CORE_E_NO_MEMORY);
		return;
	}
	f->key = service_key_ref(f->session->service);
	start(f, &f->jobs[0], finish_run, finish_done);
}

/* Descriptor and range: nothing is done with a foreign descriptor before its
 * type is known. */
static enum core_result
check_file(struct file *f)
{
	int flags = fcntl(f->fd, F_GETFL);
	struct statx st;

	if (fd_check_regular(f->fd) < 0 || flags < 0 || (flags & O_PATH) != 0 ||
		(flags & O_ACCMODE) == O_WRONLY)
		return CORE_E_BAD_PARAMETER;
	if (statx(f->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE,
		    &st) < 0 ||
		(st.stx_mask & STATX_SIZE) == 0)
		return CORE_E_IO;
	f->size = st.stx_size;
	if (f->offset > f->size)
		return CORE_E_OUT_OF_BOUNDS;
	if (f->length == 0)
		f->length = f->size - f->offset;
	else if (f->length > f->size - f->offset)
		return CORE_E_OUT_OF_BOUNDS;
	/* As CompleteStream says of an empty content. */
	return f->length > 0 ? CORE_OK : CORE_E_BAD_DATA;
}

static enum core_result
prepare(struct file *f, unsigned make)
{
	f->parallel = make == PCCRC_MAKE_V1;
	f->n_jobs = f->parallel ? FILE_JOBS : 1;
	f->chunk = f->parallel ? FILE_CHUNK : FILE_CHUNK2;
	if (!quota_take(f->session->user, QUOTA_BUFFER_BYTES,
		    (uint64_t)f->n_jobs * f->chunk))
		return CORE_E_NO_RESOURCES;
	f->buffer_bytes = (uint64_t)f->n_jobs * f->chunk;
	f->hasher = pccrc_pub_new(make);
	if (f->hasher == NULL)
		return CORE_E_NO_MEMORY;
	for (unsigned i = 0; i < f->n_jobs; i++) {
		f->jobs[i].file = f;
		f->jobs[i].buffer = malloc(f->chunk);
		if (f->jobs[i].buffer == NULL)
			return CORE_E_NO_MEMORY;
	}
	return CORE_OK;
}

/* Label, handle and operation, in this order; undone backwards. */
static enum core_result
enlist(struct file *f, const struct file_params *p)
{
	enum core_result r;

	r = publication_new(f->session, p->label,
		p->kind == OP_PUBLISH_STANDING, &f->h.pub);
	if (r != CORE_OK)
		return r;
	r = publication_grow(f->h.pub, f->length);
	if (r == CORE_OK)
		r = session_handle_add(f->session, &f->h.handle, HANDLE_FILE);
	if (r == CORE_OK) {
		r = session_op_start(
			f->session, &f->h.handle.scope, p->op, p->kind, &f->op);
		if (r != CORE_OK)
			session_handle_remove(f->session, &f->h.handle);
	}
	if (r != CORE_OK)
		publication_withdraw(f->h.pub);
	return r;
}

enum core_result
file_start(struct file *f, struct session *s, const struct file_ops *ops,
	const struct file_params *p)
{
	enum core_result r;

	f->ops = ops;
	f->session = session_ref(s);
	f->fd = p->fd;
	f->offset = p->range.offset;
	f->length = p->range.length;
	op_scope_init(&f->h.handle.scope, file_left, file_forget);
	r = check_file(f);
	if (r == CORE_OK)
		r = prepare(f, p->make);
	if (r == CORE_OK)
		r = enlist(f, p);
	if (r != CORE_OK) {
		file_destroy(f);
		return r;
	}
	f->slow = true;
	start(f, &f->jobs[0], look_run, look_done);
	return CORE_OK;
}

static void
publish_finished(struct file *f)
{
	op_finish_status(
		f->op, publication_describe(f->h.pub, TAKE_PTR(f->desc)));
}

enum core_result
file_publish(struct session *s, uint64_t id, const struct session_label *label,
	int fd, const struct session_range *range, uint32_t version)
{
	static const struct file_ops ops = {.finished = publish_finished};
	const struct file_params params = {
		.op = id,
		.kind = OP_PUBLISH_FILE,
		.label = label,
		.range = *range,
		.make = publication_make(s->service, version),
		.fd = fd,
	};
	struct file *f = NULL;

	if (params.make != 0)
		f = calloc(1, sizeof(*f));
	if (f == NULL) {
		fd_close_foreign(fd, s->identity.uid);
		return params.make != 0 ? CORE_E_NO_MEMORY
					: CORE_E_BAD_PARAMETER;
	}
	return file_start(f, s, &ops, &params);
}
