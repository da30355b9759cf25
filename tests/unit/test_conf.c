/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fdutil.h"
#include "common/macros.h"
#include "failalloc.h"

/* What was told, one line per problem. */
struct reports {
	char text[8192];
	size_t len;
	size_t n;
};

static void
on_report(void *ctx, const char *origin, const char *text)
{
	struct reports *r = ctx;

	r->len += (size_t)snprintf(r->text + r->len, sizeof(r->text) - r->len,
		"%s: %s\n", origin, text);
	assert_true(r->len < sizeof(r->text));
	r->n++;
}

static void
assert_told(const struct reports *r, const char *part)
{
	if (strstr(r->text, part) == NULL)
		fail_msg("not told \"%s\" in:\n%s", part, r->text);
}

static int
read_as(struct conf *c, const char *text, enum conf_source kind,
	struct reports *r)
{
	struct conf_text t = {"F", text, strlen(text), kind};

	return conf_read_text(c, &t, r != NULL ? on_report : NULL, r);
}

static void
assert_listens(const struct conf *c, const char *want)
{
	char text[PARSE_ADDR_TEXT];

	parse_addr_format(text, &c->retrieval_listen);
	assert_string_equal(text, want);
}

static void
test_defaults(void **state)
{
	struct conf *c = conf_new();

	assert_non_null(c);
	assert_true(c->enable);
	assert_int_equal(c->mode, 0);
	assert_string_equal(c->socket, "/run/peerdist/peerdistd.sock");
	assert_int_equal(c->preferred_content_version, 2);
	assert_int_equal(c->workers, 0);
	assert_true(c->client_groups.all);
	assert_true(c->publisher_groups.all);
	assert_false(c->admin_group.all);
	assert_int_equal(c->per_uid_sessions, 64);
	assert_int_equal(c->per_uid_contents, 1024);
	assert_int_equal(c->per_uid_operations, 65536);
	assert_int_equal(c->per_uid_buffer_bytes, 256u << 20);
	assert_int_equal(c->per_uid_content_info_bytes, 64u << 20);
	assert_int_equal(c->data_area, 8u << 20);
	assert_int_equal(c->cache_max_size.percent, 5);
	assert_int_equal(c->cache_max_age_us, 28ull * 86400 * 1000000);
	assert_string_equal(c->hash_directory, "/var/lib/peerdist");
	assert_int_equal(c->hash_max_size.percent, 1);
	assert_int_equal(c->peers.n, 0);
	assert_int_equal(c->max_peers, 16);
	assert_int_equal(c->request_timeout_us, 2000000);
	assert_int_equal(c->peer_strikes, 3);
	assert_int_equal(c->quarantine_us, 600000000);
	assert_int_equal(c->probe_timeout_us, 300000);
	assert_int_equal(c->backoff_max_us, 65000);
	assert_int_equal(c->quorum_size, 10);
	assert_int_equal(c->quorum_forget_us, 43200000000);
	assert_int_equal(c->upload_sessions, 64);
	assert_int_equal(c->upload_timeout_us, 15000000);
	assert_int_equal(c->upload_rate, 0);
	assert_listens(c, "[::]:80");
	assert_true(c->interfaces.all);
	assert_int_equal(c->interfaces.n, 0);
	assert_true(c->allow_peers.local);
	assert_int_equal(c->allow_peers.n, 0);
	assert_string_equal(conf_log_levels[c->log_level], "info");
	assert_string_equal(
		conf_value_of(c, "Log", "Level")->origin, "built-in");
	conf_free(c);
}

static void
test_values(void **state)
{
	static const char text[] =
		"[Service]\nEnable = no\n  Mode = distributed\n"
		"\tSocket=/tmp/s ; comment\nPreferredContentVersion: 1\n"
		"# comment\n; comment\n[Limits]\nPerUidBufferBytes = 1G\r\n"
		"Operations = 7\n[Retrieval]\nRequestTimeout = 1500ms\n"
		"[Network]\nEncryption = aes-256\n[DataCache]\nMaxSize=2M\n"
		"MaxAge=0\n[HashCache]\nMaxSize=3M\nDirectory=/h\n"
		"[Log]\nLevel = debug";
	struct reports r = {.n = 0};
	struct conf *c = conf_new();

	assert_int_equal(read_as(c, text, CONF_FROM_FILE, &r), 0);
	assert_string_equal(r.text, "");
	assert_false(c->enable);
	assert_int_equal(c->mode, 1);
	assert_string_equal(c->socket, "/tmp/s");
	assert_int_equal(c->preferred_content_version, 1);
	assert_int_equal(c->per_uid_buffer_bytes, 1u << 30);
	assert_int_equal(c->per_uid_operations, 7);
	assert_int_equal(c->request_timeout_us, 1500000);
	assert_int_equal(c->encryption, 2);
	assert_int_equal(c->cache_max_size.bytes, 2u << 20);
	assert_int_equal(c->cache_max_age_us, 0);
	assert_int_equal(c->hash_max_size.bytes, 3u << 20);
	assert_string_equal(c->hash_directory, "/h");
	assert_int_equal(c->log_level, 4);
	assert_string_equal(conf_value_of(c, "Service", "Mode")->origin, "F:3");
	conf_free(c);
}

