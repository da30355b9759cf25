/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a settings file, then as a --set.  Whatever comes out must dump
 * to a file that gives the same dump again.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
read_bytes(struct conf *c, const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);
	struct conf_text t = {"F", text, len, CONF_FROM_FILE};

	assert(text != NULL);
	if (len > 0)
		memcpy(text, data, len);
	text[len] = '\0';
	(void)conf_read_text(c, &t, NULL, NULL);
	(void)conf_read_set(c, text, NULL, NULL);
	t.kind = CONF_FROM_STATE;
	(void)conf_read_text(c, &t, NULL, NULL);
	free(text);
}

static void
dump(const struct conf *c, struct buf *out)
{
	buf_init(out, 1u << 20);
	conf_dump(c, out);
	assert(buf_error(out) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct conf *c = conf_new(), *again = conf_new();
	struct conf_text t;
	struct buf one, two;

	assert(c != NULL && again != NULL);
	read_bytes(c, data, len);
	dump(c, &one);
	t = (struct conf_text){
		"D", (const char *)one.data, one.len, CONF_FROM_FILE};
	assert(conf_read_text(again, &t, NULL, NULL) == 0);
	dump(again, &two);
	assert(one.len == two.len);
	assert(memcmp(one.data, two.data, one.len) == 0);
	buf_done(&one);
	buf_done(&two);
	conf_free(c);
	conf_free(again);
	return 0;
}
