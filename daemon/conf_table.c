/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/conf_table.h"

#include <string.h>

#include "common/macros.h"
#include "daemon/conf.h"

#define KIB 1024ULL
#define MIB (1024ULL * KIB)
#define GIB (1024ULL * MIB)
#define MS  1000ULL
#define S   (1000ULL * MS)
#define MIN (60ULL * S)
#define H   (60ULL * MIN)
#define DAY (24ULL * H)

const char *const conf_log_levels[] = {
	"error", "warning", "notice", "info", "debug", NULL};
static const char *const modes[] = {"local", "distributed", "hosted-client",
	"hosted-server", "hybrid", NULL};
static const char *const ciphers[] = {"aes-128", "aes-192", "aes-256", NULL};
static const char *const word_auto[] = {"auto", NULL};
static const char *const word_off[] = {"off", NULL};
static const char *const word_none[] = {"-", NULL};

/* clang-format off */
#define AT(field) .offset = offsetof(struct conf, field)
#define BOOL(s, n, field, def, h) \
	{.section = s, .name = n, .type = CONF_BOOL, AT(field), \
	 .default_text = def, .help = h}
#define CHOICE(s, n, field, list, count, def, h) \
	{.section = s, .name = n, .type = CONF_CHOICE, AT(field), \
	 .choices = list, .n_choices = count, .default_text = def, .help = h}
#define RANGE(s, n, t, field, lo, hi, def, h, ...) \
	{.section = s, .name = n, .type = t, AT(field), .min = lo, .max = hi, \
	 .default_text = def, .help = h, __VA_ARGS__}
#define PLAIN(s, n, t, field, def, h, ...) \
	{.section = s, .name = n, .type = t, AT(field), \
	 .default_text = def, .help = h, __VA_ARGS__}
#define LATER(s, n) {.section = s, .name = n, .later = 1, .default_text = ""}

