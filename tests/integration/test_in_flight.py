# SPDX-License-Identifier: BSD-2-Clause
"""What a client sends may stop whoever closes it, or gives back what is shared
with him, or whoever reads what he publishes.  Nobody else may notice: a TCP
connection that waits for its other end when it is closed comes in every way in
which descriptors come; others' locks are held by a thread of the client's whose
memory stalls."""

import contextlib
import ctypes
import mmap
import os
import select
import signal
import socket
import struct
import subprocess

import pytest

import ipc
import stalling
from conftest import DEADLINE, OTHER_UID, needs_root
from website import wait_until

PAGE = 4096
CLOSERS = 64
AT_ONCE = 20  # what a socket has room for
RIGHTS = (socket.SOL_SOCKET, socket.SCM_RIGHTS)
LABEL = ipc.data(1, b"label") + ipc.u(4, 1)
STATUS = ipc.frame(ipc.STATUS_GET, 1)


@contextlib.contextmanager
def waiting_socket():
    """Its close takes twice as long as anybody waits here, unless somebody
    else has it, too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        other = listener.accept()[0]
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(65536))
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 2 * DEADLINE))
    with other:
        yield ours.detach()


def publish(client, fd, slot=0):
    client.send(ipc.SUBMIT_PUBLISH_FILE, 1 << 32 | slot, LABEL, fds=[fd])


def client_of(daemon):
    uid = OTHER_UID if os.geteuid() == 0 else None
    return ipc.Client(daemon.folder.socket, DEADLINE, uid=uid)


def plainly(client, fd):
    publish(client, fd)


def within_another(client, fd):
    ends = socket.socketpair()
    socket.send_fds(ends[0], [b"x"], [fd])
    publish(client, ends[1].fileno())
    for end in ends:
        end.close()


def too_many(client, fd):
    with open(os.devnull, "rb") as null:
        socket.send_fds(client.socket, [STATUS], [null.fileno()] * 8 + [fd])


def out_of_band(client, fd):
    client.socket.sendmsg([b"x"], [(*RIGHTS, struct.pack("i", fd))],
                          socket.MSG_OOB)
    client.raw(STATUS)


def never_read(client, fd):
    """Behind a frame that ends the connection."""
    with open(os.devnull, "rb") as null:
        socket.send_fds(client.socket, [ipc.frame(ipc.STATUS_GET, 1, length=3)],
                        [null.fileno()])
    socket.send_fds(client.socket, [STATUS], [fd])


def check_others(daemon):
    client = ipc.Client(daemon.folder.socket, DEADLINE)
    assert client.code(ipc.STATUS_GET) == 0
    client.close()


@pytest.mark.parametrize("send", (plainly, within_another, too_many,
                                  out_of_band, never_read))
def test_close_that_waits(daemon, send):
    client = client_of(daemon)
    with waiting_socket() as fd:
        # The service is the last one to have it.
        daemon.signal(signal.SIGSTOP)
        send(client, fd)
        os.close(fd)
        daemon.signal(signal.SIGCONT)
        for _ in range(2):  # the first may come before it is closed
            check_others(daemon)
        client.close()
        check_others(daemon)


@needs_root
def test_close_of_a_refused_connection(folder, daemons):
    folder.write(Limits__PerUidConnections=1)
    daemon = daemons().start()
    with waiting_socket() as fd, contextlib.closing(client_of(daemon)):
        daemon.signal(signal.SIGSTOP)
        with ipc.connect(folder.socket, uid=OTHER_UID) as refused:
            socket.send_fds(refused, [STATUS], [fd])
            os.close(fd)
            daemon.signal(signal.SIGCONT)
            with contextlib.suppress(ConnectionResetError):
                assert refused.recv(1) == b""
        check_others(daemon)


# Locks.

def write_stalling(where, fd):
    """In a process of its own, and with nothing else open."""
    fd = os.dup2(fd, 3)
    os.closerange(fd + 1, 1 << 12)
    with open(where, "rb") as file:
        page = mmap.mmap(file.fileno(), PAGE, mmap.MAP_PRIVATE,
                         mmap.PROT_READ | mmap.PROT_WRITE)
    octet = ctypes.c_char.from_buffer(page)
    ctypes.CDLL(None).write(fd, ctypes.byref(octet), PAGE)
    os._exit(0)


@contextlib.contextmanager
def stalled_writer(path, fd):
    """A process that writes to fd from a page which never comes."""
    where = path / "stalling"
    where.write_bytes(b"")
    try:
        mounted = stalling.Stalling(where, bytes(PAGE))
    except OSError as error:
        pytest.skip(f"no FUSE here: {error}")
    with mounted:
        mounted.stall(stalling.READ)
        pid = os.fork()
        if pid == 0:
            write_stalling(where, fd)
        try:
            wait_until(lambda: mounted.held, "asked for the page")
            yield
        finally:
            mounted.release()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@needs_root
def test_pipe_that_is_locked(folder, daemon):
    ends = os.pipe()
    with stalled_writer(folder.path, ends[1]):
        client = client_of(daemon)
        # Else it could be us who close it.
        daemon.signal(signal.SIGSTOP)
        for end in ends:
            publish(client, end)
            os.close(end)
        daemon.signal(signal.SIGCONT)
        check_others(daemon)
        client.close()
        check_others(daemon)
        assert folder.status()["counters"]["descriptors_closing"] > 0


@contextlib.contextmanager
def many_hanging(folder, daemon):
    """More than there are threads for that, from one user, and none of it
    ends."""
    ends = os.pipe()
    # Each a file of its own, and all of one pipe.
    many = [os.open(f"/proc/self/fd/{ends[0]}", os.O_RDONLY)
            for _ in range(CLOSERS + 10)] + [ends[0]]
    with stalled_writer(folder.path, ends[1]):
        client = client_of(daemon)
        for at in range(0, len(many), AT_ONCE):
            daemon.signal(signal.SIGSTOP)
            for slot, fd in enumerate(many[at:at + AT_ONCE], at):
                publish(client, fd, slot)
                os.close(fd)
            daemon.signal(signal.SIGCONT)
            check_others(daemon)
        wait_until(lambda: folder.status()["counters"]["descriptors_closing"] >
                   CLOSERS, "closing")
        yield
    os.close(ends[1])


@needs_root
def test_others_are_closed(folder, daemon):
    with many_hanging(folder, daemon):
        client = ipc.Client(daemon.folder.socket, DEADLINE)
        ours, theirs = os.pipe()
        publish(client, ours)
        os.close(ours)
        poll = select.poll()
        poll.register(theirs, 0)
        assert poll.poll(DEADLINE * 1000) == [(theirs, select.POLLERR)]
        os.close(theirs)
        client.close()


@needs_root
def test_end_while_closing(folder, daemon, daemons):
    """The process cannot go before, but what it has for itself is free for the
    next one."""
    with many_hanging(folder, daemon):
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: "Stopped" in daemon.log(), "the end")
        check_others(daemons().start())
        assert daemon.process.poll() is None
    assert daemon.wait() == 0


@needs_root
def test_area_that_is_locked(folder, daemon):
    client = client_of(daemon)
    with stalled_writer(folder.path, client.fds[0]):
        client.close()
        for _ in range(2):
            check_others(daemon)


# Workers.

@contextlib.contextmanager
def overlay_of(path, mounted):
    """Anybody may mount both, in a namespace of his own."""
    for name in ("upper", "work", "overlay"):
        (path / name).mkdir()
    at = path / "overlay"
    options = f"lowerdir={mounted},upperdir={path}/upper,workdir={path}/work"
    made = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options,
                           at], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no overlay here: {made.stderr}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", at], check=True)


def blocks_are_hashed(daemon):
    """By workers that a file system may not hold up."""
    client = ipc.Client(daemon.folder.socket, DEADLINE)
    handle = client.call(ipc.PUBLISH_OPEN, ipc.data(1, b"own") + ipc.u(3, 1))[2]
    octets = bytes(1 << 20)
    assert client.add(ipc.SUBMIT_STREAM_ADD, handle, octets) == (0, 0)
    client.close()


@needs_root
def test_overlay_that_stalls(folder, daemons):
    folder.write(Service__Workers=2)
    daemon = daemons().start()
    lower = folder.path / "lower"
    lower.mkdir()
    try:
        mounted = stalling.Stalling(lower, {"file": bytes(8 << 20)})
    except OSError as error:
        pytest.skip(f"no FUSE here: {error}")
    with mounted, overlay_of(folder.path, lower) as at:
        client = client_of(daemon)
        try:
            with open(at / "file", "rb") as file:
                mounted.stall(stalling.READ)
                publish(client, file.fileno())
            wait_until(lambda: mounted.held, "read")
            blocks_are_hashed(daemon)
            mounted.release()
            client.expect(ipc.COMPLETE)
        finally:
            # Nobody may have the file open when the mounts go.
            mounted.release()
            client.close()
            daemon.close()
