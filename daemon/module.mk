# SPDX-License-Identifier: BSD-2-Clause

core_SRC := \
	daemon/core/area.c \
	daemon/core/call.c \
	daemon/core/content.c \
	daemon/core/content_data.c \
	daemon/core/content_read.c \
	daemon/core/discover.c \
	daemon/core/discover_answer.c \
	daemon/core/discover_ask.c \
	daemon/core/discover_crowd.c \
	daemon/core/discover_peers.c \
	daemon/core/discover_quorum.c \
	daemon/core/discover_table.c \
	daemon/core/fetch.c \
	daemon/core/fetch_ask.c \
	daemon/core/fetch_check.c \
	daemon/core/fetch_choose.c \
	daemon/core/fetch_kept.c \
	daemon/core/fetch_source.c \
	daemon/core/flush.c \
	daemon/core/handle.c \
	daemon/core/hashed.c \
	daemon/core/hashed_cache.c \
	daemon/core/hashed_want.c \
	daemon/core/info.c \
	daemon/core/ledger.c \
	daemon/core/op.c \
	daemon/core/peers.c \
	daemon/core/policy.c \
	daemon/core/publication.c \
	daemon/core/publish_file.c \
	daemon/core/quota.c \
	daemon/core/service.c \
	daemon/core/session.c \
	daemon/core/slice.c \
	daemon/core/standing.c \
	daemon/core/standing_load.c \
	daemon/core/standing_open.c \
	daemon/core/standing_publish.c \
	daemon/core/stream.c \
	daemon/core/upload.c \
	daemon/core/wheel.c

