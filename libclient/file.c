/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pdw_ServerPublishFile.
 *
 * Ordinary files: the descriptor goes to the daemon, which reads it.  Files of
 * FUSE and network file systems: somebody's slow server must not hold a worker
 * of the daemon, so a thread of this process reads them and feeds a stream,
 * through the same functions that an application would use.
 *
 * Such a job is one operation to the caller.  Who takes job->pending ends it:
 * the thread, or a cancel, which does not wait for a read that hangs.  A thread
 * that comes second withdraws what it has published meanwhile.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fdutil.h"
#include "common/macros.h"
#include "libclient/api.h"

#define PIECE IPC_SLICE_MAX

struct pdc_job {
	LIST_ENTRY(pdc_job) link; /* with the instance's lock, like pending */
	struct pdc_pending *pending;
	atomic_uint refs;
	struct pdc_instance *instance;
	HANDLE instance_handle;
	HANDLE stream;
	int fd;
	struct stat before;
	uint64_t offset;
	uint64_t left;
	uint8_t *piece;
	OVERLAPPED ov;
	size_t ident_len;
	uint8_t ident[];
};

/* The arguments of one call. */
struct publish {
	const PDW_PUBLISH_FILE *file;
	HANDLE instance;
	struct pdc_port *port;
	ULONG_PTR key;
	OVERLAPPED *ov;
	uint32_t version;
};

static void
job_unref(struct pdc_job *j)
{
	if (atomic_fetch_sub(&j->refs, 1) != 1)
		return;
	if (j->fd >= 0)
		close(j->fd);
	pdc_instance_unref(j->instance);
	free(j->piece);
	free(j);
}

static struct pdc_job *
job_new(struct pdc_instance *i, const struct publish *a)
{
	size_t len = a->file->cbContentIdentifier;
	struct pdc_job *j = calloc(1, sizeof(*j) + len);

	if (j == NULL)
		return NULL;
	atomic_init(&j->refs, 1);
	pdc_object_ref(&i->object);
	j->instance = i;
	j->instance_handle = a->instance;
	memcpy(j->ident, a->file->pContentIdentifier, len);
	j->ident_len = len;
	j->offset = a->file->ullOffset;
	j->left = a->file->ullLength;
	j->fd = fcntl(a->file->fd, F_DUPFD_CLOEXEC, 3);
	j->piece = malloc(PIECE);
	if (j->piece != NULL && j->fd >= 0 && fstat(j->fd, &j->before) == 0)
		return j;
	job_unref(j);
	return NULL;
}

/* With the instance's lock.  NULL: somebody else ends it. */
static struct pdc_pending *
job_claim_locked(struct pdc_job *j)
{
	struct pdc_pending *p = j->pending;

	j->pending = NULL;
	if (p != NULL)
		LIST_REMOVE(j, link);
	return p;
}

static bool
job_wanted(struct pdc_job *j)
{
	bool wanted;

	pthread_mutex_lock(&j->instance->lock);
	wanted = j->pending != NULL;
	pthread_mutex_unlock(&j->instance->lock);
	return wanted;
}

/* The end of an operation that this thread started. */
static DWORD
job_wait(struct pdc_job *j, DWORD code)
{
	DWORD bytes;

	if (code != ERROR_IO_PENDING)
		return code;
	if (PeerDistGetOverlappedResult(&j->ov, &bytes, TRUE))
		return ERROR_SUCCESS;
	return pdw_GetLastError();
}

static DWORD
job_add_piece(struct pdc_job *j)
{
	size_t want = MIN_OF(j->left, PIECE);
	ssize_t n = pread(j->fd, j->piece, want, (off_t)j->offset);

	if (n < 0)
		return ERROR_IO_DEVICE;
	if (n == 0)
		return ERROR_INVALID_DATA; /* shorter than it was */
	j->offset += (uint64_t)n;
	j->left -= (uint64_t)n;
	memset(&j->ov, 0, sizeof(j->ov));
	return job_wait(j,
		PeerDistServerPublishAddToStream(j->instance_handle, j->stream,
			(DWORD)n, j->piece, &j->ov));
}

static bool
job_file_same(struct pdc_job *j)
{
	struct stat now;

	return fstat(j->fd, &now) == 0 && now.st_size == j->before.st_size &&
		now.st_mtim.tv_sec == j->before.st_mtim.tv_sec &&
		now.st_mtim.tv_nsec == j->before.st_mtim.tv_nsec &&
		now.st_ctim.tv_sec == j->before.st_ctim.tv_sec &&
		now.st_ctim.tv_nsec == j->before.st_ctim.tv_nsec;
}

