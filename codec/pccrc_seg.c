/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where version 2 content is cut into segments
 *
 * Frozen: two publishers share what clients have cached only if they cut alike,
 * so a change here empties every cache.  The rule in full:
 *
 *   A piece starts at the beginning of the content and behind each cut.  Its
 *   length is the smallest p of
 *     32768 <= p < 65536   with  gear(p) < 2^48
 *     65536 <= p < 131072  with  gear(p) < 2^50
 *     p = 131072
 *   or what is left of the content, if none of these lies within it.
 *
 *   gear(p) looks at the last 64 of the first p bytes b of the piece:
 *     sum over i = 0..63 of  table[b[p - 1 - i]] * 2^i,  modulo 2^64
 *   that is h = 2 h + table[next byte], begun with h = 0 at p - 64.
 *
 *   table[n] is the first eight bytes, little-endian, of
 *   SHA-256("peerdist version 2 cutter" || one byte n).
 *
 * On random bytes a position passes with a chance of one in 65536 up to 64 KiB
 * and one in 16384 behind: 40 % of the pieces end before 64 KiB, 1 % reach
 * 128 KiB, the mean is 67 KiB.  Since only 64 bytes decide, the cuts of a
 * content that was shifted or changed are the same again soon behind the
 * change.  Content with no variety at all, such as zeroes, never passes and is
 * cut at 128 KiB.
 *
 * The first 32 KiB of a piece are never looked at, which is half of the time
 * saved.
 */
#include "codec/pccrc_priv.h"

#include "common/macros.h"

#define WINDOW   64
#define WARM     (WINDOW - 1)
#define STRIPS   4
#define STRIP    1024
#define RARE     (UINT64_C(1) << 48)
#define FREQUENT (UINT64_C(1) << 50)

