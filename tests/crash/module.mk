# SPDX-License-Identifier: BSD-2-Clause
CRASH_SHIM := $(B)/tests/crash/shim.so
CHECK_PROGRAMS += $(CRASH_SHIM)

# Preloaded, so it is as little instrumented as what it stands before.
$(CRASH_SHIM): tests/crash/shim.c
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -fPIC -std=gnu11 -O1 -Wall -Wextra -o $@ $< -ldl -pthread
