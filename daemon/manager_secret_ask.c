/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peerdistctl secret: the answers.  A key goes out only under a passphrase, and
 * nothing here but that file and the fingerprint leaves the locked memory.
 */
#include <errno.h>
#include <string.h>

#include "codec/pccrc_key.h"
#include "common/buf.h"
#include "common/hex.h"
#include "common/secmem.h"
#include "daemon/log.h"
#include "daemon/manager_secret.h"

_Static_assert(SECRET_SIZE_MAX <= PCCRC_KEY_MAX, "each key can be exported");

static enum core_result
result_of(int r)
{
	switch (r) {
	case 0:
		return CORE_OK;
	case -ENOMEM:
		return CORE_E_NO_MEMORY;
	case -ENOSPC:
	case -EDQUOT:
		return CORE_E_DISK_FULL;
	default:
		return CORE_E_IO;
	}
}

static void
put_hex(struct json *j, const char *name, const uint8_t *bytes, size_t len)
{
	char text[2 * PCCRC_KEY_FILE_MAX + 1];

	hex_encode(text, bytes, len);
	json_out_text(j, name, text);
}

static enum core_result
put_fingerprint(const struct secret *s, struct json *j)
{
	uint8_t print[PCCRC_KEY_FINGERPRINT];
	int r = pccrc_key_fingerprint(s->key, s->key_len, print);

	if (r == 0)
		put_hex(j, "fingerprint", print, sizeof(print));
	return result_of(r);
}

/* The disk first: what is in use must be there after a crash. */
static int
install(struct secret *s, const uint8_t *key, size_t len)
{
	const char *why, *why_not;
	int r;

	r = secret_replace(s->folder, key, len, &why);
	if (r == 0) {
		why = "the service has no memory for it";
		r = s->use(s->ctx, key, len);
	}
	if (r != 0) {
		(void)secret_replace(s->folder, s->key, s->key_len, &why_not);
		log_event(LOG_ERR, "Server secret cannot be replaced",
			LOG_STR("FOLDER", s->folder),
			LOG_STR("FILE", SECRET_FILE), LOG_STR("REASON", why),
			LOG_ERRNO(-r));
		return r;
	}
	explicit_bzero(s->key, SECRET_SIZE_MAX);
	memcpy(s->key, key, len);
	s->key_len = len;
	log_event(LOG_NOTICE, "Server secret replaced",
		LOG_STR("FOLDER", s->folder));
	return 0;
}

static struct pccrc_key_text
passphrase_of(const struct api_secret_request *q)
{
	return (struct pccrc_key_text){q->passphrase, q->passphrase_len};
}

/* No key comes of a text or file that is no good: all that can be wrong with a
 * file is one answer. */
static enum core_result
make_key(const struct api_secret_request *q, uint8_t *key, size_t *ret_len)
{
	struct pccrc_key_text t = passphrase_of(q);
	int r;

	if (q->action == IPC_SECRET_SET)
		r = pccrc_key_from_text(t.text, t.len, key, ret_len);
	else
		r = pccrc_key_import(q->blob, q->blob_len, &t, key, ret_len);
	if (r < 0)
		return result_of(r);
	if (q->action == IPC_SECRET_IMPORT &&
		(r == PCCRC_KEY_E_FILE || r == PCCRC_KEY_E_TEXT))
		return CORE_E_BAD_DATA;
	if (r > 0 || *ret_len < SECRET_SIZE_MIN || *ret_len > SECRET_SIZE_MAX)
		return CORE_E_BAD_PARAMETER;
	return CORE_OK;
}

static enum core_result
replace(struct secret *s, const struct api_secret_request *q)
{
	uint8_t *key = sec_alloc(PCCRC_KEY_MAX);
	enum core_result result;
	size_t len = 0;

	if (key == NULL)
		return CORE_E_NO_MEMORY;
	result = make_key(q, key, &len);
	if (result == CORE_OK)
		result = result_of(install(s, key, len));
	sec_free(key, PCCRC_KEY_MAX);
	return result;
}

static enum core_result
export_key(const struct secret *s, const struct api_secret_request *q,
	struct json *j)
{
	struct pccrc_key_text t = passphrase_of(q);
	uint8_t file[PCCRC_KEY_FILE_MAX];
	size_t len = 0;
	int r = pccrc_key_export(s->key, s->key_len, &t, file, &len);

	if (r > 0)
		return CORE_E_BAD_PARAMETER;
	if (r == 0)
		put_hex(j, "blob", file, len);
	return result_of(r);
}

enum core_result
secret_ask(struct secret *s, const struct api_secret_request *q, struct json *j)
{
	enum core_result r = CORE_OK;

	if (q->action == IPC_SECRET_SET || q->action == IPC_SECRET_IMPORT)
		r = replace(s, q);
	else if (q->action == IPC_SECRET_EXPORT)
		r = export_key(s, q, j);
	return r == CORE_OK ? put_fingerprint(s, j) : r;
}
