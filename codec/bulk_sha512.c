/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SHA-512 of eight buffers side by side, one in each 64-bit lane of the
 * AVX-512 registers.
 *
 * The only hash kernel of our own.  libipsec-mb has an equal one, but keeps the
 * length of a message in 16 bits, and it offers no way to hash in parts: 64 KiB
 * and more, that is half of all version 2 segments, would be left to one-lane
 * code at a quarter of the speed.  It is never trusted unseen, see bulk.c.
 *
 * The scheduler: a lane holds one job.  All lanes advance by as many 128-byte
 * blocks as the lane with the fewest left has; a lane that ran dry goes on with
 * its padded tail, then with the next job.  Lanes without a job repeat the work
 * of another.  Jobs are taken longest first, so that the last ones to run alone
 * are short.
 */
#include "codec/bulk_sha512.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/macros.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define LANES 8
#define BLOCK 128
/* Jobs that are sorted and run together; bounds the stack. */
#define GROUP 64

/* Or else gcc leaves the vectors of an array in memory. */
#define UNROLL _Pragma("GCC unroll 8")

#define KERNEL \
	static inline __attribute__((always_inline, target("avx512f,avx512bw")))

/* clang-format off */
static const uint64_t round_constants[80] = {
	0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f,
	0xe9b5dba58189dbbc, 0x3956c25bf348b538, 0x59f111f1b605d019,
	0x923f82a4af194f9b, 0xab1c5ed5da6d8118, 0xd807aa98a3030242,
	0x12835b0145706fbe, 0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2,
	0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235,
	0xc19bf174cf692694, 0xe49b69c19ef14ad2, 0xefbe4786384f25e3,
	0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65, 0x2de92c6f592b0275,
	0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5,
	0x983e5152ee66dfab, 0xa831c66d2db43210, 0xb00327c898fb213f,
	0xbf597fc7beef0ee4, 0xc6e00bf33da88fc2, 0xd5a79147930aa725,
	0x06ca6351e003826f, 0x142929670a0e6e70, 0x27b70a8546d22ffc,
	0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed, 0x53380d139d95b3df,
	0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6,
	0x92722c851482353b, 0xa2bfe8a14cf10364, 0xa81a664bbc423001,
	0xc24b8b70d0f89791, 0xc76c51a30654be30, 0xd192e819d6ef5218,
	0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8,
	0x19a4c116b8d2d0c8, 0x1e376c085141ab53, 0x2748774cdf8eeb99,
	0x34b0bcb5e19b48a8, 0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb,
	0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3, 0x748f82ee5defb2fc,
	0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
	0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915,
	0xc67178f2e372532b, 0xca273eceea26619c, 0xd186b8c721c0c207,
	0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178, 0x06f067aa72176fba,
	0x0a637dc5a2c898a6, 0x113f9804bef90dae, 0x1b710b35131c471b,
	0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc,
	0x431d67c49c100d4c, 0x4cc5d4becb3e42b6, 0x597f299cfc657e2a,
	0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};

static const uint64_t initial_384[8] = {
	0xcbbb9d5dc1059ed8, 0x629a292a367cd507, 0x9159015a3070dd17,
	0x152fecd8f70e5939, 0x67332667ffc00b31, 0x8eb44a8768581511,
	0xdb0c2e0d64f98fa7, 0x47b5481dbefa4fa4,
};

static const uint64_t initial_512[8] = {
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
	0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
	0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};
/* clang-format on */

struct lane {
	struct bulk_hash_job *job; /* NULL: idle */
	const uint8_t *next;
	size_t blocks; /* left at next */
	bool in_tail;
	uint8_t tail[2 * BLOCK];
};

struct run {
	uint64_t state[8][LANES]; /* word, lane */
	struct lane lanes[LANES];
	struct bulk_hash_job *queue[GROUP];
	size_t queued;
	size_t taken;
	const uint64_t *initial;
	size_t digest_size;
};

/* Big-endian words 0 to 7 at p[i] + at become w[0] to w[7], lane i from p[i].
 * Three rounds of swaps: neighbours, pairs, halves. */