store_SRC := \
	$(sort $(wildcard daemon/store/*.c))

net_SRC := \
	daemon/net/discovery.c \
	daemon/net/discovery_addrs.c \
	daemon/net/discovery_socket.c \
	daemon/net/http_client.c \
	daemon/net/http_conn.c \
	daemon/net/http_conn_read.c \
	daemon/net/http_conn_send.c \
	daemon/net/http_date.c \
	daemon/net/http_host.c \
	daemon/net/http_link.c \
	daemon/net/http_server.c \
	daemon/net/loop.c \
	daemon/net/netif.c \
	daemon/net/netif_addr.c \
	daemon/net/retrieve.c \
	daemon/net/serve.c \
	daemon/net/serve_list.c \
	daemon/net/warm.c \
	daemon/net/web.c \
	daemon/net/web_answer.c \
	daemon/net/web_cond.c \
	daemon/net/web_open.c \
	daemon/net/web_path.c \
	daemon/net/web_reply.c \
	daemon/net/web_root.c \
	daemon/net/web_type.c \
	daemon/net/web_walk.c

HTTP_TALK := $(B)/obj/tests/unit/http_talk.o $(B)/obj/tests/unit/net_peer.o
HTTP_STAGE := $(HTTP_TALK) $(B)/obj/tests/unit/http_stage.o
test_http_conn_EXTRA := $(HTTP_STAGE)
test_http_conn_cold_EXTRA := $(HTTP_STAGE)
test_http_conn_cold_LIBS := net core store codec common
test_http_conn_read_EXTRA := $(HTTP_STAGE)
test_http_conn_send_EXTRA := $(HTTP_STAGE)
test_http_server_EXTRA := $(HTTP_TALK)
test_serve_EXTRA := $(HTTP_TALK) $(B)/obj/tests/unit/serve_site.o
test_serve_list_EXTRA := $(test_serve_EXTRA)
test_manager_network_EXTRA := $(test_serve_EXTRA)
# The web server with a made-up hashed.h behind it.
WEB_SITE := $(HTTP_TALK) $(B)/obj/tests/unit/web_site.o
WEB_WRAP := -Wl,--wrap=syscall -Wl,--wrap=hashed_get \
	-Wl,--wrap=hashed_give_back -Wl,--wrap=hashed_want
test_web_EXTRA := $(WEB_SITE)
test_web_reply_EXTRA := $(WEB_SITE)
test_web_stall_EXTRA := $(WEB_SITE)
fuzz_web_path_LIBS := net core store codec common
$(B)/tests/unit/test_web $(B)/tests/unit/test_web_reply \
$(B)/tests/unit/test_web_stall: \
	LDFLAGS += $(WEB_WRAP) -Wl,--wrap=fd_may_stall -Wl,--wrap=fd_close_foreign
$(B)/tests/fuzz/replay_web_path $(B)/tests/fuzz/fuzz_web_path: \
	LDFLAGS += $(WEB_WRAP)
test_retrieve_EXTRA := $(B)/obj/tests/unit/net_peer.o
HTTP_ENV := $(B)/obj/tests/unit/http_env.o $(test_retrieve_EXTRA)
test_http_client_EXTRA := $(HTTP_ENV)
test_http_link_EXTRA := $(HTTP_ENV)

# Other hosts, in network namespaces.
NET_SPACE := $(B)/obj/tests/unit/net_space.o
test_discovery_EXTRA := $(NET_SPACE) $(B)/obj/tests/unit/branch.o
test_discovery_socket_EXTRA := $(test_discovery_EXTRA)
test_discovery_addrs_EXTRA := $(NET_SPACE)
test_netif_EXTRA := $(NET_SPACE)

api_SRC := \
	daemon/api/api_admin.c \
	daemon/api/api_cache.c \
	daemon/api/api_client.c \
	daemon/api/api_peers.c \
	daemon/api/api_published.c \
	daemon/api/api_secret.c \
	daemon/api/api_server.c \
	daemon/api/api_session.c \
	daemon/api/client.c \
	daemon/api/dispatch.c \
	daemon/api/document.c \
	daemon/api/json_out.c \
	daemon/api/listener.c \
	daemon/api/request.c \
	daemon/api/status_map.c

daemon_SRC := \
	daemon/conf.c \
	daemon/conf_change.c \
	daemon/conf_dump.c \
	daemon/conf_list.c \
	daemon/conf_table.c \
	daemon/conf_value.c \
	daemon/log.c \
	daemon/main.c \
	daemon/manager.c \
	daemon/manager_env.c \
	daemon/manager_listen.c \
	daemon/manager_network.c \
	daemon/manager_passed.c \
	daemon/manager_secret.c \
	daemon/manager_secret_ask.c \
	daemon/manager_settings.c \
	daemon/manager_socket.c \
	daemon/manager_store.c \
	daemon/manager_web.c

# These need no more of the daemon than the settings.
test_conf_LIBS := daemon common
test_conf_list_LIBS := daemon common
test_log_LIBS := daemon common
fuzz_conf_LIBS := daemon common

test_client_EXTRA := $(B)/obj/tests/unit/api_harness.o
test_api_peers_EXTRA := $(test_client_EXTRA)
test_api_published_EXTRA := $(test_client_EXTRA)
test_api_secret_EXTRA := $(test_client_EXTRA)
test_api_cache_EXTRA := $(test_client_EXTRA)
test_dispatch_EXTRA := $(test_client_EXTRA)
test_listener_EXTRA := $(test_client_EXTRA)

PROGRAMS += $(B)/peerdistd

# The core under a script.
CORE_SCRIPT := $(B)/obj/tests/unit/core_env.o
test_content_EXTRA := $(CORE_SCRIPT)
test_discover_EXTRA := $(CORE_SCRIPT)
test_discover_answer_EXTRA := $(CORE_SCRIPT)
FETCH_SCRIPT := $(CORE_SCRIPT) $(B)/obj/tests/unit/fetch_env.o
test_fetch_EXTRA := $(FETCH_SCRIPT)
test_fetch_choose_EXTRA := $(FETCH_SCRIPT)
test_fetch_kept_EXTRA := $(FETCH_SCRIPT)
test_fetch_random_EXTRA := $(FETCH_SCRIPT)
test_fetch_random_LIBS := core store codec common
test_fetch_source_EXTRA := $(FETCH_SCRIPT)
test_hashed_EXTRA := $(CORE_SCRIPT)
test_hashed_random_EXTRA := $(CORE_SCRIPT)
test_hashed_random_LIBS := core store codec common
test_hashed_want_EXTRA := $(CORE_SCRIPT)
test_hashed_writes_EXTRA := $(CORE_SCRIPT)
test_hashed_writes_LIBS := core store codec common
test_hostile_EXTRA := $(CORE_SCRIPT)
test_ledger_EXTRA := $(CORE_SCRIPT)
test_hostile_LIBS := core store codec common
test_orderings_EXTRA := $(CORE_SCRIPT)
test_peers_EXTRA := $(CORE_SCRIPT)
test_publish_EXTRA := $(CORE_SCRIPT)
test_session_EXTRA := $(CORE_SCRIPT)
test_standing_EXTRA := $(CORE_SCRIPT)
test_standing_open_EXTRA := $(CORE_SCRIPT)
test_standing_publish_EXTRA := $(CORE_SCRIPT)
test_store_mem_EXTRA := $(CORE_SCRIPT)
test_upload_EXTRA := $(CORE_SCRIPT)

# A hash store, and what asks it.
HASH_ENV := $(B)/obj/tests/unit/hash_env.o
test_hash_store_EXTRA := $(HASH_ENV)
test_hash_store_damage_EXTRA := $(HASH_ENV)

# A disk with few blocks.
SMALL_DISK := $(B)/obj/tests/unit/small_disk.o
test_index_disk_EXTRA := $(SMALL_DISK)
test_index_disk_LIBS := store common
test_hash_store_full_EXTRA := $(HASH_ENV) $(SMALL_DISK)

# The block store with a loop around it.
DISK_ENV := $(B)/obj/tests/unit/disk_env.o
test_store_disk_EXTRA := $(DISK_ENV)
test_store_disk_evict_EXTRA := $(DISK_ENV)
test_store_disk_flush_EXTRA := $(DISK_ENV)
test_store_disk_health_EXTRA := $(DISK_ENV)
test_store_disk_lend_EXTRA := $(DISK_ENV)
test_store_disk_put_EXTRA := $(DISK_ENV)
test_store_disk_rebuild_EXTRA := $(DISK_ENV)
test_store_disk_room_EXTRA := $(DISK_ENV)
test_store_disk_verify_EXTRA := $(DISK_ENV)
test_store_model_EXTRA := $(DISK_ENV)
