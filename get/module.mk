# SPDX-License-Identifier: BSD-2-Clause
get_SRC := \
	get/branch.c \
	get/described.c \
	get/fill.c \
	get/fill_add.c \
	get/fill_fetch.c \
	get/get.c \
	get/get_answer.c \
	get/get_share.c \
	get/give.c \
	get/main.c \
	get/origin.c \
	get/part.c \
	get/ranges.c \
	get/report.c \
	get/url.c

get_OBJ := $(get_SRC:%.c=$(B)/obj/%.o)
GET_ARCHIVES := $(B)/libcodec.a $(B)/libcommon.a

PROGRAMS += $(B)/peerdist-get
INSTALL_TARGETS += install-get

$(get_OBJ): CPPFLAGS += -Ilibclient -Iproto

# Linked like any program of a user.  $(1): where the library is at run time, as
# far as the system does not know.
link_get = $(CC) $(LDFLAGS_ALL) -o $@ $(get_OBJ) $(GET_ARCHIVES) -L$(B) \
	-lpeerdist-client $(1) $(CURL_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) \
	-lpthread

$(B)/peerdist-get: $(get_OBJ) $(GET_ARCHIVES) $(B)/$(libclient_NAME).so
	$(call say,LD,$@)
	$(Q)$(call link_get,-Wl$(comma)-rpath$(comma)'$$ORIGIN')

# The installed one looks for the library where that was installed.
$(B)/get/peerdist-get: $(B)/peerdist-get FORCE
	@mkdir -p $(@D)
	$(Q)$(call link_get,$(if $(filter /usr/lib%,$(libdir)),,-Wl$(comma)-rpath$(comma)$(libdir)))

.PHONY: install-get
install-get: install-programs $(B)/get/peerdist-get
	$(Q)install -m 755 $(B)/get/peerdist-get $(DESTDIR)$(bindir)
	$(Q)install -d $(DESTDIR)$(bashcompdir)
	$(Q)install -m 644 get/completion.bash \
		$(DESTDIR)$(bashcompdir)/peerdist-get

test_get_described_EXTRA := $(B)/obj/get/described.o
test_get_described_LIBS := codec common
test_get_part_EXTRA := $(B)/obj/get/part.o
test_get_part_LIBS := common
test_get_ranges_EXTRA := $(B)/obj/get/ranges.o
test_get_ranges_LIBS := common
test_get_url_EXTRA := $(B)/obj/get/url.o
test_get_url_LIBS := common
$(B)/tests/unit/test_get_url: LDFLAGS += -Wl,--no-as-needed $(CURL_LIBS)
