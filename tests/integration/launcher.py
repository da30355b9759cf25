#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs a command as something else would that starts services.

    launcher.py [--no-openat2] [--pass-web ADDRESS] COMMAND...

--no-openat2   the call does not exist, as under RestrictSUIDSGID= of systemd
               and on old kernels
--pass-web     a listening socket on a free port of this address is passed as
               systemd passes one with the name "web"
"""

import argparse
import ctypes
import errno
import os
import socket
import struct

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # words absolute, jeq, ret
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
OPENAT2 = 437  # on every architecture
FIRST_FD = 3


def without(number):
    """From now on, here and in what is run."""
    program = b"".join(struct.pack("=HBBI", *row) for row in (
        (LOAD, 0, 0, 0), (EQUAL, 0, 1, number),
        (RETURN, 0, 0, ERRNO | errno.ENOSYS), (RETURN, 0, 0, ALLOW)))
    octets = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(
        struct.pack("@HP", len(program) // 8, ctypes.addressof(octets)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(
            PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(head), 0,
            0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def pass_web(address):
    listener = socket.create_server((address, 0))
    fd = listener.detach()
    if fd != FIRST_FD:
        os.dup2(fd, FIRST_FD)
    os.set_inheritable(FIRST_FD, True)
    os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="web",
                      LISTEN_PID=str(os.getpid()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-openat2", action="store_true")
    parser.add_argument("--pass-web")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if args.pass_web:
        pass_web(args.pass_web)
    if args.no_openat2:
        without(OPENAT2)
    os.execvp(args.command[0], args.command)


if __name__ == "__main__":
    main()
