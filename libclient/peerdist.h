/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Peer Distribution API (BranchCache) on Linux: Microsoft's 28 functions
 * under their own names, answered by the service peerdistd.  Link with
 * libpeerdist-client; see peerdist(3) and peerdist_async(7).
 *
 * Rules that hold for every function
 *
 * Threads.  Everything may be called from any thread at any time, and several
 * threads may use one handle.
 *
 * Results.  Functions return 0 (ERROR_SUCCESS) or an error number; only
 * PeerDistGetOverlappedResult reports through GetLastError.  A successful
 * cancel, and an Unregister that ended something, leave the thread's last error
 * at 995 (ERROR_OPERATION_ABORTED); nothing else touches it.
 *
 * Asynchronous calls (marked "async" below) return 997 (ERROR_IO_PENDING) when
 * the operation is accepted: then exactly one completion is delivered, perhaps
 * before the call has returned.  Any other value is a failure and no
 * completion comes.  From the call to the completion the OVERLAPPED, the data
 * buffer and any output structure belong to the library: they must stay valid
 * and must not be touched.  After the completion nothing of the library looks
 * at them again; they may be freed at once.
 *
 * A completion sets lpOverlapped->hEvent, if there is one, and queues a packet
 * on the completion port that was given when the handle was opened (or to the
 * call itself), if there is one.  Bit 0 set in hEvent suppresses the packet.
 * With neither, ask HasOverlappedIoCompleted or PeerDistGetOverlappedResult.
 *
 * Errors, and who decides them.  [L] the library, before anything is sent;
 * [S] the service.  Any function that takes an instance may return
 *   6     ERROR_INVALID_HANDLE [L] the instance or the second handle is not
 *         one, is of another kind or instance, is closed, or this process is
 *         the child of a fork; a bad hEvent or completion port likewise
 *   87    ERROR_INVALID_PARAMETER [L] a NULL pointer, a reserved member that is
 *         not 0, a size or version out of bounds, or (async) an OVERLAPPED
 *         whose operation is still pending
 *   4056  PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS [L] another thread is inside
 *         PeerDistShutdown, which ends what this call was about
 *   8     ERROR_NOT_ENOUGH_MEMORY [L, S] but never from a close, GetStatus(Ex),
 *         Unregister or Shutdown.  Also the completion of an operation for
 *         which the service had no memory
 * and, where "service errors" are named below,
 *   1260  ERROR_ACCESS_DISABLED_BY_POLICY [S] the service is disabled, or this
 *         user may not use this part of it
 *   4065  PEERDIST_ERROR_SERVICE_UNAVAILABLE [S] it is starting or stopping;
 *         [L] it cannot be reached or does not answer within 10 seconds
 *   4057  PEERDIST_ERROR_INVALIDATED [L, S] the second handle was opened before
 *         the service was last disabled, stopped or restarted: only closing it
 *         is left; so never from a call without a second handle.  Also the
 *         completion of operations that were pending then
 *   1450  ERROR_NO_SYSTEM_RESOURCES [S] over a quota of the user; [L] too many
 *         operations pending.  Not from calls that make neither an object nor
 *         an operation, unless they are the first of one session too many.
 *         Also the completion of operations that make more than was known
 * They are checked in this order: 87, 6 and 4056, 1260 and 4065, 4057, then
 * whatever the function itself says.
 *
 * Fork.  In the child every handle is dead (6); it may start its own instance.
 *
 * "Page" names Microsoft's reference page of the function.
 */
#ifndef PEERDIST_H
#define PEERDIST_H

#include "peerdist_types.h"

#include "peerdist_errors.h"

#include "peerdist_port.h"

