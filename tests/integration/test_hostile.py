# SPDX-License-Identifier: BSD-2-Clause
"""Bad input and other people: clients and peers that break every rule, beside
one that keeps them and must not notice (scene.py looks after that, and that
nothing is left behind)."""

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

import content
import ipc
from conftest import (DEADLINE, OTHER_UID, ROOT, Daemon, Folder, needs_root,
                      temporary_folder)
from ipc import data, fixed, frame, hello, u
from pace import Stopwatch
from scene import SAN, MISSING_DATA, Scene, blocks_of

BLOCK = content.BLOCK
INVALID_HANDLE, BAD_DATA, NOT_SUPPORTED, BAD_PARAMETER = 6, 13, 50, 87
NO_RESOURCES, TIMED_OUT = 1450, 1460
CI_VERSION, CI_MALFORMED = 4050, 4051
OPERATION_NOT_FOUND, VERSION_UNSUPPORTED = 4059, 4062
TAG = data(1, bytes(16))
ADDS = (ipc.SUBMIT_STREAM_ADD, ipc.SUBMIT_CI_ADD, ipc.SUBMIT_DATA_ADD)
HANDSHAKE, STALL = 10, 30


def patient_clients(path):
    daemon = Daemon(Folder(path)).start()
    socket_path = daemon.folder.socket
    clients = {
        "says nothing": ipc.Client(socket_path, greet=False),
        "half a greeting": ipc.Client(socket_path, greet=False),
        "takes nothing": ipc.Client(socket_path),
    }
    clients["half a greeting"].raw(hello()[:20])
    push(clients["takes nothing"], frame(ipc.ADMIN_STATUS, 1) * 64, 1)
    yield clients
    for client in clients.values():
        client.close()
    assert daemon.stop() == 0
    daemon.close()


@pytest.fixture(scope="module", autouse=True)
def patience():
    """The clients that only time can tell, in a daemon of their own: they wait
    while the other tests run."""
    with temporary_folder() as path:
        yield from patient_clients(path)


@pytest.fixture
def make_scene(folder, daemons):
    """Reads of what nobody has wait for a peer that says nothing."""
    made = []
    peer = socket.socket()
    peer.bind(("127.0.0.1", 0))
    peer.listen(1024)
    address = f"127.0.0.1:{peer.getsockname()[1]}"

    def make(**settings):
        wanted = {"Service__Mode": "distributed",
                  "Retrieval__Peers": address,
                  "Retrieval__RequestTimeout": "10min"}
        folder.write(**{**wanted, **settings})
        made.append(Scene(folder, daemons().start(),
                          folder.settings["Retrieval.Peers"] == address))
        return made[-1]

    yield make
    for scene in made:
        scene.finish()
    peer.close()


@pytest.fixture
def scene(make_scene):
    return make_scene()


def push(client, octets, patience=0.3, most=1 << 40):
    """Sends this over and over until nobody takes it any more; how many
    bytes went.  Nothing is received."""
    sent = at = 0
    client.socket.setblocking(False)
    while sent < most:
        if not select.select([], [client.socket], [], patience)[1]:
            break
        try:
            n = client.socket.send(octets[at:])
        except BlockingIOError:
            continue
        sent += n
        at = (at + n) % len(octets)
    client.socket.settimeout(DEADLINE)
    return sent


# Frames.

def test_frames_torn_at_every_byte(scene):
    talk = hello() + frame(ipc.STATUS_GET, 7) + frame(ipc.CONTENT_OPEN, 8, TAG)
    client = scene.raw()
    for i in range(len(talk)):
        client.raw(talk[i:i + 1])
    assert client.expect(ipc.HELLO)[0] == 0
    assert client.expect(ipc.REPLY)[0] == 7
    assert client.expect(ipc.REPLY)[0] == 8
    for i in range(len(talk)):
        torn = scene.raw(talk[:i])
        if i % 2:
            torn.socket.shutdown(socket.SHUT_WR)
            torn.drain()
        torn.close()
    scene.calm()


def test_torn_frame_with_a_descriptor(scene):
    path = scene.folder.path / "file"
    path.write_bytes(bytes(1000))
    client = scene.client()
    with open(path, "rb") as file:
        body = data(1, b"x") + u(4, 1)
        for i in range(1, 16 + len(body)):
            number = client.number()
            whole = frame(ipc.SUBMIT_PUBLISH_FILE, number, body, n_fds=1)
            client.raw(whole[:i], [file.fileno()])
            client.raw(whole[i:])
            assert client.result(number)[0] == 0
            assert client.code(ipc.UNPUBLISH, data(1, b"x")) == 0
            torn = scene.client()
            torn.raw(whole[:i], [file.fileno()])
            torn.close()


@pytest.mark.parametrize("length", [0, 1, 15, 65537, 1 << 31, 0xffffffff])
def test_impossible_length(scene, length):
    bad = frame(ipc.STATUS_GET, 1, length=length)
    scene.refused(bad)
    early = scene.raw(bad)
    assert early.drain() == []
    scene.calm()


def test_lying_length(scene):
    # Too long: what follows is its body, which this type does not have.
    client = scene.client()
    client.raw(frame(ipc.STATUS_GET, 1, length=48) +
               frame(ipc.STATUS_GET, 2) * 2 + frame(ipc.STATUS_GET, 3))
    assert client.expect(ipc.REPLY)[0] == 1
    assert client.expect(ipc.REPLY)[0] == 3
    # Too short: the body is not whole.
    scene.refused(frame(ipc.CONTENT_OPEN, 1, TAG, length=26))
    # Never whole.
    scene.client().raw(frame(ipc.STATUS_GET, 1, length=65536) + bytes(60000))
    scene.calm()


def test_malformed_bodies(scene):
    for body in (b"\xff" * 40, data(1, bytes(15)), data(1, bytes(17)), b"",
                 b"\x0a\xff\xff\xff\xff\x0f", b"\x0b", b"\x0a"):
        scene.refused(frame(ipc.CONTENT_OPEN, 1, body))
    scene.refused(frame(ipc.PUBLISH_OPEN, 1, data(1, bytes(32769))))
    scene.refused(frame(ipc.PUBLISH_OPEN, 1, u(3, 1)))
    # A sub-message of two bytes is a structure each time it is repeated.
    scene.refused(frame(ipc.SUBMIT_DATA_ADD, 1, fixed(1, 1) +
                        data(4, b"") * 32000))
    scene.refused(frame(ipc.STATUS_GET, 1, flags=1))
    scene.calm()


def test_unknown_types(scene):
    path = scene.folder.path / "file"
    path.write_bytes(b"x")
    client = scene.client()
    known = {*range(1, 11), *range(16, 28), *range(32, 43), *range(64, 77), 80}
    with open(path, "rb") as file:
        for kind in [*range(100), 255, 256, 1000, 32768, 65535]:
            if kind in known:
                continue
            client.send(kind, 1000 + kind)
            client.send(kind, 1, b"\xff" * 65520)
            client.send(kind, 2, b"?", fds=[file.fileno()] * 4)
            for number in (1000 + kind, 1, 2):
                assert client.expect(ipc.REPLY) == (
                    number, {1: NOT_SUPPORTED})
    assert client.open_handle() != 0
    # Before the greeting there is nothing but it.
    assert scene.raw(frame(99, 1)).drain() == []


