# SPDX-License-Identifier: BSD-2-Clause
# The pages, one per line, sorted, and what puts them in place.  A page that is
# one .so line stands for a function that shares another's page.
man_PAGES := \
	man/PeerDistClientAddContentInformation.3 \
	man/PeerDistClientAddData.3 \
	man/PeerDistClientBlockRead.3 \
	man/PeerDistClientCancelAsyncOperation.3 \
	man/PeerDistClientCloseContent.3 \
	man/PeerDistClientCompleteContentInformation.3 \
	man/PeerDistClientFlushContent.3 \
	man/PeerDistClientGetInformationByHandle.3 \
	man/PeerDistClientOpenContent.3 \
	man/PeerDistClientStreamRead.3 \
	man/PeerDistGetOverlappedResult.3 \
	man/PeerDistGetStatus.3 \
	man/PeerDistGetStatusEx.3 \
	man/PeerDistRegisterForStatusChangeNotification.3 \
	man/PeerDistRegisterForStatusChangeNotificationEx.3 \
	man/PeerDistServerCancelAsyncOperation.3 \
	man/PeerDistServerCloseContentInformation.3 \
	man/PeerDistServerCloseStreamHandle.3 \
	man/PeerDistServerOpenContentInformation.3 \
	man/PeerDistServerOpenContentInformationEx.3 \
	man/PeerDistServerPublishAddToStream.3 \
	man/PeerDistServerPublishCompleteStream.3 \
	man/PeerDistServerPublishStream.3 \
	man/PeerDistServerRetrieveContentInformation.3 \
	man/PeerDistServerUnpublish.3 \
	man/PeerDistShutdown.3 \
	man/PeerDistStartup.3 \
	man/PeerDistUnregisterForStatusChangeNotification.3 \
	man/pdw_ServerPublishFile.3 \
	man/pdw_event_fd.3 \
	man/pdw_port_fd.3 \
	man/peerdist-get.1 \
	man/peerdist.3 \
	man/peerdist_async.7 \
	man/peerdistctl.8 \
	man/peerdistd.8 \
	man/peerdistd.conf.5

.PHONY: install-man
install-man:
	$(Q)for page in $(man_PAGES); do \
		dir=$(DESTDIR)$(mandir)/man$${page##*.}; \
		install -d "$$dir" && install -m 644 "$$page" "$$dir" || exit 1; \
	done
