# SPDX-License-Identifier: BSD-2-Clause
# Compiler, flags, library look-ups, folders and switches.  Every variable may
# be set on the command line.
#   SAN=1     address and undefined-behaviour sanitizers
#   SAN=thread  thread sanitizer
#   FUZZ=1    build for libFuzzer (needs CC=clang)
#   WERROR=1  warnings are errors (CI)
#   V=1       print the commands
#   B=DIR     the build folder; one for each set of switches

V ?= 0
SAN ?=
FUZZ ?=
WERROR ?=
B ?= build$(if $(FUZZ),-fuzz)$(if $(SAN),$(if $(filter thread,$(SAN)),-tsan,-san))

VERSION := 0.4.0
SO_MAJOR := 1

ifeq ($(origin CC),default)
CC := gcc
endif
PKG_CONFIG ?= pkg-config
PROTOC_C ?= protoc-c
PYTHON := /usr/bin/python3

PREFIX ?= /usr/local
prefix ?= $(PREFIX)
bindir ?= $(prefix)/bin
sbindir ?= $(prefix)/sbin
libdir ?= $(prefix)/lib
includedir ?= $(prefix)/include
mandir ?= $(prefix)/share/man
bashcompdir ?= $(prefix)/share/bash-completion/completions
unitdir ?= $(prefix)/lib/systemd/system
sysusersdir ?= $(prefix)/lib/sysusers.d
tmpfilesdir ?= $(prefix)/lib/tmpfiles.d

CPPFLAGS += -D_GNU_SOURCE -I. -Iproto -I$(B)/gen -DPEERDIST_VERSION_STRING='"$(VERSION)"'
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -Wformat=2 -Wno-unused-parameter
ifneq ($(WERROR),)
WARN += -Werror
endif
OPT ?= -O2 -g
HARDEN := -fstack-protector-strong -fstack-clash-protection -fPIC
LDHARDEN := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
SANFLAGS :=
ifeq ($(SAN),1)
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
OPT := -O1 -g
else ifeq ($(SAN),thread)
SANFLAGS := -fsanitize=thread -fno-omit-frame-pointer
OPT := -O1 -g
else
HARDEN += -D_FORTIFY_SOURCE=2
endif
ifneq ($(FUZZ),)
SANFLAGS := -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined
OPT := -O1 -g
HARDEN := -fPIC
endif
CFLAGS_ALL = -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(SANFLAGS) $(CFLAGS)
LDFLAGS_ALL = $(LDHARDEN) $(SANFLAGS) $(LDFLAGS)

# A look-up is made when first used, so that `make deps` works on a machine that
# has none of them yet, and replaces itself by what it found.
pc = $(eval $(1) := $(shell $(PKG_CONFIG) --libs $(2) 2>/dev/null) $(3))$($(1))
CRYPTO_LIBS = $(call pc,CRYPTO_LIBS,libcrypto,-lIPSec_MB)
EVENT_LIBS = $(call pc,EVENT_LIBS,libevent_core)
PROTOBUF_LIBS = $(call pc,PROTOBUF_LIBS,libprotobuf-c)
SYSTEMD_LIBS = $(call pc,SYSTEMD_LIBS,libsystemd)
INIH_LIBS = $(call pc,INIH_LIBS,inih)
JANSSON_LIBS = $(call pc,JANSSON_LIBS,jansson)
CMOCKA_LIBS = $(call pc,CMOCKA_LIBS,cmocka)
LMDB_LIBS = $(call pc,LMDB_LIBS,lmdb)
CURL_LIBS = $(call pc,CURL_LIBS,libcurl)
EXPAT_LIBS = $(call pc,EXPAT_LIBS,expat)
HTTP_PARSER_LIBS := -lhttp_parser
XXHASH_LIBS = $(call pc,XXHASH_LIBS,libxxhash)

ifeq ($(V),0)
Q := @
say = @printf '  %-8s %s\n' '$(1)' '$(2)';
else
Q :=
say =
endif