const struct conf_row conf_table[] = {
	BOOL("Service", "Enable", enable, "yes",
	    "no: every call that policy can refuse is refused"),
	{.section = "Service", .name = "Mode", .type = CONF_CHOICE, AT(mode),
	 .choices = modes, .n_choices = 2, .state = 1,
	 .default_text = "local", .help = "local or distributed"},
	PLAIN("Service", "Socket", CONF_PATH, socket,
	    "/run/peerdist/peerdistd.sock", "control socket", .restart = 1),
	RANGE("Service", "PreferredContentVersion", CONF_NUMBER,
	    preferred_content_version, 1, 2, "2",
	    "1: version 1 content information only"),
	{.section = "Service", .name = "Workers", .type = CONF_NUMBER,
	 AT(workers), .min = 1, .max = 64, .choices = word_auto, .restart = 1,
	 .default_text = "auto",
	 .help = "threads that hash and encrypt; auto: as many as there are "
	    "processors, at most 4"},
	PLAIN("Service", "StateDirectory", CONF_PATH, state_directory,
	    "/var/lib/peerdist",
	    "folder of server.key, the server secret, and of settings.conf",
	    .restart = 1),

	PLAIN("Access", "AdminGroup", CONF_GROUP, admin_group,
	    "peerdist-admin", "who may manage the service, besides root"),
	PLAIN("Access", "ClientGroups", CONF_GROUPS, client_groups, "all",
	    "who may read content; all or groups"),
	PLAIN("Access", "PublisherGroups", CONF_GROUPS, publisher_groups,
	    "all", "who may publish content; all or groups"),

	RANGE("Limits", "PerUidConnections", CONF_NUMBER, per_uid_connections,
	    1, 65536, "128", "connections of one user"),
	RANGE("Limits", "PerUidSessions", CONF_NUMBER, per_uid_sessions,
	    1, 65536, "64", "sessions of one user"),
	RANGE("Limits", "PerUidContents", CONF_NUMBER, per_uid_contents,
	    1, 16777216, "1024", "open handles of one user"),
	RANGE("Limits", "PerUidOperations", CONF_NUMBER, per_uid_operations,
	    1, 16777216, "65536", "pending operations of one user"),
	RANGE("Limits", "PerUidBufferBytes", CONF_SIZE, per_uid_buffer_bytes,
	    1 * MIB, 1024 * GIB, "256M", "memory held for one user"),
	RANGE("Limits", "PerUidContentInfoBytes", CONF_SIZE,
	    per_uid_content_info_bytes, 64 * KIB, 64 * GIB, "64M",
	    "content information of one content"),
	RANGE("Limits", "DataArea", CONF_SIZE, data_area, 256 * KIB, 1 * GIB,
	    "8M", "memory shared with each session for data on its way",
	    .restart = 1),

	PLAIN("DataCache", "Directory", CONF_PATH, cache_directory,
	    "/var/cache/peerdist", "folder of the cache", .restart = 1),
	RANGE("DataCache", "MaxSize", CONF_SIZE_PART, cache_max_size,
	    1 * MIB, UINT64_MAX, "5%",
	    "bytes, or part of the file system of Directory", .state = 1),
	RANGE("DataCache", "MaxAge", CONF_TIME, cache_max_age_us, 0,
	    36500 * DAY, "28d", "older content is dropped; 0: none is"),

	PLAIN("HashCache", "Directory", CONF_PATH, hash_directory,
	    "/var/lib/peerdist", "folder of standing publications",
	    .restart = 1),
	RANGE("HashCache", "MaxSize", CONF_SIZE_PART, hash_max_size,
	    1 * MIB, UINT64_MAX, "1%",
	    "bytes, or part of the file system of Directory", .state = 1),

	CHOICE("Network", "Encryption", encryption, ciphers, 3, "aes-128",
	    "cipher of cached blocks: aes-128, aes-192 or aes-256"),
	PLAIN("Network", "RetrievalListen", CONF_ADDR, retrieval_listen,
	    "[::]:80", "where blocks are served to peers; port 0: any"),
	PLAIN("Network", "Interfaces", CONF_INTERFACES, interfaces, "all",
	    "where peers are looked for; all (but loopback) or names"),
	PLAIN("Network", "AllowPeers", CONF_NETS, allow_peers, "local",
	    "who is served; local (subnets of this host) or networks"),

	RANGE("Discovery", "ProbeTimeout", CONF_TIME, probe_timeout_us,
	    10 * MS, 10 * S, "300ms", "patience with answers to a probe"),
	RANGE("Discovery", "BackoffMax", CONF_TIME, backoff_max_us, 1 * MS,
	    5 * S, "65ms", "longest wait before a probe is answered; at most "
	    "ProbeTimeout"),
	RANGE("Discovery", "QuorumSize", CONF_NUMBER, quorum_size, 0, 512,
	    "10", "others with a segment that are enough; 0: never"),
	RANGE("Discovery", "QuorumForget", CONF_TIME, quorum_forget_us,
	    1 * S, 365 * DAY, "12h", "how long they are remembered"),

	PLAIN("Retrieval", "Peers", CONF_PEERS, peers, "",
	    "ADDRESS:PORT or [ADDRESS]:PORT, asked in every mode but local"),
	RANGE("Retrieval", "MaxPeers", CONF_NUMBER, max_peers, 1, 1024, "16",
	    "peers asked for one segment"),
	RANGE("Retrieval", "RequestTimeout", CONF_TIME, request_timeout_us,
	    1 * MS, 10 * MIN, "2s", "patience with one request to a peer"),
	RANGE("Retrieval", "PeerStrikes", CONF_NUMBER, peer_strikes, 1, 1000,
	    "3", "failures after which a peer is left alone"),
	RANGE("Retrieval", "Quarantine", CONF_TIME, quarantine_us, 1 * MS,
	    30 * DAY, "10min", "for how long"),

	RANGE("Upload", "MaxSessions", CONF_NUMBER, upload_sessions, 1, 16384,
	    "64", "requests of peers served at a time; half for one host"),
	RANGE("Upload", "Timeout", CONF_TIME, upload_timeout_us, 100 * MS,
	    1 * H, "15s", "how long one may take"),
	RANGE("Upload", "RateLimit", CONF_SIZE, upload_rate, 0, UINT64_MAX,
	    "0", "bytes a second to all peers; 0: no limit"),

	LATER("HostedCache", "Servers"),
	LATER("HostedCache", "Version"),
	LATER("HostedCache", "OfferThreshold"),
	LATER("HostedCacheServer", "HttpListen"),
	LATER("HostedCacheServer", "HttpsListen"),
	LATER("HostedCacheServer", "Certificate"),
	LATER("HostedCacheServer", "Key"),
	LATER("HostedCacheServer", "AllowClients"),
	LATER("HostedCacheServer", "VerifyOffers"),
	LATER("HostedCacheServer", "AcceptUnencrypted"),
	LATER("HostedCacheServer", "AlwaysInterested"),
	PLAIN("Web", "Listen", CONF_ADDR, web_listen, "off",
	    "where files of Root are given out by HTTP; off, or an address",
	    .choices = word_off),
	PLAIN("Web", "Root", CONF_PATH, web_root, "-",
	    "folder of files for everybody who may connect; -: none",
	    .choices = word_none),
	RANGE("Web", "MinSize", CONF_SIZE, web_min_size, 0, UINT64_MAX, "64K",
	    "files up to this are never given out by their hashes"),
	LATER("Metrics", "Listen"),

	CHOICE("Log", "Level", log_level, conf_log_levels, 5, "info",
	    "error, warning, notice, info or debug"),
};
/* clang-format on */

const size_t conf_table_len = ARRAY_LEN(conf_table);

/* Limits may be written without their common beginning. */
static bool
name_equal(const struct conf_row *row, const char *name)
{
	static const char prefix[] = "PerUid";
	size_t n = sizeof(prefix) - 1;

	if (strcmp(row->name, name) == 0)
		return true;
	return strcmp(row->section, "Limits") == 0 &&
		strncmp(row->name, prefix, n) == 0 &&
		strcmp(row->name + n, name) == 0;
}

const struct conf_row *
conf_row_find(const char *section, const char *name)
{
	for (size_t i = 0; i < conf_table_len; i++)
		if (strcmp(conf_table[i].section, section) == 0 &&
			name_equal(&conf_table[i], name))
			return &conf_table[i];
	return NULL;
}
