/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network namespaces, so that a test can have interfaces and other hosts.  As
 * root, or as a user where user namespaces are allowed.
 */
#ifndef TESTS_UNIT_NET_SPACE_H
#define TESTS_UNIT_NET_SPACE_H

#include <stdbool.h>

/* Moves this process into a fresh one, with nothing but loopback in it.  false:
 * not possible here, and why was printed as tests/run wants it. */
bool net_space_enter(void);
/* Another one, another host.  A descriptor of it. */
int net_space_new(void);
/* A socket there; asserts that it can be had. */
int net_space_socket(int space, int family, int type, int protocol);

/* `ip` with these words, there; -1: here.  Asserts that it succeeds. */
void net_space_ip(int space, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same, the answer is whether it does; nothing is printed. */
bool net_space_try_ip(int space, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Many of them, one a line. */
void net_space_batch(int space, const char *lines);

/* A cable: HERE and THERE, both up, no addresses of their own accord.  space
 * -1: both ends are here. */
void net_space_cable(int space, const char *here, const char *there);

#endif
