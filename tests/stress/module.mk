# SPDX-License-Identifier: BSD-2-Clause
stress_SRC := \
	tests/stress/cancel_race.c

CHECK_PROGRAMS += $(B)/tests/stress/cancel_race

$(B)/obj/tests/stress/%.o: CPPFLAGS += -Ilibclient

$(B)/tests/stress/cancel_race: $(stress_SRC:%.c=$(B)/obj/%.o) \
		$(API_SUPPORT) $(CLIENT_ARCHIVES)
	$(call link_client)
