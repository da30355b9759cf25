/* SPDX-License-Identifier: BSD-2-Clause */
/* What the entry points share: api_*.c turn Microsoft's arguments into ours in
 * their first lines, in the order of checks that peerdist.h tells. */
#ifndef LIBCLIENT_API_H
#define LIBCLIENT_API_H

#include "libclient/conn.h"
#include "libclient/peerdist.h"

/* The instance, referenced.  0, 6, 4056. */
DWORD pdc_api_instance(
	PEERDIST_INSTANCE_HANDLE, struct pdc_instance **ret_instance);
/* The port of a handle that may be NULL, referenced.  0, 6. */
DWORD pdc_api_port(HANDLE, struct pdc_port **ret_port);

/* A second handle and its instance, both referenced. */
struct pdc_target {
	struct pdc_instance *instance;
	struct pdc_child *child;
};
/* 0, 6, 4056; then pdc_target_done() it. */
DWORD pdc_target_get(struct pdc_target *ret, PEERDIST_INSTANCE_HANDLE, HANDLE,
	enum pdc_kind);
void pdc_target_done(struct pdc_target *);
/* The connection that the handle was opened on, referenced.  0, 1260, 4065,
 * 4057. */
DWORD pdc_target_link(const struct pdc_target *, struct pdc_link **ret_link);

/* What an opening call has to say. */
struct pdc_open {
	enum ipc_type type;
	const ProtobufCMessage *body;
	enum pdc_kind kind;
	HANDLE port;
	ULONG_PTR key;
};
DWORD pdc_child_open(
	PEERDIST_INSTANCE_HANDLE, const struct pdc_open *, HANDLE *ret_handle);
DWORD pdc_child_close(
	PEERDIST_INSTANCE_HANDLE, HANDLE, enum pdc_kind, enum ipc_type);
/* Shutdown: all handles of the instance die. */
void pdc_children_forget(struct pdc_instance *);

/* An asynchronous call on a second handle. */
struct pdc_async {
	enum pdc_kind kind; /* of the handle */
	enum pdc_pending_kind pending;
	struct pdc_submit submit;
	uint64_t *handle; /* in the body: the daemon's number goes here */
	void *data;       /* buffer of an add or a read */
	uint32_t len;
};
DWORD pdc_async_run(
	PEERDIST_INSTANCE_HANDLE, HANDLE, OVERLAPPED *, struct pdc_async *);
/* The id under which the daemon knows the operation of this OVERLAPPED, or one
 * that it knows nothing under. */
uint64_t pdc_async_id(const struct pdc_instance *, OVERLAPPED *);

/* 1 to 32768 bytes. */
bool pdc_identifier_ok(DWORD len, const BYTE *data);
/* NULL, or a version and no flags. */
bool pdc_options_ok(const PEERDIST_PUBLICATION_OPTIONS *);
/* The reserved members of an OVERLAPPED. */
bool pdc_overlapped_clear(const OVERLAPPED *);
/* Result of a cancel: also the thread's last error. */
DWORD pdc_cancel_result(DWORD code);

/* file.c: publishing a file that the library reads itself. */
struct pdc_job;
bool pdc_job_cancel(struct pdc_instance *, OVERLAPPED *, const BYTE *ident,
	size_t ident_len);
/* All of the instance, or those of one identifier. */
void pdc_job_cancel_all(
	struct pdc_instance *, const BYTE *ident, size_t ident_len);

#endif
