/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef COMMON_HEX_H
#define COMMON_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2 * len lower-case digits and a NUL to dst. */
void hex_encode(char *dst, const uint8_t *src, size_t len);

/* Reads exactly 2 * len digits of either case from text, which must end there;
 * false and dst undefined otherwise. */
bool hex_decode(uint8_t *dst, size_t len, const char *text);

#endif