static DWORD
job_publish(struct pdc_job *j)
{
	DWORD code = ERROR_SUCCESS;

	while (code == ERROR_SUCCESS && j->left > 0 && job_wanted(j))
		code = job_add_piece(j);
	if (code == ERROR_SUCCESS && !job_wanted(j))
		code = ERROR_OPERATION_ABORTED;
	if (code == ERROR_SUCCESS && !job_file_same(j))
		code = ERROR_INVALID_DATA;
	if (code != ERROR_SUCCESS)
		return code;
	memset(&j->ov, 0, sizeof(j->ov));
	return job_wait(j,
		PeerDistServerPublishCompleteStream(
			j->instance_handle, j->stream, &j->ov));
}

/* An operation that is under way ends with 4057 when the service goes, and
 * with 995 when the handle is closed under it. */
static DWORD
job_code(DWORD code)
{
	switch (code) {
	case ERROR_ACCESS_DISABLED_BY_POLICY:
	case PEERDIST_ERROR_SERVICE_UNAVAILABLE:
		return PEERDIST_ERROR_INVALIDATED;
	case ERROR_INVALID_HANDLE:
	case PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS:
		return ERROR_OPERATION_ABORTED;
	default:
		return code;
	}
}

static void *
job_run(void *arg)
{
	struct pdc_job *j = arg;
	struct pdc_outcome outcome = {.code = job_code(job_publish(j))};
	struct pdc_pending *p;

	PeerDistServerCloseStreamHandle(j->instance_handle, j->stream);
	pthread_mutex_lock(&j->instance->lock);
	p = job_claim_locked(j);
	pthread_mutex_unlock(&j->instance->lock);
	if (p != NULL)
		pdc_pending_deliver(p, &outcome);
	else if (outcome.code == ERROR_SUCCESS)
		PeerDistServerUnpublish(
			j->instance_handle, (DWORD)j->ident_len, j->ident);
	job_unref(j);
	return NULL;
}

static DWORD
job_start(struct pdc_job *j)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int r;

	atomic_fetch_add(&j->refs, 1);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, job_run, j);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		return ERROR_SUCCESS;
	atomic_fetch_sub(&j->refs, 1);
	return ERROR_NOT_ENOUGH_MEMORY;
}

static DWORD
job_open(struct pdc_job *j, const struct publish *a)
{
	uint64_t size = (uint64_t)j->before.st_size;

	if (j->offset > size || j->left > size - j->offset)
		return PEERDIST_ERROR_OUT_OF_BOUNDS;
	if (j->left == 0)
		j->left = size - j->offset;
	return PeerDistServerPublishStream(a->instance, (DWORD)j->ident_len,
		j->ident, j->left, a->file->pOptions, NULL, 0, &j->stream);
}

/* From here on others may end it.  A shutdown that has begun finds it on the
 * list, or is found here. */
static DWORD
job_list(struct pdc_job *j, struct pdc_pending *p)
{
	struct pdc_instance *i = j->instance;
	DWORD code = ERROR_SUCCESS;

	pthread_mutex_lock(&i->lock);
	if (atomic_load(&i->shutting)) {
		code = PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS;
	} else {
		j->pending = p;
		LIST_INSERT_HEAD(&i->jobs, j, link);
	}
	pthread_mutex_unlock(&i->lock);
	return code;
}

static DWORD
publish_by_job(struct pdc_instance *i, const struct publish *a)
{
	struct pdc_pending *p = NULL;
	struct pdc_job *j;
	DWORD code;

	code = pdc_pending_new(&p, i, a->ov, PDC_FILE, a->port, a->key);
	if (code != ERROR_SUCCESS)
		return code;
	j = job_new(i, a);
	code = j != NULL ? job_open(j, a) : ERROR_NOT_ENOUGH_MEMORY;
	if (code == ERROR_SUCCESS)
		code = job_list(j, p);
	if (code == ERROR_SUCCESS) {
		code = job_start(j);
		if (code == ERROR_SUCCESS) {
			job_unref(j);
			return ERROR_IO_PENDING;
		}
		PeerDistServerCloseStreamHandle(a->instance, j->stream);
		pthread_mutex_lock(&i->lock);
		p = job_claim_locked(j);
		pthread_mutex_unlock(&i->lock);
	}
	if (j != NULL)
		job_unref(j);
	if (p == NULL) /* a cancel was quicker: it is completed */
		return ERROR_IO_PENDING;
	pdc_pending_refuse(p, code);
	return code;
}