def test_frames_of_the_daemon(scene):
    for kind in (ipc.REPLY, ipc.STATUS, ipc.ACK, ipc.COMPLETE, ipc.NEED,
                 ipc.RELEASED, ipc.ADMIN_TEXT):
        scene.refused(frame(kind, 1))
        scene.refused(frame(kind, 1, u(1, 1)), session=False)
    scene.calm()


def test_greetings(scene):
    scene.refused(hello())
    scene.refused(hello(features=0), session=False)
    for octets in (frame(ipc.STATUS_GET, 1), frame(ipc.SESSION_END, 1),
                   hello(0, 0), hello(0, 1), hello(3, 2), frame(ipc.HELLO, 0),
                   hello(name="x" * 257)):
        assert scene.raw(octets).drain() == []
    # No common version: told so.
    for lowest, highest in ((2, 9), (0xffffffff, 0xffffffff)):
        strange = scene.raw(hello(lowest, highest) + frame(ipc.STATUS_GET, 2))
        assert strange.drain() == [(ipc.REPLY, 0, {1: VERSION_UNSUPPORTED})]
    # Unknown features are not granted.
    new = scene.raw(hello(1, 99, features=(1 << 64) - 2))
    assert new.expect(ipc.HELLO)[1].get(3, 0) == 0
    # Without a session, after its end: no handle of it.
    plain = scene.client(session=False)
    assert plain.code(ipc.CONTENT_OPEN, TAG) == INVALID_HANDLE
    ended = scene.client()
    handle = ended.open_handle()
    assert ended.code(ipc.SESSION_END) == 0
    assert ended.code(ipc.CONTENT_CLOSE, fixed(1, handle)) == INVALID_HANDLE
    assert ended.code(ipc.SESSION_END) == INVALID_HANDLE
    scene.calm()


# Descriptors.

def test_number_of_descriptors(scene):
    path = scene.folder.path / "file"
    path.write_bytes(b"x")
    body = data(1, b"label") + u(4, 1)
    publish = ipc.SUBMIT_PUBLISH_FILE
    number = 1 << 32 | 1
    with open(path, "rb") as file:
        fd = file.fileno()
        # None, too few, too many, more than a frame can have.
        scene.refused(frame(publish, number, body))
        scene.refused(frame(publish, number, body), [fd])
        scene.refused(frame(publish, number, body, n_fds=1))
        for n in (2, 3, 4, 5, 255):
            scene.refused(frame(publish, number, body, n_fds=n), [fd])
        for n in (2, 4, 5, 8, 9, 64, 65, 253):
            scene.refused(frame(publish, number, body, n_fds=1), [fd] * n)
        scene.refused(frame(ipc.STATUS_GET, 1), [fd])
        scene.refused(frame(ipc.STATUS_GET, 1, n_fds=1), [fd])
        scene.refused(frame(ipc.CONTENT_OPEN, 1, TAG, n_fds=1), [fd])
        early = scene.raw(frame(ipc.HELLO, 0, u(1, 1) + u(2, 1), n_fds=1),
                          [fd])
        assert early.drain() == []
        early = scene.raw(hello(), [fd])
        early.drain()
        # Two control messages in one: not for the sender's credentials.
        client = scene.client()
        client.socket.sendmsg(
            [frame(ipc.STATUS_GET, 5)],
            [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS,
              struct.pack("3i", os.getpid(), os.getuid(), os.getgid()))])
        assert client.expect(ipc.REPLY)[0] == 5
    scene.calm()


def test_descriptors_cannot_be_parked(scene):
    if os.geteuid() != 0:
        pytest.skip("needs root to count them")
    client = scene.client()
    before = scene.descriptors()
    start = frame(ipc.STATUS_GET, 1, length=65536)
    with open("/dev/null", "rb") as file:
        client.raw(start, [file.fileno()] * 60)
        for _ in range(20):
            try:
                client.raw(b"\0", [file.fileno()] * 60)
            except OSError:
                break
    scene.calm()
    assert scene.descriptors() - before < 16


def unusual(folder):
    """Descriptors that are no regular files to read: name, descriptor."""
    end, other = os.pipe()
    os.close(other)
    yield "pipe", end
    ends = socket.socketpair()
    yield "socket", ends[0].detach()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "listener"))
    listener.listen()
    yield "listener", listener.detach()
    yield "directory", os.open(folder, os.O_RDONLY)
    yield "null", os.open("/dev/null", os.O_RDWR)
    yield "zero", os.open("/dev/zero", os.O_RDONLY)
    yield "eventfd", os.eventfd(1)
    with select.epoll() as poll:
        yield "epoll", os.dup(poll.fileno())
    yield "path of a pipe", os.open("/proc/self/fd/0", os.O_PATH)
    os.mkfifo(folder / "fifo")
    yield "fifo", os.open(folder / "fifo", os.O_RDWR)
    os.symlink("file", folder / "link")
    yield "link", os.open(folder / "link", os.O_PATH | os.O_NOFOLLOW)


def publish_file(client, fd, body=b""):
    number, code = client.attempt(
        ipc.SUBMIT_PUBLISH_FILE, data(1, b"label") + u(4, 1) + body, [fd])
    return code or client.result(number)[0]


def test_descriptors_of_other_kinds(scene):
    client = scene.client()
    for name, fd in unusual(scene.folder.path):
        try:
            assert publish_file(client, fd) == BAD_PARAMETER, name
        finally:
            os.close(fd)
    path = scene.folder.path / "file"
    path.write_bytes(b"")
    for flags in (os.O_WRONLY, os.O_PATH):
        # It cannot be read.
        fd = os.open(path, flags)
        assert publish_file(client, fd) == BAD_PARAMETER
        os.close(fd)
    fd = os.open(path, os.O_RDONLY)
    assert publish_file(client, fd) == BAD_DATA
    with open(path, "ab") as file:
        file.write(b"x")
    for field, value in ((2, 2), (2, 1 << 63), (3, 2), (3, (1 << 64) - 1)):
        assert publish_file(client, fd, u(field, value)) == 4061
    os.close(fd)
    # Memory is as good as a file; what it does not have cannot be read.
    fd = os.memfd_create("memory")
    assert publish_file(client, fd) == BAD_DATA
    os.ftruncate(fd, 64 << 20)
    os.write(fd, b"x")
    number, code = client.attempt(ipc.SUBMIT_PUBLISH_FILE,
                                  data(1, b"label") + u(4, 1), [fd])
    os.ftruncate(fd, 0)
    assert code == 0 and client.result(number)[0] in (0, BAD_DATA)
    os.close(fd)
    scene.calm()


