# SPDX-License-Identifier: BSD-2-Clause
common_SRC := \
	common/buf.c \
	common/clock.c \
	common/close.c \
	common/err.c \
	common/fdutil.c \
	common/hex.c \
	common/parse.c \
	common/secbuf.c \
	common/secmem.c \
	common/work.c

$(B)/tests/unit/test_work: LDFLAGS += -Wl,--wrap=pthread_create
