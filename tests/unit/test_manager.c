/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the manager that can be tried alone; the whole is what
 * tests/integration starts. */
#include "daemon/manager_settings.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/pccrr.h"
#include "common/fdutil.h"
#include "common/hex.h"
#include "common/macros.h"
#include "common/secmem.h"
#include "daemon/log.h"
#include "daemon/manager_secret.h"
#include "daemon/manager_socket.h"
#include "failalloc.h"

static char folder[64];

static const char *
path_of(const char *name)
{
	static char path[4][128];
	static unsigned next;

	next = (next + 1) % 4;
	snprintf(path[next], sizeof(path[next]), "%s/%s", folder, name);
	return path[next];
}

static int
setup(void **state)
{
	log_set_level(-1);
	snprintf(folder, sizeof(folder), "/tmp/test_manager.XXXXXX");
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	static const char *const names[] = {SECRET_FILE, "other", "s", "s.lock",
		("state/" SECRET_FILE), "state", CONF_STATE_FILE};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)remove(path_of(names[i]));
	/* Fails when something else was left behind. */
	return rmdir(folder);
}

/* Server secret. */

static int
load(const char *where, uint8_t *ret_first, size_t *ret_len, const char **why)
{
	uint8_t *key = NULL;
	int r = secret_load(where, &key, ret_len, why);

	if (r != 0)
		return r;
	memcpy(ret_first, key, SECRET_SIZE_MIN);
	sec_free(key, SECRET_SIZE_MAX);
	return 0;
}

