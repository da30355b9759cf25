# SPDX-License-Identifier: BSD-2-Clause
# Programs that use only the public headers; tests/stress and tests/demo share
# their helpers.
api_TESTS := \
	args \
	consume \
	disk \
	outage \
	publish \
	reads \
	users

api_SUPPORT_SRC := \
	tests/api/content.c \
	tests/api/daemon.c \
	tests/api/observe.c \
	tests/api/support.c

# Objects are spelled out: these are needed while the files are read.
API_SUPPORT := $(api_SUPPORT_SRC:%.c=$(B)/obj/%.o)
CLIENT_ARCHIVES := $(B)/libpeerdist-client.a
CLIENT_LIBS = $(PROTOBUF_LIBS) -lpthread
API_PROGRAMS := $(api_TESTS:%=$(B)/tests/api/%)
CHECK_PROGRAMS += $(API_PROGRAMS)

$(B)/obj/tests/api/%.o: CPPFLAGS += -Ilibclient

define link_client
$(call say,LD,$@)
@mkdir -p $(@D)
$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(CLIENT_LIBS)
endef

$(API_PROGRAMS): $(B)/tests/api/%: $(B)/obj/tests/api/%.o $(API_SUPPORT) \
		$(CLIENT_ARCHIVES)
	$(call link_client)
