# SPDX-License-Identifier: BSD-2-Clause
codec_SRC := \
	codec/bulk.c \
	codec/bulk_mb.c \
	codec/bulk_sha512.c \
	codec/http_list.c \
	codec/http_range.c \
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
	codec/pccrd.c \
	codec/pccrd_build.c \
	codec/pccrd_read.c \
	codec/pccrd_value.c \
	codec/pccrr.c \
	codec/pccrr_blk.c \
	codec/pccrr_blob.c \
	codec/pccrr_crypt.c \
	codec/pccrr_list.c \
	codec/pccrr_nego.c \
	codec/pccrr_seg.c \
	codec/pccrtp.c

fuzz_pccrr_blklist_LIBS := codec common
fuzz_pccrr_getblklist_LIBS := codec common
fuzz_pccrr_getblks_LIBS := codec common
fuzz_pccrr_getseglist_LIBS := codec common
fuzz_pccrr_seglist_LIBS := codec common
test_pccrtp_client_LIBS := codec common
