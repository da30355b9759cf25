/* SPDX-License-Identifier: BSD-2-Clause */
/* Settings as a file that gives them again. */
#include <string.h>

#include "daemon/conf.h"

/* A line for each element, after one that begins the list again, so that it is
 * not added to what was there. */
static void
dump_list(const struct conf_row *row, const char *text, struct buf *out)
{
	buf_printf(out, "%s =\n", row->name);
	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		buf_printf(out, "%s = %.*s\n", row->name, (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
}

static void
dump_value(
	const struct conf_row *row, const struct conf_value *v, struct buf *out)
{
	buf_printf(out, "# %s\n", row->help);
	if (conf_row_is_list(row))
		dump_list(row, v->text, out);
	else
		buf_printf(out, "%s = %s\n", row->name, v->text);
}

void
conf_dump(const struct conf *c, struct buf *out)
{
	const char *section = "";

	for (size_t i = 0; i < conf_table_len; i++) {
		const struct conf_row *row = &conf_table[i];

		if (row->later)
			continue;
		if (strcmp(row->section, section) != 0) {
			buf_printf(out, "%s[%s]\n",
				section[0] != '\0' ? "\n" : "", row->section);
			section = row->section;
		}
		dump_value(row, &c->values[i], out);
	}
}