KERNEL void
load_words(__m512i w[8], const uint8_t *const p[LANES], size_t at)
{
	const __m512i swap = _mm512_set4_epi32(
		0x08090a0b, 0x0c0d0e0f, 0x00010203, 0x04050607);
	__m512i a[8], b[8];

	UNROLL
	for (int i = 0; i < 8; i++)
		a[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(p[i] + at), swap);
	UNROLL
	for (int i = 0; i < 8; i += 2) {
		b[i] = _mm512_unpacklo_epi64(a[i], a[i + 1]);
		b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 1]);
	}
	UNROLL
	for (int i = 0; i < 2; i++) {
		a[i] = _mm512_shuffle_i64x2(b[i], b[i + 2], 0x88);
		a[i + 2] = _mm512_shuffle_i64x2(b[i], b[i + 2], 0xdd);
		a[i + 4] = _mm512_shuffle_i64x2(b[i + 4], b[i + 6], 0x88);
		a[i + 6] = _mm512_shuffle_i64x2(b[i + 4], b[i + 6], 0xdd);
	}
	UNROLL
	for (int i = 0; i < 4; i++) {
		b[i] = _mm512_shuffle_i64x2(a[i], a[i + 4], 0x88);
		b[i + 4] = _mm512_shuffle_i64x2(a[i], a[i + 4], 0xdd);
	}
	UNROLL
	for (int i = 0; i < 8; i++)
		w[i] = b[i];
}

/* x ^ y ^ z, choose, majority: truth tables of vpternlogq. */
#define XOR3(x, y, z) _mm512_ternarylogic_epi64((x), (y), (z), 0x96)
#define CH(x, y, z)   _mm512_ternarylogic_epi64((x), (y), (z), 0xca)
#define MAJ(x, y, z)  _mm512_ternarylogic_epi64((x), (y), (z), 0xe8)
#define ROR(x, n)     _mm512_ror_epi64((x), (n))
#define ADD(x, y)     _mm512_add_epi64((x), (y))

KERNEL __m512i
schedule(const __m512i w[16], int t)
{
	__m512i w1 = w[(t + 1) & 15], w14 = w[(t + 14) & 15];
	__m512i s0 = XOR3(ROR(w1, 1), ROR(w1, 8), _mm512_srli_epi64(w1, 7));
	__m512i s1 =
		XOR3(ROR(w14, 19), ROR(w14, 61), _mm512_srli_epi64(w14, 6));

	return ADD(ADD(w[t & 15], s0), ADD(w[(t + 9) & 15], s1));
}

/* One round; the names of the eight words move on by one each time, which the
 * index arithmetic does at compile time. */
KERNEL void
one_round(__m512i s[8], const uint64_t *constants, int t, __m512i w)
{
#define S(i) s[(i + 80 - t) & 7]
	__m512i e = S(4), a = S(0), x;
	__m512i k = _mm512_set1_epi64((long long)constants[t]);

	x = ADD(ADD(S(7), ADD(w, k)),
		ADD(XOR3(ROR(e, 14), ROR(e, 18), ROR(e, 41)),
			CH(e, S(5), S(6))));
	S(3) = ADD(S(3), x);
	S(7) = ADD(x,
		ADD(XOR3(ROR(a, 28), ROR(a, 34), ROR(a, 39)),
			MAJ(a, S(1), S(2))));
#undef S
}

__attribute__((target("avx512f,avx512bw"))) static void
compress(uint64_t state[8][LANES], const uint8_t *p[LANES], size_t blocks)
{
	const uint64_t *constants = round_constants;
	__m512i s[8], w[16];

	/* Hidden from the compiler, they are read as operands; one that knows
	 * them spreads each from a scalar register, with a shuffle. */
	__asm__("" : "+r"(constants));
	UNROLL
	for (int i = 0; i < 8; i++)
		s[i] = _mm512_loadu_si512(state[i]);
	for (; blocks > 0; blocks--) {
		load_words(w, p, 0);
		load_words(w + 8, p, BLOCK / 2);
		UNROLL
		for (int i = 0; i < 8; i++)
			p[i] += BLOCK;
#pragma GCC unroll 80
		for (int t = 0; t < 80; t++) {
			if (t >= 16)
				w[t & 15] = schedule(w, t);
			one_round(s, constants, t, w[t & 15]);
		}
		UNROLL
		for (int i = 0; i < 8; i++) {
			s[i] = ADD(s[i], _mm512_loadu_si512(state[i]));
			_mm512_storeu_si512(state[i], s[i]);
		}
	}
}

