# SPDX-License-Identifier: BSD-2-Clause
sim_SRC := \
	tests/sim/app.c \
	tests/sim/clock.c \
	tests/sim/datagrams.c \
	tests/sim/host.c \
	tests/sim/origin.c \
	tests/sim/report.c \
	tests/sim/retrieval.c \
	tests/sim/sim.c \
	tests/sim/sim_store.c

CHECK_PROGRAMS += $(B)/tests/sim/sim

$(B)/tests/sim/sim: $(sim_SRC:%.c=$(B)/obj/%.o) \
		$(patsubst %,$(B)/lib%.a,$(NEEDS_core))
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(call link_test)
