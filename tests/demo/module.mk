# SPDX-License-Identifier: BSD-2-Clause
demo_PROGRAMS := \
	$(B)/tests/demo/consumer \
	$(B)/tests/demo/publisher

CHECK_PROGRAMS += $(demo_PROGRAMS)

$(B)/obj/tests/demo/%.o: CPPFLAGS += -Ilibclient

$(demo_PROGRAMS): $(B)/tests/demo/%: $(B)/obj/tests/demo/%.o \
		$(B)/obj/tests/demo/common.o $(CLIENT_ARCHIVES)
	$(call link_client)

.PHONY: demo
demo: deps
	$(submake) build $(demo_PROGRAMS)
	$(Q)B=$(B) tests/demo/run