static void
put_be64(uint8_t *dst, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(dst, &v, sizeof(v));
}

/* What is left of the job after its whole blocks, then 0x80, zeroes and the
 * length in bits. */
static void
lane_tail(struct lane *l)
{
	size_t rest = l->job->len % BLOCK;
	size_t size = rest + 1 + 16 > BLOCK ? 2 * BLOCK : BLOCK;

	memset(l->tail, 0, sizeof(l->tail));
	if (rest > 0)
		memcpy(l->tail, l->job->data + (l->job->len - rest), rest);
	l->tail[rest] = 0x80;
	put_be64(l->tail + size - 8, (uint64_t)l->job->len << 3);
	put_be64(l->tail + size - 16, (uint64_t)l->job->len >> 61);
	l->in_tail = true;
	l->next = l->tail;
	l->blocks = size / BLOCK;
}

static void
lane_take(struct run *r, size_t i)
{
	struct lane *l = &r->lanes[i];

	l->job = r->taken < r->queued ? r->queue[r->taken++] : NULL;
	if (l->job == NULL)
		return;
	for (size_t k = 0; k < 8; k++)
		r->state[k][i] = r->initial[k];
	l->in_tail = false;
	l->next = l->job->data;
	l->blocks = l->job->len / BLOCK;
	if (l->blocks == 0)
		lane_tail(l);
}

static void
lane_done(struct run *r, size_t i)
{
	uint8_t digest[BULK_DIGEST_MAX];

	for (size_t k = 0; k < 8; k++)
		put_be64(digest + 8 * k, r->state[k][i]);
	memcpy(r->lanes[i].job->digest, digest, r->digest_size);
	lane_take(r, i);
}

/* One step of all lanes; false when none has a job. */
static bool
step(struct run *r)
{
	const uint8_t *p[LANES];
	size_t blocks = SIZE_MAX, busy = LANES;

	for (size_t i = 0; i < LANES; i++) {
		if (r->lanes[i].job == NULL)
			continue;
		busy = i;
		blocks = MIN_OF(blocks, r->lanes[i].blocks);
	}
	if (busy == LANES)
		return false;
	for (size_t i = 0; i < LANES; i++)
		p[i] = r->lanes[r->lanes[i].job != NULL ? i : busy].next;
	compress(r->state, p, blocks);
	for (size_t i = 0; i < LANES; i++) {
		struct lane *l = &r->lanes[i];

		if (l->job == NULL)
			continue;
		l->next += blocks * BLOCK;
		l->blocks -= blocks;
		if (l->blocks > 0)
			continue;
		if (l->in_tail)
			lane_done(r, i);
		else
			lane_tail(l);
	}
	return true;
}

static void
enqueue(struct run *r, struct bulk_hash_job *jobs, size_t n)
{
	r->queued = n;
	r->taken = 0;
	for (size_t i = 0; i < n; i++) {
		size_t at = i;

		for (; at > 0 && r->queue[at - 1]->len < jobs[i].len; at--)
			r->queue[at] = r->queue[at - 1];
		r->queue[at] = &jobs[i];
	}
}

bool
bulk_sha512_able(void)
{
	return __builtin_cpu_supports("avx512f") &&
		__builtin_cpu_supports("avx512bw");
}

void
bulk_sha512_run(enum bulk_hash hash, struct bulk_hash_job *jobs, size_t n)
{
	struct run r;

	assert(hash != BULK_SHA256);
	r.initial = hash == BULK_SHA384 ? initial_384 : initial_512;
	r.digest_size = bulk_digest_size(hash);
	while (n > 0) {
		size_t group = MIN_OF(n, (size_t)GROUP);

		enqueue(&r, jobs, group);
		for (size_t i = 0; i < LANES; i++)
			lane_take(&r, i);
		while (step(&r))
			;
		jobs += group;
		n -= group;
	}
	/* Tails and states may be those of a keyed hash. */
	explicit_bzero(&r, sizeof(r));
}

#else /* not x86-64 */

bool
bulk_sha512_able(void)
{
	return false;
}

void
bulk_sha512_run(enum bulk_hash hash, struct bulk_hash_job *jobs, size_t n)
{
	assert(false);
}

#endif
