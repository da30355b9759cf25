# SPDX-License-Identifier: BSD-2-Clause
ctl_SRC := \
	ctl/ask.c \
	ctl/caches.c \
	ctl/cmd_cache.c \
	ctl/cmd_ci.c \
	ctl/cmd_config.c \
	ctl/cmd_explain.c \
	ctl/cmd_mode.c \
	ctl/cmd_ops.c \
	ctl/cmd_peers.c \
	ctl/cmd_probe.c \
	ctl/cmd_publish.c \
	ctl/cmd_published.c \
	ctl/cmd_secret.c \
	ctl/cmd_status.c \
	ctl/explain.c \
	ctl/explain_table.c \
	ctl/explain_url.c \
	ctl/findings.c \
	ctl/info_file.c \
	ctl/main.c \
	ctl/origin.c \
	ctl/origin_answer.c \
	ctl/out_json.c \
	ctl/out_text.c \
	ctl/pages.c \
	ctl/passphrase.c \
	ctl/progress.c \
	ctl/publish.c \
	ctl/walk.c

PROGRAMS += $(B)/peerdistctl
CTL_ARCHIVES := $(B)/libproto.a $(B)/libcodec.a $(B)/libcommon.a

$(B)/peerdistctl: $(ctl_SRC:%.c=$(B)/obj/%.o) $(CTL_ARCHIVES)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PROTOBUF_LIBS) $(JANSSON_LIBS) \
		$(CRYPTO_LIBS) $(CURL_LIBS) -lpthread

test_explain_EXTRA := $(B)/obj/ctl/explain.o
test_explain_LIBS := codec common
test_findings_EXTRA := $(B)/obj/ctl/findings.o $(B)/obj/ctl/origin_answer.o
test_findings_LIBS := codec common

INSTALL_TARGETS += install-completion

.PHONY: install-completion
install-completion:
	$(Q)install -d $(DESTDIR)$(bashcompdir)
	$(Q)install -m 644 ctl/completion.bash \
		$(DESTDIR)$(bashcompdir)/peerdistctl
