/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/demo/common.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define PATIENCE_MS 60000

static const char *name;

void
say(const char *fmt, ...)
{
	va_list ap;

	printf("    %-10s", name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

void
must(const char *what, DWORD got, DWORD want)
{
	if (got == want)
		return;
	say("FAILED: %s: %u, not %u", what, (unsigned)got, (unsigned)want);
	exit(1);
}

void
must_hold(const char *what, int holds)
{
	if (holds)
		return;
	say("FAILED: not so: %s", what);
	exit(1);
}

BYTE *
read_file(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "rbe");
	BYTE *data;
	long len;

	must_hold(path, f != NULL);
	must_hold(path, fseek(f, 0, SEEK_END) == 0);
	len = ftell(f);
	rewind(f);
	must_hold(path, len > 0);
	data = malloc((size_t)len);
	must_hold("memory", data != NULL);
	must_hold(path, fread(data, 1, (size_t)len, f) == (size_t)len);
	fclose(f);
	*ret_len = (size_t)len;
	return data;
}

void
overlapped_init(OVERLAPPED *ov)
{
	memset(ov, 0, sizeof(*ov));
	ov->hEvent = pdw_CreateEventA(NULL, TRUE, FALSE, NULL);
	must_hold("event", ov->hEvent != NULL);
}

DWORD
overlapped_end(OVERLAPPED *ov, DWORD *ret_bytes)
{
	DWORD bytes, code = 0;

	must("wait for a completion",
		pdw_WaitForSingleObject(ov->hEvent, PATIENCE_MS),
		WAIT_OBJECT_0);
	if (!PeerDistGetOverlappedResult(ov, &bytes, FALSE))
		code = pdw_GetLastError();
	pdw_CloseHandle(ov->hEvent);
	if (ret_bytes)
		*ret_bytes = bytes;
	return code;
}

ULONGLONG
overlapped_offset(const OVERLAPPED *ov)
{
	return (ULONGLONG)ov->OffsetHigh << 32 | ov->Offset;
}

void
await_status(PEERDIST_INSTANCE_HANDLE h, PEERDIST_STATUS want)
{
	PEERDIST_STATUS status;
	OVERLAPPED ov;

	must("GetStatus", PeerDistGetStatus(h, &status), ERROR_SUCCESS);
	while (status != want) {
		overlapped_init(&ov);
		must("RegisterForStatusChangeNotification",
			PeerDistRegisterForStatusChangeNotification(
				h, NULL, 0, &ov, &status),
			ERROR_IO_PENDING);
		must("notification", overlapped_end(&ov, NULL), ERROR_SUCCESS);
	}
}

static void
obey(char *line, const struct command *commands, size_t n)
{
	char *arg = strchr(line, ' ');

	if (arg)
		*arg++ = 0;
	for (size_t i = 0; i < n; i++)
		if (strcmp(commands[i].name, line) == 0) {
			commands[i].run(arg ? arg : "");
			printf("done\n");
			fflush(stdout);
			return;
		}
	must_hold(line, 0);
}

int
demo_main(const char *who, const struct command *commands, size_t n)
{
	char line[1024];

	name = who;
	prctl(PR_SET_PDEATHSIG, 9);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		obey(line, commands, n);
	}
	return 0;
}
