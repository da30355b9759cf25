/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libcurl, loaded when the first request is made.  Debian's libcurl brings
 * thirty more libraries, whose relocations alone cost 640 KB of private memory
 * in every daemon that never asks a peer.
 */
#ifndef NET_HTTP_CLIENT_LIB_H
#define NET_HTTP_CLIENT_LIB_H

#define CURL_DISABLE_TYPECHECK
#include <stdbool.h>

#include <curl/curl.h>

#define HTTP_CLIENT_LIB(X) \
	X(global_init) \
	X(global_cleanup) \
	X(easy_init) \
	X(easy_cleanup) \
	X(easy_setopt) \
	X(easy_getinfo) \
	X(multi_init) \
	X(multi_cleanup) \
	X(multi_setopt) \
	X(multi_assign) \
	X(multi_add_handle) \
	X(multi_remove_handle) \
	X(multi_info_read) \
	X(multi_socket_action) \
	X(slist_append) \
	X(slist_free_all)

/* curl_NAME is lib->NAME. */
struct http_client_lib {
	void *library;
#define X(name) __typeof__(&curl_##name) name;
	HTTP_CLIENT_LIB(X)
#undef X
};

/* Loads it; false when that cannot be done. */
bool http_client_lib_load(struct http_client_lib *);
void http_client_lib_unload(struct http_client_lib *);

#endif
