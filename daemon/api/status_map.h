/* SPDX-License-Identifier: BSD-2-Clause */
/* Every internal result -> the number of the Windows API. */
#ifndef API_STATUS_MAP_H
#define API_STATUS_MAP_H

#include <stdint.h>

#include "daemon/core/result.h"
#include "proto/peerdist_errors.h"

/* CORE_E_PROTOCOL has no number of its own: such a client is disconnected, not
 * answered. */
uint32_t status_map_core(enum core_result);
/* errno of something that the daemon did for a client. */
uint32_t status_map_errno(int negative_errno);

#endif
