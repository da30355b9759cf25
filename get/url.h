/* SPDX-License-Identifier: BSD-2-Clause */
/* A URL taken apart: what may be shown of it, who it says one is, and what a
 * file from there is called. */
#ifndef GET_URL_H
#define GET_URL_H

#include <stdbool.h>

struct url {        /* begins as {0} */
	char *text; /* without user, password and fragment */
	char *site; /* scheme, host and port, to be compared */
	char *user; /* decoded; NULL: none */
	char *password;
};

enum url_result {
	URL_OK,
	URL_MALFORMED,
	URL_SCHEME, /* neither http nor https */
};

/* > 0: enum url_result; -ENOMEM. */
int url_parse(struct url *ret, const char *text);
/* -ENOMEM. */
int url_copy(struct url *ret, const struct url *);
void url_done(struct url *);
/* The file name in it: the last component of its path, decoded unless that
 * makes it something else than a name.  free() it; NULL: there is none, or no
 * memory (errno ENOMEM). */
char *url_file_name(const struct url *);
/* Whether what is told to the one may be told to the other. */
bool url_same_site(const struct url *, const struct url *);

#endif