static void
test_bad_values_keep_what_was(void **state)
{
	static const struct {
		const char *section, *name, *value;
	} rows[] = {
		{"Service", "Enable", "maybe"},
		{"Service", "Mode", "Local"},
		{"Service", "Mode", "hosted-server"},
		{"Service", "Mode", ""},
		{"Service", "Socket", "relative.sock"},
		{"Service", "PreferredContentVersion", "3"},
		{"Service", "PreferredContentVersion", "1x"},
		{"Service", "Workers", "0"},
		{"Limits", "PerUidSessions", "0"},
		{"Limits", "PerUidSessions", "-1"},
		{"Limits", "PerUidBufferBytes", "1K"},
		{"Limits", "PerUidBufferBytes", "much"},
		{"Limits", "DataArea", "99999999999999999999G"},
		{"DataCache", "MaxSize", "0%"},
		{"DataCache", "MaxSize", "101%"},
		{"DataCache", "MaxSize", "%"},
		{"DataCache", "MaxSize", "1023K"},
		{"DataCache", "MaxAge", "28"},
		{"DataCache", "MaxAge", "-1d"},
		{"DataCache", "MaxAge", "36501d"},
		{"HashCache", "MaxSize", "0"},
		{"HashCache", "Directory", "hashes"},
		{"Retrieval", "RequestTimeout", "2"},
		{"Retrieval", "RequestTimeout", "2 s s"},
		{"Retrieval", "RequestTimeout", "1d"},
		{"Web", "Listen", "on"},
		{"Web", "Listen", ":80"},
		{"Web", "Listen", ""},
		{"Web", "Root", "srv/www"},
		{"Web", "Root", ""},
		{"Web", "MinSize", "64X"},
		{"Network", "RetrievalListen", "80"},
		{"Network", "RetrievalListen", ":80"},
		{"Network", "RetrievalListen", "[::]:65536"},
		{"Network", "RetrievalListen", "host:80"},
		{"Network", "RetrievalListen", "off"},
		{"Network", "RetrievalListen", ""},
		{"Discovery", "ProbeTimeout", "9ms"},
		{"Discovery", "ProbeTimeout", "11s"},
		{"Discovery", "BackoffMax", "0"},
		{"Discovery", "BackoffMax", "999us"},
		{"Discovery", "BackoffMax", "6s"},
		{"Discovery", "QuorumSize", "513"},
		{"Discovery", "QuorumSize", "-1"},
		{"Discovery", "QuorumForget", "0"},
		{"Upload", "MaxSessions", "0"},
		{"Upload", "MaxSessions", "16385"},
		{"Upload", "Timeout", "99ms"},
		{"Upload", "Timeout", "61min"},
		{"Upload", "RateLimit", "fast"},
		{"Log", "Level", "loud"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reports r = {.n = 0};
		struct conf *c = conf_new();
		const struct conf_value *v =
			conf_value_of(c, rows[i].section, rows[i].name);
		char text[256], was[128];

		snprintf(was, sizeof(was), "%s", v->text);
		snprintf(text, sizeof(text), "\n[%s]\n%s = %s\n",
			rows[i].section, rows[i].name, rows[i].value);
		assert_int_equal(read_as(c, text, CONF_FROM_FILE, &r), 0);
		assert_int_equal(r.n, 1);
		assert_told(&r, "F:3: ");
		assert_told(&r, rows[i].name);
		assert_string_equal(v->text, was);
		assert_string_equal(v->origin, "built-in");
		conf_free(c);
	}
}

static void
test_unknown_and_later_are_told(void **state)
{
	struct reports r = {.n = 0};
	struct conf *c = conf_new();

	assert_int_equal(
		read_as(c,
			"Enable = no\n[Service]\nenable = "
			"no\n[Metrics]\nListen = "
			":80\n"
			"[Nowhere]\nx=y\n[Access\nAdminGroup = root\nnonsense\n"
			"Key ; = 1\n",
			CONF_FROM_FILE, &r),
		0);
	assert_told(&r, "F:1: .Enable: no such setting");
	assert_told(&r, "F:3: Service.enable: no such setting");
	assert_told(&r, "F:5: Metrics.Listen: not in this release");
	assert_told(&r, "F:7: Nowhere.x: no such setting");
	assert_told(&r, "F:8: section without ]");
	assert_told(&r, "F:9: ?.AdminGroup: no such setting");
	assert_told(&r, "F:10: neither");
	assert_told(&r, "F:11: neither");
	assert_int_equal(r.n, 8);
	assert_true(c->enable);
	conf_free(c);
}

static void
test_order_of_sources(void **state)
{
	struct reports r = {.n = 0};
	struct conf *c = conf_new();

	read_as(c, "[Service]\nEnable=no\nMode=distributed\n[Log]\nLevel=error",
		CONF_FROM_FILE, &r);
	assert_int_equal(conf_read_set(c, "Log.Level=debug", on_report, &r), 0);
	assert_string_equal(conf_value_of(c, "Log", "Level")->origin, "--set");
	read_as(c, "[Service]\nMode=local\n", CONF_FROM_POLICY, &r);
	assert_string_equal(r.text, "");
	assert_false(c->enable);
	assert_int_equal(c->mode, 0);
	assert_int_equal(c->log_level, 4);
	assert_int_equal(
		conf_value_of(c, "Service", "Mode")->source, CONF_FROM_POLICY);
	read_as(c, "[Log]\nLevel=info\n", CONF_FROM_POLICY, &r);
	assert_told(&r, "F:2: Log.Level is locked here; --set is ignored");
	assert_int_equal(c->log_level, 3);
	conf_free(c);
}

static void
test_lists(void **state)
{
	struct reports r = {.n = 0};
	struct conf *c = conf_new();
	const struct conf_value *v = conf_value_of(c, "Retrieval", "Peers");

	read_as(c,
		"[Retrieval]\nPeers=127.0.0.1:80, [::1]:81\nPeers=127.0.0.2:1",
		CONF_FROM_FILE, &r);
	assert_int_equal(c->peers.n, 3);
	read_as(c, "[Retrieval]\nPeers=127.0.0.3:1", CONF_FROM_FILE, &r);
	assert_string_equal(
		v->text, "127.0.0.1:80 [::1]:81 127.0.0.2:1 127.0.0.3:1");
	conf_read_set(c, "Retrieval.Peers=127.0.0.4:1", on_report, &r);
	conf_read_set(c, "Retrieval.Peers=127.0.0.5:1", on_report, &r);
	assert_string_equal(v->text, "127.0.0.4:1 127.0.0.5:1");
	assert_int_equal(c->peers.n, 2);
	read_as(c, "[Retrieval]\nPeers=\n", CONF_FROM_POLICY, &r);
	assert_int_equal(c->peers.n, 0);
	assert_told(&r, "--set is ignored");
	assert_int_equal(r.n, 1);
	read_as(c, "[Retrieval]\nPeers=host:80 127.0.0.6:1", CONF_FROM_POLICY,
		&r);
	assert_told(&r, "F:2: Retrieval.Peers: \"host:80");
	assert_string_equal(v->text, "127.0.0.6:1");
	conf_free(c);
}

/* A list that names nobody who exists lets in nobody, not everybody. */
static void
test_unknown_group_closes(void **state)
{
	struct reports r = {.n = 0};
	struct conf *c = conf_new();

	read_as(c,
		"[Access]\nClientGroups = no-such-group-here\n"
		"PublisherGroups = 7 root\nAdminGroup = 12",
		CONF_FROM_FILE, &r);
	assert_int_equal(r.n, 1);
	assert_told(&r, "F:2: Access.ClientGroups");
	assert_false(c->client_groups.all);
	assert_int_equal(c->client_groups.n, 0);
	assert_int_equal(c->publisher_groups.n, 2);
	assert_int_equal(c->publisher_groups.gids[0], 7);
	assert_int_equal(c->publisher_groups.gids[1], 0);
	assert_int_equal(c->admin_group.n, 1);
	assert_int_equal(c->admin_group.gids[0], 12);
	conf_free(c);
}

static void
test_set_refuses(void **state)
{
	static const char *const sets[] = {"", "Service", "Service.Enable", "=",
		"Service=yes", "Service=a.b", "Service.Enable=maybe",
		"Service.Nothing=1", "Service.Socket=/a\nb",
		"Service.Socket=/a ;b", "Access.ClientGroups=a\n[Log]"};

	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		struct reports r = {.n = 0};
		struct conf *c = conf_new();

		assert_int_equal(conf_read_set(c, sets[i], on_report, &r),
			CONF_E_OPTION);
		assert_int_equal(r.n, 1);
		conf_free(c);
	}
}

