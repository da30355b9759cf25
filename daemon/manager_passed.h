/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets that systemd passes, told apart by their names. */
#ifndef DAEMON_MANAGER_PASSED_H
#define DAEMON_MANAGER_PASSED_H

/* Non-blocking descriptors, or -1.  Whoever uses one takes it out. */
struct passed {
	int control;     /* "control" */
	int retrieval;   /* "retrieval" */
	int discovery_4; /* "discovery", by their address family */
	int discovery_6;
	int web; /* "web", also one in the file system */
};

/* Once, at the start.  What has another name, or is another kind of socket
 * than its name says, is closed, which the log tells. */
void passed_take(struct passed *);
/* Closes what nobody took. */
void passed_done(struct passed *);

#endif
