/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/pages.h"

#include <stdio.h>

#include "ctl/out.h"

static void
print_row(const struct pages *p, const json_t *row, bool first)
{
	if (!arg_json) {
		if (first)
			out_heading(p->heading);
		p->print_row(row);
		return;
	}
	printf(first ? "\n" : ",\n");
	(void)json_dumpf(row, stdout, JSON_ENSURE_ASCII);
}

/* A document that has begun stays one: what goes wrong behind its first page is
 * told on the other stream. */
static enum ctl_exit
get_page(const struct pages *p, bool begun, json_t **ret_document)
{
	bool json = arg_json;
	enum ctl_exit r;

	if (begun)
		arg_json = false;
	r = ask_request(&p->request, ret_document);
	arg_json = json;
	if (r == CTL_OK && json && !begun)
		printf("{\"v\": 1, \"%s\": [", p->member);
	return r;
}

/* Prints rows; *ret_more: p asks for another page now. */
static void
print_page(struct pages *p, const json_t *document, bool *empty, bool *ret_more)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(document, p->member), i, row)
	{
		print_row(p, row, *empty);
		*empty = false;
	}
	*ret_more = json_is_true(json_object_get(document, "more")) &&
		p->next(p, document);
}

enum ctl_exit
pages_print(struct pages *p)
{
	bool begun = false, empty = true, more = true;
	json_t *document = NULL;
	enum ctl_exit r = CTL_OK;

	while (more) {
		r = get_page(p, begun, &document);
		if (r != CTL_OK)
			break;
		begun = true;
		print_page(p, document, &empty, &more);
		json_decref(document);
	}
	if (begun && arg_json)
		printf("%s]%s}\n", empty ? "" : "\n",
			r == CTL_OK ? "" : ", \"incomplete\": true");
	else if (begun && empty && r == CTL_OK)
		out_note("%s\n", p->when_empty);
	return r;
}