static void
test_long_line_and_nul(void **state)
{
	static const struct conf_text nul = {"F", "[Log]\0", 6, CONF_FROM_FILE};
	char text[300] = "[Service]\nSocket = /";
	struct reports r = {.n = 0};
	struct conf *c = conf_new();
	size_t len = strlen(text);

	/* 196 bytes is what still fits. */
	memset(text + len, 'a', 206 - len);
	text[206] = '\0';
	assert_int_equal(read_as(c, text, CONF_FROM_FILE, &r), 0);
	assert_told(&r, "F:2: Service.Socket");
	text[206] = 'a';
	assert_int_equal(
		read_as(c, text, CONF_FROM_FILE, &r), CONF_E_UNREADABLE);
	assert_told(&r, "F:2: line too long");
	assert_int_equal(
		conf_read_text(c, &nul, on_report, &r), CONF_E_UNREADABLE);
	conf_free(c);
}

static void
dump_text(const struct conf *c, struct buf *out)
{
	buf_init(out, 1 << 20);
	conf_dump(c, out);
	assert_int_equal(buf_error(out), 0);
}

static void
test_dump_reads_back(void **state)
{
	static const char text[] =
		"[Service]\nEnable=off\nWorkers=3\n[Access]\nClientGroups=\n"
		"PublisherGroups = root 17\n[Retrieval]\nPeers=127.0.0.1:80\n"
		"Peers=[::1]:8080\n[DataCache]\nMaxSize=70%\n"
		"[Network]\nRetrievalListen=[fe80::1%3]:0\n"
		"Interfaces=eth0 wlan0\nAllowPeers=local 10.0.0.0/8 ::1\n"
		"[Upload]\nRateLimit=10M\n"
		"[Web]\nListen=127.0.0.1:8080\nRoot=/srv/www\nMinSize=0\n";
	struct reports r = {.n = 0};
	struct conf *c = conf_new(), *again = conf_new();
	struct conf_text t;
	struct buf one, two;

	read_as(c, text, CONF_FROM_FILE, &r);
	dump_text(c, &one);
	t = (struct conf_text){"D", (char *)one.data, one.len, CONF_FROM_FILE};
	assert_int_equal(conf_read_text(again, &t, on_report, &r), 0);
	assert_string_equal(r.text, "");
	dump_text(again, &two);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	assert_int_equal(again->publisher_groups.n, 2);
	assert_false(again->client_groups.all);
	assert_int_equal(again->peers.n, 2);
	assert_listens(again, "[fe80::1%3]:0");
	assert_false(again->interfaces.all);
	assert_int_equal(again->interfaces.n, 2);
	assert_true(again->allow_peers.local);
	assert_int_equal(again->allow_peers.n, 2);
	assert_int_equal(again->upload_rate, 10u << 20);
	assert_string_equal(again->web_root, "/srv/www");
	assert_true(again->web_listen.len > 0);
	assert_int_equal(again->web_min_size, 0);
	buf_done(&one);
	buf_done(&two);
	conf_free(c);
	conf_free(again);
}

