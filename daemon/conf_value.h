/* SPDX-License-Identifier: BSD-2-Clause */
/* Text to the typed field of a setting.  For conf.c. */
#ifndef DAEMON_CONF_VALUE_H
#define DAEMON_CONF_VALUE_H

#include <stdbool.h>

#include "daemon/conf.h"

enum conf_value_failure {
	CONF_VALUE_E_BAD = 1, /* the setting is unchanged */
	CONF_VALUE_E_PART,    /* taken but for a part that is left out */
};

/* Sets the field and values[].text.  append: adds to a list.  *ret_why gets
 * the reason of an enum conf_value_failure.  -ENOMEM, nothing changed. */
int conf_value_set(struct conf *, const struct conf_row *, const char *text,
	bool append, const char **ret_why);

/* The same for a list. */
int conf_list_set(struct conf *, const struct conf_row *, const char *text,
	bool append, const char **ret_why);
int conf_group_add(
	struct conf_groups *, const char *name, const char **ret_why);

#endif
