# SPDX-License-Identifier: BSD-2-Clause
# One non-recursive Makefile.  Each folder's module.mk lists its files, one per
# line, sorted, and adds what it builds to PROGRAMS, LIBRARIES or the install
# lists.  All output goes to $(B).

include config.mk

.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

# What the modules add to.  PROGRAMS are installed from here; for the rest a
# module has a rule install-X, which it names in INSTALL_TARGETS.
PROGRAMS :=
LIBRARIES :=
CHECK_PROGRAMS :=
GENERATED_HEADERS :=
INSTALL_TARGETS := install-man

include common/module.mk
include codec/module.mk
include proto/module.mk
include daemon/module.mk
include libclient/module.mk
include ctl/module.mk
include get/module.mk
include bench/module.mk
include man/module.mk
include systemd/module.mk
include tests/module.mk

# Without -j of one's own, as many jobs as there are CPUs.
JOBS := $(shell nproc)
submake = +$(Q)$(MAKE) --no-print-directory \
	$(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

.PHONY: all build clean deps
all: deps
	$(submake) build
build: $(PROGRAMS) $(LIBRARIES)

deps:
	$(Q).ci/deps

clean:
	rm -rf $(B)

# Objects.  Generated headers come before everything that includes them.
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

$(B)/obj/%.o: %.c | $(GENERATED_HEADERS)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(B)/obj/gen/%.o: $(B)/gen/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

# $(call static_library,NAME,OBJECTS)
define static_library
$(B)/lib$(1).a: $(2)
	$$(call say,AR,$$@)
	$(Q)rm -f $$@ && $(AR) rcs $$@ $$^
endef
$(eval $(call static_library,common,$(call obj,$(common_SRC))))
$(eval $(call static_library,codec,$(call obj,$(codec_SRC))))
$(eval $(call static_library,proto,$(call obj,$(proto_SRC)) $(proto_GEN_OBJ)))
$(eval $(call static_library,core,$(call obj,$(core_SRC))))
$(eval $(call static_library,store,$(call obj,$(store_SRC))))
$(eval $(call static_library,net,$(call obj,$(net_SRC))))
$(eval $(call static_library,api,$(call obj,$(api_SRC))))
$(eval $(call static_library,daemon,$(call obj,$(filter-out daemon/main.c,$(daemon_SRC)))))

DAEMON_ARCHIVES := $(B)/libdaemon.a $(B)/libapi.a $(B)/libnet.a \
	$(B)/libstore.a $(B)/libcore.a $(B)/libproto.a $(B)/libcodec.a \
	$(B)/libcommon.a
DAEMON_LIBS = $(EVENT_LIBS) $(EXPAT_LIBS) $(HTTP_PARSER_LIBS) $(PROTOBUF_LIBS) $(SYSTEMD_LIBS) $(LMDB_LIBS) $(XXHASH_LIBS) \
	$(INIH_LIBS) $(CRYPTO_LIBS) -lpthread

$(B)/peerdistd: $(call obj,daemon/main.c) $(DAEMON_ARCHIVES)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(DAEMON_ARCHIVES) -Wl,--end-group $(DAEMON_LIBS)

# Install.
INSTALL ?= install
SBIN_PROGRAMS := $(B)/peerdistd
.PHONY: install install-programs $(INSTALL_TARGETS)
install: install-programs $(INSTALL_TARGETS)

install-programs: build
	$(Q)$(INSTALL) -d $(DESTDIR)$(sbindir) $(DESTDIR)$(bindir)
	$(Q)$(INSTALL) -m 755 $(filter $(SBIN_PROGRAMS),$(PROGRAMS)) \
		$(DESTDIR)$(sbindir)
	$(Q)set -- $(filter-out $(SBIN_PROGRAMS),$(PROGRAMS)); \
		test $$# = 0 || $(INSTALL) -m 755 "$$@" $(DESTDIR)$(bindir)
