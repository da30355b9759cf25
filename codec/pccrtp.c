/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/pccrtp.h"

void
pccrtp_field(struct pccrtp_fields *f, const char *name, size_t name_len,
	const char *value, size_t len)
{
}

unsigned
pccrtp_understood(const struct pccrtp_fields *f)
{
	return 0;
}

void
pccrtp_put_encoded(
	struct buf *b, const struct pccrtp_fields *request, uint64_t length)
{
}

void
pccrtp_put_make_hash(struct buf *b, const struct pccrtp_fields *request)
{
}

const char *const *
pccrtp_request_fields(enum pccrtp_ask ask)
{
	return NULL;
}

enum pccrtp_body
pccrtp_response(const struct pccrtp_fields *f, uint64_t body_len)
{
	return PCCRTP_BODY_PLAIN;
}

bool
pccrtp_info_fits(const struct pccrtp_fields *f,
	const struct http_content_range *range, uint64_t start, uint64_t end)
{
	return false;
}
