/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/client.h"

#include <stdlib.h>

#include "bench/frames.h"

void
client_must(const char *what, DWORD got, DWORD want)
{
	if (got != want)
		bench_die(
			"%s: %u, not %u", what, (unsigned)got, (unsigned)want);
}

DWORD
client_finish(const char *what, DWORD started, OVERLAPPED *ov)
{
	DWORD bytes;

	client_must(what, started, ERROR_IO_PENDING);
	if (!PeerDistGetOverlappedResult(ov, &bytes, TRUE))
		bench_die(
			"%s: completed %u", what, (unsigned)pdw_GetLastError());
	return bytes;
}

BYTE *
client_info(PEERDIST_INSTANCE_HANDLE instance, DWORD *ret_len)
{
	const DWORD part = 1u << 20;
	PEERDIST_CONTENTINFO_HANDLE ci;
	BYTE *info = NULL;
	DWORD len = 0, n;

	client_must("OpenContentInformation",
		PeerDistServerOpenContentInformation(
			instance, CLIENT_IDENTIFIER, 0, 0, NULL, 0, &ci),
		0);
	do {
		OVERLAPPED ov = {0};

		info = realloc(info, len + part);
		if (!info)
			bench_die("out of memory");
		n = client_finish("Retrieve",
			PeerDistServerRetrieveContentInformation(
				instance, ci, part, info + len, &ov),
			&ov);
		len += n;
	} while (n == part);
	client_must("close",
		PeerDistServerCloseContentInformation(instance, ci), 0);
	*ret_len = len;
	return info;
}

void
client_publish(PEERDIST_INSTANCE_HANDLE instance, int fd)
{
	PEERDIST_PUBLICATION_OPTIONS options = {1, 0};
	PDW_PUBLISH_FILE f = {.cbSize = sizeof(f),
		.cbContentIdentifier = 4,
		.pContentIdentifier = (const BYTE *)"file",
		.fd = fd,
		.pOptions = &options};
	OVERLAPPED ov = {0};

	client_finish("PublishFile",
		pdw_ServerPublishFile(instance, &f, NULL, 0, &ov), &ov);
}

PEERDIST_CONTENT_HANDLE
client_content(PEERDIST_INSTANCE_HANDLE instance, const BYTE *info, DWORD len)
{
	PEERDIST_CONTENT_TAG tag = {"bench"};
	PEERDIST_CONTENT_HANDLE content;
	OVERLAPPED ov = {0};

	client_must("OpenContent",
		PeerDistClientOpenContent(instance, &tag, NULL, 0, &content),
		0);
	client_finish("AddContentInformation",
		PeerDistClientAddContentInformation(
			instance, content, len, (PBYTE)info, &ov),
		&ov);
	ov = (OVERLAPPED){0};
	client_finish("CompleteContentInformation",
		PeerDistClientCompleteContentInformation(
			instance, content, &ov),
		&ov);
	return content;
}
