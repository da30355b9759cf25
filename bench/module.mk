# SPDX-License-Identifier: BSD-2-Clause
# Programs of the benchmarks; bench/run starts them and prints the table.
bench_PROGRAMS := \
	api \
	cache \
	fill_index \
	probe \
	publish \
	raw \
	skeleton \
	yard_bus \
	yard_hash \
	yard_pread \
	yard_socket \
	yard_uring

BENCH_PROGRAMS := $(bench_PROGRAMS:%=$(B)/bench/%)
BENCH_ARCHIVES := $(B)/libproto.a $(B)/libcodec.a $(B)/libcommon.a

# Through the public library.
BENCH_CLIENTS := $(B)/bench/api $(B)/bench/cache
$(BENCH_CLIENTS:$(B)/%=$(B)/obj/%.o) $(B)/obj/bench/client.o: \
	CPPFLAGS += -Ilibclient
$(BENCH_CLIENTS): BENCH_CLIENT := $(B)/libpeerdist-client.a
$(BENCH_CLIENTS): $(B)/obj/bench/client.o $(B)/libpeerdist-client.a
$(B)/bench/cache $(B)/bench/fill_index $(B)/bench/probe: \
	$(B)/obj/bench/made_up.o
$(B)/bench/fill_index: BENCH_STORE := $(B)/libstore.a
$(B)/bench/fill_index: $(B)/libstore.a

$(BENCH_PROGRAMS): $(B)/bench/%: $(B)/obj/bench/%.o $(B)/obj/bench/frames.o \
		$(BENCH_ARCHIVES)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(BENCH_CLIENT) \
		-Wl,--start-group $(BENCH_STORE) $(BENCH_ARCHIVES) \
		-Wl,--end-group \
		-Wl,--as-needed $(PROTOBUF_LIBS) $(CRYPTO_LIBS) \
		$(LMDB_LIBS) $(XXHASH_LIBS) $(EVENT_LIBS) $(EXPAT_LIBS) $(HTTP_PARSER_LIBS) $(SYSTEMD_LIBS) \
		-lpthread

.PHONY: bench bench-build bench-deps
bench: deps bench-deps
	$(submake) bench-build
	$(Q)bench/run --build $(B) --only "$(ONLY)"
bench-build: build $(BENCH_PROGRAMS)
bench-deps:
	$(Q)bench/deps
