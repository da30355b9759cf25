/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes JSON into a buffer: objects, arrays and plain values, commas by
 * itself.  The output is ASCII: everything else is escaped, and what is not
 * UTF-8 becomes U+FFFD, so that strings from outside can neither break the
 * document nor the terminal that shows it.
 *
 * Errors are the buffer's: sticky, asked for once at the end.
 *
 *	json_out_init(&j, &buf);
 *	json_out_object(&j, NULL);
 *	json_out_u64(&j, "v", 1);
 *	json_out_array(&j, "names");
 *	json_out_text(&j, NULL, "a");
 *	json_out_end_array(&j);
 *	json_out_end_object(&j);		{"v":1,"names":["a"]}
 */
#ifndef API_JSON_OUT_H
#define API_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct json {
	struct buf *out;
	bool comma; /* before the next element */
};

/* key: NULL inside an array and for the outermost value. */
void json_out_init(struct json *, struct buf *);
void json_out_object(struct json *, const char *key);
void json_out_end_object(struct json *);
void json_out_array(struct json *, const char *key);
void json_out_end_array(struct json *);
void json_out_u64(struct json *, const char *key, uint64_t);
void json_out_bool(struct json *, const char *key, bool);
/* text NULL: null. */
void json_out_text(struct json *, const char *key, const char *text);
void json_out_bytes(
	struct json *, const char *key, const char *text, size_t len);
/* "0x..." */
void json_out_hex(struct json *, const char *key, uint64_t);

/* Short names, where jansson's are not. */
#ifndef JANSSON_H
#define json_object     json_out_object
#define json_end_object json_out_end_object
#define json_array      json_out_array
#define json_end_array  json_out_end_array
#define json_u64        json_out_u64
#define json_bool       json_out_bool
#define json_text       json_out_text
#define json_bytes      json_out_bytes
#define json_hex        json_out_hex
#endif

#endif
