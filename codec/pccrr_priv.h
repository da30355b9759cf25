/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of MS-PCCRR share; see the top of pccrr.c. */
#ifndef CODEC_PCCRR_PRIV_H
#define CODEC_PCCRR_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/pccrr.h"
#include "common/buf.h"
#include "common/rd.h"

#define PCCRR_HEADER_SIZE    16u
#define PCCRR_TRANSPORT_SIZE 4u
#define PCCRR_RANGE_SIZE     8u

static inline uint32_t
pccrr_pad(uint32_t len)
{
	return -len & 3;
}

bool pccrr_id_valid(uint32_t len);

/* Readers.  *r is set to the whole message and left at its body; > 0: enum
 * pccrr_refusal. */
int pccrr_open_request(struct rd *r, struct pccrr_header *ret, uint32_t type,
	const uint8_t *data, size_t len);
/* data begins with the transport header. */
int pccrr_open_answer(struct rd *r, struct pccrr_header *ret, uint32_t type,
	const uint8_t *data, size_t len);
/* A variable field that others follow. */
const uint8_t *pccrr_read_field(struct rd *, uint32_t *ret_len);
/* The field that ends the message. */
const uint8_t *pccrr_read_last(struct rd *, uint32_t *ret_len);
/* SizeOfSegmentID and SegmentID.  > 0: enum pccrr_refusal. */
int pccrr_open_id(struct rd *, const uint8_t **ret_id, uint32_t *ret_len);
/* 0, or why the message does not end here. */
int pccrr_close_message(const struct rd *);

/* Writers.  size counts from the message header. */
void pccrr_write_header(
	struct buf *, uint32_t type, uint32_t size, uint32_t algo);
/* The same behind a transport header. */
void pccrr_write_answer(
	struct buf *, uint32_t type, uint32_t size, uint32_t algo);
void pccrr_write_field(struct buf *, const uint8_t *bytes, uint32_t len);

#endif
