/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each type has one function that turns text into its field, or says why not.
 * The field is written only when the whole text is good, so that a bad value
 * keeps what was there before.
 *
 * Groups and lists (conf_list.c) are the exception: what is good of them is in
 * force.
 */
#include "daemon/conf_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/err.h"
#include "common/macros.h"

static void *
field_of(struct conf *c, const struct conf_row *row)
{
	return (char *)c + row->offset;
}

static int
bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return CONF_VALUE_E_BAD;
}

static int
set_bool(void *field, const struct conf_row *row, const char *text,
	const char **ret_why)
{
	bool v;

	if (parse_bool(text, &v) != 0)
		return bad(ret_why, "must be yes or no");
	*(bool *)field = v;
	return 0;
}

static int
set_choice(void *field, const struct conf_row *row, const char *text,
	const char **ret_why)
{
	for (unsigned i = 0; row->choices[i] != NULL; i++) {
		if (strcmp(row->choices[i], text) != 0)
			continue;
		if (i >= row->n_choices)
			return bad(ret_why, "is not in this release");
		*(unsigned *)field = i;
		return 0;
	}
	return bad(ret_why, "is none of the words that are allowed");
}

/* The word that a setting has for none. */
static bool
is_none(const struct conf_row *row, const char *text)
{
	return row->choices != NULL && strcmp(row->choices[0], text) == 0;
}

static int
set_number(void *field, const struct conf_row *row, const char *text,
	const char **ret_why)
{
	uint64_t v = 0;
	int r;

	if (is_none(row, text)) {
		*(uint64_t *)field = 0;
		return 0;
	}
	r = parse_u64(text, row->min, row->max, &v);
	if (r == -ERANGE)
		return bad(ret_why, "is out of range");
	if (r != 0)
		return bad(ret_why, "is not a number");
	*(uint64_t *)field = v;
	return 0;
}

static int
set_size(void *field, const struct conf_row *row, const char *text,
	const char **ret_why)
{
	uint64_t v;

	if (parse_size(text, &v) != 0)
		return bad(ret_why, "is not a size such as 64K, 256M or 2G");
	if (v < row->min || v > row->max)
		return bad(ret_why, "is out of range");
	*(uint64_t *)field = v;
	return 0;
}

static int
set_size_part(void *field, const struct conf_row *row, const char *text,
	const char **ret_why)
{
	struct conf_size *size = field;
	size_t len = strlen(text);
	uint64_t v;

	if (len > 1 && len < 6 && text[len - 1] == '%') {
		char digits[8] = "";

		memcpy(digits, text, len - 1);
		if (parse_u64(digits, 1, 100, &v) != 0)
			return bad(ret_why, "must be 1% to 100%");
		*size = (struct conf_size){0, (unsigned)v};
		return 0;
	}
	if (parse_size(text, &v) != 0)
		return bad(ret_why, "is neither a size nor a percentage");
	if (v < row->min || v > row->max)
		return bad(ret_why, "is out of range");
	*size = (struct conf_size){v, 0};
	return 0;
}

static int
set_time(void *field, const struct conf_row *row, const char *text,
	const char **ret_why)
{
	uint64_t v;

	if (parse_duration_us(text, &v) != 0)
		return bad(ret_why, "is not a time such as 300ms, 2s or 12h");
	if (v < row->min || v > row->max)
		return bad(ret_why, "is out of range");
	*(uint64_t *)field = v;
	return 0;
}

static int
set_path(void *field, const struct conf_row *row, const char *text,
	const char **ret_why)
{
	size_t len = strlen(text);
	char *path = field;

	if (is_none(row, text)) {
		path[0] = '\0';
		return 0;
	}
	if (text[0] != '/')
		return bad(ret_why, "must be an absolute path");
	if (strcmp(row->name, "Socket") == 0 &&
		len >= sizeof(((struct sockaddr_un *)0)->sun_path) - 8)
		return bad(ret_why, "is too long for a socket");
	memcpy(path, text, len + 1);
	return 0;
}

static int
set_addr(void *field, const struct conf_row *row, const char *text,
	const char **ret_why)
{
	if (is_none(row, text))
		*(struct parse_addr *)field = (struct parse_addr){0};
	else if (parse_addr_port(text, field) != 0)
		return bad(ret_why,
			"is not ADDRESS:PORT or [ADDRESS]:PORT; names are not "
			"allowed");
	return 0;
}

static int
set_group(void *field, const struct conf_row *row, const char *text,
	const char **ret_why)
{
	struct conf_groups *groups = field;

	groups->n = 0;
	groups->all = false;
	return text[0] != '\0' ? conf_group_add(groups, text, ret_why) : 0;
}

static int
set_scalar(void *field, const struct conf_row *row, const char *text,
	const char **ret_why)
{
	static int (*const setters[])(void *, const struct conf_row *,
		const char *, const char **) = {
		[CONF_BOOL] = set_bool,
		[CONF_CHOICE] = set_choice,
		[CONF_NUMBER] = set_number,
		[CONF_SIZE] = set_size,
		[CONF_SIZE_PART] = set_size_part,
		[CONF_TIME] = set_time,
		[CONF_PATH] = set_path,
		[CONF_ADDR] = set_addr,
		[CONF_GROUP] = set_group,
	};

	return setters[row->type](field, row, text, ret_why);
}

/* What a file could not give back is refused from --set, too. */
static bool
fits_file(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~' || text[i] == ';')
			return false;
	return len == 0 || (text[0] != ' ' && text[len - 1] != ' ');
}

int
conf_value_set(struct conf *c, const struct conf_row *row, const char *text,
	bool append, const char **ret_why)
{
	struct conf_value *v = &c->values[row - conf_table];
	AUTO_FREE char *copy = NULL;
	int r;

	if (strlen(text) > CONF_VALUE_MAX)
		return bad(ret_why, "is too long");
	if (!fits_file(text))
		return bad(ret_why, "has characters that are not allowed");
	if (conf_row_is_list(row))
		return conf_list_set(c, row, text, append, ret_why);
	copy = strdup(text);
	if (copy == NULL)
		return err_new(-ENOMEM);
	r = set_scalar(field_of(c, row), row, text, ret_why);
	if (r == CONF_VALUE_E_BAD)
		return r;
	free(v->text);
	v->text = TAKE_PTR(copy);
	return r;
}
