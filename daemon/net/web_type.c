/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table has what is commonly given out by HTTP in a branch office and is
 * more than bytes to the client.  Images of disks, packages and updates are
 * bytes.
 */
#include "daemon/net/web_type.h"

#include <stdlib.h>
#include <string.h>

#include "common/macros.h"

#define ENDING_MAX 8

struct type {
	char ending[ENDING_MAX];
	const char *type;
};

#define OFFICE "application/vnd.openxmlformats-officedocument."

/* Sorted. */
static const struct type types[] = {
	{"7z", "application/x-7z-compressed"},
	{"aac", "audio/aac"},
	{"atom", "application/atom+xml"},
	{"avi", "video/x-msvideo"},
	{"avif", "image/avif"},
	{"bmp", "image/bmp"},
	{"bz2", "application/x-bzip2"},
	{"crl", "application/pkix-crl"},
	{"crt", "application/x-x509-ca-cert"},
	{"css", "text/css"},
	{"csv", "text/csv"},
	{"der", "application/x-x509-ca-cert"},
	{"doc", "application/msword"},
	{"docx", OFFICE "wordprocessingml.document"},
	{"eot", "application/vnd.ms-fontobject"},
	{"eps", "application/postscript"},
	{"epub", "application/epub+zip"},
	{"flac", "audio/flac"},
	{"gif", "image/gif"},
	{"gz", "application/gzip"},
	{"htm", "text/html"},
	{"html", "text/html"},
	{"ico", "image/x-icon"},
	{"ics", "text/calendar"},
	{"jar", "application/java-archive"},
	{"jpeg", "image/jpeg"},
	{"jpg", "image/jpeg"},
	{"js", "text/javascript"},
	{"json", "application/json"},
	{"log", "text/plain"},
	{"m3u8", "application/vnd.apple.mpegurl"},
	{"m4a", "audio/mp4"},
	{"m4v", "video/mp4"},
	{"md", "text/markdown"},
	{"mjs", "text/javascript"},
	{"mkv", "video/x-matroska"},
	{"mov", "video/quicktime"},
	{"mp3", "audio/mpeg"},
	{"mp4", "video/mp4"},
	{"mpeg", "video/mpeg"},
	{"mpg", "video/mpeg"},
	{"odp", "application/vnd.oasis.opendocument.presentation"},
	{"ods", "application/vnd.oasis.opendocument.spreadsheet"},
	{"odt", "application/vnd.oasis.opendocument.text"},
	{"ogg", "audio/ogg"},
	{"otf", "font/otf"},
	{"pdf", "application/pdf"},
	{"pem", "application/x-x509-ca-cert"},
	{"png", "image/png"},
	{"ppt", "application/vnd.ms-powerpoint"},
	{"pptx", OFFICE "presentationml.presentation"},
	{"ps", "application/postscript"},
	{"rar", "application/x-rar-compressed"},
	{"rss", "application/rss+xml"},
	{"rtf", "application/rtf"},
	{"shtml", "text/html"},
	{"svg", "image/svg+xml"},
	{"swf", "application/x-shockwave-flash"},
	{"tar", "application/x-tar"},
	{"tif", "image/tiff"},
	{"tiff", "image/tiff"},
	{"ts", "video/mp2t"},
	{"ttf", "font/ttf"},
	{"txt", "text/plain"},
	{"wasm", "application/wasm"},
	{"wav", "audio/wav"},
	{"webm", "video/webm"},
	{"webp", "image/webp"},
	{"wmv", "video/x-ms-wmv"},
	{"woff", "font/woff"},
	{"woff2", "font/woff2"},
	{"xhtml", "application/xhtml+xml"},
	{"xls", "application/vnd.ms-excel"},
	{"xlsx", OFFICE "spreadsheetml.sheet"},
	{"xml", "text/xml"},
	{"xz", "application/x-xz"},
	{"zip", "application/zip"},
	{"zst", "application/zstd"},
};

static int
compare(const void *key, const void *of)
{
	const struct type *t = of;

	return strcmp(key, t->ending);
}

const char *
web_type(const char *path, size_t len)
{
	char ending[ENDING_MAX] = "";
	const struct type *t;
	size_t at = len;

	while (at > 0 && path[at - 1] != '.' && path[at - 1] != '/')
		at--;
	if (at < 2 || path[at - 1] != '.' || path[at - 2] == '/' ||
		len - at >= ENDING_MAX)
		return WEB_TYPE_DEFAULT;
	for (size_t i = 0; i < len - at; i++) {
		char ch = path[at + i];

		ending[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch | 0x20) : ch;
	}
	t = bsearch(ending, types, ARRAY_LEN(types), sizeof(*types), compare);
	return t != NULL ? t->type : WEB_TYPE_DEFAULT;
}
