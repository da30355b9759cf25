# SPDX-License-Identifier: BSD-2-Clause
libclient_SRC := \
	libclient/api_async.c \
	libclient/api_common.c \
	libclient/api_content.c \
	libclient/api_server.c \
	libclient/api_service.c \
	libclient/area.c \
	libclient/conn.c \
	libclient/conn_call.c \
	libclient/conn_feed.c \
	libclient/conn_recv.c \
	libclient/event.c \
	libclient/file.c \
	libclient/handle.c \
	libclient/pending.c \
	libclient/port.c \
	libclient/slab.c \
	libclient/status.c \
	libclient/util.c \
	libclient/win32.c

libclient_NAME := libpeerdist-client
libclient_SONAME := $(libclient_NAME).so.$(SO_MAJOR)
libclient_FILE := $(libclient_SONAME).0.0
libclient_MAP := libclient/$(libclient_NAME).map
libclient_HEADERS := \
	libclient/peerdist.h \
	libclient/peerdist_port.h \
	libclient/peerdist_types.h \
	proto/peerdist_errors.h
libclient_WIN32_HEADERS := $(sort $(wildcard libclient/win32/*.h))
libclient_OBJ = $(patsubst %.c,$(B)/obj/%.o,$(libclient_SRC))
# What goes in: the library's own objects, and of the others what they use.
libclient_ARCHIVES := $(B)/libproto.a $(B)/libcommon.a

INSTALL_TARGETS += install-libclient
LIBRARIES += $(B)/$(libclient_NAME).so $(B)/$(libclient_NAME).a \
	$(B)/$(libclient_NAME).pc $(B)/$(libclient_NAME)-win32.pc

$(B)/$(libclient_FILE): $(libclient_OBJ) $(libclient_ARCHIVES) $(libclient_MAP)
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(filter-out -pie,$(LDFLAGS_ALL)) \
		-Wl,-soname,$(libclient_SONAME) -Wl,-z,nodelete \
		-Wl,--version-script=$(libclient_MAP) -Wl,--no-undefined-version \
		-o $@ $(libclient_OBJ) $(libclient_ARCHIVES) \
		$(PROTOBUF_LIBS) -lpthread

$(B)/$(libclient_SONAME): $(B)/$(libclient_FILE)
	$(Q)ln -sf $(libclient_FILE) $@

$(B)/$(libclient_NAME).so: $(B)/$(libclient_SONAME)
	$(Q)ln -sf $(libclient_SONAME) $@

# One object in which only the public names are left, so that nothing of ours
# meets the names of a program that links it statically.
$(B)/$(libclient_NAME).names: $(libclient_MAP)
	@mkdir -p $(@D)
	$(Q)sed -n '/^global:/,/^local:/s/^[[:space:]]\([A-Za-z_0-9]*\);$$/\1/p' $< >$@

$(B)/$(libclient_NAME).a: $(libclient_OBJ) $(libclient_ARCHIVES) $(B)/$(libclient_NAME).names
	$(call say,AR,$@)
	$(Q)$(CC) -r -nostdlib -o $(B)/$(libclient_NAME).o $(libclient_OBJ) \
		$(libclient_ARCHIVES)
	$(Q)objcopy --keep-global-symbols=$(B)/$(libclient_NAME).names \
		$(B)/$(libclient_NAME).o
	$(Q)rm -f $@ && $(AR) rcs $@ $(B)/$(libclient_NAME).o

# The folders may be named at `make install` only: made anew when they differ.
libclient_dir = $(patsubst $(prefix)/%,$${prefix}/%,$(1))
$(B)/$(libclient_NAME).pc $(B)/$(libclient_NAME)-win32.pc: \
		$(B)/%.pc: libclient/%.pc.in FORCE
	@mkdir -p $(@D)
	@sed -e 's|@prefix@|$(prefix)|' \
		-e 's|@libdir@|$(call libclient_dir,$(libdir))|' \
		-e 's|@includedir@|$(call libclient_dir,$(includedir))|' \
		-e 's|@version@|$(VERSION)|' $< >$@.new
	@cmp -s $@.new $@ && rm -f $@.new || mv $@.new $@
.PHONY: FORCE

# For the unit tests, which look inside.
$(B)/libclient.a: $(libclient_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

libclient_TESTS := event handle_table lib_calls lib_fail lib_file lib_loss \
	lib_shutdown lib_side lib_slices lib_status lib_text pending port
$(foreach t,$(libclient_TESTS),$(eval test_$(t)_LIBS := proto common)\
	$(eval test_$(t)_EXTRA := $(B)/obj/tests/unit/lib_daemon.o \
	$(B)/libclient.a)\
	$(eval $(B)/obj/tests/unit/test_$(t).o: CPPFLAGS += -Ilibclient))
$(B)/tests/unit/test_lib_file: LDFLAGS += -Wl,--wrap=fstatfs
$(B)/tests/unit/test_lib_side: LDFLAGS += -Wl,--wrap=mremap
$(B)/obj/tests/unit/lib_daemon.o: CPPFLAGS += -Ilibclient

.PHONY: install-libclient
install-libclient: $(B)/$(libclient_NAME).so $(B)/$(libclient_NAME).a \
		$(B)/$(libclient_NAME).pc $(B)/$(libclient_NAME)-win32.pc
	install -d $(DESTDIR)$(libdir)/pkgconfig \
		$(DESTDIR)$(includedir)/peerdist/win32
	install -m 0644 $(B)/$(libclient_FILE) $(DESTDIR)$(libdir)
	ln -sf $(libclient_FILE) $(DESTDIR)$(libdir)/$(libclient_SONAME)
	ln -sf $(libclient_SONAME) $(DESTDIR)$(libdir)/$(libclient_NAME).so
	install -m 0644 $(B)/$(libclient_NAME).a $(DESTDIR)$(libdir)
	install -m 0644 $(B)/$(libclient_NAME).pc \
		$(B)/$(libclient_NAME)-win32.pc $(DESTDIR)$(libdir)/pkgconfig
	install -m 0644 $(libclient_HEADERS) $(DESTDIR)$(includedir)/peerdist
	install -m 0644 $(libclient_WIN32_HEADERS) \
		$(DESTDIR)$(includedir)/peerdist/win32
