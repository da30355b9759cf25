/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/info_file.h"

#include <string.h>

#include "common/fdutil.h"
#include "ctl/out.h"

#define CI_MAX (256u * 1024u * 1024u)

static enum ctl_exit
parse(const char *file, const char *hint, const struct buf *bytes,
	struct bulk *bulk, struct pccrc_info **ret_info)
{
	int r = pccrc_parse(bytes->data, bytes->len, bulk, ret_info);

	if (r > 0)
		return out_error(CTL_FAILED,
			"%s: not content information (%s)%s%s", file,
			pccrc_refusal_name(r), hint != NULL ? "; " : "",
			hint != NULL ? hint : "");
	if (r < 0)
		return out_error(CTL_FAILED, "%s: %s", file, strerror(-r));
	return CTL_OK;
}

enum ctl_exit
info_file_read(const char *file, const char *hint, struct bulk *bulk,
	struct pccrc_info **ret_info)
{
	enum ctl_exit result;
	struct buf bytes;
	int r;

	buf_init(&bytes, CI_MAX);
	r = fd_read_file(file, &bytes);
	result = r != 0 ? out_error(CTL_FAILED, "%s: %s", file, strerror(-r))
			: parse(file, hint, &bytes, bulk, ret_info);
	/* The segments' secrets are in it. */
	if (bytes.data != NULL)
		explicit_bzero(bytes.data, bytes.cap);
	buf_done(&bytes);
	return result;
}
