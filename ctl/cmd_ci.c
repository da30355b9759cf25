/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content information without a service.  Whoever has content information can
 * read the content from any cache, so what is written gets mode 0600, and the
 * segment secrets are never printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "codec/pccrc.h"
#include "common/fdutil.h"
#include "common/hex.h"
#include "common/macros.h"
#include "common/parse.h"
#include "common/secmem.h"
#include "ctl/cmd.h"
#include "ctl/info_file.h"
#include "ctl/out.h"

#define KEY_MAX   4096u
#define KEY_SIZE  32u
#define READ_SIZE (1024u * 1024u)

struct make {
	const char *file, *secret_file, *out;
	int version;
	uint8_t *key; /* secmem, KEY_MAX */
	size_t key_len;
	uint8_t *ci; /* secmem */
	size_t ci_len;
	uint64_t length;
};

static enum ctl_exit
file_error(const char *file, int r)
{
	return out_error(CTL_FAILED, "%s: %s", file, strerror(-r));
}

static enum ctl_exit
read_secret(struct make *m)
{
	AUTO_FD int fd = -1;
	ssize_t n;

	m->key = sec_alloc(KEY_MAX);
	if (m->key == NULL)
		return out_error(CTL_FAILED, "out of memory");
	if (m->secret_file == NULL) {
		if (getrandom(m->key, KEY_SIZE, 0) != (ssize_t)KEY_SIZE)
			return out_error(CTL_FAILED, "no random numbers");
		m->key_len = KEY_SIZE;
		out_warn("no secret file: the secret is random, and no other "
			 "content information will match");
		return CTL_OK;
	}
	fd = open(m->secret_file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return file_error(m->secret_file, -errno);
	do {
		n = read(fd, m->key + m->key_len, KEY_MAX - m->key_len);
		m->key_len += n > 0 ? (size_t)n : 0;
	} while (n > 0 && m->key_len < KEY_MAX);
	if (n < 0)
		return file_error(m->secret_file, -errno);
	if (m->key_len == 0)
		return out_error(CTL_FAILED, "%s: empty", m->secret_file);
	if (n > 0 && read(fd, &(char){0}, 1) != 0)
		return out_error(CTL_FAILED, "%s: too long for a secret",
			m->secret_file);
	return CTL_OK;
}

static int
feed_file(struct pccrc_pub *pub, struct bulk *bulk, const char *file)
{
	AUTO_FREE uint8_t *buffer = malloc(READ_SIZE);
	AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (buffer == NULL)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, buffer, READ_SIZE);
		int r;

		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		r = pccrc_pub_feed(pub, bulk, buffer, (size_t)n);
		if (r != 0)
			return r;
	}
}

static int
describe(struct make *m, struct pccrc_pub *pub, struct bulk *bulk)
{
	struct pccrc_desc *desc = NULL;
	int r;

	r = feed_file(pub, bulk, m->file);
	m->length = pccrc_pub_length(pub);
	if (r == 0 && m->length == 0)
		return -ENODATA;
	if (r == 0)
		r = pccrc_pub_finish(pub, bulk, m->key, m->key_len, &desc);
	if (r == 0)
		r = pccrc_desc_build(
			desc, m->version, 0, m->length, &m->ci, &m->ci_len);
	pccrc_desc_free(desc);
	return r;
}

static enum ctl_exit
build(struct make *m)
{
	struct bulk *bulk = bulk_new(BULK_AUTO);
	struct pccrc_pub *pub =
		pccrc_pub_new(m->version == 1 ? PCCRC_MAKE_V1 : PCCRC_MAKE_V2);
	int r;

	r = bulk != NULL && pub != NULL ? describe(m, pub, bulk) : -ENOMEM;
	pccrc_pub_free(pub);
	bulk_free(bulk);
	if (r == -ENODATA)
		return out_error(CTL_FAILED,
			"%s: empty, there is nothing to describe", m->file);
	return r != 0 ? file_error(m->file, r) : CTL_OK;
}

static enum ctl_exit
write_result(const struct make *m)
{
	enum ctl_exit result;
	json_t *document;
	int r;

	r = m->out != NULL ? fd_write_file(m->out, m->ci, m->ci_len, 0600)
			   : fd_write_all(STDOUT_FILENO, m->ci, m->ci_len);
	if (r != 0)
		return file_error(
			m->out != NULL ? m->out : "standard output", r);
	if (!arg_json)
		return CTL_OK;
	document = json_pack("{s:i, s:i, s:I, s:I}", "v", 1, "version",
		m->version, "length", (json_int_t)m->length, "bytes",
		(json_int_t)m->ci_len);
	result = document != NULL ? out_json(document) : CTL_FAILED;
	json_decref(document);
	return result;
}

