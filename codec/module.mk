# SPDX-License-Identifier: BSD-2-Clause
codec_SRC := \
	codec/bulk.c \
	codec/bulk_mb.c \
	codec/bulk_sha512.c \
	codec/pccrc_build.c \
	codec/pccrc_desc.c \
	codec/pccrc_hash.c \
	codec/pccrc_info.c \
	codec/pccrc_key.c \
	codec/pccrc_pack.c \
	codec/pccrc_parse.c \
	codec/pccrc_pub.c \
	codec/pccrc_seg.c \
	codec/pccrc_v1.c \
	codec/pccrc_v2.c \
	codec/pccrr.c \
	codec/pccrr_crypt.c