# What belongs to others.

CALLS_BY_HANDLE = (ipc.STREAM_CLOSE, ipc.INFO_CLOSE, ipc.CONTENT_CLOSE,
                   ipc.CLIENT_CANCEL, ipc.CONTENT_INFO)
SUBMITS_BY_HANDLE = (ipc.SUBMIT_STREAM_COMPLETE, ipc.SUBMIT_RETRIEVE,
                     ipc.SUBMIT_CI_COMPLETE, ipc.SUBMIT_BLOCK_READ,
                     ipc.SUBMIT_STREAM_READ)


def try_handle(client, handle):
    """Every frame that names a handle finds none."""
    body = fixed(1, handle)
    for kind in CALLS_BY_HANDLE:
        assert client.code(kind, body) == INVALID_HANDLE, kind
    for kind in SUBMITS_BY_HANDLE:
        assert client.attempt(kind, body)[1] == INVALID_HANDLE, kind
    for kind in ADDS:
        assert client.attempt(kind, body + u(2, 1) + data(
            4, u(2, 1) + data(3, b"x")))[1] == INVALID_HANDLE, kind


def strangers(scene):
    """Another session of the same user; another user's."""
    yield scene.client()
    if os.geteuid() == 0:
        yield scene.client(uid=OTHER_UID)


def test_handles_of_others(scene):
    owner = scene.client()
    info = content.v1(content.Segment(b"secret"))
    handle = owner.open_content(info)
    stream = owner.call(ipc.PUBLISH_OPEN, data(1, b"label") + u(3, 1))[2]
    for other in strangers(scene):
        for number in (handle, stream, 0, 1, handle + 1, handle ^ 1 << 63,
                       (1 << 64) - 1):
            try_handle(other, number)
    # Of one's own, but of another kind.
    assert owner.code(ipc.CONTENT_CLOSE, fixed(1, stream)) == INVALID_HANDLE
    assert owner.code(ipc.STREAM_CLOSE, fixed(1, handle)) == INVALID_HANDLE
    assert owner.code(ipc.STREAM_CLOSE, fixed(1, stream)) == 0
    try_handle(owner, stream)
    assert owner.code(ipc.CONTENT_INFO, fixed(1, handle)) == 0


def test_operations_of_others(scene):
    owner = scene.client()
    info = content.v1(content.Segment(b"secret"))
    handle = owner.open_content(info)
    pending = owner.read(handle)
    session = max(s["session"] for s in scene.folder.json(
        "sessions")["sessions"])
    for other in strangers(scene):
        own = other.open_content(info)
        # Of the same number as the owner's handle.
        assert own == handle
        for number in (pending, pending + 1, (1 << 64) - 1):
            assert other.code(ipc.CLIENT_CANCEL, fixed(1, own) + fixed(
                2, number)) == OPERATION_NOT_FOUND
        assert other.code(ipc.CLIENT_CANCEL,
                          fixed(1, own)) == OPERATION_NOT_FOUND
        other.send(ipc.FEED, pending, other.slice(bytes(5000)))
        assert other.expect(ipc.RELEASED) == (pending, {2: 5000})
    if os.geteuid() == 0:
        other.send(ipc.ADMIN_CANCEL, 9, fixed(3, session) + fixed(4, pending))
        assert other.expect(ipc.REPLY) == (9, {1: OPERATION_NOT_FOUND})
        assert other.admin(ipc.ADMIN_OPERATIONS)["operations"] == []
        other.send(ipc.ADMIN_RELOAD, 10)
        assert other.expect(ipc.REPLY) == (10, {1: 5})
    assert owner.code(ipc.CLIENT_CANCEL,
                      fixed(1, handle) + fixed(2, pending)) == 0


@needs_root
def test_two_users_with_one_label(scene):
    mine, theirs = scene.client(), scene.client(uid=OTHER_UID)
    label = data(1, b"label")
    mine.publish(b"label", b"mine")
    assert theirs.information(b"label") == 1168
    assert theirs.code(ipc.UNPUBLISH, label) == 1168
    theirs.publish(b"label", b"theirs")
    info, other = mine.information(b"label"), theirs.information(b"label")
    assert info != other
    for client, found, octets in ((mine, info, b"mine"),
                                  (theirs, other, b"theirs")):
        handle = client.open_content(found)
        assert client.add(ipc.SUBMIT_DATA_ADD, handle, octets) == (0, 0)
        assert client.read_cached(handle) == (0, 0, octets)
    assert theirs.code(ipc.UNPUBLISH, label) == 0
    assert theirs.information(b"label") == 1168
    assert mine.information(b"label") == info
    # Two sessions of one user share their labels, and close theirs alone.
    second = scene.client()
    assert second.call(ipc.PUBLISH_OPEN, label + u(3, 1))[1] == 4058
    assert second.information(b"label") == info


# Slices, ranges, slots.

def handle_for(client, kind):
    """One that takes adds of this kind."""
    if kind == ipc.SUBMIT_STREAM_ADD:
        return client.call(ipc.PUBLISH_OPEN, data(1, b"label") + u(3, 1))[2]
    if kind == ipc.SUBMIT_CI_ADD:
        return client.open_handle()
    return client.open_content(content.v1(content.Segment(bytes(BLOCK))))


@pytest.mark.parametrize("kind", ADDS)
def test_slices_that_are_not_there(scene, kind):
    size = scene.client().write_size
    for where in (u(1, size) + u(2, 5000), u(1, size - 4999) + u(2, 5000),
                  u(1, 2 * size - 5000) + u(2, 5000),
                  u(1, 2 * size) + u(2, 1), u(1, 0xffffffff) + u(2, 1),
                  u(1, 0xfffff000) + u(2, 4096), u(2, (1 << 20) + 1),
                  u(1, 0xfffffffe) + u(2, 1), u(2, 0), b"",
                  u(2, 5) + data(3, b"1234"), u(2, 3) + data(3, b"1234"),
                  u(1, 1) + u(2, 4) + data(3, b"1234"),
                  u(2, 4097) + data(3, bytes(4097))):
        client = scene.client()
        client.send(kind, client.number(), fixed(
            1, handle_for(client, kind)) + u(2, 1 << 21) + data(4, where))
        client.drain()
        client.close()
    for body in (u(2, 100), u(2, 0) + data(4, u(2, 1)),
                 u(2, 4) + data(4, u(2, 5))):
        client = scene.client()
        client.send(kind, client.number(),
                    fixed(1, handle_for(client, kind)) + body)
        client.drain()
        client.close()
    scene.calm()


