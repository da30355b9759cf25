/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stdio.h>

#include "ctl/out.h"

enum ctl_exit
out_json(const json_t *document)
{
	if (json_dumpf(document, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) !=
			0 ||
		putchar('\n') == EOF || fflush(stdout) != 0)
		return CTL_FAILED;
	return CTL_OK;
}

enum ctl_exit
out_error(enum ctl_exit code, const char *fmt, ...)
{
	char text[1024];
	json_t *document;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!arg_json) {
		fflush(stdout);
		fprintf(stderr, "peerdistctl: %s\n", text);
		return code;
	}
	document = json_pack("{s:i, s:{s:i, s:s}}", "v", 1, "error", "exit",
		(int)code, "message", text);
	if (document != NULL)
		(void)out_json(document);
	json_decref(document);
	return code;
}