/* clang-format off */
static const uint64_t table[256] = {
	0x848e9e4aeeb98103, 0x4332cd1e4a90507b, 0x7b71ce3e8eb74b9d,
	0x39847e41675f2630, 0xcd56db8e51098570, 0xce47b3a49b49ad0c,
	0x78d5d5a148cdc94a, 0x73ad6720578fbabe, 0x735f4841019b208b,
	0x0911a4110e428a6d, 0x4edfadd9eb9e25c7, 0xd3184f0e093d8069,
	0xf1d11a99942a952d, 0x66762a27612f435d, 0x2bcf620df394188a,
	0xa1f4e1e36b5b1ac5, 0xeb9795192b8aad33, 0xaf7896da19aa9b3d,
	0x877a38dee0747279, 0xdf99e759e44ee10e, 0x9e3e0c67eceda023,
	0x8fb3a9c51df6971c, 0x4e9ab55ed9bdc3df, 0xb23d9cf072c9e781,
	0x143237cb20c1f470, 0xdc45dbf330555a01, 0x664fe4f1a98856f5,
	0xdba52e29c8fb4464, 0x0c9d7d9c4b6c0b75, 0x95e34215ea440d2b,
	0xaa6cc7cb2e0a8166, 0x44f139188263b7b6, 0x46f0d07c2601e75d,
	0x42ef24bc381963b0, 0xef44d2910b378204, 0x064eea2586b1a0f5,
	0x94411b5e343af6fe, 0xf0660054d86e1680, 0x3d01625547c6594a,
	0xaacf2fe2541a5e83, 0xe50727720808162b, 0x57f09e3517f91c7c,
	0x52f9e6aebb6831a2, 0xd553dfc998f6e12e, 0x8a7c17c4a4e7d092,
	0xdf455c664b0252c9, 0x43eb7a06d8c8c305, 0x0cdead17dab08ae7,
	0xcaa613d0353fc4ae, 0x3ba58e77ec07b0b8, 0x2a3bdd5230451ae3,
	0x064acc3339ccb69f, 0xfb7aba1ef6418ea7, 0xaa0153226a5cf3f1,
	0xd69d9910a71ef773, 0xcad3527f8aa63d75, 0xb467c0e86b9e2a2d,
	0x15ff32bc271e8342, 0x2ef0bcb17625fc3c, 0xfe37966db25f4561,
	0x0ac10d7ad8d86bd1, 0xdadfc00b51dc662c, 0xaeee02f60f4f1d65,
	0xdac47aa50ac46cb7, 0x3fafb546763b6af3, 0x47074702d0989f57,
	0xcc8edf6bcc3da92b, 0x570df203f1542144, 0xa6bc691e23c3968b,
	0x0e0a6a84f2594d59, 0x4a26cd1348d07d57, 0x162834c260117907,
	0xfd82b093f6b587a7, 0x1193c75e50e88b26, 0x5beeda3ec38fc954,
	0xb9a8119182d8eabc, 0x68bfee8f8a323e01, 0xaea76fb28d6ab134,
	0xe01eca84ea010b16, 0xccbb94342b189668, 0x4650caab26b801df,
	0x0456d4f5e424d785, 0x2ca5cb8f9f8562fe, 0x17eb09c6ecd97447,
	0x4fe36e165d9a36e1, 0xd908dd7ac5d66741, 0x7d1d558cbd098b66,
	0x5c00eb79f6c442e2, 0x4fcc9449715b5575, 0x505c68987c8a3185,
	0x29493c6486c06792, 0x82ac913a8a368377, 0xf506efa638e5fb60,
	0xb5a6599fdddd061c, 0xd0a2476dd0164004, 0xfef69be8bf6626ef,
	0xf2d99ecc166b7441, 0x47e10b3176e70754, 0xd563c8edbec2351d,
	0xcd477170b0a1f92b, 0x8f51bb4698ff4d6e, 0x7d7348ba58f13a51,
	0x2c7a76004499229b, 0xc2f9c8c09e3fa04f, 0x625ff2593523c774,
	0x25d073d218932b0b, 0x37bae208af1ab986, 0x644978d59dc2dc93,
	0x42fba9729fb6f490, 0xcdbca64483cba40e, 0x84a548af64dfd569,
	0x5682797fbb36b7d2, 0xe6e43f2e532285bb, 0xab41710f1913fb29,
	0x26b05d2fdf5d277c, 0x3e56f8673f25d40f, 0x55b00f5b733efa10,
	0x1f83a68f717094ce, 0x09f6338d52e8dabb, 0xe3bed1b7219834a2,
	0xc21a0dfe29141ebe, 0xcf1b1c4ba1a6432e, 0xc90bf18a6b64e30e,
	0x584cfa33512568e0, 0xa3bbfe7bb36ab241, 0x384db9d3fa7b625e,
	0x03cc6a57b8827110, 0x4055841950adec95, 0xbe67a1519aa9a024,
	0x5e6585e22e6177ea, 0xa2dd43d3bffc256f, 0x10f662f144346199,
	0x0366511ab5f71569, 0x60aee707418e6dbc, 0x0b03fc11c2e43a6c,
	0xd5edd3c01153de58, 0x337709a238e6d531, 0xe4ba28f15122b84d,
	0xf3194cfd76b8a1b7, 0x332bd2d286f09a36, 0x3fc8a488c63df964,
	0x096dfcae6f3e1bf4, 0x8095341c47f32345, 0x0783eb2639492acb,
	0x131362e63a7df805, 0x74cc6775d09575fe, 0x15bca47434b67af3,
	0xa2c3622e29e7469d, 0x1ec2e3fe80249d7c, 0x962d8aa3196023b5,
	0xa7386cf430bcb69c, 0x2653645af5922429, 0xba5a0e387df0e848,
	0x0ba89d153d80a474, 0x7c7aa2a1260d8ba8, 0x324e265cad748adb,
	0x2c97598ae95c4b8e, 0x604ee4d1809ef962, 0x97556326062eec73,
	0x6454c2e5c1ea364d, 0xc426b07f783d71ad, 0x24cae7eecd9f5cfe,
	0xcdb2efbd3039bb4c, 0x1184a0fca57bc355, 0x879bee673c213261,
	0xceac33d635136979, 0xdb3bff291047ccc5, 0x0268057a5f432414,
	0xd7daf2dcf5f0139e, 0x290da6575e4c2890, 0xff4bb2ce8ea6b339,
	0x893abe2b7d616487, 0x1184c738e4eaaaa1, 0xa746cb47452cea99,
	0xa1fe997052a11021, 0xe6a8cabe22c87bc5, 0xc003136d981acca2,
	0x1085a24cbf295f15, 0x71f8b70958e17756, 0x4761e950f9083b81,
	0x2882992888b8dc05, 0xa19c1c373d516ae2, 0x0ee820258c1976ba,
	0x0c7aca93be3b2795, 0x08e6c3af0b79c7af, 0x5492e53277409907,
	0x3b871649cd11aabd, 0x9b961493cb824f0d, 0xcac4f32215ab811c,
	0x8bef96f82d324dce, 0x6a7b69acecfdad7c, 0x96f53177842dc499,
	0x169c281917e8346f, 0xe0b9325a508c4816, 0x5b09dd350d95e668,
	0xac904ab39401c10d, 0xa209316534316341, 0xe75cfd03862bf961,
	0xfc0c3d8e9cce7dad, 0x5758ee771991f691, 0x96c2ddc322089a57,
	0x591fab60982c5188, 0x3615536c609680ab, 0xe00efa4663eaecd8,
	0x072619aa4f83776c, 0xd78f07e647fdbf53, 0xab8d39fd7a1dcba2,
	0x6a4e59758fe72190, 0x9e3cfbed903fbed1, 0x4586c88adc6c21b1,
	0xa5212ba351d2aa51, 0x0b658e7bc5f3bd12, 0xa333fd95da3b9079,
	0xf025ef4fef14be51, 0xd8dcba776e3366c6, 0xc7213de70eb46799,
	0xe67719eeb7226ccd, 0x24bfe9e846a60259, 0x77a614ed66591485,
	0xe848cf163ffbb642, 0x47d01c8a0012eb42, 0xcbc8efd5541eff66,
	0xd52acdd4a24fda8b, 0x1caadfe55f347144, 0x212ee41e1d87e5ab,
	0x2398412d687a597e, 0xa1664df13d33275f, 0xb239a21f38dc5644,
	0x591d36ccf36da7b0, 0x61cb66bb48e39534, 0xcad6cd5999d4f1fe,
	0x807d70d448b164b1, 0x5ffa1525b2a7d449, 0xdc8285bafe3585e5,
	0x3cbd4dcd85ce4d4a, 0x6812f5ec63172923, 0xcb15db93dd0ce4d9,
	0x55857370e7c6213e, 0xdf6d68eeee2a6e35, 0xb975e0f8cecdf3ea,
	0x61719f03841952fc, 0xa5758a66424a580d, 0xe9cca5feb5f1e774,
	0x1c73c1a610f7f078, 0x6cd3eac00cfed1bd, 0x9560da3786b5c022,
	0x778feb4fcbcb78e6, 0x5e02694107036512, 0xf8732120cbe41785,
	0x0464204c37c61c1c, 0xff9f81a27d96387b, 0x6ddd9506b4ecda8c,
	0xbfabe4b58a335ee2, 0x50f9330e9ab947c9, 0x6d73bb7c3a951edb,
	0x8f4dd7a8511891c3,
};
/* clang-format on */