@pytest.mark.parametrize("kind", ADDS)
def test_feeding_too_much(scene, kind):
    # Whatever it is added to, this much of it is right.
    info = content.v2([content.description2(b"x", bytes(32)) * 15420])
    for where in (u(2, 1 << 20), u(1, 4 << 20) + u(2, 5000),
                  u(2, 6) + data(3, b"123456")):
        client = scene.client()
        number = client.number()
        handle = handle_for(client, kind)
        client.area[:1 << 20] = info[:1 << 20]
        client.send(kind, number, fixed(1, handle) + u(2, (1 << 20) + 5) +
                    data(4, u(2, 1 << 20)))
        client.expect(ipc.ACK)
        # Five bytes are wanted, and once.
        client.raw(frame(ipc.FEED, number, where) * 6)
        client.drain()
        client.close()
    scene.calm()


def test_feeding_unasked(scene):
    octets = os.urandom(2 << 20)
    parts = [octets[i:i + 1024] for i in range(0, len(octets), 1024)]
    info = content.v2([content.description2(p, bytes(32)) for p in parts])
    for _ in range(10):
        client = scene.client()
        handle = client.open_content(info)
        number = client.number()
        submit = fixed(1, handle) + u(2, len(octets)) + \
            data(4, client.slice(octets[:1 << 20]))
        # In one write: the second slice cannot have been asked for.
        client.raw(frame(ipc.SUBMIT_DATA_ADD, number, submit) +
                   frame(ipc.FEED, number,
                         client.slice(octets[1 << 20:], 1 << 20)))
        client.drain()
        client.close()
    scene.calm()


def test_feeding_what_takes_none(scene):
    client = scene.client()
    handle = client.open_content(content.v1(content.Segment(b"nobody's")))
    client.send(ipc.FEED, 12345, client.slice(b"inline"))
    client.send(ipc.FEED, 12346, u(1, 0xfffff000) + u(2, 1))
    assert client.expect(ipc.RELEASED)[0] == 12346
    pending = client.read(handle)
    client.send(ipc.FEED, pending, client.slice(b"inline"))
    client.drain()
    scene.calm()


def test_returning_what_is_not_owned(scene):
    octets = os.urandom(2 * BLOCK)
    info = content.v1(content.Segment(octets))
    for change in (lambda at, n: (at + 4096, n - 4096),
                   lambda at, n: (at + 1, n - 1), lambda at, n: (at, 1),
                   lambda at, n: (at, n + 4096), lambda at, n: (0, n),
                   lambda at, n: (at + n, n), lambda at, n: (2 * at, 4096),
                   lambda at, n: (0xfffff000, 4095), lambda at, n: (at, 0),
                   lambda at, n: (at, 2 << 20)):
        client = scene.client()
        handle = client.open_content(info)
        assert client.add(ipc.SUBMIT_DATA_ADD, handle, octets) == (0, 0)
        client.read(handle, 0, 2 * BLOCK)
        given = ipc.decode(client.expect(ipc.COMPLETE)[1][5])
        at, size = given[1], given[2]
        assert (at, size) == (client.write_size, 2 * BLOCK)
        at, size = change(at, size)
        client.send(ipc.RETURN, 0, u(1, at) + u(2, size))
        client.drain()
        client.close()
    client = scene.client()
    handle = client.open_content(info)
    assert client.read_cached(handle, 2 * BLOCK) == (0, 0, octets)
    # Again.
    client.send(ipc.RETURN, 0, u(1, client.write_size) + u(2, 2 * BLOCK))
    client.drain()
    scene.calm()


def test_operation_ids(scene):
    info = content.v1(content.Segment(b"nobody's"))
    limit = scene.client().hello[6]
    read = u(3, 1) + u(4, 600000)
    for number in (0, 5, limit - 1, 1 << 32 | limit, 1 << 32 | 0xffffffff,
                   0xffffffff << 32 | limit):
        client = scene.client()
        handle = client.open_content(info)
        client.send(ipc.SUBMIT_BLOCK_READ, number, fixed(1, handle) + read)
        client.drain()
        client.close()
    # A slot in use, with the same and with another generation.
    for generation in (7, 8):
        client = scene.client()
        handle = client.open_content(info)
        body = fixed(1, handle) + read
        client.send(ipc.SUBMIT_BLOCK_READ, 7 << 32 | limit - 1, body)
        assert client.expect(ipc.ACK)[1] == {}
        client.send(ipc.SUBMIT_FLUSH, generation << 32 | limit - 1, TAG)
        client.drain()
        client.close()
    # Free again: another generation may have it.
    client = scene.client()
    handle = client.open_content(info)
    for generation in (9, 3, 0xffffffff):
        number = generation << 32 | limit - 1
        client.send(ipc.SUBMIT_BLOCK_READ, number, fixed(1, handle) + read)
        assert client.expect(ipc.ACK) == (number, {})
        assert client.code(ipc.CLIENT_CANCEL,
                           fixed(1, handle) + fixed(2, number)) == 0
    scene.calm()


# Floods.