/* What is none has a word of its own, and the last one counts. */
static void
test_off_and_none(void **state)
{
	struct reports r = {.n = 0};
	struct conf *c = conf_new();

	assert_int_equal(c->web_listen.len, 0);
	assert_string_equal(c->web_root, "");
	assert_int_equal(c->web_min_size, 65536);
	read_as(c, "[Web]\nListen=[::1]:80\nRoot=/a\n", CONF_FROM_FILE, &r);
	assert_true(c->web_listen.len > 0);
	assert_string_equal(c->web_root, "/a");
	read_as(c, "[Web]\nListen=off\nRoot=-\n", CONF_FROM_FILE, &r);
	assert_int_equal(c->web_listen.len, 0);
	assert_string_equal(c->web_root, "");
	assert_string_equal(r.text, "");
	conf_free(c);
}

static void
write_text(const char *folder, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(fd_write_file(path, text, strlen(text), 0600), 0);
}

static void
remove_tree(const char *folder)
{
	static const char *const names[] = {"c.d/b.conf", "c.d/a.conf",
		"c.d/not", "c.d", "policy.d/p.conf", "policy.d", "c",
		"state/settings.conf", "state", "settings.conf"};
	char path[256];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)remove(path);
	}
	assert_int_equal(rmdir(folder), 0);
}

