/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/net/http_client_lib.h"

#include <dlfcn.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"

static bool
find(struct http_client_lib *lib, const char *name, void *ret_function)
{
	void *p = dlsym(lib->library, name);

	memcpy(ret_function, &p, sizeof(p));
	return p != NULL;
}

bool
http_client_lib_load(struct http_client_lib *lib)
{
	lib->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (lib->library == NULL)
		return false;
#define X(name) \
	if (!find(lib, "curl_" #name, &lib->name)) { \
		http_client_lib_unload(lib); \
		return false; \
	}
	HTTP_CLIENT_LIB(X)
#undef X
	return true;
}

void
http_client_lib_unload(struct http_client_lib *lib)
{
	/* The libraries that it brought may have left handlers for the end of
	 * the process behind: the code stays. */
	lib->library = NULL;
}