#ifdef __cplusplus
extern "C" {
#endif

#if NTDDI_VERSION >= NTDDI_WIN7

/* The version to ask PeerDistStartup for: major in the low, minor in the high
 * part. */
#if NTDDI_VERSION >= NTDDI_WIN8
#define PEERDIST_VERSION ((DWORD)0x00000002)
#else
#define PEERDIST_VERSION ((DWORD)0x00000001)
#endif

#define PEERDIST_PUBLICATION_OPTIONS_VERSION_1 ((DWORD)1)
#define PEERDIST_PUBLICATION_OPTIONS_VERSION_2 ((DWORD)2)
#if NTDDI_VERSION >= NTDDI_WIN8
#define PEERDIST_PUBLICATION_OPTIONS_VERSION \
	PEERDIST_PUBLICATION_OPTIONS_VERSION_2
#else
#define PEERDIST_PUBLICATION_OPTIONS_VERSION \
	PEERDIST_PUBLICATION_OPTIONS_VERSION_1
#endif

/* Time-outs of reads in milliseconds: no traffic at all; the protocol's own
 * five seconds. */
#define PEERDIST_READ_TIMEOUT_LOCAL_CACHE_ONLY ((DWORD)0)
#define PEERDIST_READ_TIMEOUT_DEFAULT          ((DWORD)0xFFFFFFFE)

/* All four are HANDLEs: the compiler does not tell them apart, the library
 * does.  They are not for CloseHandle and cannot be waited on. */
typedef HANDLE PEERDIST_INSTANCE_HANDLE, *PPEERDIST_INSTANCE_HANDLE;
typedef HANDLE PEERDIST_CONTENT_HANDLE, *PPEERDIST_CONTENT_HANDLE;
typedef HANDLE PEERDIST_CONTENTINFO_HANDLE, *PPEERDIST_CONTENTINFO_HANDLE;
typedef HANDLE PEERDIST_STREAM_HANDLE, *PPEERDIST_STREAM_HANDLE;

/* How to publish.  dwVersion 1: hashes of format 1 only; 2: of both.  dwFlags
 * is reserved, 0. */
typedef struct peerdist_publication_options_tag {
	DWORD dwVersion;
	DWORD dwFlags;
} PEERDIST_PUBLICATION_OPTIONS, *PPEERDIST_PUBLICATION_OPTIONS;
typedef const PEERDIST_PUBLICATION_OPTIONS *PCPEERDIST_PUBLICATION_OPTIONS;

/* Label of what a client adds to the cache; any 16 bytes. */
typedef struct peerdist_content_tag_tag {
	BYTE Data[16];
} PEERDIST_CONTENT_TAG, *PPEERDIST_CONTENT_TAG;
typedef const PEERDIST_CONTENT_TAG *PCPEERDIST_CONTENT_TAG;

typedef enum {
	PEERDIST_STATUS_DISABLED = 0,    /* by policy or settings */
	PEERDIST_STATUS_UNAVAILABLE = 1, /* not reachable, or not ready */
	PEERDIST_STATUS_AVAILABLE = 2
} PEERDIST_STATUS;

/*
 * Makes an instance, which owns publications, handles and one status
 * registration.  Call it first, and PeerDistShutdown for each instance.  It
 * succeeds whether or not the service runs, and does not wait for it.
 *
 * dwVersionRequested: the lowest version that the caller can live with, 1.0 to
 * 2.0, in bytes or in words.  *pdwSupportedVersion (may be NULL) receives the
 * highest one that is supported, also on 4062.  *phPeerDist is NULL on failure.
 *
 * 0; 87 phPeerDist is NULL [L]; 4062 PEERDIST_ERROR_VERSION_UNSUPPORTED [L]; 8.
 * Page: nf-peerdist-peerdiststartup
 */
DWORD WINAPI PeerDistStartup(DWORD dwVersionRequested,
	PPEERDIST_INSTANCE_HANDLE phPeerDist, PDWORD pdwSupportedVersion);

/*
 * Ends an instance.  Whatever is pending completes with 995, the status
 * registration too, and all these completions are delivered before it returns.
 * The instance's publications are withdrawn; its handles are dead.
 *
 * 0; 6; 4056 when another thread is doing it.  Never a service error [L].
 * Page: nf-peerdist-peerdistshutdown
 */
DWORD WINAPI PeerDistShutdown(PEERDIST_INSTANCE_HANDLE hPeerDist);

/*
 * The service's status now.  Waits at most a second for a service that is just
 * being reached.  Does not count as a notification.
 *
 * 0; 87; 6 [L].  Page: nf-peerdist-peerdistgetstatus
 */
DWORD WINAPI PeerDistGetStatus(
	PEERDIST_INSTANCE_HANDLE hPeerDist, PEERDIST_STATUS *pPeerDistStatus);

/*
 * Async.  Asks for one notification: completes when the status differs from
 * the one last notified to this instance (before the first: DISABLED), at once
 * if it does already.  *pPeerDistStatus is written at completion only, not on
 * 995.  One registration at a time; register again after each notification.
 * Works while the service is away.
 *
 * Returns 997; 87; 6; 4058 PEERDIST_ERROR_ALREADY_EXISTS one is armed [L].
 * Completes 0, 995.  Bytes 0, offset untouched.
 * Page: nf-peerdist-peerdistregisterforstatuschangenotification
 */
DWORD WINAPI PeerDistRegisterForStatusChangeNotification(
	PEERDIST_INSTANCE_HANDLE hPeerDist, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, LPOVERLAPPED lpOverlapped,
	PEERDIST_STATUS *pPeerDistStatus);

/*
 * Ends the registration, of either form, with 995, delivered before it returns.
 *
 * 0, also when none is armed; 87; 6 [L].
 * Page: nf-peerdist-peerdistunregisterforstatuschangenotification
 */
DWORD WINAPI PeerDistUnregisterForStatusChangeNotification(
	PEERDIST_INSTANCE_HANDLE hPeerDist);

/*
 * Opens a publication under an identifier: 1 to 32768 bytes, the user's own
 * name space, copied.  cbContentLength: bytes that will be added, 0 if not
 * known.  pPublishOptions may be NULL (version 2).  Port and key serve
 * PublishAddToStream and PublishCompleteStream on this handle.  The content is
 * hashed, not stored.
 *
 * 0; 87; 6; service errors; 4058 the identifier is published, or being
 * published, by this user [S].
 * Page: nf-peerdist-peerdistserverpublishstream
 */
DWORD WINAPI PeerDistServerPublishStream(PEERDIST_INSTANCE_HANDLE hPeerDist,
	DWORD cbContentIdentifier, PBYTE pContentIdentifier,
	ULONGLONG cbContentLength,
	PCPEERDIST_PUBLICATION_OPTIONS pPublishOptions, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, PPEERDIST_STREAM_HANDLE phStream);

/*
 * Async.  Appends bytes.  Several may be outstanding; they count in the order
 * of the calls.  Offset and OffsetHigh must be 0.
 *
 * Returns 997; 87 (also for 0 bytes); 6; service errors; 4060
 * PEERDIST_ERROR_ALREADY_COMPLETED; 8, 13, 112, 995 or 4061, the first error of
 * a stream that failed: only closing it is left [S].  Completes 0; 4061
 * PEERDIST_ERROR_OUT_OF_BOUNDS more than the declared length; 112
 * ERROR_DISK_FULL; 1450; 995; 4057; 8 [S].  Bytes: all, or 0 on failure.
 * Page: nf-peerdist-peerdistserverpublishaddtostream
 */
DWORD WINAPI PeerDistServerPublishAddToStream(
	PEERDIST_INSTANCE_HANDLE hPeerDist, PEERDIST_STREAM_HANDLE hStream,
	DWORD cbNumberOfBytes, PBYTE pBuffer, LPOVERLAPPED lpOverlapped);

/*
 * Async.  Ends the stream; when it completes with 0 the content is published.
 * The handle must still be closed.  Offset and OffsetHigh must be 0.
 *
 * Returns 997; 87; 6; service errors; 4060; 8, 13, 112, 995 or 4061 as above
 * [S].  Completes 0; 13 ERROR_INVALID_DATA nothing was added, or less than was
 * declared; 4061, 112, 1450, 995 also when an addition before it failed so;
 * 4057; 8 [S].  Bytes 0.
 * Page: nf-peerdist-peerdistserverpublishcompletestream
 */
DWORD WINAPI PeerDistServerPublishCompleteStream(
	PEERDIST_INSTANCE_HANDLE hPeerDist, PEERDIST_STREAM_HANDLE hStream,
	LPOVERLAPPED lpOverlapped);

/*
 * Closes a stream; what is pending on it completes with 995 before this
 * returns.  A publication that is not complete is dropped, a complete one
 * stays.
 *
 * 0; 87; 6 [L].  Page: nf-peerdist-peerdistserverclosestreamhandle
 */
DWORD WINAPI PeerDistServerCloseStreamHandle(
	PEERDIST_INSTANCE_HANDLE hPeerDist, PEERDIST_STREAM_HANDLE hStream);

/*
 * Withdraws a publication of this user, whichever instance made it.  What is
 * pending on it in this instance completes with 995 before this returns.
 * Handles on it must still be closed.
 *
 * 0; 87; 6; service errors; 1168 ERROR_NOT_FOUND [S].
 * Page: nf-peerdist-peerdistserverunpublish
 */
DWORD WINAPI PeerDistServerUnpublish(PEERDIST_INSTANCE_HANDLE hPeerDist,
	DWORD cbContentIdentifier, PBYTE pContentIdentifier);

/*
 * Opens a cursor over the content information of a published content, or of
 * the range [ullContentOffset, +cbContentLength) of it; 0 and 0 mean all of it.
 * The format is version 1.  Port and key serve RetrieveContentInformation.
 *
 * 0; 87 (also: length 0 with an offset, or the sum overflows); 6; service
 * errors; 1168 not published, or not complete yet; 4061
 * PEERDIST_ERROR_OUT_OF_BOUNDS the range is not inside; 4050 not built in this
 * version [S].  Page: nf-peerdist-peerdistserveropencontentinformation
 */
DWORD WINAPI PeerDistServerOpenContentInformation(
	PEERDIST_INSTANCE_HANDLE hPeerDist, DWORD cbContentIdentifier,
	PBYTE pContentIdentifier, ULONGLONG ullContentOffset,
	ULONGLONG cbContentLength, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, PPEERDIST_CONTENTINFO_HANDLE phContentInfo);

/*
 * Async.  Reads the next piece, at most cbMaxNumberOfBytes; fewer is normal.
 * Call it until 4053.  Several may be outstanding; they are served in order.
 *
 * Returns 997; 87 (also for 0 bytes); 6; service errors.  Completes 0; 4053
 * PEERDIST_ERROR_NO_MORE the end was reached before (callers for Windows should
 * accept it as a return value too); 995; 4057 [S].  Bytes: how many; offset:
 * where in the information they stand (ignored on input).
 * Page: nf-peerdist-peerdistserverretrievecontentinformation
 */
DWORD WINAPI PeerDistServerRetrieveContentInformation(
	PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENTINFO_HANDLE hContentInfo, DWORD cbMaxNumberOfBytes,
	PBYTE pBuffer, LPOVERLAPPED lpOverlapped);

/*
 * Closes a cursor; what is pending on it completes with 995 before this
 * returns.
 *
 * 0; 6 [L].  Page: nf-peerdist-peerdistserverclosecontentinformation
 */
DWORD WINAPI PeerDistServerCloseContentInformation(
	PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENTINFO_HANDLE hContentInfo);

/*
 * Cancels the operation that was started with pOverlapped on the content of
 * this identifier, in this instance: AddToStream, CompleteStream, Retrieve,
 * pdw_ServerPublishFile.  Returns only after the completion is delivered.  It
 * completes with 995 unless it ended otherwise before; sets last error 995.
 *
 * 0; 87; 6; service errors; 4059 PEERDIST_ERROR_OPERATION_NOTFOUND it is done
 * or never was [S].
 * Page: nf-peerdist-peerdistservercancelasyncoperation
 */
DWORD WINAPI PeerDistServerCancelAsyncOperation(
	PEERDIST_INSTANCE_HANDLE hPeerDist, DWORD cbContentIdentifier,
	PBYTE pContentIdentifier, LPOVERLAPPED pOverlapped);

/*
 * Makes a consumer object.  The tag is copied.  Port and key serve the five
 * asynchronous calls on this handle.
 *
 * 0; 87; 6; service errors [S].
 * Page: nf-peerdist-peerdistclientopencontent
 */
DWORD WINAPI PeerDistClientOpenContent(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PCPEERDIST_CONTENT_TAG pContentTag, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, PPEERDIST_CONTENT_HANDLE phContentHandle);

/*
 * Closes it; what is pending on it completes with 995 before this returns.
 * The cache keeps its data.
 *
 * 0; 87; 6 [L].  Page: nf-peerdist-peerdistclientclosecontent
 */
DWORD WINAPI PeerDistClientCloseContent(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle);

/*
 * Async.  Feeds content information, whole or in pieces, in order.  Several
 * may be outstanding.  Offset and OffsetHigh must be 0.
 *
 * Returns 997; 87 (also for 0 bytes); 6; service errors; 4060 after it was
 * completed; 4050, 4051 after a piece was refused [S].  Completes 0; 4050
 * PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED; 4051
 * PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO; 1450 larger than the service allows
 * (64 MiB unless set otherwise); 995; 4057 [S].  Bytes: all, or 0.
 * Page: nf-peerdist-peerdistclientaddcontentinformation
 */
DWORD WINAPI PeerDistClientAddContentInformation(
	PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, DWORD cbNumberOfBytes,
	PBYTE pBuffer, LPOVERLAPPED lpOverlapped);

/*
 * Async.  Ends the feeding; reads and AddData are possible when it completed.
 *
 * Returns 997; 87; 6; service errors; 4060, 4050, 4051 as above [S].
 * Completes 0; 4050; 4051 also for missing or trailing bytes; 1450; 995; 4057
 * [S].  Bytes 0.  Page: nf-peerdist-peerdistclientcompletecontentinformation
 */
DWORD WINAPI PeerDistClientCompleteContentInformation(
	PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, LPOVERLAPPED lpOverlapped);

/*
 * Async.  Gives data from elsewhere to the cache, usually after 4052 or 1460.
 * Offset and OffsetHigh: its place in the whole content.  Any offset, any
 * length, overlaps and repeats are allowed.
 *
 * Returns 997; 87 (also for 0 bytes); 6; service errors; 4054
 * PEERDIST_ERROR_NOT_INITIALIZED content information is not complete; 4050,
 * 4051 it was refused: only closing the handle is left [S].  Completes 0; 13 a
 * block does not match its hash; 112; 1117 ERROR_IO_DEVICE; 4061 behind the end
 * of the content; 995; 4057; 8 [S].  Bytes: all, or 0.
 * Page: nf-peerdist-peerdistclientadddata
 */
DWORD WINAPI PeerDistClientAddData(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, DWORD cbNumberOfBytes,
	PBYTE pBuffer, LPOVERLAPPED lpOverlapped);

/*
 * Async.  Reads at Offset and OffsetHigh.  Completes as soon as any data is
 * there; does not fill the buffer (a read answers at most 1 MiB).
 * cbMaxNumberOfBytes 0 (pBuffer may be NULL) asks how many bytes the local
 * cache has from there on.  Any number may be outstanding, in any order.
 * dwTimeoutInMilliseconds: 0 to 0xFFFFFFFE, see the two constants above.
 *
 * Returns 997; 87 (also for INFINITE); 6; service errors; 4054, 4050, 4051 as
 * PeerDistClientAddData [S].  Completes 0: bytes, and offset where they start;
 * 4052 PEERDIST_ERROR_MISSING_DATA and 1460 ERROR_TIMEOUT: offset and bytes are
 * start and length of the missing range; 4053 outside of the content; 995;
 * 4057; 8 [S].  Page: nf-peerdist-peerdistclientblockread
 */
DWORD WINAPI PeerDistClientBlockRead(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, DWORD cbMaxNumberOfBytes,
	PBYTE pBuffer, DWORD dwTimeoutInMilliseconds,
	LPOVERLAPPED lpOverlapped);

/*
 * Async.  Reads at the handle's own position, which then moves on: by the
 * bytes read, or, on 4052 and 1460, over the missing range.  Several may be
 * outstanding; they are served in order.  Otherwise as
 * PeerDistClientBlockRead.  Page: nf-peerdist-peerdistclientstreamread
 */
DWORD WINAPI PeerDistClientStreamRead(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, DWORD cbMaxNumberOfBytes,
	PBYTE pBuffer, DWORD dwTimeoutInMilliseconds,
	LPOVERLAPPED lpOverlapped);

/*
 * Async.  Removes from the cache what this user put there under the tag.  An
 * unknown tag is fine.  Offset and OffsetHigh must be 0.
 *
 * Returns 997; 87; 6; service errors.  Completes 0; 1117; 995 (Shutdown only);
 * 4057 [S].  Bytes 0.  Page: nf-peerdist-peerdistclientflushcontent
 */
DWORD WINAPI PeerDistClientFlushContent(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PCPEERDIST_CONTENT_TAG pContentTag, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, LPOVERLAPPED lpOverlapped);

/*
 * Cancels one operation of the handle, or all of them when pOverlapped is NULL.
 * Returns only after the completions are delivered.  They are 995 unless an
 * operation ended otherwise before; sets last error 995.
 *
 * 0; 87; 6; service errors; 4059 there is none [S].
 * Page: nf-peerdist-peerdistclientcancelasyncoperation
 */
DWORD WINAPI PeerDistClientCancelAsyncOperation(
	PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle, LPOVERLAPPED pOverlapped);

#endif /* Windows 7 */

#if NTDDI_VERSION >= NTDDI_WIN8

#define PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION_1 ((DWORD)1)
#define PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION_2 ((DWORD)2)
#define PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION \
	PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION_2

/* Formats of content information that the requesting client can read.  cbSize
 * is the size of the structure; dwReserved 0. */
typedef struct peerdist_retrieval_options_tag {
	DWORD cbSize;
	DWORD dwContentInfoMinVersion;
	DWORD dwContentInfoMaxVersion;
	DWORD dwReserved;
} PEERDIST_RETRIEVAL_OPTIONS, *PPEERDIST_RETRIEVAL_OPTIONS;
typedef const PEERDIST_RETRIEVAL_OPTIONS *PCPEERDIST_RETRIEVAL_OPTIONS;

/* cbSize is set by the caller to the size of the structure. */
typedef struct peerdist_status_info_tag {
	DWORD cbSize;
	PEERDIST_STATUS status;
	DWORD dwMinVer; /* formats of content information in use */
	DWORD dwMaxVer;
} PEERDIST_STATUS_INFO, *PPEERDIST_STATUS_INFO;
typedef const PEERDIST_STATUS_INFO *PCPEERDIST_STATUS_INFO;

typedef enum _PEERDIST_CLIENT_INFO_BY_HANDLE_CLASS {
	PeerDistClientBasicInfo,
	MaximumPeerDistClientInfoByHandlesClass
} PEERDIST_CLIENT_INFO_BY_HANDLE_CLASS,
	*PPEERDIST_CLIENT_INFO_BY_HANDLE_CLASS;

typedef struct _PEERDIST_CLIENT_BASIC_INFO {
	BOOL fFlashCrowd; /* many fetch this content right now: retry soon */
} PEERDIST_CLIENT_BASIC_INFO, *PPEERDIST_CLIENT_BASIC_INFO;

/*
 * As PeerDistGetStatus, with the formats of content information.  cbSize must
 * be set.
 *
 * 0; 87; 6 [L].  Page: nf-peerdist-peerdistgetstatusex
 */
DWORD WINAPI PeerDistGetStatusEx(PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_STATUS_INFO *pPeerDistStatus);

/*
 * Async.  As PeerDistRegisterForStatusChangeNotification, with the formats.
 * cbSize must be set.  Success is 997 here too.
 * Page: nf-peerdist-peerdistregisterforstatuschangenotificationex
 */
DWORD WINAPI PeerDistRegisterForStatusChangeNotificationEx(
	PEERDIST_INSTANCE_HANDLE hPeerDist, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, LPOVERLAPPED lpOverlapped,
	PEERDIST_STATUS_INFO *pPeerDistStatus);

/*
 * Result of an operation, local [L].  bWait: wait for it, whether or not
 * there is an event; an event is left as it is.  TRUE when it completed with
 * 0; otherwise FALSE and the last error is its code, or 996
 * ERROR_IO_INCOMPLETE while it is pending, or 87.
 * *lpNumberOfBytesTransferred is written whenever it has completed.
 * Page: nf-peerdist-peerdistgetoverlappedresult
 */
BOOL WINAPI PeerDistGetOverlappedResult(LPOVERLAPPED lpOverlapped,
	LPDWORD lpNumberOfBytesTransferred, BOOL bWait);

/*
 * As PeerDistServerOpenContentInformation, in the highest format that was
 * built within the bounds of pRetrievalOptions (not NULL; cbSize set, versions
 * 1 or 2, minimum not above maximum, dwReserved 0; else 87 [L]); 4050 none [S].
 * Page: nf-peerdist-peerdistserveropencontentinformationex
 */
DWORD WINAPI PeerDistServerOpenContentInformationEx(
	PEERDIST_INSTANCE_HANDLE hPeerDist, DWORD cbContentIdentifier,
	PBYTE pContentIdentifier, ULONGLONG ullContentOffset,
	ULONGLONG cbContentLength,
	PEERDIST_RETRIEVAL_OPTIONS *pRetrievalOptions, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, PPEERDIST_CONTENTINFO_HANDLE phContentInfo);

/*
 * Asks about a consumer object.  The only class is PeerDistClientBasicInfo,
 * lpInformation a PEERDIST_CLIENT_BASIC_INFO.
 *
 * 0; 87; 122 ERROR_INSUFFICIENT_BUFFER [L]; 6; service errors [S].
 * Page: nf-peerdist-peerdistclientgetinformationbyhandle
 */
DWORD WINAPI PeerDistClientGetInformationByHandle(
	PEERDIST_INSTANCE_HANDLE hPeerDist,
	PEERDIST_CONTENT_HANDLE hContentHandle,
	PEERDIST_CLIENT_INFO_BY_HANDLE_CLASS PeerDistClientInfoClass,
	DWORD dwBufferSize, LPVOID lpInformation);

#endif /* Windows 8 */

#if NTDDI_VERSION >= NTDDI_WIN7

/* An addition of this library: what pdw_ServerPublishFile publishes. */
typedef struct _PDW_PUBLISH_FILE {
	DWORD cbSize; /* of this structure */
	DWORD cbContentIdentifier;
	const BYTE *pContentIdentifier;
	int fd; /* of a regular file, open for reading; stays the caller's */
	ULONGLONG ullOffset;
	ULONGLONG ullLength; /* 0: to the end of the file */
	const PEERDIST_PUBLICATION_OPTIONS *pOptions; /* may be NULL */
} PDW_PUBLISH_FILE, *PPDW_PUBLISH_FILE;

/*
 * Async, Linux only.  Publishes (part of) a file in one operation, without the
 * bytes passing through the caller: the service reads it from the descriptor,
 * except on file systems that can stall (FUSE, network), where a thread of the
 * library does.  Structure and identifier are copied; the descriptor may be
 * closed as soon as the call returned.  The file must not change meanwhile.
 * Offset and OffsetHigh must be 0.  Cancel it by
 * PeerDistServerCancelAsyncOperation; there is no handle to close.
 *
 * Returns 997; 87 (also: not a regular file); 6 (also: not a descriptor);
 * service errors; 4058; 4061 the range is not inside; 13 there is nothing in
 * it; 1117 the file's size could not be read [S].  Completes 0; 13 the file
 * changed; 112; 1117 it could not be read; 995; 4057; 8 [L, S].  Bytes 0.
 */
DWORD WINAPI pdw_ServerPublishFile(PEERDIST_INSTANCE_HANDLE hPeerDist,
	const PDW_PUBLISH_FILE *pFile, HANDLE hCompletionPort,
	ULONG_PTR ulCompletionKey, LPOVERLAPPED lpOverlapped);

#endif

#if NTDDI_VERSION >= NTDDI_WIN8
#define PEERDIST_ASSERT_SIZE_(type, size) \
	PEERDIST_STATIC_ASSERT_(sizeof(type) == (size), #type)
#ifdef __cplusplus
#define PEERDIST_STATIC_ASSERT_ static_assert
#else
#define PEERDIST_STATIC_ASSERT_ _Static_assert
#endif
PEERDIST_ASSERT_SIZE_(PEERDIST_PUBLICATION_OPTIONS, 8);
PEERDIST_ASSERT_SIZE_(PEERDIST_CONTENT_TAG, 16);
PEERDIST_ASSERT_SIZE_(PEERDIST_RETRIEVAL_OPTIONS, 16);
PEERDIST_ASSERT_SIZE_(PEERDIST_STATUS, 4);
PEERDIST_ASSERT_SIZE_(PEERDIST_STATUS_INFO, 16);
PEERDIST_ASSERT_SIZE_(PEERDIST_CLIENT_BASIC_INFO, 4);
#endif

#ifdef __cplusplus
}
#endif

#endif
