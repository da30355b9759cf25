# SPDX-License-Identifier: BSD-2-Clause
INSTALL_TARGETS += install-systemd

.PHONY: install-systemd
install-systemd:
	$(Q)install -d $(DESTDIR)$(unitdir) $(DESTDIR)$(sysusersdir) \
		$(DESTDIR)$(tmpfilesdir)
	$(Q)sed 's|/usr/sbin/peerdistd|$(sbindir)/peerdistd|' \
		systemd/peerdistd.service > $(DESTDIR)$(unitdir)/peerdistd.service
	$(Q)chmod 644 $(DESTDIR)$(unitdir)/peerdistd.service
	$(Q)install -m 644 systemd/peerdistd.socket $(DESTDIR)$(unitdir)
	$(Q)install -m 644 systemd/peerdistd.sysusers \
		$(DESTDIR)$(sysusersdir)/peerdistd.conf
	$(Q)install -m 644 systemd/peerdistd.tmpfiles \
		$(DESTDIR)$(tmpfilesdir)/peerdistd.conf