static void
test_secret_is_made_once(void **state)
{
	uint8_t one[SECRET_SIZE_MIN], two[SECRET_SIZE_MIN];
	uint8_t zero[SECRET_SIZE_MIN] = {0};
	const char *why;
	struct stat st;
	size_t len;

	assert_int_equal(load(path_of("state"), one, &len, &why), 0);
	assert_int_equal(len, SECRET_SIZE);
	assert_int_equal(stat(path_of("state"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(path_of("state/" SECRET_FILE), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, SECRET_SIZE);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(load(path_of("state"), two, &len, &why), 0);
	assert_memory_equal(one, two, sizeof(one));
	assert_memory_not_equal(one, zero, sizeof(one));
}

static void
assert_refused(const char *want)
{
	uint8_t key[SECRET_SIZE_MIN];
	const char *why = "";
	size_t len;

	assert_true(load(folder, key, &len, &why) < 0);
	if (strstr(why, want) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", want, why);
}

static void
write_secret(size_t len, mode_t mode)
{
	static const uint8_t bytes[SECRET_SIZE_MAX + 1] = {1, 2, 3};

	(void)unlink(path_of(SECRET_FILE));
	assert_int_equal(
		fd_write_file(path_of(SECRET_FILE), bytes, len, 0600), 0);
	assert_int_equal(chmod(path_of(SECRET_FILE), mode), 0);
}

static void
test_secret_refuses(void **state)
{
	uint8_t key[SECRET_SIZE_MIN];
	const char *why;
	size_t len;

	write_secret(SECRET_SIZE, 0640);
	assert_refused("permissions");
	write_secret(SECRET_SIZE, 0604);
	assert_refused("permissions");
	write_secret(SECRET_SIZE_MIN - 1, 0600);
	assert_refused("16");
	write_secret(SECRET_SIZE_MAX + 1, 0600);
	assert_refused("4096");
	write_secret(SECRET_SIZE_MAX, 0400);
	assert_int_equal(load(folder, key, &len, &why), 0);
	assert_int_equal(len, SECRET_SIZE_MAX);
	assert_int_equal(rename(path_of(SECRET_FILE), path_of("other")), 0);
	assert_int_equal(symlink("other", path_of(SECRET_FILE)), 0);
	assert_refused("symbolic link");
	assert_int_equal(unlink(path_of(SECRET_FILE)), 0);
	assert_int_equal(mkfifo(path_of(SECRET_FILE), 0600), 0);
	assert_refused("regular");
}

static void
test_secret_of_another(void **state)
{
	if (geteuid() != 0) {
		print_message("skip: needs root\n");
		skip();
	}
	write_secret(SECRET_SIZE, 0600);
	assert_int_equal(chown(path_of(SECRET_FILE), 1, 1), 0);
	assert_refused("another user");
}

static void
assert_file(const uint8_t *key, size_t len)
{
	struct stat st;
	struct buf b;

	buf_init(&b, SECRET_SIZE_MAX);
	assert_int_equal(fd_read_file(path_of(SECRET_FILE), &b), 0);
	assert_int_equal(b.len, len);
	assert_memory_equal(b.data, key, len);
	buf_done(&b);
	assert_int_equal(stat(path_of(SECRET_FILE), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
test_secret_is_replaced(void **state)
{
	uint8_t key[SECRET_SIZE_MIN];
	const char *why;
	size_t len;

	write_secret(SECRET_SIZE_MAX, 0400);
	assert_int_equal(secret_replace(folder,
				 (const uint8_t *)"0123456789abcdef", 16, &why),
		0);
	assert_file((const uint8_t *)"0123456789abcdef", 16);
	assert_int_equal(load(folder, key, &len, &why), 0);
	assert_int_equal(len, 16);
}

static void
test_secret_left_aside_is_removed(void **state)
{
	uint8_t key[SECRET_SIZE_MIN];
	const char *why;
	size_t len;

	assert_int_equal(
		fd_write_file(path_of("." SECRET_FILE ".new"), "x", 1, 0600),
		0);
	assert_int_equal(load(folder, key, &len, &why), 0);
	assert_int_equal(len, SECRET_SIZE);
	assert_int_equal(access(path_of("." SECRET_FILE ".new"), F_OK), -1);
}

/* What peerdistctl secret asks. */

static struct asked {
	struct secret secret;
	int use_result;
	unsigned used;
	uint8_t in_use[SECRET_SIZE_MAX];
	size_t in_use_len;
	struct buf answer;
} asked;

static int
use_key(void *ctx, const uint8_t *key, size_t len)
{
	asked.used++;
	if (asked.use_result != 0)
		return asked.use_result;
	memcpy(asked.in_use, key, len);
	asked.in_use_len = len;
	return 0;
}

static void
asked_begin(void)
{
	const char *why;

	memset(&asked, 0, sizeof(asked));
	asked.secret = (struct secret){.folder = folder, .use = use_key};
	buf_init(&asked.answer, 65536);
	assert_int_equal(
		fd_write_file(path_of(SECRET_FILE),
			"\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16, 0600),
		0);
	assert_int_equal(secret_load(folder, &asked.secret.key,
				 &asked.secret.key_len, &why),
		0);
}

static void
asked_end(void)
{
	sec_free(asked.secret.key, SECRET_SIZE_MAX);
	buf_done(&asked.answer);
}

/* The answer is text then. */
static enum core_result
ask_for(enum ipc_secret_action action, const char *passphrase,
	const uint8_t *blob, size_t blob_len)
{
	struct api_secret_request q = {.action = action,
		.passphrase = (const uint8_t *)passphrase,
		.passphrase_len = strlen(passphrase),
		.blob = blob,
		.blob_len = blob_len};
	struct json j;
	enum core_result r;

	buf_reset(&asked.answer);
	json_out_init(&j, &asked.answer);
	json_out_object(&j, NULL);
	r = secret_ask(&asked.secret, &q, &j);
	json_out_end_object(&j);
	buf_u8(&asked.answer, 0);
	if (buf_error(&asked.answer) != 0)
		return CORE_E_NO_MEMORY;
	return r;
}

static const char *
answer(void)
{
	return (const char *)asked.answer.data;
}

static size_t
answered_blob(uint8_t *dst)
{
	const char *at = strstr(answer(), "\"blob\":\"");
	char hex[256];

	assert_non_null(at);
	assert_int_equal(sscanf(at + 8, "%255[0-9a-f]", hex), 1);
	assert_true(hex_decode(dst, strlen(hex) / 2, hex));
	return strlen(hex) / 2;
}

/* HMAC-SHA-256 of "peerdist server key fingerprint 1", by openssl dgst. */
#define PRINT_OLD "{\"fingerprint\":\"29aae82eefb5811060ba6061954cddaf\"}"

static void
test_secret_fingerprint(void **state)
{
	asked_begin();
	assert_int_equal(ask_for(IPC_SECRET_FINGERPRINT, "", NULL, 0), CORE_OK);
	assert_string_equal(answer(), PRINT_OLD);
	assert_int_equal(asked.used, 0);
	asked_end();
}

static void
test_secret_set(void **state)
{
	static const uint8_t want[] = "p\0a\0s\0s\0w\0o\0r\0d";

	asked_begin();
	assert_int_equal(ask_for(IPC_SECRET_SET, "password", NULL, 0), CORE_OK);
	assert_null(strstr(answer(), "blob"));
	assert_file(want, 16);
	assert_int_equal(asked.in_use_len, 16);
	assert_memory_equal(asked.in_use, want, 16);
	assert_int_equal(asked.secret.key_len, 16);
	assert_memory_equal(asked.secret.key, want, 16);
	assert_int_equal(ask_for(IPC_SECRET_SET, "passwor", NULL, 0),
		CORE_E_BAD_PARAMETER);
	assert_int_equal(
		ask_for(IPC_SECRET_SET, "", NULL, 0), CORE_E_BAD_PARAMETER);
	assert_int_equal(ask_for(IPC_SECRET_SET, "password\xff", NULL, 0),
		CORE_E_BAD_PARAMETER);
	assert_file(want, 16);
	assert_int_equal(asked.used, 1);
	asked_end();
}

static void
test_secret_export_and_import(void **state)
{
	uint8_t blob[128], old[16];
	size_t len;

	asked_begin();
	memcpy(old, asked.secret.key, 16);
	assert_int_equal(ask_for(IPC_SECRET_EXPORT, "p", NULL, 0), CORE_OK);
	assert_non_null(strstr(answer(), "\"fingerprint\":"));
	len = answered_blob(blob);
	assert_int_equal(len, 64);
	assert_int_equal(asked.used, 0);
	assert_int_equal(
		ask_for(IPC_SECRET_EXPORT, "", NULL, 0), CORE_E_BAD_PARAMETER);
	assert_int_equal(
		ask_for(IPC_SECRET_SET, "something", NULL, 0), CORE_OK);
	assert_int_equal(ask_for(IPC_SECRET_IMPORT, "p", blob, len), CORE_OK);
	assert_string_equal(answer(), PRINT_OLD);
	assert_file(old, 16);
	assert_memory_equal(asked.in_use, old, 16);
	assert_int_equal(asked.used, 2);
	asked_end();
}

/* Whatever is wrong with passphrase or file: one answer, and no change. */
static void
test_secret_import_refuses(void **state)
{
	/* "short" under "p". */
	static const char short_key[] =
		"7c3f9426d83698133d62870b4620784a8d702924c4f71ff7b32439ef8c6f7c"
		"71528d1826d18dddf5b6aba13b402ce834";
	uint8_t blob[128], old[16];
	size_t len;

	asked_begin();
	memcpy(old, asked.secret.key, 16);
	assert_int_equal(ask_for(IPC_SECRET_EXPORT, "p", NULL, 0), CORE_OK);
	len = answered_blob(blob);
	assert_int_equal(
		ask_for(IPC_SECRET_IMPORT, "q", blob, len), CORE_E_BAD_DATA);
	assert_int_equal(
		ask_for(IPC_SECRET_IMPORT, "", blob, len), CORE_E_BAD_DATA);
	assert_int_equal(
		ask_for(IPC_SECRET_IMPORT, "\xff", blob, len), CORE_E_BAD_DATA);
	assert_int_equal(ask_for(IPC_SECRET_IMPORT, "p", blob, len - 16),
		CORE_E_BAD_DATA);
	assert_int_equal(
		ask_for(IPC_SECRET_IMPORT, "p", blob, 0), CORE_E_BAD_DATA);
	len = strlen(short_key) / 2;
	assert_true(hex_decode(blob, len, short_key));
	assert_int_equal(ask_for(IPC_SECRET_IMPORT, "p", blob, len),
		CORE_E_BAD_PARAMETER);
	assert_int_equal(asked.used, 0);
	assert_file(old, 16);
	asked_end();
}

static void
test_secret_nobody_can_use(void **state)
{
	uint8_t old[16];

	asked_begin();
	memcpy(old, asked.secret.key, 16);
	asked.use_result = -ENOMEM;
	assert_int_equal(ask_for(IPC_SECRET_SET, "something", NULL, 0),
		CORE_E_NO_MEMORY);
	assert_int_equal(asked.used, 1);
	assert_file(old, 16);
	assert_memory_equal(asked.secret.key, old, 16);
	asked_end();
}

static void
test_secret_folder_is_gone(void **state)
{
	asked_begin();
	asked.secret.folder = "/none";
	assert_int_equal(
		ask_for(IPC_SECRET_SET, "something", NULL, 0), CORE_E_IO);
	assert_int_equal(asked.used, 0);
	asked.secret.folder = folder;
	asked_end();
}

static int
set_and_export(void *arg)
{
	enum core_result r;

	buf_done(&asked.answer);
	buf_init(&asked.answer, 65536);
	r = ask_for(IPC_SECRET_SET, "something", NULL, 0);
	if (r == CORE_OK)
		r = ask_for(IPC_SECRET_EXPORT, "p", NULL, 0);
	assert_true(r == CORE_OK || r == CORE_E_NO_MEMORY);
	return r == CORE_OK ? 0 : -ENOMEM;
}

static void
test_secret_allocations(void **state)
{
	asked_begin();
	assert_true(failalloc_each(set_and_export, NULL) >= 3);
	asked_end();
}

/* Control socket. */

static int
connect_to(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), r;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	r = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 ? 0 : -errno;
	close(fd);
	return r;
}

static int
listen_at(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
test_socket_own(void **state)
{
	struct control_socket s, second;
	const char *why;
	struct stat st;

	assert_int_equal(control_socket_open(&s, path_of("s"), &why), 0);
	assert_true(s.own);
	assert_int_equal(stat(path_of("s"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(connect_to(path_of("s")), 0);
	assert_int_equal(
		control_socket_open(&second, path_of("s"), &why), -EADDRINUSE);
	assert_non_null(strstr(why, "another daemon"));
	assert_int_equal(connect_to(path_of("s")), 0);
	control_socket_close(&s);
	assert_int_equal(connect_to(path_of("s")), -ENOENT);
}

static void
test_socket_stale(void **state)
{
	struct control_socket s;
	const char *why;

	close(listen_at(path_of("s")));
	assert_int_equal(connect_to(path_of("s")), -ECONNREFUSED);
	assert_int_equal(control_socket_open(&s, path_of("s"), &why), 0);
	assert_int_equal(connect_to(path_of("s")), 0);
	control_socket_close(&s);
}

static void
test_socket_of_others_stays(void **state)
{
	struct control_socket s;
	const char *why;
	int fd = listen_at(path_of("s"));

	assert_int_equal(
		control_socket_open(&s, path_of("s"), &why), -EADDRINUSE);
	assert_non_null(strstr(why, "another program"));
	assert_int_equal(connect_to(path_of("s")), 0);
	close(fd);
	assert_int_equal(unlink(path_of("s")), 0);
	assert_int_equal(fd_write_file(path_of("s"), "x", 1, 0600), 0);
	assert_int_equal(control_socket_open(&s, path_of("s"), &why), -EEXIST);
	assert_int_equal(access(path_of("s"), F_OK), 0);
}

/* What another daemon has put there meanwhile is not removed at the end. */
static void
test_socket_replaced_stays(void **state)
{
	struct control_socket s;
	const char *why;
	int fd;

	assert_int_equal(control_socket_open(&s, path_of("s"), &why), 0);
	assert_int_equal(unlink(path_of("s")), 0);
	fd = listen_at(path_of("s"));
	control_socket_close(&s);
	assert_int_equal(connect_to(path_of("s")), 0);
	close(fd);
}

static void
test_socket_without_folder(void **state)
{
	struct control_socket s;
	const char *why;

	assert_int_equal(
		control_socket_open(&s, path_of("none/s"), &why), -ENOENT);
	assert_non_null(strstr(why, "folder"));
}

/* Settings. */

static void
test_settings_for_service(void **state)
{
	static const char *const sets[] = {"Service.Mode=distributed",
		"Access.ClientGroups=3 4", "Network.Encryption=aes-256",
		"Retrieval.Peers=127.0.0.1:80",
		"Retrieval.RequestTimeout=1500us", "Limits.PerUidOperations=9",
		"Limits.DataArea=1M"};
	struct conf *c = conf_new();
	struct service_settings s;
	struct client_limits limits;

	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		assert_int_equal(conf_read_set(c, sets[i], NULL, NULL), 0);
	settings_for_service(c, &s);
	assert_true(s.policy.enabled);
	assert_int_equal(s.policy.mode, MODE_DISTRIBUTED);
	assert_int_equal(s.policy.clients.n, 2);
	assert_int_equal(s.policy.clients.gids[1], 4);
	assert_true(s.policy.publishers.all);
	assert_int_equal(s.encryption, PCCRR_AES256);
	assert_int_equal(s.n_peers, 1);
	assert_int_equal(s.request_timeout_ms, 2);
	assert_int_equal(s.quarantine_ms, 600000);
	assert_int_equal(s.limits.max[QUOTA_OPERATIONS], 9);
	assert_int_equal(s.limits.max[QUOTA_BUFFER_BYTES], 256u << 20);
	assert_int_equal(s.limits.content_info_bytes, 64u << 20);
	settings_for_clients(c, &limits);
	assert_int_equal(limits.write_size, 1u << 19);
	assert_int_equal(limits.read_size, 1u << 19);
	conf_free(c);
}

static void
test_sizes(void **state)
{
	struct conf_size all = {0, 100};
	struct conf *c = conf_new();
	uint64_t disk;

	conf_read_set(c, "DataCache.MaxSize=3M", NULL, NULL);
	conf_read_set(c, "HashCache.MaxSize=2M", NULL, NULL);
	assert_int_equal(settings_cache_bytes(c), 3u << 20);
	assert_int_equal(settings_hash_bytes(c), 2u << 20);
	conf_read_set(c, "DataCache.Directory=/none", NULL, NULL);
	conf_read_set(c, "HashCache.Directory=/none", NULL, NULL);
	conf_read_set(c, "DataCache.MaxSize=100%", NULL, NULL);
	conf_read_set(c, "HashCache.MaxSize=100%", NULL, NULL);
	assert_int_equal(conf_size_bytes(&all, "/", &disk), 0);
	disk = disk > 1u << 20 ? disk : 1u << 20;
	assert_int_equal(settings_cache_bytes(c), disk);
	assert_int_equal(settings_hash_bytes(c), disk);
	/* 0 would be no limit. */
	conf_read_set(c, "DataCache.Directory=/proc/none", NULL, NULL);
	assert_int_equal(settings_cache_bytes(c), 1u << 20);
	conf_free(c);
}

static void
test_age(void **state)
{
	static const struct {
		const char *set;
		uint64_t seconds;
	} rows[] = {
		{"DataCache.MaxAge=0", 0},
		{"DataCache.MaxAge=1us", 1},
		{"DataCache.MaxAge=1s", 1},
		{"DataCache.MaxAge=1001ms", 2},
		{"DataCache.MaxAge=2d", 172800},
	};
	struct conf *c = conf_new();

	assert_int_equal(settings_cache_age_s(c), 28 * 86400);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(conf_read_set(c, rows[i].set, NULL, NULL), 0);
		assert_int_equal(settings_cache_age_s(c), rows[i].seconds);
	}
	conf_free(c);
}

static void
test_set_size(void **state)
{
	static const char want[] =
		"{\"cache\":\"hash\",\"size\":\"7M\",\"origin\":";
	struct conf *c = conf_new();
	struct buf out;
	struct json j;

	assert_int_equal(
		settings_set_size(c, folder, IPC_CACHE_DATA, "5M"), CORE_OK);
	assert_int_equal(
		settings_set_size(c, folder, IPC_CACHE_HASH, "7M"), CORE_OK);
	assert_int_equal(settings_cache_bytes(c), 5u << 20);
	assert_int_equal(settings_hash_bytes(c), 7u << 20);
	assert_int_equal(settings_set_size(c, folder, IPC_CACHE_HASH, "7X"),
		CORE_E_BAD_PARAMETER);
	assert_int_equal(
		settings_set_size(c, "/none", IPC_CACHE_HASH, "8M"), CORE_E_IO);
	conf_read_set(c, "DataCache.MaxSize=3M", NULL, NULL);
	assert_int_equal(settings_set_size(c, folder, IPC_CACHE_DATA, "6M"),
		CORE_E_DISABLED);
	assert_int_equal(settings_cache_bytes(c), 3u << 20);
	buf_init(&out, 4096);
	json_out_init(&j, &out);
	json_out_object(&j, NULL);
	settings_put_size(&j, c, IPC_CACHE_HASH);
	json_out_end_object(&j);
	assert_int_equal(buf_error(&out), 0);
	assert_memory_equal(out.data, want, strlen(want));
	assert_non_null(
		memmem(out.data, out.len, "\"max_bytes\":7340032}", 20));
	buf_done(&out);
	conf_free(c);
}

static int
report_problems(void *arg)
{
	struct problems p = {.n = 0};
	struct json j;
	struct buf out;
	int r;

	for (unsigned i = 0; i < 2 * PROBLEMS_MAX; i++)
		problems_add(&p, "F:1", "bad");
	assert_int_equal(p.n, 2 * PROBLEMS_MAX);
	buf_init(&out, 1u << 20);
	json_out_init(&j, &out);
	json_out_object(&j, NULL);
	settings_put_problems(&j, &p);
	json_out_end_object(&j);
	r = buf_error(&out);
	if (r == 0)
		assert_non_null(memmem(out.data, out.len, "\"F:1: bad\"", 10));
	buf_done(&out);
	problems_done(&p);
	assert_int_equal(p.n, 0);
	return r;
}

static void
test_problems(void **state)
{
	assert_true(failalloc_each(report_problems, NULL) > PROBLEMS_MAX / 2);
}

static void
test_config_document(void **state)
{
	static const char want[] =
		"{\"section\":\"Retrieval\",\"name\":\"Peers\",\"value\":"
		"[\"127.0.0.1:80\",\"[::1]:81\"],\"default\":[],"
		"\"origin\":\"--set\",\"locked\":false}";
	struct conf *c = conf_new();
	struct json j;
	struct buf out;

	conf_read_set(c, "Retrieval.Peers=127.0.0.1:80 [::1]:81", NULL, NULL);
	buf_init(&out, 1u << 20);
	json_out_init(&j, &out);
	json_out_object(&j, NULL);
	settings_put_config(&j, c);
	json_out_end_object(&j);
	assert_int_equal(buf_error(&out), 0);
	assert_non_null(memmem(out.data, out.len, want, strlen(want)));
	assert_null(memmem(out.data, out.len, "HostedCache", 11));
	assert_null(memmem(out.data, out.len, "pending", 7));
	buf_done(&out);
	conf_free(c);
}

static void
test_config_shows_what_is_pending(void **state)
{
	static const char want[] =
		"\"name\":\"Workers\",\"value\":\"2\",\"pending\":\"3\","
		"\"default\":\"auto\",\"origin\":\"--set\"";
	struct conf *c = conf_new(), *old = conf_new();
	struct json j;
	struct buf out;

	conf_read_set(old, "Service.Workers=2", NULL, NULL);
	conf_read_set(c, "Service.Workers=3", NULL, NULL);
	assert_int_equal(conf_keep_restart_only(c, old, NULL, NULL), 0);
	buf_init(&out, 1u << 20);
	json_out_init(&j, &out);
	json_out_object(&j, NULL);
	settings_put_config(&j, c);
	json_out_end_object(&j);
	assert_int_equal(buf_error(&out), 0);
	assert_non_null(memmem(out.data, out.len, want, strlen(want)));
	buf_done(&out);
	conf_free(c);
	conf_free(old);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_secret_is_made_once),
		IN_FOLDER(test_secret_refuses),
		IN_FOLDER(test_secret_of_another),
		IN_FOLDER(test_secret_is_replaced),
		IN_FOLDER(test_secret_left_aside_is_removed),
		IN_FOLDER(test_secret_fingerprint),
		IN_FOLDER(test_secret_set),
		IN_FOLDER(test_secret_export_and_import),
		IN_FOLDER(test_secret_import_refuses),
		IN_FOLDER(test_secret_nobody_can_use),
		IN_FOLDER(test_secret_folder_is_gone),
		IN_FOLDER(test_secret_allocations),
		IN_FOLDER(test_socket_own),
		IN_FOLDER(test_socket_stale),
		IN_FOLDER(test_socket_of_others_stays),
		IN_FOLDER(test_socket_replaced_stays),
		IN_FOLDER(test_socket_without_folder),
		IN_FOLDER(test_settings_for_service),
		IN_FOLDER(test_sizes),
		IN_FOLDER(test_age),
		IN_FOLDER(test_set_size),
		IN_FOLDER(test_problems),
		IN_FOLDER(test_config_document),
		IN_FOLDER(test_config_shows_what_is_pending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