static void
make_tree(const char *folder)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/c.d", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/policy.d", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	write_text(folder, "c", "[Log]\nLevel=error\n[Service]\nWorkers=1\n");
	write_text(folder, "c.d/b.conf", "[Log]\nLevel=debug\n");
	write_text(folder, "c.d/a.conf", "[Log]\nLevel=notice\n");
	write_text(folder, "c.d/not", "[Log]\nLevel=nonsense\n");
	write_text(folder, "policy.d/p.conf", "[Service]\nEnable=no\n");
}

static void
test_files(void **state)
{
	static const char *const sets[] = {"Service.Workers=2"};
	char folder[] = "/tmp/test_conf.XXXXXX", file[64];
	struct conf_sources s = {
		.file = file, .file_needed = true, .sets = sets, .n_sets = 1};
	struct reports r = {.n = 0};
	struct conf *c = NULL;

	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/c", folder);
	assert_int_equal(conf_load(&c, &s, on_report, &r), CONF_E_UNREADABLE);
	assert_told(&r, "No such file");
	s.file_needed = false;
	assert_int_equal(conf_load(&c, &s, on_report, &r), 0);
	conf_free(c);
	make_tree(folder);
	r = (struct reports){.n = 0};
	assert_int_equal(conf_load(&c, &s, on_report, &r), 0);
	assert_string_equal(r.text, "");
	assert_string_equal(conf_log_levels[c->log_level], "debug");
	assert_int_equal(c->workers, 2);
	assert_false(c->enable);
	assert_non_null(strstr(
		conf_value_of(c, "Log", "Level")->origin, "/c.d/b.conf:2"));
	conf_free(c);
	remove_tree(folder);
}

/* settings.conf. */

struct scene {
	char folder[32], file[64], state[64], kept[80];
	struct conf_sources sources;
};

