/* SPDX-License-Identifier: BSD-2-Clause */
/* One row per setting; reading, checking, dumping and the tools all use it. */
#ifndef DAEMON_CONF_TABLE_H
#define DAEMON_CONF_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* What a value is, and the type of its field in struct conf. */
enum conf_type {
	CONF_BOOL,      /* bool */
	CONF_CHOICE,    /* unsigned: index into choices */
	CONF_NUMBER,    /* uint64_t */
	CONF_SIZE,      /* uint64_t, bytes */
	CONF_SIZE_PART, /* struct conf_size: bytes or a percentage */
	CONF_TIME,      /* uint64_t, microseconds */
	CONF_PATH,      /* char [CONF_VALUE_MAX + 1], absolute */
	CONF_ADDR,      /* struct parse_addr */
	CONF_GROUP,     /* struct conf_groups, one group */
	/* Lists. */
	CONF_GROUPS,     /* struct conf_groups */
	CONF_PEERS,      /* struct conf_peers */
	CONF_INTERFACES, /* struct conf_interfaces */
	CONF_NETS,       /* struct conf_nets */
	_CONF_TYPE_MAX,
};

struct conf_row {
	const char *section;
	const char *name;
	enum conf_type type;
	/* Known, but what it is for is not in this release: a value in a file
	 * is reported and has no effect. */
	unsigned char later;
	unsigned char restart; /* a reload does not change it */
	unsigned char state;   /* the daemon itself may keep a value for it */
	size_t offset;         /* of the field in struct conf */
	uint64_t min, max;
	/* CONF_CHOICE: NULL-terminated; those from n_choices on are of a later
	 * release.  CONF_NUMBER, _PATH, _ADDR: a word for 0, none. */
	const char *const *choices;
	unsigned n_choices;
	const char *default_text;
	const char *help;
};

extern const struct conf_row conf_table[];
extern const size_t conf_table_len;

/* NULL when there is no such setting. */
const struct conf_row *conf_row_find(const char *section, const char *name);
static inline int
conf_row_is_list(const struct conf_row *row)
{
	return row->type >= CONF_GROUPS;
}

#endif