static enum ctl_exit
parse_make(const struct cmd *c, int argc, char **argv, struct make *m)
{
	static const struct option longs[] = {
		{"version", required_argument, NULL, 'v'},
		{"secret-file", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	uint64_t version;
	int option;

	while ((option = cmd_getopt(c, argc, argv, "o:", longs)) != -1) {
		if (option == 'o')
			m->out = optarg;
		else if (option == 's')
			m->secret_file = optarg;
		else if (option != 'v')
			return CTL_USAGE;
		else if (parse_u64(optarg, 1, 2, &version) != 0)
			return cmd_usage(c, "the version is 1 or 2");
		else
			m->version = (int)version;
	}
	if (argc - optind != 1)
		return cmd_usage(c, "one file is needed");
	m->file = argv[optind];
	if (m->out == NULL && (arg_json || isatty(STDOUT_FILENO)))
		return cmd_usage(c, "-o is needed: the result is binary");
	return CTL_OK;
}

static enum ctl_exit
run_make(const struct cmd *c, int argc, char **argv)
{
	struct make m = {.version = 2};
	enum ctl_exit r;

	r = parse_make(c, argc, argv, &m);
	if (r == CTL_OK)
		r = read_secret(&m);
	if (r == CTL_OK)
		r = build(&m);
	if (r == CTL_OK)
		r = write_result(&m);
	sec_free(m.key, KEY_MAX);
	sec_free(m.ci, m.ci_len);
	return r;
}

/* Offsets of hostile content information may be beyond what jansson calls an
 * integer. */
static json_t *
offset_json(uint64_t n)
{
	return n <= INT64_MAX ? json_integer((json_int_t)n)
			      : json_real((double)n);
}

static json_t *
segment_json(const struct pccrc_info *info, const struct pccrc_segment *s,
	struct bulk *bulk)
{
	uint8_t id[PCCRC_HASH_MAX];
	char text[2 * PCCRC_HASH_MAX + 1];

	if (pccrc_segment_id(bulk, info->hash, s->kp, s->hod, id) != 0)
		return NULL;
	hex_encode(text, id, info->hash_size);
	return json_pack("{s:o, s:I, s:I, s:I, s:I, s:b, s:s}", "offset",
		offset_json(s->start), "length", (json_int_t)s->len, "blocks",
		(json_int_t)s->n_blocks, "first", (json_int_t)s->first_listed,
		"listed", (json_int_t)s->n_listed, "proved", (int)s->proved,
		"id", text);
}

static json_t *
info_json(const struct pccrc_info *info, struct bulk *bulk)
{
	static const char *const hashes[_BULK_HASH_MAX] = {
		[BULK_SHA256] = "SHA-256",
		[BULK_SHA384] = "SHA-384",
		[BULK_SHA512] = "SHA-512",
		[BULK_SHA512_256] = "SHA-512 cut to 256 bits",
	};
	json_t *segments = json_array();

	for (size_t i = 0; i < info->n_segments; i++)
		if (json_array_append_new(segments,
			    segment_json(info, &info->segments[i], bulk)) !=
			0) {
			json_decref(segments);
			return NULL;
		}
	return json_pack("{s:i, s:i, s:s, s:o, s:o, s:o, s:I, s:o}", "v", 1,
		"version", info->version, "hash", hashes[info->hash],
		"range_start", offset_json(info->range_start), "range_end",
		offset_json(info->range_end), "first_index",
		offset_json(info->first_index), "bytes",
		(json_int_t)info->n_bytes, "segments", segments);
}

static enum ctl_exit
show_info(const struct pccrc_info *info, struct bulk *bulk)
{
	json_t *document = info_json(info, bulk);
	enum ctl_exit r = CTL_OK;

	if (document == NULL)
		return out_error(CTL_FAILED, "out of memory");
	if (arg_json)
		r = out_json(document);
	else
		out_object(document);
	json_decref(document);
	return r;
}

static enum ctl_exit
run_show(const struct cmd *c, int argc, char **argv)
{
	struct bulk *bulk = bulk_new(BULK_EVP);
	struct pccrc_info *info = NULL;
	enum ctl_exit r;

	if (argc != 2)
		r = cmd_usage(c, "one file is needed");
	else if (bulk == NULL)
		r = out_error(CTL_FAILED, "out of memory");
	else
		r = info_file_read(argv[1], NULL, bulk, &info);
	if (r == CTL_OK)
		r = show_info(info, bulk);
	pccrc_info_unref(info);
	bulk_free(bulk);
	return r;
}

static enum ctl_exit
run_ci(const struct cmd *c, int argc, char **argv)
{
	static const struct cmd_verb verbs[] = {
		{"make", run_make}, {"show", run_show}, {NULL, NULL}};

	return cmd_run_verb(c, verbs, argc, argv);
}

const struct cmd cmd_ci = {
	.name = "ci",
	.args = "make FILE|show FILE",
	.help = "Content information, without a service.\n"
		"  make FILE [--version 1|2] [--secret-file F] [-o OUT]\n"
		"       content information of the file, to OUT or the\n"
		"       standard output; without a secret file the secret is\n"
		"       random, and nothing else will match\n"
		"  show FILE\n"
		"       what content information describes; never its secrets",
	.run = run_ci,
};
