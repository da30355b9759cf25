/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/api/observe.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEEN_MAX 1024

struct seen {
	const char *function;
	DWORD code;
	char letter;
};

static struct seen seen[SEEN_MAX];
static size_t n_seen;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool
seen_before(const char *function, DWORD code, char letter)
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_seen && !found; i++)
		found = seen[i].code == code && seen[i].letter == letter &&
			strcmp(seen[i].function, function) == 0;
	if (!found && n_seen < SEEN_MAX)
		seen[n_seen++] = (struct seen){function, code, letter};
	pthread_mutex_unlock(&lock);
	return found;
}

void
observe(const char *function, DWORD code, char letter)
{
	const char *path = getenv("PEERDIST_OBSERVED");
	char line[160];
	int len, fd;

	if (!path || seen_before(function, code, letter))
		return;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	len = snprintf(line, sizeof(line), "%s %u %c\n", function,
		(unsigned)code, letter);
	/* One write, so that lines of several processes do not mix. */
	if (write(fd, line, (size_t)len) != len)
		perror(path);
	close(fd);
}

DWORD
observe_return(const char *function, DWORD code)
{
	observe(function, code, 'R');
	return code;
}

DWORD
observe_completion(const char *function, DWORD code)
{
	observe(function, code, 'C');
	return code;
}