def test_client_that_does_not_read(scene):
    """Small answers travel inline and are not in the promise of completions:
    who does not take them must not fill the daemon's memory."""
    client = scene.client()
    octets = os.urandom(BLOCK)
    handle = client.open_content(content.v1(content.Segment(octets)))
    assert client.add(ipc.SUBMIT_DATA_ADD, handle, octets) == (0, 0)
    body = fixed(1, handle) + u(3, 4096)
    count = 60000
    frames = b"".join(frame(ipc.SUBMIT_BLOCK_READ, 1 << 32 | i, body)
                      for i in range(count))
    size = len(frames) // count
    sent = push(client, frames, most=len(frames))
    scene.calm()
    assert scene.grown() < (200 if SAN else 40) << 20
    # Each that was accepted ends once, with the right bytes.
    wanted, acked = set(range(sent // size)), set()
    while wanted:
        kind, number, fields = client.receive()
        slot = number & 0xffffffff
        if kind == ipc.ACK:
            assert fields == {} and slot not in acked
            acked.add(slot)
        else:
            assert kind == ipc.COMPLETE and slot in acked
            assert fields.get(1, 0) == 0 and fields[6] == octets[:4096]
            wanted.discard(slot)
    client.raw(frames[sent:sent - sent % -size])
    client.raw(frame(ipc.STATUS_GET, 77))
    assert client.expect(ipc.REPLY)[0] == 77


def submit_many(client, count, handle, batch=500):
    """Pending reads, all accepted."""
    body = fixed(1, handle) + u(3, 1) + u(4, 600000)
    for first in range(0, count, batch):
        n = min(batch, count - first)
        client.raw(b"".join(
            frame(ipc.SUBMIT_BLOCK_READ, 1 << 32 | i, body)
            for i in range(first, first + n)))
        for i in range(first, first + n):
            assert client.receive() == (ipc.ACK, 1 << 32 | i, {})


@needs_root
def test_operations_up_to_the_quota(make_scene):
    most = 4096 if SAN else 65536
    scene = make_scene(Limits__PerUidOperations=most)
    client, second = (scene.client(uid=OTHER_UID) for _ in range(2))
    info = content.v1(content.Segment(b"nobody's"))
    handle, other = client.open_content(info), second.open_content(info)
    submit_many(client, most, handle)
    # All of the user's sessions are full, with a clear word; others are not.
    read = u(3, 1) + u(4, 600000)
    assert second.attempt(ipc.SUBMIT_BLOCK_READ, fixed(1, other) + read
                          )[1] == NO_RESOURCES
    assert second.attempt(ipc.SUBMIT_FLUSH, TAG)[1] == NO_RESOURCES
    assert scene.used(OTHER_UID)["operations"] == most
    scene.calm()
    # All end at once, and he does not read: not one is lost.
    client.send(ipc.CLIENT_CANCEL, 9, fixed(1, handle))
    scene.calm()
    assert scene.used(OTHER_UID)["operations"] == 0
    for i in range(most):
        assert client.receive() == (ipc.COMPLETE, 1 << 32 | i,
                                    {1: ipc.ABORTED})
    assert client.receive() == (ipc.REPLY, 9, {})
    second.read(other)
    # Abandoned, all of them.
    submit_many(client, most - 1, handle)
    client.close()
    scene.calm()


@needs_root
def test_connections_up_to_the_quota(make_scene):
    scene = make_scene(Limits__PerUidConnections=40)
    flood = [scene.client(uid=OTHER_UID, session=False) for _ in range(40)]
    for _ in range(200):
        late = scene.client(uid=OTHER_UID, greet=False)
        assert late.drain() == []
        late.close()
    scene.calm()
    assert scene.status()["counters"]["clients_over_quota"] == 200
    flood.pop().close()
    for client in flood:
        assert client.call(ipc.STATUS_GET)[3] == 2


@needs_root
def test_sessions_up_to_the_quota(scene):
    flood = [scene.client(uid=OTHER_UID) for _ in range(64)]
    late = scene.client(uid=OTHER_UID)
    for client in flood:
        assert client.open_handle() != 0
    assert late.call(ipc.CONTENT_OPEN, TAG) == {1: NO_RESOURCES}
    assert late.attempt(ipc.SUBMIT_FLUSH, TAG)[1] == NO_RESOURCES
    scene.calm()
    flood[0].code(ipc.SESSION_END)
    assert late.open_handle() != 0
    assert flood[0].code(ipc.CONTENT_OPEN, TAG) == INVALID_HANDLE


@needs_root
def test_handles_up_to_the_quota(scene):
    client, second = (scene.client(uid=OTHER_UID) for _ in range(2))
    handles = [client.open_handle() for _ in range(1024)]
    for one in (client, second):
        assert one.call(ipc.CONTENT_OPEN, TAG) == {1: NO_RESOURCES}
        assert one.call(ipc.PUBLISH_OPEN, data(1, b"label") + u(3, 1)
                        ) == {1: NO_RESOURCES}
    with open(__file__, "rb") as file:
        assert publish_file(second, file.fileno()) == NO_RESOURCES
    scene.calm()
    assert client.code(ipc.CONTENT_CLOSE, fixed(1, handles[5])) == 0
    assert second.open_handle() != 0


def drain_publications(client):
    """Publishes until that is refused: how many, and the code."""
    count = 0
    while True:
        label = b"%08d" % count + bytes(30000)
        fields = client.call(ipc.PUBLISH_OPEN, data(1, label) + u(3, 1))
        if 1 in fields:
            return count, fields[1]
        handle = fixed(1, fields[2])
        assert client.add(ipc.SUBMIT_STREAM_ADD, fields[2], b"x") == (0, 0)
        client.submit(ipc.SUBMIT_STREAM_COMPLETE, handle)
        code = client.result()[0]
        assert client.code(ipc.STREAM_CLOSE, handle) == 0
        if code != 0:
            return count, code
        count += 1


@needs_root
def test_buffers_up_to_the_quota(make_scene):
    scene = make_scene(Limits__PerUidBufferBytes="16M")
    client = scene.client(uid=OTHER_UID)
    publish = u(3, 1)
    streams = []
    for i in range(20):
        fields = client.call(ipc.PUBLISH_OPEN, data(1, b"%d" % i) + publish)
        if 1 in fields:
            assert fields[1] == NO_RESOURCES
            break
        streams.append(fields[2])
    assert 10 < len(streams) < 17
    handle = client.open_content(content.v1(content.Segment(bytes(BLOCK))))
    assert client.add(ipc.SUBMIT_DATA_ADD, handle, bytes(1 << 20)
                      ) == (NO_RESOURCES, None)
    scene.calm()
    for stream in streams:
        assert client.code(ipc.STREAM_CLOSE, fixed(1, stream)) == 0
    assert client.add(ipc.SUBMIT_DATA_ADD, handle, bytes(BLOCK)) == (0, 0)
    # Publications outlive their handles: they are counted, too.
    count, code = drain_publications(client)
    assert code == NO_RESOURCES and 100 < count < 600
    assert client.code(ipc.SESSION_END) == 0
    assert scene.used(OTHER_UID)["buffer_bytes"] == 0


@needs_root
def test_information_up_to_the_quota(make_scene):
    """Each handle may have much, but all of them not everything."""
    scene = make_scene(Limits__PerUidBufferBytes="16M",
                       Limits__PerUidContentInfoBytes="6M")
    client = scene.client(uid=OTHER_UID)
    piece = content.v2(bytes(5) + bytes(68 * 70000), length=1)
    # The first chunk says how much comes.
    piece = piece[:31] + content.chunk2(
        content.description2(b"x", bytes(32)) * 70000)
    codes = [client.add(ipc.SUBMIT_CI_ADD, client.open_handle(), piece)[1]
             for _ in range(5)]
    assert codes[:3] == [0] * 3 and codes[3:] == [NO_RESOURCES] * 2
    scene.calm()
    # One alone is over its own limit.
    client.code(ipc.SESSION_END)
    second = scene.client(uid=OTHER_UID)
    handle = second.open_handle()
    assert second.add(ipc.SUBMIT_CI_ADD, handle, piece) == (0, 0)
    assert second.add(ipc.SUBMIT_CI_ADD, handle, piece[31:]
                      ) == (0, NO_RESOURCES)
    assert second.code(ipc.CONTENT_CLOSE, fixed(1, handle)) == 0
    assert scene.used(OTHER_UID)["buffer_bytes"] == 0


def test_quick_connections(scene):
    for i in range(200):
        client = scene.raw(hello() if i % 3 else b"")
        if i % 3 == 1:
            client.expect(ipc.HELLO)
        client.close()
    scene.calm()


def hold_everything(path, folder):
    """A client with something pending of every kind.  (In a child.)"""
    with open(folder / "large", "wb") as file:
        file.truncate(1 << 30)
    clients = [ipc.Client(path, DEADLINE) for _ in range(3)]
    octets = os.urandom(1 << 20)
    info = content.v1(content.Segment(octets))
    nowhere = content.v1(content.Segment(os.urandom(BLOCK)))
    for i, client in enumerate(clients):
        handle = client.open_content(nowhere)
        submit_many(client, 500, handle)
        client.slot = 1000
        client.submit(ipc.SUBMIT_STREAM_READ, fixed(1, handle) + u(3, 1) +
                      u(4, 600000))
        for kind in ADDS:
            client.submit(kind, fixed(1, handle_for_child(client, kind, info))
                          + u(2, 1 << 30) + data(4, client.slice(octets)))
        with open(folder / "large", "rb") as file:
            client.submit(ipc.SUBMIT_PUBLISH_FILE, data(1, b"file%d" % i) +
                          u(4, 2), [file.fileno()])
            client.submit(ipc.SUBMIT_FLUSH, TAG)
            client.raw(frame(ipc.SUBMIT_PUBLISH_FILE, 1, length=99, n_fds=1),
                       [file.fileno()])
    return clients


def handle_for_child(client, kind, info):
    if kind == ipc.SUBMIT_STREAM_ADD:
        return client.call(ipc.PUBLISH_OPEN, data(1, os.urandom(8)) +
                           u(3, 1))[2]
    if kind == ipc.SUBMIT_CI_ADD:
        return client.open_handle()
    return client.open_content(info)


def test_killed_with_everything_pending(scene):
    ready, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            held = hold_everything(scene.folder.socket, scene.folder.path)
            os.write(write, b"!")
            signal.pause()
            assert held
        finally:
            os._exit(1)
    try:
        os.close(write)
        assert os.read(ready, 1) == b"!"
        os.close(ready)
        scene.calm()
        assert scene.used()["operations"] > 1500
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    scene.calm()


# The data area.

@needs_root
def test_area_kept_after_leaving(scene):
    client = scene.client()
    area = client.area
    before = scene.areas()
    area[:] = b"\x5a" * len(area)
    # The session's end alone does not free what is mapped, nor its price.
    connections = scene.used()["connections"]
    assert client.code(ipc.SESSION_END) == 0
    assert scene.areas() == before
    assert scene.used()["connections"] == connections
    client.socket.close()
    end = time.monotonic() + DEADLINE
    while scene.areas() == before:
        assert time.monotonic() < end
    assert scene.used()["connections"] == connections - 1
    assert area[:] == bytes(len(area))
    area[:] = b"\xa5" * len(area)
    scene.calm()


class Flipper(threading.Thread):
    """Changes a part of an area all the time."""

    def __init__(self, area, size, *versions):
        super().__init__(daemon=True)
        self.area, self.size, self.versions = area, size, versions
        self.going = True

    def run(self):
        while self.going:
            for octets in self.versions:
                self.area[:self.size] = octets

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.going = False
        self.join(DEADLINE)


def test_area_changed_while_it_is_read(scene):
    size = 8 * BLOCK
    good = os.urandom(size)
    halves = good[:size // 2 + 7] + bytes(size - size // 2 - 7)
    client, reader = scene.client(), scene.client()
    where = data(4, u(2, size))
    codes = set()
    with Flipper(client.area, size, good, bytes(size), halves):
        for i in range(40):
            segment = content.Segment(good)
            handle = client.open_content(content.v1(segment))
            number = client.submit(ipc.SUBMIT_DATA_ADD,
                                   fixed(1, handle) + u(2, size) + where)
            code = client.result(number)[0]
            assert code in (0, BAD_DATA)
            codes.add(code)
            if i % 8 == 0:
                check = reader.open_content(content.v1(segment))
                for at, found in enumerate(blocks_of(reader, check, size)):
                    assert found in (
                        None, good[at * BLOCK:(at + 1) * BLOCK])
            client.code(ipc.CONTENT_CLOSE, fixed(1, handle))
        stream = client.call(ipc.PUBLISH_OPEN, data(1, b"x") + u(3, 1))[2]
        for _ in range(10):
            number = client.submit(ipc.SUBMIT_STREAM_ADD,
                                   fixed(1, stream) + u(2, size) + where)
            assert client.result(number)[0] == 0
        number = client.submit(ipc.SUBMIT_STREAM_COMPLETE, fixed(1, stream))
        assert client.result(number)[0] == 0
        # Information that changes while it is parsed.
        info = content.v1(content.Segment(good))
        info += bytes(5000 - len(info))
    with Flipper(client.area, len(info), info, b"\xff" * len(info)):
        for _ in range(20):
            handle = client.open_handle()
            number = client.submit(ipc.SUBMIT_CI_ADD, fixed(1, handle) +
                                   u(2, len(info)) + data(4, u(2, len(info))))
            assert client.result(number)[0] in (0, CI_VERSION, CI_MALFORMED)
    assert BAD_DATA in codes
    scene.calm()


# Content information.

def malformed():
    """What a parser must refuse: name, information, code."""
    octets = os.urandom(BLOCK + 100)
    one = content.Segment(octets)
    good = content.v1(one)
    seg = content.SEGMENT
    for n in (0, 1, 17):
        yield f"v1 header of {n}", good[:n], CI_MALFORMED
    for version in (b"\1\1", b"\0\0", b"\0\3", b"\2\2", b"\xff\xff"):
        yield f"version {version!r}", content.v1(one, version=version), \
            CI_VERSION
    for algo in (0, 0x800B, 0x800F, 0x04, 0xffffffff):
        yield f"algorithm {algo}", content.v1(one, algo=algo), CI_MALFORMED
    yield "no segments", content.v1(), CI_MALFORMED
    for count in (2, 1000, 100000):
        yield f"{count} segments", content.v1(one, count=count), CI_MALFORMED
    # More than may ever come.
    yield "endless segments", content.v1(one, count=0xffffffff), NO_RESOURCES
    for size in (0, 1, 65535, 131072, 0xffffffff):
        yield f"block size {size}", content.v1(content.Segment(
            octets, block_size=size)), CI_MALFORMED
    for length in (0, seg + 1, 0xffffffff, 1, 2 * BLOCK + 1):
        yield f"segment length {length}", content.v1(content.Segment(
            octets, length=length)), CI_MALFORMED
    yield "short inner segment", content.v1(
        one, content.Segment(octets, seg)), CI_MALFORMED
    for start in (1, BLOCK, seg - 1):
        yield f"start {start}", content.v1(content.Segment(
            octets, start)), CI_MALFORMED
    full = content.Segment(octets, 0, length=seg, blocks=[bytes(32)] * 512)
    yield "gap", content.v1(full, content.Segment(octets, 2 * seg)), \
        CI_MALFORMED
    yield "overlap", content.v1(full, content.Segment(octets, 0)), \
        CI_MALFORMED
    yield "start overflow", content.v1(content.Segment(
        octets, (1 << 64) - seg, length=seg)), CI_MALFORMED
    for first in (len(octets), 0xffffffff):
        yield f"first offset {first}", content.v1(one, first=first), \
            CI_MALFORMED
    for last in (len(octets) + 1, 0xffffffff):
        yield f"last length {last}", content.v1(one, last=last), CI_MALFORMED
    yield "beyond by both", content.v1(one, first=1, last=len(octets)), \
        CI_MALFORMED
    for count in (0, 3, 1000, 0x08000000, 0xffffffff):
        yield f"{count} blocks", content.v1(content.Segment(
            octets, count=count)), CI_MALFORMED
    for cut in (1, 31, 32, 64, 68, 70):
        yield f"cut by {cut}", good[:-cut], CI_MALFORMED
    yield "wrong list", content.v1(content.Segment(
        octets, hod=bytes(32))), CI_MALFORMED
    yield from malformed2()


def malformed2():
    part = content.description2(b"x" * 1000)
    good = content.v2([part])
    for n in (2, 30, 31):
        yield f"v2 header of {n}", good[:n], CI_MALFORMED
    for algo in (0, 1, 2, 3, 5, 255):
        yield f"v2 algorithm {algo}", content.v2([part], algo=algo), \
            CI_MALFORMED
    for length in (0, (128 << 10) + 1, 0xffffffff):
        yield f"v2 segment length {length}", content.v2(
            [content.description2(b"x", length=length)]), CI_MALFORMED
    yield "v2 overflow", content.v2([part], start=(1 << 64) - 999), \
        CI_MALFORMED
    for first in (1000, 0xffffffff):
        yield f"v2 first offset {first}", content.v2([part], first=first), \
            CI_MALFORMED
    for length in (1001, 1 << 63, (1 << 64) - 1):
        yield f"v2 range of {length}", content.v2([part], length=length), \
            CI_MALFORMED
    for kind in (1, 255):
        yield f"v2 chunk type {kind}", content.v2(
            content.chunk2(part, kind)), CI_MALFORMED
    yield "v2 empty chunk", content.v2([part], content.chunk2(b"")), \
        CI_MALFORMED
    for length in (1, 67, 69, 0xffffffff):
        yield f"v2 chunk of {length}", content.v2(
            content.chunk2(part, length=length)), CI_MALFORMED
    for n in range(1, 5):
        yield f"v2 {n} bytes left", good + bytes(n), CI_MALFORMED
    yield "v2 chunk is cut", good[:-1], CI_MALFORMED


def refused_information(client, info):
    """The code; the handle then says nothing else, but can be closed."""
    handle = client.open_handle()
    if info:
        code = client.feed_information(handle, info)
    else:
        number = client.submit(ipc.SUBMIT_CI_COMPLETE, fixed(1, handle))
        code = client.result(number)[0]
    assert client.code(ipc.CONTENT_INFO, fixed(1, handle)) == 0
    for kind, body in ((ipc.SUBMIT_CI_COMPLETE, b""),
                       (ipc.SUBMIT_BLOCK_READ, u(3, 1)),
                       (ipc.SUBMIT_DATA_ADD, u(2, 1) + data(
                           4, u(2, 1) + data(3, b"x")))):
        assert client.attempt(kind, fixed(1, handle) + body)[1] == code
    assert client.code(ipc.CONTENT_CLOSE, fixed(1, handle)) == 0
    return code


def test_malformed_content_information(scene):
    client = scene.client()
    octets = os.urandom(BLOCK + 100)
    for info in (content.v1(content.Segment(octets)),
                 content.v2([content.description2(octets)])):
        handle = client.open_content(info)
        assert client.add(ipc.SUBMIT_DATA_ADD, handle, octets) == (0, 0)
        assert blocks_of(client, handle, len(octets)) == [
            octets[:BLOCK], octets[BLOCK:]]
    wrong = {}
    for name, info, code in malformed():
        found = refused_information(client, info)
        if found != code:
            wrong[name] = found
    assert wrong == {}
    scene.calm()


def test_content_information_byte_by_byte(scene):
    client = scene.client()
    octets = os.urandom(100)
    for info in (content.v1(content.Segment(octets)),
                 content.v2([content.description2(octets)])):
        handle = client.open_handle()
        for i in range(len(info)):
            assert client.add(ipc.SUBMIT_CI_ADD, handle, info[i:i + 1]
                              ) == (0, 0)
        number = client.submit(ipc.SUBMIT_CI_COMPLETE, fixed(1, handle))
        assert client.result(number)[0] == 0
        # Whole at any byte but the last: refused, whatever was fed.
        for i in range(1, len(info)):
            assert refused_information(client, info[:i]) in (
                CI_VERSION, CI_MALFORMED)


# Wrong data.

def test_wrong_data_keeps_the_good_part(scene):
    octets = os.urandom(5 * BLOCK + 100)
    client = scene.client()
    handle = client.open_content(content.v1(content.Segment(octets)))
    wrong = bytearray(octets)
    wrong[2 * BLOCK + 5] ^= 1
    wrong[-1] ^= 0x80
    assert client.add(ipc.SUBMIT_DATA_ADD, handle, bytes(wrong)
                      ) == (0, BAD_DATA)
    found = blocks_of(client, handle, len(octets))
    blocks = [octets[i:i + BLOCK] for i in range(0, len(octets), BLOCK)]
    assert found == [*blocks[:2], None, *blocks[3:5], None]
    # The rest, in pieces that begin and end anywhere, one of them wrong.
    for at in range(2 * BLOCK - 9, 3 * BLOCK + 9, 5000):
        piece = octets[at:at + 5000]
        assert client.add(ipc.SUBMIT_DATA_ADD, handle, piece, at) == (0, 0)
    assert client.add(ipc.SUBMIT_DATA_ADD, handle, bytes(99), 5 * BLOCK
                      ) == (0, 0)
    assert client.add(ipc.SUBMIT_DATA_ADD, handle, octets[-1:],
                      len(octets) - 1) == (0, BAD_DATA)
    assert blocks_of(client, handle, len(octets)) == [*blocks[:5], None]
    assert client.add(ipc.SUBMIT_DATA_ADD, handle, octets[5 * BLOCK:],
                      5 * BLOCK) == (0, 0)
    assert blocks_of(client, handle, len(octets)) == blocks


@needs_root
def test_forged_block_lists(scene):
    """Who knows a content's true secrets may list hashes of his own: what he
    adds is for him alone."""
    octets, forged = os.urandom(2 * BLOCK + 9), os.urandom(2 * BLOCK + 9)
    kp = os.urandom(32)
    whole = content.v1(content.Segment(octets, kp=kp))
    part = content.partial(octets, 1, kp)
    true = content.Segment(octets, kp=kp)
    lie = content.v1(content.Segment(
        forged, kp=kp, hod=true.hod, blocks=content.hashes(forged)[:1]),
        last=BLOCK)
    thief, victim = scene.client(uid=OTHER_UID), scene.client()
    stolen = thief.open_content(lie)
    assert thief.add(ipc.SUBMIT_DATA_ADD, stolen, forged[:BLOCK]) == (0, 0)
    assert blocks_of(thief, stolen, BLOCK) == [forged[:BLOCK]]
    proved, unproved = victim.open_content(whole), victim.open_content(part)
    assert blocks_of(victim, unproved, BLOCK) == [None]
    assert blocks_of(victim, proved, len(octets)) == [None] * 3
    # Neither is the other's data taken for it.
    assert thief.add(ipc.SUBMIT_DATA_ADD, stolen, octets[:BLOCK]
                     ) == (0, BAD_DATA)
    assert victim.add(ipc.SUBMIT_DATA_ADD, unproved, octets[:BLOCK]) == (0, 0)
    assert victim.add(ipc.SUBMIT_DATA_ADD, proved, octets) == (0, 0)
    for _ in range(2):
        assert blocks_of(thief, stolen, BLOCK) == [forged[:BLOCK]]
        assert blocks_of(victim, unproved, BLOCK) == [octets[:BLOCK]]
        assert b"".join(blocks_of(victim, proved, len(octets))) == octets
        assert thief.add(ipc.SUBMIT_DATA_ADD, stolen, forged[:BLOCK]
                         ) == (0, 0)
    # The whole list must give the true hash of the segment.
    assert refused_information(thief, content.v1(content.Segment(
        forged, kp=kp, hod=true.hod))) == CI_MALFORMED


@needs_root
def test_forged_lengths(scene):
    """No hash covers the length of a last block."""
    octets = os.urandom(BLOCK + 999)
    kp = os.urandom(32)
    thief, victim = scene.client(uid=OTHER_UID), scene.client()
    for make in (lambda n: content.v1(content.Segment(octets, kp=kp,
                                                      length=n)),
                 lambda n: content.v2([content.description2(octets, kp, n)])):
        handle = victim.open_content(make(len(octets)))
        assert victim.add(ipc.SUBMIT_DATA_ADD, handle, octets) == (0, 0)
        for length in (BLOCK + 1, BLOCK + 998, BLOCK + 1000, 2 * BLOCK):
            stolen = thief.open_content(make(length))
            blocks_of(thief, stolen, length)
            thief.add(ipc.SUBMIT_DATA_ADD, stolen, octets)
            assert b"".join(blocks_of(victim, handle, len(octets))) == octets
    status = scene.status()
    assert status["store"]["rotten"] == 0


# Peers.

OCTETS = os.urandom(3 * BLOCK + 77)
INFOS = [content.v1(content.Segment(OCTETS)),
         content.v2([content.description2(OCTETS[:2 * BLOCK]),
                     content.description2(OCTETS[2 * BLOCK:])])]


class Peer:
    """fake_peer.py, which has OCTETS."""

    def __init__(self, path, mode, *args):
        (path / "content").write_bytes(OCTETS)
        command = [sys.executable, ROOT / "tests/integration/fake_peer.py",
                   "--port-file", path / "port", "--mode", mode, *args]
        for i, info in enumerate(INFOS):
            (path / f"ci{i}").write_bytes(info)
            command += ["--content", path / "content", "--ci",
                        path / f"ci{i}"]
        self.process = subprocess.Popen([str(c) for c in command])
        self.port = path / "port"

    @property
    def address(self):
        end = time.monotonic() + DEADLINE
        while not self.port.exists():
            assert self.process.poll() is None and time.monotonic() < end
            select.select([], [], [], 0.005)
        return "127.0.0.1:" + self.port.read_text().strip()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(DEADLINE)


@pytest.fixture
def peer_of(folder):
    made = []

    def make(mode, *args):
        path = folder.path / f"peer{len(made)}"
        path.mkdir()
        made.append(Peer(path, mode, *args))
        return made[-1]

    yield make
    for peer in made:
        peer.close()


def check_reads(scene, good, timeout=1000):
    """Each block of both versions: right, or missing in time."""
    client = scene.client()
    for info in INFOS:
        handle = client.open_content(info)
        watch = Stopwatch(client.server)
        pending = {}
        for at in range(0, len(OCTETS), BLOCK):
            number = client.number()
            pending[number] = at
            client.send(ipc.SUBMIT_BLOCK_READ, number, fixed(1, handle) +
                        u(2, at) + u(3, BLOCK) + u(4, timeout))
        while pending:
            number, fields = client.expect(ipc.COMPLETE)
            at = pending.pop(number)
            code = fields.get(1, 0)
            assert code == 0 or (not good and
                                 code in (MISSING_DATA, TIMED_OUT))
            if code == 0:
                size = fields[2]
                where = ipc.decode(fields.get(5, b"")).get(1)
                found = fields.get(6) or client.area[where:where + size]
                assert size > 0 and found == OCTETS[at:at + BLOCK][:size]
        assert watch.read() < timeout / 1000 + DEADLINE / 4
        client.code(ipc.CONTENT_CLOSE, fixed(1, handle))
    scene.calm()


WRONG = [("wrong", "--wrong", w) for w in (
    "data", "id", "index", "size", "big", "plain", "garbage")]
USELESS = [*WRONG, ("empty",), ("cut",), ("http500",), ("gone",)]
STALLING = [("silent",), ("slow", "--piece", "100", "--delay", "5")]


def start_peer(peer_of, mode):
    """Its address; one that is gone has one too."""
    if mode != ("gone",):
        return peer_of(*mode).address
    peer = peer_of("good")
    address = peer.address
    peer.close()
    return address


@pytest.mark.parametrize("mode", STALLING + USELESS, ids=lambda m: m[-1])
def test_hostile_peer(make_scene, peer_of, mode):
    scene = make_scene(Retrieval__Peers=start_peer(peer_of, mode),
                       Retrieval__RequestTimeout="400ms")
    check_reads(scene, False)
    # The short block at the end comes in time even from a slow one.
    assert scene.status()["counters"]["peer_blocks"] <= (mode[0] == "slow")


def test_hostile_peers_beside_a_good_one(make_scene, peer_of):
    modes = [*USELESS, ("good",)]
    # A key each: a line may not be so long.
    scene = make_scene(Retrieval__Peers="\nPeers = ".join(
        start_peer(peer_of, m) for m in modes))
    check_reads(scene, True, 20000)


def test_peer_that_trickles_is_overtaken(make_scene, peer_of):
    """The request ends by its own time-out, and the next peer is asked."""
    modes = [*STALLING, ("good",)]
    scene = make_scene(
        Retrieval__Peers=" ".join(start_peer(peer_of, m) for m in modes),
        Retrieval__RequestTimeout="200ms")
    check_reads(scene, True, 20000)


# Last, since the others' time is theirs too.

@pytest.mark.parametrize("who, most", [
    ("says nothing", HANDSHAKE), ("half a greeting", HANDSHAKE),
    ("takes nothing", STALL)])
def test_time_limits(patience, who, most):
    client = patience[who]
    client.socket.settimeout(most + DEADLINE)
    if who == "takes nothing":
        # To read would be to take something.
        poll = select.poll()
        poll.register(client.socket, select.POLLHUP)
        assert poll.poll((most + DEADLINE) * 1000)
    else:
        assert client.drain() == []