static void
scene_make(struct scene *s)
{
	char text[128];

	snprintf(s->folder, sizeof(s->folder), "/tmp/test_conf.XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	snprintf(s->file, sizeof(s->file), "%s/c", s->folder);
	snprintf(s->state, sizeof(s->state), "%s/state", s->folder);
	snprintf(s->kept, sizeof(s->kept), "%s/settings.conf", s->state);
	assert_int_equal(mkdir(s->state, 0700), 0);
	snprintf(text, sizeof(text),
		"[Service]\nStateDirectory=%s\n[DataCache]\nMaxSize=2M\n",
		s->state);
	write_text(s->folder, "c", text);
	s->sources = (struct conf_sources){.file = s->file};
}

static struct conf *
scene_load(const struct scene *s, struct reports *r)
{
	struct conf *c = NULL;

	*r = (struct reports){.n = 0};
	assert_int_equal(conf_load(&c, &s->sources, on_report, r), 0);
	return c;
}

static void
assert_kept(const struct scene *s, const char *want)
{
	struct buf bytes;

	buf_init(&bytes, 4096);
	assert_int_equal(fd_read_file(s->kept, &bytes), 0);
	buf_u8(&bytes, 0);
	assert_string_equal(strchr((char *)bytes.data, '\n') + 1, want);
	buf_done(&bytes);
}

static void
test_state_file_order(void **state)
{
	static const char *const sets[] = {"DataCache.MaxSize=4M"};
	struct reports r;
	struct scene s;
	struct conf *c;

	scene_make(&s);
	write_text(s.state, "settings.conf",
		"[DataCache]\nMaxSize=3M\nMaxAge=1d\n[HashCache]\nMaxSize=9%\n"
		"[Service]\nStateDirectory=/other\nEnable=no\n");
	c = scene_load(&s, &r);
	assert_int_equal(c->cache_max_size.bytes, 3u << 20);
	assert_int_equal(c->hash_max_size.percent, 9);
	assert_true(c->enable);
	assert_int_equal(c->cache_max_age_us, 28ull * 86400 * 1000000);
	assert_string_equal(c->state_directory, s.state);
	assert_int_equal(r.n, 3);
	assert_told(&r, "settings.conf:3: DataCache.MaxAge: not for this file");
	assert_told(&r, "settings.conf:8: Service.Enable: not for this file");
	assert_non_null(strstr(conf_value_of(c, "DataCache", "MaxSize")->origin,
		"/state/settings.conf:2"));
	conf_free(c);
	s.sources.sets = sets;
	s.sources.n_sets = 1;
	c = scene_load(&s, &r);
	assert_int_equal(c->cache_max_size.bytes, 4u << 20);
	assert_string_equal(
		conf_value_of(c, "DataCache", "MaxSize")->origin, "--set");
	conf_free(c);
	/* Another folder than that of the settings. */
	s.sources.state_folder = s.folder;
	write_text(s.folder, "settings.conf", "[HashCache]\nMaxSize=8%\n");
	c = scene_load(&s, &r);
	assert_int_equal(c->hash_max_size.percent, 8);
	conf_free(c);
	remove_tree(s.folder);
}

static void
test_state_file_of_policy_folder(void **state)
{
	struct reports r;
	struct scene s;
	struct conf *c;
	char text[128], path[64];

	scene_make(&s);
	snprintf(path, sizeof(path), "%s/policy.d", s.folder);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(text, sizeof(text),
		"[Service]\nStateDirectory=%s\n[HashCache]\nMaxSize=7%%\n",
		s.folder);
	write_text(s.folder, "policy.d/p.conf", text);
	write_text(s.folder, "settings.conf",
		"[HashCache]\nMaxSize=8%\n[DataCache]\nMaxSize=6M\n");
	c = scene_load(&s, &r);
	assert_string_equal(r.text, "");
	assert_int_equal(c->hash_max_size.percent, 7);
	assert_int_equal(c->cache_max_size.bytes, 6u << 20);
	assert_int_equal(
		conf_state_set(c, s.folder, "HashCache", "MaxSize", "5M"),
		CONF_STATE_E_LOCKED);
	conf_free(c);
	remove_tree(s.folder);
}

static void
test_state_file_is_written(void **state)
{
	struct reports r;
	struct stat st;
	struct scene s;
	struct conf *c;

	scene_make(&s);
	c = scene_load(&s, &r);
	assert_int_equal(
		conf_state_set(c, s.state, "DataCache", "MaxSize", "5M"), 0);
	assert_int_equal(c->cache_max_size.bytes, 5u << 20);
	assert_string_equal(
		conf_value_of(c, "DataCache", "MaxSize")->text, "5M");
	assert_non_null(strstr(conf_value_of(c, "DataCache", "MaxSize")->origin,
		"/state/settings.conf:3"));
	assert_kept(&s, "[DataCache]\nMaxSize = 5M\n");
	assert_int_equal(stat(s.kept, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(
		conf_state_set(c, s.state, "HashCache", "MaxSize", "10%"), 0);
	assert_int_equal(c->hash_max_size.percent, 10);
	assert_kept(
		&s, "[DataCache]\nMaxSize = 5M\n[HashCache]\nMaxSize = 10%\n");
	conf_free(c);
	c = scene_load(&s, &r);
	assert_string_equal(r.text, "");
	assert_int_equal(c->cache_max_size.bytes, 5u << 20);
	assert_int_equal(c->hash_max_size.percent, 10);
	conf_free(c);
	remove_tree(s.folder);
}

static void
test_state_set_refuses(void **state)
{
	static const char *const values[] = {
		"", "0", "much", "1K", "0%", "5M\n[Log]", "5M ; x"};
	static const char *const sets[] = {"DataCache.MaxSize=4M"};
	struct reports r;
	struct scene s;
	struct conf *c;

	scene_make(&s);
	c = scene_load(&s, &r);
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		assert_int_equal(conf_state_set(c, s.state, "DataCache",
					 "MaxSize", values[i]),
			CONF_STATE_E_BAD);
	assert_int_equal(conf_state_set(c, s.state, "Service", "Enable", "no"),
		CONF_STATE_E_BAD);
	assert_int_equal(conf_state_set(c, s.state, "Service", "None", "no"),
		CONF_STATE_E_BAD);
	assert_int_equal(c->cache_max_size.bytes, 2u << 20);
	assert_int_equal(access(s.kept, F_OK), -1);
	assert_int_equal(
		conf_state_set(c, "/nowhere", "DataCache", "MaxSize", "5M"),
		-ENOENT);
	conf_free(c);
	s.sources.sets = sets;
	s.sources.n_sets = 1;
	c = scene_load(&s, &r);
	assert_int_equal(
		conf_state_set(c, s.state, "DataCache", "MaxSize", "5M"),
		CONF_STATE_E_LOCKED);
	assert_int_equal(access(s.kept, F_OK), -1);
	conf_free(c);
	remove_tree(s.folder);
}

/* What --set hides now counts again when the option is gone. */
static void
test_state_file_keeps_hidden_values(void **state)
{
	static const char *const sets[] = {"DataCache.MaxSize=4M"};
	struct reports r;
	struct scene s;
	struct conf *c;

	scene_make(&s);
	write_text(s.state, "settings.conf", "[DataCache]\nMaxSize=3M\n");
	s.sources.sets = sets;
	s.sources.n_sets = 1;
	c = scene_load(&s, &r);
	assert_int_equal(
		conf_state_set(c, s.state, "HashCache", "MaxSize", "5M"), 0);
	assert_int_equal(c->cache_max_size.bytes, 4u << 20);
	assert_string_equal(
		conf_value_of(c, "DataCache", "MaxSize")->origin, "--set");
	assert_kept(
		&s, "[DataCache]\nMaxSize = 3M\n[HashCache]\nMaxSize = 5M\n");
	/* A broken one is left for somebody to look at. */
	assert_int_equal(fd_write_file(s.kept, "[\0", 2, 0600), 0);
	assert_int_equal(
		conf_state_set(c, s.state, "HashCache", "MaxSize", "6M"),
		-EBADMSG);
	assert_int_equal(c->hash_max_size.bytes, 5u << 20);
	conf_free(c);
	remove_tree(s.folder);
}

static int
set_in_state(void *arg)
{
	struct scene *s = arg;
	struct conf *c = NULL;
	int r = conf_load(&c, &s->sources, NULL, NULL);

	if (r == 0)
		r = conf_state_set(c, s->state, "HashCache", "MaxSize", "5M");
	conf_free(c);
	return r;
}

static void
test_state_allocations(void **state)
{
	struct scene s;

	scene_make(&s);
	assert_true(failalloc_each(set_in_state, &s) > 50);
	assert_kept(&s, "[HashCache]\nMaxSize = 5M\n");
	remove_tree(s.folder);
}

/* The mode is kept there, too, and what --set and policy say of it counts. */
static void
test_state_of_mode(void **state)
{
	static const char *const sets[] = {"Service.Mode=local"};
	struct reports r;
	struct scene s;
	struct conf *c;

	scene_make(&s);
	c = scene_load(&s, &r);
	assert_int_equal(c->mode, 0);
	assert_int_equal(
		conf_state_set(c, s.state, "Service", "Mode", "hosted-server"),
		CONF_STATE_E_BAD);
	assert_int_equal(
		conf_state_set(c, s.state, "Service", "Mode", "distributed"),
		0);
	assert_int_equal(c->mode, 1);
	assert_kept(&s, "[Service]\nMode = distributed\n");
	assert_int_equal(
		conf_state_set(c, s.state, "DataCache", "MaxSize", "5M"), 0);
	assert_kept(&s,
		"[Service]\nMode = distributed\n[DataCache]\nMaxSize = "
		"5M\n");
	conf_free(c);
	c = scene_load(&s, &r);
	assert_string_equal(r.text, "");
	assert_int_equal(c->mode, 1);
	conf_free(c);
	s.sources.sets = sets;
	s.sources.n_sets = 1;
	c = scene_load(&s, &r);
	assert_int_equal(c->mode, 0);
	assert_int_equal(
		conf_state_set(c, s.state, "Service", "Mode", "distributed"),
		CONF_STATE_E_LOCKED);
	conf_free(c);
	remove_tree(s.folder);
}

/* Nobody waits for answers that come later than that. */
static void
test_backoff_is_limited(void **state)
{
	static const char *const sets[] = {
		"Discovery.ProbeTimeout=50ms", "Discovery.BackoffMax=50ms"};
	struct reports r;
	struct scene s;
	struct conf *c;

	scene_make(&s);
	s.sources.sets = sets;
	s.sources.n_sets = 1;
	c = scene_load(&s, &r);
	assert_int_equal(c->probe_timeout_us, 50000);
	assert_int_equal(c->backoff_max_us, 50000);
	assert_int_equal(r.n, 1);
	assert_told(&r, "built-in: Discovery.BackoffMax is more than");
	conf_free(c);
	s.sources.n_sets = 2;
	c = scene_load(&s, &r);
	assert_int_equal(c->backoff_max_us, 50000);
	assert_string_equal(r.text, "");
	conf_free(c);
	remove_tree(s.folder);
}

/* What only a restart changes. */

static void
test_restart_only(void **state)
{
	struct reports r = {.n = 0};
	struct conf *old = conf_new(), *new = conf_new(), *next = conf_new();
	const struct conf_value *v;

	read_as(old, "[DataCache]\nDirectory=/a\nMaxSize=1M\n", CONF_FROM_FILE,
		&r);
	read_as(new,
		"[DataCache]\nDirectory=/b\nMaxSize=2M\n"
		"[HashCache]\nDirectory=/c\n[Service]\nWorkers=3\n",
		CONF_FROM_FILE, &r);
	assert_string_equal(r.text, "");
	assert_int_equal(conf_keep_restart_only(new, old, on_report, &r), 0);
	assert_int_equal(r.n, 3);
	assert_told(&r, "F:2: DataCache.Directory needs a restart to change");
	assert_told(&r, "F:5: HashCache.Directory needs");
	assert_told(&r, "F:7: Service.Workers needs");
	assert_string_equal(new->cache_directory, "/a");
	assert_string_equal(new->hash_directory, "/var/lib/peerdist");
	assert_int_equal(new->workers, 0);
	assert_int_equal(new->cache_max_size.bytes, 2u << 20);
	v = conf_value_of(new, "HashCache", "Directory");
	assert_string_equal(v->text, "/var/lib/peerdist");
	assert_string_equal(v->origin, "built-in");
	assert_string_equal(v->pending, "/c");
	assert_int_equal(v->source, CONF_FROM_BUILT_IN);
	assert_null(conf_value_of(new, "DataCache", "MaxSize")->pending);
	/* Once more, and one of them is as it was. */
	read_as(next, "[DataCache]\nDirectory=/a\n[Service]\nWorkers=4\n",
		CONF_FROM_FILE, &r);
	assert_int_equal(conf_keep_restart_only(next, new, NULL, NULL), 0);
	assert_string_equal(next->cache_directory, "/a");
	assert_null(conf_value_of(next, "DataCache", "Directory")->pending);
	assert_null(conf_value_of(next, "HashCache", "Directory")->pending);
	assert_string_equal(
		conf_value_of(next, "Service", "Workers")->pending, "4");
	conf_free(old);
	conf_free(new);
	conf_free(next);
}

static int
keep_all(void *arg)
{
	struct conf *old = conf_new(), *new = conf_new();
	int r = old == NULL || new == NULL ? -ENOMEM : 0;

	if (r == 0)
		r = read_as(new, arg, CONF_FROM_FILE, NULL);
	if (r == 0)
		r = conf_keep_restart_only(new, old, NULL, NULL);
	conf_free(old);
	conf_free(new);
	return r;
}

static void
test_restart_only_allocations(void **state)
{
	static char text[] = "[DataCache]\nDirectory=/b\n"
			     "[Service]\nWorkers=3\nSocket=/s\n";

	assert_true(failalloc_each(keep_all, text) > 50);
}

static void
test_size_part(void **state)
{
	struct conf_size all = {0, 100}, half = {0, 50}, fixed = {7, 0};
	uint64_t a, b;

	assert_int_equal(conf_size_bytes(&all, "/tmp/none/none", &a), 0);
	assert_int_equal(conf_size_bytes(&half, "/tmp", &b), 0);
	assert_true(a > 0);
	assert_true(b == a / 100 * 50 || b == a / 2);
	assert_int_equal(conf_size_bytes(&fixed, "/", &a), 0);
	assert_int_equal(a, 7);
}

static int
load_and_dump(void *arg)
{
	struct conf *c = conf_new();
	struct buf out;
	int r;

	if (c == NULL)
		return -ENOMEM;
	r = read_as(c, arg, CONF_FROM_FILE, NULL);
	buf_init(&out, 1 << 20);
	conf_dump(c, &out);
	if (r == 0)
		r = buf_error(&out);
	buf_done(&out);
	conf_free(c);
	return r;
}

static void
test_allocations(void **state)
{
	static char text[] = "[Retrieval]\nPeers=127.0.0.1:1 127.0.0.2:2\n"
			     "[Access]\nClientGroups=3\n[Log]\nLevel=debug\n";

	assert_true(failalloc_each(load_and_dump, text) > 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_bad_values_keep_what_was),
		cmocka_unit_test(test_unknown_and_later_are_told),
		cmocka_unit_test(test_order_of_sources),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_unknown_group_closes),
		cmocka_unit_test(test_set_refuses),
		cmocka_unit_test(test_long_line_and_nul),
		cmocka_unit_test(test_dump_reads_back),
		cmocka_unit_test(test_off_and_none),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_state_file_order),
		cmocka_unit_test(test_state_file_of_policy_folder),
		cmocka_unit_test(test_state_file_is_written),
		cmocka_unit_test(test_state_set_refuses),
		cmocka_unit_test(test_state_file_keeps_hidden_values),
		cmocka_unit_test(test_state_allocations),
		cmocka_unit_test(test_state_of_mode),
		cmocka_unit_test(test_backoff_is_limited),
		cmocka_unit_test(test_restart_only),
		cmocka_unit_test(test_restart_only_allocations),
		cmocka_unit_test(test_size_part),
		cmocka_unit_test(test_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
