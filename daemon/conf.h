/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settings: where they come from, what they are, who said so.
 *
 * Order, a later one wins: built-in; the file; its drop-ins FILE.d/ *.conf by
 * name; settings.conf in the folder [Service] StateDirectory; --set; policy.d/
 * *.conf in the file's folder by name.  What policy sets is locked.
 *
 * settings.conf is what the daemon itself keeps of "peerdistctl mode set" and
 * "peerdistctl cache set-size"; no other keys are taken from there.
 *
 * Lists: the file and its drop-ins add to one another, an empty value empties
 * the list; the first mention by --set, and the first by policy, begins afresh.
 */
#ifndef DAEMON_CONF_H
#define DAEMON_CONF_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/parse.h"
#include "daemon/conf_table.h"

#define CONF_FILE_DEFAULT "/etc/peerdist/peerdistd.conf"
#define CONF_STATE_FILE   "settings.conf"
#define CONF_VALUE_MAX    160 /* bytes of one value: fits a line of a dump */
#define CONF_GROUPS_MAX   64
#define CONF_PEERS_MAX    64
#define CONF_NAMES_MAX    64
#define CONF_NETS_MAX     64

enum conf_source {
	CONF_FROM_BUILT_IN,
	CONF_FROM_FILE,  /* and drop-ins */
	CONF_FROM_STATE, /* settings.conf of the daemon */
	CONF_FROM_SET,
	CONF_FROM_POLICY,
	_CONF_SOURCE_MAX,
};

struct conf_size {
	uint64_t bytes;
	unsigned percent; /* 0: bytes count */
};

/* Resolved when the settings are read; never asked for again. */
struct conf_groups {
	bool all;
	size_t n;
	uint32_t gids[CONF_GROUPS_MAX];
};

struct conf_peers {
	size_t n;
	struct parse_addr addrs[CONF_PEERS_MAX];
};

struct conf_interfaces {
	bool all; /* every one but loopback; then there are no names */
	size_t n;
	char names[CONF_NAMES_MAX][IF_NAMESIZE];
};

struct conf_nets {
	bool local; /* the subnets of this host, too */
	size_t n;
	struct parse_prefix nets[CONF_NETS_MAX];
};

/* A setting as text, with whoever set it. */
struct conf_value {
	char *text;    /* of lists: the elements, separated by one blank */
	char *origin;  /* "built-in", "FILE:LINE", "--set" */
	char *pending; /* what a restart would make of it; mostly NULL */
	enum conf_source source; /* CONF_FROM_POLICY: locked */
};

struct conf {
	bool enable;
	unsigned mode; /* enum service_mode */
	char socket[CONF_VALUE_MAX + 1];
	uint64_t preferred_content_version;
	uint64_t workers; /* 0: as many as there are processors, up to 4 */
	char state_directory[CONF_VALUE_MAX + 1];

	struct conf_groups admin_group;
	struct conf_groups client_groups;
	struct conf_groups publisher_groups;

	uint64_t per_uid_connections;
	uint64_t per_uid_sessions;
	uint64_t per_uid_contents;
	uint64_t per_uid_operations;
	uint64_t per_uid_buffer_bytes;
	uint64_t per_uid_content_info_bytes;
	uint64_t data_area;

	char cache_directory[CONF_VALUE_MAX + 1];
	struct conf_size cache_max_size;
	uint64_t cache_max_age_us; /* 0: no limit */
	char hash_directory[CONF_VALUE_MAX + 1];
	struct conf_size hash_max_size;

	unsigned encryption; /* 0, 1, 2: AES with 128, 192, 256 bits */

	struct parse_addr retrieval_listen; /* port 0: any */
	struct conf_interfaces interfaces;
	struct conf_nets allow_peers;

	uint64_t probe_timeout_us;
	uint64_t backoff_max_us; /* at most probe_timeout_us */
	uint64_t quorum_size;    /* 0: off */
	uint64_t quorum_forget_us;

	struct conf_peers peers;
	uint64_t max_peers;
	uint64_t request_timeout_us;
	uint64_t peer_strikes;
	uint64_t quarantine_us;

	uint64_t upload_sessions;
	uint64_t upload_timeout_us;
	uint64_t upload_rate; /* bytes a second; 0: no limit */

	struct parse_addr web_listen;      /* len 0: off */
	char web_root[CONF_VALUE_MAX + 1]; /* "": none */
	uint64_t web_min_size;

	unsigned log_level; /* index of conf_log_levels */

	struct conf_value *values; /* conf_table_len of them */
};

struct conf_sources {
	const char *file;
	bool file_needed;        /* named by the user: must exist */
	const char *const *sets; /* Section.Key=VALUE */
	size_t n_sets;
	/* Folder of settings.conf; NULL: the StateDirectory of the rest. */
	const char *state_folder;
};

/* origin as in struct conf_value; both valid during the call only. */
typedef void conf_report_fn(void *ctx, const char *origin, const char *text);

enum conf_failure {
	CONF_E_UNREADABLE = 1, /* a file cannot be read, or a line is too long
				* or not text */
	CONF_E_OPTION,         /* a --set makes no sense */
};

/* Reads everything.  What is wrong is told to report, which may be NULL; on an
 * enum conf_failure too.  -ENOMEM. */
int conf_load(struct conf **ret_conf, const struct conf_sources *,
	conf_report_fn *report, void *ctx);
/* What only a restart changes becomes in the new settings what it is in those
 * in force, and what it would be is pending; report hears of each.  -ENOMEM. */
int conf_keep_restart_only(struct conf *, const struct conf *in_force,
	conf_report_fn *report, void *ctx);
/* Built-in values only.  NULL when out of memory. */
struct conf *conf_new(void);
struct conf *conf_free(struct conf *);

/* One file. */
struct conf_text {
	const char *name; /* for origins */
	const char *text;
	size_t len;
	enum conf_source kind;
};

/* What conf_load() does for each file, and for each --set; for tests and the
 * fuzzer too. */
int conf_read_text(struct conf *, const struct conf_text *,
	conf_report_fn *report, void *ctx);
int conf_read_set(
	struct conf *, const char *set, conf_report_fn *report, void *ctx);

const struct conf_value *conf_value_of(
	const struct conf *, const char *section, const char *name);
/* A file that gives these settings again. */
void conf_dump(const struct conf *, struct buf *);

/* Changes a setting as settings.conf would and writes that file into folder, so
 * that the value stays.  > 0: enum conf_state_failure; -errno, and then the
 * setting may be changed or not. */
enum conf_state_failure {
	CONF_STATE_E_LOCKED = 1, /* --set or policy says what it is */
	CONF_STATE_E_BAD,        /* not a value for it */
};
int conf_state_set(struct conf *, const char *folder, const char *section,
	const char *name, const char *text);

/* Whether one of the networks has the address; local ones are not looked at. */
bool conf_nets_contain(const struct conf_nets *, const struct sockaddr *);

/* Bytes that a size stands for, a percentage being that of the file system
 * that directory is or would be on.  -errno. */
int conf_size_bytes(
	const struct conf_size *, const char *directory, uint64_t *ret_bytes);

/* Log levels in the order of their index, and their syslog number. */
extern const char *const conf_log_levels[];

#endif
