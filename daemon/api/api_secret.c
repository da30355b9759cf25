/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server secret.  Passphrases and key files come in a memfd beside the
 * frame, so that no buffer of the connection ever holds them; they are copied
 * into locked memory, once, and the memfd is wiped.  It is sealed against
 * changes of its size only: if nobody could write to it, nobody could wipe it.
 */
#include <errno.h>
#include <unistd.h>

#include "common/close.h"
#include "common/fdutil.h"
#include "common/secmem.h"
#include "daemon/api/dispatch.h"
#include "daemon/api/document.h"
#include "daemon/api/status_map.h"

#define BYTES_MAX (IPC_PASSPHRASE_MAX + IPC_KEY_BLOB_MAX)

static bool
read_exactly(int fd, uint8_t *dst, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, dst + done, len - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static void
wipe(int fd, size_t len)
{
	static const uint8_t zeros[BYTES_MAX];

	/* The sender wipes it, too; his is not always there to be written. */
	if (pwrite(fd, zeros, len, 0) != (ssize_t)len)
		return;
}

/* What came with the frame; false: not as agreed. */
static bool
take_bytes(struct client *c, uint8_t *dst, size_t len)
{
	int fd = ipc_chan_take_fd(c->chan, 0);
	bool good;

	if (fd < 0)
		return len == 0;
	good = fd_memfd_check(fd, len) == 0;
	if (good) {
		good = read_exactly(fd, dst, len);
		wipe(fd, len);
	}
	fd_close_foreign(fd, c->identity.uid);
	return good;
}

static void
ask_hook(struct client *c, uint64_t id, const struct api_secret_request *q)
{
	const struct api_hooks *hooks = &c->set->hooks;
	struct document d;
	enum core_result r;

	document_begin(&d);
	r = hooks->secret(hooks->ctx, q, &d.json);
	if (r == CORE_OK) {
		document_end(&d, c, id, ERROR_SUCCESS);
		return;
	}
	document_drop(&d);
	client_reply(c, id, status_map_core(r));
}

enum core_result
api_admin_secret(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__AdminSecret *b = m->u.admin_secret;
	size_t len = (size_t)b->passphrase_length + b->blob_length;
	uint64_t id = m->header.id;
	uint8_t *bytes;

	if (c->set->hooks.secret == NULL) {
		client_reply(c, id, ERROR_NOT_SUPPORTED);
		return CORE_OK;
	}
	bytes = sec_alloc(BYTES_MAX);
	if (bytes == NULL) {
		client_reply(c, id, ERROR_NOT_ENOUGH_MEMORY);
		return CORE_OK;
	}
	if (!take_bytes(c, bytes, len)) {
		sec_free(bytes, BYTES_MAX);
		return CORE_E_PROTOCOL;
	}
	ask_hook(c, id,
		&(struct api_secret_request){
			.action = (enum ipc_secret_action)b->action,
			.passphrase = bytes,
			.passphrase_len = b->passphrase_length,
			.blob = bytes + b->passphrase_length,
			.blob_len = b->blob_length,
		});
	sec_free(bytes, BYTES_MAX);
	return CORE_OK;
}