/* Over strips of n bytes side by side, to where any of them passes; h is each
 * one's at that step.  steps when none does. */
static size_t
step_strips(const uint8_t *data, size_t n, size_t steps, uint64_t limit,
	uint64_t h[STRIPS])
{
	const uint8_t *b = data + n, *c = b + n, *d = c + n;
	uint64_t ha = h[0], hb = h[1], hc = h[2], hd = h[3];
	size_t i;

#pragma GCC unroll 8
	for (i = 0; i < steps; i++) {
		ha = (ha << 1) + table[data[i]];
		hb = (hb << 1) + table[b[i]];
		hc = (hc << 1) + table[c[i]];
		hd = (hd << 1) + table[d[i]];
		if (ha < limit || hb < limit || hc < limit || hd < limit)
			break;
	}
	h[0] = ha;
	h[1] = hb;
	h[2] = hc;
	h[3] = hd;
	return i;
}

/* The first of n steps over data that comes out below limit; n when none. */
static size_t
scan_strip(const uint8_t *data, size_t n, uint64_t limit, uint64_t h)
{
	size_t i;

	for (i = 0; i < n; i++) {
		h = (h << 1) + table[data[i]];
		if (h < limit)
			break;
	}
	return i;
}

/* The same over STRIPS strips of n bytes.  Where one has passed, what is left
 * of those before it may still come before it. */
static size_t
scan_strips(const uint8_t *data, size_t n, uint64_t limit)
{
	uint64_t h[STRIPS] = {0};
	size_t stop;

	(void)step_strips(data - WARM, n, WARM, 0, h);
	stop = step_strips(data, n, n, limit, h);
	if (stop == n)
		return STRIPS * n;
	for (size_t k = 0; k < STRIPS; k++) {
		size_t i = stop;

		if (h[k] >= limit) {
			i++;
			i += scan_strip(data + k * n + i, n - i, limit, h[k]);
		}
		if (i < n)
			return k * n + i;
	}
	return STRIPS * n;
}

/* The smallest p in [from, to] that passes, 0 when none does; from >= WINDOW.
 * One strip alone is bound by the time from one h to the next; several that
 * take turns keep the processor busy. */
static size_t
scan(const uint8_t *data, size_t from, size_t to, uint64_t limit)
{
	while (from + STRIPS <= to + 1) {
		size_t n = MIN_OF((to + 1 - from) / STRIPS, (size_t)STRIP);
		size_t i = scan_strips(data + from - 1, n, limit);

		if (i < STRIPS * n)
			return from + i;
		from += STRIPS * n;
	}
	for (; from <= to; from++) {
		uint64_t h = 0;

		for (size_t i = from - WINDOW; i < from; i++)
			h = (h << 1) + table[data[i]];
		if (h < limit)
			return from;
	}
	return 0;
}

size_t
pccrc_cut_more(const uint8_t *data, size_t len, size_t known, bool last)
{
	size_t from = MAX_OF(known + 1, (size_t)PCCRC_CUT_MIN);
	size_t cut;

	cut = scan(data, from, MIN_OF(len, PCCRC_CUT_AVG - 1), RARE);
	if (cut == 0)
		cut = scan(data, MAX_OF(from, (size_t)PCCRC_CUT_AVG),
			MIN_OF(len, PCCRC_CUT_MAX - 1), FREQUENT);
	if (cut != 0)
		return cut;
	if (len >= PCCRC_CUT_MAX)
		return PCCRC_CUT_MAX;
	return last ? len : 0;
}

size_t
pccrc_cut(const uint8_t *data, size_t len, bool last)
{
	return pccrc_cut_more(data, len, 0, last);
}
