/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that is printed: as JSON, or as text for people.  Text from the
 * daemon may come from other users' programs, so nothing but printable
 * characters reaches the terminal.
 */
#ifndef CTL_OUT_H
#define CTL_OUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/cmd.h"

enum out_color { OUT_COLOR_AUTO, OUT_COLOR_ALWAYS, OUT_COLOR_NEVER };
void out_set_color(enum out_color);

/* One document on stdout.  CTL_FAILED when it could not be written. */
enum ctl_exit out_json(const json_t *);
/* Members line by line; objects inside become sections, arrays of objects
 * tables. */
void out_object(const json_t *);
/* One line for each element, one column for each member of the first. */
void out_table(const json_t *array, const char *when_empty);
/* A value as people like to read it, chosen by the member's name. */
void out_text(const char *key, const json_t *value);
void out_heading(const char *text);
/* "7.9 MiB", "2h 05m": as out_text() writes them. */
void out_format_bytes(char *dst, size_t size, uint64_t n);
void out_format_ms(char *dst, size_t size, uint64_t ms);
/* TITLE [###...] 12.3 %; max 0: no bar, there is no limit. */
void out_bar(const char *title, uint64_t used, uint64_t max);
/* Printable characters only, cut to what there is room for. */
void out_clean(char *dst, size_t size, const char *text);
void out_string(const char *text);
/* The same, filled up with blanks to this width.  text NULL: "-". */
void out_padded(const char *text, int width);
/* On stdout; nothing with -q or --json. */
void out_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* On stderr; nothing with -q. */
void out_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* On stderr, or with --json the document {"v":1,"error":{...}}.  Returns code.
 */
enum ctl_exit out_error(enum ctl_exit code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
