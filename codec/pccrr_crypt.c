/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What MS-PCCRR leaves out: the key is the first 16, 24 or 32
 * bytes of the segment secret.  Peers pad with PKCS#7 or not at all; since the
 * plaintext length and its hash are known from the content information, the
 * padding is not even looked at, so nobody can learn from how it is judged.
 */
#include "codec/pccrr.h"

size_t
pccrr_key_len(uint32_t algo)
{
	switch (algo) {
	case PCCRR_AES128:
		return 16;
	case PCCRR_AES192:
		return 24;
	case PCCRR_AES256:
		return 32;
	default:
		return 0;
	}
}

bool
pccrr_decrypt(struct bulk *bulk, uint32_t algo, const uint8_t *kp,
	size_t kp_len, const uint8_t *iv, const uint8_t *data,
	uint32_t data_len, uint32_t plain_len, uint8_t *dst)
{
	size_t key_len = pccrr_key_len(algo);

	if (key_len == 0 || kp_len < key_len)
		return false;
	if (plain_len == 0 || data_len % 16 != 0 || data_len < plain_len ||
		data_len - plain_len > 16)
		return false;
	return bulk_decrypt(bulk, kp, key_len, iv, data, data_len, dst) == 0;
}
