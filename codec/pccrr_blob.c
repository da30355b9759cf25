/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The extensible blob of version 1, which carries ages of segments:
 *
 *   version(2) = 1   unit(1)   count(1)   count times { index(1) age(3) }
 *
 * The version is big-endian, the age little-endian.  A blob with anything wrong
 * is thrown away without a word; it never spoils the message around it.
 */
#include "codec/pccrr.h"

#include "codec/pccrr_priv.h"
#include "common/err.h"
#include "common/macros.h"

#define BLOB_VERSION 1u
#define AGE_MAX      0xffffffu
#define AGES_MAX     255u

enum age_unit {
	AGE_SECONDS = 1,
	AGE_TENTHS,
	AGE_HUNDREDTHS,
	AGE_MILLISECONDS,
};

static uint32_t
tenths_of(uint32_t age, uint8_t unit)
{
	switch (unit) {
	case AGE_SECONDS:
		return age * 10;
	case AGE_TENTHS:
		return age;
	case AGE_HUNDREDTHS:
		return age / 10;
	default:
		return age / 100;
	}
}

size_t
pccrr_parse_ages(
	struct pccrr_age *ret, size_t max, const uint8_t *blob, size_t len)
{
	uint16_t version;
	uint8_t unit, n;
	struct rd r;

	if (len == 0) /* then there may be no blob to point to */
		return 0;
	rd_init(&r, blob, len);
	version = rd_be16(&r);
	unit = rd_u8(&r);
	n = rd_u8(&r);
	if (!rd_ok(&r) || version != BLOB_VERSION || unit < AGE_SECONDS ||
		unit > AGE_MILLISECONDS || (size_t)n * 4 > rd_left(&r))
		return 0;
	max = MIN_OF(max, n);
	for (size_t i = 0; i < max; i++) {
		ret[i].index = rd_u8(&r);
		ret[i].ds = tenths_of((uint32_t)rd_le(&r, 3), unit);
	}
	return max;
}

int
pccrr_build_ages(struct buf *b, const struct pccrr_age *ages, size_t n)
{
	if (n > AGES_MAX)
		return err_new(-EINVAL);
	buf_be16(b, BLOB_VERSION);
	buf_u8(b, AGE_HUNDREDTHS);
	buf_u8(b, (uint8_t)n);
	for (size_t i = 0; i < n; i++) {
		uint32_t age = MIN_OF((uint64_t)ages[i].ds * 10, AGE_MAX);

		buf_u8(b, ages[i].index);
		buf_u8(b, (uint8_t)age);
		buf_le16(b, (uint16_t)(age >> 8));
	}
	return err_pass(buf_error(b));
}
