/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys and names of MS-PCCRC 2.2, each with the hash of the content information
 * that it goes into:
 *   Ks = H(server secret key)
 *   Kp = HMAC(Ks, HoD)
 *   id = HMAC(Kp, HoD || C2)
 * With version 2 the full SHA-512 and HMAC-SHA-512 are cut to 32 bytes, after
 * each step.
 */
#include <string.h>

#include "codec/pccrc_priv.h"
#include "common/err.h"
#include "common/macros.h"

/* "MS_P2P_CACHING" and its NUL in UTF-16LE.  The published text says ASCII;
 * what Windows does is this. */
static const uint8_t c2[] = {'M', 0, 'S', 0, '_', 0, 'P', 0, '2', 0, 'P', 0,
	'_', 0, 'C', 0, 'A', 0, 'C', 0, 'H', 0, 'I', 0, 'N', 0, 'G', 0, 0, 0};

#define GROUP 64

int
pccrc_server_secret(struct bulk *bulk, enum bulk_hash hash, const uint8_t *key,
	size_t key_len, uint8_t *ret_ks)
{
	static const uint8_t zeros[128]; /* the longest block of all */
	struct bulk_hash_job job = {key, key_len, ret_ks};
	uint8_t nothing[BULK_DIGEST_MAX];
	int r = bulk_hash(bulk, hash, &job, 1);

	if (r < 0)
		return err_pass(r);
	/* libcrypto leaves the last block of a SHA-512 message in its context:
	 * zeros take its place. */
	job = (struct bulk_hash_job){zeros, key_len % sizeof(zeros), nothing};
	return err_pass(bulk_hash(bulk, hash, &job, 1));
}

static struct bulk_hmac_job
id_job(enum bulk_hash hash, const uint8_t *kp, const uint8_t *hod,
	uint8_t *ret_id)
{
	size_t size = bulk_digest_size(hash);

	return (struct bulk_hmac_job){
		.key = kp,
		.key_len = size,
		.a = hod,
		.a_len = size,
		.b = c2,
		.b_len = sizeof(c2),
		.digest = ret_id,
	};
}

int
pccrc_segment_id(struct bulk *bulk, enum bulk_hash hash, const uint8_t *kp,
	const uint8_t *hod, uint8_t *ret_id)
{
	struct bulk_hmac_job job = id_job(hash, kp, hod, ret_id);

	return err_pass(bulk_hmac_many(bulk, hash, &job, 1));
}

int
pccrc_segment_ids(struct bulk *bulk, const struct pccrc_info *info,
	size_t first, size_t n, uint8_t *ret_ids)
{
	struct bulk_hmac_job jobs[GROUP];
	int r = 0;

	while (n > 0 && r == 0) {
		size_t group = MIN_OF(n, (size_t)GROUP);

		for (size_t i = 0; i < group; i++) {
			jobs[i] =
				id_job(info->hash, info->segments[first + i].kp,
					info->segments[first + i].hod, ret_ids);
			ret_ids += info->hash_size;
		}
		r = bulk_hmac_many(bulk, info->hash, jobs, group);
		first += group;
		n -= group;
	}
	return err_pass(r);
}

/* Claims being collected until there is a batch of them. */
struct claim_batch {
	struct bulk *bulk;
	size_t n;
	struct bulk_hmac_job jobs[GROUP];
	uint8_t index[GROUP][4];
	uint8_t digest[GROUP][BULK_DIGEST_MAX];
	uint8_t *claim[GROUP];
};

static int
claim_batch_run(struct claim_batch *batch)
{
	size_t n = batch->n;
	int r;

	batch->n = 0;
	r = bulk_hmac_many(batch->bulk, BULK_SHA256, batch->jobs, n);
	for (size_t i = 0; i < n && r == 0; i++)
		memcpy(batch->claim[i], batch->digest[i], PCCRC_CLAIM_SIZE);
	return err_pass(r);
}

static int
claim_batch_add(struct claim_batch *batch, const struct pccrc_info *info,
	const struct pccrc_segment *seg, uint32_t block, uint8_t *claim)
{
	size_t i = batch->n++;

	pccrc_put_le(batch->index[i], block, sizeof(batch->index[i]));
	batch->claim[i] = claim;
	batch->jobs[i] = (struct bulk_hmac_job){
		.key = seg->kp,
		.key_len = info->hash_size,
		.a = batch->index[i],
		.a_len = sizeof(batch->index[i]),
		.b = pccrc_block_hash(info, seg, block),
		.b_len = info->hash_size,
		.digest = batch->digest[i],
	};
	return batch->n == GROUP ? err_pass(claim_batch_run(batch)) : 0;
}

int
pccrc_claims(struct bulk *bulk, const struct pccrc_info *info, size_t stride,
	uint8_t (*ret_claims)[PCCRC_CLAIM_SIZE])
{
	struct claim_batch batch = {.bulk = bulk};
	int r = 0;

	for (size_t s = 0; s < info->n_segments && r == 0; s++) {
		const struct pccrc_segment *seg = &info->segments[s];
		uint32_t first = seg->first_listed;

		for (uint32_t b = first; b < first + seg->n_listed && r == 0;
			b++)
			r = claim_batch_add(&batch, info, seg, b,
				ret_claims[s * stride + b]);
	}
	return r == 0 ? err_pass(claim_batch_run(&batch)) : err_pass(r);
}
