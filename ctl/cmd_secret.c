/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server secret.  The key itself never comes here: it is made of a
 * passphrase, or travels in a file under one, and the daemon does both.
 * Passphrases are in locked memory, and go over in a memfd that both ends wipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fdutil.h"
#include "common/hex.h"
#include "common/macros.h"
#include "ctl/ask.h"
#include "ctl/out.h"
#include "ctl/passphrase.h"
#include "proto/peerdist_errors.h"

struct args {
	const char *file; /* a key file; NULL: the verb has none */
	const char *passphrase_file;
	struct secret_bytes passphrase, blob;
};

static enum ctl_exit
parse(const struct cmd *c, int argc, char **argv, bool has_file, struct args *a)
{
	static const struct option longs[] = {
		{"passphrase-file", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int option;

	*a = (struct args){.file = NULL};
	while ((option = cmd_getopt(c, argc, argv, "", longs)) != -1) {
		if (option != 'p')
			return CTL_USAGE;
		a->passphrase_file = optarg;
	}
	if (argc - optind != (has_file ? 1 : 0))
		return cmd_usage(c,
			has_file ? "one key file is needed"
				 : "unexpected argument");
	a->file = has_file ? argv[optind] : NULL;
	secret_process();
	return CTL_OK;
}

static void
args_done(struct args *a)
{
	secret_bytes_free(&a->passphrase);
	secret_bytes_free(&a->blob);
}

static enum ctl_exit
may_replace(const struct cmd *c)
{
	char answer[8];

	if (arg_yes)
		return CTL_OK;
	if (arg_json || !isatty(STDIN_FILENO))
		return cmd_usage(c, "replacing the secret needs --yes");
	fprintf(stderr,
		"Content information made so far will not match any more.\n"
		"Replace the secret? [y/N] ");
	if (fgets(answer, sizeof(answer), stdin) != NULL &&
		(strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0))
		return CTL_OK;
	return out_error(CTL_FAILED, "nothing was done");
}

/* Asking. */

static const char *
explain_set(uint32_t code)
{
	return code == ERROR_INVALID_PARAMETER
		? "the passphrase must be UTF-8 text of at least 8 characters"
		: NULL;
}

static const char *
explain_export(uint32_t code)
{
	return code == ERROR_INVALID_PARAMETER
		? "the passphrase must be UTF-8 text"
		: NULL;
}

static const char *
explain_import(uint32_t code)
{
	switch (code) {
	case ERROR_INVALID_DATA:
		return "wrong passphrase, or not a key file";
	case ERROR_INVALID_PARAMETER:
		return "the key in this file has fewer than 16 or more than "
		       "4096 bytes";
	default:
		return NULL;
	}
}

static const char *(*const explainers[_IPC_SECRET_MAX])(uint32_t) = {
	[IPC_SECRET_SET] = explain_set,
	[IPC_SECRET_EXPORT] = explain_export,
	[IPC_SECRET_IMPORT] = explain_import,
};

/* What travels, mapped. */
struct parcel {
	int fd;
	uint8_t *map;
	size_t len;
};

static int
pack(struct parcel *p, const struct args *a)
{
	*p = (struct parcel){.fd = -1, .len = a->passphrase.len + a->blob.len};
	p->fd = fd_memfd_sealed("peerdist-secret", p->len);
	if (p->fd < 0)
		return p->fd;
	p->map = mmap(
		NULL, p->len, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	if (p->map == MAP_FAILED) {
		p->map = NULL;
		return -errno;
	}
	(void)madvise(p->map, p->len, MADV_DONTDUMP);
	(void)mlock(p->map, p->len);
	memcpy(p->map, a->passphrase.data, a->passphrase.len);
	if (a->blob.len > 0)
		memcpy(p->map + a->passphrase.len, a->blob.data, a->blob.len);
	return 0;
}

static void
unpack(struct parcel *p)
{
	if (p->map != NULL) {
		explicit_bzero(p->map, p->len);
		(void)munmap(p->map, p->len);
	}
	if (p->fd >= 0)
		close(p->fd);
}

static enum ctl_exit
ask_secret(enum ipc_secret_action action, const struct args *a,
	json_t **ret_document)
{
	Pd__AdminSecret body = PD__ADMIN_SECRET__INIT;
	struct ask_request request = {.type = IPC_ADMIN_SECRET,
		.body = &body.base,
		.fd = -1,
		.explain = explainers[action]};
	struct parcel parcel = {.fd = -1};
	enum ctl_exit result;
	int r = 0;

	body.action = action;
	body.passphrase_length = (uint32_t)a->passphrase.len;
	body.blob_length = (uint32_t)a->blob.len;
	if (action != IPC_SECRET_FINGERPRINT)
		r = pack(&parcel, a);
	request.fd = parcel.fd;
	result = r == 0 ? ask_request(&request, ret_document)
			: out_error(CTL_FAILED, "%s", strerror(-r));
	unpack(&parcel);
	return result;
}

static enum ctl_exit
print_answer(const json_t *document, const char *note)
{
	const char *print =
		json_string_value(json_object_get(document, "fingerprint"));

	if (print == NULL)
		return out_error(
			CTL_FAILED, "the service's answer is not understood");
	if (arg_json)
		return out_json(document);
	out_note("%s", note);
	out_string(print);
	putchar('\n');
	return CTL_OK;
}

/* The verbs. */

static enum ctl_exit
secret_and_print(
	enum ipc_secret_action action, const struct args *a, const char *note)
{
	json_t *document = NULL;
	enum ctl_exit r = ask_secret(action, a, &document);

	if (r == CTL_OK)
		r = print_answer(document, note);
	json_decref(document);
	return r;
}

static enum ctl_exit
run_set(const struct cmd *c, int argc, char **argv)
{
	struct args a;
	enum ctl_exit r = parse(c, argc, argv, false, &a);

	if (r == CTL_OK)
		r = may_replace(c);
	if (r == CTL_OK)
		r = passphrase_get(&a.passphrase, a.passphrase_file, true);
	if (r == CTL_OK)
		r = secret_and_print(IPC_SECRET_SET, &a, "replaced; now ");
	args_done(&a);
	return r;
}

static enum ctl_exit
run_import(const struct cmd *c, int argc, char **argv)
{
	struct args a;
	enum ctl_exit r = parse(c, argc, argv, true, &a);

	if (r == CTL_OK)
		r = may_replace(c);
	if (r == CTL_OK && !secret_bytes_new(&a.blob, IPC_KEY_BLOB_MAX + 1))
		r = out_error(CTL_FAILED, "out of memory");
	if (r == CTL_OK)
		r = secret_bytes_read(&a.blob, a.file);
	if (r == CTL_OK)
		r = passphrase_get(&a.passphrase, a.passphrase_file, false);
	if (r == CTL_OK)
		r = secret_and_print(IPC_SECRET_IMPORT, &a, "replaced; now ");
	args_done(&a);
	return r;
}

static int
write_file(const char *path, const uint8_t *bytes, size_t len)
{
	AUTO_FD int fd = -1;
	int r;

	if (arg_yes)
		return fd_write_file(path, bytes, len, 0600);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, bytes, len);
	if (r == 0 && fsync(fd) != 0)
		r = -errno;
	if (r != 0)
		(void)unlink(path);
	return r;
}

static enum ctl_exit
file_failed(const char *path, int r)
{
	return out_error(CTL_FAILED, "%s: %s%s", path, strerror(-r),
		r == -EEXIST ? "; --yes replaces it" : "");
}

/* The bytes leave the document: nobody needs them twice. */
static enum ctl_exit
save_blob(json_t *document, const char *path)
{
	const char *hex = json_string_value(json_object_get(document, "blob"));
	uint8_t bytes[IPC_KEY_BLOB_MAX];
	size_t len = hex != NULL ? strlen(hex) / 2 : 0;
	int r;

	if (len == 0 || len > sizeof(bytes) || !hex_decode(bytes, len, hex))
		return out_error(
			CTL_FAILED, "the service's answer is not understood");
	r = write_file(path, bytes, len);
	if (r != 0)
		return file_failed(path, r);
	json_object_del(document, "blob");
	json_object_set_new(document, "file", json_string(path));
	return CTL_OK;
}

static enum ctl_exit
export_key(const struct args *a)
{
	json_t *document = NULL;
	enum ctl_exit r = ask_secret(IPC_SECRET_EXPORT, a, &document);

	if (r == CTL_OK)
		r = save_blob(document, a->file);
	if (r == CTL_OK)
		r = print_answer(document, "exported ");
	json_decref(document);
	return r;
}

static enum ctl_exit
run_export(const struct cmd *c, int argc, char **argv)
{
	struct args a;
	enum ctl_exit r = parse(c, argc, argv, true, &a);

	/* Before a passphrase is typed in vain. */
	if (r == CTL_OK && !arg_yes && access(a.file, F_OK) == 0)
		r = file_failed(a.file, -EEXIST);
	if (r == CTL_OK)
		r = passphrase_get(&a.passphrase, a.passphrase_file, true);
	if (r == CTL_OK)
		r = export_key(&a);
	args_done(&a);
	return r;
}

static enum ctl_exit
run_fingerprint(const struct cmd *c, int argc, char **argv)
{
	const struct args none = {.file = NULL};
	enum ctl_exit r = cmd_no_arguments(c, argc, argv);

	if (r != CTL_OK)
		return r;
	return secret_and_print(IPC_SECRET_FINGERPRINT, &none, "");
}

static enum ctl_exit
run_secret(const struct cmd *c, int argc, char **argv)
{
	static const struct cmd_verb verbs[] = {{"set", run_set},
		{"export", run_export}, {"import", run_import},
		{"fingerprint", run_fingerprint}, {NULL, NULL}};

	return cmd_run_verb(c, verbs, argc, argv);
}

const struct cmd cmd_secret = {
	.name = "secret",
	.args = "set|export F|import F|fingerprint",
	.help = "The server secret (administrators).\n"
		"  set           make it of a passphrase, as `netsh "
		"branchcache\n"
		"                set key` does\n"
		"  export FILE   write it into a file under a passphrase, in "
		"the\n"
		"                format of `netsh branchcache exportkey`\n"
		"  import FILE   take it from such a file\n"
		"  fingerprint   print what two secrets can be compared by\n"
		"  --passphrase-file F\n"
		"                read the passphrase from F instead of the\n"
		"                terminal; a newline at its end does not count",
	.run = run_secret,
};
