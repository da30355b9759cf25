/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settings of a running daemon: what a reload leaves as it is, and what the
 * daemon itself keeps in settings.conf.
 *
 * That file is made of what it said before and the new value, not of the
 * settings in force: a value in it that --set hides now is still there when
 * the option is gone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "daemon/conf.h"
#include "daemon/conf_value.h"

#define STATE_MAX (64u * 1024u)

static struct conf_value *
value_of(struct conf *c, const struct conf_row *row)
{
	return &c->values[row - conf_table];
}

static int
keep_value(struct conf *c, const struct conf_row *row,
	const struct conf_value *old)
{
	struct conf_value *v = value_of(c, row);
	AUTO_FREE char *pending = strdup(v->text);
	AUTO_FREE char *origin = strdup(old->origin);
	const char *why;
	int r;

	if (pending == NULL || origin == NULL)
		return err_new(-ENOMEM);
	r = conf_value_set(c, row, old->text, false, &why);
	if (r < 0)
		return err_pass(r);
	free(v->origin);
	v->origin = TAKE_PTR(origin);
	v->pending = TAKE_PTR(pending);
	v->source = old->source;
	return 0;
}

int
conf_keep_restart_only(struct conf *c, const struct conf *in_force,
	conf_report_fn *report, void *ctx)
{
	char text[128];

	for (size_t i = 0; i < conf_table_len; i++) {
		const struct conf_row *row = &conf_table[i];
		const struct conf_value *old = &in_force->values[i];
		int r;

		if (!row->restart || strcmp(c->values[i].text, old->text) == 0)
			continue;
		snprintf(text, sizeof(text), "%s.%s needs a restart to change",
			row->section, row->name);
		if (report != NULL)
			report(ctx, c->values[i].origin, text);
		r = keep_value(c, row, old);
		if (r != 0)
			return err_pass(r);
	}
	return 0;
}

static int
read_state_file(struct conf *c, const char *path)
{
	struct conf_text t = {
		.name = path, .text = "", .kind = CONF_FROM_STATE};
	struct buf bytes;
	int r;

	buf_init(&bytes, STATE_MAX);
	r = fd_read_file(path, &bytes);
	if (r == 0 && bytes.len > 0) {
		t.text = (const char *)bytes.data;
		t.len = bytes.len;
		r = conf_read_text(c, &t, NULL, NULL);
	}
	buf_done(&bytes);
	if (r == -ENOENT)
		return 0;
	/* Not to be overwritten before somebody has looked at it. */
	return r > 0 ? err_new(-EBADMSG) : err_pass(r);
}

static void
build_state_file(const struct conf *c, struct buf *out)
{
	const char *section = "";

	buf_printf(out,
		"# Written by peerdistd: peerdistctl mode set, cache "
		"set-size\n");
	for (size_t i = 0; i < conf_table_len; i++) {
		const struct conf_row *row = &conf_table[i];

		if (c->values[i].source != CONF_FROM_STATE)
			continue;
		if (strcmp(section, row->section) != 0)
			buf_printf(out, "[%s]\n", row->section);
		section = row->section;
		buf_printf(out, "%s = %s\n", row->name, c->values[i].text);
	}
}

/* Into the file, and from there into the settings in force. */
static int
write_state_file(struct conf *c, const struct conf *state, const char *path)
{
	struct conf_text t = {.name = path, .kind = CONF_FROM_STATE};
	struct buf out;
	int r;

	buf_init(&out, STATE_MAX);
	build_state_file(state, &out);
	r = buf_error(&out);
	if (r == 0)
		r = fd_write_file(path, out.data, out.len, 0600);
	if (r == 0) {
		t.text = (const char *)out.data;
		t.len = out.len;
		r = conf_read_text(c, &t, NULL, NULL);
	}
	buf_done(&out);
	return err_pass(r);
}

static int
change_state(struct conf *c, const char *path, const struct conf_row *row,
	const char *text)
{
	struct conf *state = conf_new();
	const char *why;
	int r;

	if (state == NULL)
		return err_new(-ENOMEM);
	r = read_state_file(state, path);
	if (r == 0)
		r = conf_value_set(state, row, text, false, &why);
	value_of(state, row)->source = CONF_FROM_STATE;
	if (r == 0)
		r = write_state_file(c, state, path);
	else if (r > 0)
		r = CONF_STATE_E_BAD;
	conf_free(state);
	return r;
}

int
conf_state_set(struct conf *c, const char *folder, const char *section,
	const char *name, const char *text)
{
	const struct conf_row *row = conf_row_find(section, name);
	AUTO_FREE char *path = NULL;

	if (row == NULL || !row->state)
		return CONF_STATE_E_BAD;
	if (value_of(c, row)->source > CONF_FROM_STATE)
		return CONF_STATE_E_LOCKED;
	if (asprintf(&path, "%s/" CONF_STATE_FILE, folder) < 0) {
		path = NULL;
		return err_new(-ENOMEM);
	}
	return change_state(c, path, row, text);
}
