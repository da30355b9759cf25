# SPDX-License-Identifier: BSD-2-Clause
# tests/unit/test_X.c and tests/fuzz/fuzz_X.c are found by name: adding a file is
# enough.  Each is linked with the archives that the folder of its module may
# use: test_op.c belongs to daemon/core/op.c, test_pccrc.c to codec/pccrc_*.c.
# One without such a module gets all archives.  To choose otherwise, set
#	test_X_LIBS := common codec	or fuzz_X_LIBS
# in the module's own module.mk; test_X_EXTRA names further objects or archives.

NEEDS_common := common
NEEDS_codec := codec common
NEEDS_proto := proto common
NEEDS_core := core store codec common
NEEDS_store := $(NEEDS_core)
NEEDS_net := net $(NEEDS_core)
NEEDS_api := api proto $(NEEDS_core)
NEEDS_daemon := daemon api net core store proto codec common

FOLDER_common := common
FOLDER_codec := codec
FOLDER_proto := proto
FOLDER_core := daemon/core
FOLDER_store := daemon/store
FOLDER_net := daemon/net
FOLDER_api := daemon/api
ARCHIVES := common codec proto core store net api

# $(call archives_of,X): by the folder in which X.c or X_*.c is.
archives_of = $(or $(strip $(foreach a,$(ARCHIVES),$(if \
	$(wildcard $(FOLDER_$(a))/$(1).[ch] $(FOLDER_$(a))/$(1)_*.c),\
	$(NEEDS_$(a))))),$(NEEDS_daemon))
# An archive with a source that does not exist yet cannot be built.
buildable = $(if $(strip $($(1)_SRC)),$(if $(filter-out \
	$(wildcard $($(1)_SRC)),$($(1)_SRC)),,$(1)))
archive_files = $(patsubst %,$(B)/lib%.a,$(foreach a,$(1),$(call buildable,$(a))))

comma := ,
ALLOC_WRAP := $(patsubst %,-Wl$(comma)--wrap=%,malloc calloc realloc strdup \
	strndup asprintf vasprintf __asprintf_chk __vasprintf_chk mmap)
TEST_LIBS = -Wl,--as-needed $(DAEMON_LIBS) $(JANSSON_LIBS) $(CMOCKA_LIBS)
link_test = $(Q)$(CC) $(LDFLAGS_ALL) $(1) -o $@ -Wl,--start-group $^ \
	-Wl,--end-group $(TEST_LIBS)

UNIT_NAMES := $(patsubst tests/unit/test_%.c,%,$(wildcard tests/unit/test_*.c))
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
UNIT_TESTS := $(UNIT_NAMES:%=$(B)/tests/unit/test_%)
FUZZ_REPLAYS := $(FUZZ_NAMES:%=$(B)/tests/fuzz/replay_%)

define unit_test
$(B)/tests/unit/test_$(1): $(B)/obj/tests/unit/test_$(1).o \
		$(B)/obj/tests/unit/failalloc.o $(test_$(1)_EXTRA) \
		$(call archive_files,$(or $(test_$(1)_LIBS),$(call archives_of,$(1))))
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$$(call link_test,$$(ALLOC_WRAP))
endef
$(foreach t,$(UNIT_NAMES),$(eval $(call unit_test,$(t))))

define fuzz_test
FUZZ_ARCHIVES_$(1) := $(fuzz_$(1)_EXTRA) \
	$(call archive_files,$(or $(fuzz_$(1)_LIBS),$(call archives_of,$(1))))
$(B)/tests/fuzz/replay_$(1): $(B)/obj/tests/fuzz/fuzz_$(1).o \
		$(B)/obj/tests/fuzz/replay.o $$(FUZZ_ARCHIVES_$(1))
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$$(call link_test)
$(B)/tests/fuzz/fuzz_$(1): $(B)/obj/tests/fuzz/fuzz_$(1).o \
		$$(FUZZ_ARCHIVES_$(1))
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$$(call link_test,-fsanitize=fuzzer)
endef
$(foreach t,$(FUZZ_NAMES),$(eval $(call fuzz_test,$(t))))

# tests/NAME/module.mk may add programs to CHECK_PROGRAMS; an executable
# tests/NAME/run is then part of `make check`, see tests/run.
include $(wildcard tests/*/module.mk)

# Checks.  ONLY="unit/* lint/style" runs some.
RUN = +$(Q)tests/run --build $(B) --san "$(SAN)" --only "$(ONLY)"
.PHONY: check check-run check-build check-style check-layers check-man soak fuzz
check: deps
	$(submake) check-build
	$(submake) check-run
check-build: build $(UNIT_TESTS) $(FUZZ_REPLAYS) $(CHECK_PROGRAMS)
check-run:
	$(RUN) $(UNIT_TESTS) $(FUZZ_REPLAYS)
# What the checks of the sources need to compile headers.
check-run check-layers: export CC := $(CC)
check-run check-layers: export CPPFLAGS := $(CPPFLAGS)
check-run check-layers: $(GENERATED_HEADERS)
check-style check-layers check-man:
	$(Q)tests/lint/$@

soak:
	+$(Q)tests/run-soak $(or $(MINUTES),60)

# make fuzz NAME=X SECONDS=N; new inputs are kept in the build folder.
FUZZ_BUILD := $(if $(filter file,$(origin B)),build-fuzz,$(B))
fuzz:
	$(Q)test -n "$(NAME)" || { echo "fuzz: NAME= one of $(FUZZ_NAMES)"; exit 2; }
	$(submake) B=$(FUZZ_BUILD) FUZZ=1 CC=clang \
		$(FUZZ_BUILD)/tests/fuzz/fuzz_$(NAME)
	$(Q)mkdir -p $(FUZZ_BUILD)/corpus/$(NAME)
	$(Q)$(FUZZ_BUILD)/tests/fuzz/fuzz_$(NAME) -timeout=20 \
		-max_total_time=$(or $(SECONDS),60) -print_final_stats=1 \
		-artifact_prefix=$(FUZZ_BUILD)/corpus/$(NAME)- \
		$(FUZZ_BUILD)/corpus/$(NAME) tests/fuzz/corpus/$(NAME)
