/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settings that are lists.  What is wrong in one is left out, and the rest is
 * in force: keeping the former value could let in everybody where the
 * administrator meant a few.
 */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/conf_value.h"

/* Far above any real group entry; a name service may hand out more. */
#define GROUP_BUFFER_MAX (1024u * 1024u)

static int
bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return CONF_VALUE_E_BAD;
}

/* 0, -ENOENT, -ENOMEM, or the name service's failure. */
static int
group_lookup(const char *name, uint32_t *ret_gid)
{
	for (size_t size = 4096; size <= GROUP_BUFFER_MAX; size *= 4) {
		AUTO_FREE char *buffer = malloc(size);
		struct group group, *found = NULL;
		int r;

		if (buffer == NULL)
			return err_new(-ENOMEM);
		r = getgrnam_r(name, &group, buffer, size, &found);
		if (r == ERANGE)
			continue;
		if (found == NULL)
			return r != 0 ? err_new(-r) : err_new(-ENOENT);
		*ret_gid = group.gr_gid;
		return 0;
	}
	return err_new(-ERANGE);
}

int
conf_group_add(
	struct conf_groups *groups, const char *name, const char **ret_why)
{
	uint32_t gid;
	uint64_t number;

	if (groups->n == CONF_GROUPS_MAX) {
		*ret_why = "has too many groups";
		return CONF_VALUE_E_PART;
	}
	/* A name of digits only would be taken for a number by all tools. */
	if (parse_u64(name, 0, UINT32_MAX - 1, &number) == 0)
		gid = (uint32_t)number;
	else if (group_lookup(name, &gid) != 0) {
		*ret_why = "names a group that does not exist; it is left out";
		return CONF_VALUE_E_PART;
	}
	groups->gids[groups->n++] = gid;
	return 0;
}

static int
add_group(void *field, const char *element, const char **ret_why)
{
	struct conf_groups *groups = field;

	if (strcmp(element, "all") != 0)
		return conf_group_add(groups, element, ret_why);
	groups->all = true;
	return 0;
}

static int
add_peer(void *field, const char *element, const char **ret_why)
{
	struct conf_peers *peers = field;

	if (peers->n == CONF_PEERS_MAX)
		return bad(ret_why, "has too many peers");
	if (parse_addr_port(element, &peers->addrs[peers->n]) != 0)
		return bad(ret_why,
			"is not a list of ADDRESS:PORT or [ADDRESS]:PORT; "
			"names are not allowed, and what is wrong is left out");
	peers->n++;
	return 0;
}

/* What the kernel takes for the name of an interface. */
static bool
is_interface_name(const char *name)
{
	return strlen(name) < IF_NAMESIZE && strpbrk(name, "/:") == NULL &&
		strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int
add_interface(void *field, const char *element, const char **ret_why)
{
	struct conf_interfaces *list = field;

	if (strcmp(element, "all") == 0) {
		list->all = true;
		return 0;
	}
	if (!is_interface_name(element))
		return bad(ret_why,
			"is not all or a list of interfaces; what is wrong is "
			"left out");
	if (list->n == CONF_NAMES_MAX)
		return bad(ret_why, "has too many interfaces");
	strcpy(list->names[list->n++], element);
	return 0;
}

static int
add_net(void *field, const char *element, const char **ret_why)
{
	struct conf_nets *list = field;

	if (strcmp(element, "local") == 0) {
		list->local = true;
		return 0;
	}
	if (list->n == CONF_NETS_MAX)
		return bad(ret_why, "has too many networks");
	if (parse_prefix(element, &list->nets[list->n]) != 0)
		return bad(ret_why,
			"is not a list of local and networks such as "
			"10.0.0.0/8 and 2001:db8::/32; what is wrong is left "
			"out");
	list->n++;
	return 0;
}

static const struct {
	size_t size;
	int (*add)(void *field, const char *element, const char **ret_why);
} kinds[_CONF_TYPE_MAX] = {
	[CONF_GROUPS] = {sizeof(struct conf_groups), add_group},
	[CONF_PEERS] = {sizeof(struct conf_peers), add_peer},
	[CONF_INTERFACES] = {sizeof(struct conf_interfaces), add_interface},
	[CONF_NETS] = {sizeof(struct conf_nets), add_net},
};

/* Adds what is good to the field, and the text of it to the buffer. */
static int
list_add(void *field, const struct conf_row *row, char *elements,
	struct buf *text, const char **ret_why)
{
	char *rest = NULL;
	int result = 0;

	for (char *e = strtok_r(elements, ", \t", &rest); e != NULL;
		e = strtok_r(NULL, ", \t", &rest)) {
		int r = kinds[row->type].add(field, e, ret_why);

		if (r != 0)
			result = CONF_VALUE_E_PART;
		if (r == CONF_VALUE_E_BAD)
			continue;
		buf_printf(text, "%s%s", text->len > 0 ? " " : "", e);
	}
	return result;
}

int
conf_list_set(struct conf *c, const struct conf_row *row, const char *value,
	bool append, const char **ret_why)
{
	struct conf_value *v = &c->values[row - conf_table];
	void *field = (char *)c + row->offset;
	AUTO_FREE char *elements = strdup(value);
	struct buf text;
	size_t len;
	int r;

	if (elements == NULL)
		return err_new(-ENOMEM);
	buf_init(&text, 65536);
	if (append && value[0] != '\0')
		buf_printf(&text, "%s", v->text);
	else
		memset(field, 0, kinds[row->type].size);
	r = list_add(field, row, elements, &text, ret_why);
	buf_u8(&text, 0);
	if (buf_error(&text) != 0) {
		buf_done(&text);
		return err_new(-ENOMEM);
	}
	free(v->text);
	v->text = (char *)buf_take(&text, &len);
	return r;
}
