# SPDX-License-Identifier: BSD-2-Clause
proto_SRC := \
	proto/ipc_call.c \
	proto/ipc_chan.c \
	proto/ipc_msg.c

proto_GEN_OBJ := $(B)/obj/gen/peerdist.pb-c.o
GENERATED_HEADERS += $(B)/gen/peerdist.pb-c.h

$(B)/gen/peerdist.pb-c.c $(B)/gen/peerdist.pb-c.h &: proto/peerdist.proto
	$(call say,PROTOC,$<)
	@mkdir -p $(B)/gen
	$(Q)$(PROTOC_C) --c_out=$(B)/gen -Iproto $<

# Bounds of bodies need no connection.
test_ipc_admin_LIBS := proto common