static DWORD
publish_by_daemon(struct pdc_instance *i, const struct publish *a)
{
	Pd__SubmitPublishFile body = PD__SUBMIT_PUBLISH_FILE__INIT;
	struct pdc_submit s = {
		IPC_SUBMIT_PUBLISH_FILE, &body.base, NULL, a->file->fd};
	struct pdc_pending *p;
	struct pdc_link *l;
	DWORD code;

	code = pdc_pending_new(&p, i, a->ov, PDC_PLAIN, a->port, a->key);
	if (code != ERROR_SUCCESS)
		return code;
	l = pdc_instance_link(i);
	if (l == NULL) {
		pdc_pending_refuse(p, PEERDIST_ERROR_SERVICE_UNAVAILABLE);
		return PEERDIST_ERROR_SERVICE_UNAVAILABLE;
	}
	body.identifier.data = (uint8_t *)a->file->pContentIdentifier;
	body.identifier.len = a->file->cbContentIdentifier;
	body.offset = a->file->ullOffset;
	body.length = a->file->ullLength;
	body.version = a->version;
	code = pdc_link_submit(l, p, &s);
	pdc_link_unref(l);
	return code;
}

static DWORD
publish_check(const PDW_PUBLISH_FILE *f, OVERLAPPED *ov)
{
	struct stat st;

	if (f == NULL || ov == NULL || f->cbSize != sizeof(*f) ||
		!pdc_identifier_ok(
			f->cbContentIdentifier, f->pContentIdentifier) ||
		!pdc_options_ok(f->pOptions) || !pdc_overlapped_clear(ov) ||
		f->ullLength > UINT64_MAX - f->ullOffset)
		return ERROR_INVALID_PARAMETER;
	if (fstat(f->fd, &st) < 0)
		return ERROR_INVALID_HANDLE;
	return S_ISREG(st.st_mode) ? ERROR_SUCCESS : ERROR_INVALID_PARAMETER;
}

DWORD WINAPI
pdw_ServerPublishFile(PEERDIST_INSTANCE_HANDLE hPeerDist,
	const PDW_PUBLISH_FILE *pFile, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, LPOVERLAPPED lpOverlapped)
{
	struct publish a = {.file = pFile,
		.instance = hPeerDist,
		.key = ulCompletionKey,
		.ov = lpOverlapped,
		.version = PEERDIST_PUBLICATION_OPTIONS_VERSION_2};
	struct pdc_instance *i;
	DWORD code = publish_check(pFile, lpOverlapped);

	if (code == ERROR_SUCCESS)
		code = pdc_api_instance(hPeerDist, &i);
	if (code != ERROR_SUCCESS)
		return pdc_pending_refuse_early(lpOverlapped, code);
	if (pFile->pOptions != NULL)
		a.version = pFile->pOptions->dwVersion;
	code = pdc_api_port(hCompletionPort, &a.port);
	if (code != ERROR_SUCCESS)
		pdc_pending_refuse_early(lpOverlapped, code);
	else if (fd_may_stall(pFile->fd) != 0)
		code = publish_by_job(i, &a);
	else
		code = publish_by_daemon(i, &a);
	pdc_port_unref(a.port);
	pdc_instance_unref(i);
	return code;
}

static bool
job_matches(const struct pdc_job *j, const OVERLAPPED *ov, const BYTE *ident,
	size_t ident_len)
{
	return (ov == NULL || j->pending->ov == ov) &&
		(ident == NULL ||
			(j->ident_len == ident_len &&
				memcmp(j->ident, ident, ident_len) == 0));
}

/* Ends one job that matches; with a reference for the caller, or NULL. */
static struct pdc_job *
job_abort(struct pdc_instance *i, const OVERLAPPED *ov, const BYTE *ident,
	size_t ident_len)
{
	struct pdc_outcome outcome = {.code = ERROR_OPERATION_ABORTED};
	struct pdc_pending *p = NULL;
	struct pdc_job *j;

	pthread_mutex_lock(&i->lock);
	LIST_FOREACH (j, &i->jobs, link)
		if (job_matches(j, ov, ident, ident_len))
			break;
	if (j != NULL) {
		p = job_claim_locked(j);
		atomic_fetch_add(&j->refs, 1);
	}
	pthread_mutex_unlock(&i->lock);
	if (p != NULL)
		pdc_pending_deliver(p, &outcome);
	return j;
}

bool
pdc_job_cancel(struct pdc_instance *i, OVERLAPPED *ov, const BYTE *ident,
	size_t ident_len)
{
	struct pdc_job *j = job_abort(i, ov, ident, ident_len);

	if (j == NULL)
		return false;
	/* Ends what the thread waits for. */
	PeerDistServerCloseStreamHandle(j->instance_handle, j->stream);
	job_unref(j);
	return true;
}

void
pdc_job_cancel_all(struct pdc_instance *i, const BYTE *ident, size_t ident_len)
{
	struct pdc_job *j;

	while ((j = job_abort(i, NULL, ident, ident_len)) != NULL)
		job_unref(j);
}
